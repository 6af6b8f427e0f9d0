//! The start of a program, without what the standard library does before `main`.
//!
//! That is a stack for a handler of overflows, a name for the thread, and their memory: half of what a supervisor
//! would have in all.
#![allow(unsafe_code)]

use std::ffi::{CStr, OsStr, OsString, c_char, c_int};
use std::os::unix::ffi::OsStrExt as _;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

/// Makes a function from nothing to an exit code the program.
///
/// The program is `no_main`: the C library calls what this makes.
#[macro_export]
macro_rules! program {
    ($main:path) => {
        const _: fn() -> u8 = $main;

        #[cfg(not(test))]
        #[unsafe(no_mangle)]
        extern "C" fn main(count: ::std::ffi::c_int, words: *const *const ::std::ffi::c_char) -> ::std::ffi::c_int {
            $crate::sys::start::run(count, words, $main)
        }
    };
}

static COUNT: AtomicUsize = AtomicUsize::new(0);
static WORDS: AtomicPtr<*const c_char> = AtomicPtr::new(ptr::null_mut());

/// Runs `main` with the arguments that the kernel gave, as [`arguments`] has them; the answer is the exit code.
///
/// Where a descriptor of 0 to 2 is closed it is `/dev/null` from now on: a file that the program opens must not become
/// its standard error. SIGPIPE is ignored, a broken pipe is an error like any other.
pub fn run(count: c_int, words: *const *const c_char, main: fn() -> u8) -> c_int {
    COUNT.store(usize::try_from(count).unwrap_or(0), Ordering::Relaxed);
    WORDS.store(words.cast_mut(), Ordering::Relaxed);
    open_standard_descriptors();
    // SAFETY: it sets no handler, only what becomes of the signal.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    c_int::from(main())
}

/// The arguments of this program, its name first.
pub fn arguments() -> Vec<OsString> {
    let words = WORDS.load(Ordering::Relaxed);
    if words.is_null() {
        return std::env::args_os().collect(); // a program that has not begun with `run`: a test
    }
    let word = |at: usize| {
        // SAFETY: the kernel gave so many pointers to strings, which end with a NUL and stay as long as the process.
        let text = unsafe { CStr::from_ptr(*words.add(at)) };
        OsStr::from_bytes(text.to_bytes()).to_owned()
    };
    (0..COUNT.load(Ordering::Relaxed)).map(word).collect()
}

fn open_standard_descriptors() {
    let mut descriptors = [0, 1, 2].map(|fd| libc::pollfd { fd, events: 0, revents: 0 });
    // SAFETY: it is an array of three, and the call does not wait.
    let asked = unsafe { libc::poll(descriptors.as_mut_ptr(), 3, 0) };
    for descriptor in descriptors {
        if asked >= 0 && descriptor.revents & libc::POLLNVAL != 0 {
            // SAFETY: the lowest number that is free is this one, as those below it are open.
            unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_RDWR) };
        }
    }
}
