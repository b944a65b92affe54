//! T15, T16, T19: what of copies does not need a partner.

use super::{Target, said};
use rsm::{AccessList, BarrierMode, Cluster, Import, Permission, SegmentId};
use rsm_perf::measure::middle;
use rsm_perf::raw::copies::{copy, copy_past_caches};
use rsm_perf::region::Buffer;
use std::hint::black_box;
use std::time::Instant;

const M: usize = 1 << 20;
/// More than the caches hold.
const LARGE: usize = 256 * M;

pub fn targets() -> Result<Vec<Target>, String> {
    let cluster = Cluster::new(2).map_err(said)?;
    let controller = |node| cluster.node(node).and_then(|node| node.controller("shm0")).map_err(said);
    let (exporter, importer) = (controller(1)?, controller(2)?);
    let export = exporter.export(LARGE).map_err(said)?;
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).map_err(said)?;
    let import = importer.connect(1, id, Permission::ReadWrite).map_err(said)?;
    import.set_mode(BarrierMode::Explicit);

    // No first touches in what follows: they have a target of their own.
    let zeros = vec![0; LARGE];
    import.put(0, &zeros).map_err(said)?;
    drop(zeros);

    let mut targets = Vec::new();
    for size in [M, 64 * M] {
        let what = format!("put of {} to memory that is in no cache", rsm_perf::report::bytes(size));
        let measured = Some(cold(&import, size)?);
        targets.push(Target { name: "T15", what, measured, most: 1.0 / 0.95, unit: "x raw" });
    }
    for size in [4 << 10, 16 << 10, 64 << 10] {
        let what = format!("put of {} to +1..+63, the slowest", rsm_perf::report::bytes(size));
        let measured = Some(misaligned(&import, size)?);
        targets.push(Target { name: "T16", what, measured, most: 2.0, unit: "x aligned" });
    }
    // A page that is not there costs microseconds; one that is, next to nothing.
    let fresh = exporter.export(4 * M).map_err(said)?;
    let pages = 4 * M as u64 / 4096;
    let touch = |store: &dyn Fn(u64) -> rsm::Result<()>| -> Result<f64, String> {
        let began = Instant::now();
        (0..pages).try_for_each(|page| store(page * 4096)).map_err(said)?;
        Ok(began.elapsed().as_nanos() as f64 / pages as f64)
    };
    let measured = Some(touch(&|at| fresh.memory().write_volatile_u64(at, 1))?);
    targets.push(Target {
        name: "T19",
        what: "first store to a page of an export".into(),
        measured,
        most: 100.0,
        unit: "ns",
    });
    let id = fresh.publish(SegmentId::any(), &AccessList::everyone()).map_err(said)?;
    let import = importer.connect(1, id, Permission::ReadWrite).map_err(said)?;
    let mapping = import.map(0, import.len(), Permission::ReadWrite).map_err(said)?;
    let measured = Some(touch(&|at| mapping.memory().write_volatile_u64(at, 1))?);
    let what = "first store to a page of a mapped import".into();
    targets.push(Target { name: "T19", what, measured, most: 100.0, unit: "ns" });
    Ok(targets)
}

fn clocked(mut act: impl FnMut() -> Result<(), String>) -> Result<f64, String> {
    let began = Instant::now();
    act()?;
    Ok(began.elapsed().as_nanos() as f64)
}

/// Put beside the better of both raw copies, each to places that come round when the caches have forgotten them. All three go
/// to each place: which pages a place was given says more about how long a copy takes than how it is made.
fn cold(import: &Import, size: usize) -> Result<f64, String> {
    let source = Buffer::new(size);
    let mapping = import.map(0, import.len(), Permission::ReadWrite).map_err(said)?;
    let places = LARGE / size;
    let mut rounds = Vec::new();
    for round in 0..(2 * places).clamp(48, 96) {
        // Of three thirds of the places each does one, so that none writes what another has just written.
        let at = |copy: usize| (round + copy) % 3 * (places / 3).max(1) * size;
        let place = |copy| (round / 3 % places * size + at(copy)) % (places * size);
        let put = clocked(|| import.put(place(0) as u64, black_box(source.bytes())).map_err(said))?;
        // SAFETY: inside the mapping, for as many bytes; nobody else uses it.
        let to = |copy| unsafe { mapping.memory().as_ptr().add(place(copy)) };
        // SAFETY: as above.
        let ordinary = clocked(|| {
            unsafe { copy(to(1), source.bytes()) };
            Ok(())
        })?;
        // SAFETY: as above, and aligned to pages.
        let past = clocked(|| {
            unsafe { copy_past_caches(to(2), source.bytes()) };
            Ok(())
        })?;
        rounds.push([put, ordinary, past]);
    }
    // Three rounds that follow each other, in which each has been everywhere.
    let sums: Vec<[f64; 3]> =
        rounds.chunks_exact(3).map(|three| [0, 1, 2].map(|copy| three.iter().map(|round| round[copy]).sum())).collect();
    // Which copy is the better one is asked of those before, as in `rsm_perf::measure`: not of those it is used in.
    let better = |[_, ordinary, past]: [f64; 3]| if past < ordinary { 2 } else { 1 };
    Ok(middle(sums.windows(2).map(|two| two[1][0] / two[1][better(two[0])]).collect()))
}

fn misaligned(import: &Import, size: usize) -> Result<f64, String> {
    let source = Buffer::new(size);
    let batch = (256 << 10) / size;
    let run = |offset: u64| {
        let mut times = Vec::new();
        for _ in 0..60 {
            times.push(clocked(|| {
                (0..batch).try_for_each(|_| import.put(offset, black_box(source.bytes()))).map_err(said)
            })?);
        }
        Ok::<f64, String>(middle(times))
    };
    let mut slowest = 0.0_f64;
    for offset in [1, 2, 4, 8, 16, 24, 31, 32, 33, 48, 56, 63] {
        slowest = slowest.max(run(offset)? / run(0)?);
    }
    Ok(slowest)
}
