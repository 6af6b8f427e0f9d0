//! A disk that is full: of bytes, or of files.

use super::*;
use crate::support::runit;

/// svlogd on the log directory `main`, on a disk of its own that only it sees, 64 KiB or with other `options`.
///
/// `before` runs on that disk before svlogd, `meanwhile` beside it, both with `main` as the working directory;
/// afterwards the disk's files are copied to `result`. None where no disk may be mounted.
fn on_a_disk(place: &Place, options: &str, before: &str, meanwhile: &str) -> Option<Running> {
    let unshare: &[&str] =
        if nix::unistd::geteuid().is_root() { &["--mount"] } else { &["--user", "--map-root-user", "--mount"] };
    let may_mount = Command::new("unshare").args(unshare).args(["mount", "-t", "tmpfs", "none", "/mnt"]).output();
    if !may_mount.is_ok_and(|output| output.status.success()) {
        return None;
    }
    fs::create_dir(place.path("result")).unwrap();
    let script = format!(
        "exec 3<&0; mount -t tmpfs -o {options} none main && cp config main && cd main && {before} || exit
         svlogd -v . <&3 3<&- & pid=$!; echo $pid >../pid; {meanwhile}
         wait $pid; exit=$?; rm -f fill; cp * ../result; exit $exit"
    );
    let mut command = Command::new("unshare");
    command.args(unshare).args(["sh", "-c", &script]).env_clear().current_dir(place.0.path());
    for (name, value) in place.command(&[]).get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let running = place.start_with(command, ": ./current", "svlogd: pausing: ");
    place.wait_until("", || place.path("pid").exists() && place.read("pid").ends_with('\n'));
    Some(running)
}

fn on_a_small_disk(place: &Place, before: &str, meanwhile: &str) -> Option<Running> {
    on_a_disk(place, "size=64k", before, meanwhile)
}

const FILL: &str = "head -c 64k /dev/zero >fill 2>&-; test -s fill";

/// svlogd with "abc" that a full disk has no room for. A line in the FIFO `go` makes room, and sends it this signal. None
/// where no disk may be mounted.
fn stuck_until_go(signal: &str) -> Option<(Place, Running)> {
    let place = Place::with_main("");
    fs::write(place.path("config"), "").unwrap();
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut running = on_a_small_disk(&place, FILL, &format!("read go <../go; rm fill; kill -{signal} $pid"))?;
    running.write("abc\n");
    running.hear(&["svlogd: pausing: unable to write to current: .: out of disk space"]);
    Some((place, running))
}

#[test]
fn a_full_disk_does_not_make_it_deaf() {
    let place = Place::with_main("");
    fs::write(place.path("config"), "").unwrap();
    let Some(mut running) = on_a_small_disk(&place, FILL, "") else {
        return skip("a_full_disk_does_not_make_it_deaf", "needs to mount a file system");
    };
    running.write("abc\n");
    running.hear(&["svlogd: pausing: unable to write to current: .: out of disk space"]);
    running.write("def\n"); // stays in the pipe, for the next svlogd
    send(place.read("pid").trim().parse().unwrap(), Signal::SIGTERM).unwrap();
    running.hear(&["svlogd: warning: unable to write to current: .: 4 bytes dropped"]);
    assert_eq!(running.end(), Some(111));
}

#[test]
fn nothing_is_lost_by_a_full_disk_that_gets_room_again() {
    let Some((place, mut running)) = stuck_until_go("HUP") else {
        return skip("nothing_is_lost_by_a_full_disk_that_gets_room_again", "needs to mount a file system");
    };
    running.write("def\n");
    fs::write(place.path("go"), "\n").unwrap();
    running.hear(&["svlogd: warning: writing again to current: .: after "]);
    assert!(running.heard.last().unwrap().ends_with(" seconds, 4 bytes had waited"), "{:?}", running.heard);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("result/current"), "abc\ndef\n");
}

#[test]
fn nothing_is_lost_where_there_is_room_again_when_it_is_told_to_end() {
    let Some((place, mut running)) = stuck_until_go("TERM") else {
        return skip(
            "nothing_is_lost_where_there_is_room_again_when_it_is_told_to_end",
            "needs to mount a file system",
        );
    };
    fs::write(place.path("go"), "\n").unwrap();
    assert_eq!(running.exit(), Some(0));
    assert_eq!(place.read("result/current"), "abc\n");
}

#[test]
fn one_that_is_killed_loses_what_it_has_read_and_could_not_write_and_nothing_else() {
    let place = Place::with_main("");
    fs::write(place.path("config"), "").unwrap();
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let next = "read go <../go; kill -KILL $pid; wait $pid; rm fill; svlogd . <&3 3<&- & pid=$!";
    let Some(mut running) = on_a_small_disk(&place, FILL, next) else {
        return skip("one_that_is_killed_loses_what_it_has_read...", "needs to mount a file system");
    };
    running.write("abc\nabcd\n");
    running.hear(&["svlogd: pausing: unable to write to current: .: out of disk space"]);
    running.write("def\n");
    running.write("ghi\n");
    fs::write(place.path("go"), "\n").unwrap();
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.whole_log("result"), "def\nghi\n");
}

#[test]
fn a_full_disk_takes_old_files_if_it_may() {
    let place = Place::with_main("");
    fs::write(place.path("config"), "n9\nN1\n").unwrap();
    let fill = "for i in 1 2 3; do head -c 24k /dev/zero >@40000000000000000000000$i.s 2>&-; done; true";
    let Some(mut running) = on_a_small_disk(&place, fill, "") else {
        return skip("a_full_disk_takes_old_files_if_it_may", "needs to mount a file system");
    };
    let line = "x".repeat(99) + "\n";
    running.write(&line.repeat(400));
    running.hear(&["svlogd: warning: out of disk space, delete: ./@400000000000000000000001.s"]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("result/current"), line.repeat(400));
}

/// What is said of a disk that stays full, until svlogd is killed, and whether TERM ended it.
fn said_on_a_full_disk(program: &Path) -> Option<(Vec<String>, String)> {
    let place = Place::of(program);
    fs::create_dir(place.path("main")).unwrap();
    fs::write(place.path("config"), "n9\nN9\n").unwrap();
    let old = format!("{FILL}; >@400000000000000000000001.s");
    let mut running = on_a_small_disk(&place, &old, "")?;
    running.write("abc\n");
    // The second time comes after a pause of three seconds.
    running.hear(&["svlogd: pausing: unable to write to current: .: out of disk space"]);
    running.hear(&["svlogd: pausing: unable to write to current: .: out of disk space"]);
    send(place.read("pid").trim().parse().unwrap(), Signal::SIGKILL).unwrap();
    running.stdin = None;
    running.exit();
    Some((std::mem::take(&mut running.heard), place.read("result/current")))
}

#[test]
fn a_full_disk_blocks_and_is_said_as_in_the_original() {
    let Some(theirs) = runit() else { return };
    let (ours, theirs) = thread::scope(|scope| {
        let theirs = scope.spawn(|| said_on_a_full_disk(&theirs.join("svlogd")));
        (said_on_a_full_disk(Path::new(env!("CARGO_BIN_EXE_svlogd"))), theirs.join().unwrap())
    });
    if ours.is_none() {
        return skip("a_full_disk_blocks_and_is_said_as_in_the_original", "needs to mount a file system");
    }
    assert_eq!(ours, theirs);
}

#[test]
fn a_disk_without_room_for_another_file_holds_up_nothing_but_the_rotation() {
    let place = Place::with_main("");
    fs::write(place.path("config"), "s4\n").unwrap();
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The directory, config, lock and current: no fifth.
    let meanwhile = "read go <../go; rm config; kill -HUP $pid";
    let Some(mut running) = on_a_disk(&place, "nr_inodes=4", "true", meanwhile) else {
        return skip("a_disk_without_room_for_another_file_holds_up...", "needs to mount a file system");
    };
    running.write("abc\n");
    running.write("def\n");
    running.hear(&["rename: ./current @"]);
    running.hear(&["svlogd: pausing: unable to create new current: .: out of disk space"]);
    running.write("ghi\n");
    fs::write(place.path("go"), "\n").unwrap();
    running.hear(&["svlogd: warning: writing again to current: .: after "]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.whole_log("result"), "abc\ndef\nghi\n");
}

#[test]
fn a_disk_without_room_for_a_processors_files_is_said_and_the_file_waits() {
    let place = Place::with_main("");
    fs::write(place.path("config"), "s4\n!tr a-z A-Z\n").unwrap();
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    // The directory, config, lock, current and an old file; three more have to go.
    let meanwhile = "read go <../go; rm fill1 fill2 fill3";
    let Some(mut running) = on_a_disk(&place, "nr_inodes=8", "touch fill1 fill2 fill3", meanwhile) else {
        return skip("a_disk_without_room_for_a_processors_files...", "needs to mount a file system");
    };
    running.write("abc\n");
    running.write("d\n");
    running.hear(&["svlogd: warning: unable to open state for processor: .: out of disk space"]);
    fs::write(place.path("go"), "\n").unwrap();
    running.hear(&["svlogd: info: processed: ./@"]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.whole_log("result"), "ABC\nd\n");
}
