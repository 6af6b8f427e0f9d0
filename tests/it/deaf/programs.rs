//! Programs of a service that cannot be started: each says what is wrong with it, once, and is started once it can be.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use homerun::model::status::Status;

use crate::support::*;

use super::{runs, status, wait_reason};

/// Writes a file that is to be run, by another process: nobody here holds it open when it is.
fn put(path: &Path, content: &[u8], mode: &str) {
    let aside = path.with_extension("aside");
    fs::write(&aside, content).unwrap();
    assert!(Command::new("install").args(["-m", mode]).arg(&aside).arg(path).status().unwrap().success());
    fs::remove_file(aside).unwrap();
}

/// The head of this test program, with all that follows its first segment taken away.
fn elf(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut head = vec![0; 4096];
    let mut own = fs::File::open(std::env::current_exe().unwrap()).unwrap();
    own.read_exact(&mut head).unwrap();
    change(&mut head);
    head
}

/// A program that cannot be run: its name here, what puts it there, and what is wrong with it.
type Unfit = (&'static str, fn(&Path), &'static str);

const UNFIT: [Unfit; 12] = [
    ("missing", |_| {}, "file does not exist"),
    (
        "link",
        |run| symlink("nowhere", run).unwrap(),
        "file does not exist: it is a link to what does not exist: nowhere",
    ),
    ("directory", |run| fs::create_dir(run).unwrap(), "access denied: it is a directory"),
    ("mode", |run| put(run, b"#!/bin/sh\n", "644"), "access denied: it is not executable"),
    ("empty", |run| put(run, b"", "755"), "exec format error: it is empty"),
    ("text", |run| put(run, b"sleep 1000\n", "755"), "exec format error: it does not begin with #!"),
    ("bare", |run| put(run, b"#! \n", "755"), "exec format error: it has no interpreter behind #!"),
    ("mark", |run| put(run, b"\xef\xbb\xbf#!/bin/sh\n", "755"), MARK),
    ("interpreter", |run| put(run, b"#!/no/such/sh\n", "755"), INTERPRETER),
    ("unfit", |run| put(run, b"#!/etc/passwd\n", "755"), UNFIT_INTERPRETER),
    ("dos", |run| put(run, b"#!/bin/sh\r\nsleep 1000\r\n", "755"), DOS),
    ("machine", |run| put(run, &elf(|head| head[18..20].copy_from_slice(&[22, 22])), "755"), MACHINE),
];
const MARK: &str = "exec format error: it has a byte order mark before #!";
const INTERPRETER: &str = "file does not exist: it has an interpreter that does not exist: /no/such/sh";
const UNFIT_INTERPRETER: &str = "access denied: it has an interpreter that is not executable: /etc/passwd";
const DOS: &str = "file does not exist: it has the line ends of DOS: there is a carriage return behind its interpreter";
const MACHINE: &str = "exec format error: it is a program for another machine";

#[test]
fn what_is_wrong_with_a_program_is_said_once_and_it_runs_once_it_can() {
    let tree = Tree::new();
    let services = UNFIT.map(|(name, make, fault)| {
        let service = tree.service(name);
        make(&tree.path(name).join("run"));
        (name, service.start(), fault)
    });
    let is_down = |status: &Status| status.pid == 0;
    for (_, foo, fault) in &services {
        wait_reason(&tree, foo, "supervise", Some(&format!("unable to start ./run: {fault}")));
    }
    for _ in 0..2 {
        // Together, and with no growing pause.
        let tries = services.each_ref().map(|(_, foo, _)| foo.wait(is_down).since);
        services.iter().for_each(|(_, foo, _)| foo.control(b"u"));
        for ((_, foo, _), last) in services.iter().zip(tries) {
            foo.wait(|status| is_down(status) && status.since != last);
        }
    }
    for (_, foo, _) in &services {
        let run = foo.directory.join("run");
        if run.is_dir() { fs::remove_dir(&run) } else { fs::remove_file(&run) }.unwrap_or_default();
        put(&run, b"#!/bin/sh\nexec sleep 1000\n", "755");
        foo.control(b"u");
    }
    for (name, foo, fault) in services {
        foo.wait(runs);
        wait_reason(&tree, &foo, "supervise", None);
        let (status, said) = foo.exit();
        assert!(status.success());
        let errno = fault.split(": ").next().unwrap();
        let fatal = format!("runsv {name}: fatal: unable to start ./run: {errno}");
        assert!(said.lines().filter(|line| *line == fatal).count() >= 2, "{said}");
        let info = format!("runsv {name}: info: unable to start ./run: {fault}");
        assert_eq!(said.lines().filter(|line| *line == info).count(), usize::from(errno != fault), "{said}");
    }
}

#[test]
fn a_program_whose_loader_is_missing_names_it() {
    // One that is linked statically has none.
    let name = |head: &[u8]| head.windows(4).position(|part| part == b"/lib");
    let Some(at) = name(&elf(|_| {})).filter(|_| cfg!(target_env = "gnu")) else { return };
    let tree = Tree::new();
    let foo = tree.service("foo").made();
    put(&foo.join("run"), &elf(|head| head[at + 1..at + 4].copy_from_slice(b"xxx")), "755");
    let foo = tree.service("foo").start();
    let supervise = foo.directory.join("supervise");
    let said = tree.wait_in(&supervise, || fs::read_to_string(supervise.join("reason")).ok());
    let start = "unable to start ./run: file does not exist: it has a loader that does not exist: /xxx";
    assert!(said.starts_with(start), "{said}");
}

#[test]
fn a_program_that_is_being_written_is_started_when_that_is_over() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("exec sleep 1000").file("down", "").start();
    let writer = fs::File::options().append(true).open(foo.directory.join("run")).unwrap();
    foo.control(b"u");
    wait_reason(&tree, &foo, "supervise", Some("unable to start ./run: text busy: it is open for writing"));
    drop(writer);
    foo.wait(runs);
    assert_eq!(status(&tree), "run: foo: (pid N) Ns, normally down\n");
}

#[test]
fn a_program_on_a_file_system_without_execution_says_so() {
    let tree = Tree::new();
    let options: &[&str] = if is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let can = Outcome::of(tree.command("unshare").args(options).args(["mount", "-t", "tmpfs", "none", "/mnt"]));
    if can.code != Some(0) {
        return skip("needs to mount");
    }
    let foo = tree.service("foo").script("aside/run", "exec sleep 1000").made();
    symlink("bin/run", foo.join("run")).unwrap();
    tree.directory("foo/bin");
    let script = "mount -t tmpfs -o noexec none foo/bin && cp aside/run foo/bin && exec runsv foo";
    let script = script.replace("aside/run", "foo/aside/run");
    let mut command = tree.command("unshare");
    command.args(options).args(["sh", "-c", &script]);
    let foo = tree.service("foo").start_by({
        command.arg("sh");
        command
    });
    foo.wait(|_| true);
    let reason = "unable to start ./run: access denied: it is on a file system that is mounted noexec";
    wait_reason(&tree, &foo, "supervise", Some(reason));
    // Where a link leads, it may be run.
    put(&foo.directory.join("good"), b"#!/bin/sh\nexec sleep 1000\n", "755");
    symlink("good", foo.directory.join("new")).unwrap();
    fs::rename(foo.directory.join("new"), foo.directory.join("run")).unwrap();
    foo.wait(runs);
}

#[test]
fn finish_the_log_service_and_hooks_say_what_is_wrong_with_them_too() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run; exec sleep 1000").made();
    for name in ["finish", "control/t", "log/run"] {
        fs::create_dir_all(foo.join(name).parent().unwrap()).unwrap();
        put(&foo.join(name), b"#!/no/such/sh\n", "755");
    }
    let foo = tree.service("foo").start();
    let fault = INTERPRETER;
    wait_reason(&tree, &foo, "log/supervise", Some(&format!("unable to start log/./run: {fault}")));
    assert_eq!(tree.heard(), "run");
    foo.control(b"t");
    wait_reason(&tree, &foo, "supervise", Some(&format!("unable to start ./finish: {fault}")));
    fs::remove_file(foo.directory.join("finish")).unwrap();
    assert_eq!(tree.heard(), "run");
    foo.control(b"t");
    wait_reason(&tree, &foo, "supervise", Some(&format!("unable to run control/t: {fault}")));
    assert_eq!(tree.heard(), "run");
    for name in ["control/t", "log/run"] {
        fs::remove_file(foo.directory.join(name)).unwrap();
    }
    put(&foo.directory.join("log/run"), b"#!/bin/sh\nexec cat >/dev/null\n", "755");
    foo.wait_log(runs);
    wait_reason(&tree, &foo, "log/supervise", None);
    foo.control(b"t");
    wait_reason(&tree, &foo, "supervise", None);
    let (status, said) = foo.exit();
    assert!(status.success());
    for what in ["start ./finish", "run control/t", "start log/./run"] {
        let info = format!("runsv foo: info: unable to {what}: {fault}");
        assert_eq!(said.lines().filter(|line| *line == info).count(), 1, "{said}");
    }
}
