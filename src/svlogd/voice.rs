//! What svlogd says.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use crate::msg::{self, Failure, Severity, Speaker};

/// svlogd's way to speak: everything names the log directory as it was given.
#[derive(Clone, Debug)]
pub struct Voice {
    speaker: Speaker,
    verbose: bool,
}

impl Voice {
    /// A voice that tells what is done only if `verbose`.
    pub fn new(verbose: bool) -> Voice {
        Voice { speaker: Speaker::new("svlogd").never_waiting(), verbose }
    }

    /// Tells what is done.
    pub fn info(&self, parts: &[&[u8]]) {
        if self.verbose {
            self.speaker.say(Severity::Info, msg::join(parts));
        }
    }

    /// Warns of something.
    pub fn warn(&self, parts: &[&[u8]]) {
        self.speaker.warn(msg::join(parts));
    }

    /// Warns of a deed that failed and is given up.
    pub fn warn_failure(&self, failure: &Failure) {
        self.speaker.warn_failure(failure);
    }

    /// Warns of a deed that failed and will be tried again.
    pub fn pausing(&self, failure: &Failure) {
        self.speaker.say(Severity::Pausing, failure.text());
    }

    /// Says the last words.
    pub fn fatal(&self, text: &[u8]) {
        self.speaker.fatal(text);
    }
}

/// `DIRECTORY/NAME`, as messages show files.
pub fn file_in(directory: &OsStr, name: &[u8]) -> Vec<u8> {
    msg::join(&[directory.as_bytes(), b"/", name])
}
