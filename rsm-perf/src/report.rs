//! Results as a table that reads like those of other tools.

use crate::measure::Outcome;
use crate::ops::{Op, Yield};

/// The names of the columns; those that other tools have are called as there (`ib_write_lat`, `osu_latency`).
pub const COLUMNS: &str = "\
# program        #bytes  #iterations  t_min[usec]  t_typical[usec]  99%[usec]       MB/s     Mop/s    raw[usec]   ratio  near";

/// The line over the rows of an operation.
pub fn heading(op: &Op) -> String {
    let like = if op.like.is_empty() { String::new() } else { format!(" (as {})", op.like) };
    format!("# {}: {}{like}; raw: {}", op.name, op.what, op.limits.join(", "))
}

/// A row.
pub fn row(op: &Op, outcome: &Outcome) -> String {
    let times = outcome.nanoseconds;
    let or_dash = |number: Option<f64>, digits: usize| number.map_or_else(|| "-".into(), |n| format!("{n:.digits$}"));
    let bandwidth = or_dash(outcome.megabytes_per_second, 0);
    let rate = (op.gives != Yield::Bytes).then_some(outcome.per_second / 1e6);
    format!(
        "  {:<12} {:>8} {:>12} {:>12} {:>16} {:>10} {bandwidth:>10} {:>9} {:>12} {:>7} {:>4.0}%",
        outcome.program,
        outcome.bytes,
        outcome.iterations,
        microseconds(times.min),
        microseconds(times.median),
        microseconds(times.p99),
        or_dash(rate, 3),
        outcome.limit_nanoseconds.map_or_else(|| "-".into(), microseconds),
        or_dash(outcome.ratio, 2),
        outcome.near * 100.0,
    )
}

/// Nanoseconds as microseconds, with as many digits as mean something.
pub fn microseconds(nanoseconds: f64) -> String {
    let digits = if nanoseconds < 100.0 {
        4
    } else if nanoseconds < 10_000.0 {
        3
    } else {
        1
    };
    format!("{:.digits$}", nanoseconds / 1000.0)
}

/// Bytes as people write them.
pub fn bytes(count: usize) -> String {
    match count {
        c if c >= 1 << 20 && c.is_multiple_of(1 << 20) => format!("{} MiB", c >> 20),
        c if c >= 1 << 10 && c.is_multiple_of(1 << 10) => format!("{} KiB", c >> 10),
        c => format!("{c} B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Times;

    #[test]
    fn rows_line_up_with_the_columns() {
        let outcome = Outcome {
            program: "rsm".into(),
            op: "put".into(),
            bytes: 1 << 20,
            iterations: 1000,
            batch: 1,
            nanoseconds: Times { min: 20_000.0, median: 21_500.0, p99: 40_000.0 },
            megabytes_per_second: Some(48_770.0),
            per_second: 46_511.0,
            limit: Some("raw-copy".into()),
            limit_nanoseconds: Some(21_000.0),
            ratio: Some(1.02),
            rounds: 9,
            round_trip: 90.0,
            near: 1.0,
            crossing: None,
        };
        let row = row(crate::ops::find("put").unwrap(), &outcome);
        assert_eq!(row.len(), COLUMNS.len(), "\n{COLUMNS}\n{row}");
        assert!(row.contains("48770") && row.contains("1.02") && row.contains("21.5"), "{row}");
        assert_eq!((microseconds(2.25), microseconds(250.0)), ("0.0022".to_owned(), "0.250".to_owned()));
        assert_eq!((bytes(8), bytes(4096), bytes(1 << 20)), ("8 B".into(), "4 KiB".into(), "1 MiB".into()));
    }
}
