//! sv(8), black-box, and side by side with the original.

mod checks;
mod words;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
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
        Fake::in_directory(&tree.path(name), record)
    }

    fn in_directory(service: &Path, record: &[u8]) -> Fake {
        gone(service, record);
        Fake::again(service)
    }

    /// One where there was one.
    fn again(service: &Path) -> Fake {
        let open = |name: &str| {
            let mut options = fs::OpenOptions::new();
            options.read(true).custom_flags(libc::O_NONBLOCK).open(service.join("supervise").join(name)).unwrap()
        };
        Fake { control: open("control"), _ok: open("ok") }
    }

    /// What was sent to it, as soon as something is.
    fn is_sent(&mut self) -> String {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let sent = self.was_sent();
            if !sent.is_empty() {
                return sent;
            }
            assert!(std::time::Instant::now() < deadline, "nothing is sent");
            std::thread::yield_now();
        }
    }

    /// What was sent to it since the last look.
    fn was_sent(&mut self) -> String {
        let mut bytes = [0; 64];
        let length = self.control.read(&mut bytes).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..length]).into_owned()
    }
}

/// Makes a service that was supervised, and gives its `supervise/`. Nobody ever had its FIFOs open: what one closes, a
/// process that another test is just starting may still have open.
fn gone(service: &Path, record: &[u8]) -> PathBuf {
    let supervise = service.join("supervise");
    fs::create_dir_all(&supervise).unwrap();
    let mut status = File::create(supervise.join("status")).unwrap();
    status.write_all(record).unwrap();
    // However slow the machine is, a TERM that is recorded came just now.
    status.set_modified(SystemTime::now() + LASTED).unwrap();
    for name in ["control", "ok"] {
        homerun::sys::file::make_fifo(&supervise.join(name), 0o600).unwrap();
    }
    supervise
}

/// How long a state has lasted.
const LASTED: Duration = Duration::from_secs(1000);

/// The id of no process: they end at 2 to the 22nd.
const NO_PID: i32 = 4_194_305;

/// A record of a state that has lasted.
fn lasting(pid: i32, state: State, want: Want) -> Status {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Status { since: Label::of(now - LASTED), pid, paused: false, want, got_term: false, state }
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

/// With N for each number that is never the same twice.
pub fn comparable(outcome: Outcome) -> Outcome {
    Outcome { stdout: without_numbers(&outcome.stdout), ..outcome }
}

/// sv of `programs`, in the tree, with the tree as the services directory, and no patience.
fn sv_of(programs: &Path, tree: &Tree) -> Command {
    let mut command = Command::new(programs.join("sv"));
    command.arg0("sv").env_clear().env("PATH", path()).env("SVDIR", tree.path("")).env("SVWAIT", "0");
    command.env("EAR", tree.path("ear")).current_dir(tree.path(""));
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
    let runit = runit();
    for programs in [Some(programs()), runit.as_deref()].into_iter().flatten() {
        for letter in [&b"\xff"[..], "\u{e9}".as_bytes(), b"v-"] {
            let output = sv_of(programs, &tree).arg(OsStr::from_bytes(&[b"-", letter].concat())).output().unwrap();
            let byte = if letter == b"v-" { b'-' } else { letter[0] };
            let expected = [b"sv: illegal option -- ", &[byte][..], b"\n", USAGE.as_bytes()].concat();
            assert_eq!((output.stderr, output.status.code()), (expected, Some(100)), "{}", letter.escape_ascii());
        }
    }
    let version = Outcome::of(ours(&tree).arg("-V"));
    assert_eq!(version, fails(&format!("homerun {}\n{USAGE}", env!("CARGO_PKG_VERSION")), 100));
}

#[test]
fn status_lines_are_the_originals() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let wants = [Want::Up, Want::Down];
    let states = [
        (0, State::Down),
        (4194305, State::Run),
        (4194305, State::Finish),
        (0, State::Finish),
        (4194305, State::Unknown(7)),
    ];
    let mut fakes = Vec::new();
    for (pid, state) in states {
        for want in wants {
            for paused in [false, true] {
                for got_term in [false, true] {
                    let record = Status { paused, got_term, ..lasting(pid, state, want) }.encode();
                    for has_down in [false, true] {
                        let name = format!("s{}", fakes.len());
                        fakes.push((Fake::new(&tree, &name, &record), name.clone()));
                        if has_down {
                            fs::create_dir(tree.path(&name).join("down")).unwrap();
                        }
                    }
                }
            }
        }
    }
    let future = Status { since: Label::of(Duration::from_secs(1 << 40)), ..lasting(NO_PID, State::Run, Want::Up) };
    fakes.push((Fake::new(&tree, "future", &future.encode()), "future".to_owned()));
    let names = fakes.iter().map(|(_, name)| OsStr::new(name));
    let args: Vec<&OsStr> = std::iter::once(OsStr::new("status")).chain(names).collect();
    let (ours, theirs) = beside(&runit, &tree, &args);
    assert_eq!(ours, theirs);
    assert_eq!((ours.stdout.lines().count(), ours.code), (81, Some(0)));
    assert!(ours.stdout.contains("run: s16: (pid N) Ns\n"), "{}", ours.stdout);
}

#[test]
fn the_status_of_a_log_service_follows_after_a_semicolon() {
    let tree = Tree::new();
    let runs = lasting(NO_PID, State::Run, Want::Up).encode();
    let _both = (Fake::new(&tree, "both", &runs), Fake::new(&tree, "both/log", &runs));
    let _ended = (Fake::new(&tree, "ended", &runs), gone(&tree.path("ended/log"), &runs));
    let _file = Fake::new(&tree, "file", &runs);
    fs::write(tree.path("file/log"), "").unwrap();
    let _new = Fake::new(&tree, "new", &runs);
    tree.directory("new/log");
    let cases = [
        ("both", "run: both: (pid N) Ns; run: log: (pid N) Ns\n", 0),
        ("both/log", "run: both/log: (pid N) Ns\n", 0),
        ("both/", "run: both/: (pid N) Ns; run: log: (pid N) Ns\n", 0),
        ("ended", "run: ended: (pid N) Ns; fail: ended/log: runsv not running\n", 1),
        ("file", "run: file: (pid N) Ns; warning: file/log: unable to change directory: not a directory\n", 1),
    ];
    for (name, line, code) in cases {
        let expected = Outcome { code: Some(code), ..says(line) };
        assert_eq!(sv(&tree, &["status", name]), expected, "{name}");
        if let Some(runit) = runit() {
            assert_same(&runit, &tree, &[&format!("status {name}"), &format!("s {name}")]);
        }
    }
    // The original then says the main line again, as if it were the log service's.
    let expected = "run: new: (pid N) Ns; warning: new/log: unable to open supervise/ok: file does not exist\n";
    assert_eq!(sv(&tree, &["status", "new"]), Outcome { code: Some(1), ..says(expected) });
}

#[test]
fn what_is_no_supervised_service_is_told_of_in_the_originals_words() {
    let tree = Tree::new();
    let runs = lasting(NO_PID, State::Run, Want::Up).encode();
    tree.directory("empty");
    fs::write(tree.path("file"), "").unwrap();
    gone(&tree.path("ended"), &runs);
    let _short = Fake::new(&tree, "short", &runs[..19]);
    let _long = Fake::new(&tree, "long", &[&runs[..], b"x"].concat());
    assert_eq!(sv(&tree, &["status", "long"]), says("run: long: (pid N) Ns\n"), "nothing is read beyond a record");
    let _blank = Fake::new(&tree, "blank", b"");
    let _bare = Fake::new(&tree, "bare", &runs);
    fs::remove_file(tree.path("bare/supervise/status")).unwrap();
    let _deaf = Fake::new(&tree, "deaf", &runs);
    fs::remove_file(tree.path("deaf/supervise/control")).unwrap();
    let cases = [
        ("missing", "fail: missing: unable to change to service directory: file does not exist\n"),
        ("file", "fail: file: unable to change to service directory: not a directory\n"),
        ("empty", "warning: empty: unable to open supervise/ok: file does not exist\n"),
        ("ended", "fail: ended: runsv not running\n"),
        ("short", "warning: short: unable to read supervise/status: bad format\n"),
        ("blank", "warning: blank: unable to read supervise/status: bad format\n"),
        ("bare", "warning: bare: unable to open supervise/status: file does not exist\n"),
    ];
    for (name, line) in cases {
        let expected = Outcome { code: Some(1), ..says(line) };
        for word in ["status", "up", "start", "down", "stop", "check", "force-stop"] {
            let brings_up_later = name == "ended" && word == "start";
            assert!(brings_up_later || sv(&tree, &[word, name]) == expected, "sv {word} {name}");
        }
        if let Some(runit) = runit() {
            let words = ["status", "up", "start", "down", "stop", "exit", "shutdown", "check", "force-stop", "hup"];
            let lines = words.map(|word| format!("{word} {name}"));
            assert_same(&runit, &tree, &lines.each_ref().map(String::as_str));
        }
    }
    let gone = "warning: deaf: unable to open supervise/control: file does not exist\n";
    assert_eq!(sv(&tree, &["down", "deaf"]), Outcome { code: Some(1), ..says(gone) });
    if let Some(runit) = runit() {
        assert_same(&runit, &tree, &["down deaf", "stop deaf", "hup deaf", "reload deaf"]);
    }
}

#[test]
fn failures_are_counted_up_to_99() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let fail = |name: &str| format!("fail: {name}: unable to change to service directory: file does not exist\n");
    let outcome = sv(&tree, &["status", "a", "foo", "b"]);
    let lines = format!("{}run: foo: (pid N) Ns\n{}", fail("a"), fail("b"));
    assert_eq!(outcome, Outcome { code: Some(2), ..says(&lines) });
    for (count, code) in [(98, 98), (99, 99), (100, 99), (300, 99)] {
        for word in ["status", "up", "start"] {
            let names = vec!["missing"; count];
            let args: Vec<&str> = std::iter::once(word).chain(names).collect();
            let outcome = sv(&tree, &args);
            assert_eq!(outcome, Outcome { code: Some(code), ..says(&fail("missing").repeat(count)) });
            if let Some(runit) = runit() {
                let (ours, theirs) = beside(&runit, &tree, &args.iter().map(OsStr::new).collect::<Vec<_>>());
                assert_eq!(ours, theirs);
            }
        }
    }
}

#[test]
fn services_are_found_by_names_and_paths_of_any_bytes() {
    let tree = Tree::new();
    let record = lasting(NO_PID, State::Run, Want::Up).encode();
    let names: [&[u8]; 7] =
        [b"plain", b"with space", b".dotted", b"-dashed", b"a.b", "\u{fc}n\u{ef}".as_bytes(), b"\xff\xfe"];
    let mut fakes = Vec::new();
    for name in names {
        let made = format!("made{}", fakes.len());
        fakes.push(Fake::new(&tree, &made, &record));
        fs::rename(tree.path(&made), tree.path(OsStr::from_bytes(name))).unwrap();
    }
    for name in names {
        let absolute = tree.path(OsStr::from_bytes(name)).into_os_string().into_encoded_bytes();
        let spellings = [name.to_vec(), [b"./", name].concat(), [name, b"/"].concat(), absolute];
        for spelling in spellings {
            let mut command = ours(&tree);
            command.arg("status").arg(OsStr::from_bytes(&spelling));
            let output = command.output().unwrap();
            let start = [b"run: ", &spelling[..], b": (pid 4194305) "].concat();
            assert!(output.stdout.starts_with(&start), "{}", output.stdout.escape_ascii());
            if let Some(runit) = runit() {
                let args = [OsStr::new("status"), OsStr::from_bytes(&spelling)];
                let (ours, theirs) = beside(&runit, &tree, &args);
                assert_eq!(ours, theirs);
            }
        }
    }
    if let Some(runit) = runit() {
        let lines = ["-- status -dashed", "status -- plain", "status ''", "status .", "status ./", "status plain/.."];
        assert_same(&runit, &tree, &lines);
        assert_same(
            &runit,
            &tree,
            &["-v -- up plain", "-vw0 up plain", "-w 0x up plain", "-v hup -v", "-w -5 up plain"],
        );
    }
}

#[test]
fn the_services_directory_is_svdir_relative_or_absolute() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "some/where/foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let expected = says("run: foo: (pid N) Ns\n");
    for directory in [Path::new("some/where"), &tree.path("some/where"), Path::new("some/where/")] {
        let mut command = ours(&tree);
        command.env("SVDIR", directory).args(["status", "foo"]);
        assert_eq!(comparable(Outcome::of(&mut command)), expected);
    }
    let mut command = ours(&tree);
    let outcome = comparable(Outcome::of(command.env("SVDIR", "none").args(["status", "foo", "./some/where/foo"])));
    let lines =
        "fail: foo: unable to change to service directory: file does not exist\nrun: ./some/where/foo: (pid N) Ns\n";
    assert_eq!(outcome, Outcome { code: Some(1), ..says(lines) });
}

#[test]
fn without_svdir_an_ordinary_users_services_are_in_their_home() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "service/foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let mut command = ours(&tree);
    command.env_remove("SVDIR").env("HOME", tree.path("")).args(["status", "foo"]);
    if is_root() {
        let supervise = tree.path("service/foo/supervise");
        fs::set_permissions(&supervise, fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(supervise.join("ok"), fs::Permissions::from_mode(0o622)).unwrap();
        command.uid(65534).gid(65534);
    }
    assert_eq!(comparable(Outcome::of(&mut command)), says("run: foo: (pid N) Ns\n"));
    if is_root() {
        fs::set_permissions(tree.path("service/foo/supervise/ok"), fs::Permissions::from_mode(0o600)).unwrap();
        let denied = "warning: foo: unable to open supervise/ok: access denied\n";
        assert_eq!(Outcome::of(&mut command), Outcome { code: Some(1), ..says(denied) });
    }
}

#[test]
fn patience_is_said_by_an_option_or_the_environment() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let timeout = Outcome { code: Some(1), ..says("timeout: run: foo: (pid N) Ns\n") };
    // Each of these is shorter than the longest patience of the environment.
    for options in [&["-w", "0"][..], &["-w0"], &["-w", ""], &["-w", "soon"], &["-w", "5ms"], &["-vw", "0s"]] {
        let args: Vec<&str> = options.iter().copied().chain(["down", "foo"]).collect();
        assert_eq!(sv(&tree, &args), timeout, "{args:?}");
    }
    for wait in ["0", "", "10ms", "-3", "\u{e9}"] {
        let mut command = ours(&tree);
        assert_eq!(comparable(Outcome::of(command.env("SVWAIT", wait).args(["stop", "foo"]))), timeout, "{wait}");
        let mut command = ours(&tree);
        assert_eq!(comparable(Outcome::of(command.env("SVWAIT", wait).args(["down", "foo"]))), says(""), "{wait}");
    }
    // Bytes that are no text are no number either.
    let mut command = patient(&tree);
    command.arg("-w").arg(OsStr::from_bytes(b"\xff")).args(["down", "foo"]);
    assert_eq!(comparable(Outcome::of(&mut command)), timeout);
}

fn runs_again(tree: &Tree, words: &[&str], line: &str) {
    let foo = tree.service("foo").run(SLEEPS).start();
    assert_eq!(tree.heard(), "up");
    for word in words {
        let before = foo.wait(|status| status.pid != 0).pid;
        assert_eq!(sv(tree, &[word, "foo"]), says(line), "{word}");
        assert_eq!(tree.heard(), "up");
        let after = foo.wait(|status| status.pid != 0 && !status.got_term).pid;
        assert_ne!(before, after, "{word}");
        wait_until_gone(before);
    }
}

#[test]
fn a_restart_is_over_once_another_process_runs() {
    let line = "ok: run: foo: (pid N) Ns\n";
    runs_again(&Tree::new(), &["restart", "try-restart", "force-restart", "force-reload", "T"], line);
}

#[test]
fn a_restart_that_takes_long_is_waited_for_however_often_it_is_asked_for() {
    let tree = Tree::new();
    let run = "trap 'say got term; read line <../gate; exit' TERM; say up; while :; do sleep 1000 & wait; done";
    let foo = tree.service("foo").run(run).start();
    homerun::sys::file::make_fifo(&tree.path("gate"), 0o600).unwrap();
    let mut gate = fs::OpenOptions::new().read(true).write(true).open(tree.path("gate")).unwrap();
    assert_eq!(tree.heard(), "up");
    let first = foo.wait(|status| status.pid != 0).pid;
    let restart = patient(&tree).args(["restart", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(tree.heard(), "got term");
    let timeout = Outcome::of(ours(&tree).args(["restart", "foo"]));
    let expected = "timeout: run: foo: (pid N) Ns, got TERM\n";
    assert_eq!(comparable(timeout), Outcome { code: Some(1), ..says(expected) });
    gate.write_all(b"\n\n").unwrap();
    let output = restart.wait_with_output().unwrap();
    assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), "ok: run: foo: (pid N) Ns\n");
    assert_ne!(foo.wait(|status| status.pid != 0 && !status.got_term).pid, first);
}

#[test]
fn a_service_is_stopped_and_started_and_each_is_said_when_it_is_done() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(SLEEPS).finish("say finish").start();
    assert_eq!(tree.heard(), "up");
    let down = says("ok: down: foo: Ns, normally up\n");
    assert_eq!(sv(&tree, &["stop", "foo"]), down);
    assert_eq!(tree.heard_already().as_deref(), Some("finish"));
    for args in [&["stop", "foo"][..], &["-v", "term", "foo"], &["try-restart", "foo"], &["-v", "pause", "foo"]] {
        assert_eq!(sv(&tree, args).stdout.replace(", paused", ""), down.stdout, "{args:?}");
    }
    assert_eq!(sv(&tree, &["check", "foo"]), down);
    assert_eq!(sv(&tree, &["start", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(tree.heard(), "up");
    assert_eq!(sv(&tree, &["check", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(sv(&tree, &["-v", "pause", "foo"]), says("ok: run: foo: (pid N) Ns, paused\n"));
    assert_eq!(sv(&tree, &["-v", "cont", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(sv(&tree, &["-v", "once", "foo"]), says("ok: run: foo: (pid N) Ns, want down\n"));
    assert_eq!(sv(&tree, &["-v", "kill", "foo"]), down);
    assert_eq!(tree.heard(), "finish");
    assert_eq!(sv(&tree, &["restart", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(sv(&tree, &["shutdown", "foo"]), says("ok: foo: runsv not running\n"));
    assert_eq!(foo.ended(), (std::process::ExitStatus::default(), String::new()));
    assert_eq!(sv(&tree, &["exit", "foo"]), says("ok: foo: runsv not running\n"));
    assert_eq!(sv(&tree, &["status", "foo"]), Outcome { code: Some(1), ..says("fail: foo: runsv not running\n") });
}

#[test]
fn several_services_are_waited_for_together() {
    let tree = Tree::new();
    let names = ["a", "b", "c"];
    let services = names.map(|name| tree.service(name).run("exec sleep 1000").start());
    let outcome = sv(&tree, &["stop", "a", "b", "missing", "c"]);
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    let failed = "fail: missing: unable to change to service directory: file does not exist";
    let down = ["a", "b", "c"].map(|name| format!("ok: down: {name}: Ns, normally up"));
    assert_eq!(lines, [failed, &down[0], &down[1], &down[2]]);
    assert_eq!((outcome.stderr.as_str(), outcome.code), ("", Some(1)));
    for service in services {
        service.wait(|status| status.state == State::Down);
    }
}

#[test]
fn more_services_than_a_few_are_waited_for_together() {
    let tree = Tree::new();
    let names: Vec<String> = (0..12).map(|number| format!("s{number}")).collect();
    let services: Vec<_> = names.iter().map(|name| tree.service(name).run("exec sleep 1000").start()).collect();
    let pid = |service: &Running<'_>| service.wait(|status| status.pid != 0 && !status.got_term).pid;
    let before: Vec<i32> = services.iter().map(pid).collect();
    let words: Vec<&str> = std::iter::once("restart").chain(names.iter().map(String::as_str)).collect();
    let outcome = sv(&tree, &words);
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    let mut expected: Vec<String> = names.iter().map(|name| format!("ok: run: {name}: (pid N) Ns")).collect();
    lines.sort_unstable();
    expected.sort_unstable();
    assert_eq!((lines, outcome.code), (expected.iter().map(String::as_str).collect(), Some(0)));
    for (service, before) in services.iter().zip(before) {
        assert_ne!(pid(service), before, "{}", service.directory.display());
    }
}

#[test]
fn another_supervisor_with_other_records_is_found_while_the_first_is_waited_for() {
    let tree = Tree::new();
    let mut first = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let stop = patient(&tree).args(["stop", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(first.is_sent(), "d");
    let _second = Fake::new(&tree, "bar", &lasting(0, State::Down, Want::Down).encode());
    fs::rename(tree.path("foo/supervise"), tree.path("foo/old")).unwrap();
    fs::rename(tree.path("bar/supervise"), tree.path("foo/supervise")).unwrap();
    drop(first);
    let output = stop.wait_with_output().unwrap();
    assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), "ok: down: foo: Ns, normally up\n");
}

const DEAF: &str = "trap '' TERM; say up; while :; do sleep 1000; done";

#[test]
fn force_kills_what_takes_too_long() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(DEAF).start();
    assert_eq!(tree.heard(), "up");
    let killed = Outcome { code: Some(1), ..says("kill: run: foo: (pid N) Ns, want down, got TERM\n") };
    assert_eq!(comparable(Outcome::of(ours(&tree).args(["force-stop", "foo"]))), killed);
    foo.wait(|status| status.state == State::Down);
    assert_eq!(sv(&tree, &["start", "foo"]).code, Some(0));
    assert_eq!(tree.heard(), "up");
    assert_eq!(comparable(Outcome::of(ours(&tree).args(["force-shutdown", "foo"]))), killed);
    assert_eq!(foo.ended().0.code(), Some(0));
}

#[test]
fn a_service_with_a_check_is_up_once_that_agrees() {
    let tree = Tree::new();
    let check = "say check; test -e ready || { read line <../gate; exit 1; }";
    let foo = tree.service("foo").run("exec sleep 1000").script("check", check).start();
    homerun::sys::file::make_fifo(&tree.path("gate"), 0o600).unwrap();
    let mut gate = fs::OpenOptions::new().read(true).write(true).open(tree.path("gate")).unwrap();
    let start = patient(&tree).args(["start", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    for _ in 0..3 {
        assert_eq!(tree.heard(), "check");
        gate.write_all(b"\n").unwrap();
    }
    assert_eq!(tree.heard(), "check");
    fs::write(foo.directory.join("ready"), "").unwrap();
    gate.write_all(b"\n").unwrap();
    let output = start.wait_with_output().unwrap();
    assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), "ok: run: foo: (pid N) Ns\n");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_check_that_does_not_agree_or_does_not_end_is_a_timeout() {
    let tree = Tree::new();
    let timeout = Outcome { code: Some(1), ..says("timeout: run: foo: (pid N) Ns\n") };
    let foo = tree.service("foo").run("exec sleep 1000").start();
    foo.wait(|status| status.pid != 0);
    // The last but one is killed with what it started; the last by itself.
    for check in ["exit 1", "exec sleep 1000", "sleep 1000; exit 0", "(setsid sleep 1000); exit 0", "kill -9 $$"] {
        tree.service("foo").script("check", check).made();
        for word in ["start", "check"] {
            assert_eq!(comparable(Outcome::of(ours(&tree).args([word, "foo"]))), timeout, "{check}: {word}");
        }
    }
}

#[test]
fn a_check_writes_to_nowhere_and_runs_in_the_service_directory() {
    let tree = Tree::new();
    let check = "echo to stdout; echo to stderr >&2; say $(pwd)";
    let foo = tree.service("foo").run("exec sleep 1000").script("check", check).start();
    let runs = says("ok: run: foo: (pid N) Ns\n");
    let mut command = patient(&tree);
    command.args(["start", "foo"]);
    let outcome = comparable(Outcome::of(&mut command));
    assert_eq!(outcome, Outcome { stderr: "to stderr\n".into(), ..runs });
    assert_eq!(Path::new(&tree.heard()), fs::canonicalize(&foo.directory).unwrap());
}

#[test]
fn a_process_that_came_after_the_check_is_checked_again() {
    let tree = Tree::new();
    let gate = |name: &str| {
        homerun::sys::file::make_fifo(&tree.path(name), 0o600).unwrap();
        fs::OpenOptions::new().read(true).write(true).open(tree.path(name)).unwrap()
    };
    let (mut finish, mut check) = (gate("finish"), gate("check"));
    let service = tree.service("foo").run(SLEEPS).finish("say finish; read line <../finish");
    let foo = service.script("check", "say check; read code <../check; exit $code").start();
    assert_eq!(tree.heard(), "up");
    let mut command = patient(&tree);
    let start = command.args(["start", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(tree.heard(), "check");
    send(foo.wait(|status| status.pid != 0).pid, Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), "finish");
    foo.wait(|status| status.state == State::Finish);
    check.write_all(b"0\n").unwrap();
    // It agrees of a service that does not run: nothing is said of that.
    finish.write_all(b"\n").unwrap();
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["check", "up"]);
    check.write_all(b"0\n").unwrap();
    assert_eq!(start.wait_with_output().unwrap().status.code(), Some(0));
}

/// Waits until a process watches so many places for changes.
fn wait_until_it_watches(pid: u32, places: usize) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let fds = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
        let infos = fds.filter_map(|fd| fs::read_to_string(fd.ok()?.path()).ok());
        if infos.map(|info| info.matches("inotify wd:").count()).sum::<usize>() >= places {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "it does not wait");
        std::thread::yield_now();
    }
}

#[test]
fn a_service_that_is_not_supervised_yet_is_waited_for() {
    let cases = [
        ("up", ""),
        ("start", "ok: run: foo: (pid N) Ns\n"),
        ("restart", "ok: run: foo: (pid N) Ns\n"),
        ("check", "ok: run: foo: (pid N) Ns\n"),
        ("once", ""),
        ("hup", ""),
        ("stop", "ok: down: foo: Ns, normally up\n"),
        ("shutdown", "ok: foo: runsv not running\n"),
    ];
    for (word, line) in cases {
        let tree = Tree::new();
        let service = tree.service("foo").run("trap '' HUP; exec sleep 1000");
        let sv = patient(&tree).args([word, "foo"]).stdout(Stdio::piped()).spawn().unwrap();
        wait_until_it_watches(sv.id(), 1);
        let _foo = service.start_unseen();
        let output = sv.wait_with_output().unwrap();
        assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), line, "{word}");
        assert_eq!(output.status.code(), Some(0), "{word}");
    }
}

#[test]
fn a_supervisor_that_has_only_made_its_files_is_waited_for() {
    let record = lasting(NO_PID, State::Run, Want::Down).encode();
    for (word, sent) in [("up", "u"), ("down", "d"), ("hup", "h"), ("exit", "x")] {
        let tree = Tree::new();
        tree.service("foo").run("exec sleep 1000").made();
        let supervise = tree.directory("foo/supervise");
        let sv = patient(&tree).args([word, "foo"]).stdout(Stdio::piped()).spawn().unwrap();
        wait_until_it_watches(sv.id(), 2);
        homerun::sys::file::make_fifo(&supervise.join("ok"), 0o600).unwrap();
        fs::write(supervise.join("new"), record).unwrap();
        fs::rename(supervise.join("new"), supervise.join("status")).unwrap();
        homerun::sys::file::make_fifo(&supervise.join("control"), 0o600).unwrap();
        let open = |name: &str| fs::OpenOptions::new().read(true).write(true).open(supervise.join(name)).unwrap();
        let mut control = open("control");
        let _ok = open("ok");
        let output = sv.wait_with_output().unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(0), &b""[..]), "{word}");
        let mut byte = [0];
        control.read_exact(&mut byte).unwrap();
        assert_eq!(byte, sent.as_bytes(), "{word}");
    }
}

#[test]
fn a_service_that_was_supervised_before_is_waited_for_to_start_it() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").start();
    assert_eq!(foo.exit().0.code(), Some(0));
    let start = patient(&tree).args(["start", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    wait_until_it_watches(start.id(), 2);
    let _foo = tree.service("foo").start_unseen();
    let output = start.wait_with_output().unwrap();
    assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), "ok: run: foo: (pid N) Ns\n");
}

#[test]
fn what_stays_unsupervised_is_given_up_in_the_originals_words() {
    let tree = Tree::new();
    tree.service("new").run("exec sleep 1000").made();
    let ended = tree.service("ended").run("exec sleep 1000").start();
    assert_eq!(ended.exit().0.code(), Some(0));
    let new = "warning: new: unable to open supervise/ok: file does not exist\n";
    let ended = "fail: ended: runsv not running\n";
    for word in ["up", "start", "restart", "once", "down", "stop", "exit", "check"] {
        let outcome = Outcome::of(ours(&tree).args([word, "new"]));
        assert_eq!(outcome, Outcome { code: Some(1), ..says(new) }, "{word}");
    }
    for word in ["up", "start", "restart", "check", "reload", "force-restart"] {
        let outcome = Outcome::of(ours(&tree).args([word, "ended"]));
        assert_eq!(outcome, Outcome { code: Some(1), ..says(ended) }, "{word}");
    }
    assert_eq!(sv(&tree, &["status", "new"]), Outcome { code: Some(1), ..says(new) });
    if let Some(runit) = runit() {
        assert_same(&runit, &tree, &["up new", "up ended", "exit ended", "start new", "start ended", "-v hup ended"]);
    }
}

#[test]
fn a_supervisor_that_goes_while_sv_waits_ends_the_waiting() {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run(DEAF).start();
    assert_eq!(tree.heard(), "up");
    let stop = patient(&tree).args(["stop", "foo"]).stdout(Stdio::piped()).spawn().unwrap();
    foo.wait(|status| status.got_term);
    foo.child.kill().unwrap();
    let output = stop.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "fail: foo: runsv not running\n");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_supervisor_that_is_replaced_while_a_restart_waits_is_waited_for_and_nothing_is_done_twice() {
    let tree = Tree::new();
    let run = "trap 'say got term; read line <../gate; exit' TERM; say up; while :; do sleep 1000 & wait; done";
    homerun::sys::file::make_fifo(&tree.path("gate"), 0o600).unwrap();
    let mut gate = fs::OpenOptions::new().read(true).write(true).open(tree.path("gate")).unwrap();
    let mut foo = tree.service("foo").run(run).start();
    assert_eq!(tree.heard(), "up");
    for word in ["restart", "force-restart"] {
        let sv = patient(&tree).args([word, "foo"]).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(tree.heard(), "got term");
        foo.wait(|status| status.got_term);
        foo.child.kill().unwrap();
        foo.child.wait().unwrap();
        wait_until_it_watches(sv.id(), 2);
        foo = tree.service("foo").start();
        gate.write_all(b"\n").unwrap();
        let output = sv.wait_with_output().unwrap();
        assert_eq!(without_numbers(&String::from_utf8_lossy(&output.stdout)), "ok: run: foo: (pid N) Ns\n", "{word}");
        assert_eq!(tree.heard(), "up");
    }
    gate.write_all(b"\n").unwrap();
    assert_eq!(sv(&tree, &["stop", "foo"]).code, Some(0));
    assert_eq!((tree.heard(), tree.heard_already()), ("got term".to_owned(), None));
}

#[test]
fn what_a_supervisor_may_not_have_read_is_said_to_the_next_one() {
    let up = lasting(NO_PID, State::Run, Want::Up);
    let down = lasting(0, State::Down, Want::Down);
    let told = Status { got_term: true, ..up };
    let another = Status { pid: NO_PID + 1, ..up };
    let finish = Status { pid: NO_PID + 1, state: State::Finish, ..up };
    let cases: [(&[&str], Status, &str, Status, &str); 8] = [
        (&["start"], down, "u", down, "u"),
        (&["-v", "up"], down, "u", up, "u"),
        (&["restart"], up, "tcu", up, "tcu"),
        (&["restart"], up, "tcu", told, "cu"),
        (&["restart"], up, "tcu", another, "cu"),
        (&["force-restart"], up, "tcu", finish, "cu"),
        (&["restart"], up, "tcu", down, "cu"),
        (&["restart"], down, "tcu", down, "cu"),
    ];
    let both = |case| [(case, true), (case, false)];
    for ((words, before, sent, after, again), sees_it_go) in cases.into_iter().flat_map(both) {
        let tree = Tree::new();
        let mut fake = Fake::new(&tree, "foo", &before.encode());
        tree.service("foo").run("exec sleep 1000").made();
        let mut sv = patient(&tree).args(words).arg("foo").stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(fake.is_sent(), sent, "{words:?}");
        let put = |status: Status| {
            let supervise = tree.path("foo/supervise");
            fs::write(supervise.join("new"), status.encode()).unwrap();
            fs::rename(supervise.join("new"), supervise.join("status")).unwrap();
        };
        let mut next = if sees_it_go {
            drop(fake);
            wait_until_it_watches(sv.id(), 2);
            put(after);
            Fake::again(&tree.path("foo"))
        } else {
            let next = Fake::new(&tree, "bar", &after.encode());
            fs::rename(tree.path("foo/supervise"), tree.path("foo/old")).unwrap();
            fs::rename(tree.path("bar/supervise"), tree.path("foo/supervise")).unwrap();
            drop(fake);
            next
        };
        assert_eq!(next.is_sent(), again, "{words:?} {after:?}");
        put(another);
        assert_eq!(wait_for_end(&mut sv).unwrap().code(), Some(0), "{words:?} {after:?}");
        assert_eq!(next.was_sent(), "", "{words:?} {after:?}");
    }
}

#[test]
fn a_restart_that_waits_for_a_supervisor_does_not_end_what_that_has_only_just_started() {
    let up = lasting(NO_PID, State::Run, Want::Up);
    let told = Status { got_term: true, ..up };
    let coming = Status { pid: 0, state: State::Down, ..up };
    for (record, expected) in [(coming, "cu"), (up, "tcu"), (told, "cu")] {
        let tree = Tree::new();
        let made = tree.service("foo").run("exec sleep 1000").made();
        let supervise = gone(&made, &record.encode());
        let mut sv = patient(&tree).args(["restart", "foo"]).stdout(Stdio::null()).spawn().unwrap();
        wait_until_it_watches(sv.id(), 2);
        let mut fake = Fake::again(&made);
        assert_eq!(fake.is_sent(), expected, "{record:?}");
        fs::write(supervise.join("new"), Status { pid: NO_PID + 1, ..up }.encode()).unwrap();
        fs::rename(supervise.join("new"), supervise.join("status")).unwrap();
        assert_eq!(wait_for_end(&mut sv).unwrap().code(), Some(0), "{record:?}");
    }
}

#[test]
fn a_supervisor_that_is_not_replaced_is_given_up_in_the_originals_words() {
    for (word, sent) in [("start", "u"), ("restart", "tcu"), ("try-restart", "tc"), ("stop", "d")] {
        let tree = Tree::new();
        let mut fake = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Down).encode());
        tree.service("foo").run("exec sleep 1000").made();
        let sv = ours(&tree).env("SVWAIT", "1").args([word, "foo"]).stdout(Stdio::piped()).spawn().unwrap();
        assert_eq!(fake.is_sent(), sent);
        drop(fake);
        let output = sv.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!((&*said, output.status.code()), ("fail: foo: runsv not running\n", Some(1)), "{word}");
    }
}

/// Links to sv by the names of services, as init scripts.
fn init_script(programs: &Path, tree: &Tree, name: impl AsRef<OsStr>, args: &[&str]) -> Outcome {
    let link = tree.path("init").join(name.as_ref());
    fs::create_dir_all(link.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&link);
    symlink(programs.join("sv"), &link).unwrap();
    let mut command = Command::new(&link);
    command.env_clear().env("SVDIR", tree.path("")).env("SVWAIT", "0").current_dir("/").args(args);
    comparable(Outcome::of(&mut command))
}

#[test]
fn called_by_the_name_of_a_service_it_is_an_init_script() {
    let tree = Tree::new();
    let _up = Fake::new(&tree, "up", &lasting(NO_PID, State::Run, Want::Up).encode());
    let _down = Fake::new(&tree, "down", &lasting(0, State::Down, Want::Down).encode());
    let _finish = Fake::new(&tree, "finish", &lasting(NO_PID, State::Finish, Want::Down).encode());
    let _pause = Fake::new(&tree, "pause", &lasting(0, State::Down, Want::Up).encode());
    let _dashed = Fake::new(&tree, "-dashed.d", &lasting(NO_PID, State::Run, Want::Up).encode());
    let _bad = Fake::new(&tree, "bad", b"short");
    tree.directory("new");
    gone(&tree.path("ended"), b"");
    let usage = |name: &str| fails(&format!("usage: {name} [-w sec] command\n\n"), 2);
    let cases: [(&str, &[&str], Outcome); 29] = [
        ("up", &["status"], says("run: up: (pid N) Ns\n")),
        ("up", &["status", "ignored"], says("run: up: (pid N) Ns\n")),
        ("up", &["start"], says("ok: run: up: (pid N) Ns\n")),
        ("up", &["reload"], says("ok: run: up: (pid N) Ns\n")),
        ("up", &["stop"], Outcome { code: Some(1), ..says("timeout: run: up: (pid N) Ns\n") }),
        ("up", &["restart"], Outcome { code: Some(1), ..says("timeout: run: up: (pid N) Ns\n") }),
        ("up", &["force-stop", "ignored"], Outcome { code: Some(1), ..says("kill: run: up: (pid N) Ns\n") }),
        ("up", &["hup"], says("")),
        ("up", &["-w", "0", "hup"], says("ok: run: up: (pid N) Ns\n")),
        ("up", &["-v", "status"], says("run: up: (pid N) Ns\n")),
        ("up", &["--", "status"], says("run: up: (pid N) Ns\n")),
        ("up", &["-x", "status"], fails("up: illegal option -- x\nusage: up [-w sec] command\n\n", 2)),
        ("up", &["-w"], fails("up: option requires an argument -- w\nusage: up [-w sec] command\n\n", 2)),
        ("up", &[""], usage("up")),
        ("finish", &["status"], says("finish: finish: (pid N) Ns, want down\n")),
        ("pause", &["status"], Outcome { code: Some(3), ..says("down: pause: Ns, normally up, want up\n") }),
        ("-dashed.d", &["status"], says("run: -dashed.d: (pid N) Ns\n")),
        ("ended", &["shutdown"], says("ok: ended: runsv not running\n")),
        ("up", &["stat"], usage("up")),
        ("up", &["s"], usage("up")),
        ("up", &["nonsense"], usage("up")),
        ("up", &[], usage("up")),
        ("down", &["status"], Outcome { code: Some(3), ..says("down: down: Ns, normally up\n") }),
        ("down", &["stop"], says("ok: down: down: Ns, normally up\n")),
        (
            "bad",
            &["status"],
            Outcome { code: Some(4), ..says("warning: bad: unable to read supervise/status: bad format\n") },
        ),
        (
            "new",
            &["status"],
            Outcome { code: Some(4), ..says("warning: new: unable to open supervise/ok: file does not exist\n") },
        ),
        ("ended", &["status"], Outcome { code: Some(1), ..says("fail: ended: runsv not running\n") }),
        ("ended", &["start"], Outcome { code: Some(1), ..says("fail: ended: runsv not running\n") }),
        (
            "missing",
            &["status"],
            Outcome {
                code: Some(1),
                ..says("fail: missing: unable to change to service directory: file does not exist\n")
            },
        ),
    ];
    for (name, args, expected) in cases {
        assert_eq!(init_script(programs(), &tree, name, args), expected, "{name} {args:?}");
        if let Some(runit) = runit() {
            assert_eq!(init_script(&runit, &tree, name, args), expected, "theirs: {name} {args:?}");
        }
    }
    let version = format!("homerun {}\nusage: up [-w sec] command\n\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(init_script(programs(), &tree, "up", &["-V"]), fails(&version, 2));
}

#[test]
fn an_init_script_may_have_a_name_of_any_bytes() {
    let tree = Tree::new();
    let name = OsStr::from_bytes(b"w\xff b\n");
    let _fake = Fake::in_directory(&tree.path(name), &lasting(NO_PID, State::Run, Want::Up).encode());
    let line = format!("run: {}: (pid N) Ns\n", name.to_string_lossy());
    let usage = fails(&format!("usage: {} [-w sec] command\n\n", name.to_string_lossy()), 2);
    let runit = runit();
    for programs in [Some(programs()), runit.as_deref()].into_iter().flatten() {
        assert_eq!(init_script(programs, &tree, name, &["status"]), says(&line));
        assert_eq!(init_script(programs, &tree, name, &["nonsense"]), usage);
    }
}

#[test]
fn a_name_with_a_slash_at_its_end_is_found_again_while_it_is_waited_for() {
    let tree = Tree::new();
    let mut fake = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let run = |programs: &Path| {
        let mut command = sv_of(programs, &tree);
        command.env("SVDIR", tree.directory("elsewhere")).args(["-v", "hup", "foo/"]);
        comparable(Outcome::of(&mut command))
    };
    assert_eq!(run(programs()), says("ok: run: foo/: (pid N) Ns\n"));
    assert_eq!(fake.was_sent(), "h");
    if let Some(runit) = runit() {
        let lost = "fail: foo/: unable to change to service directory: file does not exist\n";
        assert_eq!(run(&runit), Outcome { code: Some(1), ..says(lost) });
        assert_eq!(fake.was_sent(), "h");
    }
}

#[test]
fn the_working_directory_need_not_be_readable() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    words::open_to_all(&tree.path("foo/supervise"));
    let shut = tree.directory("shut");
    let run = |programs: &Path, program: &str| {
        symlink(programs.join("sv"), tree.path(program)).unwrap();
        let mut command = tree.command("sh");
        command.env("SVDIR", tree.path("")).current_dir(&shut).args(["-c", "chmod 0 . && exec \"$@\"", "sh"]);
        if is_root() {
            command.args(["setpriv", "--reuid=65534", "--clear-groups"]);
        }
        let outcome = comparable(Outcome::of(command.arg(tree.path(program)).args(["status", "foo"])));
        fs::remove_file(tree.path(program)).unwrap();
        fs::set_permissions(&shut, fs::Permissions::from_mode(0o700)).unwrap();
        outcome
    };
    let not_there = "fail: init: unable to change to service directory: file does not exist\n";
    fs::create_dir(tree.path("bin")).unwrap();
    assert_eq!(run(programs(), "bin/sv"), says("run: foo: (pid N) Ns\n"));
    assert_eq!(run(programs(), "bin/init"), Outcome { code: Some(1), ..says(not_there) });
    if let Some(runit) = runit() {
        let fatal = "fatal: unable to open current directory: access denied\n";
        assert_eq!(run(&runit, "bin/sv"), fails(fatal, 100));
        assert_eq!(run(&runit, "bin/init"), fails(fatal, 151));
    }
}

#[test]
fn the_log_service_does_not_change_the_code_of_an_init_script() {
    let tree = Tree::new();
    let _up = Fake::new(&tree, "up", &lasting(NO_PID, State::Run, Want::Up).encode());
    let _log = Fake::new(&tree, "up/log", &lasting(0, State::Down, Want::Down).encode());
    let expected = says("run: up: (pid N) Ns; down: log: Ns, normally up\n");
    assert_eq!(init_script(programs(), &tree, "up", &["status"]), expected);
}

#[test]
fn a_reader_that_goes_away_is_no_disaster() {
    let tree = Tree::new();
    let mut fake = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    for args in [&["status", "foo", "foo"][..], &["reload", "foo"], &["-v", "up", "foo"], &["--help"]] {
        let (reading, writing) = std::io::pipe().unwrap();
        drop(reading);
        let output = ours(&tree).args(args).stdout(writing).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{args:?}");
        assert!(output.status.code().is_some_and(|code| code != 101), "{args:?}: {}", output.status);
    }
    assert_eq!(fake.was_sent(), "hu", "the commands were given all the same");
}

#[test]
fn a_control_fifo_that_is_full_is_told_of() {
    let tree = Tree::new();
    let fake = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    let fill = homerun::sys::file::open_write(tree.path("foo/supervise/control")).unwrap();
    while (&fill).write(&[b'\n'; 4096]).is_ok() {}
    let expected = "warning: foo: unable to write to supervise/control: temporary failure\n";
    assert_eq!(sv(&tree, &["down", "foo"]), Outcome { code: Some(1), ..says(expected) });
    drop(fake);
}

#[test]
fn either_sv_drives_either_runsv() {
    let Some(runit) = runit() else { return };
    for (sv, runsv) in [(programs(), &*runit), (&*runit, programs())] {
        let tree = Tree::with(runsv);
        let foo = tree.service("foo").run(SLEEPS).finish("say finish").start();
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.pid != 0); // what is down is stopped, for the original
        let run = |args: &[&str]| comparable(Outcome::of(sv_of(sv, &tree).env("SVWAIT", "60").args(args)));
        assert_eq!(run(&["stop", "foo"]), says("ok: down: foo: Ns, normally up\n"));
        assert_eq!(tree.heard(), "finish");
        assert_eq!(run(&["start", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
        assert_eq!(tree.heard(), "up");
        assert_eq!(run(&["-v", "pause", "foo"]), says("ok: run: foo: (pid N) Ns, paused\n"));
        assert_eq!(run(&["-v", "cont", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
        let first = foo.wait(|status| status.pid != 0).pid;
        assert_eq!(run(&["restart", "foo"]), says("ok: run: foo: (pid N) Ns\n"));
        assert_eq!(tree.heard(), "finish");
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.pid != 0 && status.pid != first);
        assert_eq!(run(&["-v", "once", "foo"]), says("ok: run: foo: (pid N) Ns, want down\n"));
        assert_eq!(run(&["-v", "term", "foo"]).code, Some(0));
        foo.wait(|status| status.state == State::Down && status.want == Want::Down);
        assert_eq!(run(&["shutdown", "foo"]), says("ok: foo: runsv not running\n"));
        assert_eq!(foo.ended().0.code(), Some(0));
    }
}
