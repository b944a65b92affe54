//! Controller rows.

use super::name::{read_name, write_name};
use crate::error::{Code, Error, Result};
use crate::sync::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::Release, acquire32};

/// Nodes that a controller reaches.
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

    /// Kind of the controller; `None` when the row is not used.
    pub fn kind(&self) -> Option<ControllerKind> {
        match acquire32(&self.kind) {
            1 => Some(ControllerKind::Loopback),
            2 => Some(ControllerKind::Shared),
            _ => None,
        }
    }

    /// Name of the controller, such as `shm0`.
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

/// Bytes of a controller's name in its row.
const MAX_NAME: usize = 32;

/// Checks the names of the controllers that a cluster is to have beside loopback, of which its table takes `most`.
///
/// # Errors
/// BAD_CONF, naming the controller that is wrong: names are letters, digits, `-` and `_`, 32 bytes at most, not digits
/// alone, no two the same to [`Registry::controller`](super::Registry::controller), and none is loopback's.
pub fn check_controllers(names: &[String], most: usize) -> Result<()> {
    let bad = |text: String| Err(Error::with(Code::BadConf, text));
    if names.is_empty() || names.len() > most {
        return bad(format!("{} controllers beside loopback, must be 1 to {most}", names.len()));
    }
    let mut known: Vec<(String, u32)> = Vec::new();
    for name in names {
        let fine = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        let Some((kind, unit)) = split(name).filter(|_| name.len() <= MAX_NAME && name.chars().all(fine)) else {
            return bad(format!(
                "{name:?} is no controller name: a kind of letters, '-' and '_', and a number, such as shm1; at most \
                 {MAX_NAME} bytes"
            ));
        };
        let key = (kind.to_ascii_lowercase(), unit);
        if key.0 == "loopback" {
            return bad(format!("controller {name:?}: every cluster has loopback, which cannot be configured"));
        }
        if known.contains(&key) {
            return bad(format!("controller {name:?} is named twice"));
        }
        known.push(key);
    }
    Ok(())
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
    fn bad_lists_of_controllers_are_refused_with_the_reason() {
        let check = |names: &[&str]| {
            super::check_controllers(&names.iter().map(|&n| n.to_owned()).collect::<Vec<_>>(), 3)
                .map_err(|error| error.to_string())
        };
        check(&["shm0"]).unwrap();
        check(&["shm0", "shm1", "wrsm0"]).unwrap();
        for (names, told) in [
            (&[][..], "0 controllers beside loopback, must be 1 to 3"),
            (&["a0", "a1", "a2", "a3"], "4 controllers"),
            (&["shm0", "SHM"], "\"SHM\" is named twice"),
            (&["Loopback1"], "\"Loopback1\": every cluster has loopback"),
            (&["7"], "\"7\" is no controller name"),
            (&["a b"], "\"a b\" is no controller name"),
            (&[""], "\"\" is no controller name"),
            (&["abcdefghijklmnopqrstuvwxyzabcdefg"], "at most 32 bytes"),
        ] {
            let error = check(names).unwrap_err();
            assert!(error.contains(told), "{names:?}: {error}");
        }
    }

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
