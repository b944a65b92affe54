//! What the C library has, of which calls are led here: found where the linker was told to lead them.

/// A function that gives the address of another one by its symbol, or 0 where there is none.
macro_rules! address_of {
    ($symbol:expr) => {{
        #[unsafe(naked)]
        extern "C" fn address() -> usize {
            #[cfg(target_arch = "x86_64")]
            std::arch::naked_asm!(
                concat!(".weak ", $symbol),
                concat!("mov rax, [rip + ", $symbol, "@GOTPCREL]"),
                "ret",
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::naked_asm!(
                concat!(".weak ", $symbol),
                concat!("adrp x0, :got:", $symbol),
                concat!("ldr x0, [x0, :got_lo12:", $symbol, "]"),
                "ret",
            );
        }
        address as extern "C" fn() -> usize
    }};
}

/// The address of a function, or 0 where calls of it are not led here.
macro_rules! real {
    ($name:literal) => {
        $crate::real::address_of!(concat!("__real_", $name))()
    };
}

pub(crate) use address_of;
pub(crate) use real;

/// Whether calls about threads are led here.
pub(crate) fn leads_here() -> bool {
    real!("pthread_create") != 0
}
