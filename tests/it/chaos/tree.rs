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
use super::faults::{Fault, move_to};
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
/// Every such service drops lines that its log service does not read in time.
const WITH_TIMEOUT: usize = 6;
/// So often each service is told the same at most.
const TRIES: usize = 5;
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
    /// Services whose directories were taken away for good, and others put in their place.
    retired: Vec<Writer>,
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
    let (seed, length) = plan(20_261_128, 3);
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
        if chaos.round.is_multiple_of(2) {
            chaos.retire_one();
        } else {
            chaos.remove_records_of_one();
        }
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
        tree.directory("retired");
        let mut chaos = Chaos {
            tree,
            disk,
            seed,
            round: 0,
            chance: Chance::new(seed),
            writers: Vec::new(),
            retired: Vec::new(),
            scanner: None,
            stopped: Vec::new(),
            commands: Vec::new(),
            moved: Vec::new(),
            history: Vec::new(),
            figures: Figures::default(),
        };
        for number in 0..SERVICES {
            let name = format!("s{number}");
            let mut writer = chaos.make(number, &name);
            move_to(&mut writer.path, &tree.path("services").join(name));
            chaos.writers.push(writer);
        }
        chaos
    }

    /// Makes a service, aside. Which faults it can meet follows from its number.
    fn make(&self, number: usize, name: &str) -> Writer {
        let path = self.tree.path(name);
        assert_eq!(Outcome::of(self.tree.command("cp").args(["-a", "prototype"]).arg(&path)), says(""));
        if !number.is_multiple_of(WITH_FINISH) {
            fs::remove_file(path.join("finish")).unwrap();
        }
        if !number.is_multiple_of(WITH_HOOK) {
            fs::remove_file(path.join("control/t")).unwrap();
        }
        let timeout = if number.is_multiple_of(WITH_TIMEOUT) { "300\n" } else { "0\n" };
        fs::write(path.join("timeout-log"), timeout).unwrap();
        let logs = path.join("log").join(name);
        let elsewhere = self.disk.as_ref().filter(|_| number.is_multiple_of(ON_DISK)).map(|disk| {
            std::os::unix::fs::symlink(disk.path.join(name), &logs).unwrap();
            disk.seen().join(name)
        });
        let seen = elsewhere.as_ref().unwrap_or(&logs);
        fs::create_dir(seen).unwrap();
        fs::write(seen.join("config"), "s16384\nn0\n").unwrap();
        let holds_pipe = !number.is_multiple_of(WITH_ITS_OWN_PIPE);
        Writer::new(name.to_owned(), path, elsewhere, number * 4, holds_pipe)
    }

    /// Takes a service's directory away for good, and puts another one in its place. All of it ends.
    fn retire_one(&mut self) {
        let at = self.chance.below(self.writers.len());
        let new = self.make(at, &format!("s{at}-{}", self.round));
        let mut old = std::mem::replace(&mut self.writers[at], new);
        let home = old.path.clone();
        let supervisor = Look::now().processes(old.place, Part::Supervisor);
        move_to(&mut old.path, &self.tree.path("retired").join(&old.name));
        move_to(&mut self.writers[at].path, &home);
        supervisor.into_iter().for_each(wait_until_gone);
        self.retired.push(old);
    }

    /// Removes all that a supervisor keeps of a service. It makes that again.
    ///
    /// Not as one of the faults: what is removed while no supervisor is there, nobody knows any more.
    fn remove_records_of_one(&mut self) {
        let at = self.chance.below(self.writers.len());
        let writer = &mut self.writers[at];
        writer.lost_pipe_name = true;
        let removed = self.tree.path(format!("removed-{}", self.round));
        fs::rename(writer.path.join("supervise"), &removed).unwrap();
        fs::remove_dir_all(removed).unwrap();
        self.tree.wait_status(&writer.path.join("supervise"), |_| true);
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
            move_to(&mut self.writers[at].path, &home);
        }
        if self.scanner.is_none() {
            self.start_scanner();
        }
        for mut command in self.commands.drain(..) {
            wait_for_end(&mut command).expect("sv ends");
        }
        // What is told to one that is about to end is told to nobody.
        self.writers.iter_mut().flat_map(|writer| writer.killed.drain(..)).for_each(wait_until_gone);
        for log in ["", "log"] {
            for word in ["start", "cont"] {
                self.tell_all(word, log);
            }
        }
        self.writers.iter_mut().for_each(Writer::hold_pipe);
        self.look();
    }

    /// Has sv tell every service, or log service, and wait until it is done.
    ///
    /// A supervisor that was told to exit before, as its directory was away, may only now do so: another one comes.
    fn tell_all(&self, word: &str, log: &str) {
        let mut said = String::new();
        for _ in 0..TRIES {
            let paths = self.writers.iter().map(|writer| writer.path.join(log));
            let outcome = Outcome::of(self.tree.command("sv").args(["-w", "60", word]).args(paths));
            if outcome.code == Some(0) {
                return;
            }
            said = outcome.stdout + &outcome.stderr;
            for writer in &self.writers {
                self.tree.wait_status(&writer.path.join(log).join("supervise"), |_| true);
            }
        }
        let said: Vec<&str> = said.lines().filter(|line| !line.starts_with("ok: ")).collect();
        panic!("sv {word}: {said:#?}");
    }

    /// Every service has taken up the numbers it was given, and runs once, as its record says.
    fn check_that_all_answer(&mut self) {
        for writer in &mut self.writers {
            writer.wait_until_it_writes(self.tree);
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
            let pids = look.processes(writer.place, Part::Supervisor);
            assert_eq!(pids.len(), 1, "{} has these supervisors: {pids:?}", writer.name);
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
        for writer in self.writers.iter().chain(&self.retired) {
            for part in Part::ALL {
                assert_eq!(look.processes(writer.place, part), Vec::<i32>::new(), "{}: {part:?}", writer.name);
            }
        }
    }

    fn account(&self) -> Account {
        let said = String::from_utf8_lossy(&fs::read(self.tree.path("said")).unwrap()).into_owned();
        let mut sum = Account::default();
        for writer in self.writers.iter().chain(&self.retired) {
            let before = format!("svlogd: warning: unable to write to current: ./{}: ", writer.name);
            let dropped: Vec<usize> = said
                .lines()
                .filter_map(|line| line.strip_prefix(&before)?.strip_suffix(" bytes dropped")?.parse().ok())
                .collect();
            match writer.account(dropped.len(), dropped.iter().sum()) {
                Ok(account) => sum.add(account, writer),
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
