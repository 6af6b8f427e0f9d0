//! runsv: supervises one service and, if there is one, its log service.
//!
//! The loop waits for the next control byte, death, signal or deadline, asks [`crate::model::pair`] what to do, and
//! does it. It never blocks and never sleeps; once it runs, no error ends it. Should it be killed all the same, the
//! next one goes on with what runs.

mod files;
mod leftovers;
mod orders;
mod reasons;
mod stall;
mod successor;
mod upgrade;

use std::ffi::{CStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;

use crate::cli::{self, Arg, HELP, Synopsis, Usage, VERSION};
use crate::handover::Handed;
use crate::model::control::{self, Control};
use crate::model::note::{Kind, Note, Place, Record};
use crate::model::pair::{Joint, Pair, Who, control_event};
use crate::model::reason::{Cause, Reasons};
use crate::model::service::{Action, Death, Event, Hooked, Role, Service};
use crate::model::status::{self, Status, Want};
use crate::model::tai::Label;
use crate::msg::{self, Failure, Speaker, Tried as _};
use crate::supervise::{self, Home, Locked, Notes, Pipe};
use crate::sys::poll::{self, Patience};
use crate::sys::process::{self, Addressee, Argv, Directory, Orphan, Spawn, Step};
use crate::sys::signal::{InheritedMask, SigSet, Signal, Signals};
use crate::sys::{clock, file, memory};

use files::Look;
use leftovers::Leftovers;
use orders::has_own_group;
use stall::Overflow;
use successor::{Found, Moment, Process};

/// Wrong arguments. Source: runit 2.3.0, src/runsv.c.
pub const EXIT_USAGE: u8 = 1;
/// An error at the start. Source: runit 2.3.0, src/runsv.c.
pub const EXIT_FATAL: u8 = 111;

/// The first pause after records could not be written; it doubles up to [`LONGEST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// So many ends are taken at a time, so that a service that makes short-lived children without end leaves time for
/// commands.
const MOST_ENDS: usize = 64;

/// So often a control FIFO is read at a time, so that whoever writes without end leaves time for deaths and signals. As
/// many commands as that, a thousand, come before a TERM of the same moment.
const MOST_READS: u32 = 16;

/// So much of the stack takes whatever is done often, without a start: bytes.
const ROOM: usize = 2816;

const ARGUMENTS: &str = "dir";

/// What runsv takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "runsv",
    about: "Supervise one service and its log service.",
    usage: ARGUMENTS,
    groups: &[
        ("Arguments", &[Arg::operand("dir", "The service directory, with an executable ./run in it")]),
        ("Options", &[HELP, VERSION]),
    ],
};

/// How runsv, called as `program`, is used.
pub fn usage(program: OsString) -> Usage {
    Usage::new(program, ARGUMENTS, EXIT_USAGE)
}

/// Supervises the service in `directory` until it is told to exit.
pub fn run(directory: OsString) -> u8 {
    let speaker = Speaker::of("runsv", &directory).of_supervisor();
    match Supervisor::new(directory, &speaker) {
        Ok(supervisor) => supervisor.run(),
        Err(failure) => {
            speaker.fatal(failure.text());
            EXIT_FATAL
        }
    }
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Signals,
    Control(Who),
    Process(Who),
    Hook,
    Pipe,
}

impl Source {
    /// In the order in which they are taken.
    const ALL: [Source; 7] = [
        Source::Process(Who::Main),
        Source::Process(Who::Log),
        Source::Hook,
        Source::Control(Who::Main),
        Source::Control(Who::Log),
        Source::Pipe,
        Source::Signals,
    ];
}

/// What a wait came to.
struct Ready {
    /// Which of [`Source::ALL`].
    sources: [bool; Source::ALL.len()],
    /// Not everything was told: it is looked at.
    must_look: bool,
}

impl Ready {
    fn sources(&self) -> impl Iterator<Item = Source> {
        Source::ALL.into_iter().zip(self.sources).filter_map(|(source, is_ready)| is_ready.then_some(source))
    }
}

/// One of the two services, as far as the world outside the model goes.
struct Side {
    home: Home,
    run: Argv,
    since: Moment,
    process: Option<Process>,
    /// How its process ended, until that was dealt with.
    end: Option<Death>,
    /// There may be more in the control FIFO, which may be read so often before others have their turn.
    reads_left: u32,
    /// Control bytes that were read and not yet obeyed.
    inbox: Inbox,
    /// A record that is noted and not yet written: the next may come at once.
    owed: Option<Record>,
    /// When to try again to write the records, and the pause before that.
    retry: Option<(Instant, Duration)>,
    reasons: Reasons,
}

/// A few bytes, first in, first out.
struct Inbox {
    bytes: [u8; 64],
    start: usize,
    end: usize,
}

/// The log pipe. Both ends stay open here, so that nothing is lost while either side is restarted.
struct LogPipe {
    place: Pipe,
    reading: File,
    /// None once the service is gone for good and the log service shall see the end.
    writing: Option<File>,
}

struct Supervisor {
    speaker: Speaker,
    /// As it was named to this program.
    directory: OsString,
    patience: Patience,
    signals: Signals,
    /// The signals could not be read: they wait for the look at everything.
    is_deaf: bool,
    mask: InheritedMask,
    pair: Pair,
    main: Side,
    log: Option<Box<Side>>,
    pipe: Option<LogPipe>,
    /// None where there is no log pipe, or only for others.
    overflow: Option<Overflow>,
    hook: Option<Process>,
    /// Which hook was started last, and which one's trouble is the reason that is shown.
    hook_is: Option<Control>,
    bad_hook: Option<Control>,
    /// How the hook ended, until that was dealt with.
    hook_end: Option<Death>,
    leftovers: Leftovers,
    /// None where they could not be opened.
    notes: Option<Notes>,
    /// More children have ended than were reaped so far.
    must_reap: bool,
    /// When to look whether `supervise/` is whole.
    look: Look,
    /// This shall become its program anew, as soon as it is at rest.
    upgrade_is_due: bool,
    /// Something could not be read, or not be waited for: when to look at everything again.
    look_again: Option<Instant>,
}

impl Supervisor {
    /// Takes the locks, opens the FIFOs and writes the first records, in the original's order; what was handed over is
    /// held already.
    #[inline(never)] // nor is [`Supervisor::answer`]: the loop waits on a stack as low as can be
    fn new(directory: OsString, speaker: &Speaker) -> Result<Box<Supervisor>, Failure> {
        let place = Box::new_uninit(); // before anything else: so it is with what else is used all the time
        memory::keep_reserve();
        let mut handed = Handed::take();
        process::default_action_of_ends(); // inherited as ignored, no death would ever be told
        process::default_action(Signal::SIGTERM); // for what is started
        // SIGXFSZ would end it; so the write fails, and that is said.
        let taken = [Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGIO, Signal::SIGXFSZ];
        let (signals, mask) = Signals::take(&taken).tried("create selfpipe", "")?;
        if let Err(error) = process::adopt_orphans() {
            speaker.warn_failure(&Failure::new("become subreaper", "", error));
        }
        let mask = handed.as_ref().map_or(mask, |handed| handed.mask);
        let is_upgrade = handed.is_some();
        let mut held = |name: &str| handed.as_mut().and_then(|handed| handed.file(name));
        if !is_upgrade {
            std::env::set_current_dir(&directory).tried("change to directory", "")?;
        }
        let world = supervise::world();
        let lock = |place: Place, held: Option<File>| match held {
            Some(lock) => Ok(Locked::held(place, lock)),
            None => Locked::take(place, world.as_ref().ok().copied()).inspect_err(|failure| {
                if failure.reason().kind() == io::ErrorKind::WouldBlock
                    && let Some(holder) = Locked::holder(place)
                {
                    speaker.say(msg::Severity::Info, holder);
                }
            }),
        };
        let main_lock = lock(Place::Main, held("lock"))?;
        let log_held = held("log/lock");
        let has_log = if is_upgrade { log_held.is_some() } else { has_log_directory(speaker) };
        let log_lock = if has_log { Some(lock(Place::Log, log_held)?) } else { None };
        let notes = world.and_then(|world| main_lock.open_notes(world));
        let mut notes = notes.inspect_err(|failure| speaker.warn_failure(failure)).ok();
        let left = |place, lock: &Locked, down| {
            let book = notes.as_ref().and_then(Notes::left)?;
            // A death before an upgrade was answered; one that was not seen is seen yet.
            let has_finish = !is_upgrade && has_finish();
            Some(Found::of(book, place, lock.last_record(), unrecorded(down), has_finish))
        };
        let mut main_left = left(Place::Main, &main_lock, "down");
        let log_left = log_lock.as_ref().and_then(|lock| left(Place::Log, lock, "log/down"));
        let hook = notes.as_ref().and_then(Notes::left).and_then(|book| successor::find(&book.note(Place::Hook)?));
        let nothing_runs =
            hook.is_none() && [&main_left, &log_left].into_iter().flatten().all(|it| it.process.is_none());
        if let Some(found) = main_left.as_mut().filter(|it| nothing_runs && it.left.want == Want::Exit) {
            found.left.want = unrecorded("down").want; // they all ended, and so did what they were told
        }
        let pipe = match &log_lock {
            Some(_) => Some(LogPipe::open(main_lock.pipe(), held("pipe/reading"), held("pipe/writing"))?),
            None => None,
        };

        let now = clock::now();
        let service = |role, found: &Option<Found>, down: &str| match found {
            Some(found) => Service::resumed(role, found.left, now),
            None => Service::new(role, file_is_missing(Path::new(down))),
        };
        let main = service(Role::Main, &main_left, "down");
        let main = if hook.is_some() { main.behind_a_hook(now) } else { main };
        let pair = Pair::resumed(main, log_lock.as_ref().map(|_| service(Role::Log, &log_left, "log/down")));

        let mut main = Side::new(main_lock.open_control(held("control"))?, main_left)?;
        if let Some(notes) = &mut notes {
            notes.begin().unwrap_or_else(|failure| speaker.warn_failure(&failure));
        }
        main.announce(&pair, Who::Main, notes.as_ref(), speaker);
        let mut log = match log_lock {
            Some(lock) => Some(Box::new(Side::new(lock.open_control(held("log/control"))?, log_left)?)),
            None => None,
        };
        if let Some(log) = &mut log {
            log.announce(&pair, Who::Log, notes.as_ref(), speaker);
        }
        for (side, name) in [(Some(&mut main), "ok"), (log.as_deref_mut(), "log/ok")] {
            if let Some(side) = side
                && let Some(oddity) = side.home.open_ok(held(name))?
            {
                speaker.warn(oddity.text());
            }
        }
        Ok(Box::write(
            place,
            Supervisor {
                speaker: speaker.clone(),
                directory,
                patience: Patience::default(),
                signals,
                is_deaf: false,
                mask,
                pair,
                main,
                log,
                pipe,
                overflow: None,
                hook,
                hook_end: None,
                hook_is: None,
                bad_hook: None,
                leftovers: Leftovers::new(is_upgrade),
                notes,
                must_reap: is_upgrade,
                look: if is_upgrade { Look::soon() } else { Look::default() },
                upgrade_is_due: false,
                look_again: None,
            },
        ))
    }

    fn run(self: Box<Self>) -> u8 {
        memory::with_room(ROOM, || self.serve())
    }

    #[inline(never)]
    fn serve(mut self: Box<Self>) -> u8 {
        self.begin();
        while !self.settle() {
            if self.upgrade_is_due && self.is_at_rest() {
                self.upgrade();
            }
            self.listen();
            let ready = self.wait();
            self.answer(ready);
        }
        self.leave();
        std::mem::forget(self); // the kernel closes everything at once
        cli::EXIT_SUCCESS
    }

    #[inline(never)]
    fn begin(&mut self) {
        self.go_on_with_what_was_left();
        self.open_overflow();
        for who in [Who::Log, Who::Main] {
            self.apply(who, Event::Tick);
            self.publish(who); // it may not be started after all
        }
    }

    /// Waits for the next events; everything is ready where they cannot be told.
    fn wait(&mut self) -> Ready {
        let (timeout, speaker) = (self.timeout(), &self.speaker);
        let complain = |error| speaker.warn_failure(&Failure::new("wait for events", "", error));
        memory::rest();
        let found = poll::wait(self.descriptors(), timeout);
        let found = self.patience.with(found, timeout, complain);
        if found.is_none() {
            self.look_again = Some(clock::now());
        }
        let look_again = self.look_again.take_if(|at| *at <= clock::now()).is_some();
        let must_look = self.must_look() || look_again;
        Ready { sources: found.filter(|_| !must_look).unwrap_or([true; Source::ALL.len()]), must_look }
    }

    /// What tells of each of [`Source::ALL`]. None where nothing is to be told.
    fn descriptors<'a>(&'a self) -> [Option<BorrowedFd<'a>>; Source::ALL.len()] {
        // What could not be read waits for the look at everything.
        let control = |side: &'a Side, who| {
            let is_heard = self.pair.get(who).is_some_and(Service::takes_commands);
            let has_failed = side.reads_left > 0 && self.look_again.is_some();
            (is_heard && !has_failed).then(|| side.home.as_fd())
        };
        fn process(process: &Option<Process>) -> Option<BorrowedFd<'_>> {
            process.as_ref().and_then(Process::found).and_then(Orphan::pidfd)
        }
        Source::ALL.map(|source| match source {
            Source::Process(Who::Main) => process(&self.main.process),
            Source::Process(Who::Log) => process(&self.log.as_deref()?.process),
            Source::Hook => process(&self.hook),
            Source::Control(who @ Who::Main) => control(&self.main, who),
            Source::Control(who @ Who::Log) => control(self.log.as_deref()?, who),
            Source::Pipe => self.overflow.as_ref()?.told_by(),
            Source::Signals => (!self.is_deaf).then(|| self.signals.as_fd()),
        })
    }

    /// Whether a process runs whose end will not be told.
    fn must_look(&self) -> bool {
        let processes =
            [self.main.process.as_ref(), self.log.as_deref().and_then(|log| log.process.as_ref()), self.hook.as_ref()];
        processes.into_iter().flatten().filter_map(Process::found).any(|orphan| orphan.pidfd().is_none())
    }

    #[inline(never)]
    fn answer(&mut self, ready: Ready) {
        // Deaths first, then commands, then a TERM, which no command of the same moment shall take back.
        let mut signals = SigSet::empty();
        if ready.sources().any(|source| source == Source::Signals) {
            self.is_deaf = self.signals.arrived(&mut signals).is_err();
            if self.is_deaf {
                self.look_later();
            }
        }
        let must_reap = signals.contains(Signal::SIGCHLD) || ready.must_look || self.must_reap;
        if must_reap {
            self.reap_children();
        }
        ready.sources().for_each(|source| self.take(source));
        self.bury(must_reap);
        self.obey(Who::Main);
        self.obey(Who::Log);
        if signals.contains(Signal::SIGIO) {
            self.look_soon();
        }
        if signals.contains(Signal::SIGTERM) {
            self.apply(Who::Main, Event::Control(Control::Exit));
        }
        self.keep_deadlines();
    }

    /// The last things, once nothing is left to do.
    #[inline(never)]
    fn leave(&mut self) {
        self.main.forget_reasons();
        self.log.iter_mut().for_each(|log| log.forget_reasons());
        self.keep_unread();
        [Some(&self.main), self.log.as_deref()].into_iter().flatten().for_each(|side| side.home.leave());
        if let Some(notes) = &self.notes {
            notes.close().unwrap_or_else(|failure| self.speaker.warn_failure(&failure));
        }
    }

    /// Carries out what a supervisor before this one did not come to.
    fn go_on_with_what_was_left(&mut self) {
        if let Some(log) = self.log.as_deref().and_then(|log| log.process.as_ref()).map(Process::pid) {
            self.leftovers.spare_group_of(log);
        }
        for who in [Who::Main, Who::Log] {
            if let Some(control) = self.pair.get(who).and_then(Service::unfinished) {
                self.apply(who, Event::Control(control));
            }
            let limit = self.pair.get(who).and_then(Service::limit_under_way);
            if let Some(limit) = limit.and_then(|limit| self.limit(who, limit)) {
                self.apply(who, Event::Limit(limit));
            }
        }
    }

    /// How long the next wait may be; None is for ever.
    #[inline(never)]
    fn timeout(&self) -> Option<Duration> {
        let now = clock::now();
        let retry = |side: &Side| side.retry.map(|(at, _)| at);
        let deadlines = [self.pair.deadline(), retry(&self.main), self.log.as_deref().and_then(retry)];
        let look = self.must_look().then(|| now + FIRST_RETRY);
        let reap = self.must_reap.then_some(now);
        let others = [look, reap, self.look_again, self.look.at(), self.overflow_deadline()];
        deadlines.into_iter().chain(others).flatten().min().map(|at| at.saturating_duration_since(now))
    }

    /// Takes what a source has.
    fn take(&mut self, source: Source) {
        let has_ended = |process: Option<&Process>| process.and_then(Process::found).is_some_and(Orphan::has_ended);
        match source {
            Source::Signals => {}
            Source::Pipe => self.look_at_pipe(),
            Source::Control(who) => {
                if let Some(side) = self.side(who) {
                    side.reads_left = MOST_READS;
                }
            }
            Source::Process(who) => {
                if let Some(side) = self.side(who).filter(|side| has_ended(side.process.as_ref())) {
                    side.end = Some(Death::Unseen);
                }
            }
            Source::Hook => {
                if has_ended(self.hook.as_ref()) {
                    self.hook_end = Some(Death::Unseen);
                }
            }
        }
    }

    /// Reaps children that have ended: those that were started here, and what these left to this process.
    #[inline(never)]
    fn reap_children(&mut self) {
        self.must_reap = false;
        for _ in 0..MOST_ENDS {
            match process::reap(-1) {
                Ok(Some((pid, status))) => self.note_end(Some(pid), Death::of(status)),
                Ok(None) => return,
                Err(error) => {
                    if error.raw_os_error() == Some(Errno::ECHILD as i32) {
                        self.leftovers.may_be_there(false);
                        // Not ours any more: they are gone all the same.
                        self.note_end(None, Death::Exited(process::EXIT_NOT_STARTED as u8));
                    } else {
                        self.look_later();
                    }
                    return;
                }
            }
        }
        self.must_reap = true;
    }

    /// Notes the end of the child `pid`, or of every child that was started here.
    fn note_end(&mut self, pid: Option<i32>, death: Death) {
        if let Some(pid) = pid {
            self.leftovers.ended(pid);
        }
        let is_it = |process: &Option<Process>| process.as_ref().is_some_and(|process| process.is_own(pid));
        for side in [Some(&mut self.main), self.log.as_deref_mut()].into_iter().flatten() {
            if is_it(&side.process) && side.end.is_none() {
                side.end = Some(death);
            }
        }
        if is_it(&self.hook) && self.hook_end.is_none() {
            self.hook_end = Some(death);
        }
    }

    /// Deals with the ends that were noted, and if children were reaped with those of leftovers.
    #[inline(never)]
    fn bury(&mut self, has_reaped: bool) {
        for who in [Who::Main, Who::Log] {
            let Some(side) = self.side(who) else { continue };
            let Some(death) = side.end.take() else { continue };
            side.process = None;
            let has_finish = who == Who::Main && has_finish();
            if !has_finish {
                self.explain(who, Cause::Finish, None);
            }
            self.apply(who, Event::Died { death, has_finish });
        }
        if let Some(death) = self.hook_end.take() {
            self.hook = None;
            let outcome = if death == Death::Exited(0) { Hooked::Done } else { Hooked::Refused };
            self.apply(Who::Main, Event::HookEnded(outcome));
        }
        if has_reaped && self.pair.get(Who::Main).is_some_and(Service::waits_for_leftovers) {
            self.apply(Who::Main, Event::LeftoverEnded);
        }
    }

    /// Obeys control bytes as long as there are any and the service can take them.
    #[inline(never)]
    fn obey(&mut self, who: Who) {
        while self.pair.get(who).is_some_and(|service| service.takes_commands()) {
            let Ok(next) = self.side(who).map_or(Ok(None), Side::next_control_byte) else { return self.look_later() };
            let Some(byte) = next else { return };
            self.upgrade_is_due |= byte == control::UPGRADE;
            if let Some(event) = control_event(byte) {
                self.apply(who, event);
            }
            if who == Who::Log {
                self.excuse_log();
            }
        }
    }

    /// What could not be read will not be told again: it is looked at in a second.
    fn look_later(&mut self) {
        self.look_again = Some(clock::now() + FIRST_RETRY);
    }

    #[inline(never)]
    fn keep_deadlines(&mut self) {
        self.look_after_files();
        let now = clock::now();
        if self.pair.deadline().is_some_and(|deadline| deadline <= now) {
            self.apply(Who::Log, Event::Tick);
            self.apply(Who::Main, Event::Tick);
        }
        if self.overflow_deadline().is_some_and(|deadline| deadline <= now) {
            self.look_at_pipe();
        }
        for who in [Who::Main, Who::Log] {
            if self.side(who).is_some_and(|side| side.retry.is_some_and(|(at, _)| at <= now)) {
                self.publish(who);
            }
        }
    }

    /// Does what is due for both together; true when the supervisor is done.
    #[inline(never)]
    fn settle(&mut self) -> bool {
        loop {
            match self.pair.settle(clock::now()) {
                None => return false,
                Some(Joint::Quit) => return true,
                Some(Joint::CloseInput) => {
                    self.close_overflow();
                    if let Some(pipe) = &mut self.pipe {
                        pipe.writing = None;
                    }
                    self.apply(Who::Log, Event::InputEnded);
                }
                Some(Joint::ReopenInput) => match self.pipe.as_mut().map(LogPipe::reopen) {
                    None | Some(Ok(())) => {
                        self.explain(Who::Main, Cause::Waiting, None);
                        self.open_overflow();
                        self.pair = self.pair.reopened();
                        self.apply(Who::Log, Event::Tick);
                        self.apply(Who::Main, Event::Tick);
                    }
                    Some(Err(failure)) => {
                        if self.main.reasons.get(Cause::Waiting).is_none() {
                            self.speaker.warn_failure(&failure);
                        }
                        self.explain(Who::Main, Cause::Waiting, Some(&failure.text()));
                    }
                },
            }
        }
    }

    /// Steps the model and does what it says; a deed that fails is its next event.
    fn apply(&mut self, who: Who, event: Event) {
        let actions = self.pair.step(who, event, clock::now());
        for action in actions.iter() {
            if let Some(answer) = self.carry_out(who, action) {
                self.apply(who, answer);
                if answer == Event::NotStarted {
                    return self.write_owed(who); // the rest was about a process that is not there
                }
            }
        }
        self.write_owed(who);
        self.forget_reasons_of_rest(who);
    }

    #[inline(never)]
    fn carry_out(&mut self, who: Who, action: Action) -> Option<Event> {
        match action {
            Action::Publish | Action::Hook(_) => {} // without such a hook the next record follows at once
            Action::Kill(_) => self.write_newest(who), // whoever gets the signal can read why
            _ => self.write_owed(who),
        }
        match action {
            Action::Start => self.start(who, None),
            Action::StartFinish(death) => self.start(who, Some(death)),
            Action::Kill(signal) => {
                self.signal(who, signal);
                None
            }
            Action::Hook(_) if who == Who::Log => Some(Event::HookEnded(Hooked::Absent)),
            Action::Hook(control) => match self.look_for_hook(control) {
                Some(outcome) => Some(Event::HookEnded(outcome)),
                None => self.start_hook(control).map(Event::HookEnded),
            },
            Action::LookForLeftovers if who == Who::Log => Some(Event::Left(None)),
            Action::LookForLeftovers => Some(Event::Left(self.look_for_leftovers())),
            Action::NameLeftovers(fate) => {
                self.name_leftovers(fate);
                None
            }
            Action::EndLeftovers => {
                self.leftovers.end(&self.own());
                None
            }
            Action::EndLeftoversAgain => {
                self.end_leftovers_again();
                None
            }
            Action::KillLeftovers => {
                self.leftovers.kill(&self.own());
                None
            }
            Action::Limit(limit) => self.limit(who, limit).map(Event::Limit),
            Action::SayLimit(limit) => {
                self.say_limit(who, limit);
                None
            }
            Action::KillHook => {
                self.kill_hook();
                None
            }
            Action::Stamp => {
                let now = Moment::now();
                if let Some(side) = self.side(who) {
                    side.since = now;
                }
                None
            }
            Action::Publish => {
                self.owe(who);
                None
            }
            Action::SayPause(times, pause) => {
                self.say_pause(who, times, pause);
                None
            }
        }
    }

    #[inline(never)]
    fn kill_hook(&mut self) {
        if let Some(hook) = &self.hook {
            let _ = hook.signal(Signal::SIGKILL as i32, Addressee::Process);
            let text = "was killed: it took too long or was in the way";
            self.speaker.warn(format!("control hook {text}"));
            self.explain_killed_hook(text);
        }
    }

    #[inline(never)]
    fn say_pause(&mut self, who: Who, times: u8, pause: Duration) {
        let script = if who == Who::Main { "./run" } else { "./log/run" };
        let text = format!("{script} ended {times} times in a row within a second");
        let pause = humantime::format_duration(pause);
        self.speaker.warn(format!("{text}: next start in {pause}"));
        self.explain(who, Cause::Pause, Some(format!("{text}: pause of {pause}").as_bytes()));
    }

    /// Starts `run`, or `finish` after `death`.
    #[inline(never)]
    fn start(&mut self, who: Who, death: Option<Death>) -> Option<Event> {
        let finish = match death.map(Death::finish_arguments) {
            None => None,
            Some((code, status)) => match Argv::new(["./finish", &code, &status]) {
                Ok(argv) => Some(argv),
                Err(error) => return Some(self.not_started(who, Cause::Finish, error)),
            },
        };
        let side = match who {
            Who::Main => &self.main,
            Who::Log => self.log.as_deref()?,
        };
        let (name, set_up, directory) = match (who, &finish) {
            (Who::Main, None) => ("./run", "./run", None),
            (Who::Main, Some(_)) => ("./finish", "./finish", None),
            (Who::Log, _) => ("log/./run", "./log/run", Some(LOG)),
        };
        let (kind, program) = if death.is_some() { (Kind::Finish, "finish") } else { (Kind::Run, "run") };
        let record = self.pair.get(who).map(|service| side.record(service, None));
        let note = self.note(place_of(who), kind, record);
        let spawn = Spawn {
            argv: finish.as_ref().unwrap_or(&side.run),
            directory: directory.map(Directory::Path),
            stdin: self.pipe.as_ref().filter(|_| who == Who::Log).map(|pipe| pipe.reading.as_fd()),
            stdout: self.pipe.as_ref().filter(|_| who == Who::Main).and_then(LogPipe::writing),
            session: false,
            // Differs: the original's log service is in the group of its supervisor. What it leaves is told by that.
            group: who == Who::Log || has_own_group(who),
            mask: self.mask,
            last: Some(&note),
        };
        let mut failure = None;
        let started = spawn.start_unwatched(|step, error| {
            failure = Some(match step {
                Step::Descriptors => Failure::new("setup filedescriptor for", set_up, error),
                Step::Directory => Failure::new("change directory to", "./log", error),
                Step::Exec => Failure::new("start", name, error),
            });
        });
        drop(note);
        let cause = if death.is_some() { Cause::Finish } else { Cause::Start };
        match started {
            Ok(child) => {
                self.leftovers.may_be_there(true);
                if who == Who::Log {
                    self.leftovers.spare_group_of(child.pid());
                }
                match &failure {
                    Some(failure) => self.explain_start(who, cause, program.as_ref(), failure),
                    None => {
                        self.explain(who, cause, None);
                        self.explain(who, Cause::Pause, None);
                    }
                }
                if let Some(side) = self.side(who) {
                    side.process = Some(Process::Own(child));
                }
                None
            }
            Err(error) => Some(self.not_started(who, cause, error)),
        }
    }

    /// Differs: the original says so at every try, and tries every second.
    fn not_started(&mut self, who: Who, cause: Cause, error: io::Error) -> Event {
        let reason = msg::reason(&error);
        let text = format!("unable to fork: {reason}");
        let knows = |side: &Side| {
            [Cause::Start, Cause::Finish].iter().any(|cause| side.reasons.get(*cause) == Some(text.as_bytes()))
        };
        if ![Some(&self.main), self.log.as_deref()].into_iter().flatten().any(knows) {
            self.speaker.warn(format!("unable to fork, sleeping: {reason}"));
        }
        self.explain(who, cause, Some(text.as_bytes()));
        Event::NotStarted
    }

    /// What is known at once of the hook of `control`; None for one that is to be started.
    #[inline(never)]
    fn look_for_hook(&mut self, control: Control) -> Option<Hooked> {
        let name = hook_name(control);
        match fs::metadata(&name) {
            Ok(found) if found.permissions().mode() & 0o100 != 0 => return None,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                let failure = Failure::new("stat", &name, error);
                self.speaker.warn_failure(&failure);
                self.bad_hook = Some(control);
                self.explain(Who::Main, Cause::Hook, Some(&failure.text()));
            }
            _ => self.forget_hook_reason(control),
        }
        Some(Hooked::Absent)
    }

    /// Starts the hook of `control`; or says at once what came of it.
    #[inline(never)]
    fn start_hook(&mut self, control: Control) -> Option<Hooked> {
        let name = hook_name(control);
        self.write_owed(Who::Main);
        let pid = self.main.process.as_ref().map_or(String::new(), |process| process.pid().to_string());
        let Ok(argv) = Argv::new([&name, &pid]) else { return Some(Hooked::Refused) };
        let note = self.note(Place::Hook, Kind::Hook, None);
        let spawn = Spawn {
            argv: &argv,
            directory: None,
            stdin: None,
            stdout: self.pipe.as_ref().and_then(LogPipe::writing),
            session: false,
            group: false,
            mask: self.mask,
            last: Some(&note),
        };
        let mut failure = None;
        let started = spawn.start_unwatched(|step, error| {
            // Differs: the original says "control/?", whichever it was.
            let deed = if step == Step::Descriptors { "setup stdout for" } else { "run" };
            failure = Some(Failure::new(deed, &name, error));
        });
        drop(note);
        match started {
            Ok(child) => {
                self.leftovers.may_be_there(true);
                match &failure {
                    Some(failure) => {
                        self.bad_hook = Some(control);
                        self.explain_start(Who::Main, Cause::Hook, name.as_ref(), failure);
                    }
                    None => self.forget_hook_reason(control),
                }
                self.hook = Some(Process::Own(child));
                self.hook_is = Some(control);
                self.publish(Who::Main); // no record changes, but the note may not be written yet
                None
            }
            Err(error) => {
                self.speaker.warn_failure(&Failure::new("fork for", &name, error));
                Some(Hooked::Refused)
            }
        }
    }

    /// What a new process does before it becomes the program: it notes itself. Until the exec it shares the lock, so
    /// that no successor looks for its note too early. What it cannot note is noted, or said, by the next [`Side::publish`].
    ///
    /// It also notes the record of itself, `record` but for its pid.
    fn note(&self, place: Place, kind: Kind, record: Option<Record>) -> impl Fn() + use<'_> {
        let asked = clock::since_boot();
        move || {
            let Some(notes) = &self.notes else { return };
            let pid = process::id();
            let note = Note { kind, pid, asked, noted: clock::since_boot(), serial: process::serial_of(pid) };
            let _ = notes.write(place, note, record.map(|record| record.of(pid)));
        }
    }

    /// Writes the records; what fails is said once and tried again, with growing pauses.
    fn publish(&mut self, who: Who) {
        self.owe(who);
        self.write_owed(who);
    }

    /// Notes the record, for a successor, and writes it before anything is done that it tells of.
    fn owe(&mut self, who: Who) {
        let Some(service) = self.pair.get(who).copied() else { return };
        if who == Who::Main && !service.waits_for_leftovers() {
            self.explain(who, Cause::Waiting, None);
        }
        let Some(record) = self.record(who) else { return };
        let _ = self.notes.as_ref().map(|notes| notes.record(place_of(who), record)); // it is tried again at the writing
        if let Some(side) = self.side(who) {
            side.owed = Some(record);
        }
    }

    /// The record as it is now. One that never became its program has none: nobody shall believe that it runs.
    fn record(&self, who: Who) -> Option<Record> {
        let service = self.pair.get(who)?;
        let side = match who {
            Who::Main => &self.main,
            Who::Log => self.log.as_deref()?,
        };
        let left = self.leftovers.found().filter(|_| who == Who::Main && service.waits_for_leftovers());
        (!side.process.as_ref().is_some_and(Process::is_stillborn)).then(|| side.record(service, left))
    }

    /// Writes the record that is owed.
    fn write_owed(&mut self, who: Who) {
        let Some(record) = self.side(who).and_then(|side| side.owed.take()) else { return };
        self.write(who, record, true);
    }

    /// In the place of what is owed writes the record that is to follow. What it tells of is not noted before it is done.
    ///
    /// Differs: the original writes both, `run, want down` and `run, want down, got TERM`, one right after the other.
    fn write_newest(&mut self, who: Who) {
        if self.side(who).is_some_and(|side| side.owed.take().is_some())
            && let Some(record) = self.record(who)
        {
            self.write(who, record, false);
        }
    }

    fn write(&mut self, who: Who, record: Record, is_noted: bool) {
        let side = match who {
            Who::Main => &mut self.main,
            Who::Log => match &mut self.log {
                Some(log) => log,
                None => return,
            },
        };
        let was_well = side.retry.is_none();
        side.publish(record, who, self.notes.as_ref().filter(|_| is_noted), &self.speaker);
        if was_well && side.retry.is_some() {
            self.look_if_amiss();
        }
    }

    fn side(&mut self, who: Who) -> Option<&mut Side> {
        match who {
            Who::Main => Some(&mut self.main),
            Who::Log => self.log.as_deref_mut(),
        }
    }
}

const LOG: &CStr = c"./log";

impl Side {
    fn new(home: Home, found: Option<Found>) -> Result<Side, Failure> {
        let (since, process) = found.map_or((Moment::now(), None), |found| (found.since, found.process));
        Ok(Side {
            home,
            run: Argv::new(["./run"]).tried("prepare", "./run")?,
            since,
            process,
            end: None,
            owed: None,
            reads_left: 0,
            inbox: Inbox { bytes: [0; 64], start: 0, end: 0 },
            retry: None,
            reasons: Reasons::default(),
        })
    }

    /// Writes the first records.
    fn announce(&mut self, pair: &Pair, who: Who, notes: Option<&Notes>, speaker: &Speaker) {
        if let Some(service) = pair.get(who) {
            let record = self.record(service, None);
            let is_brief = self.home.is_new() && service.is_about_to_start();
            if !is_brief || self.home.announce(&record.status).is_err() {
                self.publish(record, who, notes, speaker);
            }
        }
    }

    /// The record of it; `left` is what a service without a process of its own waits for.
    fn record(&self, service: &Service, left: Option<i32>) -> Record {
        let Moment { label, since_boot } = self.since;
        let pid = self.process.as_ref().map(Process::pid).or(left).unwrap_or(0);
        let (once, stopping) = (service.is_once(), service.is_stopping());
        Record { status: service.record(label, pid), once, stopping, changed: since_boot }
    }

    fn publish(&mut self, record: Record, who: Who, notes: Option<&Notes>, speaker: &Speaker) {
        let status = &record.status;
        // First: a newer record is another's.
        let noted = notes.map_or(Ok(()), |notes| notes.record(place_of(who), record));
        self.show_reason();
        // After a failure also what was published before is written again: part of it may be newer.
        if noted.is_ok() && self.retry.is_none() && self.home.has_published(status) {
            return;
        }
        match (self.home.publish(status).and(noted), self.retry) {
            (Ok(()), _) => {
                self.retry = None;
                self.explain(Cause::Files, None);
            }
            (Err(failure), None) => {
                speaker.warn_failure(&failure);
                self.explain(Cause::Files, Some(&failure.text()));
                self.retry = Some((clock::now() + FIRST_RETRY, FIRST_RETRY));
            }
            (Err(_), Some((_, pause))) => {
                let pause = (pause * 2).min(LONGEST_RETRY);
                self.retry = Some((clock::now() + pause, pause));
            }
        }
    }

    fn next_control_byte(&mut self) -> io::Result<Option<u8>> {
        let inbox = &mut self.inbox;
        if inbox.start == inbox.end {
            if self.reads_left == 0 {
                return Ok(None);
            }
            (inbox.start, inbox.end) = (0, self.home.read_control(&mut inbox.bytes)?);
            // Whatever comes after a read that got less than it could the next wait tells.
            self.reads_left = if inbox.end < inbox.bytes.len() { 0 } else { self.reads_left - 1 };
            if inbox.end == 0 {
                return Ok(None);
            }
        }
        inbox.start += 1;
        Ok(Some(inbox.bytes[inbox.start - 1]))
    }
}

impl LogPipe {
    fn open(place: Pipe, reading: Option<File>, writing: Option<File>) -> Result<LogPipe, Failure> {
        let (reading, writing) = match (reading, writing) {
            (Some(reading), Some(writing)) => (reading, writing),
            _ => place.open()?,
        };
        Ok(LogPipe { place, reading, writing: Some(writing) })
    }

    /// Opens what was closed. What is still in it stays.
    fn reopen(&mut self) -> Result<(), Failure> {
        let (reading, writing) = self.place.open()?;
        (self.reading, self.writing) = (reading, Some(writing));
        Ok(())
    }

    fn writing(&self) -> Option<BorrowedFd<'_>> {
        self.writing.as_ref().map(|writing| writing.as_fd())
    }
}

/// Whether there is a log service. What stands in its place is said.
fn has_log_directory(speaker: &Speaker) -> bool {
    match fs::metadata("log") {
        Ok(found) if found.is_dir() => true,
        Ok(_) => {
            speaker.warn("./log: not a directory.");
            false
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => {
            speaker.warn(msg::join(&[b"unable to stat() ./log: : ", msg::reason(&error).as_bytes()]));
            false
        }
    }
}

/// Whether `run` is followed by `finish`: as in the original, if it can be read.
fn has_finish() -> bool {
    file::open_read("finish").is_ok()
}

fn hook_name(control: Control) -> String {
    ["control/", char::from(control.byte()).encode_utf8(&mut [0; 4])].concat()
}

fn place_of(who: Who) -> Place {
    match who {
        Who::Main => Place::Main,
        Who::Log => Place::Log,
    }
}

/// The record that a supervisor would have begun with.
fn unrecorded(down: &str) -> Status {
    let want = if file_is_missing(Path::new(down)) { Want::Up } else { Want::Down };
    let since = Label::of(clock::wall());
    Status { since, pid: 0, paused: false, want, got_term: false, state: status::State::Down }
}

fn file_is_missing(path: &Path) -> bool {
    fs::metadata(path).is_err()
}
