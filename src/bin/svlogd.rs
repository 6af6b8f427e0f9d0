//! svlogd: the log service.

use std::process::ExitCode;

fn main() -> ExitCode {
    let (name, args) = homerun::cli::arguments("svlogd");
    match homerun::svlogd::options::parse(name, args) {
        Ok((settings, directories)) => homerun::svlogd::run(settings, directories),
        Err(exit) => exit,
    }
}
