//! runsvdir-user(8): run the services of a user, as that user.
#![cfg_attr(not(test), no_main)]

use homerun::{cli, runsvdir_user};

homerun::program!(run);

fn run() -> u8 {
    let (program, args) = cli::arguments("runsvdir-user");
    runsvdir_user::run(program, args)
}
