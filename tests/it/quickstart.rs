//! `etc/quickstart`: a tree to try, which leaves nothing behind.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use homerun::sys::process;
use homerun::sys::signal::Signal;

use crate::account::Land;
use crate::support::*;

/// Somebody with a copy of the project, who types commands.
struct Visitor {
    land: Land,
    is_root: bool,
    /// What HOMERUN_DIR names.
    dir: PathBuf,
}

impl Visitor {
    /// An ordinary user: made where this is root.
    fn ordinary() -> Visitor {
        let land = Land::anybody();
        Visitor { dir: land.user.home.join("try"), is_root: false, land: furnish(land) }
    }

    fn root() -> Option<Visitor> {
        let land = Land::made()?;
        Some(Visitor { dir: land.tree.path("try"), is_root: true, land: furnish(land) })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = if self.is_root { self.land.tree.command(program) } else { self.land.as_user(program) };
        // What the person has installed; the programs are named.
        command.env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("LC_ALL", "C").env("HOME", &self.land.user.home);
        command.env("HOMERUN_BIN", self.land.tree.path("bin"));
        command
    }

    fn quickstart(&self, args: &[&str]) -> Outcome {
        let mut command = self.command("sh");
        Outcome::of(command.arg(self.script()).args(args).env("HOMERUN_DIR", &self.dir))
    }

    fn script(&self) -> PathBuf {
        self.land.tree.path("project/etc/quickstart")
    }
}

/// The project's files, and a home that has much in it already.
fn furnish(land: Land) -> Land {
    let project = land.tree.directory("project");
    let source = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut copy = Command::new("cp");
    copy.arg("-R").args(["etc", "sv-templates"].map(|name| source.join(name))).arg(&project);
    assert!(copy.status().unwrap().success());
    for name in ["service/own/run", ".ssh/ssh-agent-env", ".gnupg/gpg-agent.conf", ".dbus/session-bus-env"] {
        land.script(name, "exit 1");
    }
    land
}

/// Each file in these directories of a home: name, owner, mode, times and content.
fn snapshot(home: &Path) -> Vec<String> {
    let mut seen = Vec::new();
    let mut left: Vec<PathBuf> = ["service", ".ssh", ".gnupg", ".dbus"].iter().map(|name| home.join(name)).collect();
    while let Some(path) = left.pop() {
        let found = fs::symlink_metadata(&path).unwrap();
        let times = (found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec());
        let content = fs::read(&path).unwrap_or_default();
        seen.push(format!("{} {} {:o} {times:?} {content:?}", path.display(), found.uid(), found.mode()));
        if found.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
    }
    seen.sort();
    seen
}

/// The services that can run here, in the order that `sv status` gives.
fn services() -> Vec<&'static str> {
    let is_installed = |name: &str| ["/usr/bin", "/bin"].iter().any(|place| Path::new(place).join(name).exists());
    let needs: [(&str, &[&str]); 4] = [
        ("clock", &[]),
        ("dbus", &["dbus-daemon", "dbus-send"]),
        ("gpg-agent", &["gpg-agent", "gpg-connect-agent"]),
        ("ssh-agent", &["ssh-agent", "ssh-add"]),
    ];
    needs.iter().filter(|(_, programs)| programs.iter().all(|it| is_installed(it))).map(|(name, _)| *name).collect()
}

/// Whether these lines say that every service runs, with its log service.
fn assert_all_run(lines: &[&str]) {
    let services = services();
    assert_eq!(lines.len(), services.len(), "{lines:?}");
    for (line, name) in lines.iter().zip(services) {
        assert!(line.starts_with(&format!("run: {name}: (pid ")) && line.contains("; run: log: (pid "), "{line}");
    }
}

/// The `/run/user/UID` of a made user, made as at a login.
fn runtime_directory(visitor: &Visitor) -> Option<PathBuf> {
    if visitor.is_root || !is_root() {
        return None;
    }
    let path = Path::new("/run/user").join(visitor.land.user.uid.to_string());
    fs::create_dir_all(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o700)).unwrap();
    visitor.land.user.give(&path);
    Some(path)
}

fn starts_and_stops(visitor: &Visitor) {
    let home = &visitor.land.user.home;
    let (before, dir) = (snapshot(home), visitor.dir.display());
    let runtime = runtime_directory(visitor);
    let said = visitor.quickstart(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    let (status, explained) = said.stdout.split_once("\n\n").unwrap();
    assert_all_run(&status.lines().collect::<Vec<_>>());
    assert!(explained.starts_with(&format!("Everything lives in {dir}: ")), "{explained}");

    let again = visitor.quickstart(&[]);
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""), "{}", again.stdout);
    let mut lines = again.stdout.lines();
    assert_eq!(lines.next(), Some(format!("quickstart: running already in {dir}").as_str()));
    assert_all_run(&lines.collect::<Vec<_>>());

    // Its own words are typed in: the settings of a shell, and the stop.
    let settings = explained.lines().find(|line| line.starts_with("  export ")).unwrap();
    let typed = format!("{settings}\nsv restart clock && cd / && sv status \"$SVDIR\"/clock && sv check clock");
    let typed = Outcome::of(visitor.command("sh").args(["-c", &typed]));
    assert_eq!((typed.code, typed.stderr.as_str()), (Some(0), ""), "{}", typed.stdout);
    let wanted = ["ok: run: clock: (pid ", &format!("run: {dir}/service/clock: (pid "), "ok: run: clock: (pid "];
    assert!(typed.stdout.lines().zip(wanted).all(|(line, wanted)| line.starts_with(wanted)), "{}", typed.stdout);

    let stop = explained.trim_end().lines().last().unwrap().trim();
    assert!(stop.starts_with(&format!("HOMERUN_DIR=\"{dir}\" sh \"")), "{stop}");
    let stopped = Outcome::of(visitor.command("sh").args(["-c", stop]));
    let wanted = format!("quickstart: stopping every service\nquickstart: stopped; {dir} is removed\n");
    assert_eq!(stopped, says(&wanted));
    assert!(!visitor.dir.exists());
    assert_eq!(visitor.land.tree.processes(), [0; 0]);
    assert_eq!(snapshot(home), before);
    let left = runtime.iter().flat_map(|path| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
    assert_eq!(left.collect::<Vec<_>>(), [""; 0].map(PathBuf::from));
    assert_eq!(visitor.quickstart(&["stop"]), says(&format!("quickstart: nothing runs in {dir}\n")));
}

#[test]
fn an_ordinary_user_starts_a_tree_and_stops_it_without_a_trace() {
    starts_and_stops(&Visitor::ordinary());
}

#[test]
fn root_starts_a_tree_and_stops_it_without_a_trace() {
    let Some(visitor) = Visitor::root() else { return };
    starts_and_stops(&visitor);
}

#[test]
fn it_lives_in_the_home_unless_told() {
    let visitor = Visitor::ordinary();
    let (dir, script) = (visitor.land.user.home.join(".homerun"), visitor.script());
    let quickstart = |args: &[&str]| Outcome::of(visitor.command("sh").arg(&script).args(args));
    let said = quickstart(&[]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
    assert!(dir.join("service/clock").is_dir());
    assert!(said.stdout.ends_with(&format!("\n\n  sh \"{}\" stop\n", script.display())), "{}", said.stdout);
    assert_eq!(quickstart(&["stop"]).code, Some(0));
    assert!(!dir.exists());
}

#[test]
fn a_directory_of_somebody_else_is_refused_and_kept() {
    let visitor = Visitor::ordinary();
    let dir = visitor.land.directory("try");
    let file = visitor.land.script("try/thesis", "exit 1");
    let text = format!(
        "quickstart: fatal: unable to make {}, or it holds something else: choose another directory in HOMERUN_DIR\n",
        dir.display()
    );
    assert_eq!(visitor.quickstart(&[]), fails(&text, 1));
    assert_eq!(visitor.quickstart(&["stop"]), says(&format!("quickstart: nothing runs in {}\n", dir.display())));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1);
    assert!(file.exists());
    assert_eq!(visitor.land.tree.processes(), [0; 0]);
}

#[test]
fn other_words_are_a_usage_error() {
    let visitor = Visitor::ordinary();
    assert_eq!(visitor.quickstart(&["status"]), fails("usage: quickstart [stop]\n", 2));
    assert_eq!(visitor.quickstart(&["stop", "now"]), fails("usage: quickstart [stop]\n", 2));
    assert!(!visitor.dir.exists());
}

#[test]
fn a_path_too_long_for_sockets_is_refused() {
    let visitor = Visitor::ordinary();
    let dir = visitor.land.user.home.join("x".repeat(80));
    let said = Outcome::of(visitor.command("sh").arg(visitor.script()).env("HOMERUN_DIR", &dir));
    let text = format!(
        "quickstart: fatal: unable to use {}: too long for the paths of sockets; choose a shorter one in HOMERUN_DIR\n",
        dir.display()
    );
    assert_eq!(said, fails(&text, 1));
    assert!(!dir.exists());
}

/// The pids of the tree's runsv and its runsvdir.
fn supervisors(visitor: &Visitor) -> [i32; 2] {
    let runsvdir = fs::read_to_string(visitor.dir.join("tree/supervise/pid")).unwrap().trim().parse().unwrap();
    let relations = homerun::sys::proc::relations();
    [relations.iter().find(|it| it.pid == runsvdir).unwrap().parent, runsvdir]
}

fn kill(pid: i32) {
    process::send(pid, Signal::SIGKILL).unwrap();
    wait_until_gone(pid);
}

#[test]
fn a_killed_tree_is_stopped_without_a_trace() {
    let visitor = Visitor::ordinary();
    assert_eq!(visitor.quickstart(&[]).code, Some(0));
    supervisors(&visitor).into_iter().for_each(kill);
    let stopped = visitor.quickstart(&["stop"]);
    assert_eq!(stopped, says(&format!("quickstart: stopped; {} is removed\n", visitor.dir.display())));
    assert!(!visitor.dir.exists());
    assert_eq!(visitor.land.tree.processes(), [0; 0]);
}

#[test]
fn a_tree_without_its_supervisor_is_stopped_without_a_trace() {
    let visitor = Visitor::ordinary();
    let dir = visitor.dir.display();
    for start_again in [false, true] {
        assert_eq!(visitor.quickstart(&[]).code, Some(0));
        kill(supervisors(&visitor)[0]);
        if start_again {
            let said = visitor.quickstart(&[]);
            assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""), "{}", said.stdout);
            assert!(said.stdout.starts_with("quickstart: stopping what a killed supervisor left\nrun: clock: (pid "));
        }
        let stopping = if start_again { "stopping every service" } else { "stopping what a killed supervisor left" };
        let wanted = format!("quickstart: {stopping}\nquickstart: stopped; {dir} is removed\n");
        assert_eq!(visitor.quickstart(&["stop"]), says(&wanted));
        assert!(!visitor.dir.exists());
        assert_eq!(visitor.land.tree.processes(), [0; 0]);
    }
}

#[test]
fn without_programs_nothing_is_made() {
    let visitor = Visitor::ordinary();
    let nowhere = visitor.land.user.home.join("nowhere");
    let mut command = visitor.command("sh");
    command.arg(visitor.script()).env("HOMERUN_DIR", &visitor.dir).env("HOMERUN_BIN", &nowhere);
    let text = format!("quickstart: fatal: unable to find the programs of homerun in {}\n", nowhere.display());
    assert_eq!(Outcome::of(&mut command), fails(&text, 1));
    assert!(!visitor.dir.exists());
}
