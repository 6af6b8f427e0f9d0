//! What an ordinary user may not read or enter, an environment without a home and a path, and names of two lines.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Outcome, Tree, fails, is_root, programs, runit, says};

/// Whom root becomes.
const NOBODY: u32 = 65534;

fn as_ordinary_user(command: &mut Command) -> &mut Command {
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

/// Makes a tree by a line of sh, and says what a program says in it, all as an ordinary user.
fn play(from: &Path, setup: &str, program: &str, args: &[&str]) -> Outcome {
    let tree = Tree::with(from);
    fs::set_permissions(tree.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    let mut sh = tree.command("sh");
    assert!(as_ordinary_user(sh.args(["-ec", setup])).status().unwrap().success(), "{setup}");
    let mut command = tree.command(program);
    as_ordinary_user(command.args(args).env("SVDIR", tree.path("")).env("RUNSVDIR", "sets"));
    let outcome = Outcome::of(&mut command);
    // For whoever removes the tree.
    let mut open = tree.command("chmod");
    assert!(as_ordinary_user(open.args(["-R", "u+rwX", "."])).output().is_ok());
    outcome
}

/// A line of sh, a program, its arguments, its exit code, and what it says after its name.
type Shut = (&'static str, &'static str, &'static [&'static str], i32, &'static [&'static str]);

const NO_LOG: &str = "fatal: no functional log directories.";

const SHUT: [Shut; 18] = [
    ("mkdir -m 0 a", "runsv", &["a"], 111, &["fatal: unable to change to directory: access denied"]),
    ("mkdir -m 500 a", "runsv", &["a"], 111, &["fatal: unable to open supervise/lock: file does not exist"]),
    ("mkdir -p a/supervise; chmod 0 a/supervise", "runsv", &["a"], 111, DENIED_LOCK),
    ("mkdir -p a/supervise; : >a/supervise/lock; chmod 0 a/supervise/lock", "runsv", &["a"], 111, DENIED_LOCK),
    (
        "mkdir -p a/supervise; mkfifo -m 0 a/supervise/control",
        "runsv",
        &["a"],
        111,
        &["fatal: unable to open supervise/control: access denied"],
    ),
    (
        "mkdir -p a/supervise; mkfifo -m 0 a/supervise/ok",
        "runsv",
        &["a"],
        111,
        &["fatal: unable to read supervise/ok: access denied"],
    ),
    (
        "mkdir -p a/log; chmod 0 a/log",
        "runsv",
        &["a"],
        111,
        &["fatal: unable to readlink ./log/supervise: access denied"],
    ),
    ("mkdir -m 0 a", "sv", &["status", "a"], 1, &["unable to change to service directory: access denied"]),
    (
        "mkdir -p a/supervise; chmod 0 a/supervise",
        "sv",
        &["status", "a"],
        1,
        &["unable to open supervise/ok: access denied"],
    ),
    ("mkdir -m 0 e", "chpst", &["-e", "e", "true"], 111, &["fatal: unable to switch to directory: e: access denied"]),
    ("mkdir -m 100 e", "chpst", &["-e", "e", "true"], 111, &["fatal: unable to open directory: e: access denied"]),
    ("mkdir e; : >e/A; chmod 0 e/A", "chpst", &["-e", "e", "true"], 111, &["fatal: unable to read e/A: access denied"]),
    ("mkdir -m 0 l", "svlogd", &["l"], 111, &["warning: unable to open log directory: l: access denied", NO_LOG]),
    ("mkdir -m 500 l", "svlogd", &["l"], 111, DENIED_LOG),
    ("mkdir l; : >l/lock; chmod 0 l/lock", "svlogd", &["l"], 111, DENIED_LOG),
    (
        "mkdir l; : >l/config; chmod 0 l/config",
        "svlogd",
        &["l"],
        0,
        &["warning: unable to read config: l: access denied"],
    ),
    ("mkdir -m 0 sets", "runsvchdir", &["one"], 111, &["fatal: unable to chdir: sets: access denied"]),
    (
        "mkdir -p sets/one sets/two; ln -s two sets/current; chmod 500 sets",
        "runsvchdir",
        &["one"],
        111,
        &["fatal: unable to create: current.new -> one: access denied"],
    ),
];

const DENIED_LOCK: &[&str] = &["fatal: unable to open supervise/lock: access denied"];
const DENIED_LOG: &[&str] = &["warning: unable to lock directory: l: access denied", NO_LOG];

#[test]
fn what_is_shut_is_told_of_in_the_originals_words() {
    for (setup, program, args, code, said) in SHUT {
        for from in [Some(programs().to_path_buf()), runit()].into_iter().flatten() {
            if !from.join(program).exists() {
                continue; // the original's runsvchdir is in another directory
            }
            let outcome = play(&from, setup, program, args);
            let who = match program {
                "runsv" => "runsv a: ".to_owned(),
                "runsvchdir" => format!("{}: ", from.join(program).display()),
                "sv" if said[0].contains("supervise") => "warning: a: ".to_owned(),
                "sv" => "fail: a: ".to_owned(),
                _ => format!("{program}: "),
            };
            let lines: String = said.iter().map(|line| format!("{who}{line}\n")).collect();
            let expected = match program {
                "sv" => Outcome { code: Some(code), ..says(&lines) },
                _ => fails(&lines, code),
            };
            assert_eq!(outcome, expected, "{}: {setup}", from.display());
        }
    }
}

#[test]
fn a_name_of_two_lines_is_shown_in_one_and_by_sv_as_it_is() {
    let cases: [(&str, &str, &[&str]); 9] = [
        ("", "runsv", &["@"]),
        ("mkdir -p 'two\nlines/supervise'; : >'two\nlines/supervise/control'", "runsv", &["@"]),
        ("", "chpst", &["-e", "@", "true"]),
        ("mkdir e; : >'e/two\nlines'; chmod 0 'e/two\nlines'", "chpst", &["-e", "e", "true"]),
        ("", "chpst", &["@"]),
        ("", "svlogd", &["@"]),
        ("mkdir -p 'two\nlines/config'", "svlogd", &["-v", "@"]),
        ("", "sv", &["status", "@"]),
        ("mkdir 'two\nlines'; : >'two\nlines/run'", "sv", &["-w0", "up", "@"]),
    ];
    for (setup, program, args) in cases {
        let args: Vec<&str> = args.iter().map(|arg| if *arg == "@" { "two\nlines" } else { *arg }).collect();
        let ours = play(programs(), setup, program, &args);
        let (lines, said) = match program {
            "sv" => ("two\nlines", &ours.stdout),
            _ => ("two?lines", &ours.stderr),
        };
        assert!(said.contains(lines), "{program} {args:?}: {ours:?}");
        if let Some(runit) = runit() {
            let theirs = play(&runit, setup, program, &args);
            let stderr = theirs.stderr.replace("two\nlines", lines);
            // README: it says so of a config that it could not read, too.
            let stderr = stderr.replace("svlogd: info: read: two?lines/config\n", "");
            assert_eq!(ours, Outcome { stderr, ..theirs }, "{program} {args:?}");
        }
    }
}

#[test]
fn a_directory_with_a_service_of_two_lines_is_told_of_in_one() {
    let tree = Tree::new();
    tree.directory("services");
    symlink("nowhere", tree.path("services/two\nlines")).unwrap();
    let mut child = tree.command("runsvdir").arg("services").stderr(tree.mouth()).spawn().unwrap();
    assert_eq!(tree.heard(), "runsvdir services: warning: unable to stat two?lines: file does not exist");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Sets or takes away a variable.
fn with(command: &mut Command, name: &str, value: Option<&str>) {
    match value {
        Some(value) => command.env(name, value),
        None => command.env_remove(name),
    };
}

#[test]
fn without_a_home_or_a_path_one_line_says_what_is_missing() {
    let tree = Tree::new();
    fs::set_permissions(tree.path(""), fs::Permissions::from_mode(0o777)).unwrap();
    tree.directory("log");
    fs::write(tree.path("log/config"), "s32\n!/bin/cat\n").unwrap();
    fs::set_permissions(tree.path("log"), fs::Permissions::from_mode(0o777)).unwrap();
    for value in [None, Some(""), Some("/nowhere"), Some("log")] {
        let run = |program: &str, args: &[&str], input: Stdio| {
            let mut command = Command::new(programs().join(program));
            command.env_clear().current_dir(tree.path("")).args(args).arg0(program).stdin(input);
            with(&mut command, "HOME", value);
            with(&mut command, "PATH", value);
            let output = as_ordinary_user(&mut command).output().unwrap();
            (output.status.code(), String::from_utf8([output.stdout, output.stderr].concat()).unwrap())
        };
        // Without a home it is the account's, which may be anything.
        let (code, said) = run("runsvchdir", &["no-such-set-of-services"], Stdio::null());
        assert_eq!(code, Some(111), "{value:?}: {said}");
        assert!(said.starts_with("runsvchdir: fatal: ") && said.lines().count() == 1, "{value:?}: {said}");
        let (code, said) = run("sv", &["status", "no-such-service"], Stdio::null());
        assert_eq!(code, Some(1), "{value:?}: {said}");
        assert!(
            said.starts_with("fail: no-such-service: unable to change to service directory: "),
            "{value:?}: {said}"
        );
        assert_eq!(said.lines().count(), 1, "{value:?}: {said}");
        let (code, said) = run("runsvdir-user", &["no-such-user"], Stdio::null());
        assert_eq!((code, &said[..]), (Some(101), "runsvdir-user no-such-user: fatal: unknown user\n"), "{value:?}");
        // chpst has a path of its own where there is none.
        let (code, said) = run("chpst", &["true"], Stdio::null());
        match value {
            None => assert_eq!((code, &said[..]), (Some(0), "")),
            Some(_) => {
                assert_eq!((code, &said[..]), (Some(111), "chpst: fatal: unable to run: true: file does not exist\n"))
            }
        }
        let (reading, mut writing) = std::io::pipe().unwrap();
        writing.write_all("twelve bytes\n".repeat(4).as_bytes()).unwrap();
        drop(writing);
        assert_eq!(run("svlogd", &["log"], reading.into()), (Some(0), String::new()), "{value:?}");
    }
}
