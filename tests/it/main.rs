//! Black-box tests: the real programs, each in a directory and an environment of its own.

#![allow(clippy::disallowed_names, clippy::unwrap_used, missing_docs)]

mod chpst;
mod runsv;
mod runsvdir;
mod support;
mod sv;
