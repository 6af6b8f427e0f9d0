//! Keeping `supervise/` whole while runsv lives: being told of what is done to it, and making again what is gone.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use nix::errno::Errno;

use super::{Home, holder, make_fifo, make_supervise, not_a_fifo, world};
use crate::msg::{Failure, Tried as _};
use crate::sys::file::{self, Identity};
use crate::sys::place::{self, Tell};

/// What is kept of a `supervise/`, besides the files that are used.
pub(super) struct Kept {
    /// The service directory, claimed. None where it cannot be read.
    pub place: Option<File>,
    /// The directory `supervise` itself.
    inside: Option<File>,
    /// Changes in `supervise` are told of.
    listens: bool,
    /// Losses in the service directory are told of.
    listens_outside: bool,
}

impl Kept {
    /// Opens `supervise`, where that can be read.
    pub(super) fn of(place: Option<File>, directory: &str) -> Kept {
        Kept { place, inside: file::open_read(directory).ok(), listens: false, listens_outside: false }
    }
}

/// Opens and claims a service directory. Fails with EAGAIN when another runsv has it.
///
/// The lock on `supervise/lock` excludes the original's runsv as well, but only as long as that file is there.
pub(super) fn claim(service: &str) -> io::Result<Option<File>> {
    let Ok(place) = file::open_read(service) else { return Ok(None) };
    match place::claim(&place) {
        Ok(false) => Err(nix::errno::Errno::EAGAIN.into()),
        Ok(true) | Err(_) => Ok(Some(place)), // where there are no such locks, nobody has one
    }
}

impl Home {
    /// Has this process told of changes, by SIGIO, once.
    pub fn listen(&mut self) {
        let Kept { place, inside, listens, listens_outside } = &mut self.kept;
        // A kernel that does not tell: then what is gone is made again when it is missed.
        if !std::mem::replace(listens_outside, true) {
            let _ = place.as_ref().map(|place| place::tell(place, Tell::Losses));
        }
        if !std::mem::replace(listens, true) {
            let _ = inside.as_ref().map(|inside| place::tell(inside, Tell::All));
        }
    }

    /// SIGIO came: what was to be told is told.
    pub fn has_been_told(&mut self) {
        self.kept.listens = false;
        self.kept.listens_outside = false;
    }

    /// What follows is this process's own doing, of which it need not be told.
    pub(super) fn be_quiet(&mut self) {
        if std::mem::replace(&mut self.kept.listens, false) {
            let _ = self.kept.inside.as_ref().map(|inside| place::tell(inside, Tell::Nothing));
        }
    }

    /// Whether everything in `supervise/` is as it was left.
    pub fn is_whole(&self) -> bool {
        let Home { paths, lock, control, ok, .. } = self;
        let ok_is_there = ok.as_ref().is_none_or(|ok| is_there(paths.ok, ok));
        is_there(paths.lock, lock) && is_there(paths.control, control) && ok_is_there && self.records_are_there()
    }

    fn records_are_there(&self) -> bool {
        let says = |path: &str, text: &[u8]| {
            seen(fs::symlink_metadata(path), |found| found.is_file() && found.len() == text.len() as u64)
                && seen(fs::read(path), |content| content == text)
        };
        self.published.is_none_or(|status| {
            says(self.paths.status.path, &status.encode())
                && says(self.paths.stat.path, status.stat().as_bytes())
                && says(self.paths.pid.path, status.pid_line().as_bytes())
        })
    }

    /// Makes again what is gone, takes over what has come in its place, and removes what is in the way. Whatever was
    /// published is to be published again.
    ///
    /// Errors: the service directory is gone; another has the lock meanwhile; something cannot be removed.
    pub fn repair(&mut self) -> Result<(), Failure> {
        self.be_quiet();
        if self.is_homeless() {
            return Err(Failure::said("service directory", "is gone"));
        }
        let paths = self.paths;
        let directory = paths.directory;
        make_supervise(paths)?;
        if !self.kept.inside.as_ref().is_some_and(|inside| is_there(directory, inside)) {
            let new = file::open_read(directory).ok();
            if let (Some(old), Some(new)) = (&self.kept.inside, &new) {
                liken(new, old);
            }
            self.kept.inside = new;
        }
        if !is_there(paths.lock, &self.lock) {
            let path = paths.lock;
            clear(path, Metadata::is_file)?;
            let lock = file::open_append(path).tried("open", path)?;
            file::try_lock(&lock).tried("lock", path)?;
            holder::sign(&lock, world().ok());
            self.lock = lock;
        }
        if !is_there(paths.control, &self.control) {
            self.control = fifo(paths.control, &self.control, |path| file::open_read_write(path))?;
        }
        if let Some(ok) = self.ok.as_ref().filter(|ok| !is_there(paths.ok, ok)) {
            self.ok = Some(fifo(paths.ok, ok, |path| file::open_read(path))?);
        }
        for record in [paths.pid, paths.stat, paths.status, paths.reason] {
            clear(record.path, Metadata::is_file)?;
        }
        self.published = None;
        self.published_pid = None;
        self.explained = None;
        Ok(())
    }

    /// Nobody holds the lock any more.
    pub fn leave(&self) {
        let _ = self.lock.set_len(0);
    }

    /// Whether the service directory was removed: nothing can ever be made in it again.
    pub fn is_homeless(&self) -> bool {
        self.kept.place.as_ref().is_some_and(|place| place.metadata().is_ok_and(|found| found.nlink() == 0))
    }
}

/// Whether `path` leads to the very file that is open.
pub(super) fn is_there(path: &str, open: &File) -> bool {
    seen(fs::metadata(path), |found| seen(open.metadata(), |open| Identity::of(&found) == Identity::of(&open)))
}

/// Whether what was seen is `such`. What cannot be seen because the machine is short of something counts as such:
/// nothing is put in the place of what may be well.
fn seen<T>(found: io::Result<T>, such: impl FnOnce(T) -> bool) -> bool {
    use Errno::{EINTR, EIO, EMFILE, ENFILE, ENOMEM, ESTALE};
    match found {
        Ok(found) => such(found),
        Err(error) => [EINTR, EIO, EMFILE, ENFILE, ENOMEM, ESTALE]
            .map(|errno| errno as i32)
            .contains(&error.raw_os_error().unwrap_or(0)),
    }
}

/// Whether there is nothing, or no way to it. What could not be looked at, for another reason, may be all right.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::ENOTDIR | Errno::ELOOP))
}

/// The FIFO at `path`: one that has come there, or a new one, with the owner and the mode of the `old`.
fn fifo(path: &str, old: &File, open: impl Fn(&str) -> io::Result<File>) -> Result<File, Failure> {
    clear(path, |found| found.file_type().is_fifo())
        .map_err(|failure| if Path::new(path).is_dir() { not_a_fifo(path) } else { failure })?;
    let is_new = !Path::new(path).exists();
    make_fifo(path)?;
    let new = open(path).tried("open", path)?;
    if is_new {
        liken(&new, old);
    }
    Ok(new)
}

/// Removes what is at `path`, unless that `is_fine`.
fn clear(path: &str, is_fine: impl Fn(&Metadata) -> bool) -> Result<(), Failure> {
    match fs::metadata(path) {
        Ok(found) if is_fine(&found) => return Ok(()),
        Err(error) if !is_missing(&error) => return Err(Failure::new("stat", path, error)),
        _ => {}
    }
    let removed = match fs::symlink_metadata(path) {
        Err(_) => return Ok(()),
        Ok(found) if found.is_dir() => fs::remove_dir(path),
        Ok(_) => fs::remove_file(path),
    };
    removed.tried("remove", path)
}

/// Gives one file the owner and the mode of another, as far as that is possible.
fn liken(new: &File, old: &File) {
    if let Ok(found) = old.metadata() {
        let _ = file::set_owner(new, &found);
        let _ = new.set_permissions(found.permissions());
    }
}
