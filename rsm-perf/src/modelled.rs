//! What operations take by a profile, to be held beside what a cluster with that profile makes of them.

use crate::measure::Outcome;
use crate::ops::Op;
use crate::report::microseconds;
use rsm::lens::{Cost, Profile};

/// Operations that a profile says something of; loads and stores through mappings, and what two parties make of them by
/// polling, take as long as they do.
pub const MODELLED: &[&str] = &[
    "put64",
    "put64-implicit",
    "get64",
    "get64-implicit",
    "barrier",
    "post",
    "put",
    "get",
    "signal",
    "notify",
    "connect",
];

/// Nanoseconds that an operation takes by a profile; `None` where it says nothing.
pub fn time(profile: Profile, op: &str, bytes: usize) -> Option<u64> {
    let cost = |cost, bytes| profile.time(cost, bytes);
    let (store, load) = (cost(Cost::Store, 8), cost(Cost::Load, 8));
    let (check, signal) = (cost(Cost::Check, 0), cost(Cost::Signal, 0));
    let bytes = bytes as u64;
    Some(match op {
        "put64" | "post" => store,
        "put64-implicit" | "barrier" => store + check,
        "get64" | "get64-implicit" => load,
        "put" => cost(Cost::Store, bytes),
        "get" => cost(Cost::Load, bytes),
        "signal" => 2 * signal,
        "notify" => cost(Cost::Store, bytes) + 2 * signal,
        "connect" => cost(Cost::Connect, 0),
        _ => return None,
    })
}

/// The names of the columns.
pub const COLUMNS: &str = "# operation         #bytes   modelled min[usec]   modelled typical[usec]   by the profile[usec]      off   modelled MB/s";

/// A row.
pub fn row(profile: Profile, op: &Op, outcome: &Outcome) -> String {
    let times = outcome.nanoseconds;
    let expected = time(profile, op.name, outcome.bytes).map(|ns| ns as f64);
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".into());
    let off = expected.map(|ns| format!("{:+.1}%", (times.median / ns - 1.0) * 100.0));
    format!(
        "  {:<16} {:>8} {:>20} {:>24} {:>22} {:>8} {:>15}",
        op.name,
        outcome.bytes,
        microseconds(times.min),
        microseconds(times.median),
        or_dash(expected.map(microseconds)),
        or_dash(off),
        or_dash(outcome.megabytes_per_second.map(|rate| format!("{rate:.0}"))),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_modelled_operation_is_one_and_has_a_time() {
        for row in rsm::lens::PROFILES {
            for op in crate::ops::OPS {
                let known = MODELLED.contains(&op.name);
                assert_eq!(time(row.profile, op.name, op.sizes[0]).is_some(), known, "{}", op.name);
            }
        }
        assert!(MODELLED.iter().all(|name| crate::ops::find(name).is_some()));
        assert_eq!(time(Profile::DolphinNtb, "barrier", 8), Some(2770));
        assert_eq!(time(Profile::DolphinNtb, "put", 4096), Some(1290));
    }
}
