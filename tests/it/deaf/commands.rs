//! Commands under fire: garbage, writers that never go, and scripts that hang.

use std::fs;
use std::io::{self, Write as _};
use std::time::Instant;

use homerun::model::status::State;
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

use super::runs;

#[test]
fn megabytes_of_garbage_from_a_writer_that_never_closes_do_not_keep_a_command_from_being_obeyed() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").start();
    foo.wait(runs);
    let mut fifo = fs::File::options().write(true).open(foo.directory.join("supervise/control")).unwrap();
    let garbage: Vec<u8> = (0..=255).filter(|byte| !u8::is_ascii_alphanumeric(byte)).cycle().take(4 << 20).collect();
    fifo.write_all(&garbage).unwrap();
    fifo.write_all(b"d").unwrap();
    foo.wait(|status| status.state == State::Down);
    fifo.write_all(b"u").unwrap();
    foo.wait(runs);
}

#[test]
fn commands_are_obeyed_while_a_finish_and_hooks_hang() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").finish("say finish; exec sleep 1000");
    let foo = foo.script("control/h", "say hook; exec sleep 1000").start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(runs).pid;
    foo.control(b"h");
    assert_eq!(tree.heard(), "hook");
    foo.control(b"o");
    foo.wait(|status| status.pid == pid && status.want != homerun::model::status::Want::Up);
    foo.control(b"uk");
    assert_eq!(tree.heard(), "finish");
    foo.wait(|status| status.state == State::Finish);
    foo.control(b"dk");
    foo.wait(|status| status.state == State::Down);
}

#[test]
fn a_thousand_commands_while_everything_is_slow_are_obeyed_to_the_last() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").script("control/t", "exit 0").start();
    foo.wait(runs);
    let mut fifo = homerun::sys::file::open_write(foo.directory.join("supervise/control")).unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut left = &[b"t".repeat(1000), b"d".to_vec(), b"k".to_vec()].concat()[..];
    while !left.is_empty() {
        match fifo.write(left) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
        assert!(Instant::now() < deadline, "the FIFO stays full");
    }
    foo.wait(|status| status.state == State::Down);
}

#[test]
fn commands_that_never_cease_keep_neither_a_death_nor_a_term_from_being_heard() {
    for length in [1, 4096] {
        let tree = Tree::new();
        let foo = tree.service("foo").run("exec sleep 1000").start();
        let pid = foo.wait(runs).pid;
        let mut fifo = fs::File::options().write(true).open(foo.directory.join("supervise/control")).unwrap();
        // Until there is no supervisor any more.
        let writer = std::thread::spawn(move || while fifo.write_all(&b"c".repeat(length)).is_ok() {});
        process::send(pid, Signal::SIGKILL).unwrap();
        foo.wait(|status| runs(status) && status.pid != pid);
        process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
        assert_eq!(foo.ended().0.code(), Some(0));
        writer.join().unwrap();
    }
}
