//! Every sequence of events up to a depth, and what must hold after each: the rules of a service, of its log service
//! and of the two together, explored.
//!
//! A [`World`] is a supervisor with its processes, hook and log pipe as flags, and does what `runsv` does: it steps the
//! model, carries out what that says, answers, keeps deadlines and settles. Anything may happen at any time, see
//! [`Happening`], and the supervisor may be killed before any single deed; what its notes say is what its successor
//! begins with. Two ways to the same world go on in the same way, so that every world is stepped once, and ways are
//! counted by their number: the paths are all there are, and what holds of each world holds of all of them.
//!
//! | always                                                                                                | seen by            |
//! |-------------------------------------------------------------------------------------------------------|--------------------|
//! | There are never two processes of a service, nor two hooks                                             | [`World::deed`]    |
//! | No signal is for nobody, and no hook is killed that does not run                                      | [`World::deed`]    |
//! | The end of a `run` is answered by one `finish` at most                                                | [`World::deed`]    |
//! | No service is started without a pipe to write to; the log service keeps its input while it runs       | [`World::deed`]    |
//! | A supervisor that quits leaves nothing that runs                                                      | [`World::settle`]  |
//! | From one event follow at most [`DEEDS`] deeds, and a step has room for all that it asks for           | [`World::count`]   |
//! | The record says run exactly while `run` runs, and finish while `finish` does                          | [`World::check`]   |
//! | No start is beside what is left where that is to end first, and no stop leaves anything                | [`World::deed`]    |
//! | What is not as it is wanted waits for something: a process, a hook, or a deadline of a minute at most | [`World::check`]   |
//! | A deadline that passed does not come back                                                             | [`World::check`]   |
//! | What cannot have happened changes nothing                                                             | [`World::check`]   |
//! | After `u` it runs soon, and stays so; after `d` it is down; after `x` the supervisor quits            | [`World::live`]    |
//! | After `o` it is started soon, and after any other command the signal is sent, unless it ends first    | [`World::answer`]  |
//!
//! Soon is within [`SOON`] events of a world that is kind from then on: hooks end, what was told to end ends, time passes,
//! and there are processes and pipes. So there is no state without a way out.

#![cfg(test)]

use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::time::{Duration, Instant};

use super::control::{Control, Sig};
use super::leftovers::{self, Fate, Rule};
use super::note::Kind;
use super::pair::{Joint, Pair, Who};
use super::respawn;
use super::service::{Action, Actions, Death, Event, HOOK_DEADLINE, Hooked, Left, Remains, Role, Service};
use super::status::{State, Status, Want};
use super::tai::Label;

/// So many events of a kind world lead from anywhere to what was asked for.
const SOON: usize = 48;
/// So many deeds follow from one event at most.
const DEEDS: u8 = 40;

/// What may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Happening {
    /// A control byte comes.
    Command(Who, Control),
    /// Half a second passes, and the supervisor does not get to run.
    Half,
    /// Time passes until the next deadline.
    Due,
    /// A process ends, and there is a `finish` or not.
    Ends(Who, Death, bool),
    /// The hook ends.
    HookEnds(Hooked),
    /// From now on hooks are there and take their time, or are not.
    Hooks,
    /// From now on no process can be made, or one can again.
    Forks,
    /// From now on no pipe can be made, or one can again.
    Pipes,
    /// The service lets go of a process, which lives on without it.
    Leaves,
    /// What it let go of ends.
    LeftEnds,
    /// The supervisor becomes its program anew, which begins with what is noted.
    Upgrades,
    /// A supervisor is started after the one that quit.
    Begins,
}

/// What happens, and whether the supervisor is killed while it deals with it.
#[derive(Clone, Copy)]
struct Step {
    what: Happening,
    killed: Option<Kill>,
}

/// A supervisor is killed, and the next one comes.
#[derive(Clone, Copy, Debug)]
struct Kill {
    /// When it had done so many deeds.
    after: u8,
    /// What else ends before the next one comes.
    with: Ends,
    /// There is a `finish` when it comes.
    has_finish: bool,
}

/// What ends unseen.
#[derive(Clone, Copy, Debug)]
struct Ends {
    main: bool,
    log: bool,
    hook: bool,
}

impl Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.killed {
            None => write!(f, "{:?}", self.what),
            Some(kill) => write!(f, "{:?}, {kill:?}", self.what),
        }
    }
}

/// Why a supervisor did not get to the end of what it had to do.
enum Stop {
    Killed,
    Broken(String),
}

fn broken<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Broken(what.into()))
}

/// What was ordered last of a service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Order {
    #[default]
    Up,
    Down,
    Once,
    Exit,
}

/// One of the two, and what is on disk of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Side {
    /// The process that was noted last, and when.
    note: Option<(Kind, Instant)>,
    /// It is alive.
    lives: bool,
    /// It was sent what ends it.
    told: bool,
    /// A hook stood in for a signal to it: nobody knows what comes of that.
    stood_in: bool,
    /// The end of the last `run` was dealt with.
    answered: bool,
    /// It was recorded as down since.
    buried: bool,
    order: Order,
    recorded: Option<Recorded>,
}

/// What was recorded last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Recorded {
    want: Want,
    paused: bool,
    got_term: bool,
    once: bool,
    stopping: bool,
    order: Order,
}

impl Side {
    fn is(&self, kind: Kind) -> bool {
        self.lives && self.note.is_some_and(|note| note.0 == kind)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct World {
    /// The same in every world: times are told from here.
    now: Instant,
    pair: Pair,
    main: Side,
    log: Side,
    hook: bool,
    /// The supervisor's writing end of the log pipe is open.
    input: bool,
    /// Hooks are there and take their time.
    hooks: bool,
    forks: bool,
    pipes: bool,
    /// Something lives that the service let go of.
    left: bool,
    /// It was told to end.
    left_told: bool,
    /// What the service says of it.
    rule: Option<Rule>,
    /// How long a stop and a `finish` may take.
    limit: Option<Duration>,
    quit: bool,
    /// A deadline may have passed unseen.
    late: bool,
    /// Deeds of this event.
    deeds: u8,
    /// The supervisor is killed before it does more.
    fuse: Option<u8>,
    /// What the service was sent at this event, a bit each.
    sent: u16,
}

impl World {
    fn new(now: Instant, up: bool, log_up: Option<bool>) -> World {
        let order = |up: bool| if up { Order::Up } else { Order::Down };
        let mut world = World {
            now,
            pair: Pair::new(up, log_up),
            main: Side { order: order(up), ..Side::default() },
            log: Side { order: order(log_up.unwrap_or(false)), ..Side::default() },
            hook: false,
            input: true,
            hooks: false,
            forks: true,
            pipes: true,
            left: false,
            left_told: false,
            rule: None,
            limit: None,
            quit: false,
            late: false,
            deeds: 0,
            fuse: None,
            sent: 0,
        };
        assert!(world.begin().is_ok());
        world.at_rest()
    }

    /// Without what belongs to the event that led here.
    fn at_rest(self) -> World {
        World { deeds: 0, fuse: None, sent: 0, ..self }
    }

    /// What a supervisor does first.
    fn begin(&mut self) -> Result<(), Stop> {
        for who in [Who::Main, Who::Log] {
            if self.pair.get(who).is_some() {
                self.deed(who, Action::Publish)?;
            }
        }
        for who in [Who::Main, Who::Log] {
            if let Some(control) = self.pair.get(who).and_then(Service::unfinished) {
                self.apply(who, Event::Control(control))?;
            }
        }
        self.tick()?;
        self.settle()
    }

    /// The world after `step`; or what is wrong with it.
    fn after(mut self, step: Step) -> Result<World, String> {
        self.fuse = step.killed.map(|kill| kill.after);
        let result = match (self.happen(step.what), step.killed) {
            (Ok(()) | Err(Stop::Killed), Some(kill)) => {
                self.left = false; // it is nobody's any more
                self.succeed(kill)
            }
            (result, _) => result,
        };
        match result {
            Ok(()) => Ok(self),
            Err(Stop::Broken(why)) => Err(why),
            Err(Stop::Killed) => Err("the successor was killed".into()),
        }
    }

    fn happen(&mut self, what: Happening) -> Result<(), Stop> {
        self.deeds = 0;
        self.late = false;
        match what {
            Happening::Command(who, control) => {
                self.side(who).order = match control {
                    Control::Up => Order::Up,
                    Control::Down => Order::Down,
                    Control::Once => Order::Once,
                    Control::Exit if who == Who::Main => Order::Exit,
                    _ => self.side(who).order,
                };
                self.apply(who, Event::Control(control))?;
            }
            Happening::Half => {
                self.pass(Duration::from_millis(500));
                self.late = true;
                return Ok(());
            }
            Happening::Due => {
                let deadline = self.pair.deadline().unwrap_or(self.now);
                self.pass(deadline.saturating_duration_since(self.now));
            }
            Happening::Ends(who, death, has_finish) => {
                self.side(who).lives = false;
                self.apply(who, Event::Died { death, has_finish })?;
            }
            Happening::HookEnds(outcome) => {
                self.main.stood_in |= outcome == Hooked::Done;
                self.end_hook(outcome)?;
            }
            Happening::Hooks => self.hooks = !self.hooks,
            Happening::Forks => self.forks = !self.forks,
            Happening::Pipes => self.pipes = !self.pipes,
            Happening::Leaves => (self.left, self.left_told) = (true, false),
            Happening::LeftEnds => {
                (self.left, self.left_told) = (false, false);
                if self.waits_for_leftovers() {
                    self.apply(Who::Main, Event::LeftoverEnded)?;
                }
            }
            Happening::Upgrades => {
                let none = Ends { main: false, log: false, hook: false };
                return self.succeed(Kill { after: 0, with: none, has_finish: true });
            }
            Happening::Begins => {
                let log = self.pair.get(Who::Log).map(|_| true);
                let World { hooks, forks, pipes, rule, limit, .. } = *self;
                *self = World { hooks, rule, limit, ..World::new(self.now, true, log) };
                (self.forks, self.pipes) = (forks, pipes);
            }
        }
        if self.pair.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.tick()?;
        }
        self.settle()
    }

    /// The supervisor was killed: the next one begins, with what is noted.
    fn succeed(&mut self, kill: Kill) -> Result<(), Stop> {
        (self.fuse, self.deeds, self.late) = (None, 0, false);
        self.main.lives &= !kill.with.main;
        self.log.lives &= !kill.with.log;
        self.hook &= !kill.with.hook;
        for side in [&mut self.main, &mut self.log] {
            side.order = side.recorded.map_or(side.order, |it| it.order);
        }
        let nothing_runs = !self.main.lives && !self.log.lives && !self.hook;
        let mut left = self.main.left(kill.has_finish);
        if nothing_runs && left.want == Want::Exit {
            (left.want, self.main.order) = (Want::Up, Order::Up);
        }
        let main = Service::resumed(Role::Main, left, self.now);
        let main = if self.hook { main.behind_a_hook(self.now) } else { main };
        let log = self.pair.get(Who::Log).map(|_| Service::resumed(Role::Log, self.log.left(false), self.now));
        self.pair = Pair::resumed(main, log);
        self.input = true;
        self.begin()
    }

    fn apply(&mut self, who: Who, event: Event) -> Result<(), Stop> {
        let actions = self.pair.step(who, event, self.now);
        if actions.iter().count() == Actions::CAPACITY {
            return broken("no room is left for more actions");
        }
        for action in actions.iter() {
            if let Some(answer) = self.deed(who, action)? {
                self.apply(who, answer)?;
                if answer == Event::NotStarted {
                    return Ok(()); // the rest was about a process that is not there
                }
            }
        }
        Ok(())
    }

    /// One deed, before which the supervisor may be killed.
    fn count(&mut self) -> Result<(), Stop> {
        if self.fuse == Some(self.deeds) {
            return Err(Stop::Killed);
        }
        self.deeds += 1;
        if self.deeds > DEEDS { broken("there is no end to what it does") } else { Ok(()) }
    }

    fn deed(&mut self, who: Who, action: Action) -> Result<Option<Event>, Stop> {
        self.count()?;
        let record = self.record(who);
        let World { now, input, hooks, hook, forks, pair, left, rule, limit, .. } = *self;
        let once = pair.get(who).is_some_and(Service::is_once);
        let stopping = pair.get(who).is_some_and(Service::is_stopping);
        let side = self.side(who);
        match action {
            Action::Start | Action::StartFinish(_) if side.lives => return broken("a second process"),
            Action::Start if who == Who::Main && left && matches!(rule, Some(Rule::End | Rule::Wait)) => {
                return broken("a start beside what is left");
            }
            Action::Start if who == Who::Main && !input => return broken("a service without its log pipe"),
            Action::Start | Action::StartFinish(_) if !forks => return Ok(Some(Event::NotStarted)),
            Action::Start => {
                let note = Some((Kind::Run, now));
                *side =
                    Side { note, lives: true, told: false, stood_in: false, answered: false, buried: false, ..*side };
            }
            Action::StartFinish(_) if side.answered => return broken("a second finish for the same end"),
            Action::StartFinish(_) => {
                let note = Some((Kind::Finish, now));
                *side = Side { note, lives: true, told: false, answered: true, buried: false, ..*side };
            }
            Action::Kill(_) if !side.lives => return broken("a signal for nobody"),
            Action::Kill(signal) => {
                side.told |= matches!(signal, Sig::Term | Sig::Kill);
                self.sent |= if who == Who::Main { bit(signal) } else { 0 };
            }
            Action::Hook(_) if who == Who::Log => return Ok(Some(Event::HookEnded(Hooked::Absent))),
            Action::Hook(_) if hook => return broken("two hooks at a time"),
            Action::Hook(_) if !hooks => return Ok(Some(Event::HookEnded(Hooked::Absent))),
            Action::Hook(_) if !forks => return Ok(Some(Event::HookEnded(Hooked::Refused))),
            Action::Hook(_) => self.hook = true,
            Action::KillHook if !hook => return broken("no hook to kill"),
            Action::Publish => {
                let Some(Status { want, paused, got_term, state, .. }) = record else { return broken("no record") };
                side.recorded = Some(Recorded { want, paused, got_term, once, stopping, order: side.order });
                side.buried |= state == State::Down && !side.lives;
                side.answered |= side.buried;
            }
            Action::LookForLeftovers => {
                let patience = leftovers::PATIENCE;
                return Ok(Some(Event::Left(left.then_some(leftovers::Left { rule, patience }))));
            }
            Action::NameLeftovers(_) | Action::EndLeftovers | Action::EndLeftoversAgain | Action::KillLeftovers
                if !left || rule == Some(Rule::Keep) =>
            {
                return broken("nobody is left to deal with");
            }
            Action::NameLeftovers(Fate::GivenUp) => self.left = false,
            Action::NameLeftovers(_) => {}
            Action::EndLeftovers | Action::EndLeftoversAgain | Action::KillLeftovers => self.left_told = true,
            Action::Limit(_) => return Ok(limit.map(Event::Limit)),
            Action::SayLimit(_) if !side.lives => return broken("nobody took too long"),
            Action::KillHook | Action::SayLimit(_) | Action::Stamp | Action::SayPause(..) => {}
        }
        Ok(None)
    }

    fn end_hook(&mut self, outcome: Hooked) -> Result<(), Stop> {
        self.hook = false;
        self.apply(Who::Main, Event::HookEnded(outcome))
    }

    fn tick(&mut self) -> Result<(), Stop> {
        self.apply(Who::Log, Event::Tick)?;
        self.apply(Who::Main, Event::Tick)
    }

    fn settle(&mut self) -> Result<(), Stop> {
        loop {
            match self.pair.settle(self.now) {
                None => return Ok(()),
                Some(Joint::Quit) => {
                    let has_left = self.left && self.rule != Some(Rule::Keep);
                    if self.main.lives || self.log.lives || self.hook || has_left {
                        return broken("it quits and leaves something that runs");
                    }
                    self.count()?;
                    self.quit = true;
                    return Ok(());
                }
                Some(Joint::CloseInput) => {
                    self.count()?;
                    if self.main.lives {
                        return broken("the input ends while the service runs");
                    }
                    self.input = false;
                    self.apply(Who::Log, Event::InputEnded)?;
                }
                Some(Joint::ReopenInput) => {
                    self.count()?;
                    if self.pipes {
                        self.input = true;
                        self.pair = self.pair.reopened();
                        self.tick()?;
                    }
                }
            }
        }
    }

    fn pass(&mut self, by: Duration) {
        let now = self.now;
        self.pair = self.pair.told_later(by, now);
        for side in [&mut self.main, &mut self.log] {
            if let Some((_, noted)) = &mut side.note {
                *noted = (*noted - by).max(now - respawn::YOUNG);
            }
        }
    }

    fn side(&mut self, who: Who) -> &mut Side {
        match who {
            Who::Main => &mut self.main,
            Who::Log => &mut self.log,
        }
    }

    fn record(&self, who: Who) -> Option<Status> {
        self.pair.get(who).map(|service| service.record(Label::of(Duration::ZERO), 0))
    }

    fn is_down(&self, who: Who) -> bool {
        self.pair.get(who).is_none_or(Service::is_settled_down)
    }

    /// What must hold of it as it is.
    fn check(&self) -> Result<(), String> {
        if self.quit {
            return Ok(());
        }
        let deadline = self.pair.deadline();
        let waits = self.main.lives || self.log.lives || self.hook || self.left || deadline.is_some();
        for (who, side) in [(Who::Main, &self.main), (Who::Log, &self.log)] {
            let Some(record) = self.record(who) else { continue };
            if (record.state == State::Run) != side.is(Kind::Run) {
                return Err(format!("the record of {who:?} says {:?}", record.state));
            }
            if side.is(Kind::Finish) && record.state != State::Finish {
                return Err(format!("the record says {:?} during finish", record.state));
            }
            if !self.is_down(who) && !waits {
                return Err(format!("{who:?} waits for nothing"));
            }
            if !side.lives {
                self.means_nothing(who, Event::Died { death: Death::Exited(1), has_finish: true })?;
            }
        }
        if !self.hook {
            self.means_nothing(Who::Main, Event::HookEnded(Hooked::Refused))?;
        }
        match deadline {
            Some(deadline) if deadline > self.now + HOOK_DEADLINE => Err("a deadline in the far future".into()),
            Some(deadline) if deadline <= self.now && !self.late => Err("a deadline that passed comes back".into()),
            _ => Ok(()),
        }
    }

    fn means_nothing(&self, who: Who, event: Event) -> Result<(), String> {
        let mut pair = self.pair;
        let actions = pair.step(who, event, self.now);
        if !self.late && (pair != self.pair || actions.iter().next().is_some()) {
            return Err(format!("{event:?} of {who:?} cannot be, and means something"));
        }
        Ok(())
    }

    /// What must come of it in a kind world: what was ordered last.
    fn live(&self) -> Result<(), String> {
        self.leads_to(|it| it.quit || it.main_is_met() && it.log_is_met(), "what was ordered last comes")
    }

    fn main_is_met(&self) -> bool {
        let runs = self.main.is(Kind::Run) && !self.main.told;
        match self.main.order {
            _ if self.hook => false,
            _ if self.main.stood_in && self.main.is(Kind::Run) => true,
            Order::Up => runs,
            Order::Down => self.is_down(Who::Main) && (!self.left || self.rule == Some(Rule::Keep)),
            Order::Once => runs || self.is_down(Who::Main),
            Order::Exit => false,
        }
    }

    fn log_is_met(&self) -> bool {
        let (runs, is_down) = (self.log.is(Kind::Run) && !self.log.told, self.is_down(Who::Log));
        match self.log.order {
            Order::Up if self.input && self.pair.get(Who::Log).is_some() => runs,
            Order::Once if self.input => runs || is_down,
            _ => is_down,
        }
    }

    /// What must come of a command, which was given to it `before` and led here.
    fn answer(&self, control: Control, before: &World) -> Result<(), String> {
        let signal = match control {
            Control::Down | Control::Exit => Some(Sig::Term),
            other => other.signal(),
        };
        match signal {
            Some(signal) if before.main.is(Kind::Run) => {
                let is_met = |it: &World| it.sent & bit(signal) != 0 || !it.main.lives || it.main.stood_in;
                self.leads_to(is_met, "the signal is sent")
            }
            None if control == Control::Once
                && !matches!(before.record(Who::Main), Some(Status { state: State::Finish, .. })) =>
            {
                self.leads_to(|it| it.main.is(Kind::Run), "it is started")
            }
            _ => Ok(()),
        }
    }

    /// Whether it comes to what is wanted soon, if the world is kind from now on.
    fn leads_to(mut self, is_met: impl Fn(&World) -> bool, wanted: &str) -> Result<(), String> {
        (self.forks, self.pipes) = (true, true);
        let mut way = Vec::new();
        while !is_met(&self) {
            let next = self.kind().filter(|_| way.len() < SOON);
            let Some(what) = next else { return Err(format!("not so: {wanted}; after {way:?} it is {self:?}")) };
            way.push(what);
            match self.happen(what) {
                Ok(()) => {}
                Err(Stop::Broken(why)) => return Err(format!("{why}, after {way:?}")),
                Err(Stop::Killed) => return Err("killed".into()),
            }
        }
        Ok(())
    }

    /// What happens next in a kind world.
    fn kind(&self) -> Option<Happening> {
        let ok = Death::Exited(0);
        if self.quit {
            None
        } else if self.hook {
            Some(Happening::HookEnds(Hooked::Refused))
        } else if self.main.lives && (self.main.told || self.main.is(Kind::Finish)) {
            Some(Happening::Ends(Who::Main, ok, false))
        } else if self.left && (self.left_told || self.waits_for_leftovers()) {
            Some(Happening::LeftEnds)
        } else if self.log.lives && (self.log.told || !self.input) {
            Some(Happening::Ends(Who::Log, ok, false))
        } else {
            self.due()
        }
    }

    fn waits_for_leftovers(&self) -> bool {
        self.pair.get(Who::Main).is_some_and(Service::waits_for_leftovers)
    }

    fn due(&self) -> Option<Happening> {
        self.pair.deadline().map(|_| Happening::Due)
    }
}

impl Side {
    /// What a successor finds of it.
    fn left(&self, has_finish: bool) -> Left {
        let remains = match self.note {
            Some((Kind::Run, since)) if self.lives => Remains::Run { since },
            Some((Kind::Run, since)) => Remains::EndedRun { since, has_finish: has_finish && !self.buried },
            Some((Kind::Finish, since)) if self.lives => Remains::Finish { since },
            _ => Remains::Nothing,
        };
        let want = if self.order == Order::Up { Want::Up } else { Want::Down };
        let new = Recorded { want, paused: false, got_term: false, once: false, stopping: false, order: self.order };
        let Recorded { want, paused, got_term, once, stopping, .. } = self.recorded.unwrap_or(new);
        let once = once && (self.note.is_none() || self.buried || self.lives);
        Left { want, paused, got_term, once, stopping, remains }
    }
}

fn bit(signal: Sig) -> u16 {
    1 << signal as u16
}

/// What an exploration is about.
#[derive(Clone, Copy, Debug)]
struct Scope {
    /// The commands for each of the two.
    main: &'static [u8],
    log: &'static [u8],
    /// What the machine may lack.
    faults: bool,
    /// Supervisors are killed.
    kills: bool,
    /// The service leaves something behind.
    leaves: bool,
}

impl Scope {
    /// Everything that may happen in `world` now.
    fn steps(&self, world: &World) -> Vec<Step> {
        let mut all = Vec::new();
        if world.quit {
            return vec![Step { what: Happening::Begins, killed: None }];
        }
        for (who, bytes) in [(Who::Main, self.main), (Who::Log, self.log)] {
            if world.pair.get(who).is_some_and(Service::takes_commands) {
                let controls = bytes.iter().filter_map(|byte| Control::from_byte(*byte));
                all.extend(controls.map(|control| Happening::Command(who, control)));
            }
        }
        all.push(Happening::Half);
        if world.pair.is_at_rest() {
            all.push(Happening::Upgrades);
        }
        if world.pair.deadline().is_some() {
            all.push(Happening::Due);
        }
        if world.main.lives {
            all.push(Happening::Ends(Who::Main, Death::Exited(0), false));
            if world.main.is(Kind::Run) {
                all.push(Happening::Ends(Who::Main, Death::Exited(1), true));
            }
        }
        if world.log.lives {
            all.push(Happening::Ends(Who::Log, Death::Exited(0), false));
            all.push(Happening::Ends(Who::Log, Death::Exited(1), false));
        }
        if world.hook {
            all.push(Happening::HookEnds(Hooked::Done));
            all.push(Happening::HookEnds(Hooked::Refused));
        }
        if self.leaves && world.main.lives && !world.left {
            all.push(Happening::Leaves);
        }
        if world.left {
            all.push(Happening::LeftEnds);
        }
        if self.faults {
            all.extend([Happening::Hooks, Happening::Forks]);
            if world.pair.get(Who::Log).is_some() {
                all.push(Happening::Pipes);
            }
        }
        let seen = all.into_iter().map(|what| Step { what, killed: None });
        if self.kills { seen.flat_map(|step| with_kills(world, step)).collect() } else { seen.collect() }
    }
}

/// A step, and the same with the supervisor killed before each of its deeds and after the last, and with whatever may
/// end with it.
fn with_kills(world: &World, step: Step) -> Vec<Step> {
    let mut all = vec![step];
    let Ok(after) = world.after(step) else { return all };
    if after.quit {
        return all;
    }
    let either = |lives: bool| if lives { &[false, true][..] } else { &[false][..] };
    for deeds in 0..=after.deeds {
        let mut killed = |main, log, hook, has_finish| {
            let kill = Kill { after: deeds, with: Ends { main, log, hook }, has_finish };
            all.push(Step { killed: Some(kill), ..step });
        };
        if deeds < after.deeds || !changes_nothing_but_time(step.what) {
            killed(false, false, false, true);
            killed(true, true, true, true);
            killed(true, true, true, false);
            continue;
        }
        for main in either(after.main.lives) {
            for log in either(after.log.lives) {
                for hook in either(after.hook) {
                    for has_finish in either(*main || !after.main.lives) {
                        killed(*main, *log, *hook, *has_finish);
                    }
                }
            }
        }
    }
    all
}

fn changes_nothing_but_time(what: Happening) -> bool {
    what == Happening::Half
}

/// A hash of a few instructions: worlds are looked up all the time.
#[derive(Default)]
struct Mix(u64);

impl Mix {
    fn add(&mut self, value: u64) {
        self.0 = (self.0.rotate_left(5) ^ value).wrapping_mul(0x517c_c1b7_2722_0a95);
    }
}

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.add(u64::from(*byte)));
    }

    fn write_u8(&mut self, value: u8) {
        self.add(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.add(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.add(value);
    }

    fn write_usize(&mut self, value: usize) {
        self.add(value as u64);
    }

    fn write_i64(&mut self, value: i64) {
        self.add(value.cast_unsigned());
    }

    fn write_isize(&mut self, value: isize) {
        self.add(value as u64);
    }
}

/// What was found.
#[derive(Debug)]
struct Explored {
    /// Different worlds.
    worlds: usize,
    /// Steps from one of them.
    steps: usize,
    /// Sequences of events of exactly the depth.
    paths: u128,
}

/// Steps every world that can be reached from `first` within `depth` events, and checks it.
fn explore(first: Vec<World>, depth: usize, scope: Scope) -> Explored {
    let mut ids: HashMap<World, usize, BuildHasherDefault<Mix>> = HashMap::default();
    let mut worlds = Vec::new();
    let mut came: Vec<Option<(usize, Step)>> = Vec::new();
    let mut onward: Vec<Vec<usize>> = Vec::new();
    let mut steps = 0;
    let mut front: HashMap<usize, u128> = HashMap::new();
    for (id, world) in first.into_iter().enumerate() {
        ids.insert(world, id);
        worlds.push(world);
        came.push(None);
        front.insert(id, 1);
    }
    let way = |came: &[Option<(usize, Step)>], mut at: usize| {
        let mut way = Vec::new();
        while let Some((before, step)) = came[at] {
            way.insert(0, step);
            at = before;
        }
        way
    };
    for _ in 0..depth {
        onward.resize(worlds.len(), Vec::new());
        let mut next: HashMap<usize, u128> = HashMap::new();
        for (id, paths) in front {
            if onward[id].is_empty() {
                let world: World = worlds[id];
                for step in scope.steps(&world) {
                    steps += 1;
                    let known = worlds.len();
                    let found = world.after(step).and_then(|after| {
                        let to = *ids.entry(after.at_rest()).or_insert(known);
                        if to == known {
                            worlds.push(after.at_rest());
                            came.push(Some((id, step)));
                            after.check()?;
                            if after.forks && after.pipes {
                                after.live()?;
                            }
                        }
                        if let Step { what: Happening::Command(Who::Main, control), killed: None } = step {
                            after.answer(control, &world)?;
                        }
                        Ok(to)
                    });
                    onward[id].push(found.unwrap_or_else(|why| {
                        panic!("{why}\n\nat {step:?}\n\nin {world:?}\n\nafter {:#?}", way(&came, id))
                    }));
                }
            }
            for to in &onward[id] {
                *next.entry(*to).or_default() += paths;
            }
        }
        front = next;
    }
    Explored { worlds: worlds.len(), steps, paths: front.values().sum() }
}

/// Explores what is about to begin, with hooks and without, normally up or down: `log` the log service, if there is one.
fn explored(up: bool, log: Option<bool>, depth: usize, scope: Scope) -> Explored {
    let world = World::new(Instant::now(), up, log);
    let found = explore(vec![world, World { hooks: true, ..world }], depth, scope);
    let Explored { worlds, steps, paths } = found;
    println!("{depth} events: {paths} paths, {worlds} worlds, {steps} steps");
    found
}

/// Up to 5 events, of 18 kinds: over a million paths.
#[test]
fn a_service_keeps_its_promises_whatever_happens() {
    let scope = Scope { main: b"udoxtkpch", log: b"", faults: true, kills: false, leaves: false };
    let found = explored(true, None, 5, scope);
    assert!(found.paths > 1_000_000, "{found:?}");
}

/// Up to 5 events, of 20 kinds: over a million paths.
#[test]
fn a_service_and_its_log_service_keep_their_promises_whatever_happens() {
    let scope = Scope { main: b"uxtk", log: b"udok", faults: true, kills: false, leaves: false };
    let found = explored(true, Some(true), 5, scope);
    assert!(found.paths > 1_000_000, "{found:?}");
    explored(false, Some(false), 4, scope);
}

/// Up to 3 events, and a kill of the supervisor at any deed of any of them: over a million paths.
#[test]
fn a_service_keeps_its_promises_also_when_its_supervisors_are_killed() {
    let scope = Scope { main: b"udoxtkp", log: b"", faults: true, kills: true, leaves: false };
    let found = explored(true, None, 3, scope);
    assert!(found.paths > 1_000_000, "{found:?}");
}

/// Up to 3 events, and a kill of the supervisor at any deed of any of them: over a million paths.
#[test]
fn a_service_and_its_log_service_keep_their_promises_also_when_their_supervisors_are_killed() {
    let scope = Scope { main: b"udox", log: b"ud", faults: true, kills: true, leaves: false };
    let found = explored(true, Some(true), 3, scope);
    assert!(found.paths > 1_000_000, "{found:?}");
}

/// Up to 5 events, of 13 kinds, for each rule, and with limits for a stop and for `finish`.
#[test]
fn a_service_that_leaves_something_behind_keeps_its_promises_whatever_happens() {
    let scope = Scope { main: b"udoxtk", log: b"", faults: false, kills: false, leaves: true };
    for rule in [None, Some(Rule::End), Some(Rule::Wait), Some(Rule::Keep)] {
        let limit = rule.is_none().then_some(Duration::from_secs(3));
        let world = World { rule, limit, ..World::new(Instant::now(), true, None) };
        let found = explore(vec![world, World { hooks: true, ..world }], 5, scope);
        assert!(found.paths > 30_000, "{found:?}");
    }
}
