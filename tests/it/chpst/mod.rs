mod added;
mod order;
mod peer;
mod users;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use fs2::FileExt;
use tempfile::TempDir;

use crate::support::{Outcome, fails, is_root, open_up, put_program, says, skip};

const CHPST: &str = env!("CARGO_BIN_EXE_chpst");
const PATH: &str = "/usr/bin:/bin";
const NOBODY: u32 = 65534;
const USAGE: &str = "usage: chpst [-vVP012] [-u user[:group]] [-U user[:group]] [-b argv0] [-e dir] [-/ root] \
                     [-C pwd] [-n nice] [-l|-L lock] [-m n] [-d n] [-o n] [-p n] [-f n] [-c n] [-t n] prog\n\n";

fn fatal(text: &str) -> Outcome {
    fails(&format!("chpst: fatal: {text}\n"), 111)
}

/// A fresh directory to run in, open to everybody.
struct Place {
    home: TempDir,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !is_root() {
            open_up(self.home.path());
        }
    }
}

impl Place {
    fn new() -> Place {
        let home = TempDir::new().unwrap();
        fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
        Place { home }
    }

    fn path(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.home.path().join(name.as_ref())
    }

    fn file(&self, name: impl AsRef<OsStr>, content: impl AsRef<[u8]>) -> &Place {
        fs::write(self.path(name), content).unwrap();
        self
    }

    fn program(&self, name: &str, content: &str) -> &Place {
        put_program(self.path(name), content);
        self
    }

    fn directory(&self, name: &str) -> &Place {
        fs::create_dir(self.path(name)).unwrap();
        self
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(CHPST);
        command.args(args).env_clear().env("PATH", PATH).current_dir(self.home.path()).stdin(Stdio::null());
        command
    }

    fn chpst(&self, args: &[&str]) -> Outcome {
        Outcome::of(&mut self.command(args))
    }

    /// Runs without root's rights; `None` where a user without rights cannot reach the program.
    fn chpst_unprivileged(&self, args: &[&str]) -> Option<Outcome> {
        let mut command = self.command(args);
        if is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => None,
            _ => Some(Outcome::of(&mut command)),
        }
    }
}

fn chpst(args: &[&str]) -> Outcome {
    Place::new().chpst(args)
}

// Usage

#[test]
fn without_a_program_it_prints_the_usage() {
    assert_eq!(chpst(&[]), fails(USAGE, 100));
    assert_eq!(chpst(&["-v", "-0"]), fails(USAGE, 100));
    assert_eq!(chpst(&["--"]), fails(USAGE, 100));
}

#[test]
fn wrong_options_are_named() {
    assert_eq!(chpst(&["-vx", "true"]), fails(&format!("chpst: illegal option -- x\n{USAGE}"), 100));
    assert_eq!(chpst(&["-h"]), fails(&format!("chpst: illegal option -- h\n{USAGE}"), 100));
    assert_eq!(chpst(&["-vu"]), fails(&format!("chpst: option requires an argument -- u\n{USAGE}"), 100));
    assert_eq!(chpst(&["--nonsense"]), fails(&format!("chpst: illegal option -- nonsense\n{USAGE}"), 100));
    assert_eq!(chpst(&["--umask"]), fails(&format!("chpst: option requires an argument -- umask\n{USAGE}"), 100));
}

#[test]
fn malformed_numbers_are_a_usage_error() {
    for option in ["-n", "-m", "-d", "-o", "-p", "-f", "-c", "-r", "-t"] {
        for number in ["x", "9x", " 5", "--5", "=", "=5"] {
            assert_eq!(chpst(&[option, number, "true"]), fails(USAGE, 100), "{option} {number}");
        }
    }
    for attached in ["-o=5", "-n=5", "-c-5"] {
        assert_eq!(chpst(&[attached, "true"]), fails(USAGE, 100), "{attached}");
    }
}

#[test]
fn the_version_goes_to_stderr_with_the_usage_or_to_stdout_alone() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(chpst(&["-V", "true"]), fails(&format!("homerun {version}\n{USAGE}"), 100));
    assert_eq!(chpst(&["--version"]), says(&format!("chpst {version}\n")));
}

#[test]
fn the_help_fits_a_screen_and_names_the_manual() {
    let help = chpst(&["--help"]);
    assert_eq!((help.stderr.as_str(), help.code), ("", Some(0)));
    assert!(help.stdout.ends_with("\nSee chpst(8).\n"), "{}", help.stdout);
    assert!(help.stdout.lines().count() <= 48, "{}", help.stdout);
    assert!(help.stdout.lines().all(|line| line.len() < 80), "{}", help.stdout);
}

#[test]
fn options_end_at_the_program() {
    assert_eq!(chpst(&["echo", "-v", "--", "-x"]), says("-v -- -x\n"));
    assert_eq!(chpst(&["--", "echo", "-v"]), says("-v\n"));
    assert_eq!(chpst(&["-", "true"]), fatal("unable to run: -: file does not exist"));
}

// The program

#[test]
fn its_exit_code_is_the_programs() {
    assert_eq!(chpst(&["sh", "-c", "exit 7"]), fails("", 7));
    assert_eq!(
        chpst(&["sh", "-c", "echo out; echo err >&2"]),
        Outcome { stdout: "out\n".to_owned(), stderr: "err\n".to_owned(), code: Some(0) }
    );
}

#[test]
fn a_program_that_cannot_be_run_is_named_with_the_reason() {
    let place = Place::new();
    place.file("plain", "").directory("dir").program("headless", "echo no header");
    assert_eq!(place.chpst(&["nosuch"]), fatal("unable to run: nosuch: file does not exist"));
    assert_eq!(place.chpst(&["./plain"]), fatal("unable to run: ./plain: access denied"));
    assert_eq!(place.chpst(&["./dir"]), fatal("unable to run: ./dir: access denied"));
    assert_eq!(place.chpst(&["./headless"]), fatal("unable to run: ./headless: exec format error"));
    assert_eq!(place.chpst(&[""]), fatal("unable to run: : access denied"));
    assert_eq!(place.chpst(&["-b", "name", "nosuch"]), fatal("unable to run: name: file does not exist"));
}

#[test]
fn the_search_goes_on_after_a_file_that_may_not_be_run() {
    let place = Place::new();
    place.directory("plain").directory("good").file("plain/prog", "").program("good/prog", "#!/bin/sh\necho found\n");
    let search = |path: &str| Outcome::of(place.command(&["prog"]).env("PATH", path));
    assert_eq!(search("nowhere:plain:good"), says("found\n"));
    assert_eq!(search("plain:nowhere"), fatal("unable to run: prog: access denied"));
    assert_eq!(search("plain/prog:good"), fatal("unable to run: prog: not a directory"));
    assert_eq!(Outcome::of(place.command(&["echo", "default"]).env_remove("PATH")), says("default\n"));
}

#[test]
fn the_program_may_run_under_another_name() {
    assert_eq!(chpst(&["-b", "name", "sh", "-c", "echo $0"]), says("name\n"));
    assert_eq!(chpst(&["-b", "-v", "sh", "-c", "echo $0"]), says("-v\n"));
}

#[test]
fn arguments_need_not_be_utf8() {
    let name = OsStr::from_bytes(b"\xff\xfe");
    let output = Place::new().command(&["printf", "%s"]).arg(name).output().unwrap();
    assert_eq!(output.stdout, b"\xff\xfe");
}

#[test]
fn a_closed_pipe_ends_the_program_although_it_is_ignored_here() {
    let outcome = chpst(&["grep", "SigIgn", "/proc/self/status"]);
    let mask = u64::from_str_radix(outcome.stdout.trim_start_matches("SigIgn:").trim(), 16).unwrap();
    assert_eq!(mask & (1 << (libc::SIGPIPE - 1)), 0);
}

/// The descriptors that a program started by this one has open, and those that `options` leave open.
fn descriptors(place: &Place, options: &[&str]) -> (BTreeSet<String>, BTreeSet<String>) {
    let open = |command: &mut Command| {
        let outcome = Outcome::of(command.stdin(Stdio::null()));
        assert_eq!((outcome.stderr.as_str(), outcome.code), ("", Some(0)));
        outcome.stdout.lines().map(str::to_owned).collect()
    };
    let plain = open(Command::new("/bin/sh").args(["-c", "exec ls /proc/self/fd"]).env_clear().env("PATH", PATH));
    (plain, open(&mut place.command(&[options, &["ls", "/proc/self/fd"]].concat())))
}

#[test]
fn no_descriptor_is_left_open() {
    let place = Place::new();
    place.directory("env").file("env/A", "1");
    let (plain, changed) = descriptors(&place, &["-e", "env", "-v", "-n", "1"]);
    assert_eq!(changed, plain);
}

// The environment

#[test]
fn each_file_is_a_variable() {
    let place = Place::new();
    place.directory("env").file("env/EMPTY", "").file("env/LINE", "\n").file("env/A", " v w\t \nrest\n");
    place.file("env/NUL", b"a\0b").file("env/.hidden", "x").file("env/x=y", "z\n");
    nix::unistd::mkfifo(&place.path("env/FIFO"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let outcome = Outcome::of(
        place.command(&["-e", "env", "env"]).env("A", "old").env("EMPTY", "old").env("FIFO", "old").env("B", "stays"),
    );
    assert_eq!(outcome, says(&format!("PATH={PATH}\nB=stays\nA= v w\nLINE=\nNUL=a\nb\nx=y=z\n")));
}

#[test]
fn a_first_line_without_end_is_too_big() {
    let place = Place::new();
    place.directory("zero").directory("random").directory("large").directory("rest");
    symlink("/dev/zero", place.path("zero/A")).unwrap();
    symlink("/dev/urandom", place.path("random/A")).unwrap();
    let large = fs::File::create(place.path("large/A")).unwrap();
    large.set_len(1 << 33).unwrap();
    for name in ["zero", "random", "large"] {
        let said = format!("chpst: fatal: unable to read {name}/A: file too big\n");
        assert_eq!(place.chpst(&["-e", name, "env"]), fails(&said, 111));
        assert_eq!(place.chpst(&["-v", "-e", name, "env"]), fails(&said, 111));
    }
    // What follows the first line of a file is nobody's concern.
    place.file("rest/A", "1\n");
    fs::File::options().write(true).open(place.path("rest/A")).unwrap().set_len(1 << 33).unwrap();
    assert_eq!(place.chpst(&["-e", "rest", "env"]), says(&format!("PATH={PATH}\nA=1\n")));
}

#[test]
fn what_is_no_variable_is_skipped_and_named_under_v() {
    let place = Place::new();
    place.directory("env").directory("env/SUB").file("env/A", "1");
    symlink("nowhere", place.path("env/LINK")).unwrap();
    let environment = format!("PATH={PATH}\nA=1\n");
    assert_eq!(place.chpst(&["-e", "env", "env"]), says(&environment));
    assert_eq!(
        place.chpst(&["-v", "-e", "env", "env"]),
        Outcome {
            stdout: environment,
            stderr: "chpst: warning: unable to read env/LINK: file does not exist\n\
                 chpst: warning: unable to read env/SUB: is a directory\n"
                .to_owned(),
            code: Some(0),
        }
    );
}

#[test]
fn only_the_last_of_two_environment_directories_counts() {
    let place = Place::new();
    place.directory("one").directory("two").file("one/A", "1").file("two/B", "2");
    assert_eq!(place.chpst(&["-e", "one", "-e", "two", "env"]), says(&format!("PATH={PATH}\nB=2\n")));
    assert_eq!(place.chpst(&["-e", "nowhere", "-e", "two", "env"]), says(&format!("PATH={PATH}\nB=2\n")));
}

#[test]
fn an_environment_directory_that_cannot_be_read_is_fatal() {
    let place = Place::new();
    place.directory("env").file("env/A", "1").directory("shut");
    let fails_with = |directory: &str, text: &str| {
        assert_eq!(place.chpst(&["-e", directory, "true"]), fatal(text));
    };
    fails_with("nowhere", "unable to switch to directory: nowhere: file does not exist");
    fails_with("env/A", "unable to switch to directory: env/A: not a directory");
    fails_with("", "unable to switch to directory: : file does not exist");

    fs::set_permissions(place.path("env/A"), Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(place.path("shut"), Permissions::from_mode(0o711)).unwrap();
    let unprivileged = |args: &[&str], text: &str| match place.chpst_unprivileged(args) {
        Some(outcome) => assert_eq!(outcome, fatal(text)),
        None => skip("the program is out of nobody's reach"),
    };
    unprivileged(&["-e", "env", "true"], "unable to read env/A: access denied");
    if is_root() {
        unprivileged(&["-e", "shut", "true"], "unable to open directory: shut: access denied");
    }
}

#[test]
fn the_program_is_searched_in_the_path_that_was_not_the_one_that_will_be() {
    let place = Place::new();
    place.directory("env").file("env/PATH", "/nowhere");
    assert_eq!(place.chpst(&["-e", "env", "env"]), says("PATH=/nowhere\n"));
}

#[test]
fn ids_can_be_shown_in_the_environment() {
    let place = Place::new();
    place.directory("env").file("env/UID", "from the directory");
    assert_eq!(place.chpst(&["-U", ":5:6:7", "env"]), says(&format!("PATH={PATH}\nGID=6\nUID=5\n")));
    assert_eq!(place.chpst(&["-U", "root", "env"]), says(&format!("PATH={PATH}\nGID=0\nUID=0\n")));
    assert_eq!(place.chpst(&["-U", "root:root", "env"]), says(&format!("PATH={PATH}\nGID=0\nUID=0\n")));
    let both = place.chpst(&["-e", "env", "-U", ":5:6", "env"]);
    assert_eq!(both, says(&format!("PATH={PATH}\nGID=6\nUID=5\n")));
}

// Users

#[test]
fn ids_that_are_nobodys_are_refused() {
    for option in ["-u", "-U"] {
        for text in ["nosuch", "root:nosuch", "root:", "", "root::root"] {
            let expected = fatal(&format!("unknown user/group: {text}"));
            assert_eq!(chpst(&[option, text, "true"]), expected, "{option} {text}");
        }
        for text in ["", ":", "1", "1:", ":1", "1x:2", "1:2x", "1::2", "4294967295:1", "4294967296:1", "-1:1"] {
            let expected = fatal(&format!("invalid uid/gids: {text}"));
            assert_eq!(chpst(&[option, &format!(":{text}"), "true"]), expected, "{option} :{text}");
        }
    }
}

#[test]
fn the_program_runs_as_another_user_in_the_listed_groups_only() {
    if !is_root() {
        return skip("needs root");
    }
    let ids = |user: &str| chpst(&["-u", user, "grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status"]);
    let status = |uid: u32, gid: u32, groups: &str| {
        says(&format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nGid:\t{gid}\t{gid}\t{gid}\t{gid}\nGroups:\t{groups} \n"))
    };
    assert_eq!(ids(":7:8"), status(7, 8, "8"));
    assert_eq!(ids(":7:9:8:10"), status(7, 9, "8 9 10"));
    assert_eq!(ids("root"), status(0, 0, "0"));
    assert_eq!(ids("root:root:root"), status(0, 0, "0 0"));
}

#[test]
fn all_groups_of_the_user_are_an_option() {
    if !is_root() {
        return skip("needs root");
    }
    let expected = Outcome::of(Command::new("id").args(["-G", "root"]).env_clear().env("PATH", PATH));
    assert_eq!(chpst(&["-u", "root", "--all-groups", "id", "-G"]), expected);
}

#[test]
fn all_groups_need_a_user_alone() {
    let expected = fails(&format!("chpst: option requires -u user without groups -- all-groups\n{USAGE}"), 100);
    assert_eq!(chpst(&["--all-groups", "true"]), expected);
    assert_eq!(chpst(&["--all-groups", "-u", "root:root", "true"]), expected);
    assert_eq!(chpst(&["--all-groups", "-u", ":0:0", "true"]), expected);
}

#[test]
fn nobody_but_root_can_set_ids_not_even_their_own() {
    let own = if is_root() { NOBODY } else { nix::unistd::getuid().as_raw() };
    match Place::new().chpst_unprivileged(&["-u", &format!(":{own}:{own}"), "true"]) {
        Some(outcome) => assert_eq!(outcome, fatal("unable to setgroups: permission denied")),
        None => skip("the program is out of nobody's reach"),
    }
}

// Place

#[test]
fn the_working_directory_changes_after_the_environment_is_read() {
    let place = Place::new();
    place.directory("env").file("env/A", "1").directory("sub");
    let sub = fs::canonicalize(place.path("sub")).unwrap();
    let outcome = place.chpst(&["-C", "sub", "-e", "env", "sh", "-c", "pwd -P; echo $A"]);
    assert_eq!(outcome, says(&format!("{}\n1\n", sub.display())));
    assert_eq!(
        place.chpst(&["-C", "nowhere", "true"]),
        fatal("unable to change directory: nowhere: file does not exist")
    );
}

#[test]
fn the_root_directory_changes_before_the_working_directory_the_users_and_the_lock() {
    let place = Place::new();
    assert_eq!(
        place.chpst(&["-/", "nowhere", "true"]),
        fatal("unable to change directory: nowhere: file does not exist")
    );
    if !is_root() {
        return skip("needs root");
    }
    place.directory("root").directory("root/sub");
    let outcome = place.chpst(&["-/", "root", "-C", "/sub", "-u", ":0:0", "-l", "lock", "true"]);
    assert_eq!(outcome, fatal("unable to run: true: file does not exist"));
    assert!(place.path("root/sub/lock").exists());
    if cfg!(target_env = "gnu") {
        let outcome = place.chpst(&["-/", "root", "-u", "root", "true"]);
        assert_eq!(outcome, fatal("unable to get password/group file entry: file does not exist"));
    }
}

#[test]
fn nobody_but_root_can_change_the_root_directory() {
    match Place::new().chpst_unprivileged(&["-/", "/", "true"]) {
        Some(outcome) => assert_eq!(outcome, fatal("unable to change root directory: permission denied")),
        None => skip("the program is out of nobody's reach"),
    }
}

#[test]
fn the_file_creation_mask_is_octal() {
    assert_eq!(chpst(&["--umask", "027", "sh", "-c", "umask"]), says("0027\n"));
    assert_eq!(chpst(&["--umask=0", "sh", "-c", "umask"]), says("0000\n"));
}

// Process

#[test]
fn the_nice_value_is_added_to() {
    let before: i32 = chpst(&["nice"]).stdout.trim().parse().unwrap();
    for (text, by) in [("3", 3), ("+4", 4), ("0", 0), ("", 0), ("99999999999", 39)] {
        assert_eq!(chpst(&["-n", text, "nice"]), says(&format!("{}\n", (before + by).min(19))), "{text}");
    }
    let denied = fatal("unable to set nice level: permission denied");
    if is_root() && chpst(&["-n", "-1", "true"]) != denied {
        assert_eq!(chpst(&["-n", "-3", "nice"]), says(&format!("{}\n", (before - 3).max(-20))));
        assert_eq!(chpst(&["-n-3", "nice"]), says(&format!("{}\n", (before - 3).max(-20))));
    } else {
        skip("needs the right to lower the nice value");
    }
    match Place::new().chpst_unprivileged(&["-n", "-1", "true"]) {
        Some(outcome) => assert_eq!(outcome, denied),
        None => skip("the program is out of nobody's reach"),
    }
}

#[test]
fn it_leads_a_new_session() {
    let stat = chpst(&["-P", "cat", "/proc/self/stat"]).stdout;
    let fields: Vec<&str> = stat.split(' ').collect();
    let (pid, group, session) = (fields[0], fields[4], fields[5]);
    assert_eq!((group, session), (pid, pid), "{stat}");
}

#[test]
fn standard_descriptors_can_be_closed() {
    let is_open = |fd: u8| format!("test -e /proc/$$/fd/{fd} && echo open >&1 || echo closed >&{}", 3 - fd.max(1));
    for fd in 0..=2 {
        let option = format!("-{fd}");
        let outcome = chpst(&[&option, "sh", "-c", &is_open(fd)]);
        assert_eq!(outcome.stdout + &outcome.stderr, "closed\n", "{fd}");
    }
    assert_eq!(chpst(&["-012", "true"]), says(""));
}

#[test]
fn last_words_are_heard_although_stderr_is_closed() {
    assert_eq!(chpst(&["-2", "nosuch"]), fatal("unable to run: nosuch: file does not exist"));
    assert_eq!(chpst(&["-012", "-o", "0", "nosuch"]), fatal("unable to run: nosuch: file does not exist"));
}

// Locks

#[test]
fn the_program_holds_the_lock_and_inherits_nothing_else() {
    let place = Place::new();
    for option in ["-l", "-L"] {
        let mut holder = place.command(&[option, "lock", "cat"]);
        let mut holder = holder.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut stdin = holder.stdin.take().unwrap();
        stdin.write_all(b"here\n").unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "here\n");

        let file = File::open(place.path("lock")).unwrap();
        assert_eq!(file.try_lock_exclusive().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        assert_eq!(place.chpst(&["-L", "lock", "true"]), fatal("unable to lock: lock: temporary failure"));
        drop(stdin);
        assert!(holder.wait().unwrap().success());
        file.try_lock_exclusive().unwrap();
        // Closing is not enough: a process that another test starts may have a copy for a moment.
        FileExt::unlock(&file).unwrap();
    }
    assert_eq!(fs::metadata(place.path("lock")).unwrap().permissions().mode() & 0o777, 0o600);
    let (plain, changed) = descriptors(&place, &["-l", "lock"]);
    assert_eq!(changed.len(), plain.len() + 1);
}

#[test]
fn the_program_waits_for_the_lock() {
    let place = Place::new();
    place.file("lock", "").file("state", "locked\n");
    let file = File::open(place.path("lock")).unwrap();
    file.lock_exclusive().unwrap();
    let waiter = place.command(&["-l", "lock", "cat", "state"]).stdout(Stdio::piped()).spawn().unwrap();
    place.file("state", "free\n");
    FileExt::unlock(&file).unwrap();
    assert_eq!(waiter.wait_with_output().unwrap().stdout, b"free\n");
}

#[test]
fn a_lock_that_cannot_be_had_is_fatal() {
    let place = Place::new();
    place.directory("dir");
    assert_eq!(place.chpst(&["-l", "no/lock", "true"]), fatal("unable to open lock: no/lock: file does not exist"));
    assert_eq!(place.chpst(&["-L", "dir", "true"]), fatal("unable to open lock: dir: is a directory"));
}

#[test]
fn two_locks_are_a_usage_error() {
    for (first, second) in [("-l", "-l"), ("-l", "-L"), ("-L", "-l"), ("-L", "-L")] {
        assert_eq!(chpst(&[first, "a", second, "b", "true"]), fails(USAGE, 100));
    }
}

// Limits

/// The soft and the hard limit of each kind, as /proc/self/limits has them.
fn limits(options: &[&str]) -> Vec<(String, u64, u64)> {
    let outcome = chpst(&[options, &["cat", "/proc/self/limits"]].concat());
    assert_eq!((outcome.stderr.as_str(), outcome.code), ("", Some(0)));
    let number = |text: &str| if text == "unlimited" { u64::MAX } else { text.parse().unwrap() };
    let line = |line: &str| {
        let (name, rest) = line.split_at(26);
        let mut numbers = rest.split_whitespace();
        (name.trim().to_owned(), number(numbers.next().unwrap()), number(numbers.next().unwrap()))
    };
    outcome.stdout.lines().skip(1).map(line).collect()
}

#[test]
fn each_option_lowers_one_soft_limit_and_no_hard_one() {
    const BYTES: u64 = 1 << 30;
    let cases: [(&str, u64, &[&str]); 8] = [
        ("-m", BYTES, &["Max data size", "Max stack size", "Max locked memory", "Max address space"]),
        ("-d", BYTES, &["Max data size"]),
        ("-o", 20, &["Max open files"]),
        ("-p", 5000, &["Max processes"]),
        ("-f", BYTES, &["Max file size"]),
        ("-c", 0, &["Max core file size"]),
        ("-r", BYTES, &["Max resident set"]),
        ("-t", 3600, &["Max cpu time"]),
    ];
    let before = limits(&[]);
    for (option, value, names) in cases {
        let expected: Vec<_> = before
            .iter()
            .cloned()
            .map(|(name, soft, hard)| {
                let soft = if names.contains(&name.as_str()) { value.min(hard) } else { soft };
                (name, soft, hard)
            })
            .collect();
        assert_eq!(limits(&[option, &value.to_string()]), expected, "{option}");
    }
}

#[test]
fn a_limit_that_is_too_large_is_the_hard_one() {
    let hard = limits(&[]).iter().find(|(name, ..)| name == "Max open files").map(|(_, _, hard)| *hard).unwrap();
    for text in ["9223372036854775807", "9223372036854775808", "18446744073709551615", "99999999999999999999999"] {
        let after = limits(&["-o", text]);
        assert!(after.contains(&("Max open files".to_owned(), hard, hard)), "{text}: {after:?}");
    }
}

#[test]
fn of_two_limits_for_one_thing_the_last_counts() {
    let data = |options: &[&str]| {
        let limits = limits(options);
        limits.into_iter().find(|(name, ..)| name == "Max data size").map(|(_, soft, _)| soft).unwrap()
    };
    assert_eq!(data(&["-m", "1000000000", "-d", "900000000"]), 900_000_000);
    assert_eq!(data(&["-d", "900000000", "-m", "1000000000"]), 1_000_000_000);
    assert_eq!(data(&["-d", "900000000", "-d", "800000000"]), 800_000_000);
}

// The names of daemontools

impl Place {
    fn called(&self, name: &str, args: &[&str]) -> Outcome {
        Outcome::of(self.command(args).arg0(name))
    }
}

#[test]
fn called_by_another_name_it_has_the_usage_of_that_program() {
    let place = Place::new();
    for (name, arguments) in [
        ("setuidgid", "account child"),
        ("envuidgid", "account child"),
        ("envdir", "dir child"),
        ("pgrphack", "child"),
        ("setlock", "[ -nNxX ] file program [ arg ... ]"),
        (
            "softlimit",
            "[-a allbytes] [-c corebytes] [-d databytes] [-f filebytes] [-l lockbytes] [-m membytes] [-o openfiles] \
             [-p processes] [-r residentbytes] [-s stackbytes] [-t cpusecs] child",
        ),
    ] {
        let usage = fails(&format!("usage: {name} {arguments}\n\n"), 100);
        assert_eq!(place.called(name, &[]), usage);
        assert_eq!(place.called(&format!("/some/where/d{name}"), &[]), usage);
    }
    assert_eq!(place.called("dchpst", &[]), fails(USAGE, 100));
}

#[test]
fn setuidgid_and_envuidgid_take_an_account_and_nothing_else() {
    let place = Place::new();
    assert_eq!(place.called("envuidgid", &["root", "env"]), says(&format!("PATH={PATH}\nGID=0\nUID=0\n")));
    for name in ["setuidgid", "envuidgid"] {
        for account in ["nosuch", "root:root", ":0:0", "-x"] {
            assert_eq!(place.called(name, &[account, "true"]), fatal(&format!("unknown account: {account}")));
        }
    }
    if !is_root() {
        return skip("needs root");
    }
    assert_eq!(place.called("setuidgid", &["root", "id", "-G"]), says("0\n"));
}

#[test]
fn envdir_takes_no_directory_for_a_variable() {
    let place = Place::new();
    place.directory("env").file("env/A", "1");
    assert_eq!(place.called("envdir", &["env", "env"]), says(&format!("PATH={PATH}\nA=1\n")));
    place.directory("env/SUB");
    assert_eq!(place.called("envdir", &["env", "env"]), fatal("unable to read env/SUB: is a directory"));
}

#[test]
fn pgrphack_leads_a_new_session() {
    let stat = Place::new().called("pgrphack", &["cat", "/proc/self/stat"]).stdout;
    let fields: Vec<&str> = stat.split(' ').collect();
    assert_eq!(fields[5], fields[0], "{stat}");
}

#[test]
fn setlock_does_not_wait_unless_told_and_can_fail_in_silence() {
    let place = Place::new();
    assert_eq!(place.called("setlock", &["-N", "lock", "echo", "-x"]), says("-x\n"));
    let file = File::open(place.path("lock")).unwrap();
    file.lock_exclusive().unwrap();
    for options in [&["lock"][..], &["-N", "lock"], &["-nN", "lock"], &["-xX", "lock"]] {
        let outcome = place.called("setlock", &[options, &["echo", "ran"]].concat());
        assert_eq!(outcome, fatal("unable to lock: lock: temporary failure"), "{options:?}");
    }
    assert_eq!(place.called("setlock", &["-x", "lock", "echo", "ran"]), says(""));
    FileExt::unlock(&file).unwrap();
    assert_eq!(place.called("setlock", &["-Nn", "lock", "echo", "ran"]), says("ran\n"));
    assert_eq!(place.called("setlock", &["-x", "lock", "nosuch"]), says(""));
}

#[test]
fn softlimit_knows_the_hard_limit_as_an_equals_sign() {
    let place = Place::new();
    let open_files =
        |options: &[&str], limit: &str| place.called("softlimit", &[options, &["sh", "-c", limit]].concat()).stdout;
    let hard = open_files(&[], "ulimit -Hn");
    assert_eq!(open_files(&["-o", "20"], "ulimit -Sn"), "20\n");
    assert_eq!(open_files(&["-o", "="], "ulimit -Sn"), hard);
    assert_eq!(open_files(&["-o="], "ulimit -Sn"), hard);
    assert_eq!(place.called("softlimit", &["-o", "x", "true"]), fails(&USAGE.replace("chpst", "softlimit"), 100));
    let options = ["-a", "-c", "-d", "-f", "-l", "-m", "-p", "-r", "-s", "-t"].map(|option| [option, "="]);
    assert_eq!(place.called("softlimit", &[options.as_flattened(), &["true"]].concat()), says(""));
}
