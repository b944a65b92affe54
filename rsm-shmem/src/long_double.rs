//! `long double`, which Rust has no type for: its arithmetic, and the functions that take or give one as C does.
#![allow(unsafe_code)]
#![allow(missing_docs)] // functions of the table

use crate::job::ctx::{DEFAULT, Handle};
use crate::local::{Local, Sym};
use crate::scalar::LongDouble;
use crate::{Call, rma};
use std::ffi::c_int;

#[cfg(target_arch = "x86_64")]
mod machine {
    use super::LongDouble;
    use std::arch::asm;

    macro_rules! operation {
        ($name:ident $instruction:literal) => {
            pub(crate) fn $name(a: LongDouble, b: LongDouble) -> LongDouble {
                let mut result = LongDouble([0; 2]);
                // SAFETY: loads the two and stores the result: 10 bytes each of 16. The stack of the unit is empty before and
                // after, as the clobbers say.
                unsafe {
                    asm!("fld tbyte ptr [{a}]", "fld tbyte ptr [{b}]", $instruction, "fstp tbyte ptr [{result}]",
                        a = in(reg) &raw const a, b = in(reg) &raw const b, result = in(reg) &raw mut result,
                        out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                        out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
                }
                result
            }
        };
    }

    operation!(add "faddp");
    operation!(multiply "fmulp");

    pub(crate) fn is_less(a: LongDouble, b: LongDouble) -> bool {
        let less: u8;
        // SAFETY: as above. Compares b, on the top, with a; what cannot be compared is not less.
        unsafe {
            asm!("fld tbyte ptr [{a}]", "fld tbyte ptr [{b}]", "fcomip st, st(1)", "fstp st(0)", "seta {less}",
                a = in(reg) &raw const a, b = in(reg) &raw const b, less = out(reg_byte) less,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _, options(nostack));
        }
        less != 0
    }
}

#[cfg(target_arch = "aarch64")]
mod machine {
    use super::LongDouble;
    use std::arch::asm;

    // Of the compiler's runtime library; they take and give their numbers in vector registers.
    macro_rules! operation {
        ($name:ident $function:ident) => {
            pub(crate) fn $name(a: LongDouble, b: LongDouble) -> LongDouble {
                unsafe extern "C" {
                    fn $function();
                }
                let mut result = LongDouble([0; 2]);
                // SAFETY: calls a function of C with what it takes, and says what it may change.
                unsafe {
                    asm!("ldr q0, [{a}]", "ldr q1, [{b}]", "bl {function}", "str q0, [x20]",
                        a = in(reg) &raw const a, b = in(reg) &raw const b, function = sym $function,
                        in("x20") &raw mut result, clobber_abi("C"));
                }
                result
            }
        };
    }

    operation!(add __addtf3);
    operation!(multiply __multf3);

    pub(crate) fn is_less(a: LongDouble, b: LongDouble) -> bool {
        unsafe extern "C" {
            fn __lttf2();
        }
        let order: i32;
        // SAFETY: as above. Negative where a is less; not where they cannot be compared.
        unsafe {
            asm!("ldr q0, [{a}]", "ldr q1, [{b}]", "bl {function}",
                a = in(reg) &raw const a, b = in(reg) &raw const b, function = sym __lttf2,
                lateout("w0") order, clobber_abi("C"));
        }
        order < 0
    }
}

pub(crate) use machine::{add, is_less, multiply};

// The ways in. A long double comes on the stack and goes in st(0) on x86-64, and does both in q0 on aarch64. Each of these
// functions puts it into memory, or takes it from there, and leaves the rest to a function that Rust can write.

extern "C" fn p(dest: *mut LongDouble, pe: c_int, value: *const LongDouble) {
    put(DEFAULT, &Call("shmem_longdouble_p"), dest, pe, value);
}

extern "C" fn ctx_p(ctx: Handle, dest: *mut LongDouble, pe: c_int, value: *const LongDouble) {
    put(ctx, &Call("shmem_ctx_longdouble_p"), dest, pe, value);
}

fn put(ctx: Handle, call: &'static Call, dest: *mut LongDouble, pe: c_int, value: *const LongDouble) {
    // SAFETY: where the way in has put the argument.
    rma::put::<16>(ctx, call, Sym::of(dest), unsafe { Local::of(value) }, 1, pe);
}

extern "C" fn g(source: *const LongDouble, pe: c_int, value: *mut LongDouble) {
    get(DEFAULT, &Call("shmem_longdouble_g"), source, pe, value);
}

extern "C" fn ctx_g(ctx: Handle, source: *const LongDouble, pe: c_int, value: *mut LongDouble) {
    get(ctx, &Call("shmem_ctx_longdouble_g"), source, pe, value);
}

fn get(ctx: Handle, call: &'static Call, source: *const LongDouble, pe: c_int, value: *mut LongDouble) {
    // SAFETY: where the way in takes the result from.
    rma::get::<16>(ctx, call, unsafe { Local::of(value) }, Sym::of(source), 1, pe);
}

macro_rules! takes {
    ($($name:ident $inner:ident $x86:literal $arm:literal;)*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(concat!("lea ", $x86, ", [rsp + 8]"), "jmp {}", sym $inner)
        }

        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub sp, sp, #32", "stp x29, x30, [sp, #16]", "str q0, [sp]", concat!("mov ", $arm, ", sp"), "bl {}",
                "ldp x29, x30, [sp, #16]", "add sp, sp, #32", "ret", sym $inner)
        }
    )*};
}

macro_rules! gives {
    ($($name:ident $inner:ident $x86:literal $arm:literal;)*) => {$(
        #[cfg(target_arch = "x86_64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub rsp, 24", concat!("mov ", $x86, ", rsp"), "call {}", "fld tbyte ptr [rsp]", "add rsp, 24", "ret",
                sym $inner)
        }

        #[cfg(target_arch = "aarch64")]
        #[unsafe(naked)]
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name() {
            core::arch::naked_asm!(
                "sub sp, sp, #32", "stp x29, x30, [sp, #16]", concat!("mov ", $arm, ", sp"), "bl {}", "ldr q0, [sp]",
                "ldp x29, x30, [sp, #16]", "add sp, sp, #32", "ret", sym $inner)
        }
    )*};
}

takes! {
    pshmem_longdouble_p p "rdx" "x2";
    pshmem_ctx_longdouble_p ctx_p "rcx" "x3";
}

gives! {
    pshmem_longdouble_g g "rdx" "x2";
    pshmem_ctx_longdouble_g ctx_g "rcx" "x3";
}
