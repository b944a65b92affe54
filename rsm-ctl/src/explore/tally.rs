//! What was found so far, in numbers.

use super::judge::Kind;

/// Points of an exploration.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) points: usize,
    pub(super) tried: usize,
    hang: usize,
    fail: usize,
    err: usize,
    leave: usize,
    /// The first call before which something was found.
    pub(super) first: Option<u64>,
}

impl Tally {
    /// None of so many was tried.
    pub(super) fn of(points: usize) -> Tally {
        Tally { points, ..Tally::default() }
    }

    /// A point was tried.
    pub(super) fn add(&mut self, call: u64, found: Option<Kind>) {
        self.tried += 1;
        let count = match found {
            None => return,
            Some(Kind::Hang) => &mut self.hang,
            Some(Kind::Failure) => &mut self.fail,
            Some(Kind::Mistake) => &mut self.err,
            Some(Kind::Leftover) => &mut self.leave,
        };
        *count += 1;
        self.first.get_or_insert(call);
    }

    pub(super) fn found(&self) -> usize {
        self.hang + self.fail + self.err + self.leave
    }

    /// All of it as a clause, with the command that repeats a call.
    pub(super) fn summed(&self, command: impl FnOnce(u64) -> String) -> String {
        let all = match (self.tried, self.points) {
            (tried, points) if tried == points => format!("{points} {}", points_of(points)),
            (tried, points) => format!("{tried} {} tried of {points}", points_of(tried)),
        };
        let Some(first) = self.first else {
            return format!("{all}, and nothing hangs, fails or is left");
        };
        let verbs = [
            (self.hang, "hang", "hangs"),
            (self.fail, "fail", "fails"),
            (self.err, "make wrong calls", "makes wrong calls"),
            (self.leave, "leave something", "leaves something"),
        ];
        let verbs = verbs.iter().filter(|(count, ..)| *count > 0);
        let counts: Vec<String> =
            verbs.map(|(count, many, one)| format!("{count} {}", if *count == 1 { one } else { many })).collect();
        let mut counts = counts.into_iter();
        let lead = counts.next().unwrap_or_default();
        let (number, verb) = lead.split_once(' ').unwrap_or((&lead, ""));
        let more: String = counts.map(|count| format!(", {count}")).collect();
        format!("{number} of {all} {verb}{more}, the first: {}", command(first))
    }
}

fn points_of(count: usize) -> &'static str {
    if count == 1 { "point" } else { "points" }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(points: usize, found: &[(u64, Option<Kind>)]) -> String {
        let mut tally = Tally::of(points);
        found.iter().for_each(|&(call, kind)| tally.add(call, kind));
        assert_eq!(tally.found(), found.iter().filter(|(_, kind)| kind.is_some()).count());
        tally.summed(|call| format!("again --at {call}"))
    }

    #[test]
    fn sentences() {
        assert_eq!(tally(2, &[(1, None), (2, None)]), "2 points, and nothing hangs, fails or is left");
        assert_eq!(
            tally(3, &[(1, None), (2, Some(Kind::Hang)), (3, Some(Kind::Hang))]),
            "2 of 3 points hang, the first: again --at 2"
        );
        assert_eq!(
            tally(
                4,
                &[(1, Some(Kind::Leftover)), (2, Some(Kind::Hang)), (3, Some(Kind::Failure)), (4, Some(Kind::Failure))]
            ),
            "1 of 4 points hangs, 2 fail, 1 leaves something, the first: again --at 1"
        );
        assert_eq!(tally(9, &[(1, None)]), "1 point tried of 9, and nothing hangs, fails or is left");
        assert_eq!(tally(1, &[(1, Some(Kind::Failure))]), "1 of 1 point fails, the first: again --at 1");
    }
}
