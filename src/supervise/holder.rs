//! Who holds a lock, for whoever cannot have it.

use std::fs::{self, File, Metadata};
use std::io::{Read as _, Write as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use super::world;
use crate::model::holder::Holder;
use crate::model::note::World;
use crate::sys::{file, proc, process};

/// Writes into a lock file who holds it: another host that shares the file can tell in no other way.
///
/// The original neither writes nor reads anything there.
pub(super) fn sign(lock: &File, world: Option<World>) {
    let (Some(world), Some(host)) = (world, proc::host_name()) else { return };
    let holder = Holder { pid: process::id(), host: host.into_vec(), world };
    let text = &mut [0; Holder::MOST_BYTES];
    let is_empty = lock.metadata().is_ok_and(|found| found.len() == 0); // as it is at first: emptying it takes longer
    let emptied = if is_empty { Ok(()) } else { lock.set_len(0) };
    let _ = emptied.and_then(|()| (&mut &*lock).write_all(holder.encode(text)));
}

/// Who holds the lock of the file or directory `path`, as far as that can be told: `process 7 on host foo`. The holder
/// is a `program`.
pub fn of(path: &Path, program: &str) -> Option<String> {
    let found = fs::metadata(path).ok()?;
    let locker = proc::flock_holders(inode(&found)).into_iter().find(|pid| is_program(*pid, program));
    if let Some(pid) = locker {
        return Some(format!("process {pid}"));
    }
    let mut text = [0; Holder::MOST_BYTES];
    let length = file::open_read(path).ok().filter(|_| found.is_file())?.read(&mut text).ok()?;
    let holder = Holder::decode(&text[..length])?;
    let host = String::from_utf8_lossy(&holder.host).into_owned();
    match world().ok()? {
        world if world == holder.world => here(&holder, program).map(|pid| format!("process {pid}")),
        world if world.boot == holder.world.boot => {
            Some(format!("process {} in another container, {host}", holder.pid))
        }
        _ => Some(format!("process {} on host {host}", holder.pid)),
    }
}

/// The process of a holder, if that is one of these here and now, and still a `program`.
pub(super) fn here(holder: &Holder, program: &str) -> Option<i32> {
    let is_here = world().is_ok_and(|world| world == holder.world);
    (is_here && is_program(holder.pid, program)).then_some(holder.pid)
}

/// Whether a process is a `program`.
pub fn is_program(pid: i32, program: &str) -> bool {
    let command = proc::command_line(pid);
    let name = command.split(|byte| *byte == 0).next().unwrap_or_default();
    name.rsplit(|byte| *byte == b'/').next() == Some(program.as_bytes())
}

fn inode(found: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(found)
}
