//! Being told of changes in a directory.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use nix::errno::Errno;
use nix::sys::inotify::{InitFlags, Inotify, InotifyEvent};

pub use nix::sys::inotify::AddWatchFlags as Changes;
pub use nix::sys::inotify::WatchDescriptor as Watch;

/// A source of changes in directories.
pub struct Watcher {
    inotify: Inotify,
}

/// One change.
#[derive(Debug)]
pub struct Change {
    /// Which watch saw it.
    pub watch: Watch,
    /// What happened.
    pub what: Changes,
    /// The name in the directory it happened to; none for the directory itself.
    pub name: Option<OsString>,
}

impl Watcher {
    /// A source with no watch yet.
    pub fn new() -> io::Result<Watcher> {
        Ok(Watcher { inotify: Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)? })
    }

    /// Watches the directory `path` for `changes`.
    pub fn watch(&self, path: &Path, changes: Changes) -> io::Result<Watch> {
        Ok(self.inotify.add_watch(path, changes)?)
    }

    /// Watches the directory `path` for `changes` and whatever it is watched for already.
    pub fn watch_also(&self, path: &Path, changes: Changes) -> io::Result<Watch> {
        self.watch(path, changes.union(Changes::from_bits_retain(libc::IN_MASK_ADD)))
    }

    /// Watches no longer. What was seen before is still told. It does nothing for a watch that has ended by itself.
    pub fn forget(&self, watch: Watch) {
        let _ = self.inotify.rm_watch(watch);
    }

    /// What has changed since the last call; empty when nothing has.
    pub fn changes(&self) -> io::Result<Vec<Change>> {
        let change = |event: InotifyEvent| Change { watch: event.wd, what: event.mask, name: event.name };
        loop {
            match self.inotify.read_events() {
                Ok(events) => return Ok(events.into_iter().map(change).collect()),
                Err(Errno::EAGAIN) => return Ok(Vec::new()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Watcher {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inotify.as_fd()
    }
}
