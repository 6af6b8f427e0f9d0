//! Options, usage errors and help, in the manner of the original.
//!
//! The rules are POSIX's: options end at the first operand, `--` ends them and is dropped, a lone `-` is an
//! operand, letters cluster, and an option's argument may stand apart and begin with a dash. Source: runit 2.3.0,
//! src/sgetopt.c. clap knows the options, their help and their errors; only where the options end is decided here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::msg;
use crate::sys::start;

/// All went well.
pub const EXIT_SUCCESS: u8 = 0;
/// What was asked for could not be written.
const EXIT_UNWRITTEN: u8 = 1;

/// How a program is used: what its usage line says and the exit code that goes with it.
#[derive(Clone, Debug)]
pub struct Usage {
    program: OsString,
    called_as: OsString,
    arguments: &'static str,
    exit: u8,
}

/// What was given: options as clap read them, operands as they were typed.
#[derive(Debug)]
pub struct Given {
    /// The options.
    pub options: ArgMatches,
    /// The rest, byte for byte.
    pub operands: Vec<OsString>,
}

/// A command line with `--version` and `--help`, which ends with the name of the manual page.
///
/// Both have no letter: letters are the original's.
pub fn command(name: &'static str, arguments: &'static str) -> Command {
    let last = |name: &'static str, help: &'static str| Arg::new(name).long(name).help(help).display_order(usize::MAX);
    Command::new(name)
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage(format!("{name} {arguments}"))
        .after_help(format!("See {name}(8)."))
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(last("version", "Print the version").action(ArgAction::Version))
        .arg(last("help", "Print this help").action(ArgAction::Help))
}

impl Usage {
    /// `usage: PROGRAM ARGUMENTS`, with the exit code of the manual.
    pub fn new(program: impl Into<OsString>, arguments: &'static str, exit: u8) -> Usage {
        let program = program.into();
        Usage { called_as: base_name(&program).to_owned(), program, arguments, exit }
    }

    /// A name of its own for complaints about options, where the usage line has another.
    pub fn complaining_as(self, name: impl Into<OsString>) -> Usage {
        Usage { called_as: name.into(), ..self }
    }

    /// Prints the usage line and the empty line that follows it, and gives the exit code.
    pub fn fail(&self) -> u8 {
        msg::to_stderr(&msg::join(&[b"usage: ", self.program.as_bytes(), b" ", self.arguments.as_bytes(), b"\n\n"]));
        self.exit
    }

    /// Reads options and operands from `args`, which do not contain the program's name.
    ///
    /// `Err` is the exit code of a program that is done: after `--help` or `--version` with 0, else after a
    /// message and the usage line.
    pub fn parse(&self, command: Command, args: Vec<OsString>) -> Result<Given, u8> {
        let (options, operands) = split_options(&command, args);
        let command = command.no_binary_name(true).disable_help_subcommand(true).args_override_self(true);
        let mut command = command.mut_args(|arg| if takes_value(&arg) { arg.allow_hyphen_values(true) } else { arg });
        match command.try_get_matches_from_mut(&options) {
            Ok(options) => Ok(Given { options, operands }),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                let written = msg::to_stdout(error.render().to_string().as_bytes());
                Err(if written { EXIT_SUCCESS } else { EXIT_UNWRITTEN })
            }
            Err(error) => {
                let complaint = match unknown_letter(&command, &options) {
                    Some(letter) if error.kind() == ErrorKind::UnknownArgument => {
                        msg::join(&[b"illegal option -- ", &[letter]])
                    }
                    _ => complaint(&command, &error).into_bytes(),
                };
                msg::to_stderr(&msg::join(&[self.called_as.as_bytes(), b": ", &complaint, b"\n"]));
                Err(self.fail())
            }
        }
    }
}

/// What follows the last slash of a path: what a program was called as.
pub fn base_name(path: &OsStr) -> &OsStr {
    OsStr::from_bytes(path.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default())
}

/// This program's arguments: the name it was called by, and the rest.
///
/// Differs: an empty name, which the kernel gives to a program that was called without one, is `default_name` here;
/// the original's is empty then.
pub fn arguments(default_name: &str) -> (OsString, Vec<OsString>) {
    let mut args = start::arguments().into_iter();
    let name = args.next().filter(|name| !name.is_empty()).unwrap_or_else(|| default_name.into());
    (name, args.collect())
}

/// The original's words for an error that clap found.
fn complaint(command: &Command, error: &clap::Error) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let option = match argument.strip_prefix("--") {
        Some(long) => {
            let long = long.split([' ', '=']).next().unwrap_or(long);
            let known = command.get_arguments().find(|arg| arg.get_long() == Some(long));
            known.and_then(clap::Arg::get_short).map_or(long.to_owned(), String::from)
        }
        None => argument.trim_start_matches('-').chars().next().unwrap_or('-').to_string(),
    };
    match error.kind() {
        ErrorKind::UnknownArgument => format!("illegal option -- {option}"),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues if value_is_missing(error) => {
            format!("option requires an argument -- {option}")
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

/// The first letter that is no option, as the byte that it is; `None` where a word in front of it is none.
fn unknown_letter(command: &Command, options: &[OsString]) -> Option<u8> {
    let mut words = options.iter();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            [b'-', b'-', ..] if !is_long(command, word) => return None,
            [b'-', b'-', ..] => {}
            [b'-', letters @ ..] => {
                let known = |letter: u8| command.get_arguments().any(|arg| arg.get_short() == Some(char::from(letter)));
                if let Some(unknown) = letters.iter().find(|letter| !known(**letter)) {
                    return Some(*unknown);
                }
            }
            _ => return None,
        }
        if matches!(value_place(command, word.as_bytes()), ValuePlace::NextWord) {
            words.next();
        }
    }
    None
}

fn is_long(command: &Command, word: &OsStr) -> bool {
    let name = word.as_bytes()[2..].split(|byte| *byte == b'=').next().unwrap_or_default();
    command.get_arguments().any(|arg| arg.get_long().is_some_and(|long| long.as_bytes() == name))
}

fn value_is_missing(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.is_empty(),
        _ => true,
    }
}

/// Whether `args` begin with an operand, if with anything: then there is nothing to be read of them.
pub fn has_no_options(args: &[OsString]) -> bool {
    args.first().is_none_or(|arg| !arg.as_bytes().starts_with(b"-") || arg == "-")
}

/// Splits `args` where the options end.
fn split_options(command: &Command, args: Vec<OsString>) -> (Vec<OsString>, Vec<OsString>) {
    let mut options = Vec::new();
    let mut rest = args.into_iter();
    while let Some(arg) = rest.next() {
        let bytes = arg.as_bytes();
        if bytes == b"--" {
            break;
        }
        if bytes == b"-" || !bytes.starts_with(b"-") {
            let operands = std::iter::once(arg).chain(rest).collect();
            return (options, operands);
        }
        match value_place(command, bytes) {
            ValuePlace::Attached(at) => {
                // apart from its letter, as clap would take a `=` before it away
                let (letters, value) = bytes.split_at(at);
                options.extend([letters, value].map(|part| OsStr::from_bytes(part).to_owned()));
            }
            ValuePlace::NextWord => {
                options.push(arg);
                options.extend(rest.next());
            }
            ValuePlace::None => options.push(arg),
        }
    }
    (options, rest.collect())
}

/// Where the value of the last option in a word is.
enum ValuePlace {
    /// It takes none, or has it behind a `=`.
    None,
    /// In the same word, from here on.
    Attached(usize),
    /// In the next word.
    NextWord,
}

fn value_place(command: &Command, word: &[u8]) -> ValuePlace {
    if let Some(long) = word.strip_prefix(b"--") {
        let mut all = command.get_arguments();
        let found = all.find(|arg| arg.get_long().is_some_and(|name| name.as_bytes() == long));
        return if found.is_some_and(takes_value) { ValuePlace::NextWord } else { ValuePlace::None };
    }
    let short = |letter: u8| command.get_arguments().find(|arg| arg.get_short() == Some(char::from(letter)));
    match word.iter().skip(1).position(|letter| short(*letter).is_some_and(takes_value)) {
        Some(at) if at + 2 == word.len() => ValuePlace::NextWord,
        Some(at) => ValuePlace::Attached(at + 2),
        None => ValuePlace::None,
    }
}

fn takes_value(arg: &clap::Arg) -> bool {
    !arg.is_positional() && arg.get_action().takes_values()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command() -> Command {
        Command::new("sv")
            .arg(Arg::new("verbose").short('v').action(ArgAction::SetTrue))
            .arg(Arg::new("wait").short('w').long("wait").allow_hyphen_values(true))
            .arg(Arg::new("operands").num_args(1..))
    }

    fn split(args: &[&str]) -> (Vec<OsString>, Vec<OsString>) {
        split_options(&command(), args.iter().map(OsString::from).collect())
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let (options, operands) = split(&["-vw", "-5", "status", "-v", "--"]);
        assert_eq!(options, ["-vw", "-5"]);
        assert_eq!(operands, ["status", "-v", "--"]);
        let has_none = |args: &[&str]| has_no_options(&args.iter().map(OsString::from).collect::<Vec<_>>());
        assert!([&[][..], &["status", "-v"], &["-", "-v"], &[""]].iter().all(|args| has_none(args)));
        assert!(!has_none(&["--", "x"]) && !has_none(&["-v"]));
    }

    #[test]
    fn two_dashes_end_the_options_and_one_dash_is_an_operand() {
        assert_eq!(split(&["-v", "--", "-w"]), (vec!["-v".into()], vec!["-w".into()]));
        assert_eq!(split(&["-w5", "-", "x"]), (vec!["-w".into(), "5".into()], vec!["-".into(), "x".into()]));
        assert_eq!(split(&["--wait", "9", "x"]), (vec!["--wait".into(), "9".into()], vec!["x".into()]));
        assert_eq!(split(&["--wait=9", "x"]), (vec!["--wait=9".into()], vec!["x".into()]));
    }

    #[test]
    fn an_attached_value_is_taken_byte_for_byte() {
        assert_eq!(split(&["-vw=5", "x"]), (vec!["-vw".into(), "=5".into()], vec!["x".into()]));
        assert_eq!(split(&["-w-v", "x"]), (vec!["-w".into(), "-v".into()], vec!["x".into()]));
    }

    #[test]
    fn a_program_is_called_what_follows_the_last_slash() {
        for (path, name) in [("/bin/sv", "sv"), ("sv", "sv"), ("./a.b", "a.b"), ("sv/", ""), ("/", ""), ("", "")] {
            assert_eq!(base_name(path.as_ref()), name, "{path}");
        }
    }

    #[test]
    fn an_unknown_option_is_no_operand() {
        let usage = Usage::new("sv", "", 100);
        assert!(usage.parse(command(), vec!["-x".into()]).is_err());
    }

    #[test]
    fn the_first_letter_that_is_none_is_found_byte_for_byte() {
        let unknown = |args: &[&[u8]]| {
            let args: Vec<OsString> = args.iter().map(|arg| OsStr::from_bytes(arg).to_owned()).collect();
            unknown_letter(&command(), &split_options(&command(), args).0)
        };
        assert_eq!(unknown(&[b"-v-w"]), Some(b'-'));
        assert_eq!(unknown(&[b"-v\xff"]), Some(0xff));
        assert_eq!(unknown(&["-é".as_bytes()]), Some(0xc3));
        assert_eq!(unknown(&[b"-w-x", b"-vw", b"-y", b"--wait", b"-z", b"--wait=-z", b"-vq"]), Some(b'q'));
        assert_eq!(unknown(&[b"--nonsense", b"-q"]), None);
        assert_eq!(unknown(&[b"-v"]), None);
    }

    #[test]
    fn errors_are_said_in_the_originals_words() {
        let fails = |args: &[&str]| {
            let mut command = command().no_binary_name(true).arg(Arg::new("mode").long("mode"));
            let error = command.try_get_matches_from_mut(args).unwrap_err();
            complaint(&command, &error)
        };
        assert_eq!(fails(&["-vx"]), "illegal option -- x");
        assert_eq!(fails(&["-w"]), "option requires an argument -- w");
        assert_eq!(fails(&["--nonsense"]), "illegal option -- nonsense");
        assert_eq!(fails(&["--mode"]), "option requires an argument -- mode");
    }
}
