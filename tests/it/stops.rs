//! How a service is told to stop, and how long it may take: `down-signal`, `kill-group`, `timeout-kill`,
//! `timeout-finish`.

use std::fs;

use homerun::model::status::{State, Status, Want};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// Says what it is sent, and goes on.
const LISTENS: &str = "for s in TERM USR1 HUP; do trap \"say got $s\" $s; done; say up
    while :; do sleep 1000 >/dev/null 2>&1 & wait $!; kill $!; done";
/// Does not end when it is told to.
const DEAF: &str = "trap '' TERM; say up; exec sleep 1000";

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

fn is_down(status: &Status) -> bool {
    status.state == State::Down && status.pid == 0
}

#[test]
fn the_signal_that_a_service_names_asks_it_to_stop_and_to_restart() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(LISTENS).file("down-signal", "SIGUSR1\n").start_heard();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    for byte in [b"t", b"d"] {
        foo.control(byte);
        assert_eq!(tree.heard(), "got USR1");
        foo.wait(|status| status.got_term);
    }
    // What is asked for by its own name is sent, and the file is read when it is needed.
    foo.control(b"h");
    assert_eq!(tree.heard(), "got HUP");
    for said in ["", "10 or so", "NONSENSE"] {
        fs::write(tree.path("foo/down-signal"), said).unwrap();
        foo.control(b"d");
        let mut heard = [tree.heard(), tree.heard()];
        heard.sort();
        assert_eq!(heard, ["got TERM", "runsv foo: warning: down-signal makes no sense"], "{said:?}");
    }
    fs::write(tree.path("foo/down-signal"), "9").unwrap();
    foo.control(b"d");
    foo.wait(is_down);
    foo.exit();
}

#[test]
fn a_log_service_has_its_own_signal_and_its_own_time_to_stop() {
    let tree = Tree::new();
    let log = "trap 'say got HUP' HUP; trap '' TERM; say log; while :; do sleep 1000 >/dev/null 2>&1 & wait $!; done";
    let foo = tree.service("foo").run("exec sleep 1000").log(log);
    let foo = foo.file("log/down-signal", "hup").start_heard();
    assert_eq!(tree.heard(), "log");
    foo.wait_log(is_running);
    foo.control_log(b"d");
    assert_eq!(tree.heard(), "got HUP");
    fs::write(tree.path("foo/log/timeout-kill"), "1\n").unwrap();
    foo.control_log(b"d");
    let killed = "runsv foo: warning: killing ./log/run, which did not end within log/timeout-kill";
    while tree.heard() != killed {} // it may hear the second HUP before
    foo.wait_log(is_down);
    foo.exit();
}

#[test]
fn signals_go_to_the_group_of_a_service_that_wants_it_so_and_to_nobody_else() {
    let tree = Tree::new();
    let run = r#"trap 'say run got HUP' HUP
        sh -c 'trap "echo child got HUP >$EAR" HUP; echo child >"$EAR"; while :; do sleep 1000 & wait $!; kill $!; done' &
        say run; while :; do wait; done"#;
    let log = "trap 'say log got HUP' HUP; say log; while :; do sleep 1000 >/dev/null 2>&1 & wait $!; kill $!; done";
    let foo = tree.service("foo").run(run).log(log).file("kill-group", "").start();
    let mut heard = [tree.heard(), tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["child", "log", "run"]);
    foo.wait(is_running);
    foo.control(b"h");
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["child got HUP", "run got HUP"]);
    foo.wait_log(is_running);
    assert_eq!(tree.sv(&["stop", "foo"]).code, Some(0));
    assert_eq!(tree.heard_already(), None);
    // Where there is no such group, as the file came only later, the process gets the signal.
    fs::remove_file(tree.path("foo/kill-group")).unwrap();
    foo.control(b"u");
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["child", "run"]);
    foo.wait(is_running);
    fs::write(tree.path("foo/kill-group"), "").unwrap();
    foo.control(b"h");
    assert_eq!(tree.heard(), "run got HUP");
    foo.control(b"k");
    foo.control(b"d");
    foo.wait(is_down);
}

#[test]
fn what_does_not_stop_in_its_time_is_killed() {
    for byte in [b"d", b"x"] {
        let tree = Tree::new();
        let foo = tree.service("foo").run(DEAF).finish("say finish $1 $2").file("timeout-kill", "20\n").start_heard();
        assert_eq!(tree.heard(), "up");
        foo.wait(is_running);
        foo.control(byte);
        assert_eq!(tree.heard(), "runsv foo: warning: killing ./run, which did not end within timeout-kill");
        assert_eq!(tree.heard(), "finish -1 9");
        if byte == b"d" {
            foo.wait(is_down);
            foo.control(b"x");
        }
        assert_eq!(foo.ended().0.code(), Some(0));
        assert_eq!(tree.heard_already(), None);
    }
}

#[test]
fn a_time_to_stop_that_makes_no_sense_is_told_of_and_none() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(DEAF).file("timeout-kill", "soon\n").start_heard();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    foo.control(b"d");
    assert_eq!(tree.heard(), "runsv foo: warning: timeout-kill makes no sense");
    foo.wait(|status| status.got_term && status.want == Want::Down);
    fs::write(tree.path("foo/timeout-kill"), "1ms\n").unwrap();
    foo.control(b"d");
    assert_eq!(tree.heard(), "runsv foo: warning: killing ./run, which did not end within timeout-kill");
    foo.wait(is_down);
    foo.exit();
}

#[test]
fn a_finish_that_takes_too_long_is_killed() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exit 1").finish("exec sleep 1000").file("timeout-finish", "20");
    let foo = foo.file("down", "").start_heard();
    foo.wait(is_down);
    foo.control(b"o");
    assert_eq!(tree.heard(), "up");
    assert_eq!(tree.heard(), "runsv foo: warning: killing ./finish, which did not end within timeout-finish");
    foo.wait(is_down);
    foo.exit();
}

#[test]
fn a_stop_that_was_under_way_is_limited_by_the_successor_too() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(DEAF).file("timeout-kill", "1h").start();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    foo.control(b"d");
    foo.wait(|status| status.got_term);
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGKILL).unwrap();
    foo.ended();
    fs::write(tree.path("foo/timeout-kill"), "1").unwrap();
    let foo = tree.service("foo").start_heard();
    assert_eq!(tree.heard(), "runsv foo: warning: killing ./run, which did not end within timeout-kill");
    foo.wait(is_down);
    foo.exit();
}
