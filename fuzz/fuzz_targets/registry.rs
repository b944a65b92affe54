#![no_main]

#[path = "../bodies/registry.rs"]
mod registry;
#[path = "../bodies/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| registry::run(data));
