//! The account database as the C library knows it, whatever it is: files, a directory service, anything that
//! nsswitch.conf(5) names.
#![allow(unsafe_code)]

use std::ffi::{CString, OsStr, c_int};
use std::io;
use std::os::unix::ffi::OsStrExt as _;

use nix::errno::Errno;
use nix::unistd::{Group, Uid, User};

use super::Account;

impl From<User> for Account {
    fn from(user: User) -> Account {
        Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw(), home: user.dir, shell: user.shell }
    }
}

/// The user called `name`.
pub fn account(name: &str) -> io::Result<Option<Account>> {
    found(User::from_name(name)).map(|user| user.map(Account::from))
}

/// The user with this id.
pub fn account_of(uid: u32) -> io::Result<Option<Account>> {
    found(User::from_uid(Uid::from_raw(uid))).map(|user| user.map(Account::from))
}

/// The id of the group called `name`.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    found(Group::from_name(name)).map(|group| group.map(|group| group.gid.as_raw()))
}

/// Every group of the user called `name`, `gid` among them.
pub fn groups_of(name: &OsStr, gid: u32) -> io::Result<Vec<u32>> {
    let name = CString::new(name.as_bytes())?;
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        let room = c_int::try_from(groups.len()).map_err(|_| Errno::EINVAL)?;
        let mut count = room;
        // SAFETY: the name ends with a NUL; there is room for so many ids, and for one count.
        let answer = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) };
        let needed = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
        if answer >= 0 {
            groups.truncate(needed);
            return Ok(groups);
        }
        if count <= room {
            return Err(io::Error::last_os_error()); // it was not for want of room
        }
        groups.resize(needed, 0);
    }
}

/// getpwnam(3): some of its back ends say "not found" through errno. ENOENT is not that: the database is missing.
fn found<T>(answer: nix::Result<Option<T>>) -> io::Result<Option<T>> {
    match answer {
        Err(Errno::ESRCH) => Ok(None),
        other => Ok(other?),
    }
}
