//! chpst: change the process state, then become another program.

mod emulation;
pub mod envdir;

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::ops::RangeInclusive;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use self::emulation::Emulation;
use crate::cli::{self, Arg, Given, HELP, Synopsis, Usage, VERSION};
use crate::model::envdir::{Setting, apply};
use crate::model::ids::{self, Ids, Invalid};
use crate::model::limit::{self as prlimit, Bounds};
use crate::model::{lookup, number};
use crate::msg::{self, Failure, Severity, Speaker, Tried as _};
use crate::sys::limit::{self, Resource};
use crate::sys::process::{self, Argv, Image};
use crate::sys::signal::Signal;
use crate::sys::user::Account;
use crate::sys::{fd, file, user};

/// Wrong options. Source: chpst(8).
pub const EXIT_USAGE: u8 = 100;
/// The process state could not be changed. Source: chpst(8).
pub const EXIT_FAILURE: u8 = 111;

const ARGUMENTS: &str = "[-vVP012] [-u user[:group]] [-U user[:group]] [-b argv0] [-e dir] [-/ root] [-C pwd] \
                         [-n nice] [-l|-L lock] [-m n] [-d n] [-o n] [-p n] [-f n] [-c n] [-t n] prog";

/// The id of an option and what it limits.
type Limit = (&'static str, &'static [Resource]);

/// The nice values that the kernel knows.
const NICE_VALUES: RangeInclusive<i32> = -20..=19;
/// The values of /proc/self/oom_score_adj.
const OOM_SCORES: RangeInclusive<i32> = -1000..=1000;

/// The limits that have an option: its id and what it limits. Source: runit 2.3.0, src/chpst.c.
const LIMITS: [Limit; 8] = [
    ("memory", &MEMORY),
    ("data", &[Resource::RLIMIT_DATA]),
    ("files", &[Resource::RLIMIT_NOFILE]),
    ("processes", &[Resource::RLIMIT_NPROC]),
    ("file-size", &[Resource::RLIMIT_FSIZE]),
    ("core-size", &[Resource::RLIMIT_CORE]),
    ("resident", &[Resource::RLIMIT_RSS]),
    ("seconds", &[Resource::RLIMIT_CPU]),
];

/// The limits that `--limit` knows, by their names in prlimit(1).
const RESOURCES: [(&str, Resource); 16] = [
    ("as", Resource::RLIMIT_AS),
    ("core", Resource::RLIMIT_CORE),
    ("cpu", Resource::RLIMIT_CPU),
    ("data", Resource::RLIMIT_DATA),
    ("fsize", Resource::RLIMIT_FSIZE),
    ("locks", Resource::RLIMIT_LOCKS),
    ("memlock", Resource::RLIMIT_MEMLOCK),
    ("msgqueue", Resource::RLIMIT_MSGQUEUE),
    ("nice", Resource::RLIMIT_NICE),
    ("nofile", Resource::RLIMIT_NOFILE),
    ("nproc", Resource::RLIMIT_NPROC),
    ("rss", Resource::RLIMIT_RSS),
    ("rtprio", Resource::RLIMIT_RTPRIO),
    ("rttime", Resource::RLIMIT_RTTIME),
    ("sigpending", Resource::RLIMIT_SIGPENDING),
    ("stack", Resource::RLIMIT_STACK),
];

const MEMORY: [Resource; 4] =
    [Resource::RLIMIT_DATA, Resource::RLIMIT_STACK, Resource::RLIMIT_MEMLOCK, Resource::RLIMIT_AS];

/// What chpst takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "chpst",
    about: "Change the process state, then become PROG.",
    usage: "[OPTION]... PROG [ARG]...",
    groups: &[
        (
            "Options",
            &[
                Arg::value(b'u', "user", "[:]USER[:GROUP]...", "become this user, in these groups only"),
                Arg::long("all-groups", "with -u USER: in all groups of the user"),
                Arg::value(b'U', "shown-user", "[:]USER[:GROUP]", "set UID and GID in the environment"),
                Arg::value(b'e', "envdir", "DIR", "set a variable for each file in DIR"),
                Arg::value(b'/', "root", "ROOT", "change the root directory"),
                Arg::value(b'C', "pwd", "PWD", "change the working directory, after -/"),
                Arg::value(b'b', "argv0", "ARGV0", "run PROG under this name"),
                Arg::long_value("umask", "MODE", "set the file creation mask, in octal"),
                Arg::long_value("nice-value", "N", "set the nice value, from -20 to 19"),
                Arg::value(b'n', "nice", "INC", "add INC to the nice value"),
                Arg::long_value("oom-score", "N", "be killed sooner, or later, without memory"),
                Arg::value(b'l', "lock", "LOCK", "lock this file, waiting for it"),
                Arg::value(b'L', "lock-now", "LOCK", "lock this file, or fail at once"),
                Arg::flag(b'P', "session", "lead a new session"),
                Arg::flag(b'0', "stdin", "close standard input"),
                Arg::flag(b'1', "stdout", "close standard output"),
                Arg::flag(b'2', "stderr", "close standard error"),
                Arg::flag(b'v', "verbose", "print warnings"),
                Arg::flag(b'V', "version-and-usage", "print the version and the usage to standard error"),
                VERSION,
                HELP,
            ],
        ),
        (
            "Limits",
            &[
                Arg::value(b'm', "memory", "BYTES", "data, stack, locked and all memory, each"),
                Arg::value(b'd', "data", "BYTES", "data segment"),
                Arg::value(b'o', "files", "N", "open files"),
                Arg::value(b'p', "processes", "N", "processes of the user"),
                Arg::value(b'f', "file-size", "BYTES", "size of a file"),
                Arg::value(b'c', "core-size", "BYTES", "size of a core file"),
                Arg::value(b'r', "resident", "BYTES", "resident memory"),
                Arg::value(b't', "seconds", "SECONDS", "processor time"),
                Arg::long_value("limit", "NAME=SOFT:HARD", "any limit, as prlimit(1)"),
            ],
        ),
    ],
};

/// Does what `args` say, as the program called `name`. Returns only when that failed.
pub fn run(name: &OsStr, args: Vec<OsString>) -> u8 {
    let called_as = cli::base_name(name);
    let name = program_name(called_as);
    if let Some(emulation) = Emulation::called(name) {
        return emulation.run(name, called_as, args);
    }
    let usage = Usage::new(name, ARGUMENTS, EXIT_USAGE).complaining_as(called_as);
    let given = match usage.parse(&SYNOPSIS, args) {
        Ok(given) => given,
        Err(code) => return code,
    };
    if given.has("version-and-usage") {
        msg::to_stderr(concat!("homerun ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        return usage.fail();
    }
    match Changes::from_options(&given) {
        Ok(changes) if !given.operands.is_empty() => changes.carry_out(given.operands),
        Ok(_) | Err(Wrong(None)) => usage.fail(),
        Err(Wrong(Some(complaint))) => {
            msg::to_stderr(&msg::join(&[b"chpst: ", complaint.replace('\n', "?").as_bytes(), b"\n"]));
            usage.fail()
        }
    }
}

/// The options cannot be followed. The original says nothing about it but its usage; ours has words for its own
/// options.
struct Wrong(Option<String>);

impl Wrong {
    const WORDLESS: Wrong = Wrong(None);

    /// In the form of the original's complaints about options.
    fn option(complaint: &str, option: &str) -> Wrong {
        Wrong(Some(format!("{complaint} -- {option}")))
    }
}

/// The program that is meant: what it was called as without one leading `d`. Source: runit 2.3.0, src/chpst.c.
fn program_name(called_as: &OsStr) -> &OsStr {
    let name = called_as.as_bytes();
    OsStr::from_bytes(name.strip_prefix(b"d").unwrap_or(name))
}

/// Whether the argument of -u is the name of a user and nothing else.
fn is_user_alone(text: Option<&OsStr>) -> bool {
    text.is_some_and(|text| !text.as_bytes().contains(&b':'))
}

/// What to change, in the order in which it is done.
#[derive(Default)]
struct Changes {
    verbose: bool,
    session: bool,
    environment: Option<OsString>,
    directories_in_environment: Directories,
    root: Option<OsString>,
    directory: Option<OsString>,
    oom_score: Option<i32>,
    nice_value: Option<i32>,
    nice: i32,
    shown_user: Option<Who>,
    user: Option<Who>,
    lock: Option<Lock>,
    closed: Vec<Standard>,
    umask: Option<u32>,
    limits: Vec<NewLimit>,
    argv0: Option<OsString>,
    failure: OnFailure,
}

/// What a directory among the files of `-e` means.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Directories {
    /// A warning under -v.
    #[default]
    Skipped,
    /// The end.
    Fatal,
}

/// How a failure ends the program.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum OnFailure {
    /// With a message and [`EXIT_FAILURE`].
    #[default]
    Message,
    /// Without a word, as if all were well.
    Silence,
}

/// Somebody, as the command line names them.
enum Who {
    /// `[:]user[:group]...`
    Ids(OsString),
    /// A user, in all groups of that user.
    AllGroups(OsString),
    /// A user, whatever colons are in the name.
    Account(OsString),
}

/// One limit and what to make of it.
#[derive(Clone, Copy)]
struct NewLimit {
    resource: Resource,
    bounds: Bounds,
    deed: &'static str,
    name: &'static str,
}

struct Lock {
    path: OsString,
    wait: bool,
}

/// A standard descriptor, its option and its name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standard {
    Input,
    Output,
    Error,
}

impl Standard {
    const ALL: [(Standard, &'static str); 3] =
        [(Standard::Input, "stdin"), (Standard::Output, "stdout"), (Standard::Error, "stderr")];

    fn close(self) -> Result<(), Failure> {
        let (number, deed) = match self {
            Standard::Input => (0, "close stdin"),
            Standard::Output => (1, "close stdout"),
            Standard::Error => (2, "close stderr"),
        };
        fd::close_number(number).tried(deed, "")
    }
}

/// Who to be: numbers that the kernel takes.
struct Identity {
    uid: u32,
    gid: u32,
    groups: Vec<u32>,
}

/// Last words: the text of a fatal message.
struct Fatal(Vec<u8>);

impl From<Failure> for Fatal {
    fn from(failure: Failure) -> Fatal {
        Fatal(failure.text())
    }
}

fn speaker() -> Speaker {
    Speaker::new("chpst")
}

impl Changes {
    /// What was asked for.
    fn from_options(given: &Given) -> Result<Changes, Wrong> {
        let value = |id: &str| given.value(id).map(OsStr::to_owned);
        if given.has("all-groups") && !is_user_alone(given.value("user")) {
            return Err(Wrong::option("option requires -u user without groups", "all-groups"));
        }
        let increment = value("nice").map_or(Some(0), |text| number::increment(text.as_bytes()));
        let soft = limits(given, &LIMITS, number::limit).ok_or(Wrong::WORDLESS)?;
        Ok(Changes {
            verbose: given.has("verbose"),
            session: given.has("session"),
            environment: value("envdir"),
            root: value("root"),
            directory: value("pwd"),
            oom_score: parsed(given, "oom-score", "no number from -1000 to 1000", |it| number::signed(it, OOM_SCORES))?,
            nice_value: parsed(given, "nice-value", "no number from -20 to 19", |it| number::signed(it, NICE_VALUES))?,
            nice: increment.ok_or(Wrong::WORDLESS)?,
            shown_user: value("shown-user").map(Who::Ids),
            user: value("user").map(if given.has("all-groups") { Who::AllGroups } else { Who::Ids }),
            lock: lock(given).ok_or(Wrong::WORDLESS)?,
            closed: Standard::ALL.iter().filter(|(_, id)| given.has(id)).map(|(it, _)| *it).collect(),
            umask: parsed(given, "umask", "no octal number up to 777", number::mode)?,
            limits: in_order(soft.into_iter().chain(named_limits(given)?)),
            argv0: value("argv0"),
            ..Changes::default()
        })
    }

    /// Becomes the program. Returns only when that failed.
    fn carry_out(self, program: Vec<OsString>) -> u8 {
        let (mut stderr, failure) = (None, self.failure);
        let Err(Fatal(text)) = self.become_program(program, &mut stderr);
        if failure == OnFailure::Silence {
            return cli::EXIT_SUCCESS;
        }
        let line = speaker().line(Severity::Fatal, text);
        match stderr {
            Some(mut copy) => drop(File::write_all(&mut copy, &line)), // there is nobody to tell when that fails
            None => msg::to_stderr(&line),
        }
        EXIT_FAILURE
    }

    /// Everything, in the order of the original: with -2 `stderr` becomes a copy of what is closed, for last words.
    ///
    /// Differs: the original closes stderr for good, and fails without a word.
    fn become_program(self, mut program: Vec<OsString>, stderr: &mut Option<File>) -> Result<Infallible, Fatal> {
        if self.session {
            let _ = process::lead_session(); // it fails for the leader of a group, who goes on as it is
        }
        let mut settings = self.read_environment()?;
        if let Some(score) = self.oom_score {
            limit::set_oom_score(score).tried("set oom score", "")?;
        }
        if let Some(root) = &self.root {
            std::env::set_current_dir(root).tried_with("change directory", root)?;
            file::change_root(Path::new(".")).tried("change root directory", "")?;
        }
        if let Some(directory) = &self.directory {
            std::env::set_current_dir(directory).tried_with("change directory", directory)?;
        }
        if let Some(value) = self.nice_value {
            limit::set_nice(value).tried("set nice value", "")?;
        }
        if self.nice != 0 {
            limit::add_nice(self.nice).tried("set nice level", "")?;
        }
        if let Some(who) = &self.shown_user {
            let identity = who.find()?;
            settings.push(Setting::set("GID", identity.gid.to_string()));
            settings.push(Setting::set("UID", identity.uid.to_string()));
        }
        if let Some(who) = &self.user {
            let identity = who.find()?;
            self.raise_hard_limits()?; // the user may not be one who can
            identity.assume()?;
        }
        let lock = self.lock.as_ref().map(Lock::take).transpose()?;

        // Made now: once there are limits, there may be no memory for it.
        let files = lookup::candidates(&program[0], std::env::var_os("PATH").as_deref());
        if let Some(argv0) = self.argv0 {
            program[0] = argv0;
        }
        let name = program[0].clone();
        let image = Argv::new(program).and_then(|argv| Image::new(&files, argv)).and_then(|image| {
            if settings.is_empty() {
                return Ok(image);
            }
            let mut environment = process::environment();
            apply(&mut environment, &settings);
            image.with_environment(&environment)
        });
        let image = image.tried_with("run", &name)?;

        if self.closed.contains(&Standard::Error) {
            *stderr = fd::duplicate(io::stderr().as_fd()).ok().map(File::from);
        }
        for standard in self.closed {
            standard.close()?;
        }
        if let Some(mask) = self.umask {
            limit::set_umask(mask);
        }
        for limit in self.limits {
            limit::set_limit(limit.resource, limit.bounds.soft, limit.bounds.hard).tried(limit.deed, limit.name)?;
        }
        process::default_action(Signal::SIGPIPE); // our runtime ignores it, and an exec keeps that
        let error = image.exec();
        drop(lock); // held until here, and beyond where there is a program
        Err(Failure::with("run", &name, error).into())
    }

    fn raise_hard_limits(&self) -> Result<(), Failure> {
        for limit in &self.limits {
            if let Some(hard) = limit.bounds.hard {
                limit::raise_hard_limit(limit.resource, hard).tried(limit.deed, limit.name)?;
            }
        }
        Ok(())
    }

    fn read_environment(&self) -> Result<Vec<Setting>, Failure> {
        let Some(directory) = &self.environment else { return Ok(Vec::new()) };
        envdir::read(directory, |skipped| {
            let directory = skipped.reason().kind() == io::ErrorKind::IsADirectory;
            if directory && self.directories_in_environment == Directories::Fatal {
                return Err(skipped);
            }
            if self.verbose {
                speaker().warn_failure(&skipped);
            }
            Ok(())
        })
    }
}

/// The lock asked for, if any; the outer `None` when there are two.
fn lock(given: &Given) -> Option<Option<Lock>> {
    let locks = |id, wait| given.all(id).map(move |(_, path)| Lock { path: path.to_owned(), wait });
    let mut all = locks("lock", true).chain(locks("lock-now", false));
    let first = all.next();
    all.next().is_none().then_some(first)
}

/// What the value of option `id` means, if it was given; without a meaning it is `fault`.
fn parsed<T>(given: &Given, id: &str, fault: &str, parse: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Wrong> {
    let Some(text) = given.value(id) else { return Ok(None) };
    match parse(text.as_bytes()) {
        Some(value) => Ok(Some(value)),
        None => Err(Wrong::option(&format!("{fault}: {}", text.display()), id)),
    }
}

/// A limit and the place of its option on the command line.
type Placed = (usize, NewLimit);

/// The soft limits asked for by a letter.
fn limits(given: &Given, known: &[Limit], parse: fn(&[u8]) -> Option<u64>) -> Option<Vec<Placed>> {
    let mut found = Vec::new();
    for (id, resources) in known {
        if let Some((place, text)) = given.last(id) {
            let bounds = Bounds { soft: Some(parse(text.as_bytes())?), hard: None };
            let each = resources.iter().map(|it| NewLimit { resource: *it, bounds, deed: "setrlimit()", name: "" });
            found.extend(each.map(|limit| (place, limit)));
        }
    }
    Some(found)
}

/// The limits asked for by `--limit`.
fn named_limits(given: &Given) -> Result<Vec<Placed>, Wrong> {
    given.all("limit").map(|(place, text)| Ok((place, named_limit(text)?))).collect()
}

fn named_limit(text: &OsStr) -> Result<NewLimit, Wrong> {
    let (name, bounds) = prlimit::parse(text.as_bytes());
    let wrong = |fault: &str| Wrong::option(&format!("{fault}: {}", text.display()), "limit");
    let known = RESOURCES.iter().find(|(known, _)| known.as_bytes() == name);
    let (name, resource) = *known.ok_or_else(|| wrong("unknown resource"))?;
    let bounds = bounds.map_err(|fault| wrong(fault.words()))?;
    Ok(NewLimit { resource, bounds, deed: "set limit", name })
}

/// In the order in which they were asked for: of two for one resource the last one counts.
fn in_order(limits: impl IntoIterator<Item = Placed>) -> Vec<NewLimit> {
    let mut limits: Vec<Placed> = limits.into_iter().collect();
    limits.sort_by_key(|(place, _)| *place);
    limits.into_iter().map(|(_, limit)| limit).collect()
}

impl Lock {
    /// Takes the lock, in a file that the program inherits.
    fn take(&self) -> Result<File, Failure> {
        let file = file::open_append(&self.path).tried_with("open lock", &self.path)?;
        let locked = if self.wait { file::lock(&file) } else { file::try_lock(&file) };
        locked.and_then(|()| fd::set_inherited(file.as_fd(), true)).tried_with("lock", &self.path)?;
        Ok(file)
    }
}

impl Identity {
    /// A user whose primary group is the only one.
    fn alone(account: &Account) -> Identity {
        Identity { uid: account.uid, gid: account.gid, groups: vec![account.gid] }
    }

    /// Becomes this user, for good.
    fn assume(&self) -> Result<(), Failure> {
        user::set_groups(&self.groups).tried("setgroups", "")?;
        user::set_gid(self.gid).tried("setgid", "")?;
        user::set_uid(self.uid).tried("setuid", "")
    }
}

impl Who {
    fn find(&self) -> Result<Identity, Fatal> {
        match self {
            Who::Ids(text) => listed(text),
            Who::AllGroups(name) => {
                let account = account(name, "user/group", DATABASE)?;
                let groups = user::groups_of(name, account.gid).tried(DATABASE, "")?;
                Ok(Identity { groups, ..Identity::alone(&account) })
            }
            Who::Account(name) => Ok(Identity::alone(&account(name, "account", "get password file entry")?)),
        }
    }
}

/// What fails when the account database cannot be asked.
const DATABASE: &str = "get password/group file entry";

/// Finds out who `[:]user[:group]...` is.
fn listed(text: &OsStr) -> Result<Identity, Fatal> {
    let (user, names) = match ids::parse(text) {
        Ok(Ids::Numbers { uid, gid, groups }) => return Ok(Identity { uid, gid, groups }),
        Ok(Ids::Names { user, groups }) => (user, groups),
        Err(Invalid::Name) => return Err(unknown("user/group", text)),
        Err(Invalid::Number) => return Err(Fatal(msg::join(&[b"invalid uid/gids: ", &text.as_bytes()[1..]]))),
    };
    let account = user::account(&user).tried(DATABASE, "")?.ok_or_else(|| unknown("user/group", text))?;
    let mut groups = Vec::with_capacity(names.len());
    for name in names {
        let group = user::group(&name).tried(DATABASE, "")?;
        groups.push(group.ok_or_else(|| unknown("user/group", text))?);
    }
    Ok(match groups.first() {
        Some(gid) => Identity { uid: account.uid, gid: *gid, groups },
        None => Identity::alone(&account),
    })
}

fn account(name: &OsStr, kind: &str, deed: &'static str) -> Result<Account, Fatal> {
    user::account(name).tried(deed, "")?.ok_or_else(|| unknown(kind, name))
}

fn unknown(kind: &str, name: &OsStr) -> Fatal {
    Fatal(msg::join(&[b"unknown ", kind.as_bytes(), b": ", name.as_bytes()]))
}
