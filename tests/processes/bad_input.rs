//! Bad input: each a clear error naming what and why, the agent and the others untouched.

use rsm::{AccessList, Cluster, Code, Geometry, Permission, SegmentId};
use rsm_core::message::{Ask, Claim, ConnectionName, PROTOCOL, Request, encode};
use rsm_shm::memory::page_size;
use rsm_stories::{NodeProcess, cluster, small_cluster, story, wait_for};
use rustix::net::{AddressFamily, SendFlags, SocketAddrUnix, SocketFlags, SocketType};
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

/// Replaces one variable of an environment.
fn changed(cluster: &Cluster, name: &str, value: &str) -> Vec<(&'static str, String)> {
    let mut environment = cluster.environment(1).expect("a node");
    for (n, v) in &mut environment {
        if *n == name {
            value.clone_into(v);
        }
    }
    environment
}

story!(wrong_environments_are_explained);
fn wrong_environments_are_explained() {
    let cluster = cluster(2);
    let cases = [
        (
            "RSM_CLUSTER",
            "rsm:0:no-such-cluster",
            Code::CtlrNotPresent,
            "no cluster named \"no-such-cluster\" is running in this network",
        ),
        ("RSM_CLUSTER", "nonsense", Code::CtlrNotPresent, "no address of a cluster"),
        ("RSM_NODE_ID", "9", Code::CtlrNotPresent, "has no node 9"),
        ("RSM_NODE_ID", "0", Code::CtlrNotPresent, "has no node 0"),
        ("RSM_NODE_ID", "two", Code::CtlrNotPresent, "cannot be read"),
        ("RSM_NODE_KEY", "00000000000000000000000000000000", Code::PermDenied, "wrong key for node 1"),
        ("RSM_NODE_KEY", "short", Code::CtlrNotPresent, "cannot be read"),
        ("RSM_NODE_KEY", "0123456789abcdef0123456789abcdex", Code::CtlrNotPresent, "cannot be read"),
        ("RSM_NODE_KEY", "0123456789abcdef0123456789abcdef0", Code::CtlrNotPresent, "it has 33 characters"),
    ];
    for (name, value, code, text) in cases {
        let mut node = NodeProcess::with(changed(&cluster, name, value));
        let answer = node.fails("export e 4096", code);
        assert!(answer.contains(text), "{name}={value}: {answer}");
        assert!(name != "RSM_NODE_KEY" || !answer.contains(value), "a key is shown: {answer}");
    }
    let only_cluster = cluster.environment(1).expect("a node").into_iter().take(1).collect();
    let answer = NodeProcess::with(only_cluster).fails("export e 4096", Code::CtlrNotPresent);
    assert!(answer.contains("RSM_NODE_ID is not"), "{answer}");
    NodeProcess::start(&cluster, 1).ok("export e 4096");
}

story!(unknown_things_are_named);
fn unknown_things_are_named() {
    let cluster = cluster(2);
    let node = cluster.node(1).expect("node 1");
    let shm = node.controller("shm0").expect("shm0");
    let loopback = node.controller("loopback").expect("loopback");
    let id = SegmentId::new(0x40_0000);
    let case = |result: rsm::Result<rsm::Import>, code: Code, text: &str| {
        let error = result.expect_err(text);
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(text), "{error} lacks {text:?}");
    };
    case(shm.connect(9, id, Permission::Read), Code::RemoteNodeUnreachable, "no node 9");
    case(
        shm.connect(0, id, Permission::Read),
        Code::SegNotPublished,
        "nobody has asked for segment 0x400000 of the cluster",
    );
    case(loopback.connect(0, id, Permission::Read), Code::CtlrNotPresent, "loopback reaches only the local node 1");
    case(shm.connect(u32::MAX, id, Permission::Read), Code::RemoteNodeUnreachable, "no node");
    // A node that will publish once it runs: what the program tries again for.
    case(shm.connect(2, id, Permission::Read), Code::SegNotPublished, "node 2 has not joined");
    cluster.node(2).expect("node 2");
    case(shm.connect(2, id, Permission::Read), Code::SegNotPublished, "node 2 publishes no segment 0x400000");
    case(loopback.connect(2, id, Permission::Read), Code::CtlrNotPresent, "loopback reaches only the local node 1");
    let error = node.controller("sci0").expect_err("no such controller");
    assert_eq!(error.code(), Code::CtlrNotPresent);
    assert!(error.to_string().contains("loopback, shm0"), "{error}");
    for (length, code) in [
        (0, Code::BadLength),
        (1, Code::BadMemAlignment),
        (usize::MAX & !(page_size() - 1), Code::BadLength),
        (1 << 60, Code::BadLength),
    ] {
        let error = shm.export(length).expect_err("a bad length");
        assert_eq!(error.code(), code, "{length}: {error}");
    }
    let export = shm.export(page_size()).expect("an export");
    for (id, access, code) in [
        (1, AccessList::everyone(), Code::ReservedSegid),
        (0x8000_0000, AccessList::everyone(), Code::ReservedSegid),
        (0x40_0000, AccessList::new().node(2, 0o777), Code::BadAcl),
        (0x40_0000, AccessList::new().node(64, 0o666), Code::BadAcl),
    ] {
        assert_eq!(export.publish(SegmentId::new(id), &access).expect_err("refused").code(), code);
    }
    let wrong = cluster.node(3).expect_err("no node 3");
    assert!(wrong.to_string().contains("no node 3"), "{wrong}");
}

story!(full_tables_say_so);
fn full_tables_say_so() {
    let geometry = Geometry { segments: 2, connections: 2, bells: 3, ..Geometry::default() };
    let cluster = small_cluster(2, geometry);
    let one = cluster.node(1).expect("node 1").controller("shm0").expect("shm0");
    let two = cluster.node(2).expect("node 2").controller("shm0").expect("shm0");
    for _ in 0..50 {
        let a = one.export(page_size()).expect("the first");
        let b = one.export(page_size()).expect("the second");
        let error = one.export(page_size()).expect_err("one too many");
        assert_eq!(error.code(), Code::InsufficientResources);
        assert!(error.to_string().contains("table of 2 segments is full"), "{error}");
        let id = a.publish(SegmentId::any(), &AccessList::everyone()).expect("published");
        // Two exports and one connection take the node's three signal counters.
        let first = two.connect(1, id, Permission::ReadWrite).expect("the first");
        let error = two.connect(1, id, Permission::ReadWrite).expect_err("one too many");
        assert_eq!(error.code(), Code::InsufficientResources);
        assert!(error.to_string().contains("signal counters"), "{error}");
        drop(b);
        let second = two.connect(1, id, Permission::ReadWrite).expect("the second");
        first.put_u64(0, 1).expect("works");
        second.put_u64(8, 2).expect("works");
    }
}

story!(a_name_is_taken_once);
fn a_name_is_taken_once() {
    let name = format!("taken-{}", std::process::id());
    let first = Cluster::builder(1).name(&name).start().expect("the first");
    let error = Cluster::builder(1).name(&name).start().expect_err("the second");
    assert_eq!(error.code(), Code::BadConf);
    let whose = format!("already running: its agent is process {}", std::process::id());
    assert!(error.to_string().contains(&whose), "{error}");
    first.node(1).expect("the first still serves");
    drop(first);
    Cluster::builder(1).name(&name).start().expect("free again");
    for name in ["", "a/b", "a b", &"x".repeat(65)] {
        assert_eq!(Cluster::builder(1).name(name).start().expect_err(name).code(), Code::BadConf);
    }
}

story!(who_has_taken_a_name_is_named);
fn who_has_taken_a_name_is_named() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketType};
    let me = rustix::process::geteuid();
    let name = format!("squatted-{}", std::process::id());
    let squat = |name: &str, listens: bool| {
        let place =
            SocketAddrUnix::new_abstract_name(format!("rsm/{}/{name}", me.as_raw()).as_bytes()).expect("a name");
        let socket = rustix::net::socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).expect("a socket");
        rustix::net::bind(&socket, &place).expect("free");
        if listens {
            rustix::net::listen(&socket, 1).expect("listening");
        }
        socket
    };
    let told = |name: &str| {
        let error = Cluster::builder(1).name(name).start().expect_err("taken");
        assert_eq!(error.code(), Code::BadConf);
        error.to_string()
    };
    let silent = squat(&name, false);
    assert!(told(&name).contains("taken by a process that does not answer"), "{}", told(&name));
    drop(silent);
    if !me.is_root() {
        println!("skipped in part: needs root to become another user");
        return;
    }
    // The thread alone is another user; the kernel notes who listens.
    let nobody = rustix::process::Uid::from_raw(65534);
    let other = std::thread::scope(|scope| {
        let squatting = scope.spawn(|| {
            rustix::thread::set_thread_res_uid(nobody, nobody, nobody).expect("from root");
            squat(&name, true)
        });
        squatting.join().expect("squatted")
    });
    let whose = format!("is taken by process {} of user 65534", std::process::id());
    assert!(told(&name).contains(&whose), "{}", told(&name));
    drop(other);
    Cluster::builder(1).name(&name).start().expect("free again");
}

story!(numbers_of_nodes_are_bounded);
fn numbers_of_nodes_are_bounded() {
    for nodes in [0, 64, u32::MAX] {
        let error = Cluster::new(nodes).expect_err("not possible");
        assert_eq!(error.code(), Code::BadLength, "{error}");
        assert!(error.to_string().contains("1 to 63"), "{error}");
    }
    let cluster = Cluster::new(63).expect("the largest");
    assert_eq!(cluster.node(63).expect("the last").id(), 63);
}

/// A connection to the agent that does not follow the protocol.
struct Stranger(OwnedFd);

impl Stranger {
    fn connect(cluster: &Cluster) -> Option<Stranger> {
        let address = cluster.environment(1).expect("a node")[0].1.clone();
        let mut parts = address.splitn(3, ':').skip(1);
        let (uid, name) = (parts.next().expect("a user"), parts.next().expect("a name"));
        let name = SocketAddrUnix::new_abstract_name(format!("rsm/{uid}/{name}").as_bytes()).expect("a name");
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).ok()?;
        rustix::net::connect(&socket, &name).ok()?;
        Some(Stranger(socket))
    }

    fn send(&self, bytes: &[u8], descriptors: usize) {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
        let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
        let rights = vec![self.0.as_fd(); descriptors];
        if descriptors > 0 {
            assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&rights)));
        }
        match rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL) {
            // The kernel knows that the agent takes no descriptors (6.16).
            Err(rustix::io::Errno::PERM) if descriptors > 0 => self.send(bytes, 0),
            // A refused connection may be closed already.
            _ => {}
        }
    }

    /// Whether the agent has closed the connection, after whatever it said.
    fn is_refused(&self) -> bool {
        let mut buffer = [0u8; 8192];
        match rustix::net::recv(&self.0, &mut buffer[..], rustix::net::RecvFlags::empty()) {
            Ok((0, _)) | Err(_) => true,
            Ok(_) => self.is_refused(),
        }
    }
}

story!(hostile_messages_harm_nobody);
fn hostile_messages_harm_nobody() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    let still_well = |exporter: &mut NodeProcess, importer: &mut NodeProcess| {
        importer.ok("put i 0 1");
        importer.ok("connect j 1 0x400000 rw");
        importer.ok("disconnect j");
        exporter.ok("export x 4096");
        exporter.ok("destroy x");
    };
    // Every length up to and beyond the longest, contents that are no message, descriptors nobody asked for.
    for (length, byte, descriptors) in
        [(1, 0, 0), (1, 255, 1), (7, 1, 0), (100, 3, 40), (4096, 0, 0), (4097, 9, 4), (100_000, 255, 60)]
    {
        let stranger = Stranger::connect(&cluster).expect("the agent accepts");
        stranger.send(&vec![byte; length], descriptors);
        assert!(stranger.is_refused(), "{length} times {byte}");
        still_well(&mut exporter, &mut importer);
    }
    // Many that never say anything, and many that hang up at once.
    let silent: Vec<_> = (0..300).filter_map(|_| Stranger::connect(&cluster)).collect();
    assert!(silent.len() > 100);
    still_well(&mut exporter, &mut importer);
    for _ in 0..2000 {
        drop(Stranger::connect(&cluster));
    }
    still_well(&mut exporter, &mut importer);
    drop(silent);
    // The agent lives in this process, in a table of its own; nothing of the strangers stays there.
    wait_for("the agent to forget them", || super::leaks::agent_descriptors() < 30);
    still_well(&mut exporter, &mut importer);
}

story!(a_member_that_hangs_up_half_way_does_not_busy_the_agent);
fn a_member_that_hangs_up_half_way_does_not_busy_the_agent() {
    let cluster = cluster(1);
    let environment = cluster.environment(1).expect("a node");
    let key = rsm_shm::address::secret_from_text(&environment[3].1).expect("a key");
    let member = Stranger::connect(&cluster).expect("the agent accepts");
    let send = |number, ask| member.send(&encode(&Request { number, ask }).expect("a message"), 0);
    send(1, Ask::Join { protocol: PROTOCOL, claim: Some(Claim { node: 1, key }) });
    // Asks on and on without reading an answer, until the agent reads no more either.
    let refused = Ask::Disconnect { connection: ConnectionName { row: 0, generation: 0 } };
    let packet = encode(&Request { number: 2, ask: refused }).expect("a message");
    let full =
        |socket: &OwnedFd| rustix::net::send(socket, &packet, SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_err();
    wait_for("the queues to be full", || full(&member.0));
    rustix::net::shutdown(&member.0, rustix::net::Shutdown::Both).expect("our socket");
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("export e 4096");
    let before = super::cost::agent_ticks();
    std::thread::park_timeout(std::time::Duration::from_millis(300));
    assert!(super::cost::agent_ticks() - before < 10, "the agent is busy with a connection that is over");
}

story!(another_user_needs_a_key);
fn another_user_needs_a_key() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let cluster = cluster(1);
    // With the key a node may be anybody (it may drop privileges before it joins).
    let mut node = NodeProcess::start(&cluster, 1);
    assert_eq!(node.ok("seteuid 65534"), "0");
    node.ok("export e 4096");
    // Without, another user may not even look.
    let mut other = NodeProcess::with(Vec::new());
    assert_eq!(other.ok("seteuid 65534"), "0");
    let answer = other.fails(&format!("observe {}", cluster.name()), Code::PermDenied);
    assert!(answer.contains("may not look"), "{answer}");
    let open = Cluster::builder(1).allow_uid(65534).start().expect("a cluster");
    other.ok(&format!("observe {}", open.name()));
}

story!(a_kernel_without_sealing_is_named);
fn a_kernel_without_sealing_is_named() {
    let wrapper = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=memfd_create:error=ENOSYS"];
    let Some(mut node) = NodeProcess::under(&wrapper, Vec::new()) else {
        println!("skipped: strace is not installed");
        return;
    };
    let answer = node.fails("export e 4096", Code::CtlrNotPresent);
    assert!(answer.contains("memfd_create, Linux 3.17"), "{answer}");
    node.end();
}
