//! The wall clock is set while a tree runs: ages and pauses are what they would have been.
//!
//! No test sets the machine's clock. What was labelled before is labelled anew, as a clock that is set now would have
//! labelled it.

use std::fs;
use std::time::Duration;

use homerun::model::note::{Book, Place, Record};
use homerun::model::status::{State, Status};
use homerun::model::tai::Label;
use homerun::sys::clock;
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

const AGE: Duration = Duration::from_secs(200);
const STEP: Duration = Duration::from_secs(3 * 3600);

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

/// What is noted of `foo`.
fn book(tree: &Tree) -> Book {
    Book::decode(&fs::read(tree.path("foo/supervise/process")).unwrap()).unwrap()
}

/// Makes `foo` and its log service [`AGE`] old, by a clock that said `label` then.
fn relabel(tree: &Tree, label: Duration) {
    let mut book = book(tree);
    for (place, status) in [(Place::Main, "foo/supervise/status"), (Place::Log, "foo/log/supervise/status")] {
        let record = book.record(place).unwrap();
        let status_then = Status { since: Label::of(label), ..record.status };
        book.set_record(place, Record { status: status_then, changed: clock::since_boot() - AGE, ..record });
        fs::write(tree.path(status), status_then.encode()).unwrap();
    }
    fs::write(tree.path("foo/supervise/process"), book.encode()).unwrap();
}

/// The ages that `sv status foo` tells, of the service and of its log service.
fn ages(tree: &Tree) -> Vec<u64> {
    let line = tree.sv(&["status", "foo"]).stdout;
    let words = line.split(|c: char| c.is_whitespace() || c == ',' || c == ';');
    words.filter_map(|word| word.strip_suffix('s')?.parse().ok()).collect()
}

fn are_right(ages: &[u64]) -> bool {
    ages.len() == 2 && ages.iter().all(|age| (AGE..AGE + PATIENCE).contains(&Duration::from_secs(*age)))
}

#[test]
fn a_clock_that_is_set_forth_or_back_changes_no_age_and_no_successor() {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run("say run $$; exec sleep 1000").log("exec cat >/dev/null").start();
    let run = tree.heard();
    let (main, log) = (foo.wait(is_running).pid, foo.wait_log(is_running).pid);
    let then = clock::wall() - AGE;
    for label in [then, then - STEP, then + STEP] {
        relabel(&tree, label);
        assert!(are_right(&ages(&tree)), "at {label:?}: {:?}", ages(&tree));
        assert_eq!(tree.sv(&["status", "foo/log"]).code, Some(0));
        process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGKILL).unwrap();
        foo.ended();
        foo = tree.service("foo").start_heard();
        assert_eq!((foo.wait(is_running).pid, foo.wait_log(is_running).pid), (main, log));
        assert!(are_right(&ages(&tree)), "the next supervisor's at {label:?}: {:?}", ages(&tree));
    }
    assert_eq!(run, format!("run {main}"));
    foo.exit();
    assert_eq!(tree.heard_already(), None, "nothing was started again");
}

#[test]
fn where_nothing_else_is_known_an_age_is_that_of_the_label() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").log("exec cat >/dev/null").start();
    foo.wait(is_running);
    foo.wait_log(is_running);
    relabel(&tree, clock::wall() - STEP);
    assert!(are_right(&ages(&tree)));
    // As a machine that was started again, and as C runit, which leaves no such notes.
    let notes = tree.path("foo/supervise/process");
    let mut bytes = fs::read(&notes).unwrap();
    bytes[8..24].fill(7);
    fs::write(&notes, bytes).unwrap();
    assert!(ages(&tree).iter().all(|age| *age >= STEP.as_secs()), "{:?}", ages(&tree));
    fs::remove_file(&notes).unwrap();
    assert!(ages(&tree).iter().all(|age| *age >= STEP.as_secs()), "{:?}", ages(&tree));
    foo.exit();
}
