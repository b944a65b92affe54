//! Where the modules of this process have the addresses of functions that they call in others.
//!
//! The loader fills them in, and what calls a function jumps to what stands there. Where the address of a [`Call`] would stand, what
//! takes its place does from then on.
#![allow(unsafe_code)]

use super::calls::{CALLS, Call};
use crate::membership::looks::lock_for_a_while;
use crate::memory::maps;
use rustix::mm::{MprotectFlags, mprotect};
use std::cell::OnceCell;
use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr::with_exposed_provenance;
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

// Kinds of relocations that are an address of a symbol, and nothing more; the last one alone may be filled in when it is first used.
#[cfg(target_arch = "x86_64")]
const ADDRESSES: [u32; 3] = [1, 6, OF_A_CALL];
#[cfg(target_arch = "x86_64")]
const OF_A_CALL: u32 = 7;
#[cfg(target_arch = "aarch64")]
const ADDRESSES: [u32; 3] = [257, 1025, OF_A_CALL];
#[cfg(target_arch = "aarch64")]
const OF_A_CALL: u32 = 1026;

/// What an entry of the dynamic section is about.
const HASHES: u64 = 4;
const STRINGS: u64 = 5;
const SYMBOLS: u64 = 6;
const RELOCATIONS: u64 = 7;
const RELOCATIONS_BYTES: u64 = 8;
const OF_CALLS: u64 = 23;
const OF_CALLS_BYTES: u64 = 2;
const GNU_HASHES: u64 = 0x6fff_fef5;
const VERSIONS: u64 = 0x6fff_fff0;

/// A version of a symbol that is for programs which were linked when it was the newest.
const OF_OLD: u16 = 0x8000;

/// A symbol that is a function.
const FUNCTION: u8 = 2;

/// An entry of a table of symbols.
#[derive(Clone, Copy)]
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    bytes: u64,
}

/// An entry of a table of relocations.
#[derive(Clone, Copy)]
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// What was seen of all modules.
#[derive(Default)]
struct Seen {
    /// The program itself was loaded by a loader, which has its calls of the C library lead there by addresses.
    is_dynamic: bool,
    /// What could not be changed, or leads where nobody knows.
    failed: usize,
    modules: usize,
    /// Names of the program. Neither it nor the C library is ever unloaded.
    program: Option<Names>,
    c_library: Vec<Names>,
    /// These are known: now slots are changed.
    changes: bool,
}

/// One at a time.
static CHANGING: Mutex<()> = Mutex::new(());

/// Lets all calls of modules that are loaded now be told. `false`: some cannot be. Not while the program has code loaded, if that can be
/// helped: what is half loaded counts as something that cannot be.
pub(super) fn lead_here() -> bool {
    let Some(_one) = lock_for_a_while(&CHANGING) else { return false };
    let mut seen = Seen::default();
    // SAFETY: the function keeps to what is asked of it; what it is given outlives the call.
    let look = |seen: &mut Seen| unsafe { libc::dl_iterate_phdr(Some(look_at), std::ptr::from_mut(seen).cast()) };
    look(&mut seen);
    let Some(program) = &seen.program else { return false };
    for call in CALLS.iter() {
        if program.find(call.name).is_some_and(|symbol| symbol.section != 0) {
            // Its own takes the place of the C library's everywhere, as sanitizers have it.
            return false;
        }
        // By these tables and not by `dlsym`, which gives what takes the function's place, such as the program's stub, and forgets the
        // error that the program may be about to ask for.
        let real = seen.c_library.iter().find_map(|names| names.address(call.name)).unwrap_or(0);
        // Relaxed: the Release of `Module::lead` comes before anybody loads it.
        call.real.store(real, Relaxed);
    }
    (seen.modules, seen.changes) = (0, true);
    look(&mut seen);
    seen.is_dynamic && seen.failed == 0
}

/// A module that the loader has loaded.
struct Module<'a> {
    bias: usize,
    headers: &'a [libc::Elf64_Phdr],
    /// All its addresses.
    all: Range<usize>,
    /// Whether what the loader makes read-only when it has filled it in can still be written to; `None`: that cannot be known.
    is_open: OnceCell<Option<bool>>,
}

unsafe extern "C" fn look_at(info: *mut libc::dl_phdr_info, _bytes: usize, into: *mut c_void) -> c_int {
    // SAFETY: the loader's, for as long as this runs.
    let info = unsafe { &*info };
    // SAFETY: of `lead_here`; the loader calls on this thread.
    let seen = unsafe { &mut *into.cast::<Seen>() };
    let is_program = seen.modules == 0;
    seen.modules += 1;
    let headers: &[libc::Elf64_Phdr] = match info.dlpi_phdr.is_null() {
        true => &[],
        // SAFETY: as many as the loader says.
        false => unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
    };
    let mut module = Module { bias: info.dlpi_addr as usize, headers, all: 0..0, is_open: OnceCell::new() };
    let start = module.parts(libc::PT_LOAD).map(|part| part.start).min();
    let end = module.parts(libc::PT_LOAD).map(|part| part.end).max();
    module.all = start.unwrap_or(0)..end.unwrap_or(0);
    // SAFETY: null, or a string of the loader's.
    let name = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
    let is_c_library = !is_program && is_of_the_c_library(name.to_bytes());
    // SAFETY: the dynamic section of a module that is loaded, and stays so while the loader calls.
    let dynamic = module.parts(libc::PT_DYNAMIC).next().map(|dynamic| unsafe { module.dynamic(&dynamic) });
    if seen.changes {
        let is_own = !is_program && module.all.contains(&(&raw const CHANGING).addr());
        if let Some(dynamic) = dynamic.filter(|_| !is_own && !is_c_library) {
            // SAFETY: as above.
            seen.failed += unsafe { module.change(dynamic, seen.program.as_ref()) };
        }
        return 0;
    }
    if is_program {
        seen.is_dynamic = module.parts(libc::PT_INTERP).next().is_some();
    }
    if let Some(names) = dynamic.and_then(|dynamic| module.names(dynamic)) {
        match is_program {
            true => seen.program = Some(names),
            false if is_c_library => seen.c_library.push(names),
            false => {}
        }
    }
    0
}

/// Its own calls of itself are part of what it was called for; the kernel's part has none.
fn is_of_the_c_library(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let begins = [&b"libc.so"[..], b"libc-2.", b"libc.musl", b"ld-", b"ld64", b"linux-"];
    // Parts of older ones.
    let parts = [&b"libpthread.so"[..], b"libpthread-2.", b"librt.so", b"librt-2."];
    begins.iter().chain(&parts).any(|begin| name.starts_with(begin))
}

/// The value of the first entry of a kind.
fn value(dynamic: &[[u64; 2]], wanted: u64) -> Option<u64> {
    let mut entries = dynamic.iter().take_while(|[kind, _]| *kind != 0);
    entries.find(|[kind, _]| *kind == wanted).map(|[_, value]| *value)
}

/// The names of a module, and what finds them.
#[derive(Clone, Copy)]
struct Names {
    bias: usize,
    strings: usize,
    symbols: usize,
    versions: Option<usize>,
    hashes: Option<usize>,
    gnu_hashes: Option<usize>,
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
    unsafe fn symbol(&self, number: usize) -> Symbol {
        // SAFETY: the caller's promise.
        unsafe { with_exposed_provenance::<Symbol>(self.symbols + number * size_of::<Symbol>()).read_unaligned() }
    }

    fn is_named(&self, symbol: &Symbol, name: &[u8]) -> bool {
        // SAFETY: a string of the module's, which its symbol says.
        let own = unsafe { CStr::from_ptr(with_exposed_provenance(self.strings + symbol.name as usize)) };
        own.to_bytes_with_nul() == name
    }

    /// Whether a symbol is this, and not of an old version.
    fn is(&self, number: usize, name: &[u8]) -> Option<Symbol> {
        // SAFETY: a number that its hashes have; there is a version for each symbol.
        let (symbol, version) = unsafe {
            let version = self.versions.map(|all| with_exposed_provenance::<u16>(all + number * 2).read_unaligned());
            (self.symbol(number), version)
        };
        (self.is_named(&symbol, name) && version.is_none_or(|version| version & OF_OLD == 0)).then_some(symbol)
    }

    /// What has a name, with a zero at its end, here.
    fn find(&self, name: &[u8]) -> Option<Symbol> {
        let bytes = name.strip_suffix(&[0]).unwrap_or(name);
        match (self.gnu_hashes, self.hashes) {
            // SAFETY: the module's own table.
            (Some(table), _) => unsafe { self.find_by_gnu(table, name, bytes) },
            // SAFETY: likewise.
            (None, Some(table)) => unsafe { self.find_by_hash(table, name, bytes) },
            (None, None) => None,
        }
    }

    /// # Safety
    /// The table is its own, of the GNU kind.
    unsafe fn find_by_gnu(&self, table: usize, name: &[u8], bytes: &[u8]) -> Option<Symbol> {
        let hash = bytes.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()));
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
    unsafe fn find_by_hash(&self, table: usize, name: &[u8], bytes: &[u8]) -> Option<Symbol> {
        let hash = bytes.iter().fold(0u32, |hash, byte| {
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
    fn address(&self, name: &[u8]) -> Option<usize> {
        let symbol = self.find(name).filter(|symbol| symbol.section != 0 && symbol.info & 15 == FUNCTION)?;
        Some(self.bias.wrapping_add(symbol.value as usize))
    }

    /// Where the program calls a function that has no address but this to anybody: a program that is linked to one place, and takes the
    /// address. What it jumps by is a slot of its own.
    fn stub(&self, name: &[u8]) -> Option<usize> {
        let symbol = self.find(name).filter(|symbol| symbol.section == 0 && symbol.value != 0)?;
        Some(self.bias.wrapping_add(symbol.value as usize))
    }
}

impl Module<'_> {
    /// The parts of a kind.
    fn parts(&self, kind: u32) -> impl Iterator<Item = Range<usize>> {
        self.headers.iter().filter(move |header| header.p_type == kind).map(|header| self.span(header))
    }

    fn span(&self, header: &libc::Elf64_Phdr) -> Range<usize> {
        let start = self.bias.wrapping_add(header.p_vaddr as usize);
        start..start.wrapping_add(header.p_memsz as usize)
    }

    /// # Safety
    /// Its dynamic section lies there, and it stays loaded.
    unsafe fn dynamic<'a>(&self, at: &Range<usize>) -> &'a [[u64; 2]] {
        // SAFETY: the caller's promise: pairs of words.
        unsafe { std::slice::from_raw_parts(with_exposed_provenance(at.start), at.len() / 16) }
    }

    /// An address of the dynamic section, which some loaders have changed to where it is and others have left.
    fn at(&self, address: u64) -> usize {
        let address = address as usize;
        if self.all.contains(&address) { address } else { self.bias.wrapping_add(address) }
    }

    fn names(&self, dynamic: &[[u64; 2]]) -> Option<Names> {
        let at = |wanted| value(dynamic, wanted).map(|address| self.at(address));
        let (hashes, gnu_hashes) = (at(HASHES), at(GNU_HASHES));
        let is_found = hashes.is_some() || gnu_hashes.is_some();
        let (strings, symbols) = (at(STRINGS)?, at(SYMBOLS)?);
        is_found.then(|| Names { bias: self.bias, strings, symbols, versions: at(VERSIONS), hashes, gnu_hashes })
    }

    /// Changes what leads elsewhere; how much could not be, or leads where nobody knows.
    ///
    /// # Safety
    /// The dynamic section is its own.
    unsafe fn change(&self, dynamic: &[[u64; 2]], program: Option<&Names>) -> usize {
        let at = |wanted| value(dynamic, wanted).map(|address| self.at(address));
        let (Some(strings), Some(symbols)) = (at(STRINGS), at(SYMBOLS)) else { return 0 };
        let names = Names { bias: self.bias, strings, symbols, versions: None, hashes: None, gnu_hashes: None };
        let mut failed = 0;
        for (table, bytes) in [(RELOCATIONS, RELOCATIONS_BYTES), (OF_CALLS, OF_CALLS_BYTES)] {
            let (Some(table), Some(bytes)) = (at(table), value(dynamic, bytes)) else { continue };
            let table = with_exposed_provenance::<Relocation>(table);
            // SAFETY: as the dynamic section says.
            let all = unsafe { std::slice::from_raw_parts(table, bytes as usize / size_of::<Relocation>()) };
            for relocation in all.iter().filter(|one| ADDRESSES.contains(&(one.info as u32)) && one.addend == 0) {
                // SAFETY: relocations are of symbols that it has.
                let symbol = unsafe { names.symbol((relocation.info >> 32) as usize) };
                if let Some(call) = CALLS.iter().find(|call| names.is_named(&symbol, call.name)) {
                    let at = self.bias.wrapping_add(relocation.offset as usize);
                    let may_be_unbound = relocation.info as u32 == OF_A_CALL && symbol.section == 0;
                    let stub = program.and_then(|program| program.stub(call.name));
                    // SAFETY: a word of the module's, which the loader fills in.
                    failed += usize::from(!unsafe { self.lead(at, call, may_be_unbound, stub) });
                }
            }
        }
        failed
    }

    /// Lets a word lead to what stands in place of a function, if it leads to that, or will. `false`: it does neither then.
    ///
    /// # Safety
    /// It is a word of the module's that the loader fills in.
    unsafe fn lead(&self, at: usize, call: &Call, may_be_unbound: bool, stub: Option<usize>) -> bool {
        // Relaxed: stored by this thread, under the lock.
        let real = call.real.load(Relaxed);
        let is_within = |part: &Range<usize>| part.start <= at && at + size_of::<usize>() <= part.end;
        let page = rustix::param::page_size();
        let down = |address: usize| address & !(page - 1);
        // As loaders do it: of whole pages.
        let mut fixed = self.parts(libc::PT_GNU_RELRO).map(|part| down(part.start)..down(part.end));
        let is_fixed = fixed.any(|part| is_within(&part));
        let is_data = |header: &&libc::Elf64_Phdr| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W != 0;
        let is_writable = self.headers.iter().filter(is_data).any(|header| is_within(&self.span(header)));
        if !at.is_multiple_of(size_of::<usize>()) || !is_writable {
            return false;
        }
        // SAFETY: the caller's promise, and it is where its data is; others load it while it changes, as a whole.
        let word = unsafe { AtomicUsize::from_ptr(std::ptr::with_exposed_provenance_mut(at)) };
        // Acquire: pairs with the Release below, of a call that was led here before.
        let now = word.load(Acquire);
        // Before it is first called, it leads to what has the loader look for it. The program's stub comes here by a slot of the
        // program's. What nobody has leads nowhere.
        let is_unbound = may_be_unbound && self.all.contains(&now);
        if now == call.wrap || stub == Some(now) || (real == 0 && now == 0) {
            return true;
        }
        if real == 0 || (now != real && !is_unbound) {
            return false;
        }
        if !is_fixed {
            // Release: pairs with the fence of `told`, of whoever calls by way of this: what it goes on to is known.
            word.store(call.wrap, Release);
            return true;
        }
        // The loader may still be filling in such a module: then it is left open, and the loader closes it.
        let is_open = *self.is_open.get_or_init(|| {
            let part = self.parts(libc::PT_GNU_RELRO).next()?;
            maps::is_written(down(part.start), down(part.end))
        });
        let Some(is_open) = is_open else { return false };
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(down(at));
        // SAFETY: a page of the module's, which holds data.
        let protect = |flags| unsafe { mprotect(start, page, flags) };
        if protect(MprotectFlags::READ | MprotectFlags::WRITE).is_err() {
            return false;
        }
        // Release: as above.
        word.store(call.wrap, Release);
        if !is_open {
            let _ = protect(MprotectFlags::READ);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Not under a sanitizer, which has functions of its own, nor with what else takes the place of some.
    fn seen_plainly() -> Option<Seen> {
        let mut seen = Seen::default();
        // SAFETY: as in `lead_here`.
        unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut seen).cast()) };
        let found = |call: &Call| seen.program.and_then(|program| program.find(call.name));
        let has_own = CALLS.iter().any(|call| found(call).is_some_and(|symbol| symbol.section != 0));
        (seen.is_dynamic && !has_own && std::env::var_os("LD_PRELOAD").is_none()).then_some(seen)
    }

    #[test]
    fn all_that_a_plain_program_calls_is_led_here_and_stays_so() {
        if seen_plainly().is_none() {
            return;
        }
        assert!(lead_here());
        assert!(lead_here(), "what leads here already is known");
        let (mut ends, byte) = ([0; 2], [7u8]);
        // SAFETY: numbers, and a byte that outlives the calls.
        unsafe {
            assert_eq!(libc::pipe(ends.as_mut_ptr()), 0);
            assert_eq!(libc::write(ends[1], byte.as_ptr().cast(), 1), 1, "the C library does what it did");
            ends.iter().for_each(|end| assert_eq!(libc::close(*end), 0));
        }
    }

    #[test]
    fn functions_are_found_where_the_loader_finds_them() {
        let Some(seen) = seen_plainly() else { return };
        let mut found = 0;
        for call in CALLS.iter() {
            let real = seen.c_library.iter().find_map(|names| names.address(call.name));
            // SAFETY: a string with a zero.
            let there = unsafe { libc::dlsym(libc::RTLD_DEFAULT, call.name.as_ptr().cast()) };
            assert_eq!(real.unwrap_or(0), there.addr(), "{:?}", CStr::from_bytes_with_nul(call.name));
            found += usize::from(real.is_some());
        }
        assert!(found > 100, "{found}");
        assert!(seen.c_library.iter().all(|names| names.find(b"rsm_is_in_no_library\0").is_none()));
    }
}
