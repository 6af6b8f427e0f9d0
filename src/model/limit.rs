//! Resource limits in the notation of prlimit(1).

use crate::model::number;

/// What to set of one limit; what is `None` stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The soft limit, which counts.
    pub soft: Option<u64>,
    /// The hard limit, up to which anybody may raise the soft one.
    pub hard: Option<u64>,
}

/// Why a text is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// There is no `=VALUE` after the resource.
    NoValue,
    /// A part is neither a number nor `unlimited`.
    Number,
    /// The soft limit is above the hard one.
    Order,
}

impl Fault {
    /// What is wrong with the text.
    pub fn words(self) -> &'static str {
        match self {
            Fault::NoValue => "limit without a value",
            Fault::Number => "neither a number nor unlimited",
            Fault::Order => "soft limit above hard limit",
        }
    }
}

/// Parses `RESOURCE=LIMITS` into the resource's name and what to set.
///
/// | limits      | soft limit | hard limit |
/// |-------------|------------|------------|
/// | `BOTH`      | BOTH       | BOTH       |
/// | `SOFT:HARD` | SOFT       | HARD       |
/// | `SOFT:`     | SOFT       | stays      |
/// | `:HARD`     | stays      | HARD       |
///
/// Each is a decimal number that fits into 64 bits, or `unlimited`. Source: prlimit(1) of util-linux.
pub fn parse(text: &[u8]) -> (&[u8], Result<Bounds, Fault>) {
    match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (&text[..at], bounds(&text[at + 1..])),
        None => (text, Err(Fault::NoValue)),
    }
}

fn bounds(text: &[u8]) -> Result<Bounds, Fault> {
    let (soft, hard) = match text.iter().position(|byte| *byte == b':') {
        Some(at) => (optional(&text[..at])?, optional(&text[at + 1..])?),
        None => (optional(text)?, optional(text)?),
    };
    match (soft, hard) {
        (None, None) => Err(Fault::NoValue),
        (Some(soft), Some(hard)) if soft > hard => Err(Fault::Order),
        _ => Ok(Bounds { soft, hard }),
    }
}

fn optional(text: &[u8]) -> Result<Option<u64>, Fault> {
    match text {
        b"" => Ok(None),
        b"unlimited" => Ok(Some(number::UNLIMITED)),
        digits => match number::fitting(digits) {
            Some(number) => Ok(Some(number)),
            None => Err(Fault::Number),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(soft: Option<u64>, hard: Option<u64>) -> Result<Bounds, Fault> {
        Ok(Bounds { soft, hard })
    }

    #[test]
    fn each_side_of_the_colon_is_a_limit_and_without_one_both_are_meant() {
        for (text, expected) in [
            ("=5", set(Some(5), Some(5))),
            ("=5:6", set(Some(5), Some(6))),
            ("=6:6", set(Some(6), Some(6))),
            ("=5:", set(Some(5), None)),
            ("=:6", set(None, Some(6))),
            ("=0", set(Some(0), Some(0))),
            ("=unlimited", set(Some(u64::MAX), Some(u64::MAX))),
            ("=5:unlimited", set(Some(5), Some(u64::MAX))),
            ("=18446744073709551615", set(Some(u64::MAX), Some(u64::MAX))),
        ] {
            assert_eq!(bounds(&text.as_bytes()[1..]), expected, "{text}");
            assert_eq!(parse(format!("nofile{text}").as_bytes()), (&b"nofile"[..], expected), "{text}");
        }
    }

    #[test]
    fn each_fault_has_its_name() {
        for (text, expected) in [
            ("nofile", Err(Fault::NoValue)),
            ("nofile=", Err(Fault::NoValue)),
            ("nofile=:", Err(Fault::NoValue)),
            ("nofile=x", Err(Fault::Number)),
            ("nofile=-1", Err(Fault::Number)),
            ("nofile= 5", Err(Fault::Number)),
            ("nofile==", Err(Fault::Number)),
            ("nofile=5:6:7", Err(Fault::Number)),
            ("nofile=5:Unlimited", Err(Fault::Number)),
            ("nofile=18446744073709551616", Err(Fault::Number)),
            ("nofile=6:5", Err(Fault::Order)),
            ("nofile=unlimited:5", Err(Fault::Order)),
        ] {
            assert_eq!(parse(text.as_bytes()), (&b"nofile"[..], expected), "{text}");
        }
        assert_eq!(parse(b"=5").0, b"");
    }
}
