//! The `config` file of a log directory.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use crate::model::pattern::{Pattern, Rule, Verdict};

/// The port of syslog, where `u` and `U` name none.
pub const SYSLOG_PORT: u16 = 514;

/// What a log directory's `config` asks for.
///
/// One line is one directive; its first byte says which. Of each the last one counts; patterns add up.
///
/// | line                  | field                    | form                                                    |
/// |-----------------------|--------------------------|---------------------------------------------------------|
/// | `sSIZE`               | `max_bytes`              | digits, then `k` for 1024 or `m` for 1048576 of them    |
/// | `nNUM`                | `keep`                   | digits                                                  |
/// | `NMIN`                | `keep_when_full`         | digits                                                  |
/// | `tAGE`                | `max_age`                | digits, seconds; then `m` for minutes or `h` for hours  |
/// | `!COMMAND`            | `processor`              | for `sh -c`                                             |
/// | `uADDR`, `UADDR`      | `udp`, `to_file`         | `A.B.C.D` or `A.B.C.D:PORT`                             |
/// | `pPREFIX`             | `prefix`                 | any bytes                                               |
/// | `+P` `-P` `eP` `EP`   | `rules`                  | a [`Pattern`]                                           |
/// | empty, `#...`, others | -                        | left alone                                              |
///
/// Without digits a number is 0; digits end at the first other byte. What follows a number, an address or a port is
/// left alone, and so is what follows a NUL, a last line of one byte without a newline, and an empty `!` or `p`. An
/// address that cannot be understood leaves the one before it; `u` never undoes `U`.
///
/// Source: runit 2.3.0, src/svlogd.c. Differs: a number too large is the largest, where it wraps there; parts of an
/// address over 255 and ports over 65535 are errors, where they wrap there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How large `current` may grow; 0 for no limit.
    pub max_bytes: u64,
    /// How many old files to keep; 0 for all.
    pub keep: u64,
    /// Down to how many old files to delete when the disk is full.
    pub keep_when_full: u64,
    /// How old `current` may become.
    pub max_age: Option<Duration>,
    /// The command that old files go through.
    pub processor: Option<Vec<u8>>,
    /// Where to send lines by UDP.
    pub udp: Option<SocketAddrV4>,
    /// Whether lines are written into the directory.
    pub to_file: bool,
    /// What stands before every line.
    pub prefix: Vec<u8>,
    /// Which lines are taken.
    pub rules: Vec<Rule>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_bytes: 1_000_000,
            keep: 10,
            keep_when_full: 10,
            max_age: None,
            processor: None,
            udp: None,
            to_file: true,
            prefix: Vec::new(),
            rules: Vec::new(),
        }
    }
}

/// A directive that could not be understood, with its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Complaint {
    /// Not an address.
    Address(Vec<u8>),
    /// Not a port.
    Port(Vec<u8>),
}

impl Config {
    /// Reads the file's bytes. Every file is a configuration; what it could not mean is listed besides.
    pub fn parse(file: &[u8]) -> (Config, Vec<Complaint>) {
        let mut config = Config::default();
        let mut complaints = Vec::new();
        for line in file.split_inclusive(|byte| *byte == b'\n') {
            let text = line.strip_suffix(b"\n").unwrap_or(line);
            match *text {
                [] => {}
                [_] if text.len() == line.len() => {}
                [directive, ref rest @ ..] => {
                    let argument = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                    complaints.extend(config.apply(directive, argument).err());
                }
            }
        }
        (config, complaints)
    }

    fn apply(&mut self, directive: u8, argument: &[u8]) -> Result<(), Complaint> {
        match directive {
            b's' => self.max_bytes = scaled(argument, [(b'k', 1024), (b'm', 1024 * 1024)]),
            b'n' => self.keep = number(argument).0,
            b'N' => self.keep_when_full = number(argument).0,
            b't' => {
                let seconds = scaled(argument, [(b'm', 60), (b'h', 60 * 60)]);
                self.max_age = (seconds > 0).then(|| Duration::from_secs(seconds));
            }
            b'!' if !argument.is_empty() => self.processor = Some(argument.to_vec()),
            b'p' if !argument.is_empty() => self.prefix = argument.to_vec(),
            b'u' => self.udp = Some(address(argument)?),
            b'U' => {
                self.to_file = false;
                self.udp = Some(address(argument)?);
            }
            b'+' => self.add_rule(Verdict::Log, argument),
            b'-' => self.add_rule(Verdict::DoNotLog, argument),
            b'e' => self.add_rule(Verdict::Alert, argument),
            b'E' => self.add_rule(Verdict::DoNotAlert, argument),
            _ => {}
        }
        Ok(())
    }

    fn add_rule(&mut self, verdict: Verdict, pattern: &[u8]) {
        self.rules.push(Rule { verdict, pattern: Pattern::new(pattern) });
    }
}

/// The number that `text` begins with, and what follows; 0 without digits, the largest when too large.
pub fn number(text: &[u8]) -> (u64, &[u8]) {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let value = text[..digits]
        .iter()
        .fold(0u64, |value, digit| value.saturating_mul(10).saturating_add(u64::from(digit - b'0')));
    (value, &text[digits..])
}

fn scaled(text: &[u8], units: [(u8, u64); 2]) -> u64 {
    let (value, rest) = number(text);
    let unit = units.iter().find(|(letter, _)| rest.first() == Some(letter)).map_or(1, |(_, unit)| *unit);
    value.saturating_mul(unit)
}

fn address(text: &[u8]) -> Result<SocketAddrV4, Complaint> {
    let bad_address = || Complaint::Address(text.to_vec());
    let mut octets = [0; 4];
    let mut rest = text;
    for (index, octet) in octets.iter_mut().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(b".").ok_or_else(bad_address)?;
        }
        let (value, after) = number(rest);
        if after.len() == rest.len() {
            return Err(bad_address());
        }
        *octet = u8::try_from(value).map_err(|_| bad_address())?;
        rest = after;
    }
    let port = match rest {
        [b':', port @ ..] => match u16::try_from(number(port).0) {
            Ok(value) if value > 0 => value,
            _ => return Err(Complaint::Port(port.to_vec())),
        },
        _ => SYSLOG_PORT,
    };
    Ok(SocketAddrV4::new(Ipv4Addr::from(octets), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(file: &str) -> Config {
        let (config, complaints) = Config::parse(file.as_bytes());
        assert_eq!(complaints, []);
        config
    }

    #[test]
    fn every_directive_is_understood() {
        let config = parse("#x\n\ns2k\nn5\nN3\nt2h\n!gzip -9\nu127.0.0.1:99\npweb: \n+a*\n-b\nec\nEd\n?\n s9\n");
        let rule = |verdict, text: &str| Rule { verdict, pattern: Pattern::new(text.as_bytes()) };
        assert_eq!(
            config,
            Config {
                max_bytes: 2048,
                keep: 5,
                keep_when_full: 3,
                max_age: Some(Duration::from_secs(7200)),
                processor: Some(b"gzip -9".to_vec()),
                udp: Some("127.0.0.1:99".parse().unwrap()),
                to_file: true,
                prefix: b"web: ".to_vec(),
                rules: vec![
                    rule(Verdict::Log, "a*"),
                    rule(Verdict::DoNotLog, "b"),
                    rule(Verdict::Alert, "c"),
                    rule(Verdict::DoNotAlert, "d"),
                ],
            }
        );
    }

    #[test]
    fn units_multiply() {
        assert_eq!(parse("s1m\n").max_bytes, 1_048_576);
        assert_eq!(parse("s7x\n").max_bytes, 7);
        assert_eq!(parse("t5\n").max_age, Some(Duration::from_secs(5)));
        assert_eq!(parse("t5m\n").max_age, Some(Duration::from_secs(300)));
        assert_eq!(parse("t5\nt0\n").max_age, None);
    }

    #[test]
    fn a_number_without_digits_is_zero_and_a_huge_one_the_largest() {
        assert_eq!(parse("sk\nn\n").max_bytes, 0);
        assert_eq!(parse("sk\nn\n").keep, 0);
        assert_eq!(parse("s99999999999999999999999m\n").max_bytes, u64::MAX);
    }

    #[test]
    fn the_last_line_needs_no_newline_unless_it_is_one_byte() {
        assert_eq!(parse("n3\nn4").keep, 4);
        assert_eq!(parse("n3\nn").keep, 3);
        assert_eq!(parse(""), Config::default());
    }

    #[test]
    fn bytes_need_not_be_text_but_end_at_a_nul() {
        let (config, _) = Config::parse(b"p\xff\x00a\n-\xfe*\n-\x00a\n\x00n3\n");
        assert_eq!((config.prefix.as_slice(), config.keep), (&b"\xff"[..], 10));
        assert!(config.rules[0].pattern.matches(b"\xfe\xfd"));
        assert_eq!(config.rules[1].pattern, Pattern::new(b""));
    }

    #[test]
    fn an_empty_command_or_prefix_leaves_the_one_before() {
        let config = parse("pa\np\n!cat\n!\n");
        assert_eq!((config.prefix, config.processor), (b"a".to_vec(), Some(b"cat".to_vec())));
    }

    #[test]
    fn udp_only_keeps_lines_out_of_the_file_even_with_a_bad_address() {
        let (config, complaints) = Config::parse(b"U1.2.3\n");
        assert_eq!((config.to_file, config.udp), (false, None));
        assert_eq!(complaints, [Complaint::Address(b"1.2.3".to_vec())]);
        assert_eq!(parse("U127.0.0.1\n").udp, Some("127.0.0.1:514".parse().unwrap()));
        assert!(!parse("U127.0.0.1:9\nu127.0.0.1:8\n").to_file);
    }

    #[test]
    fn what_follows_an_address_or_a_port_is_left_alone() {
        let udp = |text: &str| parse(text).udp.unwrap().to_string();
        assert_eq!(udp("u127.0.0.1x:5\n"), "127.0.0.1:514");
        assert_eq!(udp("u0127.0.00.1.5\n"), "127.0.0.1:514");
        assert_eq!(udp("u127.0.0.1:07x\n"), "127.0.0.1:7");
    }

    #[test]
    fn a_bad_address_leaves_the_one_before() {
        let (config, complaints) = Config::parse(b"u127.0.0.1:7\nux\nu127.0.0.1:0\n");
        assert_eq!(config.udp, Some("127.0.0.1:7".parse().unwrap()));
        assert_eq!(complaints.len(), 2);
    }

    #[test]
    fn bad_addresses_and_ports_are_named() {
        let complaints = |text: &str| Config::parse(format!("u{text}\n").as_bytes()).1;
        for text in ["", "a", "1.2.3.", "1.2.3.256", "1.2..4", " 1.2.3.4"] {
            assert_eq!(complaints(text), [Complaint::Address(text.into())]);
        }
        for port in ["", "x", "0", "70000", "+5"] {
            assert_eq!(complaints(&format!("1.2.3.4:{port}")), [Complaint::Port(port.into())]);
        }
    }
}
