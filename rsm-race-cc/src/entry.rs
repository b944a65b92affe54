//! Functions that programs call, in assembler: they know where they were called from.

/// Functions of one address, called before an access to so many bytes there; kinds as in `engine`. What is not watched
/// costs one look at the byte of its granule.
#[cfg(target_arch = "x86_64")]
macro_rules! seen {
    ($($name:ident $length:literal $kind:literal)*) => {$(
        #[unsafe(no_mangle)]
        #[unsafe(naked)]
        pub extern "C" fn $name(address: usize) {
            std::arch::naked_asm!(
                "mov rax, [rip + {granules}]",
                "mov ecx, edi",
                "shr ecx, 16",
                "cmp byte ptr [rax + rcx], 0",
                "jne 2f",
                "ret",
                "2:",
                "mov esi, {length}",
                "mov edx, {kind}",
                "mov rcx, [rsp]",
                "jmp {tell}",
                granules = sym $crate::engine::GRANULES,
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
                "adrp x16, {granules}",
                "ldr x16, [x16, :lo12:{granules}]",
                "ubfx x17, x0, #16, #16",
                "ldrb w16, [x16, x17]",
                "cbnz w16, 2f",
                "ret",
                "2:",
                "mov x1, #{length}",
                "mov w2, #{kind}",
                "mov x3, x30",
                "b {tell}",
                granules = sym $crate::engine::GRANULES,
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
