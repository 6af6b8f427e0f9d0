//! One service of the tree, what it was given to write, and the account of it.
//!
//! What is written into a pipe or a file has a stated fate. These are the only lines that may be missing:
//! - svlogd killed: those of one read, whole lines and all in one gap, that it had not written yet ([`AT_STAKE`]); the
//!   last one written may be torn.
//! - svlogd told to end while its disk was full: those whose bytes it counted as dropped.
//! - svlogd stopped for longer than a `timeout-log` allows: those that runsv counted in the log ([`DROPPED`]). Most
//!   services wait for ever.
//! - the service, its log service and its supervisor all gone at one moment: those in the pipe, again one gap. In most
//!   services a reader that the test keeps open stands between, so that nothing else can hide behind this. So may
//!   those in a pipe whose name was removed with `supervise`, once the supervisor is killed.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use homerun::sys::file::Identity;

use super::look::{Look, Part, Place};
use crate::support::*;

/// The most that svlogd reads at once, and that a pipe holds.
pub const AT_STAKE: usize = 64 << 10;

/// The line in which runsv counts the bytes that it dropped, between these two.
const DROPPED: (&str, &str) = (" lines of ", " bytes were dropped: ./log/run did not read");

pub const RUN: &str = "exec 3<>numbers 4>>written; read -r pad <pad; echo start; echo start >&4
while IFS= read -r n <&3; do
    case $n in ????????) ;; *) continue ;; esac # the rest of one that a process before this one had begun to read
    echo \"number $n $pad\"
    echo \"$n\" >&4
done";
pub const LOG: &str = "read -r name <name; exec svlogd \"./$name\"";
/// Takes a moment, so that it is met at work.
pub const FINISH: &str = "echo finish; exec sleep 0.05";
pub const HOOK: &str = "sleep 0.02; exit 1";

pub struct Writer {
    pub name: String,
    /// Where it is now.
    pub path: PathBuf,
    pub place: Place,
    numbers: File,
    next: u32,
    pad: String,
    /// Its log directory, if that is not below `path`.
    logs: Option<PathBuf>,
    /// Read by nobody, held so that the pipe outlives its processes.
    pipe: Option<File>,
    holds_pipe: bool,
    /// Its `supervise` was removed: a log service that is started anew after a supervisor was killed, too, gets another
    /// pipe.
    pub lost_pipe_name: bool,
    /// It has a `timeout-log` that makes runsv drop lines.
    drops_lines: bool,
    /// How often its svlogd, or its supervisor, was killed.
    pub log_kills: usize,
    pub supervisor_kills: usize,
    /// Supervisors that were killed, and may be there for a moment yet.
    pub killed: Vec<i32>,
}

/// What became of the lines of a service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Account {
    pub starts: usize,
    pub acknowledged: usize,
    pub found: usize,
    pub missing: usize,
    pub gaps: usize,
    /// Bytes that svlogd and runsv counted as dropped.
    pub dropped_bytes: usize,
    pub log_kills: usize,
    pub supervisor_kills: usize,
}

impl Account {
    pub fn add(&mut self, other: Account, writer: &Writer) {
        self.starts += other.starts;
        self.acknowledged += other.acknowledged;
        self.found += other.found;
        self.missing += other.missing;
        self.gaps += other.gaps;
        self.dropped_bytes += other.dropped_bytes;
        self.log_kills += writer.log_kills;
        self.supervisor_kills += writer.supervisor_kills;
    }
}

impl Writer {
    /// The service in `path`. `logs` is where the test finds its log directory, if that is elsewhere.
    pub fn new(name: String, path: PathBuf, logs: Option<PathBuf>, pad: usize, holds_pipe: bool) -> Writer {
        let pad = "x".repeat(pad);
        fs::write(path.join("pad"), format!("{pad}\n")).unwrap();
        fs::write(path.join("log/name"), format!("{name}\n")).unwrap();
        homerun::sys::file::make_fifo(&path.join("numbers"), 0o600).unwrap();
        let numbers = homerun::sys::file::open_read_write(path.join("numbers")).unwrap();
        let drops_lines = fs::read_to_string(path.join("timeout-log")).is_ok_and(|text| text != "0\n");
        let identity = |path: &Path| Identity::of(&fs::metadata(path).unwrap());
        let place = Place { main: identity(&path), log: identity(&path.join("log")) };
        Writer {
            name,
            path,
            place,
            numbers,
            next: 0,
            pad,
            logs,
            pipe: None,
            holds_pipe,
            lost_pipe_name: false,
            drops_lines,
            log_kills: 0,
            supervisor_kills: 0,
            killed: Vec::new(),
        }
    }

    /// Gives it numbers to write, as far as there is room for them.
    pub fn give(&mut self, count: usize) {
        for _ in 0..count {
            if self.numbers.write_all(format!("{:08}\n", self.next).as_bytes()).is_err() {
                return;
            }
            self.next += 1;
        }
    }

    /// Keeps the pipe to its log service from going with its processes.
    pub fn hold_pipe(&mut self) {
        if self.holds_pipe {
            self.pipe = homerun::sys::file::open_read(self.path.join("supervise/pipe")).ok();
        }
    }

    /// Waits until it has acknowledged a number that it is given now.
    ///
    /// A command from before may still end a process that has read it and not written it: each one is given another.
    pub fn wait_until_it_writes(&mut self, tree: &Tree) {
        self.give(1);
        let path = self.path.clone();
        let mut written = String::new();
        tree.wait_in(&path, || {
            let before = std::mem::replace(&mut written, self.read_written());
            let more = written.strip_prefix(&before).expect("it only grows");
            if more.lines().any(|line| line == "start") && !before.is_empty() {
                self.give(1);
            }
            written.ends_with(&format!("{:08}\n", self.next - 1)).then_some(())
        });
    }

    fn read_written(&self) -> String {
        fs::read_to_string(self.path.join("written")).unwrap_or_default()
    }

    pub fn kill(&mut self, look: &Look, part: Part) {
        for pid in look.processes(self.place, part) {
            let _ = homerun::sys::process::send(pid, homerun::sys::signal::Signal::SIGKILL);
            match part {
                Part::Log => self.log_kills += 1,
                Part::Supervisor => {
                    self.supervisor_kills += 1;
                    self.killed.push(pid);
                }
                Part::Run => {}
            }
        }
    }

    /// Every file of its log, in order: the old ones begin with the time of their rotation, and `@` comes first.
    fn log_files(&self) -> Vec<PathBuf> {
        let logs = self.logs.clone().unwrap_or_else(|| self.path.join("log").join(&self.name));
        let mut files: Vec<PathBuf> = fs::read_dir(logs).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.ends_with("lock") && !path.ends_with("config"));
        files.sort();
        files
    }

    /// Compares what it acknowledged with its log, given how often svlogd said that it dropped bytes, and how many.
    pub fn account(&self, drops: usize, dropped_bytes: usize) -> Result<Account, String> {
        let mut account = Account::default();
        let mut found = Vec::new();
        let mut counted_bytes = 0;
        for file in self.log_files() {
            let text = fs::read(&file).unwrap();
            let mut torn = text.split(|byte| *byte == b'\n').collect::<Vec<_>>();
            let rest = torn.pop().unwrap_or_default();
            if !rest.is_empty() && self.log_kills + drops == 0 {
                return Err(format!("a torn line in {}: {:?}", file.display(), String::from_utf8_lossy(rest)));
            }
            for line in torn {
                match line {
                    b"start" => account.starts += 1,
                    b"finish" => {}
                    line if line.starts_with(b"runsv: warning: ") && self.drops_lines => {
                        counted_bytes += dropped_bytes_in(line).ok_or("a line of runsv that cannot be read")?;
                    }
                    line => found.push(self.number(line).ok_or_else(|| {
                        format!("a line nobody wrote in {}: {:?}", file.display(), String::from_utf8_lossy(line))
                    })?),
                }
            }
        }
        if let Some(pair) = found.windows(2).find(|pair| pair[0] >= pair[1]) {
            return Err(format!("{} is in the log before {}", pair[0], pair[1]));
        }
        let written = self.read_written();
        let acknowledged: Vec<u32> =
            written.lines().filter(|line| *line != "start").map(|line| line.parse().unwrap()).collect();
        let mut gaps: Vec<Vec<u32>> = Vec::new();
        let mut was_missing = false;
        for number in &acknowledged {
            let is_missing = found.binary_search(number).is_err();
            match gaps.last_mut() {
                Some(gap) if is_missing && was_missing => gap.push(*number),
                _ if is_missing => gaps.push(vec![*number]),
                _ => {}
            }
            was_missing = is_missing;
        }
        account.acknowledged = acknowledged.len();
        account.found = found.len();
        account.missing = gaps.iter().map(Vec::len).sum();
        account.gaps = gaps.len();
        account.dropped_bytes = dropped_bytes + counted_bytes;
        let line_bytes = "number 00000000 \n".len() + self.pad.len();
        // A supervisor that drops lines may be killed before it has counted them.
        let all_gone =
            if self.holds_pipe && !self.drops_lines && !self.lost_pipe_name { 0 } else { self.supervisor_kills };
        let most_gaps = self.log_kills + all_gone + drops;
        // What svlogd read and what was in the pipe may be next to each other, and so may two losses.
        let most_bytes = (self.log_kills + all_gone) * AT_STAKE + dropped_bytes + drops * line_bytes + counted_bytes;
        let is_accounted_for =
            (gaps.len() <= most_gaps || counted_bytes > 0) && account.missing * line_bytes <= most_bytes;
        let gaps: Vec<String> = gaps.iter().map(|gap| format!("{}..={}", gap[0], gap[gap.len() - 1])).collect();
        match is_accounted_for {
            true => Ok(account),
            false => Err(format!(
                "missing are {gaps:?}, lines of {line_bytes} bytes; svlogd was killed {} times, the supervisor {} \
                 times, {dropped_bytes} bytes were dropped {drops} times by svlogd and {counted_bytes} by runsv, the \
                 pipe was {}held open",
                self.log_kills,
                self.supervisor_kills,
                if self.holds_pipe { "" } else { "not " }
            )),
        }
    }

    fn number(&self, line: &[u8]) -> Option<u32> {
        let text = std::str::from_utf8(line).ok()?;
        let number = text.strip_prefix("number ")?.strip_suffix(&self.pad)?.strip_suffix(' ')?;
        (number.len() == 8).then(|| number.parse().ok())?
    }
}

fn dropped_bytes_in(line: &[u8]) -> Option<usize> {
    let (_, rest) = std::str::from_utf8(line).ok()?.split_once(DROPPED.0)?;
    rest.strip_suffix(DROPPED.1)?.parse().ok()
}
