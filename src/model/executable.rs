//! What the kernel finds at the beginning of a file that is to be run.

/// So much of a file tells what it is: an ELF file may name its loader some way behind its head.
pub const HEAD_BYTES: usize = 4096;
/// The kernel reads no more of a script's first line. Source: Linux, `BINPRM_BUF_SIZE`.
const LINE_BYTES: usize = 256;

/// What a file is, as a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head<'a> {
    /// There is nothing in it.
    Empty,
    /// A script with the path of its interpreter. One from DOS or Windows has a carriage return at its end.
    Script(&'a [u8]),
    /// `#!` and nothing behind it on the line, or more than the kernel reads.
    NoInterpreter,
    /// Binary code for a machine, by its number in ELF, and the path of its loader, if it has one.
    Binary(u16, Option<&'a [u8]>),
    /// `#!` behind a byte order mark, which the kernel does not expect.
    ByteOrderMark,
    /// Anything else.
    Other,
}

impl Head<'_> {
    /// Reads the first [`HEAD_BYTES`] of a file, or all of a shorter one.
    pub fn of(head: &[u8]) -> Head<'_> {
        if let Some(line) = head.strip_prefix(b"#!") {
            return script(line);
        }
        match head {
            [] => Head::Empty,
            [0xef, 0xbb, 0xbf, b'#', b'!', ..] => Head::ByteOrderMark,
            [0x7f, b'E', b'L', b'F', ..] => Elf { bytes: head }.read().unwrap_or(Head::Other),
            _ => Head::Other,
        }
    }
}

fn script(line: &[u8]) -> Head<'_> {
    let line = &line[..line.len().min(LINE_BYTES - 2)];
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = line.iter().position(|byte| !is_blank(byte)).unwrap_or(line.len());
    let rest = &line[start..];
    let ends = |byte: &u8| is_blank(byte) || matches!(byte, b'\n' | 0);
    match rest.iter().position(ends) {
        Some(0) => Head::NoInterpreter,
        Some(end) => Head::Script(&rest[..end]),
        None if rest.is_empty() || line.len() == LINE_BYTES - 2 => Head::NoInterpreter,
        None => Head::Script(rest),
    }
}

/// The head of an ELF file. Source: elf(5).
struct Elf<'a> {
    bytes: &'a [u8],
}

impl<'a> Elf<'a> {
    const CLASS: usize = 4;
    const CLASS_64: u8 = 2;
    const DATA: usize = 5;
    const DATA_BIG: u8 = 2;
    const MACHINE: usize = 18;
    const PT_INTERP: u64 = 3;

    fn read(&self) -> Option<Head<'a>> {
        let machine = u16::try_from(self.number(Elf::MACHINE, 2)?).ok()?;
        Some(Head::Binary(machine, self.loader()))
    }

    fn loader(&self) -> Option<&'a [u8]> {
        let is_64 = *self.bytes.get(Elf::CLASS)? == Elf::CLASS_64;
        let at = |in_32: usize, in_64: usize| if is_64 { in_64 } else { in_32 };
        let width = at(4, 8);
        let table = self.place(at(28, 32), width)?;
        let (size, count) = (self.place(at(42, 54), 2)?, self.place(at(44, 56), 2)?);
        for entry in 0..count {
            let entry = table.checked_add(entry.checked_mul(size)?)?;
            if self.number(entry, 4)? == Elf::PT_INTERP {
                let start = self.place(entry.checked_add(at(4, 8))?, width)?;
                let length = self.place(entry.checked_add(at(16, 32))?, width)?;
                let name = self.bytes.get(start..start.checked_add(length)?)?;
                return name.split(|byte| *byte == 0).next();
            }
        }
        None
    }

    fn place(&self, at: usize, width: usize) -> Option<usize> {
        self.number(at, width).and_then(|number| usize::try_from(number).ok())
    }

    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        Some(match *self.bytes.get(Elf::DATA)? == Elf::DATA_BIG {
            true => bytes.iter().fold(0, add),
            false => bytes.iter().rev().fold(0, add),
        })
    }
}

/// The name of a machine by its number in ELF, of those that Linux runs on. Source: elf(5), linux/elf-em.h.
pub fn machine(number: u16) -> &'static str {
    match number {
        3 => "x86",
        8 => "mips",
        20 => "powerpc",
        21 => "powerpc64",
        22 => "s390x",
        40 => "arm",
        62 => "x86_64",
        183 => "aarch64",
        243 => "riscv",
        258 => "loongarch",
        _ => "another machine",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_names_its_interpreter_as_the_kernel_reads_it() {
        assert_eq!(Head::of(b"#!/bin/sh\n"), Head::Script(b"/bin/sh"));
        assert_eq!(Head::of(b"#! \t/bin/sh -e\n"), Head::Script(b"/bin/sh"));
        assert_eq!(Head::of(b"#!/bin/sh"), Head::Script(b"/bin/sh"));
        assert_eq!(Head::of(b"#!/bin/sh\r\n"), Head::Script(b"/bin/sh\r"));
        assert_eq!(Head::of(b"#!\n/bin/sh"), Head::NoInterpreter);
        assert_eq!(Head::of(b"#! "), Head::NoInterpreter);
        assert_eq!(Head::of(&[b"#!", &[b'x'; 300][..]].concat()), Head::NoInterpreter);
    }

    #[test]
    fn what_is_no_script_is_told_apart() {
        assert_eq!(Head::of(b""), Head::Empty);
        assert_eq!(Head::of(b"echo hello\n"), Head::Other);
        assert_eq!(Head::of(b"\xef\xbb\xbf#!/bin/sh\n"), Head::ByteOrderMark);
        assert_eq!(Head::of(b"\x7fELF"), Head::Other);
    }

    /// A file of class `class` and byte order `data` whose one segment names a loader.
    fn elf(class: u8, data: u8, machine: u16) -> Vec<u8> {
        let mut bytes = vec![0; 200];
        bytes[..6].copy_from_slice(&[0x7f, b'E', b'L', b'F', class, data]);
        let mut put = |at: usize, width: usize, number: u64| {
            let all = number.to_be_bytes();
            bytes[at..at + width].copy_from_slice(&all[8 - width..]);
            if data == 1 {
                bytes[at..at + width].reverse();
            }
        };
        put(18, 2, machine.into());
        let [table, size, count, kind, start, length] =
            if class == 2 { [32, 54, 56, 64, 72, 96] } else { [28, 42, 44, 64, 68, 80] };
        let width = if class == 2 { 8 } else { 4 };
        put(table, width, 64);
        put(size, 2, 56);
        put(count, 2, 1);
        put(kind, 4, 3);
        put(start, width, 150);
        put(length, width, 7);
        bytes[150..157].copy_from_slice(b"/lib/x\0");
        bytes
    }

    #[test]
    fn binary_code_names_its_machine_and_its_loader() {
        for (class, data) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
            assert_eq!(Head::of(&elf(class, data, 183)), Head::Binary(183, Some(b"/lib/x")), "{class} {data}");
        }
        assert_eq!(Head::of(&elf(2, 1, 62)[..100]), Head::Binary(62, None));
        assert_eq!((machine(183), machine(9999)), ("aarch64", "another machine"));
    }

    #[test]
    fn damaged_code_is_read_without_harm() {
        let whole = elf(2, 1, 62);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] = 0xff;
            Head::of(&damaged);
            Head::of(&whole[..at]);
        }
    }
}
