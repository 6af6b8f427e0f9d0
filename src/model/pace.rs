//! How much may pass in what time: a store that is emptied by what passes, and fills again by the clock.

use std::time::{Duration, Instant};

/// A store of so many units, and so many more a second. Once it is empty nothing passes until it is filled to a quarter.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    most: u64,
    per_second: u64,
    left: u64,
    /// Until when it has been filled.
    filled: Instant,
    is_shut: bool,
}

impl Pace {
    /// A full one. Both numbers are at least one.
    pub fn new(most: u64, per_second: u64, now: Instant) -> Pace {
        let most = most.max(1);
        Pace { most, per_second: per_second.max(1), left: most, filled: now, is_shut: false }
    }

    /// Whether `units` may pass at `now`; they are taken then. What is more than can ever be there, needs a quarter.
    pub fn admits(&mut self, units: u64, now: Instant) -> bool {
        self.fill(now);
        self.is_shut = self.left < if self.is_shut { self.enough() } else { units.min(self.enough()) };
        if !self.is_shut {
            self.left = self.left.saturating_sub(units);
        }
        !self.is_shut
    }

    /// Whether the last units did not pass.
    pub fn is_shut(&self) -> bool {
        self.is_shut
    }

    /// When something passes again.
    pub fn opens(&self) -> Instant {
        self.filled + self.time_for(self.enough().saturating_sub(self.left)) + Duration::from_nanos(1)
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        let gained = elapsed.as_nanos().saturating_mul(self.per_second.into()) / 1_000_000_000;
        let gained = u64::try_from(gained).unwrap_or(u64::MAX);
        self.left = self.left.saturating_add(gained).min(self.most);
        if self.left == self.most {
            self.filled = self.filled.max(now);
        } else {
            self.filled += self.time_for(gained); // the rest of a unit is not lost
        }
    }

    fn enough(&self) -> u64 {
        self.most.div_ceil(4)
    }

    fn time_for(&self, units: u64) -> Duration {
        let nanos = u128::from(units) * 1_000_000_000 / u128::from(self.per_second);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX / 4))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_emptied_at_once_and_fills_by_the_second() {
        let start = Instant::now();
        let after = |millis| start + Duration::from_millis(millis);
        let mut pace = Pace::new(8, 2, start);
        assert!((0..8).all(|_| pace.admits(1, start)) && !pace.is_shut());
        assert!(!pace.admits(1, start) && pace.is_shut());
        assert!(!pace.admits(1, after(999)), "there is one, but not a quarter");
        assert_eq!(pace.opens(), after(1000) + Duration::from_nanos(1));
        assert!(pace.admits(1, after(1000)) && pace.admits(1, after(1000)));
        assert!(!pace.admits(1, after(1400)));
        assert!(pace.admits(2, after(2000)), "the part of a unit counts");
        assert!((0..8).all(|_| pace.admits(1, after(60_000))), "full");
        assert!(!pace.admits(1, start), "no clock goes back");
    }

    #[test]
    fn what_is_more_than_can_be_there_passes_now_and_then() {
        let start = Instant::now();
        let mut pace = Pace::new(8, 2, start);
        assert!(pace.admits(1000, start));
        assert!(!pace.admits(1000, start));
        assert!(pace.admits(1000, pace.opens()));
    }
}
