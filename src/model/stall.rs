//! A log service that does not read: when lines are dropped so that its service does not hang for ever.
//!
//! Nobody tells that a pipe is full, or that it has been read from. So a pipe that was written to is looked at, from
//! time to time, until it is empty; then the next write is waited for. As long as nothing is written nothing is done.

use std::time::{Duration, Instant};

/// How long a log service may leave the pipe full, where nothing else was said.
pub const LIMIT: Duration = Duration::from_secs(60);

/// What is seen of the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sight {
    /// What is in it.
    pub bytes: usize,
    /// Whoever writes waits.
    pub is_full: bool,
    /// When it was last read from, as far as the file system tells: seconds and nanoseconds.
    pub read_at: (i64, i64),
}

impl Sight {
    /// Whether somebody has read since it was seen like this.
    fn was_read_until(self, now: Sight) -> bool {
        now.read_at != self.read_at || now.bytes < self.bytes
    }
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Nothing.
    Nothing,
    /// Drop lines, the oldest first, so that there is room; then [`Stall::dropped`].
    Drop,
    /// The log service reads again.
    Recovered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The pipe is empty: it need not be looked at until it is written to.
    Empty,
    /// It is looked at from time to time. It was last read from at `since`, or began to fill then.
    Filling { last: Sight, since: Instant, next: Instant },
    /// It was full for too long, and lines are dropped. It is looked at when it is written to, and at `next`.
    Dropping { last: Sight, next: Instant },
}

/// What is known of the reading of a log pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    phase: Phase,
}

impl Default for Stall {
    fn default() -> Stall {
        Stall { phase: Phase::Empty }
    }
}

impl Stall {
    /// Whether to be told when the pipe is written to.
    pub fn waits_for_writes(&self) -> bool {
        !matches!(self.phase, Phase::Filling { .. })
    }

    /// Whether lines are dropped.
    pub fn drops(&self) -> bool {
        matches!(self.phase, Phase::Dropping { .. })
    }

    /// When to look at the pipe, whether it is written to or not.
    pub fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Empty => None,
            Phase::Filling { next, .. } | Phase::Dropping { next, .. } => Some(next),
        }
    }

    /// The log service was told something: it has as long as ever from now on.
    pub fn excused(self, now: Instant, limit: Duration) -> Stall {
        match self.phase {
            Phase::Filling { last, .. } => Stall::filling(last, now, now + limit / 2),
            Phase::Empty | Phase::Dropping { .. } => self,
        }
    }

    /// The pipe was looked at. `limit` is how long it may stay full.
    pub fn seen(self, sight: Sight, now: Instant, limit: Duration) -> (Stall, Deed) {
        let soon = now + limit / 2;
        match self.phase {
            Phase::Empty if sight.bytes == 0 => (self, Deed::Nothing),
            Phase::Empty => (Stall::filling(sight, now, soon), Deed::Nothing),
            Phase::Dropping { last, .. } if last.was_read_until(sight) => {
                (Stall::filling(sight, now, soon), Deed::Recovered)
            }
            Phase::Dropping { last, .. } => {
                let deed = if sight.is_full { Deed::Drop } else { Deed::Nothing };
                // What it was like when lines were dropped last is what shows a reader.
                (Stall { phase: Phase::Dropping { last, next: soon } }, deed)
            }
            Phase::Filling { .. } if sight.bytes == 0 => (Stall::default(), Deed::Nothing),
            Phase::Filling { last, .. } if last.was_read_until(sight) => {
                (Stall::filling(sight, now, soon), Deed::Nothing)
            }
            Phase::Filling { since, .. } if sight.is_full && since + limit <= now => {
                (Stall { phase: Phase::Dropping { last: sight, next: soon } }, Deed::Drop)
            }
            Phase::Filling { last, since, .. } => {
                let next = if sight.is_full { soon.min(since + limit).max(now) } else { soon };
                let next = if sight == last && !sight.is_full { now + limit } else { next };
                (Stall::filling(sight, since, next), Deed::Nothing)
            }
        }
    }

    /// Lines were dropped, and this is what was left.
    pub fn dropped(self, left: Sight) -> Stall {
        match self.phase {
            Phase::Dropping { next, .. } => Stall { phase: Phase::Dropping { last: left, next } },
            Phase::Empty | Phase::Filling { .. } => self,
        }
    }

    fn filling(last: Sight, since: Instant, next: Instant) -> Stall {
        Stall { phase: Phase::Filling { last, since, next } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEFT: Sight = Sight { bytes: 100, is_full: false, read_at: (1, 0) };
    const FULL: Sight = Sight { bytes: 65536, is_full: true, read_at: (1, 0) };
    const EMPTY: Sight = Sight { bytes: 0, is_full: false, read_at: (2, 0) };

    /// Looks at a pipe that is always like `sight`, whenever that is due, until something is to be done.
    fn looks(mut stall: Stall, sight: Sight, start: Instant) -> (Stall, Instant, Deed) {
        let mut now = start;
        for _ in 0..10 {
            let (next, deed) = stall.seen(sight, now, LIMIT);
            if deed != Deed::Nothing {
                return (next, now, deed);
            }
            stall = next;
            now = stall.deadline().unwrap_or(now);
        }
        (stall, now, Deed::Nothing)
    }

    #[test]
    fn an_empty_pipe_is_not_looked_at() {
        let now = Instant::now();
        let stall = Stall::default();
        assert_eq!((stall.deadline(), stall.waits_for_writes()), (None, true));
        let stall = stall.seen(LEFT, now, LIMIT).0;
        assert_eq!((stall.deadline(), stall.waits_for_writes()), (Some(now + LIMIT / 2), false));
        assert_eq!(stall.seen(EMPTY, now + LIMIT / 2, LIMIT), (Stall::default(), Deed::Nothing));
    }

    #[test]
    fn lines_are_dropped_once_the_pipe_was_full_for_as_long_as_it_may() {
        let start = Instant::now();
        let (stall, at, deed) = looks(Stall::default(), FULL, start);
        assert_eq!((at - start, deed, stall.drops()), (LIMIT, Deed::Drop, true));
        // And again whenever it is full.
        let stall = stall.dropped(LEFT);
        assert_eq!(stall.seen(LEFT, at, LIMIT).1, Deed::Nothing);
        assert_eq!(stall.seen(FULL, at, LIMIT).1, Deed::Drop);
        assert!(stall.waits_for_writes());
    }

    #[test]
    fn a_pipe_that_is_not_full_holds_nobody_up() {
        let (stall, _, deed) = looks(Stall::default(), LEFT, Instant::now());
        assert_eq!((deed, stall.drops()), (Deed::Nothing, false));
    }

    #[test]
    fn a_slow_reader_is_a_reader() {
        let mut now = Instant::now();
        let mut stall = Stall::default();
        for second in 0..100 {
            let sight = Sight { read_at: (second, 0), ..FULL };
            let (next, deed) = stall.seen(sight, now, LIMIT);
            assert_eq!(deed, Deed::Nothing);
            stall = next;
            now = stall.deadline().unwrap_or(now);
        }
        // Where the file system does not tell, the number of bytes does.
        let (stall, deed) = stall.seen(Sight { bytes: 65000, ..FULL }, now, LIMIT);
        assert_eq!((deed, stall.drops()), (Deed::Nothing, false));
    }

    #[test]
    fn who_reads_again_gets_everything_from_then_on() {
        let now = Instant::now();
        let stall = looks(Stall::default(), FULL, now).0.dropped(LEFT);
        let (stall, deed) = stall.seen(Sight { bytes: 50, ..LEFT }, now, LIMIT);
        assert_eq!((deed, stall.drops()), (Deed::Recovered, false));
    }

    #[test]
    fn a_log_service_that_was_told_something_has_its_time_from_then_on() {
        let start = Instant::now();
        let stall = Stall::default().seen(FULL, start, LIMIT).0;
        let later = start + 10 * LIMIT;
        let (_, at, deed) = looks(stall.excused(later, LIMIT), FULL, later);
        assert_eq!((at - later, deed), (LIMIT, Deed::Drop));
    }
}
