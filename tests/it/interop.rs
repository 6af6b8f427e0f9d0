//! Side by side with C runit: the same words give the same lines, whoever says them to whom.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use homerun::model::status::{State, Status, Want};

use crate::runsv::listing;
use crate::support::*;

/// Deaf to every signal it can be deaf to.
const DEAF: &str = "trap '' TERM HUP ALRM INT QUIT USR1 USR2";
const LISTEN: &str = "sleep 1000 >/dev/null 2>&1 & while :; do wait; done";

fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

/// Lines with every number replaced: pids and seconds differ from one run to the next.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            c => out.push(c),
        }
    }
    out
}

/// What is said to the services `deaf`, `foo` and `low` one after the other, and how many of them it starts.
const WORDS: [(&[&str], usize); 39] = [
    (&["status", "foo", "low", "deaf"], 0),
    (&["check", "foo"], 0),
    (&["up", "foo"], 0),
    (&["start", "foo"], 0),
    (&["start", "foo", "deaf"], 0),
    (&["-v", "pause", "foo"], 0),
    (&["status", "foo"], 0),
    (&["-v", "cont", "foo"], 0),
    (&["hup", "foo"], 0),
    (&["-v", "hup", "foo"], 0),
    (&["interrupt", "foo"], 0),
    (&["-v", "1", "foo"], 0),
    (&["reload", "foo"], 0),
    (&["-v", "term", "foo"], 1),
    (&["-w", "9", "restart", "foo"], 1),
    (&["try-restart", "foo"], 1),
    (&["force-restart", "foo"], 1),
    (&["-v", "kill", "foo"], 1),
    (&["stop", "foo"], 0),
    (&["status", "foo"], 0),
    (&["stop", "foo"], 0),
    (&["-v", "up", "foo"], 1),
    (&["-v", "once", "low"], 1),
    (&["status", "low"], 0),
    (&["-v", "down", "low"], 0),
    (&["start", "low"], 1),
    (&["status", "low"], 0),
    (&["stop", "low", "foo"], 0),
    (&["start", "low", "foo"], 2),
    (&["-w", "1", "down", "deaf"], 0),
    (&["status", "deaf"], 0),
    (&["-w", "1", "stop", "deaf", "foo"], 0),
    (&["status", "nowhere"], 0),
    (&["stop", "nowhere", "low"], 0),
    (&["exit", "nowhere"], 0),
    (&["frobnicate", "foo"], 0),
    (&["status"], 0),
    (&["-w", "1", "force-stop", "deaf"], 0),
    (&["shutdown", "foo", "low"], 0),
];

/// All that `sv` answers to [`WORDS`], with `runsv` for each service.
fn talk(runsv: &Path, sv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let sv = |args: &[&str]| {
        let mut command = tree.command(sv);
        Outcome::of(command.env("SVDIR", tree.path("")).args(args))
    };
    let deaf = tree.service("deaf").run(&format!("{DEAF}; say deaf $$; {LISTEN}"));
    let tame = tree
        .service("foo")
        .run(&format!("{DEAF}; trap 'exit 0' TERM; say foo $$; {LISTEN}"))
        .script("check", "exit 0")
        .log("exec cat >/dev/null");
    let low = tree.service("low").run("say low $$; exec sleep 1000").file("down", "");
    let [deaf, tame, low] = [deaf, tame, low].map(|service| service.start_by(tree.command(runsv)));
    // A service may speak before its supervisor has written that it runs.
    let hear_start = || {
        let line = tree.heard();
        let (name, pid) = line.split_once(' ').unwrap();
        let service = match name {
            "deaf" => &deaf,
            "foo" => &tame,
            _ => &low,
        };
        let pid: i32 = pid.parse().unwrap();
        service.wait(|status| status.pid == pid);
    };
    hear_start();
    hear_start();
    tame.wait_log(|status| status.state == State::Run);
    low.wait(is_down);
    let mut answers = Vec::new();
    for (args, starts) in WORDS {
        let answer = sv(args);
        (0..starts).for_each(|_| hear_start());
        let text = without_numbers(&format!("{}{}", answer.stdout, answer.stderr));
        let mut lines: Vec<_> = text.lines().collect();
        lines.sort_unstable(); // of several services whichever is ready first comes first
        answers.push(format!("sv {} -> {:?}\n{}", args.join(" "), answer.code, lines.join("\n")));
    }
    deaf.wait(is_down);
    deaf.control(b"x");
    for running in [deaf, tame, low] {
        assert_eq!(running.ended().0.code(), Some(0));
    }
    for word in ["status", "start", "stop", "exit", "shutdown", "check"] {
        let answer = sv(&[word, "foo"]);
        answers.push(format!("sv {word} foo, gone -> {:?}\n{}", answer.code, without_numbers(&answer.stdout)));
    }
    answers
}

/// What C's sv and C's runsv say to each other.
fn originals(runit: &Path) -> &'static [String] {
    static ANSWERS: OnceLock<Vec<String>> = OnceLock::new();
    ANSWERS.get_or_init(|| talk(&runit.join("runsv"), &runit.join("sv")))
}

#[track_caller]
fn same(ours: &[String], originals: &[String]) {
    let different: Vec<_> = originals.iter().zip(ours).filter(|(original, ours)| original != ours).collect();
    assert!(different.is_empty() && ours.len() == originals.len(), "the original's, and ours: {different:#?}");
}

#[test]
fn the_originals_sv_drives_our_runsv() {
    let Some(runit) = runit() else { return };
    same(&talk(&programs().join("runsv"), &runit.join("sv")), originals(&runit));
}

#[test]
fn our_sv_drives_the_originals_runsv() {
    let Some(runit) = runit() else { return };
    same(&talk(&runit.join("runsv"), &programs().join("sv")), originals(&runit));
}

#[test]
fn our_sv_and_our_runsv_say_what_the_originals_say() {
    let Some(runit) = runit() else { return };
    same(&talk(&programs().join("runsv"), &programs().join("sv")), originals(&runit));
}

#[test]
fn neither_supervisor_takes_a_directory_from_the_other() {
    let Some(runit) = runit() else { return };
    for [first, second] in [[programs(), &*runit], [&*runit, programs()]] {
        let tree = Tree::new();
        let foo = tree.service("foo").run("say up; exec sleep 1000").log("exec cat");
        let foo = foo.start_by(tree.command(first.join("runsv")));
        assert_eq!(tree.heard(), "up");
        let status = foo.wait(|status| status.state == State::Run);
        let refused = fails("runsv foo: fatal: unable to lock supervise/lock: temporary failure\n", 111);
        assert_eq!(Outcome::of(tree.command(second.join("runsv")).arg("foo")), refused);
        assert_eq!(foo.wait(|_| true), status);
        foo.control(b"x");
        assert_eq!(foo.ended().0.code(), Some(0));
        // One after the other they get on.
        let foo = tree.service("foo").start_by(tree.command(second.join("runsv")));
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.state == State::Run);
        foo.control(b"x");
        assert_eq!(foo.ended().0.code(), Some(0));
        assert_eq!(tree.heard_already(), None);
    }
}

#[test]
fn a_log_directory_that_the_original_supervises_is_refused() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").log("exec cat");
    let foo = foo.start_by(tree.command(runit.join("runsv")));
    assert_eq!(tree.heard(), "up");
    foo.wait_log(|status| status.state == State::Run);
    symlink("../foo/log", tree.service("bar").made().join("log")).unwrap();
    let refused = fails("runsv bar: fatal: unable to lock log/supervise/lock: temporary failure\n", 111);
    assert_eq!(tree.run("runsv", &["bar"]), refused);
    foo.control(b"x");
    assert_eq!(foo.ended().0.code(), Some(0));
}

/// The records after each of some commands, and at last the files of `supervise/`.
fn records(runsv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let service = tree.service("foo").run(&format!("{DEAF}; say up; {LISTEN}")).log("exec cat >/dev/null");
    let deaf = service.start_by(tree.command(runsv));
    assert_eq!(tree.heard(), "up");
    let mut found = Vec::new();
    let mut record = |status: Status| {
        let bytes = fs::read(deaf.directory.join("supervise/status")).unwrap();
        let pid = if deaf.record("pid").is_empty() { 0 } else { deaf.record("pid").trim_end().parse().unwrap() };
        assert_eq!(status.pid, pid);
        found.push(format!("{}{:?} {}", deaf.record("stat"), &bytes[16..], pid != 0));
    };
    record(deaf.wait(|status| status.state == State::Run));
    deaf.control(b"p");
    record(deaf.wait(|status| status.paused));
    deaf.control(b"c");
    record(deaf.wait(|status| !status.paused));
    deaf.control(b"o");
    record(deaf.wait(|status| status.want == Want::Down));
    deaf.control(b"t");
    record(deaf.wait(|status| status.got_term));
    deaf.control(b"u");
    record(deaf.wait(|status| status.want == Want::Up));
    deaf.control(b"pd");
    record(deaf.wait(|status| status.paused && status.want == Want::Down));
    deaf.control(b"k");
    record(deaf.wait(is_down));
    deaf.control(b"c");
    record(deaf.wait(|status| !status.paused));
    deaf.control(b"o");
    assert_eq!(tree.heard(), "up");
    record(deaf.wait(|status| status.state == State::Run && status.pid != 0));
    deaf.control(b"x");
    deaf.wait(|status| status.got_term);
    found.push(deaf.record("stat"));
    deaf.wait_log(|status| status.state == State::Run);
    deaf.control(b"k");
    assert_eq!(deaf.ended().0.code(), Some(0));
    for name in ["foo/supervise", "foo/log/supervise"] {
        found.extend(listing(&tree.path(name)));
        found.extend(["stat", "pid"].map(|file| fs::read_to_string(tree.path(name).join(file)).unwrap()));
    }
    found
}

#[test]
fn the_records_are_those_of_the_original() {
    let Some(runit) = runit() else { return };
    same(&records(&programs().join("runsv")), &records(&runit.join("runsv")));
}

/// What is told of services that cannot be run, and of their end.
fn troubles(runsv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let started = |name: &str, heard: usize| {
        let mut command = tree.command(runsv);
        command.stderr(tree.mouth());
        let running = tree.service(name).start_by(command);
        let lines: Vec<_> = (0..heard).map(|_| tree.heard()).collect();
        running.wait(|_| true);
        running.control(b"x");
        assert_eq!(running.ended().0.code(), Some(0));
        while tree.heard_already().is_some() {}
        lines
    };
    let finish = "say finish $1 $2";
    let mut found = Vec::new();
    tree.service("none").finish(finish);
    found.extend(started("none", 2));
    tree.service("mode").file("run", "#!/bin/sh\n").finish(finish);
    found.extend(started("mode", 2));
    tree.service("text").file("run", "true\n").mode("run", 0o755).finish(finish);
    found.extend(started("text", 2));
    tree.service("interpreter").file("run", "#!/no/where\n").mode("run", 0o755).finish(finish);
    found.extend(started("interpreter", 2));
    tree.service("finish").run("exit 1").file("finish", "");
    found.extend(started("finish", 1));
    tree.service("directory").file("finish/x", "").run("exec sleep 1000").file("log", "");
    found.extend(started("directory", 1));
    tree.service("killed").run("kill -9 $$").finish(finish);
    found.extend(started("killed", 1));
    tree.service("aborted").run("ulimit -c unlimited; kill -ABRT $$").finish(finish);
    found.extend(started("aborted", 1));
    tree.service("log").file("log/x", "").file("down", "");
    found.extend(started("log", 1));
    fs::write(tree.path("file"), "").unwrap();
    tree.service("a").file("supervise/control", "");
    tree.service("b").file("supervise", "");
    symlink("no/where", tree.service("c").made().join("supervise")).unwrap();
    for args in [&["file"][..], &["a"], &["b"], &["c"], &["no"], &[""], &["-V"]] {
        let outcome = Outcome::of(tree.command(runsv).args(args));
        found.push(format!("{args:?} {:?} {}{}", outcome.code, outcome.stdout, outcome.stderr));
    }
    found
}

#[test]
fn troubles_are_told_in_the_originals_words() {
    let Some(runit) = runit() else { return };
    let expected = troubles(&runit.join("runsv"));
    same(&troubles(&programs().join("runsv")), &expected);
}

#[test]
fn bursts_end_as_they_do_with_the_original() {
    let Some(runit) = runit() else { return };
    let end = |runsv: PathBuf, burst: &str| {
        let tree = Tree::new();
        let foo = tree.service("foo").run("say up; exec sleep 1000").start_by(tree.command(runsv));
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.state == State::Run);
        foo.control(burst.as_bytes());
        // No burst ends paused: what is paused was read in the middle of it.
        foo.wait(|status| is_down(status) && status.want == Want::Down && !status.paused);
        (foo.record("stat"), foo.record("pid"))
    };
    for burst in ["ddd", "uod", "od\n", "dpc", "pcd", "dk", "kd", "u1d"] {
        let ours = end(programs().join("runsv"), burst);
        assert_eq!(ours, end(runit.join("runsv"), burst), "{burst}");
    }
}
