//! The way to a file: where links on it stand, which could lead elsewhere one day.

use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// More links than this are a circle. Source: path_resolution(7).
const MOST_LINKS: usize = 40;

/// A directory, and a name in it: whoever changes what bears the name changes the way.
pub type Place = (PathBuf, OsString);

/// The way from one place to another.
#[derive(Debug, PartialEq, Eq)]
pub struct Way {
    /// The places of the links on it, in order.
    pub links: Vec<Place>,
    /// The place where it ends. A way that goes in a circle, or upwards at its end, has none.
    pub last: Option<Place>,
    /// Where it ends, without the links that led there.
    pub end: PathBuf,
}

impl Way {
    /// Whether it goes in a circle.
    pub fn is_circle(&self) -> bool {
        self.links.len() > MOST_LINKS
    }
}

/// The way to `path`, which is relative to `from`, where no link led.
///
/// `read_link` gives where a link leads, and `None` for anything else. From `.` all of it is relative.
pub fn walk(from: &Path, path: &Path, mut read_link: impl FnMut(&Path) -> Option<PathBuf>) -> Way {
    let mut links = Vec::new();
    let mut walked = if path.is_absolute() { PathBuf::from("/") } else { from.to_path_buf() };
    let mut rest = parts(path);
    while let Some(part) = rest.pop_front() {
        if part == ".." {
            walked.push(part);
            continue;
        }
        let at = walked.join(&part);
        if let Some(target) = read_link(&at) {
            links.push((walked.clone(), part));
            if links.len() > MOST_LINKS {
                break;
            }
            if target.is_absolute() {
                walked = PathBuf::from("/");
            }
            parts(&target).into_iter().rev().for_each(|part| rest.push_front(part));
            continue;
        }
        if rest.is_empty() {
            return Way { links, last: Some((walked, part)), end: at };
        }
        walked = at;
    }
    Way { links, last: None, end: walked }
}

/// The names in a path, without those that lead nowhere else.
fn parts(path: &Path) -> VecDeque<OsString> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    parts.filter(|part| !matches!(part, [] | [b'.'])).map(|part| OsStr::from_bytes(part).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(path: &str, links: &[(&str, &str)]) -> Vec<String> {
        let read_link =
            |at: &Path| links.iter().find(|(link, _)| Path::new(link) == at).map(|(_, to)| PathBuf::from(to));
        shown(&walk(Path::new("."), Path::new(path), read_link))
    }

    fn shown(way: &Way) -> Vec<String> {
        let places = way.links.iter().chain(&way.last);
        places.map(|(place, name)| format!("{} {}", place.display(), name.display())).collect()
    }

    #[test]
    fn without_links_only_the_end_counts() {
        assert_eq!(way("/etc/sv/foo", &[]), ["/etc/sv foo"]);
        assert_eq!(way("services", &[]), [". services"]);
        assert_eq!(way("a//b/./c/", &[]), ["./a/b c"]);
        assert_eq!(way("../a/../b", &[]), ["./../a/.. b"]);
        assert_eq!(way("/", &[]), [""; 0]);
        assert_eq!(way(".", &[]), [""; 0]);
    }

    #[test]
    fn each_link_is_on_the_way_whatever_it_leads_to() {
        let links = [("/var/service", "../run/current"), ("/run/current", "/sets/one"), ("/sets", "/home/sets")];
        let expected = ["/var service", "/var/../run current", "/ sets", "/home/sets one"];
        let through = |at: &Path| match at.to_str() {
            Some("/var/../run/current") => Some(PathBuf::from("/sets/one")),
            Some(at) => links.iter().find(|(link, _)| *link == at).map(|(_, to)| PathBuf::from(to)),
            None => None,
        };
        assert_eq!(shown(&walk(Path::new("."), Path::new("/var/service"), through)), expected);
        assert_eq!(way("a/b/c", &[("./a", "x")]), [". a", "./x/b c"]);
        assert_eq!(way("a", &[("./a", "..")]), [". a"]);
    }

    #[test]
    fn a_circle_ends() {
        assert_eq!(way("a", &[("./a", "a")]).len(), MOST_LINKS + 1);
        assert!(walk(Path::new("."), Path::new("a"), |_| Some("a".into())).is_circle());
    }
}
