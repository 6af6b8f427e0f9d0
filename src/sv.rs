//! sv: tells services what to do, waits until they have done it, and says how they are.
//!
//! Waiting is by event: the renaming of a record, the end of a supervisor, the end of a `check`.

mod look;
mod wait;

use std::cell::OnceCell;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;

use crate::cli::{self, Arg, HELP, Synopsis, Usage, VERSION};
use crate::model::order::{self, Word};
use crate::model::status::Status;
use crate::model::{report, seconds};
use crate::msg::{self, Failure};
use crate::supervise::{Probe, Unreachable};
use crate::sys::{clock, user};

/// Wrong arguments, or an error before anything was done. Source: runit 2.3.0, src/sv.c.
pub const EXIT_USAGE: u8 = 100;
/// Wrong arguments to an init script. Source: LSB.
pub const EXIT_INIT_USAGE: u8 = 2;
/// The service of an init script is down. Source: LSB.
pub const EXIT_INIT_DOWN: u8 = 3;
/// How the service of an init script is cannot be found out. Source: LSB.
pub const EXIT_INIT_UNKNOWN: u8 = 4;
/// More failures than this are not counted. Source: runit 2.3.0, src/sv.c.
const MOST_FAILURES: u8 = 99;

/// How long to wait without `-w` and SVWAIT. Source: runit 2.3.0, src/sv.c.
const WAIT: Duration = Duration::from_secs(7);

/// Where a user's services are, in the home directory.
const USER_SERVICES: &str = "service";
/// Where root's services may be: the first that exists counts.
const ROOT_SERVICES: [&str; 4] = ["/var/service", "/etc/service", "/run/runit/service", "/service"];

const ARGUMENTS: &str = "[-v] [-w sec] command service ...";

/// What sv takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "sv",
    about: "Control services, and say how they are.",
    usage: ARGUMENTS,
    groups: &[
        (
            "Arguments",
            &[
                Arg::operand(
                    "command",
                    "status, up, down, once, exit, term, kill, hup, int, quit, alarm, 1, 2, pause, cont;\n\
                     start, stop, restart, shutdown, reload, try-restart, check wait and report;\n\
                     force-stop, force-restart, force-reload, force-shutdown kill what takes too long",
                ),
                Arg::operand("service", "A name in the services directory, or a path with / or . first"),
            ],
        ),
        (
            "Options",
            &[
                Arg::value(
                    b'w',
                    "wait",
                    "sec",
                    "Wait so long at most, and report: seconds, or a duration such as 2m (default 7)",
                ),
                Arg::flag(b'v', "report", "Wait and report also for simple commands"),
                Arg::flag(b'V', "id", "Print the version, and how sv is used"),
                HELP,
                VERSION,
            ],
        ),
    ],
};

/// How sv was called and what it goes by.
pub struct Call {
    /// Called by the name of a service, as an init script.
    init_script: Option<OsString>,
    usage: Usage,
    reports: bool,
    wait: Wait,
    /// Looked for once a service is named that is no path.
    services_directory: OnceCell<PathBuf>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wait {
    /// As long as was said.
    Said(Duration),
    /// As long as the service may take to stop, or [`WAIT`].
    Default,
}

/// Does what the arguments say.
pub fn run(program: &OsStr, args: Vec<OsString>) -> u8 {
    let name = cli::base_name(program).to_os_string();
    let init_script = (name != "sv").then(|| name.clone());
    let usage = if init_script.is_some() {
        Usage::new(name, "[-w sec] command", EXIT_INIT_USAGE)
    } else {
        Usage::new(name, ARGUMENTS, EXIT_USAGE)
    };
    let given = match usage.parse(&SYNOPSIS, args) {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    if given.has("id") {
        msg::to_stderr(concat!("homerun ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
        return usage.fail();
    }
    let waits_for = given.value("wait").map(OsStr::to_owned);
    let reports = given.has("report") || waits_for.is_some();
    let wait = match waits_for.or_else(|| std::env::var_os("SVWAIT")) {
        Some(text) => Wait::Said(seconds::read(text.as_bytes(), |text| humantime::parse_duration(text).ok())),
        None => Wait::Default,
    };
    let call = Call { init_script, usage, reports, wait, services_directory: OnceCell::new() };
    let (word, services) = match given.operands.split_first() {
        Some((word, services)) => (word, services),
        None => return call.usage.fail(),
    };
    call.carry_out(word, services)
}

impl Call {
    fn carry_out(&self, word: &OsStr, services: &[OsString]) -> u8 {
        let Some(word) = order::read(word.as_bytes(), self.init_script.is_some()) else { return self.usage.fail() };
        let services = match &self.init_script {
            Some(name) => std::slice::from_ref(name),
            None if services.is_empty() => return self.usage.fail(),
            None => services,
        };
        let services = services.iter().map(|name| self.service(name));
        match word {
            Word::Status => self.print_statuses(services),
            Word::Order(order) => most(wait::carry_out(self, order, services.collect())),
        }
    }

    fn service(&self, name: &OsStr) -> Service {
        let bytes = name.as_bytes();
        let is_path = matches!(bytes.first(), None | Some(b'/' | b'.')) || bytes.ends_with(b"/");
        let directory = match is_path {
            true => PathBuf::from(name),
            false => self.services_directory.get_or_init(services_directory).join(name),
        };
        Service { name: name.to_os_string(), probe: Probe::new(directory), follows: false }
    }

    /// How long to wait for `service`.
    fn patience(&self, service: &Service) -> Duration {
        match self.wait {
            Wait::Said(wait) => wait,
            Wait::Default => service.time_to_stop().map_or(WAIT, |time| time.max(WAIT)),
        }
    }

    fn print_statuses(&self, services: impl Iterator<Item = Service>) -> u8 {
        let mut failures = 0;
        let mut last = Ok(false);
        let mut parent = None;
        for mut service in services {
            service.probe.start_from(&mut parent);
            service.probe.hold();
            let (mut line, outcome) = service.describe(&service.name, b"");
            failures += usize::from(outcome.is_err());
            last = outcome;
            if last.is_ok()
                && let Some((log, is_known)) = service.describe_log()
            {
                line.extend_from_slice(b"; ");
                line.extend_from_slice(&log);
                failures += usize::from(!is_known);
            }
            msg::line_to_stdout(&[&line]);
        }
        match (&self.init_script, last) {
            (None, _) => most(failures),
            (Some(_), Ok(true)) => cli::EXIT_SUCCESS,
            (Some(_), Ok(false)) => EXIT_INIT_DOWN,
            (Some(_), Err(Trouble::Fail)) => 1,
            (Some(_), Err(Trouble::Warning)) => EXIT_INIT_UNKNOWN,
        }
    }
}

fn most(failures: usize) -> u8 {
    u8::try_from(failures).unwrap_or(MOST_FAILURES).min(MOST_FAILURES)
}

/// `SVDIR`; without it a user's `~/service`, and root's first that there is.
fn services_directory() -> PathBuf {
    if let Some(directory) = std::env::var_os("SVDIR").filter(|directory| !directory.is_empty()) {
        return PathBuf::from(directory);
    }
    if user::effective_uid() == 0 {
        let found = ROOT_SERVICES.iter().find(|directory| Path::new(directory).is_dir());
        return PathBuf::from(found.unwrap_or(&ROOT_SERVICES[0]));
    }
    user::home().join(USER_SERVICES)
}

/// A service as it was named, and where it is.
struct Service {
    name: OsString,
    probe: Probe,
    /// It is a log service, told of behind its service on the line of that.
    follows: bool,
}

/// How bad it is that a service cannot be talked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Fail,
    Warning,
}

impl Service {
    /// How long the service may take to stop, as its `timeout-kill` says.
    fn time_to_stop(&self) -> Option<Duration> {
        self.probe.timeout("timeout-kill")
    }

    /// Whether one can go to its directory. An empty name is none, as in chdir(2).
    fn enter(&self) -> io::Result<()> {
        if self.name.is_empty() { Err(Errno::ENOENT.into()) } else { self.probe.enter() }
    }

    /// The status, or why there is none.
    fn status(&self) -> Result<Status, Unreachable> {
        self.ask(Probe::status)
    }

    /// What the probe finds. Where that is nothing, perhaps one cannot even go to the directory.
    fn ask<T>(&self, what: impl FnOnce(&Probe) -> Result<T, Unreachable>) -> Result<T, Unreachable> {
        let found = what(&self.probe);
        if found.is_err() || self.name.is_empty() {
            let failed = |error| Unreachable::Failed(Failure::new("change to service directory", "", error));
            self.enter().map_err(failed)?;
        }
        found
    }

    /// The line of its status, after `before`, and why it is not otherwise; whether it runs, or what the trouble is.
    fn describe(&self, name: &OsStr, before: &[u8]) -> (Vec<u8>, Result<bool, Trouble>) {
        match self.status() {
            Ok(status) => {
                let process = look::glance(&status);
                let mut line = msg::join(&[before, &self.line(name, &status, process.made)]);
                let ailments = self.ailments(&status, process.state).into_iter().map(String::into_bytes);
                for remark in ailments.chain(self.probe.reason()) {
                    line.extend_from_slice(b", ");
                    line.extend_from_slice(&remark);
                }
                (line, Ok(status.pid != 0))
            }
            Err(error) => {
                let (line, trouble) = self.complaint(&error);
                (msg::join(&[before, &line]), Err(trouble))
            }
        }
    }

    /// The part of the line that tells of the log service, and whether all is known of it; None without one.
    fn describe_log(&self) -> Option<(Vec<u8>, bool)> {
        let mut name = self.name.clone();
        name.push("/log");
        let mut log = Service { name, probe: self.probe.log(), follows: true };
        if let Err(error) = log.probe.enter() {
            if error.kind() == io::ErrorKind::NotFound {
                return None;
            }
            let failure = Failure::new("change directory", "", error);
            return Some((msg::join(&[b"warning: ", log.name.as_bytes(), b": ", &failure.text()]), false));
        }
        log.probe.hold();
        let (line, outcome) = log.describe(OsStr::new("log"), b"");
        Some((line, outcome.is_ok()))
    }

    /// The line of `status`. When its process was `made` is time since the kernel started, where that is known.
    fn line(&self, name: &OsStr, status: &Status, made: Option<Duration>) -> Vec<u8> {
        let normally_up = match self.probe.has("down") {
            Ok(has_down) => !has_down,
            Err(error) => {
                self.warn_of("stat", "down", error);
                true
            }
        };
        let now = clock::wall().as_secs();
        let agrees = |measured| report::agrees(status, now, measured);
        // Where the clock was not set since the process was made, what its supervisor noted says nothing else.
        let is_right = made.and_then(|made| clock::since_boot().checked_sub(made)).is_some_and(agrees);
        let measured = if is_right { None } else { self.probe.age(status, |measured| !agrees(measured)) };
        report::line(name.as_bytes(), status, report::age(status, now, measured), normally_up)
    }

    /// `fail: NAME: ...` or `warning: NAME: ...`, without a newline.
    fn complaint(&self, error: &Unreachable) -> (Vec<u8>, Trouble) {
        let (text, trouble) = match error {
            Unreachable::NotRunning => (b"runsv not running".to_vec(), Trouble::Fail),
            Unreachable::BadFormat => (b"unable to read supervise/status: bad format".to_vec(), Trouble::Warning),
            Unreachable::Failed(failure) if self.enter().is_err() => (failure.text(), Trouble::Fail),
            Unreachable::Failed(failure) | Unreachable::Unsupervised(failure) => (failure.text(), Trouble::Warning),
        };
        let word: &[u8] = if trouble == Trouble::Fail { b"fail: " } else { b"warning: " };
        (msg::join(&[word, self.name.as_bytes(), b": ", &text]), trouble)
    }

    /// `warning: unable to DEED NAME/FILE: ...` on stderr.
    fn warn_of(&self, deed: &'static str, file: &str, error: io::Error) {
        let mut object = self.name.clone();
        object.push("/");
        object.push(file);
        let text = Failure::new(deed, object, error).text();
        msg::line_to_stderr(&[b"warning: ", &text]);
    }
}
