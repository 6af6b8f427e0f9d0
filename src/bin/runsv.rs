//! runsv(8): supervise one service and its log service.
#![cfg_attr(not(test), no_main)]

use std::ffi::OsString;

use homerun::{cli, runsv};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("runsv");
    // Any other single argument is a directory, whatever it begins with: so says the original.
    match <[OsString; 1]>::try_from(args) {
        Ok([help]) if help == "--help" || help == "--version" => runsv::usage(program).describe(&runsv::SYNOPSIS, help),
        Ok([directory]) => {
            drop(program); // what is not needed any more is not kept for years
            runsv::run(directory)
        }
        Err(_) => runsv::usage(program).fail(),
    }
}
