//! What a service leaves behind when it ends: processes that live on, and what becomes of them.

use std::time::Duration;

/// How long they may take to end after TERM, where the service does not say.
pub const PATIENCE: Duration = Duration::from_secs(5);
/// When TERM is sent again: to a process that was just made, the first may have come too early to be heard.
pub const AGAIN: Duration = Duration::from_secs(1);
/// How long they may take to end after KILL. After that nothing more can be done about them.
pub const LAST_PATIENCE: Duration = Duration::from_secs(2);

/// What the file `leftovers` in the service directory says of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// `end`: nothing is started before they were ended.
    End,
    /// `wait`: nothing is started before they have ended by themselves.
    Wait,
    /// `keep`: they are none of the supervisor's business, as in the original.
    Keep,
}

/// When they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Occasion {
    /// The service was told to stop.
    Stop,
    /// It is about to be started.
    Start,
}

/// What becomes of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// Nothing.
    Ignore,
    /// They are named and live on.
    Name,
    /// They are waited for.
    Wait,
    /// They are ended.
    End,
}

/// What is said of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The service is started beside them.
    Beside,
    /// The start waits until they have ended.
    Awaited,
    /// They are ended before the start.
    Ended,
    /// They did not end, and are killed.
    Killed,
    /// They cannot be ended.
    GivenUp,
}

impl Fate {
    /// In words, to be followed by their names.
    pub fn text(self) -> &'static str {
        match self {
            Fate::Beside => "starting beside what the service left",
            Fate::Awaited => "waiting for what the service left",
            Fate::Ended => "ending what the service left",
            Fate::Killed => "killing what the service left",
            Fate::GivenUp => "unable to end what the service left",
        }
    }
}

/// What was left, and what the service directory says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// The rule, if there is one.
    pub rule: Option<Rule>,
    /// How long they may take to end after TERM.
    pub patience: Duration,
}

impl Rule {
    /// Reads the file; `None` for anything that is no rule.
    pub fn read(text: &[u8]) -> Option<Rule> {
        match text.trim_ascii() {
            b"end" => Some(Rule::End),
            b"wait" => Some(Rule::Wait),
            b"keep" => Some(Rule::Keep),
            _ => None,
        }
    }

    /// What becomes of what was left by a service with this rule, or none.
    ///
    /// Differs: in the original a stop leaves them running. A restart does so here, too, because there are services
    /// whose leftovers are not theirs to end: the sessions of sshd outlive its crash.
    pub fn plan(rule: Option<Rule>, occasion: Occasion) -> Plan {
        match (rule, occasion) {
            (Some(Rule::Keep), _) => Plan::Ignore,
            (_, Occasion::Stop) | (Some(Rule::End), Occasion::Start) => Plan::End,
            (Some(Rule::Wait), Occasion::Start) => Plan::Wait,
            (None, Occasion::Start) => Plan::Name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_one_word() {
        let read = |text: &str| Rule::read(text.as_bytes());
        assert_eq!((read("end\n"), read(" wait"), read("keep")), (Some(Rule::End), Some(Rule::Wait), Some(Rule::Keep)));
        assert_eq!((read(""), read("keep it"), read("END")), (None, None, None));
    }

    #[test]
    fn a_stop_ends_all_but_what_is_kept_and_a_start_asks_the_service() {
        let plans =
            |occasion| [None, Some(Rule::End), Some(Rule::Wait), Some(Rule::Keep)].map(|it| Rule::plan(it, occasion));
        assert_eq!(plans(Occasion::Stop), [Plan::End, Plan::End, Plan::End, Plan::Ignore]);
        assert_eq!(plans(Occasion::Start), [Plan::Name, Plan::End, Plan::Wait, Plan::Ignore]);
    }
}
