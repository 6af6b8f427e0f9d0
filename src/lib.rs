//! homerun: a runit-compatible supervision tree for every user of a Linux machine.
//!
//! # The map
//!
//! | where               | holds                                                                    |
//! |---------------------|--------------------------------------------------------------------------|
//! | `src/bin/NAME.rs`   | one program's arguments, one call into the library, the exit code        |
//! | [`runsvdir_user`]   | root's step: become a user for good, then `runsvdir` on their services   |
//! | [`runsvdir`]        | watch a services directory, keep one `runsv` for each service            |
//! | [`runsv`]           | supervise one service and its log service                                |
//! | [`runsvchdir`]      | switch to another set of services                                        |
//! | [`sv`]              | the control tool                                                         |
//! | [`chpst`]           | change the process state, then exec                                      |
//! | [`svlogd`]          | the log service                                                          |
//! | [`handover`]        | the upgrade in place: a supervisor becomes its program anew              |
//! | [`supervise`]       | the `supervise/` directory from both ends: runsv's and sv's              |
//! | [`model`]           | every rule, as values in and actions out; no file, clock or process      |
//! | [`sys`]             | every system call and every `unsafe`, one thin function per deed         |
//! | [`msg`], [`cli`]    | messages and exit codes; options and usage errors                        |
//!
//! Imports go one way: bin → program → supervise → model and sys. Model and sys do not know each other, and
//! neither knows a program. `tests/it/layers.rs` holds this true.

pub mod chpst;
pub mod cli;
pub mod handover;
pub mod model;
pub mod msg;
pub mod runsv;
pub mod runsvchdir;
pub mod runsvdir;
pub mod runsvdir_user;
pub mod supervise;
pub mod sv;
pub mod svlogd;
pub mod sys;
