//! What a removed service leaves when its runsv is killed: nobody else would end it.
//!
//! As this process is a subreaper, it becomes its child; and it is in the session of a runsv, which had one of its own.

use std::collections::HashSet;
use std::fs::{self, File};
use std::time::{Duration, Instant};

use crate::sys::file::Identity;
use crate::sys::proc;
use crate::sys::process;
use crate::sys::signal::Signal;

/// How long it may take to end after TERM.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the log service may read on after the service was killed.
const GRACE: Duration = Duration::from_secs(2);

/// What is left of such services.
#[derive(Default)]
pub struct Strays {
    left: Vec<Left>,
}

/// What is left of one.
struct Left {
    /// Its runsvs: the leaders of the sessions it is in. Their pids are nobody else's as long as there is anybody in these.
    leaders: Vec<i32>,
    /// What the log service reads from. It is asked nothing: it ends when it has read what is left.
    pipe: Option<File>,
    /// When the service is killed, and then, when everything is.
    kill_at: Instant,
    is_killed: bool,
}

impl Strays {
    /// Asks what the runsvs `leaders` have left to end. The log service reads from `pipe`.
    pub fn take(&mut self, mut leaders: Vec<i32>, pipe: Option<File>, now: Instant) {
        retain_in_use([&mut leaders]);
        if leaders.is_empty() {
            return;
        }
        let left = Left { leaders, pipe, kill_at: now + PATIENCE, is_killed: false };
        left.send(&[Signal::SIGTERM, Signal::SIGCONT]);
        self.left.push(left);
    }

    /// When something is to be killed.
    pub fn deadline(&self) -> Option<Instant> {
        self.left.iter().map(|left| left.kill_at).min()
    }

    /// Kills what did not end in time.
    pub fn kill_due(&mut self, now: Instant) {
        for left in self.left.iter_mut().filter(|left| left.kill_at <= now) {
            if std::mem::replace(&mut left.is_killed, true) {
                left.pipe = None; // now it is everybody's turn
            }
            left.send(&[Signal::SIGKILL]);
            left.kill_at = now + GRACE;
        }
        self.left.retain(|left| !left.is_killed || left.pipe.is_some());
    }
}

/// Keeps those leaders of sessions that somebody is in.
pub fn retain_in_use<'a>(leaders: impl IntoIterator<Item = &'a mut Vec<i32>>) {
    let used = proc::relations().into_iter().filter(|it| it.pid != it.session && !it.ended);
    let used: HashSet<i32> = used.map(|it| it.session).collect();
    leaders.into_iter().for_each(|leaders| leaders.retain(|leader| used.contains(leader)));
}

impl Left {
    /// Sends `signals` to everybody in it but the log service.
    fn send(&self, signals: &[Signal]) {
        let own = process::id();
        let is_left = |it: &proc::Relation| {
            it.parent == own && self.leaders.contains(&it.session) && !self.leaders.contains(&it.pid) && !it.ended
        };
        for left in proc::relations().iter().filter(|it| is_left(it) && !self.is_read_by(it.pid)) {
            signals.iter().for_each(|signal| drop(process::send(left.pid, *signal)));
        }
    }

    fn is_read_by(&self, pid: i32) -> bool {
        let pipe = self.pipe.as_ref().and_then(|pipe| pipe.metadata().ok());
        let input = fs::metadata(format!("/proc/{pid}/fd/0"));
        pipe.is_some_and(|pipe| input.is_ok_and(|input| Identity::of(&input) == Identity::of(&pipe)))
    }
}
