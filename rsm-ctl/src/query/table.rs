//! Answers for people: a headline and one line per row, columns two blanks apart.

use rsm::observe::{ClusterRef, ConnectionInfo, ControllerInfo, LinkInfo, NodeInfo, SegmentInfo};
use rustix::process::geteuid;

use super::rows::{ClusterRow, ProcessRow, Rows};
use crate::{printable, size};

pub(crate) fn render(rows: &Rows) -> String {
    match rows {
        Rows::Clusters(rows) => {
            let hosts = |row: &ClusterRow| if let ClusterRow::Open(row) = row { row.hosts } else { 0 };
            of_hosts(
                ["NAME", "NODES", "JOINED", "PROCESSES", "SEGMENTS", "CONNECTIONS", "AGENT", "UID", "LENS"],
                rows.iter().map(cluster),
                ("HOSTS", rows.iter().map(hosts).collect(), 1),
            )
        }
        Rows::Nodes(rows) => of_hosts(
            ["NODE", "JOINED", "PROCESSES", "PID", "UID", "EXPORTS", "BYTES", "IMPORTS"],
            rows.iter().map(node),
            ("HOST", rows.iter().map(|row| row.host).collect(), 0),
        ),
        Rows::Segments(rows) => of_hosts(
            ["NODE", "ID", "STATE", "CONTROLLER", "LENGTH", "PID", "UID", "IMPORTERS"],
            rows.iter().map(segment),
            ("HOST", rows.iter().map(|row| row.host).collect(), 0),
        ),
        Rows::Connections(rows) => table(
            ["GENERATION", "IMPORTER", "PID", "EXPORTER", "SEGMENT", "CONTROLLER", "PERMISSION", "STATE"],
            rows.iter().map(connection),
        ),
        Rows::Links(rows) if rows.iter().any(|row| row.across) => table(
            ["CONTROLLER", "FROM", "TO", "STATE", "ERRORS", "ACROSS"],
            rows.iter().map(|row| {
                let [controller, from, to, state, errors] = link(row);
                [controller, from, to, state, errors, if row.across { "yes" } else { "no" }.to_owned()]
            }),
        ),
        Rows::Links(rows) => table(["CONTROLLER", "FROM", "TO", "STATE", "ERRORS"], rows.iter().map(link)),
        Rows::Controllers(rows) => {
            table(["CONTROLLER", "KIND", "LARGEST SEGMENT", "SEGMENTS", "IMPORTS"], rows.iter().map(controller))
        }
        Rows::Waits(rows) => table(["PID", "WAITS FOR"], rows.iter().map(|row| [row.pid.to_string(), row.to_string()])),
        Rows::Processes(rows) => {
            table(["PID", "UID", "STATE", "THREADS", "MEMORY", "COMMAND"], rows.iter().map(process))
        }
    }
}

/// A table with a last column that says where things are, where there is more than one host: some number is above the least.
pub(super) fn of_hosts<const N: usize>(
    headline: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
    (name, hosts, least): (&str, Vec<u32>, u32),
) -> String {
    if hosts.iter().all(|&host| host <= least) {
        return table(headline, rows);
    }
    let hosts = hosts.into_iter().map(|host| if host == 0 { "-".to_owned() } else { host.to_string() });
    let rows = rows.map(Vec::from).zip(hosts).map(|(mut row, host)| {
        row.push(host);
        row
    });
    lined_up(headline.into_iter().chain([name]).map(str::to_owned).collect(), rows)
}

pub(super) fn table<const N: usize>(headline: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    lined_up(headline.map(str::to_owned).into(), rows.map(Vec::from))
}

fn lined_up(headline: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut widths = vec![0; headline.len()];
    let rows = rows.map(|row| row.iter().map(|cell| printable::name(cell)).collect());
    let rows: Vec<Vec<String>> = std::iter::once(headline).chain(rows).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let mut line = String::new();
        for (cell, &width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - cell.chars().count() + 2));
        }
        // Padding of the last column would be blanks at the end of each line.
        line.truncate(line.trim_end().len());
        line + "\n"
    };
    rows.iter().map(line).collect()
}

fn cluster(row: &ClusterRow) -> [String; 9] {
    let row = match row {
        ClusterRow::Open(row) => row,
        ClusterRow::Closed(row) => {
            let unknown = || "-".to_owned();
            return [
                called(row.uid, &row.name),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                unknown(),
                row.uid.to_string(),
                unknown(),
            ];
        }
    };
    [
        called(row.uid, &row.name),
        row.nodes.to_string(),
        row.joined.to_string(),
        row.processes.to_string(),
        row.segments.to_string(),
        row.connections.to_string(),
        row.agent_pid.to_string(),
        row.uid.to_string(),
        row.lens.clone().unwrap_or_else(|| "-".to_owned()),
    ]
}

/// What names a cluster on a command line: the name for one's own, the address for that of another user.
fn called(uid: u32, name: &str) -> String {
    if uid == geteuid().as_raw() { name.to_owned() } else { ClusterRef { name: name.to_owned(), uid }.address() }
}

fn node(row: &NodeInfo) -> [String; 8] {
    [
        row.node.to_string(),
        if row.joined { "yes" } else { "no" }.to_owned(),
        row.processes.to_string(),
        optional(row.pid),
        optional(row.uid),
        row.exports.to_string(),
        size::bytes(row.exported_bytes),
        row.imports.to_string(),
    ]
}

fn segment(row: &SegmentInfo) -> [String; 8] {
    [
        row.node.to_string(),
        row.id.map_or_else(|| "-".to_owned(), identifier),
        state(row).to_owned(),
        row.controller.clone(),
        row.length.to_string(),
        row.pid.to_string(),
        row.uid.to_string(),
        row.importers.to_string(),
    ]
}

/// Where a segment is in its life.
pub(crate) fn state(row: &SegmentInfo) -> &'static str {
    match (row.published, row.withdrawing) {
        (true, _) => "published",
        (false, true) => "withdrawing",
        (false, false) => "private",
    }
}

fn connection(row: &ConnectionInfo) -> [String; 8] {
    [
        row.generation.to_string(),
        row.importer.to_string(),
        row.importer_pid.to_string(),
        row.exporter.to_string(),
        identifier(row.segment),
        row.controller.clone(),
        row.permission.clone(),
        row.state.clone(),
    ]
}

fn link(row: &LinkInfo) -> [String; 5] {
    [row.controller.clone(), row.from.to_string(), row.to.to_string(), row.state.clone(), row.errors.to_string()]
}

fn controller(row: &ControllerInfo) -> [String; 5] {
    [
        row.controller.clone(),
        row.kind.clone(),
        size::bytes(row.max_segment_bytes),
        row.max_segments.to_string(),
        row.max_imports.to_string(),
    ]
}

fn process(row: &ProcessRow) -> [String; 6] {
    let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
    [
        row.process.pid.to_string(),
        row.process.uid.to_string(),
        row.state.state.to_owned(),
        optional(row.state.threads),
        known(row.state.resident_bytes.map(size::bytes)),
        row.state.command.clone(),
    ]
}

fn optional(number: Option<u32>) -> String {
    number.map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// Segment ids are hexadecimal everywhere in the reference.
pub(crate) fn identifier(id: u32) -> String {
    format!("{id:#x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_lines_end_with_their_last_word() {
        let link = |from, to, errors| {
            let (controller, state, across) = ("shm0".into(), "active".into(), false);
            LinkInfo { controller, from, to, state, errors, across }
        };
        let text = render(&Rows::Links(vec![link(1, 2, 0), link(10, 11, 12)]));
        let expected = "\
CONTROLLER  FROM  TO  STATE   ERRORS
shm0        1     2   active  0
shm0        10    11  active  12
";
        assert_eq!(text, expected);
    }

    #[test]
    fn a_cluster_is_called_what_one_calls_it() {
        let me = geteuid().as_raw();
        let row = |uid| ClusterRow::Closed(ClusterRef { name: "demo".into(), uid });
        let text = render(&Rows::Clusters(vec![row(me), row(me + 1)]));
        let names: Vec<&str> = text.lines().filter_map(|line| line.split(' ').next()).collect();
        assert_eq!(names, ["NAME", "demo", &format!("rsm:{}:demo", me + 1)]);
    }

    #[test]
    fn what_is_not_known_is_a_dash() {
        let node = NodeInfo {
            node: 3,
            joined: false,
            processes: 0,
            pid: None,
            uid: None,
            exports: 0,
            imports: 0,
            exported_bytes: 0,
            incarnation: 0,
            host: 0,
        };
        let text = render(&Rows::Nodes(vec![node.clone()]));
        assert_eq!(text.lines().nth(1), Some("3     no      0          -    -    0        0      0"));
        // Where there are two hosts, each node is on one.
        let text = render(&Rows::Nodes(vec![NodeInfo { host: 2, ..node }]));
        assert_eq!(text.lines().nth(1), Some("3     no      0          -    -    0        0      0        2"));
    }
}
