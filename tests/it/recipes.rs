//! The services in `sv-templates/`, each copied into a tree of ours.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use homerun::model::status::{State, Status, Want};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::account::Land;
use crate::support::*;

/// A user's tree with one service in it, copied from its template.
struct Recipe {
    name: &'static str,
    runsvdir: Child,
    land: Land,
}

impl Recipe {
    fn start(name: &'static str) -> Recipe {
        Recipe::start_in(Recipe::copy(name), name)
    }

    /// The copy of a template, not started yet.
    fn copy(name: &str) -> Land {
        let land = Land::anybody();
        let services = land.directory("service");
        let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("sv-templates").join(name);
        assert!(Command::new("cp").arg("-R").args([&template, &services]).status().unwrap().success());
        let owner = format!("{}:{}", land.user.uid, land.user.gid);
        assert!(Command::new("chown").arg("-R").arg(owner).arg(services.join(name)).status().unwrap().success());
        fs::set_permissions(land.directory("run"), Permissions::from_mode(0o700)).unwrap();
        land
    }

    fn start_in(land: Land, name: &'static str) -> Recipe {
        let command = as_user(&land, "runsvdir");
        Recipe::start_by(command, land, name)
    }

    /// `command` runs runsvdir.
    fn start_by(mut command: Command, land: Land, name: &'static str) -> Recipe {
        command.arg("-P").arg(land.user.home.join("service")).env("RUNSVDIR_STOP_DEADLINE", "30s");
        let runsvdir = command.stderr(Stdio::piped()).spawn().unwrap();
        Recipe { name, runsvdir, land }
    }

    fn directory(&self) -> PathBuf {
        self.land.user.home.join("service").join(self.name)
    }

    /// sv, with the name of the service behind `args`.
    fn sv(&self, args: &[&str]) -> Outcome {
        Outcome::of(as_user(&self.land, "sv").args(args).arg(self.name))
    }

    /// Waits until it is up and ready, as `sv start` and `sv check` say; gives the pid.
    fn up(&self) -> i32 {
        let words: [&[&str]; 2] = [&["-w", "30", "start"], &["check"]];
        for word in words {
            let said = self.sv(word);
            assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{word:?}: {}", said.stdout);
            assert!(said.stdout.starts_with(&format!("ok: run: {}: (pid ", self.name)), "{}", said.stdout);
        }
        self.record(|status| status.state == State::Run).pid
    }

    fn record(&self, is_such: impl Fn(&Status) -> bool) -> Status {
        self.land.tree.wait_status(&self.directory().join("supervise"), is_such)
    }

    /// Restarts it: another pid, and ready again.
    fn restart(&self) -> i32 {
        let old = self.up();
        let said = self.sv(&["-w", "30", "restart"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        let new = self.up();
        assert_ne!(new, old);
        new
    }

    /// Kills process `pid`, which is or ends the service, and waits until it is up and ready again.
    fn kill(&self, pid: i32) -> i32 {
        let old = self.up();
        process::send(pid, Signal::SIGKILL).unwrap();
        self.record(|status| status.state == State::Run && status.pid != old);
        self.up()
    }

    /// `sv down`, which must succeed.
    fn down(&self) {
        let said = self.sv(&["-w", "30", "down"]);
        assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
        assert!(said.stdout.starts_with(&format!("ok: down: {}: ", self.name)), "{}", said.stdout);
    }

    /// It has put itself down, although it is normally up.
    fn is_given_up(&self) {
        self.record(|status| status.state == State::Down && status.want == Want::Down);
    }

    /// Stops the tree in order; nothing of it is left. Gives the text of the log without its stamps.
    fn log(mut self) -> Vec<String> {
        let log = self.directory().join("log/main/current");
        process::send(i32::try_from(self.runsvdir.id()).unwrap(), Signal::SIGTERM).unwrap();
        assert_eq!(wait_for_end(&mut self.runsvdir).and_then(|status| status.code()), Some(0));
        let text = fs::read_to_string(log).unwrap();
        text.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
    }

    /// Runs a line of sh as the user, as in a login shell.
    fn shell(&self, line: &str) -> Outcome {
        shell(&self.land, line)
    }

    fn home(&self, name: &str) -> PathBuf {
        self.land.user.home.join(name)
    }
}

fn as_user(land: &Land, program: &str) -> Command {
    let home = &land.user.home;
    let mut command = land.as_user(program);
    command.env("SVDIR", home.join("service")).env("XDG_RUNTIME_DIR", home.join("run"));
    command.env("GNUPGHOME", home.join("gnupg")).env("USER", &land.user.name).env("LC_ALL", "C");
    command
}

fn shell(land: &Land, line: &str) -> Outcome {
    Outcome::of(as_user(land, "sh").args(["-c", line]))
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// The one number after `before` in a text.
fn number_after(text: &str, before: &str) -> i32 {
    let rest = &text[text.find(before).unwrap_or_else(|| panic!("no {before} in {text}")) + before.len()..];
    rest.split(|letter: char| !letter.is_ascii_digit()).next().unwrap().parse().unwrap()
}

#[test]
fn clock_runs_logs_with_stamps_and_stops() {
    let clock = Recipe::start("clock");
    clock.restart();
    let main = clock.directory().join("log/main");
    clock.land.tree.wait_status(&clock.directory().join("log/supervise"), |status| status.state == State::Run);
    if !main.is_dir() {
        clock.land.tree.wait_in(main.parent().unwrap(), || main.is_dir().then_some(()));
    }
    let text = clock.land.tree.wait_in(&main, || {
        let text = fs::read_to_string(main.join("current")).ok()?;
        text.ends_with('\n').then_some(text)
    });
    // 2026-01-31_12:34:56.12345 Sat Jan 31 ...
    let stamp = text.split(' ').next().unwrap();
    let shape: String = stamp.chars().map(|letter| if letter.is_ascii_digit() { '0' } else { letter }).collect();
    assert_eq!(shape, "0000-00-00_00:00:00.00000");
    clock.down();
    clock.up();
    assert!(!clock.log().is_empty());
}

const LIST_KEYS: &str = ". \"$HOME/.ssh/ssh-agent-env\"; ssh-add -l";

#[test]
fn ssh_agent_answers_where_it_publishes() {
    if !has("ssh-agent") || !has("ssh-add") || !has("ssh-keygen") {
        return;
    }
    let agent = Recipe::start("ssh-agent");
    let pid = agent.up();
    let none = Outcome { stdout: "The agent has no identities.\n".to_owned(), stderr: String::new(), code: Some(1) };
    assert_eq!(agent.shell(LIST_KEYS), none);
    let published = agent.home(".ssh/ssh-agent-env");
    assert_eq!(mode(&published), 0o600);
    assert_eq!(agent.shell(". \"$HOME/.ssh/ssh-agent-env\"; echo $SSH_AGENT_PID"), says(&format!("{pid}\n")));

    let add = "ssh-keygen -q -t ed25519 -N '' -C made -f key && . ~/.ssh/ssh-agent-env && ssh-add -q key && ssh-add -L";
    let added = agent.shell(&format!("cd && {add}"));
    assert_eq!((added.code, added.stdout.ends_with(" made\n")), (Some(0), true), "{added:?}");

    let pid = agent.restart();
    assert_eq!(agent.shell(LIST_KEYS), none);
    // It leaves its socket behind.
    let pid = agent.kill(pid);
    assert_eq!(agent.shell(LIST_KEYS), none);
    assert_eq!(agent.shell(". \"$HOME/.ssh/ssh-agent-env\"; echo $SSH_AGENT_PID"), says(&format!("{pid}\n")));

    agent.down();
    assert!(!published.exists());
    assert!(fs::symlink_metadata(agent.directory().join("agent.sock")).is_err());
    assert!(!agent.home("run/ssh-agent.sock").exists());
    agent.up();
    assert_eq!(agent.shell(LIST_KEYS), none);
    agent.log();
}

#[test]
fn ssh_agent_leaves_another_agent_alone() {
    if !has("ssh-agent") || !has("ssh-add") {
        return;
    }
    let land = Recipe::copy("ssh-agent");
    let socket = land.user.home.join("run/ssh-agent.sock");
    let other = shell(&land, "exec ssh-agent -s -a \"$XDG_RUNTIME_DIR/ssh-agent.sock\" 2>&1");
    assert_eq!(other.code, Some(0), "{other:?}");
    let agent = Recipe::start_in(land, "ssh-agent");
    agent.is_given_up();
    let list = "SSH_AUTH_SOCK=$XDG_RUNTIME_DIR/ssh-agent.sock ssh-add -l";
    assert_eq!(agent.shell(list).code, Some(1), "it answers, without keys");
    let wanted = format!(
        "ssh-agent: fatal: unable to use {}: another ssh-agent answers there; end it, then: sv up ssh-agent",
        socket.display()
    );
    process::send(number_after(&other.stdout, "SSH_AGENT_PID="), Signal::SIGTERM).unwrap();
    assert_eq!(agent.log(), [wanted]);
}

const AGENT_PID: &str = "gpg-connect-agent --no-autostart 'GETINFO pid' /bye";

fn agent_pid(land: &Land) -> i32 {
    let said = shell(land, AGENT_PID);
    assert!(said.stdout.ends_with("\nOK\n"), "{said:?}");
    number_after(&said.stdout, "D ")
}

#[test]
fn gpg_agent_answers_on_its_standard_sockets() {
    if !has("gpg-agent") || !has("gpg-connect-agent") {
        return;
    }
    let agent = Recipe::start("gpg-agent");
    agent.up();
    let first = agent_pid(&agent.land);

    agent.restart();
    let second = agent_pid(&agent.land);
    assert_ne!(first, second);
    wait_until_gone(first);

    // A reload keeps it.
    assert_eq!(agent.sv(&["reload"]).code, Some(0));
    assert_eq!(agent_pid(&agent.land), second);

    // The agent is killed, with its sockets left behind; then what the supervisor watches.
    let watched = agent.kill(second);
    let third = agent_pid(&agent.land);
    assert_ne!(second, third);
    agent.kill(watched);
    let fourth = agent_pid(&agent.land);
    assert_ne!(third, fourth);
    wait_until_gone(third);

    agent.down();
    wait_until_gone(fourth);
    assert!(!agent.home("gnupg/S.gpg-agent").exists());
    agent.up();
    agent.log();
}

#[test]
fn gpg_agent_leaves_another_agent_alone() {
    if !has("gpg-agent") || !has("gpg-connect-agent") {
        return;
    }
    let land = Recipe::copy("gpg-agent");
    let other = shell(&land, "mkdir -m 0700 \"$GNUPGHOME\" && exec gpg-agent --quiet --daemon");
    assert_eq!(other.code, Some(0), "{other:?}");
    let pid = agent_pid(&land);
    let agent = Recipe::start_in(land, "gpg-agent");
    agent.is_given_up();
    assert_eq!(agent_pid(&agent.land), pid);
    let wanted = format!(
        "gpg-agent: fatal: unable to serve {}: another gpg-agent answers there, pid {pid}; end it, then: sv up gpg-agent",
        agent.home("gnupg").display()
    );
    process::send(pid, Signal::SIGTERM).unwrap();
    assert_eq!(agent.log(), [wanted]);
}

#[test]
fn gpg_agent_takes_over_from_the_one_that_gpg_started() {
    if !has("gpg-agent") || !has("gpg-connect-agent") {
        return;
    }
    let land = Recipe::copy("gpg-agent");
    let started = shell(&land, "mkdir -m 0700 \"$GNUPGHOME\" && exec gpg-connect-agent /bye");
    assert_eq!(started.code, Some(0), "{started:?}");
    let old = agent_pid(&land);
    let agent = Recipe::start_in(land, "gpg-agent");
    agent.up();
    wait_until_gone(old);
    assert_ne!(agent_pid(&agent.land), old);
    let wanted = format!("gpg-agent: info: taking over from the agent that gpg started, pid {old}");
    assert_eq!(agent.log().first(), Some(&wanted));
}

const CALL: &str = "--print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId";

fn call_bus(recipe: &Recipe) {
    let said = recipe.shell(&format!(". \"$HOME/.dbus/session-bus-env\"; exec dbus-send --session {CALL}"));
    assert_eq!((said.code, said.stdout.starts_with("method return ")), (Some(0), true), "{said:?}");
}

#[test]
fn dbus_answers_where_it_publishes() {
    if !has("dbus-daemon") || !has("dbus-send") {
        return;
    }
    let bus = Recipe::start("dbus");
    bus.up();
    call_bus(&bus);
    let published = bus.home(".dbus/session-bus-env");
    assert_eq!(mode(&published), 0o600);
    let pid = bus.restart();
    call_bus(&bus);
    assert_eq!(bus.shell(". \"$HOME/.dbus/session-bus-env\"; echo $DBUS_SESSION_BUS_PID"), says(&format!("{pid}\n")));
    bus.kill(pid);
    call_bus(&bus);
    bus.down();
    assert!(!published.exists());
    assert!(!bus.directory().join("bus").exists());
    bus.up();
    call_bus(&bus);
    bus.log();
}

#[test]
fn dbus_leaves_another_bus_alone() {
    if !has("dbus-daemon") || !has("dbus-send") {
        return;
    }
    let land = Recipe::copy("dbus");
    let start = "exec dbus-daemon --session --fork --print-pid --address=\"unix:path=$SVDIR/dbus/bus\" 3>&-";
    let other = shell(&land, start);
    assert_eq!(other.code, Some(0), "{other:?}");
    let pid: i32 = other.stdout.trim().parse().unwrap();
    let bus = Recipe::start_in(land, "dbus");
    bus.is_given_up();
    let said = bus.shell(&format!("DBUS_SESSION_BUS_ADDRESS=unix:path=$SVDIR/dbus/bus dbus-send --session {CALL}"));
    assert_eq!(said.code, Some(0), "{said:?}");
    process::send(pid, Signal::SIGTERM).unwrap();
    let socket = bus.directory().join("bus");
    let wanted =
        format!("dbus: fatal: unable to use {}: another bus answers there; end it, then: sv up dbus", socket.display());
    assert_eq!(bus.log(), [wanted]);
}

#[test]
fn what_has_no_home_to_publish_in_says_so_once() {
    for (name, programs) in [("ssh-agent", ["ssh-agent", "ssh-add"]), ("dbus", ["dbus-daemon", "dbus-send"])] {
        if !programs.iter().all(|program| has(program)) {
            return;
        }
        let land = Recipe::copy(name);
        let mut command = as_user(&land, "runsvdir");
        command.env_remove("HOME");
        let recipe = Recipe::start_by(command, land, name);
        recipe.is_given_up();
        let healed = format!("echo 'ENV_FILE=$PWD/env' >\"$SVDIR/{name}/conf\"");
        assert_eq!(recipe.shell(&healed).code, Some(0));
        recipe.up();
        recipe.down();
        let wanted = format!("{name}: fatal: unable to publish without HOME: set ENV_FILE in conf, then: sv up {name}");
        let log = recipe.log();
        assert_eq!(log.iter().filter(|line| line.contains(": fatal: ")).collect::<Vec<_>>(), [&wanted], "{log:?}");
    }
}
