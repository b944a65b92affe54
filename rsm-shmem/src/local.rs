//! Pointers of the caller: memory that is promised, and addresses that are looked up.
#![allow(unsafe_code)]

/// Memory of the caller, good for as many bytes as the function that was given it says. May be NULL.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub(crate) struct Local(*mut u8);

impl Local {
    /// Memory that the caller promises.
    ///
    /// # Safety
    /// `pointer` is NULL or leads to what the function's declaration and manual say, until it returns.
    #[inline(always)]
    pub(crate) unsafe fn of<T>(pointer: *const T) -> Local {
        Local(pointer.cast_mut().cast())
    }

    /// Words of the library.
    pub(crate) fn within(words: &mut [u64]) -> Local {
        Local(words.as_mut_ptr().cast())
    }

    /// NULL.
    pub(crate) const fn none() -> Local {
        Local(std::ptr::null_mut())
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0.is_null()
    }

    #[inline(always)]
    pub(crate) fn pointer(self) -> *mut u8 {
        self.0
    }

    /// So many bytes further.
    #[inline(always)]
    pub(crate) fn at(self, bytes: isize) -> Local {
        Local(self.0.wrapping_offset(bytes))
    }

    /// Element `index` of an array; aligned or not.
    #[inline(always)]
    pub(crate) fn read<T: Copy>(self, index: usize) -> T {
        // SAFETY: inside of what the caller promised; who asks stays inside of it.
        unsafe { self.0.cast::<T>().wrapping_add(index).read_unaligned() }
    }

    /// Stores element `index` of an array; aligned or not.
    #[inline(always)]
    pub(crate) fn write<T: Copy>(self, index: usize, value: T) {
        // SAFETY: as above; what is promised for a result may be written.
        unsafe { self.0.cast::<T>().wrapping_add(index).write_unaligned(value) }
    }

    /// The one element of so many bytes that it is, as a number, if one is meant and it is no longer than a word.
    pub(crate) fn word(self, one: bool, bytes: usize) -> Option<u64> {
        match bytes {
            1 if one => Some(self.read::<u8>(0).into()),
            2 if one => Some(self.read::<u16>(0).into()),
            4 if one => Some(self.read::<u32>(0).into()),
            8 if one => Some(self.read::<u64>(0)),
            _ => None,
        }
    }

    /// So many bytes of it.
    pub(crate) fn bytes<'a>(self, length: usize) -> &'a [u8] {
        // SAFETY: promised for reading until the function returns, which no caller of this outlives.
        unsafe { std::slice::from_raw_parts(self.0, length) }
    }

    /// So many bytes of it, for a result.
    pub(crate) fn bytes_mut<'a>(self, length: usize) -> &'a mut [u8] {
        // SAFETY: as above, and nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.0, length) }
    }
}

/// An address that the caller says is symmetric. Nothing follows it before it is looked up.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Sym(usize);

impl Sym {
    #[inline(always)]
    pub(crate) fn of<T>(pointer: *const T) -> Sym {
        Sym(pointer.addr())
    }

    #[inline(always)]
    pub(crate) fn address(self) -> usize {
        self.0
    }

    #[inline(always)]
    pub(crate) fn is_null(self) -> bool {
        self.0 == 0
    }
}
