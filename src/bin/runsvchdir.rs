//! runsvchdir(8): make another set of services the current one.
#![cfg_attr(not(test), no_main)]

use homerun::{cli, runsvchdir};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("runsvchdir");
    let usage = runsvchdir::usage(program.clone());
    match args.as_slice() {
        [help] if help == "--help" || help == "--version" => usage.describe(&runsvchdir::SYNOPSIS, help.clone()),
        [set, ..] => runsvchdir::run(&program, set),
        [] => usage.fail(),
    }
}
