//! Boards of a team: what its nodes tell each other by words of their own, and sleep for.
//!
//! The steps are those of `rsm_team::board`, whose calls of the Rust API are here what they are on memory of one machine: puts
//! are stores, an order barrier and the end of a span full fences, views acquire. The verdict and the bells are the library's.

use super::futex::Futex;
use super::{explore, explore_less};
use crate::bell::{Accumulate, Bell};
use crate::generation::Generation;
use crate::registry::{LinkState, LinkWord};
use crate::sync::{AtomicU64, Ordering::Acquire, Ordering::Relaxed, Ordering::SeqCst, acquire, fence, mutated};
use crate::verdict::Snapshot;
use loom::thread::{self, JoinHandle};
use std::sync::Arc;

const RANKS: usize = 3;

/// A connection that holds, and the boards of all ranks: what each has been told by each, and a ring of one word.
struct Team {
    generation: AtomicU64,
    link: AtomicU64,
    told: [[AtomicU64; RANKS]; RANKS],
    data: [AtomicU64; RANKS],
    bells: [Bell; RANKS],
    futex: Futex,
}

fn team() -> Arc<Team> {
    let word = || AtomicU64::new(0);
    Arc::new(Team {
        generation: AtomicU64::new(Generation::live(1).word()),
        link: AtomicU64::new(LinkWord::new(LinkState::Active).word()),
        told: std::array::from_fn(|_| std::array::from_fn(|_| word())),
        data: std::array::from_fn(|_| word()),
        bells: std::array::from_fn(|_| Bell::new()),
        futex: Futex::new(),
    })
}

fn start<T: 'static>(team: &Arc<Team>, run: impl FnOnce(&Team) -> T + 'static) -> JoinHandle<T> {
    let team = Arc::clone(team);
    thread::spawn(move || run(&team))
}

impl Team {
    /// `Board::store`: puts pieces, and behind them the word of `me` on the board of `rank`.
    fn tell(&self, (me, rank): (usize, usize), pieces: impl FnOnce(), value: u64) {
        if mutated("board_rings_first") {
            self.ring(rank);
        }
        let opened = Snapshot { granted: Generation::live(1), link: LinkWord::from_word(acquire(&self.link)) };
        pieces();
        if !mutated("board_unordered") {
            fence(SeqCst);
        }
        self.told[rank][me].store(value, Relaxed);
        fence(SeqCst);
        opened.judge(&self.generation, &self.link).expect("nobody cuts");
        if !mutated("board_rings_first") {
            self.ring(rank);
        }
    }

    fn ring(&self, rank: usize) {
        self.bells[rank].post(0, Accumulate::No, &&self.futex).unwrap();
    }

    /// `Board::until`, for a word of the own board.
    fn until(&self, me: usize, from: usize, value: u64) {
        let order = if mutated("board_told_relaxed") { Relaxed } else { Acquire };
        while self.told[me][from].load(order) < value {
            self.bells[me].wait(0, &&self.futex).unwrap();
        }
    }

    /// `Team::barrier`.
    fn meet(&self, me: usize, size: usize) {
        let mut distance = 1;
        while distance < size {
            self.tell((me, (me + distance) % size), || {}, 1);
            self.until(me, (me + size - distance) % size, 1);
            if mutated("board_one_round") {
                return;
            }
            distance *= 2;
        }
    }
}

/// One puts and says so; the other sleeps until it is told.
///
/// Mutations: `board_unordered`, `board_told_relaxed`, `board_rings_first`.
#[test]
fn who_is_told_finds_the_pieces() {
    explore(|| {
        let team = team();
        let writer = start(&team, |team| team.tell((1, 0), || team.data[0].store(7, Relaxed), 1));
        team.until(0, 1, 1);
        assert_eq!(team.data[0].load(Relaxed), 7, "what was put before the word is not there");
        writer.join().unwrap();
    });
}

/// Two messages through a ring that has room for one.
///
/// Mutations: `board_taken_early`, `board_room_ignored`, `board_rings_first`.
#[test]
fn a_message_is_overwritten_when_it_was_taken() {
    explore_less(1, || {
        let team = team();
        let sender = start(&team, |team| {
            for number in 1..=2 {
                if !mutated("board_room_ignored") {
                    team.until(1, 0, number - 1);
                }
                team.tell((1, 0), || team.data[0].store(number, Relaxed), number);
            }
        });
        for number in 1..=2 {
            team.until(0, 1, number);
            if mutated("board_taken_early") {
                team.tell((0, 1), || {}, number);
            }
            assert_eq!(team.data[0].load(Relaxed), number, "another message is there");
            if !mutated("board_taken_early") {
                team.tell((0, 1), || {}, number);
            }
        }
        sender.join().unwrap();
    });
}

/// Three nodes, of which the first hears from the last through the other one.
///
/// Mutations: `board_told_relaxed`, `board_one_round`.
#[test]
fn who_leaves_a_barrier_has_what_all_have_put() {
    explore_less(2, || {
        let team = team();
        let come = |me: usize| {
            move |team: &Team| {
                team.data[me].store(7, Relaxed);
                team.meet(me, RANKS);
                let found = team.data.each_ref().map(|word| word.load(Relaxed));
                assert_eq!(found, [7; RANKS], "{me} does not find what was put");
            }
        };
        let others = [start(&team, come(1)), start(&team, come(2))];
        come(0)(&team);
        for other in others {
            other.join().unwrap();
        }
    });
}
