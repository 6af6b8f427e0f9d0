//! Users and groups of the machine, and what a process has from them.
#![allow(unsafe_code)]

#[cfg(any(target_env = "musl", test))]
mod files;
mod library;

use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{Gid, Uid};

#[cfg(target_env = "musl")]
use self::files as database;
#[cfg(not(target_env = "musl"))]
use self::library as database;

/// A user of the machine, as getpwnam(3) knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
    /// Home directory.
    pub home: PathBuf,
    /// Login shell.
    pub shell: PathBuf,
}

/// The user called `name`; `None` when the database says that there is none.
pub fn account(name: &OsStr) -> io::Result<Option<Account>> {
    name.to_str().map_or(Ok(None), database::account)
}

/// The user with this id; `None` when the database says that there is none.
pub fn account_of(uid: u32) -> io::Result<Option<Account>> {
    database::account_of(uid)
}

/// The id of the group called `name`; `None` when the database says that there is none.
pub fn group(name: &OsStr) -> io::Result<Option<u32>> {
    name.to_str().map_or(Ok(None), database::group)
}

/// The home directory of whoever runs this process: HOME, or else what the database says; `/` where neither knows.
pub fn home() -> PathBuf {
    let home = std::env::var_os("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    let home = home.or_else(|| account_of(uid()).ok().flatten().map(|account| account.home));
    home.unwrap_or_else(|| PathBuf::from("/"))
}

/// Every group of the user called `name`, `gid` among them, as getgrouplist(3).
pub fn groups_of(name: &OsStr, gid: u32) -> io::Result<Vec<u32>> {
    database::groups_of(name, gid)
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid::from_raw(*gid)).collect();
    Ok(nix::unistd::setgroups(&groups)?)
}

/// Sets the real, effective and saved group id. The id -1, which would change nothing, is an error.
pub fn set_gid(gid: u32) -> io::Result<()> {
    refuse_unchanged(gid)?;
    let gid = Gid::from_raw(gid);
    Ok(nix::unistd::setresgid(gid, gid, gid)?)
}

/// Sets the real, effective and saved user id. The id -1, which would change nothing, is an error.
pub fn set_uid(uid: u32) -> io::Result<()> {
    refuse_unchanged(uid)?;
    let uid = Uid::from_raw(uid);
    Ok(nix::unistd::setresuid(uid, uid, uid)?)
}

/// setresuid(2) takes -1 as "leave it": whoever drops root so would keep it.
fn refuse_unchanged(id: u32) -> io::Result<()> {
    if id == u32::MAX { Err(Errno::EINVAL.into()) } else { Ok(()) }
}

/// The real user id of this process.
pub fn uid() -> u32 {
    nix::unistd::getuid().as_raw()
}

/// The effective user id of this process.
pub fn effective_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

/// Whether this process can become root, or get root's group, although it gave both up. It tries.
pub fn can_regain_root() -> bool {
    let root = Uid::from_raw(0);
    let group = Gid::from_raw(0);
    nix::unistd::setuid(root).is_ok()
        || nix::unistd::seteuid(root).is_ok()
        || nix::unistd::setresuid(root, root, root).is_ok()
        || (nix::unistd::getgid() != group && nix::unistd::setresgid(group, group, group).is_ok())
        || nix::unistd::setgroups(&[group]).is_ok()
}

/// Gives up every capability, those too that an exec might turn into rights again.
///
/// An ordinary user's id takes away all but the inheritable ones. Errors: none but of an unknown kernel.
pub fn drop_capabilities() -> io::Result<()> {
    /// Source: linux/capability.h.
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0]; // 0 is this process
    let none = [0_u32; 6]; // effective, permitted, inheritable; twice, for the upper half
    // SAFETY: capset reads a header of two numbers and, in this version, two sets of three, and nothing else.
    match unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Takes a new session keyring, as pam_keyinit(8): who keeps the old one has the keys in it. Where the kernel has no
/// keyrings, or lets nobody have them, there is none to leave.
pub fn new_keyring() -> io::Result<()> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_long = 1;
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: this call takes a number and the name of a keyring, or a null pointer.
    match unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, unnamed) } {
        -1 => match Errno::last() {
            Errno::ENOSYS | Errno::EPERM | Errno::EACCES => Ok(()),
            error => Err(error.into()),
        },
        _ => Ok(()),
    }
}

/// Whether every user id of this process is `uid`, and every group id `gid`.
pub fn is_wholly(uid: u32, gid: u32) -> io::Result<bool> {
    let (uids, gids) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    Ok([uids.real, uids.effective, uids.saved] == [uid; 3] && [gids.real, gids.effective, gids.saved] == [gid; 3])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_that_means_unchanged_is_refused() {
        assert_eq!(set_uid(u32::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
        assert_eq!(set_gid(u32::MAX).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    }
}
