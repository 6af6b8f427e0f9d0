//! Resource limits, nice value, the score for the kernel that is out of memory, and umask.
#![allow(unsafe_code)]

use std::fs::OpenOptions;
use std::io::{self, Write as _};

use nix::errno::Errno;
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::stat::Mode;

pub use nix::sys::resource::Resource;

/// Sets the hard limit to `hard` and the soft limit to `soft`, or to the hard limit where that is lower. `None` leaves
/// a limit as it is.
pub fn set_limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let (old_soft, old_hard) = getrlimit(resource)?;
    let hard = hard.unwrap_or(old_hard);
    Ok(setrlimit(resource, soft.unwrap_or(old_soft).min(hard), hard)?)
}

/// Raises the hard limit to `hard` where it is lower. Root's right.
pub fn raise_hard_limit(resource: Resource, hard: u64) -> io::Result<()> {
    let (soft, old) = getrlimit(resource)?;
    if hard > old { Ok(setrlimit(resource, soft, hard)?) } else { Ok(()) }
}

/// Raises the soft limit of open descriptors as far as it goes, and gives what it is then.
pub fn raise_open_files() -> u64 {
    let _ = set_limit(Resource::RLIMIT_NOFILE, Some(u64::MAX), None);
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Sets the soft limit of open descriptors, as before an exec.
pub fn set_open_files(soft: u64) {
    let _ = set_limit(Resource::RLIMIT_NOFILE, Some(soft), None); // to lower it is everybody's right
}

/// The soft limit of open descriptors.
pub fn open_files() -> u64 {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(soft, _)| soft)
}

/// Adds `by` to this process's nice value, as nice(2).
pub fn add_nice(by: i32) -> io::Result<()> {
    Errno::clear(); // -1 is also a valid result: only errno tells them apart
    // SAFETY: nice(2) takes no pointer and changes only this process's priority.
    match unsafe { libc::nice(by) } {
        -1 if Errno::last_raw() != 0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Sets this process's nice value, -20 to 19, as setpriority(2).
pub fn set_nice(value: i32) -> io::Result<()> {
    // SAFETY: setpriority(2) takes no pointer; 0 is this process.
    match unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, value) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Sets by how much sooner the kernel ends this process when memory runs out, -1000 (never) to 1000 (first).
pub fn set_oom_score(score: i32) -> io::Result<()> {
    OpenOptions::new().write(true).open("/proc/self/oom_score_adj")?.write_all(score.to_string().as_bytes())
}

/// Sets the file creation mask.
pub fn set_umask(mask: u32) {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask));
}
