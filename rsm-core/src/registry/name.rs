//! Names in words of the registry.

use crate::sync::{AtomicU64, Ordering::Relaxed};

/// Stores a name into words, cut to what fits.
pub(super) fn write_name(words: &[AtomicU64], name: &str) {
    let mut bytes = name.as_bytes().chunks(8);
    for word in words {
        let mut eight = [0; 8];
        if let Some(chunk) = bytes.next() {
            eight[..chunk.len()].copy_from_slice(chunk);
        }
        word.store(u64::from_le_bytes(eight), Relaxed);
    }
}

/// Reads a name back; bytes that are not UTF-8 show as replacement characters.
pub(super) fn read_name(words: &[AtomicU64]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|w| w.load(Relaxed).to_le_bytes()).take_while(|&b| b != 0).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        let words: Vec<AtomicU64> = (0..8).map(|_| AtomicU64::new(1)).collect();
        for name in ["", "a", "exactly8", "a-longer-name.with_everything-0123456789"] {
            write_name(&words, name);
            assert_eq!(read_name(&words), name);
        }
    }
}
