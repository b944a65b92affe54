//! Where the modules of this process have the addresses of functions that they call in others.
//!
//! The loader fills them in, and what calls a function jumps to what stands there. Where the address of a [`Call`] would stand, what
//! takes its place does from then on.
#![allow(unsafe_code)]

use super::calls::{CALLS, Call};
use rustix::mm::{MprotectFlags, mprotect};
use std::ffi::{CStr, c_int, c_void};
use std::sync::Mutex;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

// Kinds of relocations that are an address of a symbol, and nothing more.
#[cfg(target_arch = "x86_64")]
const ADDRESSES: [u32; 3] = [1, 6, 7];
#[cfg(target_arch = "aarch64")]
const ADDRESSES: [u32; 3] = [257, 1025, 1026];

/// What an entry of the dynamic section is about.
const STRINGS: u64 = 5;
const SYMBOLS: u64 = 6;
const RELOCATIONS: u64 = 7;
const RELOCATIONS_BYTES: u64 = 8;
const OF_CALLS: u64 = 23;
const OF_CALLS_BYTES: u64 = 2;

const SYMBOL_BYTES: usize = 24;

/// An entry of a table of relocations.
#[derive(Clone, Copy)]
#[repr(C)]
struct Relocation {
    offset: u64,
    info: u64,
    addend: i64,
}

/// What was seen of all modules.
#[derive(Debug, Default)]
struct Seen {
    /// The program itself was loaded by a loader, which has its calls of the C library lead there by addresses.
    is_dynamic: bool,
    /// What could not be changed.
    failed: usize,
    modules: usize,
}

/// One at a time.
static CHANGING: Mutex<()> = Mutex::new(());

/// Lets all calls of modules that are loaded now be told. `false`: some cannot be.
pub(super) fn lead_here() -> bool {
    let _one = CHANGING.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    for call in CALLS.iter().filter(|call| call.real.load(Relaxed) == 0) {
        // SAFETY: a string with a zero; it looks for what all modules see by that name.
        let real = unsafe { libc::dlsym(libc::RTLD_DEFAULT, call.name.as_ptr().cast()) };
        // Release: pairs with the processor's order of a jump by way of a slot and the load that it makes of this.
        call.real.store(real.expose_provenance(), Release);
    }
    let mut seen = Seen::default();
    // SAFETY: the function keeps to what is asked of it; what it is given outlives the call.
    unsafe { libc::dl_iterate_phdr(Some(change), (&raw mut seen).cast()) };
    seen.is_dynamic && seen.failed == 0
}

/// A module that the loader has loaded.
struct Module {
    bias: usize,
    /// Addresses that the loader has made read-only.
    fixed: (usize, usize),
    /// All its addresses.
    all: (usize, usize),
}

unsafe extern "C" fn change(info: *mut libc::dl_phdr_info, _bytes: usize, into: *mut c_void) -> c_int {
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
    let bias = info.dlpi_addr as usize;
    let span = |header: &libc::Elf64_Phdr| {
        let start = bias.wrapping_add(header.p_vaddr as usize);
        (start, start.wrapping_add(header.p_memsz as usize))
    };
    let of = |kind: u32| headers.iter().find(|header| header.p_type == kind).map(span);
    let loaded = headers.iter().filter(|header| header.p_type == libc::PT_LOAD).map(span);
    let all = loaded.fold((usize::MAX, 0), |(low, high), (start, end)| (low.min(start), high.max(end)));
    if is_program {
        seen.is_dynamic = of(libc::PT_INTERP).is_some();
    }
    let own = (&raw const CHANGING).addr();
    let is_own = !is_program && (all.0..all.1).contains(&own);
    // SAFETY: null, or a string of the loader's.
    let name = if info.dlpi_name.is_null() { c"" } else { unsafe { CStr::from_ptr(info.dlpi_name) } };
    if !is_own
        && !is_of_the_c_library(name.to_bytes())
        && let Some((start, end)) = of(libc::PT_DYNAMIC)
    {
        let module = Module { bias, fixed: of(libc::PT_GNU_RELRO).unwrap_or((0, 0)), all };
        // SAFETY: the dynamic section of a module that is loaded, and stays so while the loader calls.
        seen.failed += unsafe { module.change((start, end)) };
    }
    0
}

/// Its own calls of itself are part of what it was called for; the kernel's part has none.
fn is_of_the_c_library(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    [&b"libc.so"[..], b"libc-2.", b"libc.musl", b"ld-", b"ld64", b"linux-"].iter().any(|begin| name.starts_with(begin))
}

impl Module {
    /// An address of the dynamic section, which some loaders have changed to where it is and others have left.
    fn at(&self, address: u64) -> usize {
        let address = address as usize;
        if (self.all.0..self.all.1).contains(&address) { address } else { self.bias.wrapping_add(address) }
    }

    /// Changes what leads elsewhere; how much could not be.
    ///
    /// # Safety
    /// Its dynamic section lies between these addresses.
    unsafe fn change(&self, (start, end): (usize, usize)) -> usize {
        let count = end.saturating_sub(start) / 16;
        // SAFETY: the caller's promise: pairs of words.
        let entries =
            unsafe { std::slice::from_raw_parts(std::ptr::with_exposed_provenance::<[u64; 2]>(start), count) };
        let entries = entries.iter().take_while(|[kind, _]| *kind != 0);
        let value = |wanted: u64| entries.clone().find(|[kind, _]| *kind == wanted).map(|[_, value]| *value);
        let (Some(strings), Some(symbols)) = (value(STRINGS), value(SYMBOLS)) else { return 0 };
        let (strings, symbols) = (self.at(strings), self.at(symbols));
        let mut failed = 0;
        for (table, bytes) in [(RELOCATIONS, RELOCATIONS_BYTES), (OF_CALLS, OF_CALLS_BYTES)] {
            let (Some(table), Some(bytes)) = (value(table), value(bytes)) else { continue };
            let table = std::ptr::with_exposed_provenance::<Relocation>(self.at(table));
            // SAFETY: as the dynamic section says.
            let all = unsafe { std::slice::from_raw_parts(table, bytes as usize / size_of::<Relocation>()) };
            for relocation in all.iter().filter(|one| ADDRESSES.contains(&(one.info as u32)) && one.addend == 0) {
                let symbol = symbols + (relocation.info >> 32) as usize * SYMBOL_BYTES;
                // SAFETY: of the table of symbols, which begins with where its name is.
                let name = unsafe { std::ptr::with_exposed_provenance::<u32>(symbol).read_unaligned() };
                // SAFETY: a string of the module's.
                let name = unsafe { CStr::from_ptr(std::ptr::with_exposed_provenance(strings + name as usize)) };
                let called = CALLS.iter().find(|call| call.name == name.to_bytes_with_nul());
                if let Some(call) = called {
                    // SAFETY: a word of the module's, which the loader fills in.
                    failed +=
                        usize::from(!unsafe { self.lead(self.bias.wrapping_add(relocation.offset as usize), call) });
                }
            }
        }
        failed
    }

    /// Lets a word lead to what stands in place of a function, if it leads to that, or will. `false`: it cannot be changed.
    ///
    /// # Safety
    /// It is a word of the module's that the loader fills in.
    unsafe fn lead(&self, at: usize, call: &Call) -> bool {
        let real = call.real.load(Acquire);
        // SAFETY: the caller's promise; others load it while it changes, as a whole.
        let word = unsafe { AtomicUsize::from_ptr(std::ptr::with_exposed_provenance_mut(at)) };
        let now = word.load(Relaxed);
        // Before it is first called, it leads to what has the loader look for it.
        let is_unbound = (self.all.0..self.all.1).contains(&now);
        if real == 0 || now == call.wrap || (now != real && !is_unbound) {
            return true;
        }
        let is_fixed = (self.fixed.0..self.fixed.1).contains(&at);
        let page = rustix::param::page_size();
        let start = std::ptr::with_exposed_provenance_mut::<c_void>(at & !(page - 1));
        // SAFETY: a page of the module's, which holds data.
        let protect = |flags| unsafe { mprotect(start, page, flags) };
        if is_fixed && protect(MprotectFlags::READ | MprotectFlags::WRITE).is_err() {
            return false;
        }
        // SeqCst: whoever calls from now on finds the one or the other; both are right.
        word.store(call.wrap, SeqCst);
        if is_fixed {
            let _ = protect(MprotectFlags::READ);
        }
        true
    }
}
