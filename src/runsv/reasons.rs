//! Saying why the service does not do what is wanted, where `sv status` finds it.

use crate::model::pair::Who;
use crate::model::reason::{Cause, Reasons};

use super::{Side, Supervisor};

impl Supervisor {
    /// From now on `cause` keeps `who` from what is wanted, or no longer does.
    pub(super) fn explain(&mut self, who: Who, cause: Cause, line: Option<&[u8]>) {
        if let Some(side) = self.side(who) {
            side.explain(cause, line);
        }
    }

    /// What keeps a service from running is of no interest once it is not to run.
    pub(super) fn forget_reasons_of_rest(&mut self, who: Who) {
        if self.pair.get(who).is_some_and(|service| service.is_settled_down()) {
            for cause in [Cause::Start, Cause::Hook, Cause::Pause] {
                self.explain(who, cause, None);
            }
        }
    }
}

impl Side {
    pub(super) fn explain(&mut self, cause: Cause, line: Option<&[u8]>) {
        if line.is_some() || self.reasons.has(cause) {
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
