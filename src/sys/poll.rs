//! Waiting for the next event: by poll(2) for a few descriptors, by epoll through mio for many.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::ptr;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::time::TimeSpec;

/// Waits on descriptors, each known by a key of the caller's.
///
/// Readiness is edge-triggered: a reader reads until there is nothing left, or remembers that there is more.
pub struct Poller {
    poll: Poll,
    events: Events,
    patience: Patience,
}

/// For whoever goes on though waiting fails.
#[derive(Debug, Default)]
pub struct Patience {
    /// The last wait failed.
    is_blind: bool,
}

/// How long a wait that goes on to fail takes: there is nothing else to wait with.
const BLIND_WAIT: Duration = Duration::from_secs(1);

/// Waits until one of `fds` is readable, has failed, or its other side is gone, a signal handler ran, or `timeout` is
/// over; `None` waits for ever. Which of them are.
///
/// As long as one is so, it is told again: what is not read at once is not waited for.
pub fn wait<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], timeout: Option<Duration>) -> io::Result<[bool; N]> {
    match poll(fds, libc::POLLIN, timeout) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        found => found.map(|found| found.map(|found| found != 0)),
    }
}

/// What poll(2) finds of `event`, and of errors, without waiting.
pub(super) fn look(fd: BorrowedFd<'_>, event: libc::c_short) -> io::Result<libc::c_short> {
    loop {
        match poll([Some(fd)], event, Some(Duration::ZERO)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            found => return found.map(|[found]| found),
        }
    }
}

fn poll<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    events: libc::c_short,
    timeout: Option<Duration>,
) -> io::Result<[libc::c_short; N]> {
    // None other: the kernel counts them against the limit of descriptors.
    let mut entries = [libc::pollfd { fd: -1, events, revents: 0 }; N];
    let mut count = 0;
    for fd in fds.iter().flatten() {
        entries[count].fd = fd.as_raw_fd();
        count += 1;
    }
    let timeout = timeout.map(TimeSpec::from_duration);
    let limit = timeout.as_ref().map_or(ptr::null(), |timeout| ptr::from_ref(timeout.as_ref()));
    // SAFETY: ppoll reads and writes the entries it is given, and reads a limit that is null or lives until it returns.
    if unsafe { libc::ppoll(entries.as_mut_ptr(), count as libc::nfds_t, limit, ptr::null()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    let mut found = entries.iter().map(|entry| entry.revents);
    Ok(fds.map(|fd| fd.and_then(|_| found.next()).unwrap_or(0)))
}

impl Patience {
    /// What came of a wait, unless it failed: then everything is to be looked at. `complain` is told the first time in
    /// a row; from the second on, time passes.
    pub fn with<T>(
        &mut self,
        result: io::Result<T>,
        timeout: Option<Duration>,
        complain: impl FnOnce(io::Error),
    ) -> Option<T> {
        let was_blind = std::mem::replace(&mut self.is_blind, result.is_err());
        match result {
            Ok(found) => return Some(found),
            Err(_) if was_blind => std::thread::sleep(timeout.unwrap_or(BLIND_WAIT).min(BLIND_WAIT)),
            Err(error) => complain(error),
        }
        None
    }
}

impl Poller {
    /// A poller that reports up to `capacity` events at a time. More are reported by the next wait.
    pub fn new(capacity: usize) -> io::Result<Poller> {
        Ok(Poller { poll: Poll::new()?, events: Events::with_capacity(capacity), patience: Patience::default() })
    }

    /// Reports `key` whenever `fd` becomes readable, or its other side is gone.
    pub fn watch(&self, fd: impl AsFd, key: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_fd().as_raw_fd()), Token(key), Interest::READABLE)
    }

    /// Reports `key` whenever something out of the ordinary happens to `fd`, as to /proc/self/mountinfo when something is
    /// mounted.
    pub fn watch_oddities(&self, fd: impl AsFd, key: usize) -> io::Result<()> {
        self.poll.registry().register(&mut SourceFd(&fd.as_fd().as_raw_fd()), Token(key), Interest::PRIORITY)
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

    /// The same, or until `input` can be read, which is not watched: whether it can.
    ///
    /// For a pipe that much comes through: where it is watched, each write to it takes longer.
    pub fn wait_or_input(&mut self, input: Option<BorrowedFd<'_>>, timeout: Option<Duration>) -> io::Result<bool> {
        self.events.clear();
        let [has_input, has_events] = wait([input, Some(self.as_fd())], timeout)?;
        if has_events {
            self.wait(Some(Duration::ZERO))?;
        }
        Ok(has_input)
    }

    /// [`Poller::wait`] for whoever goes on in any case, as with [`Patience`]; false when that failed.
    pub fn wait_anyhow(&mut self, timeout: Option<Duration>, complain: impl FnOnce(io::Error)) -> bool {
        let result = self.wait(timeout);
        self.anyhow(result, timeout, complain).is_some()
    }

    /// [`Poller::wait_or_input`] in the same way; None when that failed.
    pub fn wait_or_input_anyhow(
        &mut self,
        input: Option<BorrowedFd<'_>>,
        timeout: Option<Duration>,
        complain: impl FnOnce(io::Error),
    ) -> Option<bool> {
        let result = self.wait_or_input(input, timeout);
        self.anyhow(result, timeout, complain)
    }

    fn anyhow<T>(
        &mut self,
        result: io::Result<T>,
        timeout: Option<Duration>,
        complain: impl FnOnce(io::Error),
    ) -> Option<T> {
        let found = self.patience.with(result, timeout, complain);
        if found.is_none() {
            self.events.clear();
        }
        found
    }

    /// The keys that the last wait found ready.
    pub fn ready(&self) -> impl Iterator<Item = usize> + '_ {
        self.events.iter().map(|event| event.token().0)
    }
}

impl AsFd for Poller {
    fn as_fd(&self) -> BorrowedFd<'_> {
        // SAFETY: it stays open as long as `self`.
        unsafe { BorrowedFd::borrow_raw(self.poll.as_raw_fd()) }
    }
}
