//! Accesses that nothing orders, as the warden finds them at the end of a run.

use rsm::lens::gate::Frame;
use rsm::lens::races::{self, Kind, Lack, Module, Why};
use serde::{Deserialize, Serialize};

/// Most that one run tells.
const MOST: usize = 100;

/// One of two accesses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The node.
    pub node: u32,
    /// The process.
    pub pid: u32,
    /// Whether it wrote.
    pub writes: bool,
    /// Whether it stored one word by itself.
    pub is_word: bool,
    /// Whether it was made through an import.
    pub through_import: bool,
    /// Return addresses, from the inside out.
    pub frames: Vec<Frame>,
    /// Of a store that no call told and that was found later: those of the calls between which it was made.
    pub between: Option<(Vec<Frame>, Vec<Frame>)>,
}

/// Why nothing orders them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The first was put in a span that was open.
    Open,
    /// The second's process was told nothing that came after the first.
    Untold,
    /// Both stored to a word, and the second had not seen the first.
    Unseen,
    /// The second changed memory that the first was putting from, before the end of its span.
    Source,
    /// It is no race, and both are the one access that it is: an atomic update of another node's memory over a mapping, under a
    /// profile of hardware that does not carry those.
    Update,
}

/// Two accesses that nothing orders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Race {
    /// Node and id of the segment.
    pub segment: (u32, u32),
    /// From which byte of it on.
    pub offset: u64,
    /// How many.
    pub length: u64,
    /// Which was there.
    pub first: Access,
    /// Which met it.
    pub second: Access,
    /// Why.
    pub reason: Reason,
    /// How often.
    pub times: u64,
    /// The files that frames are in.
    pub modules: Vec<String>,
}

/// What came of looking.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Looked {
    /// Races, in the order in which they were found.
    pub races: Vec<Race>,
    /// Processes whose calls were seen.
    pub by_calls: u64,
    /// Processes that were built to tell everything.
    pub whole: u64,
    /// Processes whose calls were seen, and what they stored into memory of their own.
    pub by_pages: u64,
    /// What kept some from being found, if anything did.
    pub lacks: Vec<String>,
}

impl Race {
    fn of(race: races::Race) -> Race {
        let mut modules: Vec<String> = Vec::new();
        let mut frame = |(address, module): (u64, Option<Module>)| {
            let module = module?;
            let path = String::from_utf8_lossy(&module.path).into_owned();
            let index = modules.iter().position(|known| *known == path).unwrap_or_else(|| {
                modules.push(path);
                modules.len() - 1
            });
            Some(Frame { module: index as u32, offset: address.wrapping_sub(module.bias) })
        };
        let mut frames = |frames: races::Frames| frames.into_iter().filter_map(&mut frame).collect::<Vec<_>>();
        let mut access = |access: races::Access| Access {
            node: access.who.node,
            pid: access.who.pid,
            writes: access.kind.writes(),
            is_word: access.kind == Kind::Store,
            through_import: access.through_import,
            frames: frames(access.frames),
            between: access.between.map(|(first, second)| (frames(first), frames(second))),
        };
        let (first, second) = (access(race.first), access(race.second));
        let reason = match race.why {
            Why::Open => Reason::Open,
            Why::Untold => Reason::Untold,
            Why::Unseen => Reason::Unseen,
            Why::Source => Reason::Source,
            Why::Update => Reason::Update,
        };
        let races::Race { segment, offset, length, times, .. } = race;
        Race { segment, offset, length, first, second, reason, times, modules }
    }
}

/// What there was no room for, as a sentence.
fn lacking(lack: Lack) -> &'static str {
    match lack {
        Lack::Clocks => {
            "more processes and imports came than can be told from each other, or one was forked and not known yet: \
             nothing was looked for any more from then on"
        }
        Lack::Lines => "segments were too many or too long for all to be looked at",
        Lack::Reports => "more races were found than are remembered",
        Lack::Words => "more words were stored to than are remembered",
        Lack::Cells => "more accesses met than are remembered",
        Lack::Places => {
            "accesses were made at more places of programs than are remembered: races of different places may be one here, and one \
             place may be missing where it is named"
        }
        Lack::Modules => "programs had more modules than are remembered: places in some are not named",
        Lack::Copies => {
            "segments could not be copied, or were more than 256 MiB of a node: nothing was found that their owners store there"
        }
        Lack::Shared => {
            "memory was mapped by other nodes, or was that of a node of several processes or of a process of several memberships: \
             who stores there without a call was not looked for"
        }
        Lack::Kernel => {
            "this kernel does not tell which pages a program stores to (UFFD_FEATURE_WP_ASYNC and PAGEMAP_SCAN, Linux 6.7): \
             segments of more than 128 KiB were compared whole, and not at every call"
        }
    }
}

impl Looked {
    pub(crate) fn of(looked: races::Looked) -> Looked {
        let races::Looked { races, by_calls, whole, by_pages, lacks } = looked;
        let races = races.into_iter().take(MOST).map(Race::of).collect();
        let lacks = lacks.into_iter().map(|lack| lacking(lack).to_owned()).collect();
        Looked { races, by_calls, whole, by_pages, lacks }
    }
}
