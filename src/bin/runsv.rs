//! runsv(8): supervise one service and its log service.
#![cfg_attr(not(test), no_main)]

use homerun::{cli, runsv};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("runsv");
    let usage = runsv::usage(program);
    // Any other single argument is a directory, whatever it begins with: so says the original.
    match args.as_slice() {
        [help] if help == "--help" || help == "--version" => {
            usage.parse(&runsv::SYNOPSIS, args).err().unwrap_or(cli::EXIT_SUCCESS)
        }
        [directory] => runsv::run(directory),
        _ => usage.fail(),
    }
}
