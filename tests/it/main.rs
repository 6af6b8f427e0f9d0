//! Black-box tests: the real programs, each in a directory and an environment of its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod chpst;
mod interop;
mod layers;
mod manual;
mod runsv;
mod runsvdir;
mod support;
mod sv;
mod svlogd;
