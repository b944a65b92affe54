//! The smallest cluster program: every node writes a greeting into the memory of its right neighbour.
//!
//! ```text
//! rsm-ctl run -n 3 --example hello          three nodes
//! cargo run --example hello                 one node, which greets itself
//! ```
//!
//! All nodes run this program. One exports a piece of memory and publishes it under a number; another connects to
//! that number on that node, and then writes there as it likes. A barrier tells the writer that everything has
//! arrived, a signal tells the owner.

use rsm::{AccessList, BarrierMode, Controller, Permission, SegmentId};
use std::error::Error;
use std::time::Duration;

/// Under which number every node publishes its segment. A segment is known by its node and its number.
const INBOX: SegmentId = SegmentId::new(0x40_0000);

/// Segments come in whole pages; this is a multiple of any page size Linux knows.
const LENGTH: usize = 64 << 10;

/// For the others to be started, and to write.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    // Outside of a cluster this makes a private one, of one node.
    let controller = Controller::open("shm0")?;
    let (node, nodes) = (controller.node().id(), controller.node().node_count());
    let right = node % nodes + 1;

    // The exporter's side: memory for others to write in, open to everyone.
    let inbox = controller.export(LENGTH)?;
    inbox.publish(INBOX, &AccessList::everyone())?;

    // The importer's side. The neighbour may not have come as far as its publish: this sleeps until it has.
    let import = controller.connect_within(right, INBOX, Permission::Write, PATIENCE)?;

    // What happens between the opening of a barrier and its successful close has arrived. `order` puts the greeting
    // in place before its length, for an owner that does not wait for the signal but watches the length.
    let greeting = format!("hello, node {right}, this is node {node}");
    import.set_mode(BarrierMode::Explicit);
    let span = import.open_barrier()?;
    import.put(8, greeting.as_bytes())?;
    span.order()?;
    import.put_u64(0, greeting.len() as u64)?;
    span.close()?;
    import.signal()?;

    // The left neighbour does the same to us. To its owner a segment is memory, but memory that others write in:
    // what it says about itself has to be checked before it is used, and it is read by copying.
    inbox.wait(Some(PATIENCE))?;
    let memory = inbox.memory();
    let length = memory.read_volatile_u64(0)?;
    let mut greeting = vec![0; length.min(LENGTH as u64 - 8) as usize];
    memory.read(8, &mut greeting)?;
    println!("node {node} was told: {}", String::from_utf8_lossy(&greeting));
    Ok(())
}
