//! A directory that this process keeps: claimed among its like, and told of what is done to the names in it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, RawFd};

/// Which byte of a directory is locked, so that nobody else locks the same by chance.
const CLAIMED: libc::off_t = 0x0068_6f6d_6572_756e;

/// What is to be told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tell {
    /// A name is taken away, or becomes another.
    Losses,
    /// That, and a name is made.
    All,
    /// A name becomes another in the same directory; not once, but each time.
    EachRename,
    /// Nothing.
    Nothing,
}

/// Claims `directory` as long as it is held open; `false` when another process does.
///
/// That is no flock(2): whatever locks the directory so, has its lock. Two that claim it at the same moment may both
/// be refused.
pub fn claim(directory: &File) -> io::Result<bool> {
    // SAFETY: all zeroes is a valid flock structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_whence = libc::SEEK_SET as libc::c_short;
    lock.l_start = CLAIMED;
    lock.l_len = 1;
    // A lock for reading: nobody can open a directory for writing. Whether one for writing could be had, one may ask.
    lock.l_type = libc::F_RDLCK as libc::c_short;
    let number = directory.as_raw_fd();
    // SAFETY: fcntl reads the structure it is given.
    if unsafe { libc::fcntl(number, libc::F_OFD_SETLK, &raw const lock) } == -1 {
        return Err(io::Error::last_os_error());
    }
    lock.l_type = libc::F_WRLCK as libc::c_short;
    // SAFETY: fcntl reads and writes the structure it is given.
    if unsafe { libc::fcntl(number, libc::F_OFD_GETLK, &raw mut lock) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(lock.l_type == libc::F_UNLCK as libc::c_short)
}

/// Has SIGIO sent to this process, once, when something is done to the names in `directory`, as long as it is open.
///
/// Unlike inotify this is not limited to so many for each user, and to give it up takes no time. Errors: a kernel
/// without it.
pub fn tell(directory: &File, what: Tell) -> io::Result<()> {
    /// Source: linux/fcntl.h.
    const DN_CREATE: libc::c_int = 4;
    const DN_DELETE: libc::c_int = 8;
    const DN_RENAME: libc::c_int = 16;
    const DN_MULTISHOT: libc::c_int = libc::c_int::MIN;
    let events = match what {
        Tell::Losses => DN_DELETE | DN_RENAME,
        Tell::All => DN_DELETE | DN_RENAME | DN_CREATE,
        Tell::EachRename => DN_RENAME | DN_MULTISHOT,
        Tell::Nothing => 0,
    };
    let number: RawFd = directory.as_raw_fd();
    // SAFETY: F_NOTIFY takes numbers.
    match unsafe { libc::fcntl(number, libc::F_NOTIFY, events) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_claimed_by_one_at_a_time_and_can_be_locked_all_the_same() {
        let place = tempfile::tempdir().unwrap();
        let open = || File::open(place.path()).unwrap();
        let first = open();
        assert!(claim(&first).unwrap());
        crate::sys::file::try_lock(&open()).unwrap();
        let second = open();
        assert!(!claim(&second).unwrap());
        drop(second);
        assert!(claim(&first).unwrap(), "it is its own still");
        drop(first);
        assert!(claim(&open()).unwrap());
    }
}
