//! A week's worth of events: memory and descriptors stay what they were.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::*;

/// How often to look whether it is time.
const LOOK: Duration = Duration::from_millis(20);
/// What a list or a name may be longer by at one time than at another, in bytes.
const SLACK: u32 = 512;
/// What the heap may lose between what is in use, in KiB.
const GAPS: u64 = 128;

/// What a process takes: memory that it has asked for, in bytes, memory that it was given, in KiB, and descriptors.
#[derive(Clone, Copy, Debug)]
struct Use {
    live: u32,
    given: u64,
    descriptors: usize,
}

fn used_by(child: &Child, faults: &Faults) -> Use {
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    // Stack and heap; pages of files come and go as the kernel likes.
    Use { live: faults.live(), given: field("RssAnon:"), descriptors: descriptors_of(child) }
}

fn descriptors_of(child: &Child) -> usize {
    fs::read_dir(format!("/proc/{}/fd", child.id())).unwrap().count()
}

/// Whether a supervisor has nothing to do: it never sleeps but there, where it waits for events.
fn is_asleep(child: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('S'))
}

/// A file may be open for a moment; what was not closed stays.
fn wait_for_no_more_descriptors(than: Use, child: &Child) {
    wait_until("descriptors that are closed", || descriptors_of(child) <= than.descriptors);
}

fn assert_flat(before: Use, after: Use) {
    assert!(before.live > 0, "memory is not counted");
    assert!(after.live.wrapping_sub(before.live).cast_signed() <= SLACK.cast_signed(), "{before:?}, {after:?}");
    assert!(after.given <= before.given + GAPS, "{before:?}, {after:?}");
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "in vain: {what}");
        thread::sleep(LOOK);
    }
}

#[test]
fn thousands_of_commands_and_restarts_cost_runsv_no_memory_and_no_descriptor() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let foo = tree.directory("foo");
    fs::create_dir(tree.path("foo/log")).unwrap();
    for program in ["foo/run", "foo/finish"] {
        symlink("/bin/true", tree.path(program)).unwrap();
    }
    symlink("/bin/cat", tree.path("foo/log/run")).unwrap();
    let faults = Faults::new(tree.path("what.fails"));
    faults.set(4, 60_000); // a pause is nothing
    let mut command = tree.command("runsv");
    faults.given_to(&mut command, "runsv", &tools);
    let mut runsv = command.arg("foo").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut seen = 0;
    let mut reach = |processes: u32| {
        wait_until("processes", || {
            // One burst for each start or so: it shall not be busy with these alone.
            if std::mem::replace(&mut seen, faults.processes()) != faults.processes() {
                let fifo = homerun::sys::file::open_write(foo.join("supervise/control"));
                let _ = fifo.and_then(|mut fifo| std::io::Write::write(&mut fifo, &b"hpcu".repeat(4)));
            }
            faults.processes() >= processes
        });
    };
    reach(20);
    let before = used_by(&runsv, &faults);
    reach(80);
    let after = used_by(&runsv, &faults);
    wait_for_no_more_descriptors(before, &runsv);
    runsv.kill().unwrap();
    runsv.wait().unwrap();
    assert_flat(before, after);
}

#[test]
fn hundreds_of_services_that_come_and_go_cost_runsvdir_no_memory_and_no_descriptor() {
    const AT_ONCE: usize = 25;
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let faults = Faults::new(tree.path("what.fails"));
    // "runsv NAME" sleeps for as many seconds as its name says.
    let bin = tree.directory("bin");
    symlink("/bin/sleep", bin.join("runsv")).unwrap();
    let services = tree.directory("services");
    let names: Vec<String> = (1000..1000 + AT_ONCE).map(|number| number.to_string()).collect();
    for name in &names {
        tree.service(&format!("all/{name}")).file("run", "");
    }
    let mut command = tree.command("runsvdir");
    faults.given_to(&mut command, "runsvdir", &tools);
    let mut runsvdir = command.env("PATH", &bin).arg("services").stderr(Stdio::null()).spawn().unwrap();
    let pid = i32::try_from(runsvdir.id()).unwrap();
    let children = || homerun::sys::proc::relations().iter().filter(|it| it.parent == pid).count();
    let mut uses = Vec::new();
    for round in 0..21 {
        names.iter().for_each(|name| symlink(tree.path("all").join(name), services.join(name)).unwrap());
        wait_until("services that come", || children() == AT_ONCE);
        names.iter().for_each(|name| fs::remove_file(services.join(name)).unwrap());
        wait_until("services that go", || children() == 0);
        if round % 7 == 6 {
            // It still has what it knew of them while it takes note of their ends.
            wait_until("rest", || is_asleep(&runsvdir));
            uses.push(used_by(&runsvdir, &faults));
        }
    }
    wait_for_no_more_descriptors(uses[0], &runsvdir);
    runsvdir.kill().unwrap();
    runsvdir.wait().unwrap();
    assert_flat(uses[0], uses[2]);
}
