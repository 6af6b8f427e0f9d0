//! When a new directory is complete enough to be supervised.

use std::time::Duration;

/// A directory in which something was made so recently is still being filled, as by `cp -R`.
pub const SETTLE: Duration = Duration::from_millis(200);
/// No directory is waited for longer.
pub const LONGEST: Duration = Duration::from_secs(5);

/// How long to wait before looking again at a directory that was last changed `age` ago and has been `waited` for;
/// `None` if it can be taken.
///
/// runsv looks for `log` once, when it starts: taken too early, a directory that is being copied would never get its
/// log service. A link, or a directory that was there when runsvdir started, is complete at once.
pub fn remaining(age: Duration, has_run: bool, waited: Duration) -> Option<Duration> {
    let rest = if has_run { SETTLE.saturating_sub(age) } else { SETTLE };
    (waited < LONGEST && !rest.is_zero()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Duration = Duration::ZERO;

    #[test]
    fn a_directory_is_taken_once_it_was_left_alone_for_a_while() {
        assert_eq!(remaining(NONE, true, NONE), Some(SETTLE));
        assert_eq!(remaining(Duration::from_millis(150), true, NONE), Some(Duration::from_millis(50)));
        assert_eq!(remaining(SETTLE, true, NONE), None);
        assert_eq!(remaining(Duration::MAX, true, NONE), None);
    }

    #[test]
    fn a_directory_without_run_is_waited_for_but_not_for_ever() {
        assert_eq!(remaining(Duration::MAX, false, NONE), Some(SETTLE));
        assert_eq!(remaining(Duration::MAX, false, LONGEST), None);
        assert_eq!(remaining(NONE, true, LONGEST), None, "something changes in it all the time");
    }
}
