//! The table of homerun-faults(7): each fault is a story, told with the programs under test and with C runit's.
//!
//! What comes of it is seen, and compared with the table's row.

mod commands;
mod files;
mod killed;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use homerun::model::status::{State, Status};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// A fault, what comes of it with ours and with the original, and the test that sees it.
struct Row {
    fault: &'static str,
    ours: &'static str,
    original: &'static str,
    test: &'static str,
}

macro_rules! table {
    ($($fault:literal: $ours:literal, $original:literal, $test:literal;)*) => {
        &[$(Row { fault: $fault, ours: $ours, original: $original, test: $test }),*]
    };
}

const TABLE: &[Row] = table! {
    "runsv is killed":
        "its service goes on, and the next runsv has it",
        "the next runsv starts a second process beside it",
        "faults::killed::a_supervisor";
    "runsv and its service are killed together":
        "finish is run, then it is started again",
        "it is started again without its finish",
        "faults::killed::a_supervisor_with_its_service";
    "a service is killed":
        "finish is told, and it is started again",
        "finish is told, and it is started again",
        "faults::killed::a_service";
    "runsv is killed while its service is down on request":
        "it stays down",
        "it is started",
        "faults::killed::the_supervisor_of_a_service_that_is_down";
    "runsv and the log service are killed with a line in the pipe":
        "the next log service reads it",
        "the line is lost",
        "faults::killed::a_supervisor_with_its_log_service";
    "runsv, its service and the log service are killed under a runsvdir, with a line in the pipe":
        "the next log service reads it",
        "the line is lost",
        "faults::killed::all_but_the_scanner";
    "runsv is killed while a hook holds up a stop":
        "the next runsv stops the service",
        "the service goes on, and a second process is started beside it",
        "faults::killed::a_supervisor_that_waits_for_a_hook";
    "the log service is killed with a line in the pipe":
        "the next log service reads it",
        "the next log service reads it",
        "faults::killed::a_log_service";
    "svlogd is killed between lines":
        "every line is there once",
        "every line is there once",
        "faults::killed::svlogd";
    "runsvdir is killed":
        "the next one watches the supervisors that live",
        "the next one starts others, which fail at the locks",
        "faults::killed::the_scanner";
    "the process of runsvdir-user is killed":
        "root's supervisor starts the next one, which watches the supervisors that live",
        "root's supervisor starts the next one, which starts others, which fail at the locks",
        "faults::killed::the_tree_of_a_user";
    "everything in a tree is killed at once":
        "finish is run, then it is started again, once",
        "it is started again without its finish, once",
        "faults::killed::everything_at_once";
    "a second runsvdir is started on a services directory":
        "it watches the supervisors of the first one",
        "it starts others, which fail at the locks",
        "faults::killed::none_but_a_second_scanner_comes";
    "a hook hangs":
        "other commands are obeyed meanwhile",
        "runsv is deaf until it ends",
        "faults::commands::a_hook_that_hangs";
    "a hook is killed":
        "it has failed: what it stood in for happens",
        "it counts as success: nothing happens",
        "faults::commands::a_hook_that_is_killed";
    "a service that leaves a process behind is stopped":
        "that is ended, too",
        "that stays",
        "faults::commands::a_process_that_is_left_behind";
    "finish hangs":
        "k ends it",
        "k is not obeyed",
        "faults::commands::a_finish_that_hangs";
    "check hangs":
        "sv gives up in time",
        "sv hangs",
        "faults::commands::a_check_that_hangs";
    "garbage is written to the control FIFO":
        "it means nothing, and the command after it is obeyed",
        "it means nothing, and the command after it is obeyed",
        "faults::commands::garbage";
    "the log service does not read":
        "lines are dropped in the end, and counted, and the service goes on",
        "the service hangs",
        "faults::commands::a_log_service_that_does_not_read";
    "a thousand commands come at once":
        "the last one counts",
        "the last one counts",
        "faults::commands::a_burst";
    "no process can be made":
        "commands are obeyed meanwhile",
        "runsv is deaf for five seconds each time",
        "faults::commands::none_for_want_of_a_process";
    "the disk is full when a record is written":
        "the old record stays, whole",
        "an empty record takes its place",
        "faults::files::a_full_disk";
    "supervise is removed while runsv runs":
        "it is made again, and sv controls the service",
        "sv cannot control the service any more",
        "faults::files::a_supervise_that_is_removed";
    "run is not executable":
        "sv status says why",
        "sv status does not say why",
        "faults::files::a_run_that_cannot_be_executed";
    "another runsv holds the log directory":
        "runsv says so, and ends",
        "runsv waits for ever, deaf",
        "faults::files::a_log_directory_that_is_held";
    "the clock is set forth by three hours":
        "ages are right",
        "ages are three hours more",
        "faults::files::a_clock_that_is_set";
    "the clock is set back by three hours, and a log is rotated":
        "the oldest old file goes",
        "the newest old file goes",
        "faults::files::a_clock_that_is_set_back";
    "the programs on disk are replaced":
        "runsv becomes the new one when told, with the same process",
        "runsv stays the old one",
        "faults::files::an_upgrade";
    "the last line has no end":
        "svlogd writes it down",
        "svlogd loses it",
        "faults::files::a_line_without_an_end";
};

/// Faults that C runit is not tried with: what comes of them, and the tests that see it.
const OTHERS: &[[&str; 3]] = &[
    [
        "another process has the pid of one that was noted, also after a start of the machine or in a container",
        "it is told apart and left alone",
        "successor::a_process_that_only_has_the_pid_is_told_apart_and_left_alone",
    ],
    ["a system call of runsv fails, whichever", "runsv says it once, goes on and tries again", "failing::runsv"],
    ["runsv is killed at a system call, whichever", "nothing runs twice and no line is lost", "failing::killed"],
    [
        "a service directory is renamed, removed or replaced",
        "as with C runit, but nothing runs twice",
        "deaf::directories",
    ],
    ["a file of supervise is another or leads elsewhere", "that is said, and it is put right", "deaf::files"],
    ["run is broken in another way", "sv status says how, and it runs once it can", "deaf::programs"],
    ["the disk of a log is full", "svlogd waits, counts what it cannot hold, and says so", "svlogd::disk"],
    ["a tree of fifty services is upgraded under load", "every process stays", "upgrade"],
    ["everything at once and in any order", "every service runs once, and every line is accounted for", "chaos::tree"],
    ["the owner of a tree is hostile to root, who started it", "root gives nothing away", "hostile"],
];

/// The programs a story is told with.
struct Kit {
    is_original: bool,
    tree: Tree,
}

/// For what never comes. Whoever needs longer to do it would be told of as not doing it.
const MOMENT: Duration = Duration::from_millis(200);

impl Kit {
    /// Whether it comes to something that `seen` looks for, and that only ours does.
    fn ours_alone(&self, seen: impl FnMut() -> bool) -> bool {
        comes(if self.is_original { MOMENT } else { PATIENCE }, seen)
    }

    /// Whether it comes to something that `seen` looks for, and that only the original does.
    fn original_alone(&self, seen: impl FnMut() -> bool) -> bool {
        comes(if self.is_original { PATIENCE } else { MOMENT }, seen)
    }

    /// Whether a line like this is said, by ours alone.
    fn ours_alone_says(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.ours_alone(|| self.tree.hear(Duration::from_millis(5)).is_some_and(|line| is_it(&line)))
    }

    /// Whether a line like this is said, by the original alone.
    fn original_alone_says(&self, is_it: impl Fn(&str) -> bool) -> bool {
        self.original_alone(|| self.tree.hear(Duration::from_millis(5)).is_some_and(|line| is_it(&line)))
    }
}

/// Looks again and again. There is no event that tells of everything in `/proc`.
fn comes(patience: Duration, mut seen: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    loop {
        if seen() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Tells a story with both, and compares what comes of it with the row of the test that calls.
fn tell(story: impl Fn(&Kit) -> &'static str) {
    let name = std::thread::current().name().unwrap().to_owned();
    let row = TABLE.iter().find(|row| row.test == name).unwrap_or_else(|| panic!("{name} has no row"));
    let told = |is_original: bool, programs: &Path| story(&Kit { is_original, tree: Tree::with(programs) });
    assert_eq!(told(false, programs()), row.ours, "when {}", row.fault);
    if let Some(runit) = runit() {
        assert_eq!(told(true, &runit), row.original, "with the original, when {}", row.fault);
    }
}

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

/// The next process that said `WORD PID`.
fn said(tree: &Tree, word: &str) -> i32 {
    let line = tree.heard();
    let pid = line.strip_prefix(word).and_then(|rest| rest.trim_start().parse().ok());
    pid.unwrap_or_else(|| panic!("{line:?} is not the {word} of a process"))
}

fn send(pid: i32, signal: Signal) {
    process::send(pid, signal).unwrap();
}

/// Stops a process, and waits until it has: it reads nothing any more.
fn stop(pid: i32) {
    send(pid, Signal::SIGSTOP);
    let is_stopped = || fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    assert!(comes(PATIENCE, is_stopped), "process {pid} does not stop");
}

fn pid_of(foo: &Running) -> i32 {
    i32::try_from(foo.child.id()).unwrap()
}

/// Ends a runsv with KILL, and others with it: none of them sees the end of another.
fn kill(foo: Running, others: &[i32]) {
    send(pid_of(&foo), Signal::SIGSTOP);
    others.iter().for_each(|pid| send(*pid, Signal::SIGKILL));
    send(pid_of(&foo), Signal::SIGKILL);
    foo.ended();
    others.iter().for_each(|pid| wait_until_gone(*pid));
}

/// Ends a runsv and what it started, whatever state either is in.
fn end(kit: &Kit, mut foo: Running) {
    let _ = foo.child.kill();
    let _ = foo.child.wait();
    kit.tree.processes().into_iter().for_each(|pid| drop(process::send(pid, Signal::SIGKILL)));
}

/// Each row of the page, its first line without what marks it and the others as `NAME: TEXT`.
fn rows_of_the_page() -> Vec<Vec<String>> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("man/homerun-faults.7")).unwrap();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in page.lines() {
        if let Some(fault) = line.strip_prefix(".It Em ") {
            rows.push(vec![fault.to_owned()]);
        } else if let (Some(cell), Some(row)) = (line.strip_prefix(".D1 "), rows.last_mut()) {
            row.push(cell.to_owned());
        }
    }
    rows
}

#[test]
fn the_page_has_the_same_rows() {
    let row = |row: &Row| {
        let Row { fault, ours, original, test } = row;
        [(*fault).to_owned(), format!("homerun: {ours}"), format!("runit: {original}"), format!("test: {test}")]
            .to_vec()
    };
    let other = |[fault, ours, test]: &[&str; 3]| {
        vec![(*fault).to_owned(), format!("homerun: {ours}"), format!("test: {test}")]
    };
    let expected: Vec<_> = TABLE.iter().map(row).chain(OTHERS.iter().map(other)).collect();
    assert_eq!(rows_of_the_page(), expected, "the page is left, the tests are right");
}

#[test]
fn every_row_has_its_test_and_every_story_its_row() {
    let mut program = std::process::Command::new(std::env::current_exe().unwrap());
    let output = program.args(["--list", "--format", "terse"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let tests: Vec<&str> = list.lines().filter_map(|line| line.strip_suffix(": test")).collect();
    let is_story = |test: &&str| test.starts_with("faults::") && test.matches("::").count() == 2;
    let mut stories: Vec<&str> = tests.iter().copied().filter(is_story).collect();
    let mut rows: Vec<&str> = TABLE.iter().map(|row| row.test).collect();
    rows.sort_unstable();
    stories.sort_unstable();
    assert_eq!(rows, stories);
    let is_there = |name: &str| tests.iter().any(|test| *test == name || test.starts_with(&format!("{name}::")));
    let missing: Vec<&str> = OTHERS.iter().map(|row| row[2]).filter(|name| !is_there(name)).collect();
    assert_eq!(missing, [""; 0]);
}
