//! What sv says of a service, and whether an order has reached its goal.

use std::time::Duration;

use super::order::Goal;
use super::status::{State, Status, Want};
use super::tai::Label;

/// Which process of a service was there, and since when: the same only as long as nothing was started or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incarnation {
    pid: i32,
    since: Label,
}

impl Incarnation {
    /// The one that `status` tells of.
    pub fn of(status: &Status) -> Incarnation {
        Incarnation { pid: status.pid, since: status.since }
    }
}

/// Whether an order has reached a goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reached {
    /// Yes.
    Yes,
    /// Yes, if its `check` agrees.
    IfReady,
    /// No.
    No,
}

/// Whether `goal` is reached, for a service that was `before` when the order was given.
///
/// [`Goal::Gone`] cannot be seen in a record that a supervisor keeps: it is never reached here.
/// Source: runit 2.3.0, `control` and `check` in src/sv.c. Differs: there the seconds of the record are compared with
/// those of the order, so that a service started in the same second counts as another already; and a service that is
/// as ordered, but whose supervisor has not yet taken note of the order, counts as done.
pub fn reached(goal: Goal, status: &Status, before: Incarnation) -> Reached {
    let runs = status.pid != 0;
    let another = Incarnation::of(status) != before;
    let yes_if = |condition| if condition { Reached::Yes } else { Reached::No };
    match goal {
        Goal::Up if runs && status.state == State::Run && status.want == Want::Up => Reached::IfReady,
        Goal::Up | Goal::Gone => Reached::No,
        Goal::Down => yes_if(!runs && status.state == State::Down && status.want != Want::Up),
        Goal::Once => yes_if(if runs { status.want != Want::Up } else { another }),
        Goal::Renewed if !runs && status.want != Want::Up => Reached::Yes,
        Goal::Renewed if runs && another && !status.got_term && status.state == State::Run => Reached::IfReady,
        Goal::Renewed => Reached::No,
        Goal::Paused => yes_if(!runs || status.paused),
        Goal::Continued => yes_if(!runs || !status.paused),
        Goal::Sent => Reached::Yes,
        Goal::AsWanted if status.want == Want::Up => reached(Goal::Up, status, before),
        Goal::AsWanted => reached(Goal::Down, status, before),
    }
}

/// What of an order's control `bytes` is to be said to a supervisor that comes while it is waited for. One that was killed
/// may not have read them, and then they are lost. The service was `before` when they were said first.
///
/// TERM is for no process that has got it, and for none that has come since: such a supervisor has only just started it.
pub fn said_late<'a>(bytes: &'a [u8], status: &Status, before: Incarnation) -> &'a [u8] {
    let is_due = status.state == State::Run && !status.got_term && Incarnation::of(status) == before;
    match bytes.strip_prefix(b"t") {
        Some(rest) if !is_due => rest,
        _ => bytes,
    }
}

/// How many seconds ago the last change was, at Unix time `now`; `measured` is that by a clock that nobody sets, where it
/// is known.
///
/// Source: runit 2.3.0, `svstatus_print` in src/sv.c: the difference of the seconds of both times. Differs: where the
/// clock has been set meanwhile it is what was measured.
pub fn age(status: &Status, now: u64, measured: Option<Duration>) -> u64 {
    match measured {
        Some(measured) if !agrees(status, now, measured) => measured.as_secs(),
        _ => told_age(status, now).unwrap_or(0),
    }
}

/// Whether `status` tells the age that was `measured`, as far as whole seconds can. No label of the future does.
pub fn agrees(status: &Status, now: u64, measured: Duration) -> bool {
    told_age(status, now).is_some_and(|told| told.abs_diff(measured.as_secs()) <= 1)
}

fn told_age(status: &Status, now: u64) -> Option<u64> {
    now.checked_sub(status.since.unix_seconds())
}

/// `STATE: NAME: (pid N) SECs, ...`, without a newline.
///
/// `age` is in seconds; `normally_up` that there is no `down` file. Source: runit 2.3.0, `svstatus_print` in src/sv.c.
pub fn line(name: &[u8], status: &Status, age: u64, normally_up: bool) -> Vec<u8> {
    let state = match status.state {
        State::Down => "down: ",
        State::Run => "run: ",
        State::Finish => "finish: ",
        State::Unknown(_) => "",
    };
    let mut line = [state.as_bytes(), name, b": "].concat();
    if status.state != State::Down {
        line.extend_from_slice(format!("(pid {}) ", status.pid).as_bytes());
    }
    line.extend_from_slice(format!("{age}s").as_bytes());
    let runs = status.pid != 0;
    let remarks = [
        (runs && !normally_up, ", normally down"),
        (!runs && normally_up, ", normally up"),
        (runs && status.paused, ", paused"),
        (!runs && status.want == Want::Up, ", want up"),
        (runs && status.want != Want::Up, ", want down"),
        (runs && status.got_term, ", got TERM"),
    ];
    for (_, remark) in remarks.into_iter().filter(|(applies, _)| *applies) {
        line.extend_from_slice(remark.as_bytes());
    }
    line
}

/// A service that got TERM longer ago than this, and still runs, is told of.
const LONG_AFTER_TERM: Duration = Duration::from_secs(5);

/// What the kernel shows of a service's process, and of its supervisor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// The state of the process, by the letter that ps(1) has for it; None where it cannot be seen.
    pub state: Option<char>,
    /// How often it gave up the processor.
    pub switches: u64,
    /// It ignores TERM.
    pub ignores_term: bool,
    /// It blocks TERM.
    pub blocks_term: bool,
    /// Since the record was written that tells of TERM.
    pub since_term: Duration,
    /// The process of a supervisor that is stopped.
    pub stopped_supervisor: Option<i32>,
}

impl Sight {
    /// This sight, without what has only come since an `earlier` one.
    pub fn lasting_since(self, earlier: &Sight) -> Sight {
        // Whoever has been awake meanwhile does not hang.
        let hangs = self.state != Some('D') || self.switches == earlier.switches;
        Sight {
            state: self.state.filter(|_| self.state == earlier.state && hangs),
            stopped_supervisor: self
                .stopped_supervisor
                .filter(|_| self.stopped_supervisor == earlier.stopped_supervisor),
            ..self
        }
    }
}

/// What ails a service, in words to stand behind [`line()`].
pub fn ailments(status: &Status, sight: &Sight) -> Vec<String> {
    let mut ailments = Vec::new();
    if status.pid != 0 {
        ailments.extend(match sight.state {
            Some('T') if !status.paused => Some("stopped by a signal".to_owned()),
            Some('t') => Some("stopped by a debugger".to_owned()),
            Some('Z') => Some("ended, which runsv has not noticed".to_owned()),
            Some('D') => Some("stuck in the kernel".to_owned()),
            _ => None,
        });
        if status.got_term && sight.since_term >= LONG_AFTER_TERM {
            let seconds = sight.since_term.as_secs();
            ailments.push(match (sight.ignores_term, sight.blocks_term) {
                (true, _) => format!("ignores TERM for {seconds}s"),
                (false, true) => format!("blocks TERM for {seconds}s"),
                (false, false) => format!("runs on for {seconds}s after TERM"),
            });
        }
    }
    ailments.extend(sight.stopped_supervisor.map(|pid| format!("runsv is stopped: process {pid}")));
    ailments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Status {
        Status {
            since: Label::of(Duration::from_secs(100)),
            pid: 7,
            paused: false,
            want: Want::Up,
            got_term: false,
            state: State::Run,
        }
    }

    fn said(status: Status, normally_up: bool) -> String {
        String::from_utf8(line(b"foo", &status, age(&status, 101, None), normally_up)).unwrap()
    }

    #[test]
    fn lines_are_the_originals() {
        assert_eq!(said(status(), true), "run: foo: (pid 7) 1s");
        let all = Status { paused: true, want: Want::Down, got_term: true, ..status() };
        assert_eq!(said(all, false), "run: foo: (pid 7) 1s, normally down, paused, want down, got TERM");
        let down = Status { pid: 0, state: State::Down, ..status() };
        assert_eq!(said(down, true), "down: foo: 1s, normally up, want up");
        assert_eq!(said(Status { want: Want::Down, ..down }, false), "down: foo: 1s");
        assert_eq!(said(Status { state: State::Finish, ..status() }, true), "finish: foo: (pid 7) 1s");
        assert_eq!(said(Status { state: State::Unknown(9), ..status() }, true), "foo: (pid 7) 1s");
    }

    #[test]
    fn an_age_is_what_was_measured_where_the_clock_was_set_meanwhile() {
        let seconds = Duration::from_secs;
        let status = Status { since: Label::of(seconds(50_000)), ..status() };
        let of = |now: u64, measured: u64| age(&status, now, Some(seconds(measured)));
        assert_eq!(of(50_007, 7), 7);
        assert_eq!(of(50_007, 6), 7, "as the original counts: of whole seconds");
        assert_eq!(of(50_007 + 3 * 3600, 7), 7, "it was set forward");
        assert_eq!(of(50_007 - 3 * 3600, 7), 7, "it was set back");
        assert_eq!(age(&status, 50_007, None), 7, "nobody measured it");
        let agree = |now, measured| agrees(&status, now, seconds(measured));
        assert!(agree(50_007, 6) && agree(50_007, 8) && !agree(50_007, 5) && !agree(50_007, 9));
        assert!(!agree(49_999, 0), "the clock was set back for sure");
    }

    #[test]
    fn a_record_from_the_future_is_no_age() {
        assert_eq!(
            said(Status { since: Label::of(Duration::from_secs(999)), ..status() }, true),
            "run: foo: (pid 7) 0s"
        );
    }

    #[test]
    fn what_ails_a_process_is_said_and_what_is_wanted_or_brief_is_not() {
        let sight = Sight { state: Some('S'), ..Sight::default() };
        let said = |status: Status, sight: Sight| ailments(&status, &sight).join(", ");
        assert_eq!(said(status(), sight), "");
        for (state, words) in [
            ('T', "stopped by a signal"),
            ('t', "stopped by a debugger"),
            ('Z', "ended, which runsv has not noticed"),
            ('D', "stuck in the kernel"),
        ] {
            assert_eq!(said(status(), Sight { state: Some(state), ..sight }), words);
        }
        let stopped = Sight { state: Some('T'), ..sight };
        assert_eq!(said(Status { paused: true, ..status() }, stopped), "", "it was told to");
        assert_eq!(stopped.lasting_since(&sight).state, None, "it was not before");
        let stuck = Sight { state: Some('D'), switches: 7, ..sight };
        assert_eq!(stuck.lasting_since(&stuck).state, Some('D'));
        assert_eq!(Sight { switches: 8, ..stuck }.lasting_since(&stuck).state, None, "it was awake");
        let supervisor = Sight { stopped_supervisor: Some(3), ..sight };
        assert_eq!(said(Status { pid: 0, state: State::Down, ..status() }, supervisor), "runsv is stopped: process 3");
    }

    #[test]
    fn a_process_that_outlives_term_for_long_is_told_of() {
        let told = Status { got_term: true, ..status() };
        let after = |seconds| Sight { since_term: Duration::from_secs(seconds), ..Sight::default() };
        assert_eq!(ailments(&told, &after(4)), [""; 0]);
        assert_eq!(ailments(&told, &after(5)), ["runs on for 5s after TERM"]);
        assert_eq!(ailments(&status(), &after(5)), [""; 0]);
        assert_eq!(ailments(&told, &Sight { ignores_term: true, ..after(9) }), ["ignores TERM for 9s"]);
        assert_eq!(ailments(&told, &Sight { blocks_term: true, ..after(9) }), ["blocks TERM for 9s"]);
    }

    #[test]
    fn restarted_means_another_process_or_another_start() {
        let before = Incarnation::of(&status());
        assert_eq!(reached(Goal::Renewed, &status(), before), Reached::No);
        assert_eq!(reached(Goal::Renewed, &Status { pid: 8, ..status() }, before), Reached::IfReady);
        assert_eq!(reached(Goal::Renewed, &Status { pid: 8, got_term: true, ..status() }, before), Reached::No);
        let again = Status { since: Label::of(Duration::new(100, 1)), ..status() };
        assert_eq!(reached(Goal::Renewed, &again, before), Reached::IfReady, "a pid may come back");
        let down = Status { pid: 0, want: Want::Down, state: State::Down, ..status() };
        assert_eq!(reached(Goal::Renewed, &down, before), Reached::Yes);
    }

    #[test]
    fn a_process_is_told_to_end_once() {
        let before = Incarnation::of(&status());
        let said = |status: Status| String::from_utf8_lossy(said_late(b"tcu", &status, before)).into_owned();
        assert_eq!(said(status()), "tcu", "nobody has heard of it");
        assert_eq!(said(Status { got_term: true, ..status() }), "cu");
        assert_eq!(said(Status { pid: 8, ..status() }), "cu", "another runs");
        assert_eq!(said(Status { state: State::Finish, ..status() }), "cu");
        assert_eq!(said(Status { pid: 0, state: State::Down, ..status() }), "cu");
        assert_eq!(said_late(b"u", &status(), before), b"u");
    }

    #[test]
    fn up_means_run_and_down_means_nothing_runs() {
        let before = Incarnation::of(&status());
        assert_eq!(reached(Goal::Up, &status(), before), Reached::IfReady);
        assert_eq!(reached(Goal::Up, &Status { state: State::Finish, ..status() }, before), Reached::No);
        assert_eq!(reached(Goal::Up, &Status { want: Want::Down, ..status() }, before), Reached::No);
        let pause = Status { pid: 0, state: State::Down, ..status() };
        let down = Status { want: Want::Down, ..pause };
        assert_eq!(reached(Goal::Down, &down, before), Reached::Yes);
        assert_eq!(reached(Goal::Down, &Status { state: State::Finish, ..down }, before), Reached::No);
        assert_eq!(reached(Goal::Down, &pause, before), Reached::No, "it will come back: the order is on its way");
        assert_eq!(reached(Goal::AsWanted, &pause, before), Reached::No);
        assert_eq!(reached(Goal::AsWanted, &down, before), Reached::Yes);
    }

    #[test]
    fn once_is_done_when_it_ran_or_will_not_come_back() {
        let down = Status { pid: 0, want: Want::Down, state: State::Down, ..status() };
        assert_eq!(reached(Goal::Once, &down, Incarnation::of(&down)), Reached::No, "it has not run yet");
        assert_eq!(reached(Goal::Once, &down, Incarnation::of(&status())), Reached::Yes);
        assert_eq!(reached(Goal::Once, &status(), Incarnation::of(&status())), Reached::No, "want is still up");
    }
}
