//! Which lines a log takes: the `+`, `-`, `e` and `E` lines of svlogd's `config`.

/// A pattern, matched against a whole line, byte by byte.
///
/// | in the pattern    | matches                                                              |
/// |-------------------|----------------------------------------------------------------------|
/// | an ordinary byte  | itself                                                               |
/// | `*` at the end    | the rest, also an empty one                                          |
/// | `*` before byte X | up to the first X, which must follow; it never looks for a later one |
/// | `+X`              | one X or more; a line that ends within the run matches               |
/// | `+` at the end    | the end of the line                                                  |
///
/// A `*` or `+` after `*` is looked for like any other byte, and then means what it always means. There is no
/// escape.
///
/// Source: runit 2.3.0, src/pmatch.c. Differs: there a `+` at the end compares with the byte after the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(Vec<u8>);

impl Pattern {
    /// The pattern with this text. Every text is one.
    pub fn new(text: &[u8]) -> Pattern {
        Pattern(text.to_vec())
    }

    /// Whether the whole of `line` matches.
    pub fn matches(&self, line: &[u8]) -> bool {
        let (mut pattern, mut line) = (self.0.as_slice(), line);
        loop {
            match *pattern {
                [] => return line.is_empty(),
                [b'*'] => return true,
                [b'+'] => return line.is_empty(),
                [b'*', ref rest @ ..] => {
                    let Some(at) = line.iter().position(|byte| *byte == rest[0]) else { return false };
                    (pattern, line) = (rest, &line[at..]);
                }
                [b'+', repeated, ref rest @ ..] => {
                    let run = line.iter().take_while(|byte| **byte == repeated).count();
                    if run == 0 || run == line.len() {
                        return run > 0;
                    }
                    (pattern, line) = (rest, &line[run..]);
                }
                [byte, ref rest @ ..] => {
                    if line.first() != Some(&byte) {
                        return false;
                    }
                    (pattern, line) = (rest, &line[1..]);
                }
            }
        }
    }
}

/// What a matching line is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `+`: into the log.
    Log,
    /// `-`: not into the log.
    DoNotLog,
    /// `e`: to stderr.
    Alert,
    /// `E`: not to stderr.
    DoNotAlert,
}

/// One such line of `config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// What it says.
    pub verdict: Verdict,
    /// About which lines.
    pub pattern: Pattern,
}

/// Where a line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selection {
    /// Into the log, and through UDP.
    pub log: bool,
    /// To stderr.
    pub alert: bool,
}

/// Applies `rules` in order; the last that matches wins. At first a line is selected for the log only.
pub fn select(rules: &[Rule], line: &[u8]) -> Selection {
    let everything = Selection { log: true, alert: false };
    rules.iter().filter(|rule| rule.pattern.matches(line)).fold(everything, |so_far, rule| match rule.verdict {
        Verdict::Log => Selection { log: true, ..so_far },
        Verdict::DoNotLog => Selection { log: false, ..so_far },
        Verdict::Alert => Selection { alert: true, ..so_far },
        Verdict::DoNotAlert => Selection { alert: false, ..so_far },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, line: &str) -> bool {
        Pattern::new(pattern.as_bytes()).matches(line.as_bytes())
    }

    #[test]
    fn a_pattern_matches_the_whole_line() {
        assert!(matches("abc", "abc"));
        assert!(!matches("abc", "abcd"));
        assert!(!matches("abc", "ab"));
        assert!(matches("", ""));
        assert!(!matches("", "a"));
    }

    #[test]
    fn a_star_reaches_the_first_such_byte_and_never_a_later_one() {
        let line = "tcpsvd: info: pid 1977 from 10.4.1.14";
        assert!(!matches("*pid*", line));
        assert!(matches("*: *: pid *", line));
        assert!(matches("*", ""));
        assert!(matches("a*", "a"));
        assert!(matches("*b", "b"));
        assert!(!matches("*b", "abb"));
        assert!(!matches("*b", "aaa"));
    }

    #[test]
    fn a_plus_takes_a_run_and_at_least_one() {
        assert!(matches("a+bc", "abbbc"));
        assert!(!matches("a+bc", "ac"));
        assert!(!matches("+a", ""));
        assert!(matches("+a*", "aab"));
        assert!(matches("+a*", "aa"));
    }

    #[test]
    fn a_line_that_ends_within_a_run_matches_whatever_follows_it() {
        assert!(matches("+ab", "aaa"));
        assert!(!matches("+ab", "aaac"));
    }

    #[test]
    fn a_star_or_plus_after_a_star_is_looked_for_and_then_means_what_it_means() {
        assert!(matches("**", "ab*cd"));
        assert!(!matches("**", "abcd"));
        assert!(matches("*++*", "ab+++c"));
        assert!(!matches("*+x", "ab+x"));
        assert!(matches("++", "+++"));
    }

    #[test]
    fn a_plus_at_the_end_is_the_end_of_the_line() {
        assert!(matches("a+", "a"));
        assert!(!matches("a+", "a+"));
        assert!(!matches("*+", "ab+"));
    }

    #[test]
    fn the_last_rule_that_matches_wins() {
        let rule = |verdict, text: &str| Rule { verdict, pattern: Pattern::new(text.as_bytes()) };
        let rules = [
            rule(Verdict::DoNotLog, "*"),
            rule(Verdict::Log, "a*"),
            rule(Verdict::Alert, "*"),
            rule(Verdict::DoNotAlert, "b*"),
        ];
        assert_eq!(select(&rules, b"abc"), Selection { log: true, alert: true });
        assert_eq!(select(&rules, b"bcd"), Selection { log: false, alert: false });
        assert_eq!(select(&rules, b"cde"), Selection { log: false, alert: true });
        assert_eq!(select(&[], b""), Selection { log: true, alert: false });
    }
}
