//! Other people's programs that read our files and lines: the real ones, and what others do, done again.
//!
//! What they see of our services is compared with what they see of C runit's.

mod ansible;
mod daemontools;
mod node_exporter;
mod others;
mod vsv;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use homerun::model::status::{State, Status};

use crate::support::*;

/// A program of a client, in the `bin` of the directory that HOMERUN_CLIENTS names; without it the test is skipped.
fn client(program: &str) -> Option<PathBuf> {
    let found = std::env::var_os("HOMERUN_CLIENTS").map(|place| Path::new(&place).join("bin").join(program));
    let found = found.filter(|file| fs::metadata(file).is_ok_and(|found| found.permissions().mode() & 0o111 != 0));
    if found.is_none() {
        skip(&format!("needs {program} in the directory bin of what HOMERUN_CLIENTS names"));
    }
    found
}

/// What comes of a story with our programs, and with C runit's.
fn with_both<T: Send>(story: impl Fn(&Path) -> T + Sync) -> Option<(T, T)> {
    let runit = runit()?;
    Some(std::thread::scope(|scope| {
        let original = scope.spawn(|| story(&runit));
        let ours = story(programs());
        (ours, original.join().unwrap())
    }))
}

/// A script that lasts until it is told to end, under a name that stays: it says `word` first.
fn lasting(word: &str) -> String {
    format!("say {word}; sleep 1000 >/dev/null 2>&1 & while :; do wait; done")
}

/// A tree whose services are linked from `sv` into `service`, which a runsvdir watches.
struct Watched {
    tree: Tree,
    runsvdir: Child, // which the end of the tree ends
}

impl Watched {
    /// With what `fill` puts into `sv`, all of it linked before the start.
    fn with(programs: &Path, fill: impl FnOnce(&Tree)) -> Watched {
        Watched::around(Tree::with(programs), fill)
    }

    fn around(tree: Tree, fill: impl FnOnce(&Tree)) -> Watched {
        let (service, sv) = (tree.directory("service"), tree.directory("sv"));
        fill(&tree);
        for entry in fs::read_dir(sv).unwrap() {
            let name = entry.unwrap().file_name();
            symlink(Path::new("../sv").join(&name), service.join(&name)).unwrap();
        }
        let runsvdir = tree.command("runsvdir").arg(service).stderr(Stdio::null()).spawn().unwrap();
        Watched { tree, runsvdir }
    }

    /// A program in the tree's `service`, for whom sv is patient; nor does it last longer than the test would wait.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let service = self.tree.path("service");
        let mut command = self.tree.command("timeout");
        command.arg((5 * PATIENCE).as_secs().to_string()).arg(program);
        command.env("SVWAIT", PATIENCE.as_secs().to_string()).env("SVDIR", &service).current_dir(service);
        command
    }

    fn sv(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command("sv").args(args))
    }

    fn wait(&self, name: &str, is_such: impl Fn(&Status) -> bool) -> Status {
        self.tree.wait_status(&self.tree.path("service").join(name).join("supervise"), is_such)
    }

    fn wait_until_it_runs(&self, name: &str) -> Status {
        self.wait(name, |status| status.state == State::Run && status.pid != 0)
    }

    fn wait_until_it_is_down(&self, name: &str) -> Status {
        self.wait(name, |status| status.state == State::Down)
    }

    /// `text` without what differs from one tree to another: the tree's path, pids and seconds.
    fn comparable(&self, text: &str) -> String {
        let text = text.replace(self.tree.path("").to_str().unwrap(), "HOME/");
        let mut shape = String::new();
        for c in text.chars() {
            match c {
                '0'..='9' if shape.ends_with('N') => {}
                '0'..='9' => shape.push('N'),
                c => shape.push(c),
            }
        }
        shape.replace("N second\n", "N seconds\n")
    }
}
