//! Never deaf, never dead: a supervisor under everything that may become of its files, and what it says of that.

mod commands;
mod directories;
mod files;
mod holders;
mod programs;
mod reasons;
mod states;

use std::fs;

use homerun::model::status::{State, Status};

use crate::support::*;
use crate::sv::comparable;

/// What `sv status` says of `foo`, with its numbers taken out.
fn status(tree: &Tree) -> String {
    comparable(tree.sv(&["status", "foo"])).stdout
}

/// Waits until `supervise/reason` of the service says this, or is not there.
fn wait_reason(tree: &Tree, foo: &Running, supervise: &str, reason: Option<&str>) {
    let supervise = foo.directory.join(supervise);
    tree.wait_in(&supervise, || {
        let said = fs::read_to_string(supervise.join("reason")).ok();
        (said.as_deref().map(str::trim_end) == reason).then_some(())
    });
}

fn runs(status: &Status) -> bool {
    status.state == State::Run && status.pid != 0
}
