//! Numbers as chpst's options take them: strict, decimal, never negative unless they say so.
//!
//! Source: runit 2.3.0, src/scan_ulong.c and src/chpst.c. Differs: there a number that does not fit wraps, so that
//! a huge limit becomes a tiny one; here it stays as large as can be.

use std::ops::RangeInclusive;

/// No limit at all: whatever the hard limit allows.
pub const UNLIMITED: u64 = u64::MAX;

/// The largest nice increment that means anything: from one end of -20..=19 to the other.
const WHOLE_NICE_RANGE: i32 = 39;

/// Parses decimal digits and nothing else; no digits are 0, and more than fits is `u64::MAX`.
pub fn strict(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |number, byte| match byte {
        b'0'..=b'9' => Some(number.saturating_mul(10).saturating_add(u64::from(byte - b'0'))),
        _ => None,
    })
}

/// Parses decimal digits, at least one, that fit into 64 bits.
pub fn fitting(text: &[u8]) -> Option<u64> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    digits.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

/// Parses a number of `range`: `5`, `+5` or `-5`, with at least one digit.
pub fn signed(text: &[u8], range: RangeInclusive<i32>) -> Option<i32> {
    let (negative, digits) = sign(text);
    let number = i32::try_from(fitting(digits)?).ok()?;
    let number = if negative { -number } else { number };
    range.contains(&number).then_some(number)
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    }
}

/// Parses a soft limit; a number beyond the largest signed one means [`UNLIMITED`].
pub fn limit(text: &[u8]) -> Option<u64> {
    strict(text).map(|number| if number > i64::MAX.unsigned_abs() { UNLIMITED } else { number })
}

/// Parses a soft limit as softlimit takes it: also `=`, which means [`UNLIMITED`].
pub fn limit_or_hard(text: &[u8]) -> Option<u64> {
    if text == b"=" { Some(UNLIMITED) } else { limit(text) }
}

/// Parses a nice increment: `5`, `+5` or `-5`.
pub fn increment(text: &[u8]) -> Option<i32> {
    let (negative, digits) = sign(text);
    let by = i32::try_from(strict(digits)?).unwrap_or(WHOLE_NICE_RANGE).min(WHOLE_NICE_RANGE);
    Some(if negative { -by } else { by })
}

/// Parses a file mode in octal, at most `0777`.
pub fn mode(text: &[u8]) -> Option<u32> {
    let octal = !text.is_empty() && text.iter().all(|byte| matches!(byte, b'0'..=b'7'));
    let number = octal.then(|| u32::from_str_radix(std::str::from_utf8(text).ok()?, 8).ok()).flatten()?;
    (number <= 0o777).then_some(number)
}

/// Parses a user or group id: at least one digit and nothing else, and not `u32::MAX`, which the kernel takes as
/// "leave it as it is".
pub fn id(text: &[u8]) -> Option<u32> {
    let number = if text.is_empty() { None } else { strict(text) }?;
    u32::try_from(number).ok().filter(|id| *id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_number_and_none_are_zero() {
        for (text, number) in [("", 0), ("0", 0), ("007", 7), ("4294967296", 4_294_967_296)] {
            assert_eq!(strict(text.as_bytes()), Some(number), "{text:?}");
        }
        for text in ["x", "5x", " 5", "5 ", "+5", "-5", "0x10", "1e3", "٣", "5\0"] {
            assert_eq!(strict(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_number_that_does_not_fit_is_as_large_as_can_be_and_never_small() {
        assert_eq!(strict(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(strict(b"18446744073709551616"), Some(u64::MAX));
        assert_eq!(strict(&[b'9'; 400]), Some(u64::MAX));
        assert_eq!(strict(b"99999999999999999999x"), None);
    }

    #[test]
    fn a_limit_beyond_the_signed_numbers_is_no_limit() {
        assert_eq!(limit(b"9223372036854775807"), Some(i64::MAX.unsigned_abs()));
        assert_eq!(limit(b"9223372036854775808"), Some(UNLIMITED));
        assert_eq!(limit(b"18446744073709551616"), Some(UNLIMITED));
        assert_eq!(limit(b""), Some(0));
        assert_eq!(limit(b"="), None);
        assert_eq!(limit_or_hard(b"="), Some(UNLIMITED));
        assert_eq!(limit_or_hard(b"5"), Some(5));
        assert_eq!(limit_or_hard(b"=5"), None);
    }

    #[test]
    fn an_increment_has_at_most_one_sign() {
        for (text, by) in [("5", 5), ("+5", 5), ("-5", -5), ("", 0), ("-", 0), ("+", 0), ("0", 0)] {
            assert_eq!(increment(text.as_bytes()), Some(by), "{text:?}");
        }
        for text in ["x", "5x", "--5", "+-5", "-+5", "- 5"] {
            assert_eq!(increment(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn a_huge_increment_reaches_the_end_of_the_range_and_does_not_wrap() {
        assert_eq!(increment(b"4294967297"), Some(39));
        assert_eq!(increment(b"-4294967297"), Some(-39));
        assert_eq!(increment(b"99999999999999999999999"), Some(39));
    }

    #[test]
    fn a_number_of_a_range_has_digits_and_stays_in_it() {
        for (text, number) in [("0", 0), ("-0", 0), ("19", 19), ("+19", 19), ("-20", -20), ("007", 7)] {
            assert_eq!(signed(text.as_bytes(), -20..=19), Some(number), "{text:?}");
        }
        for text in ["", "-", "+", "20", "-21", "x", "5x", "--5", " 5", "4294967296", "99999999999999999999"] {
            assert_eq!(signed(text.as_bytes(), -20..=19), None, "{text:?}");
        }
    }

    #[test]
    fn a_mode_is_octal_and_has_permission_bits_only() {
        for (text, bits) in [("0", 0), ("022", 0o22), ("77", 0o77), ("0777", 0o777), ("00077", 0o77)] {
            assert_eq!(mode(text.as_bytes()), Some(bits), "{text:?}");
        }
        for text in ["", "8", "1000", "u=rwx", "-1", "+22", "0o22", "77777777777777777777"] {
            assert_eq!(mode(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn an_id_is_never_empty_never_wraps_and_never_means_unchanged() {
        assert_eq!(id(b"0"), Some(0));
        assert_eq!(id(b"0100"), Some(100));
        assert_eq!(id(b"4294967294"), Some(u32::MAX - 1));
        for text in ["", "4294967295", "4294967296", "99999999999999999999", "-1", "+1", "1 ", "x"] {
            assert_eq!(id(text.as_bytes()), None, "{text:?}");
        }
    }
}
