//! What Salt, Chef, completions, turnstile and Debian's scripts do with a tree, done again: the files that they look for,
//! the lines that they take apart and the exit codes that they believe.

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::time::Instant;

use homerun::model::status::{State, Want};
use homerun::sys::signal::Signal;

use crate::support::*;

use super::Watched;

const NOBODY: u32 = 65534;
const LASTING: &str = "exec sleep 1000";

fn is_fifo(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
}

fn shell(watched: &Watched, line: &str) -> Outcome {
    Outcome::of(watched.command("sh").args(["-c", line]))
}

/// Links a service as people do, by its whole path.
fn link(watched: &Watched, name: &str) {
    symlink(watched.tree.path("sv").join(name), watched.tree.path("service").join(name)).unwrap();
}

/// Salt enables a service without starting it: a `down` file, a link, `sv status` until that succeeds, and the `down`
/// file goes again.
#[test]
fn a_service_that_salt_enables_without_starting_it_stays_down() {
    let watched = Watched::with(programs(), |_| {});
    for name in ["one", "two", "three", "four", "five"] {
        let service = watched.tree.service(&format!("sv/{name}")).run("say started; exec sleep 1000").file("down", "");
        let down = service.made().join("down");
        link(&watched, name);
        let answer = shell(&watched, &format!("until sv status \"$PWD/{name}\"; do :; done"));
        fs::remove_file(down).unwrap();
        let last = answer.stdout.lines().last().unwrap().to_owned();
        let path = watched.tree.path("service").join(name);
        assert!(last.starts_with(&format!("down: {}: ", path.display())), "{answer:?}");
        let status = watched.wait(name, |_| true);
        assert_eq!((status.state, status.want, status.pid), (State::Down, Want::Down, 0));
    }
    assert_eq!(watched.tree.heard_already(), None);
}

/// Salt believes the exit code of start, stop, restart and reload, and `run: ` at the start of the status.
#[test]
fn salt_finds_exit_codes_and_the_first_word_of_the_status() {
    let watched = Watched::with(programs(), |tree| {
        tree.service("sv/foo").run("trap '' HUP; say up; exec sleep 1000").log("exec cat >/dev/null");
    });
    assert_eq!(watched.tree.heard(), "up");
    watched.wait_until_it_runs("foo");
    let foo = watched.tree.path("service/foo");
    let foo = foo.to_str().unwrap();
    for (word, is_running) in [("reload", true), ("stop", false), ("start", true), ("restart", true), ("stop", false)] {
        assert_eq!(watched.sv(&[word, foo]).code, Some(0), "{word}");
        let status = watched.sv(&["status", foo]);
        assert_eq!((status.code, status.stdout.starts_with("run: ")), (Some(0), is_running), "{word}: {status:?}");
    }
    // It removes what it has stopped.
    fs::remove_file(foo).unwrap();
    wait_until_unsupervised(&watched.tree.path("sv/foo"));
    for word in ["start", "stop", "restart", "status"] {
        assert_eq!(watched.sv(&["-w", "0", word, foo]).code, Some(1), "{word}");
    }
}

/// Chef links a service, waits for the FIFOs `ok` of the service and of its log service, and goes on with sv; after it
/// has disabled one, it removes `ok`.
#[test]
fn chef_waits_for_the_fifos_of_a_service_that_it_enables_also_for_the_second_time() {
    let watched = Watched::with(programs(), |tree| {
        tree.service("aside/foo").run("say up; exec sleep 1000").log("exec cat >/dev/null");
    });
    fs::rename(watched.tree.path("aside/foo"), watched.tree.path("sv/foo")).unwrap();
    let foo = watched.tree.path("service/foo");
    for _ in 0..2 {
        link(&watched, "foo");
        let ready = shell(&watched, "until [ -p foo/supervise/ok ] && [ -p foo/log/supervise/ok ]; do :; done");
        assert_eq!(ready.code, Some(0));
        for directory in ["foo", "foo/log"] {
            let path = watched.tree.path("service").join(directory);
            let path = path.to_str().unwrap();
            let started = watched.sv(&["-w", "30", "-v", "start", path]);
            assert_eq!(started.code, Some(0), "{started:?}");
            let status = watched.sv(&["-w", "30", "-v", "status", path]);
            assert!(status.stdout.starts_with("run:"), "{status:?}");
        }
        assert_eq!(watched.tree.heard(), "up");
        assert_eq!(watched.sv(&["-w", "30", "down", foo.to_str().unwrap()]).code, Some(0));
        fs::remove_file(&foo).unwrap();
        wait_until_unsupervised(&watched.tree.path("sv/foo"));
        fs::remove_file(watched.tree.path("sv/foo/supervise/ok")).unwrap();
    }
}

/// Chef's supervisor_owner: the directory `supervise` is opened to all, and `ok`, `status` and `control` are given away.
#[test]
fn a_service_can_be_given_to_an_ordinary_user_by_owner_and_mode() {
    let tree = Tree::with_own_programs();
    let watched = Watched::around(tree, |tree| drop(tree.service("sv/foo").run("say up; exec sleep 1000")));
    assert_eq!(watched.tree.heard(), "up");
    watched.wait_until_it_runs("foo");
    let user = |word: &str| {
        let mut command = watched.command("sv");
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        watched.comparable(&Outcome::of(command.args([word, "foo"])).stdout)
    };
    let supervise = watched.tree.path("service/foo/supervise");
    fs::set_permissions(&supervise, Permissions::from_mode(0o755)).unwrap();
    if is_root() {
        assert_eq!(user("status"), "warning: foo: unable to open supervise/ok: access denied\n");
        for name in ["ok", "status", "control"] {
            chown(supervise.join(name), Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    // More than once: the status record is a new file, of the supervisor's, each time.
    assert_eq!(user("stop"), "ok: down: foo: Ns, normally up\n");
    assert_eq!(user("start"), "ok: run: foo: (pid N) Ns\n");
    assert_eq!(user("status"), "run: foo: (pid N) Ns\n");
}

/// The words that the completions of Void (bash, zsh) and fish offer.
const OFFERED: &str = "status up down once pause cont hup alarm interrupt quit 1 2 term kill exit start stop restart \
    shutdown force-stop force-reload force-restart force-shutdown try-restart check reload s u d o p c h a i q t k e";

#[test]
fn every_word_that_completions_offer_is_one() {
    let tree = Tree::new();
    for word in OFFERED.split_whitespace() {
        let answer = tree.sv(&["-w", "0", word, "nowhere"]);
        let line = "fail: nowhere: unable to change to service directory: file does not exist\n";
        assert_eq!(answer, Outcome { stdout: line.to_owned(), stderr: String::new(), code: Some(1) }, "{word}");
    }
}

/// Void's completions list what is in the services directory; fish's asks for the status of all of it and takes the
/// lines apart: the log part goes, the word before the first colon describes, what is before the second is the name.
#[test]
fn completions_find_services_and_nothing_else_in_the_services_directory_and_in_the_status() {
    let watched = Watched::with(programs(), |tree| {
        tree.service("sv/foo").run(LASTING).log("exec cat >/dev/null");
        tree.service("sv/foo.bar-1").run(LASTING).file("down", "");
    });
    watched.wait_until_it_runs("foo");
    watched.wait_until_it_runs("foo/log");
    watched.wait_until_it_is_down("foo.bar-1");
    let listed = shell(&watched, "ls -A");
    assert_eq!(listed, says("foo\nfoo.bar-1\n"));
    let status = watched.sv(&["status", "foo", "foo.bar-1", "nowhere"]);
    let described: Vec<String> = status
        .stdout
        .lines()
        .map(|line| {
            let (state, rest) = line.split(';').next().unwrap().split_once(": ").unwrap();
            format!("{} is {state}", rest.split_once(':').unwrap().0)
        })
        .collect();
    assert_eq!(described, ["foo is run", "foo.bar-1 is down", "nowhere is fail"]);
}

/// turnstile at login: a service that starts the others by sv, says that it is ready, and waits.
const TURNSTILE_READY: &str = r#"[ -r ./conf ] && . ./conf
[ -n "$core_services" ] && SVDIR=.. sv start $core_services >/dev/null
[ -p "$EAR" ] && printf '%s\n' "$PWD" >"$EAR"
exec sleep 1000"#;

#[test]
fn turnstile_is_ready_once_its_core_services_are_and_stops_all_by_hup() {
    let tree = Tree::new();
    let services = tree.directory("services");
    let check = "test -e ready";
    tree.service("services/core")
        .run(": >ready; exec chpst -e \"$TURNSTILE_ENV_DIR\" sh -c 'echo \"$WORD\" >\"$EAR\"; exec sleep 1000'")
        .script("check", check);
    let ready =
        tree.service("services/turnstile-ready").run(TURNSTILE_READY).file("conf", "core_services=core\n").made();
    fs::write(tree.directory("env").join("WORD"), "hello\n").unwrap();
    let mut command = tree.command("runsvdir");
    command.env("TURNSTILE_ENV_DIR", tree.path("env")).env("SVWAIT", "30");
    command.arg("-P").arg(&services).arg(format!("log: {}", ".".repeat(395)));
    let mut runsvdir = command.spawn().unwrap();
    let mut heard = [tree.heard(), tree.heard()];
    heard.sort_unstable(); // its core service runs, and may not have said so yet
    assert_eq!(heard, [ready.to_str().unwrap(), "hello"]);
    // It asks once more by itself.
    let started = tree.run("sv", &["start", ready.to_str().unwrap()]);
    assert!(started.code == Some(0) && started.stdout.starts_with("ok: run: "), "{started:?}");
    let pids = ["core", "turnstile-ready"].map(|name| {
        let of = services.join(name).join("supervise");
        tree.wait_status(&of, |status| status.state == State::Run && status.pid != 0).pid
    });
    homerun::sys::process::send(i32::try_from(runsvdir.id()).unwrap(), Signal::SIGHUP).unwrap();
    assert_eq!(wait_for_end(&mut runsvdir).unwrap().code(), Some(111));
    pids.into_iter().for_each(wait_until_gone);
}

/// Debian's trigger after an upgrade restarts what has a FIFO `ok`; names with a leading dot are disabled.
#[test]
fn debians_triggers_restart_what_is_supervised_and_have_the_directory_read_again() {
    let watched = Watched::with(programs(), |tree| {
        tree.service("sv/foo").run("say foo; exec sleep 1000");
        tree.service("aside/bar").run("say bar; exec sleep 1000");
    });
    assert_eq!(watched.tree.heard(), "foo");
    let before = watched.wait_until_it_runs("foo").pid;
    let bar = watched.tree.path("aside/bar");
    symlink(&bar, watched.tree.path("service/.bar")).unwrap();
    let triggered = shell(
        &watched,
        r#"for path in "$PWD"/*; do [ -p "$path/supervise/ok" ] || continue; SVDIR=$PWD sv restart "${path##*/}"; done"#,
    );
    assert_eq!(watched.comparable(&triggered.stdout), "ok: run: foo: (pid N) Ns\n");
    assert_eq!(watched.tree.heard(), "foo");
    assert_ne!(watched.wait_until_it_runs("foo").pid, before);
    assert!(!is_fifo(&bar.join("supervise/ok")), "a disabled service was started");
    fs::rename(watched.tree.path("service/.bar"), watched.tree.path("service/bar")).unwrap();
    let runsvdir = i32::try_from(watched.runsvdir.id()).unwrap();
    homerun::sys::process::send(runsvdir, Signal::SIGALRM).unwrap();
    assert_eq!(watched.tree.heard(), "bar");
    assert_eq!(shell(&watched, "ls -A"), says("bar\nfoo\n"));
}

/// Debian's mk-runscript: a service that is a runsvdir, with a hook that makes HUP of TERM, so that it takes its services
/// with it.
#[test]
fn a_runsvdir_that_is_a_service_takes_its_services_with_it_by_a_hook() {
    let tree = Tree::new();
    tree.service("inner/foo").run("say foo $$; exec sleep 1000");
    let user =
        tree.service("user").run("exec runsvdir -P \"$HOME/inner\"").script("control/t", "exec sv -v hup . >/dev/null");
    let user = user.start();
    let inner: i32 = tree.heard().strip_prefix("foo ").unwrap().parse().unwrap();
    let stopped = tree.sv(&["stop", "user"]);
    assert!(stopped.stdout.starts_with("ok: down: user: "), "{stopped:?}");
    wait_until_gone(inner);
    assert!(user.exit().0.success());
}

/// A container has no init but runsvdir: what services leave behind becomes a child of their runsv, in the original its
/// own, and it ends them all by ending.
#[test]
fn a_runsvdir_may_be_the_first_process_of_a_container() {
    let options: &[&str] = if is_root() { &["--pid"] } else { &["--user", "--map-root-user", "--pid"] };
    let unshare = |tree: &Tree| {
        let mut command = tree.command("unshare");
        command.args(options).args(["--fork", "--kill-child"]);
        command
    };
    if Outcome::of(unshare(&Tree::new()).arg("true")).code != Some(0) {
        return skip("needs to make a PID namespace");
    }
    for programs in std::iter::once(programs().to_owned()).chain(runit()) {
        let tree = Tree::with(&programs);
        tree.service("services/foo").run("(true & sleep 1000 &); say up; exec sleep 1000");
        let mut container = unshare(&tree).args(["runsvdir", "services"]).spawn().unwrap();
        assert_eq!(tree.heard(), "up");
        let first = below(i32::try_from(container.id()).unwrap(), false)[0];
        let deadline = Instant::now() + PATIENCE;
        while !below(first, true).is_empty() {
            assert!(Instant::now() < deadline, "an orphan that has ended is not reaped");
            std::thread::yield_now();
        }
        let left = below(first, false); // the runsv, its service, and the orphan that lives on
        assert_eq!(left.len(), 3);
        homerun::sys::process::send(first, Signal::SIGHUP).unwrap();
        assert_eq!(wait_for_end(&mut container).unwrap().code(), Some(111));
        left.into_iter().for_each(wait_until_gone);
    }
}

/// The descendants of a process that have ended, or that have not; parents come first.
fn below(ancestor: i32, ended: bool) -> Vec<i32> {
    let relations = homerun::sys::proc::relations();
    let family: Vec<_> = relations.iter().map(|it| (it.pid, it.parent)).collect();
    let has_ended = |pid: &i32| relations.iter().any(|it| it.pid == *pid && it.ended == ended);
    homerun::model::family::descendants(&family, ancestor, &[]).into_iter().filter(has_ended).collect()
}

/// The whole shutdown of Void: every service is stopped, by force if need be, then every supervisor.
#[test]
fn all_services_are_shut_down_by_two_commands() {
    let watched = Watched::with(programs(), |tree| {
        tree.service("sv/foo").run("say up; exec sleep 1000").finish("say finish").log("exec cat >/dev/null");
        tree.service("sv/low").run(LASTING).file("down", "");
    });
    assert_eq!(watched.tree.heard(), "up");
    watched.wait_until_it_runs("foo");
    watched.wait_until_it_is_down("low");
    let answer = shell(&watched, "sv -w 20 force-stop \"$PWD\"/*; echo $?; sv exit \"$PWD\"/*; echo $?");
    let mut lines = watched.comparable(&answer.stdout);
    assert_eq!(watched.tree.heard(), "finish");
    lines = lines.replace("HOME/service/", "");
    let mut lines: Vec<_> = lines.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["N", "N", "ok: down: foo: Ns, normally up", "ok: down: low: Ns"]);
    assert!(answer.stdout.lines().filter(|line| *line == "0").count() == 2, "{answer:?}");
}
