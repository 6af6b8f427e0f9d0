//! What Void's handbook tells people to do for services of a user, typed in as it stands there.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::process::Stdio;

use homerun::model::status::State;

use crate::account::Land;
use crate::support::*;

/// `/etc/sv/runsvdir-<username>/run`.
const RUN: &str = r#"#!/bin/sh

export USER="<username>"
export HOME="/home/<username>"

groups="$(id -Gn "$USER" | tr ' ' ':')"
svdir="$HOME/service"

exec chpst -u "$USER:$groups" runsvdir "$svdir"
"#;

const SSH_AGENT: &str = r##"#!/usr/bin/env bash

file=~/.ssh/ssh-agent-env

exec > "$file"

echo "# started $(date)"
echo "SSH_AGENT_PID=$$; export SSH_AGENT_PID"
exec ssh-agent -D
"##;

/// Starts root's service for the user's tree.
fn start(land: &Land) -> Running<'_> {
    let name = format!("runsvdir-{}", land.user.name);
    let directory = land.tree.service(&name).program("run", &RUN.replace("<username>", &land.user.name)).made();
    let child = land.tree.command("runsv").arg(&name).stderr(Stdio::piped()).spawn().unwrap();
    land.tree.supervised(child, directory)
}

/// A service of the user's, typed in as it is.
fn typed(land: &Land, name: &str, run: &str) {
    let file = land.script(&format!("service/{name}/run"), "");
    put_program(file, run);
}

/// A line of sh in the user's own shell.
fn shell(land: &Land, line: &str) -> Outcome {
    Outcome::of(land.as_user("sh").args(["-c", line]).env("LC_ALL", "C"))
}

/// Numbers become N.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    for letter in text.chars() {
        let letter = if letter.is_ascii_digit() { 'N' } else { letter };
        if letter != 'N' || !shape.ends_with('N') {
            shape.push(letter);
        }
    }
    shape
}

fn wait_until_up(land: &Land, name: &str) -> i32 {
    let supervise = land.user.home.join("service").join(name).join("supervise");
    land.tree.wait_status(&supervise, |status| status.state == State::Run).pid
}

#[test]
fn the_three_services_of_the_handbook_run() {
    if !["bash", "ssh-agent", "ssh-add", "gpg-agent", "gpg-connect-agent", "dbus-daemon", "dbus-send"]
        .map(has)
        .iter()
        .all(|it| *it)
    {
        return;
    }
    let Some(land) = Land::at_home() else { return };
    let ssh = land.directory(".ssh");
    let ear = land.tree.path("ear");
    let ear = ear.display();
    typed(&land, "ssh-agent", SSH_AGENT);
    let dbus = "exec dbus-daemon --session --nofork --nopidfile --address=\"unix:path=$PWD/bus\" --print-address";
    typed(&land, "dbus", &format!("#!/bin/sh\n{dbus} >'{ear}'\n"));
    // Alone it would go into the background, whatever --no-detach says; with a command it is that command's agent.
    let gpg = "exec gpg-agent --daemon --no-detach --";
    typed(&land, "gpg-agent", &format!("#!/bin/sh\n{gpg} sh -c 'echo gpg >\"$0\"; exec sleep 1000' '{ear}'\n"));
    let _outer = start(&land);

    let heard = [land.tree.heard(), land.tree.heard()].map(|line| line.split(',').next().unwrap().to_owned());
    let home = land.user.home.display().to_string();
    assert_eq!(BTreeSet::from(heard), BTreeSet::from(["gpg".to_owned(), format!("unix:path={home}/service/dbus/bus")]));
    let published = ssh.join("ssh-agent-env");
    land.tree.wait_in(&ssh, || fs::read_to_string(&published).ok()?.contains("SSH_AUTH_SOCK=").then_some(()));
    let pids = ["dbus", "gpg-agent", "ssh-agent"].map(|name| wait_until_up(&land, name));

    let listed = shell(&land, ". ~/.ssh/ssh-agent-env >/dev/null; echo $SSH_AGENT_PID; ssh-add -l");
    let wanted = format!("{}\nThe agent has no identities.\n", pids[2]);
    assert_eq!((listed.stdout.as_str(), listed.stderr.as_str(), listed.code), (wanted.as_str(), "", Some(1)));
    let answer = shell(&land, "gpg-connect-agent --no-autostart 'GETINFO version' /bye");
    assert!(answer.stdout.ends_with("\nOK\n"), "{answer:?}");
    let call = "dbus-send --session --print-reply --dest=org.freedesktop.DBus / org.freedesktop.DBus.GetId";
    let reply = shell(&land, &format!("DBUS_SESSION_BUS_ADDRESS=unix:path=$HOME/service/dbus/bus {call}"));
    assert!(reply.stdout.starts_with("method return "), "{reply:?}");

    let status = shell(&land, "sv status ~/service/*");
    let lines =
        ["dbus", "gpg-agent", "ssh-agent"].map(|name| format!("run: {}/service/{name}: (pid N) Ns\n", shape(&home)));
    assert_eq!((shape(&status.stdout), status.stderr.as_str(), status.code), (lines.concat(), "", Some(0)));
    for pid in pids {
        assert!(status.stdout.contains(&format!("(pid {pid}) ")), "{}", status.stdout);
    }

    let restarted = shell(&land, "SVDIR=~/service sv restart gpg-agent");
    let wanted = (Some(0), "ok: run: gpg-agent: (pid N) Ns\n".to_owned(), "");
    assert_eq!((restarted.code, shape(&restarted.stdout), restarted.stderr.as_str()), wanted);
    assert!(!restarted.stdout.contains(&format!("(pid {}) ", pids[1])), "{}", restarted.stdout);
}

#[test]
fn a_service_of_the_handbooks_tree_has_every_group() {
    let Some(land) = Land::at_home() else { return };
    land.script("service/foo/run", "say \"$USER $HOME $(id -u) $(id -G)\"; exec sleep 1000");
    let _outer = start(&land);
    let heard = land.tree.heard();
    let mut words = heard.split(' ');
    let uid = land.user.uid.to_string();
    let home = land.user.home.display().to_string();
    assert_eq!(
        [words.next(), words.next(), words.next()],
        [Some(land.user.name.as_str()), Some(home.as_str()), Some(&uid)]
    );
    let groups: BTreeSet<u32> = words.map(|word| word.parse().unwrap()).collect();
    assert_eq!(groups, land.user.groups.iter().copied().chain([land.user.gid]).collect());
}

#[test]
fn a_link_starts_a_service_and_its_removal_stops_it() {
    let Some(land) = Land::at_home() else { return };
    land.directory("service");
    land.script("sv/foo/run", "trap 'say down; exit' TERM; say up; while :; do sleep 1000 & wait $!; done");
    let _outer = start(&land);
    symlink(land.user.home.join("sv/foo"), land.user.home.join("service/foo")).unwrap();
    assert_eq!(land.tree.heard(), "up");
    fs::remove_file(land.user.home.join("service/foo")).unwrap();
    assert_eq!(land.tree.heard(), "down");
}

/// As people write it. It wants sockets that its starter listens on, as systemd does: without them it refuses. This is
/// why the recipe does not use it.
#[test]
fn gpg_agent_supervised_refuses_without_sockets() {
    if !has("gpg-agent") {
        return;
    }
    let Some(land) = Land::at_home() else { return };
    typed(&land, "gpg-agent", "#!/bin/sh\nexec 2>error\nexec gpg-agent --supervised\n");
    land.script("service/gpg-agent/finish", "say finish $*");
    let _outer = start(&land);
    assert_eq!(land.tree.heard(), "finish 2 0");
    let error = fs::read_to_string(land.user.home.join("service/gpg-agent/error")).unwrap();
    assert!(error.contains("must be valid in --supervised mode"), "{error}");
}
