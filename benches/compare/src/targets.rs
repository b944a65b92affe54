//! The targets T1 to T23: what of them this run has measured, and whether it reached them.
//!
//! Most are ratios that the comparison has anyway. The others are measured here, in this process or with nodes that are
//! this program started again ([`node`]).

mod control;
mod copies;
mod leftovers;
mod ring;

use rsm_perf::measure::Outcome;
use serde::Serialize;

/// One number of a target.
#[derive(Clone, Debug, Serialize)]
pub struct Target {
    /// Its number.
    pub name: &'static str,
    /// What is measured.
    pub what: String,
    /// What was measured, or nothing where it was not possible.
    pub measured: Option<f64>,
    /// No more than this.
    pub most: f64,
    /// Of the two numbers.
    pub unit: &'static str,
}

impl Target {
    fn reached(&self) -> Option<bool> {
        self.measured.map(|measured| measured <= self.most)
    }
}

/// Looks up what the comparison has measured, and measures the rest.
pub fn measure(outcomes: &[Outcome]) -> Result<Vec<Target>, String> {
    let mut targets = Vec::new();
    let find = |program: &str, op: &str, bytes: usize| {
        outcomes.iter().find(|o| o.program == program && o.op == op && o.bytes == bytes)
    };
    let mut ratio = |name, op: &str, bytes: usize, most: f64| {
        for program in ["rsm", "rsm-c"] {
            let measured = find(program, op, bytes).and_then(|o| o.ratio);
            let what = format!("{program}: {op} of {}", rsm_perf::report::bytes(bytes));
            targets.push(Target { name, what, measured, most, unit: "x raw" });
        }
    };
    const K: usize = 1 << 10;
    const M: usize = 1 << 20;
    ratio("T1", "store", 8, 1.05);
    ratio("T5", "fetch-add", 8, 2.0);
    ratio("T6", "latency", 8, 1.15);
    ratio("T7", "signal", 8, 1.15);
    ratio("T8", "notify", K, 1.15);
    ratio("T10", "signal-asleep", 8, 1.1);
    ratio("T11", "meet", 8, 1.3);
    ratio("T12", "put", M, 1.0 / 0.97);
    ratio("T13", "put", 64 * K, 1.0 / 0.95);
    ratio("T13", "put", 4 * K, 1.0 / 0.77);
    ratio("T14", "ack", 64 * K, 1.05);
    ratio("T14", "ack", M, 1.05);
    ratio("T17", "publish", M, 1.0);
    ratio("T18", "connect", M, 1.25);
    for (name, op, most) in
        [("T2", "put64", 5.0), ("T3", "put64-implicit", 8.0), ("T4", "get64", 5.0), ("T9", "post", 5.0)]
    {
        for program in ["rsm", "rsm-c"] {
            let measured = find(program, op, 8).map(|o| o.nanoseconds.median);
            targets.push(Target { name, what: format!("{program}: {op}"), measured, most, unit: "ns" });
        }
    }
    targets.extend(instructions());
    targets.extend(copies::targets()?);
    targets.extend(control::targets()?);
    targets.push(leftovers::target()?);
    targets.push(ring::target());
    targets.sort_by_key(|target| target.name[1..].parse::<u32>().unwrap_or(u32::MAX));
    Ok(targets)
}

/// Instructions that `ci/instructions.sh` has recorded, of operations with their caller.
fn instructions() -> Vec<Target> {
    let path = crate::peers::root().join("rsm-capi/benches/instructions/recorded.txt");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let count = |of: &str| text.lines().find_map(|line| line.strip_prefix(of)?.trim().parse::<f64>().ok());
    let mut targets = Vec::new();
    for (name, language, op, most) in [
        ("T2", "rust", "put64_explicit", 40.0),
        ("T2", "c", "put64_explicit", 40.0),
        ("T3", "rust", "put64_implicit", 60.0),
        ("T3", "c", "put64_implicit", 60.0),
    ] {
        let measured = count(&format!("{language} {op} "));
        targets.push(Target { name, what: format!("{language}: {op}, recorded"), measured, most, unit: "instr." });
    }
    for (language, most) in [("rust", 60.0), ("c", 110.0)] {
        let part = |op: &str| count(&format!("{language} {op} "));
        let measured = part("span").zip(part("put64_explicit")).map(|(span, put)| span + put);
        let what = format!("{language}: open, put, close, recorded");
        targets.push(Target { name: "T3", what, measured, most, unit: "instr." });
    }
    targets
}

/// A line for each.
pub fn render(targets: &[Target]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let mut text = format!("\n# targets\n{:<5}{:<58}{:>10} {:>10}  {:<6}  \n", "", "", "measured", "at most", "");
    for target in targets {
        let reached = match target.reached() {
            Some(true) => "reached",
            Some(false) => "NOT reached",
            None => "not measured",
        };
        let measured = target.measured.map_or_else(|| "-".into(), |n| format!("{n:.2}"));
        let Target { name, what, most, unit, .. } = target;
        text += &format!("{name:<5}{what:<58}{measured:>10} {most:>10.2}  {unit:<6}  {reached}\n");
    }
    text + "Instructions are those that ci/instructions.sh --record found, callers included.\n"
}

/// What a process does that a target's cluster or ring is made of.
pub fn node(words: &[String]) -> Result<(), String> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["import", id] => control::import(id),
        ["work"] => leftovers::work(),
        ["futex-ring", memory, seat, seats, hops] => ring::seat(memory, seat, seats, hops),
        _ => Err(format!("no node does {words:?}")),
    }
}

fn said(error: impl std::fmt::Display) -> String {
    error.to_string()
}
