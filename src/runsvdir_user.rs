//! runsvdir-user: root's step to a user's tree.
//!
//! Looks the user up, gives root up for good and proves it, and only then looks at anything that the user controls.
//! Then it makes a clean login environment and becomes `runsvdir -P` on the user's services directory.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use crate::chpst::envdir;
use crate::cli::{Arg, Given, HELP, Synopsis, Usage, VERSION};
use crate::model::envdir::Setting;
use crate::model::login::{self, Fault, Found, Login};
use crate::model::{lookup, number};
use crate::msg::{Failure, Speaker, Tried as _};
use crate::runsvdir::STOP_DEADLINE;
use crate::sys::process::{self, Argv, Image};
use crate::sys::user::{self, Account};
use crate::sys::{fd, file, limit, proc};

/// Wrong arguments, or no name to take the user from. These codes, 101 to 110, are refusals: starting again does not
/// help. `etc/sv/runsvdir-user/finish` tells them by this range.
pub const EXIT_USAGE: u8 = 110;
/// The account database knows no such user.
pub const EXIT_UNKNOWN_USER: u8 = 101;
/// The user is root, and `--allow-root` was not given.
pub const EXIT_ROOT: u8 = 102;
/// Only root can become another user.
pub const EXIT_NOT_ROOT: u8 = 103;
/// Root's rights could not be given up, or could be had back.
pub const EXIT_DROP: u8 = 104;
/// The services directory is no directory, or another user's.
pub const EXIT_SERVICES_OWNER: u8 = 105;
/// Others can write into the services directory.
pub const EXIT_SERVICES_MODE: u8 = 106;
/// The runtime directory is not the user's alone.
pub const EXIT_RUNTIME: u8 = 107;
/// The environment directory is not root's, or cannot be read.
pub const EXIT_ENV: u8 = 108;
/// There is no runsvdir to become.
pub const EXIT_NO_RUNSVDIR: u8 = 109;
/// A system call failed; starting again may help.
pub const EXIT_FAILED: u8 = 111;

/// Where runtime directories are.
const RUNTIME: &str = "/run/user";
/// How long a stop may take, without `--deadline`.
const DEADLINE: &str = "30s";
/// The file creation mask, without `--umask`.
const UMASK: u32 = 0o022;

/// The pauses while something is not there yet.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

const ARGUMENTS: &str = "[options] [user [services-directory]]";

/// What runsvdir-user takes.
pub const SYNOPSIS: Synopsis = Synopsis {
    name: "runsvdir-user",
    about: "Run the services of a user, as that user.",
    usage: ARGUMENTS,
    groups: &[
        (
            "Arguments",
            &[
                Arg::operand("user", "Default: NAME, where the service directory is called runsvdir-NAME"),
                Arg::operand("services-directory", "Default: ~/service"),
            ],
        ),
        (
            "Options",
            &[
                Arg::long_value("path", "path", "PATH of the services"),
                Arg::long_value("env", "dir", "Add the variables of this directory of root's, as chpst -e does"),
                Arg::long_value("umask", "mode", "File creation mask (default 022)"),
                Arg::long_value("deadline", "duration", "Kill what a stop has not ended after so long (default 30s)"),
                Arg::long("allow-root", "Accept a user with uid 0"),
                HELP,
                VERSION,
            ],
        ),
    ],
};

/// What was asked for.
struct Wishes {
    user: OsString,
    services: Option<PathBuf>,
    path: Option<OsString>,
    env: Option<OsString>,
    umask: u32,
    deadline: Duration,
    allow_root: bool,
}

/// Why it ends here: what to say, and the exit code.
struct Refusal {
    text: Vec<u8>,
    exit: u8,
}

impl Refusal {
    fn new(text: impl Into<Vec<u8>>, exit: u8) -> Refusal {
        Refusal { text: text.into(), exit }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::new(failure.text(), EXIT_FAILED)
    }
}

/// Does what the arguments say; returns only on failure.
pub fn run(program: OsString, args: Vec<OsString>) -> u8 {
    let usage = Usage::new(program, ARGUMENTS, EXIT_USAGE);
    let nobody = Speaker::new("runsvdir-user");
    let given = match usage.parse(&SYNOPSIS, args) {
        Ok(given) => given,
        Err(exit) => return exit,
    };
    if given.operands.len() > 2 {
        return usage.fail();
    }
    match Wishes::read(&given) {
        Err(refusal) => {
            nobody.fatal(&refusal.text);
            refusal.exit
        }
        Ok(wishes) => {
            let speaker = Speaker::of("runsvdir-user", &wishes.user);
            let refusal = wishes.carry_out(&speaker);
            speaker.fatal(&refusal.text);
            refusal.exit
        }
    }
}

impl Wishes {
    fn read(given: &Given) -> Result<Wishes, Refusal> {
        let bad =
            |option: &str, value: &OsStr| Refusal::new(format!("invalid {option}: {}", value.display()), EXIT_USAGE);
        let words = |name: &str| given.value(name).map(OsStr::to_owned);
        let umask = match given.value("umask") {
            Some(mode) => number::mode(mode.as_bytes()).ok_or_else(|| bad("umask", mode))?,
            None => UMASK,
        };
        let deadline = given.value("deadline").unwrap_or(OsStr::new(DEADLINE));
        let deadline = deadline
            .to_str()
            .and_then(|text| humantime::parse_duration(text).ok())
            .ok_or_else(|| bad("deadline", deadline))?;
        let mut operands = given.operands.iter();
        let user = match operands.next() {
            Some(user) => user.clone(),
            None => own_name().ok_or_else(|| {
                Refusal::new("no user given, and the service directory is not called runsvdir-NAME", EXIT_USAGE)
            })?,
        };
        Ok(Wishes {
            user,
            services: operands.next().map(PathBuf::from),
            path: words("path"),
            env: words("env"),
            umask,
            deadline,
            allow_root: given.has("allow-root"),
        })
    }

    fn carry_out(&self, speaker: &Speaker) -> Refusal {
        match self.become_runsvdir(speaker) {
            Ok(never) => match never {},
            Err(refusal) => refusal,
        }
    }

    fn become_runsvdir(&self, speaker: &Speaker) -> Result<std::convert::Infallible, Refusal> {
        let account = self.account(speaker)?;
        let is_root = user::effective_uid() == 0;
        limit::set_umask(UMASK); // for what root makes
        let trusted = [0, if is_root { 0 } else { account.uid }];
        let additions = self.additions(&trusted)?;
        // Root gets its user a runtime directory; who stays who he is may bring his own.
        let brought = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
        let brought = brought.filter(|_| !is_root || account.uid == 0);
        if is_root {
            if brought.is_none() {
                make_runtime(&account)?;
            }
            if account.uid != 0 {
                keep_back()?;
            }
            drop_root(&account, speaker)?;
        }

        // From here on this process is the user's.
        limit::set_umask(self.umask);
        wait_for(speaker, || std::env::set_current_dir(&account.home).tried("change to home directory", &account.home));
        let services = self.services(&account, speaker)?;
        let runtime = find_runtime(&account, brought, is_root)?;
        let programs = std::env::current_exe().ok().and_then(|own| own.parent().map(Path::to_path_buf));
        let path = self.path.clone().unwrap_or_else(|| login::default_path(programs.as_deref()));
        let login = Login {
            name: &account.name,
            home: &account.home,
            shell: &account.shell,
            path: &path,
            runtime: &runtime,
            services: &services,
        };
        let mut settings = login::environment(&login, std::env::vars_os());
        settings.extend(additions);
        settings.push(Setting::set(STOP_DEADLINE, humantime::format_duration(self.deadline).to_string()));
        let mut environment = Vec::new();
        crate::model::envdir::apply(&mut environment, &settings);

        process::new_session().tried("lead a session", "")?;
        fd::close_from_at_exec(3).tried("close descriptors", "")?;
        process::default_signals().tried("reset signals", "")?;
        let beside_us = programs.map(|programs| programs.join("runsvdir").into_os_string());
        let elsewhere = lookup::candidates(OsStr::new("runsvdir"), Some(&path));
        let files: Vec<OsString> = beside_us.into_iter().chain(elsewhere).collect();
        let argv = Argv::new([OsStr::new("runsvdir"), OsStr::new("-P"), services.as_os_str()]).tried("prepare", "")?;
        let image = Image::new(&files, argv).and_then(|image| image.with_environment(&environment));
        let image = image.tried("prepare", "runsvdir")?;
        let first = files.first().map_or(OsStr::new("runsvdir"), OsString::as_os_str);
        let failure = Failure::with("start runsvdir as the user", first, image.exec());
        Err(Refusal::new(failure.text(), EXIT_NO_RUNSVDIR))
    }

    /// The user, as the account database knows it; waits while that does not answer.
    fn account(&self, speaker: &Speaker) -> Result<Account, Refusal> {
        let account = wait_for(speaker, || user::account(&self.user).tried("look up user", &self.user));
        let account = account.ok_or_else(|| Refusal::new("unknown user", EXIT_UNKNOWN_USER))?;
        if account.uid == 0 && !self.allow_root {
            return Err(Refusal::new("uid 0 is refused: --allow-root accepts it", EXIT_ROOT));
        }
        if user::effective_uid() != 0 && user::uid() != account.uid {
            return Err(Refusal::new("only root can become another user", EXIT_NOT_ROOT));
        }
        Ok(account)
    }

    /// The variables of `--env`, read while this process is still root: they may be secret.
    fn additions(&self, owners: &[u32]) -> Result<Vec<Setting>, Refusal> {
        let Some(directory) = &self.env else { return Ok(Vec::new()) };
        let refused = |failure: Failure| Refusal::new(failure.text(), EXIT_ENV);
        // Every step of the way: who owns one of them says where the rest of it leads.
        let path = std::path::absolute(directory).tried("read environment directory", directory).map_err(refused)?;
        let steps: Vec<&Path> = path.ancestors().collect();
        for step in steps.into_iter().rev() {
            let found = fs::symlink_metadata(step).tried("read environment directory", step).map_err(refused)?;
            let judge = if step == path { login::judge_env } else { login::judge_way };
            if let Err(fault) = judge(facts(&found), owners) {
                return Err(Refusal::new(describe(fault, "environment directory", step, "root"), EXIT_ENV));
            }
        }
        envdir::read(directory, |_| Ok(())).map_err(refused)
    }

    /// The services directory: the default one is made if it is missing, another one is waited for.
    fn services(&self, account: &Account, speaker: &Speaker) -> Result<PathBuf, Refusal> {
        let services = account.home.join(self.services.as_deref().unwrap_or(Path::new("service")));
        let is_default = self.services.is_none();
        let found = wait_for(speaker, || match fs::metadata(&services) {
            Err(error) if is_default && error.kind() == io::ErrorKind::NotFound => {
                let made = file::make_directory(&services, 0o755).and_then(|()| fs::metadata(&services));
                made.tried("create services directory", &services)
            }
            result => result.tried("stat services directory", &services),
        });
        let own_group = user::group(OsStr::new(&account.name)).ok().flatten().filter(|gid| *gid == account.gid);
        match login::judge_services(facts(&found), account.uid, own_group) {
            Ok(()) => Ok(services),
            Err(fault) => {
                let exit = if matches!(fault, Fault::Writable(_)) { EXIT_SERVICES_MODE } else { EXIT_SERVICES_OWNER };
                Err(Refusal::new(describe(fault, "services directory", &services, &account.name), exit))
            }
        }
    }
}

/// The user that this program's own service directory names: by the name its supervisor has for it, which is that of
/// a link, or by its own.
fn own_name() -> Option<OsString> {
    let supervisor = proc::command_line(process::parent_id());
    let by_supervisor = login::service_of(&supervisor).and_then(|service| login::user_of(&service));
    by_supervisor.or_else(|| login::user_of(std::env::current_dir().ok()?.as_os_str()))
}

/// Tries until it succeeds, with growing pauses; says why it does not, each reason once.
fn wait_for<T>(speaker: &Speaker, mut attempt: impl FnMut() -> Result<T, Failure>) -> T {
    let mut pause = FIRST_PAUSE;
    let mut said = Vec::new();
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(failure) => {
                let text = failure.text();
                if text != said {
                    speaker.warn(crate::msg::join(&[&text, b", waiting"]));
                    said = text;
                }
            }
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

fn runtime_of(uid: u32) -> PathBuf {
    Path::new(RUNTIME).join(uid.to_string())
}

/// Makes the user's runtime directory, as root. One that is there is left for the user to look at.
fn make_runtime(account: &Account) -> Result<(), Refusal> {
    let _ = file::make_directory(Path::new(RUNTIME), 0o755); // it is there, or opening it says what is wrong
    let place = file::open_directory_itself(RUNTIME).tried("open", RUNTIME)?;
    let found = place.metadata().tried("stat", RUNTIME)?;
    if let Err(fault) = login::judge_env(facts(&found), &[0]) {
        return Err(Refusal::new(describe(fault, "runtime directory", RUNTIME, "root"), EXIT_RUNTIME));
    }
    file::make_directory_for(&place, &account.uid.to_string(), 0o700, account.uid, account.gid)
        .tried("create", runtime_of(account.uid))?;
    Ok(())
}

/// Keeps what root has open or possesses from the user: standard input, and the other ends of standard output and error;
/// flags that are shared with root's supervisor; the keys of root's session.
fn keep_back() -> Result<(), Refusal> {
    let nothing = file::open_read("/dev/null").tried("open", "/dev/null")?;
    fd::copy_onto(nothing.as_fd(), 0).tried("replace standard input", "")?;
    fd::narrow_to_writing(1).tried("open again", "standard output")?;
    fd::narrow_to_writing(2).tried("open again", "standard error")?;
    user::new_keyring().tried("leave keyring", "")?;
    Ok(())
}

/// Becomes the user: groups, group, user, in this order; then tries to get root back.
fn drop_root(account: &Account, speaker: &Speaker) -> Result<(), Refusal> {
    let refused = |failure: Failure| Refusal::new(failure.text(), EXIT_DROP);
    let name = OsStr::new(&account.name);
    let groups = wait_for(speaker, || user::groups_of(name, account.gid).tried("look up groups of", name));
    user::set_groups(&groups).tried("setgroups", "").map_err(refused)?;
    user::set_gid(account.gid).tried("setgid", "").map_err(refused)?;
    user::set_uid(account.uid).tried("setuid", "").map_err(refused)?;
    if account.uid != 0 {
        user::drop_capabilities().tried("drop capabilities", "").map_err(refused)?;
        process::hide().tried("hide memory", "").map_err(refused)?;
        let _ = user::new_keyring(); // one of the user's own, if that may have one more
    }
    let is_wholly = user::is_wholly(account.uid, account.gid).tried("read user ids", "").map_err(refused)?;
    if !is_wholly || (account.uid != 0 && user::can_regain_root()) {
        return Err(Refusal::new("unable to give up root: it could be had back", EXIT_DROP));
    }
    Ok(())
}

/// The user's runtime directory, as the user.
///
/// Root has made `/run/user/UID`. An ordinary user has the one he `brought`, or else `/run/user/UID`, or else
/// `runtime-UID` in TMPDIR or `/tmp`, which is made.
fn find_runtime(account: &Account, brought: Option<PathBuf>, is_root: bool) -> Result<PathBuf, Refusal> {
    let standard = runtime_of(account.uid);
    let runtime = match brought {
        Some(brought) => brought,
        None if is_root || standard.exists() => standard,
        None => {
            let place = std::env::var_os("TMPDIR").map(PathBuf::from).filter(|place| place.is_absolute());
            let own = place.unwrap_or_else(|| PathBuf::from("/tmp")).join(format!("runtime-{}", account.uid));
            match file::make_directory(&own, 0o700) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(Failure::new("create runtime directory", &own, error).into());
                }
                _ => own,
            }
        }
    };
    let found = fs::symlink_metadata(&runtime).tried("stat runtime directory", &runtime)?;
    match login::judge_runtime(facts(&found), account.uid) {
        Ok(()) => Ok(runtime),
        Err(fault) => Err(Refusal::new(describe(fault, "runtime directory", &runtime, &account.name), EXIT_RUNTIME)),
    }
}

fn facts(found: &Metadata) -> Found {
    Found {
        is_directory: found.is_dir(),
        is_link: found.is_symlink(),
        owner: found.uid(),
        group: found.gid(),
        mode: found.mode(),
    }
}

/// `WHAT PATH ...`, and what to do.
fn describe(fault: Fault, what: &str, path: impl AsRef<OsStr>, owner: &str) -> Vec<u8> {
    let why = match fault {
        Fault::NotADirectory => "is not a directory".to_owned(),
        Fault::Link => "is a link: it must be a directory".to_owned(),
        Fault::Owner(uid) => format!("belongs to uid {uid}: it must be {owner}'s"),
        Fault::Exposed(mode) => format!("has mode {mode:04o}: it must be 0700, for {owner} alone"),
        Fault::Writable(mode) => format!("has mode {mode:04o}: nobody but {owner} may write there"),
    };
    crate::msg::join(&[what.as_bytes(), b" ", path.as_ref().as_bytes(), b" ", why.as_bytes()])
}
