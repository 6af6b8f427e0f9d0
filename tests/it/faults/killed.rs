//! Something is killed with KILL.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::Child;

use super::*;

const RUN: &str = "say run $$; exec sleep 1000";
const FINISH: &str = "say finish $1 $2";
/// Writes the lines that it is given through a FIFO, into the log.
const WRITER: &str = "exec 3<>lines; say run $$; while IFS= read -r line <&3; do echo \"$line\"; say wrote; done";
/// Reads lines and says them.
const LOG: &str = "say log $$; while IFS= read -r line; do say \"line $line\"; done";

#[test]
fn a_supervisor() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        kill(foo, &[]);
        let foo = kit.tree.service("foo").start();
        let next = foo.wait(is_running).pid;
        let outcome = match (next == pid, kit.tree.processes().contains(&pid)) {
            (true, true) => "its service goes on, and the next runsv has it",
            (false, true) => "the next runsv starts a second process beside it",
            _ => "it ends",
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_supervisor_with_its_service() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).finish(FINISH).start();
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        kill(foo, &[pid]);
        let foo = kit.tree.service("foo").start();
        let first = kit.tree.heard();
        let outcome = match first.split(' ').next() {
            Some("finish") if said(&kit.tree, "run") != pid => "finish is run, then it is started again",
            Some("run") => "it is started again without its finish",
            _ => "it is something else",
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_service() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).finish(FINISH).start();
        let pid = said(&kit.tree, "run");
        send(pid, Signal::SIGKILL);
        let told = kit.tree.heard();
        let is_again = said(&kit.tree, "run") != pid;
        end(kit, foo);
        match &*told {
            "finish -1 9" if is_again => "finish is told, and it is started again",
            _ => "it is something else",
        }
    });
}

#[test]
fn the_supervisor_of_a_service_that_is_down() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        foo.control(b"d");
        foo.wait(is_down);
        kill(foo, &[]);
        let foo = kit.tree.service("foo").start();
        let is_started = kit.original_alone_says(|line| line.starts_with("run"));
        end(kit, foo);
        if is_started { "it is started" } else { "it stays down" }
    });
}

/// A service that writes lines into its log, and a file for these lines.
fn writer(kit: &Kit) -> (Running<'_>, File) {
    let service = kit.tree.service("foo").run(WRITER).log(LOG);
    homerun::sys::file::make_fifo(&kit.tree.path("foo/lines"), 0o600).unwrap();
    let lines = homerun::sys::file::open_read_write(kit.tree.path("foo/lines")).unwrap();
    let foo = service.start();
    let mut heard = [kit.tree.heard(), kit.tree.heard()];
    heard.sort();
    assert!(heard[0].starts_with("log") && heard[1].starts_with("run"), "{heard:?}");
    foo.wait(is_running);
    (foo, lines)
}

#[test]
fn a_supervisor_with_its_log_service() {
    tell(|kit| {
        let (foo, mut lines) = writer(kit);
        let log = foo.wait_log(is_running).pid;
        stop(log);
        lines.write_all(b"one\n").unwrap();
        assert_eq!(kit.tree.heard(), "wrote");
        kill(foo, &[log]);
        let foo = kit.tree.service("foo").start();
        let is_read = kit.ours_alone_says(|line| line == "line one");
        end(kit, foo);
        if is_read { "the next log service reads it" } else { "the line is lost" }
    });
}

#[test]
fn all_but_the_scanner() {
    tell(|kit| {
        kit.tree.directory("services");
        let service = kit.tree.service("services/foo").run(WRITER).log(LOG);
        let fifo = kit.tree.path("services/foo/lines");
        homerun::sys::file::make_fifo(&fifo, 0o600).unwrap();
        let mut lines = homerun::sys::file::open_read_write(&fifo).unwrap();
        let supervise = service.made().join("supervise");
        let mut scanner = scanner(kit);
        let up = |supervise: &Path, other: i32| {
            kit.tree.wait_status(supervise, |status| is_running(status) && status.pid != other).pid
        };
        let log_supervise = kit.tree.path("services/foo/log/supervise");
        let (main, log) = (up(&supervise, 0), up(&log_supervise, 0));
        while kit.tree.heard() != format!("log {log}") {}
        // A moment after the start, ours holds the pipe.
        let held = format!("/proc/{}/fd", scanner.id());
        kit.ours_alone(|| {
            let mut links = fs::read_dir(&held).unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
            links.any(|link| link.ends_with("foo/supervise/pipe"))
        });
        stop(log);
        lines.write_all(b"one\n").unwrap();
        while kit.tree.heard() != "wrote" {}
        let runsv = parent(main);
        send(runsv, Signal::SIGSTOP);
        [main, log, runsv].into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
        [main, log, runsv].into_iter().for_each(wait_until_gone);
        // The original's looks every five seconds, or so.
        send(i32::try_from(scanner.id()).unwrap(), Signal::SIGALRM);
        up(&log_supervise, log);
        let is_read = kit.ours_alone_says(|line| line == "line one");
        scanner.kill().unwrap();
        scanner.wait().unwrap();
        if is_read { "the next log service reads it" } else { "the line is lost" }
    });
}

fn parent(pid: i32) -> i32 {
    homerun::sys::proc::relations().iter().find(|it| it.pid == pid).unwrap().parent
}

#[test]
fn a_supervisor_that_waits_for_a_hook() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).script("control/t", "say hook; read -r _ <go; exit 1");
        homerun::sys::file::make_fifo(&kit.tree.path("foo/go"), 0o600).unwrap();
        let _go = homerun::sys::file::open_read_write(kit.tree.path("foo/go")).unwrap();
        let foo = foo.start();
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        foo.control(b"d");
        assert_eq!(kit.tree.heard(), "hook");
        kill(foo, &[]);
        let foo = kit.tree.service("foo").start();
        // One for the old hook, and one for that of the next supervisor.
        fs::write(kit.tree.path("foo/go"), "\n\n").unwrap();
        let outcome = if kit.ours_alone(|| !kit.tree.processes().contains(&pid)) {
            foo.wait(is_down);
            "the next runsv stops the service"
        } else {
            assert_ne!(foo.wait(is_running).pid, pid);
            "the service goes on, and a second process is started beside it"
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_log_service() {
    tell(|kit| {
        let (foo, mut lines) = writer(kit);
        let log = foo.wait_log(is_running).pid;
        stop(log);
        lines.write_all(b"one\n").unwrap();
        assert_eq!(kit.tree.heard(), "wrote");
        send(log, Signal::SIGKILL);
        assert_ne!(said(&kit.tree, "log"), log);
        let outcome = if kit.tree.heard() == "line one" { "the next log service reads it" } else { "the line is lost" };
        end(kit, foo);
        outcome
    });
}

#[test]
fn svlogd() {
    tell(|kit| {
        let service = kit.tree.service("foo").run(WRITER).log("mkdir -p main; exec svlogd ./main");
        homerun::sys::file::make_fifo(&kit.tree.path("foo/lines"), 0o600).unwrap();
        let mut lines = homerun::sys::file::open_read_write(kit.tree.path("foo/lines")).unwrap();
        kit.tree.directory("foo/log/main");
        let foo = service.start();
        said(&kit.tree, "run");
        let mut write = |line: &str| {
            lines.write_all(format!("{line}\n").as_bytes()).unwrap();
            assert_eq!(kit.tree.heard(), "wrote");
        };
        // In whatever file: what was not closed well is put aside.
        let main = kit.tree.path("foo/log/main");
        let written = || -> Vec<String> {
            let files = fs::read_dir(&main).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
            let mut lines: Vec<String> =
                files.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
            lines.sort();
            lines
        };
        write("one");
        kit.tree.wait_in(&main, || (written() == ["one"]).then_some(()));
        let log = foo.wait_log(is_running).pid;
        send(log, Signal::SIGKILL);
        write("two");
        foo.wait_log(|status| is_running(status) && status.pid != log);
        kit.tree.wait_in(&main, || written().contains(&"two".to_owned()).then_some(()));
        let outcome =
            if written() == ["one", "two"] { "every line is there once" } else { "lines are lost or doubled" };
        end(kit, foo);
        outcome
    });
}

/// A runsvdir on `services`, heard.
fn scanner(kit: &Kit) -> Child {
    let mut command = kit.tree.command("runsvdir");
    command.arg("services").stderr(kit.tree.mouth()).spawn().unwrap()
}

/// A services directory with one service.
fn services(kit: &Kit) {
    kit.tree.directory("services");
    kit.tree.service("services/foo").run(RUN).finish(FINISH);
}

/// Whether the next line about a lock comes.
fn fails_at_a_lock(kit: &Kit) -> bool {
    kit.original_alone_says(|line| line.contains("unable to lock"))
}

#[test]
fn the_scanner() {
    tell(|kit| {
        services(kit);
        let mut first = scanner(kit);
        let pid = said(&kit.tree, "run");
        kit.tree.wait_status(&kit.tree.path("services/foo/supervise"), is_running);
        first.kill().unwrap();
        first.wait().unwrap();
        let mut next = scanner(kit);
        let fails = fails_at_a_lock(kit);
        assert!(kit.tree.processes().contains(&pid), "the service goes on");
        next.kill().unwrap();
        next.wait().unwrap();
        if fails {
            "the next one starts others, which fail at the locks"
        } else {
            "the next one watches the supervisors that live"
        }
    });
}

#[test]
fn none_but_a_second_scanner_comes() {
    tell(|kit| {
        services(kit);
        let mut first = scanner(kit);
        said(&kit.tree, "run");
        kit.tree.wait_status(&kit.tree.path("services/foo/supervise"), is_running);
        let mut second = scanner(kit);
        let fails = fails_at_a_lock(kit);
        for scanner in [&mut first, &mut second] {
            scanner.kill().unwrap();
            scanner.wait().unwrap();
        }
        if fails { "it starts others, which fail at the locks" } else { "it watches the supervisors of the first one" }
    });
}

#[test]
fn the_tree_of_a_user() {
    let name = Tree::new().run("id", &["-un"]).stdout.trim().to_owned();
    let entry = Tree::new().run("getent", &["passwd", &name]).stdout;
    if !entry.split(':').nth(5).is_some_and(|home| Path::new(home).is_dir()) {
        return skip("needs to be run by a user with a home directory");
    }
    tell(|kit| {
        services(kit);
        let home = kit.tree.path("").display().to_string();
        let env = kit.tree.directory("env");
        fs::write(env.join("EAR"), kit.tree.path("ear").to_str().unwrap()).unwrap();
        // The original's way to a user's tree has no other process either.
        let run = if kit.is_original {
            format!("cd {home}; exec runsvdir services")
        } else {
            let path =
                kit.tree.command("true").get_envs().find(|(key, _)| *key == "PATH").unwrap().1.unwrap().to_owned();
            let options = format!("--allow-root --env {home}/env --path {}", path.to_str().unwrap());
            format!("exec runsvdir-user {options} {} {home}/services", name)
        };
        let tree = kit.tree.service("tree").run(&run).start_heard();
        let pid = said(&kit.tree, "run");
        kit.tree.wait_status(&kit.tree.path("services/foo/supervise"), is_running);
        let scanner = tree.wait(is_running).pid;
        send(scanner, Signal::SIGKILL);
        tree.wait(|status| is_running(status) && status.pid != scanner);
        let fails = fails_at_a_lock(kit);
        assert!(kit.tree.processes().contains(&pid), "the service goes on");
        end(kit, tree);
        if fails {
            "root's supervisor starts the next one, which starts others, which fail at the locks"
        } else {
            "root's supervisor starts the next one, which watches the supervisors that live"
        }
    });
}

#[test]
fn everything_at_once() {
    tell(|kit| {
        services(kit);
        let mut first = scanner(kit);
        let pid = said(&kit.tree, "run");
        kit.tree.wait_status(&kit.tree.path("services/foo/supervise"), is_running);
        let all = kit.tree.processes();
        assert!(all.len() >= 3 && all.contains(&pid), "{all:?}");
        // The scanner first, so that nobody is started meanwhile.
        send(i32::try_from(first.id()).unwrap(), Signal::SIGSTOP);
        all.iter().for_each(|pid| send(*pid, Signal::SIGSTOP));
        all.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
        first.wait().unwrap();
        all.iter().for_each(|pid| wait_until_gone(*pid));
        let mut next = scanner(kit);
        let first_line = kit.tree.heard();
        let has_finish = first_line.starts_with("finish");
        if has_finish {
            said(&kit.tree, "run");
        }
        kit.tree.wait_status(&kit.tree.path("services/foo/supervise"), is_running);
        assert_eq!(kit.tree.heard_already(), None);
        next.kill().unwrap();
        next.wait().unwrap();
        if has_finish {
            "finish is run, then it is started again, once"
        } else {
            "it is started again without its finish, once"
        }
    });
}
