//! Memory: from a nest and a scratch of this process's own, from the C library, and from a reserve when that has none.
//!
//! What a supervisor has for good fits into the nest: it costs the one page that is used of it, and no call. What it
//! needs for a moment more is of the scratch, and forgotten when it rests. And a supervisor needs memory most when
//! others have taken all, to say so, and to go on: that is what the reserve is for, and nothing else.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::hint;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicPtr, AtomicU64, Ordering};

/// In a debug build all memory is the C library's, as long as it has some: whoever counts, watches or refuses what it
/// gives shall see everything.
const IS_FRUGAL: bool = !cfg!(debug_assertions);
/// How large the reserve is. As long as it is not used it costs nothing.
const RESERVE: usize = 64 << 10;
/// How large the scratch is, likewise.
const SCRATCH: usize = 32 << 10;

#[global_allocator]
static PROVIDENT: Provident = Provident::new();

/// Gives out the nest first, then the scratch, then the C library's memory, and the reserve where that fails.
struct Provident {
    nest: Nest,
    scratch: Arena<SCRATCH>,
    reserve: Arena<RESERVE>,
}

/// Blocks of whole units. A small one that comes back is kept for the next of its size; of the others the last one.
struct Nest {
    /// Somebody is at it.
    is_busy: AtomicBool,
    blocks: Blocks,
    book: UnsafeCell<Book>,
}

#[repr(align(16))]
struct Blocks(UnsafeCell<[u8; Nest::BYTES]>);

struct Book {
    /// How many bytes were ever given out.
    used: u16,
    /// For each size the block that came back last, as one more than its place; 0 without one. Each of them begins
    /// with the same of the block that came back before it.
    free: [u16; Nest::SIZES],
}

// SAFETY: the book is for whoever made it busy, a block for whom it was given to; and a free one goes with the book.
unsafe impl Sync for Nest {}

impl Nest {
    const UNIT: usize = 16;
    const BYTES: usize = 2 << 10;
    /// Small blocks have one to so many units.
    const SIZES: usize = 16;

    const fn new() -> Nest {
        let book = Book { used: 0, free: [0; Nest::SIZES] };
        let blocks = Blocks(UnsafeCell::new([0; Nest::BYTES]));
        Nest { is_busy: AtomicBool::new(false), blocks, book: UnsafeCell::new(book) }
    }

    /// How many bytes a block for `layout` has; None if it is not for the nest.
    fn bytes(layout: Layout) -> Option<usize> {
        let is_fine = (1..=Nest::BYTES).contains(&layout.size()) && layout.align() <= Nest::UNIT;
        is_fine.then(|| layout.size().next_multiple_of(Nest::UNIT))
    }

    /// Which list a block of so many bytes is kept in.
    fn list(bytes: usize) -> Option<usize> {
        Some(bytes / Nest::UNIT - 1).filter(|list| *list < Nest::SIZES)
    }

    /// A block, if there is one left and nobody else is at it.
    fn take(&self, layout: Layout) -> *mut u8 {
        let Some(bytes) = Nest::bytes(layout) else { return ptr::null_mut() };
        if self.is_busy.swap(true, Ordering::Acquire) {
            return ptr::null_mut();
        }
        // SAFETY: the book is this thread's now.
        let book = unsafe { &mut *self.book.get() };
        let blocks = self.blocks.0.get().cast::<u8>();
        let place = match Nest::list(bytes).map(|list| &mut book.free[list]).filter(|free| **free != 0) {
            None => {
                let place = usize::from(book.used);
                (place + bytes <= Nest::BYTES).then(|| {
                    book.used = (place + bytes) as u16; // which BYTES fits into
                    place
                })
            }
            Some(free) => {
                let place = usize::from(*free - 1);
                // SAFETY: it is the place of a free block, which is large enough and aligned for a number.
                *free = unsafe { blocks.add(place).cast::<u16>().read() };
                Some(place)
            }
        };
        self.is_busy.store(false, Ordering::Release);
        // SAFETY: the place lies within.
        place.map_or(ptr::null_mut(), |place| unsafe { blocks.add(place) })
    }

    fn has(&self, memory: *mut u8) -> bool {
        memory.addr().wrapping_sub(self.blocks.0.get().addr()) < Nest::BYTES
    }

    /// Takes `memory` back if it was given out here, for `layout`.
    fn has_taken_back(&self, memory: *mut u8, layout: Layout) -> bool {
        let Some(bytes) = Nest::bytes(layout).filter(|_| self.has(memory)) else { return false };
        let place = memory.addr() - self.blocks.0.get().addr();
        while self.is_busy.swap(true, Ordering::Acquire) {
            hint::spin_loop(); // for the few instructions that another thread needs
        }
        // SAFETY: the book is this thread's now.
        let book = unsafe { &mut *self.book.get() };
        if place + bytes == usize::from(book.used) {
            book.used = place as u16; // which BYTES fits into
        } else if let Some(list) = Nest::list(bytes) {
            // SAFETY: the block is nobody's any more, and large enough and aligned for a number.
            unsafe { memory.cast::<u16>().write(book.free[list]) };
            book.free[list] = place as u16 + 1;
        }
        self.is_busy.store(false, Ordering::Release);
        true
    }
}

/// One piece of memory, given out from its front to its end, and again once all has come back.
struct Arena<const BYTES: usize> {
    /// Null until there is one.
    memory: AtomicPtr<u8>,
    /// How many parts of it are given out, times 2^32, and how many bytes of it are used. It is whole again once nothing
    /// of it is given out.
    used: AtomicU64,
    /// Something of it was given out since it was last forgotten.
    is_dirty: AtomicBool,
}

const ONE: u64 = 1 << 32;

impl<const BYTES: usize> Arena<BYTES> {
    const fn new() -> Arena<BYTES> {
        Arena { memory: AtomicPtr::new(ptr::null_mut()), used: AtomicU64::new(0), is_dirty: AtomicBool::new(false) }
    }

    /// A part of it, if there is so much left.
    fn take(&self, layout: Layout) -> *mut u8 {
        let start = self.memory.load(Ordering::Acquire);
        if start.is_null() {
            return start;
        }
        let place = |used: u64| {
            let free = start.addr() + usize::try_from(used % ONE).ok()?;
            let from = free.checked_next_multiple_of(layout.align())? - start.addr();
            let end = from.checked_add(layout.size())?;
            (end <= BYTES).then_some((from, end))
        };
        let taken = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| {
            let (_, end) = place(used)?;
            Some((used - used % ONE) + ONE + end as u64)
        });
        match taken.ok().and_then(place) {
            Some((from, _)) => {
                self.is_dirty.store(true, Ordering::Relaxed);
                // SAFETY: the place lies within.
                unsafe { start.add(from) }
            }
            None => ptr::null_mut(),
        }
    }

    fn has(&self, memory: *mut u8) -> bool {
        let start = self.memory.load(Ordering::Acquire);
        !start.is_null() && (start.addr()..start.addr() + BYTES).contains(&memory.addr())
    }

    fn give_back(&self) {
        let less = |used: u64| if used / ONE == 1 { 0 } else { used - ONE };
        // It is always given something.
        let _ = self.used.fetch_update(Ordering::AcqRel, Ordering::Acquire, |used| Some(less(used)));
    }

    /// Forgets what is in it, unless something of it is given out.
    fn rest(&self) {
        if self.used.load(Ordering::Acquire) == 0 && self.is_dirty.swap(false, Ordering::Relaxed) {
            let start = self.memory.load(Ordering::Acquire);
            // SAFETY: these are whole pages that nobody uses anything of; one thread does this and all else.
            unsafe { libc::madvise(start.cast(), BYTES, libc::MADV_DONTNEED) };
        }
    }
}

impl Provident {
    const fn new() -> Provident {
        Provident { nest: Nest::new(), scratch: Arena::new(), reserve: Arena::new() }
    }

    /// Has the kernel set the scratch and the reserve aside.
    fn keep(&self) {
        let (access, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping, wherever the kernel likes, touches nothing that is there.
        let memory = unsafe { libc::mmap(ptr::null_mut(), SCRATCH + RESERVE, access, flags, -1, 0) };
        if memory != libc::MAP_FAILED {
            let memory = memory.cast::<u8>();
            self.scratch.memory.store(memory, Ordering::Release);
            self.reserve.memory.store(memory.wrapping_add(SCRATCH), Ordering::Release);
        }
    }
}

// SAFETY: what is given out is the C library's, or a part of the nest or of an arena that is large enough, aligned, and
// given out to nobody else until it comes back.
unsafe impl GlobalAlloc for Provident {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut memory = ptr::null_mut();
        if IS_FRUGAL {
            memory = self.nest.take(layout);
        }
        if IS_FRUGAL && memory.is_null() {
            memory = self.scratch.take(layout);
        }
        if memory.is_null() {
            // SAFETY: as the caller promises.
            memory = unsafe { System.alloc(layout) };
        }
        if memory.is_null() { self.reserve.take(layout) } else { memory }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Nest::bytes(layout).is_none() {
            // SAFETY: as the caller promises.
            let memory = unsafe { System.alloc_zeroed(layout) };
            if !memory.is_null() {
                return memory;
            }
        }
        // SAFETY: as the caller promises.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: it was just given out, with this size.
            unsafe { ptr::write_bytes(memory, 0, layout.size()) };
        }
        memory
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if self.nest.has_taken_back(memory, layout) {
        } else if self.scratch.has(memory) {
            self.scratch.give_back();
        } else if self.reserve.has(memory) {
            self.reserve.give_back();
        } else {
            // SAFETY: it is of none of these, so it is the C library's.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that such a layout can be.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        let is_in_nest = self.nest.has(memory);
        if is_in_nest && Nest::bytes(wanted) == Nest::bytes(layout) {
            return memory;
        }
        if !is_in_nest && !self.scratch.has(memory) && !self.reserve.has(memory) {
            // SAFETY: it is the C library's; the rest is as the caller promises.
            let moved = unsafe { System.realloc(memory, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
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

/// Keeps a scratch and a reserve from now on, for a program that must go on without memory.
pub fn keep_reserve() {
    PROVIDENT.keep();
}

/// Whether so much memory can be had now, the reserve aside.
pub fn can_have(bytes: usize) -> bool {
    Vec::<u8>::new().try_reserve_exact(bytes.max(RESERVE + 1)).is_ok()
}

/// Does a deed at a place of the stack that has at least `room` bytes left in its page: for a loop that shall not be
/// given a page at each event and give it back.
#[inline(never)]
pub fn with_room<T>(room: usize, deed: impl FnOnce() -> T) -> T {
    const STEP: usize = 256;
    let step = [const { MaybeUninit::<u8>::uninit() }; STEP];
    let place = hint::black_box(&raw const step).addr() % page_size();
    let done = if place < room.min(page_size() - 4 * STEP) { with_room(room, deed) } else { deed() };
    hint::black_box(&raw const step);
    done
}

fn page_size() -> usize {
    // SAFETY: sysconf takes a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(1 << 16)
}

/// What [`rest`] knows of the last time.
static LAST: AtomicI64 = AtomicI64::new(-1);

/// To be called by a new process that has shared this memory, when it is about to leave it: what it took stays.
pub fn leave() {
    if taken() != 0 {
        LAST.store(-1, Ordering::Relaxed);
    }
}

/// How many pages the kernel has given to this thread, for the first time or again.
fn taken() -> i64 {
    use nix::sys::resource::{UsageWho, getrusage};
    #[allow(clippy::unnecessary_cast)] // the type differs between machines
    getrusage(UsageWho::RUSAGE_THREAD).map_or(i64::MAX, |usage| usage.minor_page_faults() as i64)
}

/// Gives back the scratch if nothing of it is in use, and the stack below the caller's frame, where nothing is any more:
/// if the kernel has given this process any page since the last time.
///
/// For who is about to wait, perhaps for a year, after a deed that may have gone deep. It has one thread, whose stack
/// the kernel made.
pub fn rest() {
    let taken = taken();
    if LAST.swap(taken, Ordering::Relaxed) != taken {
        PROVIDENT.scratch.rest();
        PROVIDENT.reserve.rest();
        forget_stack();
    }
}

/// Gives back the stack below this frame. A frame of its own, with nothing in it: in the middle of a large one `here` could
/// stand high enough for the rest of it to be forgotten.
#[inline(never)]
fn forget_stack() {
    /// How deep a deed may have gone, a new process that has not become its program yet included.
    const DEEPEST: usize = 128 << 10;
    /// Room for the rest of this frame, and for the frame of the call below.
    const FRAME: usize = 512;
    let here = 0_u8;
    let page = page_size();
    let end = hint::black_box(&raw const here).wrapping_byte_sub(FRAME);
    let end = end.wrapping_byte_sub(end.addr() % page);
    let start = end.wrapping_byte_sub(DEEPEST).cast_mut();
    // SAFETY: what is forgotten is below every frame in use: nobody reads it before it is written again. Where no stack
    // is, nothing is forgotten, as nothing else lies so close below one.
    unsafe { libc::madvise(start.cast(), DEEPEST, libc::MADV_DONTNEED) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_the_nest_do_not_overlap_and_are_given_out_again() {
        let nest = Box::new(Nest::new());
        let (small, large) = (Layout::new::<[u8; 3]>(), Layout::new::<[u8; 250]>());
        let blocks = [nest.take(small), nest.take(large), nest.take(small)];
        assert!(blocks.iter().all(|block| nest.has(*block)));
        assert_eq!(blocks.map(|block| block.addr() - blocks[0].addr()), [0, 16, 272]);
        for (block, layout) in [(blocks[0], small), (blocks[2], small), (blocks[1], large)] {
            assert!(nest.has_taken_back(block, layout));
        }
        assert_eq!([nest.take(small), nest.take(small)], [blocks[0], blocks[1]]);
        assert!(!nest.has_taken_back(ptr::dangling_mut(), small), "it is of somewhere else");
    }

    #[test]
    fn the_nest_gives_out_what_fits_until_it_is_full() {
        let nest = Box::new(Nest::new());
        assert!(nest.take(Layout::new::<[u8; Nest::BYTES + 1]>()).is_null());
        assert!(nest.take(Layout::from_size_align(8, 32).unwrap()).is_null());
        let block = Layout::new::<[u8; 256]>();
        for _ in 0..Nest::BYTES / 256 {
            assert!(!nest.take(block).is_null());
        }
        assert!(nest.take(block).is_null() && nest.take(Layout::new::<u8>()).is_null());
    }

    #[test]
    fn what_grows_out_of_its_place_keeps_its_content() {
        let mut text = Vec::new();
        for byte in 0..=255 {
            text.push(byte);
            text.shrink_to_fit();
        }
        text.extend_from_slice(&[0; 5000]);
        assert!(text.iter().take(256).copied().eq(0..=255));
    }

    #[test]
    fn the_reserve_gives_out_parts_that_do_not_overlap_and_is_whole_again_once_all_are_back() {
        let allocator = Box::new(Provident::new());
        let reserve = &allocator.reserve;
        let (small, large) = (Layout::new::<[u8; 3]>(), Layout::from_size_align(40_000, 64).unwrap());
        assert!(reserve.take(small).is_null(), "it is not there yet");
        allocator.keep();
        let (first, second) = (reserve.take(small), reserve.take(large));
        assert!(reserve.has(first) && reserve.has(second));
        assert!(second.addr() >= first.addr() + 3 && second.addr().is_multiple_of(64));
        assert!(reserve.take(large).is_null(), "there is no room for another");
        reserve.give_back();
        assert!(reserve.take(large).is_null(), "one is still given out");
        reserve.rest();
        reserve.give_back();
        reserve.rest();
        assert!(!reserve.take(large).is_null());
    }

    #[test]
    fn what_is_kept_of_the_scratch_takes_nothing_from_the_reserve() {
        let allocator = Box::new(Provident::new());
        allocator.keep();
        let layout = Layout::from_size_align(SCRATCH, 16).unwrap();
        let kept = allocator.scratch.take(layout);
        assert!(allocator.scratch.has(kept) && !allocator.reserve.has(kept));
        assert!(allocator.scratch.take(Layout::new::<u8>()).is_null(), "it is full");
        let all = Layout::from_size_align(RESERVE, 16).unwrap();
        for _ in 0..2 {
            assert!(allocator.reserve.has(allocator.reserve.take(all)));
            allocator.reserve.give_back();
        }
    }

    #[test]
    fn what_does_not_fit_between_the_others_is_refused() {
        assert!(can_have(1));
        assert!(!can_have(isize::MAX as usize));
    }
}
