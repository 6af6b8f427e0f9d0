//! The command line of svlogd.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::cli::{Arg, Given, HELP, Synopsis, Usage, VERSION};
use crate::model::line::Replace;
use crate::model::logconfig::number;
use crate::model::stamp::Form;
use crate::msg;
use crate::svlogd::EXIT_FAILURE;

const ARGUMENTS: &str = "[-ttv] [-r c] [-R abc] [-l len] [-b buflen] dir ...";
const DEFAULT_LINE: usize = 1000;
const DEFAULT_BUFFER: usize = 1024;
/// What is read at a time at least, whatever `-b` says: the size of a pipe.
const LEAST_BLOCK: usize = 64 * 1024;

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The stamp before each line.
    pub stamp: Option<Form>,
    /// What is replaced in lines.
    pub replace: Option<Replace>,
    /// How many bytes of a line patterns, stderr and UDP see.
    pub line: usize,
    /// How many bytes are read at a time, and may wait for a log directory.
    pub block: usize,
    /// Whether to say what is done.
    pub verbose: bool,
}

/// What svlogd takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "svlogd",
    about: "Writes what it reads on standard input into automatically rotated logs.",
    usage: ARGUMENTS,
    groups: &[(
        "Options",
        &[
            Arg::flag(b't', "stamp", "Stamp each line with TAI64N; -tt or -ttt with UTC date and time"),
            Arg::flag(b'v', "verbose", "Say on standard error what is done"),
            Arg::value(b'r', "with", "c", "Replace bytes that are not printable ASCII with c"),
            Arg::value(b'R', "also", "abc", "Replace these bytes too (with c, else with _)"),
            Arg::value(b'l', "line", "len", "Match the first len bytes of a line [default: 1000]"),
            Arg::value(b'b', "buffer", "buflen", "Read at least buflen bytes at a time; more than len"),
            Arg::flag(b'V', "identify", "Print the version and fail"),
            HELP,
            VERSION,
        ],
    )],
};

/// Reads the command line: what it asks for, and the log directories.
pub fn parse(name: OsString, args: Vec<OsString>) -> Result<(Settings, Vec<OsString>), u8> {
    let usage = Usage::new(name, ARGUMENTS, EXIT_FAILURE);
    let given = usage.parse(&SYNOPSIS, args)?;
    if given.has("identify") {
        msg::to_stderr(concat!("homerun ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        return Err(usage.fail());
    }
    match settings(&given) {
        Some(settings) if !given.operands.is_empty() => Ok((settings, given.operands)),
        _ => Err(usage.fail()),
    }
}

/// The settings, unless a value is none.
fn settings(given: &Given) -> Option<Settings> {
    let line = size(given, "line", DEFAULT_LINE);
    let buffer = size(given, "buffer", DEFAULT_BUFFER);
    let with = match bytes(given, "with") {
        Some([byte]) => Some(*byte),
        Some(_) => return None,
        None => None,
    };
    let also = bytes(given, "also");
    let replace = (with.is_some() || also.is_some())
        .then(|| Replace { with: with.unwrap_or(b'_'), also: also.unwrap_or_default().to_vec() });
    let settings = Settings {
        stamp: match given.count("stamp") {
            0 => None,
            1 => Some(Form::Label),
            2 => Some(Form::Underscore),
            _ => Some(Form::Iso),
        },
        replace,
        line,
        block: buffer.max(LEAST_BLOCK),
        verbose: given.has("verbose"),
    };
    (buffer > line).then_some(settings)
}

fn bytes<'a>(given: &'a Given, id: &str) -> Option<&'a [u8]> {
    given.value(id).map(OsStr::as_bytes)
}

/// A number of bytes; 0, or no digits at all, stands for the default.
fn size(given: &Given, id: &str, default: usize) -> usize {
    let value = bytes(given, id).map_or(0, |text| number(text).0);
    if value == 0 { default } else { usize::try_from(value).unwrap_or(usize::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(args: &[&str]) -> Option<Settings> {
        let args = args.iter().map(OsString::from).collect();
        settings(&Usage::new("svlogd", ARGUMENTS, EXIT_FAILURE).parse(&SYNOPSIS, args).unwrap())
    }

    #[test]
    fn without_options_lines_are_neither_stamped_nor_replaced() {
        let expected = Settings { stamp: None, replace: None, line: 1000, block: 65536, verbose: false };
        assert_eq!(given(&[]), Some(expected));
    }

    #[test]
    fn stamps_are_counted_up_to_three() {
        let stamp = |args: &[&str]| given(args).unwrap().stamp;
        assert_eq!(stamp(&["-t"]), Some(Form::Label));
        assert_eq!(stamp(&["-tt"]), Some(Form::Underscore));
        assert_eq!(stamp(&["-t", "-vtt"]), Some(Form::Iso));
        assert_eq!(stamp(&["-ttttt"]), Some(Form::Iso));
    }

    #[test]
    fn an_empty_set_alone_switches_replacement_on() {
        let replace = |args: &[&str]| given(args).unwrap().replace;
        assert_eq!(replace(&["-R", ""]), Some(Replace { with: b'_', also: vec![] }));
        assert_eq!(replace(&["-r", ":", "-R", "fb"]), Some(Replace { with: b':', also: b"fb".to_vec() }));
        assert_eq!(given(&["-r", "ab"]), None);
        assert_eq!(given(&["-r", ""]), None);
    }

    #[test]
    fn the_buffer_must_be_larger_than_a_line() {
        assert_eq!(given(&["-l", "1024"]), None);
        assert_eq!(given(&["-l", "100", "-b", "100"]), None);
        assert_eq!(given(&["-l0", "-b0"]), given(&[]));
        let large = given(&["-l70000", "-b", "70001x"]).unwrap();
        assert_eq!((large.line, large.block), (70_000, 70_001));
    }
}
