//! What a supervisor that was killed left to this one: processes that are not its children, and what was wanted.

use std::io;
use std::time::{Duration, Instant};

use crate::model::note::{Book, Kind, Note, Place, Record};
use crate::model::service::{Left, Remains};
use crate::model::status::Status;
use crate::model::tai::Label;
use crate::sys::process::{Addressee, Born, Orphan};
use crate::sys::{clock, proc};

/// A process of the service, whoever started it.
pub enum Process {
    /// This supervisor.
    Own(Born),
    /// One before it.
    Found(Orphan),
}

impl Process {
    /// Its process id.
    pub fn pid(&self) -> i32 {
        match self {
            Process::Own(child) => child.pid(),
            Process::Found(orphan) => orphan.pid(),
        }
    }

    /// Whether it could not become its program: it has ended, or is about to.
    pub fn is_stillborn(&self) -> bool {
        matches!(self, Process::Own(child) if child.is_stillborn())
    }

    /// Sends signal `number` to it, or to the group that it leads.
    pub fn signal(&self, number: i32, to: Addressee) -> io::Result<()> {
        match self {
            Process::Own(child) => child.signal(number, to),
            Process::Found(orphan) => orphan.signal(number, to),
        }
    }

    /// The child `pid` of this supervisor, or any child of it.
    pub fn is_own(&self, pid: Option<i32>) -> bool {
        matches!(self, Process::Own(child) if pid.is_none_or(|pid| pid == child.pid()))
    }

    /// What can tell of its end, and that this has ended: of a child SIGCHLD tells.
    pub fn found(&self) -> Option<&Orphan> {
        match self {
            Process::Own(_) => None,
            Process::Found(orphan) => Some(orphan),
        }
    }
}

/// A point in time, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// What the wall clock said.
    pub label: Label,
    /// Time since the kernel started.
    pub since_boot: Duration,
}

impl Moment {
    /// Now.
    pub fn now() -> Moment {
        Moment { label: Label::of(clock::wall()), since_boot: clock::since_boot() }
    }

    /// When a process was noted, as the wall clock would say now.
    fn of(note: &Note) -> Moment {
        Moment { label: Label::of(clock::wall().saturating_sub(age(note))), since_boot: note.noted }
    }
}

/// What was left of a service or its log service.
pub struct Found {
    /// For the model.
    pub left: Left,
    /// What still runs.
    pub process: Option<Process>,
    /// The time of the last change.
    pub since: Moment,
}

impl Found {
    /// What `book` and the last record tell of one of the two. `new` is how one begins of which nothing is known;
    /// `has_finish` for a service that has one.
    ///
    /// A record that is newer than the one in the book is of another supervisor that came between and knows no book.
    /// It ended in order: what it was told ended with it.
    pub fn of(book: &Book, place: Place, last: Option<Status>, new: Status, has_finish: bool) -> Found {
        let now = clock::now();
        let noted = book.record(place);
        let is_last = noted.is_some_and(|noted| last.is_none_or(|last| last.since <= noted.status.since));
        let new = Record { status: new, once: false, stopping: false, changed: clock::since_boot() };
        let Record { status: record, once, stopping, changed } = noted.filter(|_| is_last).unwrap_or(new);
        let is_buried = is_last && book.has_buried(place);
        let note = book.note(place);
        let process = note.as_ref().and_then(find);
        let remains = match (note.map(|note| (note.kind, began(&note, now))), &process) {
            (Some((Kind::Run, since)), Some(_)) => Remains::Run { since },
            (Some((Kind::Run, since)), None) if is_last => {
                Remains::EndedRun { since, has_finish: has_finish && !is_buried }
            }
            (Some((Kind::Finish, since)), Some(_)) => Remains::Finish { since },
            _ => Remains::Nothing,
        };
        let is_recorded = process.as_ref().map_or(0, Process::pid) == record.pid;
        let since = match note {
            _ if is_recorded => Moment { label: record.since, since_boot: changed },
            Some(note) if remains.is_something() => Moment::of(&note),
            _ => Moment::now(),
        };
        let once = once && (is_buried || matches!(remains, Remains::Run { .. }));
        let Status { want, paused, got_term, .. } = record;
        let left = Left { want, paused, got_term, once, stopping, remains };
        Found { left, process, since }
    }
}

/// The process that a note is of, if it still runs.
///
/// Where the kernel numbers processes that decides: /proc may be hidden, and more so of a process with secrets.
pub fn find(note: &Note) -> Option<Process> {
    let tick = clock::tick();
    let is_it = |serial: Option<u64>| match (note.serial, serial) {
        (Some(noted), Some(serial)) => noted == serial,
        _ => proc::made(note.pid, tick).is_some_and(|made| note.is_of_one_made(made, tick)),
    };
    // A child of its own this supervisor has after an upgrade, also one that has ended since.
    let own = Born::find(note.pid).and_then(|(born, serial)| is_it(serial).then_some(born));
    own.map(Process::Own).or_else(|| Orphan::find(note.pid, |found| is_it(found.serial())).map(Process::Found))
}

/// When the process of a note began, by the clock for delays.
fn began(note: &Note, now: Instant) -> Instant {
    now.checked_sub(age(note)).unwrap_or(now)
}

fn age(note: &Note) -> Duration {
    clock::since_boot().saturating_sub(note.noted)
}
