//! What a cluster with a lens costs beside the delays that it draws: `cargo bench --bench lens` prints the table.
//!
//! Delays are off as at the end of a program, so what remains is the log, the looks at mappings, and the verdict.

use rsm::lens::Lens;
use rsm::{AccessList, BarrierMode, Cluster, Permission, Result, SegmentId};
use std::time::Instant;

const ROUNDS: usize = 201;

fn main() -> Result<()> {
    println!("| window | a close with one dirty page, us | a put of 8 bytes and its close, us |");
    println!("|---|---|---|");
    for (name, bytes) in [("64 KiB", 64 << 10), ("1 MiB", 1 << 20), ("64 MiB", 64 << 20)] {
        let cluster = Cluster::builder(2).lens(Lens::chaos(1)).start()?;
        let controller = |node| cluster.node(node)?.controller("shm0");
        let (exporter, importer) = (controller(1)?, controller(2)?);
        let export = exporter.export(bytes)?;
        let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone())?;
        let connect = || importer.connect(1, id, Permission::ReadWrite);
        let import = connect()?;
        import.set_mode(BarrierMode::Explicit);
        let close = |store: &dyn Fn(u64) -> Result<()>| -> Result<f64> {
            let mut times = Vec::with_capacity(ROUNDS);
            for round in 0..ROUNDS as u64 {
                let span = import.open_barrier()?;
                store(round)?;
                let began = Instant::now();
                span.close()?;
                times.push(began.elapsed().as_secs_f64() * 1e6);
            }
            times.sort_by(f64::total_cmp);
            Ok(times[ROUNDS / 2])
        };
        // Nothing is delayed once something was given back.
        connect()?.disconnect()?;
        let put = close(&|round| import.put_u64(round % 512 * 8, round))?;
        let mapping = import.map(0, bytes, Permission::ReadWrite)?;
        let page = |round: u64| round * 4096 * 7 % bytes as u64;
        let dirty = close(&|round| mapping.memory().write_volatile_u64(page(round), round + 1))?;
        println!("| {name} | {dirty:.1} | {put:.1} |");
    }
    Ok(())
}
