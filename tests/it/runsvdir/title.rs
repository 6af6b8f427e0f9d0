//! The LOG argument, which shows the last messages where ps(1) sees them.

use super::*;

/// Starts a runsvdir with the LOG argument `log`.
fn keep_title<'a>(tree: &'a Tree, log: &str) -> Keeper<'a> {
    age(&tree.directory("services"));
    let mut command = tree.command("runsvdir");
    command.arg0("runsvdir").args(["services", log, "more"]).stderr(tree.mouth());
    Keeper { tree, child: command.spawn().unwrap() }
}

/// Waits until the arguments of runsvdir are such; nobody is told when they change, so it looks again and again.
fn wait_for_title(keeper: &Keeper<'_>, is_such: impl Fn(&[u8]) -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let shown = homerun::sys::proc::command_line(keeper.pid());
        if is_such(&shown) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{:?}", String::from_utf8_lossy(&shown));
        std::thread::yield_now();
    }
}

/// Waits until they show `log` after all of `written`.
fn wait_for_written(keeper: &Keeper<'_>, log: &str, written: &str) {
    let (label, room) = log.as_bytes().split_at(5);
    let moved = [room, written.as_bytes()].concat();
    let expected = [b"runsvdir\0services\0", label, &moved[written.len()..], b"\0more\0"].concat();
    wait_for_title(keeper, |shown| shown == expected);
}

#[test]
fn the_log_argument_shows_the_last_messages() {
    let programs = [Some(programs().to_owned()), runit()];
    for programs in programs.into_iter().flatten() {
        let tree = Tree::with(&programs);
        tree.directory("services");
        symlink(tree.path("nowhere"), tree.path("services/foo")).unwrap();
        let log = format!("log: {}", "-".repeat(90));
        let keeper = keep_title(&tree, &log);
        let warning = b"runsvdir services: warning: unable to stat foo: file does not exist\n";
        wait_for_title(&keeper, |shown| {
            shown.len() == "runsvdir services more ".len() + log.len() + 1
                && shown.starts_with(b"runsvdir\0services\0log: ")
                && shown.windows(warning.len()).any(|part| part == warning)
        });
    }
}

#[test]
fn a_log_argument_that_is_too_short_is_told_of() {
    let tree = Tree::new();
    tree.directory("services");
    let mut command = command(&tree, &["services", "log: ."]);
    let keeper = Keeper { tree: &tree, child: command.spawn().unwrap() };
    assert_eq!(tree.heard(), "runsvdir services: warning: log must have at least seven characters.");
    assert_eq!(tree.heard(), "runsvdir services: warning: log service disabled.");
    keeper.catches_up("marker");
}

#[test]
fn what_is_written_to_standard_error_moves_through_the_argument_from_the_right() {
    let programs = [Some(programs().to_owned()), runit()];
    for programs in programs.into_iter().flatten() {
        let tree = Tree::with(&programs);
        let log = "log: the quick brown fox jumps over the lazy dog";
        let keeper = keep_title(&tree, log);
        // A dot is the first that is written.
        wait_for_written(&keeper, log, ".");
        let mut gate = gate(&tree);
        let run = "printf 'a\\0b\\n\\nc\\303\\244' >&2; say $(grep flags /proc/self/fdinfo/2)
            read line <${EAR%ear}gate; printf '%s' 'all of this, which is more than fits into the argument' >&2
            exec sleep 1000";
        tree.service("elsewhere/foo").run(run).made();
        symlink(tree.path("elsewhere/foo"), tree.path("services/foo")).unwrap();
        keeper.send(Signal::SIGALRM);
        // Whoever writes there never waits.
        assert_eq!(tree.heard(), "flags: 04001");
        wait_for_written(&keeper, log, ".ab\n\nc\u{e4}");
        gate.write_all(b"\n").unwrap();
        wait_for_written(&keeper, log, "all of this, which is more than fits into the argument");
        assert_eq!(tree.heard_already(), None);
    }
}

#[test]
fn seven_characters_are_enough() {
    let programs = [Some(programs().to_owned()), runit()];
    for programs in programs.into_iter().flatten() {
        let tree = Tree::with(&programs);
        let keeper = keep_title(&tree, "log: ab");
        wait_for_written(&keeper, "log: ab", ".");
        assert_eq!(tree.heard_already(), None);
    }
}
