//! Lines out of a stream: what svlogd matches, stamps and copies.

use std::time::Duration;

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A line that is shorter than the longest head, without its newline.
    Whole(&'a [u8]),
    /// The first bytes of a line, as many as a head may have; a [`Piece::Rest`] follows.
    Head(&'a [u8]),
    /// More of the line as it came; the last rest ends in a newline.
    Rest(&'a [u8]),
}

/// Bytes that are replaced in heads, and with what: the options `-r` and `-R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The byte that takes their place.
    pub with: u8,
    /// Which are replaced besides everything that is not printable ASCII.
    pub also: Vec<u8>,
}

impl Replace {
    fn apply(&self, text: &mut [u8]) {
        let unwanted = |byte: &u8| !matches!(byte, 32..=126) || self.also.contains(byte);
        text.iter_mut().filter(|byte| unwanted(byte)).for_each(|byte| *byte = self.with);
    }
}

/// Cuts a stream into lines, of any length and in fixed space.
///
/// The head of a line is gathered until it is complete; the rest of a long one passes through.
#[derive(Debug)]
pub struct Cutter {
    head: Vec<u8>,
    max_head: usize,
    replace: Option<Replace>,
    began: Duration,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before or within the head.
    Head,
    /// After a head that has been given out, which is to be forgotten.
    HeadDone,
    /// After the head of a long line.
    Rest,
}

impl Cutter {
    /// Heads have up to `max_head` bytes, at least one.
    pub fn new(max_head: usize, replace: Option<Replace>) -> Cutter {
        let max_head = max_head.max(1);
        Cutter { head: Vec::with_capacity(max_head), max_head, replace, began: Duration::ZERO, place: Place::Head }
    }

    /// Takes bytes from the front of `input`, which arrived at `now`: how many it took, and the piece they complete.
    ///
    /// Without a piece all of `input` has been taken. Rests are no longer than a head.
    pub fn next<'a>(&'a mut self, input: &'a [u8], now: Duration) -> (usize, Option<Piece<'a>>) {
        if self.place == Place::Rest {
            return self.rest(input);
        }
        if self.place == Place::HeadDone {
            self.head.clear();
            self.place = Place::Head;
        }
        if input.is_empty() {
            return (0, None);
        }
        if self.head.is_empty() {
            self.began = now;
        }
        let reach = &input[..input.len().min(self.max_head - self.head.len())];
        let newline = reach.iter().position(|byte| *byte == b'\n');
        let text = &reach[..newline.unwrap_or(reach.len())];
        self.head.extend_from_slice(text);
        if newline.is_some() {
            (text.len() + 1, Some(self.whole()))
        } else if self.head.len() == self.max_head {
            self.place = Place::Rest;
            self.replaced();
            (text.len(), Some(Piece::Head(&self.head)))
        } else {
            (text.len(), None)
        }
    }

    /// What is left when no more bytes will come, ended with the newline that it lacks.
    pub fn finish(&mut self) -> Option<Piece<'_>> {
        match self.place {
            Place::Head if !self.head.is_empty() => Some(self.whole()),
            Place::Rest => {
                self.head.clear();
                self.place = Place::Head;
                Some(Piece::Rest(b"\n"))
            }
            Place::Head | Place::HeadDone => None,
        }
    }

    /// When the first byte of the line of the last piece arrived.
    pub fn began(&self) -> Duration {
        self.began
    }

    fn whole(&mut self) -> Piece<'_> {
        self.place = Place::HeadDone;
        self.replaced();
        Piece::Whole(&self.head)
    }

    fn rest<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Piece<'a>>) {
        let reach = &input[..input.len().min(self.max_head)];
        let Some(newline) = reach.iter().position(|byte| *byte == b'\n') else {
            return (reach.len(), (!reach.is_empty()).then_some(Piece::Rest(reach)));
        };
        self.place = Place::HeadDone;
        (newline + 1, Some(Piece::Rest(&reach[..=newline])))
    }

    fn replaced(&mut self) {
        if let Some(replace) = &self.replace {
            replace.apply(&mut self.head);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `blocks` as text: `whole|`, `head>`, `rest~`.
    fn pieces(mut cutter: Cutter, blocks: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let show = |piece: Piece<'_>| match piece {
            Piece::Whole(text) => format!("{}|", String::from_utf8_lossy(text)),
            Piece::Head(text) => format!("{}>", String::from_utf8_lossy(text)),
            Piece::Rest(text) => format!("{}~", String::from_utf8_lossy(text)),
        };
        for block in blocks {
            let mut input = block.as_bytes();
            while !input.is_empty() {
                let (taken, piece) = cutter.next(input, Duration::ZERO);
                found.extend(piece.map(show));
                input = &input[taken..];
            }
        }
        found.extend(cutter.finish().map(show));
        assert_eq!(cutter.finish(), None);
        found
    }

    #[test]
    fn lines_are_found_wherever_the_blocks_end() {
        let cutter = || Cutter::new(100, None);
        assert_eq!(pieces(cutter(), &["ab\n\ncd\n"]), ["ab|", "|", "cd|"]);
        assert_eq!(pieces(cutter(), &["a", "b", "\n", "\nc", "d\n"]), ["ab|", "|", "cd|"]);
    }

    #[test]
    fn a_line_without_its_end_is_not_lost() {
        assert_eq!(pieces(Cutter::new(100, None), &["ab\ncd"]), ["ab|", "cd|"]);
        assert_eq!(pieces(Cutter::new(2, None), &["abc"]), ["ab>", "c~", "\n~"]);
    }

    #[test]
    fn a_long_line_has_a_head_and_rests() {
        assert_eq!(pieces(Cutter::new(3, None), &["abcdefgh\nxy\n"]), ["abc>", "def~", "gh\n~", "xy|"]);
        assert_eq!(pieces(Cutter::new(3, None), &["ab", "c", "\n"]), ["abc>", "\n~"]);
    }

    #[test]
    fn heads_alone_are_replaced() {
        let replace = Replace { with: b'?', also: b"xy".to_vec() };
        assert_eq!(pieces(Cutter::new(5, Some(replace)), &["\tx~ \x7f\txy\n"]), ["??~ ?>", "\txy\n~"]);
    }

    #[test]
    fn a_line_began_when_its_first_byte_came() {
        let mut cutter = Cutter::new(10, None);
        let at = Duration::from_secs;
        assert_eq!(cutter.next(b"a", at(1)), (1, None));
        assert_eq!(cutter.next(b"b\n", at(2)), (2, Some(Piece::Whole(b"ab"))));
        assert_eq!(cutter.began(), at(1));
        assert_eq!(cutter.next(b"\n", at(3)), (1, Some(Piece::Whole(b""))));
        assert_eq!(cutter.began(), at(3));
    }
}
