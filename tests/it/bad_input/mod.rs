//! Names of what is not there, or is something else, given to every program: one line that says so, the exit code of
//! the manual, and nothing is changed; also where nobody can hear it.

mod files;
mod shut;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use crate::support::{Tree, wait_for_end};

/// A program with arguments, of which `@` is the bad one; its exit code; and how many lines it says.
type Case = (&'static str, &'static [&'static str], i32, usize);

const CASES: [Case; 11] = [
    ("runsv", &["@"], 111, 1),
    ("runsvchdir", &["@"], 111, 1),
    ("runsvdir-user", &["@"], 101, 1),
    ("chpst", &["-e", "@", "true"], 111, 1),
    ("chpst", &["-l", "@/lock", "true"], 111, 1),
    ("chpst", &["-/", "@", "true"], 111, 1),
    ("chpst", &["-u", "@", "true"], 111, 1),
    ("sv", &["status", "@"], 1, 1),
    ("sv", &["exit", "@"], 1, 1),
    // One for the directory, one for all.
    ("svlogd", &["@"], 111, 2),
    ("svlogd", &["-tt", "@"], 111, 2),
];

/// No path is longer; a line about one that is may be cut before its end.
const LONGEST: usize = 4096;

/// What stands for no directory.
fn bad_names(tree: &Tree) -> Vec<OsString> {
    homerun::sys::file::make_fifo(&tree.path("fifo"), 0o666).unwrap();
    symlink("loop", tree.path("loop")).unwrap();
    symlink("gone", tree.path("dangling")).unwrap();
    fs::write(tree.path("plain"), "").unwrap();
    let mut names: Vec<OsString> =
        ["nowhere", "fifo", "loop", "dangling", "plain", "two\nlines", "-"].map(OsString::from).into();
    names.push(OsString::from_vec(b"\xff\xfe".to_vec()));
    names.push(OsString::from("x".repeat(300)));
    names.push(OsString::from("x".repeat(5000)));
    names
}

fn command(tree: &Tree, case: &Case, name: &OsStr) -> Command {
    let (program, args, ..) = case;
    let mut command = tree.command(program);
    command.env("SVDIR", tree.path("")).env("RUNSVDIR", tree.path(""));
    for arg in *args {
        match arg.strip_prefix('@') {
            Some(rest) => command.arg(OsStr::from_bytes(&[name.as_bytes(), rest.as_bytes()].concat())),
            None => command.arg(arg),
        };
    }
    command
}

/// Everything in a directory, as far as a change would show.
fn listing(directory: &Path) -> Vec<(OsString, u32, u64, i64, i64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        let facts = entry.metadata().unwrap();
        found.push((entry.file_name(), facts.mode(), facts.size(), facts.mtime(), facts.mtime_nsec()));
    }
    found.sort();
    found
}

#[test]
fn what_is_no_directory_is_said_in_one_line_and_nothing_changes() {
    let tree = Tree::new();
    let names = bad_names(&tree);
    let before = listing(&tree.path(""));
    for name in &names {
        for case in &CASES {
            let output = command(&tree, case, name).output().unwrap();
            let said = [&output.stdout[..], &output.stderr].concat();
            let shown = String::from_utf8_lossy(&said).into_owned();
            let what = format!("{case:?} with {name:?}: {shown}");
            assert_eq!(output.status.code(), Some(case.2), "{what}");
            // sv shows names as they are, as the original does.
            let breaks = if case.0 == "sv" { name.as_bytes().iter().filter(|byte| **byte == b'\n').count() } else { 0 };
            assert_eq!(shown.lines().count(), case.3 + breaks, "{what}");
            assert!(said.ends_with(b"\n"), "{what}");
            if breaks > 0 || name.len() > LONGEST {
                continue;
            }
            let form: &[&str] = if case.0 == "sv" { &["fail: "] } else { &[": fatal: ", ": warning: "] };
            assert!(shown.lines().all(|line| form.iter().any(|form| line.contains(form))), "{what}");
        }
    }
    assert_eq!(listing(&tree.path("")), before);
}

#[test]
fn the_exit_code_is_the_same_where_nobody_can_hear_what_is_wrong() {
    let tree = Tree::new();
    bad_names(&tree);
    let before = listing(&tree.path(""));
    for redirections in ["<&- >&- 2>&-", ">/dev/full 2>&1"] {
        for case in &CASES {
            let program = command(&tree, case, "nowhere".as_ref());
            let mut deaf = tree.command("sh");
            deaf.env("SVDIR", tree.path("")).env("RUNSVDIR", tree.path(""));
            deaf.args(["-c", &format!("exec \"$0\" \"$@\" {redirections}")]);
            deaf.arg(program.get_program()).args(program.get_args());
            let status = deaf.status().unwrap();
            assert_eq!(status.code(), Some(case.2), "{case:?} {redirections}");
            assert_eq!(listing(&tree.path("")), before, "{case:?} {redirections}");
        }
    }
    for case in &CASES {
        let (reading, writing) = std::io::pipe().unwrap();
        drop(reading);
        let mut program = command(&tree, case, "nowhere".as_ref());
        program.stdout(writing.try_clone().unwrap()).stderr(writing);
        assert_eq!(program.status().unwrap().code(), Some(case.2), "{case:?} into a closed pipe");
    }
}

#[test]
fn a_runsvdir_whose_directory_is_none_says_so_and_hears_signals() {
    let tree = Tree::new();
    for name in bad_names(&tree).iter().filter(|name| *name != "-") {
        let before = listing(&tree.path(""));
        let mut child = tree.command("runsvdir").arg(name).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = Vec::new();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        stderr.read_until(b'\n', &mut said).unwrap();
        let said = String::from_utf8_lossy(&said).into_owned();
        let is_cut = name.len() > LONGEST;
        assert!(
            said.starts_with("runsvdir ") && (is_cut || said.contains(": warning: unable to ")),
            "{name:?}: {said}"
        );
        send(i32::try_from(child.id()).unwrap(), Signal::SIGTERM).unwrap();
        let status = wait_for_end(&mut child).unwrap_or_else(|| panic!("it is deaf: {name:?}"));
        assert_eq!(status.code(), Some(0), "{name:?}");
        assert_eq!(listing(&tree.path("")), before, "{name:?}");
    }
}
