//! Commands, and what hangs in their way.

use std::io::Write as _;
use std::os::unix::fs::chown;
use std::process::Stdio;

use homerun::model::status::Want;

use super::*;

const RUN: &str = "say run $$; exec sleep 1000";
/// Says what it was told, and ends.
const TOLD: &str = "trap 'say got term; exit 0' TERM; say run $$; sleep 1000 >/dev/null 2>&1 & while :; do wait; done";

/// A FIFO `go` in the service, which a script may wait for; nobody ever writes to it.
fn hang(kit: &Kit, name: &str) {
    homerun::sys::file::make_fifo(&kit.tree.path(name).join("go"), 0o600).unwrap();
}

#[test]
fn a_hook_that_hangs() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).script("control/t", "say hook; read -r _ <go");
        hang(kit, "foo");
        let foo = foo.start();
        let pid = said(&kit.tree, "run");
        foo.wait(is_running);
        foo.control(b"t");
        assert_eq!(kit.tree.heard(), "hook");
        foo.control(b"k");
        let is_obeyed = kit.ours_alone(|| !kit.tree.processes().contains(&pid));
        end(kit, foo);
        if is_obeyed { "other commands are obeyed meanwhile" } else { "runsv is deaf until it ends" }
    });
}

#[test]
fn a_hook_that_is_killed() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(TOLD).script("control/t", "say hook; kill -9 $$").start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        foo.control(b"t");
        assert_eq!(kit.tree.heard(), "hook");
        let is_told = kit.ours_alone_says(|line| line == "got term");
        end(kit, foo);
        if is_told { "it has failed: what it stood in for happens" } else { "it counts as success: nothing happens" }
    });
}

#[test]
fn a_process_that_is_left_behind() {
    tell(|kit| {
        // In a session of its own, and nobody's child.
        let run = "(setsid sh -c 'say() { printf \"%s\\n\" \"$*\" >\"$EAR\"; }; say left $$; exec sleep 1000' &); exec sleep 1000";
        let foo = kit.tree.service("foo").run(run).start();
        let left = said(&kit.tree, "left");
        foo.wait(is_running);
        foo.control(b"x");
        assert_eq!(foo.ended().0.code(), Some(0));
        let stays = kit.tree.processes().contains(&left);
        if stays { "that stays" } else { "that is ended, too" }
    });
}

#[test]
fn a_finish_that_hangs() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run("say run $$; [ -e again ] && exec sleep 1000; : >again");
        let foo = foo.finish("say finish; read -r _ <go");
        hang(kit, "foo");
        let foo = foo.start();
        said(&kit.tree, "run");
        assert_eq!(kit.tree.heard(), "finish");
        foo.wait(|status| status.state == State::Finish && status.pid != 0);
        foo.control(b"k");
        let is_ended = kit.ours_alone_says(|line| line.starts_with("run"));
        end(kit, foo);
        if is_ended { "k ends it" } else { "k is not obeyed" }
    });
}

#[test]
fn a_check_that_hangs() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).script("check", "read -r _ <go");
        hang(kit, "foo");
        let foo = foo.start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        let mut sv = kit.tree.command("sv");
        sv.args(["-w", "1", "start", "./foo"]).stdout(Stdio::null()).stderr(Stdio::null());
        let mut sv = sv.spawn().unwrap();
        // Its second, and a moment.
        let patience = if kit.is_original { Duration::from_secs(1) + MOMENT } else { PATIENCE };
        let has_ended = comes(patience, || sv.try_wait().unwrap().is_some());
        let _ = sv.kill();
        let _ = sv.wait();
        end(kit, foo);
        if has_ended { "sv gives up in time" } else { "sv hangs" }
    });
}

#[test]
fn garbage() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        foo.control(b"\0\xffGNRL?!\n0000d");
        let status = foo.wait(is_down);
        end(kit, foo);
        match status.want {
            Want::Down => "it means nothing, and the command after it is obeyed",
            _ => "it is something else",
        }
    });
}

#[test]
fn a_log_service_that_does_not_read() {
    tell(|kit| {
        // More than a pipe holds. The minute that ours waits is made short.
        let run = "head -c 200000 /dev/zero | tr '\\0' '\\n'; say written; exec sleep 1000";
        let foo = kit.tree.service("foo").run(run).log("say log; exec sleep 1000").file("timeout-log", "100").start();
        let goes_on = kit.ours_alone_says(|line| line == "written");
        let is_counted = || kit.tree.sv(&["status", "foo"]).stdout.contains("dropped");
        let outcome = match goes_on {
            true if comes(PATIENCE, is_counted) => "lines are dropped in the end, and counted, and the service goes on",
            true => "lines are dropped",
            false => "the service hangs",
        };
        end(kit, foo);
        outcome
    });
}

#[test]
fn a_burst() {
    tell(|kit| {
        let foo = kit.tree.service("foo").run(RUN).start();
        said(&kit.tree, "run");
        foo.wait(is_running);
        let mut fifo = homerun::sys::file::open_write(foo.directory.join("supervise/control")).unwrap();
        assert_eq!(fifo.write(&[&b"uc".repeat(149)[..], b"ud"].concat()).unwrap(), 300);
        let status = foo.wait(|status| status.want == Want::Down && is_down(status));
        end(kit, foo);
        if status.pid == 0 { "the last one counts" } else { "it is something else" }
    });
}

#[test]
fn none_for_want_of_a_process() {
    tell(|kit| {
        let service = kit.tree.service("foo").run(RUN);
        // A user of its own: root has no such limit.
        let uid = 1_500_000_000 + std::process::id() * 2 + u32::from(kit.is_original);
        let mut command = kit.tree.command(if is_root() { "setpriv" } else { "prlimit" });
        if is_root() {
            chown(kit.tree.path("foo"), Some(uid), None).unwrap();
            command.args([&format!("--reuid={uid}"), "--clear-groups", "prlimit"]);
        }
        command.args(["--nproc=0:5000", "runsv"]).stderr(kit.tree.mouth());
        let foo = service.start_by(command);
        let line = kit.tree.heard();
        assert!(line.starts_with("runsv foo: warning: unable to fork, sleeping"), "{line}");
        foo.wait(|status| status.want == Want::Up);
        foo.control(b"d");
        let want = || Status::decode(&fs::read(foo.directory.join("supervise/status")).unwrap()).unwrap().want;
        let is_obeyed = kit.ours_alone(|| want() == Want::Down);
        end(kit, foo);
        if is_obeyed { "commands are obeyed meanwhile" } else { "runsv is deaf for five seconds each time" }
    });
}
