//! The payload and the tool, and the FIFO in which they announce what they do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;
use nix::unistd::{Pid, mkfifo};

use crate::Outcome;
use crate::process::{self, now};

/// Bytes of one announcement; its fields are in `payload.c`.
const LENGTH: usize = 64;

/// The programs made of `payload.c`, and the reading end of their FIFO.
pub struct Helper {
    /// A service.
    pub payload: PathBuf,
    /// A service that also reports that it is ready.
    pub ready: PathBuf,
    pub tool: PathBuf,
    /// Device and inode of both services.
    services: [(u64, u64); 2],
    fifo: File,
    held: VecDeque<Announcement>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum What {
    Launched,
    Started,
    Hangup,
}

pub struct Announcement {
    /// Nanoseconds of [`now`].
    pub time: u64,
    pub pid: Pid,
    pub what: What,
    /// Of the service, which is its directory's.
    pub name: String,
}

impl Helper {
    /// Compiles the programs into `directory`.
    pub fn build(directory: &Path) -> Outcome<Helper> {
        let path = directory.join("announcements");
        mkfifo(&path, Mode::from_bits_truncate(0o666))?;
        fs::set_permissions(&path, Permissions::from_mode(0o666))?;
        let fifo = OpenOptions::new().read(true).write(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path)?;
        // Room for as many announcements as may come between two looks; an ordinary user may have less.
        let _ = fcntl(&fifo, FcntlArg::F_SETPIPE_SZ(1 << 20));
        let source = directory.join("payload.c");
        fs::write(&source, include_str!("payload.c"))?;
        let build = |name: &str, kind: &str| compile(&source, &path, directory.join(name), kind);
        let (payload, ready) = (build("payload", "SERVICE")?, build("ready", "READY")?);
        let tool = build("tool", "TOOL")?;
        process::run(Command::new(&tool).arg("true"), Duration::from_secs(5))?;
        let of = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino()));
        let services = [of(&payload)?, of(&ready)?];
        Ok(Helper { payload, ready, tool, services, fifo, held: VecDeque::new() })
    }

    /// Whether the process is one of the services.
    pub fn is_service(&self, pid: Pid) -> bool {
        process::program(pid).is_ok_and(|program| self.services.contains(&program))
    }

    /// Forgets what was announced until now.
    pub fn forget(&mut self) -> Outcome<()> {
        self.read()?;
        self.held.clear();
        Ok(())
    }

    /// Waits for an announcement; others are forgotten.
    pub fn wait_for(&mut self, what: What, name: &str, limit: Duration) -> Outcome<Announcement> {
        let end = now() + limit.as_nanos() as u64;
        loop {
            process::go_on()?;
            self.read()?;
            while let Some(found) = self.held.pop_front() {
                if found.what == what && found.name == name {
                    return Ok(found);
                }
            }
            if now() > end {
                return Err(format!("{name} says nothing in {} s", limit.as_secs()).into());
            }
            let mut fds = [PollFd::new(self.fifo.as_fd(), PollFlags::POLLIN)];
            poll(&mut fds, PollTimeout::from(100u8))?;
        }
    }

    /// Waits until all services have started, without being woken by each, and tells the pid and the time of each.
    pub fn wait_for_all(&mut self, names: &[String], limit: Duration) -> Outcome<HashMap<String, (Pid, u64)>> {
        let end = now() + limit.as_nanos() as u64;
        let mut missing: HashSet<&str> = names.iter().map(String::as_str).collect();
        let mut found = HashMap::new();
        loop {
            process::go_on()?;
            self.read()?;
            for announcement in self.held.drain(..) {
                if announcement.what == What::Started && missing.remove(announcement.name.as_str()) {
                    found.insert(announcement.name, (announcement.pid, announcement.time));
                }
            }
            if missing.is_empty() {
                return Ok(found);
            }
            if now() > end {
                let text =
                    format!("{} of {} services do not start in {} s", missing.len(), names.len(), limit.as_secs());
                return Err(text.into());
            }
            std::thread::sleep(Duration::from_millis(3));
        }
    }

    fn read(&mut self) -> Outcome<()> {
        let mut buffer = [0; LENGTH * 512];
        loop {
            match self.fifo.read(&mut buffer) {
                // A write of this size is never torn, and so is no read of a multiple.
                Ok(count) => self.held.extend(buffer[..count].chunks_exact(LENGTH).filter_map(Announcement::decode)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Announcement {
    fn decode(bytes: &[u8]) -> Option<Announcement> {
        let (time, rest) = bytes.split_first_chunk()?;
        let (pid, rest) = rest.split_first_chunk()?;
        let (what, name) = rest.split_first_chunk()?;
        let what = match u8::try_from(u32::from_ne_bytes(*what)).ok()? {
            b'L' => What::Launched,
            b'S' => What::Started,
            b'H' => What::Hangup,
            _ => return None,
        };
        let name = name.split(|byte| *byte == 0).next()?;
        let name = String::from_utf8_lossy(name).into_owned();
        Some(Announcement { time: u64::from_ne_bytes(*time), pid: Pid::from_raw(i32::from_ne_bytes(*pid)), what, name })
    }
}

fn compile(source: &Path, fifo: &Path, program: PathBuf, kind: &str) -> Outcome<PathBuf> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let output = Command::new(&compiler)
        .args(["-Os", "-static", "-nostdlib", "-ffreestanding", "-fno-builtin", "-fno-pie", "-no-pie", "-s"])
        .args(["-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none", "-Wl,-z,norelro"])
        .arg(format!("-DANNOUNCE=\"{}\"", fifo.display()))
        .arg(format!("-D{kind}"))
        .arg("-o")
        .args([&program, source])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("a C compiler is needed for the payload: {}: {error}", compiler.display()))?;
    match output.status.success() {
        true => Ok(program),
        false => Err(format!("the payload cannot be built: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
