//! A runsvdir after one that was killed: it watches the supervisors that live, and starts those that are missing.

use std::fs;

use super::*;

/// A runsvdir with two services, which was killed.
fn left(tree: &Tree) -> [i32; 2] {
    let mut keeper = keep(tree);
    for name in ["bar", "foo"] {
        symlink(elsewhere(tree, name), tree.path("services").join(name)).unwrap();
    }
    assert_eq!(heard_all(tree, 2), ["bar up", "foo up"]);
    let pids = ["services/bar", "services/foo"].map(|service| pid_of(tree, service));
    keeper.send(Signal::SIGKILL);
    keeper.ended();
    pids
}

#[test]
fn it_leaves_what_runs_alone_and_starts_what_is_missing() {
    let tree = Tree::new();
    let [bar, foo] = left(&tree);
    let runsvs = [bar, foo].map(parent);
    send(runsvs[0], Signal::SIGKILL).unwrap();
    wait_until_gone(runsvs[0]);
    let mut keeper = keep(&tree);
    // The killed one's service goes on with another runsv, the other one's with its own.
    tree.wait_status(&tree.path("services/bar/supervise"), |status| status.pid == bar);
    keeper.catches_up("marker");
    assert_eq!((keeper.runsvs().len(), parent(foo)), (2, runsvs[1]), "one for the marker");
    // It sees the end of the one that it did not start.
    send(runsvs[1], Signal::SIGKILL).unwrap();
    wait_until_gone(runsvs[1]);
    tree.wait_status(&tree.path("services/foo/supervise"), |status| status.pid == foo);
    assert_eq!(keeper.runsvs().len(), 3);
    keeper.send(Signal::SIGHUP);
    assert_eq!(keeper.ended().code(), Some(111));
    assert_eq!(heard_all(&tree, 2), ["bar finish", "foo finish"], "no complaint, nothing started twice");
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn what_vanishes_and_a_hangup_end_also_those_that_it_did_not_start() {
    let tree = Tree::new();
    let [bar, foo] = left(&tree);
    let runsvs = [bar, foo].map(parent);
    let mut keeper = keep(&tree);
    keeper.catches_up("marker");
    fs::remove_file(tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo finish");
    wait_until_gone(runsvs[1]);
    // And it is started again when it comes back.
    symlink(tree.path("elsewhere/foo"), tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    keeper.send(Signal::SIGHUP);
    assert_eq!(keeper.ended().code(), Some(111));
    assert_eq!(heard_all(&tree, 2), ["bar finish", "foo finish"]);
    wait_until_gone(runsvs[0]);
}

#[test]
fn one_that_was_told_to_exit_comes_back_as_any_other() {
    let tree = Tree::new();
    left(&tree);
    let keeper = keep(&tree);
    keeper.catches_up("marker");
    let exit = tree.command("sv").args(["-w", "30", "exit", "./services/foo"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&exit.stdout), "ok: ./services/foo: runsv not running\n");
    assert_eq!((tree.heard(), tree.heard()), ("foo finish".into(), "foo up".into()));
    assert!(keeper.runsvs().contains(&parent(pid_of(&tree, "services/foo"))));
}

#[test]
fn it_watches_more_than_its_soft_limit_of_descriptors_allows() {
    const MANY: usize = 40;
    let tree = Tree::new();
    tree.directory("services");
    let names: Vec<String> = (100..100 + MANY).map(|number| format!("foo{number}")).collect();
    names.iter().for_each(|name| symlink(elsewhere(&tree, name), tree.path("services").join(name)).unwrap());
    let keep = || {
        let mut command = tree.command("sh");
        let ear = fs::OpenOptions::new().read(true).write(true).open(tree.path("ear")).unwrap();
        command.args(["-c", "ulimit -Sn 30; exec runsvdir services"]).stderr(ear);
        Keeper { tree: &tree, child: command.spawn().unwrap() }
    };
    let mut killed = keep();
    assert_eq!(heard_all(&tree, MANY), names.iter().map(|name| format!("{name} up")).collect::<Vec<_>>());
    killed.send(Signal::SIGKILL);
    killed.ended();
    let next = keep();
    next.catches_up("marker");
    next.send(Signal::SIGHUP);
    assert_eq!(heard_all(&tree, MANY), names.iter().map(|name| format!("{name} finish")).collect::<Vec<_>>());
}

/// Writes the lines that it is given through a FIFO, into its log.
const WRITER: &str = "exec 3<>lines; while IFS= read -r line <&3; do echo \"$line\"; say wrote; done";
/// What comes before it is told to read stays in its pipe.
const LOG: &str = "read -r _ <../gate; while IFS= read -r line; do say \"line $line\"; done";

#[test]
fn what_is_in_a_pipe_outlives_the_service_its_log_service_and_their_supervisor() {
    let tree = Tree::new();
    let service = tree.service("services/foo").run(WRITER).log(LOG);
    for fifo in ["gate", "lines"] {
        homerun::sys::file::make_fifo(&tree.path("services/foo").join(fifo), 0o600).unwrap();
    }
    let mut lines = homerun::sys::file::open_read_write(tree.path("services/foo/lines")).unwrap();
    let foo = service.made();
    let mut keeper = keep(&tree);
    let up = |directory: &str, other_than: i32| {
        let runs = |status: &homerun::model::status::Status| ![0, other_than].contains(&status.pid);
        tree.wait_status(&foo.join(directory).join("supervise"), runs).pid
    };
    // From the second runsv on, runsvdir need not wait until there is a pipe.
    let first = parent(up(".", 0));
    up("log", 0);
    send(first, Signal::SIGKILL).unwrap();
    wait_until_gone(first);
    let (main, log) = (up(".", 0), up("log", 0));
    let runsv = keeper.runsvs()[0];
    std::io::Write::write_all(&mut lines, b"first\n").unwrap();
    assert_eq!(tree.heard(), "wrote");
    for pid in [runsv, main, log] {
        send(pid, Signal::SIGKILL).unwrap();
    }
    [runsv, main, log].into_iter().for_each(wait_until_gone);
    fs::write(foo.join("gate"), "\n").unwrap();
    assert_eq!(tree.heard(), "line first");
    up(".", main);
    std::io::Write::write_all(&mut lines, b"second\n").unwrap();
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["line second", "wrote"]);
    keeper.send(Signal::SIGHUP);
    assert_eq!(keeper.ended().code(), Some(111));
}

#[test]
fn what_vanishes_right_before_an_upgrade_ends_all_the_same() {
    let tree = Tree::new();
    left(&tree);
    let mut keeper = keep(&tree);
    keeper.catches_up("marker");
    // Both are there when it goes on.
    keeper.send(Signal::SIGSTOP);
    fs::remove_file(tree.path("services/foo")).unwrap();
    keeper.send(Signal::SIGUSR2);
    keeper.send(Signal::SIGCONT);
    assert_eq!(tree.heard(), "foo finish");
    keeper.send(Signal::SIGHUP);
    assert_eq!(keeper.ended().code(), Some(111));
    assert_eq!(tree.heard(), "bar finish");
}

#[test]
fn one_of_another_tree_is_left_alone() {
    let tree = Tree::new();
    let foo = elsewhere(&tree, "foo");
    let keeper = keep(&tree);
    symlink(&foo, tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    let pid = pid_of(&tree, &foo);
    for (deadline, signal) in [("", Signal::SIGHUP), ("30s", Signal::SIGTERM)] {
        symlink(&foo, tree.directory("other").join("foo")).unwrap();
        let mut other = command(&tree, &["other"]);
        if !deadline.is_empty() {
            other.env("RUNSVDIR_STOP_DEADLINE", deadline);
        }
        let mut other = Keeper { tree: &tree, child: other.spawn().unwrap() };
        let marker = tree.service("marker").run("say marker up; exec sleep 1000").finish("say marker finish").made();
        symlink(&marker, tree.path("other/marker")).unwrap();
        assert_eq!(tree.heard(), "marker up");
        // One that vanishes, and one that is there at the end.
        fs::remove_file(tree.path("other/foo")).unwrap();
        fs::remove_file(tree.path("other/marker")).unwrap();
        assert_eq!(tree.heard(), "marker finish");
        symlink(&foo, tree.path("other/foo")).unwrap();
        symlink(&marker, tree.path("other/marker")).unwrap();
        assert_eq!(tree.heard(), "marker up");
        other.send(signal);
        other.ended();
        assert_eq!(tree.heard(), "marker finish");
        fs::remove_dir_all(tree.path("other")).unwrap();
        fs::write(foo.join("supervise/control"), "p").unwrap();
        let status = tree.wait_status(&foo.join("supervise"), |status| status.paused);
        assert_eq!((status.pid, status.want), (pid, Want::Up));
        fs::write(foo.join("supervise/control"), "c").unwrap();
        tree.wait_status(&foo.join("supervise"), |status| !status.paused);
    }
    drop(keeper);
}

#[test]
fn in_an_ordered_stop_one_whose_name_has_gone_is_waited_for_as_well() {
    for goes in [
        |tree: &Tree| fs::remove_file(tree.path("way/services/foo")),
        |tree: &Tree| fs::rename(tree.path("way"), tree.path("gone")),
    ] {
        let tree = Tree::new();
        let run = "trap 'say told' TERM; say up; while :; do sleep 1000 >/dev/null 2>&1 & wait $!; done";
        let foo = tree.service("elsewhere/foo").run(run).made();
        symlink(&foo, tree.directory("way/services").join("foo")).unwrap();
        let keep = |deadline: &str| {
            let mut command = command(&tree, &["way/services"]);
            Keeper { tree: &tree, child: command.env("RUNSVDIR_STOP_DEADLINE", deadline).spawn().unwrap() }
        };
        let mut killed = keep("30s");
        assert_eq!(tree.heard(), "up");
        let pid = pid_of(&tree, &foo);
        killed.send(Signal::SIGKILL);
        killed.ended();
        let mut next = keep("1ms");
        let marker = tree.service("marker").run("say marker; exec sleep 1000").made();
        symlink(marker, tree.path("way/services/marker")).unwrap();
        assert_eq!(tree.heard(), "marker");
        goes(&tree).unwrap();
        next.send(Signal::SIGTERM);
        assert_eq!(next.ended().code(), Some(0));
        wait_until_gone(pid);
    }
}

#[test]
fn an_ordered_stop_ends_also_those_that_there_were_no_descriptors_for() {
    const MANY: usize = 40;
    let tree = Tree::new();
    let names: Vec<String> = (100..100 + MANY).map(|number| format!("foo{number}")).collect();
    tree.directory("services");
    names.iter().for_each(|name| symlink(elsewhere(&tree, name), tree.path("services").join(name)).unwrap());
    let mut killed = keep_in_order(&tree, "30s");
    assert_eq!(heard_all(&tree, MANY), names.iter().map(|name| format!("{name} up")).collect::<Vec<_>>());
    killed.send(Signal::SIGKILL);
    killed.ended();
    let mut next = tree.command("sh");
    next.args(["-c", "ulimit -n 30; exec runsvdir services"]).env("RUNSVDIR_STOP_DEADLINE", "30s");
    let mut next = Keeper { tree: &tree, child: next.stderr(Stdio::null()).spawn().unwrap() };
    next.catches_up("marker");
    next.send(Signal::SIGTERM);
    assert_eq!(next.ended().code(), Some(0));
    assert_eq!(heard_all(&tree, MANY), names.iter().map(|name| format!("{name} finish")).collect::<Vec<_>>());
}
