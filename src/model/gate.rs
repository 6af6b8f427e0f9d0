//! What svlogd lets into its logs where whoever writes is not trusted: lines that are not too long, and not too many.

use std::time::{Duration, Instant};

use super::line::Part;
use super::pace::Pace;

/// How many seconds' worth of bytes may come at once.
const BURST_SECONDS: u64 = 64;
/// While lines are dropped, a block is read so often: who floods is slowed, and costs no processor.
pub const BETWEEN_BLOCKS: Duration = Duration::from_millis(10);

/// Lets through what is within the limits, and counts the rest.
#[derive(Debug)]
pub struct Gate {
    per_second: u64,
    /// What each line takes besides its bytes.
    stamp: u64,
    pace: Pace,
    lines: u64,
    bytes: u64,
}

/// What is to be done with a piece of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is logged.
    Pass,
    /// It is logged as the whole line; what follows of it is dropped.
    Cut,
    /// It is dropped.
    Drop,
}

impl Gate {
    /// A gate for `per_second` bytes, of which each line takes so many for its stamp.
    pub fn new(per_second: u64, stamp: usize, now: Instant) -> Gate {
        let stamp = u64::try_from(stamp).unwrap_or(u64::MAX);
        let pace = Pace::new(per_second.saturating_mul(BURST_SECONDS), per_second, now);
        Gate { per_second, stamp, pace, lines: 0, bytes: 0 }
    }

    /// What is to be done with a part of a line, of so many bytes.
    pub fn judge(&mut self, part: Part, bytes: usize, now: Instant) -> Verdict {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_add(1);
        let cost = bytes.saturating_add(if part == Part::Rest { 0 } else { self.stamp });
        let passes = self.pace.admits(cost, now);
        if part == Part::Rest {
            self.bytes = self.bytes.saturating_add(bytes - 1);
            return Verdict::Drop;
        }
        if !passes {
            self.lines = self.lines.saturating_add(1);
            self.bytes = self.bytes.saturating_add(bytes);
            return Verdict::Drop;
        }
        if part == Part::Head { Verdict::Cut } else { Verdict::Pass }
    }

    /// Whether lines are dropped.
    pub fn is_shut(&self) -> bool {
        self.pace.is_shut()
    }

    /// When it is time to say what was dropped, if anything was.
    pub fn tells_at(&self) -> Option<Instant> {
        (self.lines > 0).then(|| self.pace.opens())
    }

    /// What was dropped and not yet told of, as a line for the log.
    pub fn tell(&mut self) -> Option<String> {
        if self.lines == 0 {
            return None;
        }
        let (lines, bytes, most) = (self.lines, self.bytes, self.per_second);
        (self.lines, self.bytes) = (0, 0);
        Some(format!("svlogd: warning: {lines} lines were dropped, {bytes} bytes: more than {most} bytes a second"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_dropped_and_counted_until_there_is_much_room_again() {
        let start = Instant::now();
        let mut gate = Gate::new(10, 4, start);
        for _ in 0..64 {
            assert_eq!(gate.judge(Part::Whole, 5, start), Verdict::Pass);
        }
        assert_eq!((gate.is_shut(), gate.tells_at(), gate.tell()), (false, None, None));
        assert_eq!(gate.judge(Part::Whole, 5, start), Verdict::Drop);
        assert_eq!(gate.judge(Part::Head, 99, start + Duration::from_secs(15)), Verdict::Drop);
        assert_eq!(gate.judge(Part::Rest, 50, start + Duration::from_secs(15)), Verdict::Drop);
        let when = gate.tells_at().unwrap();
        assert!(gate.is_shut() && when > start + Duration::from_secs(15) && when < start + Duration::from_secs(17));
        let said = "svlogd: warning: 2 lines were dropped, 156 bytes: more than 10 bytes a second";
        assert_eq!((gate.tell().as_deref(), gate.tell()), (Some(said), None));
        assert_eq!(gate.judge(Part::Whole, 9, when), Verdict::Pass);
        assert!(!gate.is_shut());
    }

    #[test]
    fn a_long_line_is_cut() {
        let start = Instant::now();
        let mut gate = Gate::new(1000, 0, start);
        assert_eq!(gate.judge(Part::Head, 100, start), Verdict::Cut);
        assert_eq!(gate.judge(Part::Rest, 100, start), Verdict::Drop);
        assert_eq!((gate.judge(Part::Whole, 1, start), gate.tell()), (Verdict::Pass, None));
        (0..1000).for_each(|_| assert_eq!(gate.judge(Part::Rest, 100, start), Verdict::Drop));
        assert!(gate.is_shut(), "a line without end is a flood, too");
    }
}
