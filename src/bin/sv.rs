//! sv(8): control services, and say how they are.
#![cfg_attr(not(test), no_main)]

use homerun::{cli, sv};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("sv");
    sv::run(&program, args)
}
