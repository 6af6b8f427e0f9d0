//! TAI64N labels, the wall-clock stamps of status records and logs.

use std::time::Duration;

/// What runit adds to Unix seconds: 2^62, and ten seconds of TAI, with no leap seconds after.
const OFFSET: u64 = (1 << 62) + 10;

/// A wall-clock moment as TAI64N.
///
/// | bytes | field       | form                                     |
/// |-------|-------------|------------------------------------------|
/// | 0..8  | seconds     | 2^62 + 10 + Unix seconds, big-endian u64 |
/// | 8..12 | nanoseconds | big-endian u32                           |
///
/// Source: runit 2.3.0, src/tai_pack.c and src/taia_now.c. Differs: there the nanoseconds are microseconds * 1000 +
/// 500; here they are the clock's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Label {
    seconds: u64,
    nanoseconds: u32,
}

impl Label {
    /// The label of `since_1970`, wall-clock time since 1970 began.
    pub fn of(since_1970: Duration) -> Label {
        Label { seconds: since_1970.as_secs().wrapping_add(OFFSET), nanoseconds: since_1970.subsec_nanos() }
    }

    /// The 12 bytes as they stand in files.
    pub fn encode(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        bytes[..8].copy_from_slice(&self.seconds.to_be_bytes());
        bytes[8..].copy_from_slice(&self.nanoseconds.to_be_bytes());
        bytes
    }

    /// Reads the 12 bytes; any bytes are a label.
    pub fn decode(bytes: [u8; 12]) -> Label {
        let [s0, s1, s2, s3, s4, s5, s6, s7, n0, n1, n2, n3] = bytes;
        Label {
            seconds: u64::from_be_bytes([s0, s1, s2, s3, s4, s5, s6, s7]),
            nanoseconds: u32::from_be_bytes([n0, n1, n2, n3]),
        }
    }

    /// The next one.
    pub fn next(self) -> Label {
        match self.nanoseconds.checked_add(1).filter(|nanoseconds| *nanoseconds < 1_000_000_000) {
            Some(nanoseconds) => Label { nanoseconds, ..self },
            None => Label { seconds: self.seconds.saturating_add(1), nanoseconds: 0 },
        }
    }

    /// Unix seconds; 0 for a label before 1970.
    pub fn unix_seconds(self) -> u64 {
        self.seconds.saturating_sub(OFFSET)
    }

    /// Time since 1970 began.
    pub fn since_1970(self) -> Duration {
        Duration::from_secs(self.unix_seconds()) + Duration::from_nanos(u64::from(self.nanoseconds))
    }

    /// `@` and 24 lower-case hexadecimal digits, as in logs and their file names.
    pub fn hex(self) -> [u8; 25] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'@'; 25];
        for (pair, byte) in text[1..].chunks_exact_mut(2).zip(self.encode()) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_the_bytes_of_the_original() {
        let label = Label::of(Duration::new(0, 1));
        assert_eq!(label.encode(), *b"\x40\0\0\0\0\0\0\x0a\0\0\0\x01");
        assert_eq!(label.hex(), *b"@400000000000000a00000001");
    }

    #[test]
    fn bytes_come_back_as_they_were() {
        let bytes = *b"\x40\x00\x00\x00\x6b\x01\x51\x3b\x01\x57\xa2\xb4";
        assert_eq!(Label::decode(bytes).encode(), bytes);
        assert_eq!(Label::decode(bytes).unix_seconds(), 0x6b01_513b - 10);
        assert_eq!(Label::decode([0; 12]).unix_seconds(), 0);
    }
}
