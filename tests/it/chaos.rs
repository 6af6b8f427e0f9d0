//! A tree under faults: supervisors, services and log services end at random, and nothing is lost or doubled.
//!
//! Each service writes the numbers that it is given into its log, and acknowledges each one after that in a file of
//! its own. At the end every acknowledged number is in the log once, and none is there twice. The choice of victims
//! follows from a seed, which a failure prints: `HOMERUN_CHAOS=SEED:ROUNDS` asks for others.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use homerun::model::status::Status;
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

const SERVICES: usize = 8;
const NUMBERS_A_ROUND: usize = 12;
const VICTIMS_A_ROUND: usize = 4;

const RUN: &str = "exec 3<>numbers; while IFS= read -r n <&3; do echo \"number $n\"; echo \"$n\" >>written; done";
const LOG: &str = "exec svlogd ./main";

/// A generator of numbers that look like chance, the same for a seed. Source: xorshift64, Marsaglia 2003.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit).unwrap()).unwrap()
    }
}

/// One service of the tree, and what it was given to write.
struct Writer {
    name: String,
    directory: PathBuf,
    numbers: File,
}

impl Writer {
    fn new(tree: &Tree, name: String) -> Writer {
        let directory = tree.directory(&format!("services/{name}"));
        homerun::sys::file::make_fifo(&directory.join("numbers"), 0o600).unwrap();
        let numbers = homerun::sys::file::open_read_write(directory.join("numbers")).unwrap();
        fs::create_dir_all(directory.join("log/main")).unwrap();
        tree.service(&format!("services/{name}")).log(LOG).run(RUN);
        Writer { name, directory, numbers }
    }

    fn status(&self, tree: &Tree, of: &str) -> Status {
        tree.wait_status(&self.directory.join(of).join("supervise"), |status| status.pid != 0)
    }

    /// Everything in its log: what is current, and what was rotated.
    fn lines(&self) -> String {
        let mut files: Vec<PathBuf> =
            fs::read_dir(self.directory.join("log/main")).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.retain(|path| !path.ends_with("lock"));
        files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// The processes in its directory that were started with these last words.
    fn processes(&self, words: &str) -> Vec<i32> {
        let is_own = |pid: i32| {
            homerun::sys::proc::command_line(pid).ends_with(words.as_bytes())
                && fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == self.directory)
        };
        let all = homerun::sys::proc::relations();
        all.iter().filter(|it| !it.ended && is_own(it.pid)).map(|it| it.pid).collect()
    }

    fn runs(&self) -> usize {
        self.processes("\0./run\0").len()
    }

    fn kill_supervisor(&self) {
        for pid in self.processes(&format!("runsv\0{}\0", self.name)) {
            let _ = process::send(pid, Signal::SIGKILL);
        }
    }
}

fn is_alive(pid: i32) -> bool {
    homerun::sys::proc::relations().iter().any(|it| it.pid == pid && !it.ended)
}

/// Seed and rounds.
fn plan() -> (u64, usize) {
    let text = std::env::var("HOMERUN_CHAOS").unwrap_or_else(|_| "20261128:6".to_owned());
    let (seed, rounds) = text.split_once(':').expect("HOMERUN_CHAOS is SEED:ROUNDS");
    (seed.parse().unwrap(), rounds.parse().unwrap())
}

#[test]
fn whatever_is_killed_no_service_runs_twice_and_no_line_is_lost_or_doubled() {
    let (seed, rounds) = plan();
    let mut chance = Chance(seed.max(1));
    let tree = Tree::new();
    let mut writers: Vec<Writer> = (0..SERVICES).map(|number| Writer::new(&tree, format!("service{number}"))).collect();
    let scanner = || tree.command("runsvdir").arg(tree.path("services")).stderr(Stdio::null()).spawn().unwrap();
    let mut runsvdir: Child = scanner();
    let mut next = 0;
    for round in 0..rounds {
        for writer in &mut writers {
            let up = tree.sv(&["-w", "30", "start", writer.directory.to_str().unwrap()]);
            assert_eq!(up.code, Some(0), "seed {seed}, round {round}: {}", up.stdout);
            assert!(writer.runs() <= 1, "seed {seed}, round {round}: {} runs twice", writer.name);
            for _ in 0..NUMBERS_A_ROUND {
                next += 1;
                writer.numbers.write_all(format!("{next}\n").as_bytes()).unwrap();
            }
        }
        if chance.below(3) == 0 {
            runsvdir.kill().unwrap();
            wait_for_end(&mut runsvdir);
            runsvdir = scanner();
        }
        // Together, so that one fault meets another.
        for _ in 0..VICTIMS_A_ROUND {
            let writer = &writers[chance.below(SERVICES)];
            let what = chance.below(4);
            let pid = writer.status(&tree, if what == 0 { "log" } else { "." }).pid;
            match what {
                // svlogd writes what it has read before it ends; killed, it could not.
                0 => drop(process::send(pid, Signal::SIGTERM)),
                1 => drop(process::send(pid, Signal::SIGKILL)),
                2 => writer.kill_supervisor(),
                _ => {
                    let _ = process::send(pid, Signal::SIGKILL);
                    writer.kill_supervisor();
                }
            }
        }
    }
    for writer in &writers {
        let up = tree.sv(&["-w", "30", "start", writer.directory.to_str().unwrap()]);
        assert_eq!(up.code, Some(0), "seed {seed}: {}", up.stdout);
        // A record may be older than the last fault.
        tree.wait_status(&writer.directory.join("supervise"), |status| writer.runs() == 1 && is_alive(status.pid));
    }
    // In order: each supervisor lets its log service read to the end.
    process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGHUP).unwrap();
    assert_eq!(wait_for_end(&mut runsvdir).and_then(|status| status.code()), Some(111));
    for writer in &writers {
        let gone = tree.sv(&["-w", "30", "exit", writer.directory.to_str().unwrap()]);
        assert_eq!(gone.code, Some(0), "seed {seed}: {}", gone.stdout);
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for line in writer.lines().lines() {
            *found.entry(line.to_owned()).or_default() += 1;
        }
        let doubled: Vec<_> = found.iter().filter(|(_, times)| **times > 1).collect();
        let written = fs::read_to_string(writer.directory.join("written")).unwrap();
        let lost: Vec<_> = written.lines().filter(|n| !found.contains_key(&format!("number {n}"))).collect();
        assert!(doubled.is_empty() && lost.is_empty(), "seed {seed}, {}: {doubled:?}, {lost:?}", writer.name);
        assert!(written.lines().count() > rounds, "seed {seed}: {} has written", writer.name);
    }
}
