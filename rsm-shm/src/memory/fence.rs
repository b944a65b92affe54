//! The full fence.
#![allow(unsafe_code)]

/// Orders every load and store before against every one after, stores before loads included.
///
/// On x86-64 `fence(SeqCst)` becomes `mfence`, which takes eight times as long as a locked instruction on the top of
/// the stack, and orders no more for ordinary memory, nor for windows of devices: a locked instruction, too, empties the buffers in which
/// stores to them are merged. Elsewhere it is for ordinary memory only: on ARM `dmb ish` is one of the processors, and devices are outside
/// of them. No device is driven there (`rsm-ntb`, `Vfio::open`).
#[inline(always)]
pub fn full() {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    // SAFETY: ors 0 into the word at the stack pointer, on this thread's own stack, which is
    // mapped and writable; memory is left as it was. Not marked `nomem`: the compiler must not
    // move accesses across, in either direction.
    unsafe {
        std::arch::asm!("lock or dword ptr [rsp], 0", options(nostack));
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    rsm_core::sync::fence(rsm_core::sync::Ordering::SeqCst);
}
