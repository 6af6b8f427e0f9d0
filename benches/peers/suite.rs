//! The suites of programs that are measured: how each is laid out, started, spoken to and stopped.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::OFlag;
use nix::sys::signal::{self, Signal};
use nix::unistd::{Group, Pid, User};

use crate::Outcome;
use crate::helper::{Helper, What};
use crate::process::{self, Processes};

/// How long anything may take before it is a failure.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One build of one suite, and its tree while that is up.
pub struct Suite {
    pub name: String,
    pub is_ours: bool,
    kind: Kind,
    bin: PathBuf,
    /// Where its services are; set anew for each tree.
    home: PathBuf,
    scanner: Option<Pid>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Runit,
    /// `grows` is the option for the greatest number of services.
    S6 {
        grows: &'static str,
    },
    Daemontools,
    /// The helper itself: the least that a suite can cost.
    Floor,
}

/// What its log service writes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Stamps {
    None,
    Tai64n,
}

/// A tree that has just come up.
pub struct Up {
    /// Nanoseconds from the exec of the scanner to the first instruction of the last service.
    pub took: u64,
    pub pids: HashMap<String, Pid>,
}

impl Suite {
    /// Our programs, in `bin`.
    pub fn ours(name: &str, bin: &Path) -> Suite {
        Suite::new(name, bin.to_owned(), Kind::Runit, true)
    }

    fn new(name: &str, bin: PathBuf, kind: Kind, is_ours: bool) -> Suite {
        Suite { name: name.to_owned(), is_ours, kind, bin, home: PathBuf::new(), scanner: None }
    }

    /// What only starts, waits and tells.
    pub fn floor(helper: &Helper) -> Suite {
        Suite::new("floor", helper.tool.clone(), Kind::Floor, false)
    }

    /// The suites in a directory into which packages were unpacked, or which has the programs in it.
    ///
    /// `name` stands for the name of the suite's kind. Links to busybox are made in `scratch`.
    pub fn find(root: &Path, name: Option<&str>, scratch: &Path) -> Outcome<Vec<Suite>> {
        let mut found = Vec::new();
        let root = root.canonicalize().map_err(|error| format!("{}: {error}", root.display()))?;
        for part in ["", "usr/bin", "bin", "command"] {
            let bin = root.join(part);
            let has = |program: &str| bin.join(program).is_file();
            if has("runsvdir") && has("runsv") && has("sv") {
                found.push(Suite::new(name.unwrap_or("runit"), bin.clone(), Kind::Runit, false));
            }
            if has("s6-svscan") {
                found.extend(s6(&bin, &root, name.unwrap_or("s6"))?);
            }
            if has("svscan") && has("supervise") {
                found.push(Suite::new(name.unwrap_or("daemontools"), bin.clone(), Kind::Daemontools, false));
            }
            if has("busybox") {
                found.extend(busybox(&bin.join("busybox"), name.unwrap_or("busybox"), scratch)?);
            }
        }
        Ok(found)
    }

    /// Whether it is somebody else's.
    pub fn is_peer(&self) -> bool {
        !self.is_ours && self.kind != Kind::Floor
    }

    /// Whether it looks for changes every few seconds only.
    pub fn polls(&self) -> bool {
        self.is_peer() && !matches!(self.kind, Kind::S6 { .. })
    }

    /// Whether it starts another supervisor when one has died.
    pub fn replaces(&self) -> bool {
        self.kind != Kind::Floor
    }

    /// Whether it can have log services.
    pub fn has_logs(&self) -> bool {
        self.kind != Kind::Floor
    }

    /// Whether it can hold so many services.
    pub fn holds(&self, count: usize) -> bool {
        !self.polls() || count <= 1000
    }

    pub fn names(&self, numbers: std::ops::Range<usize>) -> Vec<String> {
        numbers.map(|number| format!("{}-{number:04}", self.name)).collect()
    }

    /// Makes a services directory with the services of these names.
    pub fn lay_out(&mut self, helper: &Helper, work: &Path, names: &[String], with_log: bool) -> Outcome<()> {
        self.home = work.join(&self.name);
        self.scanner = None;
        for part in ["sv", "service"] {
            fs::create_dir_all(self.home.join(part))?;
        }
        for name in names {
            self.add(helper, name, with_log)?;
            self.enable(name)?;
        }
        Ok(())
    }

    /// Makes a service directory, which is in no services directory yet.
    pub fn add(&self, helper: &Helper, name: &str, with_log: bool) -> Outcome<()> {
        let service = self.directory(name);
        fs::create_dir(&service)?;
        if matches!(self.kind, Kind::S6 { .. }) {
            fs::write(service.join("notification-fd"), "3\n")?;
        }
        fs::hard_link(self.payload(helper), service.join("run"))?;
        if with_log {
            fs::create_dir_all(service.join("log/main"))?;
            let logger = self.logger(Path::new("./main"), Stamps::Tai64n).ok_or("it has no logger")?;
            let words: Vec<String> = std::iter::once(logger.get_program())
                .chain(logger.get_args())
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            let run = service.join("log/run");
            fs::write(&run, format!("#!/bin/sh\nexec {}\n", words.join(" ")))?;
            fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        }
        Ok(())
    }

    /// Links the service into the services directory.
    pub fn enable(&self, name: &str) -> Outcome<()> {
        Ok(symlink(Path::new("../sv").join(name), self.home.join("service").join(name))?)
    }

    /// Starts the tree, and waits until each service has run its first instruction.
    pub fn boot(&mut self, helper: &mut Helper, names: &[String]) -> Outcome<Up> {
        helper.forget()?;
        let services = self.home.join("service");
        let scanner = match self.kind {
            Kind::Runit => self.command("runsvdir", &["-P"]),
            Kind::S6 { grows } => self.command("s6-svscan", &[grows, "6000"]),
            Kind::Daemontools => self.command("svscan", &[]),
            Kind::Floor => self.tool(&["scan"]),
        };
        let output = File::create(self.home.join("output"))?;
        let child = self
            .with_environment(&helper.tool)
            .args(["launch", &(self.stop_signal() as i32).to_string(), &self.name])
            .arg(scanner.get_program())
            .args(scanner.get_args())
            .arg(services)
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        self.scanner = Some(process::pid_of(&child));
        let launched = helper.wait_for(What::Launched, &self.name.clone(), PATIENCE)?.time;
        let started = helper.wait_for_all(names, PATIENCE)?;
        let last = started.values().map(|(_, time)| *time).max().unwrap_or(launched);
        let pids = started.into_iter().map(|(name, (pid, _))| (name, pid)).collect();
        Ok(Up { took: last - launched, pids })
    }

    /// The processes of the tree that are not services.
    pub fn supervisors(&self, helper: &Helper, processes: &Processes) -> Vec<Pid> {
        let Some(scanner) = self.scanner else { return Vec::new() };
        let mut pids = processes.below(scanner);
        pids.push(scanner);
        pids.retain(|pid| !helper.is_service(*pid));
        pids
    }

    /// The scanner, which starts the supervisors.
    pub fn scanner(&self) -> Option<Pid> {
        self.scanner
    }

    /// Stops everything, and tells how long it was until the last process had ended, in nanoseconds.
    ///
    /// Nothing else may be running below this process.
    pub fn stop(&mut self, names: &[String]) -> Outcome<u64> {
        let Some(scanner) = self.scanner.take() else { return Err("it is not up".into()) };
        let begin = process::now();
        signal::kill(scanner, self.stop_signal())?;
        if self.kind == Kind::Daemontools {
            // The scanner would start them again.
            process::until_dead(scanner, PATIENCE)?;
            let mut command = self.command("svc", &["-dx"]);
            for service in names.iter().map(|name| self.directory(name)) {
                let log = service.join("log");
                command.arg(service);
                if log.exists() {
                    command.arg(log);
                }
            }
            process::run(&mut command, PATIENCE)?;
        }
        Ok(process::until_all_dead(PATIENCE)? - begin)
    }

    fn stop_signal(&self) -> Signal {
        match self.kind {
            Kind::Runit => Signal::SIGHUP,
            Kind::S6 { .. } | Kind::Daemontools | Kind::Floor => Signal::SIGTERM,
        }
    }

    /// Removes what [`Suite::lay_out`] made, once nothing of it is running.
    pub fn clear(&self) -> Outcome<()> {
        Ok(fs::remove_dir_all(&self.home)?)
    }

    /// What the scanner and the supervisors have said last.
    pub fn said(&self) -> String {
        let all = fs::read(self.home.join("output")).unwrap_or_default();
        String::from_utf8_lossy(&all).lines().last().unwrap_or("nothing was said").to_owned()
    }

    pub fn directory(&self, name: &str) -> PathBuf {
        self.home.join("sv").join(name)
    }

    fn payload<'a>(&self, helper: &'a Helper) -> &'a Path {
        match self.kind {
            // Without a report it waits a second before every start.
            Kind::S6 { .. } => &helper.ready,
            Kind::Runit | Kind::Daemontools | Kind::Floor => &helper.payload,
        }
    }

    /// The control FIFO, to write an `h` into.
    pub fn control(&self, name: &str) -> Outcome<File> {
        let control = if self.kind == Kind::Floor { "control" } else { "supervise/control" };
        let path = self.directory(name).join(control);
        Ok(OpenOptions::new().write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)?)
    }

    /// The file that a supervisor opens as soon as it starts.
    pub fn lock(&self, name: &str) -> PathBuf {
        self.directory(name).join("supervise/lock")
    }

    /// The floor executes what does nothing.
    pub fn status(&self, name: &str) -> Command {
        let mut command = match self.kind {
            Kind::Runit => self.command("sv", &["status"]),
            Kind::S6 { .. } => self.command("s6-svstat", &[]),
            Kind::Daemontools => self.command("svstat", &[]),
            Kind::Floor => self.tool(&["true"]),
        };
        command.arg(self.directory(name));
        command
    }

    /// One command for all; nothing where it takes one for each.
    pub fn status_of_all(&self, names: &[String]) -> Option<Command> {
        let mut command = match self.kind {
            Kind::Runit => self.command("sv", &["status"]),
            Kind::Daemontools => self.command("svstat", &[]),
            Kind::S6 { .. } | Kind::Floor => return None,
        };
        command.args(names.iter().map(|name| self.directory(name)));
        Some(command)
    }

    /// Restarts a service and waits until it is up again; nothing where that cannot be waited for.
    pub fn restart(&self, name: &str) -> Option<Command> {
        let mut command = match self.kind {
            Kind::Runit => self.command("sv", &["restart"]),
            Kind::S6 { .. } => self.command("s6-svc", &["-wr", "-T9000", "-r"]),
            Kind::Daemontools | Kind::Floor => return None,
        };
        command.arg(self.directory(name));
        Some(command)
    }

    /// Tells the scanner to look again, where it would not do so by itself.
    pub fn nudge(&self) -> Option<Command> {
        let Kind::S6 { .. } = self.kind else { return None };
        let mut command = self.command("s6-svscanctl", &["-a"]);
        command.arg(self.home.join("service"));
        Some(command)
    }

    /// Becomes nobody, and then what follows.
    pub fn as_nobody(&self) -> Outcome<Command> {
        let user = User::from_name("nobody")?.ok_or("there is no user nobody")?;
        let group = Group::from_gid(user.gid)?.ok_or("nobody has no group")?;
        Ok(match self.kind {
            Kind::Runit => self.command("chpst", &["-u", &format!("{}:{}", user.name, group.name)]),
            Kind::S6 { .. } => self.command("s6-setuidgid", &[&user.name]),
            Kind::Daemontools => self.command("setuidgid", &[&user.name]),
            Kind::Floor => self.tool(&["become", &user.uid.to_string(), &group.gid.to_string()]),
        })
    }

    /// A logger that keeps ten old files of a megabyte in `directory`, or as much in one; nothing where there is none.
    pub fn logger(&self, directory: &Path, stamps: Stamps) -> Option<Command> {
        let stamped = stamps == Stamps::Tai64n;
        let mut command = match (self.kind, stamped) {
            (Kind::Runit, true) => self.command("svlogd", &["-t"]),
            (Kind::Runit, false) => self.command("svlogd", &[]),
            (Kind::S6 { .. }, true) => self.command("s6-log", &["t", "n10", "s1000000"]),
            (Kind::S6 { .. }, false) => self.command("s6-log", &["n10", "s1000000"]),
            (Kind::Daemontools, true) => self.command("multilog", &["t", "n10", "s1000000"]),
            (Kind::Daemontools, false) => self.command("multilog", &["n10", "s1000000"]),
            (Kind::Floor, true) => return None,
            (Kind::Floor, false) => {
                let mut command = self.tool(&["keep"]);
                command.arg(directory.join("current"));
                return Some(command);
            }
        };
        command.arg(directory);
        Some(command)
    }

    /// What is in a log directory before its logger starts.
    pub fn configure_log(&self, directory: &Path) -> Outcome<()> {
        if self.kind == Kind::Runit {
            fs::write(directory.join("config"), "s1000000\nn10\n")?;
        }
        Ok(())
    }

    /// The helper, which is the program of the floor.
    fn tool(&self, words: &[&str]) -> Command {
        let mut command = self.with_environment(&self.bin);
        command.args(words);
        command
    }

    fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = self.with_environment(&self.bin.join(program));
        command.args(words);
        command
    }

    /// The environment is as small as it can be, and the same for all.
    fn with_environment(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.bin.display()));
        command
    }
}

/// Debian's s6 looks for its programs and libraries in /usr, wherever it was unpacked.
fn s6(bin: &Path, root: &Path, name: &str) -> Outcome<Option<Suite>> {
    let is_unpacked = root != Path::new("/") && bin == root.join("usr/bin");
    if is_unpacked && let Err(error) = process::show_in_usr(root) {
        eprintln!("{name} is left out: its programs must be in /usr/bin, and cannot be shown there: {error}");
        return Ok(None);
    }
    let mut suite = Suite::new(name, bin.to_owned(), Kind::S6 { grows: "-c" }, false);
    // Since 2.12 the option has another letter; an unknown one is a usage error, which is 100.
    let asked = suite.command("s6-svscan", &["-C", "4096", "/dev/null"]).stderr(Stdio::null()).status()?;
    if asked.code() != Some(100) {
        suite.kind = Kind::S6 { grows: "-C" };
    }
    Ok(Some(suite))
}

/// Debian's busybox has none of runit's programs; one that was built with them is a suite.
fn busybox(program: &Path, name: &str, scratch: &Path) -> Outcome<Option<Suite>> {
    let list = Command::new(program).arg("--list").stdin(Stdio::null()).output()?.stdout;
    let list = String::from_utf8_lossy(&list);
    let wanted = ["runsvdir", "runsv", "sv", "svlogd", "chpst"];
    if !wanted.iter().all(|wanted| list.lines().any(|applet| applet == *wanted)) {
        eprintln!("{}: has no runsvdir, runsv, sv, svlogd and chpst", program.display());
        return Ok(None);
    }
    let bin = scratch.join(format!("bin-{name}"));
    fs::create_dir(&bin)?;
    for applet in wanted {
        symlink(program, bin.join(applet))?;
    }
    Ok(Some(Suite::new(name, bin, Kind::Runit, false)))
}
