//! `steady [SECONDS]`: every node writes to its right neighbour and signals it, until it is told to end or the time is
//! over, and says what it is told when something breaks, and how it goes on.
//!
//! ```text
//! rsm-ctl run -n 2 --name demo --example steady &
//! rsm-ctl link error 1 2 --cluster demo       spans under way fail: the node does them again
//! rsm-ctl link down 1 2 --cluster demo        connections are cut: it connects again when it can
//! rsm-ctl link up 1 2 --cluster demo
//! rsm-ctl segment revoke 1 0x400000 --cluster demo
//! ```
//!
//! The two answers a program has to know: after BARRIER_FAILURE do the span again, after CONN_ABORTED connect again.

use rsm::{AccessList, Code, Controller, Export, Import, Permission, SegmentId};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Under which number every node publishes its segment.
const INBOX: SegmentId = SegmentId::new(0x40_0000);
/// Segments come in whole pages; this is a multiple of any page size Linux knows.
const LENGTH: usize = 64 << 10;
/// How long a span stays open.
const STEP: Duration = Duration::from_millis(2);
/// How long to wait for the neighbour before saying that it is not there.
const PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let time = match &arguments[..] {
        [] => Some(Duration::MAX),
        [seconds] => seconds.parse().ok().map(Duration::from_secs),
        _ => None,
    };
    let Some(time) = time else {
        eprintln!("usage: steady [SECONDS]");
        return ExitCode::from(2);
    };
    // None is never: it is further away than the clock goes.
    match write_on(Instant::now().checked_add(time)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("steady: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write_on(until: Option<Instant>) -> rsm::Result<()> {
    let controller = Controller::open("shm0")?;
    let (node, nodes) = (controller.node().id(), controller.node().node_count());
    let right = node % nodes + 1;
    let inbox = controller.export(LENGTH)?;
    while !is_over(until) {
        publish(&inbox, node)?;
        match controller.connect_within(right, INBOX, Permission::Write, PATIENCE) {
            Ok(import) => {
                println!("node {node}: connected to node {right}");
                let (spans, why) = write(&import, &inbox, node, until)?;
                println!("node {node}: {why} after {spans} spans");
            }
            Err(error) if error.code() == Code::Timeout => println!("node {node}: {}", error.detail()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// A segment can be taken from its exporter, who is not told; publishing what is published is refused.
fn publish(inbox: &Export, node: u32) -> rsm::Result<()> {
    match inbox.publish(INBOX, &AccessList::everyone()) {
        Ok(id) => println!("node {node}: publishes {id}"),
        Err(error) if error.code() == Code::SegAlreadyPublished => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Writes until the connection is cut or the time is over; how many spans have arrived, and why it ends.
fn write(import: &Import, inbox: &Export, node: u32, until: Option<Instant>) -> rsm::Result<(u64, &'static str)> {
    let mut spans = 0;
    while !is_over(until) {
        publish(inbox, node)?;
        let span = import.open_barrier()?;
        let put = import.put_u64(0, spans);
        std::thread::sleep(STEP);
        match put.and_then(|()| span.close()).and_then(|()| import.signal()) {
            Ok(()) => spans += 1,
            Err(error) if error.code() == Code::BarrierFailure => {
                println!("node {node}: BARRIER_FAILURE, doing span {spans} again");
            }
            Err(error) if error.code() == Code::ConnAborted => return Ok((spans, "CONN_ABORTED")),
            Err(error) => return Err(error),
        }
    }
    Ok((spans, "the end"))
}
