//! What tracing costs a call: `cargo bench -p rsm-benches --bench trace` prints the table: how long a call takes plain and traced, how
//! much more that is, for the event of a call (the two of a signal and its wait), and in which ratio. Nobody reads the rings meanwhile,
//! which go round. Each column is measured after the other, so the load is told at both ends.

use rsm::lens::{Lens, Trace};
use rsm::{AccessList, BarrierMode, Cluster, Permission, Result, SegmentId};
use std::time::Instant;

/// Calls that are measured together, and how often they are.
const CALLS: u32 = 200;
const ROUNDS: usize = 301;

/// Nanoseconds of a call: the median.
fn each(mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..CALLS {
            call()?;
        }
        times.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
    }
    times.sort_by(f64::total_cmp);
    Ok(times[ROUNDS / 2])
}

/// The rows of the table, in nanoseconds.
fn measured(trace: Option<Trace>, segment: usize) -> Result<Vec<(&'static str, f64)>> {
    let builder = Cluster::builder(2);
    let builder = if let Some(trace) = trace { builder.lens(Lens::clear(0).trace(trace)) } else { builder };
    let cluster = builder.start()?;
    let controller = |node| cluster.node(node)?.controller("shm0");
    let (exporter, importer) = (controller(1)?, controller(2)?);
    let export = exporter.export(segment)?;
    let id = export.publish(SegmentId::new(0x40_0000), &AccessList::everyone())?;
    let import = importer.connect(1, id, Permission::ReadWrite)?;
    import.set_mode(BarrierMode::Explicit);
    let (mut word, mut block) = (0, [7; 4096]);
    let mut rows = vec![
        ("a put of 8 bytes", {
            let span = import.open_barrier()?;
            let put = each(|| {
                word += 1;
                import.put_u64(64, word)
            })?;
            span.close()?;
            put
        }),
        ("a put of 64 bytes", each(|| import.put(64, &block[..64]))?),
        ("a put of 4096 bytes", each(|| import.put(0, &block))?),
        ("a get of 64 bytes", each(|| import.get(64, &mut block[..64]))?),
        ("a span", each(|| import.open_barrier()?.close())?),
    ];
    rows.push(("a signal, and a wait that takes it", {
        let mut stores = 0;
        each(|| {
            stores += 1;
            export.memory().write_volatile_u64(0, stores)?;
            export.signal()?;
            import.wait(None)
        })?
    }));
    Ok(rows)
}

fn main() -> Result<()> {
    const SMALL: usize = 4096;
    let load = || std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim().to_owned();
    println!("load {}\n", load());
    let plain = measured(None, SMALL)?;
    let traced = measured(Some(Trace { bytes: false }), SMALL)?;
    let bytes = measured(Some(Trace { bytes: true }), SMALL)?;
    println!("| ns | plain | traced | more | ratio | with bytes | more | ratio |");
    println!("|---|---|---|---|---|---|---|---|");
    for (((what, plain), (_, traced)), (_, bytes)) in plain.into_iter().zip(traced).zip(bytes) {
        let of = |time: f64| format!("{time:.1} | {:.1} | {:.2}", time - plain, time / plain);
        println!("| {what} | {plain:.1} | {} | {} |", of(traced), of(bytes));
    }
    println!("\n| the owner's segment | its signal after a store, and a wait that takes it, with bytes, us |");
    println!("|---|---|");
    for (name, length) in [
        ("4 KiB", SMALL),
        ("64 KiB", 64 << 10),
        ("256 KiB", 256 << 10),
        ("1 MiB", 1 << 20),
        ("2 MiB, not looked at", 2 << 20),
    ] {
        let rows = measured(Some(Trace { bytes: true }), length)?;
        println!("| {name} | {:.1} |", rows[rows.len() - 1].1 / 1000.0);
    }
    println!("\nload {}", load());
    Ok(())
}
