//! Rows that are measured while one tree of each suite is up: one deed in each tree in turn, again and again.

use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use std::os::fd::AsFd;

use crate::Outcome;
use crate::helper::{Helper, What};
use crate::process::{self, Processes, now};
use crate::report::{Report, Row};
use crate::suite::{PATIENCE, Suite};

/// How much is measured.
pub struct Plan {
    pub services: usize,
    /// Kills of services, control bytes and looks at one service.
    pub deeds: usize,
    pub restarts: usize,
    /// New directories and killed supervisors, for suites that see them at once.
    pub changes: usize,
    /// The same, for suites that look every few seconds.
    pub polled_changes: usize,
    pub idle_rounds: usize,
    pub idle: Duration,
}

/// After so long a life a service is started again at once.
const LONG: u64 = 1_300_000_000;

/// How long a single deed waits for a calm machine.
const BRIEFLY: Duration = Duration::from_millis(20);

/// Runit and daemontools look every 5 seconds.
const POLL: Duration = Duration::from_millis(5000);

/// A suite whose tree is up.
struct Tree<'a> {
    suite: &'a Suite,
    names: Vec<String>,
    /// Of each service: its process, and when it started.
    live: HashMap<String, (Pid, u64)>,
    next: usize,
}

impl Tree<'_> {
    /// The next service in turn, which has been up for long.
    fn service(&mut self) -> Outcome<(String, Pid)> {
        let name = self.names[self.next % self.names.len()].clone();
        self.next += 1;
        let (pid, since) = *self.live.get(&name).ok_or_else(|| format!("{name} was lost"))?;
        process::rest(Duration::from_nanos((since + LONG).saturating_sub(now())))?;
        Ok((name, pid))
    }

    /// Waits for the new process of a service, and tells when it started.
    fn started(&mut self, helper: &mut Helper, name: &str) -> Outcome<u64> {
        let found = helper.wait_for(What::Started, name, Duration::from_secs(10))?;
        self.live.insert(name.to_owned(), (found.pid, found.time));
        Ok(found.time)
    }

    /// The process of a service, and that of its supervisor.
    fn supervised(&self, name: &str) -> Option<(Pid, Pid)> {
        let (service, _) = *self.live.get(name)?;
        let supervisor = process::parent(service)?;
        let is_one = Some(supervisor) != self.suite.scanner() && supervisor != Pid::this();
        is_one.then_some((service, supervisor))
    }

    fn supervisors(&self, helper: &Helper, processes: &Processes) -> Vec<Pid> {
        self.suite.supervisors(helper, processes)
    }
}

pub fn measure(
    plan: &Plan,
    suites: &mut [Suite],
    helper: &mut Helper,
    work: &Path,
    report: &mut Report,
) -> Outcome<()> {
    eprintln!("{} services in each tree, all trees at once", plan.services);
    let mut booted = Vec::new();
    for suite in suites.iter_mut() {
        let names = suite.names(0..plan.services);
        let up = suite.lay_out(helper, work, &names, false).and_then(|()| suite.boot(helper, &names));
        match up {
            Ok(up) => booted.push((up, now())),
            Err(error) => {
                process::go_on()?;
                report.note(format!("{}: {error}; {}", suite.name, suite.said()));
                booted.push((crate::suite::Up { took: 0, pids: HashMap::new() }, 0));
            }
        }
    }
    let mut trees: Vec<Tree> = Vec::new();
    for (suite, (up, since)) in suites.iter().zip(booted) {
        let live: HashMap<_, _> = up.pids.into_iter().map(|(name, pid)| (name, (pid, since))).collect();
        if !live.is_empty() {
            trees.push(Tree { suite, names: suite.names(0..plan.services), live, next: 0 });
        }
    }
    process::rest(Duration::from_secs(2))?;
    if report.wants(&[Row::Idle]) {
        eprintln!("  idle");
        idle(plan, &trees, helper, report)?;
    }
    if report.wants(&[Row::Restart, Row::RestartCpu]) {
        eprintln!("  killed services");
        kills(plan, &mut trees, helper, report)?;
    }
    if report.wants(&[Row::Control]) {
        eprintln!("  control bytes");
        in_turn(plan.deeds, &mut trees, report, Row::Control, |tree, _| {
            let (name, _) = tree.service()?;
            let mut control = tree.suite.control(&name)?;
            helper.forget()?;
            let begin = now();
            control.write_all(b"h")?;
            let handled = helper.wait_for(What::Hangup, &name, PATIENCE)?.time;
            Ok(Some((handled - begin) as f64 / 1e3))
        })?;
    }
    if report.wants(&[Row::Status]) {
        eprintln!("  status");
        in_turn(plan.deeds, &mut trees, report, Row::Status, |tree, turn| {
            let (name, _) = tree.service()?;
            let took = process::run(&mut tree.suite.status(&name), PATIENCE)?;
            Ok((turn > 0).then_some(took as f64 / 1e3))
        })?;
    }
    if report.wants(&[Row::SvRestart]) {
        eprintln!("  sv restart");
        in_turn(plan.restarts, &mut trees, report, Row::SvRestart, |tree, turn| {
            let (name, _) = tree.service()?;
            let Some(mut command) = tree.suite.restart(&name) else { return Ok(None) };
            helper.forget()?;
            let took = process::run(&mut command, PATIENCE);
            tree.started(helper, &name)?;
            let took = took?;
            Ok((turn > 0).then_some(took as f64 / 1e6))
        })?;
    }
    if report.wants(&[Row::Detect]) {
        eprintln!("  new services");
        detect(plan, &mut trees, helper, report)?;
    }
    if report.wants(&[Row::Notice]) {
        eprintln!("  killed supervisors");
        notice(plan, &mut trees, helper, report)?;
    }
    process::end_all()?;
    for suite in suites.iter() {
        suite.clear()?;
    }
    Ok(())
}

/// Does a deed in each tree in turn, back and forth, and takes what it gives as a sample of the row.
///
/// A tree in which it has failed three times has no further turn.
fn in_turn(
    count: usize,
    trees: &mut [Tree],
    report: &mut Report,
    row: Row,
    mut deed: impl FnMut(&mut Tree, usize) -> Outcome<Option<f64>>,
) -> Outcome<()> {
    let mut failed = vec![0; trees.len()];
    for turn in 0..count {
        for step in 0..trees.len() {
            let which = if turn % 2 == 0 { step } else { trees.len() - 1 - step };
            if failed[which] == 3 {
                continue;
            }
            let tree = &mut trees[which];
            process::rest(Duration::from_millis(3))?;
            process::calm(BRIEFLY);
            match deed(tree, turn) {
                Ok(Some(value)) => report.add(row, &tree.suite.name, tree.names.len(), value),
                Ok(None) => {}
                Err(error) => {
                    process::go_on()?;
                    failed[which] += 1;
                    report.note(format!("{}: {}: {error}", tree.suite.name, row.name()));
                }
            }
        }
    }
    Ok(())
}

/// Kills services; what the supervisors need for that is taken in five parts.
fn kills(plan: &Plan, trees: &mut [Tree], helper: &mut Helper, report: &mut Report) -> Outcome<()> {
    let part = (plan.deeds / 5).max(1);
    for _ in 0..5 {
        let processes = Processes::read();
        let before: Vec<u64> =
            trees.iter().map(|tree| process::cpu_of(&tree.supervisors(helper, &processes))).collect();
        in_turn(part, trees, report, Row::Restart, |tree, _| {
            let (name, pid) = tree.service()?;
            helper.forget()?;
            let begin = now();
            signal::kill(pid, Signal::SIGKILL)?;
            Ok(Some((tree.started(helper, &name)? - begin) as f64 / 1e3))
        })?;
        process::rest(Duration::from_millis(200))?;
        let processes = Processes::read();
        for (tree, before) in trees.iter().zip(before) {
            let spent = process::cpu_of(&tree.supervisors(helper, &processes)).saturating_sub(before);
            report.add(Row::RestartCpu, &tree.suite.name, tree.names.len(), spent as f64 / part as f64 / 1e3);
        }
    }
    Ok(())
}

fn idle(plan: &Plan, trees: &[Tree], helper: &Helper, report: &mut Report) -> Outcome<()> {
    // What a start has put off is over by then.
    process::rest(Duration::from_secs(2))?;
    let processes = Processes::read();
    let supervisors: Vec<Vec<Pid>> = trees.iter().map(|tree| tree.supervisors(helper, &processes)).collect();
    for _ in 0..plan.idle_rounds {
        let sleeps = || supervisors.iter().map(|pids| process::sleeps_of(pids)).collect::<Vec<_>>();
        let before = sleeps();
        process::rest(plan.idle)?;
        for ((tree, before), after) in trees.iter().zip(before).zip(sleeps()) {
            let woken = (after - before) as f64 / plan.idle.as_secs_f64();
            report.add(Row::Idle, &tree.suite.name, tree.names.len(), woken);
        }
    }
    Ok(())
}

/// Links new service directories into the trees.
fn detect(plan: &Plan, trees: &mut [Tree], helper: &mut Helper, report: &mut Report) -> Outcome<()> {
    let add = |report: &mut Report, tree: &Tree, took: u64| {
        report.add(Row::Detect, &tree.suite.name, tree.names.len(), took as f64 / 1e6);
    };
    for turn in 0..plan.changes {
        for tree in trees.iter_mut().filter(|tree| !tree.suite.polls()) {
            let name = &tree.suite.names(6000 + turn..6001 + turn)[0];
            tree.suite.add(helper, name, false)?;
            process::rest(Duration::from_millis(20))?;
            process::calm(BRIEFLY);
            helper.forget()?;
            let begin = now();
            tree.suite.enable(name)?;
            let seen = match tree.suite.nudge() {
                Some(mut nudge) => process::run(&mut nudge, PATIENCE).map(|_| ()),
                None => Ok(()),
            };
            match seen.and_then(|()| helper.wait_for(What::Started, name, PATIENCE)) {
                Ok(found) => add(report, tree, found.time - begin),
                Err(error) => {
                    process::go_on()?;
                    report.note(format!("{}: detect: {error}", tree.suite.name));
                }
            }
        }
    }
    // The others at once, since each takes seconds; at moments all over their period.
    for turn in 0..plan.polled_changes {
        process::rest(POLL.mul_f64(spread(turn)))?;
        let mut new = Vec::new();
        for tree in trees.iter().filter(|tree| tree.suite.polls()) {
            let name = tree.suite.names(6000 + turn..6001 + turn).remove(0);
            tree.suite.add(helper, &name, false)?;
            new.push((tree, name));
        }
        helper.forget()?;
        let begin = now();
        for (tree, name) in &new {
            tree.suite.enable(name)?;
        }
        let names: Vec<String> = new.iter().map(|(_, name)| name.clone()).collect();
        match helper.wait_for_all(&names, PATIENCE) {
            Ok(found) => {
                for (tree, name) in &new {
                    if let Some((_, time)) = found.get(name) {
                        add(report, tree, time - begin);
                    }
                }
            }
            Err(error) => {
                process::go_on()?;
                report.note(format!("detect: {error}"));
            }
        }
    }
    Ok(())
}

/// Kills supervisors; their successors are seen as soon as they open their lock.
fn notice(plan: &Plan, trees: &mut [Tree], helper: &mut Helper, report: &mut Report) -> Outcome<()> {
    for turn in 0..plan.changes {
        for tree in trees.iter_mut().filter(|tree| tree.suite.replaces() && !tree.suite.polls()) {
            // An s6 supervisor that did not live for a second has a successor a second later only.
            process::rest(Duration::from_millis(20))?;
            process::calm(BRIEFLY);
            notice_in(&mut [tree], turn, report)?;
        }
    }
    for turn in 0..plan.polled_changes {
        process::rest(POLL.mul_f64(spread(turn)))?;
        let mut slow: Vec<&mut Tree> = trees.iter_mut().filter(|tree| tree.suite.polls()).collect();
        notice_in(&mut slow, turn, report)?;
    }
    helper.forget()
}

/// Kills the supervisor of one service in each of these trees, and waits for all successors.
fn notice_in(trees: &mut [&mut Tree], turn: usize, report: &mut Report) -> Outcome<()> {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
    let mut expected: HashMap<WatchDescriptor, (usize, u64)> = HashMap::new();
    let mut orphans = Vec::new();
    for (which, tree) in trees.iter().enumerate() {
        let name = &tree.names[turn % tree.names.len()];
        let Some((service, supervisor)) = tree.supervised(name) else {
            report.note(format!("{}: notice: {name} has no supervisor", tree.suite.name));
            continue;
        };
        let watch = inotify.add_watch(&tree.suite.lock(name), AddWatchFlags::IN_OPEN)?;
        let begin = now();
        signal::kill(supervisor, Signal::SIGKILL)?;
        expected.insert(watch, (which, begin));
        if !tree.suite.is_ours {
            orphans.push(service);
        }
    }
    let limit = now() + Duration::from_secs(15).as_nanos() as u64;
    while !expected.is_empty() && now() < limit {
        process::go_on()?;
        process::reap();
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        poll(&mut fds, PollTimeout::from(100u8))?;
        let seen = now();
        for event in inotify.read_events().unwrap_or_default() {
            if let Some((which, begin)) = expected.remove(&event.wd) {
                let tree = &trees[which];
                report.add(Row::Notice, &tree.suite.name, tree.names.len(), (seen - begin) as f64 / 1e6);
            }
        }
    }
    for (which, _) in expected.values() {
        report.note(format!("{}: notice: no successor in 15 s", trees[*which].suite.name));
    }
    // Their successors start a second process of the service; the first is nobody's.
    for service in orphans {
        let _ = signal::kill(service, Signal::SIGKILL);
    }
    Ok(())
}

/// Numbers between 0 and 1 that are spread evenly, however many there are.
fn spread(turn: usize) -> f64 {
    (turn as f64 * 0.618_034 + 0.31).fract()
}
