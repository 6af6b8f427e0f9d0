//! The upgrade in place: this supervisor becomes its program anew, and goes on from its own notes.
//!
//! It waits until nothing is under way that they do not tell. What is in the control FIFO stays there.

use std::os::fd::{AsFd as _, BorrowedFd};

use crate::handover;
use crate::msg::Failure;
use crate::supervise::Notes;
use crate::sys::start;

use super::{LogPipe, Supervisor};

impl Supervisor {
    /// Whether nothing would be forgotten now.
    pub(super) fn is_at_rest(&self) -> bool {
        let mut sides = [Some(&self.main), self.log.as_deref()].into_iter().flatten();
        self.pair.is_at_rest()
            && self.hook.is_none()
            && !self.must_reap
            && self.look.at().is_none()
            && sides.all(|side| side.retry.is_none() && side.inbox.start == side.inbox.end)
    }

    /// Becomes the program anew; returns only where that failed, and goes on.
    #[cold]
    #[inline(never)]
    pub(super) fn upgrade(&mut self) {
        self.upgrade_is_due = false;
        if !self.notes.as_ref().is_some_and(Notes::are_saved) {
            self.speaker.warn("unable to upgrade: there are no notes to go on from");
            return;
        }
        let program = start::arguments().into_iter().next().unwrap_or_else(|| "runsv".into());
        let error = handover::become_anew(&[program, self.directory.clone()], &[], self.mask, &self.held());
        self.speaker.warn_failure(&Failure::new("upgrade", "", error));
    }

    /// What must stay open, by its name in the service directory.
    fn held(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let main = self.main.home.held().map(|(name, fd)| (name.to_owned(), fd));
        let log = self.log.iter().flat_map(|log| log.home.held()).map(|(name, fd)| (format!("log/{name}"), fd));
        let reading = self.pipe.iter().map(|pipe| ("pipe/reading".to_owned(), pipe.reading.as_fd()));
        let writing = self.pipe.iter().filter_map(LogPipe::writing).map(|fd| ("pipe/writing".to_owned(), fd));
        main.chain(log).chain(reading).chain(writing).collect()
    }
}
