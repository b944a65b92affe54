//! Which end of a span says whether a put arrived.
//!
//! A put that was made in explicit mode belongs to the next end of a span of its import. A record says the segment and not the import:
//! where a process has two of one segment at a time, or records of it are missing, none is told.

use super::{Call, Happening, Story, What};
use rsm_core::lens::event::Kind;
use std::collections::HashMap;

/// Imports of a segment that a process has, and puts whose span is open.
#[derive(Default)]
struct Open {
    imports: usize,
    puts: Vec<usize>,
}

/// A process, and a segment.
type Key = (usize, u32, u32);

impl Story {
    /// The puts that each end of a span was about, where that is known.
    pub(in crate::trace) fn closed(&self) -> HashMap<usize, Vec<usize>> {
        let mut closed: HashMap<usize, Vec<usize>> = HashMap::new();
        for (put, close) in self.calls().filter_map(|(index, _, call)| Some((index, call.close?))) {
            closed.entry(close).or_default().push(put);
        }
        closed
    }

    /// Finds the end of the span of each put.
    pub(super) fn find_closes(&mut self) {
        let standing: HashMap<(u32, u32), usize> =
            self.standing.iter().map(|of| ((of.node, of.id), of.importers.len())).collect();
        let mut gaps = std::mem::take(&mut self.gaps);
        gaps.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        let mut open: HashMap<Key, Open> = HashMap::new();
        let mut found: Vec<(usize, usize)> = Vec::new();
        for (index, happening) in self.happenings.iter().enumerate() {
            while let Some((process, _)) = gaps.pop_if(|(_, at)| *at <= happening.at) {
                open.iter_mut().filter(|(key, _)| key.0 == process).for_each(|(_, open)| open.puts.clear());
            }
            let Happening { process, what: What::Call(call), .. } = happening else { continue };
            let Call { kind, node, id: Some(id), code, .. } = *call else { continue };
            let imports = || standing.get(&(node, id)).copied().unwrap_or_default();
            let open =
                open.entry((*process, node, id)).or_insert_with(|| Open { imports: imports(), puts: Vec::new() });
            match (kind, code) {
                (Kind::Put, 0) if call.in_span => open.puts.push(index),
                (Kind::Connect, 0) => open.imports += 1,
                (Kind::Disconnect, 0) => {
                    open.imports = open.imports.saturating_sub(1);
                    open.puts.clear();
                }
                (Kind::Close, _) if open.imports > 1 => open.puts.clear(),
                (Kind::Close, _) => open.puts.retain(|put| {
                    let arrives = self.happenings[*put].end() <= happening.end();
                    if arrives {
                        found.push((*put, index));
                    }
                    !arrives
                }),
                _ => {}
            }
        }
        for (put, close) in found {
            if let Some(call) = self.call_mut(put) {
                call.close = Some(close);
            }
        }
    }
}
