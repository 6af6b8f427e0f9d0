//! runsv, from its start to its end.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use homerun::model::status::{State, Status, Want};
use homerun::sys::inotify::{Changes, Watcher};
use homerun::sys::poll::Poller;
use homerun::sys::signal::Signal;

use super::*;

/// How often to look for what nothing tells of.
pub(super) const LOOK: Duration = Duration::from_millis(50);

/// In a short walk, how many calls go well between two that fail.
const EVERY: u32 = 60;
/// In a long walk: how many more calls there may be when one fails, and how many errors one may have.
const SLACK: u32 = 50;
const CHOICES: u32 = 8;
/// How many stories are told at once.
pub(super) const THREADS: usize = 8;

/// A service of actors and its supervisor.
pub(super) struct Stage {
    pub(super) directory: PathBuf,
    pub(super) faults: Faults,
    pub(super) runsv: Child,
    /// Signals that the system refused, and that were asked for again.
    repeated: u32,
}

/// Why a story does not go on.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The supervisor has ended.
    Ended,
    /// Nothing comes any more.
    Stuck(String),
}

impl Stage {
    pub(super) fn new(tree: &Tree, tools: &Tools, name: &str, fault: impl FnOnce(&Faults)) -> Stage {
        let directory = tree.directory(name);
        tools.cast(&directory, &["run", "finish", "control/u", "control/t", "control/d", "control/x", "log/run"]);
        fs::create_dir(directory.join("supervise")).unwrap(); // to be watched
        fs::create_dir(directory.join("log/supervise")).unwrap();
        Stage::supervised(tree, tools, directory, name, fault)
    }

    /// A new supervisor for a service that is there.
    pub(super) fn supervised(
        tree: &Tree,
        tools: &Tools,
        directory: PathBuf,
        name: &str,
        fault: impl FnOnce(&Faults),
    ) -> Stage {
        let faults = Faults::new(tree.path(format!("{name}.faults")));
        fault(&faults);
        let mut command = tree.command("runsv");
        faults.given_to(&mut command, "runsv", tools);
        let said = fs::File::create(tree.path(format!("{name}.said"))).unwrap();
        let runsv = command.arg(&directory).stdout(Stdio::null()).stderr(said).spawn().unwrap();
        Stage { directory, faults, runsv, repeated: 0 }
    }

    /// Writes a control byte, and waits for such a record.
    pub(super) fn ask(&mut self, of: &str, byte: u8, such: impl Fn(&Status) -> bool) -> Result<Status, Stopped> {
        self.control(of, byte);
        self.wait(of, Some(byte), such)
    }

    pub(super) fn control(&self, of: &str, byte: u8) {
        let fifo = homerun::sys::file::open_write(self.directory.join(of).join("supervise/control"));
        let _ = fifo.and_then(|mut fifo| std::io::Write::write(&mut fifo, &[byte])); // nobody may be there
    }

    /// Waits for such a record of the service, or its log service. Where the system refused to send a signal, which no
    /// supervisor can help, the byte is written again.
    pub(super) fn wait(
        &mut self,
        of: &str,
        byte: Option<u8>,
        such: impl Fn(&Status) -> bool,
    ) -> Result<Status, Stopped> {
        let supervise = self.directory.join(of).join("supervise");
        let watcher = Watcher::new().unwrap();
        watcher.watch(&supervise, Changes::IN_MOVED_TO | Changes::IN_CREATE).unwrap();
        let pid = i32::try_from(self.runsv.id()).unwrap();
        let Ok(pidfd) = homerun::sys::process::watch(pid) else { return Err(Stopped::Ended) }; // and was reaped
        let mut poller = Poller::new(2).unwrap();
        poller.watch(&watcher, 0).unwrap();
        poller.watch(&pidfd, 1).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = fs::read(supervise.join("status")).ok().and_then(|bytes| Status::decode(&bytes));
            if let Some(status) = status.filter(&such) {
                return Ok(status);
            }
            if homerun::sys::fd::is_readable(pidfd.as_fd()).unwrap() {
                return Err(Stopped::Ended);
            }
            if Instant::now() >= deadline {
                return Err(Stopped::Stuck(format!("{of}: {status:?}")));
            }
            let refused = self.faults.refused();
            if let Some(byte) = byte.filter(|_| refused > self.repeated) {
                self.control(of, byte);
            }
            self.repeated = refused;
            poller.wait(Some(LOOK)).unwrap();
            while !watcher.changes().unwrap().is_empty() {}
        }
    }

    /// The whole story, up to the end of the supervisor.
    pub(super) fn tell(&mut self) -> Result<(), Stopped> {
        let runs = |status: &Status| status.state == State::Run && status.pid != 0;
        let another = |than: Status| move |status: &Status| runs(status) && status.pid != than.pid;
        let log = self.wait("log", None, runs)?;
        let first = self.wait("", None, runs)?;
        // A young death, finish, a pause.
        self.ask("", b't', another(first))?;
        self.ask("", b'p', |status| status.paused)?;
        self.ask("", b'c', |status| !status.paused)?;
        self.ask("log", b't', another(log))?;
        self.ask("", b'd', |status| status.state == State::Down && status.want == Want::Down)?;
        self.ask("", b'u', runs)?;
        self.control("", b'x');
        match self.wait("", Some(b'x'), |_| false) {
            Err(Stopped::Ended) => Ok(()),
            Err(stuck) => Err(stuck),
            Ok(_) => unreachable!("no record is such"),
        }
    }
}

/// What of a story is wrong, if anything is.
pub(super) fn wrong(stage: &Stage, told: Result<(), Stopped>, ended: Option<ExitStatus>, said: &str) -> Option<String> {
    if said.contains("unable to stat() ./log") {
        return None; // as in the original there is no log service then, and no such story
    }
    if let Err(Stopped::Stuck(what)) = told {
        return Some(format!("it waits for ever: {what}"));
    }
    let code = ended.and_then(|ended| ended.code());
    if told.is_err() {
        // It has ended by itself: that may be only before it started anything.
        let has_not_begun =
            code == Some(111) || said.contains("\nfatal runtime error") || said.starts_with("fatal runtime");
        return (!has_not_begun || stage.faults.processes() > 0)
            .then(|| format!("it ended with {code:?} and {} processes", stage.faults.processes()));
    }
    if code != Some(0) {
        return Some(format!("it ended with {code:?}"));
    }
    let read = |name: &str| fs::read_to_string(stage.directory.join(name)).unwrap_or_default();
    if !read("twice").is_empty() || !read("log/twice").is_empty() {
        return Some("two ran at once".to_owned());
    }
    // A hook that a slow machine does not let end within its minute may be killed between its two lines.
    let is_torn = |line: &str| said.contains("control hook was killed") && line.as_bytes().get(1) == Some(&b' ');
    let lines = |text: String| {
        let mut lines: Vec<String> = text.lines().filter(|line| !is_torn(line)).map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let (written, logged) = (lines(read("written")), lines(read("log/lines")));
    (written != logged || written.len() < 3).then(|| format!("written {written:?}, logged {logged:?}"))
}

/// Tells the story with each of these faults, some at once; gives what was wrong.
fn walk(tree: &Tree, tools: &Tools, name: &str, next: impl Fn() -> Option<[u32; 3]> + Sync) -> Vec<String> {
    let bad = Mutex::new(Vec::new());
    let turn = || {
        while let Some([first, every, choice]) = next() {
            let name = format!("{name}{first}.{choice}");
            let mut stage = Stage::new(tree, tools, &name, |faults| faults.fail(first, every, choice));
            let told = stage.tell();
            let said = fs::read_to_string(tree.path(format!("{name}.said"))).unwrap();
            let ended = stage.runsv.try_wait().unwrap();
            if let Some(wrong) = wrong(&stage, told, ended, &said) {
                let call = stage.faults.failed();
                bad.lock().unwrap().push(format!("from {first}, every {every}, {choice}: {call}: {wrong}\n{said}"));
            }
            let _ = stage.runsv.kill();
            let _ = stage.runsv.wait();
        }
    };
    at_once(THREADS, turn);
    bad.into_inner().unwrap()
}

/// How many calls there are in the story when nothing fails, up to the first process and to the end.
pub(super) fn count(tree: &Tree, tools: &Tools) -> (u32, u32) {
    let mut stage = Stage::new(tree, tools, "well", |_| {});
    let told = stage.tell();
    let ended = Some(stage.runsv.wait().unwrap());
    assert_eq!(wrong(&stage, told, ended, ""), None);
    assert_eq!(fs::read_to_string(tree.path("well.said")).unwrap(), "");
    let calls = stage.faults.calls();
    let start = (1..calls).find(|number| stage.faults.told(*number) == "clone").unwrap();
    (start, calls)
}

#[test]
fn whatever_call_of_runsv_fails_it_goes_on_with_its_service_and_loses_no_line() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let (start, calls) = count(&tree, &tools);
    // Alone each failure may end it before it has started anything. Later, one after the other in one story.
    let next = AtomicU32::new(1);
    let take = |end: u32| Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < end);
    let mut bad = if is_long() {
        let choices = |number: u32| [number % (calls + SLACK), 0, number / (calls + SLACK)];
        walk(&tree, &tools, "one", || take((calls + SLACK) * CHOICES).map(choices))
    } else {
        walk(&tree, &tools, "one", || take(start).map(|number| [number, 0, number]))
    };
    next.store(start, Ordering::Relaxed);
    bad.extend(walk(&tree, &tools, "many", || take(start + EVERY).map(|number| [number, EVERY, number])));
    assert!(bad.is_empty(), "{} of {calls} calls: {bad:#?}", bad.len());
}

/// What goes on to fail, how, and how often at least before it is over.
const LASTING: [(&str, i32, u32); 23] = [
    ("chdir", libc::EIO, 2),
    ("clone", libc::EAGAIN, 8),
    ("close", libc::EIO, 8),
    ("dup2", libc::EMFILE, 3),
    ("epoll_ctl", libc::ENOMEM, 0),
    ("epoll_wait", libc::ENOMEM, 0),
    ("execv", libc::ENOMEM, 3),
    ("fstat", libc::EIO, 0),
    ("fstatfs64", libc::ENOSYS, 0),
    ("malloc", libc::ENOMEM, 8),
    ("openat", libc::EMFILE, 8),
    ("openat", libc::ENOSPC, 8),
    ("openat", libc::EROFS, 8),
    ("pidfd_open", libc::ENFILE, 2),
    ("ppoll", libc::ENOMEM, 8),
    ("pwrite64", libc::EDQUOT, 8),
    ("pwrite64", NEW_KILLED, 3),
    ("read", libc::EIO, 8),
    ("rename", libc::EROFS, 8),
    ("sigprocmask", libc::EINVAL, 3),
    ("statx", libc::EIO, 1),
    ("waitpid", libc::EIO, 4),
    ("write", libc::ENOSPC, 8),
];

/// Lets `name` go on to fail while everything ends, and then no more.
fn lasts(tree: &Tree, tools: &Tools, (name, error, times): (&str, i32, u32)) -> Result<(), String> {
    let mut stage = Stage::new(tree, tools, &format!("{name}{error}"), |_| {});
    let runs = |status: &Status| status.state == State::Run && status.pid != 0;
    let ok = |told: Result<Status, Stopped>| told.map_err(|stopped| format!("{stopped:?}"));
    let log = ok(stage.wait("log", None, runs))?;
    let first = ok(stage.wait("", None, runs))?;
    stage.faults.fail_all(name, error);
    stage.control("", b'p');
    stage.control("", b'c');
    for pid in [log.pid, first.pid] {
        let _ = homerun::sys::process::send(pid, Signal::SIGTERM);
    }
    let deadline = Instant::now() + PATIENCE;
    while stage.faults.failures() < times {
        if Instant::now() > deadline {
            return Err(format!("failed only {} times", stage.faults.failures()));
        }
        ok(stage.wait("", None, |_| true))?;
        thread::sleep(LOOK);
    }
    stage.faults.lift();
    let is_again = |than: Status| move |status: &Status| runs(status) && status.pid != than.pid;
    ok(stage.wait("log", None, is_again(log)))?;
    ok(stage.wait("", None, is_again(first)))?;
    stage.control("", b'x');
    let told = match stage.wait("", Some(b'x'), |_| false) {
        Err(Stopped::Ended) => Ok(()),
        other => Err(other.map(|_| ()).unwrap_err()),
    };
    let ended = stage.runsv.wait().unwrap();
    let said = fs::read_to_string(tree.path(format!("{name}{error}.said"))).unwrap();
    for line in said.lines() {
        // What the original says of each try to become a program, it says, too.
        let is_of_both = name == "pwrite64"; // the service and its log service note themselves in one file
        if !line.contains(": fatal: ") && said.matches(line).count() > 1 + usize::from(is_of_both) {
            return Err(format!("it says again: {line}"));
        }
    }
    wrong(&stage, told, Some(ended), &said).map_or(Ok(()), Err)
}

#[test]
fn what_fails_for_a_while_is_said_once_and_is_made_up_for_when_it_is_over() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let next = AtomicUsize::new(0);
    let bad = Mutex::new(Vec::new());
    let turn = || {
        while let Some(fault) = LASTING.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(wrong) = lasts(&tree, &tools, *fault) {
                let said = fs::read_to_string(tree.path(format!("{}{}.said", fault.0, fault.1))).unwrap();
                bad.lock().unwrap().push(format!("{fault:?}: {wrong}\n{said}"));
            }
        }
    };
    at_once(THREADS, turn);
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{bad:#?}");
}
