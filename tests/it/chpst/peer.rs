//! Ours beside the original: the same arguments in the same place, by root and by an ordinary user. What both say, how
//! both end, and what both make of the process, is the same, but for what the README tells.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::Mutex;

use crate::support::{has, runit};

use super::*;

/// Prints everything that chpst can change of a process.
const PROBE: &str = r#"
    sub text { local (@ARGV, $/) = shift; <> }
    $name = text("/proc/self/cmdline"); $name =~ s/\0.*//s;
    $environment = text("/proc/self/environ"); $environment =~ s/\0/\n/g;
    @status = grep /^(Uid|Gid|Groups|Umask|SigIgn|SigBlk|NoNewPrivs|CapEff):/, split /^/, text("/proc/self/status");
    @stat = split / /, text("/proc/self/stat");
    $leads = $stat[4] == $$ && $stat[5] == $$;
    opendir my $fds, "/proc/self/fd";
    @fds = grep { /\d/ && readlink("/proc/self/fd/$_") !~ m{/fd$} } sort readdir $fds;
    $" = ",";
    print "$name (@ARGV)\n$environment", readlink("/proc/self/cwd"), " ", readlink("/proc/self/root"), "\n",
        "nice $stat[18] leads $leads fds @fds\n", text("/proc/self/limits"), @status;
"#;

/// Ours and theirs in one place, for one user.
struct Pair {
    place: Place,
    theirs: PathBuf,
    /// Whether theirs knows `-C`, as since 2.2.0.
    is_new: bool,
    uid: Option<u32>,
    unlike: Mutex<Vec<String>>,
}

/// What one of them said and how it ended, to the byte.
#[derive(Debug, PartialEq, Eq)]
struct Ending {
    stdout: OsString,
    stderr: OsString,
    code: Option<i32>,
}

impl Pair {
    /// For whoever runs this; none without the original.
    fn own() -> Option<Pair> {
        Pair::of(None)
    }

    fn of(uid: Option<u32>) -> Option<Pair> {
        let programs = runit().filter(|_| has("perl"))?;
        let theirs = programs.join("chpst");
        let usage = Command::new(&theirs).output().unwrap().stderr;
        let is_new = String::from_utf8(usage).unwrap().contains("[-C pwd]");
        Some(Pair { place: Place::new(), theirs, is_new, uid, unlike: Mutex::new(Vec::new()) })
    }

    /// For whoever runs this, and as root also for an ordinary user who reaches the programs.
    fn of_everybody() -> Vec<Pair> {
        let mut all: Vec<Pair> = Pair::own().into_iter().collect();
        let reaches = |program: &OsStr| Command::new(program).uid(NOBODY).gid(NOBODY).output().is_ok();
        if all.iter().any(|own| is_root() && reaches(CHPST.as_ref()) && reaches(own.theirs.as_ref())) {
            all.extend(Pair::of(Some(NOBODY)));
        }
        all
    }

    fn command(&self, program: &OsStr, name: &str, args: &[&OsStr]) -> Command {
        let mut command = Command::new(program);
        command.arg0(name).args(args).env_clear().env("PATH", PATH).current_dir(self.place.home.path());
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
    }

    /// Both, started by `change`d commands.
    fn both(&self, name: &str, args: &[&OsStr], change: impl Fn(&mut Command)) -> [Ending; 2] {
        [CHPST.as_ref(), self.theirs.as_os_str()].map(|program| {
            let mut command = self.command(program, name, args);
            change(&mut command);
            let output = command.stdin(Stdio::null()).output().unwrap();
            Ending {
                stdout: OsString::from_vec(output.stdout),
                stderr: OsString::from_vec(without_pwd(output.stderr)),
                code: output.status.code(),
            }
        })
    }

    fn is_same_with(&self, name: &str, args: &[&OsStr], change: impl Fn(&mut Command)) {
        let [ours, theirs] = self.both(name, args, change);
        if ours != theirs {
            let text = format!("{name} {args:?} as {:?}\n  ours:   {ours:?}\n  theirs: {theirs:?}", self.uid);
            self.unlike.lock().unwrap().push(text);
        }
    }

    /// Both do the same.
    fn is_same(&self, args: &[&str]) {
        self.is_same_as("chpst", args);
    }

    /// Both do the same, called so.
    fn is_same_as(&self, name: &str, args: &[&str]) {
        self.is_same_with(name, &args.iter().map(OsStr::new).collect::<Vec<_>>(), |_| {});
    }

    /// Both make the same of the process.
    fn makes_same(&self, args: &[&str]) {
        self.makes_same_as("chpst", args);
    }

    fn makes_same_as(&self, name: &str, args: &[&str]) {
        self.is_same_as(name, &[args, &["perl", "-e", PROBE, "an argument", ""]].concat());
    }

    /// They do not do the same, and the README says so.
    fn differs(&self, row: &str, args: &[&str]) {
        self.differs_with(row, args, |_| {});
    }

    fn differs_with(&self, row: &str, args: &[&str], change: impl Fn(&mut Command)) {
        let readme = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let table = readme.split("\n### ").filter(|part| part.starts_with("chpst\n") || part.starts_with("Several\n"));
        assert!(table.flat_map(str::lines).any(|line| line.contains(row)), "README has no row with: {row}");
        let [ours, theirs] = self.both("chpst", &args.iter().map(OsStr::new).collect::<Vec<_>>(), change);
        if ours == theirs {
            self.unlike.lock().unwrap().push(format!("{args:?} is the same, unlike {row:?}: {ours:?}"));
        }
    }

    fn probe_differs(&self, row: &str, args: &[&str]) {
        self.differs(row, &[args, &["perl", "-e", PROBE]].concat());
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let unlike = self.unlike.get_mut().unwrap();
        if !std::thread::panicking() {
            assert!(unlike.is_empty(), "{} rows:\n{}", unlike.len(), unlike.join("\n"));
        }
    }
}

/// Without what the usage line says since 2.2.0.
fn without_pwd(mut stderr: Vec<u8>) -> Vec<u8> {
    const PWD: &[u8] = b" [-C pwd]";
    if let Some(at) = stderr.windows(PWD.len()).position(|part| part == PWD) {
        stderr.drain(at..at + PWD.len());
    }
    stderr
}

#[test]
fn words_and_their_order_mean_the_same() {
    let Some(pair) = Pair::own() else { return };
    for args in [
        &[][..],
        &["-v"],
        &["--"],
        &["-"],
        &["-x"],
        &["-vx", "true"],
        &["-u"],
        &["-vu"],
        &["-0n"],
        &["-v", "--", "sh", "-c", "exit 3"],
        &["--", "-v"],
        &["-h"],
        &["-?"],
        &["-:"],
        &["-=", "true"],
        &["-1=", "true"],
        &["-3", "true"],
        &["-v-", "true"],
        &["-v-v", "true"],
        &["-é", "true"],
        &["-vv", "true"],
        &[""],
        &["-v", ""],
        &["-l", "a", "-L", "b", "true"],
        &["-l", "a", "-l", "a", "true"],
        &["-L", "a", "-x", "true"],
        &["-n", "x", "-e", "nowhere", "true"],
        &["-e", "nowhere", "-n", "x", "true"],
    ] {
        pair.is_same(args);
    }
    pair.is_same_with("chpst", &[OsStr::from_bytes(b"-\xff")], |_| {});
    pair.is_same_with("chpst", &["echo", "\u{fffd}"].map(OsStr::new), |command| {
        command.arg(OsStr::from_bytes(b"\xff\xfe"));
    });
    for args in [&[][..], &["-b", "x"], &["-bx"], &["-b=x"], &["-b", ""], &["-b", "-v"], &["-b", "a", "-b", "b"]] {
        pair.makes_same(args);
    }
    pair.differs("every word that begins with `--` ends the options", &["--nonsense", "true"]);
    pair.differs("acts on options one by one", &["-V", "-x"]);
    pair.differs("acts on options one by one", &["-n", "x", "-x"]);
    pair.differs("`-V` prints a blob id", &["-V", "true"]);
    pair.is_same(&["-x", "-V"]);
}

#[test]
fn the_program_is_searched_the_same_way() {
    for pair in Pair::of_everybody() {
        let place = &pair.place;
        for directory in ["plain", "good", "dir", "headless", "shebang", "shut"] {
            place.directory(directory);
        }
        place.directory("dir/prog").file("plain/prog", "").program("good/prog", "#!/bin/sh\necho found \"$0\"\n");
        place.program("headless/prog", "echo no header\n").program("shebang/prog", "#!/nowhere\n").file("file", "");
        place.program("shut/prog", "#!/bin/sh\necho shut\n");
        fs::set_permissions(place.path("shut"), Permissions::from_mode(0o600)).unwrap();
        symlink("loop", place.path("loop")).unwrap();
        let long = format!("{}:good", "x".repeat(5000));
        for path in [
            "good",
            "plain:good",
            "dir:good",
            "nowhere:good",
            "plain:nowhere",
            "dir",
            "file:good",
            "headless:good",
            "shebang:good",
            "shebang",
            "shut:good",
            "shut:dir",
            "shut",
            "loop:good",
            "",
            "::good",
            ":good",
            "good:",
            &long,
        ] {
            let change = |command: &mut Command| {
                command.env("PATH", path);
            };
            pair.is_same_with("chpst", &[OsStr::new("prog")], change);
            pair.is_same_with("chpst", &["-b", "name", "prog"].map(OsStr::new), change);
        }
        pair.is_same_with("chpst", &[OsStr::new("pwd")], |command| {
            command.env_remove("PATH");
        });
        let (long, longer) = ("x".repeat(300), format!("./{}", "x".repeat(300)));
        for program in [
            "./good/prog",
            "good/prog",
            "./plain/prog",
            "./dir/prog",
            "./headless/prog",
            "./shebang/prog",
            "./shut/prog",
            "file/x",
            "nowhere/x",
            "/",
            ".",
            "..",
            "loop",
            "./loop",
            "nosuch",
            &long,
            &longer,
        ] {
            pair.is_same(&[program]);
            pair.is_same(&["-b", "name", program]);
        }
        pair.differs("`-2`: a later failure is silent", &["-2", "nosuch"]);
    }
}

#[test]
fn a_directory_is_read_as_the_same_environment() {
    for pair in Pair::of_everybody() {
        let place = &pair.place;
        // One variable each: the original takes several in the order of the directory.
        let files: [(&[u8], Vec<u8>); 28] = [
            (b"A", b"v\n".to_vec()),
            (b"A", b" v w\t \nrest\n".to_vec()),
            (b"A", b"".to_vec()),
            (b"A", b"\n".to_vec()),
            (b"A", b"\n\n".to_vec()),
            (b"A", b"\nv".to_vec()),
            (b"A", b" \t \n".to_vec()),
            (b"A", b" \t ".to_vec()),
            (b"A", b"a\0b\n".to_vec()),
            (b"A", b"a\0 \0\n".to_vec()),
            (b"A", b"a\0\t\n".to_vec()),
            (b"A", b"\0".to_vec()),
            (b"A", b"v\r\n".to_vec()),
            (b"A", b"a=b".to_vec()),
            (b"A", b"\xff\xfe\n".to_vec()),
            (b"A", vec![b'x'; 100_000]),
            (b"A", vec![b'x'; 1 << 20]),
            (b"A", [&b"v\n"[..], &[b'y'; 1 << 20]].concat()),
            (b".hidden", b"v".to_vec()),
            (b"..", b"".to_vec()),
            (b"A=B", b"v".to_vec()),
            (b"A=B", b"".to_vec()),
            (b"A=", b"".to_vec()),
            (b"=A", b"v".to_vec()),
            (b"a b", b"v".to_vec()),
            (b"\xff\xfe", b"v".to_vec()),
            ("ü".as_bytes(), "ü\n".into()),
            (&[b'N'; 255], b"v".to_vec()),
        ];
        for (number, (name, content)) in files.iter().enumerate() {
            let directory = number.to_string();
            place.directory(&directory);
            if name != b".." {
                fs::write(place.path(&directory).join(OsStr::from_bytes(name)), content).unwrap();
            }
            let args = ["-v", "-e", &directory, "cat", "/proc/self/environ"];
            pair.is_same_with("chpst", &args.map(OsStr::new), |command| {
                command.env("A", "old").env("AB", "stays");
            });
            pair.is_same_as("envdir", &args[2..]);
        }

        for directory in
            ["fifo", "written", "held", "null", "sub", "link", "loop", "through", "unreadable", "shut", "noexec"]
        {
            place.directory(directory);
        }
        nix::unistd::mkfifo(&place.path("fifo/A"), nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IROTH)
            .unwrap();
        // What is in a FIFO whose writers are still there is not all that they say; nor is nothing.
        let writers = [("written", "v\nw\n"), ("held", "")].map(|(directory, text)| {
            let fifo = place.path(directory).join("A");
            nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR | nix::sys::stat::Mode::S_IROTH).unwrap();
            fs::set_permissions(&fifo, Permissions::from_mode(0o644)).unwrap();
            let mut writer = fs::File::options().read(true).write(true).open(fifo).unwrap();
            writer.write_all(text.as_bytes()).unwrap();
            writer
        });
        symlink("/dev/null", place.path("null/A")).unwrap();
        place.directory("sub/A").file("unreadable/A", "v").file("shut/A", "v").file("noexec/A", "v").file("file", "v");
        symlink("/", place.path("link/A")).unwrap();
        symlink("A", place.path("loop/A")).unwrap();
        symlink("../file/x", place.path("through/A")).unwrap();
        fs::set_permissions(place.path("unreadable/A"), Permissions::from_mode(0o000)).unwrap();
        fs::set_permissions(place.path("shut"), Permissions::from_mode(0o311)).unwrap();
        fs::set_permissions(place.path("noexec"), Permissions::from_mode(0o644)).unwrap();
        for directory in [
            "fifo",
            "written",
            "held",
            "null",
            "sub",
            "link",
            "loop",
            "through",
            "unreadable",
            "shut",
            "noexec",
            "nowhere",
            "file",
            "",
            "0/",
            "./0",
            "0/.",
            "0/../1",
        ] {
            for options in [&["-e"][..], &["-v", "-e"]] {
                pair.makes_same(&[options, &[directory]].concat());
            }
            pair.makes_same_as("envdir", &[directory]);
        }
        drop(writers);
        pair.makes_same(&["-e", "0", "-e", "1"]);
        pair.makes_same(&["-e", "nowhere", "-e", "0"]);
        // Where the program is searched is decided before.
        place.directory("path").file("path/PATH", "/nowhere");
        pair.makes_same(&["-e", "path"]);

        // Only what was read before a link to nowhere can be taken for its value.
        place.directory("dangling");
        symlink("nowhere", place.path("dangling/LINK")).unwrap();
        for number in 0..20 {
            place.file(format!("dangling/V{number}"), "v\n");
        }
        let first = fs::read_dir(place.path("dangling")).unwrap().next().unwrap().unwrap().file_name();
        if first != "LINK" {
            pair.probe_differs("`-e`: a link to nowhere takes the value", &["-e", "dangling"]);
        }
        let order: Vec<_> = fs::read_dir(place.path("dangling")).unwrap().map(|it| it.unwrap().file_name()).collect();
        fs::remove_file(place.path("dangling/LINK")).unwrap();
        if !order.is_sorted() {
            pair.probe_differs("`-e` sets variables in the directory's order", &["-e", "dangling"]);
        }
    }
}

#[test]
fn names_and_numbers_are_the_same_users_and_groups() {
    for pair in Pair::of_everybody() {
        let sixty = format!("root{}", ":daemon".repeat(60));
        let sixty_numbers = (6..66).fold(":5".to_owned(), |text, gid| format!("{text}:{gid}"));
        for text in [
            "root",
            "daemon",
            "root:root",
            "root:daemon",
            "root:daemon:daemon",
            "nobody:daemon:bin:sys",
            ":0:0",
            ":5:6",
            ":5:6:7:6",
            ":01:02",
            ":2147483648:2147483648",
            ":4294967294:4294967294",
            ":65534:65534",
            &sixty,
            &sixty_numbers,
            "nosuch",
            "root:nosuch",
            "nosuch:root",
            "",
            "root:",
            "root::root",
            "root:root:",
            ":0",
            ":x:1",
            ":1:x",
            ":1x:2",
            ":1:2x",
            ":-1:1",
            ":+1:1",
            ": 1:1",
            "0",
            "0:0",
            "root:0",
            " root",
            "root ",
            "ROOT",
        ] {
            pair.makes_same(&["-U", text]);
            pair.makes_same(&["-u", text]);
        }
        pair.makes_same(&["-u", "root", "-u", ":5:6"]);
        pair.makes_same(&["-U", "root", "-U", ":5:6"]);
        pair.makes_same(&["-U", ":5:6", "-u", ":7:8"]);
        for text in [":5:", "::7", ":5::7", ":5:6:", "::"] {
            pair.probe_differs("an empty number in `-u :1:` is 0, root", &["-U", text]);
        }
        for text in [":4294967296:7", ":7:4294967296", ":18446744073709551617:7", ":4294967295:7"] {
            pair.probe_differs("an id over 32 bits wraps", &["-U", text]);
        }
        let (names, numbers) = (format!("{sixty}:root"), format!("{sixty_numbers}:66"));
        if is_root() && pair.uid.is_none() {
            pair.probe_differs("an empty number in `-u :1:` is 0, root", &["-u", ":5:"]);
            pair.probe_differs("more than 60 groups", &["-u", &names]);
            pair.probe_differs("more than 60 groups", &["-u", &numbers]);
        }
    }
}

#[test]
fn numbers_are_the_same_nice_values_and_limits() {
    let Some(pair) = Pair::own() else { return };
    for text in [
        "5",
        "+5",
        "-5",
        "",
        "+",
        "-",
        "0",
        "00",
        "-0",
        "007",
        "19",
        "20",
        "40",
        "100",
        "-100",
        "2147483000", // with whatever nice value the tests have, still a number of 32 bits
        "x",
        "5x",
        " 5",
        "5 ",
        "--5",
        "+-5",
        "-+5",
        "=",
        "0x5",
        "1e1",
    ] {
        pair.makes_same(&["-n", text]);
    }
    pair.makes_same(&["-n5"]);
    pair.makes_same(&["-n", "1", "-n", "2"]);
    for text in ["4294967297", "2147483649"] {
        pair.probe_differs("limits and nice values that are too large wrap", &["-n", text]);
    }
    for option in ["-m", "-d", "-o", "-p", "-f", "-c", "-r", "-t"] {
        for text in ["1000000000", "9223372036854775807", "18446744073709551615"] {
            pair.makes_same(&[option, text]);
        }
        for text in ["x", "5x", "=", "-5", "+5"] {
            pair.is_same(&[option, text, "true"]);
        }
    }
    for args in [
        &["-c", ""][..],
        &["-c", "0"],
        &["-r", "0"],
        &["-r", "1"],
        &["-o", "20"],
        &["-o", "30", "-o", "20"],
        &["-d", "1000000000", "-m", "2000000000"],
        &["-m", "2000000000", "-d", "1000000000"],
        &["-f", "100000"],
        &["-t", "100"],
    ] {
        pair.makes_same(args);
    }
    pair.is_same(&["-o", "0", "sh", "-c", "echo heard"]);
    pair.probe_differs("limits and nice values that are too large wrap", &["-f", "18446744073709551716"]);
}

#[test]
fn descriptors_locks_and_places_are_the_same() {
    for pair in Pair::of_everybody() {
        let place = &pair.place;
        place.directory("dir").directory("root").file("file", "").file("read-only", "");
        fs::set_permissions(place.path("read-only"), Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(place.home.path(), Permissions::from_mode(0o777)).unwrap();
        symlink("nowhere/x", place.path("dangling")).unwrap();
        symlink("made", place.path("link")).unwrap();
        symlink("loop", place.path("loop")).unwrap();
        nix::unistd::mkfifo(&place.path("fifo"), nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        for path in ["lock", "lock", "nowhere/x", "dir", "", "read-only", "dangling", "link", "loop", "fifo", "file/x"]
        {
            pair.makes_same(&["-l", path]);
            pair.makes_same(&["-L", path]);
        }
        // As a lock is opened in front of it, a closed descriptor is not taken for the lock.
        let listing = "use strict; print STDERR join(',', grep { open my $f, '<&=', $_ } 0..2, 4..9), \"\\n\"; exit 7";
        for option in ["-0", "-1", "-01", "-10", "-00"] {
            pair.is_same(&[option, "perl", "-e", listing]);
            pair.is_same(&[option, "-l", "lock", "perl", "-e", listing]);
            pair.is_same(&[option, "nosuch"]);
        }
        for option in ["-2", "-12", "-012"] {
            pair.is_same(&[option, "sh", "-c", "exit 7"]);
        }
        for args in [
            &["-P"][..],
            &["-PP"],
            &["-/", "nowhere"],
            &["-/", ""],
            &["-/", "/"],
            &["-/", "file"],
            &["-/", "root"],
            &["-/", "root", "-u", "root"],
            &["-/", "root", "-u", ":1:1", "-l", "lock"],
            &["-/", ".", "-e", "dir"],
        ] {
            pair.makes_same(args);
        }
        let closed = |command: &mut Command| through_shell(command, "exec \"$@\" <&-");
        pair.differs_with("descriptors 0 to 2 that were closed stay so", &["ls", "/proc/self/fd/0"], closed);
        let ignoring = |command: &mut Command| through_shell(command, "trap '' PIPE; exec \"$@\"");
        let mask = ["grep", "SigIgn", "/proc/self/status"];
        pair.differs_with("an inherited ignored SIGPIPE stays ignored", &mask, ignoring);
        if pair.uid.is_some() {
            let environment = place.path("dir").into_os_string().into_string().unwrap();
            fs::set_permissions(place.home.path(), Permissions::from_mode(0o711)).unwrap();
            pair.differs("`-e` fails where the working directory cannot be read", &["-e", &environment, "true"]);
        }
    }
}

/// The same command, started by a shell that does something in front of it.
fn through_shell(command: &mut Command, script: &str) {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", script, "sh"]).arg(command.get_program()).args(command.get_args());
    shell.env_clear().env("PATH", PATH).current_dir(command.get_current_dir().unwrap());
    *command = shell;
}

#[test]
fn the_first_of_two_failures_is_the_same() {
    for pair in Pair::of_everybody() {
        let steps: [&[&str]; 8] = [
            &["-e", "nowhere"],
            &["-/", "no/root"],
            &["-C", "no/pwd"],
            &["-n", "-1"], // fails for ordinary users
            &["-U", "nosuch"],
            &["-u", "nobody-such"],
            &["-l", "no/lock"],
            &["no/program"],
        ];
        let known = |step: &&[&str]| pair.is_new || step[0] != "-C";
        let steps: Vec<_> = steps.into_iter().filter(known).collect();
        for (index, first) in steps.iter().enumerate() {
            for second in &steps[index + 1..] {
                let (first, second) = (first.to_vec(), second.to_vec());
                if second.len() == 1 {
                    pair.is_same(&[first, second].concat());
                } else {
                    pair.is_same(&[first.clone(), second.clone(), vec!["true"]].concat());
                    pair.is_same(&[second, first, vec!["true"]].concat());
                }
            }
        }
    }
}

#[test]
fn the_programs_of_daemontools_are_the_same() {
    let Some(pair) = Pair::own() else { return };
    for name in ["envdir", "setuidgid", "envuidgid", "pgrphack", "setlock", "softlimit", "chpst", "other"] {
        for called in [name.to_owned(), format!("d{name}"), format!("/some/where/d{name}"), format!("dd{name}")] {
            pair.is_same_as(&called, &[]);
            pair.is_same_as(&called, &["-q"]);
        }
    }
    for account in ["root", "daemon", "nosuch", "", ":0:0", "root:root", "-x", "0", "65534", "--"] {
        for name in ["setuidgid", "envuidgid"] {
            pair.makes_same_as(name, &[account]);
            pair.is_same_as(name, &[account]);
        }
    }
    pair.makes_same_as("pgrphack", &[]);
    for args in [&["--", "true"][..], &["-0", "true"], &["", "true"]] {
        pair.is_same_as("pgrphack", args);
        pair.is_same_as("envdir", args);
    }
    let place = &pair.place;
    place.directory("dir");
    fs::set_permissions(place.home.path(), Permissions::from_mode(0o777)).unwrap();
    let held = File::create(place.path("held")).unwrap();
    held.lock_exclusive().unwrap();
    fs::set_permissions(place.path("held"), Permissions::from_mode(0o666)).unwrap();
    for options in [&[][..], &["-n"], &["-N"], &["-x"], &["-X"], &["-xX"], &["-Xx"], &["-nN"], &["-nx"], &["--"]] {
        pair.is_same_as("setlock", options);
        pair.is_same_as("setlock", &[options, &["lock"]].concat());
        pair.is_same_as("setlock", &[options, &["lock", "nosuch"]].concat());
        for lock in ["lock", "nowhere/x", "dir", "held"] {
            let waits = lock == "held" && options.iter().any(|it| it.contains('n') && !it.contains('N'));
            if !waits {
                pair.makes_same_as("setlock", &[options, &[lock]].concat());
            }
        }
    }
    for option in ["-a", "-c", "-d", "-f", "-l", "-m", "-o", "-p", "-r", "-s", "-t"] {
        for text in ["=", "1000000000"] {
            pair.makes_same_as("softlimit", &[option, text]);
        }
        for args in [&[option][..], &[option, "5"], &[option, "x", "true"], &[option, "=5", "true"]] {
            pair.is_same_as("softlimit", args);
        }
    }
    pair.makes_same_as("softlimit", &["-o="]);
    pair.makes_same_as("softlimit", &["-c", ""]);
    pair.makes_same_as("softlimit", &["-l", "1000", "-l", "2000"]);
    pair.makes_same_as("softlimit", &["-s", "4000000", "-m", "1000000000"]);
    pair.makes_same_as("softlimit", &["-m", "1000000000", "-s", "4000000"]);
}
