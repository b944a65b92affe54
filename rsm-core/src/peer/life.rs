//! The life of a link between two agents: from the first hello to the end.
//!
//! ```text
//!   (closed) ──► Hello ──► Syncing ──► Open ──► (closed)
//!                  each has read     each has said        any link event, a canary that does not answer,
//!                  the other's       all of its state     damage, a Closed: there is no way back
//! ```
//!
//! A life is short of trust and of patience. Every [`CANARY_EVERY`] it loads the peer's boot seal through the window: a peer
//! that is gone, or is another one, is known within two of these. A peer that answers and does nothing is only slow, for
//! [`SILENT_AFTER`]. Nothing here waits; whoever owns it gives it a [`turn`](Life::turn) when a doorbell rings, and when
//! [`next`](Life::next) says. Doorbells are hints: without any, a turn comes with each canary.
//!
//! # Crash
//!
//! An agent that dies leaves words in its peer's pages, which nobody reads again: a new life begins with pages of zeroes, a
//! new boot seal and a new key.

use super::hello::{self, Heard, Hello, Misfit};
use super::message::{Message, Terms};
use super::outbox::{Facts, Outbox};
use super::ring::{Consumer, Damage, Producer, UNITS, Unsent};
use super::tag::Key;
use super::{Far, Near, control};
use crate::error::Error;
use crate::seal::Reading;
use crate::sync::{Ordering::Relaxed, Ordering::Release};
use std::fmt;
use std::time::Duration;

/// Time between two looks at whether the peer is there.
pub const CANARY_EVERY: Duration = Duration::from_millis(100);
/// How long a peer may stand still.
pub const SILENT_AFTER: Duration = Duration::from_secs(30);
/// How long damage is looked at again before it is believed.
pub const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// Time between the end of a life and the next.
pub const REST: Duration = Duration::from_millis(100);
/// Messages that one turn takes.
const MOST_A_TURN: usize = 64;
/// Messages in a row that may be none.
const MOST_REFUSED: u32 = 100;

/// How far a life has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The two have not read each other's hello yet.
    Hello,
    /// They tell each other their state.
    Syncing,
    /// Each knows the other's.
    Open,
}

/// Why a life has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The two do not fit. It makes no sense to try again before one of them is started anew.
    Misfit(String),
    /// The peer has closed the link.
    Closed(String),
    /// The link went down.
    Lost,
    /// The window does not answer.
    Unanswered,
    /// Another agent answers than before.
    Another,
    /// The peer has done nothing for [`SILENT_AFTER`].
    Silent,
    /// What was stored cannot be.
    Damaged(Damage),
    /// It says nothing that could be.
    Babble(String),
    /// This agent has something to say that cannot be said.
    Unsayable(String),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Misfit(text) | End::Unsayable(text) => f.write_str(text),
            End::Closed(text) if text.is_empty() => f.write_str("the other agent has closed the link"),
            End::Closed(text) => write!(f, "the other agent has closed the link: {text}"),
            End::Lost => f.write_str("the link to the other host went down"),
            End::Unanswered => f.write_str("the other host does not answer"),
            End::Another => f.write_str("another agent answers on the other host than before"),
            End::Silent => write!(f, "the other agent has stood still for {} s", SILENT_AFTER.as_secs()),
            End::Damaged(damage) => write!(f, "{damage}: the bridge has mixed something up"),
            End::Babble(last) => write!(f, "the other agent says nothing that makes sense, last: {last}"),
        }
    }
}

/// What a turn has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// The peer, and what was agreed on. State comes next.
    Met(Hello, Terms),
    /// A message that the peer may send; never [`Message::Synced`] or [`Message::Closed`].
    Said(Message),
    /// Both know each other's state.
    Open,
}

/// What is to be done after a turn.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// What was told, in order.
    pub told: Vec<Told>,
    /// Whether to ring the peer's doorbell.
    pub ring: bool,
}

/// One life of a link.
#[derive(Debug)]
pub struct Life {
    me: Hello,
    peer: Option<Hello>,
    rings: Option<Rings>,
    stage: Stage,
    /// Times are counted from any beginning, which is the caller's.
    canary_at: Duration,
    beat: u64,
    /// The peer's heartbeat, and when it was another one.
    heard: (u64, Duration),
    suspect_since: Option<Duration>,
    refused: u32,
    /// Both have to have said all of their state.
    synced: (bool, bool),
    /// Units read since the peer was rung for them.
    unrung: u64,
    /// There may be more to do at once.
    more: bool,
}

#[derive(Debug)]
struct Rings {
    out: Producer,
    into: Consumer,
    terms: Terms,
}

impl Life {
    /// Begins, with pages of zeroes: writes the hello. The link may come up after this.
    pub fn begin(me: Hello, near: Near<'_>, now: Duration) -> Life {
        me.write(near.ours);
        Life {
            me,
            peer: None,
            rings: None,
            stage: Stage::Hello,
            canary_at: now,
            beat: 0,
            heard: (0, now),
            suspect_since: None,
            refused: 0,
            synced: (false, false),
            unrung: 0,
            more: false,
        }
    }

    /// How far it has come.
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// What was agreed on, once the two have met.
    pub fn terms(&self) -> Option<&Terms> {
        self.rings.as_ref().map(|rings| &rings.terms)
    }

    /// When it is to have its next turn at the latest.
    pub fn next(&self) -> Duration {
        if self.more {
            return Duration::ZERO;
        }
        self.suspect_since.map_or(self.canary_at, |since| self.canary_at.min(since + LOOK_AGAIN))
    }

    /// Looks at what is there: the peer's hello, its messages, whether it lives.
    ///
    /// # Errors
    /// The end: this life has no other turn.
    pub fn turn(&mut self, near: Near<'_>, far: &impl Far, now: Duration) -> Result<Turn, End> {
        let mut turn = Turn::default();
        self.more = false;
        if self.stage == Stage::Hello {
            self.meet(near, far, now, &mut turn)?;
        }
        if now >= self.canary_at {
            self.look_alive(near, far, now)?;
            self.canary_at = now + CANARY_EVERY;
        }
        if self.stage != Stage::Hello {
            self.hear(near, far, now, &mut turn)?;
        }
        if self.stage == Stage::Syncing && self.synced == (true, true) {
            self.stage = Stage::Open;
            turn.told.push(Told::Open);
        }
        Ok(turn)
    }

    /// Reads the peer's hello, and waits until it has read this one's.
    fn meet(&mut self, near: Near<'_>, far: &impl Far, now: Duration, turn: &mut Turn) -> Result<(), End> {
        if self.peer.is_none() {
            let peer = match Hello::read(far) {
                Heard::Nothing => return Ok(()),
                Heard::Wrong(Misfit(text)) => return Err(End::Misfit(text)),
                Heard::Said(peer) => peer,
            };
            self.me.fits(&peer).map_err(|Misfit(text)| End::Misfit(text))?;
            // One that was there before, and has gone without meeting this one, may have begun. This one begins when it
            // finds itself heard.
            for at in [control::HEAD, control::TAIL] {
                near.theirs[at].store(0, Relaxed);
            }
            self.heard = (near.theirs[control::HEARTBEAT].load(Relaxed), now);
            // Release: pairs with the peer's load, which may wipe its number out then: it was read before.
            near.ours[hello::HEARD].store(peer.boot.word(), Release);
            turn.ring = true;
            self.peer = Some(peer);
        }
        let Some(peer) = &self.peer else { return Ok(()) };
        if far.load(control::ours(hello::HEARD)) != self.me.boot.word() {
            return Ok(());
        }
        // Who has heard may be another than who was heard.
        if peer.boot.read(far.load(control::ours(hello::CANARY))) != Reading::Holds {
            self.peer = None;
            return Ok(());
        }
        Hello::wipe_nonce(near.ours);
        let terms = Terms::of(&self.me, peer);
        let (first, second) = if terms.host == 1 { (self.me.nonce, peer.nonce) } else { (peer.nonce, self.me.nonce) };
        let key = Key::of(first, second);
        let (out, into) = (Producer::new(key.clone(), terms.host), Consumer::new(key, terms.other()));
        (self.me.nonce, self.stage) = ([0; 2], Stage::Syncing);
        let mut shown = peer.clone();
        shown.nonce = [0; 2];
        self.peer = Some(shown.clone());
        self.rings = Some(Rings { out, into, terms });
        turn.told.push(Told::Met(shown, terms));
        // What it waits for as well may have been there before.
        turn.ring = true;
        Ok(())
    }

    /// Whether the peer is there, is the same, and goes on.
    fn look_alive(&mut self, near: Near<'_>, far: &impl Far, now: Duration) -> Result<(), End> {
        let Some(peer) = &self.peer else { return Ok(()) };
        self.beat += 1;
        far.store(control::theirs(control::HEARTBEAT), self.beat);
        far.fence();
        let reading = peer.boot.read(far.load(control::ours(hello::CANARY)));
        match (reading, self.stage) {
            (Reading::Holds, _) => {}
            // Nothing was begun with that one: the next hello will do.
            (_, Stage::Hello) => {
                self.peer = None;
                return Ok(());
            }
            (Reading::Changed | Reading::Suspended, _) => return Err(End::Another),
            (Reading::Unanswered, _) => return Err(End::Unanswered),
        }
        // Relaxed: that it changes is all that it says.
        let beat = near.theirs[control::HEARTBEAT].load(Relaxed);
        // Looked at first: it may have been this agent that stood still.
        if beat != self.heard.0 {
            self.heard = (beat, now);
        }
        if now.saturating_sub(self.heard.1) >= SILENT_AFTER { Err(End::Silent) } else { Ok(()) }
    }

    /// Takes messages, not more than a turn's.
    fn hear(&mut self, near: Near<'_>, far: &impl Far, now: Duration, turn: &mut Turn) -> Result<(), End> {
        let Some(rings) = &mut self.rings else { return Ok(()) };
        let mut left = MOST_A_TURN;
        while left > 0 {
            left -= 1;
            let bytes = match rings.into.take(near) {
                Ok(Some(bytes)) => bytes,
                Ok(None) => {
                    self.suspect_since = None;
                    break;
                }
                Err(damage) => {
                    let since = *self.suspect_since.get_or_insert(now);
                    if now.saturating_sub(since) >= LOOK_AGAIN {
                        return Err(End::Damaged(damage));
                    }
                    break;
                }
            };
            self.suspect_since = None;
            let message = Message::decode(&bytes).and_then(|message| message.check(&rings.terms).map(|()| message));
            match message {
                Ok(Message::Closed { text }) => return Err(End::Closed(text)),
                Ok(Message::Synced) => self.synced.1 = true,
                Ok(message) => {
                    self.refused = 0;
                    turn.told.push(Told::Said(message));
                }
                Err(error) => self.refused = refuse(self.refused, &error)?,
            }
        }
        self.unrung += rings.into.acknowledge(far);
        // A producer that waits for room looks now and then; it is rung when there is much.
        if self.unrung * 4 > UNITS {
            self.unrung = 0;
            turn.ring = true;
        }
        self.more = left == 0;
        Ok(())
    }

    /// A message that was taken in by [`Told::Said`] makes no sense beside what was said before.
    ///
    /// # Errors
    /// The end, when that was one too many.
    pub fn refuse(&mut self, error: &Error) -> Result<(), End> {
        self.refused = refuse(self.refused, error)?;
        Ok(())
    }

    /// Tells the peer what is in the outbox, as much as there is room for. `true`: ring its doorbell.
    ///
    /// # Errors
    /// The end.
    pub fn tell(
        &mut self,
        outbox: &mut Outbox,
        facts: &(impl Facts + ?Sized),
        near: Near<'_>,
        far: &impl Far,
    ) -> Result<bool, End> {
        let Some(rings) = &mut self.rings else { return Ok(false) };
        while let Some(message) = outbox.next(facts) {
            let bytes = message.encode().map_err(|error| End::Unsayable(error.to_string()))?;
            match rings.out.put(near, far, &bytes) {
                Ok(()) => {}
                Err(Unsent::Full) => break,
                Err(Unsent::Damaged(damage)) => return Err(End::Damaged(damage)),
                Err(Unsent::TooLong) => return Err(End::Unsayable(format!("a message of {} bytes", bytes.len()))),
            }
            self.synced.0 |= message == Message::Synced;
            outbox.told(&message);
        }
        self.more |= self.stage == Stage::Syncing && self.synced == (true, true);
        rings.out.tell(far).map_err(End::Damaged)
    }

    /// Tells the peer, as far as it listens, that this is the end, and why. `true`: ring its doorbell.
    pub fn close(mut self, text: &str, near: Near<'_>, far: &impl Far) -> bool {
        let Some(rings) = &mut self.rings else { return false };
        let closed = Message::Closed { text: text.to_owned() };
        let sent = closed.encode().is_ok_and(|bytes| rings.out.put(near, far, &bytes).is_ok());
        sent && rings.out.tell(far) == Ok(true)
    }
}

/// Counts a message that was none.
fn refuse(so_far: u32, error: &Error) -> Result<u32, End> {
    if so_far + 1 >= MOST_REFUSED { Err(End::Babble(error.to_string())) } else { Ok(so_far + 1) }
}
