//! What `perf` can be told.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use rsm::lens::Profile;
use rsm_perf::ops::{self, Op};

use crate::duration;

/// Largest data of one operation: both sides hold it several times.
const LARGEST: usize = 1 << 30;

/// The command line of `perf`.
#[derive(Debug, Args)]
#[command(after_help = "\
Two processes, one for each node, are pinned to a processor each and do every operation in turns with the raw one that is
its limit. `ratio` compares measurements that follow each other, in the same two processes; it means something even where times
do not, because the host moves the processors of a virtual machine. `near` is the part of the rounds in which a cache line
went there and back in less than 200 ns. The receiver looks at what arrives.")]
pub(crate) struct PerfArgs {
    /// List the operations and end
    #[arg(long)]
    pub(crate) list: bool,
    /// Only these operations: --op put,get or several --op
    #[arg(long, value_name = "NAME", value_delimiter = ',', value_parser = operation)]
    pub(crate) op: Vec<&'static Op>,
    /// Bytes for operations that have a choice: --sizes 64,4K,1M
    #[arg(long, value_name = "BYTES", value_delimiter = ',', value_parser = size)]
    pub(crate) sizes: Vec<usize>,
    /// About how long to measure each operation at each size
    #[arg(long, value_name = "TIME", default_value = "300ms", value_parser = duration::parse_positive)]
    pub(crate) time: Duration,
    /// The processors of the two processes; the first two that may be used without it
    #[arg(long, value_name = "A,B", value_parser = processors, conflicts_with = "no_pin")]
    pub(crate) cpus: Option<[usize; 2]>,
    /// Let the scheduler place the two processes
    #[arg(long)]
    pub(crate) no_pin: bool,
    /// Measure between nodes of this running cluster; in a private one without it
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<String>,
    /// Which nodes: the importer that acts, and the exporter
    #[arg(long, value_name = "A,B", default_value = "1,2", value_parser = nodes)]
    pub(crate) nodes: [u32; 2],
    /// Measure through this controller: shm0, or that of a bridge to another host, such as ntb0, with the loads, stores and
    /// doorbells of an operation beside the times. Without --cluster the two nodes are on two hosts then, both here
    #[arg(long, value_name = "NAME", default_value = "shm0", conflicts_with_all = ["also", "profile"])]
    pub(crate) controller: String,
    /// Measure through this program too and show it beside: benches/c/rsm_perf.c, for one, goes through librsm
    #[arg(long, value_name = "PROGRAM")]
    pub(crate) also: Vec<PathBuf>,
    /// Measure in a private cluster whose calls take as long as on an interconnect, beside what its profile says: dolphin-ntb,
    /// dolphin-ix, intel-ntb, firelink or sci; see docs/profiles.md. All times are modelled
    #[arg(long, value_name = "NAME", value_parser = profile, conflicts_with = "cluster")]
    pub(crate) profile: Option<Profile>,
    /// Wait for nothing of that: measure by the clocks that only calls move
    #[arg(long = "virtual", requires = "profile", conflicts_with = "also")]
    pub(crate) is_virtual: bool,
    /// Write JSON: an object with a "version", the machine, and one array (see docs/json.md)
    #[arg(long)]
    pub(crate) json: bool,
    /// What the two processes are started with
    #[arg(long, hide = true)]
    pub(crate) party: bool,
}

fn profile(name: &str) -> Result<Profile, String> {
    Profile::parse(name).map_err(|error| error.detail().to_owned())
}

fn operation(name: &str) -> Result<&'static Op, String> {
    let names = || ops::OPS.iter().map(|op| op.name).collect::<Vec<_>>().join(", ");
    ops::find(name).ok_or_else(|| format!("there is no such operation; there are: {}", names()))
}

/// Reads `64`, `4K`, `1M`: at least two words, so that both ends can be stamped, and whole words.
fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let shift = match unit.to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        _ => return Err(format!("unknown unit \"{unit}\"; use K, M or G")),
    };
    let bytes = number.parse::<usize>().ok().and_then(|n| n.checked_mul(1 << shift)).unwrap_or(usize::MAX);
    if number.is_empty() || !(16..=LARGEST).contains(&bytes) || !bytes.is_multiple_of(8) {
        return Err(
            "a multiple of 8 from 16 to 1G is needed; one word has operations of its own (put64, latency)".into()
        );
    }
    Ok(bytes)
}

fn two<T: std::str::FromStr>(text: &str) -> Option<[T; 2]> {
    let (a, b) = text.split_once(',')?;
    Some([a.parse().ok()?, b.parse().ok()?])
}

fn processors(text: &str) -> Result<[usize; 2], String> {
    let cpus = two(text).ok_or("two numbers are needed, as in 0,1")?;
    rsm_perf::pair::can_pin(cpus)?;
    Ok(cpus)
}

fn nodes(text: &str) -> Result<[u32; 2], String> {
    match two(text) {
        Some(nodes) if nodes.iter().all(|node| (1..=63).contains(node)) => Ok(nodes),
        _ => Err("two node ids from 1 to 63 are needed, as in 1,2".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!((size("64"), size("4K"), size("1MiB"), size("1g")), (Ok(64), Ok(4096), Ok(1 << 20), Ok(1 << 30)));
        for text in ["", "K", "8", "17", "1T", "-1", "2G", "99999999999999999999", "4 K", "0x40"] {
            assert!(size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn pairs_of_numbers() {
        assert_eq!((nodes("1,2"), nodes("3,3")), (Ok([1, 2]), Ok([3, 3])));
        for text in ["", "1", "1,2,3", "0,1", "1,64", "a,b"] {
            assert!(nodes(text).is_err(), "{text}");
        }
        assert!(processors("0").is_err());
        assert!(operation("puts").is_err_and(|text| text.contains("put64")));
    }
}
