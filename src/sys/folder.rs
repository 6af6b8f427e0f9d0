//! A directory held open: its files by name, wherever the directory is moved to.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::file;

/// A directory held open.
#[derive(Debug)]
pub struct Folder(OwnedFd);

/// What is known of a file without opening it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its size in bytes.
    pub bytes: u64,
    /// Its permission bits.
    pub mode: u32,
    /// Whether it is a regular file: no directory, device, FIFO or socket.
    pub is_regular: bool,
}

impl Facts {
    fn of(found: &FileStat) -> Facts {
        Facts {
            bytes: u64::try_from(found.st_size).unwrap_or_default(),
            mode: found.st_mode & 0o7777,
            is_regular: found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFREG.bits(),
        }
    }
}

impl Folder {
    /// Opens `path`, which [`Folder::facts`] of `.` finds to be a directory that may be searched, or not.
    pub fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder(file::open_read(path)?.into()))
    }

    /// A second handle for the same directory.
    pub fn duplicate(&self) -> io::Result<Folder> {
        Ok(Folder(self.0.try_clone()?))
    }

    /// What is known of `name`, behind links; `None` when there is no such file.
    pub fn facts(&self, name: &[u8]) -> io::Result<Option<Facts>> {
        match fstatat(&self.0, OsStr::from_bytes(name), AtFlags::empty()) {
            Ok(found) => Ok(Some(Facts::of(&found))),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens for reading, without waiting for a FIFO's writer.
    pub fn open_read(&self, name: &[u8]) -> io::Result<File> {
        self.open_as(name, OFlag::O_RDONLY, 0)
    }

    /// Opens for reading, made empty with mode 0644 where it is missing.
    pub fn open_or_create(&self, name: &[u8]) -> io::Result<File> {
        self.open_as(name, OFlag::O_RDONLY | OFlag::O_CREAT, 0o644)
    }

    /// Opens for appending, made with mode 0600 where it is missing.
    pub fn open_append(&self, name: &[u8]) -> io::Result<File> {
        self.open_as(name, OFlag::O_WRONLY | OFlag::O_APPEND | OFlag::O_CREAT, 0o600)
    }

    /// Makes a new file with mode 0644 in place of what bears the name, which lives on for those who have it open.
    pub fn replace(&self, name: &[u8]) -> io::Result<File> {
        match self.unlink(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.open_as(name, OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL, 0o644),
        }
    }

    /// Gives the file `from` the name `to`, in place of any that had it.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        Ok(renameat(&self.0, OsStr::from_bytes(from), &self.0, OsStr::from_bytes(to))?)
    }

    /// Removes a file.
    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(unlinkat(&self.0, OsStr::from_bytes(name), UnlinkatFlags::NoRemoveDir)?)
    }

    /// Calls `each` with every name in the directory.
    pub fn for_each_name(&self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        let mut entries = Dir::openat(&self.0, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        for entry in entries.iter() {
            each(entry?.file_name().to_bytes());
        }
        Ok(())
    }

    fn open_as(&self, name: &[u8], flags: OFlag, mode: u32) -> io::Result<File> {
        let flags = flags | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(openat(&self.0, OsStr::from_bytes(name), flags, Mode::from_bits_truncate(mode))?.into())
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is known of an open file.
pub fn facts_of(file: &File) -> io::Result<Facts> {
    Ok(Facts::of(&fstat(file)?))
}

/// Sets the permission bits of an open file.
pub fn set_mode(file: &File, mode: u32) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(mode))
}

/// Waits until all of an open file is on the disk. What cannot be on a disk, such as a device, counts as there.
pub fn sync(file: &File) -> io::Result<()> {
    match file.sync_all() {
        Err(error) if error.raw_os_error() == Some(Errno::EINVAL as i32) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn files_are_found_after_the_directory_moved() {
        let place = tempfile::tempdir().unwrap();
        let before = place.path().join("before");
        std::fs::create_dir(&before).unwrap();
        let folder = Folder::open(&before).unwrap();
        std::fs::rename(&before, place.path().join("after")).unwrap();
        folder.open_append(b"a").unwrap().write_all(b"hi").unwrap();
        folder.rename(b"a", b"b").unwrap();
        assert_eq!(folder.facts(b"a").unwrap(), None);
        assert_eq!(folder.facts(b"b").unwrap().map(|facts| (facts.bytes, facts.mode)), Some((2, 0o600)));
        let mut names = Vec::new();
        folder.for_each_name(|name| names.push(name.to_vec())).unwrap();
        names.sort();
        assert_eq!(names, [b".".to_vec(), b"..".to_vec(), b"b".to_vec()]);
        folder.replace(b"b").unwrap();
        folder.unlink(b"b").unwrap();
        assert_eq!(folder.unlink(b"b").unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_told_from_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Folder::open(file.path()).unwrap().facts(b".").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }
}
