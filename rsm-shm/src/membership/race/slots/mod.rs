//! Where the modules of this process have the addresses of functions that they call in others.
//!
//! The loader fills them in, and what calls a function jumps to what stands there. Where the address of a function would stand that is
//! a [`Lead`], what takes its place does from then on.
#![allow(unsafe_code)]

mod names;

use crate::membership::looks::lock_for_a_while;
use crate::memory::maps;
pub(super) use names::Names;
use rustix::mm::{MprotectFlags, mprotect};
use std::cell::OnceCell;
use std::ffi::{CStr, c_int, c_void};
use std::ops::Range;
use std::ptr::with_exposed_provenance;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Mutex, MutexGuard};

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
const DEFINED: u64 = 0x6fff_fffc;
const DEFINED_COUNT: u64 = 0x6fff_fffd;

/// An entry of a table of relocations.
#[derive(Clone, Copy)]
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// A function, calls of which are to lead to another one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lead {
    pub(super) name: &'static [u8],
    /// Where it is; 0: nowhere.
    pub(super) real: usize,
    /// What stands in its place.
    pub(super) wrap: usize,
    /// It also takes the place of what goes on to the function by a word of the program's: the program's stub, and whatever else has taken
    /// the function's place. Otherwise that comes here by that word.
    pub(super) is_first: bool,
}

/// Some, which are found by their names.
#[derive(Debug, Default)]
pub(super) struct Leads(Vec<Lead>);

impl Leads {
    pub(super) fn new(all: impl Iterator<Item = Lead>) -> Leads {
        let mut all: Vec<Lead> = all.collect();
        all.sort_unstable_by_key(|lead| lead.name);
        Leads(all)
    }

    pub(super) fn find(&self, name: &[u8]) -> Option<&Lead> {
        self.0.binary_search_by_key(&name, |lead| lead.name).ok().map(|at| &self.0[at])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What has taken the place of which function in some slot.
#[derive(Debug)]
pub(super) struct StandIns(Vec<(&'static [u8], usize)>);

impl StandIns {
    fn has(&self, name: &[u8], wrap: usize) -> bool {
        self.0.contains(&(name, wrap))
    }

    fn add(&mut self, lead: &Lead) {
        if !self.has(lead.name, lead.wrap) {
            self.0.push((lead.name, lead.wrap));
        }
    }
}

/// One at a time changes slots.
static CHANGING: Mutex<StandIns> = Mutex::new(StandIns(Vec::new()));

/// Nobody else changes slots while this is there. `None`: somebody does, for too long.
pub(super) fn lock() -> Option<MutexGuard<'static, StandIns>> {
    lock_for_a_while(&CHANGING)
}

/// A module that the loader has loaded.
pub(super) struct Module<'a> {
    pub(super) is_program: bool,
    pub(super) path: &'a [u8],
    bias: usize,
    headers: &'a [libc::Elf64_Phdr],
    /// All its addresses.
    pub(super) all: Range<usize>,
    /// Whether what the loader makes read-only when it has filled it in can still be written to; `None`: that cannot be known.
    is_open: OnceCell<Option<bool>>,
}

/// Looks at all of them, of which the first is the program, while none is loaded or unloaded.
pub(super) fn each(mut look: impl FnMut(&Module<'_>)) {
    let mut is_program = true;
    let mut look = |module: &mut Module<'_>| {
        module.is_program = std::mem::replace(&mut is_program, false);
        look(module);
    };
    let mut look: &mut dyn FnMut(&mut Module<'_>) = &mut look;
    // SAFETY: the function keeps to what is asked of it; what it is given outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(look_at), (&raw mut look).cast()) };
}

unsafe extern "C" fn look_at(info: *mut libc::dl_phdr_info, _bytes: usize, look: *mut c_void) -> c_int {
    // SAFETY: the loader's, for as long as this runs.
    let info = unsafe { &*info };
    // SAFETY: of `each`; the loader calls on this thread.
    let look = unsafe { &mut *look.cast::<&mut dyn FnMut(&mut Module<'_>)>() };
    let headers: &[libc::Elf64_Phdr] = match info.dlpi_phdr.is_null() {
        true => &[],
        // SAFETY: as many as the loader says.
        false => unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) },
    };
    // SAFETY: null, or a string of the loader's.
    let name = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
    let (path, bias) = (name.to_bytes(), info.dlpi_addr as usize);
    let mut module = Module { is_program: false, path, bias, headers, all: 0..0, is_open: OnceCell::new() };
    let start = module.parts(libc::PT_LOAD).map(|part| part.start).min();
    let end = module.parts(libc::PT_LOAD).map(|part| part.end).max();
    module.all = start.unwrap_or(0)..end.unwrap_or(0);
    look(&mut module);
    0
}

/// The value of the first entry of a kind.
fn value(dynamic: &[[u64; 2]], wanted: u64) -> Option<u64> {
    let mut entries = dynamic.iter().take_while(|[kind, _]| *kind != 0);
    entries.find(|[kind, _]| *kind == wanted).map(|[_, value]| *value)
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

    fn dynamic(&self) -> &[[u64; 2]] {
        let Some(at) = self.parts(libc::PT_DYNAMIC).next() else { return &[] };
        // SAFETY: the dynamic section of a module that is loaded, and stays so while the loader calls: pairs of words.
        unsafe { std::slice::from_raw_parts(with_exposed_provenance(at.start), at.len() / 16) }
    }

    /// Whether it was loaded by a loader, which has its calls lead elsewhere by addresses; of a program.
    pub(super) fn has_loader(&self) -> bool {
        self.parts(libc::PT_INTERP).next().is_some()
    }

    /// Whether it is this library, and no program that has it in it.
    pub(super) fn is_own(&self) -> bool {
        !self.is_program && self.all.contains(&(&raw const CHANGING).addr())
    }

    /// An address of the dynamic section, which some loaders have changed to where it is and others have left.
    fn at(&self, address: u64) -> usize {
        let address = address as usize;
        if self.all.contains(&address) { address } else { self.bias.wrapping_add(address) }
    }

    /// Its names, which are there for as long as it is loaded.
    pub(super) fn names(&self) -> Option<Names> {
        let dynamic = self.dynamic();
        let at = |wanted| value(dynamic, wanted).map(|address| self.at(address));
        let (hashes, gnu_hashes) = (at(HASHES), at(GNU_HASHES));
        let is_found = hashes.is_some() || gnu_hashes.is_some();
        let (strings, symbols) = (at(STRINGS)?, at(SYMBOLS)?);
        let defined = at(DEFINED).zip(value(dynamic, DEFINED_COUNT).map(|count| count as usize));
        let names = Names { bias: self.bias, strings, symbols, versions: at(VERSIONS), hashes, gnu_hashes, defined };
        is_found.then_some(names)
    }

    /// Changes what is to lead elsewhere; how much could not be, or leads where nobody knows.
    pub(super) fn change(&self, leads: &Leads, program: Option<&Names>, there: &mut StandIns) -> usize {
        let dynamic = self.dynamic();
        let at = |wanted| value(dynamic, wanted).map(|address| self.at(address));
        let Some(names) = self.names() else { return 0 };
        let mut failed = 0;
        for (table, bytes) in [(RELOCATIONS, RELOCATIONS_BYTES), (OF_CALLS, OF_CALLS_BYTES)] {
            let (Some(table), Some(bytes)) = (at(table), value(dynamic, bytes)) else { continue };
            let table = with_exposed_provenance::<Relocation>(table);
            // SAFETY: as the dynamic section says.
            let all = unsafe { std::slice::from_raw_parts(table, bytes as usize / size_of::<Relocation>()) };
            for relocation in all.iter().filter(|one| ADDRESSES.contains(&(one.info as u32)) && one.addend == 0) {
                // SAFETY: relocations are of symbols that it has.
                let symbol = unsafe { names.symbol((relocation.info >> 32) as usize) };
                if let Some(lead) = leads.find(names.name_of(&symbol)) {
                    let at = self.bias.wrapping_add(relocation.offset as usize);
                    // Of a function of its own it cannot be told here; `real` says so where that is known.
                    let may_be_unbound = relocation.info as u32 == OF_A_CALL && (symbol.section == 0 || lead.is_first);
                    let stub = program.and_then(|program| program.stub(lead.name));
                    // SAFETY: a word of the module's, which the loader fills in.
                    failed += usize::from(!unsafe { self.lead(at, lead, may_be_unbound, stub, there) });
                }
            }
        }
        failed
    }

    /// Lets a word lead to what stands in place of a function, if it leads to that, or will. `false`: it does neither then.
    ///
    /// # Safety
    /// It is a word of the module's that the loader fills in.
    unsafe fn lead(
        &self,
        at: usize,
        lead: &Lead,
        may_be_unbound: bool,
        stub: Option<usize>,
        there: &mut StandIns,
    ) -> bool {
        let Lead { name, real, wrap, is_first } = *lead;
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
        let is_by_program = stub == Some(now) || (now != wrap && there.has(name, now));
        if now == wrap || (is_by_program && !is_first) || (real == 0 && now == 0) {
            return true;
        }
        if real == 0 || (now != real && !is_unbound && !is_by_program) {
            return false;
        }
        there.add(lead);
        if !is_fixed {
            // Release: what it goes on to is known. Pairs with the fence of `told`, of whoever calls by way of this; of what is led for
            // libstdc++ it has been known since the program was linked.
            word.store(wrap, Release);
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
        word.store(wrap, Release);
        if !is_open {
            let _ = protect(MprotectFlags::READ);
        }
        true
    }
}
