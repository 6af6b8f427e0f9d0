//! What /proc tells of other processes.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::time::Duration;

use nix::errno::Errno;

use crate::sys::{fd, file, process};

/// A process and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The process.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// The process that leads, or led, its session; 0 where that cannot be read.
    pub session: i32,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

/// Every process that can be seen, with its parent. Processes that end meanwhile may be missing.
pub fn relations() -> Vec<Relation> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok()).filter_map(relation_of).collect()
}

/// Process `pid` with its parent. None where it is not there, or hidden.
pub fn relation_of(pid: i32) -> Option<Relation> {
    relation(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// So many bytes a pid and a blank have, at most.
const LONGEST_PID: usize = 16;

/// The children of this process, which has one thread.
///
/// The kernel's list of them is opened when it is needed: most never need it, and it costs the kernel some kilobytes.
#[derive(Debug)]
pub struct Children {
    file: Option<File>,
    /// Makes room for the list, so that a lack of descriptors cannot hide them.
    spare: Option<OwnedFd>,
}

impl Children {
    /// Nothing is looked at yet.
    pub fn unopened() -> Children {
        Children { file: None, spare: fd::duplicate(fd::standard_output()).ok() }
    }

    /// The kernel's list. None where it has none. Errors: the machine is short of what opening it takes.
    fn list(&mut self) -> io::Result<Option<&File>> {
        let is_short = |error: &io::Error| {
            let errno = error.raw_os_error().map(Errno::from_raw);
            matches!(errno, Some(Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM))
        };
        if self.file.is_none() {
            self.spare = None;
            match file::open_read("/proc/thread-self/children") {
                Err(error) if is_short(&error) => {
                    *self = Children::unopened();
                    return Err(error);
                }
                opened => self.file = opened.ok(),
            }
        }
        Ok(self.file.as_ref())
    }

    /// Gives each child, also one that has ended and was not reaped, to `visit` until that says false. One that comes or
    /// goes meanwhile may have others left out, where there are some hundreds.
    ///
    /// Errors: they cannot be told now.
    #[inline(never)] // what it reads into is large
    pub fn visit(&mut self, visit: &mut dyn FnMut(i32) -> bool) -> io::Result<()> {
        let Some(file) = self.list()? else {
            let own = i32::try_from(std::process::id()).unwrap_or_default();
            relations().iter().filter(|it| it.parent == own).take_while(|it| visit(it.pid)).for_each(drop);
            return Ok(());
        };
        let mut bytes = [0; 4096];
        let mut offset = 0;
        loop {
            // The kernel gives whole numbers, each with a blank behind it, as many as there is room for.
            let length = file.read_at(&mut bytes, offset)?;
            let whole = bytes[..length].iter().rposition(|byte| *byte == b' ').unwrap_or(0);
            let mut pids =
                bytes[..whole].split(|byte| *byte == b' ').filter_map(|pid| str::from_utf8(pid).ok()?.parse().ok());
            if !pids.all(&mut *visit) || length + LONGEST_PID < bytes.len() {
                return Ok(());
            }
            offset += length as u64;
        }
    }

    /// Whether a child has ended and waits to be reaped. One that /proc hides is said to live.
    pub fn has_ended(pid: i32) -> bool {
        fs::read(format!("/proc/{pid}/stat")).is_ok_and(|stat| relation(pid, &stat).is_some_and(|it| it.ended))
    }

    /// A child's name: that of its program, unless it gave itself another. What cannot be printed is `?`.
    pub fn name(pid: i32) -> Vec<u8> {
        let mut name = fs::read(format!("/proc/{pid}/comm")).unwrap_or_else(|_| b"?".to_vec());
        name.pop_if(|last| *last == b'\n');
        name.iter_mut().filter(|byte| !matches!(byte, b' '..=b'~')).for_each(|byte| *byte = b'?');
        name
    }
}

/// The command line of a process, each argument ended by a NUL; empty when it cannot be seen.
pub fn command_line(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// What can be seen of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Its state, by the letter that ps(1) has for it: `Z` only once all of it has ended.
    pub state: char,
    /// How often it gave up the processor.
    pub switches: u64,
    /// The signals that it ignores, a bit for each.
    pub ignored: u64,
    /// Those that it blocks.
    pub blocked: u64,
}

/// What is seen of a process for a fraction of the work of a [`Look`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Its state, as there. None where it is not there, or hidden.
    pub state: Option<char>,
    /// When the kernel made it, as [`made`] tells.
    pub made: Option<Duration>,
}

/// Glances at process `pid`. When it was made is told in steps of `tick`.
pub fn glance(pid: i32, tick: Duration) -> Glance {
    let mut bytes = [0; STAT_START];
    let stat = first_bytes(&format!("/proc/{pid}/stat"), &mut bytes).unwrap_or_default();
    Glance { state: state_in(stat), made: made_in(stat, tick) }
}

/// The state of process `pid` alone, as in [`Look`].
pub fn state(pid: i32) -> Option<char> {
    let mut bytes = [0; STAT_START];
    state_in(first_bytes(&format!("/proc/{pid}/stat"), &mut bytes)?)
}

fn state_in(stat: &[u8]) -> Option<char> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?;
    let threads = fields.nth(THREADS_AFTER_STATE);
    let is_led = state == "Z" && !has_ended(state, threads);
    if is_led { Some('S') } else { state.chars().next() }
}

/// What a file begins with, as far as there is room.
fn first_bytes<'a>(path: &str, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
    let length = fd::read(file::open_read(path).ok()?.as_fd(), bytes).ok()?;
    bytes.get(..length)
}

/// Looks at process `pid`. None where it is not there, or hidden.
pub fn look(pid: i32) -> Option<Look> {
    let ended = relation_of(pid)?.ended;
    look_in(&String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/status")).ok()?), ended)
}

/// Reads lines of `NAME: VALUE`. The state is that of the first thread, see [`has_ended`].
fn look_in(status: &str, ended: bool) -> Option<Look> {
    let value = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim());
    let set = |name| u64::from_str_radix(value(name)?, 16).ok();
    let state = value("State:")?.chars().next()?;
    Some(Look {
        state: if state == 'Z' && !ended { 'S' } else { state },
        switches: value("voluntary_ctxt_switches:").and_then(|count| count.parse().ok()).unwrap_or(0),
        ignored: set("SigIgn:")?,
        blocked: set("SigBlk:")?,
    })
}

/// The name of this host.
pub fn host_name() -> Option<OsString> {
    nix::unistd::gethostname().ok()
}

/// The processes that hold an flock(2) lock of a file with this inode, on whatever file system.
pub fn flock_holders(inode: u64) -> Vec<i32> {
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    locks.lines().filter_map(|line| flock_holder(line, inode)).collect()
}

/// Reads `NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE START END`. Who waits for one has a `->` behind the number.
fn flock_holder(line: &str, inode: u64) -> Option<i32> {
    let mut words = line.split_ascii_whitespace().skip(1);
    let (kind, pid, file) = (words.next()?, words.nth(2)?, words.next()?);
    let is_it = kind == "FLOCK" && file.rsplit(':').next()?.parse() == Ok(inode);
    pid.parse().ok().filter(|pid| is_it && *pid > 0)
}

/// When the kernel made process `pid`: time since it started, in steps of `tick`. None for a process that has ended,
/// also where it still waits to be reaped.
pub fn made(pid: i32, tick: Duration) -> Option<Duration> {
    made_in(&fs::read(format!("/proc/{pid}/stat")).ok()?, tick)
}

fn made_in(stat: &[u8], tick: Duration) -> Option<Duration> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?;
    let threads = fields.nth(THREADS_AFTER_STATE)?;
    let ticks: u64 = fields.nth(MADE_AFTER_THREADS)?.parse().ok()?;
    let nanoseconds = u64::try_from(tick.as_nanos()).ok()?.checked_mul(ticks)?;
    (!has_ended(state, Some(threads))).then(|| Duration::from_nanos(nanoseconds))
}

/// Enough of /proc/PID/stat for the time of making: a name of 64 bytes and 22 numbers, hardly any of them long. Source:
/// proc(5).
const STAT_START: usize = 512;
/// How many fields of /proc/PID/stat stand between the state and the number of threads. Source: proc(5).
const THREADS_AFTER_STATE: usize = 16;
/// The same between the session and the number of threads.
const THREADS_AFTER_SESSION: usize = THREADS_AFTER_STATE - 3;
/// The same between the number of threads and the time of making.
const MADE_AFTER_THREADS: usize = 1;

/// Which run of the kernel this is.
pub fn boot_id() -> Option<[u8; 16]> {
    let mut text = [0; 36];
    file::open_read("/proc/sys/kernel/random/boot_id").ok()?.read_exact(&mut text).ok()?;
    let digits = text.iter().filter(|byte| **byte != b'-').map(|byte| char::from(*byte).to_digit(16));
    let number = digits.map(|digit| digit.map(u128::from)).try_fold(0, |number, digit| Some(number << 4 | digit?))?;
    Some(number.to_be_bytes())
}

/// Which pid namespace this process is in: the inode that stands for it.
pub fn pid_namespace() -> Option<u64> {
    process::own_pid_namespace().or_else(|| fs::metadata("/proc/self/ns/pid").ok().map(|found| found.ino()))
}

/// Reads `pid (comm) state ppid ...`; the name may hold spaces and parentheses, so the last one counts.
fn relation(pid: i32, stat: &[u8]) -> Option<Relation> {
    let mut fields = after_name(stat)?;
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1).and_then(|session| session.parse().ok()).unwrap_or(0);
    Some(Relation { pid, parent, session, ended: has_ended(state, fields.nth(THREADS_AFTER_SESSION)) })
}

/// The fields of /proc/PID/stat from the state on.
fn after_name(stat: &[u8]) -> Option<std::str::SplitAsciiWhitespace<'_>> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    Some(std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace())
}

/// The state is that of the first thread: while there are others, the process lives on without it.
fn has_ended(state: &str, threads: Option<&str>) -> bool {
    matches!(state, "Z" | "X") && threads.is_none_or(|threads| matches!(threads, "0" | "1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let read = relation(7, b"7 (a) Z 1 (b) S 42 8 9 0 -1\n");
        assert_eq!(read, Some(Relation { pid: 7, parent: 42, session: 9, ended: false }));
        assert_eq!(relation(7, b"7 (a) Z 9 1").map(|it| it.ended), Some(true));
        assert_eq!(relation(7, b"garbage"), None);
    }

    #[test]
    fn a_look_at_a_process_finds_its_state_and_its_signals() {
        let status = "Name:\tState: X\nState:\tZ (zombie)\nSigBlk:\t0000000000004000\nSigIgn:\t0000000000000002\n\
            voluntary_ctxt_switches:\t7\n";
        let look = Look { state: 'Z', switches: 7, ignored: 2, blocked: 0x4000 };
        assert_eq!(look_in(status, true), Some(look));
        assert_eq!(look_in(status, false), Some(Look { state: 'S', ..look }), "other threads live on");
        assert_eq!(look_in("garbage", false), None);
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(super::look(own).is_some_and(|look| look.state != 'Z'));
        assert!(super::state(own).is_some_and(|state| "RSD".contains(state)));
        let tick = crate::sys::clock::tick();
        let glance = super::glance(own, tick);
        assert!(glance.state.is_some() && glance.made.is_some() && glance.made == made(own, tick), "{glance:?}");
        assert_eq!(super::glance(0, tick), Glance::default());
    }

    #[test]
    fn the_holder_of_a_lock_is_found_and_who_waits_for_it_is_not() {
        let holder = |line| flock_holder(line, 42);
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 7 fe:00:42 0 EOF"), Some(7));
        assert_eq!(holder("1: -> FLOCK  ADVISORY  WRITE 7 fe:00:42 0 EOF"), None);
        assert_eq!(holder("1: POSIX  ADVISORY  WRITE 7 fe:00:42 0 EOF"), None);
        assert_eq!(holder("1: OFDLCK ADVISORY  READ -1 fe:00:42 0 EOF"), None);
        assert_eq!(holder("1: FLOCK  ADVISORY  WRITE 7 fe:00:4242 0 EOF"), None);
        assert_eq!(holder("garbage"), None);
    }

    #[test]
    fn a_process_without_its_first_thread_has_not_ended() {
        let stat = |threads| format!("7 (a) Z 1 7 7 0 -1 4227084 2946 0 0 0 4 1 0 0 20 0 {threads} 0 4294967296 0\n");
        let tick = Duration::from_millis(10);
        let ended = |threads| relation(7, stat(threads).as_bytes()).map(|it| it.ended);
        assert_eq!((ended(2), ended(1)), (Some(false), Some(true)));
        // After 497 days there are more ticks than 32 bits can count.
        assert_eq!(made_in(stat(2).as_bytes(), tick), Some(Duration::from_millis(42_949_672_960)));
        assert_eq!(made_in(stat(1).as_bytes(), tick), None);
        assert_eq!([stat(2), stat(1)].map(|stat| state_in(stat.as_bytes())), [Some('S'), Some('Z')]);
    }

    #[test]
    fn this_process_was_made_before_now_and_in_this_run_of_the_kernel() {
        use crate::sys::clock;
        let own = i32::try_from(std::process::id()).unwrap();
        let made = made(own, clock::tick()).unwrap();
        let age = clock::since_boot().checked_sub(made).unwrap();
        assert!(age < Duration::from_secs(86_400), "made {age:?} ago");
        assert!(boot_id().is_some_and(|id| id != [0; 16]) && boot_id() == boot_id());
        assert!(pid_namespace().is_some());
    }

    #[test]
    fn a_child_is_among_the_children_until_it_is_reaped_and_has_a_name() {
        let mut child = std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let mut children = Children::unopened(); // of this thread, and so are those that it starts
        let mut is_there = || {
            let mut found = false;
            let visited = children.visit(&mut |child| {
                found |= child == pid;
                !found
            });
            visited.unwrap();
            found
        };
        assert!(is_there() && !Children::has_ended(pid));
        assert_eq!(Children::name(pid), b"cat");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(!is_there());
    }

    #[test]
    fn this_process_is_among_them() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(relations().iter().any(|relation| relation.pid == own));
    }
}
