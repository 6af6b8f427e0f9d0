//! Looking after the files in `supervise/`: what is taken away while runsv lives is made again.

use std::time::{Duration, Instant};

use crate::model::pair::Who;
use crate::model::reason::{self, Cause};
use crate::sys::clock;

use super::{FIRST_RETRY, LONGEST_RETRY, Supervisor};

/// How long to wait for the end of what somebody does there, such as the removal of everything.
const SETTLE: Duration = Duration::from_millis(500);

/// When to look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    at: Option<Instant>,
    /// The pause before the last look that found what cannot be made again.
    pause: Option<Duration>,
}

impl Look {
    /// When the next look is due.
    pub(super) fn at(self) -> Option<Instant> {
        self.at
    }

    /// Something may be amiss.
    pub(super) fn soon() -> Look {
        Look { at: Some(clock::now() + SETTLE), pause: None }
    }
}

impl Supervisor {
    /// Has changes told of again, unless somebody is at it.
    #[inline(never)]
    pub(super) fn listen(&mut self) {
        if self.look.at.is_none() || self.look.pause.is_some() {
            self.main.home.listen();
            self.log.iter_mut().for_each(|log| log.home.listen());
        }
    }

    /// Records could not be written: it may be that there is no place for them any more.
    pub(super) fn look_if_amiss(&mut self) {
        if self.look.at.is_none() {
            self.look = Look::soon();
        }
    }

    /// SIGIO came.
    pub(super) fn look_soon(&mut self) {
        self.main.home.has_been_told();
        self.log.iter_mut().for_each(|log| log.home.has_been_told());
        self.look = Look::soon();
    }

    /// Makes again what is gone, if the time has come.
    pub(super) fn look_after_files(&mut self) {
        if self.look.at.is_none_or(|at| at > clock::now()) {
            return;
        }
        let pause = self.look.pause.take();
        self.look.at = None;
        self.listen(); // before the look: what comes in between is told
        for who in [Who::Main, Who::Log] {
            let Some(side) = self.side(who) else { continue };
            if side.home.is_whole() {
                side.explain(Cause::Supervise, None);
                if side.retry.is_some() {
                    self.publish(who);
                }
            } else if side.home.has_commands() || side.inbox.start != side.inbox.end {
                self.look = Look::soon(); // what was told before is obeyed first
            } else {
                self.repair(who, pause);
            }
        }
        if let Some(notes) = &mut self.notes
            && !notes.are_there()
            && self.main.home.is_whole()
            && let Err(failure) = notes.reopen()
        {
            self.speaker.warn_failure(&failure);
        }
    }

    fn repair(&mut self, who: Who, pause: Option<Duration>) {
        let side = match who {
            Who::Main => &mut self.main,
            Who::Log => match &mut self.log {
                Some(log) => log,
                None => return,
            },
        };
        match side.home.repair() {
            Ok(()) => {
                self.notes.iter_mut().filter(|notes| !notes.are_there()).for_each(|notes| drop(notes.reopen()));
                self.publish(who);
                let is_well = self.side(who).is_some_and(|side| side.retry.is_none());
                if is_well {
                    self.explain(who, Cause::Supervise, None);
                    let name = if who == Who::Main { "supervise" } else { "log/supervise" };
                    self.speaker.warn(format!("{name} was changed by somebody: all is put in place again"));
                }
            }
            Err(failure) => {
                if side.reasons.get(Cause::Supervise) != Some(&reason::clean(&failure.text())) {
                    self.speaker.warn_failure(&failure);
                }
                side.explain(Cause::Supervise, Some(&failure.text()));
                if !side.home.is_homeless() {
                    let pause = pause.map_or(FIRST_RETRY, |pause| (pause * 2).min(LONGEST_RETRY));
                    self.look = Look { at: Some(clock::now() + pause), pause: Some(pause) };
                }
            }
        }
    }
}
