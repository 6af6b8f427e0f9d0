//! A directory held open: its files by name, wherever the directory is moved to.

use std::ffi::OsStr;
use std::fs::{File, Permissions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat};
use nix::unistd::{UnlinkatFlags, unlinkat};

use crate::sys::file::{self, Identity};

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

/// An entry of a directory.
#[derive(Debug)]
pub struct Entry(nix::dir::Entry);

impl Entry {
    /// What it is called.
    pub fn name(&self) -> &OsStr {
        OsStr::from_bytes(self.0.file_name().to_bytes())
    }

    /// Whether it is a link, where the file system told.
    pub fn is_link(&self) -> Option<bool> {
        self.0.file_type().map(|kind| kind == Type::Symlink)
    }
}

impl Folder {
    /// Opens `path`, which [`Folder::facts`] of `.` finds to be a directory that may be searched, or not.
    pub fn open(path: &Path) -> io::Result<Folder> {
        Ok(Folder(file::open_read(path)?.into()))
    }

    /// Goes to the directory `path`, which need not be readable: for what is in it, and to start programs in.
    pub fn go_to(path: &Path) -> io::Result<Folder> {
        // Not by OpenOptions: where musl is the C library they take O_PATH for an access mode, which is theirs to say.
        Ok(Folder(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?))
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

    /// What directory bears the name, or is where a link of the name leads; None for anything else.
    pub fn directory(&self, name: &OsStr) -> io::Result<Option<Identity>> {
        let found = fstatat(&self.0, name, AtFlags::empty())?;
        let is_directory = found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFDIR.bits();
        Ok(is_directory.then(|| Identity::of_found(&found)))
    }

    /// Reads into `room` where the link `name` leads, as [`file::read_link_at`].
    pub fn read_link<'a>(&self, name: &OsStr, room: &'a mut [u8]) -> io::Result<&'a Path> {
        file::read_link_at(self.as_fd(), Path::new(name), room)
    }

    /// Whether what bears the name is a link, wherever it leads.
    pub fn is_link(&self, name: &OsStr) -> io::Result<bool> {
        let found = fstatat(&self.0, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(found.st_mode & SFlag::S_IFMT.bits() == SFlag::S_IFLNK.bits())
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
        for entry in self.entries()? {
            each(entry?.name().as_bytes());
        }
        Ok(())
    }

    /// What is in it, `.` and `..` too.
    pub fn entries(&self) -> io::Result<impl Iterator<Item = io::Result<Entry>> + use<>> {
        let entries = Dir::openat(&self.0, ".", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?;
        Ok(entries.into_iter().map(|entry| Ok(Entry(entry?))))
    }

    fn open_as(&self, name: &[u8], flags: OFlag, mode: u32) -> io::Result<File> {
        let flags = flags | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
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
    fn links_are_told_and_read_wherever_they_lead() {
        let place = tempfile::tempdir().unwrap();
        std::fs::create_dir(place.path().join("directory")).unwrap();
        let links = [("good", "directory"), ("bad", "nowhere")];
        links.iter().for_each(|(link, to)| std::os::unix::fs::symlink(to, place.path().join(link)).unwrap());
        let folder = Folder::go_to(place.path()).unwrap();
        let mut told: Vec<(String, Option<bool>)> = Vec::new();
        for entry in folder.entries().unwrap() {
            let entry = entry.unwrap();
            told.push((entry.name().to_str().unwrap().to_owned(), entry.is_link()));
        }
        told.sort();
        assert_eq!(
            told.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            [".", "..", "bad", "directory", "good"]
        );
        let mut room = [0; 100];
        for (name, is_link) in told {
            let (path, name) = (place.path().join(&name), OsStr::new(&name));
            assert!(is_link.is_none_or(|told| told == folder.is_link(name).unwrap()));
            assert_eq!(file::is_link(&path), folder.is_link(name).unwrap());
            assert_eq!(folder.read_link(name, &mut room).ok().map(Path::to_owned), std::fs::read_link(&path).ok());
        }
        let error = folder.read_link(OsStr::new("good"), &mut [0; 9]).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG), "it may lead further");
        let directory = folder.directory(OsStr::new("directory")).unwrap();
        assert!(directory.is_some());
        assert_eq!(folder.directory(OsStr::new("good")).unwrap(), directory);
        assert!(folder.directory(OsStr::new("bad")).is_err());
    }

    #[test]
    fn a_file_is_told_from_a_directory() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Folder::open(file.path()).unwrap().facts(b".").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
    }
}
