//! The checks of a transfer, in the reference's order (1.14).
//!
//! A plain transfer is found right by a few compares where it is made. Every other one is checked here, whichever of the
//! interfaces it came through, so that what is wrong with it is told by one order of checks: the first that fails decides.

use crate::access::Permission;
use crate::error::{Code, Error, Result};

/// Which way data moves, as its importer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the segment: stores.
    Put,
    /// From the segment: loads.
    Get,
}

impl Direction {
    /// Whether who has this permission may do it.
    pub const fn is_permitted(self, permission: Permission) -> bool {
        match self {
            Direction::Put => permission.writes(),
            Direction::Get => permission.reads(),
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Direction::Put => "put",
            Direction::Get => "get",
        }
    }
}

/// What somebody wants to move.
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// The address of the local memory; `None` where the language vouches for it.
    pub local: Option<usize>,
    /// Where in the segment, in bytes. Negative numbers of C are very large here, and lie outside.
    pub offset: u64,
    /// What `offset` and `local` must be multiples of.
    pub align: u64,
    /// How much; `None` when it is more than can be said.
    pub bytes: Option<u64>,
}

/// What of a segment a transfer may reach.
#[derive(Clone, Copy, Debug)]
pub struct Reach {
    /// Where in the segment it begins.
    pub start: u64,
    /// Its bytes.
    pub length: u64,
    /// What may be done with it.
    pub permission: Permission,
    /// Whether somebody says what became of the transfer: the program, by a span of its own, or a barrier that implicit
    /// mode can use.
    pub is_vouched: bool,
}

impl Transfer {
    /// Makes the checks; gives where the transfer begins, in bytes from the start of what it reaches. `reach` is asked
    /// when the arguments have passed, and may make what is missing (steps 5 and 6).
    ///
    /// # Errors
    /// BAD_ADDR without local memory; BAD_MEM_ALIGNMENT; what `reach` says; PERM_DENIED; BAD_OFFSET;
    /// BARRIER_UNINITIALIZED.
    #[inline]
    pub fn check(&self, reach: impl FnOnce() -> Result<Reach>) -> Result<u64> {
        if self.local == Some(0) {
            return Err(self.nowhere());
        }
        let aligned = |place: u64| place.is_multiple_of(self.align);
        if !self.local.is_none_or(|local| aligned(local as u64)) || !aligned(self.offset) {
            return Err(self.misaligned());
        }
        let reach = reach()?;
        if !self.direction.is_permitted(reach.permission) {
            return Err(self.forbidden(&reach));
        }
        // Before the start is far beyond the end.
        let from = self.offset.wrapping_sub(reach.start);
        if !self.bytes.is_some_and(|bytes| bytes <= reach.length && from <= reach.length - bytes) {
            return Err(self.outside(&reach));
        }
        if !reach.is_vouched {
            return Err(Error::new(Code::BarrierUninitialized));
        }
        Ok(from)
    }

    #[cold]
    fn nowhere(&self) -> Error {
        Error::with(Code::BadAddr, format!("a {} without local memory", self.direction.name()))
    }

    #[cold]
    fn misaligned(&self) -> Error {
        let align = self.align;
        let text = match self.local.filter(|&local| !(local as u64).is_multiple_of(align)) {
            Some(local) => format!("address {local:#x} is no multiple of {align}"),
            None => format!("offset {} is no multiple of {align}", self.offset),
        };
        Error::with(Code::BadMemAlignment, text)
    }

    #[cold]
    fn forbidden(&self, reach: &Reach) -> Error {
        let text = format!("{} through an import with permission {}", self.direction.name(), reach.permission);
        Error::with(Code::PermDenied, text)
    }

    #[cold]
    fn outside(&self, reach: &Reach) -> Error {
        let what = match self.bytes {
            Some(bytes) => format!("{bytes} bytes at offset {}", self.offset),
            None => format!("more bytes than there are addresses at offset {}", self.offset),
        };
        let text = match reach.start {
            0 => format!("{what} of a segment of {} bytes", reach.length),
            start => format!("{what} of a segment of which {} bytes from {start} on are mapped", reach.length),
        };
        Error::with(Code::BadOffset, text)
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FINE: Transfer =
        Transfer { direction: Direction::Put, local: Some(64), offset: 4096, align: 8, bytes: Some(8) };
    const REACH: Reach = Reach { start: 4096, length: 4096, permission: Permission::ReadWrite, is_vouched: true };

    fn code(transfer: Transfer, reach: Result<Reach>) -> Result<u64, Code> {
        transfer.check(|| reach).map_err(|error| error.code())
    }

    type Make = fn(&mut Transfer, &mut Result<Reach>);

    /// What can be wrong, in the order in which it is found.
    const FAULTS: [(Code, Make); 8] = [
        (Code::BadAddr, |t, _| t.local = Some(0)),
        // Moved, and not set: an address of 0 stays one.
        (Code::BadMemAlignment, |t, _| t.local = t.local.map(|at| if at == 0 { 0 } else { at + 4 })),
        (Code::BadMemAlignment, |t, _| t.offset += 4),
        (Code::ConnAborted, |_, r| *r = Err(Error::new(Code::ConnAborted))),
        (Code::PermDenied, |_, r| change(r, |r| r.permission = Permission::Read)),
        (Code::BadOffset, |t, _| t.bytes = None),
        (Code::BadOffset, |t, _| t.offset -= 4096),
        (Code::BarrierUninitialized, |_, r| change(r, |r| r.is_vouched = false)),
    ];

    fn change(reach: &mut Result<Reach>, change: impl FnOnce(&mut Reach)) {
        if let Ok(reach) = reach {
            change(reach);
        }
    }

    proptest! {
        /// Whatever is wrong, the first fault in the order decides.
        #[test]
        fn the_first_fault_decides(faults in 0usize..1 << FAULTS.len()) {
            let (mut transfer, mut reach) = (FINE, Ok(REACH));
            for (i, (_, make)) in FAULTS.iter().enumerate() {
                if faults >> i & 1 == 1 {
                    make(&mut transfer, &mut reach);
                }
            }
            let first = FAULTS.get(faults.trailing_zeros() as usize);
            prop_assert_eq!(code(transfer, reach), first.map_or(Ok(0), |(code, _)| Err(*code)));
        }

        /// The range is what lies inside, however large the numbers are.
        #[test]
        fn ranges_do_not_wrap(offset in any::<u64>(), bytes in any::<u64>(), near in any::<bool>()) {
            let (offset, bytes) = if near { (4096 + offset % 4200, bytes % 4200) } else { (offset, bytes) };
            let transfer = Transfer { offset, align: 1, bytes: Some(bytes), ..FINE };
            let inside = offset >= 4096 && u128::from(offset) + u128::from(bytes) <= 8192;
            let right = if inside { Ok(offset - 4096) } else { Err(Code::BadOffset) };
            prop_assert_eq!(code(transfer, Ok(REACH)), right);
        }
    }

    #[test]
    fn nothing_may_be_moved_at_the_end_but_not_beyond() {
        let none = |offset| Transfer { offset, align: 1, bytes: Some(0), ..FINE };
        assert_eq!(code(none(8192), Ok(REACH)), Ok(4096));
        assert_eq!(code(none(8193), Ok(REACH)), Err(Code::BadOffset));
    }

    #[test]
    fn what_failed_is_told() {
        let told = |transfer: Transfer, reach| transfer.check(|| Ok(reach)).unwrap_err().detail().to_owned();
        let whole = Reach { start: 0, length: 65536, ..REACH };
        let far = Transfer { offset: 65536, ..FINE };
        assert_eq!(told(far, whole), "8 bytes at offset 65536 of a segment of 65536 bytes");
        assert!(told(far, REACH).ends_with("of which 4096 bytes from 4096 on are mapped"));
        let get = Transfer { direction: Direction::Get, ..FINE };
        let write = Reach { permission: Permission::Write, ..REACH };
        assert_eq!(told(get, write), format!("get through an import with permission {}", Permission::Write));
    }
}
