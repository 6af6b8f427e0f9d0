//! Users to test with: made for one test where it runs as root, else whoever runs it.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::support::*;

/// A tree that a user can reach, and the user; both go, with every process of theirs.
pub struct Land {
    pub tree: Tree, // first: what would start the user's processes again is ended before these
    pub user: Account,
}

impl Land {
    /// With a made user; without root the test is skipped.
    pub fn made() -> Option<Land> {
        if !is_root() {
            skip("needs root");
            return None;
        }
        let tree = Tree::with_own_programs();
        let home = tree.path("home");
        Some(Land { user: Account::make(home), tree })
    }

    /// With a made user whose home is `/home/NAME`; without root the test is skipped.
    pub fn at_home() -> Option<Land> {
        if !is_root() {
            skip("needs root");
            return None;
        }
        let name = new_name();
        let home = Path::new("/home").join(&name);
        Some(Land { tree: Tree::with_own_programs(), user: Account::make_named(&name, home) })
    }

    /// With a made user when this is root, else with who this is.
    pub fn anybody() -> Land {
        let tree = Tree::with_own_programs();
        let home = tree.path("home");
        Land { user: if is_root() { Account::make(home) } else { Account::own(home) }, tree }
    }

    /// A program of the tree, run as the user.
    pub fn as_user(&self, program: &str) -> Command {
        let mut command = self.tree.command(program);
        self.user.take(&mut command);
        command
    }

    /// A directory of the user's, such as `service/foo` in the home.
    pub fn directory(&self, name: &str) -> PathBuf {
        let mut path = self.user.home.clone();
        for part in Path::new(name).components() {
            path.push(part);
            if !path.exists() {
                fs::create_dir(&path).unwrap();
                self.user.give(&path);
            }
        }
        path
    }

    /// A script of the user's, which may `say` something.
    pub fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.user.home.join(name);
        self.directory(Path::new(name).parent().unwrap().to_str().unwrap());
        self.root_script(&path, text);
        self.user.give(&path);
        path
    }

    /// A script of this process's, which may `say` something whatever its environment.
    pub fn root_script(&self, path: &Path, text: &str) {
        let ear = self.tree.path("ear");
        let head = format!("#!/bin/sh\nsay() {{ printf '%s\\n' \"$*\" >'{}'; }}\n", ear.display());
        put_program(path, format!("{head}{text}\n"));
    }

    /// Every process of the made user.
    pub fn processes(&self) -> Vec<i32> {
        processes_of(self.user.uid)
    }
}

/// A user.
pub struct Account {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    /// The supplementary groups, of which a made user has three.
    pub groups: Vec<u32>,
    pub home: PathBuf,
    is_made: bool,
}

impl Account {
    /// Makes a user with three supplementary groups, and the home.
    pub fn make(home: PathBuf) -> Account {
        Account::make_named(&new_name(), home)
    }

    /// Makes a user with this name.
    pub fn make_named(name: &str, home: PathBuf) -> Account {
        let _machine = Machine::lock();
        let groups: Vec<String> = ["a", "b", "c"].iter().map(|end| format!("{name}{end}")).collect();
        for group in &groups {
            must("groupadd", &[group]);
        }
        must("useradd", &["-M", "-U", "-d", home.to_str().unwrap(), "-s", "/bin/sh", "-G", &groups.join(","), name]);
        let found = homerun::sys::user::account(name.as_ref()).unwrap().unwrap();
        let groups = groups.iter().map(|group| homerun::sys::user::group(group.as_ref()).unwrap().unwrap()).collect();
        let made = Account { name: name.to_owned(), uid: found.uid, gid: found.gid, groups, home, is_made: true };
        fs::create_dir(&made.home).unwrap();
        made.give(&made.home);
        made
    }

    /// Who runs the tests, with another home.
    pub fn own(home: PathBuf) -> Account {
        let uid = homerun::sys::user::uid();
        let found = homerun::sys::user::account_of(uid).unwrap().expect("who runs the tests is a known user");
        fs::create_dir(&home).unwrap();
        Account { name: found.name, uid, gid: found.gid, groups: Vec::new(), home, is_made: false }
    }

    /// Gives a file to the user.
    pub fn give(&self, path: &Path) {
        chown(path, Some(self.uid), Some(self.gid)).unwrap();
    }

    /// Lets a command run as the user.
    pub fn take(&self, command: &mut Command) {
        if self.is_made {
            command.uid(self.uid).gid(self.gid);
        }
        command.env("HOME", &self.home);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        if !self.is_made {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = processes_of(self.uid);
            if left.is_empty() || Instant::now() > deadline {
                break;
            }
            for pid in left {
                let _ = process::send(pid, Signal::SIGKILL);
                let _ = process::reap(pid);
            }
        }
        // A killed ssh-agent leaves its directory in /tmp.
        let in_tmp = fs::read_dir("/tmp").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
        let is_theirs = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| found.uid() == self.uid);
        let runtime = PathBuf::from(format!("/run/user/{}", self.uid));
        for path in in_tmp.filter(is_theirs).chain([runtime, self.home.clone()]) {
            let _ = fs::remove_dir_all(&path).or_else(|_| fs::remove_file(&path));
        }
        let _machine = Machine::lock();
        must("userdel", &[&self.name]); // and the group of the same name
        for end in ["a", "b", "c"] {
            must("groupdel", &[&format!("{}{end}", self.name)]);
        }
    }
}

/// A name for a user, that no other test has.
pub fn new_name() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("hr{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Every process with this real user id that has not ended.
pub fn processes_of(uid: u32) -> Vec<i32> {
    // Not the owner of /proc/PID: an agent that cannot be traced is shown as root's there.
    let line = format!("\nUid:\t{uid}\t");
    let is_theirs = |pid: i32| fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|text| text.contains(&line));
    homerun::sys::proc::relations().iter().filter(|it| !it.ended && is_theirs(it.pid)).map(|it| it.pid).collect()
}

/// One at a time for what changes the account database, in this test process and in others.
struct Machine {
    _others: File,
    _own: std::sync::MutexGuard<'static, ()>,
}

impl Machine {
    fn lock() -> Machine {
        let own = MACHINE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let others = File::open("/etc").unwrap();
        others.lock().unwrap();
        Machine { _others: others, _own: own }
    }
}

/// Runs a program that must succeed; what it says is of interest only if it does not.
fn must(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).env("PATH", path()).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}
