//! For a terminal: one character for each link, so that 63 nodes fit, and in words what is out of order.

use std::collections::BTreeMap;

use rsm::observe::LinkInfo;

use super::super::table::of_hosts;
use super::graph::Topology;
use crate::colour::{Palette, Tone};
use crate::number::counted;
use crate::{printable, size};

/// Links in words, at most: the rest is in `rsm-ctl links`.
const TOLD: usize = 20;

pub(crate) fn render(topology: &Topology, palette: Palette) -> String {
    let cluster = &topology.cluster;
    let mut text = format!(
        "cluster {}: {} of {} joined, {}, {}, {}\n\n",
        printable::name(&cluster.name),
        cluster.joined,
        counted(cluster.nodes, "node", "nodes"),
        counted(cluster.processes, "process", "processes"),
        counted(cluster.segments, "segment", "segments"),
        counted(cluster.connections, "connection", "connections")
    );
    text += &nodes(topology);
    for controller in topology.shared() {
        text +=
            &format!("\nlinks of controller {}, importing node down, exporting node across:\n", controller.controller);
        text += &matrix(topology, &topology.links_of(&controller.controller), palette);
    }
    text += &legend(palette);
    text += &out_of_order(topology, palette);
    text
}

fn nodes(topology: &Topology) -> String {
    let imports = |node: u32, from_it: bool| {
        let edges = topology.imports.iter().filter(|i| if from_it { i.exporter == node } else { i.importer == node });
        let list: Vec<String> = edges
            .map(|i| {
                let other = if from_it { i.importer } else { i.exporter };
                let cut = if i.cut > 0 { format!("+{} cut", i.cut) } else { String::new() };
                format!("{other}({}{cut})", i.connections)
            })
            .collect();
        if list.is_empty() { "-".to_owned() } else { list.join(" ") }
    };
    let rows = topology.nodes.iter().map(|node| {
        [
            node.node.to_string(),
            if node.joined { "joined".to_owned() } else { "not joined".to_owned() },
            node.processes.to_string(),
            format!("{} ({})", node.exports, size::bytes(node.exported_bytes)),
            imports(node.node, false),
            imports(node.node, true),
        ]
    });
    let hosts = topology.nodes.iter().map(|node| node.host).collect();
    of_hosts(["NODE", "STATE", "PROCESSES", "EXPORTS", "IMPORTS FROM", "IMPORTED BY"], rows, ("HOST", hosts, 0))
}

fn symbol(link: &LinkInfo) -> (char, Tone) {
    match (&*link.state, link.errors) {
        ("active", 0) => ('+', Tone::Good),
        ("active", _) => ('!', Tone::Warning),
        ("up", _) => ('.', Tone::Faint),
        _ => ('x', Tone::Bad),
    }
}

fn matrix(topology: &Topology, links: &BTreeMap<(u32, u32), &LinkInfo>, palette: Palette) -> String {
    let count = topology.cluster.nodes;
    // One column each, close together where there are many; numbers stand upright.
    let gap = if count <= 20 { " " } else { "" };
    let digits = |place: u32| -> String {
        let digit = |n: u32| match (n / place, place) {
            (0, 10) => ' ',
            (digits, _) => char::from_digit(digits % 10, 10).unwrap_or('?'),
        };
        (1..=count).flat_map(|n| [gap.to_owned(), digit(n).to_string()]).collect()
    };
    let mut text = String::new();
    if count >= 10 {
        text += &format!("     {}\n", digits(10));
    }
    text += &format!("     {}\n", digits(1));
    for from in 1..=count {
        let cell = |to: u32| match links.get(&(from, to)) {
            Some(link) => {
                let (symbol, tone) = symbol(link);
                format!("{gap}{}", palette.paint(tone, &symbol.to_string()))
            }
            None => format!("{gap} "),
        };
        let cells: String = (1..=count).map(cell).collect();
        text += &format!("{from:>4} {cells}\n");
    }
    text
}

fn legend(palette: Palette) -> String {
    let symbols = [
        ("+", Tone::Good, "active"),
        ("!", Tone::Warning, "active, had errors"),
        (".", Tone::Faint, "up, exporter not joined"),
        ("x", Tone::Bad, "down"),
    ];
    let words = symbols.map(|(symbol, tone, what)| format!("{} {what}", palette.paint(tone, symbol)));
    format!("\n  {}\n", words.join("   "))
}

fn out_of_order(topology: &Topology, palette: Palette) -> String {
    let odd: Vec<&LinkInfo> = topology.links.iter().filter(|link| link.state == "down" || link.errors > 0).collect();
    let mut text = String::new();
    for link in odd.iter().take(TOLD) {
        let (_, tone) = symbol(link);
        let errors = match link.errors {
            0 => String::new(),
            1 => ", 1 error".to_owned(),
            errors => format!(", {errors} errors"),
        };
        let state = palette.paint(tone, &link.state);
        text +=
            &format!("  {}: imports of node {} from node {}: {state}{errors}\n", link.controller, link.from, link.to);
    }
    if odd.len() > TOLD {
        text += &format!("  and {} more: rsm-ctl links\n", odd.len() - TOLD);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::graph::example;
    use super::*;

    #[test]
    fn three_nodes() {
        let text = render(&example::topology(3), Palette(false));
        let expected = "\
links of controller shm0, importing node down, exporting node across:
      1 2 3
   1  + x .
   2  ! + .
   3  + + .
";
        assert!(text.contains(expected), "{text}");
        assert!(text.contains("shm0: imports of node 1 from node 2: down\n"), "{text}");
        assert!(text.contains("shm0: imports of node 2 from node 1: active, 3 errors\n"), "{text}");
        assert!(text.contains("\n1     joined      1          1 (8 KiB)  2(0+1 cut)    2(2)\n"), "{text}");
    }

    #[test]
    fn sixty_three_nodes_fit_a_terminal() {
        let text = render(&example::topology(63), Palette(false));
        let matrix = text.lines().skip_while(|line| !line.starts_with("links of")).skip(1).take(65);
        let widths: Vec<usize> = matrix.map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|&width| width <= 5 + 63), "{widths:?}");
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }
}
