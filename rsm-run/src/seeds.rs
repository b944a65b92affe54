//! A test that is tried with many seeds.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Environment variable with the seeds to try instead.
const VARIABLE: &str = "RSM_SEEDS";

/// Calls a test with each seed in turn. When it fails, the seed is said on standard error, with what tries it alone, and the
/// panic goes on.
///
/// `RSM_SEEDS=7`, `RSM_SEEDS=3,9` or `RSM_SEEDS=0..1000` in the environment has those tried instead.
///
/// ```
/// use rsm_run::{on_nodes, seeds};
///
/// seeds(0..3, |seed| on_nodes!(2, chaos = seed, |node| -> rsm::Result<()> {
///     node.controller("shm0")?;
///     Ok(())
/// }));
/// ```
///
/// # Panics
/// As the test does; when `RSM_SEEDS` is no list of seeds.
#[track_caller]
pub fn seeds(seeds: impl IntoIterator<Item = u64>, mut test: impl FnMut(u64)) {
    let asked = std::env::var(VARIABLE).ok().filter(|text| !text.is_empty()).map(|text| match parsed(&text) {
        Some(seeds) => seeds,
        None => panic!("{VARIABLE}={text:?} is no list of seeds: write 7, 3,9 or 0..1000"),
    });
    let each = |seed: u64| {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(seed))) {
            eprintln!("seed {seed} fails; this one alone: {VARIABLE}={seed} in the environment of the same test");
            resume_unwind(panic);
        }
    };
    match asked {
        Some(asked) => asked.into_iter().for_each(each),
        None => seeds.into_iter().for_each(each),
    }
}

fn parsed(text: &str) -> Option<Vec<u64>> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let mut all = Vec::new();
    for part in text.split(',') {
        match part.split_once("..") {
            Some((from, to)) => all.extend(number(from)?..number(to)?),
            None => all.push(number(part)?),
        }
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_seeds() {
        assert_eq!(parsed("7"), Some(vec![7]));
        assert_eq!(parsed("3, 9,0..3"), Some(vec![3, 9, 0, 1, 2]));
        for text in ["", "x", "1..", "1,", "-1"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn the_first_seed_that_fails_is_the_last_one_tried() {
        let mut tried = Vec::new();
        let panic = catch_unwind(AssertUnwindSafe(|| {
            seeds(0..10, |seed| {
                tried.push(seed);
                assert!(seed < 3, "too large");
            });
        }));
        assert_eq!(panic.unwrap_err().downcast_ref::<&str>(), Some(&"too large"));
        assert_eq!(tried, [0, 1, 2, 3]);
    }
}
