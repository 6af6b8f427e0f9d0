#![no_main]

use homerun_fuzz::rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (pattern, line) = input;
    rules::pattern(&pattern, &line);
});
