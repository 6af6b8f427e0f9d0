//! The daemontools programs that chpst stands in for when it is called by their names.
//!
//! Source: runit 2.3.0, src/chpst.c.

use std::ffi::{OsStr, OsString};

use clap::Command;

use super::{
    ARGUMENTS, Changes, Directories, EXIT_USAGE, Limit, Lock, MEMORY, OnFailure, Who, flag, in_order, limits, value,
};
use crate::cli::Usage;
use crate::model::number;
use crate::sys::limit::Resource;

/// A program that chpst can be.
#[derive(Clone, Copy)]
pub(super) enum Emulation {
    Setuidgid,
    Envuidgid,
    Envdir,
    Pgrphack,
    Setlock,
    Softlimit,
}

/// The limits of softlimit: the letter of the option, its id and what it limits.
const LIMITS: [(char, Limit); 11] = [
    ('a', ("all", &[Resource::RLIMIT_AS])),
    ('c', ("core", &[Resource::RLIMIT_CORE])),
    ('d', ("data", &[Resource::RLIMIT_DATA])),
    ('f', ("file", &[Resource::RLIMIT_FSIZE])),
    ('l', ("locked", &[Resource::RLIMIT_MEMLOCK])),
    ('m', ("memory", &MEMORY)),
    ('o', ("open", &[Resource::RLIMIT_NOFILE])),
    ('p', ("processes", &[Resource::RLIMIT_NPROC])),
    ('r', ("resident", &[Resource::RLIMIT_RSS])),
    ('s', ("stack", &[Resource::RLIMIT_STACK])),
    ('t', ("seconds", &[Resource::RLIMIT_CPU])),
];

impl Emulation {
    /// The program called `name`.
    pub(super) fn called(name: &OsStr) -> Option<Emulation> {
        Some(match name.as_encoded_bytes() {
            b"setuidgid" => Emulation::Setuidgid,
            b"envuidgid" => Emulation::Envuidgid,
            b"envdir" => Emulation::Envdir,
            b"pgrphack" => Emulation::Pgrphack,
            b"setlock" => Emulation::Setlock,
            b"softlimit" => Emulation::Softlimit,
            _ => return None,
        })
    }

    /// Does what `args` say. Returns only when that failed.
    pub(super) fn run(self, name: &OsStr, called_as: &OsStr, args: Vec<OsString>) -> u8 {
        let usage = Usage::new(name, self.arguments(), EXIT_USAGE).complaining_as(called_as);
        let result = match self {
            Emulation::Setlock => setlock(&usage, args),
            Emulation::Softlimit => softlimit(&usage, name, args),
            Emulation::Pgrphack => Ok((Changes { session: true, ..Changes::default() }, args)),
            Emulation::Setuidgid => {
                first(&usage, args, |name| Changes { user: Some(Who::Account(name)), ..Changes::default() })
            }
            Emulation::Envuidgid => {
                first(&usage, args, |name| Changes { shown_user: Some(Who::Account(name)), ..Changes::default() })
            }
            Emulation::Envdir => first(&usage, args, |directory| Changes {
                environment: Some(directory),
                directories_in_environment: Directories::Fatal,
                ..Changes::default()
            }),
        };
        match result {
            Ok((changes, program)) if !program.is_empty() => changes.carry_out(program),
            Ok(_) => usage.fail(),
            Err(code) => code,
        }
    }

    fn arguments(self) -> &'static str {
        match self {
            Emulation::Setuidgid | Emulation::Envuidgid => "account child",
            Emulation::Envdir => "dir child",
            Emulation::Pgrphack => "child",
            Emulation::Setlock => "[ -nNxX ] file program [ arg ... ]",
            Emulation::Softlimit => {
                "[-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] [-m membytes] \
                 [-o openfiles] [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child"
            }
        }
    }
}

/// What to change, and the program to become.
type Plan = (Changes, Vec<OsString>);

/// A program without options, whose first argument says what to change.
fn first(usage: &Usage, mut args: Vec<OsString>, changes: fn(OsString) -> Changes) -> Result<Plan, u8> {
    if args.is_empty() {
        return Err(usage.fail());
    }
    let argument = args.remove(0);
    Ok((changes(argument), args))
}

/// setlock: with -n it waits and with -N, the default, it does not: the reverse of daemontools.
fn setlock(usage: &Usage, args: Vec<OsString>) -> Result<Plan, u8> {
    let command = bare("setlock")
        .arg(flag("wait", 'n', "").overrides_with("now"))
        .arg(flag("now", 'N', "").overrides_with("wait"))
        .arg(flag("silent", 'x', "").overrides_with("loud"))
        .arg(flag("loud", 'X', "").overrides_with("silent"));
    let given = usage.parse(command, args)?;
    let wait = given.options.get_flag("wait");
    let failure = if given.options.get_flag("silent") { OnFailure::Silence } else { OnFailure::Message };
    let mut operands = given.operands;
    if operands.is_empty() {
        return Err(usage.fail());
    }
    let lock = Some(Lock { path: operands.remove(0), wait });
    Ok((Changes { lock, failure, ..Changes::default() }, operands))
}

fn softlimit(usage: &Usage, name: &OsStr, args: Vec<OsString>) -> Result<Plan, u8> {
    let command = bare("softlimit").args(LIMITS.map(|(letter, (id, _))| value(id, letter, "N", "")));
    let given = usage.parse(command, args)?;
    match limits(&given.options, &LIMITS.map(|(_, limit)| limit), number::limit_or_hard) {
        Some(limits) => Ok((Changes { limits: in_order(limits), ..Changes::default() }, given.operands)),
        None => Err(Usage::new(name, ARGUMENTS, EXIT_USAGE).fail()), // as the original does
    }
}

/// A command without the options that clap adds.
fn bare(name: &'static str) -> Command {
    Command::new(name).disable_help_flag(true).disable_version_flag(true)
}
