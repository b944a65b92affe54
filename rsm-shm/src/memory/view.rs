//! Segment memory as users see it.
#![allow(unsafe_code)]

use super::copy::{self, Word};
use super::told;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU32, AtomicU64, Ordering, fence};

/// Bytes that other processes read and write at the same time.
///
/// There is no way to get a `&[u8]` or `&mut [u8]` from it: such a reference promises that nobody else writes. Copy in
/// and out, use the atomics, or take the raw pointer. Offsets and lengths are in bytes from the start of the view.
///
/// An atomic can store, so there is none where one may only read, and it can read and write in one step, so there is none in
/// memory of another host. Loads in order are [`load_u64`](Self::load_u64) and its like, stores in order
/// [`store_u64`](Self::store_u64) and its like.
#[derive(Clone, Copy, Debug)]
pub struct Memory<'a> {
    start: *mut u8,
    /// Where atomics are: elsewhere, where the rest is a shadow of what others see.
    atomics: *mut u8,
    length: usize,
    permission: Permission,
    /// The same for atomics: none in memory of another host.
    updates: Permission,
    owner: PhantomData<&'a ()>,
}

// SAFETY: the view is a range that stays mapped for 'a, made for concurrent use; all accesses are atomic or raw.
unsafe impl Send for Memory<'_> {}
// SAFETY: as above.
unsafe impl Sync for Memory<'_> {}

macro_rules! typed {
    ($($atomic_fn:ident $load_fn:ident $store_fn:ident $read_fn:ident $write_fn:ident $word:ty, $atomic:ty;)*) => {$(
        #[doc = concat!("The `", stringify!($word), "` at `offset` as an atomic, shared with every process that maps it.")]
        ///
        /// # Errors
        #[doc = concat!("BAD_MEM_ALIGNMENT, BAD_OFFSET; PERM_DENIED when the view is read-only (an atomic can store; see [`", stringify!($load_fn), "`](Self::", stringify!($load_fn), ")), and in memory of another host, which has no atomics (see [`", stringify!($store_fn), "`](Self::", stringify!($store_fn), ")).")]
        #[inline]
        pub fn $atomic_fn(&self, offset: u64) -> Result<&'a $atomic> {
            self.word::<$word>(offset)?;
            self.updatable()?;
            // SAFETY: checked to lie inside the mapping and aligned; mapped readable and writable for 'a.
            Ok(unsafe { &*self.atomics.add(offset as usize).cast::<$atomic>() })
        }

        #[doc = concat!("Loads the `", stringify!($word), "` at `offset` as an atomic, in memory that may only be read too.")]
        ///
        /// With `Acquire`, what the writer stored before its `Release` store, or fence, is visible afterwards. With `SeqCst`
        /// there is a full fence before the load as well. The one access itself is `Relaxed`, which is all that Rust allows
        /// on memory without write permission; the fences around it make the rest.
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT, BAD_OFFSET, PERM_DENIED without read permission.
        ///
        /// # Panics
        /// With `Release` and `AcqRel`, as the loads of the standard library: a load releases nothing.
        pub fn $load_fn(&self, offset: u64, order: Ordering) -> Result<$word> {
            let place = self.word::<$word>(offset)?;
            self.readable()?;
            if order == Ordering::SeqCst {
                fence(Ordering::SeqCst);
            }
            // SAFETY: inside the mapping, aligned, readable for 'a. A relaxed load is promised to store nothing.
            let value = unsafe { <$atomic>::from_ptr(place.cast()) }.load(Ordering::Relaxed);
            match order {
                Ordering::Relaxed => {}
                // Pairs with whatever Release the program's writer has.
                Ordering::Acquire | Ordering::SeqCst => self.fence(Ordering::Acquire),
                _ => panic!("there is no such thing as a release load"),
            }
            told::word(place, size_of::<$word>(), value.into(), false);
            Ok(value)
        }

        #[doc = concat!("Stores a `", stringify!($word), "` at `offset` as an atomic, in memory of another host too. Where others store to the same word, one of the values stands.")]
        ///
        /// With `Release`, what was stored before is visible to whoever loads the value with `Acquire`. With `SeqCst` there are
        /// full fences around the store as well.
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT, BAD_OFFSET, PERM_DENIED when the view is read-only.
        ///
        /// # Panics
        /// With `Acquire` and `AcqRel`, as the stores of the standard library: a store acquires nothing.
        pub fn $store_fn(&self, offset: u64, value: $word, order: Ordering) -> Result<()> {
            let place = self.word::<$word>(offset)?;
            self.writable()?;
            told::word(place, size_of::<$word>(), value.into(), true);
            // Not by an exchange, which is what a store in that order is made of: it has no place on the way to another host.
            match order {
                Ordering::Relaxed => {}
                // Pairs with whatever Acquire the program's reader has.
                Ordering::Release => self.fence(Ordering::Release),
                Ordering::SeqCst => fence(Ordering::SeqCst),
                _ => panic!("there is no such thing as an acquire store"),
            }
            // SAFETY: checked to lie inside the mapping and aligned; mapped writable for 'a.
            unsafe { <$atomic>::from_ptr(self.atomics.add(offset as usize).cast()) }.store(value, Ordering::Relaxed);
            if order == Ordering::SeqCst {
                fence(Ordering::SeqCst);
            }
            Ok(())
        }

        #[doc = concat!("Loads the `", stringify!($word), "` at `offset` with one access that the compiler keeps.")]
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT, BAD_OFFSET, PERM_DENIED without read permission.
        pub fn $read_fn(&self, offset: u64) -> Result<$word> {
            let place = self.word::<$word>(offset)?;
            self.readable()?;
            // SAFETY: inside the mapping, aligned, readable.
            let value = unsafe { place.cast::<$word>().read_volatile() };
            told::word(place, size_of::<$word>(), value.into(), false);
            Ok(value)
        }

        #[doc = concat!("Stores a `", stringify!($word), "` at `offset` with one access that the compiler keeps.")]
        ///
        /// # Errors
        /// BAD_MEM_ALIGNMENT, BAD_OFFSET, PERM_DENIED when the view is read-only.
        pub fn $write_fn(&self, offset: u64, value: $word) -> Result<()> {
            let place = self.word::<$word>(offset)?;
            self.writable()?;
            told::word(place, size_of::<$word>(), value.into(), true);
            // SAFETY: inside the mapping, aligned, writable.
            unsafe { place.cast::<$word>().write_volatile(value) };
            Ok(())
        }
    )*};
}

impl<'a> Memory<'a> {
    /// A view of mapped memory.
    ///
    /// # Safety
    /// `length` bytes from `start` must stay mapped with `permission` for `'a`.
    pub unsafe fn new(start: *mut u8, length: usize, permission: Permission) -> Memory<'a> {
        Memory { start, atomics: start, length, permission, updates: permission, owner: PhantomData }
    }

    /// The same, with atomics in other memory, or none of them.
    ///
    /// # Safety
    /// As [`new`](Self::new) for as many bytes from `atomics`, with its own permission; `updates` is that one or none.
    #[must_use]
    pub unsafe fn with_atomics_at(self, atomics: *mut u8, updates: Permission) -> Memory<'a> {
        Memory { atomics, updates, ..self }
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The first address. Accesses through it are the caller's: other processes access the same bytes.
    pub fn as_ptr(&self) -> *mut u8 {
        self.start
    }

    /// Rights to the memory.
    pub fn permission(&self) -> Permission {
        self.permission
    }

    /// Copies bytes out. No word of them is promised to be of one piece.
    ///
    /// # Errors
    /// PERM_DENIED without read permission; BAD_OFFSET outside the view.
    pub fn read(&self, offset: u64, into: &mut [u8]) -> Result<()> {
        self.readable()?;
        let start = self.range(offset, into.len())?;
        // SAFETY: inside the mapping, readable; `into` is a Rust reference, so it lies in no segment.
        unsafe { copy::read_bytes(start, into) };
        told::block(start, into.len(), false);
        Ok(())
    }

    /// Copies bytes in. No word of them is promised to be of one piece.
    ///
    /// # Errors
    /// PERM_DENIED when the view is read-only; BAD_OFFSET outside the view.
    pub fn write(&self, offset: u64, from: &[u8]) -> Result<()> {
        self.writable()?;
        let start = self.range(offset, from.len())?;
        told::block(start, from.len(), true);
        // SAFETY: inside the mapping, writable; `from` is a Rust reference, so it lies in no segment.
        unsafe { copy::write_bytes(start, from) };
        Ok(())
    }

    typed! {
        atomic_u8 load_u8 store_u8 read_volatile_u8 write_volatile_u8 u8, AtomicU8;
        atomic_u16 load_u16 store_u16 read_volatile_u16 write_volatile_u16 u16, AtomicU16;
        atomic_u32 load_u32 store_u32 read_volatile_u32 write_volatile_u32 u32, AtomicU32;
        atomic_u64 load_u64 store_u64 read_volatile_u64 write_volatile_u64 u64, AtomicU64;
    }

    fn readable(&self) -> Result<()> {
        // A write-only mapping is readable on Linux (D-38).
        if self.permission != Permission::None {
            return Ok(());
        }
        Err(Error::with(Code::PermDenied, "this memory may not be read"))
    }

    #[inline]
    fn writable(&self) -> Result<()> {
        if self.permission.writes() {
            return Ok(());
        }
        Err(Error::with(Code::PermDenied, format!("this memory has permission {}, not to be written", self.permission)))
    }

    #[inline]
    fn updatable(&self) -> Result<()> {
        if self.updates.writes() {
            return Ok(());
        }
        self.no_atomics()
    }

    /// A fence that also holds on the way to another host: the processor keeps stores to a window back and merges them, and
    /// loads from there overtake each other, which only a full fence ends on x86.
    #[inline]
    fn fence(&self, order: Ordering) {
        if self.updates == self.permission { fence(order) } else { super::fence::full() }
    }

    #[cold]
    fn no_atomics(&self) -> Result<()> {
        self.writable()?;
        let text = "memory of another host has no atomics: each of its words is to have one writer (see the controller's \
                    attributes)";
        Err(Error::with(Code::PermDenied, text))
    }

    #[inline]
    fn word<W: Word>(&self, offset: u64) -> Result<*mut u8> {
        if !offset.is_multiple_of(size_of::<W>() as u64) {
            let text = format!("offset {offset} is no multiple of {}", size_of::<W>());
            return Err(Error::with(Code::BadMemAlignment, text));
        }
        self.range(offset, size_of::<W>())
    }

    #[inline]
    fn range(&self, offset: u64, length: usize) -> Result<*mut u8> {
        let inside = offset <= self.length as u64 && length as u64 <= self.length as u64 - offset;
        if !inside {
            let text = format!("{length} bytes at offset {offset} of memory of {} bytes", self.length);
            return Err(Error::with(Code::BadOffset, text));
        }
        // SAFETY: at most one past the end of the mapping.
        Ok(unsafe { self.start.add(offset as usize) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_alignment_are_checked() {
        let mut words = [0u64; 2];
        // SAFETY: the array outlives the view and is used only through it.
        let m = unsafe { Memory::new(words.as_mut_ptr().cast(), 16, Permission::ReadWrite) };
        m.write(0, &[1, 2, 3]).unwrap();
        assert_eq!(m.read_volatile_u16(0).unwrap(), u16::from_ne_bytes([1, 2]));
        m.atomic_u64(8).unwrap().store(7, std::sync::atomic::Ordering::Release);
        assert_eq!(m.read_volatile_u64(8).unwrap(), 7);
        let code = |r: Result<()>| r.unwrap_err().code();
        assert_eq!(code(m.write(16, &[1])), Code::BadOffset);
        m.write(16, &[]).unwrap();
        assert_eq!(code(m.write(17, &[])), Code::BadOffset);
        assert_eq!(code(m.write(u64::MAX, &[1, 2])), Code::BadOffset);
        assert_eq!(code(m.write_volatile_u64(4, 0)), Code::BadMemAlignment);
        // SAFETY: as above.
        let r = unsafe { Memory::new(words.as_mut_ptr().cast(), 16, Permission::Read) };
        assert_eq!(code(r.write(0, &[1])), Code::PermDenied);
        assert_eq!(r.atomic_u8(0).unwrap_err().code(), Code::PermDenied);
        assert_eq!(r.read_volatile_u8(8).unwrap(), if cfg!(target_endian = "little") { 7 } else { 0 });
        for order in [Ordering::Relaxed, Ordering::Acquire, Ordering::SeqCst] {
            assert_eq!(r.load_u64(8, order).unwrap(), 7);
            assert_eq!(r.load_u16(0, order).unwrap(), u16::from_ne_bytes([1, 2]));
            assert_eq!(r.load_u64(4, order).unwrap_err().code(), Code::BadMemAlignment);
            assert_eq!(r.load_u32(16, order).unwrap_err().code(), Code::BadOffset);
        }
        // SAFETY: as above.
        let none = unsafe { Memory::new(words.as_mut_ptr().cast(), 16, Permission::None) };
        assert_eq!(none.load_u8(0, Ordering::Acquire).unwrap_err().code(), Code::PermDenied);
    }

    #[test]
    fn words_can_be_stored_in_order_where_there_are_no_atomics() {
        let mut words = [0u64; 2];
        let start: *mut u8 = words.as_mut_ptr().cast();
        // SAFETY: the array outlives the view and is used only through it.
        let far = unsafe { Memory::new(start, 16, Permission::ReadWrite).with_atomics_at(start, Permission::None) };
        let error = far.atomic_u64(8).unwrap_err();
        assert_eq!(error.code(), Code::PermDenied);
        assert!(error.detail().contains("one writer"), "{error}");
        assert_eq!(far.atomic_u64(4).unwrap_err().code(), Code::BadMemAlignment);
        for (value, order) in [(1, Ordering::Relaxed), (2, Ordering::Release), (3, Ordering::SeqCst)] {
            far.store_u64(8, value, order).unwrap();
            assert_eq!(far.load_u64(8, Ordering::Acquire).unwrap(), value);
        }
        far.store_u8(3, 9, Ordering::Release).unwrap();
        assert_eq!(far.read_volatile_u8(3).unwrap(), 9);
        assert_eq!(far.store_u64(4, 1, Ordering::Release).unwrap_err().code(), Code::BadMemAlignment);
        // SAFETY: as above.
        let reads = unsafe { Memory::new(start, 16, Permission::Read) };
        assert_eq!(reads.store_u32(0, 1, Ordering::Release).unwrap_err().code(), Code::PermDenied);
        assert!(reads.atomic_u32(0).unwrap_err().detail().contains("not to be written"));
    }

    #[test]
    #[should_panic(expected = "acquire store")]
    fn a_store_that_acquires_is_a_mistake() {
        let mut word = 0u64;
        // SAFETY: the word outlives the view and is used only through it.
        let memory = unsafe { Memory::new((&raw mut word).cast(), 8, Permission::ReadWrite) };
        let _ = memory.store_u64(0, 1, Ordering::AcqRel);
    }

    #[test]
    #[should_panic(expected = "release load")]
    fn a_load_that_releases_is_a_mistake() {
        let mut word = 0u64;
        // SAFETY: the word outlives the view and is used only through it.
        let memory = unsafe { Memory::new((&raw mut word).cast(), 8, Permission::Read) };
        let _ = memory.load_u64(0, Ordering::Release);
    }
}
