//! What a reduction makes of two elements, for each type and operation.
#![allow(unsafe_code)] // elements of any type lie in words

use crate::long_double;
use crate::scalar::{ComplexD, ComplexF, LongDouble};

/// An operation on arrays of elements.
#[derive(Clone, Copy)]
pub(crate) struct Folding {
    /// Bytes of an element.
    pub(crate) width: usize,
    /// What elements are aligned to, at most 8: `float _Complex` is no more than its halves are.
    pub(crate) align: usize,
    /// Makes the elements of the first array, so many, those of both.
    fold: unsafe fn(*mut u8, *const u8, usize),
}

/// Elements in words of this process. Room for whole words, whatever the elements are.
pub(crate) struct Elements(Vec<u64>);

impl Elements {
    pub(crate) fn new(bytes: usize) -> Elements {
        // A multiple of 16, which is what the widest are aligned to; words are to 8, and accesses need no more.
        Elements(vec![0; bytes.div_ceil(16) * 2])
    }

    pub(crate) fn words_mut(&mut self) -> &mut [u64] {
        &mut self.0
    }

    pub(crate) fn words(&self) -> &[u64] {
        &self.0
    }
}

impl Folding {
    /// Folds elements that lie in words.
    pub(crate) fn fold(&self, into: &mut [u64], from: &[u64], count: usize) {
        assert!(count * self.width <= into.len() * 8 && count * self.width <= from.len() * 8, "room for the elements");
        // SAFETY: as many elements as there is room for, on both sides; any bits are elements.
        unsafe { (self.fold)(into.as_mut_ptr().cast(), from.as_ptr().cast(), count) }
    }
}

/// Folds element by element; none needs to be aligned.
unsafe fn each<T: Copy>(into: *mut u8, from: *const u8, count: usize, operation: impl Fn(T, T) -> T) {
    let (into, from) = (into.cast::<T>(), from.cast::<T>());
    for i in 0..count {
        // SAFETY: inside of the arrays, by the caller's promise.
        unsafe {
            let folded = operation(into.add(i).read_unaligned(), from.add(i).read_unaligned());
            into.add(i).write_unaligned(folded);
        }
    }
}

/// Numbers that are added and multiplied. Integers wrap, as in C on every machine there is.
pub(crate) trait Arithmetic: Copy {
    fn plus(self, other: Self) -> Self;
    fn times(self, other: Self) -> Self;
}

/// Numbers of which one is greater.
pub(crate) trait Ordered: Copy {
    fn greater(self, other: Self) -> Self;
    fn lesser(self, other: Self) -> Self;
}

/// Numbers that are bits.
pub(crate) trait Bits:
    Copy + std::ops::BitAnd<Output = Self> + std::ops::BitOr<Output = Self> + std::ops::BitXor<Output = Self>
{
}

macro_rules! integers {
    ($($number:ty)*) => {$(
        impl Arithmetic for $number {
            fn plus(self, other: $number) -> $number {
                self.wrapping_add(other)
            }
            fn times(self, other: $number) -> $number {
                self.wrapping_mul(other)
            }
        }
        impl Ordered for $number {
            fn greater(self, other: $number) -> $number {
                self.max(other)
            }
            fn lesser(self, other: $number) -> $number {
                self.min(other)
            }
        }
        impl Bits for $number {}
    )*};
}

integers! { i8 u8 i16 u16 i32 u32 i64 u64 isize usize }

macro_rules! floats {
    ($($number:ty)*) => {$(
        impl Arithmetic for $number {
            fn plus(self, other: $number) -> $number {
                self + other
            }
            fn times(self, other: $number) -> $number {
                self * other
            }
        }
        impl Ordered for $number {
            fn greater(self, other: $number) -> $number {
                if self > other { self } else { other }
            }
            fn lesser(self, other: $number) -> $number {
                if self < other { self } else { other }
            }
        }
    )*};
}

floats! { f32 f64 }

macro_rules! complexes {
    ($($complex:ident)*) => {$(
        impl Arithmetic for $complex {
            fn plus(self, other: $complex) -> $complex {
                $complex(self.0 + other.0, self.1 + other.1)
            }
            fn times(self, other: $complex) -> $complex {
                $complex(self.0 * other.0 - self.1 * other.1, self.0 * other.1 + self.1 * other.0)
            }
        }
    )*};
}

complexes! { ComplexF ComplexD }

impl Arithmetic for LongDouble {
    fn plus(self, other: LongDouble) -> LongDouble {
        long_double::add(self, other)
    }
    fn times(self, other: LongDouble) -> LongDouble {
        long_double::multiply(self, other)
    }
}

impl Ordered for LongDouble {
    fn greater(self, other: LongDouble) -> LongDouble {
        if long_double::is_less(other, self) { self } else { other }
    }
    fn lesser(self, other: LongDouble) -> LongDouble {
        if long_double::is_less(self, other) { self } else { other }
    }
}

macro_rules! operations {
    ($($name:ident $kind:ident $operation:expr;)*) => {
        impl Folding {$(
            #[doc = concat!("The reduction ", stringify!($name), ".")]
            pub(crate) fn $name<T: $kind>() -> Folding {
                unsafe fn fold<T: $kind>(into: *mut u8, from: *const u8, count: usize) {
                    // SAFETY: the caller's promise.
                    unsafe { each::<T>(into, from, count, $operation) }
                }
                Folding { width: size_of::<T>(), align: align_of::<T>().min(8), fold: fold::<T> }
            }
        )*}
    };
}

operations! {
    and Bits |a, b| a & b;
    or Bits |a, b| a | b;
    xor Bits |a, b| a ^ b;
    max Ordered T::greater;
    min Ordered T::lesser;
    sum Arithmetic T::plus;
    prod Arithmetic T::times;
}
