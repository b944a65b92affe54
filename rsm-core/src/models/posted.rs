//! Posted windows: stores on their way to another host against the end of the grant, and of the link.

use super::explore;
use crate::generation::{EndCause, Generation};
use crate::peer::UNANSWERED;
use crate::registry::{LinkState, LinkWord};
use crate::seal::{Seal, break_seal, set_seal};
use crate::sync::{AtomicU64, Mutex, Ordering::Relaxed, Ordering::SeqCst, acquire, fence, mutated};
use crate::verdict::{self, Snapshot, Window};
use loom::thread;
use std::cell::RefCell;
use std::sync::Arc;

const PUT: u64 = 7;

fn seal(word: u64) -> Seal {
    Seal::from_word(word).unwrap()
}

/// The importer's words, and a bridge with the exporter behind it.
struct Rig {
    generation: AtomicU64,
    link: AtomicU64,
    /// Stores on their way. The lock is the bridge, which does one thing after the other.
    queue: Mutex<Vec<u64>>,
    /// What the exporter's agent attached, or not any more.
    attached: AtomicU64,
    /// 0 while the link is away.
    up: AtomicU64,
    seal: AtomicU64,
    memory: AtomicU64,
}

fn rig() -> Arc<Rig> {
    Arc::new(Rig {
        generation: AtomicU64::new(Generation::live(1).word()),
        link: AtomicU64::new(LinkWord::new(LinkState::Active).word()),
        queue: Mutex::new(Vec::new()),
        attached: AtomicU64::new(1),
        up: AtomicU64::new(1),
        seal: AtomicU64::new(1),
        memory: AtomicU64::new(0),
    })
}

impl Rig {
    /// Executes what is on its way, with the bridge held.
    fn execute(&self, queue: &mut Vec<u64>) {
        for store in queue.drain(..) {
            let reached = self.up.load(Relaxed) != 0 && self.attached.load(Relaxed) != 0;
            if reached {
                self.memory.store(store, Relaxed);
            }
            // In order: what the bridge looks at next is not older, and whoever stores there after that sees this store.
            fence(SeqCst);
        }
    }

    /// The bridge delivers when it likes.
    fn deliver(&self) {
        self.execute(&mut self.queue.lock().unwrap());
    }

    /// The exporter's agent takes the memory out of the bridge, which has nothing in flight for it then.
    fn detach(&self) {
        self.attached.store(0, Relaxed);
        drop(self.queue.lock().unwrap());
    }

    /// A span of one store; whether it was vouched for.
    fn put(&self) -> bool {
        let opened = Snapshot { granted: Generation::live(1), link: LinkWord::from_word(acquire(&self.link)) };
        let view = View { rig: self, put_off: RefCell::new(vec![PUT]) };
        opened.judge_posted(&self.generation, &self.link, seal(1), &view).is_ok()
    }
}

/// What one processor sees of it: stores that it combines leave it with a fence.
struct View<'a> {
    rig: &'a Rig,
    put_off: RefCell<Vec<u64>>,
}

impl Window for View<'_> {
    fn fence(&self) {
        let mut put_off = self.put_off.borrow_mut();
        self.rig.queue.lock().unwrap().append(&mut put_off);
    }
    fn load_seal(&self) -> u64 {
        let mut queue = self.rig.queue.lock().unwrap();
        self.rig.execute(&mut queue);
        if self.rig.up.load(Relaxed) == 0 { UNANSWERED } else { self.rig.seal.load(Relaxed) }
    }
    fn wait(&self) -> bool {
        false
    }
}

/// A put is on its way while the exporter takes its memory back.
///
/// Mutations: `posted_no_load`, `posted_reads_first`, `posted_drain`, `seal_fence`, `seal_after_detach`.
#[test]
fn a_posted_store_that_is_vouched_for_came_before_the_detach() {
    explore(|| {
        let r = rig();
        let importer = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.put())
        };
        let bridge = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.deliver())
        };
        if mutated("seal_after_detach") {
            r.detach();
            break_seal(&r.seal, seal(2));
        } else {
            break_seal(&r.seal, seal(2));
            r.detach();
        }
        // From here on the memory is the exporter's alone: what it reads now is what counts.
        let arrived = r.memory.load(Relaxed) == PUT;
        let vouched = importer.join().unwrap();
        bridge.join().unwrap();
        assert!(!vouched || arrived, "a posted store that was vouched for is not there");
    });
}

/// The link goes and comes back while a put is on its way; the agent of the importer's host cuts before it comes back.
///
/// Mutations: `posted_fence`, `verdict_agent_fence`.
#[test]
fn a_link_that_was_away_in_between_is_told() {
    explore(|| {
        let r = rig();
        let importer = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.put())
        };
        let bridge = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.deliver())
        };
        r.up.store(0, Relaxed);
        verdict::abort(&r.generation, EndCause::LinkDown);
        r.up.store(2, Relaxed);
        let vouched = importer.join().unwrap();
        bridge.join().unwrap();
        let arrived = r.memory.load(Relaxed) == PUT;
        assert!(!vouched || arrived, "a store that was lost with the link was vouched for");
    });
}

const NEW: u64 = 9;

/// The exporter's agent's part of a rebind whose importer is on the other host, and the exporter's in it; gives what the old range
/// gets. The other agent's is `steps`: messages order what the two do.
fn rebind(r: &Rig, steps: impl FnOnce()) -> u64 {
    break_seal(&r.seal, seal(1).suspended());
    let kept = r.memory.load(Relaxed);
    r.memory.store(NEW, Relaxed);
    let resume = || set_seal(&r.seal, seal(1));
    if mutated("posted_resumed_early") {
        resume();
    }
    steps();
    resume();
    kept
}

/// The importer's agent's part.
fn step(r: &Rig) {
    verdict::suspend(&r.link);
    verdict::resume(&r.link);
}

/// A put is on its way while the exporter replaces the contents.
///
/// Mutations: `posted_no_load`, `posted_fence`, `seal_fence`, `posted_resumed_early`, `verdict_resume_same`.
#[test]
fn a_posted_store_that_is_vouched_for_is_in_old_or_new_memory() {
    explore(|| {
        let r = rig();
        let importer = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.put())
        };
        let bridge = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.deliver())
        };
        let kept = rebind(&r, || step(&r));
        let vouched = importer.join().unwrap();
        bridge.join().unwrap();
        let (in_old, in_new) = (kept == PUT, r.memory.load(Relaxed) == PUT);
        assert!(
            !vouched || in_old != in_new,
            "a put that was vouched for: in the old range {in_old}, in the new {in_new}"
        );
    });
}

/// A window that is memory of this machine, as that of two agents of one: what is stored is there, and loads are in order by
/// acquiring, so that no fence comes after the seal's.
struct Ordinary<'a>(&'a Rig);

impl Window for Ordinary<'_> {
    fn fence(&self) {
        fence(SeqCst);
    }
    fn load_seal(&self) -> u64 {
        if mutated("posted_load_relaxed") { self.0.seal.load(Relaxed) } else { acquire(&self.0.seal) }
    }
    fn fence_load(&self) {}
    fn wait(&self) -> bool {
        false
    }
}

/// The same rebind, and a put to memory of this machine.
///
/// Mutations: `posted_no_load`, `posted_drain`, `posted_load_relaxed`, `seal_fence`, `seal_set_relaxed`, `posted_resumed_early`,
/// `verdict_resume_same`.
#[test]
fn a_store_to_memory_of_this_machine_is_in_old_or_new_memory() {
    explore(|| {
        let r = rig();
        let importer = {
            let r = Arc::clone(&r);
            thread::spawn(move || {
                let opened = Snapshot { granted: Generation::live(1), link: LinkWord::from_word(acquire(&r.link)) };
                r.memory.store(PUT, Relaxed);
                opened.judge_posted(&r.generation, &r.link, seal(1), &Ordinary(&r)).is_ok()
            })
        };
        let kept = rebind(&r, || {
            let r = Arc::clone(&r);
            thread::spawn(move || step(&r)).join().unwrap();
        });
        let vouched = importer.join().unwrap();
        let (in_old, in_new) = (kept == PUT, r.memory.load(Relaxed) == PUT);
        assert!(
            !vouched || in_old != in_new,
            "a put that was vouched for: in the old range {in_old}, in the new {in_new}"
        );
    });
}
