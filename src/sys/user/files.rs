//! The account database where musl is the C library: /etc/passwd and /etc/group, and what a name service cache daemon
//! knows besides.
//!
//! musl's own functions take what is over 32 bits for what is left of it, and an empty number for 0: a user with an id
//! of 4294967296, or with none, would be root. Such an entry is none here, as it is none to other C libraries; so files
//! are read here, and musl is asked only for names that they have not.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Account, library};

/// Source: passwd(5).
const USERS: &str = "/etc/passwd";
/// Source: group(5).
const GROUPS: &str = "/etc/group";

/// What is read at a time: the allocator has so much at hand, and accounts of the system stand first.
const BLOCK: usize = 1024;

/// The user called `name`.
pub fn account(name: &str) -> io::Result<Option<Account>> {
    match find(USERS, |line| read_account(line).filter(|account| account.name == name))? {
        None if !lists(USERS, name)? => library::account(name),
        found => Ok(found),
    }
}

/// The user with this id.
pub fn account_of(uid: u32) -> io::Result<Option<Account>> {
    match find(USERS, |line| read_account(line).filter(|account| account.uid == uid))? {
        None => match library::account_of(uid)? {
            Some(account) if lists(USERS, &account.name)? => Ok(None),
            found => Ok(found),
        },
        found => Ok(found),
    }
}

/// The id of the group called `name`.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    let called = |line: &[u8]| read_group(line).filter(|group| group.name == name.as_bytes()).map(|group| group.gid);
    match find(GROUPS, called)? {
        None if !lists(GROUPS, name)? => library::group(name),
        found => Ok(found),
    }
}

/// `gid`, and every group that lists `user`, each once; without the file none does.
pub fn groups_of(user: &OsStr, gid: u32) -> io::Result<Vec<u32>> {
    if !user.to_str().map_or(Ok(true), |user| lists(USERS, user))? {
        return library::groups_of(user, gid);
    }
    let mut groups = vec![gid];
    let all = find(GROUPS, |line| {
        let group = read_group(line)?;
        if group.has(user.as_bytes()) && !groups.contains(&group.gid) {
            groups.push(group.gid);
        }
        None::<()>
    });
    match all {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(groups),
    }
}

/// Whether `file` has something called `name`, right or wrong.
fn lists(file: &str, name: &str) -> io::Result<bool> {
    let is_it = |line: &[u8]| line.split(|byte| *byte == b':').next() == Some(name.as_bytes());
    Ok(find(file, |line| is_it(line).then_some(()))?.is_some())
}

/// What `read` makes of the first line of which it makes something.
fn find<T>(file: impl AsRef<Path>, mut read: impl FnMut(&[u8]) -> Option<T>) -> io::Result<Option<T>> {
    let mut file = BufReader::with_capacity(BLOCK, File::open(file)?);
    let mut line = Vec::new();
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(None);
        }
        if let Some(found) = read(line.strip_suffix(b"\n").unwrap_or(&line)) {
            return Ok(Some(found));
        }
    }
}

/// `name:password:uid:gid:comment:home:shell`; `None` for what is no user of this machine.
fn read_account(line: &[u8]) -> Option<Account> {
    let mut parts = line.splitn(7, |byte| *byte == b':');
    let name = read_name(parts.next()?)?;
    let (uid, gid) = (number(parts.nth(1)?)?, number(parts.next()?)?);
    let path = |text: &[u8]| PathBuf::from(OsStr::from_bytes(text));
    let (home, shell) = (path(parts.nth(1)?), path(parts.next()?));
    Some(Account { name: str::from_utf8(name).ok()?.to_owned(), uid, gid, home, shell })
}

/// A line of the file of groups.
#[derive(Debug, PartialEq, Eq)]
struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

impl Group<'_> {
    fn has(&self, user: &[u8]) -> bool {
        self.members.split(|byte| *byte == b',').any(|member| member == user)
    }
}

/// `name:password:gid:members`; `None` for what is no group of this machine.
fn read_group(line: &[u8]) -> Option<Group<'_>> {
    let mut parts = line.splitn(4, |byte| *byte == b':');
    let name = read_name(parts.next()?)?;
    let gid = number(parts.nth(1)?)?;
    Some(Group { name, gid, members: parts.next()? })
}

/// A leading sign speaks of other databases.
fn read_name(text: &[u8]) -> Option<&[u8]> {
    if matches!(text.first(), None | Some(b'+' | b'-')) { None } else { Some(text) }
}

fn number(text: &[u8]) -> Option<u32> {
    if text.iter().all(u8::is_ascii_digit) { str::from_utf8(text).ok()?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_seven_fields() {
        let account = read_account(b"svc:x:1001:100:A, b:/home/svc:/bin/sh").unwrap();
        let (home, shell) = ("/home/svc".into(), "/bin/sh".into());
        assert_eq!(account, Account { name: "svc".to_owned(), uid: 1001, gid: 100, home, shell });
        assert_eq!(read_account(b"svc:x:1001:100::/").map(|it| it.uid), None);
        assert_eq!(read_account(b"svc:x:1001:100:::").map(|it| (it.uid, it.shell)), Some((1001, "".into())));
        assert_eq!(
            read_account(b"svc:x:4294967295:0:::a:b").map(|it| (it.uid, it.shell)),
            Some((u32::MAX, "a:b".into()))
        );
    }

    #[test]
    fn what_is_no_number_of_32_bits_makes_nobody_root() {
        for id in ["", "4294967296", "18446744073709551616", "-1", "+0", " 0", "0 ", "0x0", "a"] {
            assert_eq!(read_account(format!("svc:x:{id}:100::/:/").as_bytes()), None, "{id}");
            assert_eq!(read_account(format!("svc:x:100:{id}::/:/").as_bytes()), None, "{id}");
            assert_eq!(read_group(format!("svc:x:{id}:").as_bytes()), None, "{id}");
        }
    }

    #[test]
    fn a_name_is_not_empty_and_does_not_begin_with_a_sign() {
        for name in ["", "+", "-", "+svc", "-svc"] {
            assert_eq!(read_account(format!("{name}:x:1:1::/:/").as_bytes()), None, "{name}");
            assert_eq!(read_group(format!("{name}:x:1:").as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn a_group_has_a_name_an_id_and_members() {
        let group = read_group(b"extra:x:3000:svc,lone").unwrap();
        assert_eq!((group.name, group.gid), (&b"extra"[..], 3000));
        assert_eq!(
            [&b"svc"[..], b"lone", b"lon", b"", b"svc,lone"].map(|user| group.has(user)),
            [true, true, false, false, false]
        );
        assert_eq!(read_group(b"extra::3000:").map(|group| group.has(b"svc")), Some(false));
        assert_eq!(read_group(b"extra:x:3000"), None);
    }

    #[test]
    fn the_first_line_that_is_the_one_is_found_also_without_a_newline() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("group");
        std::fs::write(&file, "a:x:1:\nbad\nb:x:2:\nb:x:3:\nc:x::\nd:x:4:").unwrap();
        let id =
            |name: &str| find(&file, |line| read_group(line).filter(|it| it.name == name.as_bytes()).map(|it| it.gid));
        assert_eq!(["a", "b", "c", "d", "e"].map(|it| id(it).unwrap()), [Some(1), Some(2), None, Some(4), None]);
        let path = file.to_str().unwrap();
        assert_eq!(["a", "bad", "c", "e", ""].map(|it| lists(path, it).unwrap()), [true, true, true, false, false]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(find(&file, |_| Some(())).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn root_is_found_in_the_files_of_this_machine() {
        let root = account("root").unwrap();
        assert_eq!(root.as_ref().map(|it| (it.uid, it.gid)), Some((0, 0)));
        assert_eq!(account_of(0).unwrap(), root);
        assert_eq!((group("root").unwrap(), group("no such group").unwrap()), (Some(0), None));
        assert_eq!(groups_of("root".as_ref(), 7).unwrap().first(), Some(&7));
    }
}
