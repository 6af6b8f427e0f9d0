//! Supervisors that are no children of this process: a runsvdir that was killed has left them, or another has them.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::model::control::Control;
use crate::supervise::{Probe, holder};
use crate::sys::file::Identity;
use crate::sys::process::Orphan;
use crate::sys::{fd, proc, process, user};

/// One that was asked to exit.
pub struct Foreign {
    /// What it supervises.
    pub service: Probe,
    /// It, where that could be found.
    pub runsv: Option<Orphan>,
    control: File,
}

impl Foreign {
    /// Asks the runsv that reads `control` to exit; None where that is another's.
    pub fn asked(service: Probe, control: File) -> Option<Foreign> {
        let runsv = holder_of(&service);
        if runsv.as_ref().is_some_and(|runsv| has_runsvdir(runsv.pid())) {
            return None;
        }
        let foreign = Foreign { service, runsv, control };
        foreign.tell(&[Control::Exit.byte()]);
        Some(foreign)
    }

    /// Writes a command into its control FIFO.
    pub fn tell(&self, command: &[u8]) {
        let _ = (&self.control).write(command);
    }

    /// Whether it has gone.
    pub fn has_ended(&self) -> bool {
        self.runsv.as_ref().is_none_or(Orphan::has_ended) && fd::is_broken(self.control.as_fd())
    }
}

/// Where the service is whose control FIFO is open, also when its name in the services directory does not lead there any
/// more: that is `named`.
pub fn place_of(control: &File, named: PathBuf) -> PathBuf {
    let path = fs::read_link(format!("/proc/self/fd/{}", control.as_raw_fd())).unwrap_or_default();
    let place = path.parent().and_then(Path::parent).filter(|_| path.ends_with("supervise/control"));
    place.map_or(named, Path::to_owned)
}

/// Whether the runsv of the service is the child of another runsvdir, which lives.
pub fn is_anothers(service: &Probe) -> bool {
    holder_of(service).is_some_and(|runsv| has_runsvdir(runsv.pid()))
}

/// The runsv of a service: it is where the service is, and holds the lock, as that or the kernel tells.
fn holder_of(service: &Probe) -> Option<Orphan> {
    let place = Identity::of(&fs::metadata(service.directory()).ok()?);
    let is_there = |pid| fs::metadata(format!("/proc/{pid}/cwd")).is_ok_and(|found| Identity::of(&found) == place);
    let find = |pid| Orphan::find(pid, |runsv| is_there(runsv.pid()));
    service.supervisor().and_then(find).or_else(|| {
        let lock = fs::metadata(service.supervise().join("lock")).ok()?;
        proc::flock_holders(lock.ino()).into_iter().find_map(find)
    })
}

/// Whether a runsv is the child of a runsvdir of the same user's, which is not this one. That of another user is no
/// more than the subreaper above.
fn has_runsvdir(runsv: i32) -> bool {
    let parent = proc::relation_of(runsv).map(|it| it.parent);
    let is_own =
        |pid: i32| fs::metadata(format!("/proc/{pid}")).is_ok_and(|found| found.uid() == user::effective_uid());
    parent.is_some_and(|parent| parent != process::id() && is_own(parent) && holder::is_program(parent, "runsvdir"))
}
