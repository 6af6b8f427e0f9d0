#![no_main]

use homerun_fuzz::rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| rules::status(bytes));
