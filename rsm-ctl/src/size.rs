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

/// `0`, `999`, `12.3k`, `4.5M`: a count of something other than bytes.
pub(crate) fn count(count: f64) -> String {
    match count {
        c if c < 999.5 => format!("{c:.0}"),
        c if c < 999.5e3 => format!("{:.1}k", c / 1e3),
        c if c < 999.5e6 => format!("{:.1}M", c / 1e6),
        c => format!("{:.1}G", c / 1e9),
    }
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

    #[test]
    fn counts() {
        for (number, text) in [(0.0, "0"), (999.0, "999"), (1234.0, "1.2k"), (4.5e6, "4.5M"), (2e10, "20.0G")] {
            assert_eq!(count(number), text);
        }
    }
}
