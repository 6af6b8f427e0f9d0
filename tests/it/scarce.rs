//! Limits of the system itself: no descriptors, no memory. What runs goes on, and what could not be done is done later.

use std::process::Command;
use std::time::Instant;

use homerun::model::status::{State, Status, Want};
use homerun::sys::signal::Signal;
use homerun::sys::{proc, process};

use crate::support::*;

/// Sets a soft limit of a running process.
fn limit(running: &Running<'_>, what: &str, value: &str) {
    let pid = running.child.id().to_string();
    let output = Command::new("prlimit").args(["--pid", &pid, &format!("--{what}={value}:")]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn runs(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

#[test]
fn a_supervisor_at_its_limit_of_descriptors_obeys_and_records_it_once_there_are_some() {
    if !has("prlimit") {
        return;
    }
    let tree = Tree::new();
    let foo = tree.service("foo").run("trap 'say stopped; exit' TERM; say up; while :; do sleep 1000 & wait; done");
    let foo = foo.start_heard();
    assert_eq!(tree.heard(), "up");
    foo.wait(runs);
    limit(&foo, "nofile", "3");
    foo.control(b"d");
    let mut told = Vec::new();
    while !told.iter().any(|line| line == "stopped") || told.len() < 2 {
        told.push(tree.heard());
    }
    limit(&foo, "nofile", "64");
    foo.wait(|status| status.state == State::Down && status.want == Want::Down);
    foo.control(b"u");
    told.extend(std::iter::from_fn(|| Some(tree.heard()).filter(|line| line != "up")));
    // Besides what its stop looks for, of which it says that it cannot tell.
    let of_records: Vec<&String> = told.iter().filter(|line| line.contains("supervise/")).collect();
    assert_eq!(of_records, ["runsv foo: warning: unable to open supervise/stat.new: process cannot open more files"]);
    foo.exit();
}

#[test]
fn what_a_service_lets_go_of_is_not_overlooked_while_nothing_can_be_looked_at() {
    if !has("prlimit") {
        return;
    }
    let tree = Tree::new();
    let leave = "(setsid sh -c 'echo $$ >\"$EAR\"; exec sleep 1000' </dev/null >/dev/null 2>&1 &)";
    let foo = tree.service("foo").run(&format!("{leave}; exec sleep 1000")).start();
    let left: i32 = tree.heard().parse().unwrap();
    let main = foo.wait(runs).pid;
    limit(&foo, "nofile", "0");
    foo.control(b"d");
    wait_until_gone(main);
    // It is reaped, and what it has left is looked for, before there is a wait again.
    let runsv = i32::try_from(foo.child.id()).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while proc::state(main).is_some() || proc::state(runsv) != Some('S') {
        assert!(Instant::now() < deadline, "process {main} is not reaped");
        std::thread::yield_now();
    }
    limit(&foo, "nofile", "64");
    foo.wait(|status| status.state == State::Down);
    assert!(proc::state(left).is_none_or(|state| state == 'Z'), "process {left} lives on");
    foo.exit();
}

#[test]
fn a_supervisor_at_its_limit_of_memory_starts_its_service_again_once_there_is_some() {
    if !has("prlimit") {
        return;
    }
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").start_heard();
    assert_eq!(tree.heard(), "up");
    let first = foo.wait(runs);
    limit(&foo, "as", "4096");
    process::send(first.pid, Signal::SIGKILL).unwrap();
    // A new process can be had, as it shares its maker's memory; the program that it becomes has the limit, too, and dies.
    foo.wait(|status| status.state == State::Down);
    limit(&foo, "as", "unlimited");
    let told: Vec<String> = std::iter::from_fn(|| Some(tree.heard()).filter(|line| line != "up")).collect();
    assert!(told.iter().all(|line| line.contains("./run")), "{told:?}");
    assert_ne!(foo.wait(runs).pid, first.pid);
    foo.exit();
}

#[test]
fn a_supervisor_whose_files_may_not_have_a_byte_goes_on_and_records_it_later() {
    if !has("prlimit") {
        return;
    }
    let tree = Tree::new();
    let run = "trap 'say hup' HUP; ulimit -S -f unlimited; say up; while :; do sleep 1000 & wait; done";
    let foo = tree.service("foo").run(run).start_heard();
    assert_eq!(tree.heard(), "up");
    let first = foo.wait(runs);
    limit(&foo, "fsize", "0");
    foo.control(b"p");
    assert_eq!(tree.heard(), "runsv foo: warning: unable to write supervise/stat.new: file too big");
    limit(&foo, "fsize", "unlimited");
    foo.control(b"c");
    foo.control(b"h");
    assert_eq!(tree.heard(), "hup");
    assert_eq!(foo.wait(|status| runs(status) && !status.paused).pid, first.pid);
    foo.exit();
}
