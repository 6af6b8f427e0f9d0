//! runsv, killed at each call it makes: its successor goes on, nothing runs twice and no line is lost.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use homerun::model::status::{State, Status};

use super::runsv::{LOOK, Stage, Stopped, THREADS, count, wrong};
use super::*;

/// Waits until this supervisor is there, or has ended. A process that the last one was just starting has its FIFOs open,
/// too, for a moment, but does not read commands: whoever has signed the lock is the only one.
fn settle(stage: &mut Stage) {
    let (lock, ok) = (stage.directory.join("supervise/lock"), stage.directory.join("supervise/ok"));
    let own = format!("{} ", stage.runsv.id());
    let is_there = || {
        let is_own = fs::read_to_string(&lock).is_ok_and(|signed| signed.starts_with(&own));
        is_own && homerun::sys::file::open_write(&ok).is_ok()
    };
    while stage.runsv.try_wait().unwrap().is_none() && !is_there() {
        thread::sleep(LOOK);
    }
}

/// What the next supervisor makes of what one left that was killed somewhere in its story.
fn go_on(stage: &mut Stage) -> Result<(), Stopped> {
    let runs = |status: &Status| status.state == State::Run && status.pid != 0;
    stage.control("", b'c'); // it may have been paused
    let first = stage.ask("", b'u', runs)?;
    stage.wait("log", None, runs)?;
    stage.ask("", b't', |status| runs(status) && status.pid != first.pid)?;
    stage.control("", b'x');
    match stage.wait("", Some(b'x'), |_| false) {
        Err(Stopped::Ended) => Ok(()),
        Err(stuck) => Err(stuck),
        Ok(_) => unreachable!("no record is such"),
    }
}

#[test]
fn at_whatever_call_runsv_is_killed_its_successor_doubles_nothing_and_loses_nothing() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let (_, calls) = count(&tree, &tools);
    // Root takes every other call and an ordinary user the rest, unless all are to be walked through.
    let (first, step) = if is_long() { (1, 1) } else { (if is_root() { 1 } else { 2 }, 2) };
    let next = AtomicU32::new(first);
    let bad = Mutex::new(Vec::new());
    let turn = || {
        while let Some(number) = Some(next.fetch_add(step, Ordering::Relaxed)).filter(|number| *number <= calls) {
            let name = format!("killed{number}");
            let mut stage = Stage::new(&tree, &tools, &name, |faults| faults.kill_at(number));
            let told = stage.tell();
            let ended = wait_for_end(&mut stage.runsv);
            let call = stage.faults.failed();
            let next = format!("{name}.next");
            let (goes_on, after, said) = loop {
                let mut stage = Stage::supervised(&tree, &tools, stage.directory.clone(), &next, |_| {});
                settle(&mut stage);
                let goes_on = go_on(&mut stage);
                let after = wait_for_end(&mut stage.runsv);
                let said = fs::read_to_string(tree.path(format!("{next}.said"))).unwrap();
                fs::remove_file(&stage.faults.path).unwrap();
                // A process that is not its program yet shares the lock.
                if !said.contains("unable to lock supervise/lock: temporary failure") {
                    break (goes_on, after, said);
                }
            };
            let said = [fs::read_to_string(tree.path(format!("{name}.said"))).unwrap(), said].concat();
            let told = match (told, goes_on) {
                (Err(Stopped::Stuck(what)), _) => Err(Stopped::Stuck(what)),
                // It was on its way out already.
                (_, Err(Stopped::Ended)) => Ok(()),
                (_, told) => told,
            };
            if let Some(wrong) = wrong(&stage, told, after, &said) {
                bad.lock().unwrap().push(format!("killed at call {number}, {call} ({ended:?}): {wrong}\n{said}"));
            }
        }
    };
    at_once(THREADS, turn);
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{} of {calls} calls: {bad:#?}", bad.len());
}

#[test]
fn a_service_is_found_also_where_the_kernel_gives_no_pidfd() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let mut stage = Stage::new(&tree, &tools, "foo", |_| {});
    let runs = |status: &Status| status.state == State::Run && status.pid != 0;
    let before = stage.wait("", None, runs).unwrap();
    let log = stage.wait("log", None, runs).unwrap();
    stage.runsv.kill().unwrap();
    stage.runsv.wait().unwrap();
    let without = |faults: &Faults| faults.fail_all("pidfd_open", libc::ENOSYS);
    let mut stage = Stage::supervised(&tree, &tools, stage.directory.clone(), "foo.next", without);
    settle(&mut stage);
    let found = [stage.ask("", b'p', |status| status.paused).unwrap(), stage.wait("log", None, runs).unwrap()];
    assert_eq!(found.map(|status| status.pid), [before.pid, log.pid]);
    let told = go_on(&mut stage);
    let ended = wait_for_end(&mut stage.runsv);
    assert_eq!(wrong(&stage, told, ended, ""), None);
}
