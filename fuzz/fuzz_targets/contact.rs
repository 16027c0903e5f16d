#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| leadwire_fuzz::contact::check(data));
