//! A log service that hangs, dies in a loop or is missing: its service goes on, and what is lost is counted.

use std::fs;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// How often to look at what nobody tells.
const LOOK: Duration = Duration::from_millis(10);

/// Several times what a pipe holds, in numbered lines, told of when all are written.
const WRITER: &str =
    "i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo \"line $i ..........................................\
    ..........................................................................................\"; done
    say written; exec sleep 1000";

/// Hangs as long as there is a file `hang`, and reads then.
const READER: &str = "[ ! -e hang ] || exec sleep 1000; exec cat >>lines";

/// The numbered lines that are in the log, and how many it says were dropped. Every line is whole, and in order.
fn read_log(directory: &Path) -> (usize, usize) {
    let text = fs::read_to_string(directory.join("log/lines")).unwrap();
    let (mut last, mut found, mut dropped) = (0, 0, 0);
    for line in text.lines() {
        match line.strip_prefix("line ") {
            Some(rest) => {
                let number = rest.split(' ').next().unwrap().parse().unwrap();
                assert!(number > last && rest.ends_with("......"), "after {last}: {line:?}");
                (last, found) = (number, found + 1);
            }
            None => match line.strip_prefix("runsv: warning: ").and_then(|rest| rest.split_once(" lines of ")) {
                Some((count, rest)) => {
                    assert!(rest.ends_with(" bytes were dropped: ./log/run did not read"), "{line:?}");
                    dropped += count.parse::<usize>().unwrap();
                }
                None => panic!("what is {line:?}?"),
            },
        }
    }
    (found, dropped)
}

fn reason(directory: &Path) -> String {
    fs::read_to_string(directory.join("log/supervise/reason")).unwrap_or_default()
}

#[test]
fn a_log_service_that_hangs_costs_lines_but_not_its_service_and_the_log_says_how_many() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("log/hang", "").file("timeout-log", "50").log(READER).run(WRITER).start();
    assert_eq!(tree.heard(), "written");
    let log = foo.directory.join("log/supervise");
    tree.wait_in(&log, || reason(&foo.directory).starts_with("does not read: ").then_some(()));
    let status = tree.sv(&["status", "foo"]).stdout;
    assert!(status.contains("; run: log: ") && status.contains(", does not read: "), "{status:?}");
    fs::remove_file(foo.directory.join("log/hang")).unwrap();
    foo.control_log(b"t");
    // It reads what is left, and its supervisor sees that.
    tree.wait_in(&log, || reason(&foo.directory).is_empty().then_some(()));
    let directory = foo.directory.clone();
    let (status, said) = foo.exit();
    assert_eq!(status.code(), Some(0));
    let (found, dropped) = read_log(&directory);
    assert!(dropped > 0);
    assert_eq!(found + dropped, 3000);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said[0], "runsv foo: warning: ./log/run does not read: lines are dropped");
    assert!(
        said[1].starts_with(&format!("runsv foo: warning: ./log/run reads again: {dropped} lines of ")),
        "{said:?}"
    );
    assert_eq!(said.len(), 2);
    assert!(!directory.join("log/supervise/dropped").exists());
}

#[test]
fn a_log_service_that_cannot_be_started_costs_lines_but_not_its_service() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("timeout-log", "50").file("log/hang", "").run(WRITER).start();
    assert_eq!(tree.heard(), "written");
    let directory = foo.directory.clone();
    tree.service("foo").log("exec cat >>lines");
    foo.control_log(b"u");
    foo.wait_log(|status| status.pid != 0 && directory.join("log/lines").exists());
    assert_eq!(foo.exit().0.code(), Some(0));
    let (found, dropped) = read_log(&directory);
    assert!(dropped > 0);
    assert_eq!(found + dropped, 3000);
}

#[test]
fn what_a_supervisor_that_was_killed_had_dropped_its_successor_tells() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("log/hang", "").file("timeout-log", "50").log(READER).run(WRITER).start();
    assert_eq!(tree.heard(), "written");
    let log = foo.directory.join("log/supervise");
    tree.wait_in(&log, || log.join("dropped").exists().then_some(()));
    // Nothing is written any more: a command that was obeyed comes after the last lines that were dropped.
    foo.control(b"p");
    foo.wait(|status| status.paused);
    foo.control(b"c");
    foo.wait(|status| !status.paused);
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGKILL).unwrap();
    foo.ended();
    let foo = tree.service("foo").start();
    fs::remove_file(foo.directory.join("log/hang")).unwrap();
    foo.control_log(b"t");
    let directory = foo.directory.clone();
    foo.wait_log(|status| status.pid != 0 && directory.join("log/lines").exists());
    assert_eq!(foo.exit().0.code(), Some(0));
    let (found, dropped) = read_log(&directory);
    assert!(dropped > 0);
    assert_eq!(found + dropped, 3000);
}

/// Two lines for the log.
const BRIEF: &str = "echo one; echo two; say written; exec sleep 1000";

#[test]
fn what_the_log_service_did_not_read_before_the_exit_it_reads_after_it() {
    for (name, log) in [("down", READER), ("failing", "[ -e fail ] && exit 1; exec cat >>lines"), ("missing", "")] {
        let tree = Tree::new();
        let foo = tree.service("foo").file("log/fail", "").run(BRIEF);
        let foo = if name == "down" { foo.file("log/down", "") } else { foo };
        let foo = if name == "missing" { foo } else { foo.log(log) };
        let foo = foo.start();
        assert_eq!(tree.heard(), "written", "{name}");
        let directory = foo.directory.clone();
        let (status, said) = foo.exit();
        let said = said.lines().last().unwrap_or_default();
        let kept = "runsv foo: warning: 8 bytes that ./log/run did not read are kept in supervise/unread";
        assert_eq!((status.code(), said), (Some(0), kept), "{name}");
        assert_eq!(fs::read_to_string(directory.join("supervise/unread")).unwrap(), "one\ntwo\n", "{name}");
        // Nothing is new the next time; nor is what is kept forgotten.
        fs::write(directory.join("down"), "").unwrap();
        let _ = fs::remove_file(directory.join("log/down"));
        fs::remove_file(directory.join("log/fail")).unwrap();
        let foo = tree.service("foo").log(READER).start();
        foo.wait_log(|status| status.pid != 0);
        let (status, said) = foo.exit();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{name}");
        assert_eq!(fs::read_to_string(directory.join("log/lines")).unwrap(), "one\ntwo\n", "{name}");
        assert!(!directory.join("supervise/unread").exists(), "{name}");
    }
}

#[test]
fn what_can_neither_be_read_nor_kept_is_counted() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("log/down", "").file("supervise/unread/in the way", "").log(READER).run(BRIEF);
    let foo = foo.start();
    assert_eq!(tree.heard(), "written");
    let directory = foo.directory.clone();
    let (status, said) = foo.exit();
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(status.code(), Some(0));
    assert_eq!(
        said,
        [
            "runsv foo: warning: unable to read supervise/unread: is a directory",
            "runsv foo: warning: unable to open supervise/unread: is a directory",
            "runsv foo: warning: 2 lines of 8 bytes were dropped: ./log/run does not read"
        ]
    );
    fs::write(directory.join("down"), "").unwrap();
    fs::remove_file(directory.join("log/down")).unwrap();
    let foo = tree.service("foo").start();
    foo.wait_log(|status| status.pid != 0);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(read_log(&directory), (0, 2));
}

/// Twice as many lines as fill a pipe, which may be small.
const FILLER: &str =
    "i=0; while [ $i -lt 128 ]; do i=$((i+1)); printf '%01023d\\n' $i; done; say written; exec sleep 1000";

/// Until whoever writes to the log pipe waits, which nobody tells.
fn wait_until_full(foo: &Path) {
    let pipe = homerun::sys::file::open_read_write(foo.join("supervise/pipe")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while homerun::sys::fd::has_room(pipe.as_fd()) {
        assert!(Instant::now() < deadline, "the pipe does not fill");
        thread::sleep(LOOK);
    }
}

/// Until a log service that began to hang just now costs lines.
fn wait_for_another(tree: &Tree) {
    let bar = tree.service("bar").file("log/hang", "").file("timeout-log", "20").log(READER).run(FILLER).start();
    tree.wait_in(&bar.directory.join("log/supervise"), || (!reason(&bar.directory).is_empty()).then_some(()));
    assert_eq!(tree.heard(), "written");
}

#[test]
fn whoever_stops_or_pauses_the_log_service_or_says_so_in_a_file_has_chosen_to_wait() {
    for (name, limit, stop, go) in
        [("down", "20", b"d", &b"u"[..]), ("paused", "20", b"p", b"tc"), ("said", "0", b"a", b"t")]
    {
        let tree = Tree::new();
        let foo = tree.service("foo").file("timeout-log", limit).file("log/hang", "").file("down", "");
        let foo = foo.log(READER).run(FILLER).start();
        foo.wait_log(|status| status.pid != 0);
        foo.control_log(stop);
        foo.wait_log(|status| name == "said" || status.paused || status.pid == 0);
        foo.control(b"u");
        wait_until_full(&foo.directory);
        wait_for_another(&tree);
        let _ = fs::remove_file(foo.directory.join("log/hang"));
        fs::write(foo.directory.join("timeout-log"), "1h").unwrap();
        foo.control_log(go);
        assert_eq!(tree.heard(), "written", "{name}");
        let directory = foo.directory.clone();
        let (status, said) = foo.exit();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{name}");
        assert_eq!(fs::read_to_string(directory.join("log/lines")).unwrap().lines().count(), 128, "{name}");
    }
}

#[test]
fn a_pipe_that_is_full_at_the_exit_is_kept_whole() {
    let tree = Tree::new();
    let run = "i=0; while :; do i=$((i+1)); printf 'line %d%01000d......\\n' $i 0; done";
    let foo = tree.service("foo").file("log/down", "").log(READER).run(&run.replace("%d%", "%d %")).start();
    let directory = foo.directory.clone();
    wait_until_full(&directory);
    assert_eq!(foo.exit().0.code(), Some(0));
    let lines = fs::read_to_string(directory.join("supervise/unread")).unwrap().lines().count();
    fs::write(directory.join("down"), "").unwrap();
    fs::remove_file(directory.join("log/down")).unwrap();
    let foo = tree.service("foo").start();
    foo.wait_log(|status| status.pid != 0);
    assert_eq!(foo.exit().0.code(), Some(0));
    // Whoever has many pipes gets small ones.
    let (found, dropped) = read_log(&directory);
    assert!(lines > 0);
    assert_eq!(found + dropped, lines);
}
