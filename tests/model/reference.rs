//! The model: what each verb must answer, by the rules of the RSMAPI.
//!
//! Written from the implementer's reference alone; numbers in comments are its sections, decisions and assertions. It
//! holds bytes in plain vectors and knows nothing of processes, agents or mappings.

use super::verbs::*;

/// The error numbers of reference 2.8 that the model gives.
pub(crate) mod number {
    pub(crate) const CTLR_NOT_PRESENT: i32 = 4;
    pub(crate) const SEG_ALREADY_PUBLISHED: i32 = 6;
    pub(crate) const SEG_NOT_PUBLISHED: i32 = 7;
    pub(crate) const SEG_NOT_PUBLISHED_TO_NODE: i32 = 8;
    pub(crate) const SEG_STILL_MAPPED: i32 = 10;
    pub(crate) const BAD_ADDR: i32 = 16;
    pub(crate) const BAD_MEM_ALIGNMENT: i32 = 17;
    pub(crate) const BAD_OFFSET: i32 = 18;
    pub(crate) const BAD_LENGTH: i32 = 20;
    pub(crate) const BAD_ACL: i32 = 21;
    pub(crate) const RESERVED_SEGID: i32 = 23;
    pub(crate) const SEGID_IN_USE: i32 = 24;
    pub(crate) const BAD_PERMS: i32 = 26;
    pub(crate) const PERM_DENIED: i32 = 27;
    pub(crate) const REBIND_NOT_ALLOWED: i32 = 30;
    pub(crate) const REMOTE_NODE_UNREACHABLE: i32 = 39;
    pub(crate) const BARRIER_FAILURE: i32 = 38;
    pub(crate) const CONN_ABORTED: i32 = 40;
    pub(crate) const TIMEOUT: i32 = 42;
}
use number::*;

/// What a verb brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Nothing,
    Id(u32),
    Bytes(Vec<u8>),
    Word(u64),
}

pub(crate) type Outcome = Result<Value, i32>;

/// What a verb must bring.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This.
    Is(Outcome),
    /// Success, with data that nothing is said about: memory that was taken back.
    Anything,
    /// The verb is not carried out: a slot does not fit, or the reference is silent.
    Skip,
}

/// A rule that is wrong on purpose, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    NoAccumulateAdds,
    WriteOnlyReads,
    RepublishReachesBack,
    IdsStayTaken,
    AbortBeforeSignals,
    ListsFilterNobody,
    LateRangeIsBadLength,
    SpansMissAborts,
    RebindMovesContents,
    ExportForgetsSignals,
    StoresOutliveUnpublish,
}

/// Who runs all the nodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    /// Passes every check of users (3.3).
    pub(crate) privileged: bool,
    pub(crate) umask: u32,
}

/// Where an export's bytes are: its own, or in the memory of its node.
#[derive(Clone)]
enum Bytes {
    Own(Vec<u8>),
    At(Place),
}

#[derive(Clone)]
struct Export {
    serial: usize,
    node: u32,
    via: Via,
    length: usize,
    bytes: Bytes,
    published: Option<(u32, Access)>,
    last_id: u32,
    signals: u32,
}

/// Lives as long as its import or a mapping of it.
#[derive(Clone)]
struct Connection {
    /// Serial of the export; stays when that is gone.
    export: usize,
    length: usize,
    rights: Rights,
    aborted: bool,
    explicit: bool,
    signals: u32,
}

#[derive(Clone)]
struct Mapping {
    connection: usize,
    offset: usize,
    length: usize,
    rights: Rights,
}

#[derive(Clone)]
pub(crate) struct Reference {
    user: User,
    flaw: Option<Flaw>,
    exports: [Option<Export>; EXPORTS],
    connections: Vec<Connection>,
    imports: [Option<usize>; IMPORTS],
    mappings: [Option<Mapping>; MAPPINGS],
    /// Import slot of each open span, the innermost last.
    spans: Vec<usize>,
    places: Vec<Vec<u8>>,
    serial: usize,
    next_automatic: [u32; JOINED as usize],
    taken: Vec<(u32, u32)>,
}

fn is(outcome: Outcome) -> Expect {
    Expect::Is(outcome)
}

const FINE: Outcome = Ok(Value::Nothing);

impl Reference {
    pub(crate) fn new(user: User, flaw: Option<Flaw>) -> Reference {
        Reference {
            user,
            flaw,
            exports: std::array::from_fn(|_| None),
            connections: Vec::new(),
            imports: [None; IMPORTS],
            mappings: std::array::from_fn(|_| None),
            spans: Vec::new(),
            places: vec![vec![0; PLACE_PAGES * PAGE]; JOINED as usize],
            serial: 0,
            next_automatic: [0x8000_0000; JOINED as usize],
            taken: Vec::new(),
        }
    }

    fn has(&self, flaw: Flaw) -> bool {
        self.flaw == Some(flaw)
    }

    /// The number that an id in a connect stands for.
    pub(crate) fn id(&self, id: Id) -> u32 {
        match id {
            Id::Number(number) => number,
            Id::Of(e) => self.exports[e].as_ref().map_or(0x40_0002, |export| export.last_id),
        }
    }

    /// The bytes of what is still exported, by slot.
    pub(crate) fn contents(&self) -> Vec<(usize, &[u8])> {
        let slots = self.exports.iter().enumerate();
        slots.filter_map(|(slot, export)| export.as_ref().map(|e| (slot, self.bytes(e)))).collect()
    }

    /// The ordinary memory of a node.
    pub(crate) fn place(&self, node: u32) -> &[u8] {
        &self.places[node as usize - 1]
    }

    fn bytes<'a>(&'a self, export: &'a Export) -> &'a [u8] {
        match &export.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::At(place) => &self.places[export.node as usize - 1][place.start..place.start + place.length],
        }
    }

    fn bytes_mut(&mut self, serial: usize) -> Option<&mut [u8]> {
        let export = self.exports.iter_mut().flatten().find(|e| e.serial == serial)?;
        Some(match &mut export.bytes {
            Bytes::Own(bytes) => bytes,
            Bytes::At(place) => &mut self.places[export.node as usize - 1][place.start..place.start + place.length],
        })
    }

    /// Aborts every connection of an export (3.2).
    fn abort(&mut self, serial: usize) {
        for connection in self.connections.iter_mut().filter(|c| c.export == serial) {
            connection.aborted = true;
        }
    }

    /// What the verb must answer; the model goes on as if it had.
    pub(crate) fn step(&mut self, verb: &Verb) -> Expect {
        match verb.clone() {
            Verb::Create { e, node, via, length } => self.create(e, node, via, length),
            Verb::Adopt { e, node, via, place } => self.adopt(e, node, via, place),
            Verb::Rebind { e, place } => self.rebind(e, place),
            Verb::Destroy { e } => {
                let Some(export) = self.exports[e].take() else { return Expect::Skip };
                self.abort(export.serial);
                is(FINE)
            }
            Verb::Publish { e, id, access } => self.publish(e, id, access),
            Verb::Republish { e, access } => self.republish(e, access),
            Verb::Unpublish { e } => self.unpublish(e),
            Verb::Write { e, at, value } => {
                let Some(export) = &self.exports[e] else { return Expect::Skip };
                let (serial, at) = (export.serial, word(at, export.length));
                self.bytes_mut(serial).expect("it exists")[at..at + 8].copy_from_slice(&value.to_ne_bytes());
                is(FINE)
            }
            Verb::Read { e, at } => {
                let Some(export) = &self.exports[e] else { return Expect::Skip };
                is(Ok(Value::Word(word_of(self.bytes(export), word(at, export.length)))))
            }
            Verb::Poke { node, at, value } => {
                let at = word(at, PLACE_PAGES * PAGE);
                self.places[node as usize - 1][at..at + 8].copy_from_slice(&value.to_ne_bytes());
                is(FINE)
            }
            Verb::Peek { node, at } => is(Ok(Value::Word(word_of(self.place(node), word(at, PLACE_PAGES * PAGE))))),
            Verb::Connect { i, node, via, to, id, rights } => self.connect(i, node, via, to, id, rights),
            Verb::Disconnect { i } => {
                // The handle of a span must live; in Rust the compiler sees to it.
                let Some(connection) = self.imports[i].filter(|_| !self.spans.contains(&i)) else {
                    return Expect::Skip;
                };
                self.imports[i] = None;
                let mapped = self.mappings.iter().flatten().any(|m| m.connection == connection);
                is(if mapped { Err(SEG_STILL_MAPPED) } else { FINE })
            }
            Verb::Explicit { i, on } => {
                let Some(connection) = self.imports[i] else { return Expect::Skip };
                self.connections[connection].explicit = on;
                is(FINE)
            }
            Verb::Put { i, offset, width, count, value } => self.transfer(i, offset, width, count, Some(value)),
            Verb::Get { i, offset, width, count } => self.transfer(i, offset, width, count, None),
            Verb::Map { m, i, offset, length, rights } => self.map(m, i, offset, length, rights),
            Verb::Unmap { m } => {
                let Some(_) = self.mappings[m].take() else { return Expect::Skip };
                is(FINE)
            }
            Verb::Store { m, at, value } => self.store(m, at, value),
            Verb::Load { m, at } => self.load(m, at),
            Verb::Open { i } => {
                if self.imports[i].is_none() {
                    return Expect::Skip;
                }
                self.spans.push(i); // succeeds on an aborted import (1.28)
                is(FINE)
            }
            Verb::Order => {
                if self.spans.is_empty() {
                    return Expect::Skip;
                }
                is(FINE) // aborted: success (D-50)
            }
            Verb::Close => {
                let Some(i) = self.spans.pop() else { return Expect::Skip };
                let connection = self.imports[i].expect("kept by its span");
                let aborted = self.connections[connection].aborted && !self.has(Flaw::SpansMissAborts);
                is(if aborted { Err(CONN_ABORTED) } else { FINE })
            }
            Verb::Post { i, accumulate } => self.post(i, accumulate),
            Verb::PostAll { e, accumulate } => self.post_all(e, accumulate),
            Verb::WaitImport { i } => self.wait_import(i),
            Verb::WaitExport { e } => {
                let Some(export) = &mut self.exports[e] else { return Expect::Skip };
                if export.signals == 0 {
                    return is(Err(TIMEOUT)); // published or not (3.7)
                }
                export.signals -= 1;
                is(FINE)
            }
        }
    }

    fn add_export(&mut self, e: usize, node: u32, via: Via, length: usize, bytes: Bytes) -> Expect {
        self.serial += 1;
        let serial = self.serial;
        let (published, last_id, signals) = (None, 0x40_0002, 0);
        self.exports[e] = Some(Export { serial, node, via, length, bytes, published, last_id, signals });
        is(FINE)
    }

    fn create(&mut self, e: usize, node: u32, via: Via, length: usize) -> Expect {
        if self.exports[e].is_some() {
            return Expect::Skip;
        }
        // 1.6, steps 4 and 5.
        if length == 0 {
            return is(Err(BAD_LENGTH));
        }
        if !length.is_multiple_of(PAGE) {
            return is(Err(BAD_MEM_ALIGNMENT));
        }
        self.add_export(e, node, via, length, Bytes::Own(vec![0; length]))
    }

    /// How a range lies to those that are exported in place: equal to one, partly over one, or apart from all.
    fn neighbours(&self, node: u32, place: Place) -> (bool, bool) {
        let mut equal = false;
        let mut partly = false;
        for export in self.exports.iter().flatten().filter(|e| e.node == node) {
            if let Bytes::At(other) = export.bytes {
                let apart = place.start + place.length <= other.start || other.start + other.length <= place.start;
                equal |= place == other;
                partly |= place != other && !apart;
            }
        }
        (equal, partly)
    }

    fn adopt(&mut self, e: usize, node: u32, via: Via, place: Place) -> Expect {
        if self.exports[e].is_some() {
            return Expect::Skip;
        }
        if place.length == 0 {
            return is(Err(BAD_LENGTH));
        }
        if !place.start.is_multiple_of(PAGE) || !place.length.is_multiple_of(PAGE) {
            return is(Err(BAD_MEM_ALIGNMENT));
        }
        // Equal ranges share; partly overlapping ones are refused (D-80).
        if self.neighbours(node, place).1 {
            return is(Err(BAD_ADDR));
        }
        self.add_export(e, node, via, place.length, Bytes::At(place))
    }

    fn rebind(&mut self, e: usize, place: Place) -> Expect {
        let Some(export) = &self.exports[e] else { return Expect::Skip };
        // 1.8: memory of its own was created without RSM_ALLOW_REBIND.
        let Bytes::At(old) = export.bytes else { return is(Err(REBIND_NOT_ALLOWED)) };
        if place.length != export.length {
            return is(Err(BAD_LENGTH));
        }
        if place.start == old.start {
            return is(FINE);
        }
        if !place.start.is_multiple_of(PAGE) {
            return is(Err(BAD_ADDR));
        }
        // Ranges that are exported already, by this or by others, stay where they are: one address cannot be in two
        // segments' memory, and what another export has on cannot be given back.
        let (node, serial) = (export.node, export.serial);
        let (equal, partly) = self.neighbours(node, place);
        let others = self.exports.iter().flatten().filter(|e| e.node == node && e.serial != serial);
        let shared = others.filter(|e| matches!(e.bytes, Bytes::At(p) if p == old)).count() > 0;
        if equal || partly || shared {
            return is(Err(BAD_ADDR));
        }
        if self.has(Flaw::RebindMovesContents) {
            self.places[node as usize - 1].copy_within(old.start..old.start + old.length, place.start);
        }
        // Nothing is copied; importers see the new range, the old one keeps its last contents (3.5).
        self.exports[e].as_mut().expect("looked at").bytes = Bytes::At(place);
        is(FINE)
    }

    /// 1.9 step 7, D-17 to D-19.
    fn is_bad(access: &Access, export: &Export) -> bool {
        let Access::List(entries) = access else { return false };
        let loopback = export.via == Via::Loopback;
        (loopback && entries.len() > 1)
            || entries.iter().any(|(node, mode)| *node >= 64 || (loopback && *node != export.node) || *mode > 0o666)
    }

    fn publish(&mut self, e: usize, id: u32, access: Access) -> Expect {
        let Some(export) = &self.exports[e] else { return Expect::Skip };
        let node = export.node;
        if export.published.is_some() {
            return is(Err(SEG_ALREADY_PUBLISHED));
        }
        if id != 0 && !(0x40_0000..=0x7fff_ffff).contains(&id) {
            return is(Err(RESERVED_SEGID));
        }
        if Self::is_bad(&access, export) {
            return is(Err(BAD_ACL));
        }
        let of_node = self.exports.iter().flatten().filter(|e| e.node == node);
        let in_use = of_node.filter_map(|e| e.published.as_ref()).any(|(other, _)| *other == id);
        let kept = self.has(Flaw::IdsStayTaken) && self.taken.contains(&(node, id));
        if id != 0 && (in_use || kept) {
            return is(Err(SEGID_IN_USE));
        }
        let automatic = &mut self.next_automatic[node as usize - 1];
        let id = if id == 0 {
            *automatic += 1;
            *automatic - 1
        } else {
            id
        };
        let export = self.exports[e].as_mut().expect("looked at");
        export.published = Some((id, access));
        export.last_id = id;
        self.taken.push((node, id));
        is(Ok(Value::Id(id)))
    }

    fn republish(&mut self, e: usize, access: Access) -> Expect {
        let Some(export) = &mut self.exports[e] else { return Expect::Skip };
        if export.published.is_none() {
            return is(Err(SEG_NOT_PUBLISHED));
        }
        if Self::is_bad(&access, export) {
            return is(Err(BAD_ACL));
        }
        let serial = export.serial;
        if let Some((_, list)) = &mut export.published {
            *list = access; // for later connects only (1.11)
        }
        if self.has(Flaw::RepublishReachesBack) {
            self.abort(serial);
        }
        is(FINE)
    }

    fn unpublish(&mut self, e: usize) -> Expect {
        let Some(export) = &mut self.exports[e] else { return Expect::Skip };
        if export.published.take().is_none() {
            return is(Err(SEG_NOT_PUBLISHED));
        }
        let serial = export.serial;
        if self.flaw == Some(Flaw::ExportForgetsSignals) {
            export.signals = 0;
        }
        self.abort(serial);
        is(FINE)
    }

    fn connect(&mut self, i: usize, node: u32, via: Via, to: u32, id: Id, rights: Rights) -> Expect {
        if self.imports[i].is_some() {
            return Expect::Skip;
        }
        let id = self.id(id);
        if via == Via::Loopback && to != node {
            return is(Err(CTLR_NOT_PRESENT)); // D-28
        }
        if to > JOINED + 1 {
            return is(Err(REMOTE_NODE_UNREACHABLE));
        }
        let found = self
            .exports
            .iter()
            .flatten()
            .find(|e| e.node == to && e.published.as_ref().is_some_and(|(published, _)| *published == id));
        let Some(export) = found else { return is(Err(SEG_NOT_PUBLISHED)) };
        // The loopback controller reaches the local node only.
        if export.via == Via::Loopback && node != to {
            return is(Err(SEG_NOT_PUBLISHED_TO_NODE));
        }
        let mode = match &export.published.as_ref().expect("found published").1 {
            Access::Default => 0o666 & !self.user.umask,
            Access::Everyone => 0o666,
            Access::List(entries) => match entries.iter().find(|(n, _)| *n == node) {
                Some((_, mode)) => *mode,
                None if self.has(Flaw::ListsFilterNobody) => 0o666,
                None => return is(Err(SEG_NOT_PUBLISHED_TO_NODE)),
            },
        };
        // One user runs everything: owner bits decide (3.3).
        if !self.user.privileged && rights.0 & !(mode & 0o600) != 0 {
            return is(Err(PERM_DENIED));
        }
        let (export, length) = (export.serial, export.length);
        self.imports[i] = Some(self.connections.len());
        self.connections.push(Connection { export, length, rights, aborted: false, explicit: false, signals: 0 });
        is(FINE)
    }

    fn transfer(&mut self, i: usize, offset: u64, width: usize, count: usize, put: Option<u8>) -> Expect {
        let Some(index) = self.imports[i] else { return Expect::Skip };
        let connection = &self.connections[index];
        let bytes = (width.max(1) * count) as u64;
        // 1.14, in its order; D-33 to D-36.
        if width > 0 && !offset.is_multiple_of(width as u64) {
            return is(Err(BAD_MEM_ALIGNMENT));
        }
        let allowed = match put {
            Some(_) => connection.rights.writes(),
            None => connection.rights.reads() || self.has(Flaw::WriteOnlyReads) && connection.rights.writes(),
        };
        if !allowed {
            return is(Err(PERM_DENIED));
        }
        if offset.checked_add(bytes).is_none_or(|end| end > connection.length as u64) {
            return is(Err(if self.has(Flaw::LateRangeIsBadLength) { BAD_LENGTH } else { BAD_OFFSET }));
        }
        let (aborted, explicit, export) = (connection.aborted, connection.explicit, connection.export);
        if aborted && !explicit {
            return is(Err(CONN_ABORTED));
        }
        let range = offset as usize..(offset + bytes) as usize;
        match put {
            Some(value) => {
                if (!aborted || self.has(Flaw::StoresOutliveUnpublish))
                    && let Some(memory) = self.bytes_mut(export)
                {
                    memory[range].fill(value);
                }
                is(FINE)
            }
            None if aborted && bytes > 0 => Expect::Anything,
            None => is(Ok(Value::Bytes(self.bytes_mut(export).map_or_else(Vec::new, |m| m[range].to_vec())))),
        }
    }

    fn map(&mut self, m: usize, i: usize, offset: u64, length: usize, rights: Rights) -> Expect {
        let (Some(index), None) = (self.imports[i], &self.mappings[m]) else { return Expect::Skip };
        let connection = &self.connections[index];
        // 1.26, in its order; D-44 (in Rust offsets are not negative) and D-45.
        if rights.0 == 0 {
            return is(Err(BAD_PERMS));
        }
        let inside = offset.checked_add(length as u64).is_some_and(|end| end <= connection.length as u64);
        if length == 0 || !inside {
            return is(Err(BAD_LENGTH));
        }
        if !offset.is_multiple_of(PAGE as u64) {
            return is(Err(BAD_MEM_ALIGNMENT));
        }
        if connection.aborted {
            return is(Err(CONN_ABORTED));
        }
        if rights.0 & !connection.rights.0 != 0 {
            return is(Err(BAD_PERMS));
        }
        self.mappings[m] = Some(Mapping { connection: index, offset: offset as usize, length, rights });
        is(FINE)
    }

    fn store(&mut self, m: usize, at: usize, value: u64) -> Expect {
        let Some(mapping) = self.mappings[m].as_ref().filter(|m| m.rights.writes()) else { return Expect::Skip };
        let at = mapping.offset + word(at, mapping.length);
        let connection = &self.connections[mapping.connection];
        let (aborted, export) = (connection.aborted, connection.export);
        if !aborted && let Some(memory) = self.bytes_mut(export) {
            memory[at..at + 8].copy_from_slice(&value.to_ne_bytes());
        }
        is(FINE)
    }

    fn load(&mut self, m: usize, at: usize) -> Expect {
        let Some(mapping) = self.mappings[m].as_ref().filter(|m| m.rights.reads()) else { return Expect::Skip };
        let at = mapping.offset + word(at, mapping.length);
        let connection = &self.connections[mapping.connection];
        if connection.aborted {
            return Expect::Anything;
        }
        let export = connection.export;
        is(Ok(Value::Word(word_of(self.bytes_mut(export).expect("a live connection's"), at))))
    }

    fn add(signals: &mut u32, accumulate: bool) {
        if accumulate || *signals == 0 {
            *signals += 1; // D-57
        }
    }

    fn post(&mut self, i: usize, accumulate: bool) -> Expect {
        let Some(index) = self.imports[i] else { return Expect::Skip };
        let accumulate = accumulate || self.has(Flaw::NoAccumulateAdds);
        let connection = &self.connections[index];
        if connection.aborted {
            return is(Err(CONN_ABORTED)); // D-61
        }
        let serial = connection.export;
        let export = self.exports.iter_mut().flatten().find(|e| e.serial == serial).expect("a live connection's");
        Self::add(&mut export.signals, accumulate);
        is(FINE)
    }

    fn post_all(&mut self, e: usize, accumulate: bool) -> Expect {
        let Some(export) = &self.exports[e] else { return Expect::Skip };
        let serial = export.serial;
        let accumulate = accumulate || self.has(Flaw::NoAccumulateAdds);
        for connection in self.connections.iter_mut().filter(|c| c.export == serial && !c.aborted) {
            Self::add(&mut connection.signals, accumulate);
        }
        is(FINE)
    }

    fn wait_import(&mut self, i: usize) -> Expect {
        let Some(index) = self.imports[i] else { return Expect::Skip };
        let early = self.has(Flaw::AbortBeforeSignals);
        let connection = &mut self.connections[index];
        // Pending signals first, then the abort (D-60, D-90).
        if connection.signals > 0 && !(early && connection.aborted) {
            connection.signals -= 1;
            return is(FINE);
        }
        is(Err(if connection.aborted { CONN_ABORTED } else { TIMEOUT }))
    }
}

/// The byte offset of a word, somewhere inside.
pub(crate) fn word(at: usize, length: usize) -> usize {
    at % (length / 8) * 8
}

fn word_of(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}
