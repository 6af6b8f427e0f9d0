//! The rules: values in, actions out.
//!
//! Nothing here opens a file, reads a clock or the environment, or starts a process, so that every rule is tested
//! with invented values.

pub mod control;
pub mod down_signal;
pub mod envdir;
pub mod executable;
mod explore;
pub mod family;
pub mod gate;
pub mod handover;
pub mod holder;
pub mod ids;
pub mod leftovers;
pub mod limit;
pub mod line;
pub mod logconfig;
pub mod login;
pub mod lookup;
pub mod note;
pub mod number;
pub mod order;
pub mod pace;
pub mod pair;
pub mod pattern;
pub mod reason;
pub mod report;
pub mod respawn;
pub mod rotation;
pub mod seconds;
pub mod service;
pub mod settle;
pub mod stall;
pub mod stamp;
pub mod status;
pub mod tai;
pub mod way;
