//! Which processes a service has, as /proc tells.

use std::fs;

use homerun::sys::file::Identity;
use homerun::sys::proc;

/// What a process is to its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Run,
    Log,
    Supervisor,
}

impl Part {
    pub const ALL: [Part; 3] = [Part::Run, Part::Log, Part::Supervisor];
}

/// A service directory and its `log`, whatever they are called now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub main: Identity,
    pub log: Identity,
}

/// The processes that run at one moment, more or less.
pub struct Look(Vec<Seen>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    pid: i32,
    directory: Identity,
    words: Vec<u8>,
}

/// None for a process that has ended: it is nowhere.
fn see(pid: i32) -> Option<Seen> {
    let directory = Identity::of(&fs::metadata(format!("/proc/{pid}/cwd")).ok()?);
    Some(Seen { pid, directory, words: proc::command_line(pid) })
}

impl Look {
    pub fn now() -> Look {
        let pid_of = |entry: fs::DirEntry| entry.file_name().to_str()?.parse().ok();
        let pids = fs::read_dir("/proc").unwrap().filter_map(|entry| pid_of(entry.ok()?));
        Look(pids.filter_map(see).collect())
    }

    pub fn processes(&self, place: Place, part: Part) -> Vec<i32> {
        let is_script = |words: &[u8]| words.ends_with(b"\0./run\0");
        let is_it = |seen: &&Seen| match part {
            Part::Run => seen.directory == place.main && is_script(&seen.words),
            Part::Log => seen.directory == place.log && (is_script(&seen.words) || seen.words.starts_with(b"svlogd\0")),
            Part::Supervisor => seen.directory == place.main && seen.words.starts_with(b"runsv\0"),
        };
        self.0.iter().filter(is_it).map(|seen| seen.pid).collect()
    }

    /// Two processes of one part of a service that ran at the same time.
    ///
    /// A look takes a moment, in which one may end and the next one begin: both must still run after it.
    pub fn twins(&self, place: Place, part: Part) -> Option<Vec<i32>> {
        let mut pids = self.processes(place, part);
        if pids.len() < 2 {
            return None;
        }
        let now = proc::relations();
        let runs = |pid: i32| now.iter().any(|it| it.pid == pid && !it.ended);
        pids.retain(|pid| runs(*pid) && self.0.iter().any(|seen| see(*pid).as_ref() == Some(seen)));
        (pids.len() > 1).then_some(pids)
    }
}
