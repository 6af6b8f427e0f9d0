//! What the holder of `supervise/lock` writes into it.

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

    /// The line.
    pub fn encode(&self) -> Vec<u8> {
        let host: Vec<u8> = self.host.iter().map(|byte| if byte.is_ascii_graphic() { *byte } else { b'?' }).collect();
        let (boot, pids) = (u128::from_be_bytes(self.world.boot), self.world.pid_namespace);
        [format!("{} ", self.pid).as_bytes(), &host, format!(" {boot:032x} {pids}\n").as_bytes()].concat()
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
        assert_eq!(holder().encode(), b"7 foo 000000000000000000000000000000ab 42\n");
        assert_eq!(Holder::decode(&holder().encode()), Some(holder()));
        let longest =
            Holder { pid: i32::MAX, host: vec![b'x'; 64], world: World { boot: [255; 16], pid_namespace: u64::MAX } };
        assert!(longest.encode().len() <= Holder::MOST_BYTES);
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
