//! Calls that are told before they are made, and then go on in the C library, or that of C++, as if they had not come here: with all
//! their arguments, and nothing of this on the stack. What a thread learns by one, it learns with the next thing that it tells of.

/// A list of functions that tell what a thread does with the objects that are their first arguments, where that is to be told; or
/// `of` one object, a number that is no address. What is declared of them is not what they take: nobody calls them from Rust.
macro_rules! objects {
    ($list:ident = $what:expr; $($name:ident)*) => {
        $crate::call::one_by_one! { $list, $what, concat!("mov ", $crate::call::own_object!()); $($name)* }
    };
    ($list:ident = $what:expr, of $object:literal; $($name:ident)*) => {
        $crate::call::one_by_one! { $list, $what, concat!("mov ", $crate::call::the_object!($object)); $($name)* }
    };
}

/// Has the first argument be the object.
#[cfg(target_arch = "x86_64")]
macro_rules! own_object {
    () => {
        "rsi, rdi"
    };
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! own_object {
    () => {
        "x1, x0"
    };
}

/// Has a number be the object.
#[cfg(target_arch = "x86_64")]
macro_rules! the_object {
    ($object:literal) => {
        concat!("esi, ", $object)
    };
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! the_object {
    ($object:literal) => {
        concat!("x1, #", $object)
    };
}

/// What `objects` is, by way of an instruction that puts the object where it belongs.
#[cfg(target_arch = "x86_64")]
macro_rules! one_by_one {
    ($list:ident, $what:expr, $object:expr; $($name:ident)*) => {
        pub(crate) static $list: &[$crate::led::Led] = &[$({
            #[unsafe(export_name = concat!("__wrap_", stringify!($name)))]
            #[unsafe(naked)]
            extern "C" fn wrap() {
                std::arch::naked_asm!(
                    concat!(".weak __real_", stringify!($name)),
                    "mov r11, [rip + {threads}]",
                    "cmp dword ptr [r11], 0",
                    "jne 3f",
                    "2:",
                    concat!("jmp qword ptr [rip + __real_", stringify!($name), "@GOTPCREL]"),
                    "3:",
                    // Seven words and the return address: the stack is aligned. How many vectors are passed is in al.
                    "push rax",
                    "push rdi",
                    "push rsi",
                    "push rdx",
                    "push rcx",
                    "push r8",
                    "push r9",
                    "sub rsp, 128",
                    "movaps [rsp], xmm0",
                    "movaps [rsp + 16], xmm1",
                    "movaps [rsp + 32], xmm2",
                    "movaps [rsp + 48], xmm3",
                    "movaps [rsp + 64], xmm4",
                    "movaps [rsp + 80], xmm5",
                    "movaps [rsp + 96], xmm6",
                    "movaps [rsp + 112], xmm7",
                    "mov rdx, rsi",
                    $object,
                    "mov edi, {what}",
                    "call {does}",
                    "movaps xmm0, [rsp]",
                    "movaps xmm1, [rsp + 16]",
                    "movaps xmm2, [rsp + 32]",
                    "movaps xmm3, [rsp + 48]",
                    "movaps xmm4, [rsp + 64]",
                    "movaps xmm5, [rsp + 80]",
                    "movaps xmm6, [rsp + 96]",
                    "movaps xmm7, [rsp + 112]",
                    "add rsp, 128",
                    "pop r9",
                    "pop r8",
                    "pop rcx",
                    "pop rdx",
                    "pop rsi",
                    "pop rdi",
                    "pop rax",
                    "jmp 2b",
                    threads = sym $crate::engine::THREADS,
                    what = const $what,
                    does = sym $crate::engine::does,
                )
            }
            $crate::led::Led::new(
                concat!(stringify!($name), "\0"),
                wrap as *const (),
                $crate::real::address_of!(concat!("__real_", stringify!($name))),
            )
        }),*];
    };
}

/// See above.
#[cfg(target_arch = "aarch64")]
macro_rules! one_by_one {
    ($list:ident, $what:expr, $object:expr; $($name:ident)*) => {
        pub(crate) static $list: &[$crate::led::Led] = &[$({
            #[unsafe(export_name = concat!("__wrap_", stringify!($name)))]
            #[unsafe(naked)]
            extern "C" fn wrap() {
                std::arch::naked_asm!(
                    concat!(".weak __real_", stringify!($name)),
                    "adrp x16, {threads}",
                    "ldr x16, [x16, :lo12:{threads}]",
                    "ldr w16, [x16]",
                    "cbnz w16, 3f",
                    "2:",
                    concat!("adrp x16, :got:__real_", stringify!($name)),
                    concat!("ldr x16, [x16, :got_lo12:__real_", stringify!($name), "]"),
                    "br x16",
                    "3:",
                    "stp x29, x30, [sp, #-224]!",
                    "stp x0, x1, [sp, #16]",
                    "stp x2, x3, [sp, #32]",
                    "stp x4, x5, [sp, #48]",
                    "stp x6, x7, [sp, #64]",
                    "str x8, [sp, #80]",
                    "stp q0, q1, [sp, #96]",
                    "stp q2, q3, [sp, #128]",
                    "stp q4, q5, [sp, #160]",
                    "stp q6, q7, [sp, #192]",
                    "mov x2, x1",
                    $object,
                    "mov w0, #{what}",
                    "bl {does}",
                    "ldp x0, x1, [sp, #16]",
                    "ldp x2, x3, [sp, #32]",
                    "ldp x4, x5, [sp, #48]",
                    "ldp x6, x7, [sp, #64]",
                    "ldr x8, [sp, #80]",
                    "ldp q0, q1, [sp, #96]",
                    "ldp q2, q3, [sp, #128]",
                    "ldp q4, q5, [sp, #160]",
                    "ldp q6, q7, [sp, #192]",
                    "ldp x29, x30, [sp], #224",
                    "b 2b",
                    threads = sym $crate::engine::THREADS,
                    what = const $what,
                    does = sym $crate::engine::does,
                )
            }
            $crate::led::Led::new(
                concat!(stringify!($name), "\0"),
                wrap as *const (),
                $crate::real::address_of!(concat!("__real_", stringify!($name))),
            )
        }),*];
    };
}

pub(crate) use {objects, one_by_one, own_object, the_object};
