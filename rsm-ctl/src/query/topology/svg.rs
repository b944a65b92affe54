//! A picture: nodes on a circle, links between them, imports as arrows. Light or dark as the browser is.

use std::collections::BTreeMap;
use std::f64::consts::TAU;

use rsm::observe::LinkInfo;

use super::{Imports, Topology};
use crate::size;

const WIDTH: f64 = 1100.0;
const HEIGHT: f64 = 860.0;
/// Where the middle of the circle is, and what it has.
const CENTRE: (f64, f64) = (420.0, 460.0);
const RADIUS: f64 = 330.0;

const STYLE: &str = "
  svg { --back: #ffffff; --ink: #202124; --faint: #5f6368; --node: #e8f0fe; --edge: #1a73e8; --away: #f1f3f4;
        --active: #34a853; --up: #9aa0a6; --down: #d93025; --error: #b06000; --import: #1a73e8; }
  @media (prefers-color-scheme: dark) {
    svg { --back: #17181b; --ink: #e8eaed; --faint: #9aa0a6; --node: #1f2d46; --edge: #8ab4f8; --away: #26282c;
          --active: #5bb974; --up: #6f757c; --down: #f28b82; --error: #fdd663; --import: #8ab4f8; } }
  text { font-family: system-ui, 'DejaVu Sans', sans-serif; fill: var(--ink); }
  .back { fill: var(--back); }
  .faint { fill: var(--faint); }
  .link { fill: none; stroke-width: 1.4; }
  .active { stroke: var(--active); }
  .up { stroke: var(--up); stroke-dasharray: 1 5; stroke-linecap: round; }
  .error { stroke: var(--error); stroke-width: 2.4; }
  .down { stroke: var(--down); stroke-width: 2.4; stroke-dasharray: 9 6; }
  .many .active, .many .up { stroke-width: .5; opacity: .14; }
  .many .import { opacity: .75; }
  .import { fill: none; stroke: var(--import); }
  .cut { stroke-dasharray: 3 4; }
  .head { fill: var(--import); }
  .bad { fill: var(--down); }
  .warn { fill: var(--error); }
  .node { fill: var(--node); stroke: var(--edge); stroke-width: 2; }
  .away { fill: var(--away); stroke: var(--up); stroke-dasharray: 4 4; }
  .number { font-weight: 600; text-anchor: middle; }
  .note { font-size: 13px; text-anchor: middle; paint-order: stroke; stroke: var(--back); stroke-width: 4px; }
  .tag { font-size: 13px; font-weight: 600; text-anchor: middle; paint-order: stroke; stroke: var(--back); stroke-width: 4px; }
";

/// Where nodes are, and how large.
struct Places {
    count: u32,
    size: f64,
}

impl Places {
    fn of(count: u32) -> Places {
        let between = TAU * RADIUS / f64::from(count.max(2));
        Places { count, size: (between * 0.36).clamp(9.0, 30.0) }
    }

    /// Whether there is no room for words beside nodes and links.
    fn is_crowded(&self) -> bool {
        self.count > 12
    }

    fn at(&self, node: u32) -> (f64, f64) {
        self.around(node, RADIUS)
    }

    fn around(&self, node: u32, radius: f64) -> (f64, f64) {
        // Two nodes stand side by side, more begin at the top; clockwise.
        let start = if self.count <= 2 { 0.5 } else { 0.75 };
        let angle = TAU * (start + f64::from(node - 1) / f64::from(self.count.max(1)));
        (CENTRE.0 + radius * angle.cos(), CENTRE.1 + radius * angle.sin())
    }

    /// The way from one node to another, as far aside of the straight line as `bend` says, to the left of the traveller:
    /// a path, drawn `inwards` to the middle, and the place for a tag on it, part of the way along.
    fn way(&self, from: u32, to: u32, bend: f64, tag: f64, inwards: f64) -> (String, (f64, f64)) {
        let (start, end) = (self.at(from), self.at(to));
        let (dx, dy) = (end.0 - start.0, end.1 - start.1);
        let length = dx.hypot(dy).max(1.0);
        let (ux, uy) = (dx / length, dy / length);
        let control = ((start.0 + end.0) / 2.0 + uy * bend * 2.0, (start.1 + end.1) / 2.0 - ux * bend * 2.0);
        let pull = |p: f64, centre: f64| p + (centre - p) * inwards;
        let control = (pull(control.0, CENTRE.0), pull(control.1, CENTRE.1));
        // Leaves and arrives at the rims, in the direction of the curve.
        let rim = |(x, y): (f64, f64), gap: f64| {
            let (cx, cy) = (control.0 - x, control.1 - y);
            let distance = cx.hypot(cy).max(1.0);
            (x + cx / distance * gap, y + cy / distance * gap)
        };
        let (a, b) = (rim(start, self.size + 1.0), rim(end, self.size + 7.0));
        let on = |t: f64, p: f64, q: f64, r: f64| (1.0 - t) * (1.0 - t) * p + 2.0 * t * (1.0 - t) * q + t * t * r;
        let place = (on(tag, a.0, control.0, b.0), on(tag, a.1, control.1, b.1));
        (format!("M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}", a.0, a.1, control.0, control.1, b.0, b.1), place)
    }
}

/// What is drawn over everything else comes later.
#[derive(Default)]
struct Layers {
    quiet: String,
    loud: String,
    imports: String,
    tags: String,
}

pub(crate) fn render(topology: &Topology) -> String {
    let places = Places::of(topology.cluster.nodes);
    let mut layers = Layers::default();
    for controller in topology.shared() {
        links(&places, &topology.links_of(&controller.controller), &mut layers);
    }
    let most = topology.imports.iter().map(|i| i.connections + i.cut).max().unwrap_or(1);
    for import in topology.imports.iter().filter(|import| import.importer != import.exporter) {
        arrow(&places, import, most, topology.imports.len() <= 80, &mut layers);
    }
    let cluster = &topology.cluster;
    let many = if places.is_crowded() { " class=\"many\"" } else { "" };
    let name = escaped(&cluster.name);
    let Layers { quiet, loud, imports, tags } = layers;
    let nodes: String = topology.nodes.iter().map(|node| circle(&places, node)).collect();
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         role=\"img\" aria-label=\"topology of cluster {name}\">\n<title>{name}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"3\" refY=\"5\" markerWidth=\"9\" markerHeight=\"9\" \
         markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0L10 5L0 10z\"/></marker></defs>\n\
         <rect class=\"back\" width=\"100%\" height=\"100%\"/>\n\
         <text x=\"32\" y=\"46\" font-size=\"24\" font-weight=\"600\">{name}</text>\n\
         <text class=\"faint\" x=\"32\" y=\"72\" font-size=\"15\">{} of {} nodes joined · {} processes · {} segments · {} \
         connections</text>\n<g{many}>\n{quiet}{loud}</g>\n{imports}{nodes}{tags}{}</svg>\n",
        cluster.joined,
        cluster.nodes,
        cluster.processes,
        cluster.segments,
        cluster.connections,
        legend(topology)
    )
}

fn class(link: &LinkInfo) -> &'static str {
    match (&*link.state, link.errors) {
        ("active", 0) => "active",
        ("active", _) => "error",
        ("up", _) => "up",
        _ => "down",
    }
}

fn links(places: &Places, links: &BTreeMap<(u32, u32), &LinkInfo>, layers: &mut Layers) {
    for (&(from, to), link) in links.iter().filter(|((from, to), _)| from != to) {
        let back = links.get(&(to, from));
        let both = back.is_some_and(|back| class(back) == class(link) && back.errors == link.errors);
        // Directions that are alike are one line, drawn once; others run aside each other.
        if both && from > to && link.errors == 0 {
            continue;
        }
        let alike = both && link.errors == 0;
        let bend = if alike { 0.0 } else { (places.size * 0.45).min(10.0) };
        let class = class(link);
        let quiet = class == "active" || class == "up";
        // Between neighbours on a full circle there is no room for what is to be seen: it goes by the inside.
        let inwards = if places.is_crowded() && !quiet { 0.3 } else { 0.0 };
        let (path, place) = places.way(from, to, bend, 0.33, inwards);
        let errors = match link.errors {
            0 => String::new(),
            1 => ", 1 error".to_owned(),
            errors => format!(", {errors} errors"),
        };
        let arrow = if alike { "↔" } else { "←" };
        let title = format!("{} {from} {arrow} {to}: {}{errors}", link.controller, link.state);
        let line = format!("<path class=\"link {class}\" d=\"{path}\"><title>{}</title></path>\n", escaped(&title));
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
        let tone = if class == "down" { "bad" } else { "warn" };
        layers.tags +=
            &format!("<text class=\"tag {tone}\" x=\"{:.1}\" y=\"{:.1}\">{word}</text>\n", place.0, place.1 + 4.0);
    }
}

fn arrow(places: &Places, import: &Imports, most: u32, tagged: bool, layers: &mut Layers) {
    let all = import.connections + import.cut;
    let thick = if places.is_crowded() { 1.2 } else { 3.0 };
    let width = 1.2 + thick * f64::from(all).ln_1p() / f64::from(most).ln_1p().max(0.1);
    let bend = if places.count <= 2 { 60.0 } else { (places.size * 1.3).clamp(12.0, 30.0) };
    let (path, place) = places.way(import.importer, import.exporter, bend, 0.62, 0.0);
    let how_many = match (import.connections, import.cut) {
        (connections, 0) => connections.to_string(),
        (0, cut) => format!("{cut} cut"),
        (connections, cut) => format!("{connections}, {cut} cut"),
    };
    let title = format!(
        "node {} imports from node {} through {}: {how_many}",
        import.importer, import.exporter, import.controller
    );
    let class = if import.connections == 0 { "import cut" } else { "import" };
    layers.imports += &format!(
        "<path class=\"{class}\" stroke-width=\"{width:.1}\" marker-end=\"url(#head)\" d=\"{path}\"><title>{}</title></path>\n",
        escaped(&title)
    );
    if tagged {
        let (x, y) = (place.0, place.1 + 4.0);
        layers.tags += &format!("<text class=\"tag\" x=\"{x:.1}\" y=\"{y:.1}\">{how_many}</text>\n");
    }
}

fn circle(places: &Places, node: &rsm::observe::NodeInfo) -> String {
    let (x, y) = places.at(node.node);
    let what = if node.joined {
        format!("{} exported, {} imports", size::bytes(node.exported_bytes), node.imports)
    } else {
        "not joined".to_owned()
    };
    let title = format!("node {}: {} processes, {} exports, {what}", node.node, node.processes, node.exports);
    let class = if node.joined { "node" } else { "node away" };
    let (size, font) = (places.size, places.size * 0.85);
    let mut text = format!(
        "<circle class=\"{class}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{size:.1}\"><title>{}</title></circle>\n\
         <text class=\"number\" x=\"{x:.1}\" y=\"{:.1}\" font-size=\"{font:.1}\">{}</text>\n",
        escaped(&title),
        y + font * 0.35,
        node.node
    );
    if !places.is_crowded() {
        let outside = places.around(node.node, RADIUS + size + 14.0);
        // Beside the circle there is no room: above or below.
        let beside = (outside.1 - CENTRE.1).abs() < RADIUS * 0.6;
        let place = if beside { (x, y + size + 18.0) } else { (outside.0, outside.1 + 4.0) };
        let note = if node.joined {
            format!("{} exports, {}", node.exports, size::bytes(node.exported_bytes))
        } else {
            "not joined".to_owned()
        };
        text += &format!("<text class=\"note faint\" x=\"{:.1}\" y=\"{:.1}\">{note}</text>\n", place.0, place.1);
    }
    text
}

fn legend(topology: &Topology) -> String {
    let links = |wanted: &str| topology.links.iter().filter(|l| l.from != l.to && class(l) == wanted).count();
    let x = WIDTH - 265.0;
    let mut text =
        format!("<text x=\"{x}\" y=\"150\" font-size=\"15\" font-weight=\"600\">links, each direction</text>\n");
    let mut y = 178.0;
    for (class, what) in
        [("active", "active"), ("error", "active, had errors"), ("up", "up: node not joined"), ("down", "down")]
    {
        text += &format!(
            "<path class=\"link {class}\" d=\"M{x} {:.1}h44\"/><text x=\"{}\" y=\"{y}\" font-size=\"14\">{} {what}</text>\n",
            y - 5.0,
            x + 56.0,
            links(class)
        );
        y += 26.0;
    }
    y += 18.0;
    text += &format!("<text x=\"{x}\" y=\"{y}\" font-size=\"15\" font-weight=\"600\">imports</text>\n");
    for (class, what) in [("import", "importer to exporter"), ("import cut", "all of them cut")] {
        y += 27.0;
        text += &format!(
            "<path class=\"{class}\" stroke-width=\"3\" marker-end=\"url(#head)\" d=\"M{x} {:.1}h38\"/>\
             <text x=\"{}\" y=\"{y}\" font-size=\"14\">{what}</text>\n",
            y - 5.0,
            x + 56.0
        );
    }
    text + &list(topology, x, y + 46.0)
}

/// Links out of order that are told beside the picture, at most.
const LISTED: usize = 14;

/// What is out of order in words, from here down.
fn list(topology: &Topology, x: f64, mut y: f64) -> String {
    let odd = |link: &&LinkInfo| link.from != link.to && (link.state == "down" || link.errors > 0);
    let odd: Vec<&LinkInfo> = topology.links.iter().filter(odd).collect();
    if odd.is_empty() {
        return String::new();
    }
    let mut text = format!("<text x=\"{x}\" y=\"{y}\" font-size=\"15\" font-weight=\"600\">out of order</text>\n");
    let mut line = |tone: &str, words: &str| {
        y += 22.0;
        text += &format!("<text class=\"{tone}\" x=\"{x}\" y=\"{y}\" font-size=\"13\">{}</text>\n", escaped(words));
    };
    for link in odd.iter().take(LISTED) {
        let errors = match link.errors {
            0 => String::new(),
            1 => ", 1 error".to_owned(),
            errors => format!(", {errors} errors"),
        };
        let words = format!("{}: {} from {}: {}{errors}", link.controller, link.from, link.to, link.state);
        line(if link.state == "down" { "bad" } else { "warn" }, &words);
    }
    if odd.len() > LISTED {
        line("faint", &format!("and {} more: rsm-ctl links", odd.len() - LISTED));
    }
    text
}

/// Text inside an element or an attribute.
fn escaped(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '&' => "&amp;".to_owned(),
            '<' => "&lt;".to_owned(),
            '>' => "&gt;".to_owned(),
            '"' => "&quot;".to_owned(),
            '\'' => "&#39;".to_owned(),
            c if c.is_control() => "\u{fffd}".to_owned(),
            c => c.to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::example;
    use super::*;

    #[test]
    fn names_cannot_break_out() {
        let text = render(&example::topology(3));
        assert!(text.contains("<title>a&lt;b&gt;&amp;&quot;c</title>"), "{text}");
        assert!(!text.contains("a<b>"));
        assert_eq!(escaped("'\x00"), "&#39;\u{fffd}");
    }

    #[test]
    fn what_is_alike_is_one_line_and_what_is_not_is_told() {
        let text = render(&example::topology(3));
        // 1 and 3, 2 and 3: up one way and active the other; 1 and 2: down and with errors. The legend has one of each.
        let count = |class: &str| text.matches(&format!("<path class=\"link {class}\"")).count() - 1;
        assert_eq!((count("active"), count("up"), count("down"), count("error")), (2, 2, 1, 1), "{text}");
        assert!(text.contains(">3 err</text>") && text.contains(">1 from 2 down</text>"), "{text}");
        assert_eq!(text.matches("marker-end").count(), 2 + 2, "{text}");
    }

    #[test]
    fn many_nodes_are_apart() {
        for count in [2, 3, 12, 63] {
            let places = Places::of(count);
            let (a, b) = (places.at(1), places.at(2));
            assert!((a.0 - b.0).hypot(a.1 - b.1) > 2.0 * places.size, "{count}");
            for node in 1..=count {
                let (x, y) = places.at(node);
                assert!(x > places.size && x + places.size < WIDTH - 270.0 && y > 90.0 && y + places.size < HEIGHT);
            }
        }
    }
}
