//! Links the supervisors of a release build statically, where the C library is glibc.
//!
//! A dynamic program has some 90 kB of its own, for the loader and the libraries, before it has done anything: more than
//! a supervisor needs in all. Programs that ask the account database stay dynamic, as glibc loads what answers when it is
//! asked; so does everything in a debug build, and where the parts are missing. With musl nothing is to be done here:
//! `config.toml` beside this file has it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The programs of which there are many, and which live long. None of them looks for a user.
const SUPERVISORS: [&str; 3] = ["runsv", "runsvdir", "svlogd"];

/// The shared libraries that the standard library names, and the archives to take instead.
const LIBRARIES: [(&str, &[&str]); 7] = [
    ("gcc_s", &["gcc_eh", "gcc"]),
    ("util", &["util"]),
    ("rt", &["rt"]),
    ("pthread", &["pthread"]),
    ("m", &["m"]),
    ("dl", &["dl"]),
    ("c", &["c", "gcc", "gcc_eh"]),
];

/// What is linked to see whether it works.
const PROBE: &str = "fn main() { std::process::exit(i32::from(std::env::args().len() != 1)) }";

fn main() {
    println!("cargo::rerun-if-changed=.cargo/build.rs");
    let says = |name: &str, value: &str| variable(name).split(',').any(|word| word == value);
    let is_meant = says("CARGO_CFG_TARGET_ENV", "gnu") && says("PROFILE", "release");
    if !is_meant || says("CARGO_CFG_TARGET_FEATURE", "crt-static") {
        return;
    }
    match arguments().filter(|arguments| works(arguments)) {
        Some(arguments) => {
            for (program, argument) in SUPERVISORS.iter().flat_map(|it| arguments.iter().map(move |arg| (it, arg))) {
                println!("cargo::rustc-link-arg-bin={program}={argument}");
            }
        }
        None => println!("cargo::warning=glibc cannot be linked statically here: supervisors need more memory"),
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn linker() -> String {
    env::var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned())
}

fn place() -> PathBuf {
    PathBuf::from(variable("OUT_DIR"))
}

/// The linker's further arguments: static, at a fixed address, and with a directory in which each of [`LIBRARIES`] is a
/// linker script that names archives. `None` where an archive is missing.
fn arguments() -> Option<Vec<String>> {
    let directory = place().join("archives");
    fs::create_dir_all(&directory).ok()?;
    for (library, archives) in LIBRARIES {
        let files = archives.iter().map(|name| archive(name)).collect::<Option<Vec<_>>>()?;
        fs::write(directory.join(format!("lib{library}.so")), format!("GROUP({})\n", files.join(" "))).ok()?;
    }
    let fixed = ["-static", "-no-pie", "-Wl,-z,noseparate-code"].map(str::to_owned);
    Some(fixed.into_iter().chain([format!("-L{}", directory.to_str()?)]).collect())
}

/// Where the linker has an archive.
fn archive(name: &str) -> Option<String> {
    let output = Command::new(linker()).arg(format!("-print-file-name=lib{name}.a")).output().ok()?;
    let path = String::from_utf8(output.stdout).ok()?.trim_end().to_owned();
    Path::new(&path).is_absolute().then_some(path) // what is not found is only a name
}

/// Whether a program can be linked so, and runs, if it is for this machine.
fn works(arguments: &[String]) -> bool {
    let (source, program) = (place().join("probe.rs"), place().join("probe"));
    if fs::write(&source, PROBE).is_err() {
        return false;
    }
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args(["--edition=2021", "--target", &variable("TARGET"), "-C", &format!("linker={}", linker())]);
    rustc.args(variable("CARGO_ENCODED_RUSTFLAGS").split('\x1f').filter(|flag| !flag.is_empty()));
    rustc.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    rustc.arg("-o").arg(&program).arg(&source).stdout(Stdio::null()).stderr(Stdio::null());
    let is_linked = rustc.status().is_ok_and(|status| status.success());
    let is_foreign = variable("HOST") != variable("TARGET");
    is_linked && (is_foreign || Command::new(&program).status().is_ok_and(|status| status.success()))
}
