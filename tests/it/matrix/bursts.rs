//! Many control bytes at once, to either runsv.

use std::path::PathBuf;

use homerun::model::status::{State, Want};

use super::*;
use crate::support::*;

#[test]
fn bursts_end_as_they_do_with_the_original() {
    let Some(runit) = runit() else { return };
    let end = |runsv: PathBuf, burst: &str| {
        let tree = Tree::new();
        let foo = tree.service("foo").run("say up; exec sleep 1000").start_by(tree.command(runsv));
        assert_eq!(tree.heard(), "up");
        foo.wait(|status| status.state == State::Run);
        foo.control(burst.as_bytes());
        // No burst ends paused: what is paused was read in the middle of it.
        foo.wait(|status| is_down(status) && status.want == Want::Down && !status.paused);
        (foo.record("stat"), foo.record("pid"))
    };
    for burst in ["ddd", "uod", "od\n", "dpc", "pcd", "dk", "kd", "u1d"] {
        let ours = end(programs().join("runsv"), burst);
        assert_eq!(ours, end(runit.join("runsv"), burst), "{burst}");
    }
}
