//! Black-box tests: the real programs, each in a directory and an environment of its own.

#![allow(clippy::unwrap_used, missing_docs)]

mod chpst;
mod layers;
mod manual;
mod runsv;
mod support;
mod svlogd;
