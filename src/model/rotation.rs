//! When svlogd rotates `current`, and which old files it deletes.

use memchr::memrchr;

use super::line::first_line;
use super::tai::Label;

/// The size of `current`, and when it is large enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Bytes in the file.
    pub bytes: u64,
    /// What they end with.
    pub end: End,
}

/// What the last bytes of `current` are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// What was found in it, or nothing.
    Found,
    /// A whole line.
    Line,
    /// The beginning of a line that goes on.
    WithinLine,
}

/// The limits of `current`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest size (`s`); 0 for no limit.
    pub max_bytes: u64,
    /// How long a line is thought to be (`-l`): with less room than that left the file is full.
    pub line_bytes: u64,
}

/// What to do next with bytes that wait to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write so many of them.
    Write(usize),
    /// First rotate.
    Rotate,
    /// There is nothing to do.
    Rest,
}

impl Size {
    /// The size after `written`.
    pub fn after(self, written: &[u8]) -> Size {
        let end = match written.last() {
            None => self.end,
            Some(b'\n') => End::Line,
            Some(_) => End::WithinLine,
        };
        Size { bytes: self.bytes.saturating_add(written.len() as u64), end }
    }
}

impl Limits {
    /// What to do with `waiting`, for a file of this size.
    ///
    /// A file is full at the end of a line, written by us, that leaves less than `line_bytes` of room; where
    /// `max_bytes` is less than that, and within a line, at `max_bytes` when more comes. It never exceeds `max_bytes`.
    /// Only a line that would not fit into a file of its own, or of which not all is there yet, is cut.
    ///
    /// Source: runit 2.3.0, src/svlogd.c. Differs: there every line that meets `max_bytes` is cut, which happens
    /// with stamps, prefixes, lines longer than `-l`, and wherever `s` is less than `-l`.
    pub fn next(self, size: Size, waiting: &[u8]) -> Step {
        if self.max_bytes == 0 {
            return write_or_rest(waiting.len());
        }
        let room = self.max_bytes.saturating_sub(size.bytes);
        if room == 0 {
            let is_full_of_lines = self.line_bytes <= self.max_bytes && size.end == End::Line;
            return if waiting.is_empty() && !is_full_of_lines { Step::Rest } else { Step::Rotate };
        }
        let full_at = match self.max_bytes.checked_sub(self.line_bytes) {
            Some(full_at) => full_at.max(1),
            None => self.max_bytes,
        };
        // Lines that end before it could be full are not looked at one by one.
        let surely = usize::try_from(full_at.saturating_sub(size.bytes)).unwrap_or(usize::MAX);
        let mut taken = memrchr(b'\n', &waiting[..surely.min(waiting.len())]).map_or(0, |at| at + 1);
        let mut end = if taken > 0 { End::Line } else { size.end };
        while taken < waiting.len() {
            let line = first_line(&waiting[taken..]);
            let bytes = size.bytes + taken as u64;
            let room = self.max_bytes - bytes;
            let length = line.len() as u64;
            let fits_only_alone = length > room && length <= self.max_bytes;
            let is_full = bytes >= full_at && end == End::Line;
            if is_full || (fits_only_alone && bytes > 0 && end != End::WithinLine) {
                break;
            }
            if length > room {
                taken += usize::try_from(room).unwrap_or(line.len());
                break;
            }
            taken += line.len();
            end = if line.ends_with(b"\n") { End::Line } else { End::WithinLine };
        }
        let full_of_lines = size.bytes >= full_at && size.end == End::Line;
        if taken == 0 && (full_of_lines || !waiting.is_empty()) { Step::Rotate } else { write_or_rest(taken) }
    }
}

fn write_or_rest(bytes: usize) -> Step {
    if bytes == 0 { Step::Rest } else { Step::Write(bytes) }
}

/// What an old file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `.s`: complete, and processed where there is a processor.
    Safe,
    /// `.t`: what a processor has written so far.
    Output,
    /// `.u`: waits for a processor, or was left by a crash.
    Unprocessed,
}

/// The name of an old file: `@`, 24 lower-case hexadecimal digits, `.` and a letter.
///
/// Source: runit 2.3.0, src/svlogd.c. Differs: there any name of 27 bytes that begins with `@` is an old file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OldName([u8; 27]);

impl OldName {
    /// The name for a label in hexadecimal.
    pub fn new(hex: [u8; 25], kind: Kind) -> OldName {
        let mut name = [b'.'; 27];
        name[..25].copy_from_slice(&hex);
        name[26] = match kind {
            Kind::Safe => b's',
            Kind::Output => b't',
            Kind::Unprocessed => b'u',
        };
        OldName(name)
    }

    /// Reads a file's name; `None` when it is no old file's.
    pub fn parse(name: &[u8]) -> Option<OldName> {
        let name: [u8; 27] = name.try_into().ok()?;
        let digits = name[1..25].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        (name[0] == b'@' && digits && matches!(name[25..], [b'.', b's' | b't' | b'u'])).then_some(OldName(name))
    }

    /// When it was named.
    fn label(self) -> Option<Label> {
        let mut bytes = [0; 12];
        for (byte, digits) in bytes.iter_mut().zip(self.0[1..25].chunks_exact(2)) {
            *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Label::decode(bytes))
    }

    /// What it is.
    pub fn kind(self) -> Kind {
        match self.0[26] {
            b's' => Kind::Safe,
            b't' => Kind::Output,
            _ => Kind::Unprocessed,
        }
    }

    /// The name with the same label for another kind.
    pub fn of_kind(self, kind: Kind) -> OldName {
        let mut hex = [0; 25];
        hex.copy_from_slice(&self.0[..25]);
        OldName::new(hex, kind)
    }

    /// The name as it stands in the directory.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The old files to delete so that `keep` of them stay (0 for all), oldest first, and the leftovers of processors.
///
/// `busy` is the file that a processor reads: neither it nor its output goes.
///
/// Source: runit 2.3.0, src/svlogd.c. Differs: there one file goes at each rotation, however many are too many.
pub fn to_prune(mut names: Vec<OldName>, keep: u64, busy: Option<OldName>) -> Vec<OldName> {
    let (outputs, mut old): (Vec<_>, Vec<_>) = names.drain(..).partition(|name| name.kind() == Kind::Output);
    let busy_output = busy.map(|name| name.of_kind(Kind::Output));
    let mut doomed: Vec<_> = outputs.into_iter().filter(|name| Some(*name) != busy_output).collect();
    if keep > 0 {
        old.sort_unstable();
        let excess = usize::try_from((old.len() as u64).saturating_sub(keep)).unwrap_or(usize::MAX);
        doomed.extend(old.into_iter().filter(|name| Some(*name) != busy).take(excess));
    }
    doomed
}

/// The old file to delete because the disk is full, if more than `keep_when_full` are there.
///
/// Nothing goes unless `keep_when_full` is less than `keep`.
pub fn to_spare(names: &[OldName], keep: u64, keep_when_full: u64, busy: Option<OldName>) -> Option<OldName> {
    let old = || names.iter().copied().filter(|name| name.kind() != Kind::Output);
    let allowed = keep_when_full < keep && old().count() as u64 > keep_when_full;
    old().filter(|name| allowed && Some(*name) != busy).min()
}

/// The label for the next old file, `now` or later, so that it is the newest of all.
///
/// Differs: in the original it is the time. After the clock was set back the newest file so seems the oldest, and is
/// deleted first.
pub fn next_label(now: Label, names: &[OldName]) -> Label {
    let newest = names.iter().max().and_then(|name| name.label());
    newest.map_or(now, |newest| now.max(newest.next()))
}

/// The oldest file that waits for a processor.
pub fn to_process(names: &[OldName]) -> Option<OldName> {
    names.iter().copied().filter(|name| name.kind() == Kind::Unprocessed).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: Size = Size { bytes: 0, end: End::Found };

    /// The files that `text` becomes when it comes in blocks of `block` bytes.
    fn files(limits: Limits, text: &str, block: usize) -> Vec<String> {
        let mut files = vec![String::new()];
        let mut size = EMPTY;
        for block in text.as_bytes().chunks(block) {
            let mut waiting = block;
            loop {
                match limits.next(size, waiting) {
                    Step::Write(count) => {
                        let (now, later) = waiting.split_at(count);
                        files.last_mut().unwrap().push_str(std::str::from_utf8(now).unwrap());
                        size = size.after(now);
                        waiting = later;
                    }
                    Step::Rotate => {
                        files.push(String::new());
                        size = EMPTY;
                    }
                    Step::Rest => break,
                }
            }
            assert!(waiting.is_empty());
        }
        files
    }

    #[test]
    fn a_file_is_full_when_a_line_might_not_fit() {
        let limits = Limits { max_bytes: 10, line_bytes: 4 };
        assert_eq!(files(limits, "abc\nde\nfghij\nk\n", 100), ["abc\nde\n", "fghij\n", "k\n"]);
        assert_eq!(files(limits, "ab\ncd\ne", 100), ["ab\ncd\n", "e"]);
    }

    #[test]
    fn lines_are_not_cut_where_the_limit_is_less_than_a_line_might_be() {
        let limits = Limits { max_bytes: 10, line_bytes: 1000 };
        assert_eq!(files(limits, "abc\ndef\nghi\njk\n", 100), ["abc\ndef\n", "ghi\njk\n"]);
    }

    #[test]
    fn a_line_too_long_for_any_file_fills_files_to_the_limit() {
        let limits = Limits { max_bytes: 4, line_bytes: 2 };
        assert_eq!(files(limits, "a\nbcdefghijk\nl\n", 100), ["a\n", "bcde", "fghi", "jk\n", "l\n", ""]);
        assert_eq!(files(limits, "bcdefghijk", 1), ["bcde", "fghi", "jk"]);
    }

    #[test]
    fn nothing_is_lost_or_too_large_whatever_the_limits_and_blocks() {
        let text: String = (0..60).map(|length| "x".repeat(length % 13) + "\n").collect();
        for max_bytes in 1..40 {
            for line_bytes in 1..20 {
                for block in [1, 2, 7, 1000] {
                    let files = files(Limits { max_bytes, line_bytes }, &text, block);
                    assert_eq!(files.concat(), text);
                    assert!(files.iter().all(|file| file.len() as u64 <= max_bytes));
                    if max_bytes >= 13 && block == 1000 {
                        assert!(files.iter().all(|file| file.is_empty() || file.ends_with('\n')));
                    }
                }
            }
        }
    }

    #[test]
    fn without_a_limit_everything_goes_into_one_file() {
        let limits = Limits { max_bytes: 0, line_bytes: 1000 };
        assert_eq!(limits.next(Size { bytes: u64::MAX, end: End::Line }, b"abc"), Step::Write(3));
        assert_eq!(limits.next(EMPTY, b""), Step::Rest);
    }

    #[test]
    fn a_file_found_too_large_is_rotated_before_the_next_line() {
        let limits = Limits { max_bytes: 10, line_bytes: 5 };
        assert_eq!(limits.next(Size { bytes: 99, end: End::Found }, b"a\n"), Step::Rotate);
        assert_eq!(limits.next(Size { bytes: 99, end: End::WithinLine }, b"a\n"), Step::Rotate);
    }

    #[test]
    fn a_file_found_almost_full_takes_one_more_line_if_that_fits() {
        let limits = Limits { max_bytes: 10, line_bytes: 5 };
        let found = Size { bytes: 8, end: End::Found };
        assert_eq!(limits.next(found, b"a\nb\n"), Step::Write(2));
        assert_eq!(limits.next(found, b"ab\n"), Step::Rotate);
        assert_eq!(limits.next(found, b""), Step::Rest);
        assert_eq!(limits.next(Size { bytes: 8, end: End::Line }, b"a\n"), Step::Rotate);
    }

    #[test]
    fn a_file_that_is_full_by_chance_waits_for_the_next_byte() {
        let small = Limits { max_bytes: 4, line_bytes: 5 };
        assert_eq!(files(small, "abc\n", 100), ["abc\n"]);
        assert_eq!(files(small, "abc\nd\n", 100), ["abc\n", "d\n"]);
        assert_eq!(files(Limits { max_bytes: 4, line_bytes: 4 }, "abc\n", 100), ["abc\n", ""]);
        assert_eq!(files(Limits { max_bytes: 4, line_bytes: 4 }, "abcd", 100), ["abcd"]);
    }

    fn name(number: u8, letter: char) -> OldName {
        OldName::parse(format!("@4000000000000000000000{number:02}.{letter}").as_bytes()).unwrap()
    }

    #[test]
    fn only_names_of_the_very_form_are_old_files() {
        assert_eq!(name(7, 'u').kind(), Kind::Unprocessed);
        assert_eq!(name(7, 'u').of_kind(Kind::Safe), name(7, 's'));
        assert_eq!(OldName::parse(b"@notes-on-the-last-outage.s"), None);
        assert_eq!(OldName::parse(b"@400000000000000000000001.x"), None);
        assert_eq!(OldName::parse(b"@40000000000000000000001.s"), None);
        assert_eq!(OldName::parse(b"@40000000000000000000000A.s"), None);
    }

    #[test]
    fn the_oldest_go_and_so_do_leftovers() {
        let names = || vec![name(3, 's'), name(1, 's'), name(4, 't'), name(2, 'u')];
        assert_eq!(to_prune(names(), 1, None), [name(4, 't'), name(1, 's'), name(2, 'u')]);
        assert_eq!(to_prune(names(), 3, None), [name(4, 't')]);
        assert_eq!(to_prune(names(), 0, None), [name(4, 't')]);
    }

    #[test]
    fn what_a_processor_works_on_stays() {
        let names = vec![name(1, 'u'), name(1, 't'), name(2, 's'), name(3, 's')];
        assert_eq!(to_prune(names.clone(), 1, Some(name(1, 'u'))), [name(2, 's'), name(3, 's')]);
        assert_eq!(to_spare(&names, 10, 0, Some(name(1, 'u'))), Some(name(2, 's')));
    }

    #[test]
    fn a_full_disk_takes_old_files_down_to_the_minimum() {
        let names = [name(2, 's'), name(1, 'u'), name(3, 't')];
        assert_eq!(to_spare(&names, 10, 1, None), Some(name(1, 'u')));
        assert_eq!(to_spare(&names, 10, 2, None), None);
        assert_eq!(to_spare(&names, 10, 10, None), None);
        assert_eq!(to_spare(&names, 1, 1, None), None);
    }

    #[test]
    fn the_next_old_file_is_the_newest_also_after_the_clock_was_set_back() {
        let at = |seconds: u64| Label::of(std::time::Duration::from_secs(seconds));
        let name = |seconds: u64| OldName::new(at(seconds).hex(), Kind::Safe);
        assert_eq!(next_label(at(100), &[]), at(100));
        assert_eq!(next_label(at(100), &[name(99), name(98)]), at(100));
        let next = next_label(at(100), &[name(99), name(20_000)]);
        assert!(next > at(20_000) && next < at(20_001), "{next:?}");
        let last = OldName::new(Label::decode([0xff; 12]).hex(), Kind::Safe);
        assert!(
            OldName::new(next_label(at(100), &[last]).hex(), Kind::Safe) >= OldName::new(at(100).hex(), Kind::Safe)
        );
    }

    #[test]
    fn the_oldest_unprocessed_file_is_next() {
        assert_eq!(to_process(&[name(3, 'u'), name(1, 's'), name(2, 'u')]), Some(name(2, 'u')));
        assert_eq!(to_process(&[name(1, 's'), name(2, 't')]), None);
    }
}
