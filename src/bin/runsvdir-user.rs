//! runsvdir-user(8): run the services of a user, as that user.

use std::process::ExitCode;

use homerun::{cli, runsvdir_user};

fn main() -> ExitCode {
    let (program, args) = cli::arguments("runsvdir-user");
    runsvdir_user::run(program, args)
}
