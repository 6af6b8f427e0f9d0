//! vsv, which reads `down`, `supervise/pid`, `supervise/stat` and its time, and hands every other word to sv.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use homerun::model::status::State;

use crate::support::*;

use super::{Watched, client, lasting};

fn vsv(program: &Path, watched: &Watched, args: &[&str]) -> Outcome {
    let Outcome { stdout, stderr, code } = Outcome::of(watched.command(program).args(args));
    Outcome { stdout: watched.comparable(&stdout), stderr: watched.comparable(&stderr), code }
}

/// The table that vsv prints, without the heading and the empty lines.
fn table(program: &Path, watched: &Watched, args: &[&str]) -> Vec<String> {
    let shown = vsv(program, watched, args);
    assert!(shown.code == Some(0) && shown.stderr.is_empty(), "{shown:?}");
    let rows = shown.stdout.lines().filter(|line| !line.is_empty()).skip(1);
    rows.map(|row| row.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn story(program: &Path, programs: &Path) -> Vec<(String, Vec<String>)> {
    let watched = Watched::with(programs, |tree| {
        tree.service("sv/down").run(&lasting("down")).file("down", "");
        tree.service("sv/ends").run("exit 0").finish(&lasting("ends"));
        tree.service("sv/logged").run(&lasting("logged")).log(&lasting("log"));
        tree.service("sv/paused").run(&lasting("paused"));
        tree.service("sv/up").run(&lasting("up"));
    });
    let hear = |count: usize| (0..count).map(|_| watched.tree.heard()).collect::<BTreeSet<_>>();
    assert_eq!(hear(5), ["ends", "log", "logged", "paused", "up"].map(str::to_owned).into());
    for name in ["logged", "logged/log", "paused", "up"] {
        watched.wait_until_it_runs(name);
    }
    let before = watched.wait_until_it_runs("up").pid;
    watched.wait_until_it_is_down("down");
    watched.wait("ends", |status| status.state == State::Finish && status.pid != 0);
    let mut story = Vec::new();
    let say = |args: &[&str]| {
        let Outcome { stdout, stderr, code } = vsv(program, &watched, args);
        (format!("{args:?} {code:?}"), vec![stdout, stderr])
    };
    story.push(say(&["-v", "pause", "paused"]));
    watched.wait("paused", |status| status.paused);
    for args in [&["-l"][..], &["status", "up"]] {
        story.push((format!("{args:?}"), table(program, &watched, args)));
    }
    for args in [
        &["start", "down"][..],
        &["restart", "up"],
        &["stop", "logged"],
        &["start", "nowhere"],
        &["frobnicate", "up"],
        &["disable", "up"],
        &["enable", "down"],
        &["disable", "nowhere"],
    ] {
        story.push(say(args));
    }
    story.push(("stopped".to_owned(), table(program, &watched, &["status", "-l", "logged"])));
    assert_eq!(hear(2), ["down", "up"].map(str::to_owned).into());
    watched.wait("up", |status| status.state == State::Run && status.pid != 0 && status.pid != before);
    story.push(("at the end".to_owned(), table(program, &watched, &[])));
    story
}

#[test]
fn vsv_shows_and_controls_our_services_as_it_does_the_originals() {
    let Some(program) = client("vsv") else { return };
    let Some((ours, original)) = super::with_both(|programs| story(&program, programs)) else { return };
    let shown = ours[1].1.iter().filter(|row| !row.contains("- log n/a")).collect::<Vec<_>>();
    assert_eq!(
        shown,
        [
            "X down down false --- --- N seconds",
            "X ends finish true N /bin/sh N seconds",
            "✔ logged run true N /bin/sh N seconds",
            "✔ - log run true N /bin/sh N seconds",
            "? paused n/a true N /bin/sh N seconds",
            "✔ up run true N /bin/sh N seconds",
        ]
    );
    assert_eq!(ours, original);
}

#[test]
fn the_uptime_that_vsv_shows_is_not_changed_by_a_command_that_changes_nothing() {
    let Some(program) = client("vsv") else { return };
    let watched = Watched::with(programs(), |tree| {
        tree.service("sv/foo").run("trap 'say usr1' USR1; say up; sleep 1000 >/dev/null 2>&1 & while :; do wait; done");
    });
    watched.wait_until_it_runs("foo");
    assert_eq!(watched.tree.heard(), "up");
    let supervise = watched.tree.path("service/foo/supervise");
    let touched = Command::new("touch").args(["-d", "3 hours ago"]).arg(supervise.join("stat")).status().unwrap();
    assert!(touched.success());
    fs::write(supervise.join("control"), "u1").unwrap();
    assert_eq!(watched.tree.heard(), "usr1");
    let mut command = watched.tree.command(&program);
    let shown = Outcome::of(command.arg("-d").arg(watched.tree.path("service")));
    assert!(shown.stdout.trim_end().ends_with("3 hours"), "{shown:?}");
}
