//! `check` of every kind, and sv without means.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Stdio;

use homerun::model::status::{State, Want};
use homerun::sys::inotify::{Changes, Watcher};

use super::{Fake, NO_PID, comparable, lasting, sv, sv_of, wait_until_it_watches};
use crate::support::*;

/// Services that run, each with a `check` of another kind, and whether ours takes it for ready.
const CHECKS: [(&str, bool); 14] = [
    ("none", true),
    ("dangling", true),
    ("true", true),
    ("false", false),
    ("exits-111", false),
    ("exits-256", true),
    ("killed", false),
    ("unexecutable", true),
    ("directory", true),
    ("fifo", true),
    ("socket", true),
    ("interpreter", true),
    ("text", true),
    ("loop", false),
];

fn make_checks(tree: &Tree) -> Vec<Fake> {
    let record = lasting(NO_PID, State::Run, Want::Up).encode();
    let held = CHECKS.iter().map(|(name, _)| Fake::new(tree, name, &record)).collect();
    let check = |name: &str| tree.path(name).join("check");
    for (name, script) in [
        ("true", "#!/bin/sh\n"),
        ("false", "#!/bin/sh\nexit 1\n"),
        ("exits-111", "#!/bin/sh\nexit 111\n"),
        ("exits-256", "#!/bin/sh\n(exit 256)\n"),
        ("killed", "#!/bin/sh\nkill -9 $$\n"),
        ("unexecutable", "#!/bin/sh\nexit 1\n"),
        ("interpreter", "#!/no/where\n"),
        ("text", "exit 1\n"),
    ] {
        fs::write(check(name), script).unwrap();
        let mode = if name == "unexecutable" { 0o644 } else { 0o755 };
        fs::set_permissions(check(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::create_dir(check("directory")).unwrap();
    homerun::sys::file::make_fifo(&check("fifo"), 0o700).unwrap();
    drop(std::os::unix::net::UnixListener::bind(check("socket")).unwrap());
    symlink("nowhere", check("dangling")).unwrap();
    symlink("check", check("loop")).unwrap();
    held
}

/// A word for those of these services, and the different lines it says.
fn ask(programs: &Path, tree: &Tree, words: &[&str], ready: bool) -> [Vec<String>; 2] {
    let mut command = sv_of(programs, tree);
    // What is ready is waited for, however slow the machine is; what is not is given up at once.
    command.env("SVWAIT", if ready { "60" } else { "0" }).args(words);
    command.args(CHECKS.iter().filter(|(_, is_ready)| *is_ready == ready).map(|(name, _)| name));
    let outcome = comparable(Outcome::of(&mut command));
    [outcome.stdout, outcome.stderr].map(|text| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    })
}

#[test]
fn a_check_of_every_kind_means_what_it_means_to_the_original() {
    let tree = Tree::new();
    let _held = make_checks(&tree);
    let warnings = |ready: bool| {
        let lines: &[&str] = match ready {
            true => &[
                "warning: unable to run directory/check: access denied",
                "warning: unable to run fifo/check: access denied",
                "warning: unable to run interpreter/check: file does not exist",
                "warning: unable to run socket/check: access denied",
                "warning: unable to run text/check: exec format error",
                "warning: unable to run unexecutable/check: access denied",
            ],
            false => &["warning: unable to stat loop/check: symbolic link loop"],
        };
        lines.iter().map(|line| (*line).to_owned()).collect::<Vec<String>>()
    };
    for ready in [true, false] {
        let word = if ready { "ok" } else { "timeout" };
        let services = CHECKS.iter().filter(|(_, is_ready)| *is_ready == ready);
        let mut lines: Vec<String> = services.map(|(name, _)| format!("{word}: run: {name}: (pid N) Ns")).collect();
        lines.sort_unstable();
        for words in [&["check"][..], &["start"], &["-v", "up"]] {
            let [stdout, stderr] = ask(programs(), &tree, words, ready);
            assert_eq!((&stdout, stderr), (&lines, warnings(ready)), "{words:?}");
            let Some(runit) = runit() else { continue };
            let [mut stdout, stderr] = ask(&runit, &tree, words, ready);
            // It takes one that a signal killed for ready.
            for line in stdout.iter_mut().filter(|line| *line == "ok: run: killed: (pid N) Ns") {
                *line = line.replace("ok", "timeout");
            }
            stdout.sort_unstable();
            assert_eq!((&stdout, stderr), (&lines, warnings(ready)), "theirs: {words:?}");
        }
    }
}

#[test]
fn a_check_has_the_limit_of_open_files_that_sv_was_given_and_ignores_the_term_that_sv_ignored() {
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    // SIGTERM is the 15th bit.
    let ignored = "ignored=$(sed -n 's/^SigIgn:\\t//p' /proc/self/status)";
    let check = format!("{ignored}; say $(ulimit -Sn) $(ulimit -Hn) $((0x$ignored >> 14 & 1))");
    tree.service("foo").script("check", &check).made();
    let runit = runit();
    for programs in [Some(programs()), runit.as_deref()].into_iter().flatten() {
        for (before, expected) in [(":", "100 200 0"), ("trap '' TERM", "100 200 1")] {
            let mut command = tree.command("sh");
            let given = format!("ulimit -Sn 100; ulimit -Hn 200; {before}; exec \"$0\" -w 60 check foo");
            command.env("SVDIR", tree.path("")).args(["-c", &given]).arg(programs.join("sv"));
            assert_eq!(Outcome::of(&mut command).code, Some(0));
            assert_eq!(tree.heard(), expected, "{}", programs.display());
        }
    }
}

#[test]
fn a_check_that_no_process_can_be_had_for_does_not_agree() {
    if !is_root() {
        return skip("needs root, to be a user who may have no more processes");
    }
    let tree = Tree::new();
    let _foo = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    super::words::open_to_all(&tree.path("foo/supervise"));
    put_program(tree.path("foo/check"), "#!/bin/sh\n");
    let runit = runit();
    for programs in [Some(programs()), runit.as_deref()].into_iter().flatten() {
        let mut command = tree.command("prlimit");
        command.env("SVDIR", tree.path("")).env("SVWAIT", "0");
        command.args(["--nproc=1", "setpriv", "--reuid=54321", "--clear-groups"]).arg(programs.join("sv"));
        let outcome = comparable(Outcome::of(command.args(["check", "foo"])));
        assert_eq!((&*outcome.stdout, outcome.code), ("timeout: run: foo: (pid N) Ns\n", Some(1)));
        let warning = "warning: unable to fork for foo/check: temporary failure";
        assert!(!outcome.stderr.is_empty() && outcome.stderr.lines().all(|line| line == warning), "{outcome:?}");
    }
}

#[test]
fn without_a_watch_to_be_had_it_looks_again_and_again() {
    let tree = Tree::new();
    let no_watch = "echo 0 >/proc/sys/user/max_inotify_instances || exit 99; exec sv -w 60 \"$@\"";
    let alone = ["--user", "--map-root-user"];
    let probe = Outcome::of(tree.command("unshare").args(alone).args(["sh", "-c", no_watch, "sh", "status", "none"]));
    if probe.code != Some(1) {
        return skip("may not unshare a user namespace");
    }
    let run = |word: &str| {
        let mut command = tree.command("unshare");
        command.env("SVDIR", tree.path("")).args(alone).args(["sh", "-c", no_watch, "sh", word, "foo"]);
        comparable(Outcome::of(&mut command))
    };
    let foo = tree.service("foo").run("exec sleep 1000").start();
    foo.wait(|status| status.pid != 0);
    assert_eq!(run("stop"), says("ok: down: foo: Ns, normally up\n"));
    assert_eq!(run("start"), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(run("restart"), says("ok: run: foo: (pid N) Ns\n"));
    assert_eq!(run("shutdown"), says("ok: foo: runsv not running\n"));
    assert_eq!(sv(&tree, &["status", "foo"]).code, Some(1));
}

#[test]
fn a_services_directory_that_is_switched_meanwhile_is_the_one_that_is_waited_for() {
    let tree = Tree::new();
    let names = ["a", "waits", "b", "c", "d", "e", "f", "g", "h", "checks"];
    let run = lasting(NO_PID, State::Run, Want::Up).encode();
    let down = lasting(0, State::Down, Want::Up).encode();
    let mut held = Vec::new();
    for name in names {
        held.push(Fake::new(&tree, &format!("one/{name}"), if name == "waits" { &down } else { &run }));
        held.push(Fake::new(&tree, &format!("other/{name}"), &run));
    }
    put_program(tree.path("one/checks/check"), "#!/bin/sh\necho checked >\"$EAR\"\nexit 1\n");
    symlink("one", tree.path("current")).unwrap();
    symlink("other", tree.path("next")).unwrap();
    let mut command = sv_of(programs(), &tree);
    command.env("SVDIR", tree.path("current")).env("SVWAIT", "60").arg("start").args(names);
    let outcome = std::thread::scope(|scope| {
        let waits = scope.spawn(|| comparable(Outcome::of(&mut command)));
        assert_eq!(tree.heard(), "checked"); // it is the last of them: the others have been looked at
        fs::rename(tree.path("next"), tree.path("current")).unwrap();
        let supervise = tree.path("one/waits/supervise");
        fs::write(supervise.join("new"), down).unwrap();
        fs::rename(supervise.join("new"), supervise.join("status")).unwrap(); // has it looked at again
        waits.join().unwrap()
    });
    let mut lines: Vec<&str> = outcome.stdout.lines().collect();
    lines.sort_unstable();
    let mut expected = names.map(|name| format!("ok: run: {name}: (pid N) Ns"));
    expected.sort_unstable();
    assert_eq!((lines, outcome.code), (expected.iter().map(String::as_str).collect(), Some(0)));
}

/// How often a record is opened is how often it is looked at. Who waits for events looks a few times.
fn looks(watcher: &Watcher) -> usize {
    watcher.changes().unwrap().iter().filter(|change| change.what.contains(Changes::IN_OPEN)).count()
}

const FEW_LOOKS: usize = 20;

#[test]
fn a_service_that_came_late_is_not_looked_at_again_and_again() {
    let tree = Tree::new();
    let made = tree.service("foo").run("exec sleep 1000").made();
    let supervise = super::gone(&made, &lasting(0, State::Down, Want::Up).encode());
    let mut command = sv_of(programs(), &tree);
    let mut sv = command.env("SVWAIT", "1").args(["start", "foo"]).stdout(Stdio::null()).spawn().unwrap();
    wait_until_it_watches(sv.id(), 2);
    let watcher = Watcher::new().unwrap();
    watcher.watch(&supervise.join("status"), Changes::IN_OPEN | Changes::IN_CLOSE).unwrap();
    let _fake = Fake::again(&made);
    assert_eq!(wait_for_end(&mut sv).unwrap().code(), Some(1));
    assert!(looks(&watcher) < FEW_LOOKS);
}

#[test]
fn a_service_that_goes_down_after_its_check_is_not_looked_at_again_and_again() {
    let tree = Tree::new();
    let _fake = Fake::new(&tree, "foo", &lasting(NO_PID, State::Run, Want::Up).encode());
    tree.service("foo").script("check", "say check; exit 1").made();
    let mut command = sv_of(programs(), &tree);
    let mut sv = command.env("SVWAIT", "1").args(["start", "foo"]).stdout(Stdio::null()).spawn().unwrap();
    assert_eq!(tree.heard(), "check");
    let (new, status) = (tree.path("foo/supervise/new"), tree.path("foo/supervise/status"));
    fs::write(&new, lasting(0, State::Down, Want::Up).encode()).unwrap();
    let watcher = Watcher::new().unwrap();
    watcher.watch(&new, Changes::IN_OPEN | Changes::IN_CLOSE).unwrap();
    fs::rename(new, status).unwrap();
    assert_eq!(wait_for_end(&mut sv).unwrap().code(), Some(1));
    assert!(looks(&watcher) < FEW_LOOKS);
}
