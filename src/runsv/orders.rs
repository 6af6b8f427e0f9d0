//! What the service directory says of signals and limits. It is read when it is needed.

use std::fs;
use std::time::Duration;

use crate::model::control::Sig;
use crate::model::down_signal;
use crate::model::pair::Who;
use crate::model::service::Limit;
use crate::msg::Failure;
use crate::supervise;
use crate::sys::process::{self, Addressee};
use crate::sys::signal::{self, Signal};

use super::Supervisor;

impl Supervisor {
    /// Sends the process a signal: in the place of TERM the one that `down-signal` names.
    pub(super) fn signal(&mut self, who: Who, signal: Sig) {
        let down_signal = match (signal, who) {
            (Sig::Term, Who::Main) => Some("down-signal"),
            (Sig::Term, Who::Log) => Some("log/down-signal"),
            _ => None,
        };
        let said = down_signal.map(|path| supervise::setting(path, |text| down_signal::read(text, signal::number_of)));
        let number = said.and_then(|said| self.said(said)).unwrap_or(number(signal) as i32);
        if let Some(process) = self.side(who).and_then(|side| side.process.as_ref()) {
            // Most lead no group, and no file need be looked for.
            let to = if process::has_group(process.pid()) && has_own_group(who) {
                Addressee::Group
            } else {
                Addressee::Process
            };
            let _ = process.signal(number, to); // it may be gone, and a setuid program may refuse
        }
    }

    /// How long something may take, if there is a limit.
    pub(super) fn limit(&self, who: Who, limit: Limit) -> Option<Duration> {
        self.said(supervise::timeout(limit_file(who, limit)?))
    }

    pub(super) fn say_limit(&self, who: Who, limit: Limit) {
        let script = match (who, limit) {
            (Who::Main, Limit::Stop) => "./run",
            (Who::Main, Limit::Finish) => "./finish",
            (Who::Log, _) => "./log/run",
        };
        let file = limit_file(who, limit).unwrap_or_default();
        self.speaker.warn(format!("killing {script}, which did not end within {file}"));
    }

    /// What a file says. One that makes no sense is worth a word, and as if it were missing.
    pub(super) fn said<T>(&self, setting: Result<Option<T>, Failure>) -> Option<T> {
        setting.inspect_err(|failure| self.speaker.warn_failure(failure)).ok().flatten()
    }
}

fn limit_file(who: Who, limit: Limit) -> Option<&'static str> {
    match (who, limit) {
        (Who::Main, Limit::Stop) => Some("timeout-kill"),
        (Who::Main, Limit::Finish) => Some("timeout-finish"),
        (Who::Log, Limit::Stop) => Some("log/timeout-kill"),
        (Who::Log, Limit::Finish) => None,
    }
}

/// Whether a service is started in a process group of its own, which gets its signals.
pub fn has_own_group(who: Who) -> bool {
    fs::exists(if who == Who::Main { "kill-group" } else { "log/kill-group" }).unwrap_or(false)
}

fn number(signal: Sig) -> Signal {
    match signal {
        Sig::Term => Signal::SIGTERM,
        Sig::Cont => Signal::SIGCONT,
        Sig::Kill => Signal::SIGKILL,
        Sig::Stop => Signal::SIGSTOP,
        Sig::Hup => Signal::SIGHUP,
        Sig::Alrm => Signal::SIGALRM,
        Sig::Int => Signal::SIGINT,
        Sig::Quit => Signal::SIGQUIT,
        Sig::Usr1 => Signal::SIGUSR1,
        Sig::Usr2 => Signal::SIGUSR2,
    }
}
