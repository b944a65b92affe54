//! A picture: nodes on a circle ([`places`]), links between them, imports as arrows, and words ([`labels`], [`legend`]).
//! Light or dark as the browser is ([`style`]).

mod labels;
mod legend;
mod places;
mod style;

use std::collections::BTreeMap;

use rsm::observe::{LinkInfo, NodeInfo};

use super::graph::{Imports, Topology};
use crate::number::counted;
use crate::{printable, size};
use labels::Labels;
use places::{HEIGHT, Places, WIDTH};

/// What is drawn over everything else comes later.
struct Layers {
    quiet: String,
    loud: String,
    imports: String,
    labels: Labels,
}

pub(crate) fn render(topology: &Topology) -> String {
    let places = Places::by_host(&topology.nodes);
    let mut layers =
        Layers { quiet: String::new(), loud: String::new(), imports: String::new(), labels: Labels::new(&places) };
    let nodes: String = topology.nodes.iter().map(|node| circle(&places, node)).collect();
    if !places.is_crowded() {
        for node in &topology.nodes {
            layers.labels.beside(&places, node.node, &note(node));
        }
    }
    let grounds = hosts(&places, topology, &mut layers.labels);
    // What goes through different controllers runs aside of each other.
    let controllers: Vec<&str> = topology.shared().map(|controller| &*controller.controller).collect();
    for (controller, aside) in controllers.iter().zip(0..) {
        links(&places, &topology.links_of(controller), f64::from(aside), &mut layers);
    }
    let most = topology.imports.iter().map(|i| i.connections + i.cut).max().unwrap_or(1);
    for import in topology.imports.iter().filter(|import| import.importer != import.exporter) {
        let aside = controllers.iter().position(|&name| name == import.controller).unwrap_or(0);
        arrow(&places, import, aside as f64, most, topology.imports.len() <= 80, &mut layers);
    }
    let cluster = &topology.cluster;
    let name = escaped(&cluster.name);
    let summary = format!(
        "{} of {} joined · {} · {} · {}",
        cluster.joined,
        counted(cluster.nodes, "node", "nodes"),
        counted(cluster.processes, "process", "processes"),
        counted(cluster.segments, "segment", "segments"),
        counted(cluster.connections, "connection", "connections")
    );
    let Layers { quiet, loud, imports, labels } = layers;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         font-family=\"system-ui, 'DejaVu Sans', sans-serif\" role=\"img\" aria-label=\"topology of cluster {name}\">\n\
         <title>{name}</title>\n<style>{}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"3\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path {} d=\"M0 0L10 5L0 10z\"/></marker></defs>\n\
         <rect {} width=\"100%\" height=\"100%\"/>\n\
         <text {} x=\"32\" y=\"46\" font-size=\"24\" font-weight=\"600\">{name}</text>\n\
         <text {} x=\"32\" y=\"72\" font-size=\"15\">{summary}</text>\n{grounds}{quiet}{loud}{imports}{nodes}{}{}</svg>\n",
        style::sheet(),
        style::of("head"),
        style::of("back"),
        style::of("ink"),
        style::of("faint"),
        labels.text(),
        legend::render(topology)
    )
}

/// The hosts and their nodes, where there is more than one.
fn hosts_of(topology: &Topology) -> BTreeMap<u32, Vec<u32>> {
    let mut hosts: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for node in topology.nodes.iter().filter(|node| node.host > 0) {
        hosts.entry(node.host).or_default().push(node.node);
    }
    hosts
}

/// How a host's ground is painted: neighbours differ.
fn ground(host: u32) -> &'static str {
    if host % 2 == 1 { "host1" } else { "host2" }
}

/// The grounds on which the nodes of each host stand.
fn hosts(places: &Places, topology: &Topology, labels: &mut Labels) -> String {
    let mut text = String::new();
    for (host, nodes) in hosts_of(topology) {
        let (path, place) = places.ground(&nodes);
        text += &format!(
            "<path {} stroke-width=\"{:.1}\" d=\"{path}\"><title>host {host}</title></path>\n",
            style::of(ground(host)),
            places.ground_width()
        );
        labels.at(place, &format!("host {host}"));
    }
    text
}

fn class(link: &LinkInfo) -> &'static str {
    match (&*link.state, link.errors) {
        ("active", 0) => "active",
        ("active", _) => "error",
        ("up", _) => "up",
        _ => "down",
    }
}

/// What to add to the state of a link.
fn errors_of(link: &LinkInfo) -> String {
    if link.errors == 0 { String::new() } else { format!(", {}", counted(link.errors, "error", "errors")) }
}

fn links(places: &Places, links: &BTreeMap<(u32, u32), &LinkInfo>, aside: f64, layers: &mut Layers) {
    for (&(from, to), link) in links.iter().filter(|((from, to), _)| from != to) {
        let back = links.get(&(to, from));
        let both = back.is_some_and(|back| class(back) == class(link) && back.errors == link.errors);
        // Directions that are alike are one line, drawn once; others run aside each other.
        if both && from > to && link.errors == 0 {
            continue;
        }
        let alike = both && link.errors == 0;
        let bend = if alike { aside * 5.0 } else { (places.size * 0.45).min(10.0) + aside * 5.0 };
        let class = class(link);
        let quiet = class == "active" || class == "up";
        // Between neighbours on a full circle there is no room for what is to be seen: it goes by the inside.
        let inwards = if places.is_crowded() && !quiet { 0.3 } else { 0.0 };
        let curve = places.curve(from, to, bend, inwards);
        let arrow = if alike { "↔" } else { "←" };
        let title = format!("{} {from} {arrow} {to}: {}{}", link.controller, link.state, errors_of(link));
        // Of very many lines each is faint, or nothing else would be seen.
        let faint = if quiet && places.is_crowded() { " opacity=\"0.2\"" } else { "" };
        let line = format!(
            "<path {}{faint} d=\"{}\"><title>{}</title></path>\n",
            style::of(class),
            curve.path(),
            escaped(&title)
        );
        if quiet {
            layers.quiet += &line;
        } else {
            layers.loud += &line;
        }
        let word = match (class, link.errors) {
            _ if places.is_crowded() => continue, // the list beside the picture tells
            ("down", 0) if alike => "down".to_owned(),
            ("down", 0) => format!("{from} from {to} down"),
            (_, 0) => continue,
            ("down", errors) => format!("down, {errors} err"),
            (_, errors) => format!("{errors} err"),
        };
        layers.labels.on(if class == "down" { "bad" } else { "warn" }, &curve, 0.36, &word);
    }
}

fn arrow(places: &Places, import: &Imports, aside: f64, most: u32, tagged: bool, layers: &mut Layers) {
    let all = import.connections + import.cut;
    let thick = if places.is_crowded() { 1.2 } else { 3.0 };
    let width = 1.2 + thick * f64::from(all).ln_1p() / f64::from(most).ln_1p().max(0.1);
    let bend = if places.count <= 2 { 60.0 } else { (places.size * 1.3).clamp(12.0, 30.0) } + aside * 14.0;
    let curve = places.curve(import.importer, import.exporter, bend, 0.0);
    let how_many = match (import.connections, import.cut) {
        (connections, 0) => connections.to_string(),
        (0, cut) => format!("{cut} cut"),
        (connections, cut) => format!("{connections}, {cut} cut"),
    };
    let title = format!(
        "node {} imports from node {} through {}: {how_many}",
        import.importer, import.exporter, import.controller
    );
    let class = if import.connections == 0 { "cut" } else { "import" };
    layers.imports += &format!(
        "<path {} stroke-width=\"{width:.1}\" marker-end=\"url(#head)\" d=\"{}\"><title>{}</title></path>\n",
        style::of(class),
        curve.path(),
        escaped(&title)
    );
    if tagged && !places.is_crowded() {
        layers.labels.on("ink", &curve, 0.6, &how_many);
    }
}

fn circle(places: &Places, node: &NodeInfo) -> String {
    let (x, y) = places.at(node.node);
    let what = if node.joined {
        let imports = counted(node.imports, "import", "imports");
        format!("{}, {} exported, {imports}", exports(node), size::bytes(node.exported_bytes))
    } else {
        "not joined".to_owned()
    };
    let title = format!("node {}: {}, {what}", node.node, counted(node.processes, "process", "processes"));
    let class = if node.joined { "node" } else { "away" };
    let (size, font) = (places.size, places.size * 0.85);
    format!(
        "<circle {} cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size:.1}\"><title>{}</title></circle>\n\
         <text {} x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{font:.1}\" font-weight=\"600\" text-anchor=\"middle\">{}</text>\n",
        style::of(class),
        escaped(&title),
        style::of("ink"),
        y + font * 0.35,
        node.node
    )
}

/// What stands beside a node.
fn note(node: &NodeInfo) -> Vec<String> {
    match (node.joined, node.exports) {
        (false, _) => vec!["not".to_owned(), "joined".to_owned()],
        (true, 0) => vec![exports(node)],
        (true, _) => vec![exports(node), size::bytes(node.exported_bytes)],
    }
}

fn exports(node: &NodeInfo) -> String {
    if node.exports == 0 { "no exports".to_owned() } else { counted(node.exports, "export", "exports") }
}

/// Text inside an element or an attribute.
fn escaped(text: &str) -> String {
    printable::name(text)
        .chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::graph::example;
    use super::*;
    use roxmltree::{Document, Node};

    fn elements<'a>(picture: &'a Document<'_>, class: &'a str) -> impl Iterator<Item = Node<'a, 'a>> {
        picture.descendants().filter(move |node| node.attribute("class") == Some(class))
    }

    #[test]
    fn names_cannot_break_out() {
        let text = render(&example::topology(3));
        let picture = Document::parse(&text).unwrap();
        let title = picture.root_element().children().find(|node| node.has_tag_name("title")).unwrap();
        assert_eq!(title.text(), Some("a<b>&\"c"));
        assert_eq!(escaped("'\x00"), r"&#39;\u{0}");
    }

    #[test]
    fn what_is_alike_is_one_line_and_what_is_not_is_told() {
        let text = render(&example::topology(3));
        let picture = Document::parse(&text).unwrap();
        // 1 and 3, 2 and 3: up one way and active the other; 1 and 2: down and with errors. The legend has one of each.
        let count = |class: &str| elements(&picture, class).count() - 1;
        assert_eq!((count("active"), count("up"), count("down"), count("error")), (2, 2, 1, 1), "{text}");
        assert!(text.contains(">3 err</text>") && text.contains(">1 from 2 down</text>"), "{text}");
        assert_eq!(text.matches("marker-end").count(), 2 + 2, "{text}");
        assert!(text.contains(">1 export</text>") && !text.contains("1 exports") && !text.contains("1 processes"));
    }

    /// Every other node on the other host.
    fn on_two_hosts(topology: &mut Topology) {
        topology.nodes.iter_mut().for_each(|node| node.host = 2 - node.node % 2);
    }

    #[test]
    fn each_host_has_its_ground_and_its_nodes_beside_each_other() {
        let plain = render(&example::topology(6));
        assert!(!plain.contains(">host 1<") && !plain.contains("class=\"host1\""), "{plain}");
        let mut topology = example::topology(6);
        on_two_hosts(&mut topology);
        let text = render(&topology);
        let picture = Document::parse(&text).unwrap();
        for host in ["host1", "host2"] {
            assert_eq!(elements(&picture, host).count(), 1, "{text}");
        }
        assert!(text.contains(">host 1</text>") && text.contains(">host 2</text>"), "{text}");
        // Clockwise 1, 3, 5, 2, 4, 6, from the top on.
        let places = Places::by_host(&topology.nodes);
        let alone = Places::of(6);
        for (node, at) in [1, 3, 5, 2, 4, 6].into_iter().zip(1..) {
            assert_eq!(places.at(node), alone.at(at));
        }
    }

    /// Not everything that shows pictures reads style sheets, and hardly anything reads variables in them.
    #[test]
    fn everything_has_its_colour_without_the_style_sheet() {
        for nodes in [1, 2, 3, 8, 16, 63] {
            let text = render(&example::topology(nodes));
            let picture = Document::parse(&text).unwrap();
            let shapes = ["path", "rect", "circle", "text"];
            for shape in picture.descendants().filter(|node| shapes.iter().any(|name| node.has_tag_name(*name))) {
                let colour = |name| shape.attribute(name).is_some_and(|value| value.starts_with('#'));
                assert!(colour("fill") || colour("stroke"), "{shape:?}");
                assert!(shape.attribute("fill").is_some(), "black without: {shape:?}");
            }
            let sheet = picture.descendants().find(|node| node.has_tag_name("style")).and_then(|node| node.text());
            let sheet = sheet.unwrap().trim();
            assert!(sheet.starts_with("@media (prefers-color-scheme: dark) {") && !sheet.contains("var("), "{sheet}");
        }
    }

    #[test]
    fn no_line_runs_through_words_and_no_words_through_others() {
        for (nodes, hosts) in [2, 3, 8, 12, 16].into_iter().flat_map(|nodes| [(nodes, 1), (nodes, 2)]) {
            let mut topology = example::topology(nodes);
            if hosts > 1 {
                on_two_hosts(&mut topology);
            }
            let text = render(&topology);
            let picture = Document::parse(&text).unwrap();
            let number = |node: &Node<'_, '_>, name: &str| node.attribute(name).unwrap().parse::<f64>().unwrap();
            // All lines come first; then for each word a plate.
            let all: Vec<Node<'_, '_>> = picture.root_element().children().filter(Node::is_element).collect();
            let plates = all.iter().filter(|node| node.attribute("rx").is_some());
            let plates: Vec<(usize, [f64; 4])> = plates
                .map(|node| {
                    let at = all.iter().position(|other| other == node).unwrap();
                    (at, ["x", "y", "width", "height"].map(|name| number(node, name)))
                })
                .collect();
            let last_line =
                all.iter().rposition(|node| node.attribute("d").is_some_and(|d| d.contains('Q'))).unwrap_or(0);
            assert!(plates.len() >= nodes as usize && plates.iter().all(|&(at, _)| at > last_line), "{nodes}");
            for (index, (_, [x, y, width, height])) in plates.iter().enumerate() {
                assert!(*x > 0.0 && x + width < places::BESIDE && *y > 72.0 && y + height < HEIGHT, "{nodes}: {x} {y}");
                for (_, [left, top, wide, high]) in &plates[..index] {
                    let apart = x + width <= *left || left + wide <= *x || y + height <= *top || top + high <= *y;
                    assert!(apart, "{nodes}: words at {x} {y} and {left} {top}");
                }
            }
        }
    }
}
