//! One supervised process: what runs, what is wanted, and what to do about each event.
//!
//! The main service and its log service are two values of one type. [`Service::step`] is total: it answers every
//! event in every state, neither allocates nor panics, and asks for at most [`Actions::CAPACITY`] deeds. A deed that
//! can fail, or whose answer comes later, comes back as an event.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::control::{Control, Sig};
use super::leftovers::{self, Fate, Occasion, Plan, Rule};
use super::respawn::{self, Respawn};
use super::status::{self, Want};

/// How long a hook may take. One that takes longer is killed, and what it stood in for happens.
pub const HOOK_DEADLINE: Duration = Duration::from_secs(60);
/// How often a log service that fails is started again to read what is left after its service ended for good.
pub const DRAIN_TRIES: u8 = 3;
/// How many commands may wait behind a hook. More stay in the control FIFO, in order.
const PENDING: usize = 16;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// `./run`, which may have hooks in `control/` and a `./finish`.
    Main,
    /// `./log/run`, which has neither and cannot be told to exit.
    Log,
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum State {
    /// Nothing. Not to be started before `not_before`, which a command brings forward to `at_earliest`; `once` when
    /// one start was asked for.
    Down { not_before: Option<Instant>, at_earliest: Option<Instant>, once: bool },
    /// The hook `control/u`, before a start.
    Starting { once: bool },
    /// `run`, since `started`; `once` when it is left to run until it ends: it was to run once, or was told to end.
    Run { started: Instant, once: bool },
    /// `finish`, for a `run` that was started at `started`; with `retry_at` it could not be started yet.
    Finish { started: Instant, death: Death, retry_at: Option<Instant> },
    /// Nothing but what it left behind. Once that is dealt with, `after` follows.
    Clearing { after: After, stage: Stage },
}

/// What follows once leftovers are dealt with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    /// The end of a `run` that was started at `started`, with its `finish`.
    Run { started: Instant, once: bool },
    /// As for [`State::Down`], and the start if it is due.
    Down { not_before: Option<Instant>, at_earliest: Option<Instant>, once: bool },
}

/// How far it has come with leftovers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// It was asked whether there are any.
    Looking,
    /// They are waited for.
    Waiting,
    /// They were sent TERM, and are so once more at `again`. They are killed at `until`.
    Asked { again: Option<Instant>, until: Instant },
    /// They were killed, and are given up at this moment.
    Killed(Instant),
}

impl State {
    const READY: State = State::Down { not_before: None, at_earliest: None, once: false };
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Death {
    /// With an exit code.
    Exited(u8),
    /// From a signal.
    Killed {
        /// Its number.
        signal: u8,
        /// A core was dumped.
        core: bool,
    },
    /// Somehow: only its supervisor was told, and that one was killed.
    Unseen,
}

/// What a supervisor that was killed left of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// What was wanted.
    pub want: Want,
    /// It was sent STOP.
    pub paused: bool,
    /// It was sent TERM.
    pub got_term: bool,
    /// It is to be started once, or left to run until it ends.
    pub once: bool,
    /// The last that it was told was to stop.
    pub stopping: bool,
    /// What became of its process.
    pub remains: Remains,
}

/// What became of the last process of a service whose supervisor was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// There was none, or it was a `finish` that ended.
    Nothing,
    /// `run` still runs.
    Run {
        /// Its start.
        since: Instant,
    },
    /// `run` ended, and nothing was done about it.
    EndedRun {
        /// Its start.
        since: Instant,
        /// There is a `finish` to run now.
        has_finish: bool,
    },
    /// `finish` still runs.
    Finish {
        /// Its start.
        since: Instant,
    },
}

impl Remains {
    /// Whether the service is not down.
    pub fn is_something(self) -> bool {
        !matches!(self, Remains::Nothing | Remains::EndedRun { has_finish: false, .. })
    }
}

/// What a hook said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hooked {
    /// There is no such hook.
    Absent,
    /// It exited with 0: what it stands in for must not happen.
    Done,
    /// It exited otherwise, was killed or could not be started.
    Refused,
}

/// What happens to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A control byte came.
    Control(Control),
    /// The process of [`Action::Start`] or [`Action::StartFinish`] could not be made.
    NotStarted,
    /// The process of `run` or `finish` ended.
    Died {
        /// How.
        death: Death,
        /// There is a `finish` to run now.
        has_finish: bool,
    },
    /// The answer to [`Action::Hook`].
    HookEnded(Hooked),
    /// The answer to [`Action::LookForLeftovers`]; `None` when there are none.
    Left(Option<leftovers::Left>),
    /// The answer to [`Action::Limit`], if there is a limit.
    Limit(Duration),
    /// A process ended that the service had left behind.
    LeftoverEnded,
    /// Nobody will write into the log service's standard input any more.
    InputEnded,
    /// A deadline may have passed.
    Tick,
}

/// What to do for a service, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start `run`; answer with [`Event::NotStarted`] if that fails.
    Start,
    /// Start `finish` with this death as its arguments; answer with [`Event::NotStarted`] if that fails.
    StartFinish(Death),
    /// Send a signal to the process.
    Kill(Sig),
    /// Run the hook `control/X` if there is one; answer with [`Event::HookEnded`]. A log service has none: it must
    /// be told so at once, as a step of its own.
    Hook(Control),
    /// Look how long it may take; answer with [`Event::Limit`] if there is a limit.
    Limit(Limit),
    /// Say that it took longer, and is killed.
    SayLimit(Limit),
    /// Kill the hook that runs.
    KillHook,
    /// Look what the service left behind; answer with [`Event::Left`] at once. A log service leaves nothing.
    LookForLeftovers,
    /// Name what it left behind, and what becomes of it.
    NameLeftovers(Fate),
    /// Send TERM and CONT to what it left behind, as far as that was not done yet.
    EndLeftovers,
    /// Send TERM and CONT to all of it once more.
    EndLeftoversAgain,
    /// Send KILL to what it left behind.
    KillLeftovers,
    /// The time of the last change is now.
    Stamp,
    /// Write the records.
    Publish,
    /// Say that the pause before the next start grows: young deaths in a row, and the pause.
    SayPause(u8, Duration),
}

/// What may take only so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// The end of a service that was told to stop: the file `timeout-kill`.
    Stop,
    /// `finish`: the file `timeout-finish`.
    Finish,
}

/// A few actions, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Actions {
    list: [Option<Action>; Actions::CAPACITY],
}

/// What waits for a hook, or for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Deed {
    /// Start `run`; the hook is `control/u`.
    Start,
    /// TERM, then what belongs to the `want` of the command; the hook is `control/t`.
    Stop { want: Want },
    /// Any other signal, or its hook.
    Signal(Control),
    /// `control/d` or `control/x`, after a stop: its result means nothing.
    Afterwards(Control),
}

/// A hook that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Hook {
    deed: Deed,
    /// The process it was meant for still runs.
    live: bool,
    /// When it will have taken too long; `None` once it was killed.
    deadline: Option<Instant>,
}

/// A service, as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Service {
    role: Role,
    state: State,
    want: Want,
    paused: bool,
    got_term: bool,
    respawn: Respawn,
    held: bool,
    input_ended: bool,
    drain_tries: u8,
    /// The last command was a stop: what the service leaves behind is to end with it.
    stopping: bool,
    /// When the process will have taken too long.
    kill_at: Option<Instant>,
    hook: Option<Hook>,
    pending: [Option<Deed>; PENDING],
}

impl Service {
    /// A service before its first start. With `normally_up` false (there is a `down` file) it waits for a command.
    pub fn new(role: Role, normally_up: bool) -> Service {
        Service {
            role,
            state: State::READY,
            want: if normally_up { Want::Up } else { Want::Down },
            paused: false,
            got_term: false,
            respawn: Respawn::default(),
            held: false,
            input_ended: false,
            drain_tries: 0,
            stopping: false,
            kill_at: None,
            hook: None,
            pending: [None; PENDING],
        }
    }

    /// A service whose supervisor was killed: what runs goes on, and what was wanted is wanted still.
    ///
    /// What a `finish` that is still to run is told of the end of its `run`, nobody knows any more.
    pub fn resumed(role: Role, left: Left, now: Instant) -> Service {
        let death = Death::Unseen;
        let state = match left.remains {
            Remains::Nothing => State::Down { not_before: None, at_earliest: None, once: left.once },
            Remains::Run { since } => State::Run { started: since, once: left.once },
            Remains::EndedRun { since, has_finish: true } if role == Role::Main => {
                State::Finish { started: since, death, retry_at: Some(now) }
            }
            Remains::EndedRun { since, .. } => {
                let not_before = Some(since + respawn::PAUSE);
                State::Down { not_before, at_earliest: not_before, once: left.once }
            }
            Remains::Finish { since } => State::Finish { started: since, death, retry_at: None },
        };
        let service = Service::new(role, true);
        let got_term = left.got_term && matches!(state, State::Run { .. });
        // A log service that was on its way out reads on, as this supervisor holds its input open.
        let want = if role == Role::Log && left.want == Want::Exit { Want::Up } else { left.want };
        Service { state, want, paused: left.paused, got_term, stopping: left.stopping, ..service }
    }

    /// The same while a hook runs that the supervisor before this one started, and whose answer is lost.
    pub fn behind_a_hook(self, now: Instant) -> Service {
        let deed = Deed::Afterwards(Control::Down);
        Service { hook: Some(Hook { deed, live: false, deadline: Some(now + HOOK_DEADLINE) }), ..self }
    }

    /// Becomes what it is after `event`, and gives what to do about it, in order.
    ///
    /// Total: an event that does not apply changes nothing and asks for nothing.
    pub fn step(&mut self, event: Event, now: Instant) -> Actions {
        let mut actions = Actions::none();
        match event {
            Event::Control(control) => self.obey(control, now, &mut actions),
            Event::NotStarted => self.not_started(now, &mut actions),
            Event::Died { death, has_finish } => self.died(death, has_finish, now, &mut actions),
            Event::HookEnded(outcome) => self.hook_ended(outcome, now, &mut actions),
            Event::Left(left) => self.looked(left, now, &mut actions),
            Event::LeftoverEnded => self.look_again(&mut actions),
            Event::Limit(limit) => self.limit(now + limit),
            Event::InputEnded => self.input_ended(&mut actions),
            Event::Tick => self.tick(now, &mut actions),
        }
        self.go_on(now, &mut actions);
        actions
    }

    /// When [`Event::Tick`] is due next.
    pub fn deadline(&self) -> Option<Instant> {
        let start = match self.state {
            State::Down { not_before, .. } if self.wants_start() && !self.held && self.hook.is_none() => not_before,
            State::Finish { retry_at, .. } => retry_at,
            State::Clearing { stage: Stage::Asked { again, until }, .. } => Some(again.unwrap_or(until)),
            State::Clearing { stage: Stage::Killed(at), .. } => Some(at),
            _ => None,
        };
        let hook = self.hook.and_then(|hook| hook.deadline);
        start.into_iter().chain(hook).chain(self.kill_at).min()
    }

    /// Whether another command can be taken now. If not, it must stay where it is.
    ///
    /// The last place is kept for a stop that nobody can put off, such as the supervisor's own TERM.
    pub fn takes_commands(&self) -> bool {
        self.pending[PENDING - 2].is_none()
    }

    /// What is wanted of it.
    pub fn want(&self) -> Want {
        self.want
    }

    /// Whether, as a log service, it shall read what its service writes.
    pub fn shall_read(&self) -> bool {
        self.want == Want::Up && !self.paused
    }

    /// Whether nothing of it runs, no hook either, and nothing is about to be started.
    pub fn is_settled_down(&self) -> bool {
        matches!(self.state, State::Down { .. }) && self.hook.is_none() && !self.wants_start()
    }

    /// Whether it is down and nothing keeps it from being started.
    pub fn is_about_to_start(&self) -> bool {
        matches!(self.state, State::Down { not_before: None, .. }) && self.wants_start()
    }

    /// Whether nothing is under way but what notes tell: [`Service::resumed`] goes on with it as this value would.
    ///
    /// Only a pause before the next start is cut short. It does not last: it comes with the next event or deadline.
    pub fn is_at_rest(&self) -> bool {
        let is_told = match self.state {
            State::Down { once, .. } => !once,
            // What is waited for, without a limit, is looked for before any start.
            State::Clearing { after: After::Down { once, .. }, stage: Stage::Waiting } => !once,
            State::Starting { .. } | State::Clearing { .. } => false,
            State::Run { .. } => true,
            State::Finish { retry_at, .. } => retry_at.is_none(),
        };
        is_told && self.hook.is_none() && self.pending[0].is_none() && !self.input_ended && self.want != Want::Exit
    }

    /// Whether it is to be started once, or left to run until it ends.
    pub fn is_once(&self) -> bool {
        match self.state {
            State::Down { once, .. } | State::Starting { once } | State::Run { once, .. } => once,
            State::Clearing { after: After::Run { once, .. } | After::Down { once, .. }, .. } => once,
            State::Finish { .. } => false,
        }
    }

    /// Whether the last that it was told was to stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// The command that a supervisor was told and could not carry out any more: it runs and is to be stopped.
    pub fn unfinished(&self) -> Option<Control> {
        match self.want {
            _ if !self.runs() || self.is_once() => None,
            Want::Up => None,
            Want::Down => Some(Control::Down),
            Want::Exit => Some(Control::Exit),
        }
    }

    /// Whether the end of a process that it left behind matters to it.
    pub fn waits_for_leftovers(&self) -> bool {
        matches!(self.state, State::Clearing { .. })
    }

    /// Whether nothing may be started for now.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// What it is like after its input was replaced: an ended log service is wanted again.
    pub fn renewed(self) -> Service {
        let want = if self.want == Want::Exit { Want::Up } else { self.want };
        Service { want, input_ended: false, drain_tries: 0, ..self }
    }

    /// The same service `by` later, as it would be told if that were `now`. What passed longer ago than matters, is
    /// all the same: so the services of one time are those of any.
    #[cfg(test)]
    pub fn told_later(mut self, by: Duration, now: Instant) -> Service {
        let deadline = |at: Instant| (at - by).max(now);
        let start = |at: Instant| (at - by).max(now - respawn::YOUNG);
        self.state = match self.state {
            State::Down { not_before, at_earliest, once } => {
                State::Down { not_before: not_before.map(deadline), at_earliest: at_earliest.map(deadline), once }
            }
            State::Starting { once } => State::Starting { once },
            State::Run { started, once } => State::Run { started: start(started), once },
            State::Finish { started, death, retry_at } => {
                State::Finish { started: start(started), death, retry_at: retry_at.map(deadline) }
            }
            State::Clearing { after, stage } => {
                let after = match after {
                    After::Run { started, once } => After::Run { started: start(started), once },
                    After::Down { not_before, at_earliest, once } => After::Down {
                        not_before: not_before.map(deadline),
                        at_earliest: at_earliest.map(deadline),
                        once,
                    },
                };
                let stage = match stage {
                    Stage::Looking | Stage::Waiting => stage,
                    Stage::Asked { again, until } => {
                        Stage::Asked { again: again.map(deadline), until: deadline(until) }
                    }
                    Stage::Killed(at) => Stage::Killed(deadline(at)),
                };
                State::Clearing { after, stage }
            }
        };
        if let Some(hook) = &mut self.hook {
            hook.deadline = hook.deadline.map(deadline);
        }
        self.kill_at = self.kill_at.map(deadline);
        self
    }

    /// The record of it, given what the loop knows.
    pub fn record(&self, since: super::tai::Label, pid: i32) -> status::Status {
        let state = match self.state {
            State::Down { .. } | State::Starting { .. } => status::State::Down,
            State::Clearing { stage: Stage::Looking, .. } => status::State::Down,
            State::Clearing { .. } => status::State::Finish,
            State::Run { .. } => status::State::Run,
            State::Finish { .. } => status::State::Finish,
        };
        status::Status { since, pid, paused: self.paused, want: self.want, got_term: self.got_term, state }
    }

    fn obey(&mut self, control: Control, now: Instant, actions: &mut Actions) {
        match control {
            Control::Exit if self.role == Role::Log => {}
            Control::Up => self.change_want(Want::Up, false, actions),
            Control::Once => self.change_want(Want::Down, true, actions),
            Control::Down | Control::Exit => {
                let want = if control == Control::Down { Want::Down } else { Want::Exit };
                self.change_want(want, false, actions);
                if self.runs() {
                    self.later(Deed::Stop { want });
                }
                self.clear_stopped(actions);
            }
            Control::Term => self.later(Deed::Stop { want: self.want }),
            Control::Kill => self.kill(now, actions),
            Control::Pause | Control::Continue if !self.runs_or_starts() => {
                self.paused = control == Control::Pause;
                actions.push(Action::Publish);
            }
            other => self.later(Deed::Signal(other)),
        }
    }

    /// A command resets the growing pause: what is left of it is at most the original's.
    fn change_want(&mut self, want: Want, run_once: bool, actions: &mut Actions) {
        self.want = want;
        self.stopping = want != Want::Up && !run_once;
        if self.input_ended {
            let reads_on = want == Want::Up; // what is left, and then it ends
            self.want = if reads_on { Want::Exit } else { want };
            self.drain_tries = if reads_on { DRAIN_TRIES } else { 0 };
        }
        match &mut self.state {
            State::Down { not_before, at_earliest, once } => {
                *once = run_once;
                *not_before = *at_earliest;
            }
            State::Starting { once }
            | State::Run { once, .. }
            | State::Clearing { after: After::Run { once, .. }, .. } => *once = run_once,
            State::Clearing { after: After::Down { not_before, at_earliest, once }, .. } => {
                *once = run_once;
                *not_before = *at_earliest;
            }
            State::Finish { .. } => {}
        }
        self.respawn = Respawn::default();
        actions.push(Action::Publish);
    }

    /// `k` does not wait for a hook: it ends it, and what waits behind it, which was meant for a process that is to
    /// end now. It also ends a `finish`, and leftovers that are waited for.
    fn kill(&mut self, now: Instant, actions: &mut Actions) {
        if let Some(hook) = self.hook {
            self.kill_hook_if(|_| true, actions);
            self.forget_pending();
            if hook.deed == Deed::Signal(Control::Kill) {
                return; // what this hook stood in for happens now
            }
        }
        match self.state {
            State::Run { .. } | State::Starting { .. } => self.later(Deed::Signal(Control::Kill)),
            State::Finish { retry_at: None, .. } => actions.push(Action::Kill(Sig::Kill)),
            State::Clearing { .. } => self.kill_leftovers(now, actions),
            State::Finish { .. } | State::Down { .. } => {}
        }
    }

    /// Kills the hook that runs, once, if its deadline is such.
    fn kill_hook_if(&mut self, is_such: impl FnOnce(Instant) -> bool, actions: &mut Actions) {
        if let Some(hook) = &mut self.hook
            && hook.deadline.is_some_and(is_such)
        {
            hook.deadline = None;
            actions.push(Action::KillHook);
        }
    }

    /// Queues a deed for the process that runs or is about to. The caller asked [`Service::takes_commands`] before.
    fn later(&mut self, deed: Deed) {
        if self.runs_or_starts()
            && let Some(free) = self.pending.iter_mut().find(|place| place.is_none())
        {
            *free = Some(deed);
        }
    }

    fn runs(&self) -> bool {
        matches!(self.state, State::Run { .. })
    }

    fn runs_or_starts(&self) -> bool {
        matches!(self.state, State::Run { .. } | State::Starting { .. })
    }

    fn wants_start(&self) -> bool {
        match self.state {
            State::Down { once, .. } | State::Starting { once } => {
                once || self.want == Want::Up || (self.want == Want::Exit && self.drain_tries > 0)
            }
            State::Run { .. } | State::Finish { .. } | State::Clearing { .. } => false,
        }
    }

    fn not_started(&mut self, now: Instant, actions: &mut Actions) {
        self.kill_at = None;
        match self.state {
            State::Run { once, .. } => {
                self.drain_tries = self.drain_tries.saturating_sub(1);
                self.hook = None; // it would have been the first after the start: it was never started either
                self.forget_pending();
                self.go_down(now, now, once, actions);
            }
            State::Finish { started, death, .. } => {
                let (respawn, pause) = self.respawn.died_after(Duration::ZERO);
                self.respawn = respawn;
                self.state = State::Finish { started, death, retry_at: Some(now + pause) };
                actions.push(Action::Publish);
            }
            State::Down { .. } | State::Starting { .. } | State::Clearing { .. } => {}
        }
    }

    /// The limit of what is under way, for a supervisor that comes to it only now.
    pub fn limit_under_way(&self) -> Option<Limit> {
        match self.state {
            State::Run { .. } if self.stopping => Some(Limit::Stop), // a hook may have stood in for TERM
            State::Finish { retry_at: None, .. } => Some(Limit::Finish),
            _ => None,
        }
    }

    /// What runs may do so until then. A second stop puts off nothing.
    fn limit(&mut self, at: Instant) {
        if matches!(self.state, State::Run { .. } | State::Finish { retry_at: None, .. }) {
            self.kill_at = Some(self.kill_at.map_or(at, |before| before.min(at)));
        }
    }

    fn died(&mut self, death: Death, has_finish: bool, now: Instant, actions: &mut Actions) {
        if matches!(self.state, State::Run { .. } | State::Finish { retry_at: None, .. }) {
            self.kill_at = None;
        }
        match self.state {
            State::Run { started, .. } => {
                self.got_term = false;
                self.forget_deeds();
                self.drain_tries = match death {
                    Death::Exited(0) => 0,
                    _ => self.drain_tries.saturating_sub(1),
                };
                if has_finish && self.role == Role::Main {
                    self.state = State::Finish { started, death, retry_at: None };
                    self.paused = false;
                    actions.push(Action::StartFinish(death));
                    actions.push(Action::Limit(Limit::Finish));
                    actions.push(Action::Publish);
                } else {
                    self.ended(started, now, actions);
                }
            }
            State::Finish { started, retry_at: None, .. } => self.ended(started, now, actions),
            State::Down { .. } | State::Starting { .. } | State::Finish { .. } | State::Clearing { .. } => {}
        }
    }

    /// Its process is gone. After a stop, what it left behind goes first.
    fn ended(&mut self, started: Instant, now: Instant, actions: &mut Actions) {
        if self.stopping && self.role == Role::Main {
            self.clear(After::Run { started, once: false }, actions);
        } else {
            self.end_life(started, now, false, actions);
        }
    }

    /// Looks for leftovers, before `after`.
    fn clear(&mut self, after: After, actions: &mut Actions) {
        self.state = State::Clearing { after, stage: Stage::Looking };
        actions.push_before_record(Action::LookForLeftovers); // nobody shall read that it is down before that is known
    }

    /// A stop of a service whose process is gone already: what an earlier one left behind goes, too.
    fn clear_stopped(&mut self, actions: &mut Actions) {
        match self.state {
            _ if self.role == Role::Log => {}
            State::Down { not_before, at_earliest, once } => {
                self.clear(After::Down { not_before, at_earliest, once }, actions);
            }
            State::Clearing { after, stage: Stage::Waiting } => self.clear(after, actions),
            State::Clearing { .. } | State::Starting { .. } | State::Run { .. } | State::Finish { .. } => {}
        }
    }

    /// What the look for leftovers found.
    fn looked(&mut self, left: Option<leftovers::Left>, now: Instant, actions: &mut Actions) {
        let State::Clearing { after, stage } = self.state else { return };
        let Some(left) = left else { return self.cleared(now, actions) };
        let occasion = if self.stopping { Occasion::Stop } else { Occasion::Start };
        let plan = Rule::plan(left.rule, occasion);
        match (stage, plan) {
            (Stage::Looking, Plan::Ignore) => return self.cleared(now, actions),
            (Stage::Looking, Plan::Name) => {
                actions.push(Action::NameLeftovers(Fate::Beside));
                return self.cleared(now, actions);
            }
            (Stage::Looking, Plan::Wait) => {
                self.state = State::Clearing { after, stage: Stage::Waiting };
                actions.push(Action::NameLeftovers(Fate::Awaited));
            }
            (Stage::Looking, Plan::End) => {
                let (again, until) = (now + leftovers::AGAIN, now + left.patience);
                let stage = Stage::Asked { again: (again < until).then_some(again), until };
                self.state = State::Clearing { after, stage };
                if occasion == Occasion::Start {
                    actions.push(Action::NameLeftovers(Fate::Ended));
                }
                actions.push(Action::EndLeftovers);
            }
            (Stage::Waiting, _) => {}
            (Stage::Asked { .. }, _) => actions.push(Action::EndLeftovers), // some came only when others ended
            (Stage::Killed(_), _) => actions.push(Action::KillLeftovers),
        }
        actions.push(Action::Publish);
    }

    fn look_again(&mut self, actions: &mut Actions) {
        if matches!(self.state, State::Clearing { .. }) {
            actions.push(Action::LookForLeftovers);
        }
    }

    fn kill_leftovers(&mut self, now: Instant, actions: &mut Actions) {
        if let State::Clearing { stage, .. } = &mut self.state {
            if !matches!(stage, Stage::Killed(_)) {
                *stage = Stage::Killed(now + leftovers::LAST_PATIENCE);
            }
            actions.push(Action::KillLeftovers);
        }
    }

    /// Nothing is left, or nothing that is to be dealt with.
    fn cleared(&mut self, now: Instant, actions: &mut Actions) {
        let State::Clearing { after, stage } = self.state else { return };
        match after {
            After::Run { started, once } => self.end_life(started, now, once, actions),
            After::Down { not_before, at_earliest, once } => {
                self.state = State::Down { not_before, at_earliest, once };
                if stage != Stage::Looking {
                    actions.push(Action::Publish);
                }
                if self.start_is_due(now) {
                    self.begin_start(now, actions);
                }
            }
        }
    }

    /// The process that commands were meant for is gone; a next one must not get them.
    fn forget_deeds(&mut self) {
        if let Some(hook) = &mut self.hook {
            hook.live = false;
        }
        self.forget_pending();
    }

    fn forget_pending(&mut self) {
        for deed in self.pending.iter_mut().filter_map(Option::take) {
            if let Deed::Signal(control @ (Control::Pause | Control::Continue)) = deed {
                self.paused = control == Control::Pause;
            }
        }
    }

    fn end_life(&mut self, started: Instant, now: Instant, once: bool, actions: &mut Actions) {
        let pause = self.go_down(started, now, once, actions);
        if self.respawn.is_growing() && self.wants_start() {
            actions.push(Action::SayPause(self.respawn.young_deaths(), pause));
        }
    }

    /// Down, and still to be started `once` if that could not be done. Gives the pause before that.
    fn go_down(&mut self, started: Instant, now: Instant, once: bool, actions: &mut Actions) -> Duration {
        let (respawn, pause) = self.respawn.died_after(now.saturating_duration_since(started));
        self.respawn = respawn;
        self.got_term = false;
        self.state = if pause.is_zero() {
            State::Down { not_before: None, at_earliest: None, once }
        } else {
            State::Down { not_before: Some(now + pause), at_earliest: Some(now + respawn::PAUSE), once }
        };
        actions.push(Action::Stamp);
        actions.push(Action::Publish);
        pause
    }

    fn hook_ended(&mut self, outcome: Hooked, now: Instant, actions: &mut Actions) {
        let Some(hook) = self.hook.take() else { return };
        let live = hook.live && self.runs();
        let suppressed = outcome == Hooked::Done;
        match hook.deed {
            Deed::Start => self.start_now(now, actions),
            Deed::Stop { want } => self.stop(want, live && !suppressed, live, now, actions),
            Deed::Signal(control) => self.signal(control, live && !suppressed, actions),
            Deed::Afterwards(_) => {}
        }
    }

    fn start_now(&mut self, now: Instant, actions: &mut Actions) {
        let State::Starting { once } = self.state else { return };
        if self.wants_start() && !self.held {
            self.paused = false;
            self.got_term = false;
            self.state = State::Run { started: now, once };
            actions.push(Action::Stamp); // before, so that the new process knows its own record
            actions.push(Action::Start);
            actions.push(Action::Publish);
        } else {
            self.state = State::READY;
            if self.pending[0].is_some() {
                self.forget_pending();
                actions.push(Action::Publish);
            }
            if self.stopping {
                self.clear_stopped(actions);
            }
        }
    }

    /// TERM unless a hook stood in for it; CONT and the second hook when it is not to come back.
    fn stop(&mut self, want: Want, term: bool, live: bool, now: Instant, actions: &mut Actions) {
        if let State::Run { once, .. } = &mut self.state {
            *once |= want != Want::Up;
        }
        if term {
            self.got_term = true;
            actions.push_signal(Sig::Term);
            actions.push(Action::Publish);
        }
        let afterwards = match want {
            Want::Up => return,
            Want::Down => Control::Down,
            Want::Exit => Control::Exit,
        };
        if live {
            actions.push_signal(Sig::Cont);
            actions.push(Action::Limit(Limit::Stop));
        }
        let kill_is_next = self.pending[0] == Some(Deed::Signal(Control::Kill));
        if self.role == Role::Main && !kill_is_next {
            self.run_hook(Deed::Afterwards(afterwards), now, actions);
        }
    }

    fn signal(&mut self, control: Control, send: bool, actions: &mut Actions) {
        if send && let Some(signal) = control.signal() {
            actions.push(Action::Kill(signal));
        }
        if matches!(control, Control::Pause | Control::Continue) {
            self.paused = control == Control::Pause;
            actions.push(Action::Publish);
        }
    }

    fn input_ended(&mut self, actions: &mut Actions) {
        if self.role != Role::Log {
            return;
        }
        self.input_ended = true;
        if self.want == Want::Up {
            self.drain_tries = DRAIN_TRIES;
            self.want = Want::Exit;
            // Its last tries are not put off by pauses that had grown before.
            self.respawn = Respawn::default();
            if let State::Down { not_before, at_earliest, .. } = &mut self.state {
                *not_before = *at_earliest;
            }
            actions.push(Action::Publish);
        }
    }

    fn tick(&mut self, now: Instant, actions: &mut Actions) {
        if self.kill_at.take_if(|at| *at <= now).is_some() {
            actions.push(Action::SayLimit(if self.runs() { Limit::Stop } else { Limit::Finish }));
            actions.push(Action::Kill(Sig::Kill));
        }
        self.kill_hook_if(|deadline| deadline <= now, actions);
        if let State::Finish { started, death, retry_at: Some(retry_at) } = self.state
            && retry_at <= now
        {
            self.state = State::Finish { started, death, retry_at: None };
            actions.push(Action::StartFinish(death));
            actions.push(Action::Limit(Limit::Finish));
            actions.push(Action::Publish);
        }
        match self.state {
            State::Clearing { stage: Stage::Asked { until, .. }, .. } if until <= now => {
                actions.push(Action::NameLeftovers(Fate::Killed));
                self.kill_leftovers(now, actions);
            }
            State::Clearing { after, stage: Stage::Asked { again: Some(again), until } } if again <= now => {
                self.state = State::Clearing { after, stage: Stage::Asked { again: None, until } };
                actions.push(Action::EndLeftoversAgain);
            }
            State::Clearing { stage: Stage::Killed(at), .. } if at <= now => {
                actions.push(Action::NameLeftovers(Fate::GivenUp));
                self.cleared(now, actions);
            }
            _ => {}
        }
    }

    /// Takes up what waits: the next command, or a start that is due.
    fn go_on(&mut self, now: Instant, actions: &mut Actions) {
        while self.hook.is_none()
            && let Some(deed) = self.pending[0].take()
        {
            self.pending.rotate_left(1);
            match (self.role, deed) {
                (Role::Main, deed) => self.run_hook(deed, now, actions),
                (Role::Log, Deed::Stop { want }) => self.stop(want, true, true, now, actions),
                (Role::Log, Deed::Signal(control)) => self.signal(control, true, actions),
                (Role::Log, Deed::Start | Deed::Afterwards(_)) => {}
            }
        }
        if self.start_is_due(now)
            && let State::Down { not_before, at_earliest, once } = self.state
        {
            match self.role {
                Role::Main => self.clear(After::Down { not_before, at_earliest, once }, actions),
                Role::Log => self.begin_start(now, actions),
            }
        }
    }

    fn start_is_due(&self, now: Instant) -> bool {
        let State::Down { not_before, .. } = self.state else { return false };
        let is_free = !self.held && self.hook.is_none();
        is_free && self.wants_start() && not_before.is_none_or(|not_before| not_before <= now)
    }

    fn begin_start(&mut self, now: Instant, actions: &mut Actions) {
        if let State::Down { once, .. } = self.state {
            // A step of its own, also for a log service: what is published before it must still say down.
            self.state = State::Starting { once };
            self.run_hook(Deed::Start, now, actions);
        }
    }

    fn run_hook(&mut self, deed: Deed, now: Instant, actions: &mut Actions) {
        self.hook = Some(Hook { deed, live: true, deadline: Some(now + HOOK_DEADLINE) });
        actions.push(Action::Hook(match deed {
            Deed::Start => Control::Up,
            Deed::Stop { .. } => Control::Term,
            Deed::Signal(control) | Deed::Afterwards(control) => control,
        }));
    }
}

impl Actions {
    /// So many at most. The exploration sees every step stay within it.
    pub const CAPACITY: usize = 8;

    /// Nothing to do.
    pub fn none() -> Actions {
        Actions { list: [None; Actions::CAPACITY] }
    }

    /// Each of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = Action> + '_ {
        self.list.iter().copied().flatten()
    }

    /// A signal comes before the record that tells of it: it is no lie, should the supervisor be killed between.
    fn push_signal(&mut self, signal: Sig) {
        self.push_before_record(Action::Kill(signal));
    }

    /// What the record is to tell of, comes before it.
    fn push_before_record(&mut self, action: Action) {
        let last = self.list.iter_mut().rfind(|place| place.is_some());
        match last {
            Some(last) if *last == Some(Action::Publish) => {
                *last = Some(action);
                self.push(Action::Publish);
            }
            _ => self.push(action),
        }
    }

    fn push(&mut self, action: Action) {
        let last = self.list.iter().rfind(|place| place.is_some());
        if action == Action::Publish && last == Some(&Some(Action::Publish)) {
            return; // nothing has changed since
        }
        if let Some(free) = self.list.iter_mut().find(|place| place.is_none()) {
            *free = Some(action);
        }
    }
}

impl Death {
    /// Reads a wait status.
    pub fn of(status: ExitStatus) -> Death {
        use std::os::unix::process::ExitStatusExt as _;
        match status.signal() {
            Some(signal) => {
                Death::Killed { signal: u8::try_from(signal).unwrap_or(u8::MAX), core: status.core_dumped() }
            }
            None => Death::Exited(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)),
        }
    }

    /// The two arguments of `finish`: the exit code or -1, and the low byte of the wait status; -1 and 0 for an end
    /// that nobody saw.
    ///
    /// Source: runit 2.3.0, `startservice` in src/runsv.c.
    pub fn finish_arguments(self) -> (String, String) {
        match self {
            Death::Exited(code) => (code.to_string(), "0".to_owned()),
            Death::Killed { signal, core } => {
                ("-1".to_owned(), (u32::from(signal) + if core { 128 } else { 0 }).to_string())
            }
            Death::Unseen => ("-1".to_owned(), "0".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// A service with a process and hooks made of flags: carries out actions as the loop would, and sees that
    /// nothing is ever started twice.
    #[derive(Clone, Copy)]
    struct World {
        service: Service,
        now: Instant,
        process: bool,
        hook: bool,
        /// Hooks take their time instead of being absent.
        slow_hooks: bool,
        starts: u8,
        terms: u8,
        /// Something that the service left behind runs.
        left: bool,
        /// What the service directory says of it.
        rule: Option<Rule>,
        /// It was sent TERM, or KILL.
        is_ending: bool,
        /// How long a stop and a `finish` may take.
        limit: Option<Duration>,
    }

    impl World {
        fn new(role: Role, up: bool) -> World {
            let service = Service::new(role, up);
            World {
                service,
                now: Instant::now(),
                process: false,
                hook: false,
                slow_hooks: false,
                starts: 0,
                terms: 0,
                left: false,
                rule: None,
                is_ending: false,
                limit: None,
            }
        }

        fn give(&mut self, event: Event) -> Vec<Action> {
            let actions = self.service.step(event, self.now);
            let actions: Vec<Action> = actions.iter().collect();
            assert!(actions.len() < Actions::CAPACITY, "{event:?} asks for too much: {actions:?}");
            let mut all = Vec::new();
            for action in actions {
                all.push(action);
                all.extend(self.carry_out(action));
            }
            all
        }

        fn carry_out(&mut self, action: Action) -> Vec<Action> {
            match action {
                Action::Start | Action::StartFinish(_) => {
                    assert!(!self.process, "a second process");
                    let in_the_way = self.left && matches!(self.rule, Some(Rule::End | Rule::Wait));
                    assert!(action != Action::Start || !in_the_way, "a start beside what is left");
                    self.process = true;
                    self.starts = self.starts.saturating_add(1);
                }
                Action::Kill(signal) => {
                    assert!(self.process, "a signal for nobody");
                    self.terms += u8::from(signal == Sig::Term);
                }
                Action::Hook(_) => {
                    assert!(!self.hook, "two hooks at a time");
                    self.hook = true;
                    if !self.slow_hooks || self.service.role == Role::Log {
                        return self.end_hook(Hooked::Absent);
                    }
                }
                Action::KillHook => assert!(self.hook, "no hook to kill"),
                Action::LookForLeftovers => {
                    let patience = leftovers::PATIENCE;
                    return self.give(Event::Left(self.left.then_some(leftovers::Left { rule: self.rule, patience })));
                }
                Action::EndLeftovers | Action::EndLeftoversAgain | Action::KillLeftovers => {
                    assert!(self.left && self.rule != Some(Rule::Keep), "nobody to end");
                    self.is_ending = true;
                }
                Action::NameLeftovers(Fate::GivenUp) => self.left = false,
                Action::NameLeftovers(_) => assert!(self.left, "nobody to name"),
                Action::Limit(_) => return self.limit.map_or(Vec::new(), |limit| self.give(Event::Limit(limit))),
                Action::SayLimit(_) => assert!(self.process, "nobody to kill"),
                Action::Stamp | Action::Publish | Action::SayPause(..) => {}
            }
            Vec::new()
        }

        fn end_hook(&mut self, outcome: Hooked) -> Vec<Action> {
            self.hook = false;
            self.give(Event::HookEnded(outcome))
        }

        fn dies(&mut self, death: Death, has_finish: bool) -> Vec<Action> {
            assert!(self.process);
            self.process = false;
            self.give(Event::Died { death, has_finish })
        }

        /// What was left behind ends.
        fn clears(&mut self) -> Vec<Action> {
            (self.left, self.is_ending) = (false, false);
            self.give(Event::LeftoverEnded)
        }

        fn after(&mut self, pause: Duration) -> Vec<Action> {
            self.now += pause;
            let deeds = self.give(Event::Tick);
            let is_met = self.service.deadline().is_none_or(|deadline| deadline > self.now);
            assert!(is_met, "a deadline that passed comes back: {:?}", self.service);
            deeds
        }

        fn control(&mut self, byte: u8) -> Vec<Action> {
            self.give(Event::Control(Control::from_byte(byte).unwrap()))
        }

        fn state(&self) -> status::State {
            self.service.record(super::super::tai::Label::of(Duration::ZERO), 0).state
        }
    }

    fn running() -> World {
        let mut world = World::new(Role::Main, true);
        world.give(Event::Tick);
        assert!(world.process);
        world
    }

    const OK: Death = Death::Exited(0);

    #[test]
    fn a_service_that_dies_young_is_started_again_after_a_second() {
        let mut world = running();
        assert_eq!(world.dies(OK, false), [Action::Stamp, Action::Publish]);
        assert_eq!(world.after(SECOND - Duration::from_millis(1)), []);
        assert_eq!(world.service.deadline(), Some(world.now + Duration::from_millis(1)));
        assert!(world.after(Duration::from_millis(1)).contains(&Action::Start));
    }

    #[test]
    fn a_service_that_dies_old_is_started_again_at_once() {
        let mut world = running();
        world.now += SECOND;
        assert!(world.dies(OK, false).contains(&Action::Start));
    }

    #[test]
    fn after_five_young_deaths_the_pause_grows_and_a_command_ends_it() {
        let mut world = running();
        for _ in 0..5 {
            world.dies(OK, false);
            assert!(world.after(SECOND).contains(&Action::Start));
        }
        assert_eq!(world.dies(OK, false).last(), Some(&Action::SayPause(6, 2 * SECOND)));
        world.after(SECOND);
        assert!(!world.process);
        assert!(world.control(b'u').contains(&Action::Start));
        world.dies(OK, false);
        assert!(world.after(SECOND).contains(&Action::Start), "the count began again");
    }

    #[test]
    fn finish_runs_at_once_and_its_end_counts_from_the_start_of_run() {
        let mut world = running();
        world.now += SECOND / 2;
        let death = Death::Killed { signal: 9, core: false };
        let deeds = [Action::StartFinish(death), Action::Limit(Limit::Finish), Action::Publish];
        assert_eq!(world.dies(death, true), deeds);
        assert_eq!(world.state(), status::State::Finish);
        world.now += SECOND / 2;
        assert!(world.dies(OK, true).contains(&Action::Start), "together they lived a second");
    }

    #[test]
    fn down_sends_term_and_cont_and_leaves_it_down() {
        let mut world = running();
        let deeds = world.control(b'd');
        let kills: Vec<_> = deeds.iter().filter(|deed| matches!(deed, Action::Kill(_) | Action::Hook(_))).collect();
        assert_eq!(
            kills,
            [
                &Action::Hook(Control::Term),
                &Action::Kill(Sig::Term),
                &Action::Kill(Sig::Cont),
                &Action::Hook(Control::Down)
            ]
        );
        world.now += 5 * SECOND;
        world.dies(OK, false);
        assert!(!world.process && world.service.is_settled_down());
    }

    #[test]
    fn once_runs_it_once_also_out_of_a_pause() {
        let mut world = running();
        world.dies(OK, false);
        world.control(b'o');
        assert!(!world.process, "the second is not over");
        assert!(world.after(SECOND).contains(&Action::Start));
        world.now += 5 * SECOND;
        world.dies(OK, false);
        assert!(world.service.is_settled_down());
    }

    #[test]
    fn once_is_not_forgotten_when_no_process_can_be_made() {
        let (mut service, now) = (Service::new(Role::Main, false), Instant::now());
        service.step(Event::Control(Control::Once), now);
        service.step(Event::Left(None), now);
        let actions = service.step(Event::HookEnded(Hooked::Absent), now);
        assert!(actions.iter().any(|action| action == Action::Start));
        service.step(Event::NotStarted, now);
        assert_eq!(service.deadline(), Some(now + SECOND), "it is tried again");
        service.step(Event::Tick, now + SECOND);
        let actions = service.step(Event::Left(None), now + SECOND);
        assert!(actions.iter().any(|action| action == Action::Hook(Control::Up)));
    }

    #[test]
    fn kill_is_a_signal_and_not_a_change_of_state() {
        let mut world = running();
        assert!(world.control(b'k').contains(&Action::Kill(Sig::Kill)));
        assert_eq!(world.state(), status::State::Run);
        world.dies(Death::Killed { signal: 9, core: false }, true);
        assert!(world.control(b'k').contains(&Action::Kill(Sig::Kill)), "finish is ended, not started again");
        assert_eq!(world.state(), status::State::Finish);
    }

    #[test]
    fn a_hook_that_exits_with_0_stands_in_for_the_signal_but_not_for_cont() {
        let mut world = running();
        world.slow_hooks = true;
        world.control(b'd');
        let deeds = world.end_hook(Hooked::Done);
        assert_eq!(deeds, [Action::Kill(Sig::Cont), Action::Limit(Limit::Stop), Action::Hook(Control::Down)]);
        assert_eq!(world.terms, 0);
    }

    #[test]
    fn a_hanging_hook_delays_what_needs_it_and_nothing_else() {
        let mut world = running();
        world.slow_hooks = true;
        world.control(b't');
        world.control(b'd');
        assert_eq!(world.service.want(), Want::Down, "what is wanted changes at once");
        assert!(world.service.deadline().is_some());
        assert_eq!(world.after(HOOK_DEADLINE), [Action::KillHook]);
        assert_eq!(world.after(HOOK_DEADLINE), [], "killed once");
        let deeds = world.end_hook(Hooked::Refused);
        assert!(deeds.contains(&Action::Kill(Sig::Term)) && deeds.contains(&Action::Hook(Control::Term)));
    }

    #[test]
    fn kill_ends_the_hook_in_its_way() {
        let mut world = running();
        world.slow_hooks = true;
        world.control(b't');
        assert_eq!(world.control(b'k'), [Action::KillHook]);
        world.slow_hooks = false;
        assert!(world.end_hook(Hooked::Refused).contains(&Action::Kill(Sig::Kill)));
    }

    #[test]
    fn a_command_for_a_process_that_died_is_not_given_to_the_next() {
        let mut world = running();
        world.now += 5 * SECOND;
        world.slow_hooks = true;
        world.control(b't');
        world.control(b'h');
        world.dies(OK, false);
        world.slow_hooks = false;
        let deeds = world.end_hook(Hooked::Refused);
        assert!(deeds.contains(&Action::Start));
        assert!(!deeds.iter().any(|deed| matches!(deed, Action::Kill(_))));
    }

    #[test]
    fn paused_is_kept_until_cont_or_the_next_start() {
        let mut world = running();
        world.control(b'p');
        let paused = |world: &World| world.service.record(super::super::tai::Label::of(Duration::ZERO), 0).paused;
        assert!(paused(&world));
        world.control(b'c');
        assert!(!paused(&world));
        world.control(b'p');
        world.dies(OK, false);
        assert!(paused(&world));
        world.after(SECOND);
        assert!(!paused(&world));
    }

    #[test]
    fn commands_that_cannot_be_taken_yet_are_left_where_they_are() {
        let mut world = running();
        world.slow_hooks = true;
        let mut taken = 0;
        while world.service.takes_commands() {
            world.control(b'h');
            taken += 1;
        }
        assert_eq!(taken, PENDING, "one hook runs, the others wait, and one place is free");
        world.control(b'x');
        let (mut hooks, mut last) = (1, None);
        while world.hook {
            let deeds = world.end_hook(Hooked::Refused);
            hooks += deeds.iter().filter(|deed| **deed == Action::Hook(Control::Hangup)).count();
            last = deeds.into_iter().rev().find(|deed| matches!(deed, Action::Hook(_))).or(last);
        }
        assert_eq!((hooks, last), (taken, Some(Action::Hook(Control::Exit))), "none is lost");
        assert_eq!(world.terms, 1);
    }

    #[test]
    fn a_failing_log_service_gets_its_last_tries_without_the_pauses_that_had_grown() {
        let mut world = World::new(Role::Log, true);
        world.give(Event::Tick);
        for _ in 0..20 {
            world.dies(Death::Exited(1), false);
            world.after(respawn::LONGEST);
        }
        world.dies(Death::Exited(1), false);
        world.give(Event::InputEnded);
        for _ in 0..DRAIN_TRIES {
            assert!(world.after(SECOND).contains(&Action::Start));
            world.dies(Death::Exited(1), false);
        }
        assert!(world.service.is_settled_down());
    }

    #[test]
    fn finish_arguments_are_the_originals() {
        use std::os::unix::process::ExitStatusExt as _;
        let arguments = |raw| Death::of(ExitStatus::from_raw(raw)).finish_arguments();
        assert_eq!(arguments(7 << 8), ("7".to_owned(), "0".to_owned()));
        assert_eq!(arguments(9), ("-1".to_owned(), "9".to_owned()));
        assert_eq!(arguments(6 | 128), ("-1".to_owned(), "134".to_owned()));
    }

    #[test]
    fn what_is_told_to_stop_and_does_not_within_its_limit_is_killed_once() {
        let mut world = World { limit: Some(SECOND), ..running() };
        world.control(b't');
        assert_eq!(world.service.deadline(), None, "only a stop has a limit");
        world.control(b'd');
        world.after(SECOND / 2);
        world.control(b'd');
        assert_eq!(world.after(SECOND / 2), [Action::SayLimit(Limit::Stop), Action::Kill(Sig::Kill)], "not put off");
        assert_eq!(world.after(HOOK_DEADLINE), []);
        world.dies(Death::Killed { signal: 9, core: false }, true);
        assert_eq!(world.after(SECOND), [Action::SayLimit(Limit::Finish), Action::Kill(Sig::Kill)]);
        world.dies(Death::Killed { signal: 9, core: false }, true);
        assert!(world.service.is_settled_down() && world.service.deadline().is_none());
    }

    #[test]
    fn a_limit_counts_from_the_hook_that_stood_in_for_the_signal_and_ends_with_the_process() {
        let mut world = World { limit: Some(SECOND), slow_hooks: true, ..running() };
        world.control(b'd');
        assert_eq!(world.after(5 * SECOND), [], "the hook has its own");
        world.end_hook(Hooked::Done);
        world.end_hook(Hooked::Absent);
        assert!(world.after(SECOND).contains(&Action::Kill(Sig::Kill)));
        world.slow_hooks = false;
        world.dies(OK, false);
        world.control(b'u');
        world.after(SECOND);
        world.control(b'd');
        world.dies(OK, false);
        world.control(b'u');
        world.after(SECOND);
        assert!(world.process);
        assert_eq!(world.service.deadline(), None, "the next one is not killed");
    }

    fn left_by(rule: Option<Rule>) -> World {
        World { left: true, rule, ..running() }
    }

    #[test]
    fn a_stop_ends_what_is_left_and_is_over_only_then() {
        for rule in [None, Some(Rule::End), Some(Rule::Wait)] {
            let mut world = left_by(rule);
            world.control(b'd');
            assert_eq!(world.dies(OK, false), [Action::LookForLeftovers, Action::EndLeftovers, Action::Publish]);
            assert_eq!(world.state(), status::State::Finish, "it is not down yet");
            assert!(world.clears().contains(&Action::Publish));
            assert!(world.service.is_settled_down());
        }
        let mut world = left_by(Some(Rule::Keep));
        world.control(b'd');
        world.dies(OK, false);
        assert!(world.service.is_settled_down() && world.left);
    }

    #[test]
    fn a_stop_ends_what_an_earlier_run_left_also_in_the_pause() {
        let mut world = left_by(None);
        world.dies(OK, false);
        let deeds = world.service.clone().step(Event::Control(Control::Down), world.now);
        let deeds: Vec<Action> = deeds.iter().collect();
        assert_eq!(deeds, [Action::LookForLeftovers, Action::Publish], "no record says before that it is down");
        assert!(world.control(b'd').contains(&Action::EndLeftovers));
        world.clears();
        world.control(b'u');
        assert!(!world.process, "the second is not over");
        assert!(world.after(SECOND).contains(&Action::Start));
    }

    #[test]
    fn what_does_not_end_is_killed_and_at_last_given_up() {
        let mut world = left_by(None);
        world.control(b'x');
        world.dies(OK, false);
        assert_eq!(world.after(leftovers::AGAIN), [Action::EndLeftoversAgain]);
        assert_eq!(world.after(leftovers::PATIENCE - leftovers::AGAIN - SECOND), []);
        assert_eq!(world.after(SECOND), [Action::NameLeftovers(Fate::Killed), Action::KillLeftovers]);
        assert_eq!(world.give(Event::LeftoverEnded)[1], Action::KillLeftovers, "others came in its place");
        assert_eq!(world.after(leftovers::LAST_PATIENCE)[0], Action::NameLeftovers(Fate::GivenUp));
        assert!(world.service.is_settled_down());
    }

    #[test]
    fn a_start_is_beside_what_is_left_or_after_it_as_the_service_says() {
        for (rule, fate) in [(None, Some(Fate::Beside)), (Some(Rule::Keep), None)] {
            let mut world = left_by(rule);
            world.dies(OK, false);
            let deeds = world.after(SECOND);
            assert!(deeds.contains(&Action::Start) && world.left);
            let named = deeds.iter().find(|deed| matches!(deed, Action::NameLeftovers(_)));
            assert_eq!(named, fate.map(Action::NameLeftovers).as_ref());
        }
        for (rule, fate) in [(Rule::End, Fate::Ended), (Rule::Wait, Fate::Awaited)] {
            let mut world = left_by(Some(rule));
            world.dies(OK, false);
            assert!(world.after(SECOND).contains(&Action::NameLeftovers(fate)));
            assert_eq!(world.state(), status::State::Finish);
            assert_eq!(world.is_ending, rule == Rule::End);
            assert!(world.clears().contains(&Action::Start));
        }
    }

    #[test]
    fn commands_are_obeyed_while_leftovers_are_waited_for() {
        let waiting = || {
            let mut world = left_by(Some(Rule::Wait));
            world.dies(OK, false);
            world.after(SECOND);
            world
        };
        assert_eq!(waiting().control(b'k'), [Action::KillLeftovers]);
        let mut world = waiting();
        assert!(world.control(b'd').contains(&Action::EndLeftovers));
        assert_eq!(world.service.want(), Want::Down);
        world.control(b'u');
        assert!(world.clears().contains(&Action::Start));
        let mut world = waiting();
        world.control(b'o');
        assert!(world.clears().contains(&Action::Start));
        world.dies(OK, false);
        assert!(world.service.is_settled_down());
    }

    #[test]
    fn a_run_that_was_asked_for_once_may_leave_something_behind() {
        let mut world = left_by(None);
        world.control(b'o');
        world.now += 5 * SECOND;
        world.dies(OK, false);
        assert!(world.service.is_settled_down() && world.left);
        world.control(b'd');
        assert!(world.is_ending, "a stop ends it");
    }
}
