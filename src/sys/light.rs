//! What the libraries bring along and a program without threads that aborts when it panics can do without.
//!
//! In the light build, static and with musl, each of these saves every supervisor a page of memory of its own. Whoever
//! calls what is here finds less, never something wrong.
#![cfg(panic = "abort")]
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};

/// No unwinder: nothing is unwound, and a panic tells its place, not what led there. The names are those of the Itanium
/// C++ ABI, which the standard library asks for.
mod unwinder {
    use super::*;

    /// `_URC_END_OF_STACK`.
    const END_OF_STACK: c_int = 5;

    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Backtrace(_: *const c_void, _: *mut c_void) -> c_int {
        END_OF_STACK
    }

    #[unsafe(no_mangle)]
    extern "C" fn _Unwind_Resume(_: *mut c_void) -> ! {
        std::process::abort()
    }

    macro_rules! nothing {
        ($($name:ident($($argument:ty),*);)*) => { $(
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $argument),*) -> usize {
                0
            }
        )* };
    }

    nothing! {
        _Unwind_GetIP(*mut c_void);
        _Unwind_GetIPInfo(*mut c_void, *mut c_int);
        _Unwind_GetCFA(*mut c_void);
        _Unwind_GetTextRelBase(*mut c_void);
        _Unwind_GetDataRelBase(*mut c_void);
        _Unwind_GetRegionStart(*mut c_void);
        _Unwind_GetLanguageSpecificData(*mut c_void);
        _Unwind_SetGR(*mut c_void, c_int, usize);
        _Unwind_SetIP(*mut c_void, usize);
        _Unwind_FindEnclosingFunction(*mut c_void);
    }
}
