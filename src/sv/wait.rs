//! Giving an order to services, and waiting until each has done it.

use std::cell::OnceCell;
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::family;
use crate::model::order::{Goal, Late, Order};
use crate::model::report::{self, Incarnation, Reached};
use crate::model::seconds;
use crate::model::status::Status;
use crate::msg;
use crate::supervise::Unreachable;
use crate::sys::inotify::{Changes, Watch, Watcher};
use crate::sys::poll::Poller;
use crate::sys::process::{self, Argv, Child, Directory, Spawn};
use crate::sys::signal::{InheritedMask, SigSet, Signal, Signals};
use crate::sys::{clock, fd, file, limit, proc};

use super::{Call, Service, look};

/// The original looks so often, and gives up at the first look that comes too late.
const BETWEEN_LOOKS: Duration = Duration::from_millis(420);
/// So many descriptors are left for other things than the supervisors that are watched.
const SPARE: u64 = 64;
/// Of no more services than this each has two descriptors of its own. Of more, one watches all: to close it takes longer
/// than many a restart, but one signal would not tell which of many has changed.
const FEW: usize = 8;
/// The first pause before a `check` that failed runs again; it doubles up to [`BETWEEN_LOOKS`].
const FIRST_CHECK_PAUSE: Duration = Duration::from_millis(20);

/// A service that an order was given to.
struct Target<'a> {
    service: Service,
    call: &'a Call,
    order: &'a Order,
    /// When the order was given.
    start: Instant,
    /// Looked up once it matters.
    deadline: OnceCell<Instant>,
    stage: Stage,
    /// No supervisor was ever there when it was looked at.
    is_new: bool,
    /// Its supervisor was waited for.
    is_awaited: bool,
    /// Something of it has changed.
    is_dirty: bool,
    /// Held open: it reports the end of the supervisor. Without it, that is looked for.
    ok: Option<File>,
    /// `ok` is watched.
    is_watched: bool,
    /// Held open: SIGIO tells of new records. Without it, [`Waiting::watcher`] does.
    records: Option<File>,
    /// It is one of few: `supervise/` is held while it is waited for.
    is_one_of_few: bool,
    /// Only descriptors below this number are held.
    most_held: u64,
    check: Check,
}

enum Stage {
    /// No supervisor has come to it yet, or the one has gone that the order was sent to, with the service as it was then.
    Unsupervised(Option<Incarnation>),
    /// The order was sent, to the service as it was then.
    Sent(Incarnation),
    /// There is nothing more to wait for.
    Done,
}

/// The `check` script of a service, while it is waited for.
struct Check {
    running: Option<Child>,
    next: Option<Instant>,
    pause: Duration,
    agreed: bool,
    /// The process it was asked of.
    asked: Option<Incarnation>,
}

/// What a look at a target came to.
enum Outcome {
    Pending,
    Done,
    Failed,
}

/// Gives `order` to `services`, waits where it is to be waited for, and counts the failures.
pub(super) fn carry_out(call: &Call, order: Order, services: Vec<Service>) -> usize {
    let waits = order.waits || call.reports;
    let start = clock::now();
    let (soft_limit, raised) = (limit::open_files(), limit::raise_open_files());
    let most_held = raised.saturating_sub(SPARE);
    let mut failures = 0;
    let is_one_of_few = services.len() <= FEW;
    let mut targets: Vec<Target> = Vec::new();
    let mut parent = None;
    for mut service in services {
        service.probe.start_from(&mut parent);
        let mut target = Target { is_one_of_few, most_held, ..Target::new(service, call, &order, start) };
        if waits {
            target.deadline(); // what says so may be gone once the order is given
        }
        let outcome = target.give(waits);
        target.service.probe.leave_parent(); // while it is waited for, another directory may come to bear the name
        match outcome {
            Outcome::Pending => targets.push(target),
            Outcome::Done => {}
            Outcome::Failed => failures += 1,
        }
    }
    if targets.is_empty() {
        return failures;
    }
    match Waiting::new(is_one_of_few, soft_limit) {
        Ok(mut waiting) => failures + waiting.carry_out(&mut targets, waits),
        Err(error) => {
            let text = msg::Failure::new("wait for events", "", error).text();
            msg::to_stderr(&msg::join(&[b"fatal: ", &text, b"\n"]));
            failures + targets.len()
        }
    }
}

impl<'a> Target<'a> {
    fn new(service: Service, call: &'a Call, order: &'a Order, start: Instant) -> Target<'a> {
        Target {
            service,
            call,
            order,
            start,
            deadline: OnceCell::new(),
            stage: Stage::Unsupervised(None),
            is_new: false,
            is_awaited: false,
            is_dirty: true,
            ok: None,
            is_watched: false,
            records: None,
            is_one_of_few: false,
            most_held: 0,
            check: Check::new(),
        }
    }

    /// Sends the order, if there is a supervisor to take it.
    fn give(&mut self, waits: bool) -> Outcome {
        let told_before = if let Stage::Unsupervised(before) = self.stage { before } else { None };
        self.service.probe.hold();
        let sent = self.service.ask(|probe| {
            let ok = probe.open_ok()?;
            let status = probe.last_status()?;
            let before = told_before.unwrap_or_else(|| Incarnation::of(&status));
            let bytes = match self.is_awaited || told_before.is_some() {
                true => report::said_late(self.order.bytes, &status, before),
                false => self.order.bytes,
            };
            if !bytes.is_empty() {
                probe.send(bytes)?;
            }
            Ok((ok, before))
        });
        if !self.is_one_of_few || sent.is_err() {
            self.service.probe.let_go();
        }
        match sent {
            Ok((ok, before)) if waits => {
                self.stage = Stage::Sent(before);
                self.ok = Some(ok).filter(|ok| fd::is_below(ok.as_fd(), self.most_held));
                Outcome::Pending
            }
            Ok(_) => Outcome::Done,
            Err(Unreachable::NotRunning) if self.order.bytes.starts_with(b"x") && !self.is_new => {
                self.say(b"ok: ", &[self.service.name.as_bytes(), b": runsv not running"].concat());
                Outcome::Done
            }
            Err(error) if self.may_yet_be_supervised(&error, waits) => {
                self.is_awaited = true;
                Outcome::Pending
            }
            Err(error) => self.fail(&error),
        }
    }

    /// Whether a supervisor may come to it soon: it is a service, and none was there so far. Where one was there
    /// before, only an order that is to bring it up waits for the next.
    fn may_yet_be_supervised(&mut self, error: &Unreachable, waits: bool) -> bool {
        self.is_new |= matches!(error, Unreachable::Unsupervised(_));
        let is_awaited = match error {
            Unreachable::NotRunning => self.is_new || (waits && self.order.brings_up()), // `ok` comes a moment before its reader
            Unreachable::Unsupervised(_) => true,
            Unreachable::Failed(_) | Unreachable::BadFormat => false,
        };
        is_awaited && clock::now() < self.deadline() && self.service.probe.is_service()
    }

    fn fail(&self, error: &Unreachable) -> Outcome {
        self.say(b"", &self.service.complaint(error).0);
        Outcome::Failed
    }

    /// The status, or why there is none. As long as its supervisor has not gone, it is where it was.
    fn status(&mut self) -> Result<Status, Unreachable> {
        let is_supervised = self.ok.as_ref().is_some_and(|ok| !fd::is_broken(ok.as_fd()));
        if is_supervised
            && self.records.is_some()
            && let Ok(status) = self.service.probe.last_status()
        {
            return Ok(status);
        }
        if !is_supervised || self.records.is_some() {
            self.release();
        }
        self.service.probe.hold();
        let status = self.service.status();
        self.service.probe.let_go();
        status
    }

    /// Holds what reports the end of its supervisor and, where SIGIO `is_heard`, what tells of new records. False if there
    /// is a supervisor, and too few descriptors to hold it.
    fn hold(&mut self, is_heard: bool) -> bool {
        let fits = |file: &File| fd::is_below(file.as_fd(), self.most_held);
        self.service.probe.hold();
        if is_heard {
            self.records = self.service.probe.tell_of_records().ok().filter(fits);
        }
        let was_there = self.ok.take().or_else(|| self.service.probe.open_ok().ok());
        let is_there = was_there.is_some();
        self.ok = was_there.filter(fits);
        if self.records.is_none() {
            self.service.probe.let_go();
        }
        self.ok.is_some() || !is_there
    }

    /// Holds nothing of it any more: it is to be found again.
    fn release(&mut self) {
        self.is_dirty |= self.ok.is_some();
        self.is_watched = false;
        self.ok = None;
        self.records = None;
        self.service.probe.let_go();
    }

    /// Looks whether the order is done.
    fn look(&mut self, waits: bool, waiting: &Waiting, key: usize) -> Outcome {
        let before = match self.stage {
            Stage::Done => return Outcome::Done,
            Stage::Unsupervised(_) => match self.give(waits) {
                Outcome::Pending if matches!(self.stage, Stage::Sent(_)) => return self.look(waits, waiting, key),
                Outcome::Pending => return self.give_up_if_late(),
                outcome => return outcome,
            },
            Stage::Sent(before) => before,
        };
        if let Some(child) = &self.check.running {
            match child.reap() {
                Ok(None) => return self.give_up_if_late(),
                Ok(Some(status)) if status.success() => self.check.agreed = true,
                Ok(Some(_)) | Err(_) => self.check.not_yet(),
            }
            self.check.running = None;
        }
        let brings_up = self.order.brings_up();
        let is_another = self.ok.as_ref().is_some_and(|ok| fd::is_broken(ok.as_fd()));
        match self.status() {
            Err(Unreachable::NotRunning) if self.order.goals.contains(&Goal::Gone) => {
                self.say(b"ok: ", &[self.service.name.as_bytes(), b": runsv not running"].concat());
                Outcome::Done
            }
            Ok(status) if !(brings_up && is_another) => self.compare(&status, before, waiting, key),
            Err(error) if !(brings_up && self.may_yet_be_supervised(&error, waits)) => self.fail(&error),
            Ok(_) | Err(_) => {
                self.stage = Stage::Unsupervised(Some(before));
                self.check.begin_again();
                Outcome::Pending
            }
        }
    }

    fn compare(&mut self, status: &Status, before: Incarnation, waiting: &Waiting, key: usize) -> Outcome {
        let mut reached = Reached::Yes;
        for goal in self.order.goals {
            match report::reached(*goal, status, before) {
                Reached::Yes => {}
                Reached::IfReady if reached == Reached::Yes => reached = Reached::IfReady,
                Reached::IfReady => {}
                Reached::No => reached = Reached::No,
            }
        }
        let is_done = match reached {
            Reached::Yes => true,
            // It agreed of what ran then: of another process it is asked again.
            Reached::IfReady => {
                let asked = self.check.asked.replace(Incarnation::of(status));
                let agreed = std::mem::take(&mut self.check.agreed) && asked == self.check.asked;
                agreed || !self.asks_check(waiting, key)
            }
            Reached::No => {
                self.check.next = None; // it is not what is waited for
                false
            }
        };
        if !is_done {
            return self.give_up_if_late();
        }
        let line = self.service.line(&self.service.name, status, look::glance(status).made);
        self.say(b"ok: ", &line);
        Outcome::Done
    }

    /// Whether there is a `check` to wait for; starts it when it is due.
    fn asks_check(&mut self, waiting: &Waiting, key: usize) -> bool {
        if self.check.next.is_some_and(|next| next > clock::now()) {
            return true;
        }
        match self.service.probe.has("check") {
            Ok(false) => return false,
            Ok(true) if !self.service.probe.is_trusted() => {
                // Differs: the original runs it, as root.
                self.service.warn_of("run", "check", io::Error::other("the service is another user's"));
                return false;
            }
            Ok(true) => {}
            Err(error) => {
                self.service.warn_of("stat", "check", error);
                self.check.later();
                return true;
            }
        }
        match self.start_check(waiting) {
            Ok(child) if child.is_stillborn() => {
                let _ = child.reap();
                return false;
            }
            Ok(child) => {
                if waiting.poller.watch(&child, key).is_err() {
                    self.check.not_yet(); // looked at again after the pause, then
                }
                self.check.running = Some(child);
            }
            Err(error) => {
                self.service.warn_of("fork for", "check", error);
                self.check.later();
            }
        }
        true
    }

    /// Starts `check` in its service directory, with nothing to write to. One that cannot be executed agrees.
    fn start_check(&self, waiting: &Waiting) -> io::Result<Child> {
        let directory = self.service.probe.directory();
        let nowhere = file::open_write("/dev/null")?;
        let path = CString::new(directory.as_os_str().as_bytes())?;
        let argv = Argv::new(["./check"])?;
        let mut name = self.service.name.clone().into_vec();
        name.extend_from_slice(b"/check");
        process::default_action(Signal::SIGCHLD); // inherited as ignored, how it ended would never be told
        let lower = || limit::set_open_files(waiting.soft_limit);
        Spawn {
            argv: &argv,
            directory: Some(Directory::Path(&path)),
            stdin: None,
            stdout: Some(nowhere.as_fd()),
            session: false,
            group: false,
            mask: waiting.mask()?,
            last: Some(&lower),
        }
        .start(|_, error| {
            let text = msg::Failure::new("run", OsStr::from_bytes(&name), error).text();
            msg::line_to_stderr(&[b"warning: ", &text]);
        })
    }

    /// When to give up.
    fn deadline(&self) -> Instant {
        let look_up = || self.start + seconds::last_look(self.call.patience(&self.service), BETWEEN_LOOKS);
        *self.deadline.get_or_init(look_up)
    }

    fn give_up_if_late(&mut self) -> Outcome {
        if clock::now() < self.deadline() {
            return Outcome::Pending;
        }
        self.check.end();
        self.release();
        if let Stage::Unsupervised(_) = self.stage {
            return match self.service.status() {
                Ok(_) => Outcome::Pending,
                Err(error) => self.fail(&error),
            };
        }
        let word: &[u8] = if self.order.late == Late::Kill { b"kill: " } else { b"timeout: " };
        let (line, _) = self.service.describe(&self.service.name, word);
        self.say(b"", &line);
        if self.order.late == Late::Kill {
            let _ = self.service.probe.send(b"k");
        }
        Outcome::Failed
    }

    fn say(&self, word: &[u8], text: &[u8]) {
        msg::line_to_stdout(&[word, text]);
    }

    /// When to look again without being told.
    fn next_look(&self) -> Instant {
        let check = self.check.next.filter(|_| self.check.running.is_none());
        check.map_or(self.deadline(), |check| check.min(self.deadline()))
    }
}

impl Check {
    fn new() -> Check {
        Check { running: None, next: None, pause: FIRST_CHECK_PAUSE, agreed: false, asked: None }
    }

    fn not_yet(&mut self) {
        self.next = Some(clock::now() + self.pause);
        self.pause = (self.pause * 2).min(BETWEEN_LOOKS);
    }

    /// It could not be asked, which is not said more often than the original says it.
    fn later(&mut self) {
        self.pause = BETWEEN_LOOKS;
        self.not_yet();
    }

    /// Whoever is asked next is another, or it is asked anew.
    fn begin_again(&mut self) {
        self.end();
        *self = Check::new();
    }

    /// Ends a `check` that takes too long, and the processes it started.
    fn end(&mut self) {
        let Some(child) = self.running.take() else { return };
        let relations: Vec<family::Relation> = proc::relations().iter().map(|it| (it.pid, it.parent)).collect();
        let _ = child.signal(Signal::SIGKILL);
        for pid in family::descendants(&relations, child.pid(), &[]) {
            let _ = process::send(pid, Signal::SIGKILL);
        }
        let _ = child.reap();
    }
}

/// The events that targets are waited for with.
struct Waiting {
    poller: Poller,
    /// SIGIO, and the mask without it. None where there are too many targets.
    told: Option<(Signals, InheritedMask)>,
    /// Made when it is needed. None where a user may have no more of them.
    watcher: OnceCell<Option<Watcher>>,
    watches: Vec<(Watch, usize)>,
    /// Not everything could be watched.
    must_poll: bool,
    /// What it was before it was raised: a program gets it back.
    soft_limit: u64,
}

/// The keys of what tells of targets, above those of the targets themselves.
const TOLD: usize = usize::MAX - 1;
const CHANGES: usize = usize::MAX;

impl Waiting {
    fn new(are_few: bool, soft_limit: u64) -> io::Result<Waiting> {
        let poller = Poller::new(if are_few { 2 * FEW } else { 64 })?;
        let told = if are_few { Signals::take(&[Signal::SIGIO]).ok() } else { None };
        let told = told.filter(|(signals, _)| poller.watch(signals, TOLD).is_ok());
        Ok(Waiting { poller, told, watcher: OnceCell::new(), watches: Vec::new(), must_poll: false, soft_limit })
    }

    /// The signal mask for a program.
    fn mask(&self) -> io::Result<InheritedMask> {
        self.told.as_ref().map_or_else(InheritedMask::current, |(_, mask)| Ok(*mask))
    }

    /// Waits until each target is done or late; counts the failures.
    fn carry_out(&mut self, targets: &mut [Target], waits: bool) -> usize {
        let mut failures = 0;
        loop {
            let now = clock::now();
            for (at, target) in targets.iter_mut().enumerate() {
                if matches!(target.stage, Stage::Done) || !(target.is_dirty || target.next_look() <= now) {
                    continue;
                }
                self.watch(target, at); // before the look: what comes in between is told
                target.is_dirty = false;
                let was_sent = matches!(target.stage, Stage::Sent(_));
                match target.look(waits, self, 2 * at + 1) {
                    Outcome::Pending => {
                        // It is watched in another way from the next look on.
                        target.is_dirty |= was_sent != matches!(target.stage, Stage::Sent(_));
                    }
                    outcome => {
                        failures += usize::from(matches!(outcome, Outcome::Failed));
                        target.stage = Stage::Done;
                        target.release();
                        target.check.end();
                    }
                }
            }
            let pending = targets.iter().filter(|target| !matches!(target.stage, Stage::Done));
            let Some(next) = pending.map(|it| if it.is_dirty { now } else { it.next_look() }).min() else {
                return failures;
            };
            self.wait(next);
            self.mark(targets);
        }
    }

    fn wait(&mut self, next: Instant) {
        let now = clock::now();
        let next = if self.must_poll { next.min(now + BETWEEN_LOOKS) } else { next };
        if self.poller.wait(Some(next.saturating_duration_since(now))).is_err() {
            self.must_poll = true;
        }
    }

    /// Marks the targets that something happened to.
    fn mark(&mut self, targets: &mut [Target]) {
        let mut was_told = false;
        for key in self.poller.ready() {
            was_told |= key == TOLD;
            if let Some(target) = targets.get_mut(key / 2) {
                target.is_dirty = true;
            }
        }
        if was_told && let Some((signals, _)) = &self.told {
            self.must_poll |= signals.arrived(&mut SigSet::empty()).is_err();
            targets.iter_mut().for_each(|target| target.is_dirty |= target.records.is_some());
        }
        while let Some(Some(Ok(changes))) = self.watcher.get().map(|watcher| watcher.as_ref().map(Watcher::changes))
            && !changes.is_empty()
        {
            for change in changes {
                if change.what.contains(Changes::IN_Q_OVERFLOW) {
                    targets.iter_mut().for_each(|target| target.is_dirty = true);
                }
                for (_, at) in self.watches.iter().filter(|(watch, _)| *watch == change.watch) {
                    targets[*at].is_dirty = true;
                }
            }
        }
        if self.must_poll {
            targets.iter_mut().for_each(|target| target.is_dirty = true);
        }
    }

    /// Watches a target: one that is supervised for records and the end of its supervisor, another for that to come.
    fn watch(&mut self, target: &mut Target, at: usize) {
        let supervise = target.service.probe.supervise();
        if let Stage::Sent(_) = target.stage {
            let was_awaited = !target.is_watched && self.watches.iter().any(|(_, of)| *of == at);
            if !target.is_watched {
                target.is_watched = true;
                self.must_poll |= !target.hold(self.told.is_some());
                self.must_poll |= target.ok.as_ref().is_some_and(|ok| self.poller.watch(ok, 2 * at).is_err());
            }
            // No longer for what is opened there, if a supervisor was awaited: to look at a record is to open it.
            if target.records.is_none() || was_awaited {
                let is_watched = self.watch_place(&supervise, Changes::IN_MOVED_TO, at);
                self.must_poll |= target.records.is_none() && !is_watched;
            }
        } else {
            // A FIFO that is opened is reported, too: `ok` may have been there before its reader.
            let coming = Changes::IN_CREATE | Changes::IN_MOVED_TO;
            self.must_poll |= !self.watch_place(target.service.probe.directory(), coming, at);
            self.watch_place(&supervise, coming | Changes::IN_OPEN, at);
            self.must_poll |= supervise.is_symlink();
        }
    }

    fn watch_place(&mut self, place: &Path, changes: Changes, at: usize) -> bool {
        let is_fine = |watcher: &Watcher| self.poller.watch(watcher, CHANGES).is_ok();
        let watcher = self.watcher.get_or_init(|| Watcher::new().ok().filter(is_fine));
        let Some(Ok(watch)) = watcher.as_ref().map(|watcher| watcher.watch(place, changes)) else { return false };
        if !self.watches.contains(&(watch, at)) {
            self.watches.push((watch, at));
        }
        true
    }
}
