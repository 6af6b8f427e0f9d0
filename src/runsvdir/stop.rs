//! The ordered stop of a tree: services first, then their log services, then itself.
//!
//! Every runsv is told to exit: it ends its service with TERM, lets the log service read to the end, and goes. At
//! the deadline whatever still runs under a runsv is killed, the log services only a little later, so that they can
//! write what is left. Orphans have become children of this process, so that nothing is left behind unseen.

use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::model::family;
use crate::msg::Speaker;
use crate::supervise::{Probe, Unreachable};
use crate::sys::poll::Poller;
use crate::sys::proc::Children;
use crate::sys::process::{self, Addressee, Orphan};
use crate::sys::signal::{Signal, Signals};
use crate::sys::{clock, proc};

use super::foreign::Foreign;

/// How long log services may read on after their services were killed.
const GRACE: Duration = Duration::from_secs(2);
/// How often to look for strays: nobody tells when a process becomes one.
const LOOK: Duration = Duration::from_millis(250);
/// How often to try again to end what does not end.
const AGAIN: Duration = Duration::from_secs(1);
/// After so many tries nothing more can be done about it.
const TRIES: u8 = 10;

/// How far the stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Everybody was asked; services are killed at this moment.
    Asked(Instant),
    /// Services were killed; everything is at this moment.
    KilledServices(Instant),
    /// Everything is killed, again and again until nothing is left, so many times.
    KillAll(Instant, u8),
}

/// The stop of one tree.
pub struct Stop<'a> {
    speaker: &'a Speaker,
    /// The pid of each runsv, and its service directory.
    runsvs: Vec<(i32, PathBuf)>,
    /// The runsvs that are no children of this process: they were started by one that was killed.
    foreign: Vec<Foreign>,
    /// Services of which it could not be told, for want of descriptors, whether they have one.
    unasked: Vec<PathBuf>,
    /// Services whose runsv was not there, or was killed: their processes may be children of this one.
    orphaned: Vec<PathBuf>,
    stage: Stage,
    children: Children,
    /// The strays that were sent TERM.
    asked: Vec<i32>,
    next_look: Instant,
}

impl<'a> Stop<'a> {
    /// Asks every runsv to exit: those that are children of this process, by pid, those that were `found`, and any in
    /// the `others`.
    pub fn new(
        runsvs: Vec<(i32, PathBuf)>,
        found: Vec<(PathBuf, File)>,
        others: Vec<PathBuf>,
        deadline: Duration,
        speaker: &'a Speaker,
    ) -> Stop<'a> {
        for (pid, _) in &runsvs {
            let _ = process::send(*pid, Signal::SIGTERM);
        }
        let now = clock::now();
        let stage = Stage::Asked(now + deadline);
        let orphaned = found.iter().map(|(directory, _)| directory.clone()).chain(others.iter().cloned()).collect();
        let mut stop = Stop {
            speaker,
            runsvs,
            foreign: Vec::new(),
            unasked: Vec::new(),
            orphaned,
            stage,
            children: Children::unopened(),
            asked: Vec::new(),
            next_look: now,
        };
        for (directory, control) in found {
            stop.foreign.extend(Foreign::asked(Probe::new(directory), control));
        }
        others.into_iter().for_each(|directory| stop.ask_foreign(directory));
        stop
    }

    /// Asks a runsv that is no child of this process, if there is one.
    fn ask_foreign(&mut self, directory: PathBuf) {
        let probe = Probe::new(directory);
        match probe.open_ok().and_then(|_| probe.open_control()) {
            Ok(control) => self.foreign.extend(Foreign::asked(probe, control)),
            Err(Unreachable::Failed(failure)) if is_want(failure.reason()) => {
                self.unasked.push(probe.directory().to_owned());
            }
            Err(_) => {}
        }
    }

    /// Waits until no process of the tree is left; false when some could not be ended.
    pub fn carry_out(mut self, poller: &mut Poller, signals: &Signals) -> bool {
        loop {
            let has_children = self.reap();
            self.foreign.retain(|foreign| !foreign.has_ended());
            std::mem::take(&mut self.unasked).into_iter().for_each(|directory| self.ask_foreign(directory));
            if !has_children && self.foreign.is_empty() && self.unasked.is_empty() {
                return true;
            }
            if matches!(self.stage, Stage::KillAll(_, TRIES..)) {
                self.give_up();
                return false;
            }
            let now = clock::now();
            if self.next_look <= now || self.runsvs.is_empty() {
                self.ask_strays();
                self.next_look = now + LOOK;
            }
            let next = match self.stage {
                Stage::Asked(at) | Stage::KilledServices(at) | Stage::KillAll(at, _) => at,
            };
            if next <= now {
                self.go_further(now);
                continue;
            }
            let _ = poller.wait(Some(next.min(self.next_look).saturating_duration_since(now)));
            while let Ok(Some(_)) = signals.next() {}
        }
    }

    /// Reaps what has ended; false when this process has no child any more.
    fn reap(&mut self) -> bool {
        loop {
            match process::reap(-1) {
                Ok(Some((pid, status))) => {
                    if let Some(at) = self.runsvs.iter().position(|(runsv, _)| *runsv == pid) {
                        let (_, directory) = self.runsvs.swap_remove(at);
                        if !status.success() {
                            self.orphaned.push(directory.clone());
                            // It may have found another there, whose lock it could not have.
                            self.ask_foreign(directory);
                        }
                    }
                    self.asked.retain(|asked| *asked != pid);
                }
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }

    /// Asks the processes that left their services, and so became children of this process.
    ///
    /// Such a one may hold the pipe of a log service, whose runsv then waits for it to the deadline. A log service
    /// itself is not asked: it ends when it has read what is left.
    fn ask_strays(&mut self) {
        let known: HashSet<i32> = self.runsvs.iter().map(|(pid, _)| *pid).chain(self.asked.iter().copied()).collect();
        let mut strays = Vec::new();
        // Where they cannot be told now: it is done again.
        let _ = self.children.visit(&mut |pid| {
            if !known.contains(&pid) && !Children::has_ended(pid) {
                strays.push(pid);
            }
            true
        });
        if strays.is_empty() {
            return;
        }
        let logs = self.orphaned_log_services(&proc::relations());
        strays.retain(|pid| !logs.contains(pid));
        for pid in strays {
            self.asked.push(pid);
            let _ = process::send(pid, Signal::SIGTERM);
            let _ = process::send(pid, Signal::SIGCONT);
        }
    }

    fn go_further(&mut self, now: Instant) {
        let stage = match self.stage {
            Stage::Asked(_) => {
                let spared = self.log_services();
                let services = self.family(&spared);
                self.speaker.warn(format!(
                    "stopping takes too long: killing {} processes of {} services",
                    services.len(),
                    self.runsvs.len() + self.foreign.len()
                ));
                services.iter().for_each(|pid| kill(*pid));
                self.foreign.iter().for_each(|foreign| foreign.tell(b"k"));
                Stage::KilledServices(now + GRACE)
            }
            Stage::KilledServices(_) | Stage::KillAll(..) => {
                // What they leave when they end is not this process's: they must not start anything meanwhile.
                self.signal_foreign(Signal::SIGSTOP);
                self.family(&[]).iter().for_each(|pid| kill(*pid));
                self.runsvs.iter().for_each(|(pid, _)| kill(*pid));
                self.signal_foreign(Signal::SIGKILL);
                for foreign in self.foreign.iter().filter(|foreign| foreign.runsv.is_none()) {
                    let _ = foreign.service.log().send(b"k");
                }
                let tries = if let Stage::KillAll(_, tries) = self.stage { tries + 1 } else { 1 };
                Stage::KillAll(now + AGAIN, tries)
            }
        };
        self.stage = stage;
    }

    /// Says what is left. It may run as another user, or hang in the kernel.
    fn give_up(&self) {
        let pids: Vec<String> = self.family(&[]).iter().map(i32::to_string).collect();
        self.speaker.warn(format!("unable to end processes, leaving them: {}", pids.join(" ")));
    }

    fn signal_foreign(&self, signal: Signal) {
        for runsv in self.foreign.iter().filter_map(|foreign| foreign.runsv.as_ref()) {
            let _ = runsv.signal(signal as i32, Addressee::Process);
        }
    }

    /// Those runsvs that are no children of this process.
    fn foreign_runsvs(&self) -> impl Iterator<Item = i32> + '_ {
        let runsvs = self.foreign.iter().filter_map(|foreign| foreign.runsv.as_ref());
        runsvs.filter(|it| !it.has_ended()).map(Orphan::pid)
    }

    /// Every descendant of this process, and of runsvs that are none, that is no runsv, without the `spared` and theirs.
    fn family(&self, spared: &[i32]) -> Vec<i32> {
        let relations: Vec<family::Relation> = proc::relations()
            .into_iter()
            .filter(|relation| !relation.ended)
            .map(|relation| (relation.pid, relation.parent))
            .collect();
        let mut family = family::descendants(&relations, process::id(), spared);
        family.retain(|pid| self.runsvs.iter().all(|(runsv, _)| runsv != pid));
        for runsv in self.foreign_runsvs() {
            family.extend(family::descendants(&relations, runsv, spared));
        }
        family
    }

    /// The log services that still run under a runsv, or without one, as the records tell.
    fn log_services(&self) -> Vec<i32> {
        let relations = proc::relations();
        let under_runsv =
            self.runsvs.iter().map(|(runsv, _)| *runsv).chain(self.foreign_runsvs()).filter_map(|runsv| {
                // Where the runsv is: its directory may have been renamed or removed.
                recorded_child(&relations, Probe::new(format!("/proc/{runsv}/cwd/log")), runsv)
            });
        under_runsv.chain(self.orphaned_log_services(&relations)).collect()
    }

    /// The log services that became children of this process, also of a runsv whose end is not known yet.
    fn orphaned_log_services(&self, relations: &[proc::Relation]) -> Vec<i32> {
        let directories = self.orphaned.iter().chain(self.runsvs.iter().map(|(_, directory)| directory));
        let logs = directories.map(|directory| Probe::new(directory.join("log")));
        logs.filter_map(|log| recorded_child(relations, log, process::id())).collect()
    }
}

/// Whether it may be otherwise as soon as something has ended.
fn is_want(error: &io::Error) -> bool {
    let errno = error.raw_os_error().map(Errno::from_raw);
    matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
}

/// The process that a service's record tells of, if it is a child of `parent`.
fn recorded_child(relations: &[proc::Relation], service: Probe, parent: i32) -> Option<i32> {
    let pid = service.last_status().ok()?.pid;
    (pid > 0 && relations.iter().any(|it| it.pid == pid && it.parent == parent)).then_some(pid)
}

fn kill(pid: i32) {
    let _ = process::send(pid, Signal::SIGKILL);
}
