//! svlogd: the log service.
#![cfg_attr(not(test), no_main)]

homerun::program!(run);

fn run() -> u8 {
    let (name, args) = homerun::cli::arguments("svlogd");
    match homerun::svlogd::options::parse(name, args) {
        Ok((settings, directories)) => homerun::svlogd::run(settings, directories),
        Err(exit) => exit,
    }
}
