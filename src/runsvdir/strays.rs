//! What a removed service leaves when its runsv is killed while it stops: nobody else would end it.
//!
//! As this process is a subreaper, it becomes its child; and it is in the session of the runsv, which had one of its own.

use std::time::{Duration, Instant};

use crate::sys::proc;
use crate::sys::process;
use crate::sys::signal::Signal;

/// How long it may take to end after TERM.
const PATIENCE: Duration = Duration::from_secs(5);

/// The sessions of such runsvs, and when what is left in them is killed.
#[derive(Default)]
pub struct Strays {
    sessions: Vec<(i32, Instant)>,
}

impl Strays {
    /// Asks what the runsv `session` has left to end.
    pub fn take(&mut self, session: i32, now: Instant) {
        for signal in [Signal::SIGTERM, Signal::SIGCONT] {
            send_to(session, signal);
        }
        self.sessions.push((session, now + PATIENCE));
    }

    /// When something is to be killed.
    pub fn deadline(&self) -> Option<Instant> {
        self.sessions.iter().map(|(_, at)| *at).min()
    }

    /// Kills what did not end in time.
    pub fn kill_due(&mut self, now: Instant) {
        self.sessions.retain(|(session, at)| {
            let is_due = *at <= now;
            if is_due {
                send_to(*session, Signal::SIGKILL);
            }
            !is_due
        });
    }
}

/// The pid of a session's leader is nobody else's as long as there is anybody in the session.
fn send_to(session: i32, signal: Signal) {
    let own = process::id();
    let is_left = |it: &proc::Relation| it.session == session && it.parent == own && it.pid != session && !it.ended;
    for left in proc::relations().iter().filter(|it| is_left(it)) {
        let _ = process::send(left.pid, signal);
    }
}
