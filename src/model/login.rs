//! What a user's tree starts with: its name, its environment, and which directories it may use.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use super::envdir::Setting;

/// PATH without `--path`, after the directory of our own programs if that is none of these.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin";

/// What a service directory is called that starts the tree of NAME.
const PREFIX: &[u8] = b"runsvdir-";

/// The user whose tree the service directory `directory` starts: `runsvdir-NAME`, with or without a path before it.
pub fn user_of(directory: &OsStr) -> Option<OsString> {
    let name = Path::new(directory).file_name()?.as_bytes().strip_prefix(PREFIX)?;
    (!name.is_empty()).then(|| OsString::from_vec(name.to_vec()))
}

/// The name of the service that a supervisor with this command line (arguments end with a NUL) runs.
pub fn service_of(command_line: &[u8]) -> Option<OsString> {
    let mut arguments = command_line.split(|byte| *byte == 0);
    let program = arguments.next()?;
    let directory = arguments.next().filter(|directory| !directory.is_empty())?;
    let is_supervisor = Path::new(OsStr::from_bytes(program)).file_name() == Some(OsStr::new("runsv"));
    is_supervisor.then(|| OsStr::from_bytes(directory).to_os_string())
}

/// Who a user is, as far as the environment tells.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// The login name.
    pub name: &'a str,
    /// The home directory.
    pub home: &'a Path,
    /// The login shell; empty means `/bin/sh`.
    pub shell: &'a Path,
    /// PATH.
    pub path: &'a OsStr,
    /// XDG_RUNTIME_DIR.
    pub runtime: &'a Path,
    /// SVDIR.
    pub services: &'a Path,
}

/// The whole environment of the tree, in order: who the user is, where things are, and of the caller's environment
/// only what tells the language and the time zone.
pub fn environment(login: &Login<'_>, caller: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<Setting> {
    let shell = if login.shell.as_os_str().is_empty() { Path::new("/bin/sh") } else { login.shell };
    let mut settings = vec![
        Setting::set("HOME", login.home),
        Setting::set("USER", login.name),
        Setting::set("LOGNAME", login.name),
        Setting::set("SHELL", shell),
        Setting::set("PATH", login.path),
        Setting::set("XDG_RUNTIME_DIR", login.runtime),
        Setting::set("SVDIR", login.services),
    ];
    let kept = caller.into_iter().filter(|(name, _)| is_kept(name.as_bytes()));
    settings.extend(kept.map(|(name, value)| Setting::set(name, value)));
    settings
}

fn is_kept(name: &[u8]) -> bool {
    name == b"LANG" || name == b"TZ" || name.starts_with(b"LC_")
}

/// PATH for programs that live in `own`: the default, with `own` before it unless it is in it.
pub fn default_path(own: Option<&Path>) -> OsString {
    let is_listed = |own: &Path| PATH.split(':').any(|part| Path::new(part) == own);
    match own.filter(|own| !is_listed(own) && !own.as_os_str().as_bytes().contains(&b':')) {
        Some(own) => OsString::from_vec([own.as_os_str().as_bytes(), b":", PATH.as_bytes()].concat()),
        None => OsString::from(PATH),
    }
}

/// What is found at the place of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// It is a directory, and not a link to one.
    pub is_directory: bool,
    /// It is a link, and was not followed.
    pub is_link: bool,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// What is wrong with a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is something else.
    NotADirectory,
    /// It is a link.
    Link,
    /// It belongs to this user.
    Owner(u32),
    /// Others can write there: these are its permission bits.
    Writable(u32),
    /// It is not for its owner, or not for its owner alone.
    Exposed(u32),
}

/// Whether `found` can be the runtime directory of user `uid`: his, and nobody else's business at all.
pub fn judge_runtime(found: Found, uid: u32) -> Result<(), Fault> {
    judge(found, &[uid])?;
    if found.mode & 0o777 == 0o700 { Ok(()) } else { Err(Fault::Exposed(found.mode & 0o7777)) }
}

/// Whether `found` can be the services directory of user `uid`: his, and written by nobody else.
///
/// Where everybody has a primary group of their own name, umask 002 is usual: that `own_group` may write.
pub fn judge_services(found: Found, uid: u32, own_group: Option<u32>) -> Result<(), Fault> {
    let writers = if Some(found.group) == own_group { 0o002 } else { 0o022 };
    judge(found, &[uid])?;
    if found.mode & writers == 0 { Ok(()) } else { Err(Fault::Writable(found.mode & 0o7777)) }
}

/// Whether root's additions to the environment may be read from `found`, by one who trusts `owners`.
pub fn judge_env(found: Found, owners: &[u32]) -> Result<(), Fault> {
    judge(found, owners)?;
    if found.mode & 0o022 == 0 { Ok(()) } else { Err(Fault::Writable(found.mode & 0o7777)) }
}

/// Whether `found` can be a step on the way there: nobody but `owners` can lead the way elsewhere. Others may write
/// into a directory where only an entry's owner can take it away.
pub fn judge_way(found: Found, owners: &[u32]) -> Result<(), Fault> {
    let is_sticky = found.mode & 0o1000 != 0;
    judge_env(Found { mode: if is_sticky { 0 } else { found.mode }, ..found }, owners)
}

fn judge(found: Found, owners: &[u32]) -> Result<(), Fault> {
    if found.is_link {
        Err(Fault::Link)
    } else if !found.is_directory {
        Err(Fault::NotADirectory)
    } else if !owners.contains(&found.owner) {
        Err(Fault::Owner(found.owner))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_comes_from_the_service_directory() {
        assert_eq!(user_of("runsvdir-deployer".as_ref()), Some("deployer".into()));
        assert_eq!(user_of("/etc/sv/runsvdir-a-b/".as_ref()), Some("a-b".into()));
        assert_eq!(user_of("runsvdir-".as_ref()), None);
        assert_eq!(user_of("deployer".as_ref()), None);
        assert_eq!(user_of("/".as_ref()), None);
    }

    #[test]
    fn a_supervisors_command_line_tells_the_name_of_the_link() {
        assert_eq!(service_of(b"runsv\0runsvdir-x\0"), Some("runsvdir-x".into()));
        assert_eq!(service_of(b"/usr/bin/runsv\0./s\0"), Some("./s".into()));
        assert_eq!(service_of(b"bash\0runsvdir-x\0"), None);
        assert_eq!(service_of(b"runsv\0"), None);
        assert_eq!(service_of(b""), None);
    }

    #[test]
    fn the_environment_is_made_from_nothing() {
        let login = Login {
            name: "u",
            home: Path::new("/h"),
            shell: Path::new(""),
            path: OsStr::new("/p"),
            runtime: Path::new("/r"),
            services: Path::new("/h/service"),
        };
        let caller = [("LD_PRELOAD", "x"), ("LC_ALL", "C"), ("TZ", "UTC"), ("HOME", "/root"), ("LANGUAGE", "x")];
        let made = environment(&login, caller.map(|(name, value)| (name.into(), value.into())));
        let made: Vec<String> = made
            .into_iter()
            .map(|it| format!("{}={}", it.name.to_str().unwrap(), it.value.unwrap().to_str().unwrap()))
            .collect();
        assert_eq!(
            made,
            [
                "HOME=/h",
                "USER=u",
                "LOGNAME=u",
                "SHELL=/bin/sh",
                "PATH=/p",
                "XDG_RUNTIME_DIR=/r",
                "SVDIR=/h/service",
                "LC_ALL=C",
                "TZ=UTC"
            ]
        );
    }

    #[test]
    fn our_own_programs_are_found_wherever_they_live() {
        assert_eq!(default_path(Some(Path::new("/usr/bin"))), PATH);
        assert_eq!(default_path(None), PATH);
        assert_eq!(default_path(Some(Path::new("/opt/x"))), OsString::from(format!("/opt/x:{PATH}")));
        assert_eq!(default_path(Some(Path::new("/a:b"))), PATH);
    }

    #[test]
    fn a_runtime_directory_is_the_users_alone() {
        let good = Found { is_directory: true, is_link: false, owner: 5, group: 5, mode: 0o40700 };
        assert_eq!(judge_runtime(good, 5), Ok(()));
        assert_eq!(judge_runtime(good, 6), Err(Fault::Owner(5)));
        assert_eq!(judge_runtime(Found { mode: 0o750, ..good }, 5), Err(Fault::Exposed(0o750)));
        assert_eq!(judge_runtime(Found { is_directory: false, ..good }, 5), Err(Fault::NotADirectory));
        assert_eq!(judge_runtime(Found { is_directory: false, is_link: true, ..good }, 5), Err(Fault::Link));
    }

    #[test]
    fn a_services_directory_is_written_by_its_user_only() {
        let good = Found { is_directory: true, is_link: false, owner: 5, group: 7, mode: 0o755 };
        assert_eq!(judge_services(good, 5, None), Ok(()));
        assert_eq!(judge_services(Found { mode: 0o775, ..good }, 5, Some(7)), Ok(()), "a group of his own");
        assert_eq!(judge_services(Found { mode: 0o775, ..good }, 5, None), Err(Fault::Writable(0o775)));
        assert_eq!(judge_services(Found { mode: 0o775, ..good }, 5, Some(8)), Err(Fault::Writable(0o775)));
        assert_eq!(judge_services(Found { mode: 0o777, ..good }, 5, Some(7)), Err(Fault::Writable(0o777)));
        assert_eq!(judge_services(good, 0, None), Err(Fault::Owner(5)));
    }

    #[test]
    fn nobody_else_can_lead_the_way_to_the_additions_elsewhere() {
        let good = Found { is_directory: true, is_link: false, owner: 0, group: 0, mode: 0o755 };
        assert_eq!(judge_way(good, &[0]), Ok(()));
        assert_eq!(judge_way(Found { mode: 0o1777, ..good }, &[0]), Ok(()), "/tmp");
        assert_eq!(judge_way(Found { mode: 0o777, ..good }, &[0]), Err(Fault::Writable(0o777)));
        assert_eq!(judge_way(Found { owner: 5, ..good }, &[0]), Err(Fault::Owner(5)));
        assert_eq!(judge_way(Found { is_link: true, ..good }, &[0]), Err(Fault::Link));
    }

    #[test]
    fn additions_to_the_environment_are_roots() {
        let good = Found { is_directory: true, is_link: false, owner: 0, group: 0, mode: 0o755 };
        assert_eq!(judge_env(good, &[0]), Ok(()));
        assert_eq!(judge_env(Found { owner: 5, ..good }, &[0]), Err(Fault::Owner(5)));
        assert_eq!(judge_env(Found { mode: 0o775, ..good }, &[0]), Err(Fault::Writable(0o775)));
    }
}
