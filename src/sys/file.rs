//! Files: the open styles of the original, locks, FIFOs, identities.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, OsStr};
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use fs2::FileExt as _;
use nix::NixPath as _;
use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{FileStat, Mode};

/// What a directory or file is, whatever it is called: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// The identity behind `metadata`.
    pub fn of(metadata: &Metadata) -> Identity {
        Identity { device: metadata.dev(), inode: metadata.ino() }
    }

    /// The identity behind what stat(2) found.
    #[allow(clippy::unnecessary_cast)] // the types differ between C libraries
    pub fn of_found(found: &FileStat) -> Identity {
        Identity { device: found.st_dev as u64, inode: found.st_ino as u64 }
    }
}

/// Opens without waiting. Not with open(2), after which musl sets close-on-exec once more, with another call.
fn open(path: &Path, flags: OFlag, mode: u32) -> io::Result<File> {
    with_name(path, |name| open_name(name, flags, mode))
}

fn open_name(name: &CStr, flags: OFlag, mode: u32) -> io::Result<File> {
    let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    loop {
        match openat(AT_FDCWD, name, flags, Mode::from_bits_truncate(mode)) {
            Err(Errno::EINTR) => {}
            opened => return Ok(opened?.into()),
        }
    }
}

/// Gives a path to `deed` as the kernel wants it. What nix copies it to is large, and the stack of a supervisor at rest
/// shall not have to grow for a short one.
fn with_name<T>(path: &Path, deed: impl FnOnce(&CStr) -> io::Result<T>) -> io::Result<T> {
    const SHORT: usize = 128;
    let bytes = path.as_os_str().as_bytes();
    if bytes.len() >= SHORT {
        return deed(&CString::new(bytes)?);
    }
    let mut room = [0; SHORT];
    room[..bytes.len()].copy_from_slice(bytes);
    let name = CStr::from_bytes_with_nul(&room[..=bytes.len()]).map_err(|_| io::ErrorKind::InvalidInput)?;
    deed(name)
}

/// Opens for reading, without waiting for a FIFO's writer.
pub fn open_read(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_RDONLY, 0)
}

/// Opens for writing, without waiting for a FIFO's reader: a FIFO that nobody reads gives ENXIO.
pub fn open_write(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_WRONLY, 0)
}

/// Opens for reading and writing; a FIFO opened so never ends.
pub fn open_read_write(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_RDWR, 0)
}

/// Opens for reading and writing at any place, made with mode 0600 where it is missing. What is in it stays.
pub fn open_for_notes(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_RDWR | OFlag::O_CREAT, 0o600)
}

/// Opens for appending, made with mode 0600 where it is missing.
pub fn open_append(path: impl AsRef<Path>) -> io::Result<File> {
    open(path.as_ref(), OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT, 0o600)
}

/// Makes a file with mode 0644, to write; fails where it is there.
pub fn make(name: &CStr) -> io::Result<File> {
    open_name(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o644)
}

/// Opens for writing from the start, made with mode 0644 where it is missing.
pub fn open_truncate(name: &CStr) -> io::Result<File> {
    open_name(name, OFlag::O_WRONLY | OFlag::O_TRUNC | OFlag::O_CREAT, 0o644)
}

/// Takes the flock(2) lock of `file`, or fails at once with EAGAIN when another holds it.
///
/// The lock ends with the last copy of the descriptor.
pub fn try_lock(file: &File) -> io::Result<()> {
    file.try_lock_exclusive()
}

/// Gives up the flock(2) lock of `file`, also for all copies of the descriptor.
pub fn unlock(file: &File) -> io::Result<()> {
    fs2::FileExt::unlock(file)
}

/// Takes the flock(2) lock of `file`, waiting for whoever holds it.
pub fn lock(file: &File) -> io::Result<()> {
    file.lock_exclusive()
}

/// The same, waiting no longer than `limit`: then it fails with ETIMEDOUT.
///
/// There is no call that waits for a lock so long only: another thread waits. It is left when it was in vain, and may
/// have the lock later than anybody wants it, as long as this process lives.
pub fn lock_within(file: &File, limit: Duration) -> io::Result<()> {
    match try_lock(file) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        result => return result,
    }
    let copy = file.try_clone()?;
    let (teller, told) = mpsc::channel();
    thread::Builder::new().spawn(move || teller.send(lock(&copy)))?;
    told.recv_timeout(limit).unwrap_or_else(|_| Err(Errno::ETIMEDOUT.into()))
}

/// Has `new` take the place of `name`.
pub fn rename(new: &CStr, name: &CStr) -> io::Result<()> {
    // SAFETY: both are strings that end.
    match unsafe { libc::rename(new.as_ptr(), name.as_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Removes the file `name`.
pub fn remove(name: &CStr) -> io::Result<()> {
    Ok(nix::unistd::unlink(name)?)
}

/// Makes a FIFO.
pub fn make_fifo(path: &Path, mode: u32) -> io::Result<()> {
    with_name(path, |name| Ok(nix::unistd::mkfifo(name, Mode::from_bits_truncate(mode))?))
}

/// Makes a directory with `mode`, before the umask.
pub fn make_directory(path: &Path, mode: u32) -> io::Result<()> {
    with_name(path, |name| Ok(nix::unistd::mkdir(name, Mode::from_bits_truncate(mode))?))
}

/// Makes `path` the root directory.
pub fn change_root(path: &Path) -> io::Result<()> {
    Ok(nix::unistd::chroot(path)?)
}

/// Whether the kernel tells of every change on the file system that holds `path`.
///
/// It cannot where another host changes files: NFS, CIFS, 9P, FUSE and their like.
pub fn tells_of_changes(path: &Path) -> bool {
    /// Magic numbers of file systems whose files others can change. Source: statfs(2).
    const REMOTE: [i64; 10] = [
        0x6969,      // NFS
        0x517b,      // SMB
        0xff53_4d42, // CIFS
        0xfe53_4d42, // SMB2
        0x0102_1997, // 9P
        0x6573_5546, // FUSE
        0x00c3_6400, // Ceph
        0x5346_414f, // AFS
        0x6b41_4653, // kAFS
        0x0bd0_0bd0, // Lustre
    ];
    match nix::sys::statfs::statfs(path) {
        #[allow(clippy::unnecessary_cast)] // the type differs between C libraries
        Ok(info) => !REMOTE.contains(&((info.filesystem_type().0 as i64) & 0xffff_ffff)),
        Err(_) => false,
    }
}

/// Whether programs on the file system that holds `path` may not be run: it is mounted noexec.
pub fn forbids_execution(path: &Path) -> bool {
    nix::sys::statvfs::statvfs(path).is_ok_and(|found| found.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC))
}

/// Whether this process may run the file `path`, as far as modes go.
pub fn may_execute(path: &Path) -> bool {
    nix::unistd::eaccess(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// Gives `file` the owner and the group that `like` tells of.
pub fn set_owner(file: &File, like: &Metadata) -> io::Result<()> {
    std::os::unix::fs::fchown(file, Some(like.uid()), Some(like.gid()))
}

/// Reads into `room` where the link `path`, seen from `directory`, leads. Errors: EINVAL for anything but a link; the way
/// does not fit.
pub fn read_link_at<'a>(directory: BorrowedFd<'_>, path: &Path, room: &'a mut [u8]) -> io::Result<&'a Path> {
    let length = read_link(directory, path, room)?;
    if length == room.len() {
        return Err(Errno::ENAMETOOLONG.into()); // perhaps there was more
    }
    Ok(Path::new(OsStr::from_bytes(&room[..length])))
}

/// Whether `path` is a link, wherever it leads.
pub fn is_link(path: &Path) -> bool {
    read_link(AT_FDCWD, path, &mut [0]).is_ok() // it takes half of the time that lstat(2) takes
}

/// As much of a link's way as fits into `room`. Not by nix or std, which make room of their own each time.
fn read_link(directory: BorrowedFd<'_>, path: &Path, room: &mut [u8]) -> io::Result<usize> {
    let length = path.with_nix_path(|path| {
        // SAFETY: readlinkat reads a string that ends with a NUL, and writes no more than there is room for.
        unsafe { libc::readlinkat(directory.as_raw_fd(), path.as_ptr(), room.as_mut_ptr().cast(), room.len()) }
    })?;
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// Makes the directory `name` in `parent`, with `mode` and for an owner; `false` if something is there already, which
/// is neither looked at nor changed.
///
/// It appears whole: nothing half made is left, whenever this process ends. Only root may write into `parent`.
pub fn make_directory_for(parent: &File, name: &str, mode: u32, uid: u32, gid: u32) -> io::Result<bool> {
    let new = format!(".{name}.{}", std::process::id());
    nix::sys::stat::mkdirat(parent, new.as_str(), Mode::from_bits_truncate(mode))?;
    let (uid, gid) = (nix::unistd::Uid::from_raw(uid), nix::unistd::Gid::from_raw(gid));
    let placed =
        nix::unistd::fchownat(parent, new.as_str(), Some(uid), Some(gid), nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(io::Error::from)
            .and_then(|()| rename_to_nothing(parent, &new, name));
    if placed.is_err() {
        let _ = nix::unistd::unlinkat(parent, new.as_str(), nix::unistd::UnlinkatFlags::RemoveDir);
    }
    match placed {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        result => result.map(|()| true),
    }
}

/// Renames within `parent`, unless something has the new name.
fn rename_to_nothing(parent: &File, old: &str, new: &str) -> io::Result<()> {
    let invalid = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let (old, new) = (CString::new(old).map_err(invalid)?, CString::new(new).map_err(invalid)?);
    let parent = parent.as_raw_fd();
    // SAFETY: renameat2 reads two strings that end with a NUL, and takes numbers.
    let result = unsafe {
        libc::syscall(libc::SYS_renameat2, parent, old.as_ptr(), parent, new.as_ptr(), libc::RENAME_NOREPLACE)
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Opens a directory that must be one itself, and no link.
pub fn open_directory_itself(path: impl AsRef<Path>) -> io::Result<File> {
    let flags = libc::O_DIRECTORY | libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path)
}
