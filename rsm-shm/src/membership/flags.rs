//! The flags of an import: one word, read once by each transfer, and the only place that knows its bits.
//!
//! A transfer compares the bits that it needs, and those that would make it more than plain, with what is there. The
//! layer above an import has flags of its own in the same word, so that one load finds all.

use rsm_core::access::Permission;
use rsm_core::sync::AtomicU32;
use rsm_core::sync::Ordering::{Acquire, Relaxed, Release};
use rsm_core::transfer::Direction;

/// A set of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u32);

impl Flags {
    /// Transfers are bare; the program opens spans itself.
    pub const EXPLICIT: Flags = Flags(1);
    /// Somebody watches: transfers are told to the taps.
    pub const WATCHED: Flags = Flags(1 << 1);
    /// This process is a forked child that the agent does not know as a holder of the connection yet.
    pub const INHERITED: Flags = Flags(1 << 2);
    /// It does not reach plain memory: transfers, orders and signals ask the [way](super::way).
    pub const DIVERTED: Flags = Flags(1 << 3);
    /// The connection may be written.
    const WRITES: Flags = Flags(1 << 7);
    /// It may be read.
    const READS: Flags = Flags(1 << 8);

    /// A handle's part is mapped, and what its slot says of it is valid.
    pub const MAPPED: Flags = Flags(1 << 16);
    const PART_READS: Flags = Flags(1 << 17);
    const PART_WRITES: Flags = Flags(1 << 18);
    /// A barrier was initialised on the handle.
    pub const BARRIER: Flags = Flags(1 << 19);
    /// The part has room for a word of any width.
    pub const READY: Flags = Flags(1 << 20);
    /// Everything that a part brings along.
    pub const PART: Flags = Flags::MAPPED.and(Flags::PART_READS).and(Flags::PART_WRITES).and(Flags::READY);

    /// What makes a transfer take its cold path, the plain one paying nothing for it.
    pub const NOT_PLAIN: Flags = Flags::WATCHED.and(Flags::INHERITED).and(Flags::DIVERTED);

    /// These and those.
    pub const fn and(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// What a connection with this permission lets be done.
    pub(super) const fn of_connection(permission: Permission) -> Flags {
        Flags::rights(permission, Flags::READS, Flags::WRITES)
    }

    /// What a part with this permission lets be done.
    pub const fn of_part(permission: Permission) -> Flags {
        Flags::rights(permission, Flags::PART_READS, Flags::PART_WRITES)
    }

    const fn rights(permission: Permission, reads: Flags, writes: Flags) -> Flags {
        Flags(if permission.reads() { reads.0 } else { 0 } | if permission.writes() { writes.0 } else { 0 })
    }

    /// What a transfer through a connection needs.
    pub(super) const fn needed_of_connection(direction: Direction) -> Flags {
        match direction {
            Direction::Put => Flags::WRITES,
            Direction::Get => Flags::READS,
        }
    }

    /// What a transfer through a part needs.
    pub const fn needed_of_part(direction: Direction) -> Flags {
        match direction {
            Direction::Put => Flags::PART_WRITES,
            Direction::Get => Flags::PART_READS,
        }
    }

    /// What a part lets be done.
    pub fn part_permission(self) -> Permission {
        match (self.has(Flags::PART_READS), self.has(Flags::PART_WRITES)) {
            (true, true) => Permission::ReadWrite,
            (true, false) => Permission::Read,
            (false, true) => Permission::Write,
            (false, false) => Permission::None,
        }
    }

    /// Whether all of these are there.
    #[inline(always)]
    pub const fn has(self, wanted: Flags) -> bool {
        self.0 & wanted.0 == wanted.0
    }

    /// Whether one of these is there.
    #[inline(always)]
    pub const fn has_any(self, wanted: Flags) -> bool {
        self.0 & wanted.0 != 0
    }

    /// Whether `wanted` are there, and none of `others`.
    #[inline(always)]
    pub const fn is_just(self, wanted: Flags, others: Flags) -> bool {
        self.0 & (wanted.0 | others.0) == wanted.0
    }
}

/// The word of an import.
#[derive(Debug)]
pub struct FlagWord(AtomicU32);

impl FlagWord {
    pub(super) fn new(flags: Flags) -> FlagWord {
        FlagWord(AtomicU32::new(flags.0))
    }

    /// What is set now. Relaxed: for flags that stand for nothing else.
    #[inline(always)]
    pub fn now(&self) -> Flags {
        Flags(self.0.load(Relaxed))
    }

    /// What is set now, and what was stored before it was [shown](Self::show).
    #[inline(always)]
    pub fn shown(&self) -> Flags {
        // Acquire: pairs with the Release of `show`.
        Flags(self.0.load(Acquire))
    }

    /// Sets flags. Relaxed, as is [`now`](Self::now).
    pub fn set(&self, flags: Flags) {
        self.0.fetch_or(flags.0, Relaxed);
    }

    /// Sets flags that stand for something stored before.
    pub fn show(&self, flags: Flags) {
        // Release: pairs with the Acquire of `shown`.
        self.0.fetch_or(flags.0, Release);
    }

    /// Clears flags.
    pub fn clear(&self, flags: Flags) {
        self.0.fetch_and(!flags.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_flag_means_two_things() {
        let all = [
            Flags::EXPLICIT,
            Flags::WATCHED,
            Flags::INHERITED,
            Flags::DIVERTED,
            Flags::WRITES,
            Flags::READS,
            Flags::MAPPED,
            Flags::PART_READS,
            Flags::PART_WRITES,
            Flags::BARRIER,
            Flags::READY,
        ];
        let together = all.iter().fold(0, |sum, flag| sum | flag.0);
        assert!(all.iter().all(|flag| flag.0.is_power_of_two()));
        assert_eq!(together.count_ones() as usize, all.len());
    }

    #[test]
    fn permissions_come_back() {
        for permission in [Permission::None, Permission::Read, Permission::Write, Permission::ReadWrite] {
            assert_eq!(Flags::of_part(permission).part_permission(), permission);
            for direction in [Direction::Put, Direction::Get] {
                let permitted = direction.is_permitted(permission);
                assert_eq!(Flags::of_connection(permission).has(Flags::needed_of_connection(direction)), permitted);
                assert_eq!(Flags::of_part(permission).has(Flags::needed_of_part(direction)), permitted);
            }
        }
    }
}
