//! A hostile user gets nothing from root: not through what root's programs open, read, write, run or show.

mod drop;
mod log;
mod messages;
mod stop;
mod sv;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::account::Land;

/// A file of root's that nobody else can read, and what is in it.
pub struct Treasure {
    pub path: PathBuf,
}

impl Treasure {
    const TEXT: &'static str = "root:secret:0:0\n";

    pub fn of(land: &Land) -> Treasure {
        let path = land.tree.path("treasure");
        fs::write(&path, Treasure::TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        Treasure { path }
    }

    pub fn is_whole(&self) -> bool {
        fs::read_to_string(&self.path).unwrap() == Treasure::TEXT
    }
}

/// Gives each of two files the other's name, at one moment.
pub fn exchange(one: &Path, other: &Path) {
    use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};
    renameat2(AT_FDCWD, one, AT_FDCWD, other, RenameFlags::RENAME_EXCHANGE).unwrap();
}

/// Exchanges two files all the time while `meanwhile` runs.
pub fn while_exchanging(one: &Path, other: &Path, meanwhile: impl FnOnce()) {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                exchange(one, other);
            }
        });
        let result = catch_unwind(AssertUnwindSafe(meanwhile));
        is_over.store(true, Ordering::Relaxed);
        result.unwrap_or_else(|panic| resume_unwind(panic));
    });
}

/// Makes a link of the user's.
pub fn link_of(land: &Land, target: &Path, link: &Path) {
    symlink(target, link).unwrap();
    lchown(link, Some(land.user.uid), Some(land.user.gid)).unwrap();
}
