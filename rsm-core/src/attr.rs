//! What a controller can do (reference 2.4; D-06, D-07).

use crate::error::{Code, Error, Result};

/// Attributes of a controller. Sizes in bytes, masks as in `rsmapi_controller_attr_t`.
#[doc(alias = "rsmapi_controller_attr_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControllerAttributes {
    /// Bit n: accesses of 2^n bytes are possible through a mapping.
    pub direct_access_sizes: u32,
    /// Bit n: accesses of 2^n bytes are atomic.
    pub atomic_sizes: u32,
    /// Bit n: pages of 2^n KiB are supported. Not a byte count (D-06).
    pub page_size: usize,
    /// Largest segment that can be exported.
    pub max_export_segment_size: usize,
    /// Most memory that can be exported in all.
    pub tot_export_segment_size: usize,
    /// Most segments that can be exported.
    pub max_export_segments: u64,
    /// Largest window that can be mapped.
    pub max_import_map_size: usize,
    /// Most memory that can be mapped in all.
    pub tot_import_map_size: usize,
    /// Most imports.
    pub max_import_segments: u64,
}

impl ControllerAttributes {
    /// Attributes of a controller over coherent memory: every access of 1, 2, 4 and 8 bytes, all of them atomic.
    pub fn coherent(page_bytes: usize, max_segment: usize, max_segments: u64, max_imports: u64) -> Self {
        ControllerAttributes {
            direct_access_sizes: 0xf,
            atomic_sizes: 0xf,
            page_size: page_size_mask(page_bytes),
            max_export_segment_size: max_segment,
            tot_export_segment_size: max_segment,
            max_export_segments: max_segments,
            max_import_map_size: max_segment,
            tot_import_map_size: max_segment,
            max_import_segments: max_imports,
        }
    }
}

/// Checks the length of a segment to be created (reference 1.6 steps 4 to 6).
///
/// # Errors
/// BAD_LENGTH for 0 and for more than `max`; BAD_MEM_ALIGNMENT when it is no multiple of the page size.
pub fn check_export_length(length: u64, page_bytes: u64, max: u64) -> Result<()> {
    if length == 0 {
        return Err(Error::with(Code::BadLength, "a segment needs at least one page"));
    }
    if !length.is_multiple_of(page_bytes) {
        return Err(Error::with(
            Code::BadMemAlignment,
            format!("segment length {length} is no multiple of the page size {page_bytes}"),
        ));
    }
    if length > max {
        return Err(Error::with(
            Code::BadLength,
            format!("segment length {length} is above the controller's limit {max}"),
        ));
    }
    Ok(())
}

/// The KiB mask of one page size: 4096 -> 0x4, 16384 -> 0x10, 65536 -> 0x40.
pub fn page_size_mask(page_bytes: usize) -> usize {
    (page_bytes >> 10).next_power_of_two()
}

#[cfg(test)]
mod tests {
    #[test]
    fn page_masks() {
        assert_eq!([4096, 8192, 16384, 65536].map(super::page_size_mask), [0x4, 0x8, 0x10, 0x40]);
    }
}
