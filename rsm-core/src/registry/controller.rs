//! Controller rows.

use super::header::{read_name, write_name};
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release, acquire32};

/// What a controller reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ControllerKind {
    /// The local node only; not part of the topology (D-08).
    Loopback = 1,
    /// Every node of the cluster, itself included.
    Shared = 2,
}

/// A controller; every node has one of each.
#[repr(C, align(64))]
#[derive(Debug)]
pub struct ControllerRow {
    name: [AtomicU64; 4],
    kind: AtomicU32,
    reserved: AtomicU32,
    max_segment: AtomicU64,
    max_segments: AtomicU64,
    max_imports: AtomicU64,
}

#[cfg(not(rsm_loom))]
const _: () = assert!(size_of::<ControllerRow>() == 64);

impl ControllerRow {
    pub(super) fn new() -> ControllerRow {
        let zero = || AtomicU64::new(0);
        ControllerRow {
            name: std::array::from_fn(|_| zero()),
            kind: AtomicU32::new(0),
            reserved: AtomicU32::new(0),
            max_segment: zero(),
            max_segments: zero(),
            max_imports: zero(),
        }
    }

    pub(super) fn set(&self, name: &str, kind: ControllerKind, max_segment: u64, max_segments: u64, max_imports: u64) {
        write_name(&self.name, name);
        self.max_segment.store(max_segment, Relaxed);
        self.max_segments.store(max_segments, Relaxed);
        self.max_imports.store(max_imports, Relaxed);
        // Release: pairs with the acquire in `kind`.
        self.kind.store(kind as u32, Release);
    }

    /// What it reaches; `None` when the row is not used.
    pub fn kind(&self) -> Option<ControllerKind> {
        match acquire32(&self.kind) {
            1 => Some(ControllerKind::Loopback),
            2 => Some(ControllerKind::Shared),
            _ => None,
        }
    }

    /// Its name, such as `shm0`.
    pub fn name(&self) -> String {
        read_name(&self.name)
    }

    /// Largest segment in bytes, most segments, most imports.
    pub fn limits(&self) -> (u64, u64, u64) {
        (self.max_segment.load(Relaxed), self.max_segments.load(Relaxed), self.max_imports.load(Relaxed))
    }
}

/// Splits a controller name from the right: the trailing digits are the unit, none meaning 0 (reference 1.1).
///
/// `None` for names that no controller has: empty, digits only, 256 bytes or longer (D-04).
pub(super) fn split(name: &str) -> Option<(&str, u32)> {
    if name.len() >= 256 {
        return None;
    }
    let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let digits = &name[kind.len()..];
    let unit = if digits.is_empty() { Some(0) } else { digits.parse().ok() }?;
    (!kind.is_empty()).then_some((kind, unit))
}

impl Default for ControllerRow {
    fn default() -> ControllerRow {
        ControllerRow::new()
    }
}

impl super::Registry<'_> {
    /// The index of a controller by name: letter case is ignored, and for loopback the unit too (reference 1.1).
    pub fn controller(&self, name: &str) -> Option<u32> {
        let (kind, unit) = split(name)?;
        let loopback = kind.eq_ignore_ascii_case("loopback");
        let found = self.controllers.iter().position(|row| {
            let row_name = row.name();
            match (row.kind(), split(&row_name)) {
                (Some(ControllerKind::Loopback), _) => loopback,
                (Some(ControllerKind::Shared), Some((k, u))) => k.eq_ignore_ascii_case(kind) && u == unit,
                _ => false,
            }
        })?;
        u32::try_from(found).ok()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn names_split_from_the_right() {
        assert_eq!(super::split("shm0"), Some(("shm", 0)));
        assert_eq!(super::split("shm"), Some(("shm", 0)));
        assert_eq!(super::split("a1b23"), Some(("a1b", 23)));
        for bad in ["", "7", "x99999999999", &"x".repeat(300)] {
            assert_eq!(super::split(bad), None, "{bad}");
        }
    }
}
