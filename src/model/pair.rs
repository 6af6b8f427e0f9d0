//! A service and its log service together: who ends first, and when the supervisor is done.

use std::time::{Duration, Instant};

use super::control::Control;
use super::service::{Actions, Event, Role, Service};
use super::status::Want;

/// How long to wait before trying again to make a log pipe; it doubles up to [`LONGEST_PIPE_RETRY`].
const PIPE_RETRY: Duration = Duration::from_secs(1);
const LONGEST_PIPE_RETRY: Duration = Duration::from_secs(60);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// The service itself.
    Main,
    /// Its log service.
    Log,
}

/// Where the pair is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Not on it.
    Serving,
    /// The service is gone for good, and the log service reads what is left.
    Draining,
    /// The service is wanted again after all, and needs a new pipe at this moment; and the pause before that.
    Reopening(Instant, Duration),
}

/// What happens to both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joint {
    /// Close the supervisor's writing end of the log pipe, so that the log service sees the end.
    CloseInput,
    /// Make a new log pipe; answer with [`Pair::reopened`].
    ReopenInput,
    /// The supervisor is done.
    Quit,
}

/// A service with its log service, if it has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    main: Service,
    log: Option<Service>,
    phase: Phase,
}

impl Pair {
    /// A pair before its first start.
    pub fn new(main_normally_up: bool, log_normally_up: Option<bool>) -> Pair {
        let log = log_normally_up.map(|up| Service::new(Role::Log, up));
        Pair::resumed(Service::new(Role::Main, main_normally_up), log)
    }

    /// A pair that was left by a supervisor that was killed.
    pub fn resumed(main: Service, log: Option<Service>) -> Pair {
        Pair { main, log, phase: Phase::Serving }
    }

    /// One of the two.
    pub fn get(&self, who: Who) -> Option<&Service> {
        match who {
            Who::Main => Some(&self.main),
            Who::Log => self.log.as_ref(),
        }
    }

    /// Becomes what it is after `event` happened to `who`, and gives what to do for `who`.
    pub fn step(&mut self, who: Who, event: Event, now: Instant) -> Actions {
        match (who, &mut self.log) {
            (Who::Main, _) => self.main.step(event, now),
            (Who::Log, Some(log)) => log.step(event, now),
            (Who::Log, None) => Actions::none(),
        }
    }

    /// What is due for both together; ask after every step, until there is nothing.
    pub fn settle(&mut self, now: Instant) -> Option<Joint> {
        let main_is_gone = self.main.want() == Want::Exit && self.main.is_settled_down();
        let log_is_gone = self.log.is_none_or(|log| log.is_settled_down());
        match self.phase {
            Phase::Serving if main_is_gone && self.log.is_none() => Some(Joint::Quit),
            Phase::Serving if main_is_gone => {
                self.phase = Phase::Draining;
                self.main.hold(true);
                Some(Joint::CloseInput)
            }
            Phase::Draining if log_is_gone && main_is_gone => Some(Joint::Quit),
            Phase::Draining if log_is_gone => {
                self.phase = Phase::Reopening(now + PIPE_RETRY, PIPE_RETRY);
                Some(Joint::ReopenInput)
            }
            Phase::Reopening(at, pause) if at <= now => {
                let pause = (pause * 2).min(LONGEST_PIPE_RETRY);
                self.phase = Phase::Reopening(now + pause, pause);
                Some(Joint::ReopenInput)
            }
            Phase::Serving | Phase::Draining | Phase::Reopening(..) => None,
        }
    }

    /// Whether another supervisor could go on from the notes of this one: see [`Service::is_at_rest`].
    pub fn is_at_rest(&self) -> bool {
        self.phase == Phase::Serving && self.main.is_at_rest() && self.log.is_none_or(|log| log.is_at_rest())
    }

    /// There is a new log pipe: both go on. The caller ticks both.
    pub fn reopened(self) -> Pair {
        let mut main = self.main;
        main.hold(false);
        Pair { main, log: self.log.map(Service::renewed), phase: Phase::Serving }
    }

    /// The same pair `by` later, as it would be told if that were `now`.
    #[cfg(test)]
    pub fn told_later(self, by: Duration, now: Instant) -> Pair {
        let phase = match self.phase {
            Phase::Reopening(at, pause) => Phase::Reopening((at - by).max(now), pause),
            Phase::Serving | Phase::Draining => self.phase,
        };
        let later = |service: Service| service.told_later(by, now);
        Pair { main: later(self.main), log: self.log.map(later), phase }
    }

    /// When both must be ticked next.
    pub fn deadline(&self) -> Option<Instant> {
        let reopening = match self.phase {
            Phase::Reopening(at, _) => Some(at),
            Phase::Serving | Phase::Draining => None,
        };
        let log = self.log.and_then(|log| log.deadline());
        reopening.into_iter().chain(self.main.deadline()).chain(log).min()
    }
}

/// The event of a control byte, if the byte means anything.
pub fn control_event(byte: u8) -> Option<Event> {
    Control::from_byte(byte).map(Event::Control)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::service::{Action, Death, Hooked};

    /// Steps `pair` and answers every hook, and every look for leftovers, with "there is none".
    fn step(mut pair: Pair, who: Who, event: Event, now: Instant) -> (Pair, Vec<Action>) {
        let actions = pair.step(who, event, now);
        let mut done = Vec::new();
        for action in actions.iter() {
            done.push(action);
            let answer = match action {
                Action::Hook(_) => Event::HookEnded(Hooked::Absent),
                Action::LookForLeftovers => Event::Left(None),
                _ => continue,
            };
            let (next, more) = step(pair, who, answer, now);
            pair = next;
            done.extend(more);
        }
        (pair, done)
    }

    fn settle(mut pair: Pair, now: Instant) -> (Pair, Option<Joint>) {
        let joint = pair.settle(now);
        (pair, joint)
    }

    fn died(pair: Pair, who: Who, now: Instant) -> Pair {
        step(pair, who, Event::Died { death: Death::Exited(0), has_finish: false }, now).0
    }

    fn running(now: Instant) -> Pair {
        let pair = Pair::new(true, Some(true));
        step(step(pair, Who::Log, Event::Tick, now).0, Who::Main, Event::Tick, now).0
    }

    #[test]
    fn exit_stops_the_service_then_the_log_then_the_supervisor() {
        let now = Instant::now();
        let (pair, _) = step(running(now), Who::Main, Event::Control(Control::Exit), now);
        let (pair, joint) = settle(pair, now);
        assert_eq!(joint, None, "the service still runs");
        let (pair, joint) = settle(died(pair, Who::Main, now), now);
        assert_eq!(joint, Some(Joint::CloseInput));
        let (pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        assert_eq!(settle(pair, now).1, None, "the log service still reads");
        assert_eq!(settle(died(pair, Who::Log, now), now).1, Some(Joint::Quit));
    }

    #[test]
    fn up_while_the_log_service_drains_brings_both_back_with_a_new_pipe() {
        let now = Instant::now();
        let (pair, _) = step(running(now), Who::Main, Event::Control(Control::Exit), now);
        let (pair, _) = settle(died(pair, Who::Main, now), now);
        let (pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        let later = now + Duration::from_secs(5);
        let (pair, actions) = step(pair, Who::Main, Event::Control(Control::Up), later);
        assert!(!actions.contains(&Action::Start), "there is no pipe to write to");
        let (pair, joint) = settle(died(pair, Who::Log, later), later);
        assert_eq!(joint, Some(Joint::ReopenInput));
        let pair = pair.reopened();
        let (pair, log) = step(pair, Who::Log, Event::Tick, later);
        let (_, main) = step(pair, Who::Main, Event::Tick, later);
        assert!(log.contains(&Action::Start) && main.contains(&Action::Start));
    }

    #[test]
    fn a_pipe_that_cannot_be_made_is_tried_again_with_growing_pauses() {
        let mut now = Instant::now();
        let (pair, _) = step(running(now), Who::Main, Event::Control(Control::Exit), now);
        let (pair, _) = settle(died(pair, Who::Main, now), now);
        let (pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        let (pair, _) = step(pair, Who::Main, Event::Control(Control::Up), now);
        let mut pair = died(pair, Who::Log, now);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            let (next, joint) = settle(pair, now);
            assert_eq!(joint, Some(Joint::ReopenInput));
            assert_eq!(settle(next, now).1, None);
            pair = next;
            let at = pair.deadline().unwrap();
            pauses.push((at - now).as_secs());
            now = at;
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn a_failing_log_service_is_given_a_few_more_chances_to_read_what_is_left() {
        let mut now = Instant::now();
        let (pair, _) = step(running(now), Who::Main, Event::Control(Control::Exit), now);
        let (pair, _) = settle(died(pair, Who::Main, now), now);
        let (mut pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        let mut starts = 0;
        for _ in 0..20 {
            if settle(pair, now).1 == Some(Joint::Quit) {
                break;
            }
            let crash = Event::Died { death: Death::Killed { signal: 11, core: false }, has_finish: false };
            pair = step(pair, Who::Log, crash, now).0;
            now += Duration::from_secs(1);
            let (next, actions) = step(pair, Who::Log, Event::Tick, now);
            starts += actions.iter().filter(|action| **action == Action::Start).count();
            pair = next;
        }
        assert_eq!((starts, settle(pair, now).1), (2, Some(Joint::Quit)));
    }

    #[test]
    fn a_log_service_that_is_down_on_purpose_does_not_hold_the_exit() {
        let now = Instant::now();
        let pair = step(Pair::new(true, Some(false)), Who::Main, Event::Tick, now).0;
        let (pair, _) = step(pair, Who::Main, Event::Control(Control::Exit), now);
        let (pair, joint) = settle(died(pair, Who::Main, now), now);
        assert_eq!(joint, Some(Joint::CloseInput));
        assert_eq!(settle(step(pair, Who::Log, Event::InputEnded, now).0, now).1, Some(Joint::Quit));
    }

    #[test]
    fn a_log_service_that_is_told_to_be_down_while_it_reads_what_is_left_is_down_and_stays_so() {
        let now = Instant::now();
        let (pair, _) = step(running(now), Who::Main, Event::Control(Control::Exit), now);
        let (pair, _) = settle(died(pair, Who::Main, now), now);
        let (pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        let (pair, _) = step(pair, Who::Log, Event::Control(Control::Down), now);
        let killed = Event::Died { death: Death::Killed { signal: 15, core: false }, has_finish: false };
        let (pair, _) = step(pair, Who::Log, killed, now);
        assert_eq!(settle(pair, now).1, Some(Joint::Quit), "it is not given another chance to read");
        let (pair, _) = step(pair, Who::Main, Event::Control(Control::Up), now);
        assert_eq!(settle(pair, now).1, Some(Joint::ReopenInput));
        let later = now + Duration::from_secs(1);
        let (_, actions) = step(pair.reopened(), Who::Log, Event::Tick, later);
        assert_eq!(actions, [], "it was not told to be up again");
    }

    #[test]
    fn a_log_service_whose_input_has_ended_cannot_be_wanted_up_for_ever() {
        let now = Instant::now();
        let (pair, _) = step(running(now), Who::Log, Event::Control(Control::Down), now);
        let (pair, _) = step(pair, Who::Main, Event::Control(Control::Exit), now);
        let (pair, joint) = settle(died(pair, Who::Main, now), now);
        assert_eq!(joint, Some(Joint::CloseInput));
        let (pair, _) = step(pair, Who::Log, Event::InputEnded, now);
        let (pair, _) = step(pair, Who::Log, Event::Control(Control::Up), now);
        assert_eq!(settle(died(pair, Who::Log, now), now).1, Some(Joint::Quit));
    }
}
