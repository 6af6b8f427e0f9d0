//! Side by side with C runit: the same words give the same lines, whoever says them to whom.

mod bursts;
mod locks;
mod logs;
mod records;
mod trees;
mod troubles;
mod words;

use homerun::model::status::{State, Status};

/// Deaf to every signal it can be deaf to.
pub(crate) const DEAF: &str = "trap '' TERM HUP ALRM INT QUIT USR1 USR2";
/// Waits for signals for ever.
pub(crate) const LISTEN: &str = "sleep 1000 >/dev/null 2>&1 & while :; do wait; done";

pub(crate) fn is_down(status: &Status) -> bool {
    status.state == State::Down
}

/// Lines with every number replaced: pids and seconds differ from one run to the next.
pub(crate) fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            c => out.push(c),
        }
    }
    out
}

/// Fails with every pair of answers that are not the same.
#[track_caller]
pub(crate) fn same(ours: &[String], originals: &[String]) {
    let different: Vec<_> = originals.iter().zip(ours).filter(|(original, ours)| original != ours).collect();
    assert!(different.is_empty() && ours.len() == originals.len(), "the original's, and ours: {different:#?}");
}
