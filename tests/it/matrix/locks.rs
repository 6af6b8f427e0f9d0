//! Supervisors of both kinds on one directory.

use std::os::unix::fs::symlink;

use homerun::model::status::State;

use crate::support::*;

#[test]
fn neither_supervisor_takes_a_directory_from_the_other() {
    let Some(runit) = runit() else { return };
    for [first, second] in [[programs(), &*runit], [&*runit, programs()]] {
        let tree = Tree::new();
        let foo = tree.service("foo").run("say up; exec sleep 1000").log("exec cat");
        let foo = foo.start_by(tree.command(first.join("runsv")));
        assert_eq!(tree.heard(), "up");
        let status = foo.wait(|status| status.state == State::Run);
        let refused = "runsv foo: fatal: unable to lock supervise/lock: temporary failure\n";
        let holder = format!("runsv foo: info: supervise/lock is held by process {}\n", foo.child.id());
        let said = if second == programs() { holder + refused } else { refused.to_owned() };
        assert_eq!(Outcome::of(tree.command(second.join("runsv")).arg("foo")), fails(&said, 111));
        assert_eq!(foo.wait(|_| true), status);
        foo.control(b"x");
        assert_eq!(foo.ended().0.code(), Some(0));
        // One after the other they get on.
        let foo = tree.service("foo").start_by(tree.command(second.join("runsv")));
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.state == State::Run);
        foo.control(b"x");
        assert_eq!(foo.ended().0.code(), Some(0));
        assert_eq!(tree.heard_already(), None);
    }
}

#[test]
fn a_log_directory_that_the_original_supervises_is_refused() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").log("exec cat");
    let foo = foo.start_by(tree.command(runit.join("runsv")));
    assert_eq!(tree.heard(), "up");
    foo.wait_log(|status| status.state == State::Run);
    symlink("../foo/log", tree.service("bar").made().join("log")).unwrap();
    let refused = "runsv bar: fatal: unable to lock log/supervise/lock: temporary failure\n";
    let holder = format!("runsv bar: info: log/supervise/lock is held by process {}\n", foo.child.id());
    assert_eq!(tree.run("runsv", &["bar"]), fails(&(holder + refused), 111));
    foo.control(b"x");
    assert_eq!(foo.ended().0.code(), Some(0));
}
