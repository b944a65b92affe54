//! Negative controls: one of each kind is leaked on purpose, and the gate must name it.

use super::scene::environment;
use rsm_stories::gate::{self, Holdings};
use rsm_stories::{NodeProcess, kill_grandchild};
use rustix::fs::MemfdFlags;
use rustix::mm::{MapFlags, ProtFlags};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Patience with what is meant to stay.
const SHORT: Duration = Duration::from_millis(50);

/// What a node leaks, and what the gate says of it.
pub(crate) const CONTROLS: &[(&str, &str)] = &[
    ("descriptor", "descriptor of crash"),
    ("descriptor-of-a-table", "descriptor of rsm-leak: /memfd:rsm-leak"),
    ("mapping", "mapping /memfd:rsm-leak"),
    ("thread", "thread rsm-idle"),
    ("process", "process"),
    ("temporary-file", "file /tmp/rsm-crash-"),
    ("shm-file", "file /dev/shm/cluster-leak-"),
    ("socket", "socket @cluster-leak-"),
    ("memory", "shared memory"),
];

/// In the node: leaks one thing until the answer goes.
pub(crate) fn leak(kind: &str) -> Box<dyn Send> {
    let me = std::process::id();
    let object = |length: u64| -> OwnedFd {
        let object = rustix::fs::memfd_create("rsm-leak", MemfdFlags::CLOEXEC).expect("a memory object");
        rustix::fs::ftruncate(&object, length).expect("a length");
        object
    };
    let guest = |length| rsm_shm::guest::Guest::new(object(length)).expect("a number");
    let idle = || loop {
        std::thread::park();
    };
    match kind {
        "descriptor" => Box::new(std::fs::File::open("/dev/null").expect("it is there")),
        "descriptor-of-a-table" => {
            let stdio = rsm_shm::private_table::Stdio::Null;
            let body = move |_object| idle();
            Box::new(rsm_shm::private_table::spawn("rsm-leak", guest(4096), stdio, body).expect("a thread"))
        }
        "mapping" => {
            let object = object(4096);
            map(&object, 4096);
            Box::new(())
        }
        "thread" => Box::new(std::thread::Builder::new().name("rsm-idle".to_owned()).spawn(idle).expect("a thread")),
        "process" => Box::new(std::process::Command::new("sleep").arg("60").spawn().expect("a process")),
        "temporary-file" => {
            std::fs::write(std::env::temp_dir().join("leak"), "x").expect("a file");
            Box::new(())
        }
        "shm-file" => {
            std::fs::write(format!("/dev/shm/cluster-leak-{me}"), "x").expect("a file");
            Box::new(())
        }
        "socket" => {
            use std::os::linux::net::SocketAddrExt;
            let address = std::os::unix::net::SocketAddr::from_abstract_name(format!("cluster-leak-{me}"));
            Box::new(std::os::unix::net::UnixListener::bind_addr(&address.expect("a name")).expect("a socket"))
        }
        "memory" => {
            let object = object(16 << 20);
            map(&object, 16 << 20);
            Box::new(object)
        }
        other => panic!("no leak {other:?}"),
    }
}

#[allow(unsafe_code)] // memory to leak
fn map(object: &OwnedFd, length: usize) {
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED | MapFlags::POPULATE);
    // SAFETY: fresh memory at addresses the kernel chooses.
    unsafe { rustix::mm::mmap(std::ptr::null_mut(), length, access, flags, object, 0) }.expect("a mapping");
}

/// All that the gate looks at, of one process and of the system.
fn look(node: &NodeProcess, charged: Option<u64>) -> Holdings {
    let mut held = Holdings::of(node.pid());
    held.add(Holdings::of_everything());
    held.add(Holdings::of_cluster(&format!("cluster-leak-{}", node.pid())));
    if let (Some(before), Some(now)) = (charged, gate::charged())
        && now > before + (8 << 20)
    {
        held.note("shared memory".to_owned());
    }
    held
}

/// Leaks, sees the gate name it, ends the leak, and sees the gate content.
pub(crate) fn control(kind: &str, named: &str) -> Result<(), String> {
    let mut node = NodeProcess::with(environment(None));
    node.ok("forget");
    let charged = gate::charged();
    let before = look(&node, charged);
    node.ok(&format!("leak {kind}"));
    match before.is_again_within(SHORT, "the gate", || look(&node, charged)) {
        Err(said) if said.contains(named) => {}
        Ok(()) if kind == "memory" && charged.is_none_or(|charged| gate::charged() <= Some(charged + (8 << 20))) => {
            println!("skipped: the control group does not tell what shared memory it is charged");
        }
        other => return Err(format!("the gate does not name a leaked {kind}: {other:?}")),
    }
    // What outlives a process is put away by hand.
    for pid in gate::orphans_of(node.pid()) {
        kill_grandchild(pid);
    }
    let _ = std::fs::remove_file(gate::temporary().join("leak"));
    let _ = std::fs::remove_file(format!("/dev/shm/cluster-leak-{}", node.pid()));
    node.kill();
    gate::reap();
    Holdings::default().is_again("after the control", Holdings::of_everything)
}
