//! What reaches the user when root becomes that user, and what a user can do meanwhile.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;

use homerun::sys::process;
use homerun::sys::signal::Signal;

use super::{link_of, while_exchanging};
use crate::account::Land;
use crate::runsvdir_user::{Outer, Secret, Started, runsvdir_user, status_of};
use crate::support::*;

/// Whether a descriptor of a process is for reading (0), for writing (1), or both (2).
fn direction(pid: &str, fd: u32) -> u32 {
    let text = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
    let flags = text.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    u32::from_str_radix(flags.trim(), 8).unwrap() & 3
}

fn behind(pid: &str, fd: u32) -> (u64, u64) {
    let found = fs::metadata(format!("/proc/{pid}/fd/{fd}")).unwrap();
    (found.dev(), found.ino())
}

#[test]
fn roots_log_pipe_is_for_the_user_to_write_only_and_shares_no_flags() {
    let Some(land) = Land::made() else { return };
    // Said by others, so that the shell's own descriptors stay as they were given to it.
    let run = "(say $$); cat <&1 || (say \"cannot read\"); cat <&2 || (say \"cannot read\"); exec sleep 1000";
    land.script("service/foo/run", run);
    let outer = Outer::of(&land, Path::new("runsv"), "");
    let heard: Vec<String> = (0..5).map(|_| land.tree.heard()).filter(|line| !line.starts_with("log: ")).collect();
    assert_eq!(heard[1..], ["cannot read", "cannot read"]);
    let pid = &heard[0];
    let pipe = fs::metadata(outer.running.directory.join("supervise/pipe")).unwrap();
    for fd in [1, 2] {
        assert_eq!((behind(pid, fd), direction(pid, fd)), ((pipe.dev(), pipe.ino()), 1));
    }
    // Root's own are for both: the user's is another one.
    let runsv = outer.running.child.id().to_string();
    let own = fs::read_dir(format!("/proc/{runsv}/fd")).unwrap();
    let own = own.map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap());
    let own: Vec<u32> = own.filter(|fd| behind(&runsv, *fd) == (pipe.dev(), pipe.ino())).collect();
    assert!(own.iter().all(|fd| direction(&runsv, *fd) != 1), "{own:?}");
    outer.down(&land);
}

#[test]
fn of_roots_terminal_the_user_can_only_write_to_it() {
    if !has("script") {
        return;
    }
    let Some(land) = Land::made() else { return };
    // Who has a controlling terminal can put characters into it, which root's shell would read.
    land.script("service/foo/run", "(: </dev/tty) && (say terminal); (say $$); exec sleep 1000");
    let mut terminal = land.tree.command("script");
    terminal.args(["-qec", "exec runsvdir-user \"$NAME\"", "/dev/null"]).env("NAME", &land.user.name);
    let mut terminal = terminal.stdout(std::process::Stdio::null()).spawn().unwrap();
    let pid = land.tree.heard();
    assert_eq!((direction(&pid, 0), fs::metadata(format!("/proc/{pid}/fd/0")).unwrap().rdev()), (0, null()));
    assert_eq!((direction(&pid, 1), direction(&pid, 2)), (1, 1));
    let runsvdir: i32 = status_of(&status_of(&pid, "PPid"), "PPid").parse().unwrap();
    process::send(runsvdir, Signal::SIGTERM).unwrap();
    assert_eq!(wait_for_end(&mut terminal).expect("the tree stops").code(), Some(0));
}

fn null() -> u64 {
    fs::metadata("/dev/null").unwrap().rdev()
}

#[test]
fn what_root_had_in_memory_is_hidden_until_it_is_gone() {
    let Some(land) = Land::made() else { return };
    land.script("service/foo/run", "say up; exec sleep 1000");
    let elsewhere = land.tree.path("elsewhere");
    fs::rename(&land.user.home, &elsewhere).unwrap();
    let mut started = Started::by(runsvdir_user(&land, &[&land.user.name]).env("SECRET", "of root's"));
    assert!(started.line().ends_with(", waiting")); // as the user, and not yet another program
    let pid = started.pid().to_string();
    assert_eq!(status_of(&pid, "Uid").split_whitespace().next(), Some(land.user.uid.to_string().as_str()));
    let pry = "for it in environ maps mem auxv fd/0 fd/2 fdinfo/1 cwd exe; do
        { (exec 9<\"/proc/$0/$it\") || readlink \"/proc/$0/$it\"; } 2>/dev/null && echo \"$it\"; done";
    let mut as_user = land.as_user("sh");
    assert_eq!(Outcome::of(as_user.args(["-c", pry, &pid])).stdout, "");
    fs::rename(&elsewhere, &land.user.home).unwrap();
    assert_eq!(land.tree.heard(), "up");
    assert_eq!(started.stop().0.code(), Some(0));
}

#[test]
fn no_capability_is_left_to_inherit_and_no_key_of_roots_session() {
    let Some(land) = Land::made() else { return };
    if !has("setpriv") {
        return;
    }
    let keyrings = "while read -r _ _ _ _ _ uid _ _ name; do
        case $name in _ses*) [ \"$uid\" != 0 ] || say \"a keyring of root's\" ;; esac; done </proc/keys";
    land.script("service/foo/run", &format!("[ ! -r /proc/keys ] || {keyrings}\nsay $$; exec sleep 1000"));
    let name = land.user.name.clone();
    // A thread of its own: it keeps the keyring, which counts as root's session.
    std::thread::scope(|scope| {
        let of_a_session = scope.spawn(|| {
            homerun::sys::user::new_keyring().unwrap();
            let mut command = land.tree.command("setpriv");
            Started::by(command.args(["--inh-caps=+chown,+kill", "runsvdir-user", &name]))
        });
        let started = of_a_session.join().unwrap();
        let pid = land.tree.heard();
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(status_of(&pid, set), "0000000000000000", "{set}");
        }
        assert_eq!(started.stop().0.code(), Some(0));
    });
}

#[test]
fn a_home_that_is_swapped_during_the_drop_leads_root_nowhere() {
    let Some(land) = Land::made() else { return };
    let secret = Secret::of(&land.tree);
    let inside = secret.path.join("inside");
    land.script("service/foo/run", "exec sleep 1000");
    let other = land.tree.path("other");
    link_of(&land, &inside, &other);
    let known = [
        format!("unable to change to home directory {}: access denied, waiting", land.user.home.display()),
        format!("unable to stat services directory {}/service: access denied, waiting", land.user.home.display()),
    ];
    while_exchanging(&land.user.home, &other, || {
        for _ in 0..10 {
            let (status, said) = Started::by(&mut runsvdir_user(&land, &[&land.user.name])).stop();
            // It may be met at any moment: before it is told what TERM means, too.
            assert!(matches!(status.code(), None | Some(0)), "{status:?} {said}");
            let is_known =
                |line: &str| known.iter().any(|known| line.ends_with(known)) || line.starts_with("runsvdir ");
            assert!(said.lines().all(is_known), "{said}");
        }
    });
    assert!(secret.is_untouched());
    if fs::symlink_metadata(&land.user.home).unwrap().is_symlink() {
        super::exchange(&land.user.home, &other);
    }
}

#[test]
fn a_services_directory_that_is_swapped_during_the_drop_leads_root_nowhere() {
    let Some(land) = Land::made() else { return };
    let secret = Secret::of(&land.tree);
    let service = land.directory("service");
    let other = land.user.home.join("other");
    for target in [secret.path.join("inside"), secret.path.join("new")] {
        symlink(&target, &other).unwrap();
        while_exchanging(&service, &other, || {
            for _ in 0..5 {
                let status = Started::by(&mut runsvdir_user(&land, &[&land.user.name])).stop().0;
                assert!(matches!(status.code(), None | Some(0 | 111)), "{status:?}");
            }
        });
        if fs::symlink_metadata(&service).unwrap().is_symlink() {
            super::exchange(&service, &other);
        }
        fs::remove_file(&other).unwrap();
    }
    assert!(secret.is_untouched());
}
