//! The end of the cluster and who sleeps at that moment.

use super::explore;
use super::futex::{Ends, Futex, Watch};
use crate::bell::Wake;
use crate::sleepers::Sleepers;
use crate::sync::AtomicU32;
use loom::thread;
use std::sync::Arc;

/// Mutations: `sleepers_look_first`, `sleepers_woken_once`.
#[test]
fn the_end_reaches_every_sleeper() {
    explore(|| {
        let r = Arc::new((Sleepers::<u8>::new(), Futex::new(), AtomicU32::new(0)));
        let sleeper = {
            let r = Arc::clone(&r);
            thread::spawn(move || r.0.sleep(1, || r.1.sleep_on(&[Watch::Whole(&r.2, 0)], Ends::Never)))
        };
        r.0.end(|_| r.1.wake_word(&r.2), thread::yield_now);
        assert_eq!(sleeper.join().unwrap(), Wake::Gone);
    });
}
