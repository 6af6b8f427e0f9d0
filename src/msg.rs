//! Messages and the words for errors.
//!
//! A message is one line, `program [directory]: severity: unable to do file: reason`, written with one write(2)
//! to stderr. Scripts parse these lines: where runit has one, ours is that line.

use std::ffi::OsStr;
use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};

use nix::errno::Errno;

use crate::model::pace::Pace;
use crate::sys::{clock, fd};

/// The longest message that is written in one piece; a longer one is cut.
///
/// A message may carry a path of a hostile user: the limit keeps it from flooding the log of the tree, and
/// within `PIPE_BUF` lines of several programs do not mix.
pub const MAX_LINE: usize = 4096;

/// How bad it is, as printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The program ends.
    Fatal,
    /// The program goes on.
    Warning,
    /// The program waits and tries again; svlogd's.
    Pausing,
    /// Nothing is wrong.
    Info,
}

impl Severity {
    fn word(self) -> &'static str {
        match self {
            Severity::Fatal => "fatal",
            Severity::Warning => "warning",
            Severity::Pausing => "pausing",
            Severity::Info => "info",
        }
    }
}

/// A failed deed: what was tried, on what, and why it failed.
///
/// Shown as `unable to lock supervise/lock: temporary failure`; without an object, `unable to fork: ...`.
#[derive(Debug)]
pub struct Failure {
    what: Vec<u8>,
    separator: &'static str,
    reason: io::Error,
}

impl Failure {
    /// `unable to DEED OBJECT: REASON`.
    pub fn new(deed: &'static str, object: impl AsRef<OsStr>, reason: impl Into<io::Error>) -> Failure {
        let object = object.as_ref().as_bytes();
        let space: &[u8] = if object.is_empty() { b"" } else { b" " };
        let what = join(&[b"unable to ", deed.as_bytes(), space, object]);
        Failure { what, separator: ": ", reason: reason.into() }
    }

    /// `unable to DEED: OBJECT: REASON`, as chpst has it.
    pub fn with(deed: &'static str, object: impl AsRef<OsStr>, reason: impl Into<io::Error>) -> Failure {
        let what = join(&[b"unable to ", deed.as_bytes(), b": ", object.as_ref().as_bytes()]);
        Failure { what, separator: ": ", reason: reason.into() }
    }

    /// `OBJECT FAULT`, where no call failed: `supervise/control exists but is not a fifo`.
    pub fn said(object: impl AsRef<OsStr>, fault: impl Into<String>) -> Failure {
        Failure { what: object.as_ref().as_bytes().to_vec(), separator: " ", reason: io::Error::other(fault.into()) }
    }

    /// The error behind it.
    pub fn reason(&self) -> &io::Error {
        &self.reason
    }

    /// The text after the severity, as bytes: paths need not be UTF-8.
    pub fn text(&self) -> Vec<u8> {
        join(&[&self.what, self.separator.as_bytes(), reason(&self.reason).as_bytes()])
    }
}

/// Turns a failed call into a [`Failure`]: `lock(path).tried("lock", path)?`.
pub trait Tried<T> {
    /// Says what was tried and on what.
    fn tried(self, deed: &'static str, object: impl AsRef<OsStr>) -> Result<T, Failure>;

    /// The same in the form of [`Failure::with`].
    fn tried_with(self, deed: &'static str, object: impl AsRef<OsStr>) -> Result<T, Failure>;
}

impl<T, E: Into<io::Error>> Tried<T> for Result<T, E> {
    fn tried(self, deed: &'static str, object: impl AsRef<OsStr>) -> Result<T, Failure> {
        self.map_err(|error| Failure::new(deed, object, error))
    }

    fn tried_with(self, deed: &'static str, object: impl AsRef<OsStr>) -> Result<T, Failure> {
        self.map_err(|error| Failure::with(deed, object, error))
    }
}

/// Who speaks: a program's name and, for those that have one, its directory.
#[derive(Clone, Debug)]
pub struct Speaker {
    prefix: Vec<u8>,
    /// It rather loses a message than wait for somebody to read it.
    never_waits: bool,
    /// It says no more than [`PACE`] admits.
    is_measured: bool,
}

/// Messages that standard error had no room for.
static DROPPED: AtomicU64 = AtomicU64::new(0);
/// Messages of a supervisor that were too many.
static TOO_MANY: AtomicU64 = AtomicU64::new(0);

/// So many messages of a supervisor may come at once, and then [`PER_SECOND`]: whoever owns the services can make it
/// complain as often as they like, and the log of the tree may be another's.
const AT_ONCE: u64 = 200;
const PER_SECOND: u64 = 1;
static PACE: Mutex<Option<Pace>> = Mutex::new(None);

/// Whether one more message of a supervisor is not one too many, and whether it was the last that is not.
fn admits_message() -> (bool, bool) {
    let mut pace = PACE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = clock::now();
    let pace = pace.get_or_insert_with(|| Pace::new(AT_ONCE, PER_SECOND, now));
    let was_shut = pace.is_shut();
    let admits = pace.admits(1, now);
    (admits, !admits && !was_shut)
}

impl Speaker {
    /// Speaks as `program: ...`.
    pub fn new(program: impl AsRef<OsStr>) -> Speaker {
        Speaker { prefix: program.as_ref().as_bytes().to_vec(), never_waits: false, is_measured: false }
    }

    /// Speaks as `program directory: ...`.
    pub fn of(program: &str, directory: impl AsRef<OsStr>) -> Speaker {
        let mut prefix = program.as_bytes().to_vec();
        prefix.push(b' ');
        prefix.extend_from_slice(directory.as_ref().as_bytes());
        Speaker { prefix, never_waits: false, is_measured: false }
    }

    /// The same, never waiting: what standard error has no room for is dropped, counted, and told of later.
    pub fn never_waiting(self) -> Speaker {
        Speaker { never_waits: true, ..self }
    }

    /// The same, never waiting, and never without measure: so is what is too much.
    pub fn of_supervisor(self) -> Speaker {
        Speaker { is_measured: true, ..self.never_waiting() }
    }

    /// The whole line, newline included, at most [`MAX_LINE`] bytes.
    ///
    /// What is not to be shown inside a name is `?`, so that a message stays one line and text.
    pub fn line(&self, severity: Severity, text: impl AsRef<[u8]>) -> Vec<u8> {
        let mut line = Vec::with_capacity(self.prefix.len() + text.as_ref().len() + 16);
        line.extend_from_slice(&self.prefix);
        line.extend_from_slice(b": ");
        line.extend_from_slice(severity.word().as_bytes());
        line.extend_from_slice(b": ");
        line.extend_from_slice(text.as_ref());
        line.truncate(MAX_LINE - 1);
        one_line(&[&line])
    }

    /// Prints `PREFIX: SEVERITY: TEXT`.
    #[cold]
    #[inline(never)]
    pub fn say(&self, severity: Severity, text: impl AsRef<[u8]>) {
        if !self.never_waits {
            return to_stderr(&self.line(severity, text));
        }
        let has_room = || fd::has_room(io::stderr().as_fd());
        if !has_room() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let (is_admitted, is_first_too_many) = if self.is_measured { admits_message() } else { (true, false) };
        if is_first_too_many {
            to_stderr(&self.line(Severity::Warning, "too many messages: the next are dropped and counted"));
        }
        if !is_admitted {
            TOO_MANY.fetch_add(1, Ordering::Relaxed);
            return;
        }
        to_stderr(&self.line(severity, text));
        for (count, why) in [(&DROPPED, "nobody read standard error"), (&TOO_MANY, "they were too many")] {
            if count.load(Ordering::Relaxed) > 0 && has_room() {
                let text = format!("{} messages were dropped: {why}", count.swap(0, Ordering::Relaxed));
                to_stderr(&self.line(Severity::Warning, text));
            }
        }
    }

    /// Prints a warning.
    pub fn warn(&self, text: impl AsRef<[u8]>) {
        self.say(Severity::Warning, text);
    }

    /// Prints a failed deed as a warning.
    pub fn warn_failure(&self, failure: &Failure) {
        self.say(Severity::Warning, failure.text());
    }

    /// Prints the last words of a program; its caller returns the exit code.
    pub fn fatal(&self, text: impl AsRef<[u8]>) {
        self.say(Severity::Fatal, text);
    }
}

/// Writes to stderr. There is nobody to tell when that fails.
pub fn to_stderr(bytes: &[u8]) {
    let _ = io::stderr().write_all(bytes);
}

/// Writes what was asked for to stdout; `false` when nobody can read it any more.
pub fn to_stdout(bytes: &[u8]) -> bool {
    fd::write_all(fd::standard_output(), bytes).is_ok()
}

/// Writes a line as it is, or as [`one_line`] to a terminal; `false` when nobody can read it any more.
pub fn line_to_stdout(parts: &[&[u8]]) -> bool {
    static IS_TERMINAL: LazyLock<bool> = LazyLock::new(|| fd::standard_output().is_terminal());
    to_stdout(&line_for(*IS_TERMINAL, parts))
}

/// Writes a line as it is, or as [`one_line`] to a terminal.
pub fn line_to_stderr(parts: &[&[u8]]) {
    to_stderr(&line_for(io::stderr().is_terminal(), parts));
}

/// Who reads lines byte for byte is no terminal.
fn line_for(is_terminal: bool, parts: &[&[u8]]) -> Vec<u8> {
    if is_terminal { one_line(parts) } else { [&parts.concat()[..], b"\n"].concat() }
}

/// Joins parts into one text, for messages with names in them that need not be UTF-8.
pub fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// Joins parts into one line that ends with a newline, for a log or a terminal: a control character is shown as `?`.
///
/// Names are anybody's to choose: what is in one shall neither divide a message nor be a command to a terminal. UTF-8
/// and other bytes stay as they are. Differs: the original shows names as they are.
pub fn one_line(parts: &[&[u8]]) -> Vec<u8> {
    let mut line = parts.concat();
    for at in 0..line.len() {
        let is_control = match line[at] {
            0..b' ' | 0x7f => true,
            // U+0080 to U+009F are control characters too, as two bytes, or as one where there is no UTF-8.
            0x80..=0x9f => !continues(&line[..at]),
            _ => false,
        };
        if is_control {
            line[at] = b'?';
        }
    }
    line.push(b'\n');
    line
}

/// Whether a byte of 0x80 to 0x9F after `before` continues a character of UTF-8 that is no control character.
fn continues(before: &[u8]) -> bool {
    let further = before.iter().rev().take_while(|byte| matches!(byte, 0x80..=0xbf)).count();
    let begin = before.iter().rev().nth(further);
    matches!((further, begin), (0, Some(0xc3..=0xf4)) | (1, Some(0xe0..=0xf4)) | (2, Some(0xf0..=0xf4)))
}

/// The words for an error, those of runit and not of strerror(3).
///
/// Source: runit 2.3.0, src/error_str.c. An error of ours without an errno speaks for itself.
pub fn reason(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(raw) => errno_text(raw).to_owned(),
        None => error.to_string(),
    }
}

/// The words for an errno value.
pub fn errno_text(raw: i32) -> &'static str {
    if raw == 0 {
        return "no error";
    }
    let errno = Errno::from_raw(raw);
    ERRNO_TEXTS.iter().find(|(known, _)| *known == errno).map_or("unknown error", |(_, text)| text)
}

const ERRNO_TEXTS: &[(Errno, &str)] = &[
    (Errno::EINTR, "interrupted system call"),
    (Errno::ENOMEM, "out of memory"),
    (Errno::ENOENT, "file does not exist"),
    (Errno::ETXTBSY, "text busy"),
    (Errno::EIO, "input/output error"),
    (Errno::EEXIST, "file already exists"),
    (Errno::ETIMEDOUT, "timed out"),
    (Errno::EINPROGRESS, "operation in progress"),
    (Errno::EAGAIN, "temporary failure"),
    (Errno::EPIPE, "broken pipe"),
    (Errno::EPERM, "permission denied"),
    (Errno::EACCES, "access denied"),
    (Errno::ENXIO, "device not configured"),
    (Errno::EPROTO, "protocol error"),
    (Errno::EISDIR, "is a directory"),
    (Errno::ECONNREFUSED, "connection refused"),
    (Errno::ENOTDIR, "not a directory"),
    (Errno::ESRCH, "no such process"),
    (Errno::E2BIG, "argument list too long"),
    (Errno::ENOEXEC, "exec format error"),
    (Errno::EBADF, "file descriptor not open"),
    (Errno::ECHILD, "no child processes"),
    (Errno::EDEADLK, "operation would cause deadlock"),
    (Errno::EFAULT, "bad address"),
    (Errno::ENOTBLK, "not a block device"),
    (Errno::EBUSY, "device busy"),
    (Errno::EXDEV, "cross-device link"),
    (Errno::ENODEV, "device does not support operation"),
    (Errno::EINVAL, "invalid argument"),
    (Errno::ENFILE, "system cannot open more files"),
    (Errno::EMFILE, "process cannot open more files"),
    (Errno::ENOTTY, "not a tty"),
    (Errno::EFBIG, "file too big"),
    (Errno::ENOSPC, "out of disk space"),
    (Errno::ESPIPE, "unseekable descriptor"),
    (Errno::EROFS, "read-only file system"),
    (Errno::EMLINK, "too many links"),
    (Errno::EDOM, "input out of range"),
    (Errno::ERANGE, "output out of range"),
    (Errno::EALREADY, "operation already in progress"),
    (Errno::ENOTSOCK, "not a socket"),
    (Errno::EDESTADDRREQ, "destination address required"),
    (Errno::EMSGSIZE, "message too long"),
    (Errno::EPROTOTYPE, "incorrect protocol type"),
    (Errno::ENOPROTOOPT, "protocol not available"),
    (Errno::EPROTONOSUPPORT, "protocol not supported"),
    (Errno::ESOCKTNOSUPPORT, "socket type not supported"),
    (Errno::EOPNOTSUPP, "operation not supported"),
    (Errno::EPFNOSUPPORT, "protocol family not supported"),
    (Errno::EAFNOSUPPORT, "address family not supported"),
    (Errno::EADDRINUSE, "address already used"),
    (Errno::EADDRNOTAVAIL, "address not available"),
    (Errno::ENETDOWN, "network down"),
    (Errno::ENETUNREACH, "network unreachable"),
    (Errno::ENETRESET, "network reset"),
    (Errno::ECONNABORTED, "connection aborted"),
    (Errno::ECONNRESET, "connection reset"),
    (Errno::ENOBUFS, "out of buffer space"),
    (Errno::EISCONN, "already connected"),
    (Errno::ENOTCONN, "not connected"),
    (Errno::ESHUTDOWN, "socket shut down"),
    (Errno::ETOOMANYREFS, "too many references"),
    (Errno::ELOOP, "symbolic link loop"),
    (Errno::ENAMETOOLONG, "file name too long"),
    (Errno::EHOSTDOWN, "host down"),
    (Errno::EHOSTUNREACH, "host unreachable"),
    (Errno::ENOTEMPTY, "directory not empty"),
    (Errno::EUSERS, "too many users"),
    (Errno::EDQUOT, "disk quota exceeded"),
    (Errno::ESTALE, "stale NFS file handle"),
    (Errno::EREMOTE, "too many levels of remote in path"),
    (Errno::ENOLCK, "no locks available"),
    (Errno::ENOSYS, "system call not available"),
    (Errno::ENOSTR, "not a stream device"),
    (Errno::ETIME, "timer expired"),
    (Errno::ENOSR, "out of stream resources"),
    (Errno::ENOMSG, "no message of desired type"),
    (Errno::EBADMSG, "bad message type"),
    (Errno::EIDRM, "identifier removed"),
    (Errno::ENONET, "machine not on network"),
    (Errno::ENOLINK, "link severed"),
    (Errno::EADV, "advertise error"),
    (Errno::ESRMNT, "srmount error"),
    (Errno::ECOMM, "communication error"),
    (Errno::EMULTIHOP, "multihop attempted"),
    (Errno::EREMCHG, "remote address changed"),
];

impl fmt::Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_lock_is_said_in_runits_words() {
        let failure = Failure::new("lock", "supervise/lock", Errno::EAGAIN);
        assert_eq!(
            Speaker::of("runsv", "foo").line(Severity::Fatal, failure.text()),
            b"runsv foo: fatal: unable to lock supervise/lock: temporary failure\n"
        );
    }

    #[test]
    fn a_deed_may_stand_apart_from_its_object_or_have_none() {
        let text = |failure: Failure| String::from_utf8(failure.text()).unwrap();
        assert_eq!(text(Failure::new("fork", "", Errno::ENOMEM)), "unable to fork: out of memory");
        assert_eq!(text(Failure::with("run", "foo", Errno::EACCES)), "unable to run: foo: access denied");
        assert_eq!(text(Failure::with("run", "", Errno::EACCES)), "unable to run: : access denied");
    }

    #[test]
    fn eperm_and_eacces_are_told_apart() {
        assert_eq!(errno_text(libc::EPERM), "permission denied");
        assert_eq!(errno_text(libc::EACCES), "access denied");
        assert_eq!(errno_text(9999), "unknown error");
        assert_eq!(errno_text(0), "no error");
    }

    #[test]
    fn control_characters_are_not_shown_and_everything_else_is() {
        let shown = |text: &[u8]| one_line(&[text]);
        assert_eq!(shown(b"a\x1b[31mb\x07\x00\t\r\x7f"), b"a?[31mb?????\n");
        assert_eq!(shown("Größe À ž 日本 ‘x’ 🏃".as_bytes()), "Größe À ž 日本 ‘x’ 🏃\n".as_bytes());
        assert_eq!(shown("a\u{9b}31m".as_bytes()), b"a\xc2?31m\n", "in UTF-8");
        assert_eq!(shown(b"a\x9b31m \xe9\xfc"), b"a?31m \xe9\xfc\n", "in Latin-1");
        assert_eq!(shown(b"\xe2\x80\x98\x9b \xe2x\x9b"), b"\xe2\x80\x98? \xe2x?\n", "parts of no character");
    }

    #[test]
    fn a_hostile_name_stays_one_short_line() {
        let line = Speaker::of("runsv", "a\nb").line(Severity::Warning, vec![b'x'; 2 * MAX_LINE]);
        assert_eq!(line.len(), MAX_LINE);
        assert!(line.starts_with(b"runsv a?b: warning: xxx"));
        assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1);
    }
}
