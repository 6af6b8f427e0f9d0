//! Each word of sv, from either sv to either runsv.

use std::io::Write as _;
use std::path::Path;
use std::sync::OnceLock;

use homerun::model::status::{State, Want};

use super::*;
use crate::support::*;

/// What is said to services, one after the other, and how many starts it brings about.
type Talk = &'static [(&'static [&'static str], usize)];

/// Each is said in a tree of its own: to `foo`, which ends at TERM and has a check and a log; to `low`, which is normally
/// down; to `deaf`, which only KILL ends. They are several so that they are said at the same time.
const TALKS: [Talk; 6] = [
    &[
        (&["status", "foo", "low", "deaf"], 0),
        (&["status", "foo/log"], 0),
        (&["check", "foo"], 0),
        (&["up", "foo"], 0),
        (&["start", "foo"], 0),
        (&["start", "foo", "deaf"], 0),
        (&["-v", "pause", "foo"], 0),
        (&["status", "foo"], 0),
        (&["-v", "cont", "foo"], 0),
        (&["-v", "Xyz", "nowhere"], 0),
        (&["-v", "pause", "foo/log"], 0),
        (&["status", "foo"], 0),
        (&["-v", "cont", "foo/log"], 0),
    ],
    &[
        (&["hup", "foo"], 0),
        (&["-v", "hup", "foo"], 0),
        (&["interrupt", "foo"], 0),
        (&["-v", "alarm", "foo"], 0),
        (&["-v", "quit", "foo"], 0),
        (&["-v", "1", "foo"], 0),
        (&["-v", "2", "foo"], 0),
        (&["reload", "foo"], 0),
        (&["status", "foo"], 0),
        (&["-v", "term", "foo"], 1),
    ],
    &[
        (&["-w", "9", "restart", "foo"], 1),
        (&["try-restart", "foo"], 1),
        (&["force-restart", "foo"], 1),
        (&["Term", "foo"], 1),
    ],
    &[
        (&["-v", "kill", "foo"], 1),
        (&["stop", "foo"], 0),
        (&["status", "foo"], 0),
        (&["stop", "foo"], 0),
        (&["-v", "up", "foo"], 1),
        (&["-v", "pause", "foo"], 0),
        (&["stop", "foo"], 0),
        (&["status", "foo"], 0),
    ],
    &[
        (&["start", "low"], 1),
        (&["status", "low"], 0),
        (&["-v", "once", "low"], 0),
        (&["status", "low"], 0),
        (&["-v", "down", "low"], 0),
        (&["-v", "up", "low"], 1),
        (&["status", "low"], 0),
        (&["stop", "low", "foo"], 0),
        (&["try-restart", "low"], 0),
        (&["start", "low", "foo"], 2),
    ],
    &[
        (&["status", "nowhere"], 0),
        (&["stop", "nowhere", "low"], 0),
        (&["exit", "nowhere"], 0),
        (&["frobnicate", "foo"], 0),
        (&["status"], 0),
        (&["shutdown", "foo", "low"], 0),
        (&["status", "foo"], 0),
        (&["stop", "foo"], 0),
        (&["exit", "foo"], 0),
        (&["shutdown", "foo"], 0),
    ],
];

/// An answer of `sv`, comparable.
fn answer(tree: &Tree, sv: &Path, args: &[&str]) -> String {
    let mut command = tree.command(sv);
    let answer = Outcome::of(command.env("SVDIR", tree.path("")).args(args));
    let text = without_numbers(&format!("{}{}", answer.stdout, answer.stderr));
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable(); // of several services whichever is ready first comes first
    format!("sv {} -> {:?}\n{}", args.join(" "), answer.code, lines.join("\n"))
}

/// All that `sv` answers to `talk`, with `runsv` for each service.
fn answers(runsv: &Path, sv: &Path, talk: Talk) -> Vec<String> {
    let tree = Tree::new();
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
    for (args, starts) in talk {
        answers.push(answer(&tree, sv, args));
        (0..*starts).for_each(|_| hear_start());
    }
    answers
}

/// What `sv` answers of a service while its `finish` runs, and after it.
fn answers_during_finish(runsv: &Path, sv: &Path) -> Vec<String> {
    let tree = Tree::new();
    homerun::sys::file::make_fifo(&tree.path("gate"), 0o600).unwrap();
    let mut gate = homerun::sys::file::open_read_write(tree.path("gate")).unwrap();
    let end = tree.service("end").run("say up; exec sleep 1000").finish("say finish; read line <../gate");
    let end = end.start_by(tree.command(runsv));
    assert_eq!(tree.heard(), "up");
    end.wait(|status| status.state == State::Run && status.pid != 0);
    let mut answers = vec![answer(&tree, sv, &["down", "end"])];
    assert_eq!(tree.heard(), "finish");
    end.wait(|status| status.state == State::Finish && status.pid != 0);
    let wait_want = |want: Want| end.wait(|status| status.want == want);
    let mut ask = |args: &[&str]| answers.push(answer(&tree, sv, args));
    ask(&["status", "end"]);
    ask(&["-v", "hup", "end"]);
    ask(&["-v", "cont", "end"]);
    ask(&["-v", "once", "end"]);
    ask(&["-w", "0", "stop", "end"]);
    ask(&["up", "end"]);
    wait_want(Want::Up);
    ask(&["status", "end"]);
    ask(&["-w", "0", "start", "end"]);
    ask(&["down", "end"]);
    wait_want(Want::Down);
    ask(&["status", "end"]);
    gate.write_all(b"\n").unwrap();
    ask(&["stop", "end"]);
    ask(&["start", "end"]);
    assert_eq!(tree.heard(), "up");
    answers
}

/// What `sv` answers of a service that is deaf to TERM.
fn answers_of_the_deaf(runsv: &Path, sv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let deaf = tree.service("deaf").run(&format!("{DEAF}; say up; {LISTEN}")).start_by(tree.command(runsv));
    assert_eq!(tree.heard(), "up");
    deaf.wait(|status| status.state == State::Run && status.pid != 0);
    let mut answers = vec![answer(&tree, sv, &["down", "deaf"])];
    deaf.wait(|status| status.got_term && status.want == Want::Down);
    let mut ask = |args: &[&str]| answers.push(answer(&tree, sv, args));
    ask(&["status", "deaf"]);
    ask(&["-w", "0", "down", "deaf"]);
    ask(&["-w", "0", "stop", "deaf"]);
    ask(&["-w", "0", "force-stop", "deaf"]);
    deaf.wait(is_down);
    ask(&["status", "deaf"]);
    answers
}

/// All that is said between `sv` and `runsv`.
fn talk(runsv: &Path, sv: &Path) -> Vec<String> {
    std::thread::scope(|scope| {
        let talks = TALKS.map(|talk| scope.spawn(move || answers(runsv, sv, talk)));
        let finish = scope.spawn(|| answers_during_finish(runsv, sv));
        let deaf = scope.spawn(|| answers_of_the_deaf(runsv, sv));
        talks.into_iter().chain([finish, deaf]).flat_map(|talk| talk.join().unwrap()).collect()
    })
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
