//! What upstream's own checks go through with each program, told again, for ours and for C runit.
//!
//! What each prints without arguments and for `-V`, and chpst's options, are in the tests of each program.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use homerun::model::status::State;

use crate::support::*;

/// Our programs, and C runit's where it is.
fn each() -> Vec<PathBuf> {
    std::iter::once(programs().to_owned()).chain(runit()).collect()
}

fn runs(status: &homerun::model::status::Status) -> bool {
    status.state == State::Run && status.pid != 0
}

#[test]
fn a_hook_that_fails_is_heard_at_a_restart_and_at_the_exit() {
    for programs in each() {
        let tree = Tree::with(&programs);
        let foo = tree.service("foo").run("say start; exec sleep 1000").script("control/t", "say hook; exit 1").start();
        assert_eq!(tree.heard(), "start");
        foo.wait(runs);
        assert_eq!(foo.record("stat"), "run\n");
        foo.control(b"t\n"); // as echo writes it
        assert_eq!([tree.heard(), tree.heard()], ["hook", "start"]);
        foo.wait(runs);
        foo.control(b"x\n");
        assert_eq!(tree.heard(), "hook");
        let (status, said) = foo.ended();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    }
}

#[test]
fn a_hook_that_stands_in_for_a_signal_writes_into_the_log_in_order() {
    for programs in each() {
        let tree = Tree::with(&programs);
        let foo =
            tree.service("foo").run("echo start; say up; exec sleep 1000").script("control/i", "echo hook; say hook");
        let foo = foo.script("control/x", "echo exit; exit 1").log("exec cat >../log.txt").start();
        assert_eq!(tree.heard(), "up");
        let pid = foo.wait(runs).pid;
        foo.control(b"i");
        assert_eq!(tree.heard(), "hook");
        foo.control(b"x");
        let directory = foo.directory.clone();
        assert_eq!(foo.ended().0.code(), Some(0));
        assert_eq!(fs::read_to_string(directory.join("log.txt")).unwrap(), "start\nhook\nexit\n");
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }
}

#[test]
fn both_supervise_directories_may_be_dangling_links_through_which_a_service_is_controlled() {
    for programs in each() {
        let tree = Tree::with(&programs);
        let service = tree.service("foo").run("say up; exec sleep 1000").log("exec cat >/dev/null");
        symlink("../main", tree.path("foo/supervise")).unwrap();
        symlink("../../other", tree.path("foo/log/supervise")).unwrap();
        let foo = service.start_unseen();
        assert_eq!(tree.heard(), "up"); // by then the targets are there
        foo.wait(runs);
        foo.wait_log(runs);
        for (target, stat) in [("main", "run\n"), ("other", "run\n")] {
            assert_eq!(fs::read_to_string(tree.path(target).join("stat")).unwrap(), stat);
        }
        fs::write(tree.path("main/control"), "d").unwrap();
        foo.wait(|status| status.state == State::Down && status.pid == 0);
        fs::write(tree.path("main/control"), "x").unwrap();
        assert_eq!(foo.ended().0.code(), Some(0));
    }
}

#[test]
fn sv_stops_a_service_and_then_its_supervisor() {
    for programs in each() {
        let tree = Tree::with(&programs);
        let foo = tree.service("foo").run("say up; exec sleep 1000").start();
        assert_eq!(tree.heard(), "up");
        foo.wait(runs);
        let path = foo.directory.to_str().unwrap().to_owned();
        assert_eq!(tree.run("sv", &["down", &path]), says(""));
        foo.wait(|status| status.state == State::Down && status.pid == 0);
        assert_eq!(foo.record("stat"), "down\n");
        assert_eq!(tree.run("sv", &["exit", &path]), says(""));
        let (status, said) = foo.ended();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    }
}

#[test]
fn sv_needs_neither_stat_nor_pid() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(runs).pid;
    for name in ["stat", "pid"] {
        fs::remove_file(foo.directory.join("supervise").join(name)).unwrap();
    }
    let shown = tree.sv(&["status", "foo"]);
    assert!(shown.code == Some(0) && shown.stdout.starts_with(&format!("run: foo: (pid {pid}) ")), "{shown:?}");
    let stopped = tree.sv(&["stop", "foo"]);
    assert!(stopped.code == Some(0) && stopped.stdout.starts_with("ok: down: foo: "), "{stopped:?}");
    assert!(foo.exit().0.success());
}

#[test]
fn svlogd_writes_appends_replaces_and_rotates_by_age() {
    for programs in each() {
        let tree = Tree::with(&programs);
        let main = tree.directory("main");
        let write = |args: &[&str], lines: &str| {
            let mut child = tree.command("svlogd").args(args).arg(&main).stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
            assert_eq!(wait_for_end(&mut child).unwrap().code(), Some(0));
            fs::read_to_string(main.join("current")).unwrap()
        };
        assert_eq!(write(&[], "foo\n"), "foo\n");
        assert_eq!(write(&[], "bar\nbaz\n"), "foo\nbar\nbaz\n");
        assert_eq!(write(&["-r", ":", "-R", "fb"], "foo bar\n"), "foo\nbar\nbaz\n:oo :ar\n");
        fs::write(main.join("config"), "t1\n").unwrap();
        let mut child = tree.command("svlogd").arg(&main).stdin(Stdio::piped()).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"old\n").unwrap();
        tree.wait_in(&main, || {
            let is_empty = fs::metadata(main.join("current")).is_ok_and(|found| found.len() == 0);
            (is_empty
                && fs::read_dir(&main).unwrap().any(|it| it.unwrap().file_name().to_string_lossy().starts_with('@')))
            .then_some(())
        });
        drop(stdin);
        assert_eq!(wait_for_end(&mut child).unwrap().code(), Some(0));
    }
}
