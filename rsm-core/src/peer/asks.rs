//! Asks: what this host's nodes want of the other, and have of it.
//!
//! A connect across is answered by the other host's agent, which may take its time, or never answer. Whoever asked is answered
//! exactly once in any case: with the grant, with a refusal, or with the end of the link. Every connection that was granted is
//! given back exactly once, by [`end`](Asks::end), whatever became of it.

use super::message::{Grant, Message, Terms};
use crate::access::Permission;
use crate::error::{Code, Error, Result};
use crate::message::SegmentName;
use std::collections::BTreeMap;

/// A connection that is wanted. `T` is whatever the asker is known by.
#[derive(Debug)]
struct Asked<T> {
    segment: SegmentName,
    length: u64,
    /// `None` when it wants no answer any more.
    by: Option<T>,
    /// The segment was withdrawn since: a grant that is on its way is one of what is gone.
    gone: bool,
}

/// What became of a connect.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// It stands. The asker is told; it is given back by [`Asks::end`].
    Granted {
        /// Who asked.
        by: T,
        /// Number of the connection.
        number: u64,
        /// How it is reached; it lies in the window.
        grant: Grant,
    },
    /// There is none.
    Refused {
        /// Who asked; `None` when nobody waits for it any more.
        by: Option<T>,
        /// Why.
        error: Error,
        /// What is to be said to the other host, which thinks that there is one.
        say: Option<Message>,
    },
}

/// What is wanted, for a process of this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Which segment of the other host.
    pub segment: SegmentName,
    /// The publication of it that is known.
    pub version: u64,
    /// Its bytes.
    pub length: u64,
    /// The importing node.
    pub node: u32,
    /// The importing process.
    pub pid: u32,
    /// The wanted rights.
    pub permission: Permission,
}

/// All connections across that this host has, or wants, for one life of the link.
#[derive(Debug)]
pub struct Asks<T> {
    terms: Terms,
    next: u64,
    asked: BTreeMap<u64, Asked<T>>,
    granted: BTreeMap<u64, SegmentName>,
}

impl<T> Asks<T> {
    /// Nothing is wanted yet.
    pub fn new(terms: Terms) -> Asks<T> {
        Asks { terms, next: 0, asked: BTreeMap::new(), granted: BTreeMap::new() }
    }

    /// Wants a connection; gives its number and what is to be said.
    pub fn ask(&mut self, wish: &Wish, by: T) -> (u64, Message) {
        self.next += 1;
        let number = self.next;
        let &Wish { segment, version, length, node, pid, permission } = wish;
        self.asked.insert(number, Asked { segment, length, by: Some(by), gone: false });
        (number, Message::Connect { number, segment, version, node, pid, permission })
    }

    /// Who asked does not wait any more; gives who that was, if somebody did. What comes of it is given back.
    pub fn abandon(&mut self, number: u64) -> Option<T> {
        self.asked.get_mut(&number)?.by.take()
    }

    /// The other host's answer; `None` for any other message.
    ///
    /// # Errors
    /// BAD_ARGS_ERRORS for an answer to nothing: not what a peer says.
    pub fn hear(&mut self, message: &Message) -> Result<Option<Outcome<T>>> {
        let (Message::Granted { number, .. } | Message::Refused { number, .. }) = message else { return Ok(None) };
        let unknown = || {
            let text = format!("the other host answered connect {number}, which nobody asked");
            Error::with(Code::BadArgsErrors, text)
        };
        let Asked { segment, length, by, gone } = self.asked.remove(number).ok_or_else(unknown)?;
        let grant = match message {
            Message::Refused { code, text, .. } => {
                let error = Error::with(*code, format!("the other host refuses: {text}"));
                return Ok(Some(Outcome::Refused { by, error, say: None }));
            }
            Message::Granted { grant, .. } => *grant,
            _ => return Ok(None),
        };
        let fine = if gone {
            Err(Error::with(Code::SegNotPublished, "the segment was withdrawn meanwhile"))
        } else {
            grant.check(length, &self.terms)
        };
        Ok(Some(match (fine, by) {
            (Ok(()), Some(by)) => {
                self.granted.insert(*number, segment);
                Outcome::Granted { by, number: *number, grant }
            }
            (fine, by) => {
                let error = fine.err().unwrap_or(Error::new(Code::Interrupted));
                Outcome::Refused { by, error, say: Some(Message::Disconnect { number: *number }) }
            }
        }))
    }

    /// A connection is over: cut, given back, its holder ended. Gives what it led to and what is to be said; nobody posts by
    /// its lane any more. `None` when it was over already.
    pub fn end(&mut self, number: u64) -> Option<(SegmentName, Message)> {
        self.granted.remove(&number).map(|segment| (segment, Message::Disconnect { number }))
    }

    /// A segment of the other host was withdrawn. Gives the connections to it, each of which is to be cut and
    /// [`end`](Self::end)ed; what is on its way is refused when it comes.
    pub fn withdrawn(&mut self, segment: SegmentName) -> Vec<u64> {
        self.asked.values_mut().filter(|asked| asked.segment == segment).for_each(|asked| asked.gone = true);
        self.granted.iter().filter(|(_, to)| **to == segment).map(|(&number, _)| number).collect()
    }

    /// Connections that stand.
    pub fn connections(&self) -> impl Iterator<Item = u64> {
        self.granted.keys().copied()
    }

    /// Whether an answer is due.
    pub fn is_waiting(&self) -> bool {
        !self.asked.is_empty()
    }

    /// The end of this life: who waits is told so. What stood is cut by whoever knows the connections.
    pub fn close(self, why: &str) -> Vec<(T, Error)> {
        let error = || Error::with(Code::RemoteNodeUnreachable, format!("the other host is gone: {why}"));
        self.asked.into_values().filter_map(|asked| asked.by).map(|by| (by, error())).collect()
    }
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::peer::control::CONTROL_BYTES;
    use crate::peer::nodes::Nodes;

    const SEGMENT: SegmentName = SegmentName { row: 3, incarnation: 4 };
    const GRANT: Grant = Grant { offset: CONTROL_BYTES, slot: 1, seal: 9, lane: 1, sent: 0 };

    fn asks() -> Asks<&'static str> {
        let (ours, theirs) = (Nodes::parse("1").unwrap(), Nodes::parse("2").unwrap());
        Asks::new(Terms { host: 1, ours, theirs, window: 1 << 20, granule: 4096 })
    }

    fn ask(asks: &mut Asks<&'static str>, by: &'static str) -> u64 {
        let wish = Wish { segment: SEGMENT, version: 1, length: 4096, node: 1, pid: 7, permission: Permission::Read };
        let (number, message) = asks.ask(&wish, by);
        assert!(matches!(message, Message::Connect { number: said, .. } if said == number));
        number
    }

    #[test]
    fn each_is_answered_once_and_given_back_once() {
        let mut asks = asks();
        let numbers = ["a", "b", "c", "d", "e"].map(|by| ask(&mut asks, by));
        let granted = |number, grant| Message::Granted { number, grant };
        let refused = |number| Message::Refused { number, code: Code::SegNotPublished, text: "gone".to_owned() };
        let outcome = asks.hear(&granted(numbers[0], GRANT)).unwrap();
        assert_eq!(outcome, Some(Outcome::Granted { by: "a", number: numbers[0], grant: GRANT }));
        assert!(asks.hear(&granted(numbers[0], GRANT)).is_err() && asks.hear(&refused(99)).is_err());
        let given_back = |number| Some(Message::Disconnect { number });
        let Some(Outcome::Refused { by: Some("b"), error, say: None }) = asks.hear(&refused(numbers[1])).unwrap()
        else {
            panic!()
        };
        assert_eq!((error.code(), error.detail()), (Code::SegNotPublished, "the other host refuses: gone"));
        // What cannot be is refused here and given back there.
        let absurd = Grant { offset: 0, ..GRANT };
        let outcome = asks.hear(&granted(numbers[2], absurd)).unwrap();
        let Some(Outcome::Refused { by: Some("c"), error, say }) = outcome else { panic!() };
        assert_eq!((error.code(), say), (Code::RemoteNodeUnreachable, given_back(numbers[2])));
        assert_eq!((asks.abandon(numbers[3]), asks.abandon(numbers[3])), (Some("d"), None));
        let outcome = asks.hear(&granted(numbers[3], GRANT)).unwrap();
        assert!(matches!(outcome, Some(Outcome::Refused { by: None, say, .. }) if say == given_back(numbers[3])));
        // A grant that crosses the end of what it is of.
        let late = ask(&mut asks, "late");
        assert_eq!(asks.withdrawn(SEGMENT), [numbers[0]]);
        let outcome = asks.hear(&granted(late, GRANT)).unwrap();
        let Some(Outcome::Refused { by: Some("late"), error, say }) = outcome else { panic!() };
        assert_eq!((error.code(), say), (Code::SegNotPublished, given_back(late)));
        assert_eq!(asks.connections().collect::<Vec<_>>(), [numbers[0]]);
        let end = |asks: &mut Asks<_>| asks.end(numbers[0]).map(|(segment, say)| (segment, Some(say)));
        assert_eq!((end(&mut asks), end(&mut asks)), (Some((SEGMENT, given_back(numbers[0]))), None));
        assert_eq!(asks.hear(&Message::Synced).unwrap(), None);
        assert!(asks.is_waiting());
        let told = asks.close("it does not answer");
        assert!(matches!(&told[..], [("e", error)] if error.detail() == "the other host is gone: it does not answer"));
    }
}
