//! Lenses: what a cluster shows that real memory hides.
//!
//! A lens is chosen when a cluster begins and stands in the registry ([`crate::registry::Header::lens`]), so every process
//! that joins sees the same one. With a [`Model`], stores of importers are *posted*: they lie in a log of the importing
//! process and are delivered later, out of order as far as the model permits, which is never more than the RSMAPI does. A
//! program that has the barriers it needs notices nothing.
//!
//! | what | file |
//! |---|---|
//! | what a lens is, and its words in the registry | here |
//! | which orders a model permits | [`model`] |
//! | what a seed draws | [`draw`] |
//! | what goes wrong now and then | [`fault`] |
//! | when it does | [`inject`] |
//! | how long things take | [`profile`] |
//! | what is on its way | [`log`] |
//! | what a process says of it | [`record`] |
//! | whose calls are counted, and who dies | [`gate`] |
//! | what calls were made: a record of each | [`event`] |
//! | where a process notes them | [`ring`] |

pub mod draw;
pub mod event;
pub mod fault;
pub mod gate;
pub mod inject;
pub mod log;
pub mod model;
pub mod profile;
pub mod record;
pub mod ring;

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

pub use event::Trace;
pub use fault::Faults;
pub use gate::Gate;
pub use model::Model;
pub use profile::Profile;

/// Bits of a gate's word that say the call; those above, the node.
const GATE_CALL: u32 = 48;
/// Bits of the first word: 8 of a profile, and one.
const PROFILE: u32 = 24;
const VIRTUAL: u32 = 32;
/// And one each for a trace, and for one that has the bytes of puts.
const TRACE: u32 = 33;
const TRACE_BYTES: u32 = 34;
/// And one for races, and for those of what owners store into their own memory.
const RACE: u32 = 35;
const RACE_PAGES: u32 = 36;
const RACE_STRICT: u32 = 37;
/// Words of the registry that hold a lens.
pub const WORDS: usize = 4;

/// How long stores are on their way, beside what is usual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Strength {
    /// Half as long.
    Calm,
    /// 0 to 0.5 ms for most spans, up to 40 ms for one in a hundred.
    #[default]
    Usual,
    /// Four times as long.
    Storm,
}

impl Strength {
    /// All of them, with the words that people use for them.
    pub const ALL: [(&'static str, Strength); 3] =
        [("calm", Strength::Calm), ("usual", Strength::Usual), ("storm", Strength::Storm)];

    /// A delay of `ns` nanoseconds as it is with this strength.
    pub fn of(self, ns: u64) -> u64 {
        match self {
            Strength::Calm => ns / 2,
            Strength::Usual => ns,
            Strength::Storm => ns * 4,
        }
    }
}

/// What a cluster shows beside what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lens {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// How stores may be late; `None`: they are not.
    pub model: Option<Model>,
    /// How late.
    pub strength: Strength,
    /// What goes wrong now and then.
    pub faults: Faults,
    /// How long calls take; `None`: as long as they do.
    pub profile: Option<Profile>,
    /// Nobody waits for that: each process adds up what its calls take.
    pub is_virtual: bool,
    /// Who dies, for who explores what others make of it.
    pub gate: Option<Gate>,
    /// Every call is noted.
    pub trace: Option<Trace>,
    /// Accesses that nothing orders are looked for.
    pub race: bool,
    /// And what nodes store into their own memory without telling it, as well as that can be found.
    pub race_pages: bool,
    /// What nodes may tell each other beside the RSMAPI is taken to order them, too.
    pub race_outside: bool,
}

impl Lens {
    /// Stores are late under the default model.
    pub fn chaos(seed: u64) -> Lens {
        Lens { model: Some(Model::default()), ..Lens::clear(seed) }
    }

    /// Nothing is late, nothing goes wrong: to be added to.
    pub fn clear(seed: u64) -> Lens {
        let (strength, faults) = (Strength::default(), Faults::NONE);
        Lens {
            seed,
            model: None,
            strength,
            faults,
            profile: None,
            is_virtual: false,
            gate: None,
            trace: None,
            race: false,
            race_pages: false,
            race_outside: false,
        }
    }

    /// Stores are late under this model.
    #[must_use]
    pub fn model(self, model: Model) -> Lens {
        Lens { model: Some(model), ..self }
    }

    /// Stores are so late.
    #[must_use]
    pub fn strength(self, strength: Strength) -> Lens {
        Lens { strength, ..self }
    }

    /// This goes wrong now and then.
    #[must_use]
    pub fn faults(self, faults: Faults) -> Lens {
        Lens { faults, ..self }
    }

    /// Calls take as long as on this interconnect.
    #[must_use]
    pub fn profile(self, profile: Profile) -> Lens {
        Lens { profile: Some(profile), ..self }
    }

    /// Nobody waits for that: each process adds up how long its calls would take.
    #[must_use]
    pub fn virtual_time(self) -> Lens {
        Lens { is_virtual: true, ..self }
    }

    /// The calls of a node are counted, or it is killed before one of them.
    #[must_use]
    pub fn gate(self, gate: Gate) -> Lens {
        Lens { gate: Some(gate), ..self }
    }

    /// Every call is noted, to be read by who started the cluster.
    #[must_use]
    pub fn trace(self, trace: Trace) -> Lens {
        Lens { trace: Some(trace), ..self }
    }

    /// Accesses that nothing orders are looked for, to be asked for by who started the cluster.
    #[must_use]
    pub fn race(self) -> Lens {
        Lens { race: true, ..self }
    }

    /// Likewise, and what nodes store into their own memory without telling it: found by comparing it at each of their calls.
    #[must_use]
    pub fn race_pages(self) -> Lens {
        Lens { race: true, race_pages: true, ..self }
    }

    /// Likewise, and what nodes may tell each other by files, pipes, sockets and the like is taken to order them, too.
    #[must_use]
    pub fn race_outside(self) -> Lens {
        Lens { race: true, race_outside: true, ..self }
    }

    /// Whether it does nothing but watch: all is as fast and in the same order as without it, but for the notes.
    pub fn only_watches(&self) -> bool {
        let Lens { trace, race, race_pages, race_outside, .. } = *self;
        let only = Lens { trace, race, race_pages, race_outside, ..Lens::clear(self.seed) };
        (trace.is_some() || race) && *self == only
    }

    /// The words of the registry that say this; a cluster without a lens has zeroes.
    pub fn words(self) -> [u64; WORDS] {
        const HAS: u64 = 1;
        let model = self.model.map_or(0, |model| model as u64 + 1);
        let gate = self.gate.map_or(0, |gate| u64::from(gate.node) << GATE_CALL | gate.call & ((1 << GATE_CALL) - 1));
        let profile =
            self.profile.map_or(0, |profile| profile as u64 + 1) << PROFILE | u64::from(self.is_virtual) << VIRTUAL;
        let trace = self.trace.map_or(0, |trace| 1 << TRACE | u64::from(trace.bytes) << TRACE_BYTES);
        let trace = trace | u64::from(self.race) << RACE | u64::from(self.race_pages) << RACE_PAGES;
        let trace = trace | u64::from(self.race_outside) << RACE_STRICT;
        [HAS | trace | model << 8 | (self.strength as u64) << 16 | profile, self.seed, self.faults.bits().into(), gate]
    }

    /// Reads the words of a registry: an allegation.
    ///
    /// # Errors
    /// BAD_LIBRARY_VERSION for what this library does not know.
    pub fn from_words(words: [u64; WORDS]) -> Result<Option<Lens>> {
        let unknown = || Error::with(Code::BadLibraryVersion, "the cluster has a lens that this library does not know");
        if words == [0; WORDS] {
            return Ok(None);
        }
        let [kind, seed, faults, gate] = words;
        let part = |at: u32| (kind >> at & 0xff) as usize;
        let model = match part(8) {
            0 => None,
            number => Some(Model::ALL.get(number - 1).ok_or_else(unknown)?.1),
        };
        let strength = Strength::ALL.get(part(16)).ok_or_else(unknown)?.1;
        let profile = match part(PROFILE) {
            0 => None,
            number => Some(profile::PROFILES.get(number - 1).ok_or_else(unknown)?.profile),
        };
        let bit = |at: u32| kind >> at & 1 == 1;
        let is_virtual = bit(VIRTUAL);
        let trace = bit(TRACE).then(|| Trace { bytes: bit(TRACE_BYTES) });
        let faults = u32::try_from(faults).ok().and_then(Faults::from_bits).ok_or_else(unknown)?;
        let (node, call) = ((gate >> GATE_CALL) as u32, gate & ((1 << GATE_CALL) - 1));
        let gate = (gate != 0).then_some(Gate { node, call });
        let (race, race_pages, race_outside) = (bit(RACE), bit(RACE_PAGES), bit(RACE_STRICT));
        let lens =
            Lens { seed, model, strength, faults, profile, is_virtual, gate, trace, race, race_pages, race_outside };
        let is_known = lens.words() == words && (race || !(race_pages || race_outside));
        if is_known { Ok(Some(lens)) } else { Err(unknown()) }
    }
}

/// Reads `SEED[:calm|:storm]`; a seed is a number, decimal or, after 0x, hexadecimal.
///
/// # Errors
/// BAD_CONF, which says what may be given.
pub fn parse_seed(text: &str) -> Result<(u64, Strength)> {
    let (number, strength) = text.split_once(':').unwrap_or((text, "usual"));
    let seed = match number.strip_prefix("0x") {
        Some(digits) if !digits.starts_with('+') => u64::from_str_radix(digits, 16).ok(),
        Some(_) => None,
        None if number.starts_with('+') => None,
        None => number.parse().ok(),
    };
    let strength = Strength::ALL.into_iter().find(|(name, _)| *name == strength);
    match (seed, strength) {
        (Some(seed), Some((_, strength))) => Ok((seed, strength)),
        (None, _) => Err(Error::with(
            Code::BadConf,
            format!("{number:?} is no seed: a number below 2^64, such as 7 or 0x2a, and after it :calm or :storm"),
        )),
        (_, None) => {
            let text = format!("{text:?}: what follows a seed is :calm or :storm");
            Err(Error::with(Code::BadConf, text))
        }
    }
}

impl std::fmt::Display for Lens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}", self.seed)?;
        if let Some(model) = self.model {
            write!(f, ", model {model}")?;
        }
        match self.strength {
            Strength::Calm => write!(f, ", calm")?,
            Strength::Usual => {}
            Strength::Storm => write!(f, ", storm")?,
        }
        if self.faults != Faults::NONE {
            write!(f, ", faults {}", self.faults)?;
        }
        if let Some(profile) = self.profile {
            write!(f, ", profile {profile}")?;
        }
        if self.is_virtual {
            write!(f, ", virtual")?;
        }
        if let Some(trace) = self.trace {
            write!(f, ", traced{}", if trace.bytes { " with bytes" } else { "" })?;
        }
        if self.race {
            let outside = if self.race_outside { ", not those that something outside may order" } else { "" };
            write!(f, ", races looked for{}{outside}", if self.race_pages { ", by pages too" } else { "" })?;
        }
        Ok(())
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;

    #[test]
    fn words_come_back() {
        for (_, model) in Model::ALL {
            for (_, strength) in Strength::ALL {
                for model in [None, Some(model)] {
                    let faults = Faults::NONE.with(fault::Fault::Partial);
                    let gate = Some(Gate { node: 63, call: 1 << 40 });
                    let clear = Lens::clear(3);
                    let full = Lens { seed: u64::MAX - 3, model, strength, faults, gate, ..clear };
                    let last = clear.profile(Profile::Sci).virtual_time();
                    for lens in [
                        clear,
                        full,
                        full.profile(Profile::DolphinNtb),
                        last,
                        clear.trace(Trace { bytes: false }),
                        full.trace(Trace { bytes: true }),
                        clear.race(),
                        full.trace(Trace { bytes: false }).race(),
                        full.race_pages(),
                        full.race_outside(),
                        clear.race_pages().race_outside(),
                    ] {
                        assert_eq!(Lens::from_words(lens.words()), Ok(Some(lens)));
                    }
                }
            }
        }
        assert_eq!(Lens::from_words([0; WORDS]), Ok(None));
        for words in [
            [1 | 9 << 8, 0, 0, 0],
            [1 | 3 << 16, 0, 0, 0],
            [1 | 6 << PROFILE, 0, 0, 0],
            [1 | 1 << TRACE_BYTES, 0, 0, 0],
            [1, 0, 1 << 9, 0],
            [1, 0, 1 << 32, 0],
            [1 | 1 << 60, 0, 0, 0],
            [1 | 1 << RACE_PAGES, 0, 0, 0],
            [1 | 1 << RACE_STRICT, 0, 0, 0],
            [0, 5, 0, 0],
        ] {
            assert_eq!(Lens::from_words(words).unwrap_err().code(), Code::BadLibraryVersion, "{words:?}");
        }
    }

    #[test]
    fn a_trace_alone_only_watches() {
        let trace = Trace::default();
        assert!(Lens::clear(7).trace(trace).only_watches());
        assert!(Lens::clear(7).race().only_watches() && Lens::clear(7).race().trace(trace).only_watches());
        assert!(Lens::clear(7).race_pages().only_watches() && Lens::clear(7).race_pages().race);
        assert!(Lens::clear(7).race_outside().only_watches() && Lens::clear(7).race_outside().race);
        assert!(!Lens::chaos(7).race().only_watches());
        assert!(!Lens::clear(7).only_watches() && !Lens::chaos(7).trace(trace).only_watches());
        assert!(!Lens::clear(7).gate(Gate { node: 1, call: 0 }).trace(trace).only_watches());
    }

    #[test]
    fn seeds_are_read() {
        assert_eq!(parse_seed("7"), Ok((7, Strength::Usual)));
        assert_eq!(parse_seed("0x2A:storm"), Ok((42, Strength::Storm)));
        assert_eq!(parse_seed("18446744073709551615:calm"), Ok((u64::MAX, Strength::Calm)));
        for (text, says) in [
            ("", "is no seed"),
            ("./app", "\"./app\" is no seed"),
            ("-1", "is no seed"),
            ("+1", "is no seed"),
            ("0x+1", "is no seed"),
            ("18446744073709551616", "below 2^64"),
            ("7:wild", ":calm or :storm"),
            ("7:", ":calm or :storm"),
        ] {
            let error = parse_seed(text).unwrap_err();
            assert_eq!(error.code(), Code::BadConf);
            assert!(error.detail().contains(says), "{text}: {error}");
        }
    }
}
