//! What a service left behind: children of this process that it did not start.
//!
//! runsv is a subreaper: when a process ends, its children become those of runsv. So whoever ends these, then those
//! that come in their place, and so on, ends the whole family, without a look at any other process.

use std::io;

use crate::model::leftovers::{Fate, Left, PATIENCE, Rule};
use crate::model::pair::Who;
use crate::model::reason::Cause;
use crate::model::service::Limit;
use crate::supervise;
use crate::sys::proc::Children;
use crate::sys::process;
use crate::sys::signal::Signal;

use super::Supervisor;
use super::successor::Process;

/// So many are asked to end at a time. The others are once these have ended.
const MOST_ASKED: usize = 64;
/// So many are named. Of the others it is said that there are more.
const MOST_NAMED: usize = 5;

/// So many log services that have ended are known by what they have left.
const MOST_GROUPS: usize = 16;

/// The children of this process that it did start.
pub type Own = [Option<i32>; 3];

/// Those that it did not start.
pub struct Leftovers {
    children: Children,
    /// Whether there are children at all.
    has_children: bool,
    /// Those that were sent TERM, at most [`MOST_ASKED`].
    asked: Vec<i32>,
    /// One that was there at the last look.
    found: Option<i32>,
    /// What was said last.
    named: Option<Vec<u8>>,
    spared: Spared,
}

/// Children that the service has not left.
struct Spared {
    /// Those that were there before this was runsv.
    before: Vec<i32>,
    /// The process groups of log services. What is in them is theirs: it may have lines in hand.
    log_groups: Vec<i32>,
}

impl Spared {
    /// Whether child `pid` is one, or one of this process's `own`.
    fn has(&self, own: &Own, pid: i32) -> bool {
        let is_of_log = || process::group_of(pid).is_some_and(|group| self.log_groups.contains(&group));
        own.contains(&Some(pid)) || self.before.contains(&pid) || is_of_log()
    }
}

impl Leftovers {
    /// None are known yet. After an upgrade those that are there may be leftovers.
    pub fn new(is_upgrade: bool) -> Leftovers {
        let (mut children, mut before) = (Children::unopened(), Vec::new());
        let has_children = process::has_children();
        if has_children && !is_upgrade {
            // Where they cannot be told they count as left.
            let _ = children.visit(&mut |pid| {
                before.push(pid);
                true
            });
        }
        let spared = Spared { before, log_groups: Vec::new() };
        Leftovers { children, has_children, asked: Vec::new(), found: None, named: None, spared }
    }

    /// One that was there at the last look.
    pub fn found(&self) -> Option<i32> {
        self.found
    }

    /// Whether there may be children, as a start or a wait has told.
    pub fn may_be_there(&mut self, has_children: bool) {
        self.has_children = has_children;
    }

    /// Takes note of a log service, which leads a process group.
    pub fn spare_group_of(&mut self, log: i32) {
        self.forget_groups();
        let groups = &mut self.spared.log_groups;
        if groups.len() == MOST_GROUPS {
            groups.remove(0);
        }
        groups.push(log);
    }

    /// Forgets the groups that have ended: their numbers may become others'.
    fn forget_groups(&mut self) {
        self.spared.log_groups.retain(|group| process::has_group(*group));
    }

    /// Takes note of the end of child `pid`.
    pub fn ended(&mut self, pid: i32) {
        self.asked.retain(|asked| *asked != pid);
        self.spared.before.retain(|before| *before != pid);
    }

    /// Whether there are any. Errors: that cannot be told now.
    pub fn look(&mut self, own: &Own) -> io::Result<bool> {
        self.found = None;
        if self.has_children {
            self.forget_groups();
            let (found, spared) = (&mut self.found, &self.spared);
            self.children.visit(&mut |pid| {
                let is_one = !spared.has(own, pid) && !Children::has_ended(pid);
                *found = is_one.then_some(pid);
                !is_one
            })?;
        }
        Ok(self.found.is_some())
    }

    /// Asks those to end that were not asked yet.
    pub fn end(&mut self, own: &Own) {
        let (asked, spared) = (&mut self.asked, &self.spared);
        // Where they cannot be told now: who waits for their end asks again.
        let _ = self.children.visit(&mut |pid| {
            if spared.has(own, pid) || asked.contains(&pid) {
                return true;
            }
            if asked.len() == MOST_ASKED {
                return false;
            }
            asked.push(pid);
            let _ = process::send(pid, Signal::SIGTERM); // it may be another user's
            let _ = process::send(pid, Signal::SIGCONT);
            true
        });
    }

    /// Kills them.
    pub fn kill(&mut self, own: &Own) {
        let _ = self.children.visit(&mut |pid| {
            if !self.spared.has(own, pid) {
                let _ = process::send(pid, Signal::SIGKILL);
            }
            true
        });
    }

    /// Names them and what becomes of them, in one line; None where there are none.
    pub fn name(&mut self, own: &Own, fate: Fate) -> Option<Vec<u8>> {
        let mut text = fate.text().as_bytes().to_vec();
        let mut count = 0;
        let _ = self.children.visit(&mut |pid| {
            if self.spared.has(own, pid) || Children::has_ended(pid) {
                return true;
            }
            let separator = if count == 0 { ": " } else { ", " };
            count += 1;
            if count > MOST_NAMED {
                text.extend_from_slice(b", and more");
                return false;
            }
            text.extend_from_slice(format!("{separator}pid {pid} (").as_bytes());
            text.extend_from_slice(&Children::name(pid));
            text.push(b')');
            true
        });
        (count > 0).then_some(text)
    }
}

impl Supervisor {
    /// Looks for leftovers, and what the service directory says of them.
    pub(super) fn look_for_leftovers(&mut self) -> Option<Left> {
        let own = self.own();
        let are_there = self.leftovers.look(&own).unwrap_or_else(|_| {
            self.look_later();
            true // as far as is known
        });
        are_there.then(|| Left {
            rule: self.said(supervise::setting("leftovers", Rule::read)),
            patience: self.limit(Who::Main, Limit::Stop).unwrap_or(PATIENCE),
        })
    }

    /// Says what becomes of leftovers. The same that the service was started beside before are not named again.
    pub(super) fn name_leftovers(&mut self, fate: Fate) {
        let Some(text) = self.leftovers.name(&self.own(), fate) else { return };
        let is_news = self.leftovers.named.as_ref() != Some(&text);
        if is_news {
            self.speaker.warn(&text);
        }
        if !matches!(fate, Fate::Beside | Fate::GivenUp) {
            self.explain(Who::Main, Cause::Waiting, Some(&text));
        }
        self.leftovers.named = Some(text);
    }

    /// Asks leftovers once more to end, and says why that takes so long where `sv status` finds it.
    pub(super) fn end_leftovers_again(&mut self) {
        let own = self.own();
        self.leftovers.asked = Vec::new();
        self.leftovers.end(&own);
        let text = self.leftovers.name(&own, Fate::Ended);
        self.explain(Who::Main, Cause::Waiting, text.as_deref());
    }

    /// The children that were started here.
    pub(super) fn own(&self) -> Own {
        let pid = |process: Option<&Process>| process.filter(|process| process.is_own(None)).map(Process::pid);
        let log = self.log.as_deref().and_then(|log| log.process.as_ref());
        [pid(self.main.process.as_ref()), pid(log), pid(self.hook.as_ref())]
    }
}
