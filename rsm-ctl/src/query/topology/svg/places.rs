//! Where nodes are, and the curves between them.

use std::f64::consts::TAU;

use rsm::observe::NodeInfo;

pub(super) const WIDTH: f64 = 1220.0;
pub(super) const HEIGHT: f64 = 880.0;
/// Where the middle of the circle is, and what it has.
const CENTRE: (f64, f64) = (465.0, 480.0);
const RADIUS: f64 = 310.0;
/// Where the words beside the picture begin.
pub(super) const BESIDE: f64 = WIDTH - 265.0;

/// Where nodes are, and how large.
pub(super) struct Places {
    pub(super) count: u32,
    pub(super) size: f64,
    /// Of each node, in their order: how manyth it is on the circle.
    order: Vec<u32>,
}

/// On which side of its place a text stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Middle,
    Right,
}

/// A curve from one node to another, from rim to rim.
pub(super) struct Curve {
    start: (f64, f64),
    control: (f64, f64),
    end: (f64, f64),
}

impl Places {
    pub(super) fn of(count: u32) -> Places {
        let between = TAU * RADIUS / f64::from(count.max(2));
        Places { count, size: (between * 0.36).clamp(9.0, 30.0), order: (0..count).collect() }
    }

    /// Those of a host beside each other.
    pub(super) fn by_host(nodes: &[NodeInfo]) -> Places {
        let mut sorted: Vec<(u32, u32)> = nodes.iter().map(|node| (node.host, node.node)).collect();
        sorted.sort_unstable();
        let mut places = Places::of(u32::try_from(nodes.len()).unwrap_or(0));
        for (&(_, node), at) in sorted.iter().zip(0..) {
            if let Some(place) = places.order.get_mut(node as usize - 1) {
                *place = at;
            }
        }
        places
    }

    /// Where the ground of a host is, whose nodes are beside each other: a path along the circle, and a place for words on it.
    pub(super) fn ground(&self, nodes: &[u32]) -> (String, (f64, f64)) {
        let order = |node: &u32| self.order.get(*node as usize - 1).copied().unwrap_or(0);
        let places = nodes.iter().map(order);
        let (first, last) = (places.clone().min().unwrap_or(0), places.max().unwrap_or(0));
        let at = |order: f64, radius: f64| {
            let angle = self.angle(order);
            (CENTRE.0 + radius * angle.cos(), CENTRE.1 + radius * angle.sin())
        };
        // A path of no length shows nothing: also that of one node has some.
        let (start, end) = (at(f64::from(first) - 0.01, RADIUS), at(f64::from(last) + 0.01, RADIUS));
        let large = u8::from((f64::from(last - first) + 0.02) * 2.0 > f64::from(self.count));
        let path = format!("M{:.1} {:.1}A{RADIUS} {RADIUS} 0 {large} 1 {:.1} {:.1}", start.0, start.1, end.0, end.1);
        (path, at(f64::from(first + last) / 2.0, RADIUS - 2.6 * self.size - 14.0))
    }

    /// Width of the ground of a host.
    pub(super) fn ground_width(&self) -> f64 {
        2.5 * self.size
    }

    /// Whether there is no room for words beside nodes and imports.
    pub(super) fn is_crowded(&self) -> bool {
        self.count > 16
    }

    pub(super) fn at(&self, node: u32) -> (f64, f64) {
        let (x, y) = self.direction(node);
        (CENTRE.0 + RADIUS * x, CENTRE.1 + RADIUS * y)
    }

    /// The place beside a node that no curve leads through, and on which side of it there is room.
    pub(super) fn outside(&self, node: u32) -> ((f64, f64), Side) {
        let (x, y) = self.direction(node);
        let radius = RADIUS + self.size + 14.0;
        let side = match x {
            x if x > 0.35 => Side::Right,
            x if x < -0.35 => Side::Left,
            _ => Side::Middle,
        };
        // Above and below, lines of words need more room than beside.
        let height = if side == Side::Middle { 14.0 * y } else { 0.0 };
        ((CENTRE.0 + radius * x, CENTRE.1 + radius * y + height), side)
    }

    fn direction(&self, node: u32) -> (f64, f64) {
        let order = self.order.get(node as usize - 1).copied().unwrap_or(0);
        let angle = self.angle(f64::from(order));
        (angle.cos(), angle.sin())
    }

    fn angle(&self, order: f64) -> f64 {
        // Two nodes stand side by side, more begin at the top; clockwise.
        let start = if self.count <= 2 { 0.5 } else { 0.75 };
        TAU * (start + order / f64::from(self.count.max(1)))
    }

    /// The curve from one node to another, as far aside of the straight line as `bend` says, to the left of the traveller,
    /// drawn `inwards` to the middle.
    pub(super) fn curve(&self, from: u32, to: u32, bend: f64, inwards: f64) -> Curve {
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
        Curve { start: rim(start, self.size + 1.0), control, end: rim(end, self.size + 7.0) }
    }
}

impl Curve {
    /// As a path has it.
    pub(super) fn path(&self) -> String {
        let Curve { start, control, end } = self;
        format!("M{:.1} {:.1}Q{:.1} {:.1} {:.1} {:.1}", start.0, start.1, control.0, control.1, end.0, end.1)
    }

    /// The place part of the curve along.
    pub(super) fn at(&self, part: f64) -> (f64, f64) {
        let on = |p: f64, q: f64, r: f64| (1.0 - part).powi(2) * p + 2.0 * part * (1.0 - part) * q + part * part * r;
        (on(self.start.0, self.control.0, self.end.0), on(self.start.1, self.control.1, self.end.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_nodes_are_apart() {
        for count in [2, 3, 12, 16, 63] {
            let places = Places::of(count);
            let (a, b) = (places.at(1), places.at(2));
            assert!((a.0 - b.0).hypot(a.1 - b.1) > 2.0 * places.size, "{count}");
            for node in 1..=count {
                let (x, y) = places.at(node);
                assert!(x > places.size && x + places.size < BESIDE && y > 90.0 && y + places.size < HEIGHT);
            }
        }
    }
}
