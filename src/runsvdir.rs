//! runsvdir: watches a services directory and keeps one runsv for each service in it.

mod foreign;
mod look;
mod stop;
mod strays;
mod title;
mod upgrade;
mod watch;

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileTypeExt as _;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::cli::{Arg, HELP, Synopsis, Usage, VERSION};
use crate::handover::Handed;
use crate::model::control::Control;
use crate::model::respawn::{self, Respawn};
use crate::model::{lookup, seconds, settle};
use crate::msg::{Failure, Speaker, Tried as _};
use crate::supervise::{Probe, may_be_supervised, open_pipe};
use crate::sys::file::Identity;
use crate::sys::folder::Folder;
use crate::sys::inotify::Watcher;
use crate::sys::poll::Poller;
use crate::sys::process::{self, Argv, Directory, Spawn};
use crate::sys::signal::{InheritedMask, Signal, Signals};
use crate::sys::{clock, fd, limit, memory, start, title as title_memory};

use look::Entry;
use stop::Stop;
use strays::Strays;
use title::TitleLog;
use watch::Watches;

/// After a TERM. Source: runit 2.3.0, src/runsvdir.c.
pub const EXIT_TERM: u8 = 0;
/// Wrong arguments. Source: runit 2.3.0, src/runsvdir.c.
pub const EXIT_USAGE: u8 = 1;
/// An error at the start. Source: runit 2.3.0, src/runsvdir.c.
pub const EXIT_FATAL: u8 = 100;
/// After a HUP, and after an ordered stop that left something. Source: runit 2.3.0, src/runsvdir.c.
pub const EXIT_HANGUP: u8 = 111;

/// The variable that asks for the ordered stop; its value is the deadline for it. It is not passed on.
///
/// A variable, not an option: the original ignores it, so either runsvdir can be put in the other's place.
pub const STOP_DEADLINE: &str = "RUNSVDIR_STOP_DEADLINE";

/// How long after the first start of a runsv its pipe is looked for.
const PIPE_PAUSE: Duration = Duration::from_secs(1);

/// What runsvdir takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "runsvdir",
    about: "Start and watch a runsv for each service in a directory.",
    usage: "[-P] dir [log]",
    groups: &[
        (
            "Arguments",
            &[
                Arg::operand("dir", "The services directory"),
                Arg::operand("log", "Room for the last error messages, as ps(1) shows them: seven bytes or more"),
            ],
        ),
        ("Options", &[Arg::flag(b'P', "sessions", "Give each runsv a session of its own"), HELP, VERSION]),
    ],
};

/// How runsvdir, called as `program`, is used.
pub fn usage(program: OsString) -> Usage {
    Usage::new(program, "[-P] dir", EXIT_USAGE)
}

/// The command line, as the original reads it.
#[derive(Debug, PartialEq, Eq)]
pub struct Invocation {
    sessions: bool,
    directory: OsString,
    /// Which argument (0 is the program's name) is the LOG argument.
    log: Option<usize>,
}

impl Invocation {
    /// Reads the arguments after the program's name: the first may be `-P...` or `--...`, then DIR, then LOG.
    ///
    /// Any other word that begins with a dash is DIR. Source: runit 2.3.0, `main` in src/runsvdir.c.
    pub fn read(args: &[OsString]) -> Option<Invocation> {
        let first = args.first().map(|arg| arg.as_bytes()).unwrap_or_default();
        let sessions = first.starts_with(b"-P");
        let skipped = usize::from(sessions || first.starts_with(b"--"));
        let directory = args.get(skipped)?.clone();
        let log = args.get(skipped + 1).map(|_| skipped + 2);
        Some(Invocation { sessions, directory, log })
    }
}

/// Keeps a runsv for each service until it is told to end.
pub fn run(invocation: Invocation) -> u8 {
    let speaker = Speaker::of("runsvdir", &invocation.directory).of_supervisor();
    match Tree::new(invocation, speaker.clone(), Handed::take()) {
        Ok(tree) => tree.run(),
        Err(failure) => {
            speaker.fatal(failure.text());
            EXIT_FATAL
        }
    }
}

/// So many events are taken at a time.
const EVENTS: usize = 32;

/// After so many starts signals are looked for.
const STARTS: usize = 16;

const SIGNALS: usize = 0;
const CHANGES: usize = 1;
const TITLE: usize = 2;
const MOUNTS: usize = 3;
/// From here on, those of control FIFOs of runsvs that were found.
const FOUND: usize = 4;

/// By what the poller tells of such a FIFO: descriptors are numbered.
fn key_of(control: &File) -> usize {
    FOUND + usize::try_from(control.as_raw_fd()).unwrap_or_default()
}

/// A service that was seen, and its runsv.
struct Known {
    identity: Identity,
    /// A name it was last seen by: what its runsv is called with.
    name: OsString,
    /// The runsv that this process started; 0 for none.
    pid: i32,
    /// The control FIFO of a runsv that was there already, as after a runsvdir that was killed. It tells of its end.
    found: Option<File>,
    /// The reading end of the pipe to its log service, never read from: what is in it outlives the service, the log
    /// service and their runsv, should all three be killed.
    ///
    /// Differs: in the original it is lost with them.
    pipe: Option<File>,
    /// When to look for that pipe, which a runsv makes at its start.
    pipe_due: Option<Instant>,
    started: Instant,
    respawn: Respawn,
    not_before: Option<Instant>,
    /// Since when it has been waited for, a directory that is still being filled.
    settles_since: Option<Instant>,
    /// Runsvs of it that were killed, and have left something that is in their sessions, whoever supervises it now.
    killed: Vec<i32>,
    /// It vanished; its runsv was told to exit.
    leaving: bool,
    seen: bool,
}

impl Known {
    fn new(identity: Identity, name: OsString, pid: i32, started: Instant) -> Known {
        Known {
            identity,
            name,
            pid,
            found: None,
            pipe: None,
            pipe_due: Some(started),
            started,
            respawn: Respawn::default(),
            not_before: None,
            settles_since: None,
            killed: Vec::new(),
            leaving: false,
            seen: false,
        }
    }

    /// Whether a runsv is there.
    fn is_supervised(&self) -> bool {
        self.pid != 0 || self.found.is_some()
    }
}

struct Tree {
    speaker: Speaker,
    /// The command line, as this program was given it.
    arguments: Vec<OsString>,
    /// Which of them is LOG.
    log_argument: Option<usize>,
    directory: PathBuf,
    sessions: bool,
    poller: Poller,
    signals: Signals,
    mask: InheritedMask,
    watches: Watches,
    /// What is mounted, never read: it tells when that changes. None without /proc.
    _mounts: Option<File>,
    /// What the services directory was at the last look.
    identity: Option<Identity>,
    title: Option<TitleLog>,
    /// `runsv NAME`, looked for in the order of PATH.
    runsv: Argv,
    services: Vec<Known>,
    /// What is in the services directory, as far as it could be looked at.
    entries: HashMap<OsString, Entry>,
    /// What was complained of at the last look, so that it is said once.
    complaints: HashSet<Vec<u8>>,
    /// Everything is to be looked at.
    scan_is_due: bool,
    /// Entries that are to be looked at.
    changed: Vec<OsString>,
    scanned_once: bool,
    /// The kernel does not tell of every change, or the services directory was not understood.
    must_poll: bool,
    next_poll: Instant,
    /// Something could not be read: when to look at everything again.
    look_again: Option<Instant>,
    stop_deadline: Option<Duration>,
    strays: Strays,
    /// The soft limit of descriptors for what is started, where this process has raised its own: it may hold some for
    /// each service.
    soft_limit: Option<u64>,
    /// Descriptors from this number on are not for pipes.
    most_held: u64,
    /// The lock of the services directory, and which directory that is.
    lock: Option<(Identity, File)>,
    /// This shall become its program anew, as soon as it is at rest.
    upgrade_is_due: bool,
    /// This is an upgrade, and the supervisors that were there before, children of this process, are not told yet.
    passes_upgrade_on: Option<HashSet<i32>>,
}

impl Tree {
    fn new(invocation: Invocation, speaker: Speaker, mut handed: Option<Handed>) -> Result<Tree, Failure> {
        let try_to = |deed, error| Failure::new(deed, "", error);
        memory::keep_reserve();
        let arguments = start::arguments();
        let wanted = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGCHLD, Signal::SIGUSR2];
        // If they were ignored, as by nohup(1), what is started shall not find them so.
        wanted.into_iter().for_each(process::default_action);
        let stop_deadline = process::take_variable(STOP_DEADLINE).and_then(|text| {
            let read = humantime::parse_duration(text.to_str().unwrap_or_default());
            if read.is_err() {
                speaker.warn_failure(&Failure::new("read", STOP_DEADLINE, io::Error::from(Errno::EINVAL)));
            }
            read.ok().map(|deadline| deadline.min(seconds::LONGEST))
        });
        if stop_deadline.is_some() {
            process::adopt_orphans().map_err(|error| try_to("become subreaper", error))?;
        }
        let (signals, mask) = Signals::take(&wanted).map_err(|error| try_to("take signals", error))?;
        let mask = handed.as_ref().map_or(mask, |handed| handed.mask);
        let poller = Poller::new(EVENTS).map_err(|error| try_to("create event queue", error))?;
        poller.watch(&signals, SIGNALS).map_err(|error| try_to("watch signals", error))?;
        let watcher = Watcher::new().and_then(|watcher| poller.watch(&watcher, CHANGES).map(|()| watcher));
        let watcher = match watcher {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                speaker.warn_failure(&Failure::new("watch for changes, looking every 5s", "", error));
                None
            }
        };
        let mounts = File::open("/proc/self/mountinfo").ok();
        let mounts = mounts.filter(|mounts| poller.watch_oddities(mounts, MOUNTS).is_ok());
        let is_upgrade = handed.is_some();
        let mut held = |name: &str| handed.as_mut().and_then(|handed| handed.file(name));
        let title = invocation.log.and_then(|index| TitleLog::start(index, held("title"), &speaker));
        if let Some(title) = &title {
            poller.watch(title.as_fd(), TITLE).map_err(|error| try_to("watch log", error))?;
        }
        let directory = PathBuf::from(invocation.directory);
        let services = if is_upgrade { upgrade::own_children(&directory) } else { Vec::new() };
        let passes_upgrade_on = is_upgrade.then(|| services.iter().map(|known| known.pid).collect());
        let lock = held("lock").and_then(|lock| Some((Identity::of(&lock.metadata().ok()?), lock)));
        let (soft, raised) = (limit::open_files(), limit::raise_open_files());
        let files = lookup::candidates("runsv".as_ref(), std::env::var_os("PATH").as_deref());
        let runsv = Argv::new(["runsv", ""]).and_then(|argv| argv.looked_for(&files));
        let runsv = runsv.map_err(|error| try_to("prepare runsv", error))?;
        let now = clock::now();
        Ok(Tree {
            speaker,
            arguments,
            log_argument: invocation.log,
            directory,
            sessions: invocation.sessions,
            poller,
            signals,
            mask,
            watches: Watches::new(watcher),
            _mounts: mounts,
            identity: None,
            title,
            runsv,
            services,
            entries: HashMap::new(),
            complaints: HashSet::new(),
            scan_is_due: true,
            changed: Vec::new(),
            scanned_once: false,
            must_poll: false,
            next_poll: now,
            look_again: None,
            stop_deadline,
            strays: Strays::default(),
            soft_limit: (soft < raised).then_some(soft),
            most_held: raised / 2,
            lock,
            upgrade_is_due: false,
            passes_upgrade_on,
        })
    }

    /// The loop; gives the exit code.
    fn run(mut self) -> u8 {
        if self.passes_upgrade_on.is_some() {
            // Those that it had found are found again before they are to be told anything.
            self.scan();
            self.start_due();
        }
        loop {
            // First: what shall end starts nothing.
            if let Some(exit) = self.handle_signals() {
                return exit;
            }
            self.scan_is_due |= self.must_poll && self.next_poll <= clock::now();
            if self.scan_is_due || !self.changed.is_empty() {
                self.scan();
            }
            let next = self.start_due();
            self.strays.kill_due(clock::now());
            if let Some(before) = self.passes_upgrade_on.take() {
                self.pass_upgrade_on(&before);
            }
            if self.upgrade_is_due && self.is_at_rest() {
                self.upgrade();
            }
            if let Some(title) = &mut self.title {
                title.keep_alive(clock::now());
            }
            self.wait(next);
        }
    }

    /// Waits for the next event, at most until `next`.
    fn wait(&mut self, next: Option<Instant>) {
        let poll = self.must_poll.then_some(self.next_poll);
        let dot = self.title.as_ref().map(TitleLog::next_dot);
        let now = clock::now();
        let deadline = [next, poll, dot, self.look_again, self.strays.deadline()].into_iter().flatten().min();
        let complain = |error| self.speaker.warn_failure(&Failure::new("wait for events", "", error));
        if !self.poller.wait_anyhow(deadline.map(|at| at.saturating_duration_since(now)), complain) {
            self.look_again = Some(now);
        }
        if self.poller.ready().any(|key| key == TITLE)
            && let Some(title) = &mut self.title
        {
            title.take();
        }
        if self.poller.ready().any(|key| key == CHANGES) {
            self.take_changes();
        }
        if self.poller.ready().any(|key| key == MOUNTS) {
            let found = fs::metadata(&self.directory).ok();
            self.scan_is_due |= found.map(|found| Identity::of(&found)) != self.identity;
        }
        let found: Vec<usize> = self.poller.ready().filter(|key| *key >= FOUND).collect();
        if !found.is_empty() {
            self.lose_found(|control| found.contains(&key_of(control)));
        }
    }

    /// What the signals ask for; an exit code when it is time to go.
    fn handle_signals(&mut self) -> Option<u8> {
        if self.look_again.take_if(|at| *at <= clock::now()).is_some() {
            self.reap();
            self.lose_found(|_| true);
            self.take_changes();
            self.scan_is_due = true;
        }
        loop {
            let signal = match self.signals.next() {
                Ok(Some(signal)) => signal,
                Ok(None) => break,
                Err(_) => {
                    self.look_later();
                    break;
                }
            };
            match signal {
                Signal::SIGCHLD => self.reap(),
                Signal::SIGALRM => self.scan_is_due = true,
                Signal::SIGUSR2 => {
                    self.upgrade_is_due = true;
                    self.take_changes(); // what was done before it is seen before it
                }
                Signal::SIGTERM | Signal::SIGHUP => return Some(self.leave(signal)),
                _ => {}
            }
        }
        None
    }

    /// Whether a signal has come.
    fn has_signals(&self) -> bool {
        fd::is_readable(self.signals.as_fd()).unwrap_or(false)
    }

    /// What could not be read will not be told again: everything is looked at in a second.
    fn look_later(&mut self) {
        self.look_again = clock::now().checked_add(respawn::PAUSE);
    }

    /// TERM or HUP: as the original, unless an ordered stop was asked for.
    fn leave(&mut self, signal: Signal) -> u8 {
        let exit = if signal == Signal::SIGTERM { EXIT_TERM } else { EXIT_HANGUP };
        let Some(deadline) = self.stop_deadline else {
            if signal == Signal::SIGHUP {
                for known in &self.services {
                    let _ = self.tell_to_exit(known);
                }
            }
            return exit;
        };
        let (mut runsvs, mut found, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for known in &mut self.services {
            let directory = self.directory.join(&known.name);
            match known.found.take() {
                Some(control) => found.push((foreign::place_of(&control, directory), control)),
                None if known.pid != 0 => runsvs.push((known.pid, directory)),
                None => others.push(directory),
            }
        }
        let stop = Stop::new(runsvs, found, others, deadline, &self.speaker);
        if stop.carry_out(&mut self.poller, &self.signals) { exit } else { EXIT_HANGUP }
    }

    /// Tells a runsv to exit; false when that failed. One that was found is told only if it is no other runsvdir's.
    fn tell_to_exit(&self, known: &Known) -> bool {
        if known.pid != 0 {
            return process::send(known.pid, Signal::SIGTERM).is_ok();
        }
        if let Some(mut control) = known.found.as_ref().filter(|_| self.lock.is_some()) {
            let directory = foreign::place_of(control, self.directory.join(&known.name));
            if !foreign::is_anothers(&Probe::new(directory)) {
                let _ = control.write(&[Control::Exit.byte()]); // its directory may have gone: no path leads there
            }
        }
        true
    }

    /// The control FIFO of a runsv that somebody else started, if there is one: its end will be told.
    ///
    /// Differs: the original starts another one, which fails at the lock, and so on every second.
    fn find(&self, service: &Probe) -> Option<File> {
        let control = service.open_control().ok()?;
        let is_fifo = control.metadata().is_ok_and(|found| found.file_type().is_fifo());
        (is_fifo && self.poller.watch(&control, key_of(&control)).is_ok()).then_some(control)
    }

    /// Takes note of the end of runsvs that were found, as far as it `may_be` told by their control FIFOs.
    fn lose_found(&mut self, may_be: impl Fn(&File) -> bool) {
        // Those that were told to exit stay away for a moment, as any other does.
        let not_before = clock::now().checked_add(respawn::PAUSE);
        let mut ended = Vec::new();
        for known in &mut self.services {
            if known.found.as_ref().is_some_and(|control| may_be(control) && fd::is_broken(control.as_fd())) {
                known.found = None;
                known.not_before = not_before;
                ended.push(known.name.clone());
            }
        }
        self.forget_vanished();
        ended.into_iter().for_each(|name| self.look_at(name));
    }

    fn reap(&mut self) {
        let now = clock::now();
        let mut is_any_killed = false;
        while let Some((pid, status)) = self.next_end() {
            let Some(at) = self.services.iter().position(|known| known.pid == pid) else { continue };
            self.look_at(self.services[at].name.clone()); // it may have ended because its directory is gone
            let known = &mut self.services[at];
            known.pid = 0;
            let (respawn, pause) = known.respawn.died_after(now.saturating_duration_since(known.started));
            known.respawn = respawn;
            // One that was told to exit stays away for a moment, so that whoever told it can see that it went.
            let pause = if status.success() { pause.max(respawn::PAUSE) } else { pause };
            known.not_before = Some(now + pause);
            // One that was killed has not ended its service.
            if status.success() {
                known.killed.clear();
            } else if self.sessions && self.stop_deadline.is_some() {
                known.killed.push(pid);
                is_any_killed = true;
            }
            if known.leaving {
                let known = self.services.swap_remove(at);
                self.end_what_is_left(known);
            }
        }
        if is_any_killed {
            strays::retain_in_use(self.services.iter_mut().map(|known| &mut known.killed));
        }
    }

    /// The next child that has ended, reaped, and how.
    fn next_end(&mut self) -> Option<(i32, ExitStatus)> {
        process::reap(-1).unwrap_or_else(|error| {
            if error.raw_os_error() != Some(Errno::ECHILD as i32) {
                self.look_later();
            }
            None
        })
    }

    /// Services that have vanished, and whose runsvs have gone, are none any more.
    fn forget_vanished(&mut self) {
        for vanished in
            self.services.extract_if(.., |known| known.leaving && !known.is_supervised()).collect::<Vec<_>>()
        {
            self.end_what_is_left(vanished);
        }
    }

    /// Ends what there still is of a service that has vanished, as far as it is this process's.
    fn end_what_is_left(&mut self, vanished: Known) {
        if !vanished.killed.is_empty() {
            self.strays.take(vanished.killed, vanished.pipe, clock::now());
        }
    }

    /// Starts every runsv that is due, and says when the next one is.
    fn start_due(&mut self) -> Option<Instant> {
        let now = clock::now();
        let mut next: Option<Instant> = None;
        let mut opened = None;
        let is_going = |other: &Known| other.leaving && other.is_supervised();
        let going: HashSet<OsString> =
            self.services.iter().filter(|other| is_going(other)).map(|other| other.name.clone()).collect();
        for at in 0..self.services.len() {
            let known = &self.services[at];
            let is_wanted = !known.is_supervised() && !known.leaving && !going.contains(&known.name);
            let starts = is_wanted && known.not_before.is_none_or(|at| at <= now);
            if starts || known.pipe_due.is_some_and(|due| due <= now) {
                let services = opened.get_or_insert_with(|| Folder::go_to(&self.directory)).as_ref();
                self.keep_pipe(at, services, now);
                if starts {
                    self.start_at(at, services, now);
                    if at % STARTS == STARTS - 1 && self.has_signals() {
                        return Some(now); // first: what shall end starts nothing
                    }
                }
            }
            let known = &self.services[at];
            next = next.into_iter().chain(known.pipe_due).chain(known.not_before.filter(|_| is_wanted)).min();
        }
        next
    }

    /// Starts a runsv for service `at`, which has none, or notes in `not_before` when it may be.
    fn start_at(&mut self, at: usize, services: Result<&Folder, &io::Error>, now: Instant) {
        self.services[at].not_before = self.settles_at(&self.services[at], now);
        if self.services[at].not_before.is_some() {
            return;
        }
        let name = &self.services[at].name;
        // Usually there was none before.
        if services.is_ok_and(|services| may_be_supervised(services, name)) {
            let found = self.find(&Probe::new(self.directory.join(name)));
            let known = &mut self.services[at];
            known.found = found;
            known.pipe_due = Some(now);
            self.keep_pipe(at, services, now);
            if self.services[at].found.is_some() {
                return;
            }
        }
        let known = &self.services[at];
        let started = match services {
            Ok(services) => self
                .runsv
                .set_word(1, &known.name)
                .and_then(|()| self.start(known, services.as_fd()))
                .tried("fork for", &known.name),
            Err(error) => {
                Err(Errno::from_raw(error.raw_os_error().unwrap_or(0))).tried("change directory to", &self.directory)
            }
        };
        let known = &mut self.services[at];
        known.started = now;
        match started {
            Ok(pid) => {
                known.pid = pid;
                if known.pipe.is_none() {
                    known.pipe_due = Some(now + PIPE_PAUSE);
                }
                known.settles_since = None;
            }
            Err(failure) => {
                let (respawn, pause) = known.respawn.died_after(Duration::ZERO);
                known.respawn = respawn;
                known.not_before = Some(now + pause);
                self.speaker.warn_failure(&failure);
            }
        }
    }

    /// Opens the pipe of a service if that is due. Without a log service there is none.
    fn keep_pipe(&mut self, at: usize, services: Result<&Folder, &io::Error>, now: Instant) {
        let known = &mut self.services[at];
        if known.pipe_due.take_if(|due| *due <= now).is_none() {
            return;
        }
        let pipe = services.ok().and_then(|services| open_pipe(services, &known.name));
        if let Some(pipe) = pipe.filter(|pipe| fd::is_below(pipe.as_fd(), self.most_held)) {
            known.pipe = Some(pipe);
        }
    }

    /// When to look again at a directory that is still being filled; None for one that can be taken.
    fn settles_at(&self, known: &Known, now: Instant) -> Option<Instant> {
        let since = known.settles_since?;
        let path = self.directory.join(&known.name);
        let changed = fs::metadata(&path).and_then(|found| found.modified()).ok();
        let age = changed.and_then(|changed| changed.elapsed().ok()).unwrap_or(Duration::MAX);
        let has_run = path.join("run").exists();
        settle::remaining(age, has_run, now.saturating_duration_since(since)).map(|rest| now + rest)
    }

    /// Starts `self.runsv`, which is for this service.
    fn start(&self, known: &Known, directory: BorrowedFd<'_>) -> io::Result<i32> {
        let lower = || self.soft_limit.into_iter().for_each(limit::set_open_files);
        let spawn = Spawn {
            argv: &self.runsv,
            directory: Some(Directory::Open(directory)),
            stdin: None,
            stdout: None,
            session: self.sessions,
            group: false,
            mask: self.mask,
            last: Some(&lower),
        };
        let child = spawn.start_unwatched(|_, error| {
            let mut what = OsString::from("runsv ");
            what.push(&known.name);
            self.speaker.fatal(Failure::new("start", what, error).text());
        })?;
        Ok(child.pid())
    }
}

/// How many bytes a LOG argument must have.
const SHORTEST_LOG: usize = 7;

/// The memory of LOG, if it is long enough.
fn log_memory(index: usize, speaker: &Speaker) -> Option<title_memory::Title> {
    let length = start::arguments().get(index).map_or(0, |log| log.len());
    if length < SHORTEST_LOG {
        speaker.warn("log must have at least seven characters.");
        speaker.warn("log service disabled.");
        return None;
    }
    match title_memory::Title::of_argument(index) {
        Ok(title) => Some(title),
        Err(error) => {
            speaker.warn_failure(&Failure::new("find log argument", "", error));
            speaker.warn("log service disabled.");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Option<(bool, String, Option<usize>)> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Invocation::read(&args).map(|it| (it.sessions, it.directory.into_string().unwrap(), it.log))
    }

    #[test]
    fn arguments_are_read_as_the_original_reads_them() {
        assert_eq!(read(&["d"]), Some((false, "d".into(), None)));
        assert_eq!(read(&["-P", "d", "log: ..."]), Some((true, "d".into(), Some(3))));
        assert_eq!(read(&["-Pfoo", "d"]), Some((true, "d".into(), None)));
        assert_eq!(read(&["--", "d", "l"]), Some((false, "d".into(), Some(3))));
        assert_eq!(read(&["-x", "l"]), Some((false, "-x".into(), Some(2))));
        assert_eq!(read(&["-P"]), None);
        assert_eq!(read(&[]), None);
    }
}
