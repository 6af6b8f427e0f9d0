//! What happens to a tree, one fault after the other.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use homerun::sys::process;
use homerun::sys::signal::Signal;

use super::look::{Look, Part};
use super::tree::Chaos;
use super::writer::RUN;
use crate::support::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// KILL for one process of a service, or several at once.
    Kill,
    /// KILL for every supervisor and whatever else of a few services at once.
    KillMany,
    /// KILL for runsvdir.
    KillScanner,
    /// KILL for everything there is.
    KillAll,
    /// STOP for a process of a service, or for runsvdir, until the end of the round.
    Stop,
    /// TERM, HUP or ALRM for svlogd.
    SignalLog,
    /// ALRM for runsvdir.
    SignalScanner,
    /// Hundreds of control bytes, and others, at once.
    Burst,
    /// The same for a log service, without what kills it.
    BurstLog,
    /// A control byte, and KILL for the supervisor a moment later.
    CommandThenKill,
    /// Several sv at the same time.
    Commands,
    /// More lines than a pipe holds.
    Flood,
    /// No room on the disk until the end of the round.
    FillDisk,
    /// A service's directory goes, and comes back at the end of the round.
    MoveAway,
    /// Two services get each other's name.
    Swap,
    /// A link takes the place of a directory, or the directory that of the link.
    Link,
    /// Another `run` is renamed into place.
    ReplaceRun,
    /// runsvdir and all that it keeps become their programs anew.
    Upgrade,
}

/// How often each is to come: those that end everything come seldom.
const WEIGHTS: [(Fault, usize); 18] = [
    (Fault::Kill, 16),
    (Fault::KillMany, 3),
    (Fault::KillScanner, 2),
    (Fault::KillAll, 1),
    (Fault::Stop, 5),
    (Fault::SignalLog, 5),
    (Fault::SignalScanner, 1),
    (Fault::Burst, 4),
    (Fault::BurstLog, 3),
    (Fault::CommandThenKill, 8),
    (Fault::Commands, 4),
    (Fault::Flood, 2),
    (Fault::FillDisk, 2),
    (Fault::MoveAway, 2),
    (Fault::Swap, 2),
    (Fault::Link, 2),
    (Fault::ReplaceRun, 2),
    (Fault::Upgrade, 2),
];

const CONTROL: &[u8] = b"udotchaiqk12pxUu \0\xffZ\n";
const CONTROL_LOG: &[u8] = b"utcuhadpcU \0";
const WORDS: [&str; 12] =
    ["up", "down", "restart", "pause", "cont", "once", "hup", "kill", "stop", "start", "exit", "status"];

impl Chaos<'_> {
    /// Chooses a fault and lets it happen.
    pub fn hit(&mut self) {
        let sum = WEIGHTS.iter().map(|(_, weight)| weight).sum();
        let mut at = self.chance.below(sum);
        let fault = WEIGHTS.iter().find(|(_, weight)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        let fault = fault.expect("it is less than the sum").0;
        let victims = self.apply(fault);
        *self.figures.faults.entry(fault).or_default() += 1;
        self.history.push((self.round, fault, victims));
        if self.history.len() > 400 {
            self.history.drain(..200);
        }
    }

    /// Lets it happen, and gives the services it happened to, and how.
    fn apply(&mut self, fault: Fault) -> Vec<String> {
        match fault {
            Fault::Kill => vec![self.kill_some_of_one(false)],
            Fault::KillMany => (0..5).map(|_| self.kill_some_of_one(true)).collect(),
            Fault::KillScanner => {
                self.kill_scanner();
                Vec::new()
            }
            Fault::KillAll => {
                self.kill_scanner();
                let look = Look::now();
                for part in [Part::Supervisor, Part::Run, Part::Log] {
                    self.writers.iter_mut().for_each(|writer| writer.kill(&look, part));
                }
                Vec::new()
            }
            Fault::Stop => vec![self.stop_one()],
            Fault::SignalLog => {
                let at = self.any();
                let signal = self.chance.one_of(&[Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM]);
                self.signal(at, Part::Log, signal);
                vec![format!("{} {signal}", self.writers[at].name)]
            }
            Fault::SignalScanner => {
                self.signal_scanner(Signal::SIGALRM);
                Vec::new()
            }
            Fault::Upgrade => {
                self.signal_scanner(Signal::SIGUSR2);
                Vec::new()
            }
            Fault::Burst => {
                let at = self.any();
                let count = 200 + self.chance.below(800);
                vec![self.control(at, "supervise", CONTROL, count)]
            }
            Fault::BurstLog => {
                let at = self.any();
                let count = 1 + self.chance.below(200);
                vec![self.control(at, "log/supervise", CONTROL_LOG, count)]
            }
            Fault::CommandThenKill => {
                let at = self.any();
                let text = self.control(at, "supervise", CONTROL, 1);
                std::thread::sleep(self.chance.moment());
                self.writers[at].kill(&Look::now(), Part::Supervisor);
                vec![text]
            }
            Fault::Commands => self.run_commands(),
            Fault::Flood => {
                let at = self.any();
                self.writers[at].give(2000);
                vec![self.writers[at].name.clone()]
            }
            Fault::FillDisk => {
                if let Some(disk) = &self.disk {
                    disk.fill();
                }
                Vec::new()
            }
            Fault::MoveAway => {
                let at = self.any();
                let name = self.writers[at].path.file_name().unwrap().to_owned();
                let away = self.tree.directory("away").join(name);
                if !self.moved.iter().any(|(moved, _)| *moved == at) {
                    let home = self.writers[at].path.clone();
                    move_to(&mut self.writers[at].path, &away);
                    self.moved.push((at, home));
                }
                vec![self.writers[at].name.clone()]
            }
            Fault::Swap => self.swap(),
            Fault::Link => vec![self.link()],
            Fault::ReplaceRun => {
                let at = self.any();
                self.replace_run(at);
                vec![self.writers[at].name.clone()]
            }
        }
    }

    fn any(&mut self) -> usize {
        self.chance.below(self.writers.len())
    }

    fn kill_some_of_one(&mut self, supervisor_too: bool) -> String {
        let at = self.any();
        let parts = self.chance.below(7) + 1; // which of the three, as bits
        // Few svlogd are killed alone: what that may cost hides what else may be lost.
        let spare_log = parts == 2 && self.chance.below(2) == 0;
        let look = Look::now();
        let mut hit = Vec::new();
        for (bit, part) in Part::ALL.into_iter().enumerate() {
            let is_meant = parts & 1 << bit != 0 || supervisor_too && part == Part::Supervisor;
            if is_meant && !(part == Part::Log && spare_log) {
                self.writers[at].kill(&look, part);
                hit.push(part);
            }
        }
        format!("{} {hit:?}", self.writers[at].name)
    }

    fn stop_one(&mut self) -> String {
        let (at, part) = (self.any(), self.chance.one_of(&Part::ALL));
        if self.chance.below(8) == 0 {
            self.signal_scanner(Signal::SIGSTOP);
            return "runsvdir".to_owned();
        }
        self.signal(at, part, Signal::SIGSTOP);
        format!("{} {part:?}", self.writers[at].name)
    }

    fn signal(&mut self, at: usize, part: Part, signal: Signal) {
        for pid in Look::now().processes(self.writers[at].place, part) {
            let _ = process::send(pid, signal);
            if signal == Signal::SIGSTOP {
                self.stopped.push(pid);
            }
        }
    }

    /// Writes so many of these bytes, as chance will have it. Without a supervisor nobody gets them.
    fn control(&mut self, at: usize, supervise: &str, bytes: &[u8], count: usize) -> String {
        let bytes: Vec<u8> = (0..count).map(|_| self.chance.one_of(bytes)).collect();
        let writer = &self.writers[at];
        if let Ok(mut fifo) = homerun::sys::file::open_write(writer.path.join(supervise).join("control")) {
            let _ = fifo.write(&bytes);
        }
        format!("{} {:?}", writer.name, String::from_utf8_lossy(&bytes[..count.min(20)]))
    }

    fn run_commands(&mut self) -> Vec<String> {
        let at = self.any();
        let mut said = vec![self.writers[at].name.clone()];
        for _ in 0..3 {
            let word = self.chance.one_of(&WORDS);
            let mut command = self.tree.command("sv");
            command.args(["-w", "1", word]).arg(&self.writers[at].path);
            let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            self.commands.push(child);
            said.push(word.to_owned());
        }
        said
    }

    fn swap(&mut self) -> Vec<String> {
        let (one, two) = (self.any(), self.any());
        let is_away = |at: usize| self.moved.iter().any(|(moved, _)| *moved == at);
        if one != two && !is_away(one) && !is_away(two) {
            let between = self.tree.path("between");
            let (first, second) = (self.writers[one].path.clone(), self.writers[two].path.clone());
            fs::rename(&first, &between).unwrap();
            fs::rename(&second, &first).unwrap();
            fs::rename(&between, &second).unwrap();
            (self.writers[one].path, self.writers[two].path) = (second, first);
        }
        [one, two].map(|at| self.writers[at].name.clone()).to_vec()
    }

    fn link(&mut self) -> String {
        let at = self.any();
        let writer = &self.writers[at];
        match fs::read_link(&writer.path) {
            Ok(target) => {
                fs::remove_file(&writer.path).unwrap();
                fs::rename(target, &writer.path).unwrap();
            }
            Err(_) => {
                let target = self.tree.directory("linked").join(&writer.name);
                fs::rename(&writer.path, &target).unwrap();
                std::os::unix::fs::symlink(target, &writer.path).unwrap();
            }
        }
        writer.name.clone()
    }

    fn replace_run(&mut self, at: usize) {
        let path = &self.writers[at].path;
        // By another process: one that is started here meanwhile would hold it open for writing.
        let copy = Outcome::of(self.tree.command("cp").arg(path.join("run")).arg(path.join("run.new")));
        assert_eq!(copy, says(""), "{RUN}");
        fs::rename(path.join("run.new"), path.join("run")).unwrap();
    }
}

/// Moves a service's directory, or the link to it.
pub fn move_to(path: &mut PathBuf, place: &Path) {
    fs::rename(&*path, place).unwrap();
    place.clone_into(path);
}
