//! The reason why a service is not as it is wanted: where it is found, and when it goes.

use std::fs;

use homerun::model::status::State;

use crate::support::*;
use crate::sv::comparable;

use super::{runs, status, wait_reason};

const STAY: &str = "exec sleep 1000";

#[test]
fn status_says_why_a_service_does_not_run_until_it_does() {
    let tree = Tree::new();
    let foo = tree.service("foo").start();
    wait_reason(&tree, &foo, "supervise", Some("unable to start ./run: file does not exist"));
    foo.wait(|status| status.state == State::Down);
    let reason = "down: foo: Ns, normally up, want up, unable to start ./run: file does not exist\n";
    assert_eq!(status(&tree), reason);
    let late = comparable(tree.sv(&["-w", "0", "start", "foo"]));
    assert_eq!((late.stdout, late.code), (format!("timeout: {reason}"), Some(1)));
    tree.service("foo").run(STAY);
    foo.wait(runs);
    assert_eq!(status(&tree), "run: foo: (pid N) Ns\n");
    assert!(!foo.directory.join("supervise/reason").exists());
}

#[test]
fn a_service_that_shall_not_run_has_no_reason_for_that() {
    let tree = Tree::new();
    let foo = tree.service("foo").start();
    wait_reason(&tree, &foo, "supervise", Some("unable to start ./run: file does not exist"));
    foo.control(b"d");
    wait_reason(&tree, &foo, "supervise", None);
    foo.wait(|status| status.state == State::Down);
    assert_eq!(status(&tree), "down: foo: Ns, normally up\n");
    assert!(foo.exit().0.success());
}

#[test]
fn a_log_service_has_reasons_of_its_own_and_what_follows_it_on_the_line_stays_apart() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("log/run", "").mode("log/run", 0o644).start();
    wait_reason(&tree, &foo, "supervise", Some("unable to start ./run: file does not exist"));
    wait_reason(&tree, &foo, "log/supervise", Some("unable to start log/./run: access denied: it is not executable"));
    foo.wait_log(|status| status.state == State::Down);
    let said = status(&tree);
    let (main, log) = said.split_once("; ").unwrap();
    assert_eq!(main, "down: foo: Ns, normally up, want up, unable to start ./run: file does not exist");
    assert_eq!(
        log,
        "down: log: Ns, normally up, want up, unable to start log/./run: access denied: it is not executable\n"
    );
}

#[test]
fn a_reason_of_a_supervisor_before_is_not_believed_and_none_is_left() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).file("supervise/reason", "long ago\n").start();
    foo.wait(runs);
    assert_eq!(status(&tree), "run: foo: (pid N) Ns\n");
    fs::remove_file(foo.directory.join("run")).unwrap();
    foo.control(b"t");
    wait_reason(&tree, &foo, "supervise", Some("unable to start ./run: file does not exist"));
    let supervise = foo.directory.join("supervise");
    assert!(foo.exit().0.success());
    assert!(!supervise.join("reason").exists());
}

#[test]
fn records_that_cannot_be_written_are_a_reason() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    foo.wait(runs);
    let stat = foo.directory.join("supervise/stat");
    fs::remove_file(&stat).unwrap();
    fs::create_dir(&stat).unwrap();
    foo.control(b"d");
    wait_reason(&tree, &foo, "supervise", Some("unable to rename stat.new to supervise/stat: is a directory"));
    foo.wait(|status| status.state == State::Down);
    fs::remove_dir(&stat).unwrap();
    wait_reason(&tree, &foo, "supervise", None);
    assert_eq!(foo.record("stat"), "down\n");
}

#[test]
fn a_hook_that_had_to_be_killed_is_a_reason_until_the_next_one() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("trap '' HUP; say up; while :; do sleep 1000; done");
    let foo = foo.script("control/h", "say hook; exec sleep 1000").start();
    assert_eq!(tree.heard(), "up");
    foo.control(b"h");
    assert_eq!(tree.heard(), "hook");
    foo.control(b"k");
    let reason = "control/h was killed: it took too long or was in the way";
    wait_reason(&tree, &foo, "supervise", Some(reason));
    assert_eq!(tree.heard(), "up");
    tree.service("foo").script("control/h", "exit 0");
    foo.control(b"h");
    wait_reason(&tree, &foo, "supervise", None);
}
