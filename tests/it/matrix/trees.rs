//! One day in the life of a tree, with each program in turn ours among the originals, or the original among ours.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::{fs, thread};

use homerun::model::status::State;
use homerun::sys::process::send;
use homerun::sys::signal::Signal;

use super::{same, without_numbers};
use crate::support::*;

const PROGRAMS: [&str; 5] = ["runsvdir", "runsv", "sv", "svlogd", "chpst"];

/// Which of [`PROGRAMS`] are ours.
type Cast = [bool; PROGRAMS.len()];

/// The tree, and all that was seen in it.
struct Day {
    tree: Tree,
    _programs: Tree,
    seen: Vec<String>,
}

impl Day {
    fn sv(&mut self, args: &[&str]) {
        let outcome = Outcome::of(self.tree.command("sv").env("SVDIR", self.tree.path("services")).args(args));
        self.seen.push(format!("sv {}: {}", args.join(" "), without_numbers(&format!("{outcome:?}"))));
    }

    /// Hears that a service is up, and waits until its record says so, too.
    fn hears_start(&self, service: &str) {
        let line = self.tree.heard();
        let (name, pid) = line.split_once(' ').unwrap();
        assert_eq!(name, service);
        let pid: i32 = pid.parse().unwrap();
        self.tree.wait_status(&self.tree.path(service).join("supervise"), |status| status.pid == pid);
    }

    fn hears(&mut self) {
        let line = self.tree.heard();
        self.seen.push(line);
    }

    /// What the records say, and the names and modes of their files.
    fn records(&mut self, service: &str) {
        let supervise = self.tree.path(service).join("supervise");
        let text = |name: &str| fs::read_to_string(supervise.join(name)).unwrap();
        let status = fs::read(supervise.join("status")).unwrap();
        let lines = format!("{}{}{:?}", without_numbers(&text("pid")), text("stat"), &status[16..]);
        self.seen.push(format!("{service}: {lines} of {}", status.len()));
        self.listing(&supervise);
    }

    fn listing(&mut self, directory: &Path) {
        let mut names: Vec<String> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                format!("{} {:o}", entry.file_name().to_string_lossy(), entry.metadata().unwrap().permissions().mode())
            })
            // How a killed supervisor's successor finds what it left is ours alone.
            .filter(|name| {
                ["lock", "control", "ok", "pid", "stat", "status", "current", "config"]
                    .iter()
                    .any(|known| name.starts_with(known))
            })
            .collect();
        names.sort();
        self.seen.extend(names);
    }
}

/// Links to the programs of a cast.
fn bin(tree: &Tree, runit: &Path, cast: Cast) -> PathBuf {
    let bin = tree.directory("bin");
    for (name, is_ours) in PROGRAMS.iter().zip(cast) {
        let programs = if is_ours { programs() } else { runit };
        symlink(programs.join(name), bin.join(name)).unwrap();
    }
    bin
}

/// Makes the tree of a day: two services, of which one is linked.
fn prepared(runit: &Path, cast: Cast) -> Day {
    let home = Tree::new();
    let bin = bin(&home, runit, cast);
    let tree = Tree::with(&bin);
    let run =
        "exec 2>&1; exec chpst -e ./env -b zero sh -c 'echo \"$0: hello $NAME\"; echo foo $$ >$EAR; exec sleep 1000'";
    let log = "mkdir -p main; exec svlogd main";
    let finish = "echo end $1 $2; say foo ends";
    let foo = tree.service("foo").run(run).log(log).file("env/NAME", "world\n").finish(finish).made();
    tree.service("bar").run("say bar $$; exec sleep 1000").finish("say bar ends $1 $2").made();
    let services = tree.directory("services");
    symlink(&foo, services.join("foo")).unwrap();
    // Else the original pauses for a second first.
    fs::File::open(&services).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    Day { tree, _programs: home, seen: Vec::new() }
}

/// Plays the day.
fn play(mut day: Day) -> Vec<String> {
    let [foo, bar, services] = ["foo", "bar", "services"].map(|name| day.tree.path(name));
    let said = fs::File::create(day.tree.path("said")).unwrap();
    let mut command = day.tree.command("runsvdir");
    let mut runsvdir = command.args(["-P", "services"]).stderr(said).spawn().unwrap();
    let tell = |signal| send(i32::try_from(runsvdir.id()).unwrap(), signal).unwrap();
    day.hears_start("foo");
    day.tree.wait_status(&foo.join("log/supervise"), |status| status.state == State::Run);
    day.sv(&["status", "foo"]);
    // A service is linked.
    symlink(&bar, services.join("bar")).unwrap();
    tell(Signal::SIGALRM);
    day.hears_start("bar");
    day.sv(&["status", "foo", "bar"]);
    day.records("foo");
    day.records("foo/log");
    day.records("bar");
    day.sv(&["-w", "20", "restart", "bar"]);
    day.hears();
    day.hears_start("bar");
    day.sv(&["-w", "20", "stop", "foo"]);
    day.hears();
    day.sv(&["status", "foo"]);
    day.records("foo");
    day.sv(&["-w", "20", "start", "foo"]);
    day.hears_start("foo");
    // The link goes, and with it the service.
    fs::remove_file(services.join("bar")).unwrap();
    tell(Signal::SIGALRM);
    day.hears();
    wait_until_unsupervised(&bar);
    day.records("bar");
    day.sv(&["status", "foo", "bar", "./bar"]);
    tell(Signal::SIGHUP);
    day.seen.push(format!("{:?}", wait_for_end(&mut runsvdir).unwrap().code()));
    day.hears();
    wait_until_unsupervised(&foo);
    day.records("foo");
    day.records("foo/log");
    day.listing(&foo.join("log/main"));
    day.seen.push(fs::read_to_string(foo.join("log/main/current")).unwrap());
    day.sv(&["status", "foo"]);
    // Another test may have started a process just when a script was written.
    let said = fs::read_to_string(day.tree.path("said")).unwrap();
    day.seen.extend(said.lines().filter(|line| !line.ends_with(": text busy")).map(str::to_owned));
    let place = day.tree.path("");
    day.seen.iter().map(|line| line.replace(place.to_string_lossy().trim_end_matches('/'), "TREE")).collect()
}

#[test]
fn a_day_in_the_life_of_a_tree_is_the_same_whoever_plays_which_part() {
    let Some(runit) = runit() else { return };
    let one = |alone: bool| (0..PROGRAMS.len()).map(move |at| std::array::from_fn(|each| (each == at) == alone));
    let casts: Vec<Cast> = one(true).chain(one(false)).chain([[true; PROGRAMS.len()]]).collect();
    // Before anything is started: a script that a new process still has open for writing is busy.
    let original = prepared(&runit, [false; PROGRAMS.len()]);
    let days: Vec<Day> = casts.iter().map(|cast| prepared(&runit, *cast)).collect();
    // Most of a day is waiting for the original: all at once.
    let (original, ours): (Vec<String>, Vec<Vec<String>>) = thread::scope(|scope| {
        let original = scope.spawn(|| play(original));
        let days: Vec<_> = days.into_iter().map(|day| scope.spawn(|| play(day))).collect();
        (original.join().unwrap(), days.into_iter().map(|day| day.join().unwrap()).collect())
    });
    for (cast, seen) in casts.iter().zip(&ours) {
        let names: Vec<&str> = PROGRAMS.iter().zip(cast).filter_map(|(name, ours)| ours.then_some(*name)).collect();
        println!("ours: {names:?}");
        same(seen, &original);
    }
}
