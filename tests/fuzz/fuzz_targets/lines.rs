#![no_main]

use homerun_fuzz::rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8, Option<(u8, Vec<u8>)>, u8)| {
    let (stream, cuts, max_head, replace, max_bytes) = input;
    rules::lines(&stream, &cuts, usize::from(max_head), replace, u64::from(max_bytes));
});
