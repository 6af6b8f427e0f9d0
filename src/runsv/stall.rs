//! A log service that does not read: its service shall not hang for ever, and what that costs is counted and said.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::time::{Duration, Instant};

use crate::model::pair::Who;
use crate::model::reason::Cause;
use crate::model::seconds;
use crate::model::stall::{self, Deed, Sight, Stall};
use crate::msg::Speaker;
use crate::supervise::{Dropped, Loss, Unread};
use crate::sys::poll::Poller;
use crate::sys::{clock, fd, file};

use super::Supervisor;

/// A line is not looked for beyond so many bytes: what is longer is torn.
const LONGEST_LINE: usize = 4096;

/// A supervisor's own end of the log pipe. Unlike those that are shared with the services it never waits.
pub struct Overflow {
    own: File,
    stall: Stall,
    /// Tells when the pipe is written to, though it is not read here. None until that was needed.
    poller: Option<Poller>,
    is_watched: bool,
    /// What was dropped and is not in the log yet.
    loss: Loss,
    /// The log service has read since then: it will read of that, too.
    may_confess: bool,
    record: Dropped,
}

impl Overflow {
    /// What an earlier supervisor dropped is still to be said.
    pub fn new(own: File, record: Dropped) -> Overflow {
        let loss = record.read();
        Overflow { own, stall: Stall::default(), poller: None, is_watched: false, loss, may_confess: false, record }
    }

    /// What becomes readable when the pipe is written to.
    pub fn told_by(&self) -> Option<BorrowedFd<'_>> {
        self.poller.as_ref().filter(|_| self.is_watched).map(|poller| poller.as_fd())
    }

    /// Takes what was told so far: before a look, so that what comes in between is told again.
    fn take_told(&mut self) -> io::Result<()> {
        let taken = self.poller.as_mut().map_or(Ok(()), |poller| poller.wait(Some(Duration::ZERO)));
        if taken.is_err() {
            (self.poller, self.is_watched) = (None, false); // else it would be told without end
        }
        taken
    }

    /// Is told of writes to the pipe, or not.
    fn watch(&mut self, wanted: bool) -> io::Result<()> {
        if wanted == self.is_watched {
            return Ok(());
        }
        let poller = match &mut self.poller {
            Some(poller) => poller,
            none => none.insert(Poller::new(1)?),
        };
        match wanted {
            true => poller.watch(&self.own, 0)?,
            false => poller.forget(&self.own)?,
        }
        self.is_watched = wanted;
        Ok(())
    }

    fn look(&self) -> io::Result<Sight> {
        let found = self.own.metadata()?;
        let is_full = !fd::has_room(self.own.as_fd());
        Ok(Sight { bytes: fd::unread(self.own.as_fd())?, is_full, read_at: (found.atime(), found.atime_nsec()) })
    }

    /// Drops whole lines, the oldest first, until half of the pipe is free.
    fn make_room(&mut self) -> io::Result<()> {
        let enough = fd::unread(self.own.as_fd())? / 2;
        let mut is_torn = self.take(LONGEST_LINE)?;
        while fd::unread(self.own.as_fd())? > enough || !fd::has_room(self.own.as_fd()) {
            is_torn = self.take(LONGEST_LINE)?;
        }
        let mut rest = LONGEST_LINE;
        while is_torn && rest > 0 && fd::unread(self.own.as_fd())? > 0 {
            is_torn = self.take(1)?;
            rest -= 1;
        }
        self.loss.lines += u64::from(is_torn);
        Ok(())
    }

    /// Drops what is in the pipe now.
    fn drop_all(&mut self) -> io::Result<()> {
        let end = self.loss.bytes + fd::unread(self.own.as_fd())? as u64;
        while self.loss.bytes < end {
            self.take(LONGEST_LINE)?;
        }
        Ok(())
    }

    /// Says what was lost, and leaves word of it to the next supervisor, which tells the log.
    fn admit(&self, speaker: &Speaker) {
        self.record.write(self.loss);
        let Loss { lines, bytes } = self.loss;
        speaker.warn(format!("{lines} lines of {bytes} bytes were dropped: ./log/run does not read"));
    }

    /// Takes up to so many bytes out of the pipe; whether they end within a line.
    fn take(&mut self, at_most: usize) -> io::Result<bool> {
        let mut bytes = [0; LONGEST_LINE];
        let length = self.own.read(&mut bytes[..at_most])?;
        let taken = &bytes[..length];
        self.loss.add(taken);
        Ok(taken.last().is_some_and(|last| *last != b'\n'))
    }

    /// Writes what was lost into the log, where there is room for it.
    fn confess(&mut self) -> bool {
        let Loss { lines, bytes } = self.loss;
        let line = format!("runsv: warning: {lines} lines of {bytes} bytes were dropped: ./log/run did not read\n");
        let is_said = fd::has_room(self.own.as_fd()) && self.own.write(line.as_bytes()).is_ok();
        if is_said {
            self.loss = Loss::default();
            self.may_confess = false;
            self.record.forget();
        }
        is_said
    }
}

impl Supervisor {
    /// Opens an end of the log pipe that is nobody else's, and puts into it first what the last supervisor has kept.
    pub(super) fn open_overflow(&mut self) {
        match self.pipe.as_ref().map(|pipe| pipe.place.open_own(&pipe.reading)) {
            Some(Ok(Some(own))) => {
                let mut overflow = Overflow::new(own, Dropped::of_log());
                let before = overflow.loss;
                let put_back = Unread::of_log().put_back(&overflow.own, &mut overflow.loss);
                put_back.unwrap_or_else(|failure| self.speaker.warn_failure(&failure));
                if overflow.loss != before {
                    overflow.admit(&self.speaker);
                }
                self.overflow = Some(overflow);
            }
            Some(Err(failure)) => self.speaker.warn_failure(&failure),
            Some(Ok(None)) | None => {}
        }
        self.look_at_pipe();
    }

    /// Keeps what is in the log pipe, which no log service reads any more, for the next supervisor.
    pub(super) fn keep_unread(&mut self) {
        let Some(pipe) = &self.pipe else { return };
        match Unread::of_log().keep(pipe.reading.as_fd()) {
            Ok(0) => {}
            Ok(kept) => {
                self.speaker.warn(format!("{kept} bytes that ./log/run did not read are kept in supervise/unread"));
            }
            Err(failure) => {
                self.speaker.warn_failure(&failure);
                if let Ok(Some(own)) = pipe.place.open_own(&pipe.reading) {
                    let mut overflow = Overflow::new(own, Dropped::of_log());
                    let _ = overflow.drop_all();
                    overflow.admit(&self.speaker);
                }
            }
        }
    }

    /// When the log pipe is to be looked at. Whoever stops or pauses a log service has chosen that its service waits.
    pub(super) fn overflow_deadline(&self) -> Option<Instant> {
        self.overflow.as_ref().filter(|_| self.log_shall_read())?.stall.deadline()
    }

    fn log_shall_read(&self) -> bool {
        self.pair.get(Who::Log).is_some_and(|log| log.shall_read())
    }

    /// Looks at the log pipe, because it was written to or it is time, and does what is to be done.
    pub(super) fn look_at_pipe(&mut self) {
        let shall_read = self.log_shall_read();
        let Some(overflow) = &mut self.overflow else { return };
        let limit = limit();
        let Ok(sight) = overflow.take_told().and_then(|()| overflow.look()) else { return self.look_later() };
        let sight = Sight { is_full: sight.is_full && shall_read && limit.is_some(), ..sight };
        let (was_dropping, limit) = (overflow.stall.drops(), limit.unwrap_or(stall::LIMIT));
        let (stall, deed) = overflow.stall.seen(sight, clock::now(), limit);
        overflow.stall = stall;
        overflow.may_confess |= deed == Deed::Recovered || sight.bytes == 0;
        match deed {
            Deed::Nothing => {}
            Deed::Drop => {
                overflow.may_confess = false;
                let made = overflow.make_room();
                overflow.record.write(overflow.loss);
                if let Ok(left) = made.and_then(|()| overflow.look()) {
                    overflow.stall = overflow.stall.dropped(left);
                }
                let line = format!("does not read: {} lines dropped", overflow.loss.lines);
                if !was_dropping {
                    self.speaker.warn("./log/run does not read: lines are dropped");
                }
                self.explain(Who::Log, Cause::Stalled, Some(line.as_bytes()));
            }
            Deed::Recovered => {
                let Loss { lines, bytes } = overflow.loss;
                self.speaker.warn(format!("./log/run reads again: {lines} lines of {bytes} bytes were dropped"));
                self.explain(Who::Log, Cause::Stalled, None);
            }
        }
        if let Some(overflow) = &mut self.overflow
            && overflow.may_confess
            && overflow.loss != Loss::default()
        {
            overflow.confess();
        }
        if let Some(overflow) = &mut self.overflow
            && overflow.watch(overflow.stall.waits_for_writes()).is_err()
        {
            self.look_later();
        }
    }

    /// The log service was told something: it has its time from now on.
    pub(super) fn excuse_log(&mut self) {
        if let Some(overflow) = &mut self.overflow {
            overflow.stall = overflow.stall.excused(clock::now(), limit().unwrap_or(stall::LIMIT));
        }
    }

    /// The service is gone for good: the log service shall see the end of the pipe, and what was dropped before it.
    pub(super) fn close_overflow(&mut self) {
        if let Some(mut overflow) = self.overflow.take()
            && overflow.loss != Loss::default()
            && !overflow.confess()
        {
            overflow.admit(&self.speaker);
        }
        self.explain(Who::Log, Cause::Stalled, None);
    }
}

/// How long the log service may leave the pipe full; None for ever.
fn limit() -> Option<Duration> {
    let mut text = [0; 64];
    match file::open_read("timeout-log").and_then(|mut file| file.read(&mut text)) {
        Ok(length) => {
            let said = seconds::read_timeout(&text[..length], |text| humantime::parse_duration(text).ok());
            said.filter(|said| !said.is_zero())
        }
        Err(_) => Some(stall::LIMIT),
    }
}
