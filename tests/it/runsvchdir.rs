//! runsvchdir(8), black-box, alone and with a runsvdir on `current`; each also against the original.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use homerun::sys::inotify::{Changes, Watcher};
use homerun::sys::poll::Poller;
use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::*;

const NOBODY: u32 = 65534;

/// The original's program, with the directory that is compiled into 2.1.2 replaced by `sets` in the working directory.
fn original(tree: &Tree) -> Option<PathBuf> {
    const PLACE: &[u8] = b"/etc/runit/runsvdir\0";
    let runit = runit()?;
    let places = [runit.with_file_name("sbin").join("runsvchdir"), runit.join("runsvchdir")];
    let mut bytes = fs::read(places.iter().find(|place| place.exists()).unwrap()).unwrap();
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(PLACE)).collect();
    assert_eq!(found.len(), 1);
    let place = &mut bytes[found[0]..][..PLACE.len()];
    place.fill(0);
    place[..4].copy_from_slice(b"sets");
    let program = tree.directory("bin").join("runsvchdir");
    put_program(&program, bytes);
    Some(program)
}

/// A tree with the sets `one`, `two` and `three`, of which `one` is current.
fn sets() -> Tree {
    let tree = Tree::new();
    ["one", "two", "three"].iter().for_each(|set| drop(tree.directory(&format!("sets/{set}"))));
    symlink("one", tree.path("sets/current")).unwrap();
    tree
}

/// `program`, or ours, told to work in `sets`.
fn command(tree: &Tree, program: Option<&Path>) -> Command {
    let ours = programs().join("runsvchdir");
    let mut command = tree.command(program.unwrap_or(&ours));
    command.arg0("runsvchdir").env("RUNSVDIR", "sets");
    command
}

fn switch(tree: &Tree, args: &[&str]) -> Outcome {
    Outcome::of(command(tree, None).args(args))
}

/// What is in `sets`: each name, with what it leads to if it is a link.
fn listing(tree: &Tree) -> Vec<String> {
    let mut lines: Vec<String> = fs::read_dir(tree.path("sets"))
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().to_string_lossy().into_owned();
            let end = match (fs::read_link(entry.path()), entry.path().is_dir()) {
                (Ok(target), _) => {
                    format!(" -> {}", target.to_string_lossy().replace(&*tree.path("").to_string_lossy(), "/"))
                }
                (Err(_), true) => "/".to_owned(),
                (Err(_), false) => String::new(),
            };
            name + &end
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn another_set_becomes_current_and_the_one_before_is_previous() {
    let tree = sets();
    assert_eq!(switch(&tree, &["two"]), says("runsvchdir: two: now current.\n"));
    assert_eq!(listing(&tree), ["current -> two", "one/", "previous -> one", "three/", "two/"]);
    assert_eq!(switch(&tree, &["three", "more"]), says("runsvchdir: three: now current.\n"));
    assert_eq!(listing(&tree), ["current -> three", "one/", "previous -> two", "three/", "two/"]);
    assert_eq!(switch(&tree, &["three"]), says("runsvchdir: three: current.\n"));
    assert_eq!(listing(&tree), ["current -> three", "one/", "previous -> two", "three/", "two/"]);
}

#[test]
fn previous_goes_back_and_forth() {
    // With the original `current` becomes a link to `previous`, which leads back to where it led before.
    let tree = sets();
    assert_eq!(switch(&tree, &["two"]).code, Some(0));
    assert_eq!(switch(&tree, &["previous"]), says("runsvchdir: previous: now current.\n"));
    assert_eq!(listing(&tree), ["current -> one", "one/", "previous -> two", "three/", "two/"]);
    let absolute = tree.path("sets/previous");
    assert_eq!(switch(&tree, &[absolute.to_str().unwrap()]).code, Some(0));
    assert_eq!(listing(&tree), ["current -> two", "one/", "previous -> one", "three/", "two/"]);
    tree.directory("sets/two/part");
    assert_eq!(switch(&tree, &["current/part/"]).code, Some(0));
    assert_eq!(listing(&tree)[0], "current -> two/part");
    // What the original leaves is understood.
    link_again(&tree, "current", "previous");
    link_again(&tree, "previous", "two");
    assert_eq!(switch(&tree, &["one"]).code, Some(0));
    assert_eq!(listing(&tree), ["current -> one", "one/", "previous -> two", "three/", "two/"]);
    // A circle is refused.
    link_again(&tree, "current.new", "current.new");
    assert_eq!(
        switch(&tree, &["current.new"]),
        fails("runsvchdir: fatal: unable to stat: current.new: symbolic link loop\n", 111)
    );
    fs::remove_file(tree.path("sets/current")).unwrap();
    tree.directory("sets/current/part");
    assert_eq!(
        switch(&tree, &["current/part"]),
        fails("runsvchdir: fatal: unable to copy: current to previous: invalid argument\n", 111)
    );
}

fn link_again(tree: &Tree, name: &str, target: &str) {
    let place = tree.path("sets").join(name);
    let _ = fs::remove_file(&place);
    symlink(target, place).unwrap();
}

/// What is done in the directory of the sets first, in sh, and then which sets are to be current.
const SCENES: [(&str, &[&[u8]]); 22] = [
    ("", &[b"two", b"two", b"three", b"one"]),
    ("", &[b""]),
    ("mkdir .two", &[b".two", b"./two", b"..", b"."]),
    ("", &[b"nowhere", b"nowhere/x"]),
    ("ln -s nowhere link; ln -s loop loop", &[b"link", b"loop"]),
    ("echo >file", &[b"file/x"]),
    ("", &[b"two/", b"two"]),
    ("mkdir -p a/b; ln -s a/b link", &[b"a/b", b"two", b"link", b"a/b"]),
    ("mkdir ./-x ./--", &[b"-x", b"--"]),
    ("mkdir \"$(printf 'a b\\377')\"", &[b"a b\xff", b"one"]),
    ("rm current", &[b"two"]),
    ("rm current; ln -s nowhere current", &[b"two"]),
    ("rm current; ln -s current current", &[b"two"]),
    ("rm current; mkdir current", &[b"two"]),
    ("rm current; mkdir current; ln -s two previous", &[b"three"]),
    ("rm current; echo >current", &[b"two"]),
    ("mkdir current.new", &[b"two"]),
    ("echo >current.new", &[b"two"]),
    ("ln -s nowhere current.new", &[b"two"]),
    ("ln -s nowhere previous", &[b"two"]),
    ("echo >previous", &[b"two"]),
    ("cd ..; rm -r sets; echo >sets", &[b"two"]),
];

/// Plays a scene; gives what is said and what is there after each step.
fn play(program: impl Fn(&Tree) -> Option<PathBuf>, (setup, steps): (&str, &[&[u8]])) -> Vec<String> {
    let tree = sets();
    let program = program(&tree);
    let made = tree.command("sh").args(["-ec", setup]).current_dir(tree.path("sets")).status().unwrap();
    assert!(made.success(), "{setup}");
    let mut heard = Vec::new();
    for step in steps {
        let outcome = Outcome::of(command(&tree, program.as_deref()).arg(OsStr::from_bytes(step)));
        heard.push(format!("{outcome:?}"));
        if tree.path("sets").is_dir() {
            heard.push(listing(&tree).join(", "));
        }
    }
    heard
}

#[test]
fn links_lines_and_exit_codes_are_those_of_the_original() {
    if runit().is_none() {
        return;
    }
    for scene in SCENES {
        assert_eq!(play(|_| None, scene), play(original, scene), "ours is left, the original's is right: {scene:?}");
    }
}

#[test]
fn wrong_arguments_are_answered_as_the_original_answers_them() {
    let tree = sets();
    let usage = fails("usage: runsvchdir dir\n\n", 1);
    assert_eq!(switch(&tree, &[]), usage);
    if let Some(original) = original(&tree) {
        assert_eq!(Outcome::of(&mut command(&tree, Some(&original))), usage);
    }
}

#[test]
fn what_is_no_directory_is_said_to_be_none() {
    let tree = sets();
    fs::write(tree.path("sets/file"), "").unwrap();
    assert_eq!(switch(&tree, &["file"]), fails("runsvchdir: fatal: file: not a directory.\n", 111));
    if let Some(original) = original(&tree) {
        let outcome = Outcome::of(command(&tree, Some(&original)).arg("file"));
        assert_eq!(outcome, fails("runsvchdir: fatal: filenot a directory.\n", 111));
    }
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let tree = sets();
    tree.directory("sets/previous");
    let before = listing(&tree);
    assert_eq!(switch(&tree, &["two"]), fails("runsvchdir: fatal: unable to unlink: previous: is a directory\n", 111));
    assert_eq!(listing(&tree), before);
    fs::remove_dir(tree.path("sets/previous")).unwrap();
    fs::create_dir(tree.path("sets/.previous.new")).unwrap();
    let before = listing(&tree);
    assert_eq!(
        switch(&tree, &["two"]),
        fails("runsvchdir: fatal: unable to unlink: .previous.new: is a directory\n", 111)
    );
    assert_eq!(listing(&tree), before);
}

#[test]
fn what_fails_halfway_is_put_back() {
    if !is_root() {
        return skip("needs root");
    }
    // In a directory with the sticky bit nobody can take away what is another's.
    let scenes = [
        ("ln -s three previous; chown -h $me current", "copy: current to previous"),
        ("ln -s three previous; chown -h $me previous", "move: current.new to current"),
        ("", "move: current.new to current"),
        ("ln -s three previous; chown -h $me previous; rm current; mkdir current", "copy: current to previous"),
    ];
    for (setup, deed) in scenes {
        let tree = sets();
        let mut sh = tree.command("sh");
        sh.args(["-ec", &format!("chmod 1777 .; me={NOBODY}; {setup}")]).current_dir(tree.path("sets"));
        assert!(sh.status().unwrap().success(), "{setup}");
        let before = listing(&tree);
        let outcome = Outcome::of(command(&tree, None).uid(NOBODY).gid(NOBODY).arg("two"));
        let refused = format!("runsvchdir: fatal: unable to {deed}: permission denied\n");
        assert_eq!((outcome, listing(&tree)), (fails(&refused, 111), before), "{setup}");
    }
}

#[test]
fn without_the_right_to_write_nothing_changes() {
    let tree = sets();
    let mode = |bits| fs::set_permissions(tree.path("sets"), fs::Permissions::from_mode(bits)).unwrap();
    let programs = [None, original(&tree)];
    for program in programs.iter().take(1 + usize::from(programs[1].is_some())) {
        let switch = |set: &str| {
            let mut command = command(&tree, program.as_deref());
            if is_root() {
                command.uid(NOBODY).gid(NOBODY);
            }
            Outcome::of(command.arg(set))
        };
        mode(0o555);
        let refused = "runsvchdir: fatal: unable to create: current.new -> two: access denied\n";
        assert_eq!(switch("two"), fails(refused, 111));
        assert_eq!(switch("one"), says("runsvchdir: one: current.\n"));
        mode(0o600);
        assert_eq!(switch("two"), fails("runsvchdir: fatal: unable to chdir: sets: access denied\n", 111));
        mode(0o755);
        assert_eq!(listing(&tree), ["current -> one", "one/", "three/", "two/"]);
    }
}

#[test]
fn of_several_at_once_each_switches_from_the_set_of_the_one_before() {
    const SETS: [&str; 4] = ["two", "three", "four", "five"];
    let tree = sets();
    SETS.iter().for_each(|set| drop(tree.directory(&format!("sets/{set}"))));
    for _ in 0..40 {
        link_again(&tree, "current", "one");
        std::thread::scope(|scope| {
            let switches = SETS.map(|set| (set, scope.spawn(|| switch(&tree, &[set]))));
            for (set, outcome) in switches {
                assert_eq!(outcome.join().unwrap(), says(&format!("runsvchdir: {set}: now current.\n")));
            }
        });
        let lines = listing(&tree);
        let leads = |name: &str| SETS.iter().position(|set| lines.contains(&format!("{name} -> {set}")));
        let (current, previous) = (leads("current"), leads("previous"));
        assert!(current.is_some() && previous.is_some() && current != previous, "{lines:?}");
        assert_eq!(lines.len(), 7, "{lines:?}");
    }
}

/// The lock that a switch waits for.
fn locked_sets(tree: &Tree) -> File {
    let lock = File::open(tree.path("sets")).unwrap();
    homerun::sys::file::try_lock(&lock).unwrap();
    lock
}

#[test]
fn a_switch_begins_when_the_one_before_has_ended() {
    let tree = sets();
    let lock = locked_sets(&tree);
    let watcher = Watcher::new().unwrap();
    watcher.watch(&tree.path("sets"), Changes::IN_OPEN).unwrap();
    let mut command = command(&tree, None);
    let waiting = command.arg("two").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It opens the directory to lock it.
    let mut poller = Poller::new(1).unwrap();
    poller.watch(&watcher, 0).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while watcher.changes().unwrap().is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "it takes no lock");
        poller.wait(Some(left)).unwrap();
    }
    link_again(&tree, "current", "three");
    drop(lock);
    let output = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "runsvchdir: two: now current.\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(listing(&tree), ["current -> two", "one/", "previous -> three", "three/", "two/"]);
}

#[test]
fn a_lock_that_is_not_given_up_stops_no_switch() {
    // Whoever can read the directory can lock it.
    let tree = sets();
    let _lock = locked_sets(&tree);
    let outcome = switch(&tree, &["two"]);
    let warned = "runsvchdir: warning: unable to lock: sets: timed out\n".to_owned();
    assert_eq!(outcome, Outcome { stderr: warned, ..says("runsvchdir: two: now current.\n") });
    assert_eq!(listing(&tree), ["current -> two", "one/", "previous -> one", "three/", "two/"]);
}

#[test]
fn a_directory_that_cannot_be_read_is_switched_without_its_lock() {
    let tree = sets();
    let mode = |bits| fs::set_permissions(tree.path("sets"), fs::Permissions::from_mode(bits)).unwrap();
    mode(0o333);
    let mut command = command(&tree, None);
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    let outcome = Outcome::of(command.arg("two"));
    mode(0o755);
    let warned = "runsvchdir: warning: unable to lock: sets: access denied\n".to_owned();
    assert_eq!(outcome, Outcome { stderr: warned, ..says("runsvchdir: two: now current.\n") });
    assert_eq!(listing(&tree), ["current -> two", "one/", "previous -> one", "three/", "two/"]);
}

#[test]
fn a_runsvdir_on_current_holds_another_lock() {
    let tree = sets();
    let lock = File::open(tree.path("sets/current")).unwrap();
    homerun::sys::file::try_lock(&lock).unwrap();
    assert_eq!(switch(&tree, &["two"]), says("runsvchdir: two: now current.\n"));
}

#[test]
fn there_is_a_current_set_at_any_time() {
    let tree = sets();
    let loses_current = |program: Option<&Path>, set: &str| {
        let watcher = Watcher::new().unwrap();
        watcher.watch(&tree.path("sets"), Changes::IN_MOVED_FROM | Changes::IN_DELETE).unwrap();
        assert_eq!(Outcome::of(command(&tree, program).arg(set)).code, Some(0));
        let changes = watcher.changes().unwrap();
        assert!(!changes.is_empty());
        changes.iter().any(|change| change.name.as_deref() == Some(OsStr::new("current")))
    };
    assert!(!loses_current(None, "two"));
    assert!(!loses_current(None, "three"));
    if let Some(original) = original(&tree) {
        assert!(loses_current(Some(&original), "one"));
    }
}

#[test]
fn the_sets_of_an_ordinary_user_are_in_the_home_directory() {
    let tree = Tree::new();
    tree.directory(".runit/runsvdir/night");
    tree.directory(".runit/runsvdir/day");
    symlink("day", tree.path(".runit/runsvdir/current")).unwrap();
    let mut command = tree.command("runsvchdir");
    if is_root() {
        let owned = [".runit/runsvdir"].map(|name| tree.path(name));
        owned.iter().for_each(|path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).unwrap());
        command.uid(NOBODY).gid(NOBODY);
    }
    assert_eq!(Outcome::of(command.arg("night")), says("runsvchdir: night: now current.\n"));
    assert_eq!(fs::read_link(tree.path(".runit/runsvdir/current")).unwrap(), Path::new("night"));
}

#[test]
fn the_sets_of_root_are_where_the_original_has_them() {
    if !is_root() {
        return skip("needs root");
    }
    let tree = Tree::new();
    let refused = match Path::new("/etc/runit/runsvdir").is_dir() {
        true => "no-such-set-of-services: file does not exist",
        false => "unable to chdir: /etc/runit/runsvdir: file does not exist",
    };
    let outcome = Outcome::of(tree.command("runsvchdir").arg0("runsvchdir").arg("no-such-set-of-services"));
    assert_eq!(outcome, fails(&format!("runsvchdir: fatal: {refused}\n"), 111));
    let outcome = Outcome::of(tree.command("runsvchdir").arg0("/x/runsvchdir").env("RUNSVDIR", "").arg("one"));
    assert_eq!(outcome, fails("/x/runsvchdir: fatal: unable to chdir: : file does not exist\n", 111));
}

/// Has `runsvdir` on `current` change over and back, by the original's runsvchdir or by ours.
fn change_over(runsvdir: &Path, by_original: bool) {
    let tree = sets();
    let original = if by_original { original(&tree) } else { None };
    let service = |name: &str| {
        let service = tree.service(&format!("services/{name}"));
        service.run(&format!("say {name} up; exec sleep 1000")).finish(&format!("say {name} finish")).made()
    };
    let both = service("both");
    for (set, name) in [("one", "first"), ("two", "second")] {
        symlink(service(name), tree.path("sets").join(set).join(name)).unwrap();
        symlink(&both, tree.path("sets").join(set).join("both")).unwrap();
    }
    let mut command_of_keeper = tree.command(runsvdir);
    // Between the original's two renames a runsvdir may miss `current`, and say so.
    let stderr = if by_original { Stdio::null() } else { Stdio::from(tree.mouth()) };
    let mut keeper = command_of_keeper.arg("sets/current").stderr(stderr).spawn().unwrap();
    let tell = |signal| send(i32::try_from(keeper.id()).unwrap(), signal).unwrap();
    let two_lines = || {
        let mut lines = [tree.heard(), tree.heard()];
        lines.sort();
        lines
    };
    assert_eq!(two_lines(), ["both up", "first up"]);
    let pid = || tree.wait_status(&both.join("supervise"), |status| status.pid != 0).pid;
    let before = pid();
    for (set, lines) in [("two", ["first finish", "second up"]), ("one", ["first up", "second finish"])] {
        let outcome = Outcome::of(command(&tree, original.as_deref()).arg(set));
        assert_eq!(outcome, says(&format!("runsvchdir: {set}: now current.\n")));
        // Ours is told by the kernel; the original looks every five seconds, and at this.
        if runsvdir.parent() != Some(programs()) {
            tell(Signal::SIGALRM);
        }
        assert_eq!(two_lines(), lines);
    }
    assert_eq!(pid(), before);
    tell(Signal::SIGHUP);
    assert_eq!(wait_for_end(&mut keeper).unwrap().code(), Some(111));
    assert_eq!(two_lines(), ["both finish", "first finish"]);
}

#[test]
fn a_runsvdir_on_current_changes_over_and_what_is_in_both_sets_goes_on() {
    change_over(&programs().join("runsvdir"), false);
}

#[test]
fn either_runsvdir_changes_over_with_either_runsvchdir() {
    let Some(runit) = runit() else { return };
    change_over(&programs().join("runsvdir"), true);
    change_over(&runit.join("runsvdir"), false);
}
