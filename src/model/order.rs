//! The words of sv: what each writes into the control FIFO, and what it waits for.

/// What a word of sv means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Print the status, and its log service's.
    Status,
    /// Act, or only wait.
    Order(Order),
}

/// Something to be done to a service and waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The control bytes; empty for `check`.
    pub bytes: &'static [u8],
    /// What is reached when it is done: each of these holds.
    pub goals: &'static [Goal],
    /// Wait and report also without `-v`.
    pub waits: bool,
    /// What to do when it takes too long.
    pub late: Late,
}

/// What to do about a service that takes too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Late {
    /// Say `timeout:`.
    Timeout,
    /// Say `kill:` and send KILL.
    Kill,
}

/// What an order is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// It runs and is ready.
    Up,
    /// Nothing of it runs.
    Down,
    /// It ran, or runs, and will not be started again.
    Once,
    /// The supervisor has gone.
    Gone,
    /// Another process runs and is ready, or it is down for good.
    Renewed,
    /// It is paused.
    Paused,
    /// It is not paused.
    Continued,
    /// Nothing: a signal was sent.
    Sent,
    /// It is as it is wanted: up and ready, or down.
    AsWanted,
}

impl Order {
    /// Whether the service is to run in the end.
    pub fn brings_up(&self) -> bool {
        self.goals.contains(&Goal::Up)
    }
}

const fn simple(bytes: &'static [u8], goals: &'static [Goal]) -> Order {
    Order { bytes, goals, waits: false, late: Late::Timeout }
}

const fn waiting(bytes: &'static [u8], goals: &'static [Goal]) -> Order {
    Order { bytes, goals, waits: true, late: Late::Timeout }
}

const fn forcing(bytes: &'static [u8], goals: &'static [Goal]) -> Order {
    Order { bytes, goals, waits: true, late: Late::Kill }
}

/// Words that are known as a whole; all others by their first letter.
const WORDS: [(&[u8], Order); 11] = [
    (b"start", waiting(b"u", &[Goal::Up])),
    (b"stop", waiting(b"d", &[Goal::Down])),
    (b"shutdown", waiting(b"x", &[Goal::Gone])),
    (b"restart", waiting(b"tcu", &[Goal::Renewed, Goal::Continued, Goal::Up])),
    (b"reload", waiting(b"h", &[Goal::Sent])),
    (b"try-restart", waiting(b"tc", &[Goal::Renewed, Goal::Continued])),
    (b"check", waiting(b"", &[Goal::AsWanted])),
    (b"force-stop", forcing(b"d", &[Goal::Down])),
    (b"force-reload", forcing(b"tc", &[Goal::Renewed, Goal::Continued])),
    (b"force-restart", forcing(b"tcu", &[Goal::Renewed, Goal::Continued, Goal::Up])),
    (b"force-shutdown", forcing(b"x", &[Goal::Gone])),
];

/// Reads a word of sv; `None` for one that means nothing.
///
/// Most words count by their first letter alone. As an init script (`init_script`) `status` must be spelled out.
/// Source: runit 2.3.0, `main` in src/sv.c.
pub fn read(word: &[u8], init_script: bool) -> Option<Word> {
    if let Some((_, order)) = WORDS.iter().find(|(known, _)| *known == word) {
        return Some(Word::Order(*order));
    }
    let order = match word.first()? {
        b's' if !init_script || word == b"status" => return Some(Word::Status),
        b'u' => simple(b"u", &[Goal::Up]),
        b'd' => simple(b"d", &[Goal::Down]),
        b'x' | b'e' => simple(b"x", &[Goal::Gone]),
        b'X' | b'E' => forcing(b"x", &[Goal::Gone]),
        b'D' => forcing(b"d", &[Goal::Down]),
        b'T' => forcing(b"tc", &[Goal::Renewed, Goal::Continued]),
        b'o' => simple(b"o", &[Goal::Once]),
        b't' => simple(b"t", &[Goal::Renewed]),
        b'k' => simple(b"k", &[Goal::Renewed]),
        b'p' => simple(b"p", &[Goal::Paused]),
        b'c' => simple(b"c", &[Goal::Continued]),
        b'h' => simple(b"h", &[Goal::Sent]),
        b'a' => simple(b"a", &[Goal::Sent]),
        b'i' => simple(b"i", &[Goal::Sent]),
        b'q' => simple(b"q", &[Goal::Sent]),
        b'1' => simple(b"1", &[Goal::Sent]),
        b'2' => simple(b"2", &[Goal::Sent]),
        _ => return None,
    };
    Some(Word::Order(order))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(word: &str) -> Option<&'static [u8]> {
        match read(word.as_bytes(), false) {
            Some(Word::Order(order)) => Some(order.bytes),
            Some(Word::Status) => Some(b"status"),
            None => None,
        }
    }

    #[test]
    fn simple_words_count_by_their_first_letter() {
        for (word, sent) in [("up", "u"), ("upward", "u"), ("d", "d"), ("once", "o"), ("exit", "x"), ("1", "1")] {
            assert_eq!(bytes(word), Some(sent.as_bytes()), "{word}");
        }
        for (word, sent) in [("term", "t"), ("cont", "c"), ("hup", "h"), ("alarm", "a"), ("quit", "q"), ("kill", "k")] {
            assert_eq!(bytes(word), Some(sent.as_bytes()), "{word}");
        }
    }

    #[test]
    fn whole_words_send_their_sequence() {
        let expected =
            [("start", "u"), ("stop", "d"), ("restart", "tcu"), ("try-restart", "tc"), ("reload", "h"), ("check", "")];
        for (word, sent) in expected {
            assert_eq!(bytes(word), Some(sent.as_bytes()), "{word}");
        }
        for (word, sent) in [("force-stop", "d"), ("force-restart", "tcu"), ("force-shutdown", "x"), ("T", "tc")] {
            assert_eq!(bytes(word), Some(sent.as_bytes()), "{word}");
            let Some(Word::Order(order)) = read(word.as_bytes(), false) else { panic!("{word} is an order") };
            assert_eq!((order.waits, order.late), (true, Late::Kill), "{word}");
        }
    }

    #[test]
    fn other_words_with_these_letters_mean_nothing() {
        for word in ["", "r", "restarts", "f", "force", "force-status", "nonsense", "\u{e9}", "4"] {
            assert_eq!(bytes(word), None, "{word}");
        }
    }

    #[test]
    fn any_other_word_with_s_is_status_but_not_in_an_init_script() {
        assert_eq!(bytes("starting"), Some(&b"status"[..]));
        assert_eq!(read(b"starting", true), None);
        assert_eq!(read(b"status", true), Some(Word::Status));
        assert!(matches!(read(b"start", true), Some(Word::Order(_))));
    }
}
