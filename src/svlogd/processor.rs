//! The processor of a log directory: a command that old files go through, in the background.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use crate::model::respawn::Respawn;
use crate::model::rotation::{Kind, OldName};
use crate::msg::{Failure, Tried as _};
use crate::svlogd::Tools;
use crate::svlogd::directory::CLEAN;
use crate::svlogd::voice::file_in;
use crate::sys::clock;
use crate::sys::fd;
use crate::sys::file;
use crate::sys::folder::{self, Folder};
use crate::sys::process::{Argv, Child, Directory, Spawn};
use crate::sys::signal::Signal;

/// Where a processor finds what its predecessor left, and where it leaves something for its successor.
const STATE: i32 = 4;
const NEW_STATE: i32 = 5;

/// The processor of one log directory. At most one runs at a time; what it has yet to do are the `.u` files.
///
/// Source: runit 2.3.0, src/svlogd.c. Differs: rotation does not wait for it, so that a slow one costs old files (it
/// is said) where there it stops the service; death by a signal is a failure; after a failure it waits before it
/// starts again; `.u` files of earlier runs are processed too, once nothing that an earlier svlogd started reads them.
#[derive(Default)]
pub struct Processor {
    running: Option<Running>,
    failures: Respawn,
    not_before: Option<Instant>,
}

struct Running {
    child: Child,
    input: OldName,
    output: File,
    folder: Folder,
}

impl Processor {
    /// The file it works on.
    pub fn busy(&self) -> Option<OldName> {
        self.running.as_ref().map(|running| running.input)
    }

    /// When it may start again after a failure.
    pub fn not_before(&self) -> Option<Instant> {
        self.not_before
    }

    /// Whether it could start now.
    pub fn is_free(&self, now: Instant) -> bool {
        self.running.is_none() && self.not_before.is_none_or(|moment| moment <= now)
    }

    /// Starts `command` on the file `input` of `folder`. Its end is an event.
    pub fn start(&mut self, tools: &Tools, directory: &OsStr, folder: &Folder, command: &[u8], input: OldName) {
        if let Ok(Some(_)) = folder.facts(input.of_kind(Kind::Safe).as_bytes()) {
            // It was processed, but not concluded: processing it again would double it.
            if let Err(failure) = conclude(directory, folder, input) {
                tools.voice.warn_failure(&failure);
                self.pause();
            }
            return;
        }
        tools.voice.info(&[b"processing: ", &file_in(directory, input.as_bytes())]);
        match Running::start(tools, directory, folder, command, input) {
            Ok(running) => {
                // Its end is also seen without this, at the next event: a failure costs only time.
                let _ = tools.poller.watch(&running.child, super::PROCESSOR);
                self.running = Some(running);
                self.not_before = None;
            }
            Err(failure) => {
                tools.voice.warn_failure(&failure);
                self.pause();
            }
        }
    }

    /// Takes note of its end, if it has ended.
    ///
    /// A failed one is not started again if `is_last`: its file stays for the next svlogd.
    pub fn reap(&mut self, tools: &Tools, directory: &OsStr, is_last: bool) {
        let Some(running) = &self.running else { return };
        let success = match running.child.reap() {
            Ok(None) => return,
            Ok(Some(status)) => ExitStatus::success(&status),
            Err(error) => {
                tools.voice.warn_failure(&Failure::with("wait for processor", directory, error));
                false
            }
        };
        let _ = tools.poller.forget(&running.child); // closing its descriptor does the same
        if !is_last {
            tools.voice.info(&[b"sigchild received."]);
        }
        if !success {
            let what: &[u8] = if is_last { b"processor failed, left to do: " } else { b"processor failed, restart: " };
            tools.voice.warn(&[what, directory.as_bytes()]);
            let output = running.input.of_kind(Kind::Output);
            let _ = running.folder.unlink(output.as_bytes()); // the next start replaces it all the same
            self.pause();
        } else if let Err(failure) = running.keep(tools, directory) {
            tools.voice.warn_failure(&failure);
            self.pause();
        } else {
            self.failures = Respawn::default();
        }
        self.running = None;
    }

    /// Asks it to end.
    pub fn terminate(&self) {
        if let Some(running) = &self.running {
            let _ = running.child.signal(Signal::SIGTERM); // it cannot have been reaped
        }
    }

    fn pause(&mut self) {
        // However long it took: a processor that fails has achieved nothing.
        let (failures, pause) = self.failures.died_after(Duration::ZERO);
        self.failures = failures;
        self.not_before = clock::now().checked_add(pause);
    }
}

impl Running {
    fn start(
        tools: &Tools,
        directory: &OsStr,
        folder: &Folder,
        command: &[u8],
        input: OldName,
    ) -> Result<Running, Failure> {
        let output_name = input.of_kind(Kind::Output);
        let own_folder = folder.duplicate().tried_with("run processor", directory)?;
        let source = folder.open_read(input.as_bytes()).tried_with("open input for processor", directory)?;
        take(&source).tried_with("lock input for processor", directory)?;
        let state = folder.open_or_create(b"state").tried_with("open state for processor", directory)?;
        let state = above(state.into()).tried_with("open state for processor", directory)?;
        let new_state = folder.replace(b"newstate").tried_with("open newstate for processor", directory)?;
        let new_state = above(new_state.into()).tried_with("open newstate for processor", directory)?;
        let output = folder.replace(output_name.as_bytes()).tried_with("open output for processor", directory)?;
        let words = [OsStr::new("/bin/sh"), OsStr::new("-c"), OsStr::from_bytes(command)];
        let argv = Argv::new(words).tried_with("run processor", directory)?;
        let spawn = Spawn {
            argv: &argv,
            directory: Some(Directory::Open(folder.as_fd())),
            stdin: Some(source.as_fd()),
            stdout: Some(output.as_fd()),
            session: false,
            group: false,
            mask: tools.mask,
            last: None,
        };
        let explain = |_, error| tools.voice.warn_failure(&Failure::with("run processor", directory, error));
        let child = spawn
            .start_with(&[(state.as_fd(), STATE), (new_state.as_fd(), NEW_STATE)], explain)
            .tried_with("fork for processor", directory)?;
        Ok(Running { child, input, output, folder: own_folder })
    }

    /// Puts the output in the place of the input, on the disk before the input goes.
    fn keep(&self, tools: &Tools, directory: &OsStr) -> Result<(), Failure> {
        let (output, safe) = (self.input.of_kind(Kind::Output), self.input.of_kind(Kind::Safe));
        folder::set_mode(&self.output, CLEAN).tried_with("set mode of processed", directory)?;
        folder::sync(&self.output).tried_with("fsync processed", directory)?;
        self.folder.rename(output.as_bytes(), safe.as_bytes()).tried_with("rename processed", directory)?;
        conclude(directory, &self.folder, self.input)?;
        tools.voice.info(&[b"processed: ", &file_in(directory, safe.as_bytes())]);
        Ok(())
    }
}

/// Keeps the new state and removes the input of a processor whose output stands in its place.
///
/// The input goes last: as long as it is there this can be done again, whenever a crash came.
fn conclude(directory: &OsStr, folder: &Folder, input: OldName) -> Result<(), Failure> {
    match folder.rename(b"newstate", b"state") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).tried_with("rename state", directory)?,
        _ => {}
    }
    let name = file_in(directory, input.as_bytes());
    folder.unlink(input.as_bytes()).tried_with("unlink", OsStr::from_bytes(&name))
}

/// Locks an input for all who will read it through this very descriptor, the processor and its children.
///
/// So a processor that outlives its svlogd is not doubled by the next one. A file system without such locks knows
/// none: there nothing keeps the two apart.
fn take(source: &File) -> io::Result<()> {
    match file::try_lock(source) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(error),
        _ => Ok(()),
    }
}

/// The same file under a number that the processor's own descriptors do not reach.
fn above(file: OwnedFd) -> io::Result<OwnedFd> {
    fd::duplicate_above(file.as_fd(), NEW_STATE + 1)
}
