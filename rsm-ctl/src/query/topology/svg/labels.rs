//! Words in the picture: each on a plate of the background's colour, so that no line runs through it, and where neither a
//! node nor other words are.

use super::escaped;
use super::places::{Curve, Places, Side};
use super::style;

const SIZE: f64 = 13.0;
/// Widest a letter usually is, and from one line to the next.
const LETTER: f64 = 7.6;
const LINE: f64 = 16.0;

/// Parts of a curve at which words are looked at, from the one that is wished.
const STEPS: [f64; 9] = [0.0, -0.08, 0.08, -0.16, 0.16, -0.24, 0.24, -0.32, 0.32];

/// A rectangle.
#[derive(Debug, Clone, Copy)]
struct Area {
    left: f64,
    top: f64,
    right: f64,
    bottom: f64,
}

impl Area {
    fn around((x, y): (f64, f64), width: f64, height: f64) -> Area {
        Area { left: x - width / 2.0, top: y - height / 2.0, right: x + width / 2.0, bottom: y + height / 2.0 }
    }

    /// Whether another one covers some of it.
    fn meets(&self, other: &Area) -> bool {
        let beside = self.right <= other.left || other.right <= self.left;
        let above = self.bottom <= other.top || other.bottom <= self.top;
        !beside && !above
    }
}

/// The words that are placed so far.
pub(super) struct Labels {
    taken: Vec<Area>,
    text: String,
}

impl Labels {
    /// None yet; the nodes have their places.
    pub(super) fn new(places: &Places) -> Labels {
        let node = |node| Area::around(places.at(node), 2.2 * places.size, 2.2 * places.size);
        Labels { taken: (1..=places.count).map(node).collect(), text: String::new() }
    }

    /// Lines of words beside a node.
    pub(super) fn beside(&mut self, places: &Places, node: u32, lines: &[String]) {
        let ((x, y), side) = places.outside(node);
        let width = width(lines);
        let middle = match side {
            Side::Left => x - width / 2.0,
            Side::Middle => x,
            Side::Right => x + width / 2.0,
        };
        self.put("faint", "400", (middle, y), lines);
    }

    /// Words at a place.
    pub(super) fn at(&mut self, place: (f64, f64), words: &str) {
        self.put("faint", "600", place, &[words.to_owned()]);
    }

    /// A word on a curve, near to as far along as is wished. Where there is no room it is left out: words over words tell
    /// nothing, and what a line is stands in its title, too.
    pub(super) fn on(&mut self, class: &str, curve: &Curve, wished: f64, word: &str) {
        let words = [word.to_owned()];
        let free = |place: &(f64, f64)| {
            let area = area(*place, &words);
            self.taken.iter().all(|taken| !area.meets(taken))
        };
        let place = STEPS.iter().map(|step| curve.at((wished + step).clamp(0.2, 0.8))).find(free);
        if let Some(place) = place {
            self.put(class, "600", place, &words);
        }
    }

    fn put(&mut self, class: &str, weight: &str, place: (f64, f64), lines: &[String]) {
        let area = area(place, lines);
        self.taken.push(area);
        let (width, height) = (area.right - area.left, area.bottom - area.top);
        self.text += &format!(
            "<rect {} x=\"{:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height:.1}\" rx=\"4\"/>\n",
            style::of("back"),
            area.left,
            area.top
        );
        for (line, y) in lines.iter().zip(0..) {
            self.text += &format!(
                "<text {} x=\"{:.1}\" y=\"{:.1}\" font-size=\"{SIZE}\" font-weight=\"{weight}\" \
                 text-anchor=\"middle\">{}</text>\n",
                style::of(class),
                place.0,
                // From the top of the first line to where its letters stand.
                area.top + 2.0 + LINE * f64::from(y) + SIZE * 0.9,
                escaped(line)
            );
        }
    }

    pub(super) fn text(self) -> String {
        self.text
    }
}

fn width(lines: &[String]) -> f64 {
    let longest = lines.iter().map(|line| line.chars().count()).max().unwrap_or(0);
    longest as f64 * LETTER + 6.0
}

fn area(place: (f64, f64), lines: &[String]) -> Area {
    Area::around(place, width(lines), lines.len() as f64 * LINE + 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_make_room_for_one_another() {
        let places = Places::of(3);
        let mut labels = Labels::new(&places);
        let curve = places.curve(1, 2, 0.0, 0.0);
        for _ in 0..20 {
            labels.on("ink", &curve, 0.5, "12");
        }
        let words = &labels.taken[3..];
        assert!((5..20).contains(&words.len()), "some find room, and not more than there is room for");
        for (index, one) in words.iter().enumerate() {
            assert!(labels.taken.iter().enumerate().all(|(at, area)| at == index + 3 || !area.meets(one)));
        }
    }
}
