//! Tags: how a message of the peer is told from bytes that somebody else stored, or that a bridge mixed up.
//!
//! Where an importer is handed all of a window, it can store into the ring. The two agents therefore exchange numbers in
//! their hellos, make a key of them, and wipe them out before anybody is handed a window. Each entry carries SipHash-2-4
//! of its sequence number and bytes under that key.

use std::fmt;

/// A number that a host draws for one life of the link.
pub type Nonce = [u64; 2];

/// What tags are made with.
#[derive(Clone, PartialEq, Eq)]
pub struct Key([u64; 2]);

/// Without the key.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// The key of two hosts, of the numbers that the first and the second drew.
    pub fn of(first: Nonce, second: Nonce) -> Key {
        let bytes: Vec<u8> = second.iter().flat_map(|word| word.to_le_bytes()).collect();
        let half = |name: u8| siphash(first, &[&bytes[..], &[name]].concat());
        Key([half(1), half(2)])
    }

    /// Tag of an entry of the ring that the host with this number fills.
    pub fn tag(&self, host: u32, sequence: u32, bytes: &[u8]) -> u64 {
        siphash(self.0, &[&host.to_le_bytes(), &sequence.to_le_bytes(), bytes].concat())
    }
}

/// SipHash-2-4.
fn siphash(key: [u64; 2], bytes: &[u8]) -> u64 {
    let mut v = [
        key[0] ^ 0x736f_6d65_7073_6575,
        key[1] ^ 0x646f_7261_6e64_6f6d,
        key[0] ^ 0x6c79_6765_6e65_7261,
        key[1] ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb(&mut v, u64::from_le_bytes(*word));
    }
    // What is left, and in the highest byte the length.
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    last[7] = bytes.len() as u8;
    absorb(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    (0..4).for_each(|_| round(&mut v));
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

fn absorb(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    round(v);
    round(v);
    v[0] ^= word;
}

fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    /// Values of the function's reference.
    #[test]
    fn it_is_siphash_2_4() {
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let bytes: Vec<u8> = (0..15).collect();
        assert_eq!(siphash(key, &bytes[..0]), 0x726f_db47_dd0e_0e31);
        assert_eq!(siphash(key, &bytes[..1]), 0x74f8_39c5_93dc_67fd);
        assert_eq!(siphash(key, &bytes), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn a_tag_is_of_host_sequence_bytes_and_key() {
        let key = Key::of([1, 2], [3, 4]);
        let tag = key.tag(1, 7, b"message");
        assert_eq!(tag, key.tag(1, 7, b"message"));
        for other in [key.tag(2, 7, b"message"), key.tag(1, 8, b"message"), key.tag(1, 7, b"messagf")] {
            assert_ne!(tag, other);
        }
        for other in [Key::of([3, 4], [1, 2]), Key::of([1, 2], [3, 5]), Key::of([1, 0], [3, 4])] {
            assert_ne!(tag, other.tag(1, 7, b"message"));
        }
        assert_eq!(format!("{key:?}"), "Key(..)");
    }
}
