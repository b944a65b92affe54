//! What rsm is compared with, as far as it is written in Rust: each a party as `rsm_perf` wants them.

mod iceoryx;
mod raw_sync_events;
mod streams;

use rsm_perf::party::{Pairing, Party, Result, Trouble};
use rsm_perf::rsm_party::RsmParty;

/// Names of the parties.
pub const NAMES: &[&str] = &["rsm", "iceoryx2", "raw_sync", "unix-socket", "pipe"];

/// Makes a party by its name.
pub fn make(name: &str, pairing: &Pairing) -> Result<Box<dyn Party>> {
    Ok(match name {
        "rsm" => Box::new(RsmParty::join(pairing, "shm0")?),
        "iceoryx2" => Box::new(iceoryx::Iceoryx::new(pairing)?),
        "raw_sync" => Box::new(raw_sync_events::RawSync::new(pairing)?),
        "unix-socket" => Box::new(streams::Streams::socket(pairing)?),
        "pipe" => Box::new(streams::Streams::pipe(pairing)?),
        other => return Err(Trouble(format!("there is no party {other:?}; there are: {}", NAMES.join(", ")))),
    })
}

/// An error of another library as one line.
fn said(error: impl std::fmt::Display) -> Trouble {
    Trouble(error.to_string())
}

/// Sees whether data begins and ends with `stamp`.
fn stamped(data: &[u8], stamp: u64) -> Result<()> {
    let stamp = stamp.to_ne_bytes();
    if data.starts_with(&stamp) && data.ends_with(&stamp) {
        return Ok(());
    }
    Err(Trouble(format!("{} bytes did not arrive as they were sent", data.len())))
}

/// Reads all of the data, and compares its sum with what was sent.
fn read_all(data: &[u8], expected: u64, stamp: u64) -> Result<()> {
    let words = data.chunks_exact(8).map(|word| u64::from_ne_bytes(word.try_into().expect("eight bytes")));
    rsm_perf::raw::copies::read_all(words.fold(0, u64::wrapping_add), expected, stamp)
}
