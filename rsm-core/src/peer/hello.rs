//! Hellos: what each agent says of its host before they say anything else, and whether the two fit.
//!
//! A hello stands at the beginning of the control pages, and is written before the link comes up, its first word last. The
//! peer reads it through the window, once: every word of it is an allegation, and what could not be is refused with a
//! sentence for people.
//!
//! Each side then says whose hello it has read ([`HEARD`]), by the boot seal of that, and wipes its own number out as soon
//! as it has been heard itself. Whoever is handed a window later does not find what [tags](super::tag) are made with.

use super::nodes::Nodes;
use super::tag::Nonce;
use super::{Far, UNANSWERED, control};
use crate::seal::Seal;
use crate::sync::{AtomicU64, Ordering::Relaxed, Ordering::Release};

/// First word of a hello: "rsm peer", read as a number.
pub const MAGIC: u64 = u64::from_le_bytes(*b"rsm peer");
/// Version of what agents say to each other, from the layout of control pages to the messages.
pub const VERSION: u32 = 3;
/// Longest name of a cluster that is shown, in bytes.
pub const NAME_BYTES: usize = 64;

const NONCE: usize = 5;
const NAME: usize = 8;
/// Words that are written before the link comes up.
const SAID: usize = NAME + NAME_BYTES / 8;
/// In *ours*: the boot seal of the hello that was read; 0 before.
pub const HEARD: usize = control::HELLO + SAID;
/// In *ours*: the own boot seal, alone, which the peer loads now and then.
pub const CANARY: usize = HEARD + 1;
/// All words.
pub const WORDS: usize = SAID + 2;

const _: () = assert!(WORDS <= control::SEALS - control::HELLO || cfg!(rsm_loom), "the hello ends before the seals");

/// What an agent says of its host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// [`VERSION`] of the agent.
    pub version: u32,
    /// Bytes of a page of the host's memory.
    pub page: u64,
    /// Nodes of the cluster, those of both hosts.
    pub node_count: u32,
    /// Nodes of this host.
    pub nodes: Nodes,
    /// Bytes of the window through which this host reaches the other.
    pub window: u64,
    /// Number that was drawn for this life of the link.
    pub nonce: Nonce,
    /// Tells this life of this agent from any other.
    pub boot: Seal,
    /// Name of the cluster on this host, to be shown.
    pub name: String,
}

/// What is wrong with two hellos, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit(pub String);

/// What a load of a hello has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// Nobody has written one yet, or nothing answers.
    Nothing,
    /// One that could be.
    Said(Hello),
    /// One that could not.
    Wrong(Misfit),
}

impl Hello {
    /// Writes it into the own control pages. Whose hello was heard is nobody's.
    pub fn write(&self, ours: &[AtomicU64]) {
        let place = |at: usize| &ours[control::HELLO + at];
        place(0).store(0, Relaxed);
        for (at, word) in (1..).zip(self.words()) {
            place(at).store(word, Relaxed);
        }
        ours[HEARD].store(0, Relaxed);
        ours[CANARY].store(self.boot.word(), Relaxed);
        // Release: pairs with the order of the peer's loads in `read`, which find the rest behind the first word.
        place(0).store(MAGIC, Release);
    }

    /// Wipes the own number out, once the peer has read it.
    pub fn wipe_nonce(ours: &[AtomicU64]) {
        for at in NONCE..NONCE + 2 {
            ours[control::HELLO + at].store(0, Relaxed);
        }
    }

    /// The words after the first.
    fn words(&self) -> impl Iterator<Item = u64> {
        let mut name = [0; NAME_BYTES];
        let shown = beginning(&self.name, NAME_BYTES).as_bytes();
        name[..shown.len()].copy_from_slice(shown);
        let numbers = u64::from(self.version) | u64::from(self.node_count) << 32;
        let said = [numbers, self.page, self.nodes.bits(), self.window, self.nonce[0], self.nonce[1], self.boot.word()];
        let name = name.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect::<Vec<_>>();
        said.into_iter().chain(name)
    }

    /// Reads the peer's, a word at a time, through the window.
    pub fn read(far: &impl Far) -> Heard {
        let wrong = |text: String| Heard::Wrong(Misfit(text));
        let word = |at: usize| far.load(control::ours(control::HELLO + at));
        match word(0) {
            MAGIC => {}
            0 | UNANSWERED => return Heard::Nothing,
            other if other == MAGIC.swap_bytes() => {
                return wrong("the other host has the other byte order: both must have the same".to_owned());
            }
            other => {
                return wrong(format!("what is at the other end is no rsm agent: its hello begins with {other:#x}"));
            }
        }
        let words: [u64; SAID] = std::array::from_fn(word);
        // Whoever answers now has answered all along, or is found out by the canary.
        if word(0) != MAGIC {
            return Heard::Nothing;
        }
        let (version, node_count) = (words[1] as u32, (words[1] >> 32) as u32);
        if version != VERSION {
            return wrong(format!(
                "the other agent speaks version {version} of what agents say to each other, this one {VERSION}: \
                 both hosts need the same version of rsm"
            ));
        }
        let Some(nodes) = Nodes::from_bits(words[3]) else { return wrong("the other host claims node 0".to_owned()) };
        let Some(boot) = Seal::from_word(words[7]) else {
            return wrong("the other agent has no number that tells it from others".to_owned());
        };
        let (page, window, nonce) = (words[2], words[4], [words[NONCE], words[NONCE + 1]]);
        if !page.is_power_of_two() || !(4 << 10..=16 << 20).contains(&page) {
            return wrong(format!("the other host claims pages of {page} bytes"));
        }
        let bytes: Vec<u8> = words[NAME..].iter().flat_map(|word| word.to_le_bytes()).collect();
        Heard::Said(Hello { version, page, node_count, nodes, window, nonce, boot, name: legible(&bytes) })
    }

    /// Whether the other host's hello fits this one's.
    ///
    /// # Errors
    /// What does not fit, and what to do.
    pub fn fits(&self, other: &Hello) -> Result<(), Misfit> {
        let misfit = |text: String| Err(Misfit(text));
        let name = &other.name;
        if self.boot == other.boot {
            return misfit("the bridge leads back to this agent".to_owned());
        }
        if self.node_count != other.node_count {
            return misfit(format!(
                "this host's cluster has {} nodes, the other's ({name}) {}: start both with the same number of nodes",
                self.node_count, other.node_count
            ));
        }
        let all = Nodes::up_to(self.node_count);
        let both = self.nodes.and(other.nodes);
        if !both.is_empty() {
            return misfit(format!(
                "both hosts claim nodes {both}: this one has {}, the other ({name}) {}; each node is on one host",
                self.nodes, other.nodes
            ));
        }
        let outside = other.nodes.minus(all);
        if !outside.is_empty() || other.nodes.is_empty() {
            return misfit(format!("the other host ({name}) claims nodes {}, the cluster has {all}", other.nodes));
        }
        let missing = all.minus(self.nodes.or(other.nodes));
        if !missing.is_empty() {
            return misfit(format!(
                "no host has nodes {missing}: this one has {}, the other ({name}) {}",
                self.nodes, other.nodes
            ));
        }
        for (whose, window) in [("this host's", self.window), ("the other host's", other.window)] {
            if window <= control::CONTROL_BYTES {
                let least = control::CONTROL_BYTES;
                return misfit(format!("{whose} window has {window} bytes: it needs more than {least}"));
            }
        }
        Ok(())
    }

    /// This host's number beside the other: 1 for the one with the smallest node, 2.
    pub fn host(&self, other: &Hello) -> u32 {
        if self.nodes.first() < other.nodes.first() { 1 } else { 2 }
    }
}

/// The beginning of a text, of so many bytes at most, that ends with a whole character.
pub(super) fn beginning(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    &text[..end]
}

/// What somebody else calls itself, fit to be shown: up to the first zero, without characters that control a terminal.
pub fn legible(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    let text = String::from_utf8_lossy(&bytes[..end]);
    text.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

#[cfg(all(test, not(rsm_loom)))]
mod tests {
    use super::*;
    use crate::peer::direct::{Direct, pages};
    use proptest::prelude::*;

    fn hello(nodes: &str, name: &str) -> Hello {
        Hello {
            version: VERSION,
            page: 4096,
            node_count: 4,
            nodes: Nodes::parse(nodes).unwrap(),
            window: 64 << 20,
            nonce: [1, 2],
            boot: Seal::from_word(u64::from(nodes.as_bytes()[0])).unwrap(),
            name: name.to_owned(),
        }
    }

    fn heard(hello: &Hello, damage: impl FnOnce(&[AtomicU64])) -> Heard {
        let (ours, theirs) = pages();
        hello.write(&ours);
        damage(&ours);
        Hello::read(&Direct { ours: &ours, theirs: &theirs })
    }

    #[test]
    fn a_hello_is_read_as_it_was_written() {
        let long = "n".repeat(63) + "é";
        for (name, shown) in [("lab", "lab"), ("", ""), (&long, &long[..63]), ("a\x1b[2Jb", "a?[2Jb")] {
            let said = hello("1-2", name);
            let expected = Hello { name: shown.to_owned(), ..said.clone() };
            assert_eq!(heard(&said, |_| {}), Heard::Said(expected));
        }
        assert_eq!(heard(&hello("1", ""), |ours| ours[0].store(0, Relaxed)), Heard::Nothing);
        assert_eq!(heard(&hello("1", ""), |ours| ours[0].store(UNANSWERED, Relaxed)), Heard::Nothing);
    }

    #[test]
    fn what_could_not_be_is_named() {
        let says = |damage: fn(&[AtomicU64]), text: &str| match heard(&hello("1-2", "lab"), damage) {
            Heard::Wrong(Misfit(said)) => assert!(said.contains(text), "{said}"),
            other => panic!("{text}: {other:?}"),
        };
        says(|ours| ours[0].store(MAGIC.swap_bytes(), Relaxed), "byte order");
        says(|ours| ours[0].store(7, Relaxed), "no rsm agent");
        says(|ours| ours[1].store(9 | 4 << 32, Relaxed), "version 9 of what agents say to each other, this one 3");
        says(|ours| ours[2].store(4097, Relaxed), "pages of 4097 bytes");
        says(|ours| ours[3].store(7, Relaxed), "node 0");
        says(|ours| ours[7].store(0, Relaxed), "no number");
    }

    #[test]
    fn two_hosts_fit_or_are_told_why_not() {
        let one = hello("1-2", "a");
        assert_eq!(one.fits(&hello("3-4", "b")), Ok(()));
        assert_eq!((one.host(&hello("3-4", "b")), hello("3-4", "b").host(&one)), (1, 2));
        let says = |other: Hello, text: &str| {
            let Misfit(said) = one.fits(&other).unwrap_err();
            assert!(said.contains(text), "{said}");
        };
        says(one.clone(), "leads back to this agent");
        says(hello("2-4", "b"), "both hosts claim nodes 2: this one has 1-2, the other (b) 2-4");
        says(hello("3", "b"), "no host has nodes 4");
        says(hello("3-5", "b"), "claims nodes 3-5, the cluster has 1-4");
        says(Hello { node_count: 5, ..hello("3-5", "b") }, "has 4 nodes, the other's (b) 5");
        says(Hello { window: 4096, ..hello("3-4", "b") }, "the other host's window has 4096 bytes");
    }

    proptest! {
        /// Whatever the words are: nothing, a sentence, or a hello within bounds.
        #[test]
        fn any_words_are_read(words in prop::collection::vec(any::<u64>(), WORDS), like in any::<bool>()) {
            let result = heard(&hello("1-2", "lab"), |ours| {
                for (place, &word) in ours.iter().zip(&words).skip(2 * usize::from(like)) {
                    place.store(word, Relaxed);
                }
            });
            if let Heard::Said(hello) = result {
                prop_assert!(hello.page.is_power_of_two() && hello.name.chars().count() <= NAME_BYTES);
                prop_assert!(!hello.nodes.has(0));
            }
        }
    }
}
