//! Waiting for the next event: epoll through mio.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _};
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

/// Waits on descriptors, each known by a key of the caller's.
///
/// Readiness is edge-triggered: a reader reads until there is nothing left, or remembers that there is more.
pub struct Poller {
    poll: Poll,
    events: Events,
}

impl Poller {
    /// A poller that reports up to `capacity` events at a time. More are reported by the next wait.
    pub fn new(capacity: usize) -> io::Result<Poller> {
        Ok(Poller { poll: Poll::new()?, events: Events::with_capacity(capacity) })
    }

    /// Reports `key` whenever `fd` becomes readable, or its other side is gone.
    pub fn watch(&self, fd: impl AsFd, key: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_fd().as_raw_fd()), Token(key), Interest::READABLE)
    }

    /// Forgets `fd`, which is about to be closed.
    pub fn forget(&self, fd: impl AsFd) -> io::Result<()> {
        self.poll.registry().deregister(&mut SourceFd(&fd.as_fd().as_raw_fd()))
    }

    /// Waits until something is ready, a signal handler ran, or `timeout` is over; `None` waits for ever.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                self.events.clear();
                Ok(())
            }
            result => result,
        }
    }

    /// The keys that the last wait found ready.
    pub fn ready(&self) -> impl Iterator<Item = usize> + '_ {
        self.events.iter().map(|event| event.token().0)
    }
}
