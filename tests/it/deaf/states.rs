//! Services and supervisors that are stopped, stuck, ended unseen or deaf to TERM: the status names it.

use std::process::Command;
use std::time::Instant;

use homerun::sys::proc;
use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::*;
use crate::sv::comparable;

use super::{runs, status};

/// Waits until a process is in this state, which nothing tells of.
fn wait_state(pid: i32, state: char) {
    let deadline = Instant::now() + PATIENCE;
    while proc::look(pid).is_none_or(|look| look.state != state) {
        assert!(Instant::now() < deadline, "process {pid} is not in state {state}");
        std::thread::yield_now();
    }
}

#[test]
fn a_service_that_somebody_else_stopped_is_said_to_be_stopped_and_one_that_was_paused_is_not() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").start();
    let pid = foo.wait(runs).pid;
    send(pid, Signal::SIGSTOP).unwrap();
    wait_state(pid, 'T');
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, stopped by a signal\n");
    send(pid, Signal::SIGCONT).unwrap();
    wait_state(pid, 'S');
    assert_eq!(status(&tree), "run: foo: (pid N) Ns\n");
    foo.control(b"p");
    foo.wait(|status| status.paused);
    wait_state(pid, 'T');
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, paused\n");
}

#[test]
fn a_supervisor_that_is_stopped_is_named_and_so_is_a_service_whose_end_it_does_not_notice() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").start();
    let pid = foo.wait(runs).pid;
    let runsv = i32::try_from(foo.child.id()).unwrap();
    send(runsv, Signal::SIGSTOP).unwrap();
    wait_state(runsv, 'T');
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, runsv is stopped: process N\n");
    send(pid, Signal::SIGKILL).unwrap();
    wait_state(pid, 'Z');
    let said = "run: foo: (pid N) Ns, ended, which runsv has not noticed, runsv is stopped: process N\n";
    assert_eq!(status(&tree), said);
    let late = tree.sv(&["-w", "0", "stop", "foo"]);
    assert!(late.code == Some(1) && late.stdout.ends_with(&format!("runsv is stopped: process {runsv}\n")), "{late:?}");
    send(runsv, Signal::SIGCONT).unwrap();
    assert_eq!(tree.sv(&["-w", "30", "start", "foo"]).code, Some(0));
    // The stop comes first, and may be seen.
    let is_well = || foo.record("pid").trim() != pid.to_string() && status(&tree) == "run: foo: (pid N) Ns\n";
    tree.wait_in(&foo.directory.join("supervise"), || is_well().then_some(()));
}

#[test]
fn the_stopped_supervisor_of_a_log_service_is_named_with_its_service_or_where_only_that_is_asked_for() {
    let tree = Tree::new();
    let [foo, log] =
        ["foo", "log"].map(|name| tree.service(name).run("exec sleep 1000").log("exec cat >/dev/null").start());
    for service in [&foo, &log] {
        service.wait(runs);
        service.wait_log(runs);
        let runsv = i32::try_from(service.child.id()).unwrap();
        send(runsv, Signal::SIGSTOP).unwrap();
        wait_state(runsv, 'T');
    }
    for (name, shown) in [
        ("foo", "run: foo: (pid N) Ns, runsv is stopped: process N; run: log: (pid N) Ns\n"),
        ("log", "run: log: (pid N) Ns, runsv is stopped: process N; run: log: (pid N) Ns\n"),
        ("foo/log", "run: foo/log: (pid N) Ns, runsv is stopped: process N\n"),
    ] {
        assert_eq!(comparable(tree.sv(&["status", name])), says(shown), "{name}");
    }
    for service in [&foo, &log] {
        send(i32::try_from(service.child.id()).unwrap(), Signal::SIGCONT).unwrap();
    }
}

#[test]
fn a_service_that_outlives_term_is_named_with_how_it_takes_it() {
    let tree = Tree::new();
    let end = "say up; while :; do sleep 1000 & wait; done";
    for (trap, said) in [("''", "ignores TERM for Ns"), (":", "runs on for Ns after TERM")] {
        let foo = tree.service("foo").run(&format!("trap {trap} TERM; {end}")).start();
        assert_eq!(tree.heard(), "up");
        foo.control(b"t");
        foo.wait(|status| status.got_term);
        let record = foo.directory.join("supervise/status");
        let aged = Command::new("touch").args(["-d", "1 minute ago"]).arg(record).status().unwrap();
        assert!(aged.success());
        assert_eq!(status(&tree), format!("run: foo: (pid N) Ns, got TERM, {said}\n"));
        foo.control(b"kx");
        assert!(foo.ended().0.success());
    }
}

/// One that waits for its child of vfork(2) cannot be woken: here until somebody writes into the FIFO that the child opens.
#[test]
fn a_service_that_is_stuck_in_the_kernel_is_named() {
    if !has("python3") {
        return;
    }
    let tree = Tree::new();
    let python = "import os; os.posix_spawn('/bin/true', ['true'], {}, \
        file_actions=[(os.POSIX_SPAWN_OPEN, 9, 'gate', os.O_RDONLY, 0)])";
    let foo = tree.service("foo").run(&format!("exec python3 -c \"{python}\""));
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = foo.start();
    let pid = foo.wait(runs).pid;
    // Before it has made that child, it may wait for its disk now and then.
    let deadline = Instant::now() + PATIENCE;
    while !proc::relations().iter().any(|it| it.parent == pid) {
        assert!(Instant::now() < deadline, "process {pid} has no child");
        std::thread::yield_now();
    }
    wait_state(pid, 'D');
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, stuck in the kernel\n");
}
