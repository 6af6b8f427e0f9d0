//! The way to a file, walked step by step: what is at its end, and whose links led there.
//!
//! A path that somebody else can change may lead anywhere, and elsewhere a moment later. Here every step is held while it
//! is looked at, and what is opened in the end is what was looked at.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::rc::Rc;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, AtFlags, OFlag, OpenHow, ResolveFlag, openat, openat2};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use nix::sys::statfs::{PROC_SUPER_MAGIC, fstatfs};

use crate::sys::file::{self, Identity};

/// More links than this are a circle. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

/// A link's way is shorter than this. Source: linux/limits.h, PATH_MAX.
const LONGEST_LINK: usize = 4096;

/// To hold what bears a name, without opening it.
const HELD: OFlag = OFlag::O_PATH.union(OFlag::O_CLOEXEC);

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

/// What a file is opened for, without ever waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Reading.
    Read,
    /// Writing: a FIFO that nobody reads gives ENXIO.
    Write,
}

/// The end of a way. The file is held, not opened.
#[derive(Debug)]
pub struct Reached {
    file: OwnedFd,
    found: FileStat,
    /// The directory that it is in.
    within: Rc<OwnedFd>,
    /// The owner of each link on the way.
    pub links: Vec<u32>,
}

/// A directory that is held: what is in it is a step away, whatever becomes of its own name.
#[derive(Clone, Debug)]
pub struct Place {
    directory: Rc<OwnedFd>,
    /// The owner of each link on the way; None where links are followed, whoever's they are.
    links: Option<Vec<u32>>,
    owner: u32,
    mode: u32,
}

/// Walks to the end of `path`, as the kernel would.
pub fn to(path: &Path) -> io::Result<Reached> {
    walk(None, path.as_os_str(), Vec::new())
}

/// What is at the end of `path`, wherever links lead.
pub fn kind_at(path: &Path) -> io::Result<Kind> {
    Ok(kind_of(&stat(path)?))
}

/// Walks on from the directory `at`, or from the working directory, where `links` have led so far.
fn walk(mut at: Option<Rc<OwnedFd>>, path: &OsStr, mut links: Vec<u32>) -> io::Result<Reached> {
    let mut rest = joined(&[path.as_bytes()]);
    let mut count = 0;
    let mut may_leap = true;
    loop {
        if std::mem::take(&mut may_leap) {
            leap(&mut at, &mut rest);
        }
        let within = match at.filter(|_| !rest.starts_with(b"/")) {
            Some(at) => at,
            None => step(None, OsStr::new(if rest.starts_with(b"/") { "/" } else { "." }))?.into(),
        };
        let (part, after) = first_part(&rest).ok_or(Errno::EISDIR)?;
        let mut next = step(Some(&within), part)?;
        let mut found = fstat(&next)?;
        if format(&found) == SFlag::S_IFLNK {
            count += 1;
            if count > MOST_LINKS {
                return Err(Errno::ELOOP.into());
            }
            if !links.contains(&found.st_uid) {
                links.push(found.st_uid);
            }
            if fstatfs(&next)?.filesystem_type() != PROC_SUPER_MAGIC {
                rest = led_on(&next, after)?;
                at = Some(within);
                may_leap = true;
                continue;
            }
            // What the kernel shows as a link there leads to the thing itself, whatever has become of its name.
            next = openat(&within, part, HELD, Mode::empty())?;
            found = fstat(&next)?;
        }
        if after.is_empty() {
            return Ok(Reached { file: next, found, within, links });
        }
        rest = after.to_vec();
        at = Some(next.into());
    }
}

/// Where a held link leads, and `after` that.
#[inline(never)] // what it reads into is large
fn led_on(link: &OwnedFd, after: &[u8]) -> io::Result<Vec<u8>> {
    let mut room = [0; LONGEST_LINK];
    let target = file::read_link_at(link.as_fd(), Path::new(""), &mut room)?;
    Ok(joined(&[target.as_os_str().as_bytes(), after]))
}

/// Goes as far as the last step at once, where that is several and no link is on the way. What else is in the way shows
/// step by step.
fn leap(at: &mut Option<Rc<OwnedFd>>, rest: &mut Vec<u8>) {
    let Some(slash) = rest.iter().rposition(|byte| *byte == b'/') else { return };
    let way = &rest[..slash];
    if way.contains(&b'/')
        && let Ok(directory) = without_links(at.as_ref(), OsStr::from_bytes(way))
    {
        *at = Some(directory.into());
        rest.drain(..=slash);
    }
}

/// Holds what is at the end of a way, if there is no link on it. Errors: ELOOP where there is one; a kernel without this.
fn without_links(at: Option<&Rc<OwnedFd>>, way: &OsStr) -> nix::Result<OwnedFd> {
    let how = OpenHow::new().flags(HELD).resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    openat2(at.map_or(AT_FDCWD, |at| at.as_fd()), way, how)
}

/// Holds what bears a name, be it a link.
fn step(at: Option<&OwnedFd>, name: &OsStr) -> nix::Result<OwnedFd> {
    let from = at.map_or(AT_FDCWD, |at| at.as_fd());
    openat(from, name, HELD | OFlag::O_NOFOLLOW, Mode::empty())
}

/// Opens at once, without waiting; `name` is seen from `at`.
fn open(at: Option<&OwnedFd>, name: &OsStr, access: Access, more: OFlag) -> nix::Result<File> {
    let access = if access == Access::Read { OFlag::O_RDONLY } else { OFlag::O_WRONLY };
    let flags = access | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | more;
    openat(at.map_or(AT_FDCWD, |at| at.as_fd()), name, flags, Mode::empty()).map(File::from)
}

fn format(found: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(found.st_mode & SFlag::S_IFMT.bits())
}

fn kind_of(found: &FileStat) -> Kind {
    match format(found) {
        SFlag::S_IFIFO => Kind::Fifo,
        SFlag::S_IFREG => Kind::Regular,
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFSOCK => Kind::Socket,
        _ => Kind::Device,
    }
}

/// One path after the other, without the names that lead nowhere else. The first may begin at the root.
fn joined(paths: &[&[u8]]) -> Vec<u8> {
    let parts = paths.iter().flat_map(|path| path.split(|byte| *byte == b'/'));
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(part, [] | [b'.'])).collect();
    let root: &[u8] = if paths[0].starts_with(b"/") { b"/" } else { b"" };
    [root, &parts.join(&b'/')].concat()
}

/// The first name of a [`joined`] path, and what follows it.
fn first_part(path: &[u8]) -> Option<(&OsStr, &[u8])> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let end = path.iter().position(|byte| *byte == b'/').unwrap_or(path.len());
    let after = path.get(end + 1..).unwrap_or_default();
    (!path.is_empty()).then(|| (OsStr::from_bytes(&path[..end]), after))
}

impl Reached {
    /// What it is.
    pub fn kind(&self) -> Kind {
        kind_of(&self.found)
    }

    /// The owner of the directory that the file is in.
    pub fn holder(&self) -> io::Result<u32> {
        Ok(fstat(&*self.within)?.st_uid)
    }

    /// The owner of the directory above that.
    pub fn above(&self) -> io::Result<u32> {
        Ok(fstatat(&*self.within, OsStr::new(".."), AtFlags::empty())?.st_uid)
    }

    /// Opens the file itself. Where there is no `/proc` the `path` is gone again, and must lead to the same file.
    pub fn open(&self, path: &Path, access: Access) -> io::Result<File> {
        let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match open(None, OsStr::new(&own), access, OFlag::empty()) {
            Err(Errno::ENOENT) => {}
            opened => return Ok(opened?),
        }
        let opened = open(None, path.as_os_str(), access, OFlag::empty())?;
        let held = File::from(self.file.try_clone()?);
        let is_same = Identity::of(&opened.metadata()?) == Identity::of(&held.metadata()?);
        if is_same { Ok(opened) } else { Err(Errno::ENOENT.into()) }
    }
}

impl Place {
    /// Walks to the directory `path`, as the kernel would.
    pub fn walk_to(path: &Path) -> io::Result<Place> {
        Place::walk(None, path, Vec::new())
    }

    /// Goes to the directory `path`, wherever links lead.
    pub fn follow_to(path: &Path) -> io::Result<Place> {
        Place::follow(None, path)
    }

    /// Goes on from here to the directory `path`, as one came here.
    pub fn go_on_to(&self, path: &Path) -> io::Result<Place> {
        match &self.links {
            Some(links) => Place::walk(Some(&self.directory), path, links.clone()),
            None => Place::follow(Some(&self.directory), path),
        }
    }

    /// Walks from the directory `at`, where `links` have led so far: at once, where no more of them are on the way.
    fn walk(at: Option<&Rc<OwnedFd>>, path: &Path, links: Vec<u32>) -> io::Result<Place> {
        if let Ok(directory) = without_links(at, path.as_os_str()) {
            let found = fstat(&directory)?;
            return Place::of(directory, &found, Some(links));
        }
        let Reached { file, found, links, .. } = walk(at.cloned(), path.as_os_str(), links)?;
        Place::of(file, &found, Some(links))
    }

    fn follow(at: Option<&Rc<OwnedFd>>, path: &Path) -> io::Result<Place> {
        let directory = openat(at.map_or(AT_FDCWD, |at| at.as_fd()), path, HELD, Mode::empty())?;
        let found = fstat(&directory)?;
        Place::of(directory, &found, None)
    }

    fn of(directory: OwnedFd, found: &FileStat, links: Option<Vec<u32>>) -> io::Result<Place> {
        if kind_of(found) != Kind::Directory {
            return Err(Errno::ENOTDIR.into());
        }
        Ok(Place { directory: directory.into(), links, owner: found.st_uid, mode: found.st_mode })
    }

    /// Walks on from here.
    pub fn to(&self, path: &Path) -> io::Result<Reached> {
        walk(Some(self.directory.clone()), path.as_os_str(), self.links.clone().unwrap_or_default())
    }

    /// What is at the end of `path`, wherever links lead.
    pub fn kind_of(&self, path: &Path) -> io::Result<Kind> {
        Ok(kind_of(&fstatat(&*self.directory, path, AtFlags::empty())?))
    }

    /// Whether one noted whose links lead here.
    pub fn was_walked_to(&self) -> bool {
        self.links.is_some()
    }

    /// Whether only `owner` can change what is in it, and only links of theirs led here.
    pub fn is_only_for(&self, owner: u32) -> bool {
        const WRITABLE_BY_OTHERS: u32 = 0o022;
        let is_led_to_by = |links: &Vec<u32>| links.iter().all(|link| *link == owner);
        self.owner == owner && self.mode & WRITABLE_BY_OTHERS == 0 && self.links.as_ref().is_some_and(is_led_to_by)
    }

    /// Opens a file in it at once, and says what it is. A link gives ELOOP, unless one followed links to here.
    pub fn open(&self, name: &str, access: Access) -> io::Result<(File, Kind)> {
        let more = if self.links.is_some() { OFlag::O_NOFOLLOW } else { OFlag::empty() };
        let file = open(Some(&self.directory), OsStr::new(name), access, more)?;
        let kind = kind_of(&fstat(&file)?);
        Ok((file, kind))
    }

    /// Opens the directory itself for reading.
    pub fn open_directory(&self) -> io::Result<File> {
        Ok(open(Some(&self.directory), OsStr::new("."), Access::Read, OFlag::O_DIRECTORY)?)
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
            assert_eq!(reached.kind(), Kind::Regular, "{name}");
            let mut text = String::new();
            reached.open(&path(name), Access::Read).unwrap().read_to_string(&mut text).unwrap();
            assert_eq!(text, "hi", "{name}");
        }
        let me = crate::sys::user::effective_uid();
        let reached = to(&path("relative/b/file")).unwrap();
        assert!(reached.links.contains(&me), "{reached:?}");
        assert_eq!((reached.holder().unwrap(), reached.above().unwrap()), (me, me));
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
        assert_eq!(reached.kind(), Kind::Regular);
        assert_eq!(to(Path::new("/dev/null")).unwrap().kind(), Kind::Device);
    }

    #[test]
    fn a_place_is_only_for_its_owner_unless_others_may_write_there_or_have_led_there() {
        use std::os::unix::fs::PermissionsExt as _;
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        let me = crate::sys::user::effective_uid();
        for (name, mode, expected) in [("own", 0o755, true), ("shared", 0o775, false), ("open", 0o757, false)] {
            fs::create_dir(path(name)).unwrap();
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Place::walk_to(&path(name)).unwrap().is_only_for(me), expected, "{name}");
        }
        symlink("own", path("led")).unwrap();
        let led = Place::walk_to(&path("led")).unwrap();
        assert!(led.is_only_for(me) && !led.is_only_for(me + 1));
        assert!(!Place::follow_to(&path("led")).unwrap().is_only_for(me), "whose links these are is not known");
        if me == 0 {
            std::os::unix::fs::lchown(path("led"), Some(1), None).unwrap();
            assert!(!Place::walk_to(&path("led")).unwrap().is_only_for(me));
        }
    }

    #[test]
    fn a_link_in_a_place_is_refused_unless_links_were_followed_to_it() {
        let place = tempfile::tempdir().unwrap();
        fs::write(place.path().join("file"), "hi").unwrap();
        symlink("file", place.path().join("link")).unwrap();
        let walked = Place::walk_to(place.path()).unwrap();
        assert_eq!(walked.open("file", Access::Read).unwrap().1, Kind::Regular);
        assert_eq!(walked.open("link", Access::Read).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(walked.to(Path::new("link")).unwrap().kind(), Kind::Regular);
        let followed = Place::follow_to(place.path()).unwrap();
        assert_eq!(followed.open("link", Access::Read).unwrap().1, Kind::Regular);
        let elsewhere = place.path().with_extension("moved");
        fs::rename(place.path(), &elsewhere).unwrap();
        assert!(
            walked.open("file", Access::Read).is_ok() && walked.to(Path::new("link")).is_ok(),
            "its name is of no matter"
        );
        fs::rename(&elsewhere, place.path()).unwrap();
    }
}
