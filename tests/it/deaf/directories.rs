//! Service directories that are renamed, removed or replaced as a package upgrade does, in both trees and in none.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use homerun::model::status::State;
use homerun::sys::signal::Signal;

use crate::support::*;

use super::runs;

#[test]
fn a_supervisor_whose_directory_is_renamed_is_controlled_by_the_new_name() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").start();
    let pid = foo.wait(runs).pid;
    fs::rename(&foo.directory, tree.path("bar")).unwrap();
    assert_eq!(tree.sv(&["-w", "30", "stop", "bar"]).code, Some(0));
    wait_until_gone(pid);
    assert_eq!(tree.sv(&["-w", "30", "exit", "bar"]).code, Some(0));
}

#[test]
fn a_supervisor_whose_directory_is_removed_lives_keeps_its_service_and_ends_it_when_told() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").start_heard();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(runs).pid;
    fs::remove_dir_all(&foo.directory).unwrap();
    assert_eq!(tree.heard(), "runsv foo: warning: service directory is gone");
    assert!(tree.processes().contains(&pid));
    homerun::sys::process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
    wait_until_gone(pid);
    let mut foo = foo;
    assert!(wait_for_end(&mut foo.child).unwrap().success());
}

/// A tree of ours, and trees in which each of `others` is the original's.
fn sets(others: &[&str]) -> Vec<Tree> {
    let mut sets = vec![Tree::new()];
    let Some(runit) = runit() else { return sets };
    for name in others {
        let tree = Tree::with_own_programs();
        fs::remove_file(tree.path("bin").join(name)).unwrap();
        let copied = Command::new("cp").arg(runit.join(name)).arg(tree.path("bin")).status().unwrap();
        assert!(copied.success());
        sets.push(tree);
    }
    sets
}

/// A package that is installed anew, by way of `replace`, behind the link that the tree has: the old service ends, the new
/// one starts, and it can be controlled.
fn upgrade(others: &[&str], replace: impl Fn(&Tree, &Path)) {
    for tree in sets(others) {
        let services = tree.directory("services");
        let old = tree.service("sv/foo").run("say old; exec sleep 1000").made();
        std::os::unix::fs::symlink(&old, services.join("foo")).unwrap();
        let mut runsvdir = tree.command("runsvdir").arg(&services).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(tree.heard(), "old");
        let pid = tree.wait_status(&services.join("foo/supervise"), runs).pid;
        tree.service("new/foo").run("say new; exec sleep 1000");
        replace(&tree, &old);
        assert_eq!(tree.heard(), "new");
        wait_until_gone(pid);
        let status = tree.wait_status(&services.join("foo/supervise"), runs);
        assert_ne!(status.pid, pid);
        let sv = |word: &str| Outcome::of(tree.command("sv").env("SVDIR", &services).args(["-w", "30", word, "foo"]));
        assert_eq!(sv("stop").code, Some(0));
        tree.wait_status(&services.join("foo/supervise"), |status| status.state == State::Down);
        homerun::sys::process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGHUP).unwrap();
        assert_eq!(wait_for_end(&mut runsvdir).unwrap().code(), Some(111));
    }
}

#[test]
fn a_package_upgrade_that_removes_the_directory_and_makes_it_again_replaces_the_service() {
    // The original's runsvdir looks every five seconds.
    upgrade(&["runsvdir", "runsv"], |tree, old| {
        fs::remove_dir_all(old).unwrap();
        fs::rename(tree.path("new/foo"), old).unwrap();
    });
}

#[test]
fn a_package_upgrade_that_moves_the_directory_aside_replaces_the_service() {
    upgrade(&["runsv"], |tree, old| {
        fs::rename(old, tree.path("sv/foo.old")).unwrap();
        fs::rename(tree.path("new/foo"), old).unwrap();
    });
}

#[test]
fn a_package_upgrade_that_replaces_files_leaves_the_service_alone_until_it_is_restarted() {
    for tree in sets(&["runsv"]) {
        let services = tree.directory("services");
        tree.service("services/foo").run("say old; exec sleep 1000");
        let mut runsvdir = tree.command("runsvdir").arg(&services).stderr(Stdio::null()).spawn().unwrap();
        assert_eq!(tree.heard(), "old");
        tree.wait_status(&services.join("foo/supervise"), runs);
        tree.service("new").run("say new; exec sleep 1000");
        fs::rename(tree.path("new/run"), services.join("foo/run")).unwrap();
        fs::write(services.join("foo/supervise/control"), "t").unwrap();
        assert_eq!(tree.heard(), "new");
        homerun::sys::process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGHUP).unwrap();
        assert_eq!(wait_for_end(&mut runsvdir).unwrap().code(), Some(111));
    }
}
