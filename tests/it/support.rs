//! A tree of services to test with, which leaves nothing behind.
//!
//! Scripts `say` a line, which the test hears; records are waited for by inotify; a death is waited for. Nothing waits
//! for time: [`PATIENCE`] bounds every wait and costs only when a test fails.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use homerun::model::status::Status;
use homerun::sys::inotify::{Changes, Watcher};
use homerun::sys::poll::Poller;
use tempfile::TempDir;

/// The longest wait. It is reached only when a test fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Where the programs under test are.
pub fn programs() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_runsv")).parent().unwrap()
}

/// PATH with the programs under test first.
pub fn path() -> OsString {
    path_of(programs())
}

fn path_of(first: &Path) -> OsString {
    let mut path = first.as_os_str().to_os_string();
    path.push(":/usr/bin:/bin:/usr/sbin:/sbin");
    path
}

/// What a program said and how it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub stdout: String,
    pub stderr: String,
    pub code: Option<i32>,
}

impl Outcome {
    pub fn of(command: &mut Command) -> Outcome {
        let output = command.stdin(Stdio::null()).output().unwrap();
        Outcome {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            code: output.status.code(),
        }
    }
}

/// A program that said this on stdout, nothing on stderr, and ended with 0.
pub fn says(stdout: &str) -> Outcome {
    Outcome { stdout: stdout.to_owned(), stderr: String::new(), code: Some(0) }
}

/// A program that said this on stderr only, and ended with `code`.
pub fn fails(stderr: &str, code: i32) -> Outcome {
    Outcome { stdout: String::new(), stderr: stderr.to_owned(), code: Some(code) }
}

pub fn is_root() -> bool {
    homerun::sys::user::effective_uid() == 0
}

/// Says that a test is skipped, and why; counts each test once. In CI nothing is skipped.
pub fn skip(why: &str) {
    static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let name = std::thread::current().name().unwrap_or("a test").to_owned();
    assert!(std::env::var_os("CI").is_none(), "{name} would be skipped in CI: {why}");
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if skipped.insert(name.clone()) {
        let line = format!("skipped: {name}: {why} ({} skipped so far)\n", skipped.len());
        let _ = io::stderr().write_all(line.as_bytes());
    }
}

/// Whether `program` is installed; if not, the test is skipped.
pub fn has(program: &str) -> bool {
    let found = path().as_bytes().split(|byte| *byte == b':').any(|part| {
        let file = Path::new(OsStr::from_bytes(part)).join(program);
        fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o111 != 0)
    });
    if !found {
        skip(&format!("needs {program}"));
    }
    found
}

/// The directory with C runit's programs, unpacked; without it the test is skipped.
pub fn runit() -> Option<PathBuf> {
    let found = std::env::var_os("HOMERUN_RUNIT").map(PathBuf::from).filter(|place| place.join("runsv").exists());
    if found.is_none() {
        skip("needs C runit: HOMERUN_RUNIT names the directory of its programs");
    }
    found
}

/// Writes a file that is to be run, and whatever may be in it already. By another process: one that is started here
/// meanwhile would hold it open for writing, so that for a moment nobody could run it.
pub fn put_program(path: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = path.as_ref();
    let mut copy = Command::new("cp").arg("/dev/stdin").arg(path).stdin(Stdio::piped()).spawn().unwrap();
    copy.stdin.take().unwrap().write_all(content.as_ref()).unwrap();
    assert!(copy.wait().unwrap().success());
    fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
}

/// One at a time for tests that change the machine: users, /run.
pub static MACHINE: Mutex<()> = Mutex::new(());

fn new_directory() -> TempDir {
    let directory = TempDir::with_prefix("homerun-").unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    directory
}

/// A directory of services, an ear to hear them, and the end of all that was started in it.
pub struct Tree {
    home: TempDir,
    ear: Mutex<(File, Vec<u8>)>,
    path: OsString,
}

impl Tree {
    /// With the programs under test.
    pub fn new() -> Tree {
        Tree::with(programs())
    }

    /// With the programs in `programs`, such as C runit's.
    pub fn with(programs: &Path) -> Tree {
        Tree::around(new_directory(), programs)
    }

    /// With the programs under test in the tree's own `bin`: for users who cannot reach those.
    pub fn with_own_programs() -> Tree {
        let home = new_directory();
        let bin = home.path().join("bin");
        fs::create_dir(&bin).unwrap();
        for name in ["chpst", "runsv", "runsvchdir", "runsvdir", "runsvdir-user", "sv", "svlogd"] {
            let (program, copy) = (programs().join(name), bin.join(name));
            if program.exists() && fs::hard_link(&program, &copy).is_err() {
                // Not fs::copy: a process started meanwhile would hold it open for writing, so that it cannot be run.
                assert!(Command::new("cp").arg(&program).arg(&copy).status().unwrap().success());
            }
        }
        Tree::around(home, &bin)
    }

    fn around(home: TempDir, programs: &Path) -> Tree {
        // Orphans come to this process, and are ended with their tree.
        homerun::sys::process::adopt_orphans().unwrap();
        let ear = home.path().join("ear");
        homerun::sys::file::make_fifo(&ear, 0o622).unwrap();
        fs::set_permissions(&ear, Permissions::from_mode(0o622)).unwrap();
        let ear = fs::OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(ear).unwrap();
        Tree { home, ear: Mutex::new((ear, Vec::new())), path: path_of(programs) }
    }

    /// A path in the tree's directory.
    pub fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.home.path().join(name.as_ref())
    }

    /// Makes a directory, and its parents.
    pub fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// A program found in this tree's PATH, run in its directory with an environment of its own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut parts = self.path.as_bytes().split(|byte| *byte == b':');
        let first = Path::new(OsStr::from_bytes(parts.next().unwrap())).join(program.as_ref());
        let mut command = if first.exists() { Command::new(first) } else { Command::new(program.as_ref()) };
        command.env_clear().env("PATH", &self.path).env("EAR", self.path("ear")).env("HOME", self.home.path());
        command.current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    /// Runs a program to its end.
    pub fn run(&self, program: &str, args: &[&str]) -> Outcome {
        Outcome::of(self.command(program).args(args))
    }

    /// sv, on the services of this tree by name.
    pub fn sv(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command("sv").env("SVDIR", self.home.path()).args(args))
    }

    /// A service to be filled, as `NAME` in the tree's directory.
    pub fn service(&self, name: &str) -> Service<'_> {
        let directory = self.directory(name);
        Service { tree: self, name: name.to_owned(), directory }
    }

    /// A service directory, anywhere, on which `child` is a runsv with a pipe for stderr.
    pub fn supervised(&self, child: Child, directory: PathBuf) -> Running<'_> {
        Running { tree: self, directory, child }
    }

    /// The next line that a script said.
    pub fn heard(&self) -> String {
        self.hear(PATIENCE).unwrap_or_else(|| panic!("nothing was said\n{}", self.show()))
    }

    /// A line that was said already, if there is one. Only for what must have been said before.
    pub fn heard_already(&self) -> Option<String> {
        self.hear(Duration::ZERO)
    }

    /// The next line, if one is said within so long.
    pub fn hear(&self, patience: Duration) -> Option<String> {
        let mut ear = self.ear.lock().unwrap();
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = ear.1.iter().position(|byte| *byte == b'\n') {
                let rest = ear.1.split_off(end + 1);
                let line = std::mem::replace(&mut ear.1, rest);
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut bytes = [0; 4096];
            match ear.0.read(&mut bytes) {
                Ok(length) => ear.1.extend_from_slice(&bytes[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let now = Instant::now();
                    if now >= deadline {
                        return None;
                    }
                    let mut poller = Poller::new(1).unwrap();
                    poller.watch(&ear.0, 0).unwrap();
                    poller.wait(Some(deadline - now)).unwrap();
                }
                Err(error) => panic!("the ear: {error}"),
            }
        }
    }

    /// What a process writes here, the test hears.
    pub fn mouth(&self) -> File {
        fs::OpenOptions::new().write(true).open(self.path("ear")).unwrap()
    }

    /// Waits until `seen` gives something, looking again whenever anything changes in `directory`.
    pub fn wait_in<T>(&self, directory: &Path, seen: impl FnMut() -> Option<T>) -> T {
        let changes = Changes::IN_CREATE
            | Changes::IN_MOVED_TO
            | Changes::IN_MOVED_FROM
            | Changes::IN_DELETE
            | Changes::IN_MODIFY
            | Changes::IN_ATTRIB;
        self.wait_for(changes, directory, seen)
    }

    fn wait_for<T>(&self, changes: Changes, directory: &Path, mut seen: impl FnMut() -> Option<T>) -> T {
        let watcher = Watcher::new().unwrap();
        let mut poller = Poller::new(1).unwrap();
        poller.watch(&watcher, 0).unwrap();
        watcher.watch(directory, changes).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = seen() {
                return found;
            }
            let now = Instant::now();
            assert!(now < deadline, "waited in vain in {}\n{}", directory.display(), self.show());
            poller.wait(Some(deadline - now)).unwrap();
            while !watcher.changes().unwrap().is_empty() {}
        }
    }

    /// Waits for a status record like this in the directory `supervise`, while a supervisor is there.
    pub fn wait_status(&self, supervise: &Path, is_such: impl Fn(&Status) -> bool) -> Status {
        if !supervise.is_dir() {
            self.wait_in(supervise.parent().unwrap(), || supervise.is_dir().then_some(()));
        }
        let open_ok = || homerun::sys::file::open_write(supervise.join("ok")).ok();
        loop {
            // Opening `ok` is the last that a supervisor does; only until then, because looking opens files, too.
            self.wait_for(Changes::IN_OPEN | Changes::IN_CREATE, supervise, || open_ok().map(drop));
            let found = self.wait_in(supervise, || match open_ok() {
                None => Some(None),
                Some(_) => {
                    let status = Status::decode(&fs::read(supervise.join("status")).ok()?)?;
                    is_such(&status).then_some(Some(status))
                }
            });
            if let Some(status) = found {
                return status;
            }
        }
    }

    /// Everything in the tree, for the message of a test that fails.
    fn show(&self) -> String {
        let listing = Command::new("ls").arg("-laR").arg(self.home.path()).output().map(|output| output.stdout);
        let stats = Command::new("sh")
            .args([
                "-c",
                "for f in */supervise/stat */log/supervise/stat; do [ -e $f ] && echo $f: $(cat $f); done
                 ps -o pid,ppid,stat,args -p \"$0\"",
                &self.processes().iter().map(i32::to_string).collect::<Vec<_>>().join(","),
            ])
            .current_dir(self.home.path())
            .output()
            .map(|output| output.stdout);
        [listing, stats].into_iter().flatten().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).collect()
    }

    /// Every process that was started in this tree: it has the tree's name in its environment, or lives in it.
    pub fn processes(&self) -> Vec<i32> {
        let own = self.home.path();
        let belongs = |pid: i32| {
            let in_environment = fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|text| text.windows(own.as_os_str().len()).any(|part| part == own.as_os_str().as_bytes()));
            let in_directory = fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd.starts_with(own));
            in_environment || in_directory
        };
        let own_id = homerun::sys::process::id();
        let relations = homerun::sys::proc::relations();
        relations.iter().filter(|it| it.pid != own_id && !it.ended && belongs(it.pid)).map(|it| it.pid).collect()
    }
}

/// Lets an ordinary user remove a directory that holds others which a test has shut.
pub fn open_up(directory: &Path) {
    let _ = fs::set_permissions(directory, Permissions::from_mode(0o700));
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|found| found.is_dir()) {
            open_up(&entry.path());
        }
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            for pid in left {
                let _ = homerun::sys::process::send(pid, homerun::sys::signal::Signal::SIGKILL);
                let _ = homerun::sys::process::reap(pid);
            }
        }
        if !is_root() {
            open_up(self.home.path());
        }
    }
}

/// A service directory that is being filled.
pub struct Service<'a> {
    tree: &'a Tree,
    name: String,
    directory: PathBuf,
}

impl<'a> Service<'a> {
    /// `./run`, as lines of sh that may `say` something.
    pub fn run(self, script: &str) -> Service<'a> {
        self.script("run", script)
    }

    /// `./finish`.
    pub fn finish(self, script: &str) -> Service<'a> {
        self.script("finish", script)
    }

    /// `./log/run`.
    pub fn log(self, script: &str) -> Service<'a> {
        self.script("log/run", script)
    }

    /// Any script, such as `control/t` or `check`.
    pub fn script(self, name: &str, script: &str) -> Service<'a> {
        let text = format!("#!/bin/sh\nsay() {{ printf '%s\\n' \"$*\" >\"$EAR\"; }}\n{script}\n");
        self.program(name, &text)
    }

    /// Any file that is to be run, as it is.
    pub fn program(self, name: &str, content: &str) -> Service<'a> {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        put_program(path, content);
        self
    }

    /// Any file.
    pub fn file(self, name: &str, content: &str) -> Service<'a> {
        let path = self.directory.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    /// The mode of a file that is there.
    pub fn mode(self, name: &str, mode: u32) -> Service<'a> {
        fs::set_permissions(self.directory.join(name), Permissions::from_mode(mode)).unwrap();
        self
    }

    /// Only the directory, for somebody else to supervise.
    pub fn made(self) -> PathBuf {
        self.directory
    }

    /// Starts runsv on it and waits until it is supervised.
    pub fn start(self) -> Running<'a> {
        let running = self.start_unseen();
        running.wait(|_| true);
        running
    }

    /// Starts runsv on it.
    pub fn start_unseen(self) -> Running<'a> {
        let mut command = self.tree.command("runsv");
        command.stderr(Stdio::piped());
        self.start_by(command)
    }

    /// Starts runsv on it; the test hears what it and its children say on stderr.
    pub fn start_heard(self) -> Running<'a> {
        let mut command = self.tree.command("runsv");
        command.stderr(self.tree.mouth());
        self.start_by(command)
    }

    /// Starts runsv on it by a command that lacks only the name of the service.
    pub fn start_by(self, mut command: Command) -> Running<'a> {
        let child = command.arg(&self.name).spawn().unwrap();
        Running { tree: self.tree, directory: self.directory, child }
    }
}

/// A service with a runsv.
pub struct Running<'a> {
    tree: &'a Tree,
    pub directory: PathBuf,
    pub child: Child,
}

impl Running<'_> {
    /// Writes control bytes, all at once.
    pub fn control(&self, bytes: &[u8]) {
        self.control_of("supervise", bytes);
    }

    /// Writes control bytes for the log service, all at once.
    pub fn control_log(&self, bytes: &[u8]) {
        self.control_of("log/supervise", bytes);
    }

    fn control_of(&self, supervise: &str, bytes: &[u8]) {
        let fifo = self.directory.join(supervise).join("control");
        let mut fifo = homerun::sys::file::open_write(fifo).unwrap();
        assert_eq!(fifo.write(bytes).unwrap(), bytes.len());
    }

    /// Waits for a status record like this, while a supervisor is there.
    pub fn wait(&self, is_such: impl Fn(&Status) -> bool) -> Status {
        self.wait_of("supervise", is_such)
    }

    /// Waits for a status record of the log service.
    pub fn wait_log(&self, is_such: impl Fn(&Status) -> bool) -> Status {
        self.wait_of("log/supervise", is_such)
    }

    fn wait_of(&self, supervise: &str, is_such: impl Fn(&Status) -> bool) -> Status {
        self.tree.wait_status(&self.directory.join(supervise), is_such)
    }

    /// A file of `supervise/`, as text.
    pub fn record(&self, name: &str) -> String {
        fs::read_to_string(self.directory.join("supervise").join(name)).unwrap()
    }

    /// Tells runsv to exit, waits for its end, and gives what it said.
    pub fn exit(self) -> (ExitStatus, String) {
        self.control(b"x");
        self.ended()
    }

    /// Waits for the end of runsv, and gives what it said.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let stderr = self.child.stderr.take();
        let status = wait_for_end(&mut self.child).unwrap_or_else(|| panic!("runsv lives on\n{}", self.tree.show()));
        let mut said = Vec::new();
        if let Some(mut stderr) = stderr {
            // Its children may hold stderr open: only what it said itself is waited for.
            homerun::sys::fd::set_nonblocking(stderr.as_fd(), true).unwrap();
            let _ = stderr.read_to_end(&mut said);
        }
        (status, String::from_utf8_lossy(&said).into_owned())
    }
}

/// Waits for the end of a child; None when it takes too long.
pub fn wait_for_end(child: &mut Child) -> Option<ExitStatus> {
    if let Some(status) = child.try_wait().unwrap() {
        return Some(status);
    }
    let deadline = Instant::now() + PATIENCE;
    let pidfd = homerun::sys::process::watch(i32::try_from(child.id()).unwrap()).unwrap();
    let mut poller = Poller::new(1).unwrap();
    poller.watch(&pidfd, 0).unwrap();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        let now = Instant::now();
        if now >= deadline {
            return None;
        }
        poller.wait(Some(deadline - now)).unwrap();
    }
}

/// Waits until process `pid`, which may be anybody's, has ended.
pub fn wait_until_gone(pid: i32) {
    let Ok(pidfd) = homerun::sys::process::watch(pid) else { return };
    let mut poller = Poller::new(1).unwrap();
    poller.watch(&pidfd, 0).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while poller.ready().next().is_none() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "process {pid} lives on");
        poller.wait(Some(left)).unwrap();
    }
}

/// Waits until the supervisor of a service, whoever's child it is, has ended: then nobody reads `ok`.
///
/// Its process is no measure: one that ends gives its memory back, its name and arguments with that, before its
/// descriptors.
pub fn wait_until_unsupervised(service: &Path) {
    let open = || homerun::sys::file::open_write(service.join("supervise/ok"));
    let Ok(ok) = open() else { return };
    let mut poller = Poller::new(1).unwrap();
    poller.watch(&ok, 0).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while open().is_ok() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "a supervisor of {} lives on", service.display());
        poller.wait(Some(left)).unwrap();
    }
}
