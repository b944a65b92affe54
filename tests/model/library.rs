//! The library, doing what the verbs say: nodes in this process.
#![allow(unsafe_code)] // memory of the program's own, to export in place

use super::reference::{Expect, Outcome, Reference, Value, word};
use super::setting::{Ground, Setting};
use super::verbs::*;
use rsm::{
    AccessList, BarrierMode, Code, Controller, Error, Export, Import, Mapping, Permission, Result, SegmentId, Span,
};
use rustix::mm::{MapFlags, ProtFlags};
use std::rc::Rc;
use std::time::Duration;

/// Everything a script can make, dropped in this order.
pub(crate) struct Library {
    mappings: [Option<Mapping>; MAPPINGS],
    imports: [Option<Rc<Import>>; IMPORTS],
    exports: [Option<Export>; EXPORTS],
    controllers: Vec<[Controller; 2]>,
    places: Vec<Memory>,
    /// The import whose puts may be on their way: explicit ones, since its last barrier.
    on_the_way: Option<usize>,
    ground: Ground,
}

/// Ordinary memory.
pub(crate) struct Memory(*mut u8);

// SAFETY: addresses; what is done with them is told where it is done.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    pub(crate) fn new() -> Memory {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: fresh memory at addresses the kernel chooses.
        let start = unsafe { rustix::mm::mmap_anonymous(std::ptr::null_mut(), PLACE_PAGES * PAGE, access, flags) };
        Memory(start.expect("memory").cast())
    }

    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped above; what was exported in place has been given back.
        unsafe { rustix::mm::munmap(self.0.cast(), PLACE_PAGES * PAGE) }.expect("mapped");
    }
}

/// What a run has seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) carried_out: u64,
    pub(crate) refused: std::collections::BTreeMap<i32, u64>,
}

/// Runs a script on both and compares every answer, and all memory in the end.
pub(crate) fn compare(
    script: &Script,
    mut reference: Reference,
    setting: Setting,
    seen: &mut Seen,
) -> std::result::Result<(), String> {
    let mut library = Library::new(setting);
    library.run(&mut script.0.iter().enumerate(), &mut reference, None, seen)?;
    library.close()?;
    for (slot, bytes) in reference.contents() {
        let export = library.exports[slot].as_ref().ok_or(format!("e{slot} is gone"))?;
        let mut held = vec![0; bytes.len()];
        export.memory().read(0, &mut held).map_err(|e| e.to_string())?;
        if held != bytes {
            return Err(format!("in the end e{slot} holds other bytes, {}", difference(bytes, &held)));
        }
    }
    for node in 1..=JOINED {
        // SAFETY: mapped, and nobody stores there now.
        let held = unsafe { std::slice::from_raw_parts(library.place(node, 0), PLACE_PAGES * PAGE) };
        if held != reference.place(node) {
            let where_ = difference(reference.place(node), held);
            return Err(format!("in the end the memory of node {node} holds other bytes, {where_}"));
        }
    }
    Ok(())
}

fn difference(wanted: &[u8], held: &[u8]) -> String {
    let at = wanted.iter().zip(held).position(|(w, h)| w != h).unwrap_or(0);
    format!("first at offset {at}: {} where {} should be", held[at], wanted[at])
}

fn code(result: Result<Value>) -> Outcome {
    result.map_err(|error: Error| {
        // Its sentence is shown where a script fails.
        if error.code() == Code::RemoteNodeUnreachable {
            eprintln!("{error}");
        }
        error.code().number()
    })
}

type Verbs<'a> = std::iter::Enumerate<std::slice::Iter<'a, Verb>>;

impl Library {
    fn new(setting: Setting) -> Library {
        let ground = Ground::new(setting);
        let controllers = (1..=JOINED)
            .map(|node| {
                let node = ground.node(node);
                ["shm0", "loopback"].map(|name| node.controller(name).expect("a controller"))
            })
            .collect();
        Library {
            mappings: std::array::from_fn(|_| None),
            imports: std::array::from_fn(|_| None),
            exports: std::array::from_fn(|_| None),
            controllers,
            places: (1..=JOINED).map(|_| Memory::new()).collect(),
            on_the_way: None,
            ground,
        }
    }

    fn place(&self, node: u32, offset: usize) -> *mut u8 {
        self.places[node as usize - 1].at(offset)
    }

    fn controller(&self, node: u32, via: Via) -> &Controller {
        &self.controllers[node as usize - 1][if via == Via::Shm0 { 0 } else { 1 }]
    }

    /// Goes on until the verbs end, or close the span. Spans borrow their import: each has a call of its own.
    fn run(
        &mut self,
        verbs: &mut Verbs<'_>,
        reference: &mut Reference,
        span: Option<&Span<'_>>,
        seen: &mut Seen,
    ) -> std::result::Result<Option<(usize, Expect)>, String> {
        while let Some((at, verb)) = verbs.next() {
            let verb = &match verb {
                // What the number is, is said before the verb changes it.
                Verb::Connect { i, node, via, to, id, rights } => {
                    let id = Id::Number(reference.id(*id));
                    Verb::Connect { i: *i, node: *node, via: *via, to: *to, id, rights: *rights }
                }
                other => other.clone(),
            };
            let expect = reference.step(verb);
            if expect == Expect::Skip {
                continue;
            }
            seen.carried_out += 1;
            self.order_before(verb)?;
            let outcome = match verb {
                Verb::Close => return Ok(Some((at, expect))),
                Verb::Order => code(span.expect("a span is open").order().map(|()| Value::Nothing)),
                Verb::Open { i } => {
                    let import = Rc::clone(self.imports[*i].as_ref().expect("the model has it"));
                    let inner = import.open_barrier().map_err(|e| format!("verb {at}: {verb:?}: {e}"))?;
                    let Some((at, expect)) = self.run(verbs, reference, Some(&inner), seen)? else { return Ok(None) };
                    check(at, &Verb::Close, &expect, &code(inner.close().map(|()| Value::Nothing)), seen)?;
                    continue;
                }
                other => code(self.carry_out(other)),
            };
            self.ground.settle(verb);
            check(at, verb, &expect, &outcome, seen)?;
        }
        Ok(None)
    }

    /// The barriers of a program that wants to see what it put in explicit mode (reference 3.6): none before verbs that
    /// touch no memory, and before more puts and gets of the same import.
    fn order_before(&mut self, verb: &Verb) -> std::result::Result<(), String> {
        match verb {
            Verb::Put { i, .. } => {
                if self.on_the_way != Some(*i) {
                    self.close()?;
                }
                self.on_the_way = (self.import(*i).mode() == BarrierMode::Explicit).then_some(*i);
            }
            // It sees what was put through the import before.
            Verb::Get { i, .. } if self.on_the_way == Some(*i) => {}
            Verb::Order | Verb::Close | Verb::Open { .. } | Verb::Explicit { .. } | Verb::Post { .. } => {}
            Verb::WaitImport { .. } | Verb::WaitExport { .. } | Verb::PostAll { .. } | Verb::Republish { .. } => {}
            _ => self.close()?,
        }
        Ok(())
    }

    fn close(&mut self) -> std::result::Result<(), String> {
        if let Some(i) = self.on_the_way.take() {
            let span = self.import(i).open_barrier().map_err(|e| e.to_string())?;
            // What it says is what the next span says.
            let _ = span.close();
        }
        Ok(())
    }

    fn export(&mut self, e: usize) -> &mut Export {
        self.exports[e].as_mut().expect("the model has it")
    }

    fn import(&self, i: usize) -> &Import {
        self.imports[i].as_ref().expect("the model has it")
    }

    fn mapping(&self, m: usize) -> rsm::Memory<'_> {
        self.mappings[m].as_ref().expect("the model has it").memory()
    }

    fn carry_out(&mut self, verb: &Verb) -> Result<Value> {
        let nothing = |()| Value::Nothing;
        match verb {
            Verb::Create { e, node, via, length } => {
                self.exports[*e] = Some(self.controller(*node, *via).export(*length)?);
                Ok(Value::Nothing)
            }
            Verb::Adopt { e, node, via, place } => {
                let start = self.place(*node, place.start);
                // SAFETY: memory of this library's, accessed by volatile accesses only, longer there than the export.
                self.exports[*e] = Some(unsafe { self.controller(*node, *via).adopt(start, place.length) }?);
                Ok(Value::Nothing)
            }
            Verb::Rebind { e, place } => {
                // Exports of a node are rebound to memory of the node; which node it is, the addresses tell.
                let own = self.export(*e).memory().as_ptr();
                let node = (1..=JOINED).find(|n| {
                    let first = self.place(*n, 0);
                    (first..first.wrapping_add(PLACE_PAGES * PAGE)).contains(&own)
                });
                let start = self.place(node.unwrap_or(1), place.start);
                // SAFETY: as for adopt; no views of the old range are kept.
                unsafe { self.export(*e).rebind(start, place.length) }.map(nothing)
            }
            Verb::Destroy { e } => self.exports[*e].take().expect("the model has it").destroy().map(nothing),
            Verb::Publish { e, id, access } => {
                self.export(*e).publish(SegmentId::new(*id), &list(access)).map(|id| Value::Id(id.get()))
            }
            Verb::Republish { e, access } => self.export(*e).republish(&list(access)).map(nothing),
            Verb::Unpublish { e } => self.export(*e).unpublish().map(nothing),
            Verb::Write { e, at, value } => {
                let memory = self.export(*e).memory();
                memory.write_volatile_u64(word(*at, memory.len()) as u64, *value).map(nothing)
            }
            Verb::Read { e, at } => {
                let memory = self.export(*e).memory();
                memory.read_volatile_u64(word(*at, memory.len()) as u64).map(Value::Word)
            }
            Verb::Poke { node, at, value } => {
                let place = self.place(*node, word(*at, PLACE_PAGES * PAGE)).cast::<u64>();
                // SAFETY: inside the node's memory, aligned.
                unsafe { place.write_volatile(*value) };
                Ok(Value::Nothing)
            }
            Verb::Peek { node, at } => {
                let place = self.place(*node, word(*at, PLACE_PAGES * PAGE)).cast::<u64>();
                // SAFETY: as above.
                Ok(Value::Word(unsafe { place.read_volatile() }))
            }
            Verb::Connect { i, node, via, to, id, rights } => {
                let Id::Number(id) = id else { unreachable!("the model has said the number") };
                let controller = self.controller(*node, *via);
                self.imports[*i] = Some(Rc::new(controller.connect(*to, SegmentId::new(*id), permission(*rights))?));
                Ok(Value::Nothing)
            }
            Verb::Disconnect { i } => {
                let import = self.imports[*i].take().expect("the model has it");
                Rc::into_inner(import).expect("no span is open").disconnect().map(nothing)
            }
            Verb::Explicit { i, on } => {
                self.import(*i).set_mode(if *on { BarrierMode::Explicit } else { BarrierMode::Implicit });
                Ok(Value::Nothing)
            }
            Verb::Put { i, offset, width, count, value } => {
                put(self.import(*i), *offset, *width, *count, *value).map(nothing)
            }
            Verb::Get { i, offset, width, count } => get(self.import(*i), *offset, *width, *count).map(Value::Bytes),
            Verb::Map { m, i, offset, length, rights } => {
                self.mappings[*m] = Some(self.import(*i).map(*offset, *length, permission(*rights))?);
                Ok(Value::Nothing)
            }
            Verb::Unmap { m } => {
                self.mappings[*m] = None;
                Ok(Value::Nothing)
            }
            Verb::Store { m, at, value } => {
                let memory = self.mapping(*m);
                memory.write_volatile_u64(word(*at, memory.len()) as u64, *value).map(nothing)
            }
            Verb::Load { m, at } => {
                let memory = self.mapping(*m);
                memory.read_volatile_u64(word(*at, memory.len()) as u64).map(Value::Word)
            }
            Verb::Post { i, accumulate: true } => self.import(*i).signal().map(nothing),
            Verb::Post { i, accumulate: false } => self.import(*i).signal_no_accumulate().map(nothing),
            Verb::PostAll { e, accumulate: true } => self.export(*e).signal().map(nothing),
            Verb::PostAll { e, accumulate: false } => self.export(*e).signal_no_accumulate().map(nothing),
            Verb::WaitImport { i } => self.import(*i).wait(Some(Duration::ZERO)).map(nothing),
            Verb::WaitExport { e } => self.export(*e).wait(Some(Duration::ZERO)).map(nothing),
            Verb::Open { .. } | Verb::Order | Verb::Close => unreachable!("spans are run apart"),
        }
    }
}

fn check(at: usize, verb: &Verb, expect: &Expect, got: &Outcome, seen: &mut Seen) -> std::result::Result<(), String> {
    if let Err(number) = got {
        *seen.refused.entry(*number).or_default() += 1;
    }
    let right = match expect {
        Expect::Is(wanted) => wanted == got,
        Expect::Anything => got.is_ok(),
        Expect::Skip => true,
    };
    if right { Ok(()) } else { Err(format!("verb {at}, {verb:?}: the library says {got:?}, the reference {expect:?}")) }
}

fn permission(rights: Rights) -> Permission {
    Permission::from_bits(rights.0).expect("bits of a permission")
}

pub(crate) fn list(access: &Access) -> AccessList {
    match access {
        Access::Default => AccessList::default_permissions(),
        Access::Everyone => AccessList::everyone(),
        Access::List(entries) => entries.iter().fold(AccessList::new(), |list, (node, mode)| list.node(*node, *mode)),
    }
}

fn put(import: &Import, offset: u64, width: usize, count: usize, value: u8) -> Result<()> {
    macro_rules! words {
        ($one:ident, $many:ident, $word:ty) => {{
            let word = <$word>::from_ne_bytes([value; size_of::<$word>()]);
            if count == 1 { import.$one(offset, word) } else { import.$many(offset, &vec![word; count]) }
        }};
    }
    match width {
        0 => import.put(offset, &vec![value; count]),
        1 => words!(put_u8, put_u8s, u8),
        2 => words!(put_u16, put_u16s, u16),
        4 => words!(put_u32, put_u32s, u32),
        _ => words!(put_u64, put_u64s, u64),
    }
}

fn get(import: &Import, offset: u64, width: usize, count: usize) -> Result<Vec<u8>> {
    macro_rules! words {
        ($one:ident, $many:ident, $word:ty) => {{
            let mut words: Vec<$word> = vec![0; count];
            if count == 1 {
                words[0] = import.$one(offset)?
            } else {
                import.$many(offset, &mut words)?
            }
            words.iter().flat_map(|word| word.to_ne_bytes()).collect()
        }};
    }
    Ok(match width {
        0 => {
            let mut bytes = vec![0; count];
            import.get(offset, &mut bytes)?;
            bytes
        }
        1 => words!(get_u8, get_u8s, u8),
        2 => words!(get_u16, get_u16s, u16),
        4 => words!(get_u32, get_u32s, u32),
        _ => words!(get_u64, get_u64s, u64),
    })
}
