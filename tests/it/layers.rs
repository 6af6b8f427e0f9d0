//! The layers, as the map in `src/lib.rs` draws them: which module may use which, and what is kept out of each.

use std::fs;
use std::path::{Path, PathBuf};

/// What each module may use of the crate, besides itself. A program that shares a rule or a name with another one is
/// listed with it; nothing below a program knows one.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("sys", &[]),
    ("msg", &["model", "sys"]),
    ("cli", &["msg", "sys"]),
    ("handover", &["model", "sys"]),
    ("supervise", &["model", "msg", "sys"]),
    ("chpst", &["cli", "model", "msg", "sys"]),
    ("runsv", &["cli", "handover", "model", "msg", "supervise", "sys"]),
    ("runsvchdir", &["cli", "msg", "sys"]),
    ("runsvdir", &["cli", "handover", "model", "msg", "supervise", "sys"]),
    ("runsvdir_user", &["chpst", "cli", "model", "msg", "runsvdir", "sys"]),
    ("sv", &["cli", "model", "msg", "supervise", "sys"]),
    ("svlogd", &["cli", "model", "msg", "sys"]),
];

/// Lines that are not in a `#[cfg(test)] mod` and not comments; a file may be one as a whole.
struct Source {
    path: PathBuf,
    /// The module it belongs to, just below the crate; `bin` for programs.
    module: String,
    /// Each with its number.
    lines: Vec<(usize, String)>,
}

#[test]
fn modules_use_only_what_the_map_allows() {
    expect_none(|source, line| {
        let (_, allowed) = MAY_USE.iter().find(|(module, _)| *module == source.module)?;
        let mut used = line.split("crate::").skip(1).map(|rest| words(rest).next().unwrap_or_default());
        let foreign = used.find(|used| *used != source.module && !allowed.contains(used))?;
        Some(format!("{} must not use {foreign:?}, nor several modules in one line", source.module))
    });
}

#[test]
fn no_module_goes_around_the_map() {
    expect_none(|source, line| {
        // In `src/NAME/mod.rs`, `src/NAME.rs` and `src/NAME/PART.rs` one or two of these lead to the crate.
        let is_top = source.path.parent() == Some(Path::new("src")) || source.path.ends_with("mod.rs");
        let around = if is_top { "super::" } else { "super::super::" };
        line.contains(around).then(|| format!("{around} leads out of {}: write crate::", source.module))
    });
}

#[test]
fn programs_call_the_library_and_nothing_below_a_program() {
    expect_none(|source, line| {
        let low = words(line).find(|word| ["model", "msg", "supervise", "sys"].contains(word))?;
        let is_used = source.module == "bin" && line.contains("homerun::");
        is_used.then(|| format!("{low} is for the library"))
    });
}

#[test]
fn only_sys_is_unsafe_and_knows_libc() {
    expect_none(|source, line| {
        let found = ["unsafe", "libc::"].into_iter().find(|word| line.contains(word))?;
        (source.module != "sys").then(|| format!("{found} belongs into src/sys"))
    });
}

#[test]
fn nothing_panics_or_prints_past_a_closed_pipe() {
    const BAD: [&str; 7] = ["println!", "print!", "dbg!", "todo!", "unimplemented!", "panic!", ".unwrap()"];
    expect_none(|_, line| BAD.into_iter().find(|bad| line.contains(bad)).map(|bad| format!("{bad} is for tests")));
}

#[test]
fn the_model_knows_no_file_clock_environment_or_process() {
    const WORLD: [&str; 7] =
        ["std::fs", "std::env", "std::thread", "process::Command", "Instant::now", "SystemTime::now", "nix::unistd"];
    expect_none(|source, line| {
        let found = WORLD.into_iter().find(|word| line.contains(word))?;
        (source.module == "model").then(|| format!("{found}: facts come into the model as values"))
    });
}

#[test]
fn the_map_names_every_module_and_every_module_is_there() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let mut named: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("//! | ")?.split(" | ").next())
        .flat_map(|cell| cell.split("[`").skip(1).filter_map(|part| part.split("`]").next()))
        .collect();
    named.sort_unstable();
    let mut declared: Vec<&str> =
        map.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(";")).collect();
    declared.sort_unstable();
    let mut ruled: Vec<&str> = MAY_USE.iter().map(|(module, _)| *module).collect();
    ruled.sort_unstable();
    assert_eq!(named, declared, "the map is left, what src/lib.rs declares is right");
    assert_eq!(ruled, declared, "the modules with a rule here are left, what src/lib.rs declares is right");
    for program in fs::read_dir(root().join("src/bin")).unwrap() {
        let module = program.unwrap().path().file_stem().unwrap().to_str().unwrap().replace('-', "_");
        assert!(declared.contains(&module.as_str()), "src/bin has a program {module} that the library has not");
    }
}

/// Fails with every line of the sources that `fault` finds something wrong with.
fn expect_none(fault: impl Fn(&Source, &str) -> Option<String>) {
    let faults: Vec<String> = sources()
        .iter()
        .flat_map(|source| source.lines.iter().map(move |(number, line)| (source, number, line)))
        .filter_map(|(source, number, line)| {
            fault(source, line).map(|fault| format!("{}:{number}: {fault}: {}", source.path.display(), line.trim()))
        })
        .collect();
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut found = Vec::new();
    let mut directories = vec![root().join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(Source::read(&path));
            }
        }
    }
    assert!(found.len() > MAY_USE.len(), "the sources are not where they should be");
    found
}

impl Source {
    fn read(path: &Path) -> Source {
        let text = fs::read_to_string(path).unwrap();
        let path = path.strip_prefix(root()).unwrap().to_owned();
        let module = path.iter().nth(1).unwrap().to_str().unwrap().trim_end_matches(".rs").to_owned();
        let mut lines = Vec::new();
        let (mut in_tests, mut is_for_tests) = (false, false);
        for (number, line) in text.lines().enumerate() {
            in_tests |= line == "#[cfg(test)]";
            is_for_tests |= line == "#![cfg(test)]";
            if !in_tests && !is_for_tests && !line.trim_start().starts_with("//") {
                lines.push((number + 1, line.to_owned()));
            }
            in_tests &= line != "}";
        }
        Source { path, module, lines }
    }
}

/// The names in `text`; the first is empty where it begins with none, as with a `{`.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|char: char| !char.is_alphanumeric() && char != '_')
}
