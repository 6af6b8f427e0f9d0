//! An outsider's end of `supervise/`: what sv and runsvdir see of a service, and how they talk to its runsv.

use std::cell::OnceCell;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::LazyLock;
use std::time::Duration;

use nix::errno::Errno;

use super::{first_bytes, holder, not_a_fifo, read_timeout, world};
use crate::model::holder::Holder;
use crate::model::note::{BOOK_BYTES, Book, Place, World};
use crate::model::reason;
use crate::model::status::{STATUS_BYTES, Status};
use crate::msg::{Failure, Tried as _};
use crate::sys::folder::Folder;
use crate::sys::place::{self, Tell};
use crate::sys::walk::{self, Access, Kind, Reached};
use crate::sys::{clock, proc, user};

/// An outsider's end: what sv and runsvdir see of a service directory, and how they talk to its runsv.
#[derive(Clone, Debug)]
pub struct Probe {
    directory: PathBuf,
    parent: Option<Rc<Parent>>,
    held: Option<Held>,
}

/// A directory with several service directories in it: it is held, and the way to each begins there.
#[derive(Debug)]
pub struct Parent {
    path: PathBuf,
    /// Gone to once a second service is in it. None where that was not possible.
    place: OnceCell<Option<walk::Place>>,
}

/// `supervise/`, held.
#[derive(Clone, Debug)]
struct Held {
    place: walk::Place,
    /// What is in it may be opened at once: nobody can have put anything there to harm whoever asks.
    is_safe: bool,
}

/// The files of `supervise/` that an outsider opens, and what each may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Ok,
    Control,
    Status,
    Reason,
}

/// Why a service cannot be talked to.
#[derive(Debug)]
pub enum Unreachable {
    /// `supervise/ok` is there, and no runsv reads it.
    NotRunning,
    /// There is no `supervise/ok`: no runsv has come to it yet.
    Unsupervised(Failure),
    /// A file could not be used.
    Failed(Failure),
    /// The status record is not 20 bytes long.
    BadFormat,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Part::Ok => "supervise/ok",
            Part::Control => "supervise/control",
            Part::Status => "supervise/status",
            Part::Reason => "supervise/reason",
        }
    }

    fn access(self) -> Access {
        match self {
            Part::Status | Part::Reason => Access::Read,
            Part::Ok | Part::Control => Access::Write,
        }
    }

    /// Whether it may be such a file. Where opening one fails, that says why.
    fn expect(self, kind: Kind) -> Result<(), Unreachable> {
        match (self, kind) {
            (Part::Status, Kind::Regular | Kind::Directory | Kind::Socket) | (Part::Reason, Kind::Regular) => Ok(()),
            (Part::Status | Part::Reason, _) => Err(Unreachable::BadFormat), // as if nothing were in it
            (Part::Control, Kind::Regular) | (_, Kind::Device) => Err(Unreachable::Failed(not_a_fifo(self.name()))),
            _ => Ok(()),
        }
    }
}

impl Probe {
    /// A probe of the service directory `directory`. Nothing is opened yet.
    pub fn new(directory: impl Into<PathBuf>) -> Probe {
        Probe { directory: directory.into(), parent: None, held: None }
    }

    /// The same of its log service.
    pub fn log(&self) -> Probe {
        Probe { directory: self.directory.join("log"), parent: self.parent.clone(), held: None }
    }

    /// Goes to the service from its parent directory from now on, if that is `last`, the parent of the service before.
    pub fn start_from(&mut self, last: &mut Option<Rc<Parent>>) {
        let Some(path) = self.directory.file_name().and(self.directory.parent()) else { return };
        match last {
            Some(last) if last.path == path => {
                last.place.get_or_init(|| go_to(path).ok());
                self.parent = Some(last.clone());
            }
            _ => *last = Some(Rc::new(Parent { path: path.to_owned(), place: OnceCell::new() })),
        }
    }

    /// Goes to the service by its path again from now on.
    pub fn leave_parent(&mut self) {
        self.parent = None;
    }

    /// The held directory from which one goes to what is called `name` in the service directory, and the way from there.
    fn way_to(&self, name: &str) -> Option<(&walk::Place, PathBuf)> {
        let parent = self.parent.as_ref()?;
        let place = parent.place.get()?.as_ref()?;
        Some((place, self.directory.strip_prefix(&parent.path).ok()?.join(name)))
    }

    /// Holds `supervise/`, if it is there: until it is let go of, what is in it is seen without going all the way to it,
    /// whatever becomes of its name.
    pub fn hold(&mut self) {
        if self.held.is_some() {
            return;
        }
        let place = match self.way_to("supervise") {
            Some((parent, way)) => parent.go_on_to(&way),
            None => go_to(&self.supervise()),
        };
        self.held = place.ok().map(|place| Held { is_safe: !place.was_walked_to() || place.is_only_for(0), place });
    }

    /// Has this process told by SIGIO each time a record is put in place in what is held, as long as the answer is open.
    pub fn tell_of_records(&self) -> io::Result<File> {
        let held = self.held.as_ref().ok_or(Errno::ENOENT)?;
        let directory = held.place.open_directory()?;
        place::tell(&directory, Tell::EachRename)?;
        Ok(directory)
    }

    /// Goes all the way to `supervise/` again from now on.
    pub fn let_go(&mut self) {
        self.held = None;
    }

    /// The service directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Whether one can go there, as chdir(2) finds out.
    pub fn enter(&self) -> io::Result<()> {
        self.kind_of(".").map(drop)
    }

    /// Opens `supervise/ok` for writing, which succeeds as long as a runsv is alive. Once that has gone, the
    /// descriptor reports it.
    pub fn open_ok(&self) -> Result<File, Unreachable> {
        self.open(Part::Ok).map_err(|error| match error {
            Unreachable::Failed(failure) if failure.reason().kind() == io::ErrorKind::NotFound => {
                Unreachable::Unsupervised(failure)
            }
            other => other,
        })
    }

    /// The status record, if a runsv is alive to keep it.
    pub fn status(&self) -> Result<Status, Unreachable> {
        self.open_ok()?;
        self.last_status()
    }

    /// The status record, whoever wrote it.
    pub fn last_status(&self) -> Result<Status, Unreachable> {
        let name = Part::Status.name();
        let mut file = self.open(Part::Status)?;
        let mut bytes = [0; STATUS_BYTES]; // what follows is not looked at
        let length = file.read(&mut bytes).tried("read", name).map_err(Unreachable::Failed)?;
        Status::decode(&bytes[..length]).ok_or(Unreachable::BadFormat)
    }

    /// The process of its runsv, if that has written into its lock who it is, and is here.
    pub fn supervisor(&self) -> Option<i32> {
        holder::here(&self.holder()?, "runsv")
    }

    /// The same, if that process is stopped.
    pub fn stopped_supervisor(&self) -> Option<i32> {
        let holder = self.holder()?;
        // The cheap question first: hardly any is stopped.
        (proc::state(holder.pid) == Some('T')).then(|| holder::here(&holder, "runsv"))?
    }

    fn holder(&self) -> Option<Holder> {
        let mut text = [0; Holder::MOST_BYTES];
        let length = self.open_file("supervise/lock").ok()?.read(&mut text).ok()?;
        Holder::decode(&text[..length])
    }

    /// How long ago what `status` tells of changed, by a clock that nobody sets, if its runsv noted that.
    ///
    /// Where it does not matter, as `matters` knows, it may be what was noted in another world.
    pub fn age(&self, status: &Status, matters: impl Fn(Duration) -> bool) -> Option<Duration> {
        static WORLD: LazyLock<Option<World>> = LazyLock::new(|| world().ok());
        let noted = |name: &str, place: Place| {
            let mut bytes = [0; BOOK_BYTES + 1];
            let length = self.open_file(name).ok()?.read(&mut bytes).ok()?;
            let book = Book::decode(&bytes[..length])?;
            let age = book.age(place, status, book.world(), clock::since_boot())?;
            (!matters(age) || *WORLD == Some(book.world())).then_some(age)
        };
        // Of a log service its service's supervisor notes it.
        noted("supervise/process", Place::Main).or_else(|| noted("../supervise/process", Place::Log))
    }

    /// Why it does not do what is wanted, if its runsv says so.
    pub fn reason(&self) -> Option<Vec<u8>> {
        let mut text = [0; reason::MOST_BYTES];
        let length = self.open(Part::Reason).ok()?.read(&mut text).ok()?;
        let line = text[..length].split(|byte| *byte == b'\n').next()?;
        (!line.is_empty()).then(|| reason::clean(line))
    }

    /// Opens the control FIFO for writing, which succeeds as long as a runsv is alive. Once that has gone, the
    /// descriptor is broken.
    pub fn open_control(&self) -> Result<File, Unreachable> {
        self.open(Part::Control)
    }

    /// Writes control bytes, all at once.
    pub fn send(&self, bytes: &[u8]) -> Result<(), Unreachable> {
        let name = Part::Control.name();
        match self.open_control()?.write(bytes) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(Unreachable::Failed(Failure::new("write to", name, Errno::EAGAIN))),
            Err(error) => Err(Unreachable::Failed(Failure::new("write to", name, error))),
        }
    }

    /// Where the status record is renamed into place: the directory to watch for changes.
    pub fn supervise(&self) -> PathBuf {
        self.directory.join("supervise")
    }

    /// Whether it has a `run`, which makes a directory a service.
    pub fn is_service(&self) -> bool {
        self.kind_of("run").is_ok_and(|kind| kind == Kind::Regular)
    }

    /// Whether the file `name` is in the service directory, of whatever type.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match self.kind_of(name) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What bears the name in the service directory, wherever links lead.
    fn kind_of(&self, name: &str) -> io::Result<Kind> {
        match self.way_to(name) {
            Some((parent, way)) => parent.kind_of(&way),
            None => walk::kind_at(&self.directory.join(name)),
        }
    }

    /// Whether the supervisor there is one's own, or one is not root: what it runs, one may run as well.
    pub fn is_trusted(&self) -> bool {
        let me = user::effective_uid();
        let is_own = || {
            let name = Part::Ok.name();
            let reached = walk::to(&self.directory.join(name))?;
            Ok::<bool, io::Error>(reached.holder()? == me && may_lead(&reached, name)?)
        };
        me != 0 || is_own().unwrap_or(false)
    }

    /// What a file such as `timeout-kill` says.
    pub fn timeout(&self, name: &str) -> Option<Duration> {
        let said = first_bytes(self.open_file(name).ok()?, read_timeout).ok().flatten();
        said.filter(|said| !said.is_zero())
    }

    /// Opens the service's file `name`, if it is a regular one, and is where nobody has led us astray. Even to open one,
    /// such as /proc/kmsg, may take away what is in it.
    pub fn open_file(&self, name: &str) -> io::Result<File> {
        if let Some(opened) = self.open_at_once(name, Access::Read) {
            return opened
                .and_then(|(file, kind)| if kind == Kind::Regular { Ok(file) } else { Err(Errno::EINVAL.into()) });
        }
        let reached = self.walk_to(name)?;
        match reached.kind() {
            _ if !may_lead(&reached, name)? => Err(Errno::EACCES.into()),
            Kind::Regular => reached.open(&self.directory.join(name), Access::Read),
            _ => Err(Errno::EINVAL.into()),
        }
    }

    /// Opens a file of `supervise/` for an outsider, if it is what it must be, and is where nobody has led us astray.
    ///
    /// Differs: the original opens, and writes to, whatever is there. Root who asks for a user's service so writes a
    /// `d` into any file, or a command into the FIFO of any service, that the user's link leads to.
    fn open(&self, part: Part) -> Result<File, Unreachable> {
        let name = part.name();
        let failed = |error: io::Error| match Errno::from_raw(error.raw_os_error().unwrap_or(0)) {
            Errno::ENXIO if part != Part::Status => Unreachable::NotRunning,
            _ => Unreachable::Failed(Failure::new("open", name, error)),
        };
        if let Some(opened) = self.open_at_once(name, part.access()) {
            let (file, kind) = opened.map_err(failed)?;
            return part.expect(kind).map(|()| file);
        }
        let reached = self.walk_to(name).map_err(failed)?;
        if !may_lead(&reached, name).map_err(failed)? {
            return Err(Unreachable::Failed(Failure::said(name, "is behind a link of somebody else")));
        }
        part.expect(reached.kind())?;
        reached.open(&self.directory.join(name), part.access()).map_err(failed)
    }

    /// Opens a file in what is held at once, and says what it is. None where it is to be walked to.
    fn open_at_once(&self, name: &str, access: Access) -> Option<io::Result<(File, Kind)>> {
        let held = self.held.as_ref().filter(|held| held.is_safe)?;
        match held.place.open(name.strip_prefix("supervise/")?, access) {
            Err(error) if error.raw_os_error() == Some(Errno::ELOOP as i32) => None,
            opened => Some(opened),
        }
    }

    /// Walks to a file, from what is held if it is in there.
    fn walk_to(&self, name: &str) -> io::Result<Reached> {
        match (&self.held, name.strip_prefix("supervise/")) {
            (Some(held), Some(name)) => held.place.to(Path::new(name)),
            _ => match self.way_to(name) {
                Some((parent, way)) => parent.to(&way),
                None => walk::to(&self.directory.join(name)),
            },
        }
    }
}

/// Goes to a directory, and notes whose links lead there: root does, whom nobody else shall lead.
fn go_to(path: &Path) -> io::Result<walk::Place> {
    if user::effective_uid() == 0 { walk::Place::walk_to(path) } else { walk::Place::follow_to(path) }
}

/// Opens the pipe to the log service of a service to hold it, without a word to its writers or readers.
pub fn open_pipe(services: &Folder, service: &OsStr) -> Option<File> {
    let pipe = services.open_read(&[service.as_bytes(), b"/supervise/pipe"].concat()).ok()?;
    pipe.metadata().is_ok_and(|found| found.file_type().is_fifo()).then_some(pipe)
}

/// Whether a supervisor may have come to a service. Where there is no `supervise/`, none has.
pub fn may_be_supervised(services: &Folder, service: &OsStr) -> bool {
    !services.facts(&[service.as_bytes(), b"/supervise"].concat()).is_ok_and(|found| found.is_none())
}

/// Whether the links on the way to a file called `name` are of somebody who may lead there. Root is led by root alone, and
/// by who has the service directory or the `supervise` at the end of the way.
fn may_lead(reached: &Reached, name: &str) -> io::Result<bool> {
    if user::effective_uid() != 0 || reached.links.iter().all(|owner| *owner == 0) {
        return Ok(true);
    }
    // In a user namespace the machine's root may have another number: the owner of `/` has it.
    let root = fs::metadata("/").map_or(0, |found| found.uid());
    let holder = reached.holder()?;
    // Of what is in the service directory itself, what is above that has no say.
    let above = if name.contains("supervise/") { reached.above()? } else { holder };
    Ok(reached.links.iter().all(|owner| [0, holder, above, root].contains(owner)))
}
