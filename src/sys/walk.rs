//! The way to a file, walked step by step: what is at its end, and whose links led there.
//!
//! A path that somebody else can change may lead anywhere, and elsewhere a moment later. Here every step is held while it
//! is looked at, and what is opened in the end is what was looked at.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::sys::file::{self, Identity};

/// More links than this are a circle. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A FIFO.
    Fifo,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A socket.
    Socket,
    /// A device: to open one may do anything.
    Device,
}

/// The end of a way. The file is held, not opened.
#[derive(Debug)]
pub struct Reached {
    file: File,
    /// What it is.
    pub kind: Kind,
    /// The owner of each link on the way.
    pub links: Vec<u32>,
    /// The owner of the directory that the file is in.
    pub holder: u32,
    /// The owner of the directory above that.
    pub above: u32,
}

/// Walks to the end of `path`, as the kernel would.
pub fn to(path: &Path) -> io::Result<Reached> {
    let mut at = step(None, OsStr::new(if path.is_absolute() { "/" } else { "." }))?;
    let mut rest = parts(path.as_os_str());
    let mut links = Vec::new();
    let mut count = 0;
    loop {
        let part = rest.pop_front().ok_or(Errno::EISDIR)?;
        let mut next = step(Some(&at), &part)?;
        let found = fstat(&next)?;
        if found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits() {
            count += 1;
            if count > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            if !links.contains(&found.st_uid) {
                links.push(found.st_uid);
            }
            if fstatfs(&next)?.filesystem_type() != PROC_SUPER_MAGIC {
                let target = readlinkat(&next, OsStr::new(""))?;
                if target.as_bytes().first() == Some(&b'/') {
                    at = step(None, OsStr::new("/"))?;
                }
                parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
                continue;
            }
            // What the kernel shows as a link there leads to the thing itself, whatever has become of its name.
            next = openat(&at, part.as_os_str(), OFlag::O_PATH | OFlag::O_CLOEXEC, Mode::empty())?;
        }
        if rest.is_empty() {
            let above = fstatat(&at, OsStr::new(".."), AtFlags::empty())?.st_uid;
            return Ok(Reached {
                kind: kind_of(&fstat(&next)?),
                holder: fstat(&at)?.st_uid,
                above,
                links,
                file: next.into(),
            });
        }
        at = next;
    }
}

/// Holds what bears a name, be it a link.
fn step(at: Option<&OwnedFd>, name: &OsStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    match at {
        Some(at) => openat(at, name, flags, Mode::empty()),
        None => openat(AT_FDCWD, name, flags, Mode::empty()),
    }
}

fn kind_of(found: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits()) {
        SFlag::S_IFIFO => Kind::Fifo,
        SFlag::S_IFREG => Kind::Regular,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFSOCK => Kind::Socket,
        _ => Kind::Device,
    }
}

/// The names in a path, without those that lead nowhere else.
fn parts(path: &OsStr) -> VecDeque<OsString> {
    let parts = path.as_bytes().split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(part, [] | [b'.'])).map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

impl Reached {
    /// Opens it for reading, without waiting.
    pub fn open_read(&self, path: &Path) -> io::Result<File> {
        self.open(path, |path| file::open_read(path))
    }

    /// Opens it for writing, without waiting: a FIFO that nobody reads gives ENXIO.
    pub fn open_write(&self, path: &Path) -> io::Result<File> {
        self.open(path, |path| file::open_write(path))
    }

    /// Opens the file itself. Where there is no `/proc` the `path` is gone again, and must lead to the same file.
    fn open(&self, path: &Path, open: impl Fn(&Path) -> io::Result<File>) -> io::Result<File> {
        let own = format!("/proc/self/fd/{}", self.file.as_fd().as_raw_fd());
        match open(Path::new(&own)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            opened => return opened,
        }
        let opened = open(path)?;
        let is_same = Identity::of(&opened.metadata()?) == Identity::of(&self.file.metadata()?);
        if is_same { Ok(opened) } else { Err(Errno::ENOENT.into()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Read as _;
    use std::os::unix::fs::symlink;

    #[test]
    fn the_end_of_a_way_is_what_the_kernel_finds() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir_all(path("a/b")).unwrap();
        fs::write(path("a/b/file"), "hi").unwrap();
        symlink("a", path("relative")).unwrap();
        symlink(path("a/b"), path("absolute")).unwrap();
        symlink("../relative/./b//file", path("a/c")).unwrap();
        for name in ["a/b/file", "relative/b/file", "absolute/file", "a/c", "absolute/../../a//./c"] {
            let reached = to(&path(name)).unwrap();
            assert_eq!(reached.kind, Kind::Regular, "{name}");
            let mut text = String::new();
            reached.open_read(&path(name)).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hi", "{name}");
        }
        let me = crate::sys::user::effective_uid();
        let reached = to(&path("relative/b/file")).unwrap();
        assert!(reached.links.contains(&me), "{reached:?}");
        assert_eq!((reached.holder, reached.above), (me, me));
    }

    #[test]
    fn what_the_kernel_does_not_find_is_not_found_for_the_same_reason() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        symlink("circle", path("circle")).unwrap();
        symlink("nowhere", path("dangling")).unwrap();
        fs::write(path("file"), "").unwrap();
        for name in ["circle", "circle/x", "dangling", "missing/x", "file/x", "file/..", &"x".repeat(300)] {
            let kernels = fs::metadata(path(name)).unwrap_err().raw_os_error();
            assert_eq!(to(&path(name)).unwrap_err().raw_os_error(), kernels, "{name}");
        }
    }

    #[test]
    fn a_directory_that_was_removed_is_entered_through_the_process_in_it() {
        let reached = to(Path::new("/proc/self/cwd/Cargo.toml")).unwrap();
        assert_eq!(reached.kind, Kind::Regular);
        assert_eq!(to(Path::new("/dev/null")).unwrap().kind, Kind::Device);
    }
}
