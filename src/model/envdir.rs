//! An environment directory: each file is a variable.
//!
//! Source: runit 2.3.0, `edir` in src/chpst.c, and `pathexec` in src/pathexec_env.c.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// What one file says about one variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// The variable. It holds no `=`.
    pub name: OsString,
    /// Its new value; `None` removes it.
    pub value: Option<OsString>,
}

impl Setting {
    /// Sets `name` to `value`.
    pub fn set(name: impl Into<OsString>, value: impl Into<OsString>) -> Setting {
        Setting { name: name.into(), value: Some(value.into()) }
    }
}

/// Whether a file of this name is a variable: hidden files are not.
pub fn is_variable(file_name: &OsStr) -> bool {
    !file_name.as_bytes().starts_with(b".")
}

/// What the file `file_name` says, given what it holds: at least its first line, newline included.
///
/// | content     | variable                                                              |
/// |-------------|-----------------------------------------------------------------------|
/// | 0 bytes     | removed                                                               |
/// | else        | its first line, without blanks at the end; a NUL becomes a newline    |
///
/// A name with `=` in it is taken as the original takes it: `a=b` holding `v` sets `a` to `b=v`, and an empty `a=b`
/// sets `a` to `b`.
pub fn setting(file_name: &OsStr, content: &[u8]) -> Setting {
    let value = (!content.is_empty()).then(|| first_line(content));
    let name = file_name.as_bytes();
    let Some(at) = name.iter().position(|byte| *byte == b'=') else {
        return Setting { name: file_name.into(), value: value.map(OsString::from_vec) };
    };
    let mut joined = name[at + 1..].to_vec();
    if let Some(value) = value {
        joined.push(b'=');
        joined.extend(value);
    }
    Setting::set(OsStr::from_bytes(&name[..at]), OsString::from_vec(joined))
}

fn first_line(content: &[u8]) -> Vec<u8> {
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let length = line.iter().rposition(|byte| !matches!(byte, b' ' | b'\t')).map_or(0, |last| last + 1);
    line[..length].iter().map(|byte| if *byte == 0 { b'\n' } else { *byte }).collect()
}

/// Carries out `settings` on an environment of `NAME=value` entries: what goes is replaced by the last entry, what is
/// set goes to the end.
///
/// Differs: of entries for one variable the original takes away only the first.
pub fn apply(environment: &mut Vec<OsString>, settings: &[Setting]) {
    for setting in settings {
        let mut start = setting.name.clone();
        start.push("=");
        while let Some(at) = environment.iter().position(|entry| entry.as_bytes().starts_with(start.as_bytes())) {
            environment.swap_remove(at);
        }
        if let Some(value) = &setting.value {
            start.push(value);
            environment.push(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(content: &[u8]) -> Option<Vec<u8>> {
        setting("k".as_ref(), content).value.map(OsString::into_vec)
    }

    #[test]
    fn an_empty_file_removes_and_an_empty_line_sets_nothing() {
        assert_eq!(value(b""), None);
        assert_eq!(value(b"\n"), Some(b"".to_vec()));
        assert_eq!(value(b"\nv"), Some(b"".to_vec()));
        assert_eq!(value(b" \t \n"), Some(b"".to_vec()));
    }

    #[test]
    fn the_first_line_counts_without_blanks_at_its_end() {
        assert_eq!(value(b"v"), Some(b"v".to_vec()));
        assert_eq!(value(b"v\nw\n"), Some(b"v".to_vec()));
        assert_eq!(value(b" \tv w\t \n"), Some(b" \tv w".to_vec()));
        assert_eq!(value(b"v\r\n"), Some(b"v\r".to_vec()));
        assert_eq!(value(b"a=b\n"), Some(b"a=b".to_vec()));
    }

    #[test]
    fn a_nul_becomes_a_newline_and_other_bytes_stay() {
        assert_eq!(value(b"a\0b\n"), Some(b"a\nb".to_vec()));
        assert_eq!(value(b"a \0"), Some(b"a \n".to_vec()));
        assert_eq!(value(b"\xff\x01\n"), Some(b"\xff\x01".to_vec()));
    }

    #[test]
    fn no_value_holds_a_nul_whatever_the_file_holds() {
        for first in 0..=u8::MAX {
            for second in [0, b'\n', b' ', b'x'] {
                let value = value(&[first, second]).unwrap();
                assert!(!value.contains(&0), "{first} {second}");
                assert!(!matches!(value.last(), Some(b' ' | b'\t')), "{first} {second}");
            }
        }
    }

    #[test]
    fn a_name_with_an_equals_sign_is_split_at_the_first() {
        assert_eq!(setting("a=b".as_ref(), b"v\n"), Setting::set("a", "b=v"));
        assert_eq!(setting("a=b=c".as_ref(), b"v"), Setting::set("a", "b=c=v"));
        assert_eq!(setting("a=b".as_ref(), b""), Setting::set("a", "b"));
        assert_eq!(setting("=x".as_ref(), b"q"), Setting::set("", "x=q"));
    }

    #[test]
    fn hidden_files_are_no_variables() {
        assert!(is_variable("A".as_ref()));
        assert!(is_variable("a.b".as_ref()));
        assert!(!is_variable(".".as_ref()));
        assert!(!is_variable("..".as_ref()));
        assert!(!is_variable(".A".as_ref()));
    }

    #[test]
    fn what_is_set_goes_to_the_end_and_the_last_entry_to_the_place_of_what_was() {
        let mut environment: Vec<OsString> = ["A=1", "AB=2", "A=3", "C=4", "D=5"].map(OsString::from).into();
        apply(&mut environment, &[Setting::set("A", "new"), Setting { name: "C".into(), value: None }]);
        assert_eq!(environment, ["D=5", "AB=2", "A=new"]);
        apply(&mut environment, &[Setting::set("A", ""), Setting { name: "X".into(), value: None }]);
        assert_eq!(environment, ["D=5", "AB=2", "A="]);
    }
}
