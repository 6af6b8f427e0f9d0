//! daemontools' svstat, svok and svc, which read the first 18 bytes of `supervise/status`, open `ok`, and write control
//! bytes.

use std::path::PathBuf;

use homerun::model::status::{State, Want};

use crate::support::*;

use super::{Watched, client};

/// What svstat, svok and svc say to each step of a service's life.
fn story(programs: &std::path::Path, [svstat, svok, svc]: &[PathBuf; 3]) -> Vec<String> {
    let watched = Watched::with(programs, |tree| {
        tree.service("sv/foo").run(
            "trap 'say hup' HUP; trap 'say alrm' ALRM; trap 'exit 0' TERM; say up
            sleep 1000 >/dev/null 2>&1 & while :; do wait; done",
        );
        tree.service("sv/down").run("exec sleep 1000").file("down", "");
    });
    let tree = &watched.tree;
    watched.wait_until_it_runs("foo");
    watched.wait_until_it_is_down("down");
    assert_eq!(tree.heard(), "up");
    let mut story = Vec::new();
    let mut note = |command: &PathBuf, args: &[&str]| {
        let Outcome { stdout, stderr, code } = Outcome::of(tree.command(command).args(args));
        story.push(watched.comparable(&format!("{args:?} {code:?} {stdout}{stderr}")));
    };
    note(svstat, &["service/foo", "service/down", "service/nowhere"]);
    note(svok, &["service/foo"]);
    note(svok, &["service/nowhere"]);
    note(svc, &["-h", "service/foo"]);
    assert_eq!(tree.heard(), "hup");
    note(svc, &["-a", "service/foo"]);
    assert_eq!(tree.heard(), "alrm");
    note(svc, &["-p", "service/foo"]);
    watched.wait("foo", |status| status.paused);
    note(svstat, &["service/foo"]);
    note(svc, &["-c", "service/foo"]);
    watched.wait("foo", |status| !status.paused);
    note(svc, &["-d", "service/foo"]);
    watched.wait_until_it_is_down("foo");
    note(svstat, &["service/foo"]);
    note(svc, &["-o", "service/down"]);
    watched.wait_until_it_runs("down");
    note(svstat, &["service/down"]);
    note(svc, &["-u", "service/foo"]);
    assert_eq!(tree.heard(), "up");
    let before = watched.wait_until_it_runs("foo").pid;
    note(svc, &["-t", "service/foo"]);
    assert_eq!(tree.heard(), "up");
    let after = watched.wait("foo", |status| status.pid != before && status.state == State::Run && status.pid != 0);
    note(svc, &["-k", "service/foo"]);
    assert_eq!(tree.heard(), "up");
    watched.wait("foo", |status| status.pid != after.pid && status.state == State::Run && status.pid != 0);
    note(svc, &["-dk", "service/down"]);
    watched.wait("down", |status| status.state == State::Down && status.pid == 0 && status.want == Want::Down);
    note(svstat, &["service/foo", "service/down"]);
    story
}

#[test]
fn svstat_svok_and_svc_work_on_our_services_as_on_the_originals() {
    let (Some(svstat), Some(svok), Some(svc)) = (client("svstat"), client("svok"), client("svc")) else { return };
    let tools = [svstat, svok, svc];
    let Some((ours, original)) = super::with_both(|programs| story(programs, &tools)) else { return };
    assert_eq!(ours, original);
}
