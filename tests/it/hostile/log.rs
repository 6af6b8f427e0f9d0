//! Root's log of a hostile user's tree.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::*;

/// All that a log directory holds, the oldest first.
fn logged(directory: &Path) -> String {
    let mut names: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        name == "current" || name.starts_with('@')
    });
    names.sort(); // `current` comes after every `@`
    names.iter().map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()).collect()
}

/// The log script of a tree that root starts, with this in its `conf`: what it keeps of `input`.
fn kept(tree: &Tree, conf: &str, input: &[u8]) -> String {
    let log = tree.directory("runsvdir-foo/log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("etc/sv/runsvdir-user/log/run");
    assert!(Command::new("cp").arg(script).arg(&log).status().unwrap().success());
    let main = tree.path("main");
    fs::write(log.join("conf"), format!("LOG_DIR='{}'\n{conf}", main.display())).unwrap();
    let mut child = tree.command(log.join("run")).current_dir(&log).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    assert!(wait_for_end(&mut child).expect("it ends").success());
    logged(&main)
}

/// Without the stamp that each line begins with.
fn unstamped(text: &str) -> Vec<&str> {
    text.lines().map(|line| line.split_once(' ').unwrap().1).collect()
}

#[test]
fn a_line_is_cut_and_no_terminal_obeys_it() {
    let tree = Tree::new();
    let mut input = b"\x1b]0;title\x07 caf\xc3\xa9\0\r\n".to_vec();
    input.extend(vec![b'x'; 5000]);
    input.extend(b"\x1b[2J\nlast\n");
    let long = format!("{}...", "x".repeat(4096));
    assert_eq!(unstamped(&kept(&tree, "", &input)), ["?]0;title? caf????", &long, "last"]);
}

#[test]
fn a_line_without_end_takes_no_room() {
    let tree = Tree::new();
    let text = kept(&tree, "", &vec![b'x'; 2 << 20]);
    assert_eq!(unstamped(&text), [format!("{}...", "x".repeat(4096))]);
}

#[test]
fn a_flood_washes_nothing_away_and_is_counted() {
    let tree = Tree::new();
    let lines = 1 << 18;
    let mut input = b"what root wants to know\n".to_vec();
    (0..lines).for_each(|number| writeln!(input, "{number:015}").unwrap());
    let text = kept(&tree, "RATE=1000\n", &input);
    let text = unstamped(&text);
    assert_eq!(text[0], "what root wants to know");
    // 64 seconds' worth at once, stamps included, and what the seconds of this test allow; the rest is in the counts.
    let told: Vec<(u64, u64)> = text.iter().filter_map(|line| dropped(line)).collect();
    let passed = text.len() - 1 - told.len();
    let (lines_dropped, bytes_dropped) = told.iter().fold((0, 0), |sum, told| (sum.0 + told.0, sum.1 + told.1));
    assert_eq!(lines_dropped + passed as u64, lines, "{told:?}");
    assert_eq!(bytes_dropped, 16 * lines_dropped);
    assert!((1500..lines / 4).contains(&(passed as u64)), "{passed}");
    assert!(dropped(text.last().unwrap()).is_some(), "the last count is told at the end");
}

fn dropped(line: &str) -> Option<(u64, u64)> {
    let (lines, rest) = line.strip_prefix("svlogd: warning: ")?.split_once(" lines were dropped, ")?;
    let bytes = rest.strip_suffix(" bytes: more than 1000 bytes a second")?;
    Some((lines.parse().unwrap(), bytes.parse().unwrap()))
}
