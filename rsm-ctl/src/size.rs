//! Numbers of bytes as people read them.

/// `0`, `512`, `4 KiB`, `1.5 MiB`: at most three digits and a unit of 1024.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if count < 1024 {
        return count.to_string();
    }
    let exponent = (count.ilog2() / 10) as usize;
    let number = count as f64 / (1_u64 << (10 * exponent)) as f64;
    let unit = UNITS[exponent - 1];
    if number >= 100.0 || number.fract() == 0.0 { format!("{number:.0} {unit}") } else { format!("{number:.1} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (number, text) in [
            (0, "0"),
            (1023, "1023"),
            (1024, "1 KiB"),
            (8192, "8 KiB"),
            (1536, "1.5 KiB"),
            (300 << 20, "300 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(bytes(number), text);
        }
    }
}
