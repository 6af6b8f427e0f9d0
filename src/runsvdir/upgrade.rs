//! The upgrade in place: this runsvdir becomes its program anew, finds its supervisors again, and has each of them do
//! the same.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::handover;
use crate::model::control;
use crate::msg::Failure;
use crate::supervise::Probe;
use crate::sys::file::Identity;
use crate::sys::{clock, limit, proc, process};

use super::{Known, STOP_DEADLINE, Tree};

impl Tree {
    /// Whether nothing would be forgotten now: a change that was not looked at, a directory that is still being filled, or
    /// what is left of a service that was removed.
    pub(super) fn is_at_rest(&self) -> bool {
        let now = clock::now();
        let settles = |known: &Known| !known.is_supervised() && self.settles_at(known, now).is_some();
        let has_looked = !self.scan_is_due && self.changed.is_empty();
        has_looked && self.strays.deadline().is_none() && !self.services.iter().any(settles)
    }

    /// Becomes the program anew; returns only where that failed, and goes on.
    pub(super) fn upgrade(&mut self) {
        self.upgrade_is_due = false;
        let mut arguments = self.arguments.clone();
        if let (Some(index), Some(title)) = (self.log_argument, &mut self.title) {
            arguments[index] = OsStr::from_bytes(title.shown()).to_owned();
        }
        let deadline = self.stop_deadline.map(|it| (STOP_DEADLINE, humantime::format_duration(it).to_string().into()));
        let lock = self.lock.iter().map(|(_, lock)| ("lock".to_owned(), lock.as_fd()));
        let title = self.title.iter().map(|title| ("title".to_owned(), title.as_fd()));
        let held: Vec<_> = lock.chain(title).collect();
        let variables: Vec<_> = deadline.into_iter().collect();
        self.soft_limit.into_iter().for_each(limit::set_open_files);
        let error = handover::become_anew(&arguments, &variables, self.mask, &held);
        limit::raise_open_files();
        self.speaker.warn_failure(&Failure::new("upgrade", "", error));
    }

    /// Tells every supervisor that was there `before`, or was found, to become its program anew. The original's runsv does
    /// not know the byte and goes on.
    pub(super) fn pass_upgrade_on(&self, before: &HashSet<i32>) {
        for known in self.services.iter().filter(|known| before.contains(&known.pid) || known.found.is_some()) {
            let byte = &[control::UPGRADE];
            let told = match &known.found {
                Some(found) => (&mut &*found).write(byte).is_ok(),
                // Its directory may have been renamed meanwhile.
                None => Probe::new(format!("/proc/{}/cwd", known.pid)).send(byte).is_ok(),
            };
            if known.is_supervised() && !told && !is_on_disk(known.pid) {
                self.speaker.warn(crate::msg::join(&[b"unable to tell to upgrade: ", known.name.as_bytes()]));
            }
        }
    }
}

/// Whether a process runs the program that is on disk now: it has only just been started.
fn is_on_disk(pid: i32) -> bool {
    let identity = |path: &Path| fs::metadata(path).map(|found| Identity::of(&found)).ok();
    let running = Path::new("/proc").join(pid.to_string()).join("exe");
    identity(&running).is_some_and(|it| fs::read_link(&running).is_ok_and(|path| identity(&path) == Some(it)))
}

/// The supervisors that this process started before it became its program anew. Whether their services are still
/// there, the next look will show.
pub(super) fn own_children(directory: &Path) -> Vec<Known> {
    let own = process::id();
    let children = proc::relations().into_iter().filter(|it| it.parent == own && !it.ended).map(|it| it.pid);
    let services = fs::metadata(directory).map(|found| Identity::of(&found));
    let known = children.filter_map(|pid| {
        let name = runsv_of(&proc::command_line(pid))?;
        let identity = Identity::of(&fs::metadata(format!("/proc/{pid}/cwd")).ok()?);
        // One that has only just been started has not gone there yet.
        let has_arrived = !services.as_ref().is_ok_and(|services| *services == identity);
        let identity = if has_arrived { identity } else { Identity::of(&fs::metadata(directory.join(&name)).ok()?) };
        Some(Known::new(identity, name, pid, clock::now()))
    });
    known.collect()
}

/// What a runsv with this command line supervises; None for anything else.
fn runsv_of(command_line: &[u8]) -> Option<OsString> {
    let mut words = command_line.strip_suffix(b"\0")?.split(|byte| *byte == 0);
    let (program, name) = (words.next()?, words.next()?);
    (program == b"runsv" && words.next().is_none()).then(|| OsStr::from_bytes(name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runsv_is_known_by_its_command_line() {
        assert_eq!(runsv_of(b"runsv\0foo\0"), Some("foo".into()));
        for other in [&b"runsv\0foo"[..], b"", b"runsv\0", b"sleep\0long\0", b"runsv\0foo\0bar\0"] {
            assert_eq!(runsv_of(other), None);
        }
    }
}
