//! When a new directory is complete enough to be supervised.

use std::time::Duration;

/// A directory in which something was made so recently is still being filled, as by `cp -R`.
pub const SETTLE: Duration = Duration::from_millis(200);

/// How long to wait before a directory that was last changed `age` ago may be taken; `None` for not at all.
///
/// runsv looks for `log` once, when it starts: taken too early, a directory that is being copied would never get
/// its log service. A link, or a directory that was moved here, is complete at once.
pub fn remaining(age: Duration) -> Option<Duration> {
    SETTLE.checked_sub(age).filter(|rest| !rest.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_taken_once_it_was_left_alone_for_a_while() {
        assert_eq!(remaining(Duration::ZERO), Some(SETTLE));
        assert_eq!(remaining(Duration::from_millis(150)), Some(Duration::from_millis(50)));
        assert_eq!(remaining(SETTLE), None);
        assert_eq!(remaining(Duration::from_secs(9999)), None);
    }
}
