use homerun::model::status::{State, Want};

use crate::support::*;

#[test]
fn finish_receives_the_exit_code_and_the_signal() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exit 7").finish("say finish $1 $2").start();
    assert_eq!(tree.heard(), "finish 7 0");
    foo.control(b"d");
    foo.wait(|status| status.state == State::Down && status.want == Want::Down);
}

#[test]
fn exit_ends_the_service_and_then_the_supervisor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").finish("say finish $1 $2").start();
    assert_eq!(tree.heard(), "up");
    let (status, said) = foo.exit();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    assert_eq!(tree.heard(), "finish -1 15");
}
