//! Types of elements, as words.

use rsm_shm::memory::copy::Word;

/// A number that one access moves.
pub(crate) trait Scalar: Copy + PartialEq + PartialOrd {
    /// The unsigned word of its width.
    type Word: Word + Into<u64>;
    fn word(self) -> Self::Word;
    fn of_word(word: Self::Word) -> Self;
}

macro_rules! integers {
    ($($number:ty, $word:ty;)*) => {$(
        impl Scalar for $number {
            type Word = $word;
            #[inline(always)]
            fn word(self) -> $word {
                self as $word
            }
            #[inline(always)]
            fn of_word(word: $word) -> $number {
                word as $number
            }
        }
    )*};
}

integers! {
    i8, u8; u8, u8; i16, u16; u16, u16; i32, u32; u32, u32; i64, u64; u64, u64; isize, u64; usize, u64;
}

macro_rules! floats {
    ($($number:ty, $word:ty;)*) => {$(
        impl Scalar for $number {
            type Word = $word;
            #[inline(always)]
            fn word(self) -> $word {
                self.to_bits()
            }
            #[inline(always)]
            fn of_word(word: $word) -> $number {
                <$number>::from_bits(word)
            }
        }
    )*};
}

floats! { f32, u32; f64, u64; }

/// `float _Complex`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ComplexF(pub f32, pub f32);

/// `double _Complex`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ComplexD(pub f64, pub f64);

/// `long double`: 80 bits of 16 bytes on x86-64, 128 bits on aarch64.
#[repr(C, align(16))]
#[derive(Clone, Copy)]
pub struct LongDouble(pub [u64; 2]);
