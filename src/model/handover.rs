//! What a supervisor hands over to the program that it becomes anew: its signal mask, and what it holds open.

use std::collections::BTreeMap;
use std::fmt;

/// One line of words, `NAME=VALUE`.
///
/// | word     | value                                                                                   |
/// |----------|-----------------------------------------------------------------------------------------|
/// | `pid`    | the process that hands over to itself: in any other one it means nothing                |
/// | `mask`   | hexadecimal: the signals that are blocked in what it starts, from bit 0 for signal 1 on |
/// | another  | the number of a descriptor                                                              |
///
/// A reader takes the descriptors that it knows and opens anew what is not there: so either may be the newer one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The process.
    pub pid: i32,
    /// The signals that are blocked in what it starts.
    pub mask: u64,
    /// Descriptors by their names.
    pub descriptors: BTreeMap<String, i32>,
}

impl Handover {
    /// Reads the line; `None` for anything else.
    pub fn read(text: &str) -> Option<Handover> {
        let mut words: BTreeMap<&str, &str> =
            text.split_ascii_whitespace().map(|word| word.split_once('=')).collect::<Option<_>>()?;
        let pid = words.remove("pid")?.parse().ok()?;
        let mask = u64::from_str_radix(words.remove("mask")?, 16).ok()?;
        let number = |(name, value): (&str, &str)| Some((name.to_owned(), value.parse().ok()?));
        let descriptors = words.into_iter().map(number).collect::<Option<BTreeMap<String, i32>>>()?;
        let mut numbers: Vec<i32> = descriptors.values().copied().collect();
        numbers.sort_unstable();
        numbers.dedup();
        (numbers.len() == descriptors.len() && numbers.iter().all(|number| *number > 2)).then_some(Handover {
            pid,
            mask,
            descriptors,
        })
    }
}

impl fmt::Display for Handover {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "pid={} mask={:x}", self.pid, self.mask)?;
        self.descriptors.iter().try_for_each(|(name, number)| write!(out, " {name}={number}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_handed_over_is_one_line_of_words() {
        let descriptors = [("lock".to_owned(), 3), ("log/lock".to_owned(), 7)].into();
        let handover = Handover { pid: 42, mask: 0x8001, descriptors };
        assert_eq!(handover.to_string(), "pid=42 mask=8001 lock=3 log/lock=7");
        assert_eq!(Handover::read("pid=42 mask=8001 lock=3 log/lock=7"), Some(handover));
    }

    #[test]
    fn what_is_no_such_line_is_none() {
        let bad = ["", "pid=1", "mask=1", "pid=x mask=1", "pid=1 mask=x", "pid=1 mask=1 lock", "pid=1 mask=1 lock=x"];
        bad.into_iter().for_each(|text| assert_eq!(Handover::read(text), None, "{text}"));
        assert_eq!(Handover::read("pid=1 mask=0 lock=2"), None, "that is standard error");
        assert_eq!(Handover::read("pid=1 mask=0 lock=3 control=3"), None, "nobody owns a descriptor twice");
    }
}
