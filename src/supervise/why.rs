//! Why a program cannot be started, where the words for the error do not tell.

use std::ffi::OsStr;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::model::executable::{self, HEAD_BYTES, Head};
use crate::model::reason;
use crate::msg::join;
use crate::sys::file;

/// How many interpreters of interpreters are looked at. Source: Linux, `exec_binprm`.
const MOST_INTERPRETERS: u8 = 4;

/// What is wrong with the program `path`, which `error` kept from being run; None if there is no more to say.
///
/// `directory` is where it was to be run. It may be another file by now: then the answer is wrong, or None.
pub fn cannot_start(directory: &Path, path: &Path, error: &io::Error) -> Option<Vec<u8>> {
    let errno = Errno::from_raw(error.raw_os_error()?);
    let fault = Look { directory, errno }.fault(path, MOST_INTERPRETERS)?;
    Some(reason::clean(&join(&[b"it ", &fault])))
}

struct Look<'a> {
    directory: &'a Path,
    errno: Errno,
}

impl Look<'_> {
    /// What goes on after "it".
    fn fault(&self, path: &Path, depth: u8) -> Option<Vec<u8>> {
        let path = self.directory.join(path);
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return leads_nowhere(&path),
            found => found.ok()?,
        };
        let say = |text: &str| Some(text.as_bytes().to_vec());
        if found.is_dir() {
            return say("is a directory");
        }
        if !found.is_file() {
            return say("is no regular file");
        }
        match self.errno {
            Errno::EACCES if file::forbids_execution(&path) => say("is on a file system that is mounted noexec"),
            Errno::EACCES if found.permissions().mode() & 0o111 == 0 => say("is not executable"),
            Errno::EACCES if !file::may_execute(&path) => say("is not executable for this user"),
            Errno::ETXTBSY => say("is open for writing"),
            Errno::EACCES | Errno::ENOENT | Errno::ENOEXEC => self.fault_within(&path, depth),
            _ => None,
        }
    }

    fn fault_within(&self, path: &Path, depth: u8) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        file::open_read(path).ok()?.take(HEAD_BYTES as u64).read_to_end(&mut head).ok()?;
        let say = |text: &str| Some(text.as_bytes().to_vec());
        match Head::of(&head) {
            Head::Script(interpreter) if depth > 0 => self.fault_of("an interpreter", interpreter, depth - 1),
            Head::Script(_) => None,
            Head::Binary(_, Some(loader)) if self.errno == Errno::ENOENT => self.fault_of("a loader", loader, 0),
            _ if self.errno != Errno::ENOEXEC => None,
            Head::Empty => say("is empty"),
            Head::NoInterpreter => say("has no interpreter behind #!"),
            Head::ByteOrderMark => say("has a byte order mark before #!"),
            Head::Binary(machine, _) => Some(format!("is a program for {}", executable::machine(machine)).into_bytes()),
            Head::Other => say("does not begin with #!"),
        }
    }

    /// The same for what it needs to be run.
    fn fault_of(&self, what: &str, path: &[u8], depth: u8) -> Option<Vec<u8>> {
        if path.ends_with(b"\r") {
            return Some(b"has the line ends of DOS: there is a carriage return behind its interpreter".to_vec());
        }
        let fault = match self.directory.join(OsStr::from_bytes(path)) {
            path if !path.exists() && !path.is_symlink() => b"does not exist".to_vec(),
            path => self.fault(&path, depth)?,
        };
        Some(join(&[b"has ", what.as_bytes(), b" that ", &fault, b": ", path]))
    }
}

/// What is to be said of a link to nothing.
fn leads_nowhere(path: &Path) -> Option<Vec<u8>> {
    let target: PathBuf = fs::read_link(path).ok()?;
    Some(join(&[b"is a link to what does not exist: ", target.as_os_str().as_bytes()]))
}
