//! Rows of cells that know how to sort.

use std::cmp::Ordering;

use rsm::observe::LinkInfo;

use super::args::View;
use super::sample::Sample;
use crate::colour::Tone;
use crate::query::process;
use crate::query::table::{identifier, state};
use crate::{printable, size};

/// What stands in a cell, and what it counts for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Cell {
    pub(super) text: String,
    number: f64,
    pub(super) tone: Option<Tone>,
}

impl Cell {
    fn number(number: impl Into<f64>) -> Cell {
        let number = number.into();
        Cell { text: format!("{number}"), number, tone: None }
    }

    fn shown(text: impl Into<String>, number: f64) -> Cell {
        Cell { text: text.into(), number, tone: None }
    }

    fn word(text: impl Into<String>) -> Cell {
        Cell::shown(printable::name(&text.into()), f64::NAN)
    }

    fn toned(self, tone: Option<Tone>) -> Cell {
        Cell { tone, ..self }
    }

    fn bytes(count: u64) -> Cell {
        Cell::shown(size::bytes(count), count as f64)
    }
}

/// By which column, and which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) column: usize,
    pub(super) descending: bool,
}

impl Order {
    /// The first column, upwards.
    pub(super) const FIRST: Order = Order { column: 0, descending: false };

    /// The column of this name, the largest first.
    pub(super) fn named(view: View, hosts: bool, name: Option<&str>) -> Result<Order, String> {
        let Some(name) = name else { return Ok(Order::FIRST) };
        let headline = headline(view, hosts);
        match headline.iter().position(|column| column.eq_ignore_ascii_case(name)) {
            Some(column) => Ok(Order { column, descending: column > 0 }),
            None => {
                let columns: Vec<String> = headline.iter().map(|column| column.to_lowercase()).collect();
                Err(format!("there is no column \"{name}\"; the columns are: {}", columns.join(", ")))
            }
        }
    }
}

/// What is shown.
pub(super) struct Table {
    pub(super) headline: &'static [&'static str],
    pub(super) rows: Vec<Vec<Cell>>,
}

/// The columns, the last of which says where things are in a cluster of two hosts.
pub(super) fn headline(view: View, hosts: bool) -> &'static [&'static str] {
    let all: &[&str] = match view {
        View::Nodes => &[
            "NODE",
            "STATE",
            "PROCS",
            "MEMORY",
            "SIGNALS/S",
            "TRANSFERS/S",
            "BYTES/S",
            "EXPORTS",
            "EXPORTED",
            "IMPORTS",
            "CUT",
            "LINKS DOWN",
            "ERRORS",
            "HOST",
        ],
        View::Segments => &["NODE", "ID", "STATE", "LENGTH", "IMPORTERS", "CONTROLLER", "PID", "HOST"],
        View::Connections => {
            &["GENERATION", "STATE", "IMPORTER", "EXPORTER", "SEGMENT", "PERMISSION", "CONTROLLER", "PID", "ACROSS"]
        }
        View::Links => &["FROM", "TO", "STATE", "ERRORS", "CONTROLLER", "ACROSS"],
    };
    if hosts { all } else { &all[..all.len() - 1] }
}

impl Table {
    pub(super) fn of(view: View, before: &Sample, now: &Sample, order: Order) -> Table {
        let mut rows = match view {
            View::Nodes => nodes(before, now),
            View::Segments => segments(now),
            View::Connections => connections(now),
            View::Links => links(now),
        };
        let headline = headline(view, now.has_hosts());
        rows.iter_mut().for_each(|row| row.truncate(headline.len()));
        sort(&mut rows, order);
        Table { headline, rows }
    }

    /// Width of each column.
    pub(super) fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| row[column].text.chars().count());
            cells.chain([self.headline[column].len()]).max().unwrap_or(0)
        };
        (0..self.headline.len()).map(width).collect()
    }

    /// For paper and pipes.
    pub(super) fn text(&self) -> String {
        let widths = self.widths();
        let line = |cells: &[&str]| {
            let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
            padded.join("  ").trim_end().to_owned() + "\n"
        };
        let rows = self.rows.iter().map(|row| line(&row.iter().map(|cell| cell.text.as_str()).collect::<Vec<_>>()));
        [line(self.headline)].into_iter().chain(rows).collect()
    }
}

/// Whether something leads from one host to another.
fn across(is: bool) -> Cell {
    Cell::word(if is { "yes" } else { "no" })
}

fn sort(rows: &mut [Vec<Cell>], order: Order) {
    let compare = |a: &Cell, b: &Cell| match a.number.partial_cmp(&b.number) {
        Some(by_number) => by_number,
        None => a.text.cmp(&b.text),
    };
    // Stable: what is equal stays in the order of nodes.
    rows.sort_by(|a, b| match (a.get(order.column), b.get(order.column)) {
        (Some(a), Some(b)) if order.descending => compare(b, a),
        (Some(a), Some(b)) => compare(a, b),
        _ => Ordering::Equal,
    });
}

fn nodes(before: &Sample, now: &Sample) -> Vec<Vec<Cell>> {
    let row = |node: &rsm::observe::NodeInfo| {
        let number = node.node;
        let rates = now.rates(before, Some(number));
        let resident = process::resident_together(now.states_of(number));
        let stopped = now.states_of(number).any(|state| state.state == "stopped");
        let (state, tone) = match (node.joined, stopped) {
            (false, _) => ("away", Some(Tone::Faint)),
            (true, true) => ("stopped", Some(Tone::Warning)),
            (true, false) => ("joined", None),
        };
        let own: Vec<&LinkInfo> =
            now.seen.links.iter().filter(|link| link.from == number || link.to == number).collect();
        let down = own.iter().filter(|link| link.state == "down").count();
        let errors: u64 = own.iter().map(|link| link.errors).fold(0, u64::saturating_add);
        let cut = now.seen.connections.iter().filter(|c| c.importer == number && c.state == "cut").count();
        let bad = |count: u64, tone| Cell::number(count as f64).toned((count > 0).then_some(tone));
        vec![
            Cell::number(number),
            Cell::word(state).toned(tone),
            Cell::number(node.processes),
            resident.map_or_else(|| Cell::word("?"), Cell::bytes),
            Cell::shown(size::count(rates.signals), rates.signals),
            Cell::shown(size::count(rates.transfers), rates.transfers),
            Cell::bytes(rates.bytes as u64),
            Cell::number(node.exports),
            Cell::bytes(node.exported_bytes),
            Cell::number(node.imports),
            bad(cut as u64, Tone::Warning),
            bad(down as u64, Tone::Bad),
            bad(errors, Tone::Warning),
            Cell::number(node.host),
        ]
    };
    now.seen.nodes.iter().map(row).collect()
}

fn segments(now: &Sample) -> Vec<Vec<Cell>> {
    let row = |segment: &rsm::observe::SegmentInfo| {
        vec![
            Cell::number(segment.node),
            Cell::shown(segment.id.map_or_else(|| "-".to_owned(), identifier), segment.id.unwrap_or(0).into()),
            Cell::word(state(segment)).toned((!segment.published).then_some(Tone::Faint)),
            Cell::bytes(segment.length),
            Cell::number(segment.importers),
            Cell::word(&segment.controller),
            Cell::number(segment.pid),
            Cell::number(segment.host),
        ]
    };
    now.seen.segments.iter().map(row).collect()
}

fn connections(now: &Sample) -> Vec<Vec<Cell>> {
    let row = |connection: &rsm::observe::ConnectionInfo| {
        vec![
            Cell::number(connection.generation as f64),
            Cell::word(&connection.state).toned((connection.state == "cut").then_some(Tone::Bad)),
            Cell::number(connection.importer),
            Cell::number(connection.exporter),
            Cell::shown(identifier(connection.segment), connection.segment.into()),
            Cell::word(&connection.permission),
            Cell::word(&connection.controller),
            Cell::number(connection.importer_pid),
            across(now.host_of(connection.importer) != now.host_of(connection.exporter)),
        ]
    };
    now.seen.connections.iter().map(row).collect()
}

fn links(now: &Sample) -> Vec<Vec<Cell>> {
    let row = |link: &LinkInfo| {
        let tone = match (&*link.state, link.errors) {
            ("down", _) => Some(Tone::Bad),
            (_, 1..) => Some(Tone::Warning),
            ("up", _) => Some(Tone::Faint),
            _ => Some(Tone::Good),
        };
        vec![
            Cell::number(link.from),
            Cell::number(link.to),
            Cell::word(&link.state).toned(tone),
            Cell::number(link.errors as f64),
            Cell::word(&link.controller),
            across(link.across),
        ]
    };
    now.seen.links.iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_named() {
        let order = Order::named(View::Nodes, false, Some("memory")).unwrap();
        assert_eq!((order.column, order.descending), (3, true));
        assert_eq!(Order::named(View::Links, false, None), Ok(Order::FIRST));
        assert_eq!(Order::named(View::Links, true, Some("From")), Ok(Order::FIRST));
        assert_eq!(Order::named(View::Nodes, true, Some("host")), Ok(Order { column: 13, descending: true }));
        assert!(Order::named(View::Nodes, false, Some("host")).is_err(), "on one host there is no such column");
        let refusal = Order::named(View::Links, false, Some("memory")).unwrap_err();
        assert_eq!(refusal, "there is no column \"memory\"; the columns are: from, to, state, errors, controller");
    }

    #[test]
    fn numbers_sort_as_numbers_and_words_as_words() {
        let row = |text: &str, number: f64| vec![Cell::word(text), Cell::shown("x", number)];
        let mut rows = vec![row("b", 10.0), row("a", 9.0), row("c", 100.0)];
        let order = |rows: &[Vec<Cell>]| rows.iter().map(|row| row[0].text.clone()).collect::<String>();
        sort(&mut rows, Order { column: 1, descending: true });
        assert_eq!(order(&rows), "cba");
        sort(&mut rows, Order { column: 0, descending: false });
        assert_eq!(order(&rows), "abc");
        sort(&mut rows, Order { column: 7, descending: false });
        assert_eq!(order(&rows), "abc", "a column that is not there");
    }

    #[test]
    fn headlines_are_as_long_as_rows() {
        let link = vec![Cell::number(1), Cell::number(2), Cell::word("up"), Cell::number(0), Cell::word("shm0")];
        let table = Table { headline: headline(View::Links, false), rows: vec![link] };
        assert_eq!(table.text(), "FROM  TO  STATE  ERRORS  CONTROLLER\n1     2   up     0       shm0\n");
    }
}
