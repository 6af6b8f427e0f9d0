//! What was measured, and how it is told: a block for each row, or the README's tables.

use std::fmt::Write as _;

/// What a sample is of. The order is that of the tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Row {
    Memory,
    MemoryWithLog,
    Up,
    StartCpu,
    Restart,
    RestartCpu,
    Control,
    SvRestart,
    Status,
    StatusOfAll,
    Detect,
    Notice,
    Idle,
    Down,
    Chpst,
    LogPlain,
    LogStamped,
    LogLines,
    LogCpu,
}

impl Row {
    pub const ALL: [Row; 19] = [
        Row::Memory,
        Row::MemoryWithLog,
        Row::Up,
        Row::StartCpu,
        Row::Restart,
        Row::RestartCpu,
        Row::Control,
        Row::SvRestart,
        Row::Status,
        Row::StatusOfAll,
        Row::Detect,
        Row::Notice,
        Row::Idle,
        Row::Down,
        Row::Chpst,
        Row::LogPlain,
        Row::LogStamped,
        Row::LogLines,
        Row::LogCpu,
    ];

    /// The word for `--row`.
    pub fn name(self) -> &'static str {
        self.texts().0
    }

    fn title(self) -> &'static str {
        self.texts().1
    }

    fn unit(self) -> &'static str {
        self.texts().2
    }

    fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Row::Memory => ("memory", "supervisors' memory per service, PSS", "kB"),
            Row::MemoryWithLog => ("memory-with-log", "the same with a log service each", "kB"),
            Row::Up => ("up", "tree up: exec of the scanner to the last service's first instruction", "ms"),
            Row::StartCpu => ("start-cpu", "supervisors' CPU per service started", "µs"),
            Row::Restart => ("restart", "death of a service that was up for long to its new process", "µs"),
            Row::RestartCpu => ("restart-cpu", "supervisors' CPU per restart", "µs"),
            Row::Control => ("control", "byte in `control` to the signal handled", "µs"),
            Row::SvRestart => ("sv-restart", "`sv restart`, waited for", "ms"),
            Row::Status => ("status", "`sv status` of one service", "µs"),
            Row::StatusOfAll => ("status-of-all", "`sv status` of all services", "ms"),
            Row::Detect => {
                ("detect", "link to a new service directory to its first instruction (s6: with its nudge)", "ms")
            }
            Row::Notice => ("notice", "death of a supervisor to its successor", "ms"),
            Row::Idle => ("idle", "wake-ups per second of a tree at rest", ""),
            Row::Down => ("down", "tree down and gone", "ms"),
            Row::Chpst => ("chpst", "`chpst -u`, beyond a bare exec", "µs"),
            Row::LogPlain => ("log-plain", "logger, 100-byte lines in 64 KiB writes, plain", "MB/s"),
            Row::LogStamped => ("log-stamped", "the same with TAI64N stamps", "MB/s"),
            Row::LogLines => ("log-lines", "logger, lines written one by one, plain", "MB/s"),
            Row::LogCpu => ("log-cpu", "logger's CPU per GB, plain", "s"),
        }
    }

    /// Of throughput more is better, of everything else less.
    fn more_is_better(self) -> bool {
        matches!(self, Row::LogPlain | Row::LogStamped | Row::LogLines)
    }
}

/// What one suite had of one row at one size.
struct Samples {
    row: Row,
    suite: String,
    /// Services in the tree; 0 where there is none.
    size: usize,
    values: Vec<f64>,
}

struct Summary {
    median: f64,
    min: f64,
    max: f64,
    count: usize,
}

/// All samples of a run, and what went wrong in it.
pub struct Report {
    /// Names of the suites: first ours, then the peers, then the floor.
    suites: Vec<String>,
    ours: usize,
    peers: usize,
    wanted: Vec<Row>,
    samples: Vec<Samples>,
    notes: Vec<String>,
}

impl Report {
    /// Of the suites the first are builds of ours, then so many are peers. Samples of rows that are not wanted are not kept.
    pub fn new(suites: Vec<String>, ours: usize, peers: usize, wanted: Vec<Row>) -> Report {
        Report { suites, ours, peers, wanted, samples: Vec::new(), notes: Vec::new() }
    }

    /// Takes a sample in the unit of the row.
    pub fn add(&mut self, row: Row, suite: &str, size: usize, value: f64) {
        if !self.wanted.contains(&row) {
            return;
        }
        match self.samples.iter_mut().find(|had| had.row == row && had.suite == suite && had.size == size) {
            Some(had) => had.values.push(value),
            None => self.samples.push(Samples { row, suite: suite.to_owned(), size, values: vec![value] }),
        }
    }

    /// Whether one of these rows is to be measured.
    pub fn wants(&self, rows: &[Row]) -> bool {
        rows.iter().any(|row| self.wanted.contains(row))
    }

    /// Takes a line about what could not be measured.
    pub fn note(&mut self, text: String) {
        if !self.notes.contains(&text) {
            eprintln!("  {text}");
            self.notes.push(text);
        }
    }

    fn summary(&self, row: Row, suite: &str, size: usize) -> Option<Summary> {
        let samples = self.samples.iter().find(|had| had.row == row && had.suite == suite && had.size == size)?;
        summarize(&samples.values)
    }

    pub fn median(&self, row: Row, suite: &str, size: usize) -> Option<f64> {
        self.summary(row, suite, size).map(|summary| summary.median)
    }

    /// The sizes at which the row was measured, in order.
    pub fn sizes(&self, row: Row) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.samples.iter().filter(|had| had.row == row).map(|had| had.size).collect();
        sizes.sort_unstable();
        sizes.dedup();
        sizes
    }

    pub fn suites(&self) -> &[String] {
        &self.suites
    }

    /// How many times as much the last of our builds has as the best peer; throughput and everything else alike.
    fn to_best_peer(&self, row: Row, size: usize) -> Option<f64> {
        let mine = self.median(row, self.suites.get(self.ours.checked_sub(1)?)?, size)?;
        let peers =
            self.suites[self.ours..self.ours + self.peers].iter().filter_map(|peer| self.median(row, peer, size));
        let best = peers.reduce(if row.more_is_better() { f64::max } else { f64::min })?;
        (best != 0.0).then(|| mine / best)
    }

    /// Every row in full.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for row in Row::ALL {
            for size in self.sizes(row) {
                let better = if row.more_is_better() { ", more is better" } else { "" };
                let of = if size == 0 { String::new() } else { format!(", {size} services") };
                let _ = writeln!(out, "\n{} ({}{of}{better})", row.title(), unit_or_number(row));
                let _ = writeln!(
                    out,
                    "  {:<20} {:>10} {:>10} {:>10} {:>6} {:>8}",
                    row.name(),
                    "median",
                    "min",
                    "max",
                    "n",
                    "ratio"
                );
                let reference = self.suites.first().and_then(|first| self.median(row, first, size));
                for suite in &self.suites {
                    let Some(Summary { median, min, max, count }) = self.summary(row, suite, size) else { continue };
                    let ratio = match reference {
                        Some(reference) if reference != 0.0 => format!("{:.2}", median / reference),
                        _ => "-".to_owned(),
                    };
                    let _ = writeln!(
                        out,
                        "  {suite:<20} {:>10} {:>10} {:>10} {count:>6} {ratio:>8}",
                        figure(median),
                        figure(min),
                        figure(max)
                    );
                }
            }
        }
        for note in &self.notes {
            let _ = writeln!(out, "\nnot measured: {note}");
        }
        out
    }

    /// The table of all rows, at their main size, and the table of growth.
    pub fn markdown(&self, main: usize) -> String {
        let mut out = String::new();
        let mine = self.suites.get(self.ours.saturating_sub(1)).map_or("", String::as_str);
        let _ = writeln!(out, "| row | {} | {mine} : best peer |", self.suites.join(" | "));
        let _ = writeln!(out, "|---|{}---|", "---|".repeat(self.suites.len()));
        for row in Row::ALL {
            let sizes = self.sizes(row);
            let Some(size) = sizes.iter().find(|size| **size == main).or(sizes.first()).copied() else { continue };
            let title = if size == 0 { row.title().to_owned() } else { format!("{}, {size} services", row.title()) };
            let unit = if row.unit().is_empty() { String::new() } else { format!(", {}", row.unit()) };
            let cells = self.suites.iter().map(|suite| self.cell(row, suite, size));
            let ratio = match self.to_best_peer(row, size) {
                Some(ratio) if ratio < 0.005 => "< 0.01".to_owned(),
                Some(ratio) => format!("{ratio:.2}"),
                None => "-".to_owned(),
            };
            let _ = writeln!(out, "| {title}{unit} | {} | {ratio} |", cells.collect::<Vec<_>>().join(" | "));
        }
        let growth = [(Row::Memory, "memory per service, PSS, kB"), (Row::Up, "start per service, µs")];
        if growth.iter().any(|(row, _)| !self.sizes(*row).is_empty()) {
            let _ = writeln!(out, "\n| growth | services | {} |", self.suites.join(" | "));
            let _ = writeln!(out, "|---|---|{}", "---|".repeat(self.suites.len()));
        }
        for (row, title) in growth {
            for size in self.sizes(row) {
                let scale = if row == Row::Up { 1000.0 / size as f64 } else { 1.0 };
                let cells = self
                    .suites
                    .iter()
                    .map(|suite| self.median(row, suite, size).map_or("-".to_owned(), |median| figure(median * scale)));
                let _ = writeln!(out, "| {title} | {size} | {} |", cells.collect::<Vec<_>>().join(" | "));
            }
        }
        out
    }

    fn cell(&self, row: Row, suite: &str, size: usize) -> String {
        self.median(row, suite, size).map_or("-".to_owned(), figure)
    }
}

fn unit_or_number(row: Row) -> &'static str {
    if row.unit().is_empty() { "number" } else { row.unit() }
}

fn summarize(values: &[f64]) -> Option<Summary> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (min, max) = (*sorted.first()?, *sorted.last()?);
    let middle = sorted.len() / 2;
    let median = if sorted.len() % 2 == 1 { sorted[middle] } else { (sorted[middle - 1] + sorted[middle]) / 2.0 };
    Some(Summary { median, min, max, count: sorted.len() })
}

/// A number with about three digits that count.
fn figure(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 9.995 => format!("{value:.2}"),
        middle if middle < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}
