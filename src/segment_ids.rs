//! Segment ids reserved for applications.

use crate::{Code, Error, Result, SegmentId};
use std::path::Path;

/// File that reservations are read from unless `RSM_SEGMENTID_FILE` names another file.
pub const RESERVATION_FILE: &str = "/etc/rsm/rsm.segmentid";

/// The segment ids reserved for the application `appid`: the first one and how many. Letter case is ignored. Purely a
/// look-up: nothing is reserved by it, and publish does not ask.
///
/// # Errors
/// BAD_CONF when the file cannot be read or a line before the match is malformed; BAD_APPID when no line names it.
/// Reference 1.30.
#[doc(alias = "rsm_get_segmentid_range")]
pub fn reserved_segment_ids(appid: &str) -> Result<(SegmentId, u32)> {
    // A program that runs with more rights than its user must not read what its user chose.
    let chosen = rsm_shm::rights::setting("RSM_SEGMENTID_FILE");
    let path = Path::new(chosen.as_deref().unwrap_or(RESERVATION_FILE.as_ref()));
    let text =
        std::fs::read(path).map_err(|e| Error::with(Code::BadConf, format!("cannot read {}: {e}", path.display())))?;
    let (first, count) = rsm_core::segment_id::find_reservation(&String::from_utf8_lossy(&text), appid)?;
    Ok((SegmentId::new(first), count))
}
