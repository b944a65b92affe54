//! Functions that programs call, in assembler: they know where they were called from.

/// Functions of one address, called before an access to so many bytes there; kinds as in `engine`. What is not watched
/// costs two comparisons.
#[cfg(target_arch = "x86_64")]
macro_rules! seen {
    ($($name:ident $length:literal $kind:literal)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name(address: usize) {
            std::arch::naked_asm!(
                "mov rax, [rip + {bounds}]",
                "cmp rdi, [rax]",
                "jb 2f",
                "cmp rdi, [rax + 8]",
                "jb 3f",
                "2:",
                "ret",
                "3:",
                "mov esi, {length}",
                "mov edx, {kind}",
                "mov rcx, [rsp]",
                "jmp {tell}",
                bounds = sym $crate::engine::BOUNDS,
                length = const $length,
                kind = const $kind,
                tell = sym $crate::plain::tell,
            )
        }
    )*};
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! seen {
    ($($name:ident $length:literal $kind:literal)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name(address: usize) {
            std::arch::naked_asm!(
                "adrp x16, {bounds}",
                "ldr x16, [x16, :lo12:{bounds}]",
                "ldp x17, x16, [x16]",
                "cmp x0, x17",
                "b.lo 2f",
                "cmp x0, x16",
                "b.lo 3f",
                "2:",
                "ret",
                "3:",
                "mov x1, #{length}",
                "mov w2, #{kind}",
                "mov x3, x30",
                "b {tell}",
                bounds = sym $crate::engine::BOUNDS,
                length = const $length,
                kind = const $kind,
                tell = sym $crate::plain::tell,
            )
        }
    )*};
}

/// Likewise, of which all go on in one that is given all of that.
#[cfg(target_arch = "x86_64")]
macro_rules! told {
    ($to:ident $($name:ident $length:literal $kind:literal)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name(address: usize) {
            std::arch::naked_asm!(
                "mov esi, {length}",
                "mov edx, {kind}",
                "mov rcx, [rsp]",
                "jmp {to}",
                length = const $length,
                kind = const $kind,
                to = sym $to,
            )
        }
    )*};
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! told {
    ($to:ident $($name:ident $length:literal $kind:literal)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name(address: usize) {
            std::arch::naked_asm!(
                "mov x1, #{length}",
                "mov w2, #{kind}",
                "mov x3, x30",
                "b {to}",
                length = const $length,
                kind = const $kind,
                to = sym $to,
            )
        }
    )*};
}

/// Functions that go on in another one, which is given where they were called from in place of its argument in `$register`
/// of x86-64, or the other one of aarch64. What is declared of them is not what they take: nobody calls them from Rust.
#[cfg(target_arch = "x86_64")]
macro_rules! passed_on {
    ($($name:ident $register:ident $other:ident $to:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name() {
            std::arch::naked_asm!(
                concat!("mov ", stringify!($register), ", [rsp]"),
                "jmp {to}",
                to = sym $to,
            )
        }
    )*};
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! passed_on {
    ($($name:ident $register:ident $other:ident $to:expr;)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name() {
            std::arch::naked_asm!(
                concat!("mov ", stringify!($other), ", x30"),
                "b {to}",
                to = sym $to,
            )
        }
    )*};
}

pub(crate) use {passed_on, seen, told};
