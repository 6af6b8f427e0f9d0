//! What /proc tells of other processes.

use std::fs;

/// A process and its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The process.
    pub pid: i32,
    /// Its parent.
    pub parent: i32,
    /// Whether it has ended and waits to be reaped.
    pub ended: bool,
}

/// Every process that can be seen, with its parent. Processes that end meanwhile may be missing.
pub fn relations() -> Vec<Relation> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| relation(pid, &fs::read(format!("/proc/{pid}/stat")).ok()?))
        .collect()
}

/// The command line of a process, each argument ended by a NUL; empty when it cannot be seen.
pub fn command_line(pid: i32) -> Vec<u8> {
    fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Reads `pid (comm) state ppid ...`; the name may hold spaces and parentheses, so the last one counts.
fn relation(pid: i32, stat: &[u8]) -> Option<Relation> {
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = std::str::from_utf8(&stat[after_name..]).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Relation { pid, parent, ended: matches!(state, "Z" | "X") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_does_not_confuse() {
        let read = relation(7, b"7 (a) Z 1 (b) S 42 7 7 0 -1\n");
        assert_eq!(read, Some(Relation { pid: 7, parent: 42, ended: false }));
        assert_eq!(relation(7, b"7 (a) Z 9 1").map(|it| it.ended), Some(true));
        assert_eq!(relation(7, b"garbage"), None);
    }

    #[test]
    fn this_process_is_among_them() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(relations().iter().any(|relation| relation.pid == own));
    }
}
