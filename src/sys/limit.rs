//! Resource limits, nice value and umask.
#![allow(unsafe_code)]

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{getrlimit, setrlimit};
use nix::sys::stat::Mode;

pub use nix::sys::resource::Resource;

/// Sets the soft limit to `soft`, or to the hard limit where that is lower. The hard limit stays.
pub fn set_soft_limit(resource: Resource, soft: u64) -> io::Result<()> {
    let (_, hard) = getrlimit(resource)?;
    Ok(setrlimit(resource, soft.min(hard), hard)?)
}

/// Raises the soft limit of open descriptors as far as it goes, and gives what it is then.
pub fn raise_open_files() -> u64 {
    let _ = set_soft_limit(Resource::RLIMIT_NOFILE, u64::MAX);
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

/// Sets the file creation mask.
pub fn set_umask(mask: u32) {
    nix::sys::stat::umask(Mode::from_bits_truncate(mask));
}
