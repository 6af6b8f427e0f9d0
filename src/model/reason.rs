//! Why a service does not do what is wanted: a line for each cause, of which the most telling is shown.

/// The longest line. Paths in it may be a hostile user's.
pub const MOST_BYTES: usize = 200;

/// What may keep a service from what is wanted. Where there are several, the first of these is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// `run` cannot be started.
    Start,
    /// `finish` cannot be started.
    Finish,
    /// The log service does not read.
    Stalled,
    /// It waits for something.
    Waiting,
    /// A hook did not do its part.
    Hook,
    /// It pauses after young deaths.
    Pause,
    /// Files in `supervise/` cannot be put in place.
    Supervise,
    /// The records cannot be written.
    Files,
}

/// The reasons there are, at most one for each cause.
#[derive(Clone, Debug, Default)]
pub struct Reasons {
    /// In the order of the causes. As a rule there are none, and then they take no room.
    lines: Vec<(Cause, Vec<u8>)>,
}

impl Reasons {
    /// The line for `cause`, or that there is none any more.
    pub fn set(&mut self, cause: Cause, line: Option<&[u8]>) {
        let place = self.lines.binary_search_by_key(&cause, |(known, _)| *known);
        match (place, line) {
            (Ok(at), Some(line)) => self.lines[at].1 = clean(line),
            (Err(at), Some(line)) => self.lines.insert(at, (cause, clean(line))),
            (Ok(at), None) => drop(self.lines.remove(at)),
            (Err(_), None) => {}
        }
        if self.lines.is_empty() {
            self.lines = Vec::new();
        }
    }

    /// The line for `cause`.
    pub fn get(&self, cause: Cause) -> Option<&[u8]> {
        let at = self.lines.binary_search_by_key(&cause, |(known, _)| *known).ok()?;
        Some(&self.lines[at].1)
    }

    /// The line to show, if there is any.
    pub fn shown(&self) -> Option<&[u8]> {
        self.lines.first().map(|(_, line)| line.as_slice())
    }
}

/// `text` as a part of a line of `sv status`, where `; ` begins the log service: one line, and not a long one.
pub fn clean(text: &[u8]) -> Vec<u8> {
    let is_plain = |byte: u8| !byte.is_ascii_control() && byte != b';';
    text.iter().take(MOST_BYTES).map(|byte| if is_plain(*byte) { *byte } else { b'?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cause_is_shown_until_it_goes() {
        let mut reasons = Reasons::default();
        assert_eq!(reasons.shown(), None);
        reasons.set(Cause::Files, Some(b"files"));
        reasons.set(Cause::Start, Some(b"start"));
        assert_eq!(reasons.shown(), Some(&b"start"[..]));
        reasons.set(Cause::Start, None);
        assert_eq!(reasons.shown(), Some(&b"files"[..]));
        assert_eq!((reasons.get(Cause::Files), reasons.get(Cause::Start)), (Some(&b"files"[..]), None));
    }

    #[test]
    fn a_reason_stays_a_short_part_of_one_line() {
        assert_eq!(clean(b"a\nb; c\x1b\xff"), b"a?b? c?\xff");
        assert_eq!(clean(&[b'x'; 2 * MOST_BYTES]).len(), MOST_BYTES);
    }
}
