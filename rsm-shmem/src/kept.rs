//! A place for something that many threads look at, and one puts there and takes away.
#![allow(unsafe_code)]

use std::sync::atomic::{AtomicPtr, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};

/// The place. What is in it when the process ends stays.
pub(crate) struct Kept<T: Send + Sync + 'static>(AtomicPtr<T>);

impl<T: Send + Sync> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept(AtomicPtr::default())
    }
}

impl<T: Send + Sync> Kept<T> {
    /// What is there.
    #[inline(always)]
    pub(crate) fn get(&self) -> Option<&'static T> {
        // Acquire: pairs with the Release in `put`.
        // SAFETY: NULL, or what `put` put there; see `remove` for how long.
        unsafe { self.0.load(Acquire).as_ref() }
    }

    /// Puts something there; there is nothing yet.
    pub(crate) fn put(&self, thing: T) {
        // Release: pairs with the Acquire in `get`.
        self.0.store(Box::into_raw(Box::new(thing)), Release);
    }

    /// Takes away what is there.
    ///
    /// # Safety
    /// Nobody has got it and uses it still, or from now on.
    pub(crate) unsafe fn remove(&self) {
        // AcqRel: after whoever put it there.
        let thing = self.0.swap(std::ptr::null_mut(), AcqRel);
        if !thing.is_null() {
            // SAFETY: made by `put`; nobody else has it, by the caller's promise.
            drop(unsafe { Box::from_raw(thing) });
        }
    }
}
