//! Black-box tests: the real programs in fresh directories.
#![allow(clippy::unwrap_used)] // in helpers too

mod svlogd;
