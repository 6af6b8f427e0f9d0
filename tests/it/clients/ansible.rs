//! Ansible's module `community.general.runit`, in plays as people write them.

use std::fs;
use std::path::Path;

use homerun::model::status::State;

use crate::support::*;

use super::{Watched, client};

/// Says that it runs, and what it is told, once it can be told; its check agrees from then on.
const RUN: &str = "trap 'say hup' HUP
trap 'exit 0' TERM
: >ready
say up
sleep 1000 >/dev/null 2>&1 & while :; do wait; done";

fn foo(tree: &Tree, directory: &str) {
    let service = tree.service(directory).run(RUN).finish("rm -f ready").script("check", "test -e ready");
    service.log("exec cat >/dev/null");
}

/// What a play said; pids are counted in the order in which they were first said.
fn play(program: &Path, watched: &Watched, text: &str) -> Vec<String> {
    let collections = program.ancestors().nth(2).unwrap().join("collections");
    let home = watched.tree.path("");
    fs::write(home.join("play.yml"), text).unwrap();
    let mut command = watched.command(program);
    command.current_dir(&home).env("ANSIBLE_REMOTE_TMP", home.join("remote")).env("ANSIBLE_HOME", home.join("ansible"));
    command.args(["play.yml", "--extra-vars", &format!("home={}", home.to_str().unwrap().trim_end_matches('/'))]);
    command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_COLLECTIONS_PATH", collections).env("ANSIBLE_NOCOLOR", "1");
    command.env("ANSIBLE_LOCALHOST_WARNING", "false").env("ANSIBLE_INVENTORY_UNPARSED_WARNING", "false");
    let outcome = Outcome::of(&mut command);
    assert!(outcome.code == Some(0) && outcome.stdout.contains(" failed=0 "), "{outcome:?}");
    let said = outcome.stdout.split_once("\"said:").unwrap().1.split_once('"').unwrap().0.to_owned();
    let mut pids = Vec::new();
    let mut lines = Vec::new();
    for line in said.split(';').map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(line) = line.strip_prefix("once ") {
            // It asks and goes: what it saw of the service is chance.
            lines.push(format!("once {}", line.split(' ').next().unwrap()));
            continue;
        }
        let (rest, pid) = line.rsplit_once(' ').unwrap();
        let number = pid.parse::<i32>().map(|pid| match pids.iter().position(|known| *known == pid) {
            Some(place) => place + 1,
            None => {
                pids.push(pid);
                pids.len()
            }
        });
        lines.push(number.map_or(line.to_owned(), |number| format!("{rest} {number}")));
    }
    lines
}

/// What is seen of services that are down, in their finish script, up with a log service, paused, and not there.
fn looks(program: &Path, programs: &Path) -> Vec<String> {
    let watched = Watched::with(programs, |tree| {
        foo(tree, "sv/foo");
        tree.service("sv/down").run("exec sleep 1000").file("down", "");
        tree.service("sv/ends").run("exit 0").finish("say ends; exec sleep 1000");
        tree.service("sv/paused").run("exec sleep 1000");
    });
    watched.wait_until_it_runs("foo");
    watched.wait_until_it_is_down("down");
    watched.wait("ends", |status| status.state == State::Finish && status.pid != 0);
    watched.wait_until_it_runs("paused");
    fs::write(watched.tree.path("service/paused/supervise/control"), "p").unwrap();
    watched.wait("paused", |status| status.paused);
    play(program, &watched, include_str!("looks.yml"))
}

#[test]
fn ansible_sees_what_it_sees_of_the_originals() {
    let Some(program) = client("ansible-playbook") else { return };
    let Some((ours, original)) = super::with_both(|programs| looks(&program, programs)) else { return };
    let seen = [
        "down True True stopped -",
        "ends True True unknown 1",
        "foo False True started 2",
        "paused False True started 3",
        "nowhere True False unknown -",
    ];
    assert_eq!(ours, seen);
    assert_eq!(ours, original);
}

#[test]
fn ansible_brings_a_service_into_each_state_and_changes_only_what_differs() {
    let Some(program) = client("ansible-playbook") else { return };
    let watched = Watched::with(programs(), |tree| foo(tree, "sv/foo"));
    watched.wait_until_it_runs("foo");
    assert_eq!(watched.tree.heard(), "up");
    let said = play(&program, &watched, include_str!("states.yml"));
    assert_eq!(
        said,
        [
            "started False started 1",
            "stopped True stopped 1", // the module keeps the pid that it knew
            "stopped False stopped -",
            "once True",
            "restarted True started 2",
            "reloaded True started 2",
            "killed True stopped 2",
            "started True started 3",
            "check True started 3",
        ]
    );
    assert_eq!([(); 4].map(|()| watched.tree.heard()), ["up", "up", "hup", "up"]);
}

#[test]
fn ansible_enables_a_service_and_finds_it_started_at_once() {
    let Some(program) = client("ansible-playbook") else { return };
    let watched = Watched::with(programs(), |tree| foo(tree, "elsewhere"));
    fs::rename(watched.tree.path("elsewhere"), watched.tree.path("sv/foo")).unwrap();
    let said = play(&program, &watched, include_str!("enabled.yml"));
    assert_eq!(said, ["True started 1", "False started 1", "True unknown 1", "False unknown -", "True started 2"]);
}
