#![no_main]

#[path = "../bodies/agent.rs"]
mod agent;
#[path = "../bodies/script.rs"]
mod script;

libfuzzer_sys::fuzz_target!(|data: &[u8]| agent::run(data));
