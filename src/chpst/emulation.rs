//! The daemontools programs that chpst stands in for when it is called by their names.
//!
//! Source: runit 2.3.0, src/chpst.c.

use std::ffi::{OsStr, OsString};

use super::{ARGUMENTS, Changes, Directories, EXIT_USAGE, Limit, Lock, MEMORY, OnFailure, Who, in_order, limits};
use crate::cli::{Arg, Synopsis, Usage};
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

/// The limits of softlimit: an option's id and what it limits.
const LIMITS: [Limit; 11] = [
    ("all", &[Resource::RLIMIT_AS]),
    ("core", &[Resource::RLIMIT_CORE]),
    ("data", &[Resource::RLIMIT_DATA]),
    ("file", &[Resource::RLIMIT_FSIZE]),
    ("locked", &[Resource::RLIMIT_MEMLOCK]),
    ("memory", &MEMORY),
    ("open", &[Resource::RLIMIT_NOFILE]),
    ("processes", &[Resource::RLIMIT_NPROC]),
    ("resident", &[Resource::RLIMIT_RSS]),
    ("stack", &[Resource::RLIMIT_STACK]),
    ("seconds", &[Resource::RLIMIT_CPU]),
];

/// What setlock takes.
const SETLOCK: Synopsis = Synopsis::bare(&[(
    "",
    &[
        Arg::flag(b'n', "wait", ""),
        Arg::flag(b'N', "now", ""),
        Arg::flag(b'x', "silent", ""),
        Arg::flag(b'X', "loud", ""),
    ],
)]);

/// What softlimit takes.
const SOFTLIMIT: Synopsis = Synopsis::bare(&[(
    "",
    &[
        Arg::value(b'a', "all", "N", ""),
        Arg::value(b'c', "core", "N", ""),
        Arg::value(b'd', "data", "N", ""),
        Arg::value(b'f', "file", "N", ""),
        Arg::value(b'l', "locked", "N", ""),
        Arg::value(b'm', "memory", "N", ""),
        Arg::value(b'o', "open", "N", ""),
        Arg::value(b'p', "processes", "N", ""),
        Arg::value(b'r', "resident", "N", ""),
        Arg::value(b's', "stack", "N", ""),
        Arg::value(b't', "seconds", "N", ""),
    ],
)]);

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
    let given = usage.parse(&SETLOCK, args)?;
    let wait = given.last("wait") > given.last("now");
    let failure = if given.last("silent") > given.last("loud") { OnFailure::Silence } else { OnFailure::Message };
    let mut operands = given.operands;
    if operands.is_empty() {
        return Err(usage.fail());
    }
    let lock = Some(Lock { path: operands.remove(0), wait });
    Ok((Changes { lock, failure, ..Changes::default() }, operands))
}

fn softlimit(usage: &Usage, name: &OsStr, args: Vec<OsString>) -> Result<Plan, u8> {
    let given = usage.parse(&SOFTLIMIT, args)?;
    match limits(&given, &LIMITS, number::limit_or_hard) {
        Some(limits) => Ok((Changes { limits: in_order(limits), ..Changes::default() }, given.operands)),
        None => Err(Usage::new(name, ARGUMENTS, EXIT_USAGE).fail()), // as the original does
    }
}
