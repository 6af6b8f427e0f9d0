//! The tree, the rounds and what must hold.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Instant;

use homerun::model::note::Book;
use homerun::model::status::Status;
use homerun::sys::process;
use homerun::sys::signal::Signal;

use super::disk::Disk;
use super::faults::{Fault, move_back};
use super::look::{Look, Part};
use super::writer::{self, Account, Writer};
use super::{Chance, Length, plan};
use crate::support::*;

const SERVICES: usize = 50;
const FAULTS_A_ROUND: usize = 25;
const NUMBERS_A_ROUND: usize = 12;
/// Every such service has a `finish`, a hook, its log on the small disk, a pipe that nobody else holds open.
const WITH_FINISH: usize = 3;
const WITH_HOOK: usize = 4;
const ON_DISK: usize = 7;
const WITH_ITS_OWN_PIPE: usize = 5;
/// A supervisor has a descriptor of the service, the log service and the hook that one before it started.
const OF_OTHERS: usize = 3;

#[derive(Default)]
pub struct Figures {
    pub faults: BTreeMap<Fault, usize>,
    looks: usize,
}

pub struct Chaos<'a> {
    pub tree: &'a Tree,
    pub disk: Option<Disk>,
    seed: u64,
    pub round: usize,
    pub chance: Chance,
    pub writers: Vec<Writer>,
    scanner: Option<Child>,
    pub stopped: Vec<i32>,
    pub commands: Vec<Child>,
    /// Services that are away, and where they belong.
    pub moved: Vec<(usize, PathBuf)>,
    pub history: Vec<(usize, Fault, Vec<String>)>,
    pub figures: Figures,
}

#[test]
fn whatever_happens_no_service_runs_twice_and_no_line_is_lost_uncounted_or_doubled() {
    let (seed, length) = plan(20_261_128, 4);
    let began = Instant::now();
    let tree = Tree::new();
    let mut chaos = Chaos::new(&tree, seed, if matches!(length, Length::Rounds(..50)) { "4m" } else { "128m" });
    chaos.settle();
    let descriptors = chaos.descriptors();
    loop {
        let is_over = match length {
            Length::Rounds(rounds) => chaos.round >= rounds,
            Length::Time(time) => began.elapsed() >= time,
        };
        if is_over {
            break;
        }
        chaos.round += 1;
        chaos.writers.iter_mut().for_each(|writer| writer.give(NUMBERS_A_ROUND));
        for _ in 0..FAULTS_A_ROUND {
            chaos.hit();
            chaos.look();
        }
        chaos.settle();
    }
    chaos.check_that_all_answer();
    chaos.check_descriptors(&descriptors);
    chaos.stop_in_order();
    let sum = chaos.account();
    if std::env::var_os("HOMERUN_CHAOS").is_some() {
        let figures = &chaos.figures;
        println!(
            "seed {seed}: {} rounds in {:?}, {} looks\nfaults: {:?}\n{sum:?}",
            chaos.round,
            began.elapsed(),
            figures.looks,
            figures.faults,
        );
    }
}

impl<'a> Chaos<'a> {
    fn new(tree: &'a Tree, seed: u64, disk_size: &str) -> Chaos<'a> {
        let disk = Disk::mount(tree, disk_size);
        if disk.is_none() {
            skip("no disk that could be filled can be mounted: all other faults happen");
        }
        let prototype = tree.service("prototype").run(writer::RUN).log(writer::LOG);
        prototype.script("finish", writer::FINISH).script("control/t", writer::HOOK);
        tree.directory("services");
        let script = "i=0; while [ $i -lt $1 ]; do cp -a prototype services/s$i; i=$((i + 1)); done";
        assert_eq!(tree.run("sh", &["-c", script, "sh", &SERVICES.to_string()]), says(""));
        let mut chaos = Chaos {
            tree,
            disk,
            seed,
            round: 0,
            chance: Chance::new(seed),
            writers: Vec::new(),
            scanner: None,
            stopped: Vec::new(),
            commands: Vec::new(),
            moved: Vec::new(),
            history: Vec::new(),
            figures: Figures::default(),
        };
        chaos.writers = (0..SERVICES).map(|number| chaos.make(number)).collect();
        chaos
    }

    fn make(&self, number: usize) -> Writer {
        let name = format!("s{number}");
        let path = self.tree.path(format!("services/{name}"));
        if !number.is_multiple_of(WITH_FINISH) {
            fs::remove_file(path.join("finish")).unwrap();
        }
        if !number.is_multiple_of(WITH_HOOK) {
            fs::remove_file(path.join("control/t")).unwrap();
        }
        let logs = path.join("log").join(&name);
        let elsewhere = self.disk.as_ref().filter(|_| number.is_multiple_of(ON_DISK)).map(|disk| {
            std::os::unix::fs::symlink(disk.path.join(&name), &logs).unwrap();
            disk.seen().join(&name)
        });
        let seen = elsewhere.as_ref().unwrap_or(&logs);
        fs::create_dir(seen).unwrap();
        fs::write(seen.join("config"), "s16384\nn0\n").unwrap();
        Writer::new(name, path, elsewhere, number * 4, !number.is_multiple_of(WITH_ITS_OWN_PIPE))
    }

    fn start_scanner(&mut self) {
        let mut command = match &self.disk {
            Some(disk) => disk.command(self.tree, "runsvdir"),
            None => self.tree.command("runsvdir"),
        };
        let said = File::options().append(true).create(true).open(self.tree.path("said")).unwrap();
        command.env("RUNSVDIR_STOP_DEADLINE", "60s").arg(self.tree.path("services")).stderr(said);
        self.scanner = Some(command.spawn().unwrap());
    }

    pub fn kill_scanner(&mut self) {
        if let Some(mut scanner) = self.scanner.take() {
            scanner.kill().unwrap();
            wait_for_end(&mut scanner);
        }
    }

    pub fn signal_scanner(&mut self, signal: Signal) {
        if let Some(scanner) = &self.scanner {
            let pid = i32::try_from(scanner.id()).unwrap();
            process::send(pid, signal).unwrap();
            if signal == Signal::SIGSTOP {
                self.stopped.push(pid);
            }
        }
    }

    /// No service has two processes.
    pub fn look(&mut self) -> Look {
        let look = Look::now();
        self.figures.looks += 1;
        for writer in &self.writers {
            for part in [Part::Run, Part::Log] {
                if let Some(pids) = look.twins(writer.place, part) {
                    show(writer, &look);
                    panic!("{} has {} of {part:?}: {pids:?}", writer.name, pids.len());
                }
            }
        }
        look
    }

    /// Ends what lasts, and waits until every service and log service is up.
    fn settle(&mut self) {
        for pid in self.stopped.drain(..) {
            let _ = process::send(pid, Signal::SIGCONT);
        }
        if let Some(disk) = &self.disk {
            disk.free();
        }
        for (at, home) in self.moved.drain(..) {
            move_back(&mut self.writers[at].path, &home);
        }
        if self.scanner.is_none() {
            self.start_scanner();
        }
        for mut command in self.commands.drain(..) {
            wait_for_end(&mut command).expect("sv ends");
        }
        for log in ["", "log"] {
            for word in ["start", "cont"] {
                let paths = self.writers.iter().map(|writer| writer.path.join(log));
                let outcome = Outcome::of(self.tree.command("sv").args(["-w", "60", word]).args(paths));
                let said: Vec<&str> = outcome.stdout.lines().filter(|line| !line.starts_with("ok: ")).collect();
                assert!(outcome.code == Some(0), "sv {word}: {said:#?}, {}", outcome.stderr);
            }
        }
        self.writers.iter_mut().for_each(Writer::hold_pipe);
        self.look();
    }

    /// Every service has taken up the numbers it was given, and runs once, as its record says.
    fn check_that_all_answer(&mut self) {
        self.writers.iter_mut().for_each(|writer| writer.give(1));
        for writer in &self.writers {
            writer.wait_until_written(self.tree);
        }
        for writer in &self.writers {
            let place = writer.place;
            for (part, supervise) in [(Part::Run, "supervise"), (Part::Log, "log/supervise")] {
                let is_right = |status: &Status| Look::now().processes(place, part) == [status.pid];
                self.tree.wait_status(&writer.path.join(supervise), is_right);
            }
        }
        let look = self.look();
        for writer in &self.writers {
            for part in Part::ALL {
                let pids = look.processes(writer.place, part);
                assert_eq!(pids.len(), 1, "{} has these of {part:?}: {pids:?}", writer.name);
            }
        }
    }

    /// How many descriptors the supervisor of each service has.
    fn descriptors(&self) -> Vec<usize> {
        let look = Look::now();
        let count = |pid: &i32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        let of = |writer: &Writer| look.processes(writer.place, Part::Supervisor).iter().map(count).sum();
        self.writers.iter().map(of).collect()
    }

    fn check_descriptors(&self, before: &[usize]) {
        let after = self.descriptors();
        for ((writer, before), after) in self.writers.iter().zip(before).zip(after) {
            let most = before + OF_OTHERS;
            assert!(after <= most, "the supervisor of {} has {after} descriptors, not {most}", writer.name);
        }
    }

    /// Ends the tree in order: no process of it is left.
    fn stop_in_order(&mut self) {
        self.signal_scanner(Signal::SIGHUP);
        let end = self.scanner.take().and_then(|mut scanner| wait_for_end(&mut scanner));
        assert_eq!(end.and_then(|status| status.code()), Some(111), "runsvdir ended");
        let look = Look::now();
        for writer in &self.writers {
            for part in Part::ALL {
                assert_eq!(look.processes(writer.place, part), Vec::<i32>::new(), "{}: {part:?}", writer.name);
            }
        }
    }

    fn account(&self) -> Account {
        let said = String::from_utf8_lossy(&fs::read(self.tree.path("said")).unwrap()).into_owned();
        let mut sum = Account::default();
        for writer in &self.writers {
            let before = format!("svlogd: warning: unable to write to current: ./{}: ", writer.name);
            let dropped: Vec<usize> = said
                .lines()
                .filter_map(|line| line.strip_prefix(&before)?.strip_suffix(" bytes dropped")?.parse().ok())
                .collect();
            match writer.account(dropped.len(), dropped.iter().sum()) {
                Ok(account) => sum.add(account, writer, dropped.iter().sum()),
                Err(text) => {
                    show(writer, &Look::now());
                    panic!("{}: {text}", writer.name)
                }
            }
        }
        sum
    }
}

fn show(writer: &Writer, look: &Look) {
    let [run, log, runsv] = Part::ALL.map(|part| look.processes(writer.place, part));
    eprintln!("{} in {}: run {run:?}, log {log:?}, runsv {runsv:?}", writer.name, writer.path.display());
    for supervise in ["supervise", "log/supervise"] {
        let read = |name: &str| fs::read(writer.path.join(supervise).join(name)).unwrap_or_default();
        eprintln!("  {supervise}: {:?}, {:?}", Status::decode(&read("status")), Book::decode(&read("process")));
    }
}

/// A test that fails says what happened.
impl Drop for Chaos<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        eprintln!("seed {}, round {}; the last faults:", self.seed, self.round);
        for (round, fault, victims) in self.history.iter().skip(self.history.len().saturating_sub(60)) {
            eprintln!("  {round}: {fault:?} {}", victims.join(", "));
        }
        let look = Look::now();
        let is_whole = |writer: &&Writer| Part::ALL.iter().all(|part| look.processes(writer.place, *part).len() == 1);
        if self.scanner.is_some() {
            self.writers.iter().filter(|writer| !is_whole(writer)).for_each(|writer| show(writer, &look));
        }
        let tail = Command::new("tail").args(["-n", "60"]).arg(self.tree.path("said")).output();
        eprintln!("{}", String::from_utf8_lossy(&tail.map(|output| output.stdout).unwrap_or_default()));
    }
}
