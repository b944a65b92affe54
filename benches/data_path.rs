//! What the data path and the control path cost in one process, beside the raw operation they are made of.
//!
//! `cargo bench` runs it. Absolute numbers move with the machine; compare within one run.

#![allow(missing_docs)] // of what criterion_group makes
#![allow(unsafe_code)] // the raw counterpart of a put

use criterion::{Criterion, criterion_group, criterion_main};
use rsm::{AccessList, BarrierMode, Cluster, Controller, Export, Import, Permission, SegmentId};
use rsm_shm::memory::page_size;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

const SIZE: usize = 1 << 20;

/// Two nodes in this process, an export of the first and an import of the second.
fn pair() -> (Cluster, Controller, Controller, Export, Import) {
    let cluster = Cluster::new(2).expect("a cluster");
    let one = cluster.node(1).and_then(|n| n.controller("shm0")).expect("shm0");
    let two = cluster.node(2).and_then(|n| n.controller("shm0")).expect("shm0");
    let export = one.export(SIZE).expect("an export");
    let id = export.publish(SegmentId::any(), &AccessList::everyone()).expect("published");
    let import = two.connect(1, id, Permission::ReadWrite).expect("connected");
    import.put(0, &vec![0; SIZE]).expect("every page is present");
    (cluster, one, two, export, import)
}

fn words(c: &mut Criterion) {
    let (_cluster, _one, _two, _export, import) = pair();
    let map = import.map(0, SIZE, Permission::ReadWrite).expect("mapped");
    let raw = AtomicU64::new(0);
    let mapped = map.memory().atomic_u64(0).expect("aligned");
    let mut group = c.benchmark_group("word");
    group.bench_function("raw store", |b| b.iter(|| raw.store(black_box(1), Ordering::Relaxed)));
    group.bench_function("mapped store", |b| b.iter(|| mapped.store(black_box(1), Ordering::Relaxed)));
    group.bench_function("raw exchange", |b| b.iter(|| raw.swap(black_box(1), Ordering::SeqCst)));
    for mode in [BarrierMode::Explicit, BarrierMode::Implicit] {
        import.set_mode(mode);
        group.bench_function(format!("put_u64 {mode:?}"), |b| b.iter(|| import.put_u64(black_box(8), black_box(1))));
        group.bench_function(format!("get_u64 {mode:?}"), |b| b.iter(|| import.get_u64(black_box(8))));
    }
    import.set_mode(BarrierMode::Explicit);
    group.bench_function("span of one put", |b| {
        b.iter(|| {
            let span = import.open_barrier()?;
            import.put_u64(black_box(8), black_box(1))?;
            span.close()
        });
    });
    group.bench_function("post, nobody asleep", |b| b.iter(|| import.signal_no_accumulate()));
    group.finish();
}

fn copies(c: &mut Criterion) {
    let (_cluster, _one, _two, _export, import) = pair();
    import.set_mode(BarrierMode::Explicit);
    let mut group = c.benchmark_group("copy");
    for size in [64, 1 << 10, 4 << 10, 64 << 10, SIZE] {
        let source = vec![1u8; size];
        let mut target = vec![0u8; size];
        group.throughput(criterion::Throughput::Bytes(size as u64));
        group.bench_function(format!("raw {size}"), |b| b.iter(|| target.copy_from_slice(black_box(&source))));
        group.bench_function(format!("put {size}"), |b| b.iter(|| import.put(0, black_box(&source))));
        group.bench_function(format!("get {size}"), |b| b.iter(|| import.get(0, black_box(&mut target))));
    }
    group.finish();
}

/// A put whose reader reads all of it and acknowledges, beside the same with libc's copy. The reader is a thread here.
fn read_by_peer(c: &mut Criterion) {
    let (_cluster, _one, _two, export, import) = pair();
    import.set_mode(BarrierMode::Explicit);
    let map = import.map(0, SIZE, Permission::ReadWrite).expect("mapped");
    let (turn, done) = (AtomicU64::new(0), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut into = vec![0u8; SIZE];
            let mut seen = 0;
            loop {
                let now = turn.load(Ordering::Acquire);
                if now == u64::MAX {
                    return;
                }
                if now != seen {
                    seen = now;
                    export.memory().read(0, &mut into[..(now & 0xff_ffff) as usize]).expect("inside");
                    done.store(now, Ordering::Release);
                }
                std::hint::spin_loop();
            }
        });
        let mut group = c.benchmark_group("read by a peer");
        let mut round = 0u64;
        for size in [4 << 10, 64 << 10, 256 << 10, SIZE] {
            let source = vec![1u8; size];
            group.throughput(criterion::Throughput::Bytes(size as u64));
            let mut exchange = |copy: &dyn Fn()| {
                copy();
                round += 1;
                let word = round << 24 | size as u64;
                turn.store(word, Ordering::Release);
                while done.load(Ordering::Acquire) != word {
                    std::hint::spin_loop();
                }
            };
            // SAFETY: inside the mapping, which the source, a Rust vector, is no part of.
            let raw = || unsafe { map.as_ptr().copy_from_nonoverlapping(black_box(&source).as_ptr(), size) };
            group.bench_function(format!("libc {size}"), |b| b.iter(|| exchange(&raw)));
            let put = || import.put(0, black_box(&source)).expect("inside");
            group.bench_function(format!("put {size}"), |b| b.iter(|| exchange(&put)));
        }
        group.finish();
        turn.store(u64::MAX, Ordering::Release);
    });
}

/// A target that lies a little off its source modulo 4096, where `rep movsb` is slow.
fn misaligned(c: &mut Criterion) {
    let (_cluster, _one, _two, _export, import) = pair();
    import.set_mode(BarrierMode::Explicit);
    let mut group = c.benchmark_group("misaligned");
    let memory = vec![1u8; SIZE + 8192];
    let start = memory.as_ptr().align_offset(4096);
    for size in [4 << 10, 64 << 10] {
        group.throughput(criterion::Throughput::Bytes(size as u64));
        for past in [0, 1, 8, 33, 63] {
            let source = &memory[start..start + size];
            group.bench_function(format!("put {size} +{past}"), |b| b.iter(|| import.put(past, black_box(source))));
        }
    }
    group.finish();
}

/// Transfers that jump about in 64 MiB of ordinary and of huge pages.
fn pages(c: &mut Criterion) {
    const LARGE: usize = 64 << 20;
    let mut group = c.benchmark_group("pages");
    for huge in [false, true] {
        let cluster = Cluster::new(2).expect("a cluster");
        let one = cluster.node(1).and_then(|n| n.controller("shm0")).expect("shm0");
        let two = cluster.node(2).and_then(|n| n.controller("shm0")).expect("shm0");
        let make = || if huge { one.export_huge(LARGE) } else { one.export(LARGE) };
        let export = match make() {
            Ok(export) => export,
            Err(error) if huge => return println!("no huge pages: {error}"),
            Err(error) => panic!("{error}"),
        };
        let kind = if huge { "huge" } else { "ordinary" };
        group.bench_function(format!("create {kind}"), |b| b.iter(|| make()?.destroy()));
        let id = export.publish(SegmentId::any(), &AccessList::everyone()).expect("published");
        let import = two.connect(1, id, Permission::ReadWrite).expect("connected");
        let _map = import.map(0, LARGE, Permission::ReadWrite).expect("every page is present");
        import.set_mode(BarrierMode::Explicit);
        let mut at = 1u64;
        let mut somewhere = || {
            at = at.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (at >> 30) % (LARGE as u64 / 8) * 8
        };
        group.bench_function(format!("put_u64 {kind}"), |b| b.iter(|| import.put_u64(somewhere(), 1)));
        group.bench_function(format!("get_u64 {kind}"), |b| b.iter(|| import.get_u64(somewhere())));
        let source = vec![1u8; LARGE];
        group.bench_function(format!("put 64 MiB {kind}"), |b| b.iter(|| import.put(0, black_box(&source))));
    }
    group.finish();
}

fn control(c: &mut Criterion) {
    let (_cluster, one, two, export, _import) = pair();
    let everyone = AccessList::everyone();
    let mut group = c.benchmark_group("control");
    group.bench_function("export and destroy a page", |b| b.iter(|| one.export(page_size())?.destroy()));
    group.bench_function("republish", |b| b.iter(|| export.republish(&everyone)));
    let other = one.export(page_size()).expect("an export");
    group.bench_function("publish and unpublish", |b| {
        b.iter(|| other.publish(SegmentId::any(), &everyone).and_then(|_| other.unpublish()));
    });
    group.bench_function("unpublish from one willing importer", |b| {
        b.iter(|| {
            let id = other.publish(SegmentId::any(), &everyone)?;
            let import = two.connect(1, id, Permission::ReadWrite)?;
            other.unpublish()?;
            import.disconnect()
        });
    });
    let id = other.publish(SegmentId::any(), &everyone).expect("published");
    group.bench_function("connect, first store, disconnect", |b| {
        b.iter(|| {
            let import = two.connect(1, id, Permission::ReadWrite)?;
            import.put_u64(0, 1)?;
            import.disconnect()
        });
    });
    group.finish();
}

criterion_group!(benches, words, copies, misaligned, read_by_peer, pages, control);
criterion_main!(benches);
