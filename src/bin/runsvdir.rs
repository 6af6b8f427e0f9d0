//! runsvdir(8): start and watch a runsv for each service in a directory.
#![cfg_attr(not(test), no_main)]

use homerun::{cli, runsvdir};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("runsvdir");
    let usage = runsvdir::usage(program);
    match args.as_slice() {
        [help] if help == "--help" || help == "--version" => usage.describe(&runsvdir::SYNOPSIS, help.clone()),
        _ => match runsvdir::Invocation::read(&args) {
            Some(invocation) => runsvdir::run(invocation),
            None => usage.fail(),
        },
    }
}
