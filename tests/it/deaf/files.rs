//! Files of `supervise/` that are taken away or replaced while a supervisor lives: it puts all in place again.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use homerun::model::status::State;

use crate::support::*;

use super::{runs, status, wait_reason};

const STAY: &str = "say up; exec sleep 1000";
const FILES: [&str; 6] = ["control", "lock", "ok", "pid", "stat", "status"];

/// Waits until `supervise` is whole: the FIFOs are such and have their reader, and the record says that it runs.
fn wait_until_whole(tree: &Tree, foo: &Running, supervise: &str) {
    let supervise = foo.directory.join(supervise);
    let is_fifo = |name: &str| fs::metadata(supervise.join(name)).is_ok_and(|found| found.file_type().is_fifo());
    let is_file = |name: &str| fs::symlink_metadata(supervise.join(name)).is_ok_and(|found| found.is_file());
    tree.wait_in(supervise.parent().unwrap(), || supervise.is_dir().then_some(()));
    tree.wait_in(&supervise, || {
        let is_whole = is_fifo("control") && is_fifo("ok") && ["lock", "pid", "stat"].into_iter().all(is_file);
        (is_whole && is_file("status")).then_some(())
    });
    tree.wait_status(&supervise, runs);
}

/// What may come in the place of a file; `None` where it is only taken away.
fn odd(kind: &str, path: &Path) {
    match kind {
        "nothing" => {}
        "file" => fs::write(path, "odd").unwrap(),
        "directory" => fs::create_dir(path).unwrap(),
        "dangling" => symlink("nowhere", path).unwrap(),
        "device" => symlink("/dev/null", path).unwrap(),
        "fifo" => homerun::sys::file::make_fifo(path, 0o600).unwrap(),
        _ => drop(UnixListener::bind(path).unwrap()),
    }
}

#[test]
fn whatever_comes_in_the_place_of_files_of_supervise_a_supervisor_is_not_deaf_for_long() {
    let tree = Tree::new();
    let kinds = ["nothing", "file", "directory", "dangling", "device", "fifo", "socket"];
    let services = kinds.map(|kind| {
        let foo = tree.service(kind).run(STAY).start();
        assert_eq!(tree.heard(), "up");
        let pid = foo.wait(runs).pid;
        for name in FILES {
            let path = foo.directory.join("supervise").join(name);
            fs::remove_file(&path).unwrap();
            odd(kind, &path);
        }
        (foo, pid)
    });
    for (foo, pid) in services {
        wait_until_whole(&tree, &foo, "supervise");
        assert_eq!(foo.record("stat"), "run\n");
        assert_eq!(foo.record("pid"), format!("{pid}\n"));
        foo.control(b"d");
        foo.wait(|status| status.state == State::Down);
        let (ended, said) = foo.exit();
        assert!(ended.success());
        assert!(said.ends_with("supervise was changed by somebody: all is put in place again\n"), "{said}");
    }
}

#[test]
fn files_that_others_are_renamed_over_are_put_in_place_again() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    let pid = foo.wait(runs).pid;
    let supervise = foo.directory.join("supervise");
    for name in FILES {
        fs::write(tree.path("other"), "odd").unwrap();
        fs::rename(tree.path("other"), supervise.join(name)).unwrap();
    }
    wait_until_whole(&tree, &foo, "supervise");
    assert_eq!(foo.wait(runs).pid, pid);
    assert_eq!(status(&tree), "run: foo: (pid N) Ns\n");
}

#[test]
fn a_fifo_that_is_made_in_the_place_of_the_old_one_keeps_its_mode_and_one_that_is_made_again_has_the_old_ones() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    foo.wait(runs);
    let supervise = foo.directory.join("supervise");
    let mode = |name: &str| fs::metadata(supervise.join(name)).unwrap().permissions().mode() & 0o7777;
    fs::set_permissions(&supervise, fs::Permissions::from_mode(0o750)).unwrap();
    fs::set_permissions(supervise.join("ok"), fs::Permissions::from_mode(0o620)).unwrap();
    fs::remove_dir_all(&supervise).unwrap();
    wait_until_whole(&tree, &foo, "supervise");
    assert_eq!((mode("."), mode("ok"), mode("control")), (0o750, 0o620, 0o600));
    fs::remove_file(supervise.join("control")).unwrap();
    homerun::sys::file::make_fifo(&supervise.join("control"), 0o600).unwrap();
    fs::set_permissions(supervise.join("control"), fs::Permissions::from_mode(0o660)).unwrap();
    let made = fs::metadata(supervise.join("control")).unwrap().ino();
    tree.wait_in(&supervise, || homerun::sys::file::open_write(supervise.join("control")).ok().map(drop));
    assert_eq!((mode("control"), fs::metadata(supervise.join("control")).unwrap().ino()), (0o660, made));
    foo.control(b"d");
    foo.wait(|status| status.state == State::Down);
}

#[test]
fn what_cannot_be_removed_is_said_and_all_is_well_once_it_is_gone() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    foo.wait(runs);
    let control = foo.directory.join("supervise/control");
    fs::remove_file(&control).unwrap();
    fs::create_dir_all(control.join("full")).unwrap();
    wait_reason(&tree, &foo, "supervise", Some("supervise/control exists but is not a fifo"));
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, supervise/control exists but is not a fifo\n");
    fs::remove_dir_all(&control).unwrap();
    wait_until_whole(&tree, &foo, "supervise");
    wait_reason(&tree, &foo, "supervise", None);
    let (ended, said) = foo.exit();
    assert!(ended.success());
    let warning = "runsv foo: warning: supervise/control exists but is not a fifo";
    assert_eq!(said.lines().filter(|line| *line == warning).count(), 1, "{said}");
}

#[test]
fn supervise_that_was_removed_is_made_again_and_commands_are_obeyed() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).log("say log; exec cat >/dev/null").start();
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["log", "up"]);
    let (pid, log) = (foo.wait(runs).pid, foo.wait_log(runs).pid);
    for supervise in ["supervise", "log/supervise"] {
        fs::remove_dir_all(foo.directory.join(supervise)).unwrap();
    }
    for supervise in ["supervise", "log/supervise"] {
        wait_until_whole(&tree, &foo, supervise);
    }
    assert_eq!((foo.wait(runs).pid, foo.wait_log(runs).pid), (pid, log));
    foo.control_log(b"t");
    assert_eq!(tree.heard(), "log");
    foo.control(b"t");
    assert_eq!(tree.heard(), "up");
    assert_ne!(foo.wait(|status| runs(status) && status.pid != pid).pid, pid);
}

#[test]
fn supervise_that_was_moved_away_or_led_elsewhere_is_made_again() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    let pid = foo.wait(runs).pid;
    let supervise = foo.directory.join("supervise");
    fs::rename(&supervise, foo.directory.join("aside")).unwrap();
    wait_until_whole(&tree, &foo, "supervise");
    fs::rename(&supervise, tree.path("away")).unwrap();
    symlink(tree.path("elsewhere"), &supervise).unwrap();
    tree.wait_in(&tree.path(""), || supervise.is_dir().then_some(()));
    wait_until_whole(&tree, &foo, "supervise");
    assert!(tree.path("elsewhere/control").exists());
    assert_eq!(foo.wait(runs).pid, pid);
    foo.control(b"d");
    foo.wait(|status| status.state == State::Down);
}

#[test]
fn a_file_in_the_place_of_supervise_is_left_there_and_all_is_well_once_it_is_gone() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start_heard();
    assert_eq!(tree.heard(), "up");
    foo.wait(runs);
    let supervise = foo.directory.join("supervise");
    fs::rename(&supervise, foo.directory.join("aside")).unwrap();
    fs::write(&supervise, "mine").unwrap();
    assert_eq!(tree.heard(), "runsv foo: warning: unable to open supervise/lock: not a directory");
    fs::remove_file(&supervise).unwrap();
    wait_until_whole(&tree, &foo, "supervise");
    assert_eq!(tree.heard(), "runsv foo: warning: supervise was changed by somebody: all is put in place again");
}

#[test]
fn another_supervisor_is_kept_out_also_while_supervise_is_gone() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(runs).pid;
    for _ in 0..3 {
        fs::remove_dir_all(foo.directory.join("supervise")).unwrap();
        let second = tree.run("runsv", &["foo"]);
        let refused = "runsv foo: fatal: unable to lock supervise/lock: temporary failure\n";
        assert!(second.stderr.ends_with(refused) && second.code == Some(111), "{second:?}");
        wait_until_whole(&tree, &foo, "supervise");
    }
    assert_eq!(tree.heard_already(), None);
    assert_eq!(foo.wait(runs).pid, pid);
}

#[test]
fn the_next_supervisor_goes_on_with_the_service_although_supervise_was_removed() {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run(STAY).start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(runs).pid;
    fs::remove_dir_all(foo.directory.join("supervise")).unwrap();
    wait_until_whole(&tree, &foo, "supervise");
    foo.child.kill().unwrap();
    foo.child.wait().unwrap();
    let next = tree.service("foo").start();
    assert_eq!(next.wait(runs).pid, pid);
    assert_eq!(tree.heard_already(), None);
}
