//! The verbs of a script, how they read, and how they are made up.
//!
//! Verbs name slots: exports `e0..`, imports `i0..`, mappings `m0..`. A verb that names an empty slot, or would fill one
//! that is taken, does nothing, so every part of a script is a script, and shrinking keeps it meaningful.

use proptest::prelude::*;
use std::fmt;

// Whole pages of every machine: they have 4, 16 or 64 KiB.
pub(crate) const PAGE: usize = 1 << 16;
pub(crate) const EXPORTS: usize = 3;
pub(crate) const IMPORTS: usize = 3;
pub(crate) const MAPPINGS: usize = 2;
/// Nodes that have joined; one more is configured and has not, and there is none with a higher id.
pub(crate) const JOINED: u32 = 2;
/// Pages of ordinary memory that each node has, to export in place.
pub(crate) const PLACE_PAGES: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    Shm0,
    Loopback,
}

/// Who may connect: nobody in particular, everybody, or a list of nodes and modes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Default,
    Everyone,
    List(Vec<(u32, u32)>),
}

/// A segment id: a number, or what an export was published as last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Id {
    Number(u32),
    Of(usize),
}

/// Rights, as the bits of `rsm_permission_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rights(pub(crate) u32);

impl Rights {
    pub(crate) fn reads(self) -> bool {
        self.0 & 0o400 != 0
    }
    pub(crate) fn writes(self) -> bool {
        self.0 & 0o200 != 0
    }
}

/// A range of a node's ordinary memory, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) start: usize,
    pub(crate) length: usize,
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    Create {
        e: usize,
        node: u32,
        via: Via,
        length: usize,
    },
    Adopt {
        e: usize,
        node: u32,
        via: Via,
        place: Place,
    },
    Rebind {
        e: usize,
        place: Place,
    },
    Destroy {
        e: usize,
    },
    Publish {
        e: usize,
        id: u32,
        access: Access,
    },
    Republish {
        e: usize,
        access: Access,
    },
    Unpublish {
        e: usize,
    },
    /// The exporter's own loads and stores of 8 bytes, `at` counted in words and taken modulo the length.
    Write {
        e: usize,
        at: usize,
        value: u64,
    },
    Read {
        e: usize,
        at: usize,
    },
    /// Loads and stores of a node in its ordinary memory.
    Poke {
        node: u32,
        at: usize,
        value: u64,
    },
    Peek {
        node: u32,
        at: usize,
    },
    Connect {
        i: usize,
        node: u32,
        via: Via,
        to: u32,
        id: Id,
        rights: Rights,
    },
    Disconnect {
        i: usize,
    },
    Explicit {
        i: usize,
        on: bool,
    },
    /// Words of `width` bytes; width 0 is bytes without alignment.
    Put {
        i: usize,
        offset: u64,
        width: usize,
        count: usize,
        value: u8,
    },
    Get {
        i: usize,
        offset: u64,
        width: usize,
        count: usize,
    },
    Map {
        m: usize,
        i: usize,
        offset: u64,
        length: usize,
        rights: Rights,
    },
    Unmap {
        m: usize,
    },
    Store {
        m: usize,
        at: usize,
        value: u64,
    },
    Load {
        m: usize,
        at: usize,
    },
    /// Spans nest: order and close are for the one opened last.
    Open {
        i: usize,
    },
    Order,
    Close,
    Post {
        i: usize,
        accumulate: bool,
    },
    PostAll {
        e: usize,
        accumulate: bool,
    },
    WaitImport {
        i: usize,
    },
    WaitExport {
        e: usize,
    },
}

impl fmt::Debug for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Verb::Create { e, node, via, length } => write!(f, "e{e} = create {length} bytes on node {node} {via:?}"),
            Verb::Adopt { e, node, via, place } => write!(f, "e{e} = adopt {place:?} on node {node} {via:?}"),
            Verb::Rebind { e, place } => write!(f, "rebind e{e} to {place:?}"),
            Verb::Destroy { e } => write!(f, "destroy e{e}"),
            Verb::Publish { e, id, access } => write!(f, "publish e{e} as {id:#x} to {access:?}"),
            Verb::Republish { e, access } => write!(f, "republish e{e} to {access:?}"),
            Verb::Unpublish { e } => write!(f, "unpublish e{e}"),
            Verb::Write { e, at, value } => write!(f, "e{e}[word {at}] = {value}"),
            Verb::Read { e, at } => write!(f, "read e{e}[word {at}]"),
            Verb::Poke { node, at, value } => write!(f, "memory of node {node} [word {at}] = {value}"),
            Verb::Peek { node, at } => write!(f, "read memory of node {node} [word {at}]"),
            Verb::Connect { i, node, via, to, id, rights } => {
                write!(f, "i{i} = connect node {node} {via:?} to node {to} ")?;
                match id {
                    Id::Number(id) => write!(f, "{id:#x} ")?,
                    Id::Of(e) => write!(f, "the id of e{e} ")?,
                }
                write!(f, "with {:#o}", rights.0)
            }
            Verb::Disconnect { i } => write!(f, "disconnect i{i}"),
            Verb::Explicit { i, on } => write!(f, "i{i} {}", if *on { "explicit" } else { "implicit" }),
            Verb::Put { i, offset, width, count, value } => {
                write!(f, "put i{i} offset {offset}: {count} of width {width}, value {value}")
            }
            Verb::Get { i, offset, width, count } => write!(f, "get i{i} offset {offset}: {count} of width {width}"),
            Verb::Map { m, i, offset, length, rights } => {
                write!(f, "m{m} = map {length} bytes of i{i} from {offset} with {:#o}", rights.0)
            }
            Verb::Unmap { m } => write!(f, "unmap m{m}"),
            Verb::Store { m, at, value } => write!(f, "m{m}[word {at}] = {value}"),
            Verb::Load { m, at } => write!(f, "load m{m}[word {at}]"),
            Verb::Open { i } => write!(f, "open a span of i{i}"),
            Verb::Order => write!(f, "order the span"),
            Verb::Close => write!(f, "close the span"),
            Verb::Post { i, accumulate } => write!(f, "post i{i} {}", how(*accumulate)),
            Verb::PostAll { e, accumulate } => write!(f, "post e{e} {}", how(*accumulate)),
            Verb::WaitImport { i } => write!(f, "wait i{i}"),
            Verb::WaitExport { e } => write!(f, "wait e{e}"),
        }
    }
}

fn how(accumulate: bool) -> &'static str {
    if accumulate { "" } else { "without accumulating" }
}

/// A list of verbs; shown one a line.
#[derive(Clone)]
pub(crate) struct Script(pub(crate) Vec<Verb>);

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "a script of {} verbs:", self.0.len())?;
        self.0.iter().try_for_each(|verb| writeln!(f, "    {verb:?}"))
    }
}

/// Scripts; most of them begin with a segment that is published and imported.
pub(crate) fn scripts() -> impl Strategy<Value = Script> {
    let pair = vec![
        Verb::Create { e: 0, node: 1, via: Via::Shm0, length: 2 * PAGE },
        Verb::Publish { e: 0, id: 0x40_0000, access: Access::Everyone },
        Verb::Connect { i: 0, node: 2, via: Via::Shm0, to: 1, id: Id::Of(0), rights: Rights(0o600) },
    ];
    (prop_oneof![1 => Just(vec![]), 3 => Just(pair)], prop::collection::vec(verbs(), 1..80))
        .prop_map(|(first, then)| Script([first, then].concat()))
}

fn node() -> impl Strategy<Value = u32> {
    1..=JOINED
}

fn via() -> impl Strategy<Value = Via> {
    prop_oneof![4 => Just(Via::Shm0), 1 => Just(Via::Loopback)]
}

fn rights() -> impl Strategy<Value = Rights> {
    prop_oneof![5 => Just(0o600), 1 => Just(0o400), 1 => Just(0o200), 1 => Just(0)].prop_map(Rights)
}

fn place() -> impl Strategy<Value = Place> {
    // Two ranges, one that overlaps both, and some that are no ranges of pages.
    prop_oneof![
        4 => Just((0, 2 * PAGE)),
        4 => Just((2 * PAGE, 2 * PAGE)),
        1 => Just((PAGE, 2 * PAGE)),
        1 => Just((0, PAGE)),
        1 => Just((8, 2 * PAGE)),
        1 => Just((0, 0)),
        1 => Just((0, PAGE + 8)),
    ]
    .prop_map(|(start, length)| Place { start, length })
}

fn access() -> impl Strategy<Value = Access> {
    let mode = prop_oneof![4 => Just(0o666), 2 => Just(0o600), 1 => Just(0o444), 1 => Just(0), 1 => Just(0o667)];
    let entry = (prop_oneof![4 => 1u32..=3, 1 => Just(64)], mode);
    prop_oneof![
        1 => Just(Access::Default),
        4 => Just(Access::Everyone),
        2 => prop::collection::vec(entry, 1..4).prop_map(Access::List),
    ]
}

fn id() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => Just(0x40_0000),
        2 => Just(0x40_0001),
        1 => Just(0x7fff_ffff),
        3 => Just(0),
        1 => Just(0x3f_ffff),
        1 => Just(0x8000_0000),
    ]
}

fn offset() -> impl Strategy<Value = u64> {
    let page = PAGE as u64;
    prop_oneof![
        4 => Just(0),
        4 => Just(8),
        1 => Just(1),
        2 => Just(page - 8),
        1 => Just(page - 1),
        3 => Just(page),
        2 => Just(2 * page - 8),
        1 => Just(2 * page),
        1 => Just(u64::MAX - 7),
    ]
}

fn verbs() -> impl Strategy<Value = Verb> {
    // The first slot more often than the others: so a verb mostly finds what it names.
    let e = || prop_oneof![3 => Just(0), 2 => 0..EXPORTS];
    let i = || prop_oneof![3 => Just(0), 2 => 0..IMPORTS];
    let m = || 0..MAPPINGS;
    let at = || 0usize..2048;
    let width = || prop::sample::select(vec![0usize, 1, 2, 4, 8]);
    let length = prop_oneof![5 => Just(2 * PAGE), 2 => Just(PAGE), 1 => Just(0), 1 => Just(PAGE + 1)];
    let id_of = prop_oneof![5 => e().prop_map(Id::Of), 1 => id().prop_map(Id::Number)];
    let to = prop_oneof![6 => 1..=JOINED, 1 => Just(JOINED + 1), 1 => Just(JOINED + 2)];
    prop_oneof![
        4 => (e(), node(), via(), length).prop_map(|(e, node, via, length)| Verb::Create { e, node, via, length }),
        3 => (e(), node(), via(), place()).prop_map(|(e, node, via, place)| Verb::Adopt { e, node, via, place }),
        2 => (e(), place()).prop_map(|(e, place)| Verb::Rebind { e, place }),
        1 => e().prop_map(|e| Verb::Destroy { e }),
        6 => (e(), id(), access()).prop_map(|(e, id, access)| Verb::Publish { e, id, access }),
        2 => (e(), access()).prop_map(|(e, access)| Verb::Republish { e, access }),
        2 => e().prop_map(|e| Verb::Unpublish { e }),
        3 => (e(), at(), any::<u64>()).prop_map(|(e, at, value)| Verb::Write { e, at, value }),
        3 => (e(), at()).prop_map(|(e, at)| Verb::Read { e, at }),
        1 => (node(), at(), any::<u64>()).prop_map(|(node, at, value)| Verb::Poke { node, at, value }),
        1 => (node(), at()).prop_map(|(node, at)| Verb::Peek { node, at }),
        7 => (i(), node(), via(), to, id_of, rights())
            .prop_map(|(i, node, via, to, id, rights)| Verb::Connect { i, node, via, to, id, rights }),
        2 => i().prop_map(|i| Verb::Disconnect { i }),
        2 => (i(), any::<bool>()).prop_map(|(i, on)| Verb::Explicit { i, on }),
        8 => (i(), offset(), width(), 0usize..4, any::<u8>())
            .prop_map(|(i, offset, width, count, value)| Verb::Put { i, offset, width, count, value }),
        8 => (i(), offset(), width(), 0usize..4)
            .prop_map(|(i, offset, width, count)| Verb::Get { i, offset, width, count }),
        4 => (m(), i(), offset(), prop_oneof![2 => Just(PAGE), 2 => Just(2 * PAGE), 1 => Just(100), 1 => Just(0)], rights())
            .prop_map(|(m, i, offset, length, rights)| Verb::Map { m, i, offset, length, rights }),
        1 => m().prop_map(|m| Verb::Unmap { m }),
        3 => (m(), at(), any::<u64>()).prop_map(|(m, at, value)| Verb::Store { m, at, value }),
        3 => (m(), at()).prop_map(|(m, at)| Verb::Load { m, at }),
        3 => i().prop_map(|i| Verb::Open { i }),
        1 => Just(Verb::Order),
        3 => Just(Verb::Close),
        4 => (i(), any::<bool>()).prop_map(|(i, accumulate)| Verb::Post { i, accumulate }),
        4 => (e(), any::<bool>()).prop_map(|(e, accumulate)| Verb::PostAll { e, accumulate }),
        3 => i().prop_map(|i| Verb::WaitImport { i }),
        3 => e().prop_map(|e| Verb::WaitExport { e }),
    ]
}
