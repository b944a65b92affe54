//! Changes for people.

use std::collections::BTreeMap;
use std::time::Duration;

use rsm::observe::{Change, ConnectionInfo, SegmentInfo};

use crate::query::table::identifier;
use crate::size;

/// A line for each change, with the seconds since the watch began. Links that change alike share a line: a node that
/// joins changes one for each of the others.
pub(super) fn render(changes: &[Change], since: Duration) -> String {
    let mut links: BTreeMap<(&str, Option<&str>, &str, u32), Vec<u32>> = BTreeMap::new();
    for change in changes {
        if let Change::LinkState { was, link } = change {
            links.entry((&link.controller, was.as_deref(), &link.state, link.to)).or_default().push(link.from);
        }
    }
    let mut lines = Vec::new();
    let mut links = Some(links);
    for change in changes {
        match change {
            // All of them where the first one stands.
            Change::LinkState { .. } => {
                lines.extend(links.take().into_iter().flatten().map(|(key, from)| link(key, &from)));
            }
            change => lines.push(line(change)),
        }
    }
    let seconds = since.as_secs_f64();
    lines.iter().map(|line| format!("{seconds:9.3}  {line}\n")).collect()
}

fn link((controller, was, state, to): (&str, Option<&str>, &str, u32), from: &[u32]) -> String {
    let nodes = if from.len() == 1 { "node" } else { "nodes" };
    let was = was.map_or_else(String::new, |was| format!(", was {was}"));
    format!("link {controller}: imports of {nodes} {} from node {to}: {state}{was}", ranges(from))
}

/// `1, 3-7, 9`.
fn ranges(numbers: &[u32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let run = |&(first, last): &(u32, u32)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}-{last}"),
    };
    runs.iter().map(run).collect::<Vec<_>>().join(", ")
}

fn line(change: &Change) -> String {
    let of = |s: &SegmentInfo| match s.id {
        Some(id) => format!("segment {} of node {}", identifier(id), s.node),
        None => format!("segment of node {} (serial {})", s.node, s.serial),
    };
    let way = |c: &ConnectionInfo| {
        format!(
            "connection {} of node {} to segment {} of node {}",
            c.generation,
            c.importer,
            identifier(c.segment),
            c.exporter
        )
    };
    match change {
        Change::NodeJoined(node) if node.host > 0 => format!("node {} joined, on host {}", node.node, node.host),
        Change::NodeJoined(node) => format!("node {} joined", node.node),
        Change::NodeLeft { node } => format!("node {node} left"),
        Change::ProcessJoined(p) => format!("process {} joined node {}", p.pid, p.node),
        Change::ProcessEnded(p) => format!("process {} of node {} ended", p.pid, p.node),
        Change::LinkState { .. } => String::new(),
        Change::LinkError { new_errors, link } => {
            let errors = if *new_errors == 1 { "1 error".to_owned() } else { format!("{new_errors} errors") };
            format!(
                "link {}: imports of node {} from node {}: {errors}, {} in all",
                link.controller, link.from, link.to, link.errors
            )
        }
        Change::SegmentCreated(s) => {
            format!(
                "segment of node {} (serial {}) created: {}, pid {}",
                s.node,
                s.serial,
                size::bytes(s.length),
                s.pid
            )
        }
        Change::SegmentPublished(s) => format!("{} published (serial {}), {}", of(s), s.serial, size::bytes(s.length)),
        Change::SegmentWithdrawn(s) => format!("{} withdrawn (serial {})", of(s), s.serial),
        Change::SegmentDestroyed(s) => format!("segment of node {} (serial {}) destroyed", s.node, s.serial),
        Change::ConnectionMade(c) => format!("{} made: {}, pid {}", way(c), c.permission, c.importer_pid),
        Change::ConnectionCut(c) => format!("{} cut", way(c)),
        Change::ConnectionReleased(c) => format!("{} released", way(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm::observe::LinkInfo;

    #[test]
    fn links_that_change_alike_share_a_line() {
        let change = |from, to, was: &str, state: &str| Change::LinkState {
            was: Some(was.to_owned()),
            link: LinkInfo { controller: "shm0".into(), from, to, state: state.into(), errors: 0, across: false },
        };
        let changes = [
            Change::NodeLeft { node: 9 },
            change(1, 5, "up", "active"),
            change(2, 5, "up", "active"),
            change(3, 5, "up", "active"),
            change(6, 5, "up", "active"),
            change(2, 1, "active", "down"),
        ];
        let text = render(&changes, Duration::from_millis(1234));
        let expected = "    1.234  node 9 left
    1.234  link shm0: imports of nodes 1-3, 6 from node 5: active, was up
    1.234  link shm0: imports of node 2 from node 1: down, was active
";
        let mut lines: Vec<&str> = text.lines().collect();
        let mut wanted: Vec<&str> = expected.lines().collect();
        lines.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(lines, wanted);
        assert!(text.starts_with("    1.234  node 9 left\n"));
    }

    #[test]
    fn runs_of_numbers() {
        assert_eq!(ranges(&[1, 2, 3, 5, 7, 8]), "1-3, 5, 7, 8");
    }
}
