//! Every word, to services in every state and in every trouble: what is sent, what is said, how it ends.
//!
//! The services are not supervised: their records stay as they are, so that ours and the original meet the same.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use homerun::model::status::{State, Status, Want};
use homerun::model::tai::Label;

use super::{Fake, LASTED, NO_PID, comparable, gone, lasting, sv_of};
use crate::support::*;

/// Each word as it is said, what it sends, and what more when it takes too long.
const WORDS: [(&[&str], &str, &str); 33] = [
    (&["-v", "up"], "u", ""),
    (&["-v", "down"], "d", ""),
    (&["-v", "once"], "o", ""),
    (&["-v", "pause"], "p", ""),
    (&["-v", "cont"], "c", ""),
    (&["-v", "hup"], "h", ""),
    (&["-v", "alarm"], "a", ""),
    (&["-v", "interrupt"], "i", ""),
    (&["-v", "quit"], "q", ""),
    (&["-v", "1"], "1", ""),
    (&["-v", "2"], "2", ""),
    (&["-v", "term"], "t", ""),
    (&["-v", "kill"], "k", ""),
    (&["-v", "exit"], "x", ""),
    (&["-w0", "x"], "x", ""),
    (&["up"], "u", ""),
    (&["down"], "d", ""),
    (&["hup"], "h", ""),
    (&["exit"], "x", ""),
    (&["X"], "x", "k"),
    (&["Exit"], "x", "k"),
    (&["Down"], "d", "k"),
    (&["Term"], "tc", "k"),
    (&["start"], "u", ""),
    (&["stop"], "d", ""),
    (&["shutdown"], "x", ""),
    (&["restart"], "tcu", ""),
    (&["reload"], "h", ""),
    (&["try-restart"], "tc", ""),
    (&["force-stop"], "d", "k"),
    (&["force-reload"], "tc", "k"),
    (&["force-restart"], "tcu", "k"),
    (&["force-shutdown"], "x", "k"),
];

/// Services of which it is known how they are.
fn states() -> Vec<(&'static str, Status)> {
    let runs = lasting(NO_PID, State::Run, Want::Up);
    let finishes = Status { state: State::Finish, ..runs };
    let down = lasting(0, State::Down, Want::Down);
    // not older than the order, in the seconds that the original compares
    let fresh = |status: Status| Status { since: Label::of(status.since.since_1970() + 2 * LASTED), ..status };
    vec![
        ("Run", runs),
        ("Run,paused", Status { paused: true, ..runs }),
        ("Run,want-down", Status { want: Want::Down, ..runs }),
        ("Run,got-TERM", Status { got_term: true, ..runs }),
        ("Run,want-down,got-TERM", Status { want: Want::Down, got_term: true, ..runs }),
        ("Run,fresh", fresh(runs)),
        ("Finish", finishes),
        ("Finish,want-down", Status { want: Want::Down, ..finishes }),
        ("Finish,not-yet", Status { pid: 0, ..finishes }),
        ("Down", down),
        ("Down,paused", Status { paused: true, ..down }),
        ("Down,fresh", fresh(down)),
        ("Pause", Status { want: Want::Up, ..down }),
    ]
}

/// A word said to several services at once, and what came of it. Whichever is done first is said first.
fn say(programs: &Path, tree: &Tree, place: &str, words: &[&str], names: &[&str]) -> (Vec<String>, Vec<String>, i32) {
    let mut command = sv_of(programs, tree);
    command.env("SVDIR", tree.path(place)).args(words).args(names);
    if is_root() {
        command.uid(65534).gid(65534); // whom something can be denied
    }
    let outcome = comparable(Outcome::of(&mut command));
    let [stdout, stderr] = [outcome.stdout, outcome.stderr].map(|text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines
    });
    (stdout, stderr, outcome.code.unwrap())
}

/// Lets everybody in.
pub fn open_to_all(supervise: &Path) {
    for (name, mode) in [("", 0o755), ("ok", 0o622), ("control", 0o622), ("status", 0o644)] {
        let _ = fs::set_permissions(supervise.join(name), fs::Permissions::from_mode(mode));
    }
}

/// Up to 2.3.0 the original sends nothing where the record shows the byte already.
fn is_skipped_by_original(record: &Status, sent: &str) -> bool {
    match record.want {
        Want::Up => sent.starts_with('u'),
        Want::Down | Want::Exit => sent.starts_with('d') && record.got_term,
    }
}

/// Where the original says `ok` too soon: before a supervisor has taken note of the order, or of a process that was
/// there already and is not a second old.
fn is_too_soon(name: &str, sent: &str) -> bool {
    match sent {
        "u" => name.starts_with("Run,want-down"),
        "d" => name == "Pause",
        "o" => name == "Down,fresh",
        "t" | "k" | "tc" | "tcu" => name == "Run,fresh",
        _ => false,
    }
}

#[test]
fn every_word_does_to_every_state_what_the_original_does() {
    let tree = Tree::new();
    let (tree, states, runit) = (&tree, &states(), &runit());
    let names: &[&str] = &states.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    std::thread::scope(|scope| {
        for (at, (words, sent, killed)) in WORDS.into_iter().enumerate() {
            scope.spawn(move || {
                let place = format!("{at}");
                let mut fakes: Vec<Fake> = Vec::new();
                for (name, record) in states {
                    fakes.push(Fake::new(tree, &format!("{place}/{name}"), &record.encode()));
                    open_to_all(&tree.path(&place).join(name).join("supervise"));
                }
                let ours = say(programs(), tree, &place, words, names);
                for ((name, _), fake) in states.iter().zip(&mut fakes) {
                    let said = ours.0.iter().find(|line| line.contains(&format!(": {name}: ")));
                    let was_killed = said.is_some_and(|line| line.starts_with("kill: "));
                    let expected = if was_killed { format!("{sent}{killed}") } else { sent.to_owned() };
                    assert_eq!(fake.was_sent(), expected, "sv {words:?} {name}: {said:?}");
                }
                let Some(runit) = runit else { return };
                let mut theirs = say(runit, tree, &place, words, names);
                for ((name, record), fake) in states.iter().zip(&mut fakes) {
                    let said = theirs.0.iter_mut().find(|line| line.contains(&format!(": {name}: ")));
                    let was_killed = said.as_ref().is_some_and(|line| line.starts_with("kill: "));
                    let skipped = if is_skipped_by_original(record, sent) { "" } else { sent };
                    let expected = if was_killed { format!("{skipped}{killed}") } else { skipped.to_owned() };
                    assert_eq!(fake.was_sent(), expected, "theirs: sv {words:?} {name}: {said:?}");
                    if is_too_soon(name, sent)
                        && let Some(line) = said
                    {
                        let rest = line.strip_prefix("ok: ").unwrap_or_else(|| panic!("theirs: sv {words:?}: {line}"));
                        *line = format!("{}{rest}", if killed.is_empty() { "timeout: " } else { "kill: " });
                        theirs.2 += 1;
                    }
                }
                theirs.0.sort_unstable();
                assert_eq!(ours, theirs, "sv {words:?}");
            });
        }
    });
}

/// Services of which not all is as it should be; what is to be held on to, so that it stays so.
fn troubled(tree: &Tree, place: &str) -> Vec<Fake> {
    let place = tree.directory(place);
    let record = lasting(0, State::Down, Want::Down).encode();
    let mut held = Vec::new();
    let mut fake = |name: &str, record: &[u8]| {
        held.push(Fake::in_directory(&place.join(name), record));
        let supervise = place.join(name).join("supervise");
        open_to_all(&supervise);
        supervise
    };
    let status_is_short = &record[..19];
    fake("good", &record);
    fake("short", status_is_short);
    fake("blank", b"");
    fake("long", &[&record[..], b"more"].concat());
    fs::remove_file(fake("no-status", &record).join("status")).unwrap();
    let status_is_directory = fake("status-is-directory", &record).join("status");
    fs::remove_file(&status_is_directory).unwrap();
    fs::create_dir(status_is_directory).unwrap();
    fs::remove_file(fake("no-control", &record).join("control")).unwrap();
    let control_is_directory = fake("control-is-directory", &record).join("control");
    fs::remove_file(&control_is_directory).unwrap();
    fs::create_dir(control_is_directory).unwrap();
    let control_is_unread = fake("control-is-unread", &record).join("control");
    fs::remove_file(&control_is_unread).unwrap();
    homerun::sys::file::make_fifo(&control_is_unread, 0o622).unwrap();
    fs::remove_file(fake("no-ok", &record).join("ok")).unwrap();
    let ok_is_file = fake("ok-is-file", &record).join("ok");
    fs::remove_file(&ok_is_file).unwrap();
    fs::write(ok_is_file, "").unwrap();
    let linked = fake("linked", &record);
    fs::rename(&linked, place.join("elsewhere")).unwrap();
    symlink("../elsewhere", linked).unwrap();
    symlink("good", place.join("link")).unwrap();
    for denied in ["ok", "control", "status", ""] {
        let file = fake(&format!("denied-{denied}"), &record).join(denied);
        fs::set_permissions(file, fs::Permissions::from_mode(0o000)).unwrap();
    }
    fake("denied", &record);
    fs::set_permissions(place.join("denied"), fs::Permissions::from_mode(0o400)).unwrap();
    for name in ["gone", "gone-service"] {
        open_to_all(&gone(&place.join(name), &record));
    }
    fs::write(place.join("gone-service/run"), "").unwrap();
    for name in ["empty", "new", "supervise-is-file"] {
        fs::create_dir(place.join(name)).unwrap();
    }
    fs::write(place.join("new/run"), "").unwrap();
    fs::write(place.join("supervise-is-file/supervise"), "").unwrap();
    symlink("nowhere", place.join("empty/supervise")).unwrap();
    fs::write(place.join("file"), "").unwrap();
    symlink("loop", place.join("loop")).unwrap();
    symlink("nowhere", place.join("dangling")).unwrap();
    held
}

const TROUBLED: [&str; 28] = [
    "good",
    "short",
    "blank",
    "long",
    "no-status",
    "status-is-directory",
    "no-control",
    "control-is-directory",
    "control-is-unread",
    "no-ok",
    "ok-is-file",
    "linked",
    "link",
    "denied-ok",
    "denied-control",
    "denied-status",
    "denied-",
    "denied",
    "gone",
    "gone-service",
    "empty",
    "new",
    "supervise-is-file",
    "file",
    "loop",
    "dangling",
    "missing",
    "mis/sing",
];

#[test]
fn every_trouble_is_told_of_as_the_original_tells_it() {
    let tree = Tree::new();
    let (tree, runit) = (&tree, &runit());
    let more: [&[&str]; 4] = [&["status"], &["sing"], &["check"], &["-v", "check"]];
    std::thread::scope(|scope| {
        for (at, words) in WORDS.map(|(words, ..)| words).into_iter().chain(more).enumerate() {
            scope.spawn(move || {
                let place = format!("{at}");
                let _held = troubled(tree, &place);
                let ours = say(programs(), tree, &place, words, &TROUBLED);
                let failed = |name: &str| {
                    ours.0.iter().any(|line| {
                        line.starts_with(&format!("fail: {name}: ")) || line.starts_with(&format!("warning: {name}: "))
                    })
                };
                for name in ["short", "no-status", "denied-ok", "denied-", "denied", "empty", "new", "file", "missing"]
                {
                    assert!(failed(name), "sv {words:?} {name}: {ours:#?}");
                }
                let Some(runit) = runit else { return };
                assert_eq!(ours, say(runit, tree, &place, words, &TROUBLED), "sv {words:?}");
            });
        }
    });
}

#[test]
fn each_of_many_is_told_of_as_it_is_alone() {
    let tree = Tree::new();
    let _held = troubled(&tree, "place");
    let _log = Fake::in_directory(&tree.path("place/good/log"), &lasting(NO_PID, State::Run, Want::Up).encode());
    open_to_all(&tree.path("place/good/log/supervise"));
    symlink("place", tree.path("led")).unwrap();
    symlink("../led", tree.directory("further").join("led")).unwrap();
    symlink("../place/linked", tree.path("further/other")).unwrap();
    let absolute = tree.path("place").into_os_string().into_string().unwrap();
    let mut names = TROUBLED.map(str::to_owned).to_vec();
    for way in ["./place", "./further/led", "./further", "./place/..", "./missing", "./place/file", &absolute] {
        names.extend(["good", "linked", "led/long", "other", "..", "."].map(|name| format!("{way}/{name}")));
        names.push(way.to_owned());
    }
    names.extend(["good/", "good/log", "file/", "link/log", "link/../good", "", ".", "/"].map(str::to_owned));
    let say = |user, services: &str, word, names: &[String]| {
        let mut command = sv_of(programs(), &tree);
        command.env("SVDIR", services).arg(word).args(names).uid(user).gid(user);
        let Outcome { stdout, stderr, code } = comparable(Outcome::of(&mut command));
        let [mut stdout, stderr] = [stdout, stderr].map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>());
        if word != "status" {
            stdout.sort_unstable(); // whichever is done first is said first
        }
        (stdout, stderr, code.unwrap())
    };
    let places = ["place", "further/led", "further", "missing", &absolute];
    let asked = places.map(|services| (services, "status")).into_iter().chain([("further/led", "hup")]);
    let users: &[u32] = if is_root() { &[0, 65534] } else { &[homerun::sys::user::effective_uid()] };
    for ((services, word), user) in asked.flat_map(|asked| users.iter().map(move |user| (asked, *user))) {
        let mut expected = (Vec::new(), Vec::new(), 0);
        for name in &names {
            let (stdout, stderr, code) = say(user, services, word, std::slice::from_ref(name));
            expected.0.extend(stdout);
            expected.1.extend(stderr);
            expected.2 += code;
        }
        if word != "status" {
            expected.0.sort_unstable();
        }
        assert_eq!(say(user, services, word, &names), expected, "{word} in {services}, as user {user}");
    }
}

#[test]
fn a_word_that_begins_with_any_byte_means_what_it_means_to_the_original() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let (tree, runit) = (&tree, &runit);
    let bytes: Vec<u8> = (1..=255).collect();
    std::thread::scope(|scope| {
        for (at, bytes) in bytes.chunks(32).enumerate() {
            scope.spawn(move || {
                let name = format!("{at}");
                let mut fake = Fake::new(tree, &name, &lasting(0, State::Down, Want::Down).encode());
                for byte in bytes {
                    let word: &[u8] = if byte.is_ascii_alphanumeric() { &[*byte, b'~', 0xff] } else { &[*byte] };
                    let mut both = [programs(), runit].map(|programs| {
                        let mut command = sv_of(programs, tree);
                        let outcome = Outcome::of(command.arg(OsStr::from_bytes(word)).arg(&name));
                        (comparable(outcome), fake.was_sent())
                    });
                    let [ours, theirs] = &mut both;
                    assert_eq!(ours, theirs, "sv {}", word.escape_ascii());
                }
            });
        }
    });
}
