//! What a program says of an order that nobody sees.
#![allow(unsafe_code)]

use super::outside;
use std::ffi::c_uint;

/// What this process has done so far comes before what others do that say so afterwards with the same token: `after` 0, and then 1.
#[unsafe(no_mangle)]
pub extern "C" fn rsm_race_happens(token: u64, after: c_uint) {
    outside::say(|process| if after == 0 { process.tells_by(token) } else { process.learns_by(token) });
}
