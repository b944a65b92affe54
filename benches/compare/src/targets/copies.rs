//! T15, T16, T19: what of copies does not need a partner.

use super::{Target, said};
use rsm::{AccessList, BarrierMode, Cluster, Import, Permission, SegmentId};
use rsm_perf::measure::middle;
use rsm_perf::raw::copies::{copy, copy_past_caches};
use rsm_perf::region::{self, Buffer, HEAD, Region};
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
    let memory = region::create(LARGE as u64 / 2).map_err(said)?;
    let raw = Region::map(&memory, HEAD + LARGE, true).map_err(said)?;

    // No first touches in what follows: they have a target of their own.
    let zeros = vec![0; LARGE];
    import.put(0, &zeros).map_err(said)?;
    drop(zeros);

    let mut targets = Vec::new();
    for size in [M, 64 * M] {
        let what = format!("put of {} to memory that is in no cache", rsm_perf::report::bytes(size));
        let measured = Some(cold(&import, &raw, size)?);
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

/// Put beside the better of both raw copies, each to places that come round when the caches have forgotten them.
fn cold(import: &Import, raw: &Region, size: usize) -> Result<f64, String> {
    let source = Buffer::new(size);
    let places = LARGE / size;
    let mut rounds = Vec::new();
    for round in 0..(2 * places).clamp(12, 96) {
        let offset = round % places * size;
        // Of three thirds of the places each does one, so that none writes what another has just written.
        let at = |third: usize| (offset + third * (places / 3).max(1) * size) % (places * size);
        let put = clocked(|| import.put(offset as u64, black_box(source.bytes())).map_err(said))?;
        let to = |third| raw.data(at(third), size);
        // SAFETY: inside the region, for as many bytes; nobody else uses it.
        let ordinary = clocked(|| {
            unsafe { copy(to(1), source.bytes()) };
            Ok(())
        })?;
        // SAFETY: as above, and aligned to pages.
        let past = clocked(|| {
            unsafe { copy_past_caches(to(2), source.bytes()) };
            Ok(())
        })?;
        rounds.push((put, [ordinary, past]));
    }
    // Which copy is the better one is asked of the round before, as in `rsm_perf::measure`: not of the one it is used in.
    let better = |copies: [f64; 2]| usize::from(copies[1] < copies[0]);
    Ok(middle(rounds.windows(2).map(|two| two[1].0 / two[1].1[better(two[0].1)]).collect()))
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
