//! Values that travel.

/// Numbers that mean the same to every process of a machine: whole ones and floating ones, of fixed width.
///
/// Any bytes of the right length are such a number, so what another process sends needs no check of its own.
pub trait Plain: Copy + private::Sealed {
    /// Appends the number's bytes.
    #[doc(hidden)]
    fn append(self, bytes: &mut Vec<u8>);
    /// The number of `size_of` bytes.
    #[doc(hidden)]
    fn from_bytes(bytes: &[u8]) -> Self;
}

mod private {
    pub trait Sealed {}
}

macro_rules! plain {
    ($($number:ty)*) => {$(
        impl private::Sealed for $number {}
        impl Plain for $number {
            fn append(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_ne_bytes());
            }
            fn from_bytes(bytes: &[u8]) -> $number {
                <$number>::from_ne_bytes(bytes.try_into().expect("as many bytes as the number has"))
            }
        }
    )*};
}

plain! { u8 u16 u32 u64 u128 i8 i16 i32 i64 i128 f32 f64 }

/// Appends the bytes of values.
pub(crate) fn append<T: Plain>(values: &[T], bytes: &mut Vec<u8>) {
    bytes.reserve(size_of_val(values));
    values.iter().for_each(|&value| value.append(bytes));
}

/// The values that bytes are; their number is a multiple of the size.
pub(crate) fn values<T: Plain>(bytes: &[u8]) -> Vec<T> {
    bytes.chunks_exact(size_of::<T>()).map(T::from_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back() {
        let mut bytes = Vec::new();
        append(&[1.5f64, -0.0, f64::INFINITY], &mut bytes);
        assert_eq!(values::<f64>(&bytes).iter().map(|v| v.to_bits()).collect::<Vec<_>>(), {
            [1.5f64, -0.0, f64::INFINITY].map(f64::to_bits)
        });
        assert_eq!(bytes.len(), 24);
        bytes.clear();
        append(&[-2i16, 7], &mut bytes);
        assert_eq!(values::<i16>(&bytes), [-2, 7]);
    }
}
