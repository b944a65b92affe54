//! A trace as text: a line for each happening.

use super::story::{Call, Happening, Story, What};
use rsm_core::Code;
use rsm_core::lens::event::Kind;
use std::fmt::Write;

/// Milliseconds, with the digits of nanoseconds in groups.
fn time(ns: u64) -> String {
    format!("{}.{:03} {:03}", ns / 1_000_000, ns / 1000 % 1000, ns % 1000)
}

/// How long something took.
fn length(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{} us", ns / 1000),
        _ => format!("{} ms", ns / 1_000_000),
    }
}

/// A segment as it is named on command lines: `NODE:ID`.
pub fn segment(node: u32, id: u32) -> String {
    format!("{node}:{id:#x}")
}

/// A call in words.
pub fn call(call: &Call) -> String {
    let mut text = format!("{:<11}", call.kind.name());
    if call.kind == Kind::Fault {
        let fault = call.fault().map_or_else(|| format!("number {}", call.offset), |fault| fault.to_string());
        return text + &fault;
    }
    match (call.id, call.kind) {
        (Some(id), _) => text += &segment(call.node, id),
        (None, Kind::Wait) => _ = write!(text, "bell {} of node {}", call.number, call.node),
        (None, _) => _ = write!(text, "row {} of node {}", call.number, call.node),
    }
    match call.kind {
        Kind::Put | Kind::Get | Kind::Map | Kind::Unmap => {
            _ = write!(text, " [{},+{})", call.offset, call.length);
        }
        Kind::Create if call.code == 0 => _ = write!(text, ", {} bytes", call.length),
        Kind::Connect if call.code == 0 => _ = write!(text, ", {} bytes", call.length),
        _ => {}
    }
    if let Some(error) = error(call.code) {
        _ = write!(text, ": {error}");
    }
    text
}

/// Which end of a span said that a put had arrived, or that it may not have; where that is known.
pub fn closed(story: &Story, put: usize) -> Option<String> {
    let call = |index: usize| match &story.happenings[index].what {
        What::Call(call) => Some(call),
        _ => None,
    };
    let close = call(put)?.close?;
    let (end, number) = (time(story.end_of(close)), close + 1);
    Some(match error(call(close)?.code) {
        None => format!("closed {end} ms by {number}"),
        Some(error) => format!("its span was closed {end} ms by {number}: {error}"),
    })
}

/// The name of an error.
fn error(code: u32) -> Option<String> {
    let name = |code: u32| i32::try_from(code).ok().and_then(Code::from_number).map(Code::name);
    (code != 0).then(|| name(code).map_or_else(|| format!("error {code}"), str::to_owned))
}

/// What comes before the first line of a trace that does not begin with its cluster.
pub fn beginning(story: &Story) -> Option<String> {
    let there = story.standing.len();
    let segments = if there == 1 { "1 segment".to_owned() } else { format!("{there} segments") };
    let name = &story.beginning.name;
    story.beginning.late.then(|| {
        format!("the trace begins in the middle: cluster {name:?} was there, with {segments}; what was done before is not in it")
    })
}

/// Who it may have been that stored something after this time, of whom nothing was noted.
pub fn storers(story: &Story, after: u64) -> String {
    // Where a trace begins with its cluster there is nobody who was there before.
    let all_note = story.noted_from.is_some_and(|from| from <= after);
    let others = if all_note { "" } else { ", or a put of a process that did not note its calls yet" };
    format!("a store through a mapping or of the owner{others}")
}

/// The line of a happening; its number is counted from 1.
pub fn line(story: &Story, index: usize) -> String {
    let Happening { at, took, process, what } = &story.happenings[index];
    let process = &story.processes[*process];
    let mut line = format!("{:>6} {:>15} ms  node {:<2} (pid {})  ", index + 1, time(*at), process.node, process.pid);
    match what {
        What::Call(done) => {
            line += &call(done);
            if done.kind != Kind::Fault {
                _ = write!(line, "  {}", length(*took));
            }
            if process.has_threads() {
                _ = write!(line, "  thread {}", done.thread);
            }
            if let Some(from) = done.from {
                _ = write!(line, "  of {}", from + 1);
            }
        }
        What::Left => line += "has left the cluster",
        What::Ended(0, code) => _ = write!(line, "ended with {code}"),
        What::Ended(signal, _) => _ = write!(line, "was killed by signal {signal}"),
        What::Missing(lost, torn) => {
            if *lost > 0 {
                _ = write!(line, "{lost} records before this were lost: they came faster than they were read");
            }
            if *lost > 0 && *torn > 0 {
                line += "; ";
            }
            if *torn > 0 {
                _ = write!(line, "{torn} records are torn: it died while it wrote, or was stopped");
            }
        }
    }
    line
}

/// Bytes as hexadecimal digits and as letters, sixteen to a line, from this offset on.
pub fn dump(offset: usize, bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        let digits: Vec<String> = line.iter().map(|byte| format!("{byte:02x}")).collect();
        let letter = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '.' };
        let letters: String = line.iter().map(letter).collect();
        _ = writeln!(text, "{:08x}  {:<47}  {letters}", offset + at * 16, digits.join(" "));
    }
    text
}
