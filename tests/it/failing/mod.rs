//! Supervisors whose system calls fail, one after the other: they go on.
//!
//! `faults.c` is preloaded into the supervisor and fails the n-th call it makes; `actor.c` is every program of the
//! service. A walk tells the same story again and again, with another call failing each time, until there is none
//! left. HOMERUN_FAULTS=all walks through every error that each call may have, instead of one.

mod flat;
mod killed;
mod runsv;
mod runsvdir;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// How many times faster time goes for a supervisor under test: a pause of a second is none worth speaking of.
const SPEED: u32 = 50;

/// The two C programs, built; None where there is no compiler.
struct Tools {
    library: PathBuf,
    actor: PathBuf,
}

impl Tools {
    fn build(tree: &Tree) -> Option<Tools> {
        if !has("gcc") {
            return None;
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/failing");
        let build = |name: &str, flags: &[&str]| {
            let target = tree.path(name);
            let mut gcc = Command::new("gcc");
            gcc.args(["-Wall", "-Wextra", "-Werror", "-O1", "-o"]).arg(&target).args(flags);
            let output = gcc.arg(source.join(name).with_extension("c")).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            target
        };
        Some(Tools { library: build("faults", &["-shared", "-fPIC"]), actor: build("actor", &[]) })
    }

    /// Puts the actor in the place of these programs.
    fn cast(&self, directory: &Path, programs: &[&str]) {
        for program in programs {
            let path = directory.join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::hard_link(&self.actor, path).unwrap();
        }
    }
}

/// The file that says what fails: `struct faults` in `faults.c`.
struct Faults {
    file: File,
    path: PathBuf,
}

const KILLED: u32 = 0x7fff_ffff;
const NEW_KILLED: i32 = 0x7fff_fffe;
const NAME: usize = 24;
const TOLD: usize = 8192;
const NUMBERS: usize = 10;
const ONLY_AT: u64 = 4 * NUMBERS as u64;
const FAILED_AT: u64 = ONLY_AT + NAME as u64;
const TOLD_AT: u64 = FAILED_AT + NAME as u64;

impl Faults {
    /// At `path`: nothing fails.
    fn new(path: PathBuf) -> Faults {
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(TOLD_AT + (TOLD * NAME) as u64).unwrap();
        let faults = Faults { file, path };
        faults.set(4, SPEED);
        faults
    }

    /// Fails call number `first`, and then every so many, or no other with 0, each with one of the errors it may have.
    fn fail(&self, first: u32, every: u32, choice: u32) {
        self.set(1, every);
        self.set(2, choice);
        self.set(0, first);
    }

    /// Kills the supervisor at call number `number`.
    fn kill_at(&self, number: u32) {
        self.set(3, KILLED);
        self.set(0, number);
    }

    /// Fails every call of this name from now on, until it is [`Faults::lift`]ed; or kills each new process that makes it
    /// before it has become its program, with [`NEW_KILLED`].
    fn fail_all(&self, name: &str, error: i32) {
        let mut bytes = [0; NAME];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        self.file.write_all_at(&bytes, ONLY_AT).unwrap();
        self.set(3, u32::try_from(error).unwrap());
        self.set(1, 1);
        self.set(0, 1);
    }

    fn lift(&self) {
        self.set(0, 0);
    }

    fn calls(&self) -> u32 {
        self.get(5)
    }

    fn failures(&self) -> u32 {
        self.get(6)
    }

    /// Processes that were made.
    fn processes(&self) -> u32 {
        self.get(7)
    }

    /// Bytes of memory that the program has asked for and not given back.
    fn live(&self) -> u32 {
        self.get(9)
    }

    /// Signals that were not sent.
    fn refused(&self) -> u32 {
        self.get(8)
    }

    /// The name of the call that failed last.
    fn failed(&self) -> String {
        self.name_at(FAILED_AT)
    }

    /// The name of call number `number`.
    fn told(&self, number: u32) -> String {
        self.name_at(TOLD_AT + u64::from(number - 1) * NAME as u64)
    }

    fn name_at(&self, at: u64) -> String {
        let mut bytes = [0; NAME];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned()
    }

    fn set(&self, index: u64, value: u32) {
        self.file.write_all_at(&value.to_ne_bytes(), 4 * index).unwrap();
    }

    fn get(&self, index: u64) -> u32 {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, 4 * index).unwrap();
        u32::from_ne_bytes(bytes)
    }

    /// Preloads `tools` into `program`, which `command` starts.
    fn given_to(&self, command: &mut Command, program: impl AsRef<OsStr>, tools: &Tools) {
        command.env("LD_PRELOAD", &tools.library).env("FAULTS", &self.path).env("FAULTY", program);
    }
}

/// Tells stories on so many threads at once, until each of these has no more to tell.
fn at_once(threads: usize, tell: impl Fn() + Sync) {
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(&tell))));
}

/// Whether every error is to be walked through.
fn is_long() -> bool {
    std::env::var_os("HOMERUN_FAULTS").is_some_and(|value| value == "all")
}
