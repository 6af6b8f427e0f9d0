//! Beside the original: the same options, config and input give the same files, modes, lines and exit code.

use std::fs::{self, Permissions};
use std::net::UdpSocket;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;
use crate::support::runit;

/// What a run left and said, with all stamps replaced.
#[derive(PartialEq, Eq)]
struct Seen {
    code: Option<i32>,
    stderr: String,
    /// Names, modes with the kind of file, contents.
    files: Vec<(String, u32, String)>,
}

impl std::fmt::Debug for Seen {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "exit {:?}, stderr {:?}", self.code, self.stderr)?;
        self.files.iter().try_for_each(|(name, mode, text)| writeln!(out, "  {mode:o} {name} {text:?}"))
    }
}

/// Bytes as text, each byte one character.
fn show(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The same without labels and dates, which differ from one run to the next.
fn without_stamps(bytes: &[u8]) -> String {
    let mut out = String::new();
    let mut rest = bytes;
    while let Some((first, others)) = rest.split_first() {
        let is_label = rest.len() >= 25 && *first == b'@' && rest[1..25].iter().all(u8::is_ascii_hexdigit);
        let is_date = rest.len() >= 25
            && rest[..25].iter().zip(b"9999-99-99x99:99:99.99999").all(|(byte, form)| match form {
                b'9' => byte.is_ascii_digit(),
                b'x' => matches!(byte, b'_' | b'T'),
                form => byte == form,
            });
        if is_label || is_date {
            out.push_str(if is_label { "@LABEL" } else { "DATE" });
            if is_date {
                out.push(char::from(rest[10]));
            }
            rest = &rest[25..];
        } else {
            out.push(char::from(*first));
            rest = others;
        }
    }
    out
}

/// The files of the log directory `main`, but for its config.
fn files(place: &Place) -> Vec<(String, u32, String)> {
    let mut paths: Vec<_> = fs::read_dir(place.path("main")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.file_name().unwrap() != "config");
    paths.sort();
    let see = |path: &PathBuf| {
        let facts = fs::symlink_metadata(path).unwrap();
        let text = if facts.is_file() { fs::read(path).unwrap() } else { Vec::new() };
        let name = path.file_name().unwrap().as_encoded_bytes();
        (without_stamps(name), facts.permissions().mode(), without_stamps(&text))
    };
    paths.iter().map(see).collect()
}

/// Runs `program` with `args` on `input`, in a place that `prepare` has filled beyond the empty directory `main`.
fn run(program: &Path, args: &[&str], input: &[u8], prepare: impl Fn(&Place)) -> Seen {
    let place = Place::of(program);
    fs::create_dir(place.path("main")).unwrap();
    prepare(&place);
    let output = place.run_whole(args, input);
    assert_eq!(output.stdout, b"");
    Seen { code: output.status.code(), stderr: without_stamps(&output.stderr), files: files(&place) }
}

/// Compares ours with the original in every case: name, arguments, config, input.
fn compare(cases: impl IntoIterator<Item = (Vec<&'static str>, Vec<u8>, Vec<u8>)>) {
    let Some(theirs) = runit() else { return };
    let mut differences = String::new();
    for (args, config, input) in cases {
        let see = |program: &Path| {
            run(program, &args, &input, |place| fs::write(place.path("main/config"), &config).unwrap())
        };
        let (ours, theirs) = (see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
        if ours != theirs {
            let what = format!("svlogd {args:?}, config {:?}, input {:?}", show(&config), show(&input));
            differences += &format!("{what}:\nours: {ours:?}original: {theirs:?}\n");
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// Lines of every kind: printable, not printable, UTF-8, empty, and around ten bytes.
fn lines_of_all_kinds() -> Vec<u8> {
    let mut text = b"abc\naX \xc3\xa9\tb\x7f~\n\0\x01\xff\n\n".to_vec();
    (7..13).for_each(|length| text.extend_from_slice(&[&b"0123456789abc"[..length], b"\n"].concat()));
    text
}

#[test]
fn options_have_the_effect_that_they_have_in_the_original() {
    let stamps: [&[&str]; 5] = [&[], &["-t"], &["-tt"], &["-t", "-tt"], &["-tttt"]];
    let replacements: [&[&str]; 5] = [&[], &["-r", ":"], &["-Rab"], &["-R", ""], &["-r:", "-R", "aX9"]];
    let lengths: [&[&str]; 5] = [&[], &["-l10"], &["-l", "10", "-b", "11"], &["-l0", "-b", "0"], &["-l2"]];
    let all = stamps.into_iter().flat_map(|stamp| {
        replacements.into_iter().flat_map(move |replace| {
            lengths.into_iter().map(move |length| [stamp, replace, length, &["--", "main"]].concat())
        })
    });
    compare(all.map(|args| (args, b"pP: \n-a*\n+aX*\neab*\ne0123456789\n".to_vec(), lines_of_all_kinds())));
}

#[test]
fn lines_that_are_all_taken_are_as_in_the_original() {
    let stamps: [&[&str]; 4] = [&[], &["-t"], &["-tt"], &["-ttt"]];
    let lengths: [&[&str]; 3] = [&[], &["-l10"], &["-l2", "-r:"]];
    let configs: [&[u8]; 2] = [b"", b"pP: \n"];
    let all = stamps.into_iter().flat_map(|stamp| lengths.into_iter().map(move |length| [stamp, length].concat()));
    compare(all.flat_map(|args| {
        configs.map(|config| ([&args[..], &["--", "main"]].concat(), config.to_vec(), lines_of_all_kinds()))
    }));
}

#[test]
fn command_lines_are_taken_or_refused_as_in_the_original() {
    let lines: [&[&str]; 34] = [
        &[],
        &["-t"],
        &["-v", "main"],
        &["-x", "main"],
        &["-l"],
        &["-tb"],
        &["-r"],
        &["-R"],
        &["-r", "ab", "main"],
        &["-r", "", "main"],
        &["-r-", "main"],
        &["-r", "\u{e9}", "main"],
        &["-l", "100", "-b", "100", "main"],
        &["-l101", "-b100", "main"],
        &["-b", "1000", "main"],
        &["-b", "1001", "main"],
        &["-l", "1024", "main"],
        &["-l", "1023", "main"],
        &["-l", "abc", "main"],
        &["-b", "abc", "main"],
        &["-l", "-5", "main"],
        &["-b", "-5", "main"],
        &["-l5x", "main"],
        &["-l", "99999999999999999999", "main"],
        &["-", "main"],
        &["main", "-t"],
        &["--", "-t", "main"],
        &["none"],
        &["none", "main"],
        &["main/none/deep", "main"],
        &["", "main"],
        &["main", "main"],
        &["main", "main/."],
        &["main/config"],
    ];
    compare(lines.into_iter().map(|args| (args.to_vec(), vec![], b"abc\n".to_vec())));
}

#[test]
fn a_config_has_the_effect_that_it_has_in_the_original() {
    let configs: [&[u8]; 88] = [
        b"",
        b"\n\n\npx\n",
        b"s10\n",
        b"s10",
        b"s1k\n",
        b"s1m",
        b"s0\n",
        b"s\n",
        b"s10\ns\n",
        b"s\ns10\n",
        b"sk\n",
        b"s0k\n",
        b" s10\n",
        b"#s10\n",
        b"S10\n",
        b"s 10\n",
        b"s-10\n",
        b"s10x\n",
        b"s10\r\n",
        b"s10M\n",
        b"s10K\n",
        b"s10k5\n",
        b"s10n2\n",
        b"s10\n#\n#s0\n",
        b"s10\ns0\n",
        b"s10\ns11\n",
        b"s10\nn1\n",
        b"s10\nn2\n",
        b"s10\nn",
        b"s10\nn1\nn\n",
        b"s10\nn1\nn0\n",
        b"s10\nn2x5\n",
        b"s10\nn+2\n",
        b"s10\nn3\nN1\n",
        b"s10\nn1\nN\n",
        b"n1\nN5\n",
        b"s10\nn99999999999999999999\n",
        b"s12\n",
        b"s15\nn0\n",
        b"s16\n",
        b"s17\nn3\n",
        b"s19\n",
        b"t5\n",
        b"t5m",
        b"t\n",
        b"tx\n",
        b"t1h\nt\n",
        b"pP: \n",
        b"p",
        b"p\n",
        b"pa\npb\n",
        b"pa\np\n",
        b"pa\npb",
        b"px \t\n",
        b"p\xff\xc3\xa9\n",
        b"p\0x\n",
        b"px\0y\n",
        b"\0\npx\n",
        b"!",
        b"!\n",
        b"-*",
        b"-",
        b"-\n",
        b"+\n",
        b"+",
        b"-*\n+\n",
        b"-*\n+*\n+\n",
        b"-a*\n+ab*\n",
        b"-*\n+a*\n-ab*\n",
        b"-\0\n",
        b"-a\0*\n",
        b"-\xff*\n-\x80\n",
        b"e*\n",
        b"e*\nE\n",
        b"e\n",
        b"E*\n",
        b"e*\nEa*\n",
        b"e*\n-*\n",
        b"ea*",
        b"e*\npP\nE*\nea*\n",
        b"u\n",
        b"u1.2\n",
        b"U\n",
        b"Ux\n",
        b"u 127.0.0.1\n",
        b"u127.0.0.1:x\n",
        b"u127.0.0.1:0\n",
        b"x127.0.0.1\n",
    ];
    let input = b"abc\nabd\n\nb\nabcd\nlast\n\xffx\n".repeat(4);
    let both = configs.into_iter().flat_map(|config| [(vec!["-l4", "main"], config), (vec!["-vl4", "main"], config)]);
    compare(both.map(|(args, config)| (args, config.to_vec(), input.clone())));
}

#[test]
fn long_lines_reach_the_file_whole_and_stderr_cut_as_in_the_original() {
    let cases = [0, 1, 998, 999, 1000, 1001, 1023, 1024, 1025, 2047, 2048, 5000, 65_536, 70_000].into_iter();
    let args: [&[&str]; 3] = [&["main"], &["-t", "-r", ".", "main"], &["-l", "10", "-b", "20", "main"]];
    compare(cases.flat_map(|length| {
        let input = ["x".repeat(length) + "\n", "short\n".to_owned()].concat().into_bytes();
        args.map(|args| (args.to_vec(), b"pP\ne*\n".to_vec(), input.clone()))
    }));
}

/// Makes a file in the log directory `main`.
fn make(place: &Place, name: &str, mode: u32, text: &str) {
    let path = place.path("main").join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
}

/// Fills a log directory before svlogd starts.
type Prepare = fn(&Place);

/// What stands in a log directory when svlogd starts, by name.
const BEFORE: [(&str, Prepare); 23] = [
    ("closed well", |place| make(place, "current", 0o744, "x\n")),
    ("closed well, other modes", |place| make(place, "current", 0o755, "x\n")),
    ("closed well, setuid", |place| make(place, "current", 0o4700, "x\n")),
    ("closed well, no newline", |place| make(place, "current", 0o744, "x")),
    ("closed well, almost full", |place| make(place, "current", 0o744, "0123456789abcde\n")),
    ("closed well, too large", |place| make(place, "current", 0o744, "0123456789abcdefghijklmnop\n")),
    ("not closed well", |place| make(place, "current", 0o644, "x\n")),
    ("not closed well, other modes", |place| make(place, "current", 0o677, "x\n")),
    ("not closed well, sticky", |place| make(place, "current", 0o1644, "x\n")),
    ("not closed well, no newline", |place| make(place, "current", 0o600, "x")),
    ("empty", |place| make(place, "current", 0o644, "")),
    ("empty, closed well", |place| make(place, "current", 0o744, "")),
    ("a lock with a mode and content", |place| make(place, "lock", 0o640, "x\n")),
    ("current is a link", |place| {
        make(place, "elsewhere", 0o744, "x\n");
        symlink("elsewhere", place.path("main/current")).unwrap();
    }),
    ("current is a link to one not closed well", |place| {
        make(place, "elsewhere", 0o644, "x\n");
        symlink("elsewhere", place.path("main/current")).unwrap();
    }),
    ("current is a link to nowhere", |place| symlink("elsewhere", place.path("main/current")).unwrap()),
    ("lock is a directory", |place| fs::create_dir(place.path("main/lock")).unwrap()),
    ("config is a link to nowhere", |place| {
        fs::remove_file(place.path("main/config")).unwrap();
        symlink("nowhere", place.path("main/config")).unwrap();
    }),
    ("no config", |place| fs::remove_file(place.path("main/config")).unwrap()),
    ("three old files", |place| {
        for name in ["@400000000000000000000001.s", "@400000000000000000000002.s", "@400000000000000000000003.s"] {
            make(place, name, 0o744, name);
        }
    }),
    ("all kinds of old files", |place| {
        for name in ["@400000000000000000000001.u", "@400000000000000000000002.s", "@400000000000000000000003.t"] {
            make(place, name, 0o644, name);
        }
    }),
    ("old files and one not closed well", |place| {
        make(place, "@400000000000000000000001.s", 0o744, "first");
        make(place, "current", 0o644, "x\n");
    }),
    ("other names", |place| {
        for name in
            ["@", "@x.s", "@40000000000000000000001.s", "4000000000000000000000001.s", "foo", "state", "newstate"]
        {
            make(place, name, 0o600, name);
        }
    }),
];

#[test]
fn what_stands_in_the_directory_is_treated_as_in_the_original() {
    let Some(theirs) = runit() else { return };
    let mut differences = String::new();
    for config in ["n3\n", "s6\nn3\n", "s20\nn0\n"] {
        for (name, prepare) in BEFORE {
            let see = |program: &Path| {
                let prepare = |place: &Place| {
                    make(place, "config", 0o644, config);
                    prepare(place);
                };
                run(program, &["-vl4", "main"], b"abc\n", prepare)
            };
            let (ours, theirs) = (see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
            // The original closes by no name what it never opened.
            let theirs = Seen { stderr: theirs.stderr.replace("svlogd: info: close: \n", ""), ..theirs };
            if ours != theirs {
                differences += &format!("{name}, config {config:?}:\nours: {ours:?}original: {theirs:?}\n");
            }
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

/// All words of up to `length` letters of `alphabet`, shorter ones first.
fn words(alphabet: &[u8], length: usize) -> Vec<Vec<u8>> {
    let mut all = vec![vec![]];
    let mut last = all.clone();
    for _ in 0..length {
        last = last.iter().flat_map(|word| alphabet.iter().map(|letter| [&word[..], &[*letter]].concat())).collect();
        all.extend_from_slice(&last);
    }
    all
}

/// Words of up to `length` letters of `alphabet`, drawn at random from `seed`, shorter ones first.
fn random_words(alphabet: &[u8], length: u64, count: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut state = seed;
    let mut below = |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    let mut word = || {
        let length = below(length + 1);
        (0..length).map(|_| alphabet[usize::try_from(below(alphabet.len() as u64)).unwrap()]).collect()
    };
    let mut all: Vec<Vec<u8>> = (0..count).map(|_| word()).collect();
    all.sort_by_key(Vec::len);
    all
}

/// What each pattern selects of the lines: one log directory for each.
fn selected(program: &Path, patterns: &[Vec<u8>], lines: &[Vec<u8>]) -> Vec<String> {
    let place = Place::of(program);
    let mut found = Vec::new();
    // Few enough for the usual limit of descriptors.
    for patterns in patterns.chunks(100) {
        let names: Vec<_> = (0..patterns.len()).map(|number| format!("{}-{number}", found.len())).collect();
        for (name, pattern) in names.iter().zip(patterns) {
            fs::create_dir(place.path(name)).unwrap();
            let config = [b"s0\n-*\n+", &pattern[..], b"\n"].concat();
            fs::write(place.path(name).join("config"), config).unwrap();
        }
        let input: Vec<u8> = lines.iter().flat_map(|line| [line, &b"\n"[..]].concat()).collect();
        let args: Vec<_> = names.iter().map(String::as_str).collect();
        assert_eq!(place.run(&args, &input), quiet(0));
        found.extend(names.iter().map(|name| show(&fs::read(place.path(name).join("current")).unwrap())));
    }
    found
}

#[test]
fn patterns_select_what_they_select_in_the_original() {
    let Some(theirs) = runit() else { return };
    // Shorter lines first: where `+` meets the end of a line, the original looks at what a longer one left there.
    // A `+` at the end of a pattern stands there for the byte 0 and beyond the pattern.
    let tables = [
        (words(b"ab*+", 3), words(b"ab*+", 5)),
        (random_words(b"ab*+\xff ", 9, 200, 1), random_words(b"ab*+\xff ", 11, 3000, 2)),
        (random_words(b"ab*\xff ", 9, 100, 3), random_words(b"a\0b*\xff ", 9, 3000, 4)),
    ];
    for (patterns, lines) in tables {
        let ours = selected(Path::new(env!("CARGO_BIN_EXE_svlogd")), &patterns, &lines);
        let theirs = selected(&theirs.join("svlogd"), &patterns, &lines);
        assert!(ours.iter().any(|text| !text.is_empty()) && ours.iter().any(String::is_empty));
        for ((pattern, ours), theirs) in patterns.iter().zip(ours).zip(theirs) {
            assert!(ours == theirs, "pattern {:?} selects\n{ours:?}\nin the original\n{theirs:?}", show(pattern));
        }
    }
}

#[test]
fn udp_lines_of_a_config_send_what_they_send_in_the_original() {
    let Some(theirs) = runit() else { return };
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let address = receiver.local_addr().unwrap();
    let end = UdpSocket::bind("127.0.0.1:0").unwrap();
    // What svlogd sent has arrived when it has ended: the same machine, and the socket holds it all.
    let received = || {
        end.send_to(b"end", address).unwrap();
        let mut datagrams = Vec::new();
        loop {
            let mut buffer = [0; 70_000];
            let count = receiver.recv(&mut buffer).unwrap();
            if buffer[..count] == *b"end" {
                return datagrams;
            }
            datagrams.push(without_stamps(&buffer[..count]));
        }
    };
    let configs = [
        "uA\n",
        "UA\n",
        "uA",
        "UA\nuA\n",
        "uA\nUA\n",
        "uAx\n",
        "uA 5\n",
        "U0127.0.00.1:0P\n",
        "uA\nux\n",
        "uA\nu127.0.0.1:0\n",
        "uA\nu127.0.0.1:x\n",
        "UA\nUx\n",
        "Ux\nuA\n",
        "ux\nUA\n",
        "U127.0.0.1:x\nuA\n",
        "UA\npP: \n-a*\n",
        "uA\npP: \n-*\n+abcde\n",
        "uA\ne*\n",
        "UA\npP: \ne*\nEx*\n",
        "u127.0.0.1x:P\n",
        "u127.0.0.1.5:P\n",
        "uA\nUy\n",
    ];
    let options: [&[&str]; 3] = [&["-l5", "main"], &["-t", "-l5", "main"], &["-ttt", "-r.", "-l9", "main"]];
    let input = b"abc\nabcde\nabcdefghij\n\nx\ty\xff\n";
    for config in configs {
        for args in options {
            let config = config.replace('A', &address.to_string()).replace('P', &address.port().to_string());
            let see = |program: &Path| {
                let seen = run(program, args, input, |place| make(place, "config", 0o644, &config));
                (seen, received())
            };
            let (ours, theirs) = (see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
            assert_eq!(ours, theirs, "{args:?} {config:?}");
        }
    }
    // Longer than a datagram may be.
    let long = [b"x".repeat(65_600), b"\n".to_vec()].concat();
    for letter in ["u", "U"] {
        let see = |program: &Path| {
            let config = format!("{letter}{address}\ne*\n");
            run(program, &["-l66000", "-b70000", "main"], &long, |place| make(place, "config", 0o644, &config))
        };
        let (ours, theirs) = (see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
        assert!(ours == theirs, "a long line with {letter}");
        assert_eq!(received(), Vec::<String>::new());
    }
}

#[test]
fn a_processor_finds_the_surroundings_that_it_has_in_the_original() {
    let look = "for fd in 0 1 2 3 4 5 6 7 8 9; do [ -e /proc/$$/fd/$fd ] && echo $fd; done
                for fd in 0 1 4 5; do for file in *; do [ /proc/$$/fd/$fd -ef $file ] && echo $fd $file; done; done
                stat -c '%n %a' @* lock state newstate; env | sort; ulimit -a; umask; basename $(pwd)";
    let look = look.replace('\n', "; ");
    let commands = [
        format!("{look}; cat"),
        "tr a-z A-Z; cat <&4; echo more >&5".to_owned(),
        "cat; echo said >&2".to_owned(),
        "exit 0".to_owned(),
        "cat >/dev/null; exit".to_owned(),
        "cat <&4; cat state newstate; printf x >&5; cat newstate".to_owned(),
    ];
    let Some(theirs) = runit() else { return };
    for command in commands {
        for state in [None, Some("old\n")] {
            let see = |program: &Path| {
                let prepare = |place: &Place| {
                    make(place, "config", 0o644, &format!("s4\n!{command}\n"));
                    state.inspect(|text| make(place, "state", 0o640, text));
                };
                run(program, &["-vl4", "main"], b"abc\n", prepare)
            };
            let (ours, theirs) = (see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
            let without_place = |seen: Seen| {
                let files = seen.files.into_iter().map(|(name, mode, text)| {
                    let lines = text.lines().filter(|line| !line.contains("PWD=") && !line.starts_with("PATH="));
                    (name, mode, lines.map(|line| format!("{line}\n")).collect())
                });
                // It is said unless the end of the input came first.
                let stderr = seen.stderr.replace("svlogd: info: sigchild received.\n", "");
                Seen { stderr, files: files.collect(), ..seen }
            };
            let (ours, theirs) = (without_place(ours), without_place(theirs));
            assert!(ours == theirs, "{command}:\nours: {ours:?}original: {theirs:?}");
        }
    }
}

#[test]
fn standard_input_may_be_anything_as_in_the_original() {
    let Some(theirs) = runit() else { return };
    let see = |program: &Path| {
        let place = Place::of(program);
        fs::create_dir(place.path("main")).unwrap();
        fs::write(place.path("input"), "a\nb\n").unwrap();
        let inputs = [
            File::open(place.path("input")),
            File::open(place.path("main")),
            File::options().write(true).open(place.path("input")),
            File::open("/dev/null"),
            fd::pipe().map(|(reader, _)| reader.into()),
        ];
        let outcome = |input: io::Result<File>| {
            let output = place.command(&["main"]).stdin(input.unwrap()).output().unwrap();
            (output.status.code(), String::from_utf8(output.stderr).unwrap(), place.read("main/current"))
        };
        inputs.into_iter().map(outcome).collect::<Vec<_>>()
    };
    assert_eq!(see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
}

#[test]
fn names_are_bytes_and_the_program_is_called_what_it_is_called() {
    let Some(theirs) = runit() else { return };
    let see = |program: &Path| {
        let place = Place::of(program);
        let name = |bytes: &'static [u8]| std::ffi::OsStr::from_bytes(bytes);
        fs::create_dir(place.0.path().join(name(b"a \xff\xe9"))).unwrap();
        let say = |args: &[&[u8]]| {
            let mut command = Command::new("./svlogd");
            command.current_dir(place.path("")).args(args.iter().map(|arg| std::ffi::OsStr::from_bytes(arg)));
            let output = command.stdin(Stdio::null()).output().unwrap();
            (output.status.code(), show(&output.stderr))
        };
        [say(&[b"-v", b"a \xff\xe9", b"no\xfe"]), say(&[b"-z", b"x"]), say(&[])]
    };
    assert_eq!(see(Path::new(env!("CARGO_BIN_EXE_svlogd"))), see(&theirs.join("svlogd")));
}

/// Changes to a log directory that an ordinary user owns.
const FORBIDDEN: [(&str, &str); 14] = [
    ("a directory that cannot be read", "chmod 300 main"),
    ("one that cannot be written", "chmod 500 main"),
    ("one that cannot be searched", "chmod 600 main"),
    ("one that can be nothing", "chmod 000 main"),
    ("a lock that cannot be written", "touch main/lock; chmod 400 main/lock"),
    ("a lock that can be nothing", "touch main/lock; chmod 000 main/lock"),
    ("a config that cannot be read", "echo px >main/config; chmod 000 main/config"),
    ("a config that can only be read", "echo px >main/config; chmod 400 main/config"),
    ("a config that is a directory", "mkdir main/config"),
    ("a current that was not closed well and cannot be written", "echo x >main/current; chmod 444 main/current"),
    ("a current that was not closed well and can be nothing", "echo x >main/current; chmod 000 main/current"),
    ("a current that is only executable", "echo x >main/current; chmod 100 main/current"),
    ("a current that cannot be written", "echo x >main/current; chmod 544 main/current"),
    ("a current that is a directory", "mkdir main/current"),
];

#[test]
fn what_an_ordinary_user_may_not_do_is_said_as_in_the_original() {
    let Some(theirs) = runit() else { return };
    let see = |program: &Path, change: &str| {
        let place = Place::of(program);
        // A copy that every user can reach; cp, since a process started meanwhile would hold a file of ours open.
        fs::set_permissions(place.path(""), Permissions::from_mode(0o777)).unwrap();
        assert!(Command::new("cp").arg(program).arg(place.path("copy")).status().unwrap().success());
        let script = format!("mkdir main; {change}; exec ./copy main <input");
        fs::write(place.path("input"), "abc\n").unwrap();
        let mut command = Command::new(if crate::support::is_root() { "setpriv" } else { "env" });
        if crate::support::is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        }
        command.args(["sh", "-c", &script]).current_dir(place.path("")).stdin(Stdio::null());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        // It ends, or it pauses: the first line tells.
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next().map(Result::unwrap) {
            said += &format!("{line}\n");
            if line.contains("pausing: ") {
                child.kill().unwrap();
                break;
            }
        }
        let status = child.wait().unwrap();
        let readable = Command::new("chmod").args(["-R", "u+rwX", "main"]).current_dir(place.path("")).status();
        assert!(readable.unwrap().success());
        (status.code(), said, files(&place).into_iter().map(|(name, _, text)| (name, text)).collect::<Vec<_>>())
    };
    for (name, change) in FORBIDDEN {
        let (ours, theirs) =
            (see(Path::new(env!("CARGO_BIN_EXE_svlogd")), change), see(&theirs.join("svlogd"), change));
        assert_eq!(ours, theirs, "{name}");
    }
}

#[test]
fn neither_takes_a_log_directory_from_the_other() {
    let Some(theirs) = runit() else { return };
    let both = [PathBuf::from(env!("CARGO_BIN_EXE_svlogd")), theirs.join("svlogd")];
    for (first, second) in [(&both[0], &both[1]), (&both[1], &both[0])] {
        let place = Place::of(first);
        place.log("main", "");
        let running = place.start();
        let mut command = Command::new(second);
        let output = command.arg("main").current_dir(place.path("")).stdin(Stdio::null()).output().unwrap();
        let refused = "svlogd: warning: unable to lock directory: main: temporary failure\n\
                       svlogd: fatal: no functional log directories.\n";
        assert_eq!((output.status.code(), show(&output.stderr)), (Some(111), refused.to_owned()));
        assert_eq!(running.end(), Some(0));
    }
}
