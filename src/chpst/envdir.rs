//! Reading an environment directory; what its files mean is [`crate::model::envdir`].

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;

use nix::errno::Errno;

use crate::model::envdir::{self, Setting};
use crate::msg::{Failure, Tried as _, join};
use crate::sys::file;

/// No kernel takes a variable of this size; a first line without end must not take all memory.
const MAX_LINE: u64 = 4 << 20;

/// Reads every variable in `directory`, in the order of their names.
///
/// `skip` is asked about each entry that is no variable, because it is a directory or has vanished: it says `Ok` to
/// go on without it. Errors: the directory or a file in it cannot be read.
///
/// Source: runit 2.3.0, `edir` in src/chpst.c. Differs: there a file that has vanished, or a link to nowhere, takes
/// the value of the file that was read before it.
pub fn read(directory: &OsStr, mut skip: impl FnMut(Failure) -> Result<(), Failure>) -> Result<Vec<Setting>, Failure> {
    enter(directory).tried_with("switch to directory", directory)?;
    let entries = fs::read_dir(directory).tried_with("open directory", directory)?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>();
    let mut names = names.tried_with("read directory", directory)?;
    names.retain(|name| envdir::is_variable(name));
    names.sort();

    let mut settings = Vec::with_capacity(names.len());
    for name in names {
        let path = join(&[directory.as_encoded_bytes(), b"/", name.as_encoded_bytes()]);
        let path = OsString::from_vec(path);
        match first_line(path.as_ref()) {
            Ok(line) => settings.push(envdir::setting(&name, &line)),
            Err(error) if matches!(error.kind(), io::ErrorKind::IsADirectory | io::ErrorKind::NotFound) => {
                skip(Failure::new("read", &path, error))?;
            }
            Err(error) => return Err(Failure::new("read", &path, error)),
        }
    }
    Ok(settings)
}

/// Whether files in `directory` can be reached, as a chdir(2) would find out.
fn enter(directory: &OsStr) -> io::Result<()> {
    fs::metadata(directory)?; // an empty name is no directory, though `./.` is one
    fs::metadata(Path::new(directory).join(".")).map(drop)
}

/// The first line of a file, with its newline; nothing of an empty file, nor of a FIFO without a writer.
///
/// Errors: EAGAIN for a FIFO with a writer, which may say more; EFBIG for a first line beyond [`MAX_LINE`]. The original
/// reads every file to its end. Differs: that end is not waited for where there is none.
#[inline(never)] // it needs much of the stack, which its caller must not take when there is no directory
fn first_line(path: &Path) -> io::Result<Vec<u8>> {
    let file = file::open_read(path)?;
    let is_regular = file.metadata()?.is_file();
    let mut file = BufReader::new(file).take(MAX_LINE + 1);
    let mut line = Vec::new();
    file.read_until(b'\n', &mut line)?;
    if !is_regular {
        io::copy(&mut file, &mut io::sink())?;
    }
    if file.limit() == 0 && (!is_regular || !line.ends_with(b"\n")) {
        return Err(Errno::EFBIG.into());
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn files_are_variables_and_what_is_none_is_asked_about() {
        let home = tempfile::TempDir::new().unwrap();
        fs::write(home.path().join("B"), "2\nrest").unwrap();
        fs::write(home.path().join("A"), "1").unwrap();
        fs::write(home.path().join("GONE"), "").unwrap();
        fs::write(home.path().join(".hidden"), "x").unwrap();
        fs::create_dir(home.path().join("SUB")).unwrap();
        symlink("nowhere", home.path().join("LINK")).unwrap();

        let mut skipped = Vec::new();
        let read = read(home.path().as_os_str(), |failure| {
            skipped.push(failure.reason().raw_os_error());
            Ok(())
        });
        let gone = Setting { name: "GONE".into(), value: None };
        assert_eq!(read.unwrap(), [Setting::set("A", "1"), Setting::set("B", "2"), gone]);
        assert_eq!(skipped, [Some(libc::ENOENT), Some(libc::EISDIR)]);
    }

    #[test]
    fn a_refused_entry_ends_it() {
        let home = tempfile::TempDir::new().unwrap();
        fs::create_dir(home.path().join("SUB")).unwrap();
        let failure = read(home.path().as_os_str(), Err).unwrap_err();
        let expected = format!("unable to read {}/SUB: is a directory", home.path().display());
        assert_eq!(failure.text(), expected.as_bytes());
    }
}
