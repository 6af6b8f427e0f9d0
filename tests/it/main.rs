//! Black-box tests: the real programs, each in a directory and an environment of its own.

#![allow(clippy::disallowed_names, clippy::unwrap_used, missing_docs)]

mod account;
mod bad_input;
mod chaos;
mod chpst;
mod clients;
mod clock;
mod deaf;
mod failing;
mod faults;
mod golden;
mod handbook;
mod hostile;
mod layers;
mod leftovers;
mod manual;
mod matrix;
mod properties;
mod quickstart;
mod recipes;
mod runsv;
mod runsvchdir;
mod runsvdir;
mod runsvdir_user;
mod scarce;
mod stops;
mod stuck_log;
mod successor;
mod support;
mod sv;
mod svlogd;
mod table;
mod upgrade;
mod upstream;
