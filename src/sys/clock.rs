//! The only place that reads a clock: monotonic for delays, wall clock for labels.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock for delays. It never jumps.
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock: time since 1970 began, UTC, for labels. A clock before 1970 reads as 0.
pub fn wall() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
