//! Saying why the service does not do what is wanted, where `sv status` finds it.

use std::ffi::OsStr;
use std::path::Path;

use crate::model::control::Control;
use crate::model::pair::Who;
use crate::model::reason::{self, Cause, Reasons};
use crate::msg::{self, Failure, Severity};
use crate::supervise::why;

use super::{Side, Supervisor};

impl Supervisor {
    /// From now on `cause` keeps `who` from what is wanted, or no longer does.
    pub(super) fn explain(&mut self, who: Who, cause: Cause, line: Option<&[u8]>) {
        if let Some(side) = self.side(who) {
            side.explain(cause, line);
        }
    }

    /// A program of the service could not be started. What the words for the error do not tell is said once, until the
    /// reason is another.
    pub(super) fn explain_start(&mut self, who: Who, cause: Cause, path: &OsStr, failure: &Failure) {
        self.speaker.fatal(failure.text());
        let directory = if who == Who::Main { "." } else { "log" };
        let fault = why::cannot_start(Path::new(directory), Path::new(path), failure.reason());
        let line = match &fault {
            Some(fault) => msg::join(&[&failure.text(), b": ", fault]),
            None => failure.text(),
        };
        let known = match who {
            Who::Main => Some(&self.main),
            Who::Log => self.log.as_deref(),
        };
        if fault.is_some() && known.and_then(|side| side.reasons.get(cause)) != Some(&reason::clean(&line)) {
            self.speaker.say(Severity::Info, &line);
        }
        self.explain(who, cause, Some(&line));
    }

    /// The hook that was started last had to be killed.
    pub(super) fn explain_killed_hook(&mut self, text: &str) {
        let Some(control) = self.hook_is else { return };
        self.bad_hook = Some(control);
        let line = format!("control/{} {text}", char::from(control.byte()));
        self.explain(Who::Main, Cause::Hook, Some(line.as_bytes()));
    }

    /// What was the matter with a hook is over once it works, or is gone.
    pub(super) fn forget_hook_reason(&mut self, control: Control) {
        if self.bad_hook == Some(control) {
            self.bad_hook = None;
            self.explain(Who::Main, Cause::Hook, None);
        }
    }

    /// What keeps a service from running is of no interest once it is not to run.
    pub(super) fn forget_reasons_of_rest(&mut self, who: Who) {
        if self.pair.get(who).is_some_and(|service| service.is_settled_down()) {
            for cause in [Cause::Start, Cause::Pause] {
                self.explain(who, cause, None);
            }
        }
    }
}

impl Side {
    pub(super) fn explain(&mut self, cause: Cause, line: Option<&[u8]>) {
        if line.is_some() || self.reasons.get(cause).is_some() {
            self.reasons.set(cause, line);
            self.show_reason();
        }
    }

    /// Writes the reason, if it is another than before. One that cannot be written comes with the next records.
    pub(super) fn show_reason(&mut self) {
        let Side { reasons, home, .. } = self;
        let _ = home.explain(reasons.shown());
    }

    /// Nothing is left to say.
    pub(super) fn forget_reasons(&mut self) {
        self.reasons = Reasons::default();
        self.show_reason();
    }
}
