//! One log directory: `current`, the old files, the lock.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::model::line::{Part, Piece};
use crate::model::logconfig::{Complaint, Config};
use crate::model::pattern::select;
use crate::model::rotation::{End, Kind, Limits, OldName, Size, Step, next_label, to_process, to_prune, to_spare};
use crate::model::stamp::{self, Before};
use crate::model::tai::Label;
use crate::msg::{self, Failure, Tried as _};
use crate::svlogd::Tools;
use crate::svlogd::options::Settings;
use crate::svlogd::processor::Processor;
use crate::svlogd::voice::{Voice, file_in};
use crate::sys::clock;
use crate::sys::file;
use crate::sys::folder::{self, Folder};
use crate::sys::pages::Queue;
use crate::sys::udp::Sender;

/// The mode of a log that was closed well: the owner's x says so. Source: runit 2.3.0, src/svlogd.c.
pub const CLEAN: u32 = 0o744;
/// The mode of `current` while it is written.
const LIVE: u32 = 0o644;
/// The bit that tells the two apart.
const CLOSED_WELL: u32 = 0o100;
/// How long to wait before trying again what failed.
const PAUSE: Duration = Duration::from_secs(3);
/// No `config` is larger.
const MAX_CONFIG: u64 = 1024 * 1024;
/// What is written where a datagram could not be sent.
const NOT_SENT: &[u8] = b"warning: failure sending through udp: ";
const NO_SOCKET: &[u8] = b"warning: no udp socket available: ";
/// What a line may have besides its text and prefix: stamp, space, `...`, newline, and the longest of the above.
const TRIMMINGS: usize = 2 * (stamp::LENGTH + 5) + NOT_SENT.len();

/// One log directory of the command line.
pub struct Log {
    name: OsString,
    open: Option<Open>,
    /// Since when it cannot write.
    stuck_since: Option<Instant>,
    /// Bytes to be written. They outlive the opening: HUP loses none.
    waiting: Queue,
    /// When that many wait, no more are taken.
    max_waiting: usize,
    /// Whether the rest of the line at hand is written too.
    takes_rest: bool,
    /// A line as stderr and UDP see it.
    copy: Vec<u8>,
    processor: Processor,
    config: Config,
}

/// What is there while a log directory is open.
struct Open {
    folder: Folder,
    lock: File,
    limits: Limits,
    sender: Option<Sender>,
    current: Option<File>,
    /// Whether `current` is a regular file. Nothing else is rotated, nor its mode changed.
    is_regular: bool,
    size: Size,
    rotate: bool,
    /// When `current` is too old.
    too_old: Option<Instant>,
    /// After a failure: when to try again.
    retry: Option<Instant>,
    /// Whether there may be a file to process.
    may_process: bool,
}

impl Log {
    /// The log in the directory `name`, not open yet.
    pub fn new(name: OsString, settings: &Settings) -> Log {
        Log {
            name,
            open: None,
            stuck_since: None,
            waiting: Queue::default(),
            max_waiting: settings.block,
            takes_rest: false,
            copy: Vec::new(),
            processor: Processor::default(),
            config: Config::default(),
        }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Whether a failure keeps it from writing.
    pub fn is_stuck(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.retry.is_some())
    }

    /// The next write is tried, also soon after one that failed.
    pub fn try_now(&mut self) {
        if let Some(open) = &mut self.open {
            open.retry = None;
        }
    }

    /// Whether it must write before it can take more.
    pub fn is_full(&self) -> bool {
        self.waiting.len() >= self.max_waiting
    }

    /// Whether a processor runs.
    pub fn is_processing(&self) -> bool {
        self.processor.busy().is_some()
    }

    /// When it has something to do by itself.
    pub fn deadline(&self) -> Option<Instant> {
        let open = self.open.as_ref()?;
        let processor = if open.may_process { self.processor.not_before() } else { None };
        match open.retry {
            Some(retry) => Some(retry),
            None => [open.too_old, processor].into_iter().flatten().min(),
        }
    }

    /// Opens it: takes the lock, reads `config`, and looks at what an earlier svlogd left.
    pub fn open(&mut self, tools: &Tools, settings: &Settings) {
        match self.try_open(&tools.voice, settings) {
            Ok(open) => {
                self.open = Some(open);
                self.settle(tools, clock::now());
            }
            Err(failure) => {
                tools.voice.warn_failure(&failure);
                self.give_up(tools, 0);
            }
        }
    }

    fn try_open(&mut self, voice: &Voice, settings: &Settings) -> Result<Open, Failure> {
        let name = &self.name;
        let folder = Folder::open(Path::new(name)).tried_with("open log directory", name)?;
        folder.facts(b".").tried_with("change directory", name)?;
        let lock = folder.open_append(b"lock").tried_with("lock directory", name)?;
        file::try_lock(&lock).tried_with("lock directory", name)?;
        match read_config(&folder) {
            Ok(Some(text)) => {
                // Differs: the original says this of a config that it could not read, too.
                voice.info(&[b"read: ", &file_in(name, b"config")]);
                let (config, complaints) = Config::parse(&text);
                self.config = config;
                complaints.iter().for_each(|complaint| complain(voice, complaint));
            }
            Ok(None) => self.config = Config::default(),
            Err(error) => voice.warn_failure(&Failure::with("read config", name, error)),
        }
        folder.facts(b"current").tried_with("stat current", name)?;
        let room = self.max_waiting + settings.line * 2 + self.config.prefix.len() * 2 + TRIMMINGS;
        self.waiting.reserve(room).tried_with("allocate buffer", name)?;
        let open = Open {
            limits: Limits { max_bytes: self.config.max_bytes, line_bytes: settings.line as u64 },
            sender: self.config.udp.and_then(|_| Sender::new().ok()),
            current: None,
            is_regular: true,
            size: Size { bytes: 0, end: End::Found },
            rotate: false,
            too_old: None,
            retry: None,
            may_process: self.config.processor.is_some(),
            folder,
            lock,
        };
        Ok(open)
    }

    /// Takes a piece of a line, for the file, stderr and UDP. `stamp` includes its space, or is empty.
    pub fn take(&mut self, piece: Piece<'_>, stamp: &[u8]) {
        let Some(open) = &self.open else { return };
        if piece.part == Part::Rest {
            if self.takes_rest {
                self.waiting.extend_from_slice(piece.text);
            }
            return;
        }
        let is_whole = piece.part == Part::Whole;
        let selection = select(&self.config.rules, piece.text);
        self.takes_rest = selection.log && self.config.to_file && !is_whole;
        let receiver = self.config.udp.filter(|_| selection.log);
        if selection.alert || receiver.is_some() {
            let end: &[u8] = if is_whole { b"\n" } else { b"...\n" };
            self.copy.clear();
            [stamp, &self.config.prefix, piece.text, end].iter().for_each(|part| self.copy.extend_from_slice(part));
        }
        if selection.alert {
            msg::to_stderr(&self.copy);
        }
        if let Some(receiver) = receiver {
            match open.sender.as_ref().map(|sender| sender.send(receiver, &self.copy)) {
                Some(Ok(())) => {}
                Some(Err(_)) => add(&mut self.waiting, &[NOT_SENT, &self.copy]),
                None => add(&mut self.waiting, &[NO_SOCKET, &self.copy]),
            }
        }
        if selection.log && self.config.to_file {
            let end: &[u8] = if is_whole { b"\n" } else { b"" };
            add(&mut self.waiting, &[stamp, &self.config.prefix, piece.text, end]);
        }
    }

    /// Whether it takes every line, and sends none elsewhere.
    pub fn takes_all(&self) -> bool {
        let Config { to_file, udp, rules, .. } = &self.config;
        self.open.is_none() || *to_file && udp.is_none() && rules.is_empty()
    }

    /// Whether it puts something before every line, besides the stamp.
    pub fn has_prefix(&self) -> bool {
        self.open.is_some() && !self.config.prefix.is_empty()
    }

    /// Takes a line with its newline, no longer than `-l` says, as [`Log::take`] does where it
    /// [takes all](Log::takes_all).
    pub fn take_line(&mut self, line: &[u8], stamp: Option<&Before>) {
        if self.open.is_some() {
            if let Some(stamp) = stamp {
                self.waiting.extend_from_slice(stamp);
            }
            if !self.config.prefix.is_empty() {
                self.waiting.extend_from_slice(&self.config.prefix);
            }
            self.waiting.extend_from_slice(line);
        }
    }

    /// Writes whole lines as they are without keeping them first, where it [takes all](Log::takes_all); what cannot be
    /// written waits. Nothing may wait before.
    pub fn pass(&mut self, lines: &[u8], tools: &Tools, now: Instant) {
        if self.is_open() {
            let written = self.write(lines, tools, now);
            self.waiting.extend_from_slice(&lines[written..]);
        }
    }

    /// Rotates at the next [`Log::settle`], unless `current` is empty.
    pub fn rotate_soon(&mut self) {
        if let Some(open) = &mut self.open {
            open.rotate = true;
        }
    }

    /// Writes what waits, and rotates what is due. A failure is said, and tried again after a pause; its end is said.
    pub fn settle(&mut self, tools: &Tools, now: Instant) {
        let mut waiting = mem::take(&mut self.waiting);
        let written = self.write(&waiting, tools, now);
        waiting.drop_front(written);
        self.waiting = waiting;
    }

    /// Gives memory back that is not in use.
    pub fn rest(&mut self) {
        self.waiting.rest();
    }

    /// Writes `bytes`, before all that waits, and rotates what is due: how many were written.
    fn write(&mut self, bytes: &[u8], tools: &Tools, now: Instant) -> usize {
        let Some(open) = &mut self.open else { return 0 };
        if open.retry.is_some_and(|retry| now < retry) {
            return 0;
        }
        let mut left = bytes;
        let mut desk =
            Desk { name: &self.name, config: &self.config, busy: self.processor.busy(), voice: &tools.voice, open };
        let result = desk.settle(&mut left, now);
        open.retry = match result {
            Ok(()) => {
                if let Some(since) = self.stuck_since.take() {
                    let seconds = now.saturating_duration_since(since).as_secs();
                    let text = format!(": after {seconds} seconds, {} bytes had waited", bytes.len());
                    tools.voice.warn(&[b"writing again to current: ", self.name.as_bytes(), text.as_bytes()]);
                }
                None
            }
            Err(failure) => {
                tools.voice.pausing(&failure);
                self.stuck_since.get_or_insert(now);
                now.checked_add(PAUSE)
            }
        };
        bytes.len() - left.len()
    }

    /// Starts the processor on the oldest file that waits for it, if it is free. Its end is an event.
    pub fn process(&mut self, tools: &Tools, now: Instant) {
        let (Some(open), Some(command)) = (&mut self.open, &self.config.processor) else { return };
        while open.may_process && self.processor.is_free(now) {
            let names = old_names(&open.folder).unwrap_or_else(|error| {
                tools.voice.warn_failure(&Failure::with("read directory", &self.name, error));
                Vec::new() // until the next rotation
            });
            match to_process(&names) {
                Some(input) => self.processor.start(tools, &self.name, &open.folder, command, input),
                None => open.may_process = false,
            }
        }
    }

    /// Takes note of the processor's end, if it has ended.
    pub fn reap(&mut self, tools: &Tools, is_last: bool) {
        self.processor.reap(tools, &self.name, is_last);
    }

    /// Asks the processor to end.
    pub fn terminate_processor(&self) {
        self.processor.terminate();
    }

    /// Closes `current` well. The lock stays.
    pub fn finish(&mut self, tools: &Tools) {
        if let Some(open) = &mut self.open
            && let Some(current) = open.current.take()
            && let Err(failure) = close_well(&current, open.is_regular, &self.name)
        {
            tools.voice.warn_failure(&failure);
        }
    }

    /// Closes everything, the lock too. What waits stays, for when it is opened again.
    pub fn close(&mut self, tools: &Tools) {
        if self.open.is_some() {
            tools.voice.info(&[b"close: ", self.name.as_bytes()]);
            self.finish(tools);
            if let Some(open) = self.open.take() {
                // Closing is not enough: a processor that has not begun yet may have a copy.
                let _ = file::unlock(&open.lock);
            }
        }
    }

    /// Gives up what waits, and `further` bytes that it will not get. Says how many bytes that are: 0 when none.
    ///
    /// `current` then counts as not closed well: its last line may be torn.
    pub fn give_up(&mut self, tools: &Tools, further: usize) -> usize {
        let dropped = self.waiting.len() + further;
        if dropped > 0 {
            self.waiting.clear();
            self.stuck_since = None;
            if let Some(open) = &mut self.open {
                open.current = None;
            }
            let count = dropped.to_string();
            tools.voice.warn(&[
                b"unable to write to current: ",
                self.name.as_bytes(),
                b": ",
                count.as_bytes(),
                b" bytes dropped",
            ]);
        }
        dropped
    }
}

fn add(waiting: &mut Queue, parts: &[&[u8]]) {
    parts.iter().for_each(|part| waiting.extend_from_slice(part));
}

/// An open log directory with what is needed to work in it.
struct Desk<'a> {
    name: &'a OsStr,
    config: &'a Config,
    busy: Option<OldName>,
    voice: &'a Voice,
    open: &'a mut Open,
}

impl Desk<'_> {
    /// Writes the bytes at the front of `waiting`, which thereby goes on to the others, and rotates what is due.
    fn settle(&mut self, waiting: &mut &[u8], now: Instant) -> Result<(), Failure> {
        if self.open.current.is_none() {
            self.open_current(now)?;
        }
        while !waiting.is_empty() {
            match self.open.limits.next(self.open.size, waiting) {
                Step::Write(count) => self.write(waiting, count, now)?,
                Step::Rotate => self.rotate(now)?,
                Step::Rest => break,
            }
            // A full file is rotated at once, not when the next line comes.
            self.open.rotate |= waiting.is_empty() && self.open.limits.next(self.open.size, waiting) == Step::Rotate;
        }
        if self.open.too_old.is_some_and(|moment| moment <= now) {
            self.open.rotate = true;
        }
        if self.open.rotate && self.open.size.bytes > 0 && self.open.is_regular {
            self.rotate(now)?;
        }
        self.open.rotate = false;
        Ok(())
    }

    /// Opens `current`. One that holds something and was not closed well becomes a `.u` file first.
    fn open_current(&mut self, now: Instant) -> Result<(), Failure> {
        let facts = self.open.folder.facts(b"current").tried_with("stat current", self.name)?;
        let unclean = facts.is_some_and(|facts| facts.is_regular && facts.bytes > 0 && facts.mode & CLOSED_WELL == 0);
        let mut bytes = facts.map_or(0, |facts| facts.bytes);
        if unclean {
            self.put_aside(Kind::Unprocessed)?;
            self.prune();
            bytes = 0;
        }
        self.begin("open current", bytes, now)?;
        let what: &[u8] = if facts.is_some() && !unclean { b"append: " } else { b"new: " };
        self.voice.info(&[what, &file_in(self.name, b"current")]);
        Ok(())
    }

    /// Makes or opens `current`, which has this size.
    ///
    /// Differs: the original also sets the mode of a device or FIFO, such as `/dev/null` behind a link, and renames
    /// a directory.
    fn begin(&mut self, deed: &'static str, bytes: u64, now: Instant) -> Result<(), Failure> {
        let current = loop {
            match self.open.folder.open_append(b"current") {
                Err(error) if is_disk_full(&error) && self.make_room() => {}
                opened => break opened.tried_with(deed, self.name)?,
            }
        };
        self.open.is_regular = folder::facts_of(&current).tried_with("stat current", self.name)?.is_regular;
        if self.open.is_regular {
            folder::set_mode(&current, LIVE).tried_with("set mode of current", self.name)?;
        }
        self.open.limits.max_bytes = if self.open.is_regular { self.config.max_bytes } else { 0 };
        self.open.current = Some(current);
        self.open.size = Size { bytes, end: End::Found };
        self.open.too_old = if bytes > 0 { self.too_old(now) } else { None };
        Ok(())
    }

    fn too_old(&self, now: Instant) -> Option<Instant> {
        // What is no regular file is not rotated.
        self.config.max_age.filter(|_| self.open.is_regular).and_then(|age| now.checked_add(age))
    }

    /// Writes up to `count` of the bytes that wait. A full disk takes old files first, if it may.
    fn write(&mut self, waiting: &mut &[u8], count: usize, now: Instant) -> Result<(), Failure> {
        let Some(mut current) = self.open.current.as_ref() else { return Ok(()) };
        let error = match current.write(&waiting[..count]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(written) => {
                if self.open.size.bytes == 0 {
                    self.open.too_old = self.too_old(now);
                }
                self.open.size = self.open.size.after(&waiting[..written]);
                *waiting = &waiting[written..];
                return Ok(());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => error,
        };
        if is_disk_full(&error) && self.make_room() {
            return Ok(());
        }
        Err(error).tried_with("write to current", self.name)
    }

    /// Deletes the oldest file because the disk is full; false if none may go.
    fn make_room(&mut self) -> bool {
        let names = old_names(&self.open.folder).unwrap_or_default();
        let Some(oldest) = to_spare(&names, self.config.keep, self.config.keep_when_full, self.busy) else {
            return false;
        };
        let shown = file_in(self.name, oldest.as_bytes());
        self.voice.warn(&[b"out of disk space, delete: ", &shown]);
        match self.open.folder.unlink(oldest.as_bytes()) {
            Ok(()) => true,
            Err(error) => {
                self.voice.warn_failure(&Failure::with("unlink oldest logfile", self.name, error));
                false
            }
        }
    }

    /// Makes `current` an old file and begins a new one. After a failure it can be called again.
    fn rotate(&mut self, now: Instant) -> Result<(), Failure> {
        self.open.rotate = true;
        if let Some(current) = &self.open.current {
            close_well(current, self.open.is_regular, self.name)?;
        }
        let kind = if self.config.processor.is_some() { Kind::Unprocessed } else { Kind::Safe };
        let name = self.put_aside(kind)?;
        self.open.current = None;
        self.voice.info(&[
            b"rename: ",
            &file_in(self.name, b"current"),
            b" ",
            name.as_bytes(),
            b" ",
            self.open.size.bytes.to_string().as_bytes(),
        ]);
        self.prune();
        self.open.rotate = false;
        self.open.may_process = self.config.processor.is_some();
        self.begin("create new current", 0, now)
    }

    /// Renames `current` to an old file's name that nothing bears.
    fn put_aside(&mut self, kind: Kind) -> Result<OldName, Failure> {
        let name = self.unused_name(kind).tried_with("rename current", self.name)?;
        self.open.folder.rename(b"current", name.as_bytes()).tried_with("rename current", self.name)?;
        self.open.too_old = None;
        Ok(name)
    }

    fn unused_name(&self, kind: Kind) -> io::Result<OldName> {
        let mut label = next_label(Label::of(clock::wall()), &old_names(&self.open.folder).unwrap_or_default());
        loop {
            let name = OldName::new(label.hex(), kind);
            let (safe, unprocessed) = (name.of_kind(Kind::Safe), name.of_kind(Kind::Unprocessed));
            let is_used = self.open.folder.facts(safe.as_bytes())?.is_some()
                || self.open.folder.facts(unprocessed.as_bytes())?.is_some();
            if !is_used {
                return Ok(name);
            }
            label = label.next();
        }
    }

    fn prune(&mut self) {
        let names = match old_names(&self.open.folder) {
            Ok(names) => names,
            Err(error) => {
                let failure = Failure::with("read directory, want remove old logfile", self.name, error);
                return self.voice.warn_failure(&failure);
            }
        };
        for name in to_prune(names, self.config.keep, self.busy) {
            let shown = file_in(self.name, name.as_bytes());
            let is_leftover = name.kind() == Kind::Output;
            match name.kind() {
                Kind::Output => {}
                Kind::Unprocessed if self.config.processor.is_some() => {
                    self.voice.warn(&[b"processor too slow, delete: ", &shown]);
                }
                Kind::Safe | Kind::Unprocessed => self.voice.info(&[b"delete: ", &shown]),
            }
            if let Err(error) = self.open.folder.unlink(name.as_bytes()) {
                let deed = if is_leftover { "unlink processor leftover" } else { "unlink oldest logfile" };
                self.voice.warn_failure(&Failure::with(deed, self.name, error));
            }
        }
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Brings a log onto the disk and marks it as closed well, if it is a regular file.
fn close_well(current: &File, is_regular: bool, name: &OsStr) -> Result<(), Failure> {
    if !is_regular {
        return Ok(());
    }
    folder::sync(current).tried_with("fsync current logfile", name)?;
    folder::set_mode(current, CLEAN).tried_with("set mode of current", name)
}

fn old_names(folder: &Folder) -> io::Result<Vec<OldName>> {
    let mut names = Vec::new();
    folder.for_each_name(|name| names.extend(OldName::parse(name)))?;
    Ok(names)
}

fn read_config(folder: &Folder) -> io::Result<Option<Vec<u8>>> {
    let file = match folder.open_read(b"config") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file?,
    };
    let mut text = Vec::new();
    file.take(MAX_CONFIG).read_to_end(&mut text)?;
    Ok(Some(text))
}

fn complain(voice: &Voice, complaint: &Complaint) {
    match complaint {
        Complaint::Address(text) => voice.warn(&[b"unable to scan ip address: ", text]),
        Complaint::Port(text) => voice.warn(&[b"unable to scan port number: ", text]),
    }
}
