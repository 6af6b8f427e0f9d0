//! The records of `supervise/`: `status`, `stat` and `pid`.

use super::tai::Label;

/// What runs, as the records tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing.
    Down,
    /// `./run`.
    Run,
    /// `./finish`.
    Finish,
    /// A value that runit does not know; it prints no word.
    Unknown(u8),
}

/// What is wanted of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Want {
    /// Keep it running.
    Up,
    /// Do not start it again.
    Down,
    /// Do not start it again, and end the supervisor.
    Exit,
}

/// The 20 bytes of `supervise/status`.
///
/// | bytes  | field    | form                                                           |
/// |--------|----------|----------------------------------------------------------------|
/// | 0..12  | since    | TAI64N: 2^62 + 10 + Unix seconds, then nanoseconds; big-endian |
/// | 12..16 | pid      | u32, little-endian; 0 when nothing runs                        |
/// | 16     | paused   | 0 or 1                                                         |
/// | 17     | want     | b'u' or b'd'; "exit" is written b'd'                           |
/// | 18     | got TERM | 0 or 1                                                         |
/// | 19     | state    | 0 down, 1 run, 2 finish                                        |
///
/// Source: runit 2.3.0, `update_status` in src/runsv.c.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// When the service was last started, or became down.
    pub since: Label,
    /// The process of `run` or `finish`; 0 for none.
    pub pid: i32,
    /// It was sent STOP.
    pub paused: bool,
    /// What is wanted. A decoded record never says [`Want::Exit`].
    pub want: Want,
    /// It was sent TERM and has not ended yet.
    pub got_term: bool,
    /// What runs.
    pub state: State,
}

/// The size of a status record.
pub const STATUS_BYTES: usize = 20;

impl Status {
    /// The record as written.
    pub fn encode(&self) -> [u8; STATUS_BYTES] {
        let mut bytes = [0; STATUS_BYTES];
        bytes[..12].copy_from_slice(&self.since.encode());
        bytes[12..16].copy_from_slice(&self.pid.to_le_bytes());
        bytes[16] = u8::from(self.paused);
        bytes[17] = if self.want == Want::Up { b'u' } else { b'd' };
        bytes[18] = u8::from(self.got_term);
        bytes[19] = match self.state {
            State::Down => 0,
            State::Run => 1,
            State::Finish => 2,
            State::Unknown(value) => value,
        };
        bytes
    }

    /// Reads a record; `None` unless it is exactly 20 bytes long.
    pub fn decode(bytes: &[u8]) -> Option<Status> {
        let bytes: &[u8; STATUS_BYTES] = bytes.try_into().ok()?;
        let mut since = [0; 12];
        since.copy_from_slice(&bytes[..12]);
        Some(Status {
            since: Label::decode(since),
            pid: i32::from_le_bytes([bytes[12], bytes[13], bytes[14], bytes[15]]),
            paused: bytes[16] != 0,
            want: if bytes[17] == b'u' { Want::Up } else { Want::Down },
            got_term: bytes[18] != 0,
            state: match bytes[19] {
                0 => State::Down,
                1 => State::Run,
                2 => State::Finish,
                value => State::Unknown(value),
            },
        })
    }

    /// The line of `supervise/stat`: what runs, then what is to be known of it.
    ///
    /// Source: runit 2.3.0, `update_status` in src/runsv.c.
    pub fn stat(&self) -> Text<40> {
        let mut text = Text::new();
        text.push(match self.state {
            State::Down => "down",
            State::Run => "run",
            State::Finish => "finish",
            State::Unknown(_) => "",
        });
        if self.paused {
            text.push(", paused");
        }
        if self.got_term {
            text.push(", got TERM");
        }
        match self.want {
            Want::Down if self.state != State::Down => text.push(", want down"),
            Want::Exit if self.state != State::Down => text.push(", want exit"),
            _ => {}
        }
        text.push("\n");
        text
    }

    /// The line of `supervise/pid`; nothing at all when nothing runs.
    pub fn pid_line(&self) -> Text<12> {
        let mut text = Text::new();
        if self.pid != 0 {
            text.push_number(self.pid.unsigned_abs());
            text.push("\n");
        }
        text
    }
}

/// A short text of at most `N` bytes, made without allocating.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Text<N> {
    /// An empty text.
    pub fn new() -> Text<N> {
        Text { bytes: [0; N], length: 0 }
    }

    /// Appends `more`, or as much of it as there is room for.
    pub fn push(&mut self, more: &str) {
        let room = &mut self.bytes[self.length..];
        let fits = more.len().min(room.len());
        room[..fits].copy_from_slice(&more.as_bytes()[..fits]);
        self.length += fits;
    }

    /// Appends a number in decimal.
    pub fn push_number(&mut self, number: u32) {
        let mut digits = [0; 10];
        let mut rest = number;
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        self.push(std::str::from_utf8(&digits[at..]).unwrap_or_default());
    }

    /// The bytes so far.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Text::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn running() -> Status {
        Status {
            since: Label::of(Duration::new(0, 500)),
            pid: 0x4c82,
            paused: false,
            want: Want::Up,
            got_term: true,
            state: State::Run,
        }
    }

    #[test]
    fn a_record_is_the_bytes_of_the_original() {
        assert_eq!(running().encode(), *b"\x40\0\0\0\0\0\0\x0a\0\0\x01\xf4\x82\x4c\0\0\0u\x01\x01");
        let finishing = Status { want: Want::Exit, paused: true, state: State::Finish, ..running() };
        assert_eq!(finishing.encode()[16..], *b"\x01d\x01\x02");
    }

    #[test]
    fn a_record_is_20_bytes_long() {
        let bytes = running().encode();
        assert_eq!(Status::decode(&bytes), Some(running()));
        assert_eq!(Status::decode(&bytes[..19]), None);
        assert_eq!(Status::decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(Status::decode(&[9; 20]).map(|status| status.state), Some(State::Unknown(9)));
    }

    #[test]
    fn the_stat_line_is_the_originals() {
        let line = |status: Status| String::from_utf8(status.stat().as_bytes().to_vec()).unwrap();
        assert_eq!(line(running()), "run, got TERM\n");
        assert_eq!(line(Status { want: Want::Exit, ..running() }), "run, got TERM, want exit\n");
        assert_eq!(line(Status { want: Want::Down, paused: true, ..running() }), "run, paused, got TERM, want down\n");
        let down = Status { state: State::Down, pid: 0, got_term: false, paused: true, want: Want::Down, ..running() };
        assert_eq!(line(down), "down, paused\n");
    }

    #[test]
    fn the_pid_line_is_empty_without_a_process() {
        assert_eq!(running().pid_line().as_bytes(), b"19586\n");
        assert_eq!(Status { pid: 0, ..running() }.pid_line().as_bytes(), b"");
        assert_eq!(Status { pid: i32::MAX, ..running() }.pid_line().as_bytes(), b"2147483647\n");
    }
}
