//! What `trace` can be told.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use rsm_lab::trace::Segment;

use crate::{duration, number};

/// What `trace` can be told.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct TraceArgs {
    #[command(subcommand)]
    pub(crate) wish: Option<Wish>,
    #[command(flatten)]
    pub(crate) attach: AttachArgs,
}

/// What `trace --attach` can be told.
#[derive(Debug, Args)]
pub(crate) struct AttachArgs {
    /// Write down what a running cluster does from now on, whose processes note their calls meanwhile
    ///
    /// CLUSTER is its name. The ending of FILE says what is written: .rsmtrace, .html, .pftrace or .json, as with
    /// `rsm-ctl run --trace`. It ends at Ctrl-C, SIGTERM or SIGHUP, after --for, or with the cluster, and then with exit code 0.
    /// One can trace a cluster at a time. The calls of processes that come later are there from their first on.
    #[arg(long, num_args = 2, required = true, value_names = ["CLUSTER", "FILE"])]
    pub(crate) attach: Vec<OsString>,
    /// Write down the bytes of puts too, and what processes find in their own segments, so that `trace at` and `trace who` know them
    ///
    /// Each process writes them itself; what segments hold is for the user of the cluster and for root. A process looks at its
    /// published segments of at most 1 MiB (4 MiB of them) when the trace begins, at its signals, waits, publications and ends of
    /// spans, and every 50 ms.
    #[arg(long, requires = "attach")]
    pub(crate) trace_bytes: bool,
    /// End after this time: 500ms, 60s, 5m, 1h, or seconds
    #[arg(long = "for", value_name = "TIME", value_parser = duration::parse_positive, requires = "attach")]
    pub(crate) time: Option<Duration>,
}

/// What to do with a trace.
#[derive(Debug, Subcommand)]
pub(crate) enum Wish {
    /// Print it as text, a line for each call
    ///
    /// A line has the number of what happened, when it began, which process did it, what it was, and how long it took. Behind a
    /// wait stands the number of the signal that it took, where that is known.
    Show(ShowArgs),
    /// Say who wrote a byte of a segment last: a put, or a store that went past the library
    ///
    /// What the owner of a segment stores, and importers through mappings, is not noted. In a trace with bytes (--trace-bytes)
    /// a segment of at most 1 MiB is looked at at each signal, wait, publication and end of a span of its owner, others every
    /// 50 ms, so such a store is known to lie between two looks. A last line says where somebody may have stored since the last
    /// one.
    Who(WhoArgs),
    /// Show what a segment held after an event; needs a trace with bytes
    ///
    /// A warning says since when the owner, or somebody through a mapping, may have stored what is not in the bytes.
    At(AtArgs),
    /// Write it as something else: a page for a browser (.html), for Perfetto (.pftrace), or as JSON of Chrome's tracing (.json)
    Export(ExportArgs),
}

/// What `trace export` can be told.
#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The trace, a .rsmtrace file
    pub(crate) file: PathBuf,
    /// What to write; the ending says what it is to be
    pub(crate) output: PathBuf,
}

/// What `trace who` can be told.
#[derive(Debug, Args)]
pub(crate) struct WhoArgs {
    /// The trace, a .rsmtrace file
    pub(crate) file: PathBuf,
    /// The byte: NODE:ID+OFFSET, such as 2:0x400001+4096
    #[arg(value_name = "NODE:ID+OFFSET", value_parser = place)]
    pub(crate) byte: (Segment, u64),
    /// At the end of the event with this number in `trace show`, instead of at the end of the trace
    #[arg(long, value_name = "EVENT")]
    pub(crate) at: Option<usize>,
}

/// What `trace at` can be told.
#[derive(Debug, Args)]
pub(crate) struct AtArgs {
    /// The trace, a .rsmtrace file
    pub(crate) file: PathBuf,
    /// The segment: NODE:ID, such as 2:0x400001; with +OFFSET from there on
    #[arg(value_name = "NODE:ID[+OFFSET]", value_parser = place_or_segment)]
    pub(crate) place: (Segment, u64),
    /// At the end of the event with this number in `trace show` [default: the end of the trace]
    #[arg(value_name = "EVENT")]
    pub(crate) at: Option<usize>,
    /// So many bytes at most [default: 256, or all with --output]
    #[arg(long, value_name = "BYTES")]
    pub(crate) length: Option<usize>,
    /// Write the bytes themselves to this file
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Reads a number, decimal or, after 0x, hexadecimal.
fn value(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+')),
        None => text.parse().ok().filter(|_| !text.starts_with('+')),
    }
}

fn parsed(text: &str) -> Option<(Segment, Option<u64>)> {
    let (node, rest) = text.split_once(':')?;
    let (id, offset) = match rest.split_once('+') {
        Some((id, offset)) => (id, Some(value(offset)?)),
        None => (rest, None),
    };
    let small = |text: &str| value(text).and_then(|value| u32::try_from(value).ok());
    Some((Segment { node: small(node)?, id: small(id)? }, offset))
}

/// Reads a byte of a segment.
fn place(text: &str) -> Result<(Segment, u64), String> {
    let wrong = || format!("{text:?} is no byte of a segment: NODE:ID+OFFSET, such as 2:0x400001+4096");
    let (segment, offset) = parsed(text).ok_or_else(wrong)?;
    Ok((segment, offset.ok_or_else(wrong)?))
}

/// Reads a segment, and from where on.
fn place_or_segment(text: &str) -> Result<(Segment, u64), String> {
    let wrong = || format!("{text:?} is no segment: NODE:ID, such as 2:0x400001, or NODE:ID+OFFSET");
    parsed(text).map(|(segment, offset)| (segment, offset.unwrap_or(0))).ok_or_else(wrong)
}

/// What `trace show` can be told.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    /// The trace, a .rsmtrace file
    pub(crate) file: PathBuf,
    /// Only what processes of this node did
    #[arg(long, value_name = "NODE", value_parser = number::node)]
    pub(crate) node: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read() {
        let segment = Segment { node: 2, id: 0x40_0001 };
        assert_eq!(place("2:0x400001+4096"), Ok((segment, 4096)));
        assert_eq!(place("2:4194305+0x10"), Ok((segment, 16)));
        assert_eq!(place_or_segment("2:0x400001"), Ok((segment, 0)));
        for text in ["", "2", "2:", "2:0x", "a:1+0", "2:1+", "2:1+-1", "2:0x+1+0", "2:+1+0", "2:0x1ffffffff+0"] {
            assert!(place(text).unwrap_err().contains("NODE:ID+OFFSET, such as 2:0x400001+4096"), "{text}");
        }
        assert!(place("2:0x400001").unwrap_err().contains("is no byte of a segment"));
    }
}
