//! The comparison as two tables: ratios to the raw operation of the same pair, and times.

use rsm_perf::measure::Outcome;
use rsm_perf::report::bytes;

/// Who takes part and what was done, in the order of appearance.
pub fn axes(outcomes: &[Outcome]) -> (Vec<&str>, Vec<(&str, usize)>) {
    let (mut programs, mut rows) = (Vec::new(), Vec::new());
    for outcome in outcomes {
        if !programs.contains(&outcome.program.as_str()) {
            programs.push(outcome.program.as_str());
        }
        if !rows.contains(&(outcome.op.as_str(), outcome.bytes)) {
            rows.push((outcome.op.as_str(), outcome.bytes));
        }
    }
    (programs, rows)
}

fn table(title: &str, outcomes: &[Outcome], cell: impl Fn(&Outcome) -> String) -> String {
    let (programs, rows) = axes(outcomes);
    let mut text = format!("\n# {title}\n{:<15}{:>8}", "operation", "size");
    for program in &programs {
        text += &format!("{program:>14}");
    }
    text.push('\n');
    for (op, size) in rows {
        text += &format!("{op:<15}{:>8}", bytes(size));
        for program in &programs {
            let found = outcomes.iter().find(|o| o.op == op && o.bytes == size && o.program == *program);
            text += &format!("{:>14}", found.map_or_else(|| "-".into(), &cell));
        }
        text.push('\n');
    }
    text
}

/// Both tables, and what regime they were taken in.
pub fn render(outcomes: &[Outcome]) -> String {
    let mut text =
        table("median of the ratios to the raw operation of the same pair, in the same round", outcomes, |o| {
            o.ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
        });
    text += &table("median time / p99: n, u, m are nano-, micro-, milliseconds", outcomes, |o| {
        format!("{}/{}", short(o.nanoseconds.median), short(o.nanoseconds.p99))
    });
    text += &table(
        "raw cache-line round trip meanwhile in nanoseconds, and part of the rounds below 200 (near)",
        outcomes,
        |o| format!("{:.0} {:.0}%", o.round_trip, o.near * 100.0),
    );
    text
}

/// Three digits and a unit.
fn short(nanoseconds: f64) -> String {
    let (number, unit) = match nanoseconds {
        n if n < 1e3 => (n, "n"),
        n if n < 1e6 => (n / 1e3, "u"),
        n => (n / 1e6, "m"),
    };
    let digits = if number < 10.0 {
        2
    } else if number < 100.0 {
        1
    } else {
        0
    };
    format!("{number:.digits$}{unit}")
}
