#![no_main]

use homerun_fuzz::rules;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (name, content) = input;
    rules::envdir(&name, &content);
});
