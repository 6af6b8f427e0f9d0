//! chpst: change the process state, then become another program.
#![cfg_attr(not(test), no_main)]

use homerun::{chpst, cli};

homerun::program!(run);

fn run() -> u8 {
    let (name, args) = cli::arguments("chpst");
    chpst::run(&name, args)
}
