//! The words beside the picture: what its lines mean, and what is out of order.

use rsm::observe::LinkInfo;

use super::places::BESIDE;
use super::{Topology, class, errors_of, escaped, style};

/// Links out of order that are told, at most.
const LISTED: usize = 14;

pub(super) fn render(topology: &Topology) -> String {
    let links = |wanted: &str| topology.links.iter().filter(|l| l.from != l.to && class(l) == wanted).count();
    let mut text = heading(150.0, "links, each direction");
    let mut y = 178.0;
    for (class, what) in
        [("active", "active"), ("error", "active, had errors"), ("up", "up: node not joined"), ("down", "down")]
    {
        text += &format!("<path {} d=\"M{BESIDE} {:.1}h44\"/>", style::of(class), y - 5.0);
        text += &words("ink", (BESIDE + 56.0, y), "14", &format!("{} {what}", links(class)));
        y += 26.0;
    }
    y += 18.0;
    text += &heading(y, "imports");
    for (class, what) in [("import", "importer to exporter"), ("cut", "all of them cut")] {
        y += 27.0;
        text += &format!(
            "<path {} stroke-width=\"3\" marker-end=\"url(#head)\" d=\"M{BESIDE} {:.1}h38\"/>",
            style::of(class),
            y - 5.0
        );
        text += &words("ink", (BESIDE + 56.0, y), "14", what);
    }
    text + &out_of_order(topology, y + 46.0)
}

/// What is out of order in words, from here down.
fn out_of_order(topology: &Topology, mut y: f64) -> String {
    let odd = |link: &&LinkInfo| link.from != link.to && (link.state == "down" || link.errors > 0);
    let odd: Vec<&LinkInfo> = topology.links.iter().filter(odd).collect();
    if odd.is_empty() {
        return String::new();
    }
    let mut text = heading(y, "out of order");
    let mut line = |tone: &str, what: &str| {
        y += 22.0;
        text += &words(tone, (BESIDE, y), "13", what);
    };
    for link in odd.iter().take(LISTED) {
        let errors = errors_of(link);
        let what = format!("{}: {} from {}: {}{errors}", link.controller, link.from, link.to, link.state);
        line(if link.state == "down" { "bad" } else { "warn" }, &what);
    }
    if odd.len() > LISTED {
        line("faint", &format!("and {} more: rsm-ctl links", odd.len() - LISTED));
    }
    text
}

fn heading(y: f64, what: &str) -> String {
    let ink = style::of("ink");
    format!("<text {ink} x=\"{BESIDE}\" y=\"{y}\" font-size=\"15\" font-weight=\"600\">{}</text>\n", escaped(what))
}

fn words(class: &str, (x, y): (f64, f64), size: &str, what: &str) -> String {
    format!("<text {} x=\"{x}\" y=\"{y}\" font-size=\"{size}\">{}</text>\n", style::of(class), escaped(what))
}
