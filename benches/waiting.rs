//! How late who waits goes on after it was answered: `cargo bench -p rsm-benches --bench waiting` prints the table.
//!
//! A thread asks, another one answers after a while. Waits are those of rsm, and those of crossbeam's `Backoff`, behind which the thread
//! parks when that says that it is time. Medians and means of what is beyond the while; what else the machine does is said.

use crossbeam_utils::Backoff;
use rsm::{AccessList, Cluster, Permission, SegmentId};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::thread::Thread;
use std::time::{Duration, Instant};

const ROUNDS: usize = 2001;

/// Does nothing for so long, without giving the processor away.
fn work(time: Duration) {
    let began = Instant::now();
    while began.elapsed() < time {
        std::hint::spin_loop();
    }
}

/// Asks in turns; gives the median and the mean of what rounds take beyond the work, in microseconds.
fn rounds(time: Duration, mut ask: impl FnMut(), mut wait: impl FnMut()) -> (f64, f64) {
    let mut late: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let began = Instant::now();
            ask();
            wait();
            began.elapsed().saturating_sub(time).as_secs_f64() * 1e6
        })
        .collect();
    let mean = late.iter().sum::<f64>() / ROUNDS as f64;
    late.sort_by(f64::total_cmp);
    (late[ROUNDS / 2], mean)
}

/// Two threads, one of which signals to the other.
fn by_rsm(time: Duration) -> rsm::Result<(f64, f64)> {
    let cluster = Cluster::new(2)?;
    let controllers = [cluster.node(1)?.controller("shm0")?, cluster.node(2)?.controller("shm0")?];
    let exports = [controllers[0].export(65536)?, controllers[1].export(65536)?];
    let id = SegmentId::new(0x40_0000);
    for export in &exports {
        export.publish(id, &AccessList::everyone())?;
    }
    let to_second = controllers[0].connect(2, id, Permission::ReadWrite)?;
    let to_first = controllers[1].connect(1, id, Permission::ReadWrite)?;
    let [first, second] = &exports;
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..ROUNDS {
                second.wait(None).expect("asked");
                work(time);
                to_first.signal().expect("told");
            }
        });
        Ok(rounds(time, || to_second.signal().expect("told"), || first.wait(None).expect("answered")))
    })
}

/// A word that counts, and who parks behind it.
fn until(word: &AtomicU64, value: u64) {
    let backoff = Backoff::new();
    // Acquire: pairs with the Release of `tell`.
    while word.load(Acquire) < value {
        if backoff.is_completed() { std::thread::park() } else { backoff.snooze() }
    }
}

fn tell(word: &AtomicU64, value: u64, to: &Thread) {
    word.store(value, Release);
    to.unpark();
}

fn by_backoff(time: Duration) -> (f64, f64) {
    let (asked, answered) = (AtomicU64::new(0), AtomicU64::new(0));
    let me = std::thread::current();
    std::thread::scope(|scope| {
        let (asked, answered) = (&asked, &answered);
        let other = scope.spawn(move || {
            for round in 1..=ROUNDS as u64 {
                until(asked, round);
                work(time);
                tell(answered, round, &me);
            }
        });
        let (mut question, mut answer) = (0, 0);
        let ask = || {
            question += 1;
            tell(asked, question, other.thread());
        };
        let wait = || {
            answer += 1;
            until(answered, answer);
        };
        rounds(time, ask, wait)
    })
}

fn main() -> rsm::Result<()> {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("load {}", load.split(' ').next().unwrap_or("unknown"));
    println!("| answered after, us | rsm: median, mean, us late | `Backoff`: median, mean, us late |");
    println!("|---|---|---|");
    for micros in [1, 5, 50, 500] {
        let time = Duration::from_micros(micros);
        let (rsm, backoff) = (by_rsm(time)?, by_backoff(time));
        println!("| {micros} | {:.2}, {:.2} | {:.2}, {:.2} |", rsm.0, rsm.1, backoff.0, backoff.1);
    }
    Ok(())
}
