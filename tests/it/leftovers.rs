//! What services leave behind: processes that their first one has started and that live on without it.

use std::fs;
use std::time::Instant;

use homerun::model::status::{State, Status, Want};
use homerun::sys::proc::{self, Children};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// Lets go of a process in a session of its own that says which it is, and stays. Goes on once that was said.
const LEAVE: &str = r#"[ -p said ] || mkfifo said
( (setsid sh -c 'echo "left $$" >"$EAR"; : >said; exec sleep 1000' </dev/null >/dev/null 2>&1 &) ); : <said"#;
/// The same with one that does not end when it is told to.
const LEAVE_DEAF: &str = r#"[ -p said ] || mkfifo said
( (setsid sh -c 'trap "" TERM; echo "left $$" >"$EAR"; : >said; exec sleep 1000' </dev/null >/dev/null 2>&1 &) )
: <said"#;

fn is_down(status: &Status) -> bool {
    status.state == State::Down && status.pid == 0
}

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

/// Whether a process is there.
fn lives(pid: i32) -> bool {
    proc::relations().iter().any(|it| it.pid == pid && !it.ended)
}

/// What is said next of a process: its pid.
fn said(tree: &Tree, word: &str) -> i32 {
    let line = tree.heard();
    let pid = line.strip_prefix(word).and_then(|rest| rest.trim_start().parse().ok());
    pid.unwrap_or_else(|| panic!("{line:?} is not the {word} of a process"))
}

/// Hears what becomes of a process that was left. Its program may still be the one that was about to become another.
fn hear_named(tree: &Tree, fate: &str, pid: i32) {
    let (line, wanted) = (tree.heard(), format!("runsv foo: warning: {fate} what the service left: pid {pid} ("));
    assert!(line.starts_with(&wanted) && line.ends_with(')') && !line.contains(','), "{line:?} is not {wanted:?}");
}

/// Waits until a runsv has dealt with everything that came before.
fn settle(foo: &Running) {
    for (byte, paused) in [(b"p", true), (b"c", false)] {
        foo.control(byte);
        foo.wait(|status| status.paused == paused);
    }
}

#[test]
fn what_a_service_lets_go_of_becomes_a_child_of_its_supervisor_and_is_reaped() {
    let tree = Tree::new();
    let burst = "i=0; while [ $i -lt 200 ]; do (: & :); i=$((i + 1)); done";
    let run =
        format!("( (sh -c 'echo left $$ >\"$EAR\"; read -r line <gate' & ) ); {burst}; say burst; exec sleep 1000");
    let service = tree.service("foo").run(&run);
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = service.start();
    let runsv = i32::try_from(foo.child.id()).unwrap();
    let mut said = [tree.heard(), tree.heard()];
    said.sort();
    assert_eq!(said[0], "burst");
    let left: i32 = said[1].strip_prefix("left ").unwrap().parse().unwrap();
    let main = foo.wait(is_running).pid;
    let children = || -> Vec<i32> {
        proc::relations().into_iter().filter(|it| it.parent == runsv && it.pid != main).map(|it| it.pid).collect()
    };
    let deadline = Instant::now() + PATIENCE;
    while children() != [left] {
        assert!(Instant::now() < deadline, "{:?}", children());
        settle(&foo); // the last of the two hundred may not have ended yet
    }
    std::fs::write(tree.path("foo/gate"), "\n").unwrap();
    wait_until_gone(left);
    settle(&foo);
    assert_eq!(children(), []);
    foo.exit();
}

#[test]
fn a_stop_ends_what_the_service_has_let_go_of_before_it_counts_as_down() {
    let tree = Tree::new();
    let run = format!("{LEAVE}\n{LEAVE}\n(sleep 1000 &); say run; read -r line <gate");
    let service = tree.service("foo").run(&run).log("exec cat >/dev/null");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = service.start();
    let mut said: Vec<String> = (0..3).map(|_| tree.heard()).collect();
    said.sort();
    assert_eq!(said.pop().unwrap(), "run");
    let log = foo.wait_log(is_running).pid;
    let stopped = tree.sv(&["stop", "foo"]);
    assert_eq!(stopped.code, Some(0), "{stopped:?}");
    let runsv = i32::try_from(foo.child.id()).unwrap();
    // They may have ended and not be reaped yet.
    let left = |it: &&proc::Relation| it.parent == runsv && !it.ended;
    let left: Vec<i32> = proc::relations().iter().filter(left).map(|it| it.pid).collect();
    assert_eq!(left, [log]);
    assert!(!said.iter().any(|line| lives(line.strip_prefix("left ").unwrap().parse().unwrap())), "{said:?}");
    let (status, stderr) = foo.exit();
    assert_eq!((status.code(), stderr), (Some(0), String::new()));
}

/// A script may have started something before it became runsv: as in the original that is no concern of a service.
#[test]
fn children_that_were_there_before_the_supervisor_are_no_leftovers() {
    let tree = Tree::new();
    let mut command = tree.command("sh");
    command.args(["-c", "sleep 1000 & echo before $! >\"$EAR\"; exec runsv \"$1\"", "sh"]).stderr(tree.mouth());
    let foo = tree.service("foo").run(&format!("{LEAVE}\nsay run; exec sleep 1000")).start_by(command);
    let before = said(&tree, "before");
    let left = said(&tree, "left");
    assert_eq!(tree.heard(), "run", "nothing is said of it");
    foo.wait(is_running);
    assert_eq!(tree.sv(&["stop", "foo"]).code, Some(0));
    assert!(lives(before) && !lives(left));
    assert_eq!(foo.exit().0.code(), Some(0));
    assert!(lives(before));
}

#[test]
fn an_exit_of_the_supervisor_ends_what_was_let_go_of_by_run_and_by_finish() {
    for by_signal in [false, true] {
        let tree = Tree::new();
        let foo = tree.service("foo").run(&format!("{LEAVE}\nsay run; exec sleep 1000"));
        let foo = foo.finish(&format!("{LEAVE}\nsay finish")).start();
        let mut said = vec![tree.heard(), tree.heard()];
        foo.wait(is_running);
        if by_signal {
            process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
        } else {
            foo.control(b"x");
        }
        assert_eq!(foo.ended().0.code(), Some(0));
        said.extend([tree.heard(), tree.heard()]);
        let left: Vec<i32> = said.iter().filter_map(|line| line.strip_prefix("left ")?.parse().ok()).collect();
        assert_eq!((left.len(), left.into_iter().any(lives)), (2, false));
    }
}

#[test]
fn what_does_not_end_when_it_is_told_to_is_killed_after_the_time_to_stop() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE_DEAF}\nread -r line <gate")).file("timeout-kill", "50\n");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = foo.start_heard();
    let left = said(&tree, "left");
    foo.wait(is_running);
    foo.control(b"d");
    foo.wait(is_down);
    assert!(!lives(left));
    hear_named(&tree, "killing", left);
    foo.exit();
}

#[test]
fn kill_does_not_wait_for_the_time_to_stop() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE_DEAF}\nread -r line <gate")).file("timeout-kill", "1h\n");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = foo.start();
    let left = said(&tree, "left");
    foo.wait(is_running);
    foo.control(b"d");
    let ending = foo.wait(|status| status.state == State::Finish);
    assert_eq!((ending.pid, ending.want), (left, Want::Down), "the record names what is waited for");
    foo.control(b"k");
    foo.wait(is_down);
    assert!(!lives(left));
    foo.exit();
}

/// Also what it has let go of, as long as that stays in its process group.
#[test]
fn the_log_service_and_what_it_has_started_are_not_ended_with_the_service() {
    for let_go in ["%s &", "(%s &)"] {
        let tree = Tree::new();
        let child = r#"sh -c 'echo "logs $$" >"$EAR"; exec sleep 1000' </dev/null >/dev/null 2>&1"#;
        let log = format!("{}\nexec cat >/dev/null", let_go.replace("%s", child));
        let foo = tree.service("foo").run("exec sleep 1000").log(&log).start();
        let child = said(&tree, "logs");
        let log = foo.wait_log(is_running);
        foo.control(b"d");
        foo.wait(is_down);
        assert!(lives(child), "{let_go}");
        assert_eq!(foo.wait_log(|_| true), log);
        foo.exit();
    }
}

/// A log service may be several programs, of which the first that ends leaves the others with lines in hand.
#[test]
fn no_line_is_lost_that_an_ended_log_service_has_left_to_its_other_programs() {
    let tree = Tree::new();
    let log = "cat | { say ready; read -r go <../gate; while read -r line; do say \"$line\"; done; }";
    let service = tree.service("foo").run("echo line; say up; exec sleep 1000").log(log).file("log/down", "");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = service.start();
    assert_eq!(tree.heard(), "up");
    foo.control_log(b"o");
    assert_eq!(tree.heard(), "ready");
    let log = foo.wait_log(is_running).pid;
    process::send(log, Signal::SIGKILL).unwrap();
    foo.wait_log(is_down);
    foo.control(b"d");
    foo.wait(is_down);
    let mut gate = fs::File::options().read(true).write(true).open(tree.path("foo/gate")).unwrap();
    std::io::Write::write_all(&mut gate, b"\n").unwrap();
    assert_eq!(tree.heard(), "line");
    foo.exit();
}

#[test]
fn a_service_is_started_beside_what_it_left_which_is_named_and_a_stop_ends_all_of_it() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE}\nread -r line <gate; exit 1")).finish("say finish");
    homerun::sys::file::make_fifo(&tree.path("foo/gate"), 0o600).unwrap();
    let foo = foo.start_heard();
    let first = said(&tree, "left");
    foo.wait(is_running);
    fs::write(tree.path("foo/gate"), "\n").unwrap();
    assert_eq!(tree.heard(), "finish");
    hear_named(&tree, "starting beside", first);
    let second = said(&tree, "left");
    assert!(lives(first));
    foo.wait(is_running);
    assert_eq!(tree.sv(&["stop", "foo"]).code, Some(0));
    assert!(!lives(first) && !lives(second));
    assert_eq!(tree.heard(), "finish");
    foo.exit();
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_stop_in_the_pause_before_the_next_start_ends_what_was_left() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(LEAVE).start();
    let left = said(&tree, "left");
    foo.wait(|status| is_down(status) && status.want == Want::Up);
    foo.control(b"d");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    assert!(!lives(left));
    foo.exit();
}

#[test]
fn with_the_rule_end_a_start_comes_after_the_end_of_what_was_left() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE}\nexec sleep 1000")).file("leftovers", "end\n").start_heard();
    let left = said(&tree, "left");
    process::send(foo.wait(is_running).pid, Signal::SIGKILL).unwrap();
    hear_named(&tree, "ending", left);
    said(&tree, "left");
    assert!(!lives(left));
    foo.exit();
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn with_the_rule_wait_a_start_waits_and_commands_are_obeyed_meanwhile() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE}\nexec sleep 1000")).file("leftovers", "wait\n").start_heard();
    let mut left = said(&tree, "left");
    let die = |foo: &Running, left: i32| {
        process::send(foo.wait(is_running).pid, Signal::SIGKILL).unwrap();
        hear_named(&tree, "waiting for", left);
        let waiting = foo.wait(|status| status.state == State::Finish);
        assert_eq!((waiting.pid, waiting.want), (left, Want::Up));
    };
    // It ends by itself.
    die(&foo, left);
    process::send(left, Signal::SIGKILL).unwrap();
    left = said(&tree, "left");
    // `k` ends it.
    die(&foo, left);
    foo.control(b"k");
    left = said(&tree, "left");
    // A stop ends it, and a start is a start.
    die(&foo, left);
    foo.control(b"d");
    foo.wait(is_down);
    assert!(!lives(left));
    foo.control(b"u");
    said(&tree, "left");
    foo.exit();
}

#[test]
fn with_the_rule_keep_nothing_is_touched_or_named() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE}\nexec sleep 1000")).file("leftovers", "keep\n").start_heard();
    let first = said(&tree, "left");
    process::send(foo.wait(is_running).pid, Signal::SIGKILL).unwrap();
    let second = said(&tree, "left");
    foo.wait(is_running);
    foo.control(b"d");
    foo.wait(is_down);
    foo.exit();
    assert!(lives(first) && lives(second));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_rule_that_makes_no_sense_is_told_of_and_no_rule() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("{LEAVE}\nexec sleep 1000")).file("leftovers", "kill them\n");
    let foo = foo.start_heard();
    let left = said(&tree, "left");
    foo.wait(is_running);
    foo.control(b"d");
    foo.wait(is_down);
    assert_eq!(tree.heard(), "runsv foo: warning: leftovers makes no sense");
    assert!(!lives(left));
    foo.exit();
}

#[test]
fn agents_and_buses_that_put_themselves_into_the_background_end_with_their_service() {
    let starts = [
        ("gpg-agent", "mkdir -m 700 h; gpg-agent --homedir \"$PWD/h\" --daemon >/dev/null 2>&1 </dev/null"),
        ("dbus-daemon", "dbus-daemon --session --fork --address=unix:path=\"$PWD/bus\" --nopidfile >/dev/null 2>&1"),
        ("ssh-agent", "ssh-agent -a \"$PWD/agent\" >/dev/null 2>&1"),
    ];
    for (program, start) in starts {
        if !has(program) {
            continue;
        }
        let tree = Tree::new();
        let run = format!("{start} || say failed; say started; exec sleep 1000");
        let foo = tree.service("foo").run(&run).start();
        assert_eq!(tree.heard(), "started", "{program}");
        let main = foo.wait(is_running).pid;
        let runsv = i32::try_from(foo.child.id()).unwrap();
        let is_it = |it: &&proc::Relation| it.parent == runsv && Children::name(it.pid) == program.as_bytes();
        let daemon: Vec<i32> = proc::relations().iter().filter(is_it).map(|it| it.pid).collect();
        assert!(daemon.len() == 1 && daemon[0] != main, "{program}: {daemon:?}");
        assert_eq!(tree.sv(&["stop", "foo"]).code, Some(0), "{program}");
        assert!(!lives(daemon[0]), "{program} runs on");
        foo.exit();
    }
}
