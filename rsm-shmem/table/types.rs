//! The types, and which functions there are for each.

/// Kind of arithmetic.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Class {
    Integer,
    Float,
    LongDouble,
    Complex,
}

/// A type of C.
pub struct Type {
    /// As it stands in names.
    pub name: &'static str,
    /// In C.
    pub c: &'static str,
    /// In C, where it is another name for one of the basic types.
    pub basic: &'static str,
    /// In Rust.
    pub rust: &'static str,
    pub class: Class,
    /// The sets it is in.
    pub sets: super::Set,
}

/// Transfers, and collectives that move.
pub const RMA: super::Set = 1;
/// Atomic operations with arithmetic.
pub const AMO: super::Set = 2;
/// Those that only move: fetch, set, swap.
pub const AMO_MOVE: super::Set = 4;
/// Those on bits.
pub const AMO_BITS: super::Set = 8;
/// Waiting.
pub const WAIT: super::Set = 16;
/// Reductions: and, or, xor.
pub const BITS: super::Set = 32;
/// Reductions: max, min.
pub const ORDER: super::Set = 64;
/// Reductions: sum, prod.
pub const ARITHMETIC: super::Set = 128;
/// Reductions of 1.4 over active sets: and, or, xor.
pub const OLD_BITS: super::Set = 256;
/// max, min.
pub const OLD_ORDER: super::Set = 512;
/// sum, prod.
pub const OLD_ARITHMETIC: super::Set = 1024;
/// Atomic operations of 1.3: with arithmetic.
pub const OLD_AMO: super::Set = 2048;
/// fetch, set, swap.
pub const OLD_AMO_MOVE: super::Set = 4096;
/// Waits of 1.3.
pub const OLD_WAIT: super::Set = 8192;

const NUMBER: super::Set = RMA | ORDER | ARITHMETIC;
const OLD_INTEGER: super::Set = OLD_BITS | OLD_ORDER | OLD_ARITHMETIC;
const ATOMIC: super::Set = AMO | AMO_MOVE | WAIT;

macro_rules! types {
    ($($name:literal $c:literal $basic:literal $rust:literal $class:ident $sets:expr;)*) => {
        /// Every type.
        pub const TYPES: &[Type] = &[$(Type {
            name: $name, c: $c, basic: $basic, rust: $rust, class: Class::$class, sets: $sets,
        },)*];
    };
}

types! {
    "float" "float" "float" "f32" Float NUMBER | AMO_MOVE | OLD_ORDER | OLD_ARITHMETIC | OLD_AMO_MOVE;
    "double" "double" "double" "f64" Float NUMBER | AMO_MOVE | OLD_ORDER | OLD_ARITHMETIC | OLD_AMO_MOVE;
    "longdouble" "long double" "long double" "LongDouble" LongDouble NUMBER | OLD_ORDER | OLD_ARITHMETIC;
    "char" "char" "char" "c_char" Integer NUMBER;
    "schar" "signed char" "signed char" "c_schar" Integer NUMBER;
    "short" "short" "short" "c_short" Integer NUMBER | WAIT | OLD_WAIT | OLD_INTEGER;
    "int" "int" "int" "c_int" Integer NUMBER | ATOMIC | OLD_WAIT | OLD_INTEGER | OLD_AMO | OLD_AMO_MOVE;
    "long" "long" "long" "c_long" Integer NUMBER | ATOMIC | OLD_WAIT | OLD_INTEGER | OLD_AMO | OLD_AMO_MOVE;
    "longlong" "long long" "long long" "c_longlong" Integer NUMBER | ATOMIC | OLD_WAIT | OLD_INTEGER | OLD_AMO | OLD_AMO_MOVE;
    "uchar" "unsigned char" "unsigned char" "c_uchar" Integer NUMBER | BITS;
    "ushort" "unsigned short" "unsigned short" "c_ushort" Integer NUMBER | BITS | WAIT;
    "uint" "unsigned int" "unsigned int" "c_uint" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "ulong" "unsigned long" "unsigned long" "c_ulong" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "ulonglong" "unsigned long long" "unsigned long long" "c_ulonglong" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "int8" "int8_t" "signed char" "i8" Integer NUMBER | BITS;
    "int16" "int16_t" "short" "i16" Integer NUMBER | BITS;
    "int32" "int32_t" "int" "i32" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "int64" "int64_t" "long" "i64" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "uint8" "uint8_t" "unsigned char" "u8" Integer NUMBER | BITS;
    "uint16" "uint16_t" "unsigned short" "u16" Integer NUMBER | BITS;
    "uint32" "uint32_t" "unsigned int" "u32" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "uint64" "uint64_t" "unsigned long" "u64" Integer NUMBER | BITS | ATOMIC | AMO_BITS;
    "size" "size_t" "unsigned long" "usize" Integer NUMBER | BITS | ATOMIC;
    "ptrdiff" "ptrdiff_t" "long" "isize" Integer NUMBER | ATOMIC;
    "complexf" "rsm_shmem_complexf" "float _Complex" "ComplexF" Complex ARITHMETIC | OLD_ARITHMETIC;
    "complexd" "rsm_shmem_complexd" "double _Complex" "ComplexD" Complex ARITHMETIC | OLD_ARITHMETIC;
}

/// The sets, with their names.
pub const SETS: &[(super::Set, &str)] = &[
    (RMA, "RMA"),
    (AMO, "AMO"),
    (AMO_MOVE, "AMO_MOVE"),
    (AMO_BITS, "AMO_BITS"),
    (WAIT, "WAIT"),
    (BITS, "BITS"),
    (ORDER, "ORDER"),
    (ARITHMETIC, "ARITHMETIC"),
    (OLD_BITS, "OLD_BITS"),
    (OLD_ORDER, "OLD_ORDER"),
    (OLD_ARITHMETIC, "OLD_ARITHMETIC"),
    (OLD_AMO, "OLD_AMO"),
    (OLD_AMO_MOVE, "OLD_AMO_MOVE"),
    (OLD_WAIT, "OLD_WAIT"),
];
