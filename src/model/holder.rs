//! What the holder of `supervise/lock` writes into it.

use std::io::{self, Write as _};

use super::note::World;

/// Who holds a lock: a line of text, `PID HOST BOOT PIDS`.
///
/// `BOOT` is the kernel's boot id in hexadecimal digits, `PIDS` the inode of the pid namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its process id.
    pub pid: i32,
    /// The name of the host that it is on.
    pub host: Vec<u8>,
    /// Where its pid means something.
    pub world: World,
}

impl Holder {
    /// No such line is longer. Linux's host names have 64 bytes.
    pub const MOST_BYTES: usize = 192;

    /// The line, in a part of `place`; as much of it as there is room for.
    pub fn encode<'a>(&self, place: &'a mut [u8; Holder::MOST_BYTES]) -> &'a [u8] {
        let (boot, pids) = (u128::from_be_bytes(self.world.boot), self.world.pid_namespace);
        let mut rest = &mut place[..];
        let mut write = || -> io::Result<()> {
            write!(rest, "{} ", self.pid)?;
            for byte in &self.host {
                rest.write_all(&[if byte.is_ascii_graphic() { *byte } else { b'?' }])?;
            }
            writeln!(rest, " {boot:032x} {pids}")
        };
        let _ = write();
        let left = rest.len();
        &place[..Holder::MOST_BYTES - left]
    }

    /// Reads a line; None for anything else.
    pub fn decode(text: &[u8]) -> Option<Holder> {
        let line = std::str::from_utf8(text.strip_suffix(b"\n")?).ok()?;
        let mut words = line.split(' ');
        let pid = words.next()?.parse().ok().filter(|pid| *pid > 0)?;
        let host = words.next().filter(|host| host.bytes().all(|byte| byte.is_ascii_graphic()))?;
        let boot = u128::from_str_radix(words.next()?, 16).ok()?.to_be_bytes();
        let pid_namespace = words.next()?.parse().ok()?;
        let world = World { boot, pid_namespace };
        words.next().is_none().then(|| Holder { pid, host: host.as_bytes().to_vec(), world })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holder() -> Holder {
        let mut boot = [0; 16];
        boot[15] = 0xab;
        Holder { pid: 7, host: b"foo".to_vec(), world: World { boot, pid_namespace: 42 } }
    }

    #[test]
    fn a_holder_is_a_line() {
        let place = &mut [0; Holder::MOST_BYTES];
        assert_eq!(holder().encode(place), b"7 foo 000000000000000000000000000000ab 42\n");
        assert_eq!(Holder::decode(holder().encode(place)), Some(holder()));
        let longest =
            Holder { pid: i32::MAX, host: vec![b'x'; 64], world: World { boot: [255; 16], pid_namespace: u64::MAX } };
        assert!(longest.encode(place).ends_with(b"\n"));
    }

    #[test]
    fn anything_else_is_none() {
        for text in [
            "",
            "\n",
            "7 foo 0 42",
            "0 foo 0 42\n",
            "-1 foo 0 42\n",
            "7 foo 0 42 0\n",
            "7 f\x1b 0 42\n",
            "7 foo x 42\n",
        ] {
            assert_eq!(Holder::decode(text.as_bytes()), None, "{text:?}");
        }
    }
}
