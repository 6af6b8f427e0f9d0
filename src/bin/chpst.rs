//! chpst: change the process state, then become another program.

use std::process::ExitCode;

use homerun::{chpst, cli};

fn main() -> ExitCode {
    let (name, args) = cli::arguments("chpst");
    chpst::run(&name, args)
}
