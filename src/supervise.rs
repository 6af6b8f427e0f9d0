//! The `supervise/` directory from both ends: [`Home`] is runsv's, [`Probe`] is sv's and runsvdir's.

pub mod holder;
mod probe;
mod repair;
pub mod why;

use std::cell::Cell;
use std::ffi::{CStr, OsStr};
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::mem;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt as _, FileTypeExt as _};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;

use crate::model::note::{BOOK_BYTES, Book, Note, Place, Record, World};
use crate::model::seconds;
use crate::model::status::{STATUS_BYTES, Status};
use crate::msg::{Failure, Tried as _};
use crate::sys::file::Identity;
use crate::sys::{fd, file, proc};

pub use probe::{Probe, Unreachable, may_be_supervised, open_pipe};
use repair::Kept;

/// runsv's end: the files it holds open and the records it writes.
///
/// Paths are relative to the service directory, which is runsv's working directory.
pub struct Home {
    paths: &'static Paths,
    lock: File,
    control: File,
    ok: Option<File>,
    published: Option<Status>,
    /// What the file `pid` says.
    published_pid: Option<i32>,
    /// What the file `reason` says, and whether that is known.
    explained: Option<Option<Vec<u8>>>,
    /// See [`Locked`].
    is_new: bool,
    kept: Kept,
}

/// The names in one `supervise/`.
struct Paths {
    service: &'static str,
    directory: &'static str,
    lock: &'static str,
    control: &'static str,
    ok: &'static str,
    pipe: &'static str,
    process: &'static str,
    pid: Replaced,
    stat: Replaced,
    status: Replaced,
    reason: Replaced,
    dropped: Replaced,
    unread: &'static str,
}

/// A file that is replaced as a whole by renaming.
#[derive(Clone, Copy)]
struct Replaced {
    path: &'static str,
    /// The same, and `path.new`, as the kernel wants them.
    name: &'static CStr,
    new: &'static CStr,
}

const fn name(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(name) => name,
        Err(_) => c"", // each of them ends with its NUL
    }
}

/// The names in the `supervise/` at `$directory`, that of the service directory `$service`.
macro_rules! paths {
    ($service:literal, $directory:literal) => {
        Paths {
            service: $service,
            directory: $directory,
            lock: concat!($directory, "/lock"),
            control: concat!($directory, "/control"),
            ok: concat!($directory, "/ok"),
            pipe: concat!($directory, "/pipe"),
            process: concat!($directory, "/process"),
            pid: paths!(replaced $directory, "pid"),
            stat: paths!(replaced $directory, "stat"),
            status: paths!(replaced $directory, "status"),
            reason: paths!(replaced $directory, "reason"),
            dropped: paths!(replaced $directory, "dropped"),
            unread: concat!($directory, "/unread"),
        }
    };
    (replaced $directory:literal, $name:literal) => {
        Replaced {
            path: concat!($directory, "/", $name),
            name: name(concat!($directory, "/", $name, "\0")),
            new: name(concat!($directory, "/", $name, ".new\0")),
        }
    };
}

static MAIN_PATHS: Paths = paths!(".", "supervise");
static LOG_PATHS: Paths = paths!("log", "log/supervise");

impl Paths {
    fn of(place: Place) -> &'static Paths {
        match place {
            Place::Main | Place::Hook => &MAIN_PATHS,
            Place::Log => &LOG_PATHS,
        }
    }
}

/// A `supervise/` whose lock is held, before anything else of it is touched.
pub struct Locked {
    paths: &'static Paths,
    lock: File,
    place: Option<File>,
    /// It was made just now. Another may have come before the lock was taken: what lasts does not depend on this.
    is_new: bool,
}

impl Locked {
    /// Makes `supervise` in `service` (`.` or `log`), and takes its lock.
    ///
    /// Where `supervise` is a link, its target is made, one level deep and seen from the service directory. A lock
    /// that another holds fails at once with EAGAIN. Source: runit 2.3.0, `main` in src/runsv.c. Differs: there
    /// `log/supervise/lock` is waited for, deaf to everything.
    pub fn take(place: Place, world: Option<World>) -> Result<Locked, Failure> {
        let paths = Paths::of(place);
        let is_new = make_supervise(paths)?;
        let lock = file::open_append(paths.lock).tried("open", paths.lock)?;
        let place = file::try_lock(&lock).and_then(|()| repair::claim(paths.service)).tried("lock", paths.lock)?;
        holder::sign(&lock, world);
        Ok(Locked { paths, lock, place, is_new })
    }

    /// Who has what [`Locked::take`] could not have, if that can be told.
    pub fn holder(place: Place) -> Option<String> {
        let path = Paths::of(place).lock;
        Some(format!("{path} is held by {}", holder::of(path.as_ref(), "runsv")?))
    }

    /// The same with the lock that this process has held before it became its program anew.
    pub fn held(place: Place, lock: File) -> Locked {
        let paths = Paths::of(place);
        Locked { paths, lock, place: repair::claim(paths.service).ok().flatten(), is_new: false }
    }

    /// What the last supervisor recorded.
    pub fn last_record(&self) -> Option<Status> {
        let mut bytes = [0; STATUS_BYTES];
        file::open_read(self.paths.status.path).ok()?.read_exact(&mut bytes).ok()?;
        Status::decode(&bytes)
    }

    /// The pipe to the log service. Nothing is made yet.
    pub fn pipe(&self) -> Pipe {
        Pipe { path: self.paths.pipe }
    }

    /// Opens the notes of this supervisor and the ones before it.
    pub fn open_notes(&self, world: World) -> Result<Notes, Failure> {
        let path = self.paths.process;
        let file = file::open_for_notes(path).tried("open", path)?;
        let mut bytes = [0; BOOK_BYTES + 1];
        let length = file.read_at(&mut bytes, 0).tried("read", path)?;
        let left = Book::decode(&bytes[..length]).filter(|book| book.was_left_in(world));
        let book = Cell::new(left.unwrap_or(Book::new(world)));
        // A new file says as much as a new book.
        Ok(Notes { path, file, left: left.map(Box::new), book, is_saved: Cell::new(length == 0) })
    }

    /// Makes and opens the control FIFO, unless it was `handed` over. No record is written yet, and `ok` says nothing.
    pub fn open_control(self, handed: Option<File>) -> Result<Home, Failure> {
        let Locked { paths, lock, place, is_new } = self;
        let control = match handed {
            Some(control) => control,
            None => {
                make_fifo(paths.control)?;
                // Read and write: it never ends when a writer closes it.
                file::open_read_write(paths.control).tried("open", paths.control)?
            }
        };
        let kept = Kept::of(place, paths.directory);
        let (published, published_pid, explained) = (None, None, None);
        Ok(Home { paths, lock, control, ok: None, published, published_pid, explained, is_new, kept })
    }
}

/// The pipe from a service to its log service: the FIFO `pipe`.
///
/// It has a name, so that a successor finds it with all that is in it. Differs: the original's pipe has none.
pub struct Pipe {
    path: &'static str,
}

impl Pipe {
    /// Makes and opens it: the end to read from, and one for the writer that holds both. Such a writer is not ended
    /// when for a moment nobody else lives to read.
    pub fn open(&self) -> Result<(File, File), Failure> {
        let path = self.path;
        make_fifo(path)?;
        let ends = [file::open_read_write(path).tried("open", path)?, file::open_read(path).tried("open", path)?];
        for end in &ends {
            fd::set_nonblocking(end.as_fd(), false).tried("set flags of", path)?; // as those who share a pipe expect
        }
        let [both, reading] = ends;
        Ok((reading, both))
    }

    /// Opens another end, to read and to write without ever waiting; None if the pipe that is held as `reading` is not
    /// to be found any more.
    pub fn open_own(&self, reading: &File) -> Result<Option<File>, Failure> {
        let own = match file::open_read_write(self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            own => own.tried("open", self.path)?,
        };
        let identity = |file: &File| file.metadata().map(|found| Identity::of(&found)).tried("stat", self.path);
        Ok((identity(&own)? == identity(reading)?).then_some(own))
    }
}

/// Lines that a log service did not read in time, and that are not in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// How many.
    pub lines: u64,
    /// How long they were together.
    pub bytes: u64,
}

impl Loss {
    /// These bytes are lost, too.
    pub fn add(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.lines += bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
    }
}

/// The file `dropped`: a [`Loss`] that the log does not tell of yet, as two numbers in a line. A successor reads it.
pub struct Dropped {
    file: Replaced,
}

impl Dropped {
    /// That of the log service.
    pub fn of_log() -> Dropped {
        Dropped { file: LOG_PATHS.dropped }
    }

    /// What it says; nothing where it is missing or says nothing that can be.
    pub fn read(&self) -> Loss {
        let mut bytes = [0; 64];
        let length = file::open_read(self.file.path).and_then(|mut file| file.read(&mut bytes)).unwrap_or(0);
        let text = std::str::from_utf8(&bytes[..length]).unwrap_or_default();
        let mut numbers = text.split_ascii_whitespace().map_while(|number| number.parse().ok());
        match (numbers.next(), numbers.next()) {
            (Some(lines), Some(bytes)) => Loss { lines, bytes },
            _ => Loss::default(),
        }
    }

    /// Writes it. Where that fails, as on a full disk, only this supervisor knows.
    pub fn write(&self, loss: Loss) {
        let text = format!("{} {}\n", loss.lines, loss.bytes);
        let _ = self.file.replace(text.as_bytes());
    }

    /// The log tells of it now.
    pub fn forget(&self) {
        let _ = file::remove(self.file.name);
    }
}

/// The file `unread`: what was in the pipe when the supervisor ended and no log service had read it. The next one puts it
/// back.
///
/// Differs: with the original it is lost.
pub struct Unread {
    path: &'static str,
}

impl Unread {
    /// That of the pipe to the log service.
    pub fn of_log() -> Unread {
        Unread { path: MAIN_PATHS.unread }
    }

    /// Moves what is in the pipe there; how many bytes. What cannot be kept stays in the pipe.
    pub fn keep(&self, pipe: BorrowedFd<'_>) -> Result<usize, Failure> {
        let most = fd::unread(pipe).tried("read", self.path)?;
        if most == 0 {
            return Ok(0);
        }
        let file = file::open_for_notes(self.path).tried("open", self.path)?;
        fd::move_out(pipe, &file, most).tried("write", self.path)
    }

    /// Puts it back into the `pipe`, which never waits; what there is no room for adds to the `loss`.
    pub fn put_back(&self, mut pipe: &File, loss: &mut Loss) -> Result<(), Failure> {
        let file = match file::open_read(self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            opened => opened.tried("open", self.path)?,
        };
        let mut rest = file.metadata().map(|found| file.take(found.len())).tried("stat", self.path)?;
        let mut bytes = [0; 1024]; // a write of no more than PIPE_BUF is made whole or not at all
        loop {
            let length = rest.read(&mut bytes).tried("read", self.path)?;
            if length == 0 {
                break;
            }
            if pipe.write(&bytes[..length]).is_err() {
                loss.add(&bytes[..length]);
            }
        }
        fs::remove_file(self.path).tried("remove", self.path)
    }
}

/// What a successor is told of the processes of a service: the file `process`.
///
/// Differs: the original leaves no such notes. When it is killed, the next one starts a second process.
pub struct Notes {
    path: &'static str,
    file: File,
    left: Option<Box<Book>>,
    /// What is noted now. Nothing that a new process could leave locked if it is killed while it notes itself.
    book: Cell<Book>,
    /// Whether the file says so.
    is_saved: Cell<bool>,
}

impl Notes {
    /// Whether the file is the one that bears the name.
    pub fn are_there(&self) -> bool {
        repair::is_there(self.path, &self.file)
    }

    /// Opens another file of the name, and notes there what is noted here.
    pub fn reopen(&mut self) -> Result<(), Failure> {
        self.file = file::open_for_notes(self.path).tried("open", self.path)?;
        self.save(self.book.get()).tried("write", self.path)
    }

    /// Whether the file says what was noted.
    pub fn are_saved(&self) -> bool {
        self.is_saved.get()
    }

    /// What a supervisor that was killed noted in this world.
    pub fn left(&self) -> Option<&Book> {
        self.left.as_deref()
    }

    /// From now on what is noted counts, and what was left does not.
    pub fn begin(&mut self) -> Result<(), Failure> {
        self.left = None;
        if self.is_saved.get() {
            return Ok(());
        }
        self.save(self.book.get()).tried("write", self.path)
    }

    /// Notes a process, and the record of it that is to come.
    pub fn write(&self, place: Place, note: Note, record: Option<Record>) -> io::Result<()> {
        let mut book = self.book.get();
        book.set_note(place, note);
        if let Some(record) = record {
            book.set_record(place, record);
        }
        self.save(book)
    }

    /// Notes what is about to be recorded, and whatever could not be noted before.
    pub fn record(&self, place: Place, record: Record) -> Result<(), Failure> {
        let mut book = self.book.get();
        if self.is_saved.get() && book.record(place) == Some(record) {
            return Ok(());
        }
        book.set_record(place, record);
        self.save(book).tried("write", self.path)
    }

    /// Nothing that was noted counts any more: the supervisor ends in order.
    pub fn close(&self) -> Result<(), Failure> {
        let mut book = self.book.get();
        book.close();
        self.save(book).tried("write", self.path)
    }

    fn save(&self, book: Book) -> io::Result<()> {
        self.book.set(book);
        self.is_saved.set(false);
        self.file.write_all_at(&book.encode(), 0)?;
        self.is_saved.set(true);
        Ok(())
    }
}

impl Home {
    /// Opens `ok`, unless it was `handed` over: from now on the service counts as supervised.
    ///
    /// As in the original it may be another file than a FIFO. Differs: that is worth a word, the answer, because such
    /// a file goes on to say so when there is no supervisor any more.
    pub fn open_ok(&mut self, handed: Option<File>) -> Result<Option<Failure>, Failure> {
        if handed.is_some() {
            self.ok = handed;
            return Ok(None);
        }
        let path = self.paths.ok;
        let made = file::make_fifo(path.as_ref(), 0o600); // one that is there will do
        let ok = file::open_read(path).tried("read", path)?;
        let is_fifo = made.is_ok() || ok.metadata().is_ok_and(|found| found.file_type().is_fifo());
        self.ok = Some(ok);
        Ok((!is_fifo).then(|| not_a_fifo(path)))
    }

    /// What it holds open, each with its name in the directory.
    pub fn held(&self) -> impl Iterator<Item = (&'static str, BorrowedFd<'_>)> {
        let ok = self.ok.as_ref().map(|ok| ("ok", ok.as_fd()));
        [("lock", self.lock.as_fd()), ("control", self.control.as_fd())].into_iter().chain(ok)
    }

    /// The next control bytes, if there are any. Reads no more than `bytes` can hold.
    pub fn read_control(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.control.read(bytes) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
    }

    /// Whether there are control bytes that were not read.
    pub fn has_commands(&self) -> bool {
        fd::is_readable(self.control.as_fd()).unwrap_or(true)
    }

    /// Writes the records `pid`, `stat` and `status`, in this order, each replaced as a whole.
    ///
    /// A reader may see a new `pid` with an old `status`, never the reverse. What has not changed is not written: `pid`
    /// only when the process is another, `stat` when its text is. A `stat` that cannot be put in place does not hold up `status`.
    /// Source: runit 2.3.0, `update_status` in src/runsv.c. Differs: there a `pid` or `stat` that could not be written
    /// whole is put in place all the same.
    pub fn publish(&mut self, status: &Status) -> Result<(), Failure> {
        self.be_quiet();
        // Without a text they say no more than before they were there.
        let is_new = mem::take(&mut self.is_new);
        let is_made = |file: &Replaced, text: &[u8]| is_new && file.make(text).is_ok();
        if self.published_pid != Some(status.pid) {
            if !is_made(&self.paths.pid, status.pid_line().as_bytes()) {
                self.paths.pid.replace(status.pid_line().as_bytes())?;
            }
            self.published_pid = Some(status.pid);
        }
        let stat_is_old = self.published.is_none_or(|published| published.stat() != status.stat());
        let stat_is_in_place = if stat_is_old && !is_made(&self.paths.stat, status.stat().as_bytes()) {
            self.paths.stat.write(status.stat().as_bytes())?;
            self.paths.stat.put_in_place()
        } else {
            Ok(())
        };
        self.put_status(status)?;
        stat_is_in_place?;
        self.published = Some(*status);
        Ok(())
    }

    /// Whether `supervise/` was made just now: nothing in it is in the way, or tells of something else for long.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// Writes the first record of a service that is started right after it: `status` alone, which sv(8) reads. `pid` and
    /// `stat` follow with the start, and so does what a successor is told.
    ///
    /// Differs: the original writes them before, too.
    pub fn announce(&mut self, status: &Status) -> Result<(), Failure> {
        self.be_quiet();
        // Nobody reads it yet: nobody has opened `ok`.
        if self.paths.status.make(&status.encode()).is_ok() {
            self.explained = Some(None); // whoever could have left a `reason` would have left a `status`
            return Ok(());
        }
        self.put_status(status)
    }

    fn put_status(&mut self, status: &Status) -> Result<(), Failure> {
        self.published = None; // until all is in place nothing is known
        self.paths.status.replace(&status.encode())
    }

    /// Keeps `reason`, the line that says why the service does not do what is wanted; there is no such file without one.
    ///
    /// What it says already is not written again.
    pub fn explain(&mut self, reason: Option<&[u8]>) -> Result<(), Failure> {
        if self.explained.as_ref().is_some_and(|explained| explained.as_deref() == reason) {
            return Ok(());
        }
        self.be_quiet();
        self.explained = None;
        let file = &self.paths.reason;
        match reason {
            Some(line) => file.replace(&[line, b"\n"].concat())?,
            None => match file::remove(file.name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Failure::new("remove", file.path, error));
                }
                _ => {}
            },
        }
        self.explained = Some(reason.map(<[u8]>::to_vec));
        Ok(())
    }

    /// Whether `status` is what the records say already.
    pub fn has_published(&self, status: &Status) -> bool {
        self.published.as_ref() == Some(status)
    }
}

impl AsFd for Home {
    /// The control FIFO.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.control.as_fd()
    }
}

impl Replaced {
    /// Writes the file itself, where it is not there yet, for those who read it only when all is written.
    fn make(&self, bytes: &[u8]) -> io::Result<()> {
        let made = file::make(self.name)?.write_all(bytes);
        if made.is_err() {
            let _ = file::remove(self.name);
        }
        made
    }

    /// Puts a file of these bytes in its place.
    fn replace(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(bytes)?;
        self.put_in_place()
    }

    /// Writes the new file, whole or not at all.
    fn write(&self, bytes: &[u8]) -> Result<(), Failure> {
        let failure = |deed, error| Failure::new(deed, [self.path, ".new"].concat(), error);
        let mut file = file::open_truncate(self.new).map_err(|error| failure("open", error))?;
        if let Err(error) = file.write_all(bytes) {
            let _ = file::remove(self.new);
            return Err(failure("write", error));
        }
        Ok(())
    }

    fn put_in_place(&self) -> Result<(), Failure> {
        file::rename(self.new, self.name).map_err(|error| {
            let name = self.path.rsplit('/').next().unwrap_or_default();
            Failure::new("rename", [name, ".new to ", self.path].concat(), error)
        })
    }
}

/// Where pids and times mean something now. Errors: there is no /proc to tell.
pub fn world() -> Result<World, Failure> {
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    let boot = proc::boot_id().ok_or_else(missing).tried("read", "/proc/sys/kernel/random/boot_id")?;
    let pid_namespace = proc::pid_namespace().ok_or_else(missing).tried("stat", "/proc/self/ns/pid")?;
    Ok(World { boot, pid_namespace })
}

/// Makes the directory `supervise`, or the target of a link of that name; true if it is new and no link. Other errors
/// show when the lock is opened.
fn make_supervise(paths: &Paths) -> Result<bool, Failure> {
    let directory = Path::new(paths.directory);
    if file::make_directory(directory, 0o700).is_ok() {
        return Ok(true);
    }
    match fs::read_link(directory) {
        Ok(target) => drop(file::make_directory(&Path::new(paths.service).join(target), 0o700)),
        Err(error) if matches!(error.raw_os_error().map(Errno::from_raw), Some(Errno::ENOENT | Errno::EINVAL)) => {}
        Err(error) => return Err(Failure::new("readlink", Path::new(".").join(directory), error)),
    }
    Ok(false)
}

/// What the file `path` of a service directory says, as `read` understands its first bytes; None where it is missing.
pub fn setting<T>(path: &str, read: impl Fn(&[u8]) -> Option<T>) -> Result<Option<T>, Failure> {
    let file = match file::open_read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.tried("open", path)?,
    };
    let said = first_bytes(file, read).tried("read", path)?;
    said.map(Some).ok_or_else(|| Failure::said(path, "makes no sense"))
}

/// What a file such as `timeout-kill` says: s6's milliseconds, or a duration such as `5s`; None also for 0.
pub fn timeout(path: &str) -> Result<Option<Duration>, Failure> {
    Ok(setting(path, read_timeout)?.filter(|said| !said.is_zero()))
}

fn first_bytes<T>(mut file: File, read: impl Fn(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    let mut bytes = [0; 64];
    let length = file.read(&mut bytes)?;
    Ok(read(&bytes[..length]))
}

fn read_timeout(text: &[u8]) -> Option<Duration> {
    seconds::read_timeout(text, |text| humantime::parse_duration(text).ok())
}

/// Makes a FIFO, or finds one.
fn make_fifo(path: &str) -> Result<(), Failure> {
    if file::make_fifo(path.as_ref(), 0o600).is_ok() {
        return Ok(());
    }
    // Whatever is wrong shows now.
    match fs::metadata(path).tried("stat", path)?.file_type().is_fifo() {
        true => Ok(()),
        false => Err(not_a_fifo(path)),
    }
}

fn not_a_fifo(path: impl AsRef<OsStr>) -> Failure {
    Failure::said(path, "exists but is not a fifo")
}
