//! The tables of `tests/README.md`: what they name is there, and every module of tests is in them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

/// A row: the section it stands in, and the tests its last cell names.
struct Row {
    section: String,
    tests: Vec<String>,
}

#[test]
fn every_test_that_a_row_names_is_there() {
    let (rows, tests) = (rows(), tests());
    assert!(tests.len() > 100, "the tests are not where they should be: {tests:?}");
    let missing: BTreeSet<&String> =
        rows.iter().flat_map(|row| &row.tests).filter(|name| !is_there(name, &tests)).collect();
    assert!(missing.is_empty(), "tests/README.md names what is not there: {missing:#?}");
    let bare: Vec<&String> = rows.iter().filter(|row| row.tests.is_empty()).map(|row| &row.section).collect();
    assert!(bare.is_empty(), "tests/README.md has rows that name no test, in {bare:#?}");
}

#[test]
fn every_module_of_tests_is_in_a_row() {
    let rows = rows();
    let named: Vec<&String> = rows.iter().flat_map(|row| &row.tests).collect();
    let is_named = |module: &str| named.iter().any(|name| is_within(name, module) || is_within(module, name));
    let tests = tests();
    let modules: BTreeSet<&str> = tests.iter().filter_map(|test| Some(test.rsplit_once("::")?.0)).collect();
    let unnamed: Vec<&str> = modules.into_iter().filter(|module| !is_named(module)).collect();
    assert!(unnamed.is_empty(), "tests/README.md does not name {unnamed:#?}");
}

#[test]
fn every_section_has_a_row() {
    let rows = rows();
    let text = readme();
    let sections: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert!(sections.len() > 5, "the sections are not where they should be: {sections:?}");
    let is_empty = |section: &&str| !rows.iter().any(|row| row.section == *section);
    let empty: Vec<&str> = sections.into_iter().filter(is_empty).collect();
    assert!(empty.is_empty(), "tests/README.md has nothing in {empty:#?}");
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn readme() -> String {
    fs::read_to_string(root().join("tests/README.md")).unwrap()
}

fn rows() -> Vec<Row> {
    let mut section = String::new();
    let mut rows = Vec::new();
    for line in readme().lines() {
        if let Some(title) = line.strip_prefix("## ") {
            title.clone_into(&mut section);
        }
        let Some(cells) = line.strip_prefix("| ").and_then(|rest| rest.strip_suffix(" |")) else { continue };
        if cells.ends_with("| held by") {
            continue;
        }
        // A `|` in a subject may look like the end of its cell; in the names of tests there is none.
        let last = cells.rsplit(" | ").next().unwrap_or_default();
        let tests = last.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        rows.push(Row { section: section.clone(), tests });
    }
    rows
}

/// Whether `name` is a test or a module with tests: of this program, or `lib::a::b` of a file below `src`.
fn is_there(name: &str, tests: &[String]) -> bool {
    match name.strip_prefix("lib::") {
        Some(module) => {
            let place = root().join("src").join(module.replace("::", "/"));
            let files = [place.with_extension("rs"), place.join("mod.rs")];
            files.iter().any(|file| fs::read_to_string(file).is_ok_and(|text| text.contains("#[test]")))
        }
        None => tests.iter().any(|test| is_within(test, name)),
    }
}

/// Whether the test or module `inner` is `outer` or stands in it.
fn is_within(inner: &str, outer: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Every test of this program, as it says itself.
fn tests() -> Vec<String> {
    let program = std::env::current_exe().unwrap();
    let output = Command::new(program).args(["--list", "--format", "terse"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    list.lines().filter_map(|line| line.strip_suffix(": test")).map(str::to_owned).collect()
}
