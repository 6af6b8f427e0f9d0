use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Stdio;

use homerun::model::status::{State, Status, Want};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// Goes on for ever, and runs traps at once.
const LISTEN: &str = "sleep 1000 >/dev/null 2>&1 & while :; do wait; done";
/// Says that it is up and stays so.
const STAY: &str = "say up; exec sleep 1000";

fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

fn is_running(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

// Arguments

#[test]
fn it_takes_exactly_one_argument_literally() {
    let tree = Tree::new();
    let runsv = programs().join("runsv").into_os_string().into_string().unwrap();
    let usage = fails(&format!("usage: {runsv} dir\n\n"), 1);
    assert_eq!(tree.run("runsv", &[]), usage);
    assert_eq!(tree.run("runsv", &["a", "b"]), usage);
    assert_eq!(tree.run("runsv", &["--", "a"]), usage);
    for name in ["-V", "-h", "", "nowhere"] {
        let line = format!("runsv {name}: fatal: unable to change to directory: file does not exist\n");
        assert_eq!(tree.run("runsv", &[name]), fails(&line, 111));
    }
    assert_eq!(tree.run("runsv", &["--version"]), says(&format!("runsv {}\n", env!("CARGO_PKG_VERSION"))));
    let help = tree.run("runsv", &["--help"]);
    assert_eq!((help.code, help.stderr.as_str(), help.stdout.ends_with("See runsv(8).\n")), (Some(0), "", true));
}

#[test]
fn what_is_in_the_way_of_a_start_is_fatal() {
    let tree = Tree::new();
    let fatal = |name: &str, text: &str| {
        assert_eq!(tree.run("runsv", &[name]), fails(&format!("runsv {name}: fatal: {text}\n"), 111));
    };
    fs::write(tree.path("file"), "").unwrap();
    fatal("file", "unable to change to directory: not a directory");
    tree.service("a").file("supervise/control", "");
    fatal("a", "supervise/control exists but is not a fifo");
    tree.service("b").file("log/supervise/control", "");
    fatal("b", "log/supervise/control exists but is not a fifo");
    tree.service("d").file("supervise", "");
    fatal("d", "unable to open supervise/lock: not a directory");
    tree.service("e").file("log/supervise", "");
    fatal("e", "unable to open log/supervise/lock: not a directory");
    symlink("no/where", tree.service("f").made().join("supervise")).unwrap();
    fatal("f", "unable to open supervise/lock: file does not exist");
    tree.service("with space").file("supervise/lock/in the way", "");
    fatal("with space", "unable to open supervise/lock: is a directory");
}

#[test]
fn a_log_that_is_no_directory_is_told_and_done_without() {
    let tree = Tree::new();
    let a = tree.service("a").run(STAY).file("log", "").start_heard();
    assert_eq!(tree.heard(), "runsv a: warning: ./log: not a directory.");
    assert_eq!(tree.heard(), "up");
    assert_eq!(a.exit().0.code(), Some(0));
    let b = tree.service("b").run(STAY);
    symlink("log", tree.path("b/log")).unwrap();
    let b = b.start_heard();
    assert_eq!(tree.heard(), "runsv b: warning: unable to stat() ./log: : symbolic link loop");
    assert_eq!(tree.heard(), "up");
    assert_eq!(b.exit().0.code(), Some(0));
}

#[test]
fn a_script_that_cannot_be_run_is_told_each_time_and_counts_as_111() {
    let tree = Tree::new();
    let finish = |service: Service<'_>| {
        let service = service.script("finish", "say finish $1 $2").start_heard();
        let first = tree.heard();
        let more = format!("{}: it ", first.replace("fatal", "info")); // what is wrong with it
        let line = (first, std::iter::repeat_with(|| tree.heard()).find(|line| !line.starts_with(&more)).unwrap());
        assert_eq!(service.exit().0.code(), Some(0));
        line
    };
    let fatal = |text: &str| (format!("runsv foo: fatal: unable to start {text}"), "finish 111 0".to_owned());
    assert_eq!(finish(tree.service("foo")), fatal("./run: file does not exist"));
    assert_eq!(finish(tree.service("foo").file("run", "#!/bin/sh\n")), fatal("./run: access denied"));
    assert_eq!(finish(tree.service("foo").program("run", "true\n")), fatal("./run: exec format error"));
    assert_eq!(finish(tree.service("foo").program("run", "#!/no/where\n")), fatal("./run: file does not exist"));
    fs::remove_file(tree.path("foo/run")).unwrap();
    tree.directory("foo/run");
    assert_eq!(finish(tree.service("foo")), fatal("./run: access denied"));

    let _bar = tree.service("bar").run("exit 3").file("finish", "").start_heard();
    assert_eq!(tree.heard(), "runsv bar: fatal: unable to start ./finish: access denied");
    assert_eq!(tree.heard(), "runsv bar: info: unable to start ./finish: access denied: it is not executable");
    assert_eq!(tree.heard(), "runsv bar: fatal: unable to start ./finish: access denied");

    tree.directory("baz/log");
    let baz = tree.service("baz").file("down", "").start_heard();
    let line = "runsv baz: fatal: unable to start log/./run: file does not exist";
    while tree.heard() != line {}
    baz.control(b"x");
    assert_eq!(baz.ended().0.code(), Some(0));
}

#[test]
fn a_script_that_cannot_be_run_is_never_said_to_run() {
    let tree = Tree::new();
    let foo = tree.service("foo").file("run", "#!/bin/sh\n").start_heard();
    let fatal = "runsv foo: fatal: unable to start ./run: access denied";
    assert_eq!(tree.heard(), fatal);
    let said = tree.sv(&["-w", "1", "start", "foo"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(1), ""));
    assert!(said.stdout.starts_with("timeout: down: foo: "), "{}", said.stdout);
    // Once it can be, it is.
    let foo_runs = tree.service("foo").script("run", STAY).made();
    assert!(foo_runs.exists());
    while tree.heard() != "up" {}
    foo.wait(is_running);
    assert_eq!(foo.exit().0.code(), Some(0));
}

// The life of a service

#[test]
fn a_service_that_dies_is_started_again() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say $$ $0 $# $(pwd); exec sleep 1000").start();
    let mut pids = Vec::new();
    for _ in 0..3 {
        let line = tree.heard();
        let (pid, rest) = line.split_once(' ').unwrap();
        let place = tree.path("foo").canonicalize().unwrap();
        assert_eq!(rest, format!("./run 0 {}", place.display()));
        let pid: i32 = pid.parse().unwrap();
        foo.wait(|status| status.pid == pid && status.state == State::Run && status.want == Want::Up);
        assert_eq!((foo.record("pid"), foo.record("stat")), (format!("{pid}\n"), "run\n".to_owned()));
        process::send(pid, Signal::SIGKILL).unwrap();
        pids.push(pid);
    }
    assert_eq!(pids.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn finish_is_told_how_run_ended() {
    let tree = Tree::new();
    let abort = "ulimit -c unlimited; kill -ABRT $$";
    let aborted = tree.command("sh").arg("-c").arg(abort).status().unwrap();
    let abort_status = format!("-1 {}", aborted.signal().unwrap() + if aborted.core_dumped() { 128 } else { 0 });
    let deaths = [
        ("exit 0", "0 0"),
        ("exit 7", "7 0"),
        ("exit 255", "255 0"),
        ("kill -HUP $$", "-1 1"),
        ("kill -KILL $$", "-1 9"),
        ("kill -TERM $$", "-1 15"),
        ("exec /no/where 2>/dev/null", "127 0"),
        (abort, &abort_status),
    ];
    let mut services = Vec::new();
    for (index, (run, _)) in deaths.iter().enumerate() {
        let finish = "say \"${PWD##*/} $0 $*\"";
        services.push(tree.service(&index.to_string()).run(run).finish(finish).file("down", "").start());
    }
    services.iter().for_each(|service| service.control(b"o"));
    let heard: BTreeSet<_> = deaths.iter().map(|_| tree.heard()).collect();
    let expected =
        deaths.iter().enumerate().map(|(index, (_, arguments))| format!("{index} ./finish {arguments}")).collect();
    assert_eq!(heard, expected);
}

#[test]
fn while_finish_runs_the_records_say_so_and_the_time_is_that_of_the_start() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("say run; read -r line <go; exit 1")
        .finish("say finish $$; read -r line <go")
        .file("down", "");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = foo.start();
    foo.control(b"u");
    assert_eq!(tree.heard(), "run");
    let running = foo.wait(is_running);
    go.write_all(b"\n").unwrap();
    let pid: i32 = tree.heard().strip_prefix("finish ").unwrap().parse().unwrap();
    let finishing = foo.wait(|status| status.pid == pid);
    assert_eq!(finishing, Status { pid, state: State::Finish, ..running });
    assert_eq!((foo.record("stat"), foo.record("pid")), ("finish\n".to_owned(), format!("{pid}\n")));
    foo.control(b"d");
    let finishing = foo.wait(|status| status.want == Want::Down);
    assert_eq!(finishing, Status { pid, state: State::Finish, want: Want::Down, ..running });
    assert_eq!(foo.record("stat"), "finish, want down\n");
    go.write_all(b"\n").unwrap();
    let down = foo.wait(is_down);
    assert_ne!(down.since, running.since);
    assert_eq!((foo.record("stat"), foo.record("pid")), ("down\n".to_owned(), String::new()));
}

#[test]
fn a_finish_that_cannot_be_read_is_no_finish() {
    let tree = Tree::new();
    let service = tree.service("foo").run("exit 1").finish("say finish").mode("finish", 0o111).file("down", "");
    // Root, too, must then ask for permission.
    let mut command = tree.command(if is_root() { "setpriv" } else { "runsv" });
    if is_root() {
        command.args(["--bounding-set=-dac_override,-dac_read_search", "runsv"]);
    }
    command.stderr(Stdio::piped());
    let foo = service.start_by(command);
    foo.wait(is_down);
    foo.control(b"o");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    assert_eq!(foo.exit(), (std::process::ExitStatus::from_raw(0), String::new()));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_down_file_of_whatever_kind_keeps_a_service_from_starting() {
    let tree = Tree::new();
    let a = tree.service("a").run("say a").file("down", "").start();
    let b = tree.service("b").run("say b").file("down/directory", "").start();
    let c = tree.service("c").run("say c; exec sleep 1000");
    symlink("nowhere", tree.path("c/down")).unwrap();
    let c = c.start();
    assert_eq!(tree.heard(), "c");
    for service in [a, b] {
        let status = service.wait(is_down);
        assert_eq!((status.want, status.pid), (Want::Down, 0));
        assert_eq!((service.record("stat"), service.record("pid")), ("down\n".to_owned(), String::new()));
        assert_eq!(service.exit().0.code(), Some(0));
    }
    assert_eq!(c.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_down_file_of_the_log_service_is_its_own() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("echo line; exec sleep 1000")
        .log("while read -r line; do say $line; done")
        .file("log/down", "")
        .start();
    foo.wait(is_running);
    assert_eq!(foo.wait_log(is_down).want, Want::Down);
    foo.control_log(b"u");
    foo.wait_log(is_running);
    assert_eq!(tree.heard(), "line");
    assert_eq!(foo.exit().0.code(), Some(0));
}

// What a service is given

/// In sh: the descriptors that a program is given, and the signals that are blocked or ignored.
const LOOK: &str = "$(ls /proc/self/fd) $(grep -E 'Sig(Blk|Ign)' /proc/self/status)";

/// What [`LOOK`] is without a supervisor: whoever runs the tests may have left descriptors open.
fn usual(tree: &Tree, signals: &[&str]) -> String {
    let mut command = tree.command("env");
    Outcome::of(command.args(signals).args(["sh", "-c", &format!("echo {LOOK}")])).stdout.trim_end().to_owned()
}

#[test]
fn a_service_has_default_signals_and_no_more_descriptors_than_three() {
    let tree = Tree::new();
    let look = format!("say {LOOK}");
    let usual = usual(&tree, &["--default-signal"]);
    let stay = "exec sleep 1000";
    let mut command = tree.command("env");
    command.args(["--default-signal", "runsv"]);
    let service = tree
        .service("foo")
        .run(&format!("{look} run; {stay}"))
        .log(&format!("{look} log; {stay}"))
        .finish(&format!("{look} finish"))
        .script("control/u", &format!("{look} control/u"))
        .script("control/d", &format!("{look} control/d"));
    let foo = service.start_by(command);
    foo.wait(is_running);
    let mut heard: BTreeSet<_> = (0..3).map(|_| tree.heard()).collect();
    foo.control(b"d");
    heard.extend((0..2).map(|_| tree.heard()));
    let expected = ["run", "log", "finish", "control/u", "control/d"].map(|who| format!("{usual} {who}"));
    assert_eq!(heard, expected.into());
    foo.wait_log(is_running);
    process::send(foo.wait_log(is_running).pid, Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), format!("{usual} log"));
}

#[test]
fn ignored_and_blocked_signals_of_its_parent_do_not_make_it_deaf() {
    let tree = Tree::new();
    let mut command = tree.command("env");
    command.args(["--ignore-signal=CHLD,TERM,PIPE,HUP", "--block-signal=CHLD,TERM", "runsv"]);
    let service = tree.service("foo").run(&format!("say {LOOK}; exit 3")).finish("say $1");
    let mut foo = service.start_by(command);
    // HUP is as it was inherited; CHLD, TERM and PIPE are what every program expects.
    let usual = usual(&tree, &["--default-signal=CHLD,TERM,PIPE", "--ignore-signal=HUP"]);
    for _ in 0..2 {
        assert_eq!((tree.heard().as_str(), tree.heard().as_str()), (usual.as_str(), "3"));
    }
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
    assert_eq!(wait_for_end(&mut foo.child).unwrap().code(), Some(0));
}

#[test]
fn a_supervisor_without_descriptors_still_gives_its_log_service_the_pipe() {
    let tree = Tree::new();
    let mut command = tree.command("sh");
    command.args(["-c", "exec runsv \"$1\" <&- >&- 2>&-", "sh"]);
    let look = "echo $(ls /proc/self/fd)";
    let service = tree
        .service("foo")
        .run(&format!("echo line; {look}; exec sleep 1000"))
        .log("while read -r line; do say $line; done");
    let foo = service.start_by(command);
    let descriptors = tree.run("sh", &["-c", look]).stdout;
    assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("line", descriptors.trim_end()));
    foo.wait(is_running);
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_service_is_in_the_session_and_the_environment_of_its_supervisor() {
    let tree = Tree::new();
    let mut command = tree.command("runsv");
    command.env("COLOUR", "blue");
    let service = tree
        .service("foo")
        .run("say $COLOUR $PPID $(cut -d' ' -f 5,6 /proc/$$/stat); exec sleep 1000")
        .log("say $COLOUR $PPID $(cut -d' ' -f 5,6 /proc/$$/stat) ${PWD##*/} $$; exec cat");
    let foo = service.start_by(command);
    let id = foo.child.id();
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let ids: Vec<_> = stat.split(' ').skip(4).take(2).collect();
    let (group, session) = (ids[0], ids[1]);
    let log = foo.wait_log(is_running).pid;
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    let of_log = format!("blue {id} {log} {session} log {log}"); // it leads a process group
    assert_eq!(heard, [format!("blue {id} {group} {session}"), of_log].into());
}

// The log service

/// A service that writes what the test tells it to, and says when it has.
struct Writer<'a> {
    tree: &'a Tree,
    lines: fs::File,
}

impl<'a> Writer<'a> {
    const RUN: &'static str = "exec 3<>lines; while IFS= read -r line <&3; do printf \"$line\"; say wrote; done";

    fn new(tree: &'a Tree) -> (Writer<'a>, Service<'a>) {
        let service = tree.service("foo").run(Writer::RUN);
        homerun::sys::file::make_fifo(&tree.path("foo/lines"), 0o600).unwrap();
        let lines = homerun::sys::file::open_read_write(tree.path("foo/lines")).unwrap();
        (Writer { tree, lines }, service)
    }

    /// Has the service write this, in the form of printf; other lines heard meanwhile are given back.
    fn write(&mut self, text: &str) -> Vec<String> {
        self.lines.write_all(format!("{text}\n").as_bytes()).unwrap();
        std::iter::repeat_with(|| self.tree.heard()).take_while(|line| line != "wrote").collect()
    }
}

#[test]
fn no_line_is_lost_or_doubled_when_either_side_of_the_log_pipe_is_killed() {
    let tree = Tree::new();
    let (mut writer, service) = Writer::new(&tree);
    let foo = service.log("while read -r line; do printf '%s\\n' \"$line\" >>../lines.log; say log; done").start();
    let mut expected = String::new();
    for round in 0..3 {
        let log_pid = foo.wait_log(is_running).pid;
        writer.write(&format!("first {round}\\n"));
        while fs::read_to_string(tree.path("foo/lines.log")).unwrap_or_default().lines().count() < 4 * round + 1 {
            let _ = tree.heard();
        }
        // Nobody reads: what is written stays in the pipe, over the death of its writer too.
        foo.control_log(b"d");
        foo.wait_log(is_down);
        writer.write(&format!("second {round}\\n"));
        writer.write(&format!("half {round} "));
        let pid = foo.wait(is_running).pid;
        process::send(pid, Signal::SIGKILL).unwrap();
        foo.wait(|status| is_running(status) && status.pid != pid);
        writer.write(&format!("half {round}\\nfourth {round}\\n"));
        foo.control_log(b"u");
        assert_ne!(foo.wait_log(is_running).pid, log_pid);
        expected += &format!("first {round}\nsecond {round}\nhalf {round} half {round}\nfourth {round}\n");
        while fs::read_to_string(tree.path("foo/lines.log")).unwrap().len() < expected.len() {
            let _ = tree.heard();
        }
    }
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(fs::read_to_string(tree.path("foo/lines.log")).unwrap(), expected);
}

#[test]
fn when_both_sides_fail_all_the_time_every_line_still_arrives_once_and_in_order() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("n=$(cat count 2>/dev/null || echo 0)\nfor i in 1 2 3 4 5 6 7 8; do n=$((n+1)); echo $n; done\necho $n >count; exit 1")
        .log("for i in 1 2 3 4 5; do read -r line && say $line; done; kill -KILL $$")
        .start();
    for n in 1..=20 {
        assert_eq!(tree.heard(), n.to_string());
    }
    foo.control(b"d");
    foo.wait(|status| is_down(status) && status.want == Want::Down);
}

#[test]
fn the_log_pipe_blocks() {
    let tree = Tree::new();
    let flags = |fd: u8| format!("say $(grep flags /proc/self/fdinfo/{fd}); exec sleep 1000");
    let _foo = tree.service("foo").run(&format!("say x; {}", flags(1))).log(&format!("say x; {}", flags(0))).start();
    let heard: Vec<_> = (0..4).map(|_| tree.heard()).filter(|line| line != "x").collect();
    for line in heard {
        let flags = i32::from_str_radix(line.strip_prefix("flags: ").unwrap(), 8).unwrap();
        assert_eq!(flags & libc::O_NONBLOCK, 0, "{line}");
    }
}

#[test]
fn control_bytes_of_the_log_service_mean_the_log_service_and_x_means_nothing() {
    let tree = Tree::new();
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say log $s\" $s; done";
    let foo = tree
        .service("foo")
        .run("say run; exec sleep 1000")
        .script("log/traps", &format!("{trap}\nsay log; {LISTEN}"))
        .log("exec env --default-signal ./traps")
        .script("control/h", "say hook")
        .script("log/control/h", "say hook")
        .script("log/finish", "say log finish $1 $2")
        .start();
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    assert_eq!(heard, ["log".to_owned(), "run".to_owned()].into());
    for (byte, name) in [(b't', "TERM"), (b'h', "HUP"), (b'a', "ALRM"), (b'i', "INT"), (b'q', "QUIT"), (b'1', "USR1")] {
        foo.control_log(&[b'x', byte]);
        assert_eq!(tree.heard(), format!("log {name}"));
    }
    assert!(foo.wait_log(|status| status.got_term).want == Want::Up);
    foo.control_log(b"p");
    foo.wait_log(|status| status.paused);
    foo.control_log(b"2c");
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    assert_eq!(heard, ["log USR2".to_owned(), "log CONT".to_owned()].into());
    let killed = foo.wait_log(is_running).pid;
    foo.control_log(b"k");
    assert_eq!(tree.heard(), "log");
    foo.wait_log(|status| is_running(status) && status.pid != killed);
    foo.control_log(b"dk");
    let down = foo.wait_log(is_down);
    assert_eq!((down.want, down.got_term), (Want::Down, false));
    foo.control_log(b"o");
    // Before the traps are set TERM would end it.
    while tree.heard() != "log" {}
    assert_eq!(foo.wait_log(is_running).want, Want::Down);
    foo.control_log(b"k");
    foo.wait_log(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None, "log/finish is never run");
}

// Control bytes

#[test]
fn every_signal_arrives() {
    let tree = Tree::new();
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done";
    let foo = tree
        .service("foo")
        .script("traps", &format!("{trap}\nsay up; {LISTEN}"))
        .run("exec env --default-signal ./traps")
        .finish("say finish $1 $2")
        .start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(is_running).pid;
    for (byte, name) in [(b'h', "HUP"), (b'a', "ALRM"), (b'i', "INT"), (b'q', "QUIT"), (b'1', "USR1"), (b'2', "USR2")] {
        foo.control(&[byte]);
        assert_eq!(tree.heard(), name);
    }
    assert_eq!(foo.record("stat"), "run\n");
    foo.control(b"t");
    assert_eq!(tree.heard(), "TERM");
    foo.wait(|status| status.got_term && status.want == Want::Up);
    assert_eq!(foo.record("stat"), "run, got TERM\n");
    foo.control(b"p");
    let paused = foo.wait(|status| status.paused);
    assert_eq!((paused.pid, foo.record("stat").as_str()), (pid, "run, paused, got TERM\n"));
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    assert!(stat.contains(") T "), "{stat}");
    foo.control(b"c");
    foo.wait(|status| !status.paused);
    assert_eq!(tree.heard(), "CONT");
    foo.control(b"d");
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    assert_eq!(heard, ["TERM".to_owned(), "CONT".to_owned()].into());
    foo.wait(|status| status.want == Want::Down);
    assert_eq!(foo.record("stat"), "run, got TERM, want down\n");
    foo.control(b"u");
    foo.wait(|status| status.want == Want::Up && status.got_term && status.pid == pid);
    foo.control(b"k");
    assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("finish -1 9", "up"));
    foo.wait(|status| is_running(status) && status.pid != pid);
    assert_eq!(foo.record("stat"), "run\n");
    foo.control(b"o");
    foo.wait(|status| status.want == Want::Down && !status.got_term);
    foo.control(b"k");
    assert_eq!(tree.heard(), "finish -1 9");
    foo.wait(is_down);
}

#[test]
fn signals_for_a_service_that_is_down_or_finishing_go_nowhere() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("exit 1")
        .finish(&format!(
            "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done; say finish; {LISTEN}"
        ))
        .file("down", "")
        .start();
    foo.control(b"tkhaiq12\n?\0zX");
    foo.control(b"p");
    let paused = foo.wait(|status| status.paused);
    assert_eq!((paused.state, paused.want, paused.pid), (State::Down, Want::Down, 0));
    assert_eq!(foo.record("stat"), "down, paused\n");
    foo.control(b"c");
    foo.wait(|status| !status.paused);
    foo.control(b"o");
    assert_eq!(tree.heard(), "finish");
    foo.control(b"thaiq12pcu");
    let finishing = foo.wait(|status| status.state == State::Finish && status.want == Want::Up);
    assert!(!finishing.got_term && !finishing.paused);
    foo.control(b"p");
    let finishing = foo.wait(|status| status.paused);
    let stat = fs::read_to_string(format!("/proc/{}/stat", finishing.pid)).unwrap();
    assert!(!stat.contains(") T "), "{stat}");
    assert_eq!(foo.record("stat"), "finish, paused\n");
    foo.control(b"d");
    foo.wait(|status| status.want == Want::Down);
    assert_eq!(tree.heard_already(), None);
    // Only a finish that hangs can be killed.
    foo.control(b"k");
    foo.wait(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn once_runs_it_once() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run; read -r line <go").file("down", "");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = foo.start();
    foo.control(b"o");
    assert_eq!(tree.heard(), "run");
    assert_eq!(foo.wait(is_running).want, Want::Down);
    assert_eq!(foo.record("stat"), "run, want down\n");
    go.write_all(b"\n").unwrap();
    foo.wait(is_down);
    foo.control(b"u");
    assert_eq!(tree.heard(), "run");
    foo.wait(|status| is_running(status) && status.want == Want::Up);
    foo.control(b"o");
    let once = foo.wait(|status| status.want == Want::Down);
    assert!(!once.got_term, "a running service is not disturbed");
    go.write_all(b"\n").unwrap();
    foo.wait(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn commands_are_obeyed_during_the_pause_before_a_restart() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run; exit 1").finish("say finish").start();
    for _ in 0..2 {
        let is_obeyed = (0..10).any(|_| {
            assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("run", "finish"));
            foo.wait(|status| is_down(status) && status.want == Want::Up);
            foo.control(b"d");
            foo.wait(|status| is_down(status) && status.want == Want::Down);
            // A slow machine may have let the pause go by.
            let is_late = tree.heard_already().is_some_and(|line| line == "run" && tree.heard() == "finish");
            foo.control(b"u");
            !is_late
        });
        assert!(is_obeyed);
    }
    assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("run", "finish"));
    foo.wait(|status| is_down(status) && status.want == Want::Up);
    foo.control(b"do");
    assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("run", "finish"));
    foo.wait(|status| is_down(status) && status.want == Want::Down);
    foo.control(b"u");
    assert_eq!((tree.heard().as_str(), tree.heard().as_str()), ("run", "finish"));
    foo.wait(|status| is_down(status) && status.want == Want::Up);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_burst_is_obeyed_byte_by_byte_to_its_last() {
    for burst in ["duduox", "uuddx", "tcudx", "hhtcux", "oooux", "x\nx x", "pcpcx", "dpx", "12aiqx"] {
        let tree = Tree::new();
        let foo = tree.service("foo").run(&format!("trap '' HUP ALRM INT QUIT USR1 USR2\n{STAY}")).start();
        assert_eq!(tree.heard(), "up");
        foo.control(burst.as_bytes());
        let (status, said) = foo.ended();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{burst}");
        let status = Status::decode(&fs::read(tree.path("foo/supervise/status")).unwrap()).unwrap();
        assert_eq!((status.state, status.pid, status.got_term), (State::Down, 0, false), "{burst}");
        assert_eq!(tree.heard_already(), None, "{burst}");
    }
}

#[test]
fn none_of_a_thousand_commands_is_lost_or_overtaken() {
    let tree = Tree::new();
    let mut service = tree.service("foo").run(STAY);
    for name in ["h", "a", "i", "q", "1", "2"] {
        service = service.script(&format!("control/{name}"), &format!("say {name}"));
    }
    let foo = service.start();
    assert_eq!(tree.heard(), "up");
    let mut seed = 1_u32;
    let bytes: Vec<u8> = std::iter::repeat_with(|| {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        b"haiq12"[(seed >> 16) as usize % 6]
    })
    .take(1000)
    .collect();
    foo.control(&bytes);
    let heard: Vec<u8> = (0..bytes.len()).map(|_| tree.heard().as_bytes()[0]).collect();
    assert_eq!(String::from_utf8(heard).unwrap(), String::from_utf8(bytes).unwrap());
    assert_eq!(foo.exit().0.code(), Some(0));
}

// Exit

#[test]
fn exit_ends_the_service_and_then_the_supervisor() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).finish("say finish $1 $2").start();
    assert_eq!(tree.heard(), "up");
    let (status, said) = foo.exit();
    assert_eq!((status.code(), said.as_str()), (Some(0), ""));
    assert_eq!(tree.heard(), "finish -1 15");
    for name in ["supervise/ok", "supervise/control"] {
        assert!(fs::metadata(tree.path("foo").join(name)).unwrap().file_type().is_fifo());
        let error = homerun::sys::file::open_write(tree.path("foo").join(name)).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::ENXIO), "{name}");
    }
    let records = ["stat", "pid", "lock"].map(|name| fs::read(tree.path("foo/supervise").join(name)).unwrap());
    assert_eq!(records, [b"down\n".to_vec(), vec![], vec![]]);
}

#[test]
fn until_the_service_has_ended_the_records_say_that_exit_is_wanted() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(&format!("trap '' TERM; say up; {LISTEN}")).start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(is_running).pid;
    foo.control(b"x");
    let status = foo.wait(|status| status.got_term);
    assert_eq!((status.want, status.pid, foo.record("stat").as_str()), (Want::Down, pid, "run, got TERM, want exit\n"));
    foo.control(b"k");
    assert_eq!(foo.ended().0.code(), Some(0));
}

#[test]
fn term_is_exit() {
    for state in ["run", "down", "pause", "finish"] {
        let tree = Tree::new();
        let (run, finish) = match state {
            "run" => ("say ready; exec sleep 1000", "exit"),
            "finish" => ("exit 1", "say ready; read -r line <go"),
            _ => ("exit 1", "say ready"),
        };
        let mut service = tree.service("foo").run(run).finish(finish);
        homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
        let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
        if state == "down" {
            service = service.file("down", "");
        }
        let foo = service.start();
        if state != "down" {
            assert_eq!(tree.heard(), "ready");
        }
        if state == "pause" {
            foo.wait(is_down);
        }
        process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
        if state == "finish" {
            foo.wait(|status| status.want == Want::Down);
            assert_eq!(foo.record("stat"), "finish, want exit\n");
            go.write_all(b"\n").unwrap();
        }
        let (status, said) = foo.ended();
        assert_eq!((status.code(), said.as_str()), (Some(0), ""), "{state}");
        assert_eq!(fs::read_to_string(tree.path("foo/supervise/stat")).unwrap(), "down\n", "{state}");
        assert_eq!(tree.heard_already(), None, "{state}");
    }
}

#[test]
fn exit_waits_until_the_log_service_has_read_all_and_never_signals_it() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("trap 'echo last; exit 0' TERM; echo first; say up; while :; do sleep 1000 >/dev/null & wait; done")
        .finish("echo finish")
        .log("trap 'say TERM' TERM; while read -r line; do say log $line; done; say end; read -r line <../go; say log ends")
        .script("control/x", "echo hook");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = foo.start();
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    assert_eq!(heard, ["log first".to_owned(), "up".to_owned()].into());
    foo.control(b"x");
    let heard: BTreeSet<_> = (0..3).map(|_| tree.heard()).collect();
    assert_eq!(heard, ["log last".to_owned(), "log hook".to_owned(), "log finish".to_owned()].into());
    assert_eq!(tree.heard(), "end");
    let log = foo.wait_log(|status| status.want == Want::Down);
    assert_eq!((log.state, log.got_term), (State::Run, false));
    assert_eq!(fs::read_to_string(tree.path("foo/log/supervise/stat")).unwrap(), "run, want exit\n");
    assert_eq!(foo.record("stat"), "down\n");
    go.write_all(b"\n").unwrap();
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard(), "log ends");
    assert_eq!(fs::read_to_string(tree.path("foo/log/supervise/stat")).unwrap(), "down\n");
}

#[test]
fn up_while_the_log_service_reads_what_is_left_takes_the_exit_back() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("say up; echo line; exec sleep 1000")
        .log("while read -r line; do say log $line; done; say end; read -r line <../go");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = foo.start();
    for last in [false, true] {
        let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
        assert_eq!(heard, ["log line".to_owned(), "up".to_owned()].into());
        foo.wait_log(is_running);
        foo.control(b"x");
        assert_eq!(tree.heard(), "end");
        if !last {
            foo.control(b"u");
            foo.wait(|status| status.want == Want::Up && is_down(status));
            assert_eq!(tree.heard_already(), None, "it waits for a log service that listens");
        }
        go.write_all(b"\n").unwrap();
    }
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_log_service_that_fails_on_the_way_out_is_started_again_for_what_is_left() {
    let tree = Tree::new();
    let (mut writer, service) = Writer::new(&tree);
    let foo = service.log("while read -r line; do say $line; exit 1; done; say end").start();
    foo.wait_log(is_running);
    foo.control_log(b"p");
    foo.wait_log(|status| status.paused);
    writer.write("one\\ntwo\\n");
    foo.control(b"x");
    foo.wait_log(|status| status.want == Want::Down);
    foo.control_log(b"c");
    assert_eq!((tree.heard().as_str(), tree.heard().as_str(), tree.heard().as_str()), ("one", "two", "end"));
    assert_eq!(foo.ended().0.code(), Some(0));
}

// Hooks

#[test]
fn a_hook_that_succeeds_stands_in_for_the_signal() {
    let tree = Tree::new();
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done";
    let mut service = tree
        .service("foo")
        .script("traps", &format!("{trap}\nsay up $$; {LISTEN}"))
        .run("exec env --default-signal ./traps");
    for name in ["u", "t", "d", "x", "k", "p", "c", "h", "a", "i", "q", "1", "2", "o"] {
        // With what it is called, and where.
        service = service.script(&format!("control/{name}"), "say hook $0 \"<$*>\" $# ${PWD##*/}; exit $(cat code)");
    }
    let foo = service.file("code", "0").start();
    assert_eq!(tree.heard(), "hook control/u <> 1 foo");
    let pid: i32 = tree.heard().strip_prefix("up ").unwrap().parse().unwrap();
    let status = foo.wait(is_running);
    for name in ["t", "h", "a", "i", "q", "1", "2", "p", "k", "c"] {
        foo.control(name.as_bytes());
        assert_eq!(tree.heard(), format!("hook control/{name} <{pid}> 1 foo"));
        if name == "p" {
            foo.wait(|status| status.paused); // the hook has ended, and `k` need not end it
        }
    }
    foo.control(b"u"); // an order that is obeyed already
    assert_eq!(Status { want: Want::Up, ..foo.wait(|status| !status.paused) }, status, "nothing has changed");
    foo.control(b"d");
    let heard = [tree.heard(), tree.heard(), tree.heard()];
    // CONT is sent even where TERM was not.
    assert_eq!(heard[0], format!("hook control/t <{pid}> 1 foo"));
    let rest: BTreeSet<_> = heard[1..].iter().cloned().collect();
    assert_eq!(rest, ["CONT".to_owned(), format!("hook control/d <{pid}> 1 foo")].into());
    assert_eq!(foo.wait(|status| status.want == Want::Down), Status { want: Want::Down, ..status });

    fs::write(tree.path("foo/code"), "100").unwrap();
    for (name, signal) in [("h", "HUP"), ("a", "ALRM"), ("i", "INT"), ("q", "QUIT"), ("1", "USR1"), ("2", "USR2")] {
        foo.control(name.as_bytes());
        assert_eq!(tree.heard(), format!("hook control/{name} <{pid}> 1 foo"));
        assert_eq!(tree.heard(), signal);
    }
    foo.control(b"x");
    assert_eq!(tree.heard(), format!("hook control/t <{pid}> 1 foo"));
    let rest: BTreeSet<_> = (0..3).map(|_| tree.heard()).collect();
    assert_eq!(rest, ["TERM".to_owned(), "CONT".to_owned(), format!("hook control/x <{pid}> 1 foo")].into());
    foo.control(b"k");
    assert_eq!(tree.heard(), format!("hook control/k <{pid}> 1 foo"));
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_hook_without_the_owners_right_to_run_it_is_none() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run(&format!("trap 'say HUP' HUP; trap 'say USR1' USR1; say up; {LISTEN}"))
        .script("control/u", "say hook")
        .mode("control/u", 0o655)
        .script("control/h", "say hook")
        .mode("control/h", 0o611)
        .program("control/1", "true\n")
        .start_heard();
    assert_eq!(tree.heard(), "up");
    foo.control(b"h");
    assert_eq!(tree.heard(), "HUP");
    foo.control(b"1");
    assert_eq!(tree.heard(), "runsv foo: fatal: unable to run control/1: exec format error");
    assert_eq!(tree.heard(), "runsv foo: info: unable to run control/1: exec format error: it does not begin with #!");
    assert_eq!(tree.heard(), "USR1");
}

#[test]
fn a_hook_that_is_killed_has_not_stood_in_for_anything() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run(&format!("trap 'say HUP' HUP; say up; {LISTEN}"))
        .script("control/h", "kill -KILL $$")
        .start();
    assert_eq!(tree.heard(), "up");
    foo.control(b"h");
    assert_eq!(tree.heard(), "HUP");
}

#[test]
fn a_hook_writes_into_the_log() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run("say up; exec sleep 1000")
        .log("while read -r line; do say log $line; done")
        .script("control/i", "echo hook")
        .start();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    foo.control(b"i");
    assert_eq!(tree.heard(), "log hook");
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_hook_that_hangs_does_not_make_the_supervisor_deaf() {
    let tree = Tree::new();
    let foo = tree
        .service("foo")
        .run(&format!("trap 'say TERM' TERM; say up; {LISTEN}"))
        .log("while read -r line; do say $line; done")
        .script("control/t", "say hook; exec sleep 1000")
        .finish("say finish $1 $2")
        .start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(is_running).pid;
    foo.control(b"t");
    assert_eq!(tree.heard(), "hook");
    assert_eq!(tree.sv(&["status", "foo"]).code, Some(0));
    foo.control(b"d");
    let status = foo.wait(|status| status.want == Want::Down);
    assert_eq!((status.pid, status.got_term), (pid, false));
    foo.control(b"u");
    foo.wait(|status| status.want == Want::Up);
    let log_pid = foo.wait_log(is_running).pid;
    foo.control_log(b"k");
    foo.wait_log(|status| is_running(status) && status.pid != log_pid);
    foo.control(b"dk");
    let mut heard = Vec::new();
    while heard.last().is_none_or(|line: &String| !line.starts_with("finish")) {
        heard.push(tree.heard());
    }
    heard.retain(|line| line != "TERM"); // the trap may or may not have had its turn
    assert_eq!(heard, ["finish -1 9"], "no hook was asked again");
    foo.wait(is_down);
    let (status, said) = foo.exit();
    let killed = "runsv foo: warning: control hook was killed: it took too long or was in the way\n";
    assert_eq!((status.code(), said.as_str()), (Some(0), killed));
}

#[test]
fn kill_ends_each_hook_that_is_in_its_way() {
    let tree = Tree::new();
    let hang = "say ${0##*/}; exec sleep 1000";
    let foo = tree
        .service("foo")
        .run(&format!("trap '' TERM; say up; {LISTEN}"))
        .script("control/t", hang)
        .script("control/d", hang)
        .script("control/k", hang)
        .finish("say finish $1 $2")
        .start();
    assert_eq!(tree.heard(), "up");
    foo.control(b"d");
    assert_eq!(tree.heard(), "t");
    foo.control(b"k");
    assert_eq!(tree.heard(), "k", "control/d would have been in the way");
    foo.control(b"k");
    assert_eq!(tree.heard(), "finish -1 9", "the second one ends the hook of the first");
    foo.wait(is_down);
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn what_is_asked_of_a_service_while_its_start_hook_runs_is_done_after_the_start() {
    let tree = Tree::new();
    let service = tree
        .service("foo")
        .run(&format!("trap 'say HUP' HUP; say up; {LISTEN}"))
        .script("control/u", "say hook; read -r line <go")
        .script("control/h", "say h; read -r line <go; exit 1")
        .finish("say finish $1 $2")
        .file("down", "");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = service.start();
    foo.control(b"o");
    assert_eq!(tree.heard(), "hook");
    assert_eq!(foo.wait(is_down).want, Want::Down);
    foo.control(b"hp");
    go.write_all(b"\n").unwrap();
    let heard: BTreeSet<_> = [tree.heard(), tree.heard()].into();
    assert_eq!(heard, ["h".to_owned(), "up".to_owned()].into());
    go.write_all(b"\n").unwrap();
    foo.wait(|status| is_running(status) && status.paused);
    foo.control(b"k");
    while tree.heard() != "finish -1 9" {}
    foo.wait(is_down);
    // A start that is taken back takes with it what was asked of it.
    foo.control(b"u");
    assert_eq!(tree.heard(), "hook");
    foo.control(b"hd");
    foo.wait(|status| status.want == Want::Down);
    go.write_all(b"\n").unwrap();
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn kill_ends_a_start_hook_that_hangs() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say run").script("control/u", "say hook; exec sleep 1000").start();
    assert_eq!(tree.heard(), "hook");
    foo.control(b"xk");
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn term_is_heard_behind_any_number_of_commands_that_wait_for_a_hook() {
    let tree = Tree::new();
    let service = tree.service("foo").run(STAY).script("control/h", "say hook; read -r line <go").finish("say $1 $2");
    homerun::sys::file::make_fifo(&tree.path("foo/go"), 0o600).unwrap();
    let mut go = homerun::sys::file::open_read_write(tree.path("foo/go")).unwrap();
    let foo = service.start();
    assert_eq!(tree.heard(), "up");
    foo.control(&[b'h'; 40]);
    assert_eq!(tree.heard(), "hook");
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
    foo.wait(|status| status.want == Want::Down);
    // The hooks go on one after the other; each may be the last.
    for _ in 0..40 {
        go.write_all(b"\n").unwrap();
    }
    while tree.heard() != "-1 15" {}
    assert_eq!(foo.ended().0.code(), Some(0));
}

// supervise/

#[test]
fn a_second_supervisor_is_refused_and_disturbs_nothing() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).log("exec cat >/dev/null").start();
    assert_eq!(tree.heard(), "up");
    let status = foo.wait(is_running);
    foo.wait_log(is_running);
    let holder = format!("is held by process {}", foo.child.id());
    let refused = |name: &str, lock: &str| {
        let info = format!("runsv {name}: info: {lock} {holder}\n");
        fails(&format!("{info}runsv {name}: fatal: unable to lock {lock}: temporary failure\n"), 111)
    };
    assert_eq!(tree.run("runsv", &["foo"]), refused("foo", "supervise/lock"));
    let links = tree.service("bar").run("say bar").made();
    symlink("../foo/log", links.join("log")).unwrap();
    assert_eq!(tree.run("runsv", &["bar"]), refused("bar", "log/supervise/lock"));
    assert_eq!(foo.wait(is_running), status);
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn the_lock_goes_with_the_supervisor_however_it_ends() {
    let tree = Tree::new();
    let mut foo = tree.service("foo").run(STAY).start();
    assert_eq!(tree.heard(), "up");
    let left = foo.wait(is_running).pid;
    foo.child.kill().unwrap();
    wait_for_end(&mut foo.child).unwrap();
    process::send(left, Signal::SIGKILL).unwrap();
    let foo = tree.service("foo").start();
    assert_eq!(tree.heard(), "up");
    assert_ne!(foo.wait(is_running).pid, left);
    assert_eq!(foo.exit().0.code(), Some(0));
}

/// Name, type and mode of all in a `supervise/`.
pub fn listing(directory: &std::path::Path) -> BTreeSet<String> {
    let describe = |entry: fs::DirEntry| {
        let found = entry.metadata().unwrap();
        let kind = match found.file_type() {
            kind if kind.is_fifo() => "fifo",
            kind if kind.is_file() => "file",
            _ => "other",
        };
        format!("{} {kind} {:o} {}", entry.file_name().to_string_lossy(), found.permissions().mode() & 0o7777, {
            if kind == "file" && entry.file_name() == "status" { found.size() } else { 0 }
        })
    };
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    entries.filter(|entry| !OWN_FILES.iter().any(|own| entry.file_name() == *own)).map(describe).collect()
}

/// What the original does not have in `supervise/`: notes for a successor, the log pipe, and why it does not run.
pub const OWN_FILES: [&str; 4] = ["process", "pipe", "reason", "reason.new"];

#[test]
fn the_files_of_supervise_have_the_originals_types_and_modes() {
    for (umask, directory, private, public) in [("022", 0o700, "600", "644"), ("077", 0o700, "600", "600")] {
        let tree = Tree::new();
        let mut command = tree.command("sh");
        command.args(["-c", "umask $0; exec runsv \"$1\"", umask]);
        let foo = tree.service("foo").run(STAY).log("exec cat").start_by(command);
        assert_eq!(tree.heard(), "up");
        foo.wait(is_running);
        foo.wait_log(is_running);
        let expected: BTreeSet<_> = [
            format!("lock file {private} 0"),
            format!("control fifo {private} 0"),
            format!("ok fifo {private} 0"),
            format!("status file {public} 20"),
            format!("stat file {public} 0"),
            format!("pid file {public} 0"),
        ]
        .into();
        assert_eq!(foo.exit().0.code(), Some(0));
        for name in ["foo/supervise", "foo/log/supervise"] {
            assert_eq!(fs::metadata(tree.path(name)).unwrap().permissions().mode() & 0o7777, directory);
            assert_eq!(listing(&tree.path(name)), expected);
        }
    }
}

#[test]
fn modes_that_an_administrator_gave_to_fifos_and_lock_stay() {
    let tree = Tree::new();
    tree.service("foo").file("down", "").start().exit();
    for name in ["ok", "control", "lock"] {
        let mode = fs::Permissions::from_mode(0o622);
        fs::set_permissions(tree.path("foo/supervise").join(name), mode).unwrap();
    }
    tree.service("foo").start().exit();
    for name in ["ok", "control", "lock"] {
        let mode = fs::metadata(tree.path("foo/supervise").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o622, "{name}");
    }
}

#[test]
fn the_status_record_is_twenty_bytes_of_a_known_form() {
    let tree = Tree::new();
    let before = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let foo = tree.service("foo").run(&format!("trap '' TERM; say up; {LISTEN}")).start();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(is_running).pid;
    let after = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let bytes = fs::read(tree.path("foo/supervise/status")).unwrap();
    let seconds = u64::from_be_bytes(bytes[..8].try_into().unwrap());
    let nanoseconds = u32::from_be_bytes(bytes[8..12].try_into().unwrap());
    let since = std::time::Duration::new(seconds - (1 << 62) - 10, nanoseconds);
    assert!(before <= since && since <= after, "{before:?} {since:?} {after:?}");
    let mut expected = pid.to_le_bytes().to_vec();
    expected.extend(b"\0u\0\x01");
    assert_eq!(bytes[12..], expected);
    foo.control(b"px");
    foo.wait(|status| status.paused && status.got_term);
    let bytes = fs::read(tree.path("foo/supervise/status")).unwrap();
    assert_eq!(bytes[16..], *b"\x01d\x01\x01");
    foo.control(b"k");
    assert_eq!(foo.ended().0.code(), Some(0));
    let bytes = fs::read(tree.path("foo/supervise/status")).unwrap();
    assert_eq!(bytes[12..16], [0; 4]);
    assert_eq!(bytes[17..], *b"d\0\0");
}

#[test]
fn supervise_may_be_a_link_whose_target_is_made() {
    let tree = Tree::new();
    let service = tree.service("foo").run(STAY).log("exec cat");
    symlink("../elsewhere", tree.path("foo/supervise")).unwrap();
    symlink("../../elsewhere.log", tree.path("foo/log/supervise")).unwrap();
    let foo = service.start_unseen();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    foo.wait_log(is_running);
    assert!(fs::symlink_metadata(tree.path("foo/supervise")).unwrap().is_symlink());
    assert_eq!(fs::metadata(tree.path("elsewhere")).unwrap().permissions().mode() & 0o77, 0);
    assert_eq!(fs::read_to_string(tree.path("elsewhere/stat")).unwrap(), "run\n");
    assert_eq!(fs::read_to_string(tree.path("elsewhere.log/stat")).unwrap(), "run\n");
    assert_eq!(foo.exit().0.code(), Some(0));
    assert_eq!(fs::read_to_string(tree.path("elsewhere/stat")).unwrap(), "down\n");
}

#[test]
fn an_ok_that_is_no_fifo_will_do_and_is_told() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).log("exec cat").file("supervise/ok", "").file("log/supervise/ok/x", "");
    let foo = foo.start_heard();
    let said: BTreeSet<_> = (0..3).map(|_| tree.heard()).collect();
    let warning = |ok: &str| format!("runsv foo: warning: {ok} exists but is not a fifo");
    assert_eq!(said, [warning("supervise/ok"), warning("log/supervise/ok"), "up".to_owned()].into());
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_link_to_a_long_name_is_followed_wherever_it_leads() {
    let tree = Tree::new();
    let parent = format!("{0}/{0}/{0}", "d".repeat(100));
    tree.directory(&parent);
    let service = tree.service("foo").run(STAY).log("exec cat");
    symlink(format!("../{parent}/main"), tree.path("foo/supervise")).unwrap(); // more than 256 bytes
    symlink(tree.path(&parent).join("log"), tree.path("foo/log/supervise")).unwrap();
    let foo = service.start_unseen();
    assert_eq!(tree.heard(), "up");
    foo.wait(is_running);
    foo.wait_log(is_running);
    let stat = |name: &str| fs::read_to_string(tree.path(&parent).join(name).join("stat")).unwrap();
    assert_eq!((stat("main"), stat("log")), ("run\n".to_owned(), "run\n".to_owned()));
    assert_eq!(foo.exit(), (std::process::ExitStatus::from_raw(0), String::new()));
}

#[test]
fn records_that_there_is_no_room_for_are_not_put_in_place_and_come_when_there_is() {
    let tree = Tree::new();
    let mut command = tree.command("sh");
    // What a full disk is like: no file may have any length.
    command.args(["-c", "trap '' XFSZ; ulimit -S -f 0; exec runsv \"$1\"", "sh"]).stderr(tree.mouth());
    let foo = tree.service("foo").run(STAY).start_by(command);
    let mut heard = BTreeSet::new();
    while !heard.contains("up") {
        heard.insert(tree.heard());
    }
    let warning = "runsv foo: warning: unable to write supervise/stat.new: file too big";
    assert_eq!(heard, [warning, "up"].map(str::to_owned).into(), "it is said once for all of them");
    let left = |name: &str| foo.directory.join("supervise").join(name).exists();
    assert_eq!(["stat", "status", "stat.new", "status.new"].map(left), [false; 4]);
    let pid = foo.child.id().to_string();
    assert_eq!(tree.run("prlimit", &["--fsize=unlimited", "--pid", &pid]).code, Some(0));
    foo.wait(is_running);
    assert_eq!(foo.record("stat"), "run\n");
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_service_for_which_there_is_no_process_is_started_once_there_is() {
    let tree = Tree::new();
    let service = tree.service("foo").run(STAY);
    // A user of its own: root has no such limit.
    let uid = 1_000_000_000 + std::process::id();
    if is_root() {
        std::os::unix::fs::chown(tree.path("foo"), Some(uid), None).unwrap();
    }
    let prlimit = || {
        let mut command = tree.command(if is_root() { "setpriv" } else { "prlimit" });
        if is_root() {
            command.args([&format!("--reuid={uid}"), "--clear-groups", "prlimit"]);
        }
        command
    };
    let mut command = prlimit();
    command.args(["--nproc=0:5000", "runsv"]).stderr(tree.mouth());
    let foo = service.start_by(command);
    assert_eq!(tree.heard(), "runsv foo: warning: unable to fork, sleeping: temporary failure");
    assert_eq!(foo.wait(is_down).want, Want::Up);
    let pid = foo.child.id().to_string();
    assert_eq!(Outcome::of(prlimit().args(["--nproc=5000:5000", "--pid", &pid])), says(""));
    while tree.heard() != "up" {}
    foo.wait(is_running);
    assert_eq!(foo.exit().0.code(), Some(0));
}

#[test]
fn a_removed_supervise_is_told_once_and_the_service_goes_on() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).start_heard();
    assert_eq!(tree.heard(), "up");
    let pid = foo.wait(is_running).pid;
    fs::rename(tree.path("foo/supervise"), tree.path("gone")).unwrap();
    process::send(pid, Signal::SIGKILL).unwrap();
    assert_eq!(tree.heard(), "runsv foo: warning: unable to open supervise/pid.new: file does not exist");
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort();
    assert_eq!(heard, ["runsv foo: warning: supervise was changed by somebody: all is put in place again", "up"]);
    foo.wait(is_running);
    foo.control(b"x");
    assert_eq!(foo.ended().0.code(), Some(0));
    assert_eq!(tree.heard_already(), None);
}

#[test]
fn a_name_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let tree = Tree::new();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9");
    let output = tree.command("runsv").arg(name).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.stderr, b"runsv caf\xe9: fatal: unable to change to directory: file does not exist\n");
    fs::create_dir(tree.path(name)).unwrap();
    fs::write(tree.path(name).join("down"), "").unwrap();
    let mut child = tree.command("runsv").arg(name).spawn().unwrap();
    let supervise = tree.path(name).join("supervise");
    tree.wait_in(&tree.path(name), || supervise.is_dir().then_some(()));
    tree.wait_in(&supervise, || homerun::sys::file::open_write(supervise.join("ok")).ok());
    process::send(i32::try_from(child.id()).unwrap(), Signal::SIGTERM).unwrap();
    assert_eq!(wait_for_end(&mut child).unwrap().code(), Some(0));
}

#[test]
fn records_that_could_not_be_written_are_written_once_they_can_be() {
    let tree = Tree::new();
    let foo = tree.service("foo").run("say up; exec sleep 1000").file("down", "").start();
    let blocked = foo.directory.join("supervise/stat.new");
    fs::create_dir(&blocked).unwrap();
    foo.control(b"u");
    assert_eq!(tree.heard(), "up");
    let running =
        tree.wait_in(&foo.directory.join("supervise"), || Some(foo.record("pid")).filter(|pid| !pid.is_empty()));
    foo.control(b"d");
    // What it has come to is what the records said before: they are written all the same, `pid` among them.
    wait_until_gone(running.trim().parse().unwrap());
    fs::remove_dir(&blocked).unwrap();
    foo.wait(|status| is_down(status) && foo.record("pid").is_empty());
    let (status, said) = foo.exit();
    assert_eq!(status.code(), Some(0));
    assert_eq!(said, "runsv foo: warning: unable to open supervise/stat.new: is a directory\n");
}

#[test]
fn a_standard_error_that_nobody_reads_does_not_stop_it() {
    let tree = Tree::new();
    let (reading, writing) = homerun::sys::fd::pipe().unwrap();
    let mut full = fs::File::from(writing.try_clone().unwrap());
    homerun::sys::fd::set_nonblocking(full.as_fd(), true).unwrap();
    while full.write(&[b'x'; 4096]).is_ok() {}
    homerun::sys::fd::set_nonblocking(full.as_fd(), false).unwrap();
    let service = tree.service("foo").run("trap 'say ends; exit' TERM; say up; while :; do sleep 1000 & wait; done");
    let mut command = tree.command("runsv");
    command.arg("foo").stderr(writing);
    let directory = service.made();
    fs::create_dir_all(directory.join("supervise/stat.new")).unwrap(); // worth a warning
    let mut child = command.spawn().unwrap();
    assert_eq!(tree.heard(), "up");
    process::send(i32::try_from(child.id()).unwrap(), Signal::SIGTERM).unwrap();
    assert_eq!(tree.heard(), "ends");
    assert_eq!(wait_for_end(&mut child).unwrap().code(), Some(0));
    drop(reading);
}

#[test]
fn a_log_service_that_is_started_again_at_once_is_never_said_to_run_without_a_process() {
    let tree = Tree::new();
    let foo = tree.service("foo").run(STAY).log("say log up; exec sleep 1000").start();
    assert_eq!(heard_both(&tree), ["log up", "up"]);
    // Old enough to be started again at once: its pauses are those of a service that lives long.
    let mut previous = foo.wait_log(is_running);
    for _ in 0..3 {
        foo.control_log(b"t");
        assert_eq!(tree.heard(), "log up");
        let next = foo.wait_log(|status| {
            assert!(status.state != State::Run || status.pid != 0, "{status:?}");
            is_running(status) && status.pid != previous.pid
        });
        previous = next;
    }
}

fn heard_both(tree: &Tree) -> [String; 2] {
    let mut both = [tree.heard(), tree.heard()];
    both.sort();
    both
}
