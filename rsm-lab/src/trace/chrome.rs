//! A trace as JSON in the format of Chrome's tracing, which many viewers read: a courtesy, as it is four times as long as any
//! other.

use super::story::{Story, What};
use super::text;
use super::tracks::{Track, tracks};
use rsm_core::lens::event::Kind;
use std::collections::BTreeSet;
use std::fmt::Write;

/// Microseconds.
fn time(ns: u64) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

/// The number of a track in its process.
fn tid(track: Track) -> usize {
    track.thread as usize + 16 * track.further
}

/// The trace as JSON.
pub fn chrome(story: &Story) -> String {
    let mut json = "{\"displayTimeUnit\":\"ns\",".to_owned();
    if let Some(beginning) = text::beginning(story) {
        _ = write!(json, "\"otherData\":{{\"beginning\":{}}},", super::page::quoted(&beginning));
    }
    json.push_str("\"traceEvents\":[");
    let mut first = true;
    let mut add = |row: String| {
        json.push_str(if std::mem::take(&mut first) { "\n" } else { ",\n" });
        json.push_str(&row);
    };
    for (index, process) in story.processes.iter().enumerate() {
        let (node, pid) = (process.node, process.pid);
        add(format!(
            "{{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":{index},\"args\":{{\"name\":\"node {node} (pid {pid})\"}}}}"
        ));
    }
    let tracks = tracks(story);
    for track in tracks.values().collect::<BTreeSet<_>>() {
        let (pid, tid, name) = (track.process, tid(*track), track.name());
        add(format!(
            "{{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":{pid},\"tid\":{tid},\"args\":{{\"name\":\"{name}\"}}}}"
        ));
    }
    // A flow of a signal has the number of the wait that it leads to, one of a put that of the put.
    let (takers, closed) = (story.takers(), story.closed());
    for (index, happening) in story.happenings.iter().enumerate() {
        let (at, pid) = (time(happening.at), happening.process);
        match &happening.what {
            What::Call(call) => {
                let mut more = format!("\"event\":{}", index + 1);
                if let Some(id) = call.id {
                    _ = write!(more, ",\"segment\":\"{}\"", text::segment(call.node, id));
                }
                if matches!(call.kind, Kind::Put | Kind::Get | Kind::Map | Kind::Unmap) {
                    _ = write!(more, ",\"offset\":{},\"length\":{}", call.offset, call.length);
                }
                if let Some(fault) = call.fault() {
                    _ = write!(more, ",\"fault\":\"{fault}\"");
                }
                if call.code != 0 {
                    _ = write!(more, ",\"error\":{}", call.code);
                }
                let (name, took, tid) = (call.kind.name(), time(happening.took), tid(tracks[&index]));
                add(format!(
                    "{{\"ph\":\"X\",\"name\":\"{name}\",\"pid\":{pid},\"tid\":{tid},\"ts\":{at},\"dur\":{took},\"args\":{{{more}}}}}"
                ));
                let flow = "\"name\":\"signal\",\"cat\":\"signal\"";
                for taker in takers.get(&index).into_iter().flatten() {
                    add(format!("{{\"ph\":\"s\",{flow},\"id\":{taker},\"pid\":{pid},\"tid\":{tid},\"ts\":{at}}}"));
                }
                let end = time(happening.end());
                if call.from.is_some() {
                    add(format!(
                        "{{\"ph\":\"f\",\"bp\":\"e\",{flow},\"id\":{index},\"pid\":{pid},\"tid\":{tid},\"ts\":{end}}}"
                    ));
                }
                let flow = "\"name\":\"close\",\"cat\":\"close\"";
                if call.close.is_some() {
                    add(format!("{{\"ph\":\"s\",{flow},\"id\":{index},\"pid\":{pid},\"tid\":{tid},\"ts\":{at}}}"));
                }
                for put in closed.get(&index).into_iter().flatten() {
                    add(format!(
                        "{{\"ph\":\"f\",\"bp\":\"e\",{flow},\"id\":{put},\"pid\":{pid},\"tid\":{tid},\"ts\":{end}}}"
                    ));
                }
            }
            other => {
                let name = match other {
                    What::Left => "left".to_owned(),
                    What::Ended(0, code) => format!("ended with {code}"),
                    What::Ended(signal, _) => format!("killed by signal {signal}"),
                    What::Missing(lost, torn) => format!("{} records missing", lost + torn),
                    What::Call(_) => continue,
                };
                add(format!("{{\"ph\":\"i\",\"s\":\"p\",\"name\":\"{name}\",\"pid\":{pid},\"tid\":0,\"ts\":{at}}}"));
            }
        }
    }
    json.push_str("\n]}\n");
    json
}
