//! The names that a module has, by its own tables.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::ptr::with_exposed_provenance;

/// A version of a symbol that is for programs which were linked when it was the newest.
const OF_OLD: u16 = 0x8000;

/// A symbol that is a function.
const FUNCTION: u8 = 2;

/// An entry of a table of symbols.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    pub(super) section: u16,
    value: u64,
    bytes: u64,
}

/// The names of a module, and what finds them.
#[derive(Clone, Copy)]
pub(in crate::membership::race) struct Names {
    pub(super) bias: usize,
    pub(super) strings: usize,
    pub(super) symbols: usize,
    pub(super) versions: Option<usize>,
    pub(super) hashes: Option<usize>,
    pub(super) gnu_hashes: Option<usize>,
    /// Versions that it has of its own, and how many.
    pub(super) defined: Option<(usize, usize)>,
}

impl Names {
    /// # Safety
    /// There is such a word, in a table of the module's.
    unsafe fn word(at: usize) -> u32 {
        // SAFETY: the caller's promise.
        unsafe { with_exposed_provenance::<u32>(at).read_unaligned() }
    }

    /// # Safety
    /// It has as many symbols.
    pub(super) unsafe fn symbol(&self, number: usize) -> Symbol {
        // SAFETY: the caller's promise.
        unsafe { with_exposed_provenance::<Symbol>(self.symbols + number * size_of::<Symbol>()).read_unaligned() }
    }

    /// What a symbol is called.
    pub(super) fn name_of(&self, symbol: &Symbol) -> &[u8] {
        self.string(symbol.name)
    }

    /// A string of the module's, which stays as long as it is loaded.
    fn string(&self, at: u32) -> &[u8] {
        // SAFETY: as its tables say, which are there as long as these names: whoever has them keeps the module from being unloaded.
        unsafe { CStr::from_ptr(with_exposed_provenance(self.strings + at as usize)) }.to_bytes()
    }

    /// Whether a symbol is this, and not of an old version.
    fn is(&self, number: usize, name: &[u8]) -> Option<Symbol> {
        // SAFETY: a number that its hashes have; there is a version for each symbol.
        let (symbol, version) = unsafe {
            let version = self.versions.map(|all| with_exposed_provenance::<u16>(all + number * 2).read_unaligned());
            (self.symbol(number), version)
        };
        (self.name_of(&symbol) == name && version.is_none_or(|version| version & OF_OLD == 0)).then_some(symbol)
    }

    /// What has a name here.
    fn find(&self, name: &[u8]) -> Option<Symbol> {
        match (self.gnu_hashes, self.hashes) {
            // SAFETY: the module's own table.
            (Some(table), _) => unsafe { self.find_by_gnu(table, name) },
            // SAFETY: likewise.
            (None, Some(table)) => unsafe { self.find_by_hash(table, name) },
            (None, None) => None,
        }
    }

    /// Whether it has a function of its own of this name.
    pub(in crate::membership::race) fn has(&self, name: &[u8]) -> bool {
        self.find(name).is_some_and(|symbol| symbol.section != 0)
    }

    /// The names of its versions.
    pub(in crate::membership::race) fn versions(&self) -> impl Iterator<Item = &[u8]> {
        let (mut at, count) = self.defined.unwrap_or_default();
        (0..count).map(move |_| {
            // SAFETY: the module's own table: of each version, where from there its names are, the first of which is its own, and
            // where the next one is.
            let (names, next) = unsafe { (Self::word(at + 12) as usize, Self::word(at + 16) as usize) };
            // SAFETY: as above.
            let name = self.string(unsafe { Self::word(at + names) });
            at += next;
            name
        })
    }

    /// # Safety
    /// The table is its own, of the GNU kind.
    unsafe fn find_by_gnu(&self, table: usize, name: &[u8]) -> Option<Symbol> {
        let hash = name.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()));
        // SAFETY: the caller's promise: four words, then the filter, so many buckets, and a chain of what is in each, whose last one
        // is odd.
        unsafe {
            let (buckets, first) = (Self::word(table) as usize, Self::word(table + 4) as usize);
            let start = table + 16 + Self::word(table + 8) as usize * 8;
            if buckets == 0 {
                return None;
            }
            let mut at = Self::word(start + hash as usize % buckets * 4) as usize;
            while at >= first && at != 0 {
                let here = Self::word(start + (buckets + at - first) * 4);
                if here | 1 == hash | 1
                    && let Some(symbol) = self.is(at, name)
                {
                    return Some(symbol);
                }
                if here & 1 == 1 {
                    break;
                }
                at += 1;
            }
        }
        None
    }

    /// # Safety
    /// The table is its own, of the older kind.
    unsafe fn find_by_hash(&self, table: usize, name: &[u8]) -> Option<Symbol> {
        let hash = name.iter().fold(0u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add((*byte).into());
            let high = hash & 0xf000_0000;
            (hash ^ (high >> 24)) & !high
        });
        // SAFETY: the caller's promise: two words, so many buckets, and what is next to each symbol.
        unsafe {
            let (buckets, all) = (Self::word(table) as usize, Self::word(table + 4) as usize);
            if buckets == 0 {
                return None;
            }
            let mut at = Self::word(table + 8 + hash as usize % buckets * 4) as usize;
            while at != 0 && at < all {
                if let Some(symbol) = self.is(at, name) {
                    return Some(symbol);
                }
                at = Self::word(table + 8 + (buckets + at) * 4) as usize;
            }
        }
        None
    }

    /// Where the function is that has this name here.
    pub(in crate::membership::race) fn address(&self, name: &[u8]) -> Option<usize> {
        let symbol = self.find(name).filter(|symbol| symbol.section != 0 && symbol.info & 15 == FUNCTION)?;
        Some(self.bias.wrapping_add(symbol.value as usize))
    }

    /// Where the program calls a function that has no address but this to anybody: a program that is linked to one place, and takes the
    /// address. What it jumps by is a slot of its own.
    pub(super) fn stub(&self, name: &[u8]) -> Option<usize> {
        let symbol = self.find(name).filter(|symbol| symbol.section == 0 && symbol.value != 0)?;
        Some(self.bias.wrapping_add(symbol.value as usize))
    }
}
