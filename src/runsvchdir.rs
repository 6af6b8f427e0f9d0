//! runsvchdir: makes another set of services the current one.
//!
//! A set is a services directory. In the directory of the sets `current` is a link to the one that is in use, and a
//! runsvdir on `current` changes over to another as soon as that link is another.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use crate::cli::{self, Arg, HELP, Synopsis, Usage, VERSION};
use crate::msg::{self, Failure, Speaker, Tried as _};
use crate::sys::file::{self, Identity};
use crate::sys::user;

/// Wrong arguments. Source: runit 2.3.0, src/runsvchdir.c.
pub const EXIT_USAGE: u8 = 1;
/// The set was not switched. Source: runit 2.3.0, src/runsvchdir.c.
pub const EXIT_FATAL: u8 = 111;

/// Where the sets are, for root. Source: runit 2.3.0, src/runsvchdir.c. Differs: there for everybody.
const ROOT_SETS: &str = "/etc/runit/runsvdir";
/// Where the sets of any other user are, in the home directory, as on Debian.
const USER_SETS: &str = ".runit/runsvdir";

/// The set in use.
const CURRENT: &str = "current";
/// The link that becomes `current`.
const CURRENT_NEW: &str = "current.new";
/// The set that was in use before.
const PREVIOUS: &str = "previous";
/// The link that becomes `previous`: no set can have this name.
const PREVIOUS_NEW: &str = ".previous.new";

/// So long a switch waits for another to end.
const WAIT: Duration = Duration::from_secs(7);

/// So many links of ours may lead to one another.
const MOST_LINKS: usize = 8;

/// What runsvchdir takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "runsvchdir",
    about: "Make another set of services the current one.",
    usage: "dir",
    groups: &[
        ("Arguments", &[Arg::operand("dir", "The set: a services directory in $RUNSVDIR, or a path with / first")]),
        ("Options", &[HELP, VERSION]),
    ],
};

/// How runsvchdir, called as `program`, is used.
pub fn usage(program: OsString) -> Usage {
    Usage::new(program, "dir", EXIT_USAGE)
}

/// Makes `set` the current one, and says so.
pub fn run(program: &OsStr, set: &OsStr) -> u8 {
    let speaker = Speaker::new(program);
    let is: &[u8] = match switch(set, &speaker) {
        Ok(Switch::Made) => b": now current.\n",
        Ok(Switch::NotNeeded) => b": current.\n",
        Err(failure) => {
            speaker.fatal(failure.text());
            return EXIT_FATAL;
        }
    };
    msg::to_stdout(&msg::join(&[b"runsvchdir: ", set.as_bytes(), is]));
    cli::EXIT_SUCCESS
}

/// What came of it.
enum Switch {
    /// Another set was current.
    Made,
    /// The set was current already.
    NotNeeded,
}

/// Changes to the directory of the sets, and has `current` lead to `set`.
fn switch(set: &OsStr, speaker: &Speaker) -> Result<Switch, Failure> {
    let fault = |fault| {
        let mut object = set.to_os_string();
        object.push(":");
        Failure::said(object, fault)
    };
    if set.as_bytes().starts_with(b".") {
        return Err(fault("must not start with a dot."));
    }
    let sets = sets_directory();
    std::env::set_current_dir(&sets).tried_with("chdir", &sets)?;
    let _lock = hold(&sets).inspect_err(|failure| speaker.warn_failure(failure));
    let found = match fs::metadata(set) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(fault("file does not exist")),
        found => found.tried_with("stat", set)?,
    };
    if !found.is_dir() {
        return Err(fault("not a directory."));
    }
    let current = fs::metadata(CURRENT).tried_with("stat", CURRENT)?;
    if Identity::of(&current) == Identity::of(&found) {
        return Ok(Switch::NotNeeded);
    }
    let target = lasting(Path::new(set));
    if target.ancestors().any(is_moved) {
        return Err(Failure::with("copy", "current to previous", Errno::EINVAL));
    }
    make_link(&target, CURRENT_NEW)?;
    match put_in_place(speaker) {
        Ok(()) => Ok(Switch::Made),
        Err(failure) => {
            let _ = fs::remove_file(CURRENT_NEW);
            let _ = fs::remove_file(PREVIOUS_NEW);
            Err(failure)
        }
    }
}

/// `RUNSVDIR`, or where a user's sets are by default.
fn sets_directory() -> PathBuf {
    match std::env::var_os("RUNSVDIR") {
        Some(sets) => PathBuf::from(sets),
        None if user::effective_uid() == 0 => PathBuf::from(ROOT_SETS),
        None => user::home().join(USER_SETS),
    }
}

/// Takes the lock of the directory of the sets, where this process is: until it is given up, no other switches.
///
/// It is not the lock of a services directory, which a runsvdir holds. But whoever can read the directory can hold it,
/// and shall not stop a switch: without it the switch is made all the same.
///
/// Source: runit 2.3.0, src/runsvchdir.c. Differs: there no lock is taken, and of two at once either may have the
/// other's link renamed.
fn hold(sets: &Path) -> Result<File, Failure> {
    let directory = file::open_read(".").tried_with("lock", sets)?;
    file::lock_within(&directory, WAIT).tried_with("lock", sets)?;
    Ok(directory)
}

/// Renames the new links into place: there is a `current` at any time. It comes last, as services go by it: when
/// something fails, it has not led anywhere else meanwhile.
///
/// Source: runit 2.3.0, src/runsvchdir.c. Differs: there `current` is renamed to `previous` first, so that for a
/// moment there is none, and what cannot be done leaves `current.new`.
fn put_in_place(speaker: &Speaker) -> Result<(), Failure> {
    let was = match fs::read_link(CURRENT) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => return put_in_place_of_directory(speaker),
        found => found.tried_with("copy", "current to previous")?,
    };
    if fs::symlink_metadata(PREVIOUS).is_ok_and(|previous| previous.is_dir()) {
        return Err(Failure::with("unlink", PREVIOUS, Errno::EISDIR));
    }
    make_link(&lasting(&was), PREVIOUS_NEW)?;
    let previous = fs::read_link(PREVIOUS);
    fs::rename(PREVIOUS_NEW, PREVIOUS).tried_with("copy", "current to previous")?;
    fs::rename(CURRENT_NEW, CURRENT)
        .tried_with("move", "current.new to current")
        .inspect_err(|_| put_back(previous, speaker))
}

/// The same for a `current` that is no link. No link can be renamed over a directory: it goes away first.
fn put_in_place_of_directory(speaker: &Speaker) -> Result<(), Failure> {
    let previous = fs::read_link(PREVIOUS);
    remove(PREVIOUS)?;
    let made = fs::rename(CURRENT, PREVIOUS).tried_with("copy", "current to previous").and_then(|()| {
        fs::rename(CURRENT_NEW, CURRENT).tried_with("move", "current.new to current").inspect_err(|_| {
            let back = fs::rename(PREVIOUS, CURRENT).tried_with("move", "previous back to current");
            let _ = back.inspect_err(|failure| speaker.warn_failure(failure));
        })
    });
    made.inspect_err(|_| put_back(previous, speaker))
}

/// Has `previous` be again what it was: a link, if it could be read as one, or nothing. What else it was is lost.
fn put_back(previous: io::Result<PathBuf>, speaker: &Speaker) {
    let back = match previous {
        Ok(target) => make_link(&target, PREVIOUS_NEW)
            .and_then(|()| fs::rename(PREVIOUS_NEW, PREVIOUS).tried_with("move", ".previous.new to previous")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => remove(PREVIOUS),
        Err(error) => Err(Failure::with("restore", PREVIOUS, error)),
    };
    let _ = back.inspect_err(|failure| speaker.warn_failure(failure));
}

/// Makes the link `name`, in place of one that was left.
fn make_link(target: &Path, name: &str) -> Result<(), Failure> {
    remove(name)?;
    let mut what = OsString::from(name);
    what.push(" -> ");
    what.push(target);
    symlink(target, name).tried_with("create", what)
}

fn remove(name: &str) -> Result<(), Failure> {
    match fs::remove_file(name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result.tried_with("unlink", name),
    }
}

/// A path that leads where `path` does, also after the links have been moved.
///
/// `previous` would lead from the new `current` to the old one, which is `previous` by then. Source: runit 2.3.0,
/// src/runsvchdir.c. Differs: there the path is taken as it is, and `current` may lead in a circle.
fn lasting(path: &Path) -> PathBuf {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let Some(moved) = path.ancestors().find(|part| is_moved(part)) else { break };
        let (Ok(target), Ok(rest)) = (fs::read_link(moved), path.strip_prefix(moved)) else { break };
        path = if rest.as_os_str().is_empty() { target } else { target.join(rest) };
    }
    path
}

/// Whether `part` of a path is one of the links that are moved.
fn is_moved(part: &Path) -> bool {
    let is_here = |parent: &Path| {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        let identity = |path: &Path| fs::metadata(path).ok().map(|found| Identity::of(&found));
        identity(parent) == identity(Path::new("."))
    };
    let has_its_name =
        part.file_name().is_some_and(|name| [CURRENT, CURRENT_NEW, PREVIOUS].iter().any(|it| name == *it));
    has_its_name && part.parent().is_some_and(is_here)
}
