//! Where a program is looked for.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

/// Where programs are looked for without a PATH. Source: runit 2.3.0, src/pathexec_run.c.
const DEFAULT_PATH: &str = "/bin:/usr/bin";

/// The files to try for `program`, in order: itself if it has a slash, else one for each part of `path`.
///
/// An empty part is the working directory.
pub fn candidates(program: &OsStr, path: Option<&OsStr>) -> Vec<OsString> {
    if program.as_bytes().contains(&b'/') {
        return vec![program.into()];
    }
    let path = path.unwrap_or(DEFAULT_PATH.as_ref());
    let parts = path.as_bytes().split(|byte| *byte == b':').map(|part| if part.is_empty() { b"." } else { part });
    parts.map(|part| OsStr::from_bytes(&[part, b"/", program.as_bytes()].concat()).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_path(program: &str, path: &str) -> Vec<OsString> {
        candidates(program.as_ref(), Some(path.as_ref()))
    }

    #[test]
    fn a_name_is_tried_in_every_part_of_the_path() {
        assert_eq!(in_path("x", "/a:b:/c/"), ["/a/x", "b/x", "/c//x"]);
        assert_eq!(candidates("x".as_ref(), None), ["/bin/x", "/usr/bin/x"]);
    }

    #[test]
    fn an_empty_part_is_the_working_directory() {
        assert_eq!(in_path("x", ""), ["./x"]);
        assert_eq!(in_path("x", ":/a::"), ["./x", "/a/x", "./x", "./x"]);
    }

    #[test]
    fn a_name_with_a_slash_is_not_looked_for() {
        assert_eq!(in_path("./x", "/a"), ["./x"]);
        assert_eq!(in_path("/", "/a"), ["/"]);
    }
}
