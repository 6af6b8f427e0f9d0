//! What runsv leaves in `supervise/` at each step of some stories, and what it says, as recorded from runit 2.1.2.
//!
//! Each story has a file of its name in `tests/golden`, which both programs must come to. Where ours differs
//! knowingly, `NAME.ours` beside it is what ours must come to. With HOMERUN_RECORD set the files are written anew.
//! Pids and times are neutral: `P1` is the first pid that was seen, `T1` the first time.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use homerun::model::status::{State, Status, Want};
use homerun::model::tai::Label;
use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::runsv::{OWN_FILES, listing};
use crate::support::*;

/// Stays until it is told to go.
const STAY: &str = "say up; exec sleep 1000";
/// Deaf to all that it can be deaf to.
const DEAF: &str = "trap '' TERM HUP ALRM INT QUIT USR1 USR2; say up; exec sleep 1000 >/dev/null 2>&1";
/// Waits for a line in `./go`.
const WAIT: &str = "read -r line <go";

/// Two tests for each story: ours, and the original.
macro_rules! stories {
    ($($name:ident)*) => {
        const STORIES: &[&str] = &[$(stringify!($name)),*];
        $(mod $name {
            #[test]
            fn is_as_recorded() {
                super::ours(stringify!($name), super::$name);
            }

            #[test]
            fn is_as_recorded_with_the_original() {
                super::original(stringify!($name), super::$name);
            }
        })*
    };
}

stories! {
    start_down_up_exit
    pause_and_continue
    a_deaf_service
    bytes_for_a_running_service
    bytes_for_a_service_that_is_down
    bytes_while_finish_runs
    a_young_death
    once
    ends_and_what_finish_is_told
    what_cannot_be_run
    hooks
    term_for_the_supervisor
    a_log_service
    exit_with_a_log_service
    down_files
    links_to_nowhere
    umask
    bytes_before_the_first_start
    what_is_in_the_way_of_a_start
    what_is_in_the_way_of_records
    what_is_in_the_way_of_hooks
    a_log_that_comes_later
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn records_anew() -> bool {
    std::env::var_os("HOMERUN_RECORD").is_some()
}

fn ours(name: &str, story: fn(&mut Play)) {
    let mut file = golden(&format!("{name}.ours"));
    let told = Play::of(&programs().join("runsv"), story);
    if file.exists() && records_anew() {
        fs::write(&file, &told).unwrap();
    }
    if !file.exists() {
        file = golden(name);
    }
    compare(&file, &told);
}

fn original(name: &str, story: fn(&mut Play)) {
    let Some(runit) = runit() else { return };
    let told = Play::of(&runit.join("runsv"), story);
    if records_anew() {
        fs::write(golden(name), &told).unwrap();
    }
    compare(&golden(name), &told);
}

#[track_caller]
fn compare(file: &Path, told: &str) {
    let recorded = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}\n{told}", file.display()));
    let differ = recorded.lines().zip(told.lines()).find(|(recorded, told)| recorded != told);
    assert_eq!(recorded, told, "{}: {differ:?}", file.display());
}

#[test]
fn every_record_belongs_to_a_story() {
    let mut known: BTreeSet<String> = STORIES.iter().map(|name| (*name).to_owned()).collect();
    known.insert("errno".to_owned());
    for entry in fs::read_dir(golden("")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let story = name.strip_suffix(".ours").unwrap_or(&name);
        assert!(known.contains(story), "{name} belongs to nothing");
        if story != name && !records_anew() {
            let differs = fs::read(golden(story)).unwrap() != fs::read(golden(&name)).unwrap();
            assert!(differs, "{name} is the same as the original's");
        }
    }
}

/// Number and text of each error, as runit has them.
#[test]
fn every_errno_has_the_originals_words() {
    let file = golden("errno");
    if let Some(runit) = runit().filter(|_| records_anew()) {
        let tree = Tree::with(&runit);
        let text = |errno: i32| {
            // strace makes the first call fail that runsv names in a message.
            let inject = format!("inject=chdir:error={errno}");
            let args = ["-qq", "-o", "/dev/null", "-e", "trace=chdir", "-e", &inject];
            let said = Outcome::of(tree.command("strace").args(args).arg(runit.join("runsv")).arg("x")).stderr;
            let text = said.strip_prefix("runsv x: fatal: unable to change to directory: ").unwrap();
            format!("{errno} {text}")
        };
        fs::write(&file, (1..=140).map(text).collect::<String>()).unwrap();
    }
    let ours = |errno| format!("{errno} {}\n", homerun::msg::errno_text(errno));
    compare(&file, &(1..=140).map(ours).collect::<String>());
}

/// A story while it is played.
struct Play<'a> {
    tree: &'a Tree,
    runsv: &'a Path,
    since: Duration,
    told: String,
    times: Vec<Label>,
    pids: Vec<i32>,
}

fn wall() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

impl<'a> Play<'a> {
    /// All that `story` tells, played with `runsv`.
    fn of(runsv: &Path, story: fn(&mut Play)) -> String {
        let tree = Tree::new();
        let mut play =
            Play { tree: &tree, runsv, since: wall(), told: String::new(), times: Vec::new(), pids: Vec::new() };
        fs::write(tree.path("said"), "").unwrap();
        story(&mut play);
        assert_eq!(tree.heard_already(), None);
        let said = fs::read_to_string(tree.path("said")).unwrap();
        let mut said: Vec<_> = said.lines().collect();
        said.sort_unstable(); // there may be more than one supervisor,
        said.dedup(); // and the original says again what goes on
        said.iter().for_each(|line| play.told += &format!("said {line}\n"));
        play.told
    }

    fn command(&self) -> Command {
        self.speaking(self.tree.command(self.runsv))
    }

    fn speaking(&self, mut command: Command) -> Command {
        command.stderr(fs::File::options().append(true).open(self.tree.path("said")).unwrap());
        command
    }

    fn start(&self, service: Service<'a>) -> Running<'a> {
        service.start_by(self.command())
    }

    /// A step of the story, in a few words.
    fn step(&mut self, what: &str) {
        self.told += &format!("== {what}\n");
    }

    /// The next `count` lines that are heard, in whatever order they come.
    fn hear(&mut self, count: usize) {
        let mut heard: Vec<_> = (0..count).map(|_| self.tree.heard()).collect();
        heard.sort();
        heard.iter().for_each(|line| self.told += &format!("heard {line}\n"));
    }

    /// What the records of `supervise` say once its status is such.
    fn wait(&mut self, foo: &Running, supervise: &str, is_such: impl Fn(&Status) -> bool) {
        let directory = foo.directory.join(supervise);
        self.tree.wait_status(&directory, is_such);
        self.look(&directory, supervise);
    }

    /// The same for the service itself.
    fn main(&mut self, foo: &Running, is_such: impl Fn(&Status) -> bool) {
        self.wait(foo, "supervise", is_such);
    }

    /// The same for its log service.
    fn log(&mut self, foo: &Running, is_such: impl Fn(&Status) -> bool) {
        self.wait(foo, "log/supervise", is_such);
    }

    /// What the records in `directory` say now, told as those of `supervise`.
    fn look(&mut self, directory: &Path, supervise: &str) {
        let status = match fs::read(directory.join("status")) {
            Ok(bytes) => self.neutral(&bytes),
            Err(_) => "none".to_owned(),
        };
        let stat = fs::read_to_string(directory.join("stat")).unwrap_or("none".to_owned());
        let pid = match fs::read_to_string(directory.join("pid")) {
            Ok(line) => match line.trim_end().parse() {
                Ok(pid) => line.replace(line.trim_end(), &self.pid(pid)),
                Err(_) => line,
            },
            Err(_) => "none".to_owned(),
        };
        self.told += &format!("{supervise}: status {status} stat {stat:?} pid {pid:?}\n");
    }

    fn neutral(&mut self, bytes: &[u8]) -> String {
        assert_eq!(bytes.len(), 20);
        let label = Label::decode(bytes[..12].try_into().unwrap());
        assert!(self.since <= label.since_1970() + Duration::from_micros(1) && label.since_1970() <= wall());
        let known = self.times.iter().position(|time| *time == label).unwrap_or_else(|| {
            self.times.push(label);
            self.times.len() - 1
        });
        let pid = self.pid(i32::from_le_bytes(bytes[12..16].try_into().unwrap()));
        let rest = &bytes[16..];
        format!("T{} {pid} {} {} {} {}", known + 1, rest[0], char::from(rest[1]), rest[2], rest[3])
    }

    fn pid(&mut self, pid: i32) -> String {
        if pid == 0 {
            return "0".to_owned();
        }
        let known = self.pids.iter().position(|known| *known == pid).unwrap_or_else(|| {
            self.pids.push(pid);
            self.pids.len() - 1
        });
        format!("P{}", known + 1)
    }

    /// Name, type and mode of everything in `supervise`, itself included.
    fn list(&mut self, foo: &Path, supervise: &str) {
        let directory = foo.join(supervise);
        let mode = fs::metadata(&directory).unwrap().permissions().mode() & 0o7777;
        self.told += &format!("{supervise} {mode:o}\n");
        listing(&directory).iter().for_each(|line| self.told += &format!("{supervise}/{line}\n"));
    }

    /// The end of the supervisor, and what it left.
    fn end(&mut self, foo: Running) {
        let directory = foo.directory.clone();
        let code = foo.ended().0.code();
        self.step(&format!("ended {code:?}"));
        for supervise in ["supervise", "log/supervise"] {
            if directory.join(supervise).exists() {
                self.look(&directory.join(supervise), supervise);
                self.list(&directory, supervise);
            }
        }
    }

    /// What a script waits for that reads a line from `./go` of the service `foo`.
    fn go(&self) -> Go {
        let path = self.tree.path("foo/go");
        homerun::sys::file::make_fifo(&path, 0o600).unwrap();
        Go(homerun::sys::file::open_read_write(path).unwrap())
    }
}

struct Go(fs::File);

impl Go {
    fn on(&mut self) {
        self.0.write_all(b"\n").unwrap();
    }
}

fn runs(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}

fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

fn start_down_up_exit(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(STAY));
    play.step("start");
    play.hear(1);
    play.main(&foo, runs);
    play.step("d");
    foo.control(b"d");
    play.main(&foo, is_down);
    play.step("d");
    foo.control(b"dp");
    play.main(&foo, |status| status.paused);
    play.step("u");
    foo.control(b"u");
    play.hear(1);
    play.main(&foo, runs);
    play.step("u");
    foo.control(b"uo");
    play.main(&foo, |status| status.want == Want::Down);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn pause_and_continue(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(STAY));
    play.hear(1);
    play.main(&foo, runs);
    for (byte, paused) in [(b"p", true), (b"c", false), (b"p", true)] {
        play.step(&String::from_utf8_lossy(byte));
        foo.control(byte);
        play.main(&foo, |status| status.paused == paused);
    }
    play.step("d");
    foo.control(b"d");
    play.main(&foo, is_down);
    play.step("u");
    foo.control(b"u");
    play.hear(1);
    play.main(&foo, runs);
    play.step("px");
    foo.control(b"px");
    play.end(foo);
}

fn a_deaf_service(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(DEAF));
    play.hear(1);
    play.main(&foo, runs);
    play.step("t");
    foo.control(b"t");
    play.main(&foo, |status| status.got_term);
    play.step("d");
    foo.control(b"dp");
    play.main(&foo, |status| status.want == Want::Down && status.paused);
    play.step("u");
    foo.control(b"u");
    play.main(&foo, |status| status.want == Want::Up);
    play.step("o");
    foo.control(b"o");
    play.main(&foo, |status| status.want == Want::Down);
    play.step("k");
    foo.control(b"k");
    play.main(&foo, is_down);
    play.step("u");
    foo.control(b"u");
    play.hear(1);
    play.main(&foo, runs);
    play.step("x");
    foo.control(b"x");
    play.main(&foo, |status| status.got_term);
    play.step("d");
    foo.control(b"dp");
    play.main(&foo, |status| status.paused);
    play.step("x");
    foo.control(b"xc");
    play.main(&foo, |status| !status.paused);
    let pid = foo.wait(runs).pid;
    play.step("killed");
    process::send(pid, Signal::SIGKILL).unwrap();
    play.end(foo);
}

/// Bytes that change no record of a running service, and what comes of them.
fn bytes_for_a_running_service(play: &mut Play) {
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done; say up";
    let service = play
        .tree
        .service("foo")
        .script("traps", &format!("{trap}; sleep 1000 >/dev/null 2>&1 & while :; do wait; done"))
        .run("exec env --default-signal ./traps");
    let foo = play.start(service);
    play.hear(1);
    play.main(&foo, runs);
    for byte in *b"hHaAiIqQ12t" {
        play.step(&char::from(byte).to_string());
        foo.control(&[byte]);
        if !byte.is_ascii_uppercase() {
            play.hear(1);
        }
    }
    play.main(&foo, |status| status.got_term);
    let others: Vec<u8> = (0..=255).filter(|byte| !b"udoxtkpchaiq12".contains(byte)).collect();
    play.step("every other byte, then o");
    foo.control(&others);
    foo.control(b"o");
    play.main(&foo, |status| status.want == Want::Down);
    for bytes in [&b"t"[..], b"c"] {
        play.step(&String::from_utf8_lossy(bytes));
        foo.control(bytes);
        play.hear(if bytes == b"t" { 2 } else { 1 });
    }
    play.step("x");
    foo.control(b"x");
    play.hear(2);
    foo.wait(|status| status.got_term);
    play.step("k");
    let pid = foo.wait(runs).pid;
    process::send(pid, Signal::SIGKILL).unwrap();
    play.end(foo);
}

fn bytes_for_a_service_that_is_down(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(STAY).file("down", ""));
    play.step("start");
    play.main(&foo, is_down);
    for byte in *b"tkhaiq12dUX\n\0" {
        play.step(&format!("{:?}", char::from(byte)));
        foo.control(&[byte, b'p']);
        play.main(&foo, |status| status.paused);
        foo.control(b"c");
        foo.wait(|status| !status.paused);
    }
    play.step("po");
    foo.control(b"po");
    play.hear(1);
    play.main(&foo, runs);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn bytes_while_finish_runs(play: &mut Play) {
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done; say finish $1 $2";
    let service = play.tree.service("foo").run(&format!("say up; {WAIT}; exit 3")).finish(&format!("{trap}; {WAIT}"));
    let mut go = play.go();
    let foo = play.start(service);
    play.hear(1);
    play.main(&foo, runs);
    play.step("p, c, and the end of run");
    foo.control(b"p");
    foo.wait(|status| status.paused);
    foo.control(b"c");
    foo.wait(|status| !status.paused);
    go.on();
    play.hear(1);
    play.main(&foo, |status| status.state == State::Finish && status.pid != 0);
    for byte in *b"thaiq12" {
        play.step(&char::from(byte).to_string());
        foo.control(&[byte, b'p']);
        play.main(&foo, |status| status.paused);
        foo.control(b"c");
        foo.wait(|status| !status.paused);
    }
    for (byte, want) in [(b'd', Want::Down), (b'u', Want::Up), (b'o', Want::Down), (b'u', Want::Up), (b'x', Want::Down)]
    {
        play.step(&char::from(byte).to_string());
        foo.control(&[byte]);
        play.main(&foo, |status| status.want == want);
    }
    foo.control(b"p");
    foo.wait(|status| status.paused);
    play.step("the end of finish");
    go.on();
    play.end(foo);
}

fn a_young_death(play: &mut Play) {
    let run = "[ -e said ] || say up; : >said; exit 1";
    let foo = play.start(play.tree.service("foo").run(run).file("down", ""));
    let before = foo.wait(is_down);
    foo.control(b"u");
    play.hear(1);
    play.step("the pause after it");
    play.main(&foo, |status| is_down(status) && status.want == Want::Up && status.since != before.since);
    play.step("d");
    foo.control(b"d");
    play.main(&foo, |status| is_down(status) && status.want == Want::Down);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn once(play: &mut Play) {
    let service = play.tree.service("foo").run(&format!("say up; {WAIT}; exit 1")).file("down", "");
    let mut go = play.go();
    let foo = play.start(service);
    play.main(&foo, is_down);
    for byte in *b"ouo" {
        play.step(&char::from(byte).to_string());
        foo.control(&[byte]);
        if byte == b'u' {
            play.main(&foo, |status| status.want == Want::Up);
        } else {
            play.main(&foo, |status| runs(status) && status.want == Want::Down);
        }
    }
    play.hear(1);
    play.step("its end");
    go.on();
    play.main(&foo, is_down);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn ends_and_what_finish_is_told(play: &mut Play) {
    let abort = "ulimit -c 0; kill -ABRT $$";
    let ends = ["exit 0", "exit 1", "exit 111", "exit 255", "kill -USR1 $$", "kill -KILL $$", "kill -TERM $$", abort];
    let mut services = Vec::new();
    for (number, run) in ends.into_iter().enumerate() {
        let service = play.tree.service(&number.to_string()).run(run);
        let finish = "say \"${PWD##*/} $0 $*\"; exit 100";
        services.push(play.start(service.finish(finish).file("down", "")));
    }
    for (foo, end) in services.iter().zip(ends) {
        play.step(end);
        foo.wait(is_down);
        foo.control(b"o");
        play.hear(1);
    }
    for foo in services {
        foo.control(b"x");
        play.end(foo);
    }
}

fn what_cannot_be_run(play: &mut Play) {
    let finish = "say ${PWD##*/} $*";
    let service = |name: &str| play.tree.service(name).file("down", "");
    let services = [
        service("nothing").finish(finish),
        service("not-executable").file("run", "#!/bin/sh\n").finish(finish),
        service("text").program("run", "exit\n").finish(finish),
        service("interpreter").program("run", "#!/no/where\n").finish(finish),
        service("directory").file("run/x", "").finish(finish),
        service("finish").run("say ${PWD##*/}; exit 3").file("finish", ""),
        service("finish-directory").run("say ${PWD##*/}; exit 3").file("finish/x", ""),
        service("finish-link").run("say ${PWD##*/}; exit 3"),
    ];
    symlink("finish", play.tree.path("finish-link/finish")).unwrap();
    let services = services.map(|service| play.start(service));
    for foo in &services {
        foo.wait(is_down);
        foo.control(b"o");
    }
    play.hear(services.len());
    for foo in &services {
        foo.wait(|status| is_down(status) && status.want == Want::Down);
        foo.control(b"x");
    }
    for foo in services {
        play.step(&foo.directory.file_name().unwrap().to_string_lossy());
        play.end(foo);
    }
}

fn hooks(play: &mut Play) {
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2 CONT; do trap \"say $s\" $s; done; say up";
    let mut service = play
        .tree
        .service("foo")
        .script("traps", &format!("{trap}; sleep 1000 >/dev/null 2>&1 & while :; do wait; done"))
        .run("exec env --default-signal ./traps")
        .file("code", "0");
    for name in "utdxpchaiq12o".chars() {
        service = service.script(&format!("control/{name}"), "say $0; exit $(cat code)");
    }
    let foo = play.start(service);
    play.step("start");
    play.hear(2);
    play.main(&foo, runs);
    for code in ["0", "1", "111"] {
        fs::write(play.tree.path("foo/code"), code).unwrap();
        let signals = if code == "0" { 0 } else { 1 };
        for byte in *b"haiq12t" {
            play.step(&format!("{} with a hook that exits with {code}", char::from(byte)));
            foo.control(&[byte]);
            play.hear(1 + signals);
        }
        // Its hook has ended once the record says so.
        play.step(&format!("p with a hook that exits with {code}"));
        foo.control(b"p");
        play.hear(1);
        play.main(&foo, |status| status.paused);
        play.step(&format!("c with a hook that exits with {code}"));
        foo.control(b"c");
        play.hear(1 + signals);
        play.main(&foo, |status| !status.paused);
        for byte in *b"dx" {
            play.step(&format!("{} with a hook that exits with {code}", char::from(byte)));
            foo.control(&[byte]);
            play.hear(3 + signals);
            foo.control(b"o"); // which has no hook
            foo.wait(|status| status.want == Want::Down);
            foo.control(b"u");
            play.main(&foo, |status| status.want == Want::Up);
        }
    }
    let pid = foo.wait(runs).pid;
    foo.control(b"o");
    foo.wait(|status| status.want == Want::Down);
    process::send(pid, Signal::SIGKILL).unwrap();
    foo.wait(is_down);
    foo.control(b"x");
    play.end(foo);
}

fn term_for_the_supervisor(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(STAY).finish("say finish $*"));
    play.hear(1);
    play.main(&foo, runs);
    play.step("TERM");
    process::send(i32::try_from(foo.child.id()).unwrap(), Signal::SIGTERM).unwrap();
    play.hear(1);
    play.end(foo);
}

fn a_log_service(play: &mut Play) {
    let log = "trap '' TERM; say log; while read -r line; do say $line; done";
    let foo =
        play.start(play.tree.service("foo").run("echo line; exec sleep 1000").log(log).script("log/finish", "say no"));
    play.step("start");
    play.hear(2);
    play.main(&foo, runs);
    play.log(&foo, runs);
    type Such = fn(&Status) -> bool;
    let steps: [(&[u8], Such); 8] = [
        (b"p", |status| status.paused),
        (b"c", |status| !status.paused),
        (b"t", |status| status.got_term),
        (b"d", |status| status.want == Want::Down),
        (b"xu", |status| status.want == Want::Up),
        (b"o", |status| status.want == Want::Down),
        (b"k", is_down),
        (b"p", |status| status.paused),
    ];
    for (bytes, is_such) in steps {
        play.step(&format!("{} for the log service", String::from_utf8_lossy(bytes)));
        foo.control_log(bytes);
        play.log(&foo, is_such);
    }
    play.step("u for the log service");
    foo.control_log(b"u");
    play.hear(1);
    play.log(&foo, runs);
    play.main(&foo, runs);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn exit_with_a_log_service(play: &mut Play) {
    let log = "while read -r line; do say log $line; done; say end; read -r line <../go";
    let service = play.tree.service("foo").run("echo line; exec sleep 1000").finish("echo finish").log(log);
    let service = service.script("control/x", "echo hook");
    let mut go = play.go();
    let foo = play.start(service);
    play.step("start");
    play.hear(1);
    play.main(&foo, runs);
    play.log(&foo, runs);
    play.step("x");
    foo.control(b"x");
    play.hear(3);
    play.log(&foo, |status| status.want == Want::Down);
    play.main(&foo, is_down);
    play.step("bytes while the log service reads on");
    foo.control(b"tkhaiq12d?xp");
    play.main(&foo, |status| status.paused);
    foo.control(b"c");
    play.main(&foo, |status| !status.paused);
    play.step("the end of the log service");
    go.on();
    play.end(foo);
}

fn down_files(play: &mut Play) {
    let service = play.tree.service("foo").run(STAY).log("exec cat").file("down/directory", "").file("log/down", "");
    let foo = play.start(service);
    play.step("start");
    play.main(&foo, is_down);
    play.log(&foo, is_down);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
}

fn links_to_nowhere(play: &mut Play) {
    let service = play.tree.service("foo").run(STAY).log("exec cat");
    symlink("../main", play.tree.path("foo/supervise")).unwrap();
    symlink(play.tree.path("log"), play.tree.path("foo/log/supervise")).unwrap();
    let foo = play.start(service);
    play.step("start");
    play.hear(1);
    play.main(&foo, runs);
    play.log(&foo, runs);
    play.step("x");
    foo.control(b"x");
    play.end(foo);
    for name in ["main", "log"] {
        play.list(&play.tree.path(""), name);
    }
    let names: BTreeSet<_> =
        fs::read_dir(play.tree.path("foo")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    play.told += &format!("{names:?}\n");
}

fn umask(play: &mut Play) {
    let umasks = ["000", "027", "077"].map(|umask| {
        let mut command = play.speaking(play.tree.command("sh"));
        command.args(["-c", "umask $0; exec \"$1\" \"$2\"", umask]).arg(play.runsv);
        let service = play.tree.service(umask).run("say $(umask); exec sleep 1000").log("exec cat");
        (umask, service.start_by(command))
    });
    play.hear(umasks.len());
    for (_, foo) in &umasks {
        foo.wait(runs);
        foo.wait_log(runs);
        foo.control(b"x");
    }
    for (umask, foo) in umasks {
        play.step(umask);
        play.end(foo);
    }
}

/// What is written before a supervisor reads, by somebody who holds the FIFO open, is not lost.
fn bytes_before_the_first_start(play: &mut Play) {
    let mut held = Vec::new();
    let mut services = Vec::new();
    for (name, bytes) in [("up", "hzp1tcdq2"), ("low", "hpao1xtuc2")] {
        let mut service = play.tree.service(name).run("exec sleep 1000");
        for byte in "hp1tc2dqaox".chars() {
            service = service.script(&format!("control/{byte}"), &format!("say {name} {byte}"));
        }
        if name == "low" {
            service = service.file("down", "");
        }
        let fifo = play.tree.directory(&format!("{name}/supervise")).join("control");
        homerun::sys::file::make_fifo(&fifo, 0o600).unwrap();
        let mut fifo = homerun::sys::file::open_read_write(fifo).unwrap();
        fifo.write_all(bytes.as_bytes()).unwrap();
        held.push(fifo);
        let foo = play.start(service);
        play.step(&format!("{bytes} for {name}"));
        while !play.told.ends_with(" 2\n") {
            play.hear(1);
        }
        foo.control(b"p"); // which ends the hook before it
        play.hear(1);
        play.main(&foo, |status| runs(status) && status.paused);
        services.push(foo);
    }
}

fn what_is_in_the_way_of_a_start(play: &mut Play) {
    let file = |name: &str, file: &str| drop(play.tree.service(name).file(file, "").made());
    let link = |target: &str, path: &str| {
        let path = play.tree.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(target, path).unwrap();
    };
    fs::write(play.tree.path("a-file"), "").unwrap();
    file("supervise-is-a-file", "supervise");
    file("log-supervise-is-a-file", "log/supervise");
    file("control-is-a-file", "supervise/control");
    file("control-is-a-directory", "supervise/control/x");
    file("lock-is-a-directory", "supervise/lock/x");
    file("log-lock-is-a-directory", "log/supervise/lock/x");
    link("no/where", "no-parent/supervise");
    link("../no/where", "no-parent-of-log/log/supervise");
    link("next", "two-links/supervise");
    link("nowhere", "two-links/next");
    link("supervise", "a-circle/supervise");
    link("../a-file", "a-link-to-a-file/supervise");
    link("nowhere", "a-control-that-is-a-link/supervise/control");
    link("nowhere", "an-ok-that-is-a-link/supervise/ok");
    let mut names: Vec<_> = fs::read_dir(play.tree.path("")).unwrap().map(|it| it.unwrap().file_name()).collect();
    names.retain(|name| name != "said" && name != "ear");
    names.extend(["nowhere", "", ".", "-V"].map(Into::into));
    names.sort();
    // The tree's own directory is no service, but can be one.
    link("no/where", "supervise");
    for name in names {
        play.step(&name.to_string_lossy());
        let outcome = Outcome::of(play.tree.command(play.runsv).arg(&name));
        play.told += &format!("{:?} {}{}", outcome.code, outcome.stdout, outcome.stderr);
        let directory = play.tree.path(&name);
        if !name.is_empty() && name != "." && directory.is_dir() {
            for place in [directory.clone(), directory.join("supervise"), directory.join("log/supervise")] {
                let Ok(entries) = fs::read_dir(&place) else { continue };
                let mut names: BTreeSet<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
                names.retain(|name| OWN_FILES.iter().all(|own| name != own));
                play.told += &format!("{} {names:?}\n", place.strip_prefix(play.tree.path("")).unwrap().display());
            }
        }
    }
}

fn what_is_in_the_way_of_records(play: &mut Play) {
    let mut started = Vec::new();
    for file in ["pid.new", "stat.new", "status.new", "pid", "stat", "status"] {
        let service = play.tree.service(file).run("say up; exec sleep 1000").file(&format!("supervise/{file}/x"), "");
        started.push(play.start(service));
    }
    play.hear(started.len());
    for foo in started {
        foo.control(b"x");
        play.end(foo);
    }
}

fn what_is_in_the_way_of_hooks(play: &mut Play) {
    let trap = "for s in TERM HUP ALRM INT QUIT USR1 USR2; do trap \"say $s\" $s; done; say up";
    let listen = format!("{trap}; sleep 1000 >/dev/null 2>&1 & while :; do wait; done");
    let run = "exec env --default-signal ./traps";
    let file = play.start(play.tree.service("file").script("traps", &listen).run(run).file("control", ""));
    let service = play.tree.service("hooks").script("traps", &listen).run(run);
    let service = service.program("control/a", "true\n");
    let service = service.program("control/i", "#!/no/where\n");
    let service = service.script("control/q", "say no").mode("control/q", 0o677);
    let service = service.file("control/1/x", "").script("control/2", "kill -TERM $$");
    symlink("h", play.tree.path("hooks/control/h")).unwrap();
    symlink("nowhere", play.tree.path("hooks/control/t")).unwrap();
    let hooks = play.start(service);
    play.hear(2);
    for foo in [&file, &hooks] {
        play.main(foo, runs);
        for byte in *b"haiq1t" {
            play.step(&char::from(byte).to_string());
            foo.control(&[byte]);
            play.hear(1);
        }
        let pid = foo.wait(runs).pid;
        foo.control(b"o");
        foo.wait(|status| status.want == Want::Down);
        process::send(pid, Signal::SIGKILL).unwrap();
    }
    for foo in [file, hooks] {
        foo.wait(is_down);
        foo.control(b"x");
        play.end(foo);
    }
}

fn a_log_that_comes_later(play: &mut Play) {
    let foo = play.start(play.tree.service("foo").run(STAY));
    play.hear(1);
    play.main(&foo, runs);
    play.tree.service("foo").log("say log");
    foo.control(b"t");
    play.hear(1);
    play.main(&foo, runs);
    foo.control(b"x");
    play.end(foo);
}
