//! runsvdir(8): start and watch a runsv for each service in a directory.

use std::process::ExitCode;

use homerun::{cli, runsvdir};

fn main() -> ExitCode {
    let (program, args) = cli::arguments("runsvdir");
    let usage = runsvdir::usage(program);
    match args.as_slice() {
        [help] if help == "--help" || help == "--version" => {
            usage.parse(runsvdir::command(), args).err().unwrap_or(ExitCode::SUCCESS)
        }
        _ => match runsvdir::Invocation::read(&args) {
            Some(invocation) => runsvdir::run(invocation),
            None => usage.fail(),
        },
    }
}
