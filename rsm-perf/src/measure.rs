//! Has operations done in turns with their limits, and makes numbers of what comes back.

use crate::crossing::Crossing;
use crate::ops::{Op, Yield};
use crate::pair::{Broken, Pair};
use hdrhistogram::Histogram;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A raw round trip below this is between processors that are near each other.
pub const NEAR: f64 = 200.0;

/// What an operation took, in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Times {
    /// Of the fastest sample.
    pub min: f64,
    /// Of the sample in the middle.
    pub median: f64,
    /// Of the sample that one in a hundred exceeds.
    pub p99: f64,
}

/// One operation at one size, of one pair.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Who did it.
    pub program: String,
    /// Operation.
    pub op: String,
    /// Bytes.
    pub bytes: usize,
    /// Operations that were clocked.
    pub iterations: u64,
    /// Operations to a sample; a sample's time is divided by it.
    pub batch: u64,
    /// Nanoseconds for one operation.
    pub nanoseconds: Times,
    /// Bytes in a microsecond, which is MB/s, at the median.
    pub megabytes_per_second: Option<f64>,
    /// Operations in a second, at the median.
    pub per_second: f64,
    /// The limit that was fastest most often, of [`Op::limits`].
    pub limit: Option<String>,
    /// Nanoseconds at its median.
    pub limit_nanoseconds: Option<f64>,
    /// The median over the rounds of operation by fastest limit in the same round.
    pub ratio: Option<f64>,
    /// Rounds.
    pub rounds: usize,
    /// The raw cache-line round trip of this pair meanwhile: median of the rounds, nanoseconds.
    pub round_trip: f64,
    /// Part of the rounds in which it was below [`NEAR`].
    pub near: f64,
    /// What one operation brings over a bridge, where the two parties are on two hosts and that was [counted](crate::counting::count).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crossing: Option<Crossing>,
}

/// Samples of one operation, in picoseconds.
struct Samples {
    name: &'static str,
    batch: u64,
    count: u64,
    histogram: Histogram<u64>,
    medians: Vec<f64>,
}

/// Time of one stint: of measuring one operation before the next. The regime of a virtual machine's processors lasts a hundred times as long.
const STINT: Duration = Duration::from_millis(2);
/// Fewest nanoseconds of a sample, so that the clock, some 40 ns, does not count.
const SAMPLE: f64 = 4_000.0;
/// Rounds in any case.
const FEWEST: usize = 3;

/// Measures an operation with every pair that knows it, in turns, for about `time` with each. Asks `go_on` in every
/// round.
///
/// # Errors
/// The first pair that breaks; what `go_on` says.
pub fn measure(
    pairs: &mut [&mut Pair],
    op: &'static Op,
    size: usize,
    time: Duration,
    mut go_on: impl FnMut() -> Result<(), Broken>,
) -> Result<Vec<Outcome>, Broken> {
    let mut able: Vec<(&mut Pair, Vec<Samples>, Vec<f64>)> = Vec::new();
    for pair in pairs.iter_mut().filter(|pair| pair.can(op.name)) {
        let mut all = vec![Samples::calibrated(pair, op.name, size)?];
        for limit in op.limits {
            if !pair.can(limit) {
                continue;
            }
            all.push(Samples::calibrated(pair, limit, size)?);
        }
        able.push((pair, all, Vec::new()));
    }
    let began = Instant::now();
    let budget = time * u32::try_from(able.len()).unwrap_or(u32::MAX);
    let mut round = 0;
    while !able.is_empty() && (round < FEWEST || began.elapsed() < budget) {
        go_on()?;
        for (pair, all, trips) in &mut able {
            if pair.can("raw-latency") {
                let trip = pair.run("raw-latency", 8, 16, 4, 24)?;
                trips.push(median(&trip) / 16.0);
            }
            // Forwards and backwards: what follows what is not always the same.
            let place = |i: usize| if round.is_multiple_of(2) { i } else { all.len() - 1 - i };
            let order: Vec<usize> = (0..all.len()).map(place).collect();
            for i in order {
                all[i].stint(pair, size)?;
            }
        }
        round += 1;
    }
    Ok(able.into_iter().map(|(pair, all, trips)| outcome(pair.name(), op, size, &all, &trips)).collect())
}

impl Samples {
    fn calibrated(pair: &mut Pair, name: &'static str, size: usize) -> Result<Samples, Broken> {
        let mut batch = 1u64;
        let mut once;
        loop {
            let samples = pair.run(name, size, batch, 2, 5)?;
            once = (median(&samples) / batch as f64).max(0.1);
            let wanted = (SAMPLE / once).ceil().clamp(1.0, 65536.0) as u64;
            if wanted <= batch * 2 {
                batch = wanted;
                break;
            }
            batch = wanted.min(batch * 100);
        }
        let stint = STINT.as_nanos() as f64;
        let count = (stint / (once * batch as f64)).clamp(1.0, 2000.0) as u64;
        let histogram = Histogram::new_with_bounds(1, 1 << 50, 3).expect("bounds and precision that it takes");
        Ok(Samples { name, batch, count, histogram, medians: Vec::new() })
    }

    fn stint(&mut self, pair: &mut Pair, size: usize) -> Result<(), Broken> {
        let warm = (self.count / 10).max(1);
        let samples = pair.run(self.name, size, self.batch, warm, self.count)?;
        for &sample in &samples {
            self.histogram.saturating_record((sample * 1000 / self.batch).max(1));
        }
        self.medians.push(median(&samples) / self.batch as f64);
        Ok(())
    }

    /// Nanoseconds at a part of the samples.
    fn at(&self, part: f64) -> f64 {
        self.histogram.value_at_quantile(part) as f64 / 1000.0
    }
}

fn outcome(program: &str, op: &Op, size: usize, all: &[Samples], trips: &[f64]) -> Outcome {
    let (own, limits) = all.split_first().expect("the operation itself");
    let ways = f64::from(op.ways);
    let mut fastest: BTreeMap<&str, usize> = BTreeMap::new();
    let mut ratios = Vec::new();
    for (round, &time) in own.medians.iter().enumerate() {
        // Which limit is the better one is asked of the round before: whichever chance made faster in this one would be
        // faster than either is, and the limit itself would seem to be slower than its limits.
        let before = round.checked_sub(1).unwrap_or(1).min(own.medians.len() - 1);
        if let Some(limit) = limits.iter().min_by(|a, b| a.medians[before].total_cmp(&b.medians[before])) {
            *fastest.entry(limit.name).or_default() += 1;
            ratios.push(time / limit.medians[round]);
        }
    }
    let limit = fastest.iter().max_by_key(|(_, rounds)| **rounds).map(|(name, _)| (*name).to_owned());
    let of_limit = limits.iter().find(|samples| limit.as_deref() == Some(samples.name));
    let nanoseconds =
        Times { min: own.histogram.min() as f64 / 1000.0 / ways, median: own.at(0.5) / ways, p99: own.at(0.99) / ways };
    Outcome {
        program: program.to_owned(),
        op: op.name.to_owned(),
        bytes: size,
        iterations: own.histogram.len() * own.batch,
        batch: own.batch,
        nanoseconds,
        megabytes_per_second: (op.gives == Yield::Bytes).then(|| size as f64 * 1000.0 / nanoseconds.median),
        per_second: 1e9 / nanoseconds.median,
        limit,
        limit_nanoseconds: of_limit.map(|samples| samples.at(0.5) / ways),
        ratio: (!ratios.is_empty()).then(|| middle(ratios)),
        rounds: own.medians.len(),
        round_trip: if trips.is_empty() { 0.0 } else { middle(trips.to_vec()) },
        near: trips.iter().filter(|&&trip| trip < NEAR).count() as f64 / trips.len().max(1) as f64,
        crossing: None,
    }
}

fn median(samples: &[u64]) -> f64 {
    middle(samples.iter().map(|&sample| sample as f64).collect())
}

/// The number in the middle.
///
/// # Panics
/// When there are none.
pub fn middle(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(name: &'static str, medians: &[f64]) -> Samples {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 50, 3).unwrap();
        for &m in medians {
            histogram.record((m * 1000.0) as u64).unwrap();
        }
        Samples { name, batch: 1, count: 1, histogram, medians: medians.to_vec() }
    }

    #[test]
    fn ratios_are_of_neighbours() {
        // The machine changes its regime between the rounds; the ratio does not.
        let all = [
            samples("put", &[20.0, 20.0, 20.0, 20.0, 200.0, 200.0]),
            samples("a", &[10.0, 10.0, 10.0, 10.0, 100.0, 100.0]),
            samples("b", &[40.0; 6]),
        ];
        let found =
            outcome("x", crate::ops::find("put").unwrap(), 64, &all, &[100.0, 100.0, 100.0, 100.0, 500.0, 500.0]);
        assert_eq!((found.ratio, found.limit.as_deref(), found.rounds), (Some(2.0), Some("a"), 6));
        assert!((found.near - 2.0 / 3.0).abs() < 1e-9 && found.round_trip == 100.0);
        assert!((found.nanoseconds.median - 20.0).abs() < 0.1 && found.megabytes_per_second.is_some());
    }

    #[test]
    fn chance_does_not_choose_the_limit() {
        // Three that are equally fast, and vary: none is slower than the better of the others.
        let mut noise = 1u64;
        let mut medians = || -> Vec<f64> {
            let mut next = || {
                noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                90.0 + (noise >> 33) as f64 / (1u64 << 31) as f64 * 20.0
            };
            (0..2001).map(|_| next()).collect()
        };
        let all = ["put", "a", "b"].map(|name| samples(name, &medians()));
        let found = outcome("x", crate::ops::find("put").unwrap(), 64, &all, &[100.0]);
        let ratio = found.ratio.unwrap();
        assert!((ratio - 1.0).abs() < 0.01, "{ratio}");
    }

    #[test]
    fn the_middle() {
        assert_eq!(middle(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(vec![1.0]), 1.0);
    }
}
