//! A hostile user gets nothing from root: not through what root's programs open, read, write, run or show.

mod sv;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

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
