//! Root stops the tree of a user who does not want it to stop.

use std::fs;
use std::path::Path;

use crate::account::Land;
use crate::runsvdir_user::Outer;

/// As short a patience as root may have.
fn impatient<'a>(land: &'a Land, conf: &str) -> Outer<'a> {
    let outer = Outer::of(land, Path::new("runsv"), &format!("DEADLINE=100ms\n{conf}"));
    fs::write(outer.running.directory.join("timeout-kill"), "500\n").unwrap();
    outer
}

/// What the next tree and its log say is not heard.
fn hear(land: &Land, wanted: &str) {
    while land.tree.heard() != wanted {}
}

#[test]
fn who_kills_runsvdir_and_lets_deaf_processes_go_loses_them_all() {
    let Some(land) = Land::made() else { return };
    // A process in a session of its own, one whose parent has gone, one that is stopped; all ignore TERM.
    let stray = "trap '' TERM HUP INT; setsid sleep 1000 & (setsid sleep 1000 &); setsid sh -c 'kill -STOP $$' &";
    let kill = "read -r _ _ _ runsvdir _ </proc/$PPID/stat; kill -KILL $runsvdir; say killed; exec sleep 1000";
    land.script("service/foo/run", &format!("{stray}\n{kill}"));
    let outer = impatient(&land, "");
    hear(&land, "killed");
    outer.down(&land);
    assert_eq!(land.processes(), [0; 0]);
}

#[test]
fn who_makes_processes_all_the_time_has_none_in_the_end() {
    let Some(land) = Land::made() else { return };
    let bomb = "trap '' TERM; bomb() { setsid sleep 1000 & bomb & (bomb &); }";
    // In a shell of its own: one that can have no process ends.
    land.script("service/foo/run", &format!("{bomb}\n(bomb) 2>/dev/null &\nwait $!; say lit; exec sleep 1000"));
    // As many as the user may have.
    let outer = impatient(&land, "ulimit -p 40 || exit\n");
    hear(&land, "lit");
    outer.down(&land);
    assert_eq!(land.processes(), [0; 0]);
}
