//! The files of `supervise/`, as either runsv keeps them.

use std::fs;
use std::path::Path;

use homerun::model::status::{State, Status, Want};

use super::*;
use crate::runsv::listing;
use crate::support::*;

/// The records after each of some commands, and at last the files of `supervise/`.
fn records(runsv: &Path) -> Vec<String> {
    let tree = Tree::new();
    let service = tree.service("foo").run(&format!("{DEAF}; say up; {LISTEN}")).log("exec cat >/dev/null");
    let deaf = service.start_by(tree.command(runsv));
    assert_eq!(tree.heard(), "up");
    let mut found = Vec::new();
    let mut record = |status: Status| {
        let bytes = fs::read(deaf.directory.join("supervise/status")).unwrap();
        let pid = if deaf.record("pid").is_empty() { 0 } else { deaf.record("pid").trim_end().parse().unwrap() };
        assert_eq!(status.pid, pid);
        found.push(format!("{}{:?} {}", deaf.record("stat"), &bytes[16..], pid != 0));
    };
    record(deaf.wait(|status| status.state == State::Run));
    deaf.control(b"p");
    record(deaf.wait(|status| status.paused));
    deaf.control(b"c");
    record(deaf.wait(|status| !status.paused));
    deaf.control(b"o");
    record(deaf.wait(|status| status.want == Want::Down));
    deaf.control(b"t");
    record(deaf.wait(|status| status.got_term));
    deaf.control(b"u");
    record(deaf.wait(|status| status.want == Want::Up));
    deaf.control(b"pd");
    record(deaf.wait(|status| status.paused && status.want == Want::Down));
    deaf.control(b"k");
    record(deaf.wait(is_down));
    deaf.control(b"c");
    record(deaf.wait(|status| !status.paused));
    deaf.control(b"o");
    assert_eq!(tree.heard(), "up");
    record(deaf.wait(|status| status.state == State::Run && status.pid != 0));
    deaf.control(b"x");
    deaf.wait(|status| status.got_term);
    found.push(deaf.record("stat"));
    deaf.wait_log(|status| status.state == State::Run);
    deaf.control(b"k");
    assert_eq!(deaf.ended().0.code(), Some(0));
    for name in ["foo/supervise", "foo/log/supervise"] {
        found.extend(listing(&tree.path(name)));
        found.extend(["stat", "pid"].map(|file| fs::read_to_string(tree.path(name).join(file)).unwrap()));
    }
    found
}

#[test]
fn the_records_are_those_of_the_original() {
    let Some(runit) = runit() else { return };
    same(&records(&programs().join("runsv")), &records(&runit.join("runsv")));
}
