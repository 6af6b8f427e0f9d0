//! The rules: values in, actions out.
//!
//! Nothing here opens a file, reads a clock or the environment, or starts a process, so that every rule is tested
//! with invented values.

pub mod control;
pub mod envdir;
pub mod ids;
pub mod lookup;
pub mod number;
pub mod pair;
pub mod respawn;
pub mod service;
pub mod status;
pub mod tai;
