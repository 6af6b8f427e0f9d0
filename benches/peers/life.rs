//! Rows for which a tree is started and stopped: one suite at a time, in turn and back again.

use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::helper::Helper;
use crate::process::{self, Processes};
use crate::report::{Report, Row};
use crate::suite::{PATIENCE, Suite};

/// What is measured in one life of a tree.
pub struct Life {
    pub services: usize,
    pub with_log: bool,
    pub rounds: usize,
    /// Calls for the status of all services in each life.
    pub looks: usize,
    /// How long a tree rests after its start, before its memory is looked at.
    pub settled: Duration,
}

pub fn measure(
    life: &Life,
    suites: &mut [Suite],
    helper: &mut Helper,
    work: &Path,
    report: &mut Report,
) -> Outcome<()> {
    for round in 0..life.rounds {
        let log = if life.with_log { " with log services" } else { "" };
        eprintln!("{} services{log}, round {} of {}", life.services, round + 1, life.rounds);
        for turn in 0..suites.len() {
            let last = suites.len() - 1;
            let suite = &mut suites[if round % 2 == 0 { turn } else { last - turn }];
            if life.with_log && !suite.has_logs() {
                continue;
            }
            if !suite.holds(life.services) {
                report.note(format!("{}: holds no {} services", suite.name, life.services));
                continue;
            }
            let outcome = one(life, suite, helper, work, report);
            process::end_all()?;
            if let Err(error) = outcome {
                process::go_on()?;
                report.note(format!("{}: {} services{log}: {error}; {}", suite.name, life.services, suite.said()));
            }
            suite.clear()?;
        }
    }
    Ok(())
}

fn one(life: &Life, suite: &mut Suite, helper: &mut Helper, work: &Path, report: &mut Report) -> Outcome<()> {
    let count = life.services;
    let names = suite.names(0..count);
    suite.lay_out(helper, work, &names, life.with_log)?;
    process::calm(Duration::from_secs(1));
    let up = suite.boot(helper, &names)?;
    process::rest(life.settled)?;
    let supervisors = suite.supervisors(helper, &Processes::read());
    let cpu = process::cpu_of(&supervisors) as f64;
    let memory = process::pss_of(&supervisors) as f64;
    let name = suite.name.clone();
    if life.with_log {
        report.add(Row::MemoryWithLog, &name, count, memory / count as f64);
    } else {
        report.add(Row::Memory, &name, count, memory / count as f64);
        report.add(Row::Up, &name, count, up.took as f64 / 1e6);
        report.add(Row::StartCpu, &name, count, cpu / count as f64 / 1e3);
    }
    // The first look only warms up.
    let looks = if report.wants(&[Row::StatusOfAll]) { life.looks } else { 0 };
    for look in 0..looks + 1 {
        if looks > 0
            && let Some(mut command) = suite.status_of_all(&names)
        {
            process::calm(Duration::from_millis(50));
            let took = process::run(&mut command, PATIENCE)?;
            if look > 0 {
                report.add(Row::StatusOfAll, &name, count, took as f64 / 1e6);
            }
        }
    }
    process::calm(Duration::from_secs(1));
    let took = suite.stop(&names)?;
    if !life.with_log {
        report.add(Row::Down, &name, count, took as f64 / 1e6);
    }
    Ok(())
}
