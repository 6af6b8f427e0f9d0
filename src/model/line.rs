//! Lines out of a stream: what svlogd matches, stamps and copies.

use std::time::Duration;

use memchr::{memchr, memrchr};

/// A part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Which part.
    pub part: Part,
    /// The bytes.
    pub text: &'a [u8],
    /// When the first byte of the line arrived.
    pub began: Duration,
}

/// Which part of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of a line that is shorter than the longest head, without its newline.
    Whole,
    /// The first bytes of a line, as many as a head may have; a [`Part::Rest`] follows.
    Head,
    /// More of the line as it came; the last rest ends in a newline.
    Rest,
}

/// Bytes that are replaced in heads, and with what: the options `-r` and `-R`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replace {
    /// The byte that takes their place.
    pub with: u8,
    /// Which are replaced besides everything that is not printable ASCII.
    pub also: Vec<u8>,
}

/// The line that `text` begins with, its newline included; all of it where there is none.
#[inline]
pub fn first_line(text: &[u8]) -> &[u8] {
    &text[..memchr(b'\n', text).map_or(text.len(), |at| at + 1)]
}

impl Replace {
    fn apply(&self, text: &mut [u8]) {
        let unwanted = |byte: &u8| !matches!(byte, 32..=126) || self.also.contains(byte);
        text.iter_mut().filter(|byte| unwanted(byte)).for_each(|byte| *byte = self.with);
    }
}

/// Cuts a stream into lines, of any length and in fixed space.
///
/// The head of a line is gathered until it is complete, unless it is there at once and stays as it is; the rest of a
/// long one passes through.
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
        let newline = memchr(b'\n', reach);
        let text = &reach[..newline.unwrap_or(reach.len())];
        if newline.is_some() && self.head.is_empty() && self.replace.is_none() {
            return (text.len() + 1, Some(Piece { part: Part::Whole, text, began: now }));
        }
        self.head.extend_from_slice(text);
        if newline.is_some() {
            (text.len() + 1, Some(self.give(Part::Whole)))
        } else if self.head.len() == self.max_head {
            (text.len(), Some(self.give(Part::Head)))
        } else {
            (text.len(), None)
        }
    }

    /// How many bytes at the front of `input` are whole lines, of any length, that stay as they are.
    ///
    /// Whoever does the same with every line may take them at once, and go on with [`Cutter::next`] after them. None
    /// are whole within a line, and none stay as they are where bytes are replaced.
    pub fn whole_lines(&self, input: &[u8]) -> usize {
        if self.is_within_line() || self.replace.is_some() { 0 } else { memrchr(b'\n', input).map_or(0, |at| at + 1) }
    }

    /// What is left when no more bytes will come, ended with the newline that it lacks.
    pub fn finish(&mut self) -> Option<Piece<'_>> {
        match self.place {
            Place::Head if !self.head.is_empty() => Some(self.give(Part::Whole)),
            Place::Rest => {
                self.head.clear();
                self.place = Place::Head;
                Some(Piece { part: Part::Rest, text: b"\n", began: self.began })
            }
            Place::Head | Place::HeadDone => None,
        }
    }

    /// Whether the end of a line that has begun is still to come.
    pub fn is_within_line(&self) -> bool {
        self.place == Place::Rest || self.held() > 0
    }

    /// How many bytes of an unfinished head are held back.
    pub fn held(&self) -> usize {
        if self.place == Place::Head { self.head.len() } else { 0 }
    }

    fn give(&mut self, part: Part) -> Piece<'_> {
        self.place = if part == Part::Head { Place::Rest } else { Place::HeadDone };
        if let Some(replace) = &self.replace {
            replace.apply(&mut self.head);
        }
        Piece { part, text: &self.head, began: self.began }
    }

    fn rest<'a>(&mut self, input: &'a [u8]) -> (usize, Option<Piece<'a>>) {
        let reach = &input[..input.len().min(self.max_head)];
        let newline = memchr(b'\n', reach);
        let text = &reach[..newline.map_or(reach.len(), |at| at + 1)];
        if newline.is_some() {
            self.place = Place::HeadDone;
        }
        (text.len(), (!text.is_empty()).then_some(Piece { part: Part::Rest, text, began: self.began }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of `blocks` as text: `whole|`, `head>`, `rest~`.
    fn pieces(mut cutter: Cutter, blocks: &[&str]) -> Vec<String> {
        let mut found = Vec::new();
        let show = |piece: Piece<'_>| {
            let mark = match piece.part {
                Part::Whole => '|',
                Part::Head => '>',
                Part::Rest => '~',
            };
            format!("{}{mark}", String::from_utf8_lossy(piece.text))
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
    fn whole_lines_may_be_taken_at_once_but_not_within_a_line_and_not_where_bytes_are_replaced() {
        let mut cutter = Cutter::new(3, None);
        assert_eq!(cutter.whole_lines(b"a\nlong line\nb"), 12);
        assert_eq!(cutter.whole_lines(b"abc"), 0);
        for (input, within_line) in [(&b"ab"[..], true), (b"\n", false), (b"abc", true), (b"d", true), (b"\n", false)] {
            cutter.next(input, Duration::ZERO);
            assert_eq!(cutter.whole_lines(b"x\ny"), if within_line { 0 } else { 2 });
        }
        let replace = Replace { with: b'?', also: vec![] };
        assert_eq!(Cutter::new(3, Some(replace)).whole_lines(b"x\n"), 0);
    }

    #[test]
    fn a_line_began_when_its_first_byte_came() {
        let mut cutter = Cutter::new(10, None);
        let at = Duration::from_secs;
        let whole = |text, began| Some(Piece { part: Part::Whole, text, began });
        assert_eq!(cutter.next(b"a", at(1)), (1, None));
        assert_eq!(cutter.held(), 1);
        assert_eq!(cutter.next(b"b\n", at(2)), (2, whole(b"ab", at(1))));
        assert_eq!(cutter.held(), 0);
        assert_eq!(cutter.next(b"\n", at(3)), (1, whole(b"", at(3))));
    }
}
