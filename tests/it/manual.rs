//! The manual pages against the programs: what `--help` offers is what the page describes, and so are the exit codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::*;

/// What fits one screen.
const SCREEN_LINES: usize = 40;
const SCREEN_COLUMNS: usize = 100;

#[test]
fn the_help_of_every_program_fits_one_screen_and_names_its_page() {
    for program in all() {
        let help = help_of(&program);
        assert!(help.starts_with(|first: char| first.is_uppercase()), "{program} says what it is for first:\n{help}");
        assert!(help.contains(&format!("\nUsage: {program} ")), "{program} says how it is used:\n{help}");
        assert!(help.ends_with(&format!("\nSee {program}(8).\n")), "{program} names its page last:\n{help}");
        assert!(help.lines().count() <= SCREEN_LINES, "{program} needs more than {SCREEN_LINES} lines:\n{help}");
        let widest = help.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(SCREEN_COLUMNS), "{program} needs {widest:?} columns:\n{help}");
    }
}

#[test]
fn every_option_of_the_help_is_in_the_page_and_the_other_way_round() {
    for program in all() {
        let (help, page) = (offered(&help_of(&program)), described(&page_of(&program)));
        assert!(!help.is_empty(), "{program} offers nothing");
        assert_eq!(help, page, "{program}: what --help offers is left, what its page describes is right");
    }
}

#[test]
fn every_exit_code_of_a_program_is_in_its_page() {
    for program in all() {
        let listed = listed_codes(&page_of(&program));
        let codes = exit_codes(&program);
        assert!(!codes.is_empty(), "{program} has no constants for its exit codes");
        for (name, code) in codes {
            assert!(listed.contains(&code), "man/{program}.8 does not list {code}, {name}: it has {listed:?}");
        }
    }
}

#[test]
fn every_page_is_about_a_program_and_is_called_by_its_name() {
    let pages = names_in("man", ".8");
    assert_eq!(pages, all());
    for page in pages {
        let text = page_of(&page);
        assert!(text.contains(&format!("\n.Dt {} 8\n", page.to_uppercase())), "man/{page}.8 has another title");
        assert!(text.contains(&format!("\n.Sh NAME\n.Nm {page}\n")), "man/{page}.8 has another name");
    }
}

/// Every program, by name.
fn all() -> BTreeSet<String> {
    names_in("src/bin", ".rs")
}

/// The files in a directory of the sources that end with `ending`, without that.
fn names_in(directory: &str, ending: &str) -> BTreeSet<String> {
    let entries = fs::read_dir(root().join(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page_of(program: &str) -> String {
    fs::read_to_string(root().join(format!("man/{program}.8"))).unwrap()
}

fn help_of(program: &str) -> String {
    let help = Outcome::of(Command::new(programs().join(program)).env_clear().arg("--help"));
    assert_eq!((help.stderr.as_str(), help.code), ("", Some(0)), "{program} --help");
    help.stdout
}

/// The options in a help text: `-x` or `--long`, with or without a value behind it, at the start of a line.
fn offered(help: &str) -> BTreeSet<String> {
    let lines = help.lines().filter_map(|line| line.strip_prefix("  "));
    let spellings = lines.filter_map(|line| line.trim_start().split("  ").next());
    let options = spellings.filter(|spelling| spelling.starts_with('-')).flat_map(|spelling| spelling.split(", "));
    options.map(|option| name_of(option.split(' ').next().unwrap_or_default())).collect()
}

/// The options in the lists of a page: each `.It Fl NAME`.
fn described(page: &str) -> BTreeSet<String> {
    let items = page.lines().filter_map(|line| line.strip_prefix(".It Fl "));
    items.map(|item| name_of(&format!("-{}", item.split(' ').next().unwrap_or_default()))).collect()
}

/// An option without what is attached to it: of `-t...` only the letter counts.
fn name_of(option: &str) -> String {
    let length = if option.starts_with("--") { option.len() } else { option.len().min(2) };
    option[..length].to_owned()
}

/// The numbers that the section on exit codes lists.
fn listed_codes(page: &str) -> BTreeSet<u8> {
    let section = page.split("\n.Sh ").find(|section| section.starts_with("EXIT STATUS")).unwrap_or_default();
    section.lines().filter_map(|line| line.strip_prefix(".It ")?.parse().ok()).collect()
}

/// The constants for exit codes in the source of a program: name and number.
fn exit_codes(program: &str) -> Vec<(String, u8)> {
    let module = root().join("src").join(program.replace('-', "_"));
    let mut files: Vec<PathBuf> = vec![module.with_extension("rs")];
    files.extend(fs::read_dir(&module).into_iter().flatten().map(|entry| entry.unwrap().path()));
    let sources: String = files.iter().filter_map(|file| fs::read_to_string(file).ok()).collect();
    let constants = sources.lines().filter_map(|line| line.trim_start().strip_prefix("pub const EXIT_"));
    constants
        .map(|constant| {
            let (name, value) = constant.trim_end_matches(';').split_once(": u8 = ").unwrap();
            (format!("EXIT_{name}"), value.parse().unwrap())
        })
        .collect()
}
