//! Times as people write them on a command line.

use std::time::Duration;

/// Reads `500ms`, `60s`, `5m`, `1h`, `1.5s`, or plain seconds.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(text.len()));
    let seconds = match unit {
        "ms" => 1e-3,
        "s" | "" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("unknown unit \"{unit}\"; use ms, s, m or h")),
    };
    // f64's own reading would also take signs, "inf" and "nan" (the last two have letters and never come here).
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err("not a time; write for example 500ms, 60s, 5m, 1h".into());
    }
    let number: f64 = number.parse().map_err(|_| "not a time; write for example 500ms, 60s, 5m, 1h")?;
    Duration::try_from_secs_f64(number * seconds).map_err(|_| "longer than can be counted".into())
}

/// [`parse`] for times that must not be zero.
pub(crate) fn parse_positive(text: &str) -> Result<Duration, String> {
    match parse(text)? {
        Duration::ZERO => Err("must be longer than nothing".into()),
        time => Ok(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        for (text, milliseconds) in [
            ("500ms", 500),
            ("60s", 60_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7", 7_000),
            ("1.5s", 1_500),
            ("0", 0),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for text in ["", "s", "-1s", "+1s", "1d", "1e3", "ten", "1 s", "inf", "1.2.3", "99999999999999999999h"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_positive("0ms").is_err());
        assert!(parse_positive("1ms").is_ok());
    }
}
