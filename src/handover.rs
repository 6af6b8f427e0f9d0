//! The upgrade in place: a supervisor becomes its program anew, as that is on disk now, and keeps what it holds.
//!
//! It stays the same process, so that its children stay its children, and the same files stay open: no lock is free
//! for a moment, and nobody who talks to it sees it gone.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::os::unix::ffi::OsStringExt as _;

use crate::model::handover::Handover;
use crate::sys::fd;
use crate::sys::process::{self, Argv, Image};
use crate::sys::signal::InheritedMask;

/// The variable with what is handed over. What is started never sees it.
pub const VARIABLE: &str = "HOMERUN_HANDOVER";

/// What this process was handed over by itself, before it became its program anew.
pub struct Handed {
    /// The signal mask for what it starts.
    pub mask: InheritedMask,
    files: BTreeMap<String, File>,
}

impl Handed {
    /// Takes it, if there is something. Call it once, at the start.
    pub fn take() -> Option<Handed> {
        let text = process::take_variable(VARIABLE)?;
        let handover = Handover::read(text.to_str()?).filter(|it| it.pid == process::id())?;
        let owned = |(name, number)| Some((name, File::from(fd::take_number(number).ok()?)));
        let files = handover.descriptors.into_iter().filter_map(owned).collect();
        Some(Handed { mask: InheritedMask::of_bits(handover.mask), files })
    }

    /// The file that was handed over by this name.
    pub fn file(&mut self, name: &str) -> Option<File> {
        self.files.remove(name)
    }
}

/// Becomes this process's program anew, with `arguments` (the program's name first), the environment and `variables`
/// besides; returns only when that failed, and then everything is as it was.
///
/// Signals that are blocked stay so: one that comes meanwhile waits.
pub fn become_anew(
    arguments: &[OsString],
    variables: &[(&str, OsString)],
    mask: InheritedMask,
    held: &[(String, BorrowedFd<'_>)],
) -> io::Error {
    let descriptors = held.iter().map(|(name, fd)| (name.clone(), fd.as_raw_fd())).collect();
    let handover = Handover { pid: process::id(), mask: mask.bits(), descriptors };
    let inherit = |inherited| held.iter().try_for_each(|(_, held)| fd::set_inherited(*held, inherited));
    let exec = || -> io::Result<Infallible> {
        let program = process::own_program()?;
        let given = variables.iter().map(|(name, value)| (OsString::from(name), value.clone()));
        let handed = [(OsString::from(VARIABLE), OsString::from(handover.to_string()))];
        let variables = std::env::vars_os().chain(given).chain(handed);
        let environment: Vec<OsString> = variables
            .map(|(name, value)| OsString::from_vec([&name.into_vec(), &b"="[..], &value.into_vec()].concat()))
            .collect();
        let image = Image::new(&[program.into()], Argv::new(arguments)?)?.with_environment(&environment)?;
        inherit(true)?;
        Err(image.exec())
    };
    let Err(error) = exec();
    let _ = inherit(false);
    error
}
