//! Rows of programs that need no tree: chpst and the loggers.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::{geteuid, pipe2};

use nix::fcntl::OFlag;

use crate::Outcome;
use crate::helper::Helper;
use crate::process::{self, now};
use crate::report::{Report, Row};
use crate::suite::{PATIENCE, Stamps, Suite};

/// Becoming nobody and executing a program that does nothing, beyond the median of executing that alone.
pub fn chpst(count: usize, suites: &[Suite], helper: &Helper, report: &mut Report) -> Outcome<()> {
    if !geteuid().is_root() {
        report.note("chpst: only root can become somebody else".to_owned());
        return Ok(());
    }
    eprintln!("chpst");
    let mut bare = Vec::new();
    let mut taken = Vec::new();
    for turn in 0..count {
        process::calm(Duration::from_millis(20));
        bare.push(process::run(Command::new(&helper.tool).env_clear().arg("true"), PATIENCE)?);
        for step in 0..suites.len() {
            let suite = &suites[if turn % 2 == 0 { step } else { suites.len() - 1 - step }];
            process::calm(Duration::from_millis(20));
            let mut command = suite.as_nobody()?;
            match process::run(command.arg(&helper.tool).arg("true"), PATIENCE) {
                Ok(took) => taken.push((&suite.name, took)),
                Err(error) => {
                    process::go_on()?;
                    report.note(format!("{}: chpst: {error}", suite.name));
                }
            }
        }
    }
    bare.sort_unstable();
    let bare = bare[bare.len() / 2];
    for (suite, took) in taken {
        report.add(Row::Chpst, suite, 0, (took as f64 - bare as f64) / 1e3);
    }
    Ok(())
}

/// One way of writing lines to a logger.
struct Stream {
    row: Row,
    stamps: Stamps,
    /// Bytes a call.
    chunk: u64,
    bytes: u64,
}

/// Lines written to each logger, until it has ended: `megabytes` in large writes, a quarter of it one by one.
pub fn loggers(
    rounds: usize,
    megabytes: u64,
    suites: &[Suite],
    helper: &Helper,
    work: &Path,
    report: &mut Report,
) -> Outcome<()> {
    let bytes = megabytes * 1_000_000;
    let streams = [
        Stream { row: Row::LogPlain, stamps: Stamps::None, chunk: 65536, bytes },
        Stream { row: Row::LogStamped, stamps: Stamps::Tai64n, chunk: 65536, bytes },
        Stream { row: Row::LogLines, stamps: Stamps::None, chunk: 100, bytes: bytes / 4 },
    ];
    for stream in streams {
        let rows: &[Row] = if stream.row == Row::LogPlain { &[Row::LogPlain, Row::LogCpu] } else { &[stream.row] };
        if !report.wants(rows) {
            continue;
        }
        eprintln!("loggers, {}", stream.row.name());
        for round in 0..rounds {
            for step in 0..suites.len() {
                let suite = &suites[if round % 2 == 0 { step } else { suites.len() - 1 - step }];
                if suite.logger(work, stream.stamps).is_none() {
                    continue;
                }
                let directory = work.join("log");
                fs::create_dir(&directory)?;
                let outcome = suite.configure_log(&directory).and_then(|()| log(&stream, suite, helper, &directory));
                process::end_all()?;
                fs::remove_dir_all(&directory)?;
                match outcome {
                    Ok((took, cpu)) => {
                        report.add(stream.row, &suite.name, 0, stream.bytes as f64 / 1e6 / took);
                        if stream.row == Row::LogPlain {
                            report.add(Row::LogCpu, &suite.name, 0, cpu / (stream.bytes as f64 / 1e9));
                        }
                    }
                    Err(error) => {
                        process::go_on()?;
                        report.note(format!("{}: {}: {error}", suite.name, stream.row.name()));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Seconds until the logger had written all and ended, and seconds of CPU that it had.
fn log(stream: &Stream, suite: &Suite, helper: &Helper, directory: &Path) -> Outcome<(f64, f64)> {
    process::calm(Duration::from_millis(500));
    let (read, write): (OwnedFd, OwnedFd) = pipe2(OFlag::O_CLOEXEC)?;
    let mut command = suite.logger(directory, stream.stamps).ok_or("it has no logger")?;
    let mut logger = command.stdin(read).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // It has opened its directory by then, which is not what is measured.
    process::rest(Duration::from_millis(50))?;
    let begin = now();
    let mut writer = Command::new(&helper.tool)
        .env_clear()
        .args(["lines", &stream.bytes.to_string(), &stream.chunk.to_string()])
        .stdin(Stdio::null())
        .stdout(write)
        .spawn()?;
    let wrote = process::until_dead(process::pid_of(&writer), PATIENCE);
    let written = writer.wait()?;
    wrote?;
    let before = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let ended = process::until_dead(process::pid_of(&logger), PATIENCE);
    let took = (now() - begin) as f64 / 1e9;
    let status = logger.wait()?;
    ended?;
    let after = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let cpu = |usage: &nix::sys::resource::Usage| {
        [usage.user_time(), usage.system_time()]
            .iter()
            .map(|time| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6)
            .sum::<f64>()
    };
    if !written.success() || !status.success() {
        return Err(format!("the writer ended with {written}, the logger with {status}").into());
    }
    // Ten old files of a megabyte are kept, and the current one; the floor keeps one.
    let mut kept = 0;
    for entry in fs::read_dir(directory)? {
        kept += entry?.metadata()?.len();
    }
    if suite.has_logs() && !(8_000_000..14_000_000).contains(&kept) {
        return Err(format!("{kept} bytes are kept").into());
    }
    Ok((took, cpu(&after) - cpu(&before)))
}
