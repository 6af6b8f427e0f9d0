//! Two on one directory: the second says who has it.

use std::fs;

use crate::support::*;

use super::runs;

/// What a supervisor says of `foo`, whose lock the test itself holds, with this in the lock file.
fn refusal(content: impl Fn(&str) -> String) -> String {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run("exec sleep 1000").start();
    foo.wait(runs);
    foo.child.kill().unwrap();
    foo.child.wait().unwrap();
    let path = foo.directory.join("supervise/lock");
    let signed = fs::read_to_string(&path).unwrap();
    fs::write(&path, content(&signed)).unwrap();
    let lock = fs::File::open(&path).unwrap();
    homerun::sys::file::lock(&lock).unwrap();
    let refused = tree.run("runsv", &["foo"]);
    assert_eq!(refused.code, Some(111));
    refused.stderr.replace("runsv foo: fatal: unable to lock supervise/lock: temporary failure\n", "")
}

/// A file system that two hosts share has the lock of one for the other; what that has written tells who it is.
#[test]
fn a_lock_that_another_host_holds_is_said_to_be_of_that_host() {
    let said = refusal(|_| format!("4711 elsewhere {:032x} 4026531836\n", 7));
    assert_eq!(said, "runsv foo: info: supervise/lock is held by process 4711 on host elsewhere\n");
}

#[test]
fn a_lock_that_another_container_holds_is_said_to_be_of_that() {
    let said = refusal(|signed| {
        let words: Vec<&str> = signed.split_whitespace().collect();
        format!("4711 inside {} 1\n", words[2])
    });
    assert_eq!(said, "runsv foo: info: supervise/lock is held by process 4711 in another container, inside\n");
}

#[test]
fn nobody_is_named_by_what_a_dead_one_has_written_or_by_garbage() {
    assert_eq!(refusal(str::to_owned), "");
    assert_eq!(refusal(|_| "\u{1b}[2J 7".repeat(99)), "");
}
