//! Root's sv on the services of a hostile user.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use homerun::model::status::{State, Status, Want};
use homerun::model::tai::Label;
use homerun::sys::file::{make_fifo, open_read_write};
use homerun::sys::inotify::{Changes, Watcher};

use super::{Treasure, link_of, while_exchanging};
use crate::account::Land;
use crate::support::*;

/// A service of the user's that looks as if a supervisor were there, and what holds it open.
struct Bait {
    supervise: PathBuf,
    /// `ok` and `control`.
    held: Vec<File>,
}

impl Bait {
    fn of(land: &Land, name: &str) -> Bait {
        let supervise = land.directory(&format!("service/{name}/supervise"));
        let status = supervise.join("status");
        fs::write(&status, record(Want::Down)).unwrap();
        land.user.give(&status);
        let held = ["ok", "control"].map(|fifo| {
            let fifo = supervise.join(fifo);
            make_fifo(&fifo, 0o600).unwrap();
            land.user.give(&fifo);
            open_read_write(&fifo).unwrap()
        });
        Bait { supervise, held: held.into() }
    }

    /// Puts something else in the place of a file.
    fn replace(&self, name: &str, make: impl FnOnce(&Path)) {
        let path = self.supervise.join(name);
        fs::remove_file(&path).unwrap();
        make(&path);
    }

    fn commands(&mut self) -> Vec<u8> {
        let mut bytes = [0; 64];
        let length = std::io::Read::read(&mut self.held[1], &mut bytes).unwrap_or(0);
        bytes[..length].to_vec()
    }
}

fn record(want: Want) -> Vec<u8> {
    let since = Label::of(Duration::from_secs(1_000_000_000));
    Status { since, pid: 0, paused: false, want, got_term: false, state: State::Down }.encode().to_vec()
}

/// What root's sv says of a service of the user's.
fn sv(land: &Land, args: &[&str]) -> Outcome {
    Outcome::of(land.tree.command("sv").env("SVDIR", land.user.home.join("service")).args(args))
}

fn warning(name: &str, text: &str) -> Outcome {
    Outcome { code: Some(1), ..says(&format!("warning: {name}: {text}\n")) }
}

const ASTRAY: &str = "supervise/control is behind a link of somebody else";

#[test]
fn a_command_is_written_into_a_fifo_and_nothing_else() {
    let Some(land) = Land::made() else { return };
    let treasure = Treasure::of(&land);
    let no_fifo = warning("bait", "supervise/control exists but is not a fifo");
    let bait = Bait::of(&land, "bait");
    bait.replace("control", |control| fs::write(control, "mine").unwrap());
    assert_eq!(sv(&land, &["down", "bait"]), no_fifo, "a file");
    assert_eq!(fs::read_to_string(bait.supervise.join("control")).unwrap(), "mine");

    bait.replace("control", |control| fs::hard_link(&treasure.path, control).unwrap());
    assert_eq!(sv(&land, &["down", "bait"]), no_fifo, "another name of root's file");
    bait.replace("control", |control| link_of(&land, &treasure.path, control));
    assert_eq!(sv(&land, &["down", "bait"]), warning("bait", ASTRAY), "a link to root's file");
    assert!(treasure.is_whole());

    // A device, to open which may do anything: root's own link leads there.
    bait.replace("control", |control| symlink("/dev/null", control).unwrap());
    assert_eq!(sv(&land, &["down", "bait"]), no_fifo, "a device");
    bait.replace("ok", |ok| symlink("/dev/null", ok).unwrap());
    assert_eq!(sv(&land, &["status", "bait"]), warning("bait", "supervise/ok exists but is not a fifo"));
}

#[test]
fn no_link_of_a_user_leads_a_command_of_roots_to_a_service_of_roots() {
    let Some(land) = Land::made() else { return };
    let roots = land.tree.service("roots").run("trap 'say ended' EXIT; say up; sleep 1000 & wait").start();
    assert_eq!(land.tree.heard(), "up");
    let supervise = roots.directory.join("supervise");
    let bait = Bait::of(&land, "control");
    bait.replace("control", |control| link_of(&land, &supervise.join("control"), control));
    let bait = Bait::of(&land, "ok");
    bait.replace("ok", |ok| link_of(&land, &supervise.join("ok"), ok));
    fs::create_dir(land.user.home.join("service/supervise")).unwrap();
    link_of(&land, &supervise, &land.user.home.join("service/supervise/supervise"));
    link_of(&land, &roots.directory, &land.user.home.join("service/service"));
    for word in ["down", "exit", "stop", "force-stop", "status"] {
        for (name, file) in [("control", "control"), ("ok", "ok"), ("supervise", "ok"), ("service", "ok")] {
            let expected = warning(name, &format!("supervise/{file} is behind a link of somebody else"));
            if (word, name) != ("status", "control") {
                assert_eq!(sv(&land, &[word, name]), expected, "{word} {name}");
            }
        }
    }
    let status = Status::decode(&fs::read(supervise.join("status")).unwrap()).unwrap();
    assert_eq!((status.state, status.want), (State::Run, Want::Up));
    assert_eq!(land.tree.heard_already(), None);
}

#[test]
fn a_status_is_a_regular_file_of_the_users_or_is_not_read() {
    let Some(land) = Land::made() else { return };
    let treasure = Treasure::of(&land);
    let bad = warning("bait", "unable to read supervise/status: bad format");
    let bait = Bait::of(&land, "bait");
    bait.replace("status", |status| link_of(&land, &treasure.path, status));
    let astray = warning("bait", "supervise/status is behind a link of somebody else");
    assert_eq!(sv(&land, &["status", "bait"]), astray);
    bait.replace("status", |status| make_fifo(status, 0o666).unwrap());
    assert_eq!(sv(&land, &["status", "bait"]), bad, "a FIFO");
    bait.replace("status", |status| symlink("/dev/zero", status).unwrap());
    assert_eq!(sv(&land, &["status", "bait"]), bad, "a device");
    fs::write(bait.supervise.join("reason"), "").unwrap();
    bait.replace("reason", |reason| link_of(&land, &treasure.path, reason));
    bait.replace("status", |status| File::create(status).unwrap().set_len(1 << 40).unwrap());
    let huge = sv(&land, &["status", "bait"]);
    assert_eq!((huge.code, huge.stderr.as_str()), (Some(0), ""), "{huge:?}");
    assert!(huge.stdout.starts_with("down: bait: ") && !huge.stdout.contains("secret"), "{huge:?}");
}

#[test]
fn no_link_of_a_user_has_root_read_a_file_that_is_not_the_users() {
    let Some(land) = Land::made() else { return };
    let treasure = Treasure::of(&land);
    let _services = (Bait::of(&land, "bait"), Bait::of(&land, "bait/log"));
    let service = land.user.home.join("service/bait");
    let own = service.join("own");
    fs::write(&own, "8s").unwrap();
    land.user.give(&own);
    // A directory of root's in the service's, which is not the user's for that.
    fs::create_dir(service.join("roots")).unwrap();
    let below = service.join("roots/file");
    fs::write(&below, "8s").unwrap();
    let is_read = |file: &Path, word: &str| {
        let watcher = Watcher::new().unwrap();
        watcher.watch(file, Changes::IN_OPEN).unwrap();
        let said = sv(&land, &[word, "bait"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
        !watcher.changes().unwrap().is_empty()
    };
    for (name, word) in [("timeout-kill", "check"), ("supervise/lock", "status"), ("supervise/process", "status")] {
        for (target, expected) in [(&treasure.path, false), (&own, true)] {
            link_of(&land, target, &service.join(name));
            assert_eq!(is_read(target, word), expected, "{name} leads to {}", target.display());
            fs::remove_file(service.join(name)).unwrap();
        }
    }
    link_of(&land, &below, &service.join("timeout-kill"));
    assert!(!is_read(&below, "check"));
    // Root's own link leads anywhere.
    fs::remove_file(service.join("timeout-kill")).unwrap();
    symlink(&treasure.path, service.join("timeout-kill")).unwrap();
    assert!(is_read(&treasure.path, "check"));
}

#[test]
fn root_runs_no_check_of_a_users() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    land.script("service/foo/check", "say \"check runs as $(id -u)\"");
    let mut tree = land.as_user("runsvdir").arg(land.user.home.join("service")).spawn().unwrap();
    assert_eq!(land.tree.heard(), "up");
    let said = sv(&land, &["start", "foo"]);
    assert_eq!(
        (said.code, said.stderr.as_str()),
        (Some(0), "warning: unable to run foo/check: the service is another user's\n")
    );
    assert!(said.stdout.starts_with("ok: run: foo: "), "{said:?}");
    assert_eq!(land.tree.heard_already(), None);
    // The user's own does run it.
    let as_user = Outcome::of(land.as_user("sv").env("SVDIR", land.user.home.join("service")).args(["start", "foo"]));
    assert_eq!((as_user.code, as_user.stderr.as_str()), (Some(0), ""), "{as_user:?}");
    assert_eq!(land.tree.heard(), format!("check runs as {}", land.user.uid));
    tree.kill().unwrap();
    tree.wait().unwrap();
}

#[test]
fn roots_own_services_are_found_behind_links_of_roots_and_in_directories_of_users() {
    let Some(land) = Land::made() else { return };
    // A directory that a user updates by turning a link of theirs, and that root chose to supervise.
    land.script("releases/5/run", "say up; exec sleep 1000");
    land.root_script(&land.user.home.join("releases/5/check"), "say checked");
    link_of(&land, Path::new("releases/5"), &land.user.home.join("current"));
    symlink(land.user.home.join("current"), land.tree.path("app")).unwrap();
    let child = land.tree.command("runsv").arg("app").spawn().unwrap();
    let app = land.tree.supervised(child, land.user.home.join("releases/5"));
    app.wait(|status| status.state == State::Run);
    assert_eq!(fs::metadata(app.directory.join("supervise")).unwrap().uid(), 0);
    let said = land.tree.sv(&["start", "app"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{said:?}");
    assert_eq!([land.tree.heard(), land.tree.heard()], ["up", "checked"]);
}

#[test]
fn a_users_service_takes_roots_commands_as_ever() {
    let Some(land) = Land::made() else { return };
    let mut bait = Bait::of(&land, "bait");
    link_of(&land, &land.user.home.join("service/bait"), &land.user.home.join("service/linked"));
    assert_eq!(sv(&land, &["down", "bait"]), says(""));
    assert_eq!(sv(&land, &["up", "linked"]), says(""));
    assert_eq!(bait.commands(), b"du");
}

/// Names that would divide a line, or that a terminal takes for commands.
const NAMES: [&str; 3] = ["two\nlines", "\x1b]0;title\x07", "a\u{9b}31m\rb\x7f"];

#[test]
fn a_name_is_no_command_to_roots_terminal() {
    if !has("script") {
        return;
    }
    let land = Land::anybody();
    for (name, shown) in NAMES.into_iter().zip(["two?lines", "?]0;title?", "a\u{fffd}?31m?b?"]) {
        drop(Bait::of(&land, name));
        let text = |name: &str| format!("fail: {name}: runsv not running\n");
        for word in ["status", "down"] {
            let mut on_a_terminal = land.tree.command("script");
            on_a_terminal.args(["-qec", "exec sv \"$WORD\" \"$NAME\"", "/dev/null"]);
            on_a_terminal.env("SVDIR", land.user.home.join("service")).env("WORD", word).env("NAME", name);
            let said = Outcome::of(&mut on_a_terminal).stdout;
            assert_eq!(said, text(shown).replace('\n', "\r\n"), "{word} {name:?}");
            assert_eq!(sv(&land, &[word, name]).stdout, text(name), "programs read it as it is");
        }
        let said = Outcome::of(land.tree.command("runsv").current_dir(&land.user.home).arg(name));
        let text = "fatal: unable to change to directory: file does not exist";
        assert_eq!(said, fails(&format!("runsv {shown}: {text}\n"), 111));
    }
}

#[test]
fn links_that_turn_meanwhile_lead_no_command_astray() {
    let Some(land) = Land::made() else { return };
    let treasure = Treasure::of(&land);
    let roots = land.tree.service("roots").run("say up; exec sleep 1000").start();
    assert_eq!(land.tree.heard(), "up");
    let bait = Bait::of(&land, "bait");
    let (control, other) = (bait.supervise.join("control"), bait.supervise.join("other"));
    for target in [treasure.path.clone(), roots.directory.join("supervise/control")] {
        let _ = fs::remove_file(&other);
        link_of(&land, &target, &other);
        while_exchanging(&control, &other, || {
            for _ in 0..20 {
                let said = sv(&land, &["down", "bait"]);
                assert!(said == says("") || said == warning("bait", ASTRAY), "{said:?}");
            }
        });
    }
    assert!(treasure.is_whole());
    let status = Status::decode(&fs::read(roots.directory.join("supervise/status")).unwrap()).unwrap();
    assert_eq!((status.state, status.want), (State::Run, Want::Up));
}

/// Makes a link of another user's.
fn link_of_stranger(land: &Land, target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    lchown(link, Some(land.user.uid + 1), None).unwrap();
}

#[test]
fn no_link_of_a_stranger_leads_root_to_any_of_many_services() {
    let Some(land) = Land::made() else { return };
    let roots = land.tree.service("roots").run("say up; exec sleep 1000").start();
    assert_eq!(land.tree.heard(), "up");
    let mut bait = Bait::of(&land, "bait");
    let services = land.user.home.join("service");
    link_of(&land, &roots.directory, &services.join("roots"));
    let names = ["bait", "bait", "roots", "bait"];
    let said = |services: &Path, word: &str| {
        Outcome::of(land.tree.command("sv").env("SVDIR", services).arg(word).args(names)).stdout
    };
    let line = |name: &str| format!("warning: {name}: supervise/ok is behind a link of somebody else\n");
    let (of_stranger, of_user) = (land.tree.path("of-stranger"), land.tree.path("of-user"));
    link_of_stranger(&land, &services, &of_stranger);
    link_of(&land, &services, &of_user);
    for services in [of_stranger.clone(), of_stranger.join(".")] {
        for word in ["down", "status", "stop"] {
            assert_eq!(said(&services, word), names.map(line).concat(), "{word}");
        }
    }
    assert_eq!(bait.commands(), b"");
    // The user's own link leads to the user's services, and to none of root's.
    assert_eq!(said(&of_user, "down"), line("roots"));
    assert_eq!(bait.commands(), b"ddd");
    // So it is for each of many: a stranger's link to one of them is of no matter to the others.
    link_of_stranger(&land, &services.join("bait"), &services.join("led"));
    let mixed = Outcome::of(land.tree.command("sv").env("SVDIR", &services).args(["up", "bait", "led", "bait", "led"]));
    assert_eq!(mixed.stdout, line("led").repeat(2));
    assert_eq!(bait.commands(), b"uu");
    let status = Status::decode(&fs::read(roots.directory.join("supervise/status")).unwrap()).unwrap();
    assert_eq!((status.state, status.want), (State::Run, Want::Up));
}

#[test]
fn a_services_directory_that_turns_meanwhile_leads_no_command_astray() {
    let Some(land) = Land::made() else { return };
    let roots = land.tree.service("roots/foo").run("say up; exec sleep 1000").start();
    assert_eq!(land.tree.heard(), "up");
    let _bait = Bait::of(&land, "foo");
    let (services, other) = (land.user.home.join("services"), land.user.home.join("other"));
    link_of(&land, &land.user.home.join("service"), &services);
    link_of(&land, &land.tree.path("roots"), &other);
    while_exchanging(&services, &other, || {
        for _ in 0..20 {
            let mut command = land.tree.command("sv");
            let said = Outcome::of(command.env("SVDIR", &services).args(["down", "foo", "foo", "foo", "foo"]));
            let astray = "warning: foo: supervise/ok is behind a link of somebody else";
            assert!(said.stderr.is_empty() && said.stdout.lines().all(|line| line == astray), "{said:?}");
        }
    });
    let status = Status::decode(&fs::read(roots.directory.join("supervise/status")).unwrap()).unwrap();
    assert_eq!((status.state, status.want), (State::Run, Want::Up));
}
