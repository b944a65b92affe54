//! Copies that make aligned accesses of at most 8 bytes, for memory that takes no others.
//!
//! Memory of a device does, where it is mapped so that nothing of it is kept back: on ARM an access across a boundary of its own
//! size is a fault there, whatever ordinary memory makes of it. What a copy of libc does is libc's affair.
#![allow(unsafe_code)]

/// Copies to memory of a device.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
pub unsafe fn put(from: *const u8, to: *mut u8, length: usize) {
    for (at, size) in pieces(to.addr(), length) {
        // SAFETY: inside of both, and aligned on the side of the device.
        unsafe {
            let (from, to) = (from.add(at), to.add(at));
            match size {
                8 => to.cast::<u64>().write_volatile(from.cast::<u64>().read_unaligned()),
                4 => to.cast::<u32>().write_volatile(from.cast::<u32>().read_unaligned()),
                2 => to.cast::<u16>().write_volatile(from.cast::<u16>().read_unaligned()),
                _ => to.write_volatile(from.read()),
            }
        }
    }
}

/// Copies from memory of a device.
///
/// # Safety
/// `from` must be readable and `to` writable for `length` bytes.
pub unsafe fn get(from: *const u8, to: *mut u8, length: usize) {
    for (at, size) in pieces(from.addr(), length) {
        // SAFETY: inside of both, and aligned on the side of the device.
        unsafe {
            let (from, to) = (from.add(at), to.add(at));
            match size {
                8 => to.cast::<u64>().write_unaligned(from.cast::<u64>().read_volatile()),
                4 => to.cast::<u32>().write_unaligned(from.cast::<u32>().read_volatile()),
                2 => to.cast::<u16>().write_unaligned(from.cast::<u16>().read_volatile()),
                _ => to.write(from.read_volatile()),
            }
        }
    }
}

/// Offsets and sizes, each as large as place and rest permit.
fn pieces(place: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let left = length.checked_sub(at).filter(|&left| left > 0)?;
        let size = 1 << (place.wrapping_add(at) | 8).trailing_zeros().min(left.ilog2());
        at += size;
        Some((at - size, size))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_access_is_aligned_and_all_bytes_are_moved_once() {
        for place in 0..16 {
            for length in 0..40 {
                let mut next = 0;
                for (at, size) in pieces(place, length) {
                    assert_eq!((at, (place + at) % size), (next, 0), "{length} bytes at {place}");
                    assert!([1, 2, 4, 8].contains(&size));
                    next = at + size;
                }
                assert_eq!(next, length);
            }
        }
        let sizes = |place, length| pieces(place, length).map(|(_, size)| size).collect::<Vec<_>>();
        assert_eq!((sizes(3, 20), sizes(0, 16)), (vec![1, 4, 8, 4, 2, 1], vec![8, 8]));
    }

    #[test]
    fn what_is_put_is_got() {
        let all: Vec<u8> = (1..=64).collect();
        for (place, near) in (0..8).flat_map(|place| (0..8).map(move |near| (place, near))) {
            for length in 0..33 {
                let (mut device, mut back) = ([0u64; 8], [0u8; 64]);
                let there = device.as_mut_ptr().cast::<u8>().wrapping_add(place);
                // SAFETY: inside of each.
                unsafe {
                    put(all.as_ptr().add(near), there, length);
                    get(there, back.as_mut_ptr().add(near), length);
                }
                let expected = |at: usize| if (near..near + length).contains(&at) { all[at] } else { 0 };
                assert!((0..64).all(|at| back[at] == expected(at)), "{length} bytes at {place}, {near}");
            }
        }
    }
}
