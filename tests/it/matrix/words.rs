//! Each word of sv, from either sv to either runsv.

use std::path::Path;
use std::sync::OnceLock;

use homerun::model::status::State;

use super::*;
use crate::support::*;

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
