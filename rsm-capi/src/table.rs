//! Handles.
//!
//! A handle is a word, not a pointer: generation, slot and kind, with the lowest bit set, so that no pointer looks like
//! one. The slot holds the same word while the handle lives; comparing the two finds stale handles, handles of another
//! kind and garbage without touching what it might point to (D-03). Use after release is found; use during release by
//! another thread is the caller's mistake (3.12).
//!
//! Slots lie in one table that is reserved once: 64 MiB of addresses, of which only those pages are there that were used.
//! What transfers need is in the slot itself, which fills a cache line of 64 bytes. Where lines have 128, two handles share one, which
//! transfers do not notice: a slot is only written when its handle comes or goes, or its import is mapped or unmapped.

use rsm_core::{Code, Error, Result};
use rsm_shm::membership::connection::Connection;
use std::ffi::c_void;
use std::sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

const SLOTS: usize = 1 << 20;
const KIND_BITS: u64 = 0b1110;
const SLOT_SHIFT: u32 = 4;
const GENERATION_SHIFT: u32 = 24;

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Controller = 1,
    Export = 2,
    Import = 3,
    Local = 4,
}

/// A slot. The fields from `import` on belong to imports. The first slot is never given out.
#[repr(C, align(64))]
pub(crate) struct Slot {
    word: AtomicU64,
    object: AtomicPtr<c_void>,
    /// The word again, in the slot of an import: one compare tells that a handle is alive and an import's.
    import: AtomicU64,
    /// What transfers go through; its flags say what they may.
    connection: AtomicPtr<Connection>,
    /// Where the part is mapped.
    pub(crate) base: AtomicUsize,
    /// Where in the segment the part begins.
    pub(crate) start: AtomicU64,
    /// Its length.
    pub(crate) length: AtomicU64,
    /// Where the last word of 64 bits may begin in it; of use when the part is ready.
    pub(crate) room: AtomicU64,
}

const _: () = assert!(size_of::<Slot>() == 64);

static TABLE: AtomicPtr<Slot> = AtomicPtr::new(std::ptr::null_mut());
static FREE: Mutex<Free> = Mutex::new(Free { fresh: 0, freed: Vec::new(), owned: Vec::new() });

struct Free {
    fresh: usize,
    /// Slots that were given back, with the last generation each had.
    freed: Vec<(usize, u64)>,
    /// The address of the object of each slot, once more, 0 without one. Tools that look for lost memory (LeakSanitizer)
    /// follow pointers from static memory through the heap and do not look into the table: what nobody else points to they
    /// would report, although its handle lives.
    owned: Vec<usize>,
}

impl Free {
    fn own(&mut self, index: usize, object: *mut c_void) {
        if self.owned.len() <= index {
            self.owned.resize(index + 1, 0);
        }
        self.owned[index] = object.expose_provenance();
    }
}

/// Objects that handles stand for. No two types have the same kind.
pub(crate) trait Object: Sized {
    const KIND: Kind;
}

/// The table, reserved at the first use; zero pages cost nothing until they are touched.
fn table(free: &mut Free) -> Result<*mut Slot> {
    let table = TABLE.load(Ordering::Acquire);
    if !table.is_null() {
        return Ok(table);
    }
    // SAFETY: anonymous memory at addresses the kernel chooses; all zeroes are slots that no handle matches.
    let mapped = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            SLOTS * size_of::<Slot>(),
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if mapped == libc::MAP_FAILED {
        return Err(Error::new(Code::InsufficientMem));
    }
    free.fresh = 1;
    // SAFETY: the first slot. Its number is that of the handle 0, which must match nothing.
    unsafe { &*mapped.cast::<Slot>() }.import.store(u64::MAX, Ordering::Relaxed);
    // Release: pairs with the Acquire in `slot`; never taken back.
    TABLE.store(mapped.cast(), Ordering::Release);
    Ok(mapped.cast())
}

/// Gives an object a handle.
pub(crate) fn insert<T: Object>(object: T) -> Result<(u64, &'static Slot)> {
    // Held off: a child must not inherit the free list in the hands of another thread.
    let _hold = rsm_shm::membership::without_forks();
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let table = table(&mut free)?;
    let (index, before) = match free.freed.pop() {
        Some(freed) => freed,
        None if free.fresh < SLOTS => {
            free.fresh += 1;
            (free.fresh - 1, 0)
        }
        None => return Err(Error::new(Code::InsufficientResources)),
    };
    // SAFETY: inside the table, which is never unmapped.
    let slot = unsafe { &*table.add(index) };
    let object = Box::into_raw(Box::new(object)).cast();
    free.own(index, object);
    slot.object.store(object, Ordering::Relaxed);
    let word = (before + 1) << GENERATION_SHIFT | (index as u64) << SLOT_SHIFT | (T::KIND as u64) << 1 | 1;
    // Release: pairs with the Acquire in `slot`; the object is in place when the word is.
    slot.word.store(word, Ordering::Release);
    Ok((word, slot))
}

/// The slot of a live handle of this kind.
#[inline(always)]
pub(crate) fn slot(handle: u64, kind: Kind) -> Option<&'static Slot> {
    // Tells garbage and handles of other kinds apart before the slot does; 0 would match one that was never used.
    if handle & (KIND_BITS | 1) != (kind as u64) << 1 | 1 {
        return None;
    }
    // Acquire: pairs with the Release of `table`.
    let table = TABLE.load(Ordering::Acquire);
    let index = (handle >> SLOT_SHIFT) as usize & (SLOTS - 1);
    if table.is_null() {
        return None;
    }
    // SAFETY: inside the table, which is never unmapped.
    let slot = unsafe { &*table.add(index) };
    (slot.word.load(Ordering::Acquire) == handle).then_some(slot)
}

impl Slot {
    /// The connection of an import.
    ///
    /// # Safety
    /// The slot was found by the handle of an import, and the handle is not being released by another thread.
    #[inline(always)]
    pub(crate) unsafe fn connection(&self) -> &'static Connection {
        // SAFETY: put there by `set_connection` before the handle was given out, and kept alive by the object.
        unsafe { &*self.connection.load(Ordering::Relaxed) }
    }

    /// Notes the connection of an import that was just inserted.
    pub(crate) fn set_connection(&self, connection: &Connection) {
        self.connection.store(std::ptr::from_ref(connection).cast_mut(), Ordering::Relaxed);
        // Release: pairs with the Acquire in `import`.
        self.import.store(self.word.load(Ordering::Relaxed), Ordering::Release);
    }

    /// The object, of a kind that the handle's word said.
    ///
    /// # Safety
    /// The slot was found by a handle of this kind, and the handle is not being released by another thread.
    #[inline(always)]
    pub(crate) unsafe fn object<T: Object>(&self) -> &'static T {
        // SAFETY: put there by `insert` for this kind; freed only by `remove`, which the caller excludes.
        unsafe { &*self.object.load(Ordering::Relaxed).cast::<T>() }
    }
}

/// The slot of a live handle of an import.
#[inline(always)]
pub(crate) fn import(handle: u64) -> Option<&'static Slot> {
    // Acquire: pairs with the Release of `table`.
    let table = TABLE.load(Ordering::Acquire);
    if table.is_null() {
        return None;
    }
    let index = (handle >> SLOT_SHIFT) as usize & (SLOTS - 1);
    // SAFETY: inside the table, which is never unmapped.
    let slot = unsafe { &*table.add(index) };
    // A slot that holds no import has 0 here, and only the first one is that of a handle 0.
    (slot.import.load(Ordering::Acquire) == handle).then_some(slot)
}

/// The object of a live handle of this kind.
pub(crate) fn find<T: Object>(handle: u64, otherwise: Code) -> Result<&'static T> {
    // SAFETY: the kind was compared; releasing a handle in use is the caller's mistake (3.12).
    slot(handle, T::KIND).map(|slot| unsafe { slot.object() }).ok_or(Error::new(otherwise))
}

/// Ends a handle and gives its object to be dropped.
pub(crate) fn remove<T: Object>(handle: u64, otherwise: Code) -> Result<Box<T>> {
    let object = take(handle, otherwise)?;
    give_up(handle);
    Ok(object)
}

/// Ends a handle for now: its slot is nobody else's until [`give_up`], and [`put_back`] makes it good again.
pub(crate) fn take<T: Object>(handle: u64, otherwise: Code) -> Result<Box<T>> {
    let slot = slot(handle, T::KIND).ok_or(Error::new(otherwise))?;
    // One of two threads that release the same handle wins.
    if slot.word.compare_exchange(handle, 0, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return Err(Error::new(otherwise));
    }
    slot.import.store(0, Ordering::Relaxed);
    // SAFETY: made by Box::into_raw in `insert` or `put_back`, and taken once, by the exchange.
    Ok(unsafe { Box::from_raw(slot.object.swap(std::ptr::null_mut(), Ordering::AcqRel).cast()) })
}

/// Makes a handle that was taken good again, with its object.
pub(crate) fn put_back<T: Object>(handle: u64, object: Box<T>) {
    let slot = at(handle);
    slot.object.store(Box::into_raw(object).cast(), Ordering::Relaxed);
    // Release: pairs with the Acquire in `slot`; the object is in place when the word is.
    slot.word.store(handle, Ordering::Release);
}

/// Gives the slot of a handle that was taken to others.
pub(crate) fn give_up(handle: u64) {
    let _hold = rsm_shm::membership::without_forks();
    let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
    let index = (handle >> SLOT_SHIFT) as usize & (SLOTS - 1);
    free.freed.push((index, handle >> GENERATION_SHIFT));
    free.own(index, std::ptr::null_mut());
}

/// The slot of a handle that was taken.
fn at(handle: u64) -> &'static Slot {
    let index = (handle >> SLOT_SHIFT) as usize & (SLOTS - 1);
    // SAFETY: inside the table, which is there, for it gave the handle out, and is never unmapped.
    unsafe { &*TABLE.load(Ordering::Acquire).add(index) }
}
