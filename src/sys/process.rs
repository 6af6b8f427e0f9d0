//! Processes: starting, watching, ending, and becoming another program.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::wait::WaitPidFlag;
use nix::unistd::Pid;

use crate::sys::signal::{InheritedMask, Signal};
use crate::sys::{clock, fd, memory, proc};

/// Arguments in the form that an exec takes, made once so that a start allocates nothing.
#[derive(Debug)]
pub struct Argv {
    /// What can be the program, in order.
    files: Vec<CString>,
    words: Vec<CString>, // what `pointers` points to
    pointers: Vec<*const libc::c_char>,
}

impl Argv {
    /// The arguments, the program's path first. Errors: a NUL inside, no path at all.
    pub fn new<I, S>(words: I) -> io::Result<Argv>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let words = c_strings(words)?;
        let files = vec![words.first().ok_or(io::ErrorKind::InvalidInput)?.clone()];
        Ok(Argv { files, pointers: pointers(&words), words })
    }

    /// The same, for the first of `files` that can be run. Errors: a NUL in any of them.
    pub fn looked_for(self, files: &[OsString]) -> io::Result<Argv> {
        Ok(Argv { files: c_strings(files)?, ..self })
    }

    /// Puts another word in the place of word `at`. Errors: a NUL inside; then all stay as they are.
    pub fn set_word(&mut self, at: usize, word: &OsStr) -> io::Result<()> {
        let word = CString::new(word.as_bytes())?;
        self.pointers[at] = word.as_ptr();
        self.words[at] = word;
        Ok(())
    }
}

fn c_strings(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> io::Result<Vec<CString>> {
    Ok(words.into_iter().map(|word| CString::new(word.as_ref().as_bytes())).collect::<Result<_, _>>()?)
}

/// The array of a C function that ends with a null pointer.
fn pointers(words: &[CString]) -> Vec<*const libc::c_char> {
    words.iter().map(|word| word.as_ptr()).chain([ptr::null()]).collect()
}

/// A program that this process can become: made once, so that [`Image::exec`] allocates nothing, whatever the limits.
#[derive(Debug)]
pub struct Image {
    argv: Argv,
    environment: Option<Environment>,
}

#[derive(Debug)]
struct Environment {
    _entries: Vec<CString>, // what `pointers` points to
    pointers: Vec<*const libc::c_char>,
}

impl Image {
    /// The first of `files` that can be run, with these arguments and the environment that this process has.
    ///
    /// Errors: a NUL in any of them.
    pub fn new(files: &[OsString], argv: Argv) -> io::Result<Image> {
        Ok(Image { argv: argv.looked_for(files)?, environment: None })
    }

    /// With another environment. Errors: a NUL in it.
    pub fn with_environment(self, entries: &[OsString]) -> io::Result<Image> {
        let entries = c_strings(entries)?;
        let environment = Environment { pointers: pointers(&entries), _entries: entries };
        Ok(Image { environment: Some(environment), ..self })
    }

    /// Becomes the program; returns only when that failed, with why.
    ///
    /// Where a file is missing the next one is tried, and where it may not be run too, but then that is the reason
    /// if no other can. Any other error ends the search.
    pub fn exec(&self) -> io::Error {
        let Some(environment) = &self.environment else { return exec(&self.argv) };
        exec_first(&self.argv.files, |file| {
            // SAFETY: the strings and the null-terminated arrays live in `self`.
            unsafe { libc::execve(file.as_ptr(), self.argv.pointers.as_ptr(), environment.pointers.as_ptr()) };
        })
    }
}

/// Becomes the first of `files` that can be run, by way of `exec`, which returns only when that failed.
fn exec_first(files: &[CString], exec: impl Fn(&CStr)) -> io::Error {
    let mut reason = io::Error::from_raw_os_error(libc::ENOENT);
    for file in files {
        exec(file);
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT) => {}
            Some(libc::EACCES | libc::EPERM | libc::EISDIR) => reason = error,
            _ => return error,
        }
    }
    reason
}

/// How a program is started.
pub struct Spawn<'a> {
    /// What to run, and as what.
    pub argv: &'a Argv,
    /// Another working directory.
    pub directory: Option<Directory<'a>>,
    /// Descriptor 0, or as inherited.
    pub stdin: Option<BorrowedFd<'a>>,
    /// Descriptor 1, or as inherited.
    pub stdout: Option<BorrowedFd<'a>>,
    /// Make it the leader of a session of its own.
    pub session: bool,
    /// Make it the leader of a process group of its own.
    pub group: bool,
    /// The signal mask it starts with.
    pub mask: InheritedMask,
    /// What the new process does just before it becomes the program.
    pub last: Option<&'a dyn Fn()>,
}

/// A working directory, by name or by descriptor.
#[derive(Clone, Copy)]
pub enum Directory<'a> {
    /// By name, relative to this process's own.
    Path(&'a CStr),
    /// Opened before.
    Open(BorrowedFd<'a>),
}

/// What failed in a process that could not become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Putting the descriptors in place.
    Descriptors,
    /// Changing the working directory.
    Directory,
    /// The exec itself.
    Exec,
}

/// The exit code of a process that could not become the program. Source: runit, src/runsv.c.
pub const EXIT_NOT_STARTED: i32 = 111;

/// A process that this one started, for a caller that reaps all its children: [`reap`] with -1 tells of its end.
#[derive(Debug)]
pub struct Born {
    pid: i32,
    is_stillborn: bool,
}

/// A process that this one started, with a descriptor that tells of its end.
#[derive(Debug)]
pub struct Child {
    born: Born,
    pidfd: OwnedFd,
}

/// What a new process is to do, and what came of it.
struct Birth<'a> {
    spawn: &'a Spawn<'a>,
    further: &'a [(BorrowedFd<'a>, RawFd)],
    failure: Option<(Step, io::Error)>,
}

impl Birth<'_> {
    /// In the new process, with the `Birth` at `this`: returns, as its end, only when it could not become the program.
    extern "C" fn be_born(this: *mut libc::c_void) -> libc::c_int {
        // SAFETY: it is what `start_with` gave to clone(2), and nobody else uses it until this process is done with it.
        let birth = unsafe { &mut *this.cast::<Birth<'_>>() };
        birth.failure = Some(birth.spawn.become_it(birth.further));
        memory::leave();
        EXIT_NOT_STARTED
    }
}

/// How far below its maker's last frame a new process begins on the stack they share. What the maker still puts there is
/// the frame of one C function, which takes a fifth of that; and every page less that is used need not be made.
const BELOW: usize = 1 << 10;
/// Every processor's calling convention is content with this.
const STACK_ALIGNMENT: usize = 64;

impl Spawn<'_> {
    /// Starts the program, and waits until the new process has become it.
    ///
    /// When it cannot, `explain` is told the step that failed, and the process ends with [`EXIT_NOT_STARTED`], as
    /// [`Child::reap`] will tell. Errors: no process, memory or descriptor could be had; nothing was started.
    pub fn start(&self, explain: impl FnOnce(Step, io::Error)) -> io::Result<Child> {
        self.start_with(&[], explain)
    }

    /// Starts the program as [`Spawn::start`] does, with `further` descriptors: each a copy and its number.
    ///
    /// What is copied must be numbered above all of these numbers: [`fd::duplicate_above`].
    pub fn start_with(
        &self,
        further: &[(BorrowedFd<'_>, RawFd)],
        explain: impl FnOnce(Step, io::Error),
    ) -> io::Result<Child> {
        let mut pidfd: RawFd = -1;
        let born = self.give_birth(further, explain, Some(&mut pidfd))?;
        // SAFETY: the kernel has just made this descriptor (close-on-exec) and nobody else owns it.
        Ok(Child { born, pidfd: unsafe { OwnedFd::from_raw_fd(pidfd) } })
    }

    /// Starts the program as [`Spawn::start`] does, for a caller that reaps all its children.
    pub fn start_unwatched(&self, explain: impl FnOnce(Step, io::Error)) -> io::Result<Born> {
        self.give_birth(&[], explain, None)
    }

    /// Makes the process. `pidfd` is set where there is one.
    #[inline(never)] // the frame has nothing but what this needs, so that `birth` is near its end
    fn give_birth(
        &self,
        further: &[(BorrowedFd<'_>, RawFd)],
        explain: impl FnOnce(Step, io::Error),
        pidfd: Option<&mut RawFd>,
    ) -> io::Result<Born> {
        let mut birth = Birth { spawn: self, further, failure: None };
        let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
        let (flags, pidfd) = match pidfd {
            Some(pidfd) => (flags | libc::CLONE_PIDFD, &raw mut *pidfd),
            None => (flags, ptr::null_mut()),
        };
        let birth_at = &raw mut birth;
        let stack = birth_at.cast::<libc::c_void>().wrapping_byte_sub(BELOW + birth_at.addr() % STACK_ALIGNMENT);
        // SAFETY: the new process shares this memory instead of copying its page tables, and the thread that makes it
        // waits until it has become the program or ended. It runs on the free part of this thread's stack, well below
        // what is in use there, and touches nothing but that and `birth`. A pidfd, if one is asked for, is stored where
        // the fifth argument points.
        let pid = unsafe { libc::clone(Birth::be_born, stack, flags, birth_at.cast(), pidfd) };
        if pid == -1 {
            return Err(io::Error::last_os_error());
        }
        let is_stillborn = birth.failure.is_some();
        if let Some((step, error)) = birth.failure {
            explain(step, error);
        }
        Ok(Born { pid, is_stillborn })
    }

    /// In the child: returns only on failure.
    fn become_it(&self, further: &[(BorrowedFd<'_>, RawFd)]) -> (Step, io::Error) {
        if self.session {
            // SAFETY: setsid takes nothing. A new child leads no group, so it cannot fail.
            unsafe { libc::setsid() };
        } else if self.group {
            // SAFETY: setpgid takes numbers. A new child that leads no session may always do this.
            unsafe { libc::setpgid(0, 0) };
        }
        for (source, target) in [(self.stdin, 0), (self.stdout, 1)] {
            if let Some(source) = source
                && let Err(error) = fd::copy_onto(source, target)
            {
                return (Step::Descriptors, error);
            }
        }
        if let Some(directory) = self.directory
            && let Err(error) = directory.enter()
        {
            return (Step::Directory, error);
        }
        for (source, target) in further {
            if let Err(error) = fd::copy_onto(*source, *target) {
                return (Step::Descriptors, error);
            }
        }
        default_action(Signal::SIGPIPE); // which `sys::start` has set; all others are as this program found or set them
        if let Err(error) = self.mask.restore() {
            return (Step::Exec, error);
        }
        if let Some(last) = self.last {
            last();
        }
        memory::leave();
        (Step::Exec, exec(self.argv))
    }
}

impl Directory<'_> {
    fn enter(self) -> io::Result<()> {
        // SAFETY: both calls take a valid string or an open descriptor and change only this process.
        let result = unsafe {
            match self {
                Directory::Path(path) => libc::chdir(path.as_ptr()),
                Directory::Open(fd) => libc::fchdir(std::os::fd::AsRawFd::as_raw_fd(&fd)),
            }
        };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Who of a process and its group gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addressee {
    /// It alone.
    Process,
    /// The group, if it leads one; else it alone.
    Group,
}

impl Born {
    /// The child that has id `pid`, if there is one: it was started before this process became its program anew. It may
    /// have ended, as long as it was not reaped. Also gives its number, as of [`serial_of`].
    pub fn find(pid: i32) -> Option<(Born, Option<u64>)> {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        let pidfd = watch(pid).ok()?; // fails for what is no pid
        nix::sys::wait::waitid(nix::sys::wait::Id::Pid(Pid::from_raw(pid)), flags).ok()?;
        Some((Born { pid, is_stillborn: false }, serial(pidfd.as_fd())))
    }

    /// Its process id, valid until it is reaped.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Whether it could not become the program: it has ended, or is about to.
    pub fn is_stillborn(&self) -> bool {
        self.is_stillborn
    }

    /// Sends signal `number` to it, or to the group that it leads. Before it is reaped its pid cannot be another's.
    pub fn signal(&self, number: i32, to: Addressee) -> io::Result<()> {
        if to == Addressee::Group && kill(-self.pid, number).is_ok() {
            return Ok(());
        }
        kill(self.pid, number)
    }
}

impl Child {
    /// Its process id, valid until [`Child::reap`] has given its end.
    pub fn pid(&self) -> i32 {
        self.born.pid
    }

    /// Whether it could not become the program: it has ended, or is about to.
    pub fn is_stillborn(&self) -> bool {
        self.born.is_stillborn
    }

    /// How it ended, once it has.
    pub fn reap(&self) -> io::Result<Option<ExitStatus>> {
        Ok(reap(self.born.pid)?.map(|(_, status)| status))
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        send(self.born.pid, signal)
    }
}

/// Where this process's program was found, to be started again: what has replaced it since is found there too.
///
/// As its maker named it, if that does not depend on a working directory; else as /proc knows it.
pub fn own_program() -> io::Result<PathBuf> {
    // SAFETY: getauxval takes a number. What it gives for this one is 0 or the address of a string that the kernel put
    // beside the arguments, where it stays as long as the process.
    let name = unsafe {
        let address = libc::getauxval(libc::AT_EXECFN);
        let text: *const libc::c_char = ptr::with_exposed_provenance(usize::try_from(address).unwrap_or_default());
        if text.is_null() { c"" } else { CStr::from_ptr(text) }
    };
    let name = Path::new(OsStr::from_bytes(name.to_bytes()));
    if name.is_absolute() {
        return Ok(name.to_owned());
    }
    let found = std::fs::read_link("/proc/self/exe")?.into_os_string();
    let path = found.as_bytes().strip_suffix(b" (deleted)").unwrap_or(found.as_bytes()); // it was replaced
    Ok(OsStr::from_bytes(path).into())
}

/// A process that another one started, which has gone since.
#[derive(Debug)]
pub struct Orphan {
    pid: i32,
    handle: Handle,
}

/// By what it is held.
#[derive(Debug)]
enum Handle {
    /// Nobody else can have its id unseen, and its end is told.
    Pidfd(OwnedFd),
    /// Before Linux 5.3, and where a sandbox forbids pidfd_open: when the kernel made it. Its end is seen only by a look.
    Made(Duration),
}

impl Orphan {
    /// The process that has id `pid` now, if `is_it` says so while it is held.
    pub fn find(pid: i32, is_it: impl FnOnce(&Orphan) -> bool) -> Option<Orphan> {
        let handle = match watch(pid) {
            Ok(pidfd) => Handle::Pidfd(pidfd),
            Err(error) if error.raw_os_error() == Some(libc::ESRCH) => return None,
            Err(_) => Handle::Made(proc::made(pid, clock::tick())?),
        };
        let orphan = Orphan { pid, handle };
        (is_it(&orphan) && !orphan.has_ended()).then_some(orphan)
    }

    /// Its number, as of [`serial_of`].
    pub fn serial(&self) -> Option<u64> {
        self.pidfd().and_then(serial)
    }

    /// Its process id. Once it has ended, that may become another's.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// What becomes readable once it has ended, if there is such a thing.
    pub fn pidfd(&self) -> Option<BorrowedFd<'_>> {
        match &self.handle {
            Handle::Pidfd(pidfd) => Some(pidfd.as_fd()),
            Handle::Made(_) => None,
        }
    }

    /// Whether it has ended. How, only its parent is told.
    pub fn has_ended(&self) -> bool {
        match &self.handle {
            Handle::Pidfd(pidfd) => fd::is_readable(pidfd.as_fd()).unwrap_or(false),
            Handle::Made(made) => proc::made(self.pid, clock::tick()) != Some(*made),
        }
    }

    /// Sends signal `number` to it, or to the group that it leads; where it has a pidfd, certainly to nobody else.
    ///
    /// Before Linux 6.9, and without a pidfd, a group cannot be told from another: then it gets the signal alone.
    pub fn signal(&self, number: i32, to: Addressee) -> io::Result<()> {
        let Handle::Pidfd(pidfd) = &self.handle else {
            return if self.has_ended() {
                Err(io::Error::from_raw_os_error(libc::ESRCH))
            } else {
                kill(self.pid, number)
            };
        };
        let send = |flags: libc::c_uint| {
            let (fd, details) = (std::os::fd::AsRawFd::as_raw_fd(pidfd), ptr::null::<libc::siginfo_t>());
            // SAFETY: pidfd_send_signal takes a descriptor and numbers; a null pointer stands for no details.
            match unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, number, details, flags) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        /// Source: linux/pidfd.h, `PIDFD_SIGNAL_PROCESS_GROUP`.
        const GROUP: libc::c_uint = 1 << 2;
        if to == Addressee::Group && send(GROUP).is_ok() { Ok(()) } else { send(0) }
    }
}

impl AsFd for Child {
    /// Readable once the process has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

/// Reaps child `pid`, or any child with -1, if one has ended: its pid and how.
pub fn reap(pid: i32) -> io::Result<Option<(i32, ExitStatus)>> {
    let mut status = 0;
    loop {
        // SAFETY: waitpid writes one int to a valid place.
        match unsafe { libc::waitpid(pid, &raw mut status, libc::WNOHANG) } {
            -1 if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            -1 => return Err(io::Error::last_os_error()),
            0 => return Ok(None),
            pid => return Ok(Some((pid, ExitStatus::from_raw(status)))),
        }
    }
}

/// A descriptor that becomes readable once process `pid`, which need not be a child, has ended.
pub fn watch(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two numbers.
    match unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) } {
        -1 => Err(io::Error::last_os_error()),
        fd => {
            let fd = RawFd::try_from(fd).map_err(|_| io::ErrorKind::InvalidData)?;
            // SAFETY: the kernel has just made this descriptor (close-on-exec) and nobody else owns it.
            Ok(unsafe { OwnedFd::from_raw_fd(fd) })
        }
    }
}

/// The number of process `pid` among all that the kernel ever made. None before Linux 6.9.
pub fn serial_of(pid: i32) -> Option<u64> {
    serial(watch(pid).ok()?.as_fd())
}

/// Which pid namespace this process is in: the inode that stands for it. None before Linux 6.11.
///
/// That takes a third of the time that a look into /proc does.
pub fn own_pid_namespace() -> Option<u64> {
    /// Source: linux/pidfd.h, `PIDFD_GET_PID_NAMESPACE`.
    const GET_PID_NAMESPACE: libc::Ioctl = libc::_IO(0xff, 5);
    let pidfd = watch(id()).ok()?;
    // SAFETY: this request takes nothing.
    match unsafe { libc::ioctl(std::os::fd::AsRawFd::as_raw_fd(&pidfd), GET_PID_NAMESPACE, 0) } {
        -1 => None,
        // SAFETY: the kernel has just made this descriptor (close-on-exec) and nobody else owns it.
        fd => inode(unsafe { OwnedFd::from_raw_fd(fd) }.as_fd()),
    }
}

/// Whether there are children of this process, also such that have ended and were not reaped. Yes where that cannot be
/// told.
pub fn has_children() -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    nix::sys::wait::waitid(nix::sys::wait::Id::All, flags) != Err(Errno::ECHILD)
}

fn serial(pidfd: BorrowedFd<'_>) -> Option<u64> {
    /// The file system of pidfds that have inodes of their own. Source: linux/magic.h.
    const PID_FS_MAGIC: i64 = 0x5049_4446;
    /// Whether this kernel is known to have it.
    static IS_THERE: AtomicBool = AtomicBool::new(false);
    if !IS_THERE.load(Ordering::Relaxed) {
        #[allow(clippy::unnecessary_cast)] // the types differ between C libraries
        let kind = nix::sys::statfs::fstatfs(pidfd).ok()?.filesystem_type().0 as i64;
        if kind != PID_FS_MAGIC {
            return None;
        }
        IS_THERE.store(true, Ordering::Relaxed);
    }
    inode(pidfd)
}

fn inode(fd: BorrowedFd<'_>) -> Option<u64> {
    #[allow(clippy::unnecessary_cast)] // the type differs between C libraries
    nix::sys::stat::fstat(fd).ok().map(|found| found.st_ino as u64)
}

/// Sends `signal` to process `pid`, which must be a positive number.
pub fn send(pid: i32, signal: Signal) -> io::Result<()> {
    if pid <= 0 {
        return Err(io::ErrorKind::InvalidInput.into()); // never a group, never everybody
    }
    kill(pid, signal as libc::c_int)
}

/// The process group that process `pid` is in.
pub fn group_of(pid: i32) -> Option<i32> {
    nix::unistd::getpgid(Some(Pid::from_raw(pid))).ok().map(Pid::as_raw)
}

/// Whether there is a process group with id `pid`, which must be a positive number.
pub fn has_group(pid: i32) -> bool {
    pid > 0 && !kill(-pid, 0).is_err_and(|error| error.raw_os_error() == Some(libc::ESRCH))
}

fn kill(pid: i32, number: i32) -> io::Result<()> {
    // SAFETY: kill takes two numbers.
    match unsafe { libc::kill(pid, number) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets what a signal does to its default.
pub fn default_action(signal: Signal) {
    // SAFETY: SIG_DFL installs no code. It fails only for numbers that are no signals.
    unsafe { libc::signal(signal as libc::c_int, libc::SIG_DFL) };
}

/// Takes SIGCHLD for the ends of children only, not for their stops, and sets what it does to its default.
pub fn default_action_of_ends() {
    // SAFETY: all zeroes is a valid sigaction: SIG_DFL, an empty mask. Its flag keeps stops from being told.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_flags = libc::SA_NOCLDSTOP;
    // SAFETY: sigaction reads the one it is given; a null pointer asks for nothing.
    unsafe { libc::sigaction(libc::SIGCHLD, &raw const action, ptr::null_mut()) };
}

/// Becomes another program with this one's environment; returns only when that failed, as [`Image::exec`] does.
///
/// A script without an interpreter's name is not given to a shell.
pub fn exec(argv: &Argv) -> io::Error {
    exec_first(&argv.files, |file| {
        // SAFETY: the string and the null-terminated array live in `argv`.
        unsafe { libc::execv(file.as_ptr(), argv.pointers.as_ptr()) };
    })
}

/// Leads a new session. A process that leads its group first moves to its parent's, if it can.
pub fn new_session() -> io::Result<()> {
    // SAFETY: these calls take numbers and change only this process.
    unsafe {
        if libc::setsid() != -1 {
            return Ok(());
        }
        if libc::getsid(0) == libc::getpid() {
            return Ok(()); // it leads one already
        }
        libc::setpgid(0, libc::getpgid(libc::getppid()));
        if libc::setsid() != -1 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Leads a new session, as setsid(2): an error for whoever leads a process group.
pub fn lead_session() -> io::Result<()> {
    Ok(nix::unistd::setsid().map(drop)?)
}

/// Makes orphaned descendants children of this process, so that none is lost.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: PR_SET_CHILD_SUBREAPER takes a number.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Hides the memory and the descriptors of this process from its user, until it becomes another program.
pub fn hide() -> io::Result<()> {
    // SAFETY: PR_SET_DUMPABLE takes a number.
    match unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The id of this process.
pub fn id() -> i32 {
    nix::unistd::getpid().as_raw()
}

/// The environment of this process as it was given: each entry, `NAME=value` or not.
pub fn environment() -> Vec<OsString> {
    unsafe extern "C" {
        static environ: *const *const libc::c_char;
    }
    let mut entries = Vec::new();
    // SAFETY: the C library keeps here an array of strings that ends with a null pointer. No other thread changes it:
    // who asks has one.
    unsafe {
        let mut at = environ;
        while !at.is_null() && !(*at).is_null() {
            entries.push(OsStr::from_bytes(CStr::from_ptr(*at).to_bytes()).to_owned());
            at = at.add(1);
        }
    }
    entries
}

/// Takes `name` out of this process's environment and gives what it was.
///
/// Call it while the process has one thread, at its start.
pub fn take_variable(name: &str) -> Option<std::ffi::OsString> {
    let value = std::env::var_os(name)?;
    // SAFETY: no other thread reads the environment: the supervisors have one.
    unsafe { std::env::remove_var(name) };
    Some(value)
}

/// Gives every signal its default action and blocks none, as a login would find them.
pub fn default_signals() -> io::Result<()> {
    /// How many signals there are, and how many bytes a set of them has. Source: linux/signal.h.
    const SIGNALS: i32 = 64;
    const SET_BYTES: usize = 8;
    let default = [0_u64; 8]; // SIG_DFL, no flags, an empty mask, whatever the order of the machine's kernel is
    for signal in 1..=SIGNALS {
        let nothing = ptr::null_mut::<u64>();
        // By the kernel's number, as C libraries leave out the signals that they have for themselves.
        // SAFETY: rt_sigaction reads a structure of at most so many bytes, which installs no code. It fails for what
        // cannot be changed: KILL, STOP.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), nothing, SET_BYTES) };
    }
    nix::sys::signal::SigSet::empty().thread_set_mask().map_err(Into::into)
}

/// The process that started this one.
pub fn parent_id() -> i32 {
    nix::unistd::getppid().as_raw()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_what_was_given() {
        let mut known: Vec<OsString> = std::env::vars_os()
            .map(|(mut name, value)| {
                name.push("=");
                name.push(value);
                name
            })
            .collect();
        let mut found = environment();
        found.retain(|entry| entry.as_bytes().contains(&b'='));
        known.sort();
        found.sort();
        assert_eq!(found, known);
    }
}
