//! Exchanges of a few words.

use super::explore;
use crate::exchange::{Told, side};
use crate::sync::spin_loop;
use loom::thread;
use std::sync::Arc;

/// What each of two has been told by the other one, in two turns.
type Slots = [[Told; 2]; 2];

/// Three turns of one of two; each finds what the other one told in that turn.
fn exchange(slots: &Slots, me: usize) {
    let other = 1 - me;
    for turn in 1..=3 {
        slots[other][side(turn)].tell(turn, &[10 * turn + me as u64]);
        let told = &slots[me][side(turn)];
        while !told.is_told(turn) {
            spin_loop();
        }
        let mut words = [0];
        told.words(&mut words);
        assert_eq!(words, [10 * turn + other as u64], "those of another turn");
    }
}

/// Mutations: `exchange_one_side`, `exchange_unreleased`, `exchange_relaxed`.
#[test]
fn what_is_told_in_a_turn_is_found_in_it() {
    explore(|| {
        let slots: Arc<Slots> = Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| Told::nothing())));
        let others = Arc::clone(&slots);
        let other = thread::spawn(move || exchange(&others, 1));
        exchange(&slots, 0);
        other.join().unwrap();
    });
}
