//! The machine: one thin function per system deed, and every `unsafe`.
//!
//! Nothing here knows a service, a rule or a message. Descriptors are owned, and close-on-exec from birth.

pub mod clock;
pub mod fd;
pub mod file;
pub mod folder;
pub mod inotify;
mod light;
pub mod limit;
pub mod memory;
pub mod pages;
pub mod place;
pub mod poll;
pub mod proc;
pub mod process;
pub mod signal;
pub mod start;
pub mod title;
pub mod udp;
pub mod user;
pub mod walk;
