//! Each runsv with each svlogd: every line that a service writes is in its log once, in order, whatever is restarted.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use homerun::model::status::State;

use crate::support::*;

/// Writes so many more lines at each start.
const EACH: usize = 300;
/// How often the service starts.
const STARTS: usize = 4;
/// How often the log service is told to end before the end of the tree.
const TERMS: usize = 2;

/// What is left of a service and its log service when both have come and gone.
struct Left {
    /// The numbers of the lines in the log.
    lines: Vec<usize>,
    /// Names without labels, modes, and what tells of the end; the same for every pair.
    rest: String,
}

/// A service that writes numbered lines, while it and its log service are restarted, signalled, and told to exit.
fn left(runsv: &Path, svlogd: &Path) -> Left {
    let tree = Tree::new();
    let script = format!(
        "i=$(cat count); end=$((i + {EACH})); while [ $i -lt $end ]; do i=$((i + 1)); echo line $i; done
         echo $i >count; say to $i; exec sleep 1000"
    );
    let service = tree.service("foo").run(&script).file("count", "0").file("log/main/config", "s1000\nn0\n");
    let service = service.log(&format!("exec {} -l 100 ./main", svlogd.display()));
    let mut command = tree.command(runsv);
    command.stderr(Stdio::piped());
    let foo = service.start_by(command);
    let mut starts = 0;
    let mut hear_start = || {
        starts += 1;
        assert_eq!(tree.heard(), format!("to {}", starts * EACH));
        starts * EACH
    };
    let main = foo.directory.join("log/main");
    let is_logged = |last: usize| {
        let texts = fs::read_dir(&main).unwrap().filter_map(|entry| fs::read_to_string(entry.unwrap().path()).ok());
        texts.into_iter().any(|text| text.lines().any(|line| line == format!("line {last}"))).then_some(())
    };
    hear_start();
    foo.control(b"t");
    hear_start();
    for _ in 0..TERMS {
        let old = foo.wait_log(|status| status.state == State::Run);
        foo.control_log(b"t");
        foo.control(b"t"); // what it writes waits for the next log service
        let last = hear_start();
        foo.wait_log(|status| status.state == State::Run && status.pid != old.pid);
        tree.wait_in(&main, || is_logged(last)); // sooner a signal would end it
        foo.control_log(b"ah");
    }
    let directory = foo.directory.clone();
    let (status, said) = foo.exit();
    let record = |name: &str| fs::read_to_string(directory.join(name)).unwrap();
    let mut rest = format!("{:?} {said:?}\n", status.code());
    for name in ["supervise", "log/supervise"] {
        rest += &format!("{name}: {:?} {:?}\n", record(&format!("{name}/stat")), record(&format!("{name}/pid")));
    }
    let mut names: Vec<_> = fs::read_dir(&main).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.file_name().unwrap() != "config");
    names.sort(); // old files, oldest first, then `current` and `lock`
    let mut text = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with('@') || name == "current" {
            text += &fs::read_to_string(&path).unwrap();
        }
        let line = format!("{} {:o}\n", &name[name.len().min(25)..], fs::metadata(&path).unwrap().permissions().mode());
        let line = if name.starts_with('@') { line } else { format!("{name}{line}") };
        if !rest.ends_with(&line) {
            rest += &line; // how many old files there are depends on when the signals came
        }
    }
    let number = |line: &str| line.strip_prefix("line ").and_then(|number| number.parse().ok());
    let lines = text.lines().map(|line| number(line).unwrap_or_else(|| panic!("torn: {line:?}"))).collect();
    Left { lines, rest }
}

fn our(name: &str) -> PathBuf {
    programs().join(name)
}

const EXPECTED: &str = "Some(0) \"\"\n\
    supervise: \"down\\n\" \"\"\n\
    log/supervise: \"down\\n\" \"\"\n\
    .s 100744\n\
    current 100744\n\
    lock 100600\n";

#[track_caller]
fn nothing_is_lost(left: Left) {
    assert_eq!(left.lines, (1..=EACH * STARTS).collect::<Vec<_>>());
    assert_eq!(left.rest, EXPECTED);
}

/// The original may lose a line whenever it is told to end.
#[track_caller]
fn little_is_lost(left: Left) {
    assert!(left.lines.is_sorted_by(|one, next| one < next), "{:?}", left.lines);
    assert!(left.lines.len() + TERMS >= EACH * STARTS, "{:?}", left.lines);
    assert_eq!(left.rest, EXPECTED);
}

#[test]
fn our_runsv_and_our_svlogd_lose_no_line() {
    nothing_is_lost(left(&our("runsv"), &our("svlogd")));
}

#[test]
fn the_originals_runsv_and_our_svlogd_lose_no_line() {
    let Some(runit) = runit() else { return };
    nothing_is_lost(left(&runit.join("runsv"), &our("svlogd")));
}

#[test]
fn our_runsv_and_the_originals_svlogd_lose_no_more_than_the_originals() {
    let Some(runit) = runit() else { return };
    little_is_lost(left(&our("runsv"), &runit.join("svlogd")));
}

#[test]
fn the_originals_lose_a_line_at_term_at_most() {
    let Some(runit) = runit() else { return };
    little_is_lost(left(&runit.join("runsv"), &runit.join("svlogd")));
}
