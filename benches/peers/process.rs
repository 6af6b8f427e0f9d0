//! Processes: starting them, waiting for them with a limit, what the kernel says of them, and the end of them all.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::{self, SigSet, Signal};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;

use crate::Outcome;

/// Set by INT, TERM and HUP: whoever waits gives up.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);

/// What the watchdog ends, and when, in nanoseconds of [`now`].
static WATCHED: Mutex<Option<(Watched, u64)>> = Mutex::new(None);

#[derive(Clone, Copy)]
enum Watched {
    One(Pid),
    All,
}

/// Nanoseconds of the clock that the payload takes its time from.
pub fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_nanos()).unwrap_or(0))
}

/// Makes everything that is started a descendant for good, and signals and overlong waits an error instead of an end.
pub fn take_charge() -> Outcome<()> {
    prctl::set_child_subreaper(true)?;
    let asked: SigSet = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP].into_iter().collect();
    asked.thread_block()?;
    thread::spawn(move || {
        while asked.wait().is_ok() {
            INTERRUPTED.store(true, Ordering::Relaxed);
        }
    });
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(100));
            let watched = WATCHED.lock().unwrap_or_else(|poison| poison.into_inner());
            match *watched {
                Some((what, limit)) if now() > limit || INTERRUPTED.load(Ordering::Relaxed) => match what {
                    Watched::One(pid) => drop(signal::kill(pid, Signal::SIGKILL)),
                    Watched::All => kill_descendants(),
                },
                _ => {}
            }
        }
    });
    Ok(())
}

/// Shows what is in `root/usr/bin` and in libraries' directories below `root/usr/lib` in the same places of the machine,
/// to this process and its children alone. Only root can do that.
pub fn show_in_usr(root: &Path) -> Outcome<()> {
    let none = None::<&str>;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    let libraries = fs::read_dir(root.join("usr/lib")).into_iter().flatten().flatten().map(|entry| entry.path());
    for shown in libraries.chain([root.join("usr/bin")]) {
        let place = Path::new("/").join(shown.strip_prefix(root)?);
        if place.is_dir() && shown.is_dir() {
            let layers = format!("lowerdir={}:{}", shown.display(), place.display());
            mount(Some("overlay"), &place, Some("overlay"), MsFlags::MS_RDONLY, Some(layers.as_str()))?;
        }
    }
    Ok(())
}

/// An error once somebody has asked the bench to end.
pub fn go_on() -> Outcome<()> {
    if INTERRUPTED.load(Ordering::Relaxed) { Err("it was told to end".into()) } else { Ok(()) }
}

/// Sleeps, unless it is told to end.
pub fn rest(time: Duration) -> Outcome<()> {
    let end = now() + time.as_nanos() as u64;
    loop {
        go_on()?;
        match Duration::from_nanos(end.saturating_sub(now())) {
            Duration::ZERO => return Ok(()),
            left => thread::sleep(left.min(Duration::from_millis(200))),
        }
    }
}

/// Waits, at most for so long, until nothing but this wants to run on the machine.
pub fn calm(at_most: Duration) {
    let end = now() + at_most.as_nanos() as u64;
    while now() < end {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let running = load.split([' ', '/']).nth(3).and_then(|number| number.parse::<u32>().ok());
        if running.is_none_or(|running| running <= 1) {
            return;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Runs a program to its end without input and output, and tells how long that took, in nanoseconds.
pub fn run(command: &mut Command, limit: Duration) -> Outcome<u64> {
    go_on()?;
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = now();
    let mut child = command.spawn().map_err(|error| format!("{}: {error}", command.get_program().display()))?;
    let waited = until_dead(pid_of(&child), limit);
    let end = now();
    let status = child.wait()?;
    waited?;
    match status.success() {
        true => Ok(end - begin),
        false => Err(format!("{}: {status}", command.get_program().display()).into()),
    }
}

pub fn pid_of(child: &std::process::Child) -> Pid {
    Pid::from_raw(child.id().cast_signed())
}

/// Waits until the process is dead, but does not collect it; one that takes too long is killed, which is an error.
pub fn until_dead(pid: Pid, limit: Duration) -> Outcome<()> {
    let end = watch(Watched::One(pid), limit);
    let waited = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(Errno::EINTR) => {}
            other => break other,
        }
    };
    unwatch();
    waited?;
    go_on()?;
    if now() > end { Err(format!("it takes more than {} s", limit.as_secs()).into()) } else { Ok(()) }
}

/// Waits until no descendant is left, and tells when the last one was collected.
pub fn until_all_dead(limit: Duration) -> Outcome<u64> {
    let end = watch(Watched::All, limit);
    while !matches!(waitpid(None, None), Err(Errno::ECHILD)) {}
    let last = now();
    unwatch();
    go_on()?;
    if last > end { Err(format!("the tree is not gone in {} s", limit.as_secs()).into()) } else { Ok(last) }
}

fn watch(what: Watched, limit: Duration) -> u64 {
    let end = now() + limit.as_nanos() as u64;
    *WATCHED.lock().unwrap_or_else(|poison| poison.into_inner()) = Some((what, end));
    end
}

fn unwatch() {
    *WATCHED.lock().unwrap_or_else(|poison| poison.into_inner()) = None;
}

/// Collects what has ended.
pub fn reap() {
    while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
        if status == WaitStatus::StillAlive {
            return;
        }
    }
}

/// Ends everything that was started, supervisors before what they supervise, and collects it.
pub fn end_all() -> Outcome<()> {
    let limit = now() + 20_000_000_000;
    loop {
        reap();
        if Processes::read().below(Pid::this()).is_empty() {
            return Ok(());
        }
        if now() > limit {
            return Err("some processes cannot be ended".into());
        }
        kill_descendants();
        thread::sleep(Duration::from_millis(5));
    }
}

fn kill_descendants() {
    for pid in Processes::read().below(Pid::this()) {
        let _ = signal::kill(pid, Signal::SIGKILL);
    }
}

/// Who was whose child at one moment.
pub struct Processes {
    children: HashMap<i32, Vec<Pid>>,
}

impl Processes {
    pub fn read() -> Processes {
        let mut children: HashMap<i32, Vec<Pid>> = HashMap::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            let pid = Pid::from_raw(pid);
            if let Some((state, parent)) = state_and_parent(pid)
                && !matches!(state, 'Z' | 'X')
            {
                children.entry(parent.as_raw()).or_default().push(pid);
            }
        }
        Processes { children }
    }

    /// All descendants, parents before their children.
    pub fn below(&self, root: Pid) -> Vec<Pid> {
        let mut found = vec![root];
        let mut next = 0;
        while let Some(pid) = found.get(next) {
            found.extend(self.children.get(&pid.as_raw()).into_iter().flatten());
            next += 1;
        }
        found.remove(0);
        found
    }
}

pub fn parent(pid: Pid) -> Option<Pid> {
    state_and_parent(pid).map(|(_, parent)| parent)
}

fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let mut words = text.rsplit_once(')')?.1.split_ascii_whitespace();
    Some((words.next()?.chars().next()?, Pid::from_raw(words.next()?.parse().ok()?)))
}

/// Device and inode of the program that a process runs.
pub fn program(pid: Pid) -> io::Result<(u64, u64)> {
    fs::metadata(format!("/proc/{pid}/exe")).map(|file| (file.dev(), file.ino()))
}

/// Nanoseconds of CPU that the processes have had together.
pub fn cpu_of(pids: &[Pid]) -> u64 {
    pids.iter().map(|pid| number(&format!("/proc/{pid}/schedstat"), "")).sum()
}

/// How often the processes have gone to sleep, together: once more than they were woken.
pub fn sleeps_of(pids: &[Pid]) -> u64 {
    pids.iter().map(|pid| number(&format!("/proc/{pid}/status"), "voluntary_ctxt_switches:")).sum()
}

/// Proportional set size of the processes together, in kB.
pub fn pss_of(pids: &[Pid]) -> u64 {
    pids.iter().map(|pid| number(&format!("/proc/{pid}/smaps_rollup"), "Pss:")).sum()
}

/// The number in the line that begins with `key`; 0 for a process that is gone.
fn number(path: &str, key: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse().ok()).unwrap_or(0)
}
