//! Two threads of a process, each with a few verbs: what they are told, and the memory in the end, must be what one
//! after the other could have brought, in some order.
//!
//! Both use one export, and each makes, publishes, rebinds and destroys one of its own, mostly of the same range. What
//! is left out is what the reference leaves undefined: a handle that is destroyed while another thread uses it.
#![allow(unsafe_code)] // memory of the program's own, to export in place

use super::library::{Memory, list};
use super::reference::number::{BARRIER_FAILURE, CONN_ABORTED};
use super::reference::{Expect, Outcome, Reference, Value};
use super::setting::{Ground, Setting};
use super::verbs::*;
use proptest::prelude::*;
use rsm::{Controller, Import, Permission, Result, SegmentId};
use rsm_shm::membership::segment::Segment;
use std::sync::{Arc, Barrier, Mutex};

/// The exporting node; the importing one is the other.
const NODE: u32 = 1;
const VIA: Via = Via::Shm0;
const RANGES: [Place; 2] = [Place { start: 0, length: 2 * PAGE }, Place { start: 2 * PAGE, length: 2 * PAGE }];

/// What is there before, and what each thread does.
#[derive(Clone)]
pub(crate) struct Meeting {
    before: Script,
    threads: [Script; 2],
}

impl std::fmt::Debug for Meeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [first, second] = &self.threads;
        write!(f, "before: {:?}  one thread: {first:?}  the other: {second:?}", self.before)
    }
}

/// Meetings on one export of a range, and on others of the same.
pub(crate) fn meetings() -> impl Strategy<Value = Meeting> {
    let connect =
        |i| Verb::Connect { i, node: 2, via: VIA, to: NODE, id: Id::Number(0x40_0000), rights: Rights(0o600) };
    let pair = vec![
        Verb::Adopt { e: 0, node: NODE, via: VIA, place: RANGES[0] },
        Verb::Publish { e: 0, id: 0x40_0000, access: Access::Everyone },
        connect(0),
        connect(1),
    ];
    let second = |e, place| Verb::Adopt { e, node: NODE, via: VIA, place };
    let others = prop_oneof![
        2 => Just(vec![]),
        2 => Just(vec![second(1, RANGES[0])]),
        1 => Just(vec![second(1, RANGES[0]), second(2, RANGES[0])]),
        1 => Just(vec![second(2, RANGES[1])]),
    ];
    let of = |thread| prop::collection::vec(verbs(thread), 1..5).prop_map(Script);
    (others, of(0), of(1)).prop_map(move |(others, first, second)| {
        let before = Script([pair.clone(), others].concat());
        Meeting { before, threads: [first, second] }
    })
}

fn verbs(thread: usize) -> impl Strategy<Value = Verb> {
    let (own, i) = (1 + thread, thread);
    let e = move || prop_oneof![2 => Just(0), 1 => Just(own)];
    let place = || {
        let part = Place { start: PAGE, length: PAGE };
        prop_oneof![4 => Just(RANGES[0]), 3 => Just(RANGES[1]), 1 => Just(part)]
    };
    let id = || prop_oneof![2 => Just(0x40_0000), 1 => Just(0x40_0001), 1 => Just(0)];
    prop_oneof![
        4 => place().prop_map(move |place| Verb::Adopt { e: own, node: NODE, via: VIA, place }),
        3 => Just(Verb::Destroy { e: own }),
        4 => (e(), place()).prop_map(|(e, place)| Verb::Rebind { e, place }),
        4 => (e(), id()).prop_map(|(e, id)| Verb::Publish { e, id, access: Access::Everyone }),
        3 => e().prop_map(|e| Verb::Unpublish { e }),
        1 => e().prop_map(|e| Verb::Republish { e, access: Access::Everyone }),
        2 => Just(Verb::Disconnect { i }),
        2 => prop_oneof![2 => Just(0x40_0000), 1 => Just(0x40_0001)].prop_map(move |id| {
            Verb::Connect { i, node: 2, via: VIA, to: NODE, id: Id::Number(id), rights: Rights(0o600) }
        }),
        4 => (0u64..4, any::<u8>())
            .prop_map(move |(k, value)| Verb::Put { i, offset: (i as u64 * 4 + k) * 8, width: 8, count: 1, value }),
        2 => (0usize..4, 0usize..2, any::<u64>())
            .prop_map(move |(k, range, value)| Verb::Poke { node: NODE, at: range * 1024 + 64 + i * 4 + k, value }),
    ]
}

/// What a verb brought; nothing when its slot did not fit.
type Told = Option<Outcome>;

/// What both threads use.
struct Process {
    exports: [Mutex<Option<Arc<Segment>>>; EXPORTS],
    imports: [Mutex<Option<Import>>; IMPORTS],
    exporting: Controller,
    importing: Controller,
    memory: Memory,
    ground: Ground,
}

impl Process {
    fn new(setting: Setting) -> Process {
        let ground = Ground::new(setting);
        let controller = |node| ground.node(node).controller("shm0").expect("a controller");
        Process {
            exports: std::array::from_fn(|_| Mutex::default()),
            imports: std::array::from_fn(|_| Mutex::default()),
            exporting: controller(NODE),
            importing: controller(2),
            memory: Memory::new(),
            ground,
        }
    }

    fn export(&self, e: usize) -> Option<Arc<Segment>> {
        self.exports[e].lock().unwrap().clone()
    }

    fn tell(&self, verb: &Verb) -> Told {
        let told = self.carry_out(verb)?;
        self.ground.settle(verb);
        Some(told.map_err(|error| error.code().number()))
    }

    fn carry_out(&self, verb: &Verb) -> Option<Result<Value>> {
        let nothing = |()| Value::Nothing;
        Some(match verb {
            Verb::Adopt { e, place, .. } => {
                let mut slot = self.exports[*e].lock().unwrap();
                if slot.is_some() {
                    return None;
                }
                let (membership, start) = (self.exporting.node().membership(), self.memory.at(place.start));
                // SAFETY: memory that lives longer than every export, accessed by volatile accesses only.
                unsafe { membership.adopt(self.exporting.index(), start, place.length, true) }
                    .map(|segment| *slot = Some(Arc::new(segment)))
                    .map(nothing)
            }
            Verb::Destroy { e } => {
                let segment = self.exports[*e].lock().unwrap().take()?;
                Arc::into_inner(segment).expect("one thread's own").destroy().map(nothing)
            }
            Verb::Rebind { e, place } => {
                let start = self.memory.at(place.start);
                // SAFETY: as for adopt.
                unsafe { self.export(*e)?.rebind(start, place.length) }.map(nothing)
            }
            Verb::Publish { e, id, access } => self.export(*e)?.publish(*id, &list(access)).map(Value::Id),
            Verb::Republish { e, access } => self.export(*e)?.republish(&list(access)).map(nothing),
            Verb::Unpublish { e } => self.export(*e)?.unpublish().map(nothing),
            Verb::Connect { i, id: Id::Number(id), .. } => {
                let mut slot = self.imports[*i].lock().unwrap();
                if slot.is_some() {
                    return None;
                }
                self.importing
                    .connect(NODE, SegmentId::new(*id), Permission::ReadWrite)
                    .map(|import| *slot = Some(import))
                    .map(nothing)
            }
            Verb::Disconnect { i } => self.imports[*i].lock().unwrap().take()?.disconnect().map(nothing),
            Verb::Put { i, offset, value, .. } => {
                let value = u64::from_ne_bytes([*value; 8]);
                self.imports[*i].lock().unwrap().as_ref()?.put_u64(*offset, value).map(nothing)
            }
            Verb::Poke { at, value, .. } => {
                let place = self.memory.at(at * 8).cast::<u64>();
                // SAFETY: inside the memory, aligned.
                unsafe { place.write_volatile(*value) };
                Ok(Value::Nothing)
            }
            other => unreachable!("{other:?} is not among them"),
        })
    }
}

/// Lets both threads go at the same moment, and looks for an order that explains what came of it.
pub(crate) fn compare(
    meeting: &Meeting,
    mut reference: Reference,
    setting: Setting,
) -> std::result::Result<(), String> {
    let process = Process::new(setting);
    for verb in &meeting.before.0 {
        let (expect, told) = (reference.step(verb), process.tell(verb));
        if !fits(&expect, &told) {
            return Err(format!("before, {verb:?}: {told:?} where {expect:?} should be"));
        }
    }
    let (together, process) = (&Barrier::new(2), &process);
    let told = std::thread::scope(|scope| {
        let threads = [0, 1].map(|thread| {
            scope.spawn(move || {
                together.wait();
                meeting.threads[thread].0.iter().map(|verb| process.tell(verb)).collect::<Vec<Told>>()
            })
        });
        threads.map(|thread| thread.join().expect("no panic"))
    });
    // SAFETY: mapped, and nobody stores there now.
    let held = unsafe { std::slice::from_raw_parts(process.memory.at(0), PLACE_PAGES * PAGE) };
    if explained(meeting, &told, &reference, [0, 0], held) {
        return Ok(());
    }
    Err(format!("no order explains what the threads were told: {told:?}"))
}

/// Whether some order of what is left to do brings what was told, and these bytes.
fn explained(meeting: &Meeting, told: &[Vec<Told>; 2], so_far: &Reference, done: [usize; 2], held: &[u8]) -> bool {
    if done == [0, 1].map(|thread| told[thread].len()) {
        return same(meeting, told, so_far.place(NODE), held);
    }
    [0, 1].into_iter().any(|thread| {
        let at = done[thread];
        let Some(verb) = meeting.threads[thread].0.get(at) else { return false };
        let (told_here, mut then) = (&told[thread][at], so_far.clone());
        let mut done = done;
        done[thread] += 1;
        // A put that a rebind met is in either range, or in both, or in neither.
        if matches!(verb, Verb::Put { .. }) && *told_here == Some(Err(BARRIER_FAILURE)) {
            let rebinds = |verb: &Verb| matches!(verb, Verb::Rebind { .. });
            return meeting.threads[1 - thread].0.iter().any(rebinds) && explained(meeting, told, &then, done, held);
        }
        fits(&then.step(verb), told_here) && explained(meeting, told, &then, done, held)
    })
}

fn fits(expect: &Expect, told: &Told) -> bool {
    match (expect, told) {
        (Expect::Skip, None) => true,
        (Expect::Is(wanted), Some(told)) => wanted == told,
        _ => false,
    }
}

/// Compares the node's memory but for words that were put without success: they may have arrived.
fn same(meeting: &Meeting, told: &[Vec<Told>; 2], wanted: &[u8], held: &[u8]) -> bool {
    let failed = |(verb, told): (&Verb, &Told)| match (verb, told) {
        (Verb::Put { offset, .. }, Some(Err(BARRIER_FAILURE | CONN_ABORTED))) => Some(*offset as usize),
        _ => None,
    };
    let pairs = meeting.threads.iter().zip(told);
    let unsure: Vec<usize> = pairs.flat_map(|(script, told)| script.0.iter().zip(told).filter_map(failed)).collect();
    let word = |bytes: &[u8], at: usize| bytes[at * 8..at * 8 + 8].to_vec();
    (0..wanted.len() / 8)
        .filter(|at| !unsure.contains(&(at * 8 % (2 * PAGE))))
        .all(|at| word(wanted, at) == word(held, at))
}
