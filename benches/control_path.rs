//! What the control path costs, and how it grows: with importers, with segments, with nodes.
//!
//! `cargo bench --bench control_path` prints the table. Everything lives in this process, the agent on a thread of its
//! own; what a kernel takes for the same work without rsm is measured in the same run, and ratios are to that.
#![allow(unsafe_code)] // mappings, for the raw counterpart

use rsm::{AccessList, Cluster, Controller, Export, Import, Permission, Result, SegmentId};
use rsm_shm::memory::page_size;
use rustix::fs::MemfdFlags;
use rustix::mm::{Advice, MapFlags, ProtFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

const SIZE: usize = 1 << 20;
const NODES: u32 = 63;

/// The median of `rounds` times of something, in microseconds.
fn median<T>(rounds: usize, mut work: impl FnMut() -> Result<T>) -> Result<f64> {
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let began = Instant::now();
        let made = work()?;
        times.push(began.elapsed().as_secs_f64() * 1e6);
        drop(made);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[rounds / 2])
}

fn line(what: &str, microseconds: f64, raw: Option<f64>) {
    let ratio = raw.map_or(String::new(), |raw| format!("{raw:.1} | {:.2}", microseconds / raw));
    let ratio = if ratio.is_empty() { "- | -".to_owned() } else { ratio };
    println!("| {what} | {microseconds:.1} | {ratio} |");
}

fn main() -> Result<()> {
    println!("load {}", std::fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
    println!("| operation | us | raw us | ratio |\n|---|---|---|---|");
    let raw = Raw::measure();
    pages();
    basics(&raw)?;
    importers()?;
    segments()?;
    nodes()
}

/// The same work without rsm.
struct Raw {
    /// A byte to another thread and back over a Unix socket.
    round_trip: f64,
    /// A memory object of a MiB, made, mapped and populated.
    memory: f64,
    /// A request answered with a descriptor of a MiB, mapped, and the first store.
    passed: f64,
}

impl Raw {
    fn measure() -> Raw {
        let pair = || {
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .expect("a pair of sockets")
        };
        let (here, there) = pair();
        let object = object();
        let server = std::thread::spawn(move || {
            let mut byte = [0u8; 1];
            while rustix::io::read(&there, &mut byte) == Ok(1) {
                let object = object.as_fd();
                let with: &[_] = if byte[0] == 1 { &[object] } else { &[] };
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !with.is_empty() {
                    control.push(SendAncillaryMessage::ScmRights(with));
                }
                rustix::net::sendmsg(&there, &[IoSlice::new(&byte)], &mut control, SendFlags::empty()).expect("sent");
            }
        });
        let ask = |what: u8| -> Option<OwnedFd> {
            rustix::io::write(&here, &[what]).expect("sent");
            let mut byte = [0u8; 1];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC;
            rustix::net::recvmsg(&here, &mut [IoSliceMut::new(&mut byte)], &mut control, flags).expect("answered");
            control.drain().find_map(|part| match part {
                RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
                _ => None,
            })
        };
        let measured = |work: &mut dyn FnMut()| {
            median(400, || {
                work();
                Ok(())
            })
            .expect("nothing fails")
        };
        let round_trip = measured(&mut || drop(ask(0)));
        let memory = measured(&mut || map(&self::object(), true));
        let passed = measured(&mut || map(&ask(1).expect("a descriptor"), false));
        drop(here);
        server.join().expect("the server ends with its socket");
        Raw { round_trip, memory, passed }
    }
}

fn object() -> OwnedFd {
    let object = rustix::fs::memfd_create("raw", MemfdFlags::CLOEXEC).expect("a memory object");
    rustix::fs::ftruncate(&object, SIZE as u64).expect("sized");
    object
}

/// Maps a memory object, stores to it, unmaps it.
fn map(object: &OwnedFd, populate: bool) {
    // SAFETY: fresh addresses, stored to inside the mapping, unmapped whole.
    unsafe {
        let rw = ProtFlags::READ | ProtFlags::WRITE;
        let start = rustix::mm::mmap(std::ptr::null_mut(), SIZE, rw, MapFlags::SHARED, object, 0).expect("mapped");
        if populate {
            rustix::mm::madvise(start, SIZE, Advice::LinuxPopulateWrite).expect("populated");
        }
        start.cast::<u64>().write_volatile(1);
        rustix::mm::munmap(start, SIZE).expect("unmapped");
    }
}

/// What the pages of a mapping cost that somebody else has filled, by how they become present.
fn pages() {
    let object = object();
    map(&object, true);
    let each = |start: *mut u8, act: fn(*mut u64)| {
        for at in (0..SIZE).step_by(page_size()) {
            act(start.wrapping_add(at).cast());
        }
    };
    fn load(word: *mut u64) {
        // SAFETY: called below, with words of a mapping.
        let _ = unsafe { word.read_volatile() };
    }
    fn store(word: *mut u64) {
        // SAFETY: as above.
        unsafe { word.write_volatile(1) };
    }
    let advise = |start: *mut u8, advice| {
        // SAFETY: making pages present changes nothing that they hold.
        unsafe { rustix::mm::madvise(start.cast(), SIZE, advice) }.expect("populated");
    };
    let ways: [(&str, &dyn Fn(*mut u8)); 6] = [
        ("none", &|_| {}),
        ("the first, by a store", &|start| store(start.cast())),
        ("all, at once, for loads and stores (MADV_POPULATE_READ)", &|start| advise(start, Advice::LinuxPopulateRead)),
        ("all, at once, each looked up for a store (MADV_POPULATE_WRITE)", &|start| {
            advise(start, Advice::LinuxPopulateWrite);
        }),
        ("all, at the first load of each", &|start| each(start, load)),
        ("all, at the first store to each", &|start| each(start, store)),
    ];
    for (what, way) in ways {
        let mut times = Vec::new();
        for _ in 0..200 {
            let began = Instant::now();
            let rw = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: fresh addresses.
            let start = unsafe { rustix::mm::mmap(std::ptr::null_mut(), SIZE, rw, MapFlags::SHARED, &object, 0) };
            let start = start.expect("mapped");
            way(start.cast());
            times.push(began.elapsed().as_secs_f64() * 1e6);
            // SAFETY: mapped above, and used by nobody any more.
            unsafe { rustix::mm::munmap(start, SIZE) }.expect("unmapped");
        }
        times.sort_by(f64::total_cmp);
        line(&format!("raw: map 1 MiB of somebody else's, pages made present: {what}"), times[times.len() / 2], None);
    }
}

fn controllers(nodes: u32) -> Result<(Cluster, Vec<Controller>)> {
    let cluster = Cluster::new(nodes)?;
    let all = (1..=nodes).map(|node| cluster.node(node)?.controller("shm0")).collect::<Result<_>>()?;
    Ok((cluster, all))
}

fn published(controller: &Controller, size: usize) -> Result<(Export, SegmentId)> {
    let export = controller.export(size)?;
    let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
    Ok((export, id))
}

fn basics(raw: &Raw) -> Result<()> {
    line("raw: round trip of a Unix socket", raw.round_trip, None);
    line("raw: memory object of 1 MiB, mapped and populated", raw.memory, None);
    let (_cluster, nodes) = controllers(2)?;
    let everyone = AccessList::everyone();
    line(
        "export and publish 1 MiB (T17)",
        median(200, || published(&nodes[0], SIZE))?,
        Some(2.0 * raw.round_trip + raw.memory),
    );
    line("export and destroy a page", median(400, || nodes[0].export(page_size())?.destroy())?, None);
    let (export, id) = published(&nodes[0], SIZE)?;
    // Its pages are there, as those of the raw object are by then.
    let connect = || {
        let import = nodes[1].connect(1, id, Permission::ReadWrite)?;
        import.put_u64(0, 1)?;
        Ok(import)
    };
    line("connect, map, first store (T18)", median(400, connect)?, Some(raw.passed));
    let import = connect()?;
    line("map and unmap 1 MiB", median(400, || import.map(0, SIZE, Permission::ReadWrite))?, None);
    line("map and unmap 1 MiB, read only", median(400, || import.map(0, SIZE, Permission::Read))?, None);
    line("republish", median(400, || export.republish(&everyone))?, Some(raw.round_trip));
    Ok(())
}

fn importers() -> Result<()> {
    let (_cluster, nodes) = controllers(NODES)?;
    for count in [0, 1, 62] {
        let export = nodes[0].export(SIZE)?;
        let mut times = Vec::new();
        for _ in 0..if count == 62 { 20 } else { 100 } {
            let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
            let importers = &nodes[1..=count];
            let imports: Vec<Import> =
                importers.iter().map(|n| n.connect(1, id, Permission::ReadWrite)).collect::<Result<_>>()?;
            let began = Instant::now();
            export.unpublish()?;
            times.push(began.elapsed().as_secs_f64() * 1e6);
            drop(imports);
        }
        times.sort_by(f64::total_cmp);
        line(&format!("unpublish from {count} importers in as many nodes (T23)"), times[times.len() / 2], None);
    }
    let (export, id) = published(&nodes[0], page_size())?;
    let _imports: Vec<Import> =
        nodes[1..].iter().map(|n| n.connect(1, id, Permission::ReadWrite)).collect::<Result<_>>()?;
    line("post to 62 importers, nobody asleep (T21)", median(4000, || export.signal())?, None);
    Ok(())
}

/// As many segments as there may be, of a page each; does the last one cost more than the first?
fn segments() -> Result<()> {
    let (_cluster, nodes) = controllers(2)?;
    let most = nodes[0].attributes().max_export_segments as usize;
    println!("| segments the agent has descriptors for | {most} | - | - |");
    let (mut exports, mut imports) = (Vec::new(), Vec::new());
    let most = most.min(16_000);
    let batch = 1000.min(most / 2).max(1);
    while exports.len() + batch <= most {
        let began = Instant::now();
        for _ in 0..batch {
            exports.push(published(&nodes[0], page_size())?);
        }
        let made = began.elapsed().as_secs_f64() * 1e6 / batch as f64;
        let began = Instant::now();
        for (_, id) in &exports[exports.len() - batch..] {
            imports.push(nodes[1].connect(1, *id, Permission::ReadWrite)?);
        }
        let connected = began.elapsed().as_secs_f64() * 1e6 / batch as f64;
        if exports.len() == batch || exports.len() + batch > most {
            line(&format!("export and publish a page, {} there", exports.len()), made, None);
            line(&format!("connect to it, {} there", exports.len()), connected, None);
        }
    }
    let began = Instant::now();
    for (export, _) in exports.iter().take(batch) {
        export.unpublish()?;
    }
    line(
        &format!("unpublish from one importer, which has {} imports", imports.len()),
        began.elapsed().as_secs_f64() * 1e6 / batch as f64,
        None,
    );
    Ok(())
}

/// Every node joins, exports, and connects to every node.
fn nodes() -> Result<()> {
    let cluster = Cluster::new(NODES)?;
    let began = Instant::now();
    let all = (1..=NODES).map(|node| cluster.node(node)?.controller("shm0")).collect::<Result<Vec<_>>>()?;
    line("join, each of 63 nodes", began.elapsed().as_secs_f64() * 1e6 / f64::from(NODES), None);
    let exports = all.iter().map(|node| published(node, page_size())).collect::<Result<Vec<_>>>()?;
    let mut imports = Vec::new();
    for (number, node) in all.iter().enumerate() {
        let began = Instant::now();
        for (exporter, (_, id)) in (1..).zip(&exports) {
            imports.push(node.connect(exporter, *id, Permission::ReadWrite)?);
        }
        if [0, 31, 62].contains(&number) {
            let each = began.elapsed().as_secs_f64() * 1e6 / exports.len() as f64;
            line(&format!("connect to each of 63 nodes, node {}", number + 1), each, None);
        }
    }
    Ok(())
}
