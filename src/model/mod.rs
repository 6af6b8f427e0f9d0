//! The rules: values in, actions out.
//!
//! Nothing here opens a file, reads a clock or the environment, or starts a process, so that every rule is tested
//! with invented values.

pub mod control;
pub mod line;
pub mod logconfig;
pub mod pair;
pub mod pattern;
pub mod respawn;
pub mod rotation;
pub mod service;
pub mod stamp;
pub mod status;
pub mod tai;
