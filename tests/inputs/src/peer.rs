//! What the agent of another host says and stores: it is refused, or within what was agreed on.

use crate::script::Script;
use rsm_core::Result;
use rsm_core::access::Permission;
use rsm_core::message::SegmentName;
use rsm_core::peer::asks::{Asks, Outcome, Wish};
use rsm_core::peer::grants::{Deed, Grants};
use rsm_core::peer::hello::{self, Hello, VERSION};
use rsm_core::peer::life::{Life, Told};
use rsm_core::peer::message::{Message, Terms};
use rsm_core::peer::mirror::Mirror;
use rsm_core::peer::nodes::Nodes;
use rsm_core::peer::ring::Producer;
use rsm_core::peer::seal::{Seal, Seals};
use rsm_core::peer::tag::Key;
use rsm_core::peer::{Far, Near, control};
use rsm_core::sync::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Segments that are taken in.
const MOST: usize = 4;

/// Control pages of one host.
struct Pages {
    ours: Vec<AtomicU64>,
    theirs: Vec<AtomicU64>,
}

impl Pages {
    fn new() -> Pages {
        let words = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Pages { ours: words(control::OURS_WORDS), theirs: words(control::THEIRS_WORDS) }
    }

    fn near(&self) -> Near<'_> {
        Near { ours: &self.ours, theirs: &self.theirs }
    }
}

/// As the other host reaches them.
impl Far for Pages {
    fn store(&self, at: usize, word: u64) {
        self.theirs[at - control::OURS_WORDS].store(word, Relaxed);
    }
    fn fence(&self) {}
    fn load(&self, at: usize) -> u64 {
        let theirs = at.checked_sub(control::OURS_WORDS).map(|at| &self.theirs[at]);
        theirs.unwrap_or_else(|| &self.ours[at]).load(Relaxed)
    }
}

fn hello(nodes: &str, boot: u64) -> Hello {
    Hello {
        version: VERSION,
        page: 4096,
        node_count: 4,
        nodes: Nodes::parse(nodes).expect("nodes"),
        window: 1 << 20,
        nonce: [boot, !boot],
        boot: Seal::from_word(boot).expect("a seal"),
        name: "fuzz".to_owned(),
    }
}

/// What each has of the other.
struct Dealings {
    terms: Terms,
    grants: Grants,
    asks: Asks<()>,
}

impl Dealings {
    /// With something asked for.
    fn new(terms: Terms) -> Dealings {
        let mut asks = Asks::new(terms);
        for permission in [Permission::Read, Permission::ReadWrite] {
            let segment = SegmentName { row: 0, incarnation: 1 };
            asks.ask(&Wish { segment, version: 1, length: 4096, node: 1, pid: 1, permission }, ());
        }
        Dealings { terms, grants: Grants::new(&terms, terms.window, Seals::new(1)), asks }
    }

    fn hear(&mut self, message: &Message) -> Result<()> {
        let mut deeds = match *message {
            Message::Connect { number, segment, permission, .. } => {
                self.grants.connect(number, segment, 4096, permission)?
            }
            Message::Disconnect { number } => self.grants.disconnect(number)?,
            Message::Withdrawn { segment } => {
                for number in self.asks.withdrawn(segment) {
                    assert!(self.asks.end(number).is_some(), "given back once");
                }
                return Ok(());
            }
            _ => {
                if let Some(Outcome::Granted { grant, .. }) = self.asks.hear(message)? {
                    assert_eq!(grant.check(4096, &self.terms), Ok(()), "in the window");
                }
                return Ok(());
            }
        };
        // The bridge is done at once.
        while let Some(deed) = deeds.pop() {
            match deed {
                Deed::Attach { slot, .. } => deeds.extend(self.grants.attached(slot, Ok(()))),
                Deed::Detach { slot, .. } => deeds.extend(self.grants.detached(slot)),
                Deed::Say(said) => assert!(said.encode().is_ok()),
                Deed::Seal { .. } | Deed::Break { .. } | Deed::Free(_) => {}
            }
        }
        assert!(self.grants.connections().count() <= control::SLOTS as usize);
        Ok(())
    }
}

/// An agent meets another, which then does what the input says.
pub fn run(data: &[u8]) {
    read(data);
    let (here, there) = (Pages::new(), Pages::new());
    let (me, peer) = (hello("1-2", 5), hello("3-4", 6));
    peer.write(&there.ours);
    there.ours[hello::HEARD].store(me.boot.word(), Relaxed);
    let mut producer = Producer::new(Key::of(me.nonce, peer.nonce), 2);
    let (mut now, mut mirror) = (Duration::ZERO, Mirror::new(MOST));
    let mut life = Life::begin(me, here.near(), now);
    let mut script = Script::new(data);
    let (mut terms, mut dealings) = (None, None);
    loop {
        let turn = match life.turn(here.near(), &there, now) {
            Ok(turn) => turn,
            Err(end) => {
                assert!(!end.to_string().is_empty());
                return;
            }
        };
        assert!(turn.told.len() <= 66, "a turn ends");
        for told in turn.told {
            match told {
                Told::Met(_, agreed) => {
                    terms = Some(agreed);
                    dealings = Some(Dealings::new(agreed));
                }
                Told::Open => {}
                Told::Said(message) => {
                    let terms = terms.as_ref().expect("they have met");
                    assert_eq!(message.check(terms), Ok(()), "only what may be said");
                    let heard =
                        mirror.hear(&message).and_then(|_| dealings.as_mut().expect("they have met").hear(&message));
                    if heard.is_err_and(|error| life.refuse(&error).is_err()) {
                        return;
                    }
                }
            }
        }
        assert!(mirror.segments().count() <= MOST);
        assert!(mirror.segments().all(|s| mirror.find(s.node, s.id) == Some(s)));
        if script.is_over() {
            return;
        }
        match script.below(16) {
            0 => now += Duration::from_millis(u64::from(script.byte())),
            1 => {
                let at = script.among(&[0, 1, control::HEAD as u64, control::TAIL as u64, control::HEARTBEAT as u64]);
                here.theirs[at as usize % here.theirs.len()].store(script.word(), Relaxed);
            }
            2 => {
                let at = script.below(hello::WORDS);
                there.ours[at].store(script.word(), Relaxed);
            }
            _ => {
                let length = usize::from(script.byte());
                // Full, when the agent has not acknowledged; then nothing is said.
                let said = producer.put(there.near(), &here, script.bytes(length));
                if said.is_ok() && producer.tell(&here).is_err() {
                    return;
                }
            }
        }
    }
}

/// A message that was read is written the same, and a hello is bounded.
fn read(data: &[u8]) {
    if let Ok(message) = Message::decode(data) {
        let again = message.encode().expect("what was short enough is again");
        assert_eq!(Message::decode(&again).as_ref(), Ok(&message));
    }
    let pages = Pages::new();
    for (place, bytes) in pages.ours.iter().zip(data.as_chunks::<8>().0) {
        place.store(u64::from_le_bytes(*bytes), Relaxed);
    }
    if let hello::Heard::Said(hello) = Hello::read(&pages) {
        assert!(hello.name.chars().count() <= hello::NAME_BYTES && !hello.nodes.has(0));
    }
}
