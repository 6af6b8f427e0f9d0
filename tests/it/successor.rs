//! runsv after one that was killed: what runs goes on, nothing is started twice, no line is lost.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;
use std::time::Duration;

use homerun::model::note::{Book, Note, Place, World};
use homerun::model::status::{State, Status, Want};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// Says which process it is and what it was told, until it is told to end.
const RUN: &str = "trap 'say got hup' HUP; trap 'say got term; exit 3' TERM; say run $$
    sleep 1000 >/dev/null 2>&1 & while :; do wait; done";
/// Reads lines and says them.
const LOG: &str = "say log $$; while IFS= read -r line; do say \"line $line\"; done";
/// Writes the lines that it is given through a FIFO, into the log.
const WRITER: &str = "exec 3<>lines; say run $$; while IFS= read -r line <&3; do echo \"$line\"; say wrote; done";

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

/// Ends a runsv with KILL, and whatever else is named, together: none of them sees the end of another.
fn kill(foo: Running, others: &[i32]) {
    let runsv = i32::try_from(foo.child.id()).unwrap();
    process::send(runsv, Signal::SIGSTOP).unwrap();
    others.iter().for_each(|pid| process::send(*pid, Signal::SIGKILL).unwrap());
    process::send(runsv, Signal::SIGKILL).unwrap();
    assert_eq!(foo.ended().0.signal(), Some(9));
    others.iter().for_each(|pid| wait_until_gone(*pid));
}

/// The process that said `WORD PID`.
fn said(tree: &Tree, word: &str) -> i32 {
    let line = tree.heard();
    let pid = line.strip_prefix(word).and_then(|rest| rest.trim_start().parse().ok());
    pid.unwrap_or_else(|| panic!("{line:?} is not the {word} of a process"))
}

/// The successor of a runsv that was killed.
fn successor<'a>(tree: &'a Tree) -> Running<'a> {
    tree.service("foo").start_heard()
}

#[test]
fn a_service_goes_on_undisturbed_and_its_successor_supervises_it() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).finish("say finish $1 $2").start();
    let pid = said(&tree, "run");
    let before = foo.wait(is_running);
    kill(foo, &[]);
    let foo = successor(&tree);
    assert_eq!(foo.wait(is_running), before, "the same process, the same age");
    assert_eq!(foo.record("pid"), format!("{pid}\n"));
    assert_eq!(tree.sv(&["hup", "foo"]), says(""));
    assert_eq!(tree.heard(), "got hup");
    let restarted = tree.sv(&["restart", "foo"]);
    assert_eq!(restarted.code, Some(0), "{}", restarted.stdout);
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish -1 0".into()));
    assert_ne!(said(&tree, "run"), pid);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish 3 0".into()));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_successor_of_a_successor_goes_on_too() {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run(RUN).log(LOG).start();
    let mut pids = [said_any(&tree), said_any(&tree)];
    pids.sort();
    let (main, log) = (foo.wait(is_running), foo.wait_log(is_running));
    for _ in 0..3 {
        kill(foo, &[]);
        foo = successor(&tree);
        assert_eq!((foo.wait(is_running), foo.wait_log(is_running)), (main, log));
    }
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard(), "got term");
    // How the log service ended at the end of its input nobody is told: another one looks for what it may have left.
    said(&tree, "log");
    assert_eq!(tree.heard_already(), None, "nothing was started again");
}

/// What a process said it is, whichever comes first.
fn said_any(tree: &Tree) -> (String, i32) {
    let line = tree.heard();
    let (word, pid) = line.split_once(' ').unwrap();
    (word.to_owned(), pid.parse().unwrap())
}

/// A process whose first thread ends before it says which it is.
const THREADED: &str = r#"exec python3 -c '
import ctypes, os, threading, time
def rest():
    me = os.getpid()
    while ") Z " not in open(f"/proc/{me}/task/{me}/stat").read():
        os.sched_yield()
    with open(os.environ["EAR"], "w") as ear:
        ear.write(f"run {me}\n")
    time.sleep(1000)
threading.Thread(target=rest, daemon=True).start()
ctypes.CDLL(None).syscall(60 if os.uname().machine == "x86_64" else 93, 0)
'"#;

#[test]
fn a_service_goes_on_also_without_its_first_thread() {
    if !has("python3") {
        return;
    }
    let tree = Tree::new();
    let foo = tree.service("foo").run(THREADED).start();
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[]);
    let foo = successor(&tree);
    assert_eq!(foo.wait(is_running).pid, pid);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn its_end_is_seen_at_once_and_answered_as_always() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).finish("say finish $1 $2").file("leftovers", "keep").start();
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait(is_running);
    process::send(pid, Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), "finish -1 0", "nobody is told how another's child ended");
    let next = said(&tree, "run");
    assert_ne!(next, pid);
    process::send(next, Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), "finish -1 9", "its own child's end it is told");
    said(&tree, "run");
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_service_that_died_with_its_supervisor_is_finished_once_and_started_again() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).finish("say finish $1 $2").start();
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[pid]);
    let foo = successor(&tree);
    assert_eq!(tree.heard(), "finish -1 0");
    said(&tree, "run");
    foo.wait(is_running);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!((tree.heard(), tree.heard()), ("got term".into(), "finish 3 0".into()));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_finish_goes_on_and_is_not_run_again() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run $$; read -r _ <go").finish("say finish $1 $2; read -r _ <go");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let foo = foo.start();
    let go = || fs::write(tree.path("foo/go"), "\n").unwrap();
    said(&tree, "run");
    go();
    assert_eq!(tree.heard(), "finish 0 0");
    let before = foo.wait(|status| status.state == State::Finish && status.pid != 0);
    kill(foo, &[]);
    let foo = successor(&tree);
    let after = foo.wait(|status| status.state == State::Finish);
    assert_eq!(after, before);
    assert_eq!(tree.heard_already(), None);
    go();
    said(&tree, "run");
    foo.control(b"d");
    foo.wait(|status| status.want == Want::Down);
    // One that ends while nobody is there is not run again either.
    assert_eq!(tree.heard(), "finish -1 15");
    let pid = foo.wait(|status| status.state == State::Finish && status.pid != 0).pid;
    kill(foo, &[pid]);
    let foo = successor(&tree);
    foo.wait(is_down);
    foo.control(b"u");
    said(&tree, "run");
    foo.control(b"k");
    assert_eq!(tree.heard(), "finish -1 9");
    go();
    said(&tree, "run");
    foo.control(b"x");
    assert_eq!(tree.heard(), "finish -1 15");
    go();
    assert_eq!(foo.ended().0.code(), Some(0));
}

#[test]
fn a_hook_goes_on_and_what_needs_one_waits_for_it() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).script("control/t", "say hook $1; read -r _ <go; say hooked; exit 0");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let foo = foo.start();
    let pid = said(&tree, "run");
    foo.control(b"t");
    assert_eq!(said(&tree, "hook"), pid);
    kill(foo, &[]);
    let foo = successor(&tree);
    assert_eq!(foo.wait(is_running).pid, pid);
    foo.control(b"t");
    foo.control(b"h"); // waits in its turn
    fs::write(tree.path("foo/go"), "\n").unwrap();
    assert_eq!(tree.heard(), "hooked");
    assert_eq!(said(&tree, "hook"), pid, "one after the other");
    fs::write(tree.path("foo/go"), "\n").unwrap();
    assert_eq!((tree.heard(), tree.heard()), ("hooked".into(), "got hup".into()));
    foo.control(b"k");
    assert_ne!(said(&tree, "run"), pid);
    foo.control(b"o"); // not to be stopped by the hook
    foo.wait(|status| status.want == Want::Down);
    foo.control(b"k");
    foo.wait(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_stop_that_a_hook_held_up_is_carried_out_by_the_successor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).script("control/t", "say hook; read -r _ <go; exit 1");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let foo = foo.start();
    let go = || fs::write(tree.path("foo/go"), "\n").unwrap();
    said(&tree, "run");
    foo.wait(is_running);
    foo.control(b"d");
    assert_eq!(tree.heard(), "hook");
    foo.wait(|status| status.want == Want::Down && !status.got_term);
    kill(foo, &[]);
    let foo = successor(&tree);
    go();
    assert_eq!(tree.heard(), "hook", "nobody knows what the first one said");
    go();
    assert_eq!(tree.heard(), "got term");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_finish_that_comes_after_the_end_of_run_was_dealt_with_is_not_run_by_the_successor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run $$").start();
    said(&tree, "run");
    foo.control(b"d");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    kill(foo, &[]);
    let foo = tree.service("foo").finish("say finish").start_heard();
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    foo.exit();
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn no_line_is_lost_whoever_outlives_the_supervisor() {
    let tree = Tree::new();
    let service = tree.service("foo").run(WRITER).log(LOG);
    homerun::sys::file::make_fifo(&tree.path("foo/lines"), 0o600).unwrap();
    let mut lines = homerun::sys::file::open_read_write(tree.path("foo/lines")).unwrap();
    let mut write = |line: String| std::io::Write::write_all(&mut lines, format!("{line}\n").as_bytes()).unwrap();
    let mut foo = service.start();
    for (main_dies, log_dies) in [(false, false), (true, false), (false, true), (true, true)] {
        let (main, log) = (foo.wait(is_running).pid, foo.wait_log(is_running).pid);
        while tree.heard_already().is_some() {}
        write("before".into());
        let mut heard = [tree.heard(), tree.heard()];
        heard.sort();
        assert_eq!(heard, ["line before", "wrote"]);
        if !log_dies {
            process::send(log, Signal::SIGSTOP).unwrap(); // what comes now stays in the pipe
        }
        let mut dying: Vec<i32> = Vec::new();
        dying.extend(log_dies.then_some(log));
        if main_dies {
            dying.push(main);
        }
        kill(foo, &dying);
        if !main_dies {
            write("while nobody was there".into());
            assert_eq!(tree.heard(), "wrote", "it is not ended by a pipe without a reader");
        }
        foo = successor(&tree);
        let status = foo.wait(is_running);
        assert_eq!(status.pid == main, !main_dies);
        assert_eq!(foo.wait_log(is_running).pid == log, !log_dies);
        if !log_dies {
            process::send(log, Signal::SIGCONT).unwrap();
        }
        write("after".into());
        let mut heard: Vec<String> = Vec::new();
        while !heard.iter().any(|line| line == "line after") || !heard.iter().any(|line| line == "wrote") {
            heard.push(tree.heard());
        }
        let lines: Vec<&String> = heard.iter().filter(|line| line.starts_with("line")).collect();
        let expected: &[&str] =
            if main_dies { &["line after"] } else { &["line while nobody was there", "line after"] };
        assert_eq!(lines, expected, "{main_dies} {log_dies}");
    }
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn what_was_wanted_is_wanted_still() {
    let tree = Tree::new();
    // Down, though normally up.
    let foo = tree.service("foo").run(RUN).start();
    said(&tree, "run");
    foo.control(b"d");
    assert_eq!(tree.heard(), "got term");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    // Once: it is not started again.
    foo.control(b"o");
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait(|status| status.pid == pid && status.want == Want::Down);
    process::send(pid, Signal::SIGKILL).unwrap();
    foo.wait(is_down);
    // Up, though there is a file `down`.
    foo.control(b"u");
    let pid = said(&tree, "run");
    foo.wait(is_running);
    fs::write(tree.path("foo/down"), "").unwrap();
    kill(foo, &[pid]);
    let foo = successor(&tree);
    said(&tree, "run");
    // Exit: it goes on with it, and ends.
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGSTOP).unwrap();
    foo.control(b"x");
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGCONT).unwrap();
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard(), "got term");
    // And one that ended in order leaves the next one to the file `down`.
    let foo = tree.service("foo").start();
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    fs::remove_file(tree.path("foo/down")).unwrap();
    foo.exit();
    let foo = tree.service("foo").start();
    said(&tree, "run");
    foo.exit();
}

/// Says which process it is, and ends when it is told to.
const SLEEP: &str = "say run $$; exec sleep 1000";

#[test]
fn what_another_supervisor_between_the_two_was_told_ended_with_it() {
    let Some(runit) = runit() else { return };
    let tree = Tree::new();
    let foo = tree.service("foo").run(SLEEP).finish("say finish $1 $2").log("say log; exec cat >/dev/null").start();
    let (main, log) = (foo.wait(is_running).pid, foo.wait_log(is_running).pid);
    kill(foo, &[main, log]);
    let mut between = tree.command(runit.join("runsv"));
    between.stderr(Stdio::piped());
    let foo = tree.service("foo").start_by(between);
    foo.wait(|status| is_running(status) && status.pid != main);
    foo.wait_log(|status| is_running(status) && status.pid != log);
    foo.control_log(b"d");
    foo.wait_log(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
    while tree.heard_already().is_some() {}
    let foo = successor(&tree);
    foo.wait(is_running);
    foo.wait_log(is_running);
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert!(heard[0] == "log" && heard[1].starts_with("run "), "{heard:?}");
    foo.exit();
}

#[test]
fn an_exit_that_waits_for_the_log_service_is_carried_out_by_the_successor() {
    let tree = Tree::new();
    // At first it does not read.
    let log = "[ -e again ] && exec cat >/dev/null; : >again; exec sleep 1000";
    let foo = tree.service("foo").run(SLEEP).log(log).start();
    said(&tree, "run");
    foo.wait(is_running);
    let log = foo.wait_log(is_running).pid;
    foo.control(b"x");
    foo.wait_log(|status| status.want == Want::Down); // as exit is written: its input has ended
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait_log(|status| status.pid == log && status.want == Want::Down);
    process::send(log, Signal::SIGKILL).unwrap();
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None, "the service is not started again");
}

#[test]
fn what_could_not_be_noted_is_noted_once_it_can() {
    let tree = Tree::new();
    let mut command = tree.command("sh");
    // What a full disk is like: no file may have any length.
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 0; exec runsv \"$1\"", "sh"]).stderr(Stdio::null());
    let foo = tree.service("foo").run(SLEEP).start_by(command);
    let pid = said(&tree, "run");
    let runsv = foo.child.id().to_string();
    assert_eq!(tree.run("prlimit", &["--fsize=unlimited", "--pid", &runsv]).code, Some(0));
    // Not the record: if the limit was lifted between the two, that came a try earlier.
    tree.wait_in(&tree.path("foo/supervise"), || {
        let book = Book::decode(&fs::read(tree.path("foo/supervise/process")).ok()?)?;
        book.note(Place::Main).filter(|note| note.pid == pid)
    });
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait(|status| status.pid == pid);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None, "nothing was started beside it");
}

#[test]
fn an_exit_is_carried_out_by_the_successor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("trap '' TERM; say run $$; exec sleep 1000").start();
    let pid = said(&tree, "run");
    foo.control(b"x");
    foo.wait(|status| status.got_term);
    kill(foo, &[]);
    let foo = successor(&tree);
    foo.wait(|status| status.pid == pid && status.got_term);
    foo.control(b"k");
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn an_exit_of_which_nothing_is_left_to_do_is_over() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("trap '' TERM; say run $$; exec sleep 1000").finish("say finish $1 $2").start();
    let pid = said(&tree, "run");
    foo.control(b"x");
    foo.wait(|status| status.got_term);
    kill(foo, &[pid]);
    let foo = successor(&tree);
    assert_eq!(tree.heard(), "finish -1 0");
    assert_eq!(said(&tree, "run"), foo.wait(is_running).pid);
    foo.control(b"xk");
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard(), "finish -1 9");
}

type Change = fn(World, Note) -> (World, Note);

/// Changes what `foo` has noted of the service's process.
fn with_note(tree: &Tree, change: Change) {
    let path = tree.path("foo/supervise/process");
    let bytes = fs::read(&path).unwrap();
    let book = Book::decode(&bytes).unwrap();
    let mut world = World { boot: bytes[8..24].try_into().unwrap(), pid_namespace: 0 };
    world.pid_namespace = u64::from_le_bytes(bytes[24..32].try_into().unwrap());
    let (world, note) = change(world, book.note(Place::Main).unwrap());
    let mut book = Book::new(world);
    book.set_note(Place::Main, note);
    fs::write(path, book.encode()).unwrap();
}

#[test]
fn a_process_that_only_has_the_pid_is_told_apart_and_left_alone() {
    let tree = Tree::new();
    // Another boot, another container, and a process that was made before or after the one that is noted.
    let changes: [Change; 5] = [
        |world, note| (World { boot: [7; 16], ..world }, note),
        |world, note| (World { pid_namespace: world.pid_namespace + 1, ..world }, note),
        |world, note| (world, later(note)),
        |world, note| {
            let noted = note.asked - Duration::from_millis(20);
            (world, Note { asked: Duration::ZERO, noted, serial: None, ..note })
        },
        |world, note| (world, Note { serial: note.serial.map(|it| it + 1), ..later(note) }),
    ];
    for change in changes {
        let foo = tree.service("foo").run(RUN).start();
        let stranger = said(&tree, "run");
        foo.wait(is_running);
        kill(foo, &[]);
        with_note(&tree, change);
        let foo = successor(&tree);
        let own = said(&tree, "run");
        assert_ne!(own, stranger);
        assert_eq!(foo.wait(is_running).pid, own);
        assert_eq!(foo.exit().0.code(), Some(0));
        assert_eq!(tree.heard(), "got term");
        assert_eq!(tree.heard_already(), None, "the stranger was told nothing");
        process::send(stranger, Signal::SIGKILL).unwrap();
        wait_until_gone(stranger);
    }
}

fn later(note: Note) -> Note {
    let later = Duration::from_secs(3600);
    Note { asked: note.asked + later, noted: note.noted + later, serial: None, ..note }
}

#[test]
fn a_process_is_known_by_its_number_whatever_proc_tells() {
    if process::serial_of(process::id()).is_none() {
        return skip("needs Linux 6.9");
    }
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).start();
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[]);
    // As where /proc hides it: nothing that it could tell fits.
    with_note(&tree, |world, note| (world, Note { serial: note.serial, ..later(note) }));
    let foo = successor(&tree);
    assert_eq!(foo.wait(is_running).pid, pid);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!((tree.heard(), tree.heard_already()), ("got term".into(), None));
}

#[test]
fn a_record_that_is_no_file_holds_up_no_successor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(RUN).start();
    let pid = said(&tree, "run");
    foo.wait(is_running);
    kill(foo, &[]);
    for name in ["status", "stat"] {
        fs::remove_file(tree.path("foo/supervise").join(name)).unwrap();
        homerun::sys::file::make_fifo(&tree.path("foo/supervise").join(name), 0o600).unwrap();
    }
    let foo = successor(&tree);
    assert_eq!(foo.wait(is_running).pid, pid);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard(), "got term");
}

#[test]
fn notes_that_are_none_are_no_reason_not_to_start() {
    let tree = Tree::new();
    tree.service("foo").run(RUN).file("supervise/process", "garbage");
    let foo = successor(&tree);
    said(&tree, "run");
    foo.exit();
    assert_eq!(tree.heard(), "got term");
    fs::remove_file(tree.path("foo/supervise/process")).unwrap();
    fs::create_dir(tree.path("foo/supervise/process")).unwrap();
    let foo = successor(&tree);
    assert_eq!(tree.heard(), "runsv foo: warning: unable to open supervise/process: is a directory");
    said(&tree, "run");
    foo.exit();
}
