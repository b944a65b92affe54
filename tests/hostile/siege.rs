//! One hostile process against everybody else: the others' data and signals stay right, the agent goes on answering,
//! and what a process can hold of it is bounded.

use super::peace::Peace;
use rsm::{AccessList, Cluster, Code, Geometry, Permission, SegmentId};
use rsm_shm::memory::page_size;
use rsm_stories::{NodeProcess, kill_grandchild, small_cluster, story, wait_for};
use std::time::Duration;

/// A cluster of four: a pair that must notice nothing, a node that the intruder may deal with, and the intruder.
struct Siege {
    cluster: Cluster,
    peace: Peace,
    intruder: NodeProcess,
    ticks: u64,
    memory: u64,
}

impl Siege {
    fn begin(cluster: Cluster) -> Siege {
        let intruder = NodeProcess::start(&cluster, 4);
        let peace = Peace::keep(&cluster);
        peace.holds();
        Siege { cluster, peace, intruder, ticks: agent_ticks(), memory: resident() }
    }

    /// The others go on, the agent uses no processor time for nothing, and its memory is what it was.
    #[track_caller]
    fn end(mut self, what: &str) {
        self.peace.holds();
        let (rounds, worst) = self.peace.end();
        let used = agent_ticks() - self.ticks;
        // The pair is quiet now: when the agent has dealt with what the intruder left it, it has nothing to do.
        wait_for("the agent to rest", || {
            let before = agent_ticks();
            std::thread::park_timeout(Duration::from_millis(300));
            agent_ticks() - before < 10
        });
        let grown = resident().saturating_sub(self.memory) >> 20;
        assert!(grown < 64, "{grown} MiB more than before");
        println!(
            "{what}: pair {rounds} rounds, slowest three requests {worst} us, agent {used} ticks, {grown} MiB more"
        );
        // Whoever comes next is served.
        self.intruder.ok("close");
        let three = self.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
        three.export(page_size()).expect("an export");
        let base = agent_descriptors();
        self.intruder.end();
        wait_for("the agent to forget the intruder", || agent_descriptors() <= base.min(32));
    }
}

fn four() -> Cluster {
    Cluster::new(4).expect("a cluster")
}

fn tasks() -> Vec<std::path::PathBuf> {
    let tasks = std::fs::read_dir("/proc/self/task").expect("ourselves").filter_map(|t| Some(t.ok()?.path()));
    tasks.filter(|t| std::fs::read_to_string(t.join("comm")).is_ok_and(|c| c.trim() == "rsm-agent")).collect()
}

/// Processor time of the agent in this process, in ticks of 10 ms.
fn agent_ticks() -> u64 {
    let ticks = |task: std::path::PathBuf| -> u64 {
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        fields.get(11..13).map_or(0, |f| f.iter().map(|f| f.parse::<u64>().expect("ticks")).sum())
    };
    tasks().into_iter().map(ticks).sum()
}

/// Descriptors in the agent's private table.
fn agent_descriptors() -> usize {
    tasks().iter().map(|t| std::fs::read_dir(t.join("fd")).map_or(0, Iterator::count)).sum()
}

/// Bytes of memory of this process, agent included.
fn resident() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").expect("ourselves");
    statm.split(' ').nth(1).expect("pages").parse::<u64>().expect("a number") * page_size() as u64
}

story!("scribbling_over_all_it_may_write_disturbs_only_its_own", scribbling);
fn scribbling() {
    let mut siege = Siege::begin(four());
    // Node 3 lets the intruder in: its bells and this segment are the intruder's to spoil, nothing else is.
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let shared = three.export(page_size()).expect("an export");
    shared.publish(SegmentId::new(0x40_0000), &AccessList::new().node(4, 0o666)).expect("published");
    let private = three.export(page_size()).expect("an export");
    private.memory().write_volatile_u64(0, 42).expect("a write");
    siege.intruder.ok("join");
    siege.intruder.ok("scribble 3 4194304 300");
    siege.peace.holds();
    // The one that dealt with it: its other data is untouched, and no call of it hangs or panics.
    assert_eq!(private.memory().read_volatile_u64(0).expect("a read"), 42);
    for _ in 0..100 {
        let _ = shared.wait(Some(Duration::from_millis(1)));
        let _ = shared.signal();
    }
    shared.unpublish().expect("taken back");
    shared.memory().write_volatile_u64(0, 7).expect("a write");
    siege.intruder.ok("rescribble 100");
    assert_eq!(shared.memory().read_volatile_u64(0).expect("a read"), 7, "moved away from it");
    siege.intruder.ok("rescribble 100");
    assert_eq!(shared.memory().read_volatile_u64(0).expect("a read"), 7, "moved away from it");
    siege.end("scribbling");
}

story!("requests_without_reading_stop_being_read", flooding);
fn flooding() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("members 20");
    let sent: u64 = siege.intruder.ok("flood 100000").parse().expect("a number");
    // What is not read stays in the kernel's queues, which are short.
    assert!(sent < 20 * 3000, "{sent} requests were taken from a process that reads nothing");
    siege.end("flooding");
}

story!("descriptors_that_nobody_asked_for_go_nowhere", descriptors);
fn descriptors() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("join");
    let before = agent_descriptors();
    let sent = siege.intruder.ok("descriptors");
    if rsm::Capabilities::probe().has(rsm::Feature::RefuseDescriptors) {
        assert_eq!(sent, "0", "the kernel refuses them, on each kind of connection");
    }
    wait_for("the agent to close them", || agent_descriptors() <= before + 4);
    siege.end("descriptors");
}

story!("half_and_oversized_messages_end_one_connection", garbage);
fn garbage() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("garbage");
    siege.end("garbage");
}

story!(ten_thousand_connections_leave_nothing);
fn ten_thousand_connections_leave_nothing() {
    let mut siege = Siege::begin(four());
    let before = agent_descriptors();
    siege.intruder.ok("connections 10000");
    wait_for("the agent to forget them", || agent_descriptors() <= before + 4);
    siege.end("10,000 connections");
}

story!("strangers_who_do_not_join_are_turned_away", strangers);
fn strangers() {
    let mut siege = Siege::begin(four());
    let before = agent_descriptors();
    // The agent turns each one away that comes when 32 are there, as it gets to them.
    let intruder = &mut siege.intruder;
    let mut turned_away = 0;
    let mut wait_until = |connecting: &str, number: usize| {
        let mut count = |told: String| {
            turned_away += told.matches("too many sockets at the agent by which nobody has joined").count();
            turned_away
        };
        let mut so_far = count(intruder.ok(connecting));
        wait_for("the others to be turned away", || {
            so_far = count(intruder.ok("strangers 0"));
            so_far >= number
        });
        assert_eq!(so_far, number);
    };
    wait_until("strangers 500", 500 - 32);
    wait_until("strangers 1", 501 - 32);
    wait_for("their descriptors to be closed", || agent_descriptors() <= before + 40);
    // While they stall: others join at once.
    let three = siege.cluster.node(3).expect("node 3");
    three.controller("shm0").expect("shm0").export(page_size()).expect("an export");
    siege.end("strangers");
}

story!("one_process_gets_so_many_memberships", memberships);
fn memberships() {
    let mut siege = Siege::begin(four());
    let told = siege.intruder.ok("members 1000");
    assert!(told.starts_with("80 ") && told.contains("has 80 memberships"), "{told}");
    siege.end("memberships");
}

story!("halves_of_connections_keep_nobody_busy", halves);
fn halves() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("halves");
    siege.end("halves");
}

story!("one_node_leaves_the_others_their_share_of_segments", segments);
fn segments() {
    // Fewer than there are descriptors for where a program may have 1024.
    let geometry = Geometry { segments: 400, ..Geometry::default() };
    let mut siege = Siege::begin(small_cluster(4, geometry));
    siege.intruder.ok("join");
    let told = siege.intruder.ok("segments 5000");
    assert!(told.contains("kept for other nodes") && told.contains("RSMERR_INSUFFICIENT_RESOURCES"), "{told}");
    let made: u64 = told.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    assert!((280..400).contains(&made), "{told}");
    // The others have theirs.
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let mine: Vec<_> = (0..20).map(|_| three.export(page_size()).expect("an export")).collect();
    drop(mine);
    siege.end("segments");
}

story!("one_node_leaves_the_others_their_share_of_connections", connections);
fn connections() {
    let geometry = Geometry { connections: 1000, ..Geometry::default() };
    let mut siege = Siege::begin(small_cluster(4, geometry));
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let shared = three.export(page_size()).expect("an export");
    shared.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).expect("published");
    siege.intruder.ok("join");
    let told = siege.intruder.ok("connectall 3 4194304");
    assert!(told.contains("kept for other nodes"), "{told}");
    let mine: Vec<_> =
        (0..50).map(|_| three.connect(3, SegmentId::new(0x40_0000), Permission::Read).expect("a connection")).collect();
    drop(mine);
    shared.unpublish().expect("taken back");
    siege.end("connections");
}

story!("memory_to_move_to_is_given_once", replacing);
fn replacing() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("join");
    siege.intruder.ok("segments 4");
    let before = agent_descriptors();
    siege.intruder.ok("replace 500");
    let more = agent_descriptors() - before;
    assert!(more <= 8, "{more} descriptors for the memory of four segments");
    siege.end("replacing");
}

/// A cluster whose agent believes that it may have so many descriptors.
fn with_descriptors(nodes: u32, most: u64) -> Cluster {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let lower = rustix::process::Rlimit { current: Some(most), ..limit };
    rustix::process::setrlimit(rustix::process::Resource::Nofile, lower).expect("a lower limit");
    let cluster = Cluster::new(nodes).expect("a cluster");
    // The agent has read it; the limit is this process's as well.
    rustix::process::setrlimit(rustix::process::Resource::Nofile, limit).expect("the limit from before");
    cluster
}

/// Node 3 gets what it can count on of what fits into 300 descriptors.
fn segments_of_three(siege: &Siege) {
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let mine: Vec<_> =
        (0..10).map(|at| three.export(page_size()).unwrap_or_else(|e| panic!("export {at}: {e}"))).collect();
    drop(mine);
}

story!(memory_is_counted_while_it_moves_and_is_shared);
fn memory_is_counted_while_it_moves_and_is_shared() {
    let mut siege = Siege::begin(with_descriptors(4, 300));
    siege.intruder.ok("join");
    siege.intruder.ok("segments 1");
    siege.intruder.ok("replaceshared 400");
    segments_of_three(&siege);
    siege.end("memory that moves and is shared");
}

story!(each_node_gets_its_share_whatever_processes_the_others_have);
fn each_node_gets_its_share_whatever_processes_the_others_have() {
    let mut siege = Siege::begin(with_descriptors(5, 300));
    let mut crowd: Vec<NodeProcess> = (0..3).map(|_| NodeProcess::start(&siege.cluster, 4)).collect();
    for process in &mut crowd {
        let told = process.ok("members 80");
        if told.contains("kept for what each node can count on") {
            break;
        }
    }
    siege.intruder.ok("strangers 200");
    let told = crowd[0].ok("segments 1000");
    assert!(told.contains("kept for"), "{told}");
    segments_of_three(&siege);
    // A process of a node that had none joins, and has its share as well.
    let mut five = NodeProcess::start(&siege.cluster, 5);
    five.ok("join");
    assert_eq!(five.ok("segments 10"), "all");
    five.end();
    for process in crowd {
        process.kill();
    }
    siege.end("many processes of a node");
}

/// Importers of the crowd at the moment when the agent answers somebody else.
fn importers_when_served(siege: &Siege, row: u32) -> u32 {
    let three = siege.cluster.node(3).expect("node 3");
    drop(three.controller("shm0").expect("shm0").export(page_size()).expect("an export"));
    three.membership().registry().segments[row as usize].importers()
}

const CROWD: u32 = 20_000;

/// Does something that takes the agent long, until somebody else is served in the middle of it.
fn served_in_the_middle(siege: &mut Siege, mut act: impl FnMut(&mut Siege) -> u32) {
    for _ in 0..20 {
        let row = act(siege);
        let mut middle = false;
        loop {
            let importers = importers_when_served(siege, row);
            middle |= (1..CROWD).contains(&importers);
            if importers == 0 || middle {
                break;
            }
        }
        wait_for("the rest", || importers_when_served(siege, row) == 0);
        if middle {
            return;
        }
    }
    panic!("nobody was served before all {CROWD} importers were dealt with");
}

story!(others_are_served_while_many_importers_are_cut_off);
fn others_are_served_while_many_importers_are_cut_off() {
    let mut siege = Siege::begin(four());
    served_in_the_middle(&mut siege, |siege| {
        siege.intruder.ok("close");
        siege.intruder.ok("join");
        let row = siege.intruder.ok(&format!("crowd {CROWD}")).parse().expect("a row");
        siege.intruder.ok("tellunpublish");
        row
    });
    siege.peace.holds();
    // All of them are cut when it is told that its segment is taken back, or waits for that.
    siege.intruder.ok("hearunpublished");
    siege.end("many importers are cut off");
}

story!(others_are_served_while_a_process_that_held_a_lot_is_forgotten);
fn others_are_served_while_a_process_that_held_a_lot_is_forgotten() {
    let mut siege = Siege::begin(four());
    served_in_the_middle(&mut siege, |siege| {
        siege.intruder.ok("join");
        let row = siege.intruder.ok(&format!("crowd {CROWD}")).parse().expect("a row");
        std::mem::replace(&mut siege.intruder, NodeProcess::start(&siege.cluster, 4)).kill();
        row
    });
    let three = siege.cluster.node(3).expect("node 3");
    let imports = || three.membership().registry().nodes[4].fields().imports;
    wait_for("its connections to be given back", || imports() == 0);
    siege.end("a process that held a lot is forgotten");
}

story!(a_child_that_keeps_the_sockets_keeps_nothing_alive);
fn a_child_that_keeps_the_sockets_keeps_nothing_alive() {
    let mut siege = Siege::begin(four());
    siege.intruder.ok("join");
    siege.intruder.ok("segments 1");
    siege.intruder.ok("publish 4194304");
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let import = three.connect(4, SegmentId::new(0x40_0000), Permission::ReadWrite).expect("connected");
    import.put_u64(0, 1).expect("alive");
    let child: i32 = siege.intruder.ok("keepinchild").parse().expect("a process id");
    std::mem::replace(&mut siege.intruder, NodeProcess::start(&siege.cluster, 4)).kill();
    // The sockets live on in the child, the process does not, and that is what counts.
    wait_for("the connection to be cut", || import.put_u64(0, 1).is_err_and(|e| e.code() == Code::ConnAborted));
    siege.peace.holds();
    kill_grandchild(child);
    drop(import);
    siege.end("a child that keeps the sockets");
}

story!(an_importer_that_does_not_look_is_cut_off);
fn an_importer_that_does_not_look_is_cut_off() {
    let mut siege = Siege::begin(four());
    let three = siege.cluster.node(3).expect("node 3").controller("shm0").expect("shm0");
    let export = three.export(page_size()).expect("an export");
    siege.intruder.ok("join");
    for round in 1..5 {
        export.publish(SegmentId::new(0x40_0000), &AccessList::everyone()).expect("published");
        // Keeps every mapping it ever got, and its events socket full of looks.
        siege.intruder.ok("scribble 3 4194304 1");
        export.unpublish().expect("taken back");
        export.memory().write_volatile_u64(0, round).expect("a write");
        siege.peace.holds();
        siege.intruder.ok("rescribble 3");
        assert_eq!(export.memory().read_volatile_u64(0).expect("a read"), round);
    }
    siege.end("an importer that does not look");
}
