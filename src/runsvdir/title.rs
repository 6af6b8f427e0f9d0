//! The LOG argument: the last error messages of the tree, where ps(1) shows them.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use crate::msg::{Failure, Speaker};
use crate::sys::{clock, fd, title};

/// The first bytes of LOG stay, as in `log: `.
const LABEL: usize = 5;
/// How often a dot is written, so that old messages expire.
const DOT: Duration = Duration::from_secs(900);

/// Standard error of the whole tree, kept in the memory of an argument.
pub struct TitleLog {
    memory: title::Title,
    reading: File,
    next_dot: Instant,
}

impl TitleLog {
    /// Puts a pipe in the place of standard error, unless it is there already and its end was `handed` over. Without
    /// one, says so and leaves it as it is.
    pub fn start(argument: usize, handed: Option<File>, speaker: &Speaker) -> Option<TitleLog> {
        let memory = super::log_memory(argument, speaker)?;
        match handed.map_or_else(TitleLog::redirect, Ok) {
            Ok(reading) => Some(TitleLog { memory, reading, next_dot: clock::now() }),
            Err(error) => {
                speaker.warn_failure(&Failure::new("create pipe for log", "", error));
                speaker.warn("log service disabled.");
                None
            }
        }
    }

    fn redirect() -> io::Result<File> {
        let (reading, writing) = fd::pipe()?;
        fd::set_nonblocking(reading.as_fd(), true)?;
        fd::set_nonblocking(writing.as_fd(), true)?;
        fd::copy_onto(writing.as_fd(), 2)?;
        Ok(File::from(reading))
    }

    /// What it shows now.
    pub fn shown(&mut self) -> &[u8] {
        self.memory.bytes()
    }

    /// When the next dot is due.
    pub fn next_dot(&self) -> Instant {
        self.next_dot
    }

    /// Writes a dot if one is due.
    pub fn keep_alive(&mut self, now: Instant) {
        if self.next_dot <= now {
            self.next_dot = now + DOT;
            let _ = io::stderr().write(b".");
        }
    }

    /// Takes what was written, byte by byte from the right.
    pub fn take(&mut self) {
        let mut bytes = [0; 512];
        while let Ok(length @ 1..) = self.reading.read(&mut bytes) {
            let shown = &mut self.memory.bytes()[LABEL..];
            for byte in bytes[..length].iter().filter(|byte| **byte != 0) {
                shown.rotate_left(1);
                if let Some(last) = shown.last_mut() {
                    *last = *byte;
                }
            }
        }
    }
}

impl AsFd for TitleLog {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.reading.as_fd()
    }
}
