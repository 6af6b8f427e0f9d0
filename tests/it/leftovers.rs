//! What services leave behind: processes that their first one has started and that live on without it.

use std::time::Instant;

use homerun::model::status::{State, Status};
use homerun::sys::proc;

use crate::support::*;

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

/// Waits until a runsv has dealt with everything that came before.
fn settle(foo: &Running) {
    for (byte, paused) in [(b"p", true), (b"c", false)] {
        foo.control(byte);
        foo.wait(|status| status.paused == paused);
    }
}

#[test]
fn what_a_service_lets_go_of_becomes_a_child_of_its_supervisor_and_is_reaped() {
    let tree = Tree::new();
    let burst = "i=0; while [ $i -lt 200 ]; do (: & :); i=$((i + 1)); done";
    let run =
        format!("( (sh -c 'echo left $$ >\"$EAR\"; read -r line <gate' & ) ); {burst}; say burst; exec sleep 1000");
    let service = tree.service("foo").run(&run);
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = service.start();
    let runsv = i32::try_from(foo.child.id()).unwrap();
    let mut said = [tree.heard(), tree.heard()];
    said.sort();
    assert_eq!(said[0], "burst");
    let left: i32 = said[1].strip_prefix("left ").unwrap().parse().unwrap();
    let main = foo.wait(is_running).pid;
    let children = || -> Vec<i32> {
        proc::relations().into_iter().filter(|it| it.parent == runsv && it.pid != main).map(|it| it.pid).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while children() != [left] {
        assert!(Instant::now() < deadline, "{:?}", children());
        settle(&foo); // the last of the two hundred may not have ended yet
    }
    std::fs::write(tree.path("foo/gate"), "\n").unwrap();
    wait_until_gone(left);
    settle(&foo);
    assert_eq!(children(), []);
    foo.exit();
}
