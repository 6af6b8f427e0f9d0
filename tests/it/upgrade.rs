//! The upgrade in place: supervisors become the programs that are on disk now, and no service notices.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::Command;

use homerun::model::status::{State, Status, Want};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

const RUN: &str = "trap 'say got hup' HUP; trap 'say got term; exit 3' TERM; say run $$
    sleep 1000 >/dev/null 2>&1 & while :; do wait; done";
/// Reads lines and says them.
const LOG: &str = "say log $$; while IFS= read -r line; do say \"line $line\"; done";
/// Writes the numbers that it is given into its log, and says that it has.
const WRITER: &str = "exec 3<>numbers; while IFS= read -r n <&3; do echo \"number $n\"; echo \"$n\" >>written; done";

/// A new program with the same name is where the old one was, as a package puts it there.
fn replace(tree: &Tree, name: &str) {
    let (program, new, old) = (programs().join(name), tree.path("bin/.new"), tree.path("bin").join(name));
    assert!(Command::new("cp").arg(program).arg(&new).status().unwrap().success());
    fs::rename(new, old).unwrap();
}

fn id_of(program: &Path) -> Option<(u64, u64)> {
    fs::metadata(program).ok().map(|found| (found.dev(), found.ino()))
}

/// Whether process `pid` is the program of this name that is there now.
fn is_on_the_new(tree: &Tree, pid: u32, name: &str) -> bool {
    id_of(Path::new(&format!("/proc/{pid}/exe"))) == id_of(&tree.path("bin").join(name))
}

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

/// Has the supervisor upgrade, and waits until it has.
fn upgrade(tree: &Tree, foo: &Running) {
    replace(tree, "runsv");
    foo.control(b"U");
    wait_until_upgraded(tree, foo);
}

fn wait_until_upgraded(tree: &Tree, foo: &Running) {
    foo.wait(|_| is_on_the_new(tree, foo.child.id(), "runsv"));
}

/// The processes that two scripts said they are, whichever came first.
fn said(tree: &Tree, count: usize) -> BTreeMap<String, String> {
    let lines = (0..count).map(|_| tree.heard());
    lines.map(|line| line.split_once(' ').map(|(word, pid)| (word.to_owned(), pid.to_owned())).unwrap()).collect()
}

#[test]
fn a_supervisor_becomes_the_new_program_and_its_service_and_log_service_go_on() {
    let tree = Tree::with_own_programs();
    let foo = tree.service("foo").run(RUN).log(LOG).finish("say finish $1 $2").file("leftovers", "keep").start();
    let pids = said(&tree, 2);
    let before = (foo.wait(is_running), foo.wait_log(is_running));
    for _ in 0..3 {
        upgrade(&tree, &foo);
        assert_eq!((foo.wait(is_running), foo.wait_log(is_running)), before);
    }
    assert_eq!(tree.sv(&["hup", "foo"]), says(""));
    assert_eq!(tree.heard(), "got hup");
    assert_eq!(tree.sv(&["term", "foo"]), says(""));
    // Its death is told to its parent, as ever.
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish 3 0".into()));
    assert_ne!(said(&tree, 1)["run"], pids["run"]);
    let (status, said) = foo.exit();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish 3 0".into()));
    assert_eq!(tree.heard_already(), None, "the log service has ended with its input");
}

#[test]
fn what_is_started_after_an_upgrade_finds_the_same_signals_descriptors_and_environment() {
    let tree = Tree::with_own_programs();
    let service = tree.service("foo").run("exec $(cat what) >shown").finish("say finish").file("down", "");
    let foo = service.log("exec cat >/dev/null").start();
    let shown = |what: &str| {
        fs::write(tree.path("foo/what"), what).unwrap();
        foo.control(b"o");
        assert_eq!(tree.heard(), "finish");
        foo.wait(|status| status.state == State::Down);
        fs::read_to_string(tree.path("foo/shown")).unwrap()
    };
    let all = || ["grep ^Sig[BIC] /proc/self/status", "ls /proc/self/fd", "cat /proc/self/environ"].map(shown);
    let before = all();
    upgrade(&tree, &foo);
    assert_eq!(all(), before);
    assert!(!before[2].contains("HANDOVER"), "{before:?}");
}

#[test]
fn a_service_that_is_down_stays_so_and_is_not_finished_again() {
    let tree = Tree::with_own_programs();
    let foo = tree.service("foo").run(RUN).start();
    said(&tree, 1);
    assert_eq!(tree.sv(&["down", "foo"]), says(""));
    assert_eq!(tree.heard(), "got term");
    let before = foo.wait(|status| status.state == State::Down);
    tree.service("foo").finish("say finish $1 $2");
    upgrade(&tree, &foo);
    assert_eq!(foo.wait(|_| true), before);
    assert_eq!(tree.sv(&["up", "foo"]), says(""));
    assert_eq!(said(&tree, 1).len(), 1);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish 3 0".into()));
}

#[test]
fn an_upgrade_waits_for_a_hook_and_no_command_is_lost() {
    let tree = Tree::with_own_programs();
    let service = tree.service("foo").run(RUN).script("control/t", "say hook; read -r x <gate; exit 0");
    homerun::sys::file::make_fifo(&service.made().join("gate"), 0o600).unwrap();
    let foo = tree.service("foo").start();
    said(&tree, 1);
    replace(&tree, "runsv");
    // Seventeen for the service: more than can wait behind the hook, so that some stay in the FIFO.
    foo.control(b"tUhhhhhhhhhhhhhhhhd");
    assert_eq!(tree.heard(), "hook");
    fs::write(tree.path("foo/gate"), "\n").unwrap();
    // The hook of d, which stands in for TERM too; how often and when a signal is seen depends on who gets it.
    while tree.heard() != "hook" {}
    fs::write(tree.path("foo/gate"), "\n").unwrap();
    wait_until_upgraded(&tree, &foo);
    foo.wait(|status| is_running(status) && status.want == Want::Down);
}

#[test]
fn what_the_service_left_behind_is_waited_for_after_an_upgrade_too() {
    let tree = Tree::with_own_programs();
    // It lets go of a process once, and goes on when that was said.
    let run = r#"if [ -p said ]; then say run $$; exec sleep 1000; fi
        mkfifo said; ( (setsid sh -c 'echo "left $$" >"$EAR"; : >said; exec sleep 1000' </dev/null >/dev/null 2>&1 &) )
        : <said; exec sleep 1000"#;
    let foo = tree.service("foo").run(run).file("leftovers", "wait").start();
    let left: i32 = said(&tree, 1)["left"].parse().unwrap();
    let pid = foo.wait(is_running).pid;
    process::send(pid, Signal::SIGKILL).unwrap();
    foo.wait(|status| status.pid != pid && status.state != State::Run);
    upgrade(&tree, &foo);
    assert_eq!(tree.heard_already(), None);
    process::send(left, Signal::SIGKILL).unwrap();
    assert!(said(&tree, 1).contains_key("run"));
    assert_eq!(foo.exit().0.code(), Some(0));
}

/// That one run was asked for is no stop: what it lets go of lives on, as without an upgrade.
#[test]
fn what_one_run_lets_go_of_lives_on_after_an_upgrade_too() {
    let tree = Tree::with_own_programs();
    let run = r#"(setsid sh -c 'echo "left $$" >"$EAR"; exec sleep 1000' </dev/null >/dev/null 2>&1 &)
        say run $$; read -r line <gate"#;
    let foo = tree.service("foo").run(run).file("down", "");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = foo.start();
    foo.control(b"o");
    let left: i32 = said(&tree, 2)["left"].parse().unwrap();
    foo.wait(is_running);
    upgrade(&tree, &foo);
    fs::write(tree.path("foo/gate"), "\n").unwrap();
    foo.wait(|status| status.state == State::Down && status.pid == 0);
    assert!(homerun::sys::proc::state(left).is_some_and(|state| state != 'Z'), "it was ended");
    assert_eq!(foo.exit().0.code(), Some(0));
}

/// A hook may stand in for TERM, and another follow it: the time to stop is kept all the same.
#[test]
fn the_time_to_stop_is_kept_after_an_upgrade_also_where_hooks_stand_in() {
    let tree = Tree::with_own_programs();
    let foo = tree.service("foo").run("say run $$; exec sleep 1000").file("timeout-kill", "60000\n");
    let foo = foo.script("control/t", "exit 0").script("control/d", "say asked $$").start();
    said(&tree, 1);
    foo.wait(is_running);
    foo.control(b"d");
    assert!(said(&tree, 1).contains_key("asked"));
    foo.wait(|status| status.want == Want::Down);
    fs::write(tree.path("foo/timeout-kill"), "1\n").unwrap();
    upgrade(&tree, &foo);
    foo.wait(|status| status.state == State::Down);
    let (status, said) = foo.exit();
    let killed = "runsv foo: warning: killing ./run, which did not end within timeout-kill\n";
    assert_eq!((status.code(), said.as_str()), (Some(0), killed));
}

#[test]
fn finish_is_told_the_true_end_whenever_it_comes() {
    let tree = Tree::with_own_programs();
    for number in 0..12 {
        let service = tree.service(&format!("s{number}")).run("say run $$; exec sleep 1000");
        let foo = service.finish("say finish $1 $2").start();
        let pid: i32 = said(&tree, 1)["run"].parse().unwrap();
        foo.control(b"o"); // it is not to say anything once more
        foo.wait(|status| status.want == Want::Down);
        std::thread::scope(|scope| {
            scope.spawn(|| foo.control(b"U"));
            process::send(pid, Signal::SIGKILL).unwrap();
        });
        assert_eq!(tree.heard(), "finish -1 9");
        assert_eq!(foo.exit().0.code(), Some(0));
    }
}

#[test]
fn without_a_program_to_become_the_supervisor_says_so_and_goes_on() {
    let tree = Tree::with_own_programs();
    let foo = tree.service("foo").run(RUN).start_heard();
    said(&tree, 1);
    fs::remove_file(tree.path("bin/runsv")).unwrap();
    foo.control(b"U");
    assert_eq!(tree.heard(), "runsv foo: warning: unable to upgrade: file does not exist");
    fs::write(tree.path("bin/runsv"), "").unwrap();
    foo.control(b"Uh");
    let heard = [tree.heard(), tree.heard()];
    assert!(heard.contains(&"runsv foo: warning: unable to upgrade: access denied".to_owned()), "{heard:?}");
    assert!(heard.contains(&"got hup".to_owned()), "{heard:?}");
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_tree_of_fifty_services_under_load_is_upgraded_and_every_process_stays() {
    const SERVICES: usize = 50;
    const NUMBERS: usize = 40;
    let tree = Tree::with_own_programs();
    let services = tree.directory("services");
    let names: Vec<String> = (0..SERVICES).map(|number| format!("s{number}")).collect();
    let mut numbers = Vec::new();
    for name in &names {
        let directory = tree.directory(&format!("services/{name}"));
        homerun::sys::file::make_fifo(&directory.join("numbers"), 0o600).unwrap();
        numbers.push(homerun::sys::file::open_read_write(directory.join("numbers")).unwrap());
        fs::create_dir_all(directory.join("log/main")).unwrap();
        tree.service(&format!("services/{name}")).log("exec svlogd ./main").run(WRITER);
    }
    let mut command = tree.command("runsvdir");
    command.arg("services").arg(format!("log: {}", ".".repeat(100))).env("RUNSVDIR_STOP_DEADLINE", "20s");
    let mut runsvdir = command.spawn().unwrap();
    let supervise = |name: &str, of: &str| services.join(name).join(of).join("supervise");
    let status = |name: &str, of: &str| tree.wait_status(&supervise(name, of), is_running);
    let pids =
        || -> Vec<(i32, i32)> { names.iter().map(|name| (status(name, ".").pid, status(name, "log").pid)).collect() };
    let before = pids();
    let supervisors = || -> Vec<i32> {
        let own = i32::try_from(runsvdir.id()).unwrap();
        let mut found: Vec<i32> = homerun::sys::proc::relations()
            .iter()
            .filter(|it| it.parent == own && !it.ended)
            .map(|it| it.pid)
            .collect();
        found.sort_unstable();
        found
    };
    let supervisors_before = supervisors();
    assert_eq!(supervisors_before.len(), SERVICES);
    ["runsv", "runsvdir"].into_iter().for_each(|name| replace(&tree, name));
    let mut write = |from: usize, to: usize| {
        for number in from..to {
            numbers.iter_mut().for_each(|numbers| numbers.write_all(format!("{number}\n").as_bytes()).unwrap());
        }
    };
    write(0, NUMBERS / 2);
    process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGUSR2).unwrap();
    write(NUMBERS / 2, NUMBERS);
    for name in &names {
        let pid = *supervisors_before.iter().find(|pid| is_in(**pid, &services.join(name))).unwrap();
        let pid = u32::try_from(pid).unwrap();
        tree.wait_status(&supervise(name, "."), |_| is_on_the_new(&tree, pid, "runsv"));
    }
    assert!(is_on_the_new(&tree, runsvdir.id(), "runsvdir"));
    assert_eq!(supervisors(), supervisors_before);
    assert_eq!(pids(), before);
    process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGHUP).unwrap();
    // In order: what was asked for before the upgrade is still.
    assert_eq!(wait_for_end(&mut runsvdir).and_then(|status| status.code()), Some(111));
    for name in &names {
        let log = fs::read_to_string(services.join(name).join("log/main/current")).unwrap();
        let written = fs::read_to_string(services.join(name).join("written")).unwrap_or_default();
        let numbers: Vec<String> = written.lines().map(|number| format!("number {number}")).collect();
        assert_eq!(log.lines().collect::<Vec<_>>(), numbers, "{name}");
        assert!(!numbers.is_empty(), "{name} has written");
    }
}

fn is_in(pid: i32, directory: &Path) -> bool {
    fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == directory)
}
