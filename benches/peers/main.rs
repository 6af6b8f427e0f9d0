//! Ours and every peer that is found, on the same work, in one run: `cargo bench`.
//!
//! Each row is a deed of supervisors, of `sv`, of `chpst` or of loggers. It is done in every suite in turn, back and
//! forth, and told with its median, least and greatest value, and the ratio of the medians to ours. The services are
//! tiny static programs that take the time themselves (`payload.c`), so that the supervisor is what is measured.
//!
//! All that is started is a descendant of this process, and is ended by pid; all files are in one directory, on a file
//! system in memory. Neither is left, also after an error or a signal.
//!
//! | module | holds |
//! |---|---|
//! | [`helper`] | the payload and its announcements |
//! | [`process`] | processes, their times and their end |
//! | [`suite`] | how each suite is started, spoken to and stopped |
//! | [`life`] | rows of whole trees: memory, start, stop |
//! | [`resident`] | rows of trees that are up: restart, control, clients, changes, rest |
//! | [`alone`] | rows of programs without a tree: chpst, loggers |
//! | [`report`] | the rows, statistics, and the tables |
//! | [`picture`] | growth as a picture |

mod alone;
mod helper;
mod life;
mod picture;
mod process;
mod report;
mod resident;
mod suite;

use std::error::Error;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::helper::Helper;
use crate::life::Life;
use crate::report::{Report, Row};
use crate::resident::Plan;
use crate::suite::Suite;

/// Of whatever may fail: what a suite fails in is noted and the others go on.
type Outcome<T> = Result<T, Box<dyn Error>>;

/// How peers are had; nothing is installed.
const FETCH: &str = "\
Peers are looked for in target/peers, in each directory of --peers, and in those of HOMERUN_PEERS, separated by colons.
On Debian, for the first:

    mkdir -p target/peers && cd target/peers
    apt-get download runit daemontools busybox-static s6 libs6-2.11 libskarnet2.13 execline libexecline2.9
    for package in *.deb; do dpkg -x \"$package\" .; done";

/// How much is measured.
struct Extent {
    lives: Vec<Life>,
    /// The number of services for which the table has a row.
    main: usize,
    plan: Plan,
    execs: usize,
    log_rounds: usize,
    log_megabytes: u64,
}

fn main() -> ExitCode {
    let matches = arguments().get_matches();
    match measure(&matches) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("peers: fatal: {error}");
            ExitCode::FAILURE
        }
    }
}

fn arguments() -> Command {
    let directories = |name: &'static str| {
        Arg::new(name).long(name).value_name("[NAME=]DIR").action(ArgAction::Append).value_parser(value_parser!(String))
    };
    let flag = |name: &'static str| Arg::new(name).long(name).action(ArgAction::SetTrue);
    Command::new("cargo bench --")
        .about("Measure ours and every peer that is found, on the same work.")
        .after_help(FETCH)
        .arg(flag("quick").help("Under a minute, with few samples and small trees"))
        .arg(
            Arg::new("row")
                .long("row")
                .value_name("ROW")
                .action(ArgAction::Append)
                .value_parser(Row::ALL.map(Row::name))
                .help("Only this row; may be given more than once"),
        )
        .arg(directories("peers").help("Directory with the programs of peers, or unpacked packages"))
        .arg(directories("ours").help("Another build of ours, to be measured beside this one"))
        .arg(flag("markdown").help("Print the README's tables instead of every row in full, which goes to stderr"))
        .arg(
            Arg::new("svg")
                .long("svg")
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help("Write the picture of growth"),
        )
        .arg(
            Arg::new("dir")
                .long("dir")
                .value_name("DIR")
                .value_parser(value_parser!(PathBuf))
                .help("Where services live while they are measured [default: /dev/shm, else the temporary directory]"),
        )
        // cargo says so.
        .arg(flag("bench").hide(true))
}

fn measure(matches: &ArgMatches) -> Outcome<()> {
    process::take_charge()?;
    let work = tempfile::Builder::new().prefix("homerun-bench-").tempdir_in(place(matches))?;
    // The user nobody runs a program in it.
    fs::set_permissions(work.path(), fs::Permissions::from_mode(0o755))?;
    let outcome = measure_in(work.path(), matches);
    let ended = process::end_all();
    work.close()?;
    outcome.and(ended)
}

fn place(matches: &ArgMatches) -> PathBuf {
    let shared = Path::new("/dev/shm");
    match matches.get_one::<PathBuf>("dir") {
        Some(chosen) => chosen.clone(),
        None if tempfile::tempfile_in(shared).is_ok() => shared.to_owned(),
        None => std::env::temp_dir(),
    }
}

fn measure_in(work: &Path, matches: &ArgMatches) -> Outcome<()> {
    let mut suites = suites(work, matches)?;
    let mut helper = Helper::build(work)?;
    suites.push(Suite::floor(&helper));
    let names: Vec<String> = suites.iter().map(|suite| suite.name.clone()).collect();
    let ours = suites.iter().filter(|suite| suite.is_ours).count();
    let wanted: Vec<Row> = match matches.get_many::<String>("row") {
        Some(asked) => {
            let asked: Vec<&String> = asked.collect();
            Row::ALL.into_iter().filter(|row| asked.iter().any(|asked| *asked == row.name())).collect()
        }
        None => Row::ALL.to_vec(),
    };
    let peers = suites.iter().filter(|suite| suite.is_peer()).count();
    let mut report = Report::new(names, ours, peers, wanted);
    let extent = if matches.get_flag("quick") { quick() } else { full() };
    // What was measured is told, also when it is cut short.
    let outcome = measure_all(&extent, &mut suites, &mut helper, work, &mut report);
    if matches.get_flag("markdown") {
        eprint!("{}", report.text());
        print!("{}", report.markdown(extent.main));
    } else {
        print!("{}", report.text());
    }
    if let Some(path) = matches.get_one::<PathBuf>("svg") {
        fs::write(path, picture::growth(&report)).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    outcome
}

fn measure_all(
    extent: &Extent,
    suites: &mut [Suite],
    helper: &mut Helper,
    work: &Path,
    report: &mut Report,
) -> Outcome<()> {
    for life in &extent.lives {
        let rows: &[Row] = match life.with_log {
            true => &[Row::MemoryWithLog],
            false => &[Row::Memory, Row::Up, Row::StartCpu, Row::Down, Row::StatusOfAll],
        };
        if report.wants(rows) {
            life::measure(life, suites, helper, work, report)?;
        }
    }
    let resident =
        [Row::Restart, Row::RestartCpu, Row::Control, Row::SvRestart, Row::Status, Row::Detect, Row::Notice, Row::Idle];
    if report.wants(&resident) {
        resident::measure(&extent.plan, suites, helper, work, report)?;
    }
    if report.wants(&[Row::Chpst]) {
        alone::chpst(extent.execs, suites, helper, report)?;
    }
    alone::loggers(extent.log_rounds, extent.log_megabytes, suites, helper, work, report)
}

fn quick() -> Extent {
    let settled = Duration::from_millis(300);
    let life = |services, with_log, looks| Life { services, with_log, rounds: 1, looks, settled };
    Extent {
        lives: vec![life(10, false, 0), life(200, false, 3), life(20, true, 0)],
        main: 200,
        plan: Plan {
            services: 30,
            deeds: 30,
            restarts: 4,
            changes: 3,
            polled_changes: 1,
            idle_rounds: 1,
            idle: Duration::from_secs(5),
        },
        execs: 30,
        log_rounds: 1,
        log_megabytes: 32,
    }
}

fn full() -> Extent {
    let settled = Duration::from_millis(700);
    let life = |services, with_log, rounds, looks| Life { services, with_log, rounds, looks, settled };
    Extent {
        lives: vec![
            life(10, false, 3, 0),
            life(100, false, 3, 0),
            life(1000, false, 3, 5),
            life(5000, false, 1, 0),
            life(100, true, 3, 0),
        ],
        main: 1000,
        plan: Plan {
            services: 100,
            deeds: 200,
            restarts: 30,
            changes: 10,
            polled_changes: 5,
            idle_rounds: 3,
            idle: Duration::from_secs(10),
        },
        execs: 300,
        log_rounds: 3,
        log_megabytes: 128,
    }
}

/// Ours first, then each peer, every name once.
fn suites(work: &Path, matches: &ArgMatches) -> Outcome<Vec<Suite>> {
    let built = Path::new(env!("CARGO_BIN_EXE_runsv")).parent().ok_or("the programs are nowhere")?;
    let mut found = vec![Suite::ours("ours", built)];
    for text in matches.get_many::<String>("ours").into_iter().flatten() {
        let (name, bin) = named(text);
        let bin = bin.canonicalize().map_err(|error| format!("{}: {error}", bin.display()))?;
        found.push(Suite::ours(name.unwrap_or("ours-too"), &bin));
    }
    let mut roots: Vec<String> = matches.get_many::<String>("peers").into_iter().flatten().cloned().collect();
    let listed = std::env::var("HOMERUN_PEERS").unwrap_or_default();
    roots.extend(listed.split(':').filter(|root| !root.is_empty()).map(str::to_owned));
    let usual = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers");
    if usual.is_dir() {
        roots.push(usual.display().to_string());
    }
    for text in &roots {
        let (name, root) = named(text);
        for suite in Suite::find(root, name, work)? {
            found.push(suite);
        }
    }
    for at in 0..found.len() {
        if found[..at].iter().any(|other| other.name == found[at].name) {
            return Err(
                format!("two suites are called {}: give one a name, as in --peers NAME=DIR", found[at].name).into()
            );
        }
    }
    if found.iter().all(|suite| suite.is_ours) {
        eprintln!("peers: warning: there is no peer\n{FETCH}\n");
    }
    Ok(found)
}

/// What a suite is called, if that is said, and where it is.
fn named(text: &str) -> (Option<&str>, &Path) {
    match text.split_once('=') {
        Some((name, path)) => (Some(name), Path::new(path)),
        None => (None, Path::new(text)),
    }
}
