//! Signals, and directories that come and go meanwhile.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

#[test]
fn alrm_rotates_what_is_not_empty() {
    let place = Place::with_main("");
    let mut running = place.start();
    running.signal(Signal::SIGALRM);
    running.hear(&["sigalarm received."]);
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "a\n");
    running.signal(Signal::SIGALRM);
    place.wait_until("main", || place.old("main", ".s").len() == 1);
    running.write("b\n");
    assert_eq!(running.end(), Some(0));
    let old = place.old("main", "");
    assert_eq!(old.len(), 1);
    assert_eq!(fs::read_to_string(&old[0]).unwrap(), "a\n");
    assert_eq!(place.read("main/current"), "b\n");
}

#[test]
fn hup_reads_the_config_again() {
    let place = Place::with_main("");
    let mut running = place.start();
    running.write("a\nhalf ");
    place.wait_until("main", || place.read("main/current") == "a\n");
    fs::write(place.path("main/config"), "pnew: \n").unwrap();
    running.signal(Signal::SIGHUP);
    running.hear(&["append: main/current"]);
    running.write("b\n");
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("main/current"), "a\nnew: half b\n");
    assert_eq!(place.old("main", ""), Vec::<PathBuf>::new());
}

#[test]
fn hup_without_any_directory_left_is_fatal() {
    let place = Place::with_main("");
    let mut running = place.start();
    fs::rename(place.path("main"), place.path("moved")).unwrap();
    running.write("a\n");
    place.wait_until("moved", || place.read("moved/current") == "a\n");
    running.signal(Signal::SIGHUP);
    running.hear(&["svlogd: fatal: no functional log directories."]);
    assert_eq!(running.end(), Some(111));
    assert_eq!(mode(&place.path("moved/current")), 0o744);
}

#[test]
fn term_loses_neither_what_is_in_the_pipe_nor_a_partial_line() {
    let place = Place::with_main("");
    let mut running = place.start();
    let lines: String = (0..5000).map(|number| format!("line {number}\n")).collect();
    running.write(&lines);
    running.write("partial");
    assert_eq!(running.terminate(), Some(0));
    assert!(place.read("main/current") == lines + "partial\n");
    assert_eq!(mode(&place.path("main/current")), 0o744);
}

/// Writes numbered lines, each with a write of its own and as fast as it can, while it `goes_on` and somebody reads: how
/// many.
fn flood(mut stdin: ChildStdin, goes_on: &AtomicBool) -> usize {
    let mut count = 0;
    while goes_on.load(Ordering::Relaxed) && stdin.write_all(format!("line {count}\n").as_bytes()).is_ok() {
        count += 1;
    }
    count
}

fn flooded(count: usize) -> String {
    (0..count).map(|number| format!("line {number}\n")).collect()
}

fn has_more_than(place: &Place, bytes: u64) -> bool {
    fs::metadata(place.path("main/current")).is_ok_and(|current| current.len() > bytes)
}

#[test]
fn signals_are_answered_in_a_flood_and_every_line_arrives_whole_and_in_order() {
    let place = Place::with_main("s0\nn0\n");
    let mut running = place.start();
    let stdin = running.stdin.take().unwrap();
    let goes_on = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&goes_on);
    let writer = thread::spawn(move || flood(stdin, &told));
    for _ in 0..10 {
        place.wait_until("main", || has_more_than(&place, 0));
        running.signal(Signal::SIGALRM);
        running.hear(&["sigalarm received."]);
        running.signal(Signal::SIGHUP);
        running.hear(&["sighangup received."]);
        running.hear(&["append: main/current", "new: main/current"]);
    }
    goes_on.store(false, Ordering::Relaxed);
    let count = writer.join().unwrap();
    assert_eq!(running.end(), Some(0));
    assert!(place.whole_log("main") == flooded(count), "not the {count} lines that were written");
}

#[test]
fn term_in_a_flood_ends_it_after_a_whole_line() {
    let place = Place::with_main("s0\n");
    let mut running = place.start();
    let stdin = running.stdin.take().unwrap();
    let writer = thread::spawn(|| flood(stdin, &AtomicBool::new(true)));
    place.wait_until("main", || has_more_than(&place, 100_000));
    assert_eq!(running.terminate(), Some(0));
    let written = writer.join().unwrap();
    let log = place.read("main/current");
    let count = log.lines().count();
    assert!(log == flooded(count), "not the first {count} lines of {written}");
    assert!(count <= written);
}

/// Whoever writes in blocks, as the C library does into a pipe, ends most of them within a line.
#[test]
fn term_in_a_flood_of_blocks_ends_it_after_a_whole_line() {
    let place = Place::with_main("s0\n");
    let mut running = place.start();
    let mut stdin = running.stdin.take().unwrap();
    let written = flooded(1_000_000);
    let blocks = written.clone();
    let writer = thread::spawn(move || blocks.as_bytes().chunks(4096).all(|block| stdin.write_all(block).is_ok()));
    place.wait_until("main", || has_more_than(&place, 100_000));
    assert_eq!(running.terminate(), Some(0));
    writer.join().unwrap();
    let log = place.read("main/current");
    let end = &log[log.len().saturating_sub(40)..];
    assert!(log.ends_with('\n') && written.starts_with(&log), "torn: {end:?}");
}

#[test]
fn a_second_term_ends_the_processor_too() {
    let place = Place::with_main("!read go <../go; cat\n");
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut running = place.start();
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "a\n");
    running.signal(Signal::SIGALRM);
    running.hear(&["processing: "]);
    running.signal(Signal::SIGTERM);
    running.hear(&["sigterm received."]);
    assert_eq!(running.terminate(), Some(0));
    assert_eq!(place.old("main", ""), place.old("main", ".u"));
    assert_eq!(place.whole_log("main"), "a\n");
}

/// What is no regular file is not rotated, also not by its age.
#[test]
fn an_old_current_that_is_no_file_keeps_it_from_sleeping_no_more_than_a_young_one() {
    let place = Place::with_main("t1\n");
    place.log("beside", "t1\n");
    std::os::unix::fs::symlink("/dev/null", place.path("main/current")).unwrap();
    let command = place.command(&["-v", "main", "beside"]);
    let mut running = place.start_with(command, "new: beside/current", "new: beside/current");
    running.write("a\n");
    place.wait_until("beside", || !place.old("beside", "").is_empty());
    running.wait_until_asleep();
    assert_eq!(running.end(), Some(0));
}

#[test]
fn a_config_that_cannot_be_read_at_hup_leaves_the_one_before() {
    let place = Place::with_main("pP: \n");
    let mut running = place.start();
    fs::remove_file(place.path("main/config")).unwrap();
    fs::create_dir(place.path("main/config")).unwrap();
    running.signal(Signal::SIGHUP);
    running.hear(&["svlogd: warning: unable to read config: main: is a directory"]);
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "P: a\n");
    fs::remove_dir(place.path("main/config")).unwrap();
    running.signal(Signal::SIGHUP);
    running.hear(&["sighangup received."]);
    running.hear(&["append: main/current"]);
    running.write("b\n");
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("main/current"), "P: a\nb\n"); // without a config it is the default
}

/// The program under test and, where it is there, the original.
fn both() -> Vec<PathBuf> {
    let ours = PathBuf::from(env!("CARGO_BIN_EXE_svlogd"));
    [ours].into_iter().chain(crate::support::runit().map(|place| place.join("svlogd"))).collect()
}

#[test]
fn other_signals_do_what_they_do_to_any_program() {
    for program in both() {
        for signal in [Signal::SIGQUIT, Signal::SIGINT, Signal::SIGUSR1, Signal::SIGKILL] {
            let place = Place::of(&program);
            place.log("main", "");
            let mut running = place.start();
            running.write("abc\n");
            place.wait_until("main", || place.read("main/current") == "abc\n");
            running.signal(signal);
            let status = running.child.wait().unwrap();
            assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(signal as i32));
            assert_eq!(mode(&place.path("main/current")), 0o644); // not closed well
        }
    }
}

/// What is said while directories come and go: lost ones are left out, and those that are there again come back.
fn come_and_go(program: &Path) -> Vec<String> {
    let place = Place::of(program);
    place.log("one", "");
    place.log("two", "");
    fs::rename(place.path("two"), place.path("away")).unwrap();
    let ready = "svlogd: warning: unable to open log directory: two: file does not exist";
    let mut running = place.start_with(place.command(&["-v", "one", "two"]), ready, "-");
    running.write("a\n");
    place.wait_until("one", || place.read("one/current") == "a\n");
    fs::rename(place.path("away"), place.path("two")).unwrap();
    running.signal_asleep(Signal::SIGHUP);
    running.hear(&["new: two/current"]);
    running.write("b\n");
    place.wait_until("two", || place.read("two/current") == "b\n");
    place.wait_until("one", || place.read("one/current") == "a\nb\n");
    fs::rename(place.path("one"), place.path("away")).unwrap();
    running.write("c\n"); // still into both
    place.wait_until("two", || place.read("two/current") == "b\nc\n");
    place.wait_until("away", || place.read("away/current") == "a\nb\nc\n");
    running.signal_asleep(Signal::SIGHUP);
    running.hear(&["append: two/current"]);
    running.write("d\n");
    place.wait_until("two", || place.read("two/current") == "b\nc\nd\n");
    assert_eq!(place.read("away/current"), "a\nb\nc\n");
    assert_eq!(mode(&place.path("away/current")), 0o744);
    fs::remove_dir_all(place.path("two")).unwrap();
    running.signal_asleep(Signal::SIGHUP);
    running.hear(&["svlogd: fatal: no functional log directories."]);
    assert_eq!(running.exit(), Some(111));
    std::mem::take(&mut running.heard)
}

#[test]
fn directories_that_come_and_go_are_found_at_hup_as_in_the_original() {
    let said: Vec<_> = both().iter().map(|program| come_and_go(program)).collect();
    // The original closes by no name what it never opened.
    let theirs = said.last().unwrap().iter().filter(|line| *line != "svlogd: info: close: ").collect::<Vec<_>>();
    assert_eq!(said[0].iter().collect::<Vec<_>>(), theirs);
}

#[test]
fn a_directory_that_is_lost_at_a_rotation_is_waited_for_until_hup() {
    let place = Place::with_main("");
    let mut running = place.start();
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "a\n");
    fs::rename(place.path("main/current"), place.path("kept")).unwrap();
    running.signal(Signal::SIGALRM);
    running.hear(&["svlogd: pausing: unable to rename current: main: file does not exist"]);
    running.write("b\n");
    fs::write(place.path("main/current"), "").unwrap();
    running.signal(Signal::SIGHUP);
    running.hear(&["append: main/current"]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("kept") + &place.whole_log("main"), "a\nb\n");
}

#[test]
fn signals_are_answered_though_they_were_ignored_or_blocked_at_the_start() {
    let place = Place::with_main("!grep -E '^Sig(Ign|Blk)' /proc/self/status >../signals; cat\n");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' HUP ALRM TERM CHLD; exec svlogd -v main"]).env_clear().current_dir(place.path(""));
    command.env("PATH", format!("{}:/usr/bin:/bin", place.path("").display()));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = place.start_with(command, "new: main/current", "-");
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "a\n");
    running.signal(Signal::SIGHUP);
    running.hear(&["append: main/current"]);
    running.signal(Signal::SIGALRM);
    running.hear(&["processed: "]);
    assert_eq!(running.terminate(), Some(0));
    let taken = [Signal::SIGHUP, Signal::SIGALRM, Signal::SIGTERM, Signal::SIGCHLD, Signal::SIGPIPE];
    let taken = taken.iter().fold(0, |mask, signal| mask | 1 << (*signal as u64 - 1));
    let masks = place.read("signals");
    let masks: Vec<_> = masks.lines().map(|line| u64::from_str_radix(&line[8..], 16).unwrap() & taken).collect();
    assert_eq!(masks, [0, 0]); // neither blocked nor ignored in the processor
}
