//! Black-box tests: the real programs in fresh directories.

mod svlogd;
