//! What the C library has, of which calls are led here: found where the linker was told to lead them.

/// The address of a function, or 0 where calls of it are not led here.
macro_rules! real {
    ($name:literal) => {{
        #[unsafe(naked)]
        extern "C" fn address() -> usize {
            #[cfg(target_arch = "x86_64")]
            std::arch::naked_asm!(
                concat!(".weak __real_", $name),
                concat!("mov rax, [rip + __real_", $name, "@GOTPCREL]"),
                "ret",
            );
            #[cfg(target_arch = "aarch64")]
            std::arch::naked_asm!(
                concat!(".weak __real_", $name),
                concat!("adrp x0, :got:__real_", $name),
                concat!("ldr x0, [x0, :got_lo12:__real_", $name, "]"),
                "ret",
            );
        }
        address()
    }};
}

pub(crate) use real;

/// Whether calls about threads are led here.
pub(crate) fn leads_here() -> bool {
    real!("pthread_create") != 0
}
