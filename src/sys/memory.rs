//! Memory: that of the C library, and a reserve of this process's own for when there is none left.
//!
//! A supervisor needs little, and needs it most when others have taken all: to say so, and to go on.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

/// How large the reserve is. As long as it is not used it costs nothing.
const RESERVE: usize = 64 << 10;

#[global_allocator]
static PROVIDENT: Provident = Provident::new();

/// Gives out the C library's memory, and from the reserve where that fails.
struct Provident {
    reserve: UnsafeCell<[u8; RESERVE]>,
    /// How many parts of the reserve are given out, times 2^32, and how many bytes of it are used. It is whole again
    /// once nothing of it is given out.
    used: AtomicU64,
}

// SAFETY: no two parts that are given out overlap, as `used` grows in one step for each; nobody else looks at them.
unsafe impl Sync for Provident {}

const ONE: u64 = 1 << 32;

impl Provident {
    const fn new() -> Provident {
        Provident { reserve: UnsafeCell::new([0; RESERVE]), used: AtomicU64::new(0) }
    }

    fn take(&self, layout: Layout) -> *mut u8 {
        let start = self.reserve.get().cast::<u8>();
        let place = |used: u64| {
            let free = start.addr() + usize::try_from(used % ONE).ok()?;
            let from = free.checked_next_multiple_of(layout.align())? - start.addr();
            let end = from.checked_add(layout.size())?;
            (end <= RESERVE).then_some((from, end))
        };
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            let (_, end) = place(used)?;
            Some((used - used % ONE) + ONE + end as u64)
        });
        match taken.ok().and_then(place) {
            // SAFETY: the place lies within the reserve.
            Some((from, _)) => unsafe { start.add(from) },
            None => ptr::null_mut(),
        }
    }

    fn is_of_reserve(&self, memory: *mut u8) -> bool {
        let start = self.reserve.get().addr();
        (start..start + RESERVE).contains(&memory.addr())
    }

    fn give_back(&self) {
        let less = |used: u64| if used / ONE == 1 { 0 } else { used - ONE };
        // It is always given something.
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| Some(less(used)));
    }
}

// SAFETY: what is given out is the C library's, or a part of the reserve that is large enough, aligned, and given out
// to nobody else until it comes back.
unsafe impl GlobalAlloc for Provident {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { System.alloc(layout) };
        if memory.is_null() { self.take(layout) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as the caller promises.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if !memory.is_null() {
            return memory;
        }
        let memory = self.take(layout);
        if !memory.is_null() {
            // SAFETY: it was just given out, with this size.
            unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if self.is_of_reserve(memory) {
            self.give_back();
        } else {
            // SAFETY: it is not of the reserve, so it is the C library's.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !self.is_of_reserve(memory) {
            // SAFETY: it is the C library's; the rest is as the caller promises.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller promises that such a layout can be.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        // SAFETY: the new memory holds what is copied, and is another than the old, which then comes back.
        unsafe {
            let moved = self.alloc(wanted);
            if !moved.is_null() {
                ptr::copy_nonoverlapping(memory, moved, layout.size().min(size));
                self.dealloc(memory, layout);
            }
            moved
        }
    }
}

/// Whether so much memory can be had now, the reserve aside.
pub fn can_have(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes.max(RESERVE + 1)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_gives_out_parts_that_do_not_overlap_and_is_whole_again_once_all_are_back() {
        let allocator = Box::new(Provident::new());
        let (small, large) = (Layout::new::<[u8; 3]>(), Layout::from_size_align(40_000, 64).unwrap());
        let (first, second) = (allocator.take(small), allocator.take(large));
        assert!(allocator.is_of_reserve(first) && allocator.is_of_reserve(second));
        assert!(second.addr() >= first.addr() + 3 && second.addr().is_multiple_of(64));
        assert!(allocator.take(large).is_null(), "there is no room for another");
        allocator.give_back();
        assert!(allocator.take(large).is_null(), "one is still given out");
        allocator.give_back();
        assert!(!allocator.take(large).is_null());
    }

    #[test]
    fn what_does_not_fit_between_the_others_is_refused() {
        assert!(can_have(1));
        assert!(!can_have(isize::MAX as usize));
    }
}
