//! runsvdir(8), black-box.

mod changes;
mod children;
mod found;
mod title;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use homerun::model::status::{State, Status, Want};
use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::*;

const NOBODY: u32 = 65534;

/// A runsvdir, which says its own lines, and those of its runsvs, into the ear.
struct Keeper<'a> {
    tree: &'a Tree,
    child: Child,
}

/// runsvdir in the tree, with these arguments.
fn command(tree: &Tree, args: &[&str]) -> Command {
    let mut command = tree.command("runsvdir");
    let ear = fs::OpenOptions::new().read(true).write(true).open(tree.path("ear")).unwrap();
    command.arg0("runsvdir").args(args).stderr(ear);
    command
}

/// Starts a runsvdir on `services` in the tree.
fn keep(tree: &Tree) -> Keeper<'_> {
    keep_with(tree, |_| {})
}

fn keep_with(tree: &Tree, change: impl FnOnce(&mut Command)) -> Keeper<'_> {
    tree.directory("services");
    let mut command = command(tree, &["services"]);
    change(&mut command);
    Keeper { tree, child: command.spawn().unwrap() }
}

impl Keeper<'_> {
    fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap()
    }

    fn send(&self, signal: Signal) {
        send(self.pid(), signal).unwrap();
    }

    fn ended(&mut self) -> ExitStatus {
        wait_for_end(&mut self.child).expect("runsvdir lives on")
    }

    /// The runsvs it has.
    fn runsvs(&self) -> Vec<i32> {
        children(self.pid())
    }

    /// Adds a service and waits until it has started: whatever came before was seen by then.
    fn catches_up(&self, marker: &str) {
        let elsewhere = self.tree.service(&format!("elsewhere/{marker}"));
        let made = elsewhere.run(&format!("say {marker} is up; exec sleep 1000")).made();
        symlink(made, self.tree.path("services").join(marker)).unwrap();
        assert_eq!(self.tree.heard(), format!("{marker} is up"));
    }
}

fn children(pid: i32) -> Vec<i32> {
    let relations = homerun::sys::proc::relations();
    relations.iter().filter(|it| it.parent == pid && !it.ended).map(|it| it.pid).collect()
}

fn parent(pid: i32) -> i32 {
    homerun::sys::proc::relations().iter().find(|it| it.pid == pid).unwrap().parent
}

/// Waits until the service runs; gives its pid.
fn pid_of(tree: &Tree, service: impl AsRef<Path>) -> i32 {
    tree.wait_status(&tree.path(service.as_ref()).join("supervise"), |status| status.pid != 0).pid
}

/// A service that says when it comes and goes, in `elsewhere`.
fn elsewhere(tree: &Tree, name: &str) -> PathBuf {
    let service = tree.service(&format!("elsewhere/{name}"));
    service.run(&format!("say {name} up; exec sleep 1000")).finish(&format!("say {name} finish")).made()
}

/// A FIFO at which a script can be held until a line is written.
fn gate(tree: &Tree) -> File {
    homerun::sys::file::make_fifo(&tree.path("gate"), 0o600).unwrap();
    fs::OpenOptions::new().read(true).write(true).open(tree.path("gate")).unwrap()
}

/// Puts a link at `path`, in place of whatever link is there.
fn link(target: &Path, path: &Path) {
    let new = path.with_file_name(".new");
    symlink(target, &new).unwrap();
    fs::rename(new, path).unwrap();
}

/// Makes a directory look as if nothing had changed in it for long: else the original pauses for a second first.
fn age(directory: &Path) {
    File::open(directory).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
}

fn heard_all(tree: &Tree, count: usize) -> Vec<String> {
    let mut lines: Vec<String> = (0..count).map(|_| tree.heard()).collect();
    lines.sort();
    lines
}

#[test]
fn wrong_arguments_are_answered_as_the_original_answers_them() {
    let tree = Tree::new();
    let usage = fails("usage: runsvdir [-P] dir\n\n", 1);
    for args in [&[][..], &["-P"], &["--"], &["-Pfoo"]] {
        assert_eq!(Outcome::of(tree.command("runsvdir").arg0("runsvdir").args(args)), usage, "{args:?}");
        if let Some(runit) = runit() {
            let theirs = Outcome::of(Tree::with(&runit).command("runsvdir").arg0("runsvdir").args(args));
            assert_eq!(theirs, usage, "{args:?}");
        }
    }
}

#[test]
fn every_directory_and_every_link_to_one_without_a_leading_dot_is_supervised() {
    let tree = Tree::new();
    tree.service("services/a").run("say a up; exec sleep 1000").made();
    tree.service("services/ b\u{e9} c").run("say b up; exec sleep 1000").made();
    tree.service("services/.hidden").run("say hidden up; exec sleep 1000").made();
    fs::write(tree.path("services/file"), "").unwrap();
    symlink(tree.path("services/file"), tree.path("services/to-file")).unwrap();
    symlink(elsewhere(&tree, "linked"), tree.path("services/linked")).unwrap();
    symlink(elsewhere(&tree, "dotted"), tree.path("services/.dotted")).unwrap();
    let keeper = keep(&tree);
    assert_eq!(heard_all(&tree, 3), ["a up", "b up", "linked up"]);
    keeper.catches_up("marker");
    assert_eq!(keeper.runsvs().len(), 4);
    assert!(!tree.path("services/.hidden/supervise").exists());
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_link_that_is_made_starts_a_service_and_its_removal_stops_it() {
    let tree = Tree::new();
    let _keeper = keep(&tree);
    let foo = elsewhere(&tree, "foo");
    let place = tree.path("services/foo");
    for _ in 0..2 {
        symlink(&foo, &place).unwrap();
        assert_eq!(tree.heard(), "foo up");
        let runsv = parent(pid_of(&tree, "services/foo"));
        fs::remove_file(&place).unwrap();
        assert_eq!(tree.heard(), "foo finish");
        wait_until_gone(runsv);
    }
}

#[test]
fn a_directory_that_is_copied_is_started_with_its_log_service() {
    let tree = Tree::new();
    let original = tree
        .service("original")
        .run("echo line; exec sleep 1000")
        .log("read line; say log has $line; exec cat >/dev/null")
        .made();
    let _keeper = keep(&tree);
    let copied = tree.command("cp").arg("-R").arg(original).arg(tree.path("services/copy")).status().unwrap();
    assert!(copied.success());
    assert_eq!(tree.heard(), "log has line");
}

#[test]
fn a_directory_that_is_renamed_keeps_running_and_is_started_again_by_its_new_name() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    let foo = elsewhere(&tree, "foo");
    fs::rename(foo, tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    let pid = pid_of(&tree, "services/foo");
    let runsv = parent(pid);
    fs::rename(tree.path("services/foo"), tree.path("services/bar")).unwrap();
    keeper.catches_up("marker");
    assert_eq!(pid_of(&tree, "services/bar"), pid);
    assert_eq!(tree.run("sv", &["exit", "./services/bar"]), says(""));
    assert_eq!(tree.heard(), "foo finish");
    wait_until_gone(runsv);
    assert_eq!(tree.heard(), "foo up");
}

#[test]
fn a_directory_with_another_in_its_place_is_stopped_before_the_other_starts() {
    let tree = Tree::new();
    let _keeper = keep(&tree);
    let place = tree.path("services/foo");
    fs::rename(elsewhere(&tree, "old"), &place).unwrap();
    assert_eq!(tree.heard(), "old up");
    let new = elsewhere(&tree, "new");
    fs::rename(&place, tree.path("away")).unwrap();
    fs::rename(new, &place).unwrap();
    assert_eq!(tree.heard(), "old finish");
    assert_eq!(tree.heard(), "new up");
}

#[test]
fn a_link_that_leads_elsewhere_stops_the_one_and_starts_the_other() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    let place = tree.path("services/foo");
    symlink(elsewhere(&tree, "old"), &place).unwrap();
    assert_eq!(tree.heard(), "old up");
    link(&elsewhere(&tree, "new"), &place);
    assert_eq!(tree.heard(), "old finish");
    assert_eq!(tree.heard(), "new up");
    assert_eq!(keeper.runsvs().len(), 1);
}

#[test]
fn two_links_to_one_directory_are_one_service_until_both_are_gone() {
    let tree = Tree::new();
    let foo = elsewhere(&tree, "foo");
    let places = ["services/one", "services/two"].map(|place| tree.path(place));
    tree.directory("services");
    places.iter().for_each(|place| symlink(&foo, place).unwrap());
    let keeper = keep(&tree);
    assert_eq!(tree.heard(), "foo up");
    keeper.catches_up("marker");
    assert_eq!(keeper.runsvs().len(), 2);
    fs::remove_file(&places[0]).unwrap();
    keeper.catches_up("again");
    assert_eq!(keeper.runsvs().len(), 3);
    fs::remove_file(&places[1]).unwrap();
    assert_eq!(tree.heard(), "foo finish");
}

#[test]
fn a_service_that_comes_back_while_it_is_stopped_is_started_again() {
    let tree = Tree::new();
    let service = tree.service("elsewhere/foo").run("say up; exec sleep 1000");
    let foo = service.finish("say finish; read line <${EAR%ear}gate").made();
    let mut gate = gate(&tree);
    let keeper = keep(&tree);
    let place = tree.path("services/foo");
    symlink(&foo, &place).unwrap();
    assert_eq!(tree.heard(), "up");
    fs::remove_file(&place).unwrap();
    assert_eq!(tree.heard(), "finish");
    symlink(&foo, &place).unwrap();
    keeper.catches_up("marker");
    gate.write_all(b"\n").unwrap();
    assert_eq!(tree.heard(), "up");
}

#[test]
fn a_service_that_is_removed_and_made_again_at_once_runs_in_the_end() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    let place = tree.path("services/foo");
    let foo = tree.service("elsewhere/foo").run("exec sleep 1000").made();
    symlink(&foo, &place).unwrap();
    pid_of(&tree, "services/foo");
    for round in 0..5 {
        fs::remove_file(&place).unwrap();
        symlink(&foo, &place).unwrap();
        keeper.catches_up(&format!("marker{round}"));
    }
    let runs = |status: &Status| status.pid != 0 && status.want == Want::Up && !status.got_term;
    tree.wait_status(&foo.join("supervise"), runs);
}

#[test]
fn a_runsv_that_was_killed_is_started_again() {
    let tree = Tree::new();
    let _keeper = keep(&tree);
    symlink(elsewhere(&tree, "foo"), tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    let pid = pid_of(&tree, "services/foo");
    let runsv = parent(pid);
    send(runsv, Signal::SIGKILL).unwrap();
    wait_until_gone(runsv);
    tree.wait_status(&tree.path("services/foo/supervise"), |status| status.pid == pid);
    // The service goes on, and the new one sees its end.
    send(pid, Signal::SIGKILL).unwrap();
    assert_eq!((tree.heard(), tree.heard()), ("foo finish".into(), "foo up".into()));
    let is_next = |status: &Status| status.state == State::Run && status.pid != pid;
    assert_ne!(parent(tree.wait_status(&tree.path("services/foo/supervise"), is_next).pid), runsv);
}

#[test]
fn a_runsv_that_was_told_to_exit_goes_and_comes_back() {
    let tree = Tree::new();
    let _keeper = keep(&tree);
    symlink(elsewhere(&tree, "foo"), tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    let exit = tree.command("sv").args(["-w", "30", "exit", "./services/foo"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&exit.stdout), "ok: ./services/foo: runsv not running\n");
    assert_eq!((tree.heard(), tree.heard()), ("foo finish".into(), "foo up".into()));
}

#[test]
fn a_link_that_leads_nowhere_is_told_of_once() {
    let tree = Tree::new();
    tree.directory("services");
    let target = tree.path("nowhere");
    symlink(&target, tree.path("services/foo")).unwrap();
    let keeper = keep(&tree);
    let warning = "runsvdir services: warning: unable to stat foo: file does not exist";
    assert_eq!(tree.heard(), warning);
    keeper.catches_up("one");
    keeper.catches_up("two");
    fs::rename(elsewhere(&tree, "foo"), &target).unwrap();
    keeper.send(Signal::SIGALRM);
    assert_eq!(tree.heard(), "foo up");
    fs::rename(&target, tree.path("away")).unwrap();
    keeper.send(Signal::SIGALRM);
    assert_eq!(heard_all(&tree, 2), ["foo finish", warning]);
}

#[test]
fn an_unreadable_services_directory_stops_nothing_and_is_read_once_it_can_be() {
    let tree = Tree::new();
    let services = tree.directory("services");
    let foo = tree.service("services/foo").run("say up; exec sleep 1000").finish("say finish").made();
    let own = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    let mode = |bits| fs::set_permissions(&services, fs::Permissions::from_mode(bits)).unwrap();
    if is_root() {
        [&services, &foo, &foo.join("run"), &foo.join("finish")].iter().for_each(|path| own(path));
    }
    let as_user = |command: &mut Command| {
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
    };
    mode(0o300);
    let warning = "runsvdir services: warning: unable to open directory services: access denied";
    let keeper = keep_with(&tree, as_user);
    assert_eq!(tree.heard(), warning);
    mode(0o700);
    assert_eq!(tree.heard(), "up");
    mode(0o300);
    assert_eq!(tree.heard(), warning);
    send(parent(pid_of(&tree, "services/foo")), Signal::SIGTERM).unwrap();
    assert_eq!(tree.heard(), "finish");
    assert_eq!(tree.heard(), "up", "a runsv that was known is started again");
    mode(0o700);
    keeper.send(Signal::SIGALRM);
    symlink(elsewhere(&tree, "bar"), services.join(".bar")).unwrap();
    fs::rename(services.join(".bar"), services.join("bar")).unwrap();
    let line = tree.heard();
    assert!(line.starts_with("runsv bar: fatal: unable to open supervise/lock") || line == "bar up", "{line}");
}

#[test]
fn a_services_directory_that_is_missing_is_waited_for() {
    let tree = Tree::new();
    let ready = tree.service("ready/foo").run("say up; exec sleep 1000").made();
    let mut keeper = Keeper { tree: &tree, child: command(&tree, &["services"]).spawn().unwrap() };
    assert_eq!(tree.heard(), "runsvdir services: warning: unable to stat services: file does not exist");
    fs::rename(ready.parent().unwrap(), tree.path("services")).unwrap();
    assert_eq!(tree.heard(), "up");
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
}

#[test]
fn another_services_directory_in_place_of_the_first_changes_the_services() {
    let tree = Tree::new();
    let service = |set: &str| {
        let service = tree.service(&format!("{set}/foo")).run(&format!("say {set} up; exec sleep 1000"));
        service.finish(&format!("say {set} finish")).made()
    };
    service("services");
    let _keeper = keep(&tree);
    assert_eq!(tree.heard(), "services up");
    service("other");
    fs::rename(tree.path("services"), tree.path("away")).unwrap();
    fs::rename(tree.path("other"), tree.path("services")).unwrap();
    let mut lines = vec![tree.heard(), tree.heard()];
    // Between the two it may have found nothing.
    if let Some(at) = lines.iter().position(|line| line.starts_with("runsvdir services: warning: unable to stat")) {
        lines.remove(at);
        lines.push(tree.heard());
    }
    assert_eq!(lines, ["services finish", "other up"]);
}

#[test]
fn a_services_directory_that_is_a_link_can_be_switched() {
    let tree = Tree::new();
    let service = |set: &str| {
        let service = tree.service(&format!("sets/{set}/foo")).run(&format!("say {set} up; exec sleep 1000"));
        service.finish(&format!("say {set} finish")).made()
    };
    service("one");
    service("two");
    let current = tree.path("sets/current");
    symlink("one", &current).unwrap();
    let mut command = command(&tree, &["sets/current"]);
    let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    assert_eq!(tree.heard(), "one up");
    for (to, from) in [("two", "one"), ("one", "two")] {
        link(Path::new(to), &current);
        assert_eq!(tree.heard(), format!("{from} finish"));
        assert_eq!(tree.heard(), format!("{to} up"));
    }
    assert_eq!(keeper.runsvs().len(), 1);
}

#[test]
fn term_ends_it_alone() {
    let tree = Tree::new();
    let mut keeper = keep(&tree);
    symlink(elsewhere(&tree, "foo"), tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    let pid = pid_of(&tree, "services/foo");
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(pid_of(&tree, "services/foo"), pid);
    assert_eq!(tree.run("sv", &["status", "./services/foo"]).code, Some(0));
    assert_eq!(tree.run("sv", &["shutdown", "./services/foo"]), says("ok: ./services/foo: runsv not running\n"));
}

#[test]
fn term_while_it_starts_services_starts_no_more_of_them() {
    const MANY: usize = 2000;
    let tree = Tree::new();
    (0..MANY).for_each(|number| drop(tree.directory(&format!("services/foo{number}"))));
    // Only the first: afterwards its parent is somebody else.
    tree.service("own").script("runsv", "mkdir ../first 2>/dev/null && kill -TERM $PPID; echo started");
    let mut command = command(&tree, &["services"]);
    command.env("PATH", format!("{}:/usr/bin:/bin", tree.path("own").display())).stderr(Stdio::null());
    let outcome = Outcome::of(&mut command);
    assert_eq!(outcome.code, Some(0));
    let started = outcome.stdout.lines().count();
    assert!(started < MANY / 2, "{started}");
}

#[test]
fn hup_tells_every_runsv_to_exit() {
    let tree = Tree::new();
    let mut keeper = keep(&tree);
    for name in ["bar", "foo"] {
        symlink(elsewhere(&tree, name), tree.path("services").join(name)).unwrap();
        assert_eq!(tree.heard(), format!("{name} up"));
    }
    let runsvs = keeper.runsvs();
    keeper.send(Signal::SIGHUP);
    assert_eq!(keeper.ended().code(), Some(111));
    assert_eq!(heard_all(&tree, 2), ["bar finish", "foo finish"]);
    runsvs.into_iter().for_each(wait_until_gone);
}

fn session(pid: i32) -> i32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap().parse().unwrap()
}

#[test]
fn each_runsv_has_a_session_of_its_own_when_that_is_asked_for() {
    for sessions in [true, false] {
        let tree = Tree::new();
        tree.directory("services");
        let args: &[&str] = if sessions { &["-P", "services"] } else { &["services"] };
        let keeper = Keeper { tree: &tree, child: command(&tree, args).spawn().unwrap() };
        keeper.catches_up("foo");
        let pid = pid_of(&tree, "services/foo");
        let runsv = parent(pid);
        let expected = if sessions { runsv } else { session(keeper.pid()) };
        assert_eq!((session(runsv), session(pid)), (expected, expected));
    }
}

#[test]
fn there_is_no_limit_to_the_number_of_services() {
    const MANY: usize = 1500; // the original has room for 1000
    let tree = Tree::new();
    let _gate = gate(&tree);
    // Without a further program: what costs time here is the number of processes.
    let script = tree.service("template").script("run", "say up; read line <${EAR%ear}gate").made().join("run");
    for number in 0..MANY {
        let service = tree.directory(&format!("services/{number}"));
        fs::hard_link(&script, service.join("run")).unwrap();
    }
    let mut keeper = keep_with(&tree, |command| {
        command.env("RUNSVDIR_STOP_DEADLINE", "1m");
    });
    (0..MANY).for_each(|_| assert_eq!(tree.heard(), "up"));
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.processes(), []);
}

/// A runsvdir that stops its tree in order when it is told to go.
fn keep_in_order<'a>(tree: &'a Tree, deadline: &str) -> Keeper<'a> {
    keep_with(tree, |command| {
        command.env("RUNSVDIR_STOP_DEADLINE", deadline);
    })
}

/// The same with a session for each runsv: what it leaves is told by that.
fn keep_in_sessions(tree: &Tree) -> Keeper<'_> {
    tree.directory("services");
    let mut command = command(tree, &["-P", "services"]);
    Keeper { tree, child: command.env("RUNSVDIR_STOP_DEADLINE", "30s").spawn().unwrap() }
}

const LOG: &str = "while read line; do say log $line; done; say log ends";

#[test]
fn an_ordered_stop_ends_services_then_their_log_services_then_itself() {
    for (signal, code) in [(Signal::SIGTERM, 0), (Signal::SIGHUP, 111)] {
        let tree = Tree::new();
        let run = "trap 'say service ends; echo last; exit' TERM; say up; while :; do sleep 1000 & wait; done";
        tree.service("services/foo").run(run).log(LOG).made();
        let mut keeper = keep_in_order(&tree, "30s");
        assert_eq!(tree.heard(), "up");
        keeper.send(signal);
        assert_eq!(keeper.ended().code(), Some(code));
        assert_eq!(tree.processes(), []);
        let lines: Vec<String> = std::iter::from_fn(|| tree.heard_already()).collect();
        assert_eq!(lines, ["service ends", "log last", "log ends"]);
    }
}

#[test]
fn an_ordered_stop_lets_the_log_service_of_a_killed_runsv_read_to_the_end() {
    let tree = Tree::new();
    let run = "trap 'echo last; exit' TERM; say up; while :; do sleep 1000 & wait; done";
    tree.service("services/foo").run(run).log(LOG).made();
    let mut keeper = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), "up");
    pid_of(&tree, "services/foo/log");
    let runsv = parent(pid_of(&tree, "services/foo"));
    // It has had no time to start a successor when it is told to stop.
    keeper.send(Signal::SIGSTOP);
    send(runsv, Signal::SIGKILL).unwrap();
    keeper.send(Signal::SIGTERM);
    keeper.send(Signal::SIGCONT);
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.processes(), []);
    let lines: Vec<String> = std::iter::from_fn(|| tree.heard_already()).collect();
    assert_eq!(lines, ["log last", "log ends"]);
}

#[test]
fn an_ordered_stop_ends_what_has_left_its_service() {
    let tree = Tree::new();
    let run = "(setsid sh -c 'echo stray is up >\"$EAR\"; exec sleep 1000' &) \n exec sleep 1000";
    tree.service("services/foo").run(run).made();
    let deaf = "(setsid sh -c 'trap \"\" TERM; echo stray is up >\"$EAR\"; sleep 1000' &) \n exec sleep 1000";
    tree.service("services/bar").run(deaf).made();
    let mut keeper = keep_in_order(&tree, "1s");
    assert_eq!(heard_all(&tree, 2), ["stray is up", "stray is up"]);
    pid_of(&tree, "services/foo");
    pid_of(&tree, "services/bar");
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.processes(), []);
}

#[test]
fn at_the_deadline_a_service_is_killed_and_its_log_service_writes_the_last_line() {
    let tree = Tree::new();
    let mut gate = gate(&tree);
    let run = "trap 'echo last; say deaf' TERM; say up; while :; do sleep 1000 & wait; done";
    let log = format!("say log up; read line <${{EAR%ear}}gate; {LOG}");
    let deaf = tree.service("elsewhere/deaf").run(run).log(&log).made();
    tree.directory("services");
    fs::rename(deaf, tree.path("services/first-name")).unwrap();
    let mut keeper = keep_in_order(&tree, "1s");
    assert_eq!(heard_all(&tree, 2), ["log up", "up"]);
    pid_of(&tree, "services/first-name/log");
    fs::rename(tree.path("services/first-name"), tree.path("services/foo")).unwrap();
    keeper.catches_up("marker");
    keeper.send(Signal::SIGTERM);
    assert_eq!(tree.heard(), "deaf");
    let killing = tree.heard();
    assert!(killing.starts_with("runsvdir services: warning: stopping takes too long: killing "), "{killing}");
    gate.write_all(b"\n").unwrap();
    assert_eq!((tree.heard(), tree.heard()), ("log last".into(), "log ends".into()));
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.processes(), []);
}

#[test]
fn a_paused_service_is_stopped_too() {
    let tree = Tree::new();
    let mut keeper = keep_in_order(&tree, "30s");
    symlink(elsewhere(&tree, "foo"), tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "foo up");
    assert_eq!(tree.run("sv", &["-w", "30", "pause", "./services/foo"]).code, Some(0));
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.heard(), "foo finish");
    assert_eq!(tree.processes(), []);
}

#[test]
fn a_service_that_is_leaving_is_waited_for_in_an_ordered_stop() {
    let tree = Tree::new();
    let mut gate = gate(&tree);
    let service = tree.service("elsewhere/foo").run("say up; exec sleep 1000");
    let foo = service.finish("say finish; read line <${EAR%ear}gate; say finished").made();
    let mut keeper = keep_in_order(&tree, "30s");
    let place = tree.path("services/foo");
    symlink(&foo, &place).unwrap();
    assert_eq!(tree.heard(), "up");
    fs::remove_file(&place).unwrap();
    assert_eq!(tree.heard(), "finish");
    keeper.send(Signal::SIGTERM);
    gate.write_all(b"\n").unwrap();
    assert_eq!(keeper.ended().code(), Some(0));
    assert_eq!(tree.heard(), "finished");
    assert_eq!(tree.processes(), []);
}

#[test]
fn services_do_not_see_the_variable_of_the_ordered_stop() {
    let tree = Tree::new();
    tree.service("services/foo").run("say deadline ${RUNSVDIR_STOP_DEADLINE-unset}; exec sleep 1000").made();
    let _keeper = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), "deadline unset");
}

#[test]
fn a_deadline_that_is_no_duration_is_told_of() {
    let tree = Tree::new();
    let mut keeper = keep_in_order(&tree, "soon");
    assert_eq!(tree.heard(), "runsvdir services: warning: unable to read RUNSVDIR_STOP_DEADLINE: invalid argument");
    keeper.catches_up("marker");
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
}

#[test]
fn either_runsvdir_works_with_either_runsv() {
    let Some(runit) = runit() else { return };
    for (runsvdir, runsv) in [(programs(), &*runit), (&*runit, programs())] {
        let tree = Tree::with(runsv);
        let mut command = Command::new(runsvdir.join("runsvdir"));
        let path = tree.command("runsv").get_envs().find(|(name, _)| *name == "PATH").unwrap().1.unwrap().to_owned();
        command.env_clear().env("PATH", path).env("EAR", tree.path("ear")).current_dir(tree.path(""));
        tree.directory("services");
        let log = "while read line; do say log $line; done";
        tree.service("services/foo").run("echo hello; exec sleep 1000").finish("say finish $1 $2").log(log).made();
        let mut keeper = Keeper { tree: &tree, child: command.arg("services").spawn().unwrap() };
        assert_eq!(tree.heard(), "log hello");
        let runsv_pid = parent(pid_of(&tree, "services/foo"));
        assert_eq!(
            fs::read_link(format!("/proc/{runsv_pid}/exe")).unwrap(),
            fs::canonicalize(runsv.join("runsv")).unwrap()
        );
        keeper.send(Signal::SIGHUP);
        assert_eq!(keeper.ended().code(), Some(111));
        assert_eq!(tree.heard(), "finish -1 15");
        wait_until_gone(runsv_pid);
    }
}

#[test]
fn an_ordered_stop_also_ends_supervisors_of_a_runsvdir_that_was_killed() {
    let tree = Tree::new();
    tree.service("services/foo")
        .run("trap 'say foo ends; exit' TERM; say up; while :; do sleep 1000 & wait; done")
        .made();
    let mut killed = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), "up");
    killed.send(Signal::SIGKILL);
    killed.ended();
    let mut next = keep_in_order(&tree, "30s");
    next.catches_up("marker");
    next.send(Signal::SIGTERM);
    assert_eq!(next.ended().code(), Some(0));
    assert_eq!(std::iter::from_fn(|| tree.heard_already()).last().as_deref(), Some("foo ends"));
    // What foo left when its runsvdir was killed became this test's: all but that has gone.
    let left = tree.processes();
    assert!(left.iter().all(|pid| parent(*pid) == homerun::sys::process::id()), "{left:?}");
    assert_eq!(tree.sv(&["status", "services/foo"]).stdout, "fail: services/foo: runsv not running\n");
}

#[test]
fn an_ordered_stop_ends_whatever_is_below_such_supervisors_at_the_deadline() {
    let tree = Tree::new();
    let run = r#"trap "" TERM; sh -c 'echo "child up" >"$EAR"; sleep 1000 & sleep 1000' & say up; exec sleep 1000"#;
    tree.service("services/foo").run(run).log("exec cat >/dev/null").made();
    let mut killed = keep_in_order(&tree, "30s");
    assert_eq!(heard_all(&tree, 2), ["child up", "up"]);
    let foo = pid_of(&tree, "services/foo");
    killed.send(Signal::SIGKILL);
    killed.ended();
    let mut next = keep_in_order(&tree, "1ms");
    next.catches_up("marker");
    next.send(Signal::SIGTERM);
    assert_eq!(next.ended().code(), Some(0));
    let said: Vec<String> = std::iter::from_fn(|| tree.heard_already()).collect();
    let killing = said.iter().find(|line| line.contains("stopping takes too long"));
    assert!(killing.is_some_and(|line| !line.contains("killing 0 processes")), "{said:?}");
    wait_until_gone(foo);
    let left = tree.processes();
    assert_eq!(left, [], "foo's, or what waits for the end of it");
}

#[test]
fn a_removed_service_does_not_run_on_when_its_supervisor_is_killed_in_its_stop() {
    let tree = Tree::new();
    let run = r#"n=0; trap 'n=$((n + 1)); say asked $n; [ $n = 1 ] || exit' TERM; say up
        while :; do sleep 1000 >/dev/null 2>&1 & wait; done"#;
    let foo = tree.service("elsewhere/foo").run(run).made();
    let keeper = keep_in_sessions(&tree);
    symlink(&foo, tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "up");
    let pid = pid_of(&tree, "services/foo");
    fs::remove_file(tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "asked 1");
    send(parent(pid), Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), "asked 2");
    wait_until_gone(pid);
    drop(keeper);
}

#[test]
fn the_log_service_of_a_removed_service_reads_to_the_end_when_their_supervisor_is_killed() {
    let tree = Tree::new();
    let run = r#"trap '[ -e "$HOME/last" ] && last=y; say asked; [ "$last" ] && { echo last line; exit; }' TERM; say up
        while :; do sleep 1000 >/dev/null 2>&1 & wait $!; done"#;
    let foo = tree.service("elsewhere/foo").run(run).log("while read -r line; do say \"log $line\"; done").made();
    symlink(&foo, tree.directory("services").join("foo")).unwrap();
    let keeper = keep_in_sessions(&tree);
    assert_eq!(tree.heard(), "up");
    let pid = pid_of(&tree, &foo);
    // From the second runsv on, runsvdir need not wait until there is a pipe.
    let first = parent(pid);
    send(first, Signal::SIGKILL).unwrap();
    wait_until_gone(first);
    tree.wait_status(&foo.join("supervise"), |status| status.pid == pid);
    fs::remove_file(tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "asked");
    fs::write(tree.path("last"), "").unwrap();
    let log = pid_of(&tree, foo.join("log"));
    let lock = fs::read_to_string(foo.join("supervise/lock")).unwrap();
    let second = lock.split(' ').next().unwrap().parse().unwrap();
    send(second, Signal::SIGKILL).unwrap();
    assert_eq!(heard_all(&tree, 2), ["asked", "log last line"]);
    wait_until_gone(pid);
    wait_until_gone(log);
    drop(keeper);
}

#[test]
fn a_service_that_is_removed_just_after_its_supervisor_was_killed_does_not_run_on() {
    let tree = Tree::new();
    let foo = tree.service("elsewhere/foo").run("say up; exec sleep 1000").made();
    symlink(&foo, tree.directory("services").join("foo")).unwrap();
    let keeper = keep_in_sessions(&tree);
    assert_eq!(tree.heard(), "up");
    let pid = pid_of(&tree, &foo);
    // It was killed young: the next one comes only after a pause.
    let runsv = parent(pid);
    send(runsv, Signal::SIGKILL).unwrap();
    wait_until_gone(runsv);
    fs::remove_file(tree.path("services/foo")).unwrap();
    wait_until_gone(pid);
    drop(keeper);
}

#[test]
fn what_a_removed_service_has_left_is_killed_also_after_an_upgrade() {
    let tree = Tree::new();
    let foo = tree.service("elsewhere/foo").run("trap '' TERM; say up; exec sleep 1000").made();
    let keeper = keep_in_sessions(&tree);
    symlink(&foo, tree.path("services/foo")).unwrap();
    assert_eq!(tree.heard(), "up");
    let pid = pid_of(&tree, "services/foo");
    fs::remove_file(tree.path("services/foo")).unwrap();
    tree.wait_status(&foo.join("supervise"), |status| status.got_term);
    let runsv = parent(pid);
    send(runsv, Signal::SIGKILL).unwrap();
    wait_until_gone(runsv);
    keeper.catches_up("marker"); // it knows
    keeper.send(Signal::SIGUSR2);
    wait_until_gone(pid);
}

#[test]
fn a_stop_by_the_supervisor_above_reaches_the_tree_of_a_runsvdir_that_was_killed() {
    for next_has_come in [false, true] {
        let tree = Tree::new();
        tree.service("services/foo").run(r#"trap "" TERM; sleep 1000 & say up; exec sleep 1000"#).made();
        let finish = if next_has_come { "" } else { "say finish; read -r line <gate" };
        let user = tree.service("user").run(r#"RUNSVDIR_STOP_DEADLINE=1ms exec runsvdir -P "$HOME/services""#);
        homerun::sys::file::make_fifo(&tree.path("user/gate"), 0o600).unwrap();
        let user = user.finish(finish).file("timeout-kill", "500").start();
        assert_eq!(tree.heard(), "up");
        let foo = pid_of(&tree, "services/foo");
        let before = user.wait(|status| status.pid != 0).pid;
        send(before, Signal::SIGKILL).unwrap();
        if next_has_come {
            user.wait(|status| status.pid != 0 && status.pid != before);
        } else {
            assert_eq!(tree.heard(), "finish");
            user.control(b"d");
            fs::write(tree.path("user/gate"), "\n").unwrap();
        }
        let stopped = tree.sv(&["-w", "30", "stop", "user"]);
        assert_eq!(stopped.code, Some(0), "{stopped:?}");
        wait_until_gone(foo);
        user.exit();
        assert_eq!(tree.processes(), []);
    }
}

#[test]
fn a_directory_is_not_supervised_before_it_has_a_run() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    keeper.catches_up("first");
    let service = tree.directory("services/foo");
    keeper.catches_up("second");
    assert!(!service.join("supervise").exists());
    tree.service("services/foo").log("while read line; do say log $line; done").run("say up; exec sleep 1000").made();
    assert_eq!(tree.heard(), "up");
    pid_of(&tree, "services/foo/log");
}

#[test]
fn an_upgrade_does_not_start_a_directory_that_is_still_being_filled() {
    let tree = Tree::new();
    let keeper = keep(&tree);
    keeper.catches_up("first");
    tree.directory("services/foo");
    keeper.catches_up("second");
    keeper.send(Signal::SIGUSR2);
    keeper.catches_up("third");
    tree.service("services/foo").log("while read line; do say log $line; done").run("say up; exec sleep 1000").made();
    assert_eq!(tree.heard(), "up");
    pid_of(&tree, "services/foo/log");
}

#[test]
fn a_second_tree_on_a_services_directory_waits_for_the_first_and_touches_nothing() {
    let tree = Tree::new();
    tree.service("services/foo").run("say up; exec sleep 1000").finish("say finish").made();
    let mut first = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), "up");
    let mut second = keep_in_order(&tree, "30s");
    let said = "runsvdir services: warning: services has a runsvdir already, process";
    let said = format!("{said} {}: waiting until that ends", first.pid());
    assert_eq!(tree.heard(), said);
    second.send(Signal::SIGTERM);
    assert_eq!(second.ended().code(), Some(0));
    assert_eq!(tree.heard_already(), None, "foo goes on");
    let third = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), said);
    first.send(Signal::SIGTERM);
    assert_eq!(first.ended().code(), Some(0));
    assert_eq!(heard_all(&tree, 2), ["finish", "up"], "the third has taken over");
    assert_eq!(third.runsvs().len(), 1);
}

#[test]
fn a_lock_of_somebody_who_has_no_tree_there_keeps_none_from_starting() {
    if !is_root() {
        return skip("needs root, to be somebody else");
    }
    let tree = Tree::new();
    fs::set_permissions(tree.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let _gate = gate(&tree);
    fs::set_permissions(tree.path("gate"), fs::Permissions::from_mode(0o644)).unwrap();
    tree.service("services/foo").run("say up; exec sleep 1000").made();
    let mut other = tree.command("flock");
    other.args(["services", "sh", "-c", "echo locked >$EAR; read -r _ <gate"]).uid(NOBODY);
    let mut other = other.spawn().unwrap();
    assert_eq!(tree.heard(), "locked");
    let mut keeper = keep_in_order(&tree, "30s");
    assert_eq!(tree.heard(), "up");
    keeper.send(Signal::SIGTERM);
    assert_eq!(keeper.ended().code(), Some(0));
    other.kill().unwrap();
    other.wait().unwrap();
}
