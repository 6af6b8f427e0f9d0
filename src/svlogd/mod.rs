//! svlogd: the log service.
//!
//! [`run`] is the loop: read a block of standard input, cut it into lines, let each log directory take its share,
//! write, rotate, process; answer signals meanwhile. A directory that cannot write holds the reading back, not the
//! answering.

pub mod directory;
pub mod options;
pub mod processor;
pub mod voice;

use std::ffi::OsString;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::time::{Duration, Instant};

use crate::cli;
use crate::model::gate::{BETWEEN_BLOCKS, Gate, Verdict};
use crate::model::line::{Cutter, Part, Piece, first_line};
use crate::model::logconfig::number;
use crate::model::stamp::{self, Stamper};
use crate::msg::{Failure, Tried as _};
use crate::svlogd::directory::Log;
use crate::svlogd::options::Settings;
use crate::svlogd::voice::Voice;
use crate::sys::clock;
use crate::sys::fd;
use crate::sys::memory;
use crate::sys::pages::Pages;
use crate::sys::poll::{self, Poller};
use crate::sys::process;
use crate::sys::signal::{InheritedMask, Signal, Signals};

/// The exit code after any failure, usage errors included. Source: runit 2.3.0, src/svlogd.c.
pub const EXIT_FAILURE: u8 = 111;
/// The variable that says how many bytes a second may come in, of those who are not trusted; their lines are cut, too.
///
/// A variable, not an option: the original ignores it, so that either svlogd can be put in the other's place.
pub const RATE: &str = "SVLOGD_RATE";
/// After TERM, at most so many blocks that wait in standard input are still read.
const LAST_BLOCKS: usize = 16;
/// And so long is waited for the end of a line that has begun.
const END_OF_LINE: Duration = Duration::from_secs(1);

/// After a block of more bytes than that, and so much time in which none comes, memory is given back.
const MANY: usize = 4096;
const REST_AFTER: Duration = Duration::from_secs(1);

/// After a block of fewer bytes than that from a pipe, and where more are there already, so much time is left for more
/// to come. The kernel adds up to its timer slack, by default 50 microseconds. In short writes it takes 200 to fill a
/// pipe.
const FEW: usize = 1024;
const AFTER_FEW: Duration = Duration::from_micros(20);

const SIGNALS: usize = 0;
/// The end of a processor, whosever it is.
const PROCESSOR: usize = 1;

/// What every log directory needs to work.
pub struct Tools {
    /// To speak with.
    pub voice: Voice,
    /// To be told when a processor ends.
    pub poller: Poller,
    /// For processors.
    pub mask: InheritedMask,
}

/// Why reading is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Over {
    /// There is no more: what was read is written, however long that takes.
    EndOfInput,
    /// TERM: what was read is written, unless that fails.
    Term,
    /// HUP left no log directory to write to.
    NoLogs,
}

/// Runs svlogd on these log directories.
pub fn run(settings: Settings, directories: Vec<OsString>) -> u8 {
    let voice = Voice::new(settings.verbose);
    match Program::new(settings, directories, voice.clone()) {
        Ok(mut program) => program.run(),
        Err(failure) => {
            voice.fatal(&failure.text());
            EXIT_FAILURE
        }
    }
}

struct Program {
    settings: Settings,
    tools: Tools,
    signals: Signals,
    input: BorrowedFd<'static>,
    /// Whether what comes in can gather: from a terminal or a socket it may come a line a read in any case.
    is_pipe: bool,
    logs: Vec<Log>,
    block: Block,
    cutter: Cutter,
    stamper: Stamper,
    over: Option<Over>,
    /// None where whoever writes is trusted.
    gate: Option<Gate>,
    /// No block is read before this moment.
    next_block: Option<Instant>,
    /// Memory that is not in use is given back at this moment.
    rests_at: Option<Instant>,
    /// Signals could not be read: they will not be told again.
    must_answer: bool,
}

/// What was read at once, and how far it has been taken.
struct Block {
    bytes: Pages,
    start: usize,
    end: usize,
    arrived: Duration,
}

impl Program {
    fn new(settings: Settings, directories: Vec<OsString>, voice: Voice) -> Result<Program, Failure> {
        memory::keep_reserve();
        process::default_action(Signal::SIGCHLD); // where it is ignored, processors end unseen
        // SIGXFSZ would end it; so the write fails, and that is said.
        const TAKEN: [Signal; 4] = [Signal::SIGTERM, Signal::SIGHUP, Signal::SIGALRM, Signal::SIGXFSZ];
        let (signals, mask) = Signals::take(&TAKEN).tried("take signals", "")?;
        TAKEN.into_iter().for_each(process::default_action); // for processors
        let poller = Poller::new(PROCESSOR + directories.len()).tried("create poll", "")?;
        poller.watch(&signals, SIGNALS).tried("watch signals", "")?;
        let input = fd::standard_input();
        let bytes = Pages::new(settings.block).tried("allocate buffer", "")?;
        Ok(Program {
            tools: Tools { voice, poller, mask },
            signals,
            input,
            is_pipe: fd::is_pipe(input),
            logs: directories.into_iter().map(|name| Log::new(name, &settings)).collect(),
            block: Block { bytes, start: 0, end: 0, arrived: Duration::ZERO },
            cutter: Cutter::new(settings.line, settings.replace.clone()),
            stamper: Stamper::new(settings.stamp),
            over: None,
            gate: rate().map(|rate| Gate::new(rate, settings.stamp.map_or(0, |_| stamp::LENGTH + 1), clock::now())),
            next_block: None,
            rests_at: Some(clock::now()),
            must_answer: false,
            settings,
        })
    }

    fn run(&mut self) -> u8 {
        self.open_logs();
        loop {
            self.work();
            if self.is_done() {
                break;
            }
            if self.wait() && self.may_read() {
                self.read(usize::MAX);
            }
        }
        let is_well = self.give_up_unwritten() == 0 && self.over != Some(Over::NoLogs);
        self.await_processors();
        self.logs.iter_mut().for_each(|log| log.close(&self.tools));
        if is_well { cli::EXIT_SUCCESS } else { EXIT_FAILURE }
    }

    /// Opens all log directories, those that were open anew.
    fn open_logs(&mut self) {
        for log in &mut self.logs {
            log.close(&self.tools);
            log.open(&self.tools, &self.settings);
        }
        if !self.logs.iter().any(Log::is_open) {
            self.tools.voice.fatal(b"no functional log directories.");
            self.over = Some(Over::NoLogs);
        }
    }

    fn is_done(&self) -> bool {
        match self.over {
            None => false,
            Some(Over::EndOfInput) => self.block.is_empty() && !self.is_stuck(),
            Some(Over::Term | Over::NoLogs) => true,
        }
    }

    fn is_stuck(&self) -> bool {
        self.logs.iter().any(Log::is_stuck)
    }

    /// Takes what was read, writes, rotates, starts processors: all that needs no waiting.
    fn work(&mut self) {
        self.feed();
        if self.gate.as_ref().and_then(Gate::tells_at).is_some_and(|at| at <= clock::now()) {
            self.tell_dropped();
        }
        let now = clock::now();
        for log in &mut self.logs {
            log.settle(&self.tools, now);
            log.process(&self.tools, now);
        }
    }

    fn may_read(&mut self) -> bool {
        if self.next_block.is_some_and(|at| at <= clock::now()) {
            self.next_block = None;
        }
        self.over.is_none() && self.next_block.is_none() && self.block.is_empty() && !self.is_stuck()
    }

    fn has_input(&self) -> bool {
        fd::is_readable(self.input).unwrap_or(true)
    }

    /// How long there is nothing to do, if no event comes.
    fn time_left(&self) -> Option<Duration> {
        let gate = self.gate.as_ref().and_then(Gate::tells_at);
        let next =
            self.logs.iter().filter_map(Log::deadline).chain(gate).chain(self.next_block).chain(self.rests_at).min();
        next.map(|moment| moment.saturating_duration_since(clock::now()))
    }

    /// Waits for the next event and answers it, unless it is input: whether there is some to read.
    fn wait(&mut self) -> bool {
        const AGAIN: Duration = Duration::from_secs(1);
        let input = self.may_read().then_some(self.input);
        let timeout = self.time_left();
        let timeout =
            if self.must_answer { Some(timeout.map_or(AGAIN, |timeout| timeout.min(AGAIN))) } else { timeout };
        if self.rests_at.is_some_and(|at| at <= clock::now()) {
            self.rest();
        }
        let Tools { poller, voice, .. } = &mut self.tools;
        let complain = |error| voice.warn_failure(&Failure::new("wait for events", "", error));
        let found = poller.wait_or_input_anyhow(input, timeout, complain);
        if found.is_none() || self.must_answer || self.tools.poller.ready().any(|key| key == SIGNALS) {
            self.answer_signals();
        }
        let is_last = self.over.is_some();
        self.logs.iter_mut().for_each(|log| log.reap(&self.tools, is_last));
        found == Some(true)
    }

    /// Gives memory back that is not in use, in case it is quiet for long.
    fn rest(&mut self) {
        self.rests_at = None;
        if self.block.is_empty() {
            self.block.bytes.forget();
        }
        self.logs.iter_mut().for_each(Log::rest);
        memory::rest();
    }

    fn answer_signals(&mut self) {
        self.must_answer = false;
        loop {
            let signal = match self.signals.next() {
                Ok(Some(signal)) => signal,
                Ok(None) => return,
                Err(_) => {
                    self.must_answer = true;
                    return;
                }
            };
            match signal {
                Signal::SIGTERM if self.over == Some(Over::Term) => self.terminate_processors(),
                Signal::SIGTERM => self.terminate(),
                Signal::SIGHUP if self.over.is_none() => self.reopen(),
                Signal::SIGALRM if self.over.is_none() => {
                    self.tools.voice.info(&[b"sigalarm received."]);
                    self.logs.iter_mut().for_each(Log::rotate_soon);
                }
                _ => {}
            }
        }
    }

    fn reopen(&mut self) {
        self.tools.voice.info(&[b"sighangup received."]);
        self.work();
        self.open_logs();
    }

    /// Reads what is in the pipe at this moment and writes it, with a newline where the last line lacks one. What could not
    /// be written is tried once more.
    fn terminate(&mut self) {
        self.tools.voice.info(&[b"sigterm received."]);
        self.logs.iter_mut().for_each(Log::try_now);
        for _ in 0..LAST_BLOCKS {
            self.work();
            self.next_block = None;
            if !(self.may_read() && self.has_input()) {
                break;
            }
            self.read(usize::MAX);
        }
        self.work();
        self.read_to_end_of_line();
        if self.over.is_none() && self.block.is_empty() {
            self.finish_line();
            self.tell_dropped();
            self.work();
        }
        self.over = Some(Over::Term);
    }

    /// Reads on to the end of a line that has begun, and nothing of the next one, which is for whoever comes after this.
    /// Whoever writes in blocks ends most of them within a line.
    fn read_to_end_of_line(&mut self) {
        let until = clock::now() + END_OF_LINE;
        while self.cutter.is_within_line() && self.may_read() {
            let left = until.saturating_duration_since(clock::now());
            let is_there = || poll::wait([Some(self.input)], Some(left)).is_ok_and(|[is_there]| is_there);
            if left.is_zero() || !is_there() {
                break;
            }
            self.read(1);
            self.work();
            self.next_block = None;
        }
    }

    /// Reads one block, of at most so many bytes; at the end of the input, ends the line at hand.
    fn read(&mut self, most: usize) {
        let most = most.min(self.block.bytes.len());
        let result = fd::read(self.input, &mut self.block.bytes[..most]);
        self.block.arrived = clock::wall();
        match result {
            Ok(count) if count > 0 => {
                (self.block.start, self.block.end) = (0, count);
                if count > MANY {
                    self.rests_at = clock::now().checked_add(REST_AFTER);
                }
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
            end => {
                if let Err(error) = end {
                    self.tools.voice.warn_failure(&Failure::new("read standard input", "", error));
                }
                self.over = Some(Over::EndOfInput);
                self.finish_line();
                self.tell_dropped();
            }
        }
    }

    /// Lets the logs take lines until the block is empty, or until one that is full cannot write.
    fn feed(&mut self) {
        let has_read = !self.block.is_empty();
        let takes_all = self.gate.is_none() && self.logs.iter().all(Log::takes_all);
        while !self.block.is_empty() {
            if self.logs.iter().any(Log::is_full) {
                let now = clock::now();
                self.logs.iter_mut().for_each(|log| log.settle(&self.tools, now));
            }
            if self.logs.iter().any(Log::is_full) {
                return;
            }
            if takes_all && (self.pass_lines() || self.take_lines()) {
                continue;
            }
            let (taken, piece) = self.cutter.next(self.block.left(), self.block.arrived);
            if let Some(piece) = piece {
                admit(&mut self.gate, &mut self.logs, piece, &mut self.stamper);
            }
            self.block.start += taken;
        }
        if has_read && self.next_block.is_none() && self.over.is_none() {
            self.next_block = self.pause().map(|pause| clock::now() + pause);
        }
    }

    /// How long nothing is read after a block.
    ///
    /// Lines that are written one by one, faster than they are taken, gather meanwhile: a read for each would keep two
    /// processors busy, and the writer waiting for the pipe. A line after which nothing comes is not waited with.
    fn pause(&self) -> Option<Duration> {
        if self.gate.as_ref().is_some_and(Gate::is_shut) {
            return Some(BETWEEN_BLOCKS);
        }
        let is_flood = self.is_pipe && self.block.end < FEW && self.has_input();
        is_flood.then_some(AFTER_FEW)
    }

    /// Writes the whole lines that the block begins with, after what waits, if nothing stands before them and it is
    /// possible now: whether it did.
    fn pass_lines(&mut self) -> bool {
        let lines = self.cutter.whole_lines(self.block.left());
        let stay_as_they_are = self.settings.stamp.is_none() && !self.logs.iter().any(Log::has_prefix);
        if lines == 0 || !stay_as_they_are || self.is_stuck() {
            return false;
        }
        let now = clock::now();
        self.logs.iter_mut().for_each(|log| log.settle(&self.tools, now));
        if self.is_stuck() {
            return false;
        }
        let (start, end) = (self.block.start, self.block.start + lines);
        self.logs.iter_mut().for_each(|log| log.pass(&self.block.bytes[start..end], &self.tools, now));
        self.block.start = end;
        true
    }

    /// Takes the whole lines that the block begins with, until one is long or a log is full: whether there were any.
    fn take_lines(&mut self) -> bool {
        let start = self.block.start;
        let end = start + self.cutter.whole_lines(self.block.left());
        let stamp = self.stamper.before(self.block.arrived);
        while self.block.start < end && !self.logs.iter().any(Log::is_full) {
            let line = first_line(&self.block.bytes[self.block.start..end]);
            if line.len() > self.settings.line {
                break;
            }
            self.logs.iter_mut().for_each(|log| log.take_line(line, stamp));
            self.block.start += line.len();
        }
        self.block.start > start
    }

    /// Says in the logs what was dropped.
    fn tell_dropped(&mut self) {
        if let Some(text) = self.gate.as_mut().and_then(Gate::tell) {
            let piece = Piece { part: Part::Whole, text: text.as_bytes(), began: clock::wall() };
            share(&mut self.logs, piece, &mut self.stamper);
        }
    }

    fn finish_line(&mut self) {
        if let Some(piece) = self.cutter.finish() {
            admit(&mut self.gate, &mut self.logs, piece, &mut self.stamper);
        }
    }

    /// Gives up what could not be written: how many bytes that are.
    fn give_up_unwritten(&mut self) -> usize {
        let untaken = self.block.left().len() + self.cutter.held();
        let no_logs = self.over == Some(Over::NoLogs);
        let give_up = |log: &mut Log| log.give_up(&self.tools, if log.is_open() || no_logs { untaken } else { 0 });
        self.logs.iter_mut().map(give_up).sum()
    }

    /// Waits until no processor runs. The lock stays until then: the next svlogd would start another one.
    ///
    /// At the end of the input all files that wait are processed; after TERM they are left to the next svlogd.
    fn await_processors(&mut self) {
        self.logs.iter_mut().for_each(|log| log.finish(&self.tools));
        loop {
            if self.over == Some(Over::EndOfInput) {
                let now = clock::now();
                self.logs.iter_mut().for_each(|log| log.process(&self.tools, now));
            }
            if !self.logs.iter().any(Log::is_processing) {
                return;
            }
            let _ = self.tools.poller.wait(None); // whatever it says, the next lines look for themselves
            while let Ok(Some(signal)) = self.signals.next() {
                if signal == Signal::SIGTERM {
                    self.over = Some(Over::Term);
                    self.terminate_processors();
                }
            }
            self.logs.iter_mut().for_each(|log| log.reap(&self.tools, true));
        }
    }

    fn terminate_processors(&self) {
        self.logs.iter().for_each(Log::terminate_processor);
    }
}

/// The rate that [`RATE`] says; nothing and 0 are none.
fn rate() -> Option<u64> {
    let rate = std::env::var_os(RATE).map_or(0, |text| number(text.as_bytes()).0);
    (rate > 0).then_some(rate)
}

/// Gives a piece to all logs, unless the gate has something against it.
fn admit(gate: &mut Option<Gate>, logs: &mut [Log], piece: Piece<'_>, stamper: &mut Stamper) {
    let Some(gate) = gate else { return share(logs, piece, stamper) };
    match gate.judge(piece.part, piece.text.len(), clock::now()) {
        Verdict::Pass => share(logs, piece, stamper),
        Verdict::Cut => {
            let text = [piece.text, b"..."].concat();
            share(logs, Piece { part: Part::Whole, text: &text, ..piece }, stamper);
        }
        Verdict::Drop => {}
    }
}

/// Stamps the line of `piece` and gives it to all logs.
fn share(logs: &mut [Log], piece: Piece<'_>, stamper: &mut Stamper) {
    let stamp = if piece.part == Part::Rest { None } else { stamper.before(piece.began) };
    let stamp = stamp.map_or(&[][..], |stamp| stamp);
    logs.iter_mut().for_each(|log| log.take(piece, stamp));
}

impl Block {
    fn left(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }
}
