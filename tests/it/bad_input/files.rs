//! Files of any type in the place of those that the programs look for: one line says what is in the way, nothing hangs.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use homerun::model::status::{State, Status, Want};
use homerun::model::tai::Label;

use crate::support::{Outcome, Running, Tree, fails, programs, runit, says};
use crate::sv::comparable;

/// What may stand in the place of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Odd {
    Fifo,
    Socket,
    Directory,
    Loop,
    Dangling,
    Empty,
}

use Odd::{Dangling, Directory, Empty, Fifo, Loop, Socket};

const ALL: [Odd; 6] = [Fifo, Socket, Directory, Loop, Dangling, Empty];

impl Odd {
    fn make(self, path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        match self {
            Fifo => homerun::sys::file::make_fifo(path, 0o600).unwrap(),
            Socket => drop(UnixListener::bind(path).unwrap()),
            Directory => fs::create_dir(path).unwrap(),
            Loop => symlink(path.file_name().unwrap(), path).unwrap(),
            Dangling => symlink("nowhere", path).unwrap(),
            Empty => fs::write(path, "").unwrap(),
        }
    }
}

/// Ours and, where it is, the original.
fn both() -> impl Iterator<Item = Tree> {
    [Some(Tree::new()), runit().map(|runit| Tree::with(&runit))].into_iter().flatten()
}

#[test]
fn what_is_in_the_way_of_a_supervisor_is_fatal() {
    const NO_FIFO: &str = "supervise/control exists but is not a fifo";
    let cases: [(&str, &[Odd], &str); 16] = [
        ("", &[Fifo, Socket, Empty], "unable to change to directory: not a directory"),
        ("", &[Loop], "unable to change to directory: symbolic link loop"),
        ("", &[Dangling], "unable to change to directory: file does not exist"),
        ("supervise", &[Fifo, Socket, Empty], "unable to open supervise/lock: not a directory"),
        ("supervise", &[Loop], "unable to open supervise/lock: symbolic link loop"),
        ("supervise/lock", &[Fifo, Socket], "unable to open supervise/lock: device not configured"),
        ("supervise/lock", &[Directory], "unable to open supervise/lock: is a directory"),
        ("supervise/lock", &[Loop], "unable to open supervise/lock: symbolic link loop"),
        ("supervise/control", &[Socket, Directory, Empty], NO_FIFO),
        ("supervise/control", &[Loop], "unable to stat supervise/control: symbolic link loop"),
        ("supervise/control", &[Dangling], "unable to stat supervise/control: file does not exist"),
        ("supervise/ok", &[Socket], "unable to read supervise/ok: device not configured"),
        ("supervise/ok", &[Loop], "unable to read supervise/ok: symbolic link loop"),
        ("supervise/ok", &[Dangling], "unable to read supervise/ok: file does not exist"),
        ("log/supervise", &[Fifo, Socket, Empty], "unable to open log/supervise/lock: not a directory"),
        ("log/supervise/lock", &[Fifo, Socket], "unable to open log/supervise/lock: device not configured"),
    ];
    for tree in both() {
        for (number, (file, odds, said)) in cases.iter().enumerate() {
            for odd in *odds {
                let name = format!("{number}{odd:?}");
                odd.make(&tree.path(if file.is_empty() { name.clone() } else { format!("{name}/{file}") }));
                let said = format!("runsv {name}: fatal: {said}\n");
                assert_eq!(tree.run("runsv", &[&name]), fails(&said, 111), "{file}: {odd:?}");
            }
        }
    }
}

/// What a runsv says of a file that is no reason not to run.
fn oddities(file: &str, odd: Odd, is_ours: bool) -> Vec<String> {
    let hooks =
        |reason| ["t", "u", "x"].map(|hook| format!("warning: unable to stat control/{hook}: {reason}")).to_vec();
    let hook = if is_ours { "t" } else { "?" };
    let said = match (file, odd) {
        ("run", Loop) => "fatal: unable to start ./run: symbolic link loop",
        ("run", Dangling) => "fatal: unable to start ./run: file does not exist",
        ("run", _) => "fatal: unable to start ./run: access denied",
        ("finish", Fifo | Directory | Empty) => "fatal: unable to start ./finish: access denied",
        ("control", Fifo | Socket | Empty) => return hooks("not a directory"),
        ("control", Loop) => return hooks("symbolic link loop"),
        ("control/t", Socket | Directory) => {
            return vec![format!("fatal: unable to run control/{hook}: access denied")];
        }
        ("control/t", Loop) => "warning: unable to stat control/t: symbolic link loop",
        ("supervise/status" | "supervise/pid" | "supervise/stat", Directory) => {
            let file = &file["supervise/".len()..];
            return vec![format!("warning: unable to rename {file}.new to supervise/{file}: is a directory")];
        }
        ("log", Fifo | Socket | Empty) => "warning: ./log: not a directory.",
        ("log", Loop) => "warning: unable to stat() ./log: : symbolic link loop",
        ("supervise/ok", Directory | Empty) if is_ours => "warning: supervise/ok exists but is not a fifo",
        _ => return Vec::new(),
    };
    vec![said.to_owned()]
}

#[test]
fn whatever_type_a_file_of_a_service_has_one_line_says_what_is_wrong_and_the_supervisor_goes_on() {
    const FILES: [&str; 9] = [
        "run",
        "finish",
        "control",
        "control/t",
        "supervise/status",
        "supervise/pid",
        "supervise/stat",
        "supervise/ok",
        "log",
    ];
    for (tree, is_ours) in both().zip([true, false]) {
        let mut started: Vec<(&str, Odd, Running)> = Vec::new();
        let mut runs = 0;
        for (file, odd) in FILES.iter().flat_map(|file| ALL.map(|odd| (*file, odd))) {
            let is_fatal = file == "supervise/ok" && matches!(odd, Socket | Loop | Dangling);
            if is_fatal || (file, odd) == ("log", Directory) {
                continue;
            }
            let name = format!("{}{odd:?}", file.replace('/', "-"));
            odd.make(&tree.directory(&name).join(file));
            let service = tree.service(&name);
            let service = if file == "run" { service } else { service.run("say up; exec sleep 1000") };
            started.push((file, odd, service.start_unseen()));
            runs += usize::from(file != "run");
        }
        (0..runs).for_each(|_| assert_eq!(tree.heard(), "up"));
        for (file, _, foo) in &started {
            if *file == "run" {
                foo.wait(|_| true);
            }
            foo.control(b"x");
        }
        for (file, odd, foo) in started {
            let name = foo.directory.file_name().unwrap().to_string_lossy().into_owned();
            let (status, said) = foo.ended();
            assert_eq!(status.code(), Some(0), "{file}: {odd:?}");
            // What ours explains besides is a line of its own.
            let said: BTreeSet<&str> = said.lines().filter(|line| !line.contains(": info: ")).collect();
            let expected = oddities(file, odd, is_ours).into_iter().map(|line| format!("runsv {name}: {line}"));
            assert_eq!(said, expected.collect::<Vec<_>>().iter().map(String::as_str).collect(), "{file}: {odd:?}");
        }
    }
}

#[test]
fn whatever_type_a_file_of_supervise_has_sv_says_what_the_original_says() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let record = Status {
        since: Label::of(std::time::Duration::from_secs(1_000_000_000)),
        pid: 0,
        paused: false,
        want: Want::Down,
        got_term: false,
        state: State::Down,
    };
    for (file, odd) in ["ok", "control", "status"].into_iter().flat_map(|file| ALL.map(|odd| (file, odd))) {
        let name = format!("{file}{odd:?}");
        let supervise = tree.directory(&format!("{name}/supervise"));
        odd.make(&supervise.join(file));
        let mut held = Vec::new();
        for fifo in ["ok", "control"].into_iter().filter(|fifo| *fifo != file) {
            homerun::sys::file::make_fifo(&supervise.join(fifo), 0o600).unwrap();
            held.push(homerun::sys::file::open_read_write(supervise.join(fifo)).unwrap());
        }
        if file != "status" {
            fs::write(supervise.join("status"), record.encode()).unwrap();
        }
        for word in ["status", "down", "exit", "-w0 down"] {
            let ask = |programs: &Path| {
                let mut command = Command::new(programs.join("sv"));
                command.env_clear().env("SVDIR", tree.path("")).args(word.split(' ')).arg(&name);
                comparable(Outcome::of(&mut command))
            };
            let ours = ask(programs());
            if (file, odd) == ("control", Empty) && word != "status" {
                // Differs: the original writes into the file.
                let refused = format!("warning: {name}: supervise/control exists but is not a fifo\n");
                assert_eq!(ours, Outcome { code: Some(1), ..says(&refused) }, "{word} {file}: {odd:?}");
                continue;
            }
            assert_eq!(ours, ask(&runit), "{word} {file}: {odd:?}");
            assert!(ours.stdout.lines().count() <= 1, "{word} {file}: {odd:?}: {ours:?}");
        }
    }
}

/// Gives svlogd these lines, and says what it said, each line once, with its exit code.
fn log(tree: &Tree, name: &str, lines: &str) -> (Option<i32>, Vec<String>) {
    let mut child = tree.command("svlogd").arg(name).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // One that has no directory to log to does not read.
    let _ = child.stdin.take().unwrap().write_all(lines.as_bytes());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut said: Vec<String> = said.lines().map(str::to_owned).collect();
    said.dedup();
    (output.status.code(), said)
}

#[test]
fn whatever_type_a_file_of_a_log_directory_has_one_line_says_what_is_wrong() {
    for tree in both() {
        for (file, odd) in ["config", "lock"].into_iter().flat_map(|file| ALL.map(|odd| (file, odd))) {
            let name = format!("{file}{odd:?}");
            odd.make(&tree.path(&name).join(file));
            let reason = match (file, odd) {
                ("config", Fifo) | (_, Dangling | Empty) => None,
                (_, Fifo | Socket) => Some("device not configured"),
                (_, Directory) => Some("is a directory"),
                (_, Loop) => Some("symbolic link loop"),
            };
            let deed = if file == "config" { "read config" } else { "lock directory" };
            let mut said: Vec<_> =
                reason.iter().map(|reason| format!("svlogd: warning: unable to {deed}: {name}: {reason}")).collect();
            let is_fatal = file == "lock" && reason.is_some();
            if is_fatal {
                said.push("svlogd: fatal: no functional log directories.".to_owned());
            }
            assert_eq!(log(&tree, &name, "line\n"), (Some(if is_fatal { 111 } else { 0 }), said), "{file}: {odd:?}");
            let current = fs::read_to_string(tree.path(&name).join("current"));
            assert_eq!(current.ok().as_deref(), (!is_fatal).then_some("line\n"), "{file}: {odd:?}");
        }
    }
}

#[test]
fn a_config_without_end_is_read_no_further_than_a_mebibyte() {
    let tree = Tree::new();
    tree.directory("log");
    symlink("/dev/zero", tree.path("log/config")).unwrap();
    assert_eq!(log(&tree, "log", "line\n"), (Some(0), Vec::new()));
    assert_eq!(fs::read_to_string(tree.path("log/current")).unwrap(), "line\n");
}

#[test]
fn whatever_type_the_files_of_a_processor_have_no_line_is_lost() {
    let tree = Tree::new();
    let cases: [(&str, Odd, &str); 5] = [
        ("state", Socket, "device not configured"),
        ("state", Directory, "is a directory"),
        ("state", Loop, "symbolic link loop"),
        ("newstate", Directory, "is a directory"),
        ("newstate", Socket, ""),
    ];
    for (file, odd, reason) in cases {
        let name = format!("{file}{odd:?}");
        odd.make(&tree.path(&name).join(file));
        fs::write(tree.path(&name).join("config"), "s32\n!cat\n").unwrap();
        let lines = "twelve bytes\n".repeat(4);
        let said = format!("svlogd: warning: unable to open {file} for processor: {name}: {reason}");
        let said = if reason.is_empty() { Vec::new() } else { vec![said] };
        assert_eq!(log(&tree, &name, &lines), (Some(0), said), "{file}: {odd:?}");
        let kept = fs::read_dir(tree.path(&name)).unwrap().map(|entry| entry.unwrap());
        let kept = kept.filter(|entry| {
            let name = entry.file_name();
            name == "current" || name.as_encoded_bytes().starts_with(b"@")
        });
        let length: u64 = kept.map(|entry| entry.metadata().unwrap().len()).sum();
        assert_eq!(length, lines.len() as u64, "{file}: {odd:?}");
    }
}
