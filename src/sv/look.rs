//! What the kernel tells of a service's process, and of its supervisor, that no record does.

use std::fs;
use std::sync::LazyLock;
use std::thread;
use std::time::Duration;

use crate::model::report::{self, Sight};
use crate::model::status::Status;
use crate::sys::clock;
use crate::sys::proc::{self, Glance};

use super::Service;

/// A process may be for a moment what it is not for long: it is looked at again after this.
const MOMENT: Duration = Duration::from_millis(100);

/// A glance at the process that `status` tells of.
pub(super) fn glance(status: &Status) -> Glance {
    static TICK: LazyLock<Duration> = LazyLock::new(clock::tick);
    if status.pid > 0 { proc::glance(status.pid, *TICK) } else { Glance::default() }
}

impl Service {
    /// What ails the process that `status` tells of, which is in this `state`, or its supervisor.
    pub(super) fn ailments(&self, status: &Status, state: Option<char>) -> Vec<String> {
        // As much as tells that all is well with a service that did not get TERM.
        let stopped_supervisor = self.stopped_supervisor();
        let glance = Sight { state, stopped_supervisor, ..Sight::default() };
        if !status.got_term && report::ailments(status, &glance).is_empty() {
            return Vec::new();
        }
        let sight = self.sight(status);
        if report::ailments(status, &sight).is_empty() {
            return Vec::new();
        }
        thread::sleep(MOMENT);
        match self.probe.status() {
            Ok(again) if again == *status => {
                let again = self.sight(status);
                report::ailments(status, &again.lasting_since(&sight))
            }
            _ => Vec::new(),
        }
    }

    /// The process of its supervisor, if that is stopped. Where a log service follows its service, that has told it.
    fn stopped_supervisor(&self) -> Option<i32> {
        if self.follows { None } else { self.probe.stopped_supervisor() }
    }

    fn sight(&self, status: &Status) -> Sight {
        let process = if status.pid > 0 { proc::look(status.pid) } else { None };
        let record = self.probe.supervise().join("status");
        let recorded = fs::metadata(record).and_then(|found| found.modified()).ok();
        let since_term = recorded.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Sight {
            state: process.map(|it| it.state),
            switches: process.map_or(0, |it| it.switches),
            ignores_term: process.is_some_and(|it| it.ignored & TERM != 0),
            blocks_term: process.is_some_and(|it| it.blocked & TERM != 0),
            since_term: since_term.map(|at| clock::wall().saturating_sub(at)).unwrap_or_default(),
            stopped_supervisor: self.stopped_supervisor(),
        }
    }
}

/// TERM in a set of signals, as /proc has these.
const TERM: u64 = 1 << (15 - 1);
