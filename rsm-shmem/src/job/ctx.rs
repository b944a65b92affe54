//! Handles of contexts.

/// `shmem_ctx_t`: 0 for none, 1 for the default one, otherwise slot and generation.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Handle(pub(crate) usize);

impl Handle {
    /// That of a slot, in this generation.
    pub(crate) fn new(generation: usize, slot: usize) -> Handle {
        Handle(generation << SLOT_BITS | slot << 1)
    }

    pub(crate) fn slot(self) -> usize {
        self.0 >> 1 & (MOST - 1)
    }
}

/// SHMEM_CTX_INVALID.
pub(crate) const INVALID: Handle = Handle(0);
/// SHMEM_CTX_DEFAULT.
pub(crate) const DEFAULT: Handle = Handle(1);
/// Contexts at a time, but for the default one.
pub(crate) const MOST: usize = 1024;
/// Bits of a handle below its generation: a slot, and 0, which the default context has not.
const SLOT_BITS: usize = 11;
