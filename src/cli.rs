//! Options, usage errors and help, in the manner of the original.
//!
//! The rules are POSIX's: options end at the first operand, `--` ends them and is dropped, a lone `-` is an
//! operand, letters cluster, and an option's argument may stand apart and begin with a dash. Source: runit 2.3.0,
//! src/sgetopt.c. clap knows the options, their help and their errors; only where the options end is decided here.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgMatches, Command};

use crate::msg;

/// How a program is used: what its usage line says and the exit code that goes with it.
#[derive(Clone, Debug)]
pub struct Usage {
    program: OsString,
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

impl Usage {
    /// `usage: PROGRAM ARGUMENTS`, with the exit code of the manual.
    pub fn new(program: impl Into<OsString>, arguments: &'static str, exit: u8) -> Usage {
        Usage { program: program.into(), arguments, exit }
    }

    /// Prints the usage line and the empty line that follows it, and gives the exit code.
    pub fn fail(&self) -> ExitCode {
        msg::to_stderr(&msg::join(&[b"usage: ", self.program.as_bytes(), b" ", self.arguments.as_bytes(), b"\n\n"]));
        ExitCode::from(self.exit)
    }

    /// Reads options and operands from `args`, which do not contain the program's name.
    ///
    /// `Err` is the exit code of a program that is done: after `--help` or `--version` with 0, else after a
    /// message and the usage line.
    pub fn parse(&self, command: Command, args: Vec<OsString>) -> Result<Given, ExitCode> {
        let (options, operands) = split_options(&command, args);
        let command = command.no_binary_name(true).disable_help_subcommand(true).args_override_self(true);
        match command.try_get_matches_from(options) {
            Ok(options) => Ok(Given { options, operands }),
            Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
                let written = msg::to_stdout(error.render().to_string().as_bytes());
                Err(if written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Err(error) => {
                let name = base_name(&self.program);
                msg::to_stderr(&msg::join(&[name.as_bytes(), b": ", complaint(&error).as_bytes(), b"\n"]));
                Err(self.fail())
            }
        }
    }
}

/// The last part of a path, as basename(1): what a program was called as.
pub fn base_name(path: &OsStr) -> &OsStr {
    Path::new(path).file_name().unwrap_or(path)
}

/// This program's arguments: the name it was called by, and the rest.
pub fn arguments(default_name: &str) -> (OsString, Vec<OsString>) {
    let mut args = std::env::args_os();
    let name = args.next().filter(|name| !name.is_empty()).unwrap_or_else(|| default_name.into());
    (name, args.collect())
}

/// The original's words for an error that clap found.
fn complaint(error: &clap::Error) -> String {
    let argument = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let letter = argument.trim_start_matches('-').chars().next().unwrap_or('-');
    match error.kind() {
        ErrorKind::UnknownArgument if argument.starts_with("--") => format!("illegal option -- {}", &argument[2..]),
        ErrorKind::UnknownArgument => format!("illegal option -- {letter}"),
        ErrorKind::InvalidValue | ErrorKind::TooFewValues if value_is_missing(error) => {
            format!("option requires an argument -- {letter}")
        }
        _ => {
            let text = error.render().to_string();
            let first = text.lines().next().unwrap_or_default();
            first.trim_start_matches("error: ").to_owned()
        }
    }
}

fn value_is_missing(error: &clap::Error) -> bool {
    match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) => value.is_empty(),
        _ => true,
    }
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
        let wants_next = wants_next_argument(command, bytes);
        options.push(arg);
        if wants_next {
            options.extend(rest.next());
        }
    }
    (options, rest.collect())
}

/// Whether the argument of the last option in `arg` is the next word.
fn wants_next_argument(command: &Command, arg: &[u8]) -> bool {
    let takes_value = |found: Option<&clap::Arg>| found.is_some_and(|arg| arg.get_action().takes_values());
    if let Some(long) = arg.strip_prefix(b"--") {
        let found = command.get_arguments().find(|arg| arg.get_long().is_some_and(|name| name.as_bytes() == long));
        return takes_value(found);
    }
    let letters = &arg[1..];
    let short = |letter: u8| command.get_arguments().find(|arg| arg.get_short() == Some(char::from(letter)));
    let first = letters.iter().position(|letter| takes_value(short(*letter)));
    first.is_some_and(|at| at + 1 == letters.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Arg, ArgAction};

    fn command() -> Command {
        Command::new("sv")
            .arg(Arg::new("verbose").short('v').action(ArgAction::SetTrue))
            .arg(Arg::new("wait").short('w').long("wait").allow_hyphen_values(true))
    }

    fn split(args: &[&str]) -> (Vec<OsString>, Vec<OsString>) {
        split_options(&command(), args.iter().map(OsString::from).collect())
    }

    #[test]
    fn options_end_at_the_first_operand() {
        let (options, operands) = split(&["-vw", "-5", "status", "-v", "--"]);
        assert_eq!(options, ["-vw", "-5"]);
        assert_eq!(operands, ["status", "-v", "--"]);
    }

    #[test]
    fn two_dashes_end_the_options_and_one_dash_is_an_operand() {
        assert_eq!(split(&["-v", "--", "-w"]), (vec!["-v".into()], vec!["-w".into()]));
        assert_eq!(split(&["-w5", "-", "x"]), (vec!["-w5".into()], vec!["-".into(), "x".into()]));
        assert_eq!(split(&["--wait", "9", "x"]), (vec!["--wait".into(), "9".into()], vec!["x".into()]));
        assert_eq!(split(&["--wait=9", "x"]), (vec!["--wait=9".into()], vec!["x".into()]));
    }

    #[test]
    fn errors_are_said_in_the_originals_words() {
        let fails = |args: &[&str]| complaint(&command().no_binary_name(true).try_get_matches_from(args).unwrap_err());
        assert_eq!(fails(&["-vx"]), "illegal option -- x");
        assert_eq!(fails(&["-w"]), "option requires an argument -- w");
        assert_eq!(fails(&["--nonsense"]), "illegal option -- nonsense");
    }
}
