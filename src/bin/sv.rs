//! sv(8): control services, and say how they are.

use std::process::ExitCode;

use homerun::{cli, sv};

fn main() -> ExitCode {
    let (program, args) = cli::arguments("sv");
    sv::run(&program, args)
}
