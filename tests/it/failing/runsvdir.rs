//! runsvdir, from its start to its end: services come and go, a supervisor is killed.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::{Child, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use homerun::model::status::{State, Status};
use homerun::sys::process;
use homerun::sys::signal::Signal;

use super::*;

/// How often to look for what nothing tells of.
const LOOK: Duration = Duration::from_millis(5);
/// In a short walk, how many calls go well between two that fail.
const EVERY: u32 = 50;
const THREADS: usize = 6;

/// A tree of services of actors.
struct Stage<'a> {
    tree: &'a Tree,
    name: String,
    faults: Faults,
    runsvdir: Child,
}

impl Stage<'_> {
    fn new<'a>(tree: &'a Tree, tools: &Tools, name: String, fault: impl FnOnce(&Faults)) -> Stage<'a> {
        for service in ["a", "b"] {
            tools.cast(&tree.directory(&format!("{name}/services/{service}")), &["run"]);
        }
        tools.cast(&tree.directory(&format!("{name}/c")), &["run"]);
        let faults = Faults::new(tree.path(format!("{name}/what.fails")));
        fault(&faults);
        let mut command = tree.command("runsvdir");
        faults.given_to(&mut command, "runsvdir", tools);
        let said = fs::File::create(tree.path(format!("{name}/said"))).unwrap();
        command.current_dir(tree.path(&name)).arg("services").stdout(Stdio::null()).stderr(said);
        Stage { tree, name, faults, runsvdir: command.spawn().unwrap() }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.tree.path(format!("{}/{name}", self.name))
    }

    /// Waits until it is so; an error says that it is not, or that runsvdir has ended.
    fn wait<T>(&mut self, what: &str, mut is_so: impl FnMut(&Self) -> Option<T>) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = is_so(self) {
                return Ok(found);
            }
            if let Some(status) = self.runsvdir.try_wait().unwrap() {
                return Err(format!("{what}: it ended with {status}"));
            }
            if Instant::now() > deadline {
                return Err(format!("{what}: in vain"));
            }
            thread::sleep(LOOK);
        }
    }

    fn status(&self, service: &str) -> Option<Status> {
        // Opening `ok` tells whether a supervisor is there.
        homerun::sys::file::open_write(self.path(&format!("{service}/supervise/ok"))).ok()?;
        Status::decode(&fs::read(self.path(&format!("{service}/supervise/status"))).ok()?)
    }

    fn runs(&self, service: &str) -> Option<Status> {
        self.status(service).filter(|status| status.state == State::Run && status.pid != 0)
    }

    /// Whether it runs and has written that it does: one that is ended before that could not be counted.
    fn has_begun(&self, service: &str) -> Option<Status> {
        let written = fs::read(self.path(&format!("{service}/written"))).unwrap_or_default();
        self.runs(service).filter(|_| written.ends_with(b"\n"))
    }

    fn tell(&mut self) -> Result<(), String> {
        let a = self.wait("a runs", |stage| stage.runs("services/a"))?;
        self.wait("b runs", |stage| stage.runs("services/b"))?;
        symlink(self.path("c"), self.path("services/c")).unwrap();
        self.wait("c runs", |stage| stage.has_begun("c"))?;
        let relations = homerun::sys::proc::relations();
        let parent = relations.iter().find(|it| it.pid == a.pid).map_or(0, |it| it.parent);
        process::send(parent, Signal::SIGKILL).map_err(|error| format!("its supervisor: {error}"))?;
        wait_until_gone(parent);
        self.wait("a has a supervisor again", |stage| stage.status("services/a"))?;
        fs::remove_file(self.path("services/c")).unwrap();
        self.wait("c goes", |stage| stage.status("c").is_none().then_some(()))?;
        process::send(i32::try_from(self.runsvdir.id()).unwrap(), Signal::SIGTERM).unwrap();
        match self.wait("it goes", |_| None::<()>) {
            Err(end) if end.contains("exit status: 0") => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// Ends what it left, and gives what was wrong.
    fn end(&mut self, told: Result<(), String>) -> Option<String> {
        let had_begun = self.faults.processes() > 0;
        let _ = self.runsvdir.kill();
        let _ = self.runsvdir.wait();
        let read = |name: &str| fs::read_to_string(self.path(name)).unwrap_or_default();
        let services = ["services/a", "services/b", "c"];
        let wrong = match told {
            Err(_) if !had_begun => None, // it refused to start
            Err(wrong) => Some(wrong),
            Ok(()) => services.iter().find_map(|service| {
                // No service ended before its time, and none ran twice.
                let written = read(&format!("{service}/written"));
                let once = written.lines().count() == 1 && read(&format!("{service}/twice")).is_empty();
                (!once).then(|| format!("{service}: {written}"))
            }),
        };
        for service in services {
            let control = homerun::sys::file::open_write(self.path(&format!("{service}/supervise/control")));
            let _ = control.and_then(|mut control| std::io::Write::write(&mut control, b"x"));
        }
        wrong.map(|wrong| format!("{}: {}: {wrong}\n{}", self.name, self.faults.failed(), read("said")))
    }
}

#[test]
fn whatever_call_of_runsvdir_fails_it_goes_on_and_touches_no_service() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let mut well = Stage::new(&tree, &tools, "well".into(), |_| {});
    let told = well.tell();
    assert_eq!(well.end(told), None);
    let calls = well.faults.calls();
    let start = (1..calls).find(|number| well.faults.told(*number) == "clone").unwrap();
    let last = if is_long() { calls + EVERY } else { start + EVERY };
    let next = AtomicU32::new(1);
    let bad = Mutex::new(Vec::new());
    let turn = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= last {
            return;
        }
        // Alone each failure may end it before it has started anything. Later, one after the other in one story.
        let every = if is_long() || number < start { 0 } else { EVERY };
        let name = format!("fault{number}");
        let mut stage = Stage::new(&tree, &tools, name, |faults| faults.fail(number, every, number));
        let told = stage.tell();
        bad.lock().unwrap().extend(stage.end(told));
    };
    at_once(THREADS, turn);
    let bad = bad.into_inner().unwrap();
    assert!(bad.is_empty(), "{} of {calls} calls: {bad:#?}", bad.len());
}

#[test]
fn without_memory_runsvdir_touches_no_service_and_starts_what_came_meanwhile_once_there_is_some() {
    let tree = Tree::new();
    let Some(tools) = Tools::build(&tree) else { return };
    let mut stage = Stage::new(&tree, &tools, "poor".into(), |_| {});
    stage.wait("a runs", |stage| stage.runs("services/a")).unwrap();
    stage.wait("b runs", |stage| stage.runs("services/b")).unwrap();
    stage.faults.fail_all("malloc", libc::ENOMEM);
    symlink(stage.path("c"), stage.path("services/c")).unwrap();
    // Several looks: how soon the next one comes, time goes fifty times as fast.
    stage.wait("looks", |stage| (stage.faults.failures() > 20).then_some(())).unwrap();
    stage.faults.lift();
    stage.wait("c runs", |stage| stage.has_begun("c")).unwrap();
    let said = fs::read_to_string(stage.path("said")).unwrap();
    assert_eq!(said, "runsvdir services: warning: unable to look at services: out of memory\n");
    fs::remove_file(stage.path("services/c")).unwrap();
    stage.wait("c goes", |stage| stage.status("c").is_none().then_some(())).unwrap();
    process::send(i32::try_from(stage.runsvdir.id()).unwrap(), Signal::SIGTERM).unwrap();
    stage.runsvdir.wait().unwrap();
    assert_eq!(stage.end(Ok(())), None);
}
