//! Signals: blocked and read from a descriptor, so that they are events like any other.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::signal::{SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd};

use crate::sys::fd;

pub use nix::sys::signal::{SigSet, Signal};

/// The number of the signal with this name, such as `SIGTERM`, `SIGRTMIN` or `SIGRTMAX`.
pub fn number_of(name: &str) -> Option<i32> {
    match name {
        "SIGRTMIN" => Some(nix::libc::SIGRTMIN()),
        "SIGRTMAX" => Some(nix::libc::SIGRTMAX()),
        _ => name.parse::<Signal>().ok().map(|signal| signal as i32),
    }
}

/// The signals that this program takes as events.
pub struct Signals {
    fd: SignalFd,
}

/// The signal mask this program was started with, to be given back to the programs it starts.
#[derive(Clone, Copy, Debug)]
pub struct InheritedMask(SigSet);

impl Signals {
    /// Blocks `signals` and reports them through a descriptor; also gives the mask as it was before.
    pub fn take(signals: &[Signal]) -> io::Result<(Signals, InheritedMask)> {
        let set: SigSet = signals.iter().copied().collect();
        let mut before = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), Some(&mut before))?;
        let fd = SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        // Programs that are started find these unblocked, also if whoever started us had blocked them.
        signals.iter().for_each(|signal| before.remove(*signal));
        Ok((Signals { fd }, InheritedMask(before)))
    }

    /// The next signal that arrived, if any.
    pub fn next(&self) -> io::Result<Option<Signal>> {
        loop {
            match self.fd.read_signal() {
                Ok(Some(info)) => return Ok(Signal::try_from(i32::try_from(info.ssi_signo).unwrap_or(0)).ok()),
                Ok(None) => return Ok(None),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Signals {
    /// Adds every signal that arrived since the last time. One call, as no signal waits twice.
    #[inline(never)] // what it reads into is large
    pub fn arrived(&self, arrived: &mut SigSet) -> io::Result<()> {
        const ENTRY: usize = size_of::<nix::libc::signalfd_siginfo>();
        const MOST: usize = 4;
        let mut entries = [0; MOST * ENTRY];
        loop {
            let length = match fd::read(self.fd.as_fd(), &mut entries) {
                Ok(length) => length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            for entry in entries[..length].chunks_exact(ENTRY) {
                // Source: signalfd(2): the number comes first.
                let number = entry.first_chunk().map_or(0, |number| i32::from_ne_bytes(*number));
                Signal::try_from(number).into_iter().for_each(|signal| arrived.add(signal));
            }
            if length < entries.len() {
                return Ok(());
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl InheritedMask {
    /// The mask of this process as it is now.
    pub fn current() -> io::Result<InheritedMask> {
        let mut mask = SigSet::empty();
        sigprocmask(SigmaskHow::SIG_BLOCK, None, Some(&mut mask))?;
        Ok(InheritedMask(mask))
    }

    /// The signals in it, bit 0 for signal 1.
    pub fn bits(&self) -> u64 {
        // SAFETY: it reads the set and takes a number, and fails for one that is no signal.
        let is_in = |signal| unsafe { libc::sigismember(self.0.as_ref(), signal) } == 1;
        (1..=64).filter(|signal| is_in(*signal)).fold(0, |bits, signal| bits | 1 << (signal - 1))
    }

    /// The mask with these [`InheritedMask::bits`].
    pub fn of_bits(bits: u64) -> InheritedMask {
        let mut set = *SigSet::empty().as_ref();
        for signal in (1..=64).filter(|signal| bits & 1 << (signal - 1) != 0) {
            // SAFETY: it changes the set, which is initialized, and fails for a number that is no signal.
            unsafe { libc::sigaddset(&raw mut set, signal) };
        }
        // SAFETY: it is a set that the C library made and filled.
        InheritedMask(unsafe { SigSet::from_sigset_t_unchecked(set) })
    }

    /// Makes this the mask of the process, as before an exec.
    pub fn restore(&self) -> io::Result<()> {
        Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&self.0), None)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_comes_back_from_its_bits_with_its_realtime_signals() {
        let bits = 1 << 14 | 1 << 39 | 1 << 63;
        assert_eq!(InheritedMask::of_bits(bits).bits(), bits);
        let term: SigSet = [Signal::SIGTERM].into_iter().collect();
        assert_eq!(InheritedMask(term).bits(), 1 << 14);
    }
}
