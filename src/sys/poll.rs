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
    /// The last wait failed.
    is_blind: bool,
}

/// How long a wait that goes on to fail takes: there is nothing else to wait with.
const BLIND_WAIT: Duration = Duration::from_secs(1);

impl Poller {
    /// A poller that reports up to `capacity` events at a time. More are reported by the next wait.
    pub fn new(capacity: usize) -> io::Result<Poller> {
        Ok(Poller { poll: Poll::new()?, events: Events::with_capacity(capacity), is_blind: false })
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

    /// The same for whoever goes on in any case: false when that failed, and everything is to be looked at. `complain`
    /// is told the first time in a row; from the second on, time passes.
    pub fn wait_anyhow(&mut self, timeout: Option<Duration>, complain: impl FnOnce(io::Error)) -> bool {
        let result = self.wait(timeout);
        let was_blind = std::mem::replace(&mut self.is_blind, result.is_err());
        match result {
            Ok(()) => return true,
            Err(_) if was_blind => std::thread::sleep(timeout.unwrap_or(BLIND_WAIT).min(BLIND_WAIT)),
            Err(error) => complain(error),
        }
        self.events.clear();
        false
    }

    /// The keys that the last wait found ready.
    pub fn ready(&self) -> impl Iterator<Item = usize> + '_ {
        self.events.iter().map(|event| event.token().0)
    }
}
