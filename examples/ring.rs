//! `ring [HOPS]`: a token goes round the nodes; node 1 prints how many hops it makes in a second.
//!
//! ```text
//! rsm-ctl run -n 16 --example ring -- 100000
//! cargo run --release --example ring          one node, which hands the token to itself
//! ```
//!
//! A hop is what most cluster programs are made of: a put, and a signal that wakes whoever waits for it. The token
//! is the number of hops it has made, so that one that was lost, doubled or overtaken does not go unnoticed. It
//! always comes home to node 1: HOPS is rounded up to whole rounds.

use rsm::{AccessList, Code, Controller, Export, Import, Permission, SegmentId};
use std::error::Error;
use std::process::ExitCode;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where every node takes the token.
const SEAT: SegmentId = SegmentId::new(0x40_0000);

/// Segments come in whole pages; this is a multiple of any page size Linux knows.
const LENGTH: usize = 64 << 10;

/// For the others to be started, and for a round.
const PATIENCE: Duration = Duration::from_secs(60);

const HOPS: u64 = 20_000;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let hops = match &arguments[..] {
        [] => Some(HOPS),
        [hops] => hops.to_str().and_then(|hops| hops.parse().ok()),
        _ => None,
    };
    let Some(hops) = hops else {
        eprintln!("usage: ring [HOPS]");
        return ExitCode::from(2);
    };
    match ring(hops) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ring: {error}");
            ExitCode::FAILURE
        }
    }
}

fn ring(hops: u64) -> Result<()> {
    let controller = Controller::open("shm0")?;
    let (node, nodes) = (u64::from(controller.node().id()), u64::from(controller.node().node_count()));
    let seat = controller.export(LENGTH)?;
    seat.publish(SEAT, &AccessList::everyone())?;
    let right = (node % nodes + 1) as u32;
    let next = controller.connect_within(right, SEAT, Permission::Write, PATIENCE)?;

    // The first round only finds out that everybody is there. Node 1 starts it, and receives the last hop of every
    // round.
    let rounds = hops.div_ceil(nodes);
    let mut started = Instant::now();
    for round in 0..=rounds {
        if round == 1 {
            started = Instant::now();
        }
        if node == 1 {
            pass(&next, round * nodes + 1)?;
            take(&seat, round * nodes + nodes)?;
        } else {
            take(&seat, round * nodes + node - 1)?;
            pass(&next, round * nodes + node)?;
        }
    }
    if node == 1 {
        let (hops, seconds) = (rounds * nodes, started.elapsed().as_secs_f64());
        let plural = if nodes == 1 { "" } else { "s" };
        println!("{hops} hops, {nodes} node{plural}, {seconds:.3} s, {:.0} hops/s", hops as f64 / seconds.max(1e-9));
    }
    Ok(())
}

/// Hands the token on. The import is in implicit mode, as imports begin: each put is a barrier of its own, and has
/// arrived when it returns.
fn pass(next: &Import, token: u64) -> Result<()> {
    next.put_u64(0, token)?;
    Ok(next.signal()?)
}

/// Waits for the token, asleep, and checks that it is the right one.
fn take(seat: &Export, expected: u64) -> Result<()> {
    loop {
        match seat.wait(Some(PATIENCE)) {
            // A UNIX signal handler ran in this thread.
            Err(error) if error.code() == Code::Interrupted => {}
            Err(error) => return Err(format!("the token was to come as number {expected}: {error}").into()),
            Ok(()) => break,
        }
    }
    match seat.memory().read_volatile_u64(0)? {
        token if token == expected => Ok(()),
        token => Err(format!("the token came as number {token} and not {expected}").into()),
    }
}
