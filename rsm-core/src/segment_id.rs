//! Segment ids: which ones a program may publish, and the automatic ones (reference 2.7).

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// First id a program may choose.
pub const FIRST_EXPLICIT: u32 = 0x40_0000;
/// Last id a program may choose.
pub const LAST_EXPLICIT: u32 = 0x7fff_ffff;
/// First automatic id; the rest of the range upwards is automatic too.
pub const FIRST_AUTOMATIC: u32 = 0x8000_0000;

/// The id of a segment, unique on its node. Zero asks for an automatic one at publish.
#[doc(alias = "rsm_memseg_id_t")]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SegmentId(u32);

impl SegmentId {
    /// "Assign one for me" at publish.
    pub const fn any() -> SegmentId {
        SegmentId(0)
    }

    /// Makes an id of a number. Programs may publish 0x400000 to 0x7fffffff; what is wrong with an id is said at publish.
    pub const fn new(id: u32) -> SegmentId {
        SegmentId(id)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Whether publish is to assign an id.
    pub const fn is_any(self) -> bool {
        self.0 == 0
    }

    /// Checks an id given to publish.
    ///
    /// # Errors
    /// RESERVED_SEGID outside the range above (0 passes).
    pub fn check_publishable(self) -> Result<()> {
        if self.is_any() || (FIRST_EXPLICIT..=LAST_EXPLICIT).contains(&self.0) {
            return Ok(());
        }
        Err(Error::with(
            Code::ReservedSegid,
            format!(
                "segment id {self} is reserved; choose {FIRST_EXPLICIT:#x} to {LAST_EXPLICIT:#x}, or 0 for an automatic one"
            ),
        ))
    }
}

/// As Display.
impl std::fmt::Debug for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for SegmentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// As people write ids: `0x400001`, or decimal. 0 is none here.
impl std::str::FromStr for SegmentId {
    type Err = Error;
    fn from_str(text: &str) -> Result<SegmentId> {
        let (digits, radix) = text.strip_prefix("0x").or(text.strip_prefix("0X")).map_or((text, 10), |hex| (hex, 16));
        // The numbers' own reading would also take a sign.
        let id = if digits.starts_with('+') { None } else { u32::from_str_radix(digits, radix).ok() };
        id.filter(|&id| id != 0).map(SegmentId).ok_or_else(|| {
            Error::with(
                Code::BadArgsErrors,
                format!("{text:?} is no segment id: hexadecimal such as 0x400001, or decimal, 1 to 0xffffffff"),
            )
        })
    }
}

/// Gives out a node's automatic ids, counting up and never giving one twice.
#[derive(Debug)]
pub struct AutomaticIds(Option<u32>);

impl Default for AutomaticIds {
    fn default() -> AutomaticIds {
        AutomaticIds(Some(FIRST_AUTOMATIC))
    }
}

impl AutomaticIds {
    /// The next id.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES when the range is used up.
    pub fn take(&mut self) -> Result<SegmentId> {
        let id = self.0.ok_or_else(|| Error::with(Code::InsufficientResources, "automatic segment ids are used up"))?;
        self.0 = id.checked_add(1);
        Ok(SegmentId(id))
    }
}

/// Looks an application up in the text of a reservation file: base id and count of the first line that names it
/// (reference 1.30; D-66).
///
/// # Errors
/// BAD_APPID when no line names it; BAD_CONF for a line that cannot be read before that.
pub fn find_reservation(text: &str, appid: &str) -> Result<(u32, u32)> {
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [keyword, name, base, count, ..] = fields[..] else { return Err(Error::new(Code::BadConf)) };
        if !name.eq_ignore_ascii_case(appid) {
            continue;
        }
        let digits = base.strip_prefix("0x").or_else(|| base.strip_prefix("0X")).unwrap_or(base);
        let known = ["reserved", "reserve"].iter().any(|k| k.eq_ignore_ascii_case(keyword));
        return match (known, u32::from_str_radix(digits, 16), count.parse()) {
            (true, Ok(base), Ok(count)) => Ok((base, count)),
            _ => Err(Error::new(Code::BadConf)),
        };
    }
    Err(Error::new(Code::BadAppid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_as_people_write_them() {
        for text in ["0x400001", "0X400001", "4194305"] {
            assert_eq!(text.parse(), Ok(SegmentId(0x40_0001)), "{text}");
        }
        assert_eq!("0xffffffff".parse(), Ok(SegmentId(u32::MAX)));
        for text in ["", "0", "0x", "0x0", "x", "-1", "+1", "0x+1", "0x1ffffffff", "4294967296", "1.5", "400001h"] {
            let error = text.parse::<SegmentId>().unwrap_err();
            assert!(error.detail().contains(&format!("{text:?} is no segment id")), "{error}");
        }
    }

    #[test]
    fn ranges_of_the_reference() {
        for id in [1, 0x0f_ffff, 0x20_0000, 0x3f_ffff, 0x8000_0000, 0xffff_ffff] {
            assert_eq!(SegmentId::new(id).check_publishable().unwrap_err().code(), Code::ReservedSegid, "{id:#x}");
        }
        for id in [0, 0x40_0000, 0x50_0000, 0x60_0000, 0x7fff_ffff] {
            SegmentId::new(id).check_publishable().unwrap();
        }
    }

    #[test]
    fn reservations_are_found_as_the_original_does() {
        let text =
            "# comment\n\nreserved other 1 2\nReserve dBase 0x600000 100 more\nreserved dbase 7 7\nbad line here";
        assert_eq!(find_reservation(text, "DBASE").unwrap(), (0x60_0000, 100));
        assert_eq!(find_reservation("reserved x 600000 5", "x").unwrap(), (0x60_0000, 5));
        let code = |text, appid| find_reservation(text, appid).unwrap_err().code();
        assert_eq!(code("# nothing\n", "x"), Code::BadAppid);
        assert_eq!(code("reserved x 1", "y"), Code::BadConf);
        assert_eq!(code("other x 1 2", "x"), Code::BadConf);
        assert_eq!(code("reserved x 100000000 2", "x"), Code::BadConf);
        assert_eq!(code("reserved x 1 99999999999", "x"), Code::BadConf);
    }

    #[test]
    fn automatic_ids_end() {
        let mut ids = AutomaticIds(Some(u32::MAX - 1));
        assert_eq!(ids.take().unwrap().get(), u32::MAX - 1);
        assert_eq!(ids.take().unwrap().get(), u32::MAX);
        assert_eq!(ids.take().unwrap_err().code(), Code::InsufficientResources);
        assert_eq!(AutomaticIds::default().take().unwrap().get(), 0x8000_0000);
    }
}
