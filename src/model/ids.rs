//! Users and groups as `chpst -u` and `-U` name them.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use crate::model::number;

/// A user and groups, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    /// Names, for the account database. No groups: the user's primary group.
    Names {
        /// The user.
        user: OsString,
        /// The groups; the first is the group id.
        groups: Vec<OsString>,
    },
    /// Numbers, used as they are.
    Numbers {
        /// The user id.
        uid: u32,
        /// The group id: the first of `groups`.
        gid: u32,
        /// All groups.
        groups: Vec<u32>,
    },
}

/// Why a text names no user and groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// A name is empty, so that nobody is called so.
    Name,
    /// A number is missing, malformed or too large, or there is no group id.
    Number,
}

/// Parses `[:]user[:group]...`, the argument of `chpst -u`.
///
/// After a leading `:` every part is a numeric id, else a name. Errors: an empty part, an id over `u32`, a user id
/// without a group id.
/// Source: runit 2.3.0, src/uidgid.c. Differs: there an empty id is 0, a large one wraps, and groups after the 60th
/// are dropped.
pub fn parse(text: &OsStr) -> Result<Ids, Invalid> {
    let bytes = text.as_bytes();
    if let Some(numbers) = bytes.strip_prefix(b":") {
        let mut ids = numbers.split(|byte| *byte == b':').map(|part| number::id(part).ok_or(Invalid::Number));
        let uid = ids.next().unwrap_or(Err(Invalid::Number))?;
        let groups = ids.collect::<Result<Vec<_>, _>>()?;
        let gid = *groups.first().ok_or(Invalid::Number)?;
        return Ok(Ids::Numbers { uid, gid, groups });
    }
    let name = |part: &[u8]| if part.is_empty() { Err(Invalid::Name) } else { Ok(OsStr::from_bytes(part).into()) };
    let mut names = bytes.split(|byte| *byte == b':').map(name);
    let user = names.next().unwrap_or(Err(Invalid::Name))?;
    Ok(Ids::Names { user, groups: names.collect::<Result<_, _>>()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(user: &str, groups: &[&str]) -> Result<Ids, Invalid> {
        Ok(Ids::Names { user: user.into(), groups: groups.iter().map(OsString::from).collect() })
    }

    fn numbers(uid: u32, groups: &[u32]) -> Result<Ids, Invalid> {
        Ok(Ids::Numbers { uid, gid: groups[0], groups: groups.to_vec() })
    }

    #[test]
    fn names_are_a_user_and_any_number_of_groups() {
        assert_eq!(parse("deployer".as_ref()), names("deployer", &[]));
        assert_eq!(parse("deployer:www-data".as_ref()), names("deployer", &["www-data"]));
        assert_eq!(parse("a:b:c:b".as_ref()), names("a", &["b", "c", "b"]));
        assert_eq!(parse("1000:100".as_ref()), names("1000", &["100"]));
        let many = format!("a{}", ":b".repeat(100));
        assert_eq!(parse(many.as_ref()), names("a", &["b"; 100]));
    }

    #[test]
    fn after_a_colon_every_part_is_a_number() {
        assert_eq!(parse(":1000:100".as_ref()), numbers(1000, &[100]));
        assert_eq!(parse(":0:0:5:4294967294".as_ref()), numbers(0, &[0, 5, 4_294_967_294]));
    }

    #[test]
    fn an_empty_number_is_an_error_and_never_root() {
        for text in [":", "::", "::0", ":1", ":1:", ":1::2", ":1:2:", ":::"] {
            assert_eq!(parse(text.as_ref()), Err(Invalid::Number), "{text}");
        }
    }

    #[test]
    fn a_number_that_is_malformed_or_too_large_is_an_error() {
        for text in [":1x:2", ":1:2x", ":x:1", ":-1:1", ":4294967295:1", ":1:4294967296", ":99999999999999999999:1"] {
            assert_eq!(parse(text.as_ref()), Err(Invalid::Number), "{text}");
        }
    }

    #[test]
    fn an_empty_name_is_an_error() {
        for text in ["", "root:", "root::root", "root:root:"] {
            assert_eq!(parse(text.as_ref()), Err(Invalid::Name), "{text}");
        }
    }

    #[test]
    fn names_need_not_be_utf8() {
        let text = OsStr::from_bytes(b"\xff:\xfe");
        let (user, group) = (OsStr::from_bytes(b"\xff").into(), OsStr::from_bytes(b"\xfe").into());
        assert_eq!(parse(text), Ok(Ids::Names { user, groups: vec![group] }));
    }
}
