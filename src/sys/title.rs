//! Writing into this process's own arguments, which ps(1) shows.
#![allow(unsafe_code)]

use std::fs;
use std::io;

use crate::sys::start;

/// The memory of one of this process's arguments.
pub struct Title {
    area: &'static mut [u8],
}

impl Title {
    /// Takes the memory of argument number `index` (0 is the program's name) of this process.
    ///
    /// Call it once: the area must have one owner. Source: proc(5), `arg_start` and `arg_end` in /proc/self/stat.
    pub fn of_argument(index: usize) -> io::Result<Title> {
        let stat = fs::read_to_string("/proc/self/stat")?;
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let fields: Vec<&str> = stat[stat.rfind(')').ok_or_else(invalid)? + 1..].split_ascii_whitespace().collect();
        // Fields count from 1 in proc(5), and the first two are before the parenthesis.
        let field =
            |number: usize| fields.get(number - 3).and_then(|text| text.parse::<usize>().ok()).ok_or_else(invalid);
        let (start, end) = (field(48)?, field(49)?);
        let lengths: Vec<usize> = start::arguments().iter().map(|arg| arg.len()).collect();
        let offset: usize = lengths.iter().take(index).map(|length| length + 1).sum();
        let length = *lengths.get(index).ok_or_else(invalid)?;
        if start == 0 || start + offset + length > end {
            return Err(invalid());
        }
        // SAFETY: the kernel laid the arguments out one after the other, each with a NUL, from `start` to `end`, in
        // writable memory that lives as long as the process. std has copied what it gives out as arguments, and
        // nothing else refers to this part.
        let area =
            unsafe { std::slice::from_raw_parts_mut(std::ptr::with_exposed_provenance_mut(start + offset), length) };
        Ok(Title { area })
    }

    /// The bytes that ps(1) shows.
    pub fn bytes(&mut self) -> &mut [u8] {
        self.area
    }
}
