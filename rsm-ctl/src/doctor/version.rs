//! Versions of kernels.

/// Whether a version such as `6.18.2-arch1` is at least one such as `6.5`.
pub(super) fn is_at_least(kernel: &str, since: &str) -> bool {
    let numbers = |text: &str| -> Vec<u32> {
        let number = |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or("").parse().unwrap_or(0);
        text.split('.').take(2).map(number).collect()
    };
    numbers(kernel) >= numbers(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (kernel, since, is) in [
            ("6.18.44-fc", "6.5", true),
            ("6.4.0", "6.5", false),
            ("5.10.0-9-amd64", "5.9", true),
            ("6.5", "6.5", true),
            ("7.0-rc1", "6.16", true),
            ("4.19.0", "5.1", false),
            ("6.1.0", "any", true),
        ] {
            assert_eq!(is_at_least(kernel, since), is, "{kernel} {since}");
        }
    }
}
