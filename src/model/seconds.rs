//! Times that people write: sv's `-w` and SVWAIT, and the timeout files of s6.

use std::time::Duration;

/// No wait is longer: a year. Clocks cannot count much further than a few hundred of them.
pub const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long `text` says to wait, in seconds; what is no time is 0.
///
/// `duration` reads a duration such as `2m`. Source: runit 2.3.0, `scan_ulong` in src/sv.c: leading digits count.
/// Differs: a duration with a unit is one; there only its digits count, as seconds.
pub fn read(text: &[u8], duration: impl Fn(&str) -> Option<Duration>) -> Duration {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = std::str::from_utf8(text).ok().filter(|text| digits < text.len());
    if let Some(said) = rest.and_then(duration) {
        return said.min(LONGEST);
    }
    Duration::from_secs(number(&text[..digits])).min(LONGEST)
}

/// After how long the original gives up that was told to wait for `wait` and looks every `between`: at the first look
/// that does not come too early, but never at once.
///
/// Source: runit 2.3.0, `main` in src/sv.c.
pub fn last_look(wait: Duration, between: Duration) -> Duration {
    let looks = wait.as_nanos().div_ceil(between.as_nanos().max(1)).max(1);
    between.saturating_mul(u32::try_from(looks).unwrap_or(u32::MAX))
}

/// What a file such as `timeout-kill` says: milliseconds, or a duration such as `5s`; `None` for anything else.
///
/// 0 means "no timeout".
///
/// Source: s6-supervise, `timeout-kill` and `timeout-finish`.
pub fn read_timeout(text: &[u8], duration: impl Fn(&str) -> Option<Duration>) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let said = if is_number { Some(Duration::from_millis(number(text.as_bytes()))) } else { duration(text) };
    said.map(|said| said.min(LONGEST))
}

/// Decimal digits; more than fits is as large as can be.
fn number(digits: &[u8]) -> u64 {
    digits.iter().fold(0, |sum: u64, digit| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minutes(text: &str) -> Option<Duration> {
        text.strip_suffix('m')?.parse().ok().map(|minutes: u64| Duration::from_secs(60 * minutes))
    }

    #[test]
    fn digits_are_seconds_and_units_are_understood() {
        let cases: [(&[u8], u64); 7] =
            [(b"5", 5), (b"", 0), (b"x", 0), (b"-5", 0), (b"2m", 120), (b"7x", 7), (b"\xff", 0)];
        for (text, seconds) in cases {
            assert_eq!(read(text, minutes), Duration::from_secs(seconds), "{text:?}");
        }
    }

    #[test]
    fn it_is_given_up_at_the_look_at_which_the_original_gives_up() {
        let ms = Duration::from_millis;
        for (wait, last) in [(0, 420), (5, 420), (420, 420), (421, 840), (1000, 1260), (7000, 7140), (21000, 21000)] {
            assert_eq!(last_look(ms(wait), ms(420)), ms(last), "{wait}");
        }
        assert!(last_look(LONGEST, ms(420)) >= LONGEST);
        assert_eq!(last_look(ms(1), Duration::ZERO), Duration::ZERO, "no pause between looks");
    }

    #[test]
    fn a_timeout_file_holds_milliseconds_or_a_duration() {
        let cases: [(&[u8], Option<u64>); 6] = [
            (b"35000\n", Some(35)),
            (b"2m\n", Some(120)),
            (b"0\n", Some(0)),
            (b"", None),
            (b"soon", None),
            (b"\xff", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(read_timeout(text, minutes), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn a_huge_number_does_not_overflow() {
        assert_eq!(read(&[b'9'; 300], minutes), LONGEST);
        assert_eq!(read(b"1000000000000m", minutes), LONGEST);
        assert_eq!(read_timeout(&[b'9'; 300], minutes), Some(LONGEST));
    }
}
