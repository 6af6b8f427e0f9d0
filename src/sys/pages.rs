//! Memory that is the kernel's and not the allocator's: for much that is seldom full.
#![allow(unsafe_code)]

use std::alloc::{Layout, handle_alloc_error};
use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::{self, NonNull};
use std::slice;

/// So many bytes, all zero at first. A page costs nothing until it is written to.
#[derive(Debug)]
pub struct Pages {
    start: NonNull<u8>,
    bytes: usize,
}

impl Pages {
    /// So many bytes, at least one. Errors: there is no such memory.
    pub fn new(bytes: usize) -> io::Result<Pages> {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // Nothing is larger, so that no address is out of reach.
        let bytes = bytes.clamp(1, isize::MAX as usize);
        // SAFETY: a new mapping, wherever the kernel likes, touches nothing that is there.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, access, flags, -1, 0) };
        match NonNull::new(start.cast::<u8>()) {
            Some(start) if start.as_ptr().addr() != libc::MAP_FAILED.addr() => Ok(Pages { start, bytes }),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// Gives all of it back to the kernel; every byte is zero again.
    pub fn forget(&mut self) {
        // SAFETY: it is a mapping of our own, and nobody looks at it meanwhile. Where it fails all stays as it is, and is
        // not zero: nothing relies on that.
        unsafe { libc::madvise(self.start.as_ptr().cast(), self.bytes, libc::MADV_DONTNEED) };
    }
}

impl Deref for Pages {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped, all of them have a value, and nobody else has the mapping.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.bytes) }
    }
}

impl DerefMut for Pages {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.bytes) }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: it is a mapping of our own, and nobody has it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

/// Bytes that are added at the end and go from the front.
#[derive(Debug, Default)]
pub struct Queue {
    pages: Option<Pages>,
    length: usize,
}

impl Queue {
    /// Makes room for so many bytes in all, if there is none yet. Errors: there is no memory.
    pub fn reserve(&mut self, bytes: usize) -> io::Result<()> {
        if self.pages.as_deref().is_none_or(|pages| pages.len() < bytes) {
            let mut pages = Pages::new(bytes)?;
            pages[..self.length].copy_from_slice(self);
            self.pages = Some(pages);
        }
        Ok(())
    }

    /// Adds bytes at the end. Where there is no room and no memory the process ends, as it does with a `Vec`.
    #[inline]
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        let end = self.length + bytes.len();
        match &mut self.pages {
            Some(pages) if end <= pages.len() => {
                pages[self.length..end].copy_from_slice(bytes);
                self.length = end;
            }
            _ if bytes.is_empty() => {}
            _ => self.extend_beyond(bytes),
        }
    }

    #[cold]
    fn extend_beyond(&mut self, bytes: &[u8]) {
        if self.reserve((self.length + bytes.len()).next_multiple_of(64 << 10)).is_err() {
            handle_alloc_error(Layout::for_value(bytes));
        }
        self.extend_from_slice(bytes);
    }

    /// Takes so many bytes from the front.
    pub fn drop_front(&mut self, bytes: usize) {
        let length = self.length;
        if let Some(pages) = &mut self.pages {
            pages.copy_within(bytes..length, 0);
        }
        self.length -= bytes;
    }

    /// Takes all.
    pub fn clear(&mut self) {
        self.length = 0;
    }

    /// Gives the memory back to the kernel, if there is nothing in it; the room stays.
    pub fn rest(&mut self) {
        if self.length == 0
            && let Some(pages) = &mut self.pages
        {
            pages.forget();
        }
    }
}

impl Deref for Queue {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.pages.as_deref().map_or(&[], |pages| &pages[..self.length])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_zero_at_first_and_when_they_were_forgotten() {
        let mut pages = Pages::new(10_000).unwrap();
        assert_eq!(pages[..], [0; 10_000]);
        pages[9_999] = 7;
        assert_eq!((pages.len(), pages[9_999]), (10_000, 7));
        pages.forget();
        assert_eq!(pages[..], [0; 10_000]);
        pages[0] = 1;
        assert_eq!(pages[..2], [1, 0]);
        assert_eq!(Pages::new(usize::MAX).unwrap_err().raw_os_error(), Some(libc::ENOMEM));
    }

    #[test]
    fn what_is_added_comes_out_in_order_whatever_room_there_was() {
        let mut queue = Queue::default();
        queue.extend_from_slice(b"");
        assert_eq!(queue[..], []);
        queue.reserve(3).unwrap();
        queue.extend_from_slice(b"abc");
        queue.extend_from_slice(b"defg");
        queue.drop_front(2);
        queue.rest();
        assert_eq!(queue[..], *b"cdefg");
        queue.reserve(100_000).unwrap();
        queue.extend_from_slice(&[b'h'; 99_000]);
        assert_eq!((queue.len(), &queue[..6], queue[99_004]), (99_005, &b"cdefgh"[..], b'h'));
        queue.clear();
        queue.rest();
        queue.extend_from_slice(b"i");
        assert_eq!(queue[..], *b"i");
        queue.drop_front(1);
        assert!(queue.is_empty());
    }
}
