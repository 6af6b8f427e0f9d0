//! Whatever the order of the options, the changes are made in one order: each two neighbours of it are told apart.

use std::os::unix::fs::MetadataExt as _;

use super::*;

#[test]
fn of_two_steps_that_fail_the_earlier_one_is_said() {
    let steps: [(&[&str], &str); 8] = [
        (&["-e", "no/env"], "unable to switch to directory: no/env: file does not exist"),
        (&["-/", "no/root"], "unable to change directory: no/root: file does not exist"),
        (&["-C", "no/pwd"], "unable to change directory: no/pwd: file does not exist"),
        (&["-n", "-1"], "unable to set nice level: permission denied"),
        (&["-U", "nosuch"], "unknown user/group: nosuch"),
        (&["-u", ":1:"], "invalid uid/gids: 1:"),
        (&["-l", "no/lock"], "unable to open lock: no/lock: file does not exist"),
        (&["no/program"], "unable to run: no/program: file does not exist"),
    ];
    let place = Place::new();
    for (index, (first, text)) in steps.iter().enumerate() {
        for (second, _) in &steps[index + 1..] {
            let mut orders = vec![[*first, *second].concat()];
            if second.len() == 2 {
                orders.push([*second, *first].concat());
                orders.iter_mut().for_each(|args| args.push("true"));
            }
            for args in orders {
                match place.chpst_unprivileged(&args) {
                    Some(outcome) => assert_eq!(outcome, fatal(text), "{args:?}"),
                    None => return skip("the program is out of nobody's reach"),
                }
            }
        }
    }
}

#[test]
fn the_session_is_led_before_the_environment_is_read() {
    let place = Place::new();
    place.directory("env");
    symlink("/proc/self/stat", place.path("env/STAT")).unwrap(); // of chpst itself, while it reads
    let stat = place.chpst(&["-e", "env", "-P", "printenv", "STAT"]).stdout;
    let fields: Vec<&str> = stat.split(' ').collect();
    assert_eq!(fields[5], fields[0], "{stat}");
}

#[test]
fn the_environment_is_read_before_the_root_directory_changes() {
    if !is_root() {
        return skip("needs root");
    }
    let place = Place::new();
    place.directory("env").file("env/A", "1").directory("root");
    let outcome = place.chpst(&["-/", "root", "-e", "env", "true"]);
    assert_eq!(outcome, fatal("unable to run: true: file does not exist"));
}

#[test]
fn the_nice_value_changes_before_the_user_who_could_not_change_it() {
    if !is_root() {
        return skip("needs root");
    }
    let nice = |options: &[&str]| chpst(&[options, &["nice"]].concat());
    assert_eq!(nice(&["-u", ":65534:65534", "-n", "-1"]), nice(&["-n", "-1"]));
}

#[test]
fn the_lock_is_the_new_users() {
    if !is_root() {
        return skip("needs root");
    }
    let place = Place::new();
    place.directory("open");
    fs::set_permissions(place.path("open"), Permissions::from_mode(0o777)).unwrap();
    assert_eq!(place.chpst(&["-l", "open/lock", "-u", ":5:6", "true"]), says(""));
    let lock = fs::metadata(place.path("open/lock")).unwrap();
    assert_eq!((lock.uid(), lock.gid(), lock.mode() & 0o777), (5, 6, 0o600));
    let denied = place.chpst(&["-l", "lock", "-u", ":5:6", "true"]);
    assert_eq!(denied, fatal("unable to open lock: lock: access denied"));
}

#[test]
fn the_lock_is_opened_before_a_descriptor_is_closed_and_before_there_are_limits() {
    let place = Place::new();
    let outcome = place.chpst(&["-0", "-l", "lock", "sh", "-c", "test -e /proc/$$/fd/0 || echo closed"]);
    assert_eq!(outcome, says("closed\n"));
    let outcome = place.chpst(&["-o", "0", "-l", "lock", "nosuch"]);
    assert_eq!(outcome, fatal("unable to run: nosuch: file does not exist"));
}

#[test]
fn the_mask_does_not_change_what_the_lock_is_made_with() {
    let place = Place::new();
    assert_eq!(place.chpst(&["--umask", "777", "-l", "lock", "true"]), says(""));
    assert_eq!(fs::metadata(place.path("lock")).unwrap().mode() & 0o777, 0o600);
}
