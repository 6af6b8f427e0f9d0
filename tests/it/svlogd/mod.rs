//! svlogd: from the pipe into files.

use std::fs::{self, File, Permissions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::UdpSocket;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use homerun::sys::fd;
use homerun::sys::inotify::{Changes, Watcher};
use homerun::sys::poll::Poller;
use homerun::sys::process::send;
use homerun::sys::signal::Signal;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use tempfile::TempDir;

mod beside;
mod crash;
mod disk;
mod signals;

/// Bounds every wait; it costs only when a test fails.
const PATIENCE: Duration = Duration::from_secs(60);
const USAGE: &str = "usage: svlogd [-ttv] [-r c] [-R abc] [-l len] [-b buflen] dir ...\n\n";

/// A place with log directories in it, and `svlogd` in PATH.
struct Place(TempDir);

impl Place {
    fn new() -> Place {
        Place::of(Path::new(env!("CARGO_BIN_EXE_svlogd")))
    }

    /// With this program as `svlogd`: a short argv[0], as the usage line shows it.
    fn of(program: &Path) -> Place {
        let place = Place(TempDir::new().unwrap());
        std::os::unix::fs::symlink(program, place.path("svlogd")).unwrap();
        place
    }

    /// The same, with one log directory `main`.
    fn with_main(config: &str) -> Place {
        let place = Place::new();
        place.log("main", config);
        place
    }

    /// Makes a log directory.
    fn log(&self, name: &str, config: &str) {
        fs::create_dir(self.path(name)).unwrap();
        fs::write(self.path(name).join("config"), config).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        String::from_utf8(fs::read(self.path(name)).unwrap()).unwrap()
    }

    /// The old files of a log directory that end in `suffix`, oldest first.
    fn old(&self, directory: &str, suffix: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.path(directory)).unwrap().map(|entry| entry.unwrap().path());
        let is_old = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with('@') && name.ends_with(suffix)
        };
        let mut found: Vec<_> = entries.filter(is_old).collect();
        found.sort();
        found
    }

    /// Old files and `current`, in order.
    fn whole_log(&self, directory: &str) -> String {
        let old = self.old(directory, "").into_iter().chain([self.path(directory).join("current")]);
        old.map(|path| fs::read_to_string(path).unwrap()).collect()
    }

    /// The same while svlogd runs; empty when it is at work between the two.
    fn read_all(&self, directory: &str) -> String {
        let old = self.old(directory, "").into_iter().chain([self.path(directory).join("current")]);
        old.map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("svlogd");
        command.env_clear().env("PATH", format!("{}:/usr/bin:/bin", self.0.path().display()));
        command.current_dir(self.0.path()).args(args);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs svlogd on all of `input`: its exit code and what it wrote to stderr.
    fn run(&self, args: &[&str], input: &[u8]) -> (Option<i32>, String) {
        let output = self.run_whole(args, input);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    }

    fn run_whole(&self, args: &[&str], input: &[u8]) -> Output {
        let mut child = self.command(args).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = thread::spawn(move || drop(stdin.write_all(&input))); // a usage error reads nothing
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        output
    }

    /// Starts `svlogd -v` on the log directory `main`, and waits until it reads.
    fn start(&self) -> Running {
        self.start_with(self.command(&["-v", "main"]), "append: main/current", "new: main/current")
    }

    fn start_with(&self, mut command: Command, ready: &str, or_ready: &str) -> Running {
        let mut child = command.spawn().unwrap();
        let (sender, said) = channel();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || stderr.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut running = Running { stdin: child.stdin.take(), child, said, heard: Vec::new() };
        running.hear(&[ready, or_ready]);
        running
    }

    /// Waits until `is_so`, which a change in `directory` brings about.
    fn wait_until(&self, directory: &str, is_so: impl Fn() -> bool) {
        let watcher = Watcher::new().unwrap();
        let changes = Changes::IN_MODIFY | Changes::IN_MOVE | Changes::IN_CREATE | Changes::IN_DELETE;
        watcher.watch(&self.path(directory), changes | Changes::IN_ATTRIB).unwrap();
        let mut poller = Poller::new(1).unwrap();
        poller.watch(&watcher, 0).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "nothing happened in {}", self.listing(directory));
            poller.wait(Some(left)).unwrap(); // it may end early: a stopped test is interrupted when it goes on
            while !watcher.changes().unwrap().is_empty() {}
        }
    }

    fn listing(&self, directory: &str) -> String {
        let names = fs::read_dir(self.path(directory)).unwrap().map(|entry| entry.unwrap().path());
        names.map(|path| format!("{}: {:?}\n", path.display(), fs::read_to_string(&path))).collect()
    }
}

/// A svlogd that runs. It is killed when the test is over.
struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Receiver<String>,
    heard: Vec<String>,
}

impl Running {
    fn write(&mut self, text: &str) {
        self.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
    }

    fn signal(&self, signal: Signal) {
        send(i32::try_from(self.child.id()).unwrap(), signal).unwrap();
    }

    /// The same once it waits for events: the original forgets a HUP that comes right before it does, until the next
    /// line.
    fn signal_asleep(&self, signal: Signal) {
        self.wait_until_asleep();
        self.signal(signal);
    }

    /// Waits until it waits for events.
    fn wait_until_asleep(&self) {
        let pid = i32::try_from(self.child.id()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while homerun::sys::proc::state(pid) != Some('S') {
            assert!(Instant::now() < deadline, "it never sleeps");
            thread::yield_now();
        }
    }

    /// Waits for a line on stderr that contains one of `texts`.
    fn hear(&mut self, texts: &[&str]) {
        loop {
            let Ok(line) = self.said.recv_timeout(PATIENCE) else {
                panic!("did not hear {texts:?} but {:#?}", self.heard);
            };
            self.heard.push(line.clone());
            if texts.iter().any(|text| line.contains(text)) {
                return;
            }
        }
    }

    /// Closes its input, waits for its end, and gives the exit code.
    fn end(mut self) -> Option<i32> {
        self.stdin = None;
        self.exit()
    }

    /// Sends TERM while the input stays open, waits for its end, and gives the exit code.
    fn terminate(mut self) -> Option<i32> {
        self.signal(Signal::SIGTERM);
        let _open = self.stdin.take(); // else wait() would close it
        self.exit()
    }

    fn exit(&mut self) -> Option<i32> {
        loop {
            match self.said.recv_timeout(PATIENCE) {
                Ok(line) => self.heard.push(line),
                Err(RecvTimeoutError::Disconnected) => return self.child.wait().unwrap().code(),
                Err(RecvTimeoutError::Timeout) => panic!("it did not end but said {:#?}", self.heard),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none(), "{test}: {why}");
    let _ = io::stderr().write_all(format!("skipped: {test}: {why}\n").as_bytes());
}

fn quiet(exit: i32) -> (Option<i32>, String) {
    (Some(exit), String::new())
}

#[test]
fn usage_errors_exit_111() {
    let place = Place::new();
    let usage = |before: &str| (Some(111), format!("{before}{USAGE}"));
    assert_eq!(place.run(&[], b""), usage(""));
    assert_eq!(place.run(&["-tv"], b""), usage(""));
    assert_eq!(place.run(&["-V", "main"], b""), usage(concat!("homerun ", env!("CARGO_PKG_VERSION"), "\n")));
    assert_eq!(place.run(&["-x", "main"], b""), usage("svlogd: illegal option -- x\n"));
    assert_eq!(place.run(&["-tl"], b""), usage("svlogd: option requires an argument -- l\n"));
    assert_eq!(place.run(&["-r", "ab", "main"], b""), usage(""));
    assert_eq!(place.run(&["-l100", "-b", "100", "main"], b""), usage(""));
}

#[test]
fn help_and_version_go_to_stdout() {
    let place = Place::new();
    let help = place.run_whole(&["--help"], b"");
    assert_eq!((help.status.code(), help.stderr), (Some(0), vec![]));
    assert!(String::from_utf8(help.stdout).unwrap().ends_with("See svlogd(8).\n"));
    let version = place.run_whole(&["--version"], b"");
    assert_eq!((version.status.code(), version.stderr), (Some(0), vec![]));
    assert_eq!(version.stdout, concat!("svlogd ", env!("CARGO_PKG_VERSION"), "\n").as_bytes());
}

#[test]
fn a_directory_that_cannot_be_opened_is_left_out() {
    let place = Place::with_main("");
    File::create(place.path("file")).unwrap();
    let warnings = "svlogd: warning: unable to open log directory: none: file does not exist\n\
                    svlogd: warning: unable to change directory: file: not a directory\n";
    assert_eq!(place.run(&["none", "main", "file"], b"a\n"), (Some(0), warnings.to_owned()));
    assert_eq!(place.read("main/current"), "a\n");
    let fatal = format!("{warnings}svlogd: fatal: no functional log directories.\n");
    assert_eq!(place.run(&["none", "file"], b"a\n"), (Some(111), fatal));
}

#[test]
fn a_locked_directory_is_refused() {
    let place = Place::with_main("");
    let first = place.start();
    let refused = "svlogd: warning: unable to lock directory: main: temporary failure\n\
                   svlogd: fatal: no functional log directories.\n";
    assert_eq!(place.run(&["main"], b"second\n"), (Some(111), refused.to_owned()));
    assert_eq!(first.end(), Some(0));
    assert_eq!(place.read("main/current"), "");
}

#[test]
fn what_is_done_is_said_with_v() {
    let place = Place::with_main("s8\nu1.2.3\nu127.0.0.1:x\nu127.0.0.1:9\n-*\n");
    let said = "svlogd: info: read: main/config\n\
                svlogd: warning: unable to scan ip address: 1.2.3\n\
                svlogd: warning: unable to scan port number: x\n\
                svlogd: info: new: main/current\n\
                svlogd: info: close: main\n";
    assert_eq!(place.run(&["-v", "main"], b"abcdefg\n"), (Some(0), said.to_owned()));
    fs::write(place.path("main/config"), "s8\n").unwrap();
    let (_, said) = place.run(&["-v", "-l8", "main"], b"abcdefg\n");
    let old = place.old("main", ".s");
    let name = old[0].file_name().unwrap().to_str().unwrap();
    let expected = format!(
        "svlogd: info: read: main/config\n\
         svlogd: info: append: main/current\n\
         svlogd: info: rename: main/current {name} 8\n\
         svlogd: info: close: main\n"
    );
    assert_eq!(said, expected);
}

#[test]
fn an_unreadable_config_is_said() {
    let place = Place::new();
    fs::create_dir_all(place.path("main/config")).unwrap();
    let said = "svlogd: warning: unable to read config: main: is a directory\n";
    assert_eq!(place.run(&["main"], b"a\n"), (Some(0), said.to_owned()));
    assert_eq!(place.read("main/current"), "a\n");
}

#[test]
fn lines_are_appended_and_modes_tell_how_the_log_was_closed() {
    let place = Place::with_main("");
    assert_eq!(place.run(&["main"], b"a\n"), quiet(0));
    assert_eq!(mode(&place.path("main/current")), 0o744);
    let mut running = place.start();
    assert_eq!(mode(&place.path("main/current")), 0o644);
    running.write("b\n");
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("main/current"), "a\nb\n");
    assert_eq!(mode(&place.path("main/current")), 0o744);
    assert_eq!(mode(&place.path("main/lock")), 0o600);
}

#[test]
fn lines_are_stamped_in_three_forms() {
    let place = Place::with_main("pweb: \n");
    let form = |option: &str| {
        fs::write(place.path("main/current"), "").unwrap();
        assert_eq!(place.run(&[option, "main"], b"a\n"), quiet(0));
        let text = place.read("main/current");
        let (stamp, rest) = text.split_at(25);
        assert_eq!(rest, " web: a\n");
        let shape = |byte: char| match byte {
            '0'..='9' | 'a'..='f' => '9',
            other => other,
        };
        stamp.chars().map(shape).collect::<String>()
    };
    assert_eq!(form("-t"), "@999999999999999999999999");
    assert_eq!(form("-tt"), "9999-99-99_99:99:99.99999");
    assert_eq!(form("-ttt"), "9999-99-99T99:99:99.99999");
}

#[test]
fn a_final_line_without_newline_is_written() {
    let place = Place::with_main("");
    assert_eq!(place.run(&["main"], b"a\nb"), quiet(0));
    assert_eq!(place.read("main/current"), "a\nb\n");
    assert_eq!(place.run(&["-l3", "main"], b"long one"), quiet(0));
    assert_eq!(place.read("main/current"), "a\nb\nlong one\n");
}

#[test]
fn rotation_by_size_keeps_every_line_whole_and_in_order() {
    let place = Place::with_main("s2000\nn0\n");
    let lines: String = (0..10_000).map(|number| format!("line {number}\n")).collect();
    assert_eq!(place.run(&["main"], lines.as_bytes()), quiet(0));
    assert!(place.whole_log("main") == lines);
    let old = place.old("main", ".s");
    assert!(old.len() > 10_000 * 6 / 2000);
    for path in old {
        let text = fs::read_to_string(&path).unwrap();
        assert!((1000..=2000).contains(&text.len()) && text.ends_with('\n'), "{text}");
        assert_eq!(mode(&path), 0o744);
    }
}

#[test]
fn a_stream_without_newlines_is_cut_only_by_the_size() {
    let place = Place::with_main("s5000\nn0\n");
    let text = "0123456789".repeat(20_000);
    assert_eq!(place.run(&["main"], text.as_bytes()), quiet(0));
    assert!(place.whole_log("main") == text + "\n");
    assert!(place.old("main", ".s").iter().all(|path| fs::metadata(path).unwrap().len() == 5000));
}

#[test]
fn old_files_beyond_the_number_are_deleted_and_others_left_alone() {
    let place = Place::with_main("s4\nn2\n");
    for number in 1..6 {
        fs::write(place.path("main").join(format!("@40000000000000000000000{number}.s")), "old\n").unwrap();
    }
    fs::write(place.path("main/@400000000000000000000009.t"), "").unwrap();
    fs::write(place.path("main/@notes-on-the-last-outage.s"), "").unwrap();
    assert_eq!(place.run(&["-l2", "main"], b"abc\ndef\nghi\n"), quiet(0));
    let texts: Vec<_> = place.old("main", "").iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    assert_eq!(texts, ["def\n", "ghi\n", ""]);
    assert!(place.path("main/@notes-on-the-last-outage.s").exists());
}

#[test]
fn several_directories_take_what_they_select() {
    let place = Place::new();
    place.log("all", "");
    place.log("some", "-*\n+a*\n");
    place.log("alerts", "pP:\n-*\neab*\nEabc\n");
    let (exit, said) = place.run(&["-l5", "all", "some", "alerts"], b"abc\nabd\nbcd\nabcdefgh\n");
    assert_eq!((exit, said.as_str()), (Some(0), "P:abd\nP:abcde...\n"));
    assert_eq!(place.read("all/current"), "abc\nabd\nbcd\nabcdefgh\n");
    assert_eq!(place.read("some/current"), "abc\nabd\nabcdefgh\n");
    assert_eq!(place.read("alerts/current"), "");
}

#[test]
fn several_directories_that_take_all_have_their_own_prefixes_and_sizes() {
    let place = Place::new();
    place.log("plain", "");
    place.log("prefixed", "pP: \n");
    place.log("small", "s8\nn0\n");
    assert_eq!(place.run(&["-l4", "plain", "prefixed", "small"], b"abc\nlonger\n\nend"), quiet(0));
    assert_eq!(place.read("plain/current"), "abc\nlonger\n\nend\n");
    assert_eq!(place.read("prefixed/current"), "P: abc\nP: longer\nP: \nP: end\n");
    assert_eq!(place.whole_log("small"), "abc\nlonger\n\nend\n");
    assert!(place.old("small", ".s").len() > 1);
}

#[test]
fn bytes_are_replaced_before_matching() {
    let place = Place::with_main("-*\n+?*\n");
    assert_eq!(place.run(&["-r", "?", "-R", "b", "main"], b"\xffa\nba\nab\n"), quiet(0));
    assert_eq!(place.read("main/current"), "?a\n?a\n");
}

#[test]
fn bytes_stay_as_they_are_without_options() {
    let place = Place::with_main("");
    assert_eq!(place.run(&["main"], b"\xff\0\t\n"), quiet(0));
    assert_eq!(fs::read(place.path("main/current")).unwrap(), b"\xff\0\t\n");
}

#[test]
fn age_rotates_what_is_not_empty() {
    let place = Place::with_main("t1\n");
    let mut running = place.start();
    running.write("a\n");
    place.wait_until("main", || place.old("main", ".s").len() == 1);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.whole_log("main"), "a\n");
}

#[test]
fn the_pipe_stays_blocking_for_those_who_share_it() {
    let place = Place::with_main("");
    let (reader, writer) = fd::pipe().unwrap();
    let shared = fd::duplicate(reader.as_fd()).unwrap();
    let mut command = place.command(&["-v", "main"]);
    command.stdin(Stdio::from(reader));
    let running = place.start_with(command, "new: main/current", "-");
    File::from(writer).write_all(b"a\n").unwrap();
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.read("main/current"), "a\n");
    let flags = OFlag::from_bits_retain(fcntl(&shared, FcntlArg::F_GETFL).unwrap());
    assert!(!flags.contains(OFlag::O_NONBLOCK));
}

#[test]
fn a_file_can_be_the_input() {
    let place = Place::with_main("");
    fs::write(place.path("input"), "a\nb\n").unwrap();
    let mut command = place.command(&["main"]);
    let output = command.stdin(File::open(place.path("input")).unwrap()).output().unwrap();
    assert_eq!((output.status.code(), output.stderr), (Some(0), vec![]));
    assert_eq!(place.read("main/current"), "a\nb\n");
}

#[test]
fn a_processor_reads_the_old_file_and_its_predecessors_state() {
    let place = Place::with_main("s4\n!tr a-z A-Z; cat <&4; echo more >&5; pwd >&5\n");
    assert_eq!(place.run(&["-l2", "main"], b"abc\n"), quiet(0));
    let state = format!("more\n{}\n", fs::canonicalize(place.path("main")).unwrap().display());
    assert_eq!(place.whole_log("main"), "ABC\n");
    assert_eq!(place.read("main/state"), state);
    assert_eq!(place.run(&["-l2", "main"], b"def\n"), quiet(0));
    assert_eq!(place.whole_log("main"), format!("ABC\nDEF\n{state}"));
    let old = place.old("main", "");
    assert_eq!(old, place.old("main", ".s"));
    assert!(old.iter().all(|path| mode(path) == 0o744));
    assert!(!place.path("main/newstate").exists());
}

#[test]
fn a_processor_killed_by_a_signal_has_failed() {
    let place = Place::with_main("s4\n!echo half; kill -KILL $$\n");
    // It may fail before the end of the input, when it would be started again, or after it.
    let said = ["restart", "left to do"].map(|what| format!("svlogd: warning: processor failed, {what}: main\n"));
    let (code, stderr) = place.run(&["-l2", "main"], b"abc\n");
    assert!(code == Some(0) && said.contains(&stderr), "{code:?} {stderr}");
    assert_eq!(place.old("main", ""), place.old("main", ".u"));
    assert_eq!(place.whole_log("main"), "abc\n");
    fs::write(place.path("main/config"), "!cat\n").unwrap();
    let mut running = place.start();
    running.hear(&["processed: "]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.old("main", ""), place.old("main", ".s"));
    assert_eq!(place.whole_log("main"), "abc\n");
}

#[test]
fn a_failed_processor_is_started_again() {
    let place = Place::with_main("!test -e again || { touch again; exit 1; }; cat\n");
    let mut running = place.start();
    running.write("abc\n");
    place.wait_until("main", || place.read("main/current") == "abc\n");
    running.signal(Signal::SIGALRM);
    running.hear(&["svlogd: warning: processor failed, restart: main"]);
    running.hear(&["processed: "]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(place.whole_log("main"), "abc\n");
}

#[test]
fn a_processor_that_hangs_holds_up_neither_rotation_nor_hup_nor_term() {
    let place = Place::with_main("n1\n!read go <../go; cat\n");
    nix::unistd::mkfifo(&place.path("go"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let mut running = place.start();
    running.write("a\n");
    place.wait_until("main", || place.read("main/current") == "a\n");
    running.signal(Signal::SIGALRM);
    running.hear(&["processing: "]);
    running.write("b\n");
    place.wait_until("main", || place.read("main/current") == "b\n");
    running.signal(Signal::SIGALRM);
    running.hear(&["svlogd: warning: processor too slow, delete: main/@"]);
    running.signal(Signal::SIGHUP);
    running.hear(&["append: main/current", "new: main/current"]);
    let first = place.old("main", ".u").remove(0);
    assert_eq!(fs::read_to_string(&first).unwrap(), "a\n");
    running.signal(Signal::SIGTERM);
    running.hear(&["sigterm received."]);
    fs::write(place.path("go"), "\n").unwrap();
    running.hear(&["processed: "]);
    assert_eq!(running.end(), Some(0));
    assert_eq!(fs::read_to_string(first.with_extension("s")).unwrap(), "a\n");
}

#[test]
fn lines_go_out_by_udp() {
    let place = Place::new();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = receiver.local_addr().unwrap().port();
    place.log("both", &format!("pP:\n-b*\nu127.0.0.1:{port}\n"));
    place.log("only", &format!("U127.0.0.1:{port}\n-*\n+c*\n"));
    assert_eq!(place.run(&["-l4", "both", "only"], b"abc\nbcd\ncdefgh\n"), quiet(0));
    let mut datagrams = Vec::new();
    for _ in 0..3 {
        let mut buffer = [0; 100];
        let count = receiver.recv(&mut buffer).unwrap();
        datagrams.push(String::from_utf8(buffer[..count].to_vec()).unwrap());
    }
    assert_eq!(datagrams, ["P:abc\n", "P:cdef...\n", "cdef...\n"]);
    assert_eq!(place.read("both/current"), "P:abc\nP:cdefgh\n");
    assert_eq!(place.read("only/current"), "");
}

#[test]
fn what_udp_cannot_send_is_written_down() {
    let place = Place::with_main("U127.0.0.1:9\n");
    let line = "x".repeat(65_536) + "\n"; // too long for a datagram
    assert_eq!(place.run(&["-l70000", "-b70001", "main"], line.as_bytes()), quiet(0));
    assert!(place.read("main/current") == format!("warning: failure sending through udp: {line}"));
}

/// Its messages name what is lost: none is one too many, as it would be of a supervisor.
#[test]
fn each_of_hundreds_of_rotations_is_said() {
    const LINES: usize = 400;
    let place = Place::with_main("s1000\nn0\n");
    let mut running = place.start();
    for _ in 0..LINES {
        running.write(&"x".repeat(998));
        running.write("\n");
    }
    running.stdin = None;
    assert_eq!(running.exit(), Some(0));
    let said = running.heard.iter().filter(|line| line.contains("rename: ")).count();
    assert_eq!(said, place.old("main", "").len());
    assert!(said > LINES / 2, "{said}");
}
