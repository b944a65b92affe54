//! Nothing is left: descriptors of every thread, mappings, processes, files, sockets.

use rsm::observe::Observer;
use rsm_stories::{NodeProcess, cluster, story, wait_for};
use std::collections::BTreeSet;
use std::path::Path;

/// What a process and the system hold that a cluster could leave behind.
#[derive(Debug, PartialEq, Eq)]
struct Holdings {
    /// Open descriptors, counted once for each thread: some threads have tables of their own.
    descriptors: usize,
    /// Mappings of memory objects of clusters. Others come and go with the allocator and with cached thread stacks.
    mappings: usize,
    threads: usize,
    /// Entries of /dev/shm and of the temporary directory named after a cluster of this process.
    files: BTreeSet<String>,
    /// Abstract sockets of clusters that this process started; others may run their own meanwhile.
    sockets: BTreeSet<String>,
}

impl Holdings {
    fn of(pid: i32) -> Holdings {
        let tasks: Vec<_> = entries(&format!("/proc/{pid}/task")).collect();
        let table = |task: &String| entries(&format!("/proc/{pid}/task/{task}/fd")).count();
        let files = ["/dev/shm", "/tmp"].iter().flat_map(|d| entries(d).map(move |e| format!("{d}/{e}")));
        let ours = format!("/cluster-{}-", me());
        let unix = std::fs::read_to_string("/proc/net/unix").unwrap_or_default();
        Holdings {
            descriptors: tasks.iter().map(table).sum(),
            mappings: maps(pid).lines().filter(|line| line.contains("memfd:rsm")).count(),
            threads: tasks.len(),
            files: files.filter(|f| f.contains(&ours[1..])).collect(),
            sockets: unix.split_whitespace().filter(|w| w.contains(&ours)).map(str::to_owned).collect(),
        }
    }
}

fn maps(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default()
}

/// Mappings of tallies in this process.
pub(crate) fn tally_mappings() -> usize {
    maps(me()).lines().filter(|line| line.contains("memfd:rsm-tally")).count()
}

fn entries(folder: &str) -> impl Iterator<Item = String> {
    let read = std::fs::read_dir(Path::new(folder)).into_iter().flatten();
    read.filter_map(|e| Some(e.ok()?.file_name().to_string_lossy().into_owned()))
}

/// Descriptors in the private tables of the agents in this process.
pub(crate) fn agent_descriptors() -> usize {
    let is_agent = |task: &String| {
        std::fs::read_to_string(format!("/proc/self/task/{task}/comm")).is_ok_and(|c| c.trim() == "rsm-agent")
    };
    let agents = entries("/proc/self/task").filter(is_agent);
    agents.map(|task| entries(&format!("/proc/self/task/{task}/fd")).count()).sum()
}

/// Waits until this process holds what it held before; what ends meanwhile takes its time.
#[track_caller]
fn as_before(before: &Holdings) {
    let deadline = std::time::Instant::now() + rsm_stories::patience();
    loop {
        let now = Holdings::of(me());
        if now == *before {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "left: {now:#?}\nbefore: {before:#?}");
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
}

fn me() -> i32 {
    i32::try_from(std::process::id()).expect("a process id")
}

story!(cycles_of_create_and_destroy_leave_counts_unchanged);
fn cycles_of_create_and_destroy_leave_counts_unchanged() {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("cycles 20");
    let holdings =
        |node: &NodeProcess| (Holdings::of(node.pid()), maps(node.pid()).lines().count(), agent_descriptors());
    let before = holdings(&node);
    node.ok("cycles 1000");
    assert_eq!(before, holdings(&node));
}

story!(killed_nodes_leave_nothing);
fn killed_nodes_leave_nothing() {
    wait_for("this thread to be alone", || entries("/proc/self/task").count() == 1);
    let cluster = cluster(4);
    let observer = Observer::attach(Some(cluster.name())).expect("our cluster");
    let round = || {
        round_of_deaths(&cluster);
        wait_for("the agent to clean up", || observer.nodes().iter().all(|node| !node.joined));
        assert!(observer.segments().is_empty() && observer.connections().is_empty());
    };
    // The first round makes what stays: bell memory of the nodes.
    round();
    let (before, agent) = (Holdings::of(me()), agent_descriptors());
    for _ in 0..10 {
        round();
    }
    assert_eq!(agent_descriptors(), agent);
    as_before(&before);
}

/// Every node imports from every other; all are killed in the middle of it.
fn round_of_deaths(cluster: &rsm::Cluster) {
    let mut nodes: Vec<_> = (1..=4).map(|n| NodeProcess::start(cluster, n)).collect();
    for node in &mut nodes {
        node.ok("export e 8192");
        node.ok("publish e 0x400000");
    }
    for node in &mut nodes {
        for peer in 1..=4 {
            node.ok(&format!("connect i{peer} {peer} 0x400000 rw"));
            node.ok(&format!("map i{peer}"));
            node.ok(&format!("put i{peer} 0 1"));
        }
        node.ok("go w waitexport e forever");
    }
    nodes.into_iter().for_each(NodeProcess::kill);
}

story!(a_dropped_cluster_leaves_nothing);
fn a_dropped_cluster_leaves_nothing() {
    // Threads of earlier stories may still be on their way out.
    wait_for("this thread to be alone", || entries("/proc/self/task").count() == 1);
    let before = Holdings::of(me());
    for _ in 0..5 {
        let cluster = cluster(2);
        let exporter = cluster.node(1).and_then(|n| n.controller("shm0")).expect("shm0");
        let importer = cluster.node(2).and_then(|n| n.controller("shm0")).expect("shm0");
        let export = exporter.export(1 << 20).expect("an export");
        let id = export.publish(rsm::SegmentId::any(), &rsm::AccessList::everyone()).expect("published");
        let import = importer.connect(1, id, rsm::Permission::ReadWrite).expect("connected");
        import.put_u64(0, 1).expect("put");
        drop(cluster);
        // The objects outlive the cluster and go on working on what is mapped.
        import.put_u64(0, 2).expect("put");
        assert_eq!(export.memory().read_volatile_u64(0).expect("read"), 2);
    }
    as_before(&before);
}
