//! The table of pairs: what each shows, where its bug may show, and how surely.

use std::fmt;

/// What a pair is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Stores that arrive in another order.
    Order,
    /// What a signal says and what not.
    Signals,
    /// Memory that is used again too early.
    Reuse,
    /// Memory that several write, or read while it is written.
    Sharing,
    /// Links, segments and nodes that end.
    Failure,
}

/// In which order stores may arrive: `--model`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Model {
    Tso,
    Pcie,
    Sci,
}

impl Model {
    pub(crate) const ALL: [Model; 3] = [Model::Tso, Model::Pcie, Model::Sci];
}

impl fmt::Display for Model {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Model::Tso => "tso",
            Model::Pcie => "pcie",
            Model::Sci => "sci",
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Language {
    C,
    Rust,
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(if *self == Language::C { "C" } else { "Rust" })
    }
}

/// What a bug needs beside late puts and signals to show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// Faults: `--faults`.
    Faults(&'static str),
    /// That a node dies.
    Death,
}

/// In how many of ten seeds the bug shows at least.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    Always,
    InTen(usize),
}

/// A bug and its repair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pair {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) nodes: u32,
    /// The models under which the bug may show. Under the others it must not.
    pub(crate) models: &'static [Model],
    pub(crate) needs: Needs,
    pub(crate) shows: Shows,
    pub(crate) languages: &'static [Language],
    /// Rounds that a repaired program plays with each seed: about 0.2 s.
    pub(crate) rounds: u64,
}

use Kind::{Failure, Order, Reuse, Sharing, Signals};
use Language::{C, Rust};
use Model::{Pcie, Sci, Tso};
use Needs::{Death, Faults, Nothing};
use Shows::{Always, InTen};

const ALL: &[Model] = &[Tso, Pcie, Sci];
/// Where stores may overtake each other.
const WEAK: &[Model] = &[Pcie, Sci];
const BOTH: &[Language] = &[C, Rust];

const fn pair(name: &'static str, kind: Kind, nodes: u32, models: &'static [Model]) -> Pair {
    Pair { name, kind, nodes, models, needs: Nothing, shows: Always, languages: BOTH, rounds: 30 }
}

pub(crate) const PAIRS: &[Pair] = &[
    pair("message", Order, 2, WEAK),
    pair("mapped", Order, 2, WEAK),
    pair("release", Order, 2, WEAK),
    pair("last_word", Order, 2, WEAK),
    pair("two_imports", Order, 2, WEAK),
    pair("barrier_type", Order, 2, WEAK),
    // Where a load pushes stores ahead of it, reading back is as good as a barrier.
    pair("read_back", Order, 2, &[Sci]),
    pair("handover", Order, 3, WEAK),
    pair("early_post", Signals, 2, WEAK),
    Pair { shows: InTen(5), rounds: 20, ..pair("merged", Signals, 2, ALL) },
    Pair { needs: Faults("spurious"), ..pair("stale_wake", Signals, 2, ALL) },
    Pair { shows: InTen(5), ..pair("slept", Signals, 2, ALL) },
    Pair { shows: InTen(5), rounds: 30, ..pair("slot_reuse", Reuse, 2, ALL) },
    pair("early_ack", Reuse, 2, ALL),
    // A put of Rust's borrows its source for the call alone.
    Pair { languages: &[C], ..pair("putv_source", Reuse, 2, WEAK) },
    Pair { shows: InTen(5), rounds: 20, ..pair("two_writers", Sharing, 3, ALL) },
    Pair { shows: InTen(5), rounds: 20, ..pair("lost_count", Sharing, 3, ALL) },
    // Atomics of Rust's views of memory reach the memory itself.
    Pair { languages: &[C], rounds: 20, ..pair("atomic_count", Sharing, 3, WEAK) },
    pair("half_struct", Sharing, 2, ALL),
    pair("both_enter", Sharing, 2, ALL),
    Pair { needs: Faults("error"), rounds: 600, shows: InTen(8), ..pair("unread_close", Failure, 2, ALL) },
    Pair { needs: Faults("revoke"), rounds: 150, ..pair("stale_map", Failure, 2, ALL) },
    Pair { needs: Death, rounds: 10, ..pair("dead_token", Failure, 3, ALL) },
];

impl Pair {
    /// The faults that are to be on for this pair.
    pub(crate) fn faults(&self) -> Option<&'static str> {
        match self.needs {
            Faults(faults) => Some(faults),
            _ => None,
        }
    }

    /// Pairs, each in each of its languages.
    pub(crate) fn all() -> impl Iterator<Item = (&'static Pair, Language)> {
        PAIRS.iter().flat_map(|pair| pair.languages.iter().map(move |&language| (pair, language)))
    }
}
