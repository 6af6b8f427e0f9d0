//! runsvchdir(8): make another set of services the current one.

use std::process::ExitCode;

use homerun::{cli, runsvchdir};

fn main() -> ExitCode {
    let (program, args) = cli::arguments("runsvchdir");
    let usage = runsvchdir::usage(program.clone());
    match args.as_slice() {
        [help] if help == "--help" || help == "--version" => {
            usage.parse(runsvchdir::command(), args).err().unwrap_or(ExitCode::SUCCESS)
        }
        [set, ..] => runsvchdir::run(&program, set),
        [] => usage.fail(),
    }
}
