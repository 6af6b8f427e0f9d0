//! What is in the services directory, and which services that makes.

use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::errno::Errno;

use crate::msg::{Failure, Tried as _};
use crate::supervise::holder;
use crate::sys::file::{self, Identity};
use crate::sys::folder::Folder;
use crate::sys::{clock, memory, proc, user};

use super::{Known, PIPE_PAUSE, STARTS, Tree};

/// What a look takes of memory, at most, and for each service.
const LOOK_BYTES: usize = 128 << 10;
const LOOK_BYTES_EACH: usize = 1 << 10;

/// How often to look where the kernel does not tell of changes.
const POLL: Duration = Duration::from_secs(5);

/// No link leads further, in bytes. Source: limits.h, `PATH_MAX`.
const LONGEST_WAY: usize = 4096;

/// So many entries are looked at one by one. Of more, everything is.
const MOST_CHANGED: usize = 32;

/// An entry of the services directory: a link, or what leads to a directory.
#[derive(PartialEq, Eq)]
pub(super) struct Entry {
    is_link: bool,
    /// None where there is no directory, or none that could be looked at.
    directory: Option<Identity>,
}

impl Tree {
    /// Takes what was told of changes.
    pub(super) fn take_changes(&mut self) {
        let (entries, changed) = (&self.entries, &mut self.changed);
        self.scan_is_due |= self.watches.take_changes(|name| {
            if name.as_bytes().starts_with(b".") {
                return true;
            }
            // What a link leads to may have to be watched, or no longer.
            if changed.len() == MOST_CHANGED || entries.get(&name).is_some_and(|before| before.is_link) {
                return false;
            }
            changed.push(name);
            true
        });
    }

    /// Has the entry `name` looked at.
    pub(super) fn look_at(&mut self, name: OsString) {
        if self.changed.len() < MOST_CHANGED {
            self.changed.push(name);
        } else {
            self.scan_is_due = true;
        }
    }

    /// Looks at what may have changed: starts what is new, takes away what is gone.
    pub(super) fn scan(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        if self.scan_is_due || !self.take_changed(changed) {
            self.scan_all();
        }
    }

    /// Takes what is new of these entries. False where that is not all, and everything must be looked at.
    fn take_changed(&mut self, names: Vec<OsString>) -> bool {
        if !self.scanned_once || self.must_poll || !self.complaints.is_empty() || !memory::can_have(LOOK_BYTES) {
            return false;
        }
        self.watches.go_on();
        let is_all = names.into_iter().all(|name| self.take_entry(name));
        self.watches.end(true) && is_all
    }

    /// Takes an entry if it is new. False where it is one that has changed, or anything is odd.
    fn take_entry(&mut self, name: OsString) -> bool {
        let path = self.directory.join(&name);
        let before = self.entries.get(&name);
        let itself = match fs::symlink_metadata(&path) {
            Ok(itself) => itself,
            Err(error) => return before.is_none() && error.kind() == io::ErrorKind::NotFound, // it came and went
        };
        let is_link = itself.is_symlink();
        if is_link
            && before.is_none()
            && let Ok(target) = fs::read_link(&path)
        {
            self.watches.add_link(&target); // before the look: what comes in between is told
        }
        let found = if is_link { fs::metadata(&path) } else { Ok(itself) };
        let Ok(found) = found else { return false };
        let entry = Entry { is_link, directory: found.is_dir().then(|| Identity::of(&found)) };
        match (before, entry.directory) {
            (Some(before), _) => *before == entry,
            (None, Some(directory)) => {
                let at = self.services.iter().position(|known| known.identity == directory);
                self.take(&name, directory, is_link, at);
                self.entries.insert(name, entry);
                true
            }
            (None, _) => !is_link,
        }
    }

    /// Looks at every entry.
    fn scan_all(&mut self) {
        self.scan_is_due = false;
        let mut complaints = HashSet::new();
        self.watches.begin();
        let looked = match memory::can_have(LOOK_BYTES + self.services.len() * LOOK_BYTES_EACH) {
            true => self.look(&mut complaints),
            false => Err(Failure::new("look at", &self.directory, Errno::ENOMEM)),
        };
        // Not understood is not gone: services go on, and a poll tries again.
        self.must_poll = !self.watches.end(looked.is_ok()) || !matches!(looked, Ok(false));
        self.next_poll = clock::now() + POLL;
        if let Err(failure) = &looked {
            complaints.insert(failure.text());
        }
        complaints.difference(&self.complaints).for_each(|text| self.speaker.warn(text));
        self.complaints = complaints;
        if looked.is_err() {
            return;
        }
        self.scanned_once = true;
        for at in 0..self.services.len() {
            let known = &self.services[at];
            if !known.seen && !known.leaving {
                if self.tell_to_exit(known) {
                    self.services[at].leaving = true;
                } else {
                    self.look_later();
                }
            }
        }
        self.forget_vanished();
    }

    /// Marks what is there as seen, and notes in `complaints` which entries could not be looked at.
    /// Whether something may be found out later though nothing changes.
    fn look(&mut self, complaints: &mut HashSet<Vec<u8>>) -> Result<bool, Failure> {
        // Watch first, then look: what comes in between is told.
        self.watches.add_directory(&self.directory);
        let stat = if self.directory.as_os_str().is_empty() { "stat " } else { "stat" }; // the original's blank
        let found = fs::metadata(&self.directory).tried(stat, &self.directory)?;
        fs::metadata(self.directory.join(".")).tried("change directory to", &self.directory)?;
        self.identity = Some(Identity::of(&found));
        self.hold(Identity::of(&found))?;
        let folder = Folder::go_to(&self.directory).tried("open directory", &self.directory)?;
        let found = folder.entries().tried("open directory", &self.directory)?;
        // Of the first look nothing is waited for: all that it finds is new and complete, and nothing else has to end.
        let mut starts_at_once = !self.scanned_once && self.services.is_empty();
        self.services.iter_mut().for_each(|known| known.seen = false);
        let mut places = HashMap::with_capacity(self.services.len());
        for (at, known) in self.services.iter().enumerate() {
            places.entry(known.identity).or_insert(at);
        }
        let mut entries = HashMap::with_capacity(self.entries.len());
        let mut is_unsure = false;
        let mut room = vec![0; LONGEST_WAY];
        for entry in found {
            let entry = entry.tried("read directory", &self.directory)?;
            let name = entry.name();
            if name.as_bytes().starts_with(b".") {
                continue;
            }
            let is_link = entry.is_link().unwrap_or_else(|| folder.is_link(name).unwrap_or(false));
            if is_link && let Ok(target) = folder.read_link(name, &mut room) {
                self.watches.add_link(target);
            }
            let mut directory = None;
            match folder.directory(name) {
                Ok(Some(identity)) => {
                    // What a new link leads to is complete; what has come behind an old one may still be filled.
                    let was_link = self.entries.get(name).is_some_and(|before| before.is_link);
                    let is_complete = !self.scanned_once || is_link && !was_link;
                    let before = places.get(&identity).copied();
                    let at = self.take(name, identity, is_complete, before);
                    if before.is_none() {
                        places.insert(identity, at);
                    }
                    if starts_at_once && before.is_none() {
                        self.start_at(at, Ok(&folder), self.services[at].started);
                        starts_at_once = at % STARTS != STARTS - 1 || !self.has_signals();
                    }
                    directory = Some(identity);
                }
                Ok(None) => {}
                // It was there a moment ago: nothing is wrong with it.
                Err(_) if folder.is_link(name).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) => {}
                Err(error) => {
                    // It may be there all the same: a service is not stopped because stat(2) failed.
                    is_unsure |= may_pass(&error);
                    if error.kind() != io::ErrorKind::NotFound {
                        self.services.iter_mut().filter(|known| known.name == name).for_each(|known| known.seen = true);
                    }
                    complaints.insert(Failure::new("stat", name, error).text());
                }
            }
            if is_link || directory.is_some() {
                entries.insert(name.to_owned(), Entry { is_link, directory });
            }
        }
        entries.shrink_to_fit(); // many may have gone
        self.entries = entries;
        if starts_at_once {
            // In one pass, not each in its own.
            let pipe_due = clock::now() + PIPE_PAUSE;
            self.services.iter_mut().for_each(|known| known.pipe_due = known.pipe_due.map(|_| pipe_due));
        }
        Ok(is_unsure)
    }

    /// Takes the lock of the services directory, so that two trees are not on one: the ordered stop of the second
    /// would end the supervisors of the first. Without the ordered stop, a lock that cannot be had is no reason to
    /// wait, as the original takes none.
    fn hold(&mut self, directory: Identity) -> Result<(), Failure> {
        if self.lock.as_ref().is_some_and(|(locked, _)| *locked == directory) {
            return Ok(());
        }
        let Ok(file) = File::open(&self.directory) else { return Ok(()) };
        match file::try_lock(&file) {
            Ok(()) => self.lock = Some((directory, file)),
            // Whoever can read a directory can lock it, and keeps no tree from starting by that.
            Err(_) if is_locked_by_others(&file) => {}
            Err(error) if self.stop_deadline.is_some() && error.kind() == io::ErrorKind::WouldBlock => {
                let who = holder::of(&self.directory, "runsvdir").map_or(String::new(), |who| format!(", {who}"));
                let fault = format!("has a runsvdir already{who}: waiting until that ends");
                return Err(Failure::said(&self.directory, fault));
            }
            Err(_) => {}
        }
        Ok(())
    }

    /// Takes note of a directory that is there: of the service `at`, or of a new one. Gives where that is.
    fn take(&mut self, name: &OsStr, identity: Identity, is_complete: bool, at: Option<usize>) -> usize {
        if let Some(at) = at {
            let known = &mut self.services[at];
            if !known.seen {
                known.name = name.to_owned(); // it may have been renamed
            }
            known.seen = true;
            known.leaving = false; // it came back: once its runsv has exited, it is started again
            return at;
        }
        let now = clock::now();
        let settles_since = (!is_complete).then_some(now);
        let new = Known::new(identity, name.to_owned(), 0, now);
        self.services.push(Known { settles_since, pipe_due: None, seen: true, ..new });
        self.services.len() - 1
    }
}

/// Whether a directory is locked, and only by processes of other users, who have no tree there.
fn is_locked_by_others(directory: &File) -> bool {
    let holders = directory.metadata().map_or(Vec::new(), |found| proc::flock_holders(found.ino()));
    let is_other = |pid: &i32| {
        let owner = fs::metadata(format!("/proc/{pid}")).map(|found| found.uid());
        owner.is_ok_and(|owner| ![0, user::effective_uid()].contains(&owner))
    };
    !holders.is_empty() && holders.iter().all(is_other)
}

/// Whether an error tells of the machine, not of the file: it may pass though the file stays as it is.
fn may_pass(error: &io::Error) -> bool {
    use Errno::{EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM};
    let errno = Errno::from_raw(error.raw_os_error().unwrap_or(0));
    ![EACCES, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM].contains(&errno)
}
