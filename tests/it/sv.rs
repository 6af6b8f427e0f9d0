//! sv(8), black-box, and side by side with the original.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use homerun::model::status::{State, Status, Want};
use homerun::model::tai::Label;
use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::*;

/// A service that only seems to be supervised: its records stay as they are, and what is sent to it can be read.
struct Fake {
    control: File,
    _ok: File,
}

impl Fake {
    fn new(tree: &Tree, name: &str, record: &[u8]) -> Fake {
        let supervise = tree.directory(&format!("{name}/supervise"));
        let fifo = |name: &str| {
            homerun::sys::file::make_fifo(&supervise.join(name), 0o600).unwrap();
            let mut options = fs::OpenOptions::new();
            options.read(true).custom_flags(libc::O_NONBLOCK).open(supervise.join(name)).unwrap()
        };
        fs::write(supervise.join("status"), record).unwrap();
        Fake { control: fifo("control"), _ok: fifo("ok") }
    }

    /// What was sent to it since the last look.
    fn was_sent(&mut self) -> String {
        let mut bytes = [0; 64];
        let length = self.control.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

/// A record of a state that has lasted.
fn lasting(pid: i32, state: State, want: Want) -> Status {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Status { since: Label::of(now - Duration::from_secs(1000)), pid, paused: false, want, got_term: false, state }
}

/// `text` with each number of seconds and of a process as N.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for part in text.split_inclusive(|char: char| !char.is_ascii_digit()) {
        let digits = part.trim_end_matches(|char: char| !char.is_ascii_digit());
        let before_is_word = shown.ends_with(|char: char| char.is_ascii_alphanumeric() || char == '-');
        if !digits.is_empty() && !before_is_word {
            shown.push('N');
            shown.push_str(&part[digits.len()..]);
        } else {
            shown.push_str(part);
        }
    }
    shown
}

fn comparable(outcome: Outcome) -> Outcome {
    Outcome { stdout: without_numbers(&outcome.stdout), ..outcome }
}

/// sv of `programs`, in the tree, with the tree as the services directory, and no patience.
fn sv_of(programs: &Path, tree: &Tree) -> Command {
    let mut command = Command::new(programs.join("sv"));
    command.arg0("sv").env_clear().env("PATH", path()).env("SVDIR", tree.path("")).env("SVWAIT", "0");
    command.current_dir(tree.path(""));
    command
}

fn ours(tree: &Tree) -> Command {
    sv_of(programs(), tree)
}

/// Ours with all the patience of a test.
fn patient(tree: &Tree) -> Command {
    let mut command = ours(tree);
    command.env("SVWAIT", "60");
    command
}

fn sv(tree: &Tree, args: &[&str]) -> Outcome {
    comparable(Outcome::of(patient(tree).args(args)))
}

/// Both outcomes on the same services.
fn beside(runit: &Path, tree: &Tree, args: &[&OsStr]) -> (Outcome, Outcome) {
    let theirs = comparable(Outcome::of(sv_of(runit, tree).args(args)));
    (comparable(Outcome::of(ours(tree).args(args))), theirs)
}

fn assert_same(runit: &Path, tree: &Tree, lines: &[&str]) {
    for line in lines {
        let args: Vec<&OsStr> = line.split(' ').map(|word| OsStr::new(word.trim_matches('\''))).collect();
        let (ours, theirs) = beside(runit, tree, &args);
        assert_eq!(ours, theirs, "sv {line}");
    }
}

const USAGE: &str = "usage: sv [-v] [-w sec] command service ...\n\n";
const SLEEPS: &str = "say up; exec sleep 1000";

#[test]
fn wrong_arguments_are_answered_with_the_usage() {
    let tree = Tree::new();
    let cases: [(&[&str], &str); 10] = [
        (&[], ""),
        (&["status"], ""),
        (&["nonsense", "foo"], ""),
        (&["", "foo"], ""),
        (&["r", "foo"], ""),
        (&["force", "foo"], ""),
        (&["-w"], "sv: option requires an argument -- w\n"),
        (&["-x", "status", "foo"], "sv: illegal option -- x\n"),
        (&["-vx"], "sv: illegal option -- x\n"),
        (&["-w", "1"], ""),
    ];
    for (args, complaint) in cases {
        let expected = fails(&format!("{complaint}{USAGE}"), 100);
        assert_eq!(Outcome::of(ours(&tree).args(args)), expected, "{args:?}");
        if let Some(runit) = runit() {
            assert_eq!(Outcome::of(sv_of(&runit, &tree).args(args)), expected, "{args:?}");
        }
    }
    let version = Outcome::of(ours(&tree).arg("-V"));
    assert_eq!(version, fails(&format!("homerun {}\n{USAGE}", env!("CARGO_PKG_VERSION")), 100));
}

/// Each word, what it sends, and what more when it takes too long.
const WORDS: [(&str, &str, &str); 44] = [
    ("up", "u", ""),
    ("upward", "u", ""),
    ("u", "u", ""),
    ("down", "d", ""),
    ("d", "d", ""),
    ("once", "o", ""),
    ("o", "o", ""),
    ("pause", "p", ""),
    ("p", "p", ""),
    ("cont", "c", ""),
    ("c", "c", ""),
    ("hup", "h", ""),
    ("h", "h", ""),
    ("alarm", "a", ""),
    ("a", "a", ""),
    ("interrupt", "i", ""),
    ("i", "i", ""),
    ("quit", "q", ""),
    ("q", "q", ""),
    ("1", "1", ""),
    ("2", "2", ""),
    ("1st", "1", ""),
    ("term", "t", ""),
    ("t", "t", ""),
    ("kill", "k", ""),
    ("k", "k", ""),
    ("exit", "x", ""),
    ("e", "x", ""),
    ("x", "x", ""),
    ("X", "x", "k"),
    ("E", "x", "k"),
    ("D", "d", "k"),
    ("T", "tc", "k"),
    ("start", "u", ""),
    ("stop", "d", ""),
    ("shutdown", "x", ""),
    ("restart", "tcu", ""),
    ("reload", "h", ""),
    ("try-restart", "tc", ""),
    ("check", "", ""),
    ("force-stop", "d", "k"),
    ("force-reload", "tc", "k"),
    ("force-restart", "tcu", "k"),
    ("force-shutdown", "x", "k"),
];

#[test]
fn every_word_writes_what_the_original_writes_and_says_what_it_says() {
    let runs = lasting(4321, State::Run, Want::Up);
    let down = lasting(0, State::Down, Want::Down);
    let records = [
        ("run", runs),
        ("run, paused", Status { paused: true, ..runs }),
        ("run, want down", Status { want: Want::Down, ..runs }),
        ("run, got TERM", Status { want: Want::Down, got_term: true, ..runs }),
        ("finish", Status { state: State::Finish, ..runs }),
        ("finish, want down", Status { state: State::Finish, want: Want::Down, ..runs }),
        ("down", down),
        ("down, paused", Status { paused: true, ..down }),
    ];
    let tree = Tree::new();
    let runit = runit();
    let (tree, runit) = (&tree, runit.as_deref());
    std::thread::scope(|scope| {
        for (at, (name, record)) in records.into_iter().enumerate() {
            for (words, chunk) in WORDS.chunks(6).enumerate() {
                scope.spawn(move || {
                    for (word, sent, killed) in chunk {
                        let service = format!("{at}.{words}.{word}");
                        let mut fake = Fake::new(tree, &service, &record.encode());
                        let options: &[&str] = if at == 0 || word.len() < 3 { &[] } else { &["-v"] };
                        let args: Vec<&str> = options.iter().copied().chain([*word, &*service]).collect();
                        let ours = comparable(Outcome::of(ours(tree).args(&args)));
                        let late = ours.stdout.starts_with("kill: ");
                        let expected = if late { format!("{sent}{killed}") } else { (*sent).to_owned() };
                        assert_eq!(fake.was_sent(), expected, "{name}: sv {args:?}: {ours:?}");
                        let Some(runit) = runit else { continue };
                        let theirs = comparable(Outcome::of(sv_of(runit, tree).args(&args)));
                        if !is_known_difference(&record, word, sent) {
                            assert_eq!(ours, theirs, "{name}: sv {args:?}");
                        }
                        let theirs_sent = fake.was_sent();
                        if is_skipped_by_original(&record, sent) {
                            assert!(theirs_sent.is_empty() || theirs_sent == *killed, "{name}: theirs: sv {args:?}");
                        } else {
                            assert_eq!(theirs_sent, expected, "{name}: theirs: sv {args:?}");
                        }
                    }
                });
            }
        }
    });
}

/// Up to 2.3.0 the original sends nothing where the record shows the byte already.
fn is_skipped_by_original(record: &Status, sent: &str) -> bool {
    match record.want {
        Want::Up => sent.starts_with('u'),
        Want::Down | Want::Exit => sent.starts_with('d') && record.got_term,
    }
}

/// Where ours says something else: "up" is done once the supervisor has taken note of it, and `check` follows what
/// is wanted, as since 2.3.0.
fn is_known_difference(record: &Status, word: &str, sent: &str) -> bool {
    let has_no_note = record.state == State::Run && record.want != Want::Up && sent.contains('u');
    has_no_note || word == "check"
}
