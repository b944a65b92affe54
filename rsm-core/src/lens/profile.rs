//! Profiles: how long an interconnect takes, so that a program can be seen at its speed.
//!
//! A profile has points of bytes and nanoseconds for each kind of call; between two of them the time is on the line that
//! joins them, beyond the last it goes on as that line does. What somebody has measured and what is guessed stand in one
//! table, each number marked.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// An interconnect whose times are known, or guessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u32)]
pub enum Profile {
    /// Dolphin's software over an NTB of a PCIe switch.
    DolphinNtb,
    /// Dolphin IX: a PCIe adapter and its switch.
    DolphinIx,
    /// The NTB of an Intel processor.
    IntelNtb,
    /// Sun's FireLink, for which the RSMAPI was made.
    Firelink,
    /// SCI adapters.
    Sci,
}

/// Where a number comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Somebody has measured it on such hardware.
    Measured,
    /// Nobody: it is of the right order at best.
    Guess,
}
use Source::{Guess, Measured};

/// Kind of call that takes its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cost {
    /// A put: until the processor goes on.
    Store,
    /// A get.
    Load,
    /// The close of a barrier: until all stores are known to have arrived.
    Check,
    /// An order barrier.
    Order,
    /// A signal: from its post to the end of a wait that was there already.
    Signal,
    /// A connect.
    Connect,
}

impl Cost {
    /// All of them, with what they are called.
    pub const ALL: [(Cost, &'static str); 6] = [
        (Cost::Store, "store"),
        (Cost::Load, "load"),
        (Cost::Check, "check"),
        (Cost::Order, "order"),
        (Cost::Signal, "signal"),
        (Cost::Connect, "connect"),
    ];
}

/// A number of a profile: bytes, nanoseconds, and where that comes from.
pub type Point = (u64, u64, Source);

/// A row of the table of profiles.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The profile.
    pub profile: Profile,
    /// What it is called.
    pub name: &'static str,
    /// What it is.
    pub text: &'static str,
    /// Whether it is known to carry no atomic update that a processor makes over a mapping: a store and a load it carries, and nothing
    /// that is both. That of PCIe and of SCI does not; of others nothing is known.
    pub no_atomics: bool,
    /// Points of each [`Cost`], in its order; by bytes, which do not matter where there is one point.
    pub costs: [&'static [Point]; 6],
}

const K: u64 = 1 << 10;
const M: u64 = 1 << 20;

/// The table of profiles: what is parsed, documented, spent and tested is this.
pub const PROFILES: [Row; 5] = [
    Row {
        profile: Profile::DolphinNtb,
        name: "dolphin-ntb",
        text: "Dolphin's SISCI over PCIe non-transparent bridges",
        no_atomics: true,
        costs: [
            &[(8, 300, Measured), (4 * K, 1_290, Measured), (2 * M, 272_357, Measured)],
            &[(8, 1_780, Measured), (64, 1_780, Guess), (4 * K, 9_719, Measured), (2 * M, 428_330, Measured)],
            &[(0, 2_470, Measured)],
            &[(0, 100, Guess)],
            &[(0, 2_160, Measured)],
            &[(0, 300_000, Guess)],
        ],
    },
    Row {
        profile: Profile::DolphinIx,
        name: "dolphin-ix",
        text: "Dolphin's PCIe adapters of the IX family",
        no_atomics: true,
        costs: [
            &[(8, 88, Guess), (64, 88, Measured), (256, 117, Measured), (2 * M, 699_051, Measured)],
            &[(8, 1_500, Guess), (64, 1_500, Guess), (2 * M, 1_398_101, Guess)],
            &[(0, 1_500, Guess)],
            &[(0, 100, Guess)],
            &[(0, 740, Measured)],
            &[(0, 300_000, Guess)],
        ],
    },
    Row {
        profile: Profile::IntelNtb,
        name: "intel-ntb",
        text: "the non-transparent bridge of an Intel processor",
        no_atomics: true,
        costs: [
            &[(8, 300, Measured), (2 * M, 349_525, Guess)],
            &[(8, 600, Guess), (64, 600, Guess), (2 * M, 699_051, Guess)],
            &[(0, 700, Guess)],
            &[(0, 50, Guess)],
            &[(0, 1_000, Guess)],
            &[(0, 300_000, Guess)],
        ],
    },
    Row {
        profile: Profile::Firelink,
        name: "firelink",
        text: "Sun's FireLink",
        no_atomics: false,
        costs: [
            &[(8, 1_000, Guess), (2 * M, 3_177_503, Measured)],
            &[(8, 5_000, Guess), (64, 5_000, Guess), (2 * M, 6_355_006, Guess)],
            &[(0, 5_000, Guess)],
            &[(0, 500, Guess)],
            &[(0, 4_350, Measured)],
            &[(0, 1_000_000, Guess)],
        ],
    },
    Row {
        profile: Profile::Sci,
        name: "sci",
        text: "adapters for the Scalable Coherent Interface",
        no_atomics: true,
        costs: [
            &[(8, 700, Guess), (4 * K, 48_188, Guess), (2 * M, 6_553_600, Guess)],
            &[(8, 3_500, Guess), (64, 3_500, Guess), (2 * M, 24_672_376, Guess)],
            &[(0, 4_000, Guess)],
            &[(0, 500, Guess)],
            &[(0, 10_000, Guess)],
            &[(0, 1_000_000, Guess)],
        ],
    },
];

impl Profile {
    /// Its row of the table.
    pub const fn row(self) -> &'static Row {
        &PROFILES[self as usize]
    }

    /// Reads a name.
    ///
    /// # Errors
    /// BAD_CONF, which says what may be given.
    pub fn parse(name: &str) -> Result<Profile> {
        PROFILES.iter().find(|row| row.name == name).map(|row| row.profile).ok_or_else(|| {
            let names: Vec<&str> = PROFILES.iter().map(|row| row.name).collect();
            Error::with(Code::BadConf, format!("there is no profile {name:?}: {}", names.join(", ")))
        })
    }

    /// Nanoseconds that a call with so many bytes takes.
    pub fn time(self, cost: Cost, bytes: u64) -> u64 {
        let points = self.row().costs[cost as usize];
        let Some(&(first, least, _)) = points.first() else { return 0 };
        if points.len() == 1 || bytes <= first {
            return least;
        }
        let line = points.windows(2).find(|line| bytes <= line[1].0).or_else(|| points.windows(2).next_back());
        let Some(&[(from, low, _), (to, high, _)]) = line else { return least };
        let part = u128::from(bytes - from) * u128::from(high - low) / u128::from(to - from);
        low + u64::try_from(part).unwrap_or(u64::MAX)
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.row().name)
    }
}

impl Row {
    /// The cells of its line in `docs/profiles.md`: guesses have a question mark.
    pub fn cells(&self) -> Vec<String> {
        let point = |several: bool, &(bytes, ns, source): &Point| {
            let mark = if source == Source::Guess { "?" } else { "" };
            let time = microseconds(ns);
            if several { format!("{} {time}{mark}", size(bytes)) } else { format!("{time}{mark}") }
        };
        let cost = |points: &&[Point]| {
            let several = points.len() > 1;
            points.iter().map(|at| point(several, at)).collect::<Vec<_>>().join(", ")
        };
        std::iter::once(format!("`{}`", self.name)).chain(self.costs.iter().map(cost)).collect()
    }
}

/// The table of profiles as lines for people, each with its name first.
pub fn lines() -> String {
    let line = |row: &Row| {
        let cells = row.cells();
        let costs = Cost::ALL.iter().zip(&cells[1..]).map(|((_, name), cell)| format!("{name} {cell}"));
        format!("{}: {}; {}\n", row.name, row.text, costs.collect::<Vec<_>>().join("; "))
    };
    PROFILES.iter().map(line).collect()
}

/// Nanoseconds as microseconds.
fn microseconds(ns: u64) -> String {
    let text = format!("{}.{:03}", ns / 1000, ns % 1000);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} us")
}

/// Bytes as people write them.
fn size(bytes: u64) -> String {
    match bytes {
        bytes if bytes.is_multiple_of(M) => format!("{} MiB", bytes / M),
        bytes if bytes.is_multiple_of(K) => format!("{} KiB", bytes / K),
        bytes => format!("{bytes} B"),
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn points_are_met_and_lines_lie_between() {
        for row in PROFILES {
            assert_eq!(PROFILES[row.profile as usize].name, row.name, "the table is in the order of the numbers");
            assert_eq!(Profile::parse(row.name), Ok(row.profile));
            for (cost, _) in Cost::ALL {
                let points = row.costs[cost as usize];
                assert!(!points.is_empty());
                for line in points.windows(2) {
                    let (from, to) = (line[0], line[1]);
                    assert!(from.0 < to.0 && from.1 <= to.1, "{} {cost:?}", row.name);
                    let between = row.profile.time(cost, u64::midpoint(from.0, to.0));
                    assert!((from.1..=to.1).contains(&between));
                }
                for (bytes, ns, _) in points {
                    assert_eq!(row.profile.time(cost, *bytes), *ns, "{} {cost:?}", row.name);
                }
            }
            let twice = row.profile.time(Cost::Store, 4 * M);
            assert!(twice > row.profile.time(Cost::Store, 2 * M) * 19 / 10, "{}: it goes on", row.name);
        }
        let error = Profile::parse("ethernet").unwrap_err();
        assert!(error.code() == Code::BadConf && error.detail().contains("dolphin-ntb, dolphin-ix"), "{error}");
    }

    #[test]
    fn guesses_are_marked() {
        let lines = lines();
        let of = |name: &str| lines.lines().find(|line| line.starts_with(name)).unwrap();
        assert!(of("dolphin-ntb").contains("check 2.47 us; order 0.1 us?; signal 2.16 us; connect 300 us?"), "{lines}");
        assert!(of("sci").contains("store 8 B 0.7 us?, 4 KiB 48.188 us?, 2 MiB 6553.6 us?"), "{lines}");
    }
}
