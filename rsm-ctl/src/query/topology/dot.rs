//! A graph for Graphviz.

use super::graph::Topology;
use crate::number::counted;
use crate::size;

/// With more nodes than this, links in order are left out.
const MANY: u32 = 12;

pub(crate) fn render(topology: &Topology) -> String {
    let mut text = format!("digraph {} {{\n", quoted(&topology.cluster.name));
    text += "  layout=circo; node [shape=circle style=filled fillcolor=\"#e8f0fe\"]; edge [fontsize=10];\n";
    for node in &topology.nodes {
        let what = if node.joined {
            format!(
                "{}\n{}\n{}",
                node.node,
                counted(node.exports, "export", "exports"),
                size::bytes(node.exported_bytes)
            )
        } else {
            format!("{}\nnot joined", node.node)
        };
        let what = if node.host > 0 { format!("{what}\nhost {}", node.host) } else { what };
        let style = if node.joined { "" } else { " style=dashed" };
        text += &format!("  n{} [label={}{style}];\n", node.node, quoted(&what));
    }
    for controller in topology.shared() {
        let links = topology.links_of(&controller.controller);
        for link in links.values().filter(|link| link.from != link.to) {
            let quiet = matches!(&*link.state, "active" | "up") && link.errors == 0;
            let back = links.get(&(link.to, link.from));
            let alike = back.is_some_and(|back| back.state == link.state && back.errors == link.errors);
            // Of many nodes Graphviz would draw links in order for minutes, and nothing else would be seen.
            if quiet && (topology.cluster.nodes > MANY || alike && link.from > link.to) {
                continue;
            }
            let (colour, style) = match &*link.state {
                "active" if link.errors == 0 => ("#9aa0a6", "solid"),
                "active" => ("#e37400", "solid"),
                "up" => ("#dadce0", "dotted"),
                _ => ("#d93025", "dashed"),
            };
            let label = if link.errors > 0 {
                format!(" label=\"{}\"", counted(link.errors, "error", "errors"))
            } else {
                String::new()
            };
            let head = if quiet && alike { " arrowhead=none" } else { "" };
            let tip = quoted(&format!("{} {}: {}", controller.controller, link.from, link.state));
            text += &format!(
                "  n{} -> n{} [color=\"{colour}\" style={style}{label}{head} tooltip={tip}];\n",
                link.from, link.to
            );
        }
    }
    for import in &topology.imports {
        let cut = if import.cut > 0 { format!(", {} cut", import.cut) } else { String::new() };
        let label = quoted(&format!("{}{cut}", counted(import.connections, "import", "imports")));
        text += &format!(
            "  n{} -> n{} [color=\"#1a73e8\" fontcolor=\"#1a73e8\" penwidth=2 label={label}];\n",
            import.importer, import.exporter
        );
    }
    text + "}\n"
}

/// A double-quoted string: only quotes and backslashes are special, and line breaks are written as such.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' => "\\\"".to_owned(),
            '\\' => "\\\\".to_owned(),
            '\n' => "\\n".to_owned(),
            c if c.is_control() => "?".to_owned(),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

#[cfg(test)]
mod tests {
    use super::super::graph::example;
    use super::*;

    #[test]
    fn every_node_link_and_import_once() {
        let text = render(&example::topology(3));
        assert!(text.starts_with("digraph \"a<b>&\\\"c\" {\n") && text.ends_with("}\n"), "{text}");
        assert_eq!(text.matches(" -> ").count(), 6 + 2, "{text}");
        assert!(text.contains("n1 -> n2 [color=\"#d93025\" style=dashed"), "{text}");
        assert!(
            text.contains("n2 -> n1 [color=\"#1a73e8\" fontcolor=\"#1a73e8\" penwidth=2 label=\"2 imports\"]"),
            "{text}"
        );
        assert!(text.contains("n3 [label=\"3\\nnot joined\" style=dashed]"), "{text}");
    }

    #[test]
    fn quotes() {
        assert_eq!(quoted("a\"b\\c\nd\x07"), "\"a\\\"b\\\\c\\nd?\"");
    }
}
