//! Exporting more than a control group allows: an error, and not the end of the process.

use super::group::{Group, Limit, Limits};
use rsm::Code;
use rsm_stories::{NodeProcess, cluster, refused_as, story};
use rustix::process::Signal;

const LIMIT: u64 = 160 << 20;

const MEMORY: Limits = Limits {
    controller: "memory",
    limits: &[
        Limit { unified: ("memory.max", "160M"), own: ("memory.limit_in_bytes", "160M"), optional: false },
        Limit { unified: ("memory.swap.max", "0"), own: ("memory.memsw.limit_in_bytes", "160M"), optional: true },
    ],
};

/// Such a group with a process in it; says why not where none can be made.
fn group_with(name: &str, node: &NodeProcess) -> Option<Group> {
    let group = Group::new(name, &MEMORY).inspect_err(|reason| println!("skipped: {reason}")).ok()?;
    std::fs::write(group.entrance(), node.pid().to_string()).expect("the process enters");
    Some(group)
}

story!(an_export_for_which_a_control_group_has_no_room_is_refused);
fn an_export_for_which_a_control_group_has_no_room_is_refused() {
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    let Some(_group) = group_with("room", &node) else { return node.end() };
    let fits = 64 << 20;
    for what in ["export", "adopt"] {
        let told = node.fails(&format!("{what} e {}", 2 * LIMIT), Code::InsufficientMem);
        assert!(told.contains("in the control group"), "{told}");
        // Piece by piece: each fits, all of them do not.
        node.ok(&format!("{what} e {fits}"));
        node.fails(&format!("{what} f {}", LIMIT - fits), Code::InsufficientMem);
        node.ok("destroy e");
    }
    // Many that are small, one after the other.
    let (mut made, step) = (0, 2 << 20);
    let told = loop {
        let told = node.ask(&format!("export s{made} {step}"));
        if !told.starts_with("ok") {
            break told;
        }
        made += 1;
        assert!(made * step < LIMIT as usize, "more than there is room for");
    };
    assert!(refused_as(&told, Code::InsufficientMem), "{told}");
    assert!(made * step > LIMIT as usize / 4, "{made} of {step} bytes are few");
    for at in 0..made {
        node.ok(&format!("destroy s{at}"));
    }
    // Another range, for which the old one would need memory of its own.
    node.ok(&format!("adopt e {}", 2 * fits / 2));
    node.fails("rebind e", Code::InsufficientMem);
    node.ok("write e 0 1");
    node.ok("destroy e");
    node.end();
}

story!(memory_that_was_given_back_is_room_again);
/// What the agent is still giving back is waited for.
fn memory_that_was_given_back_is_room_again() {
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    let Some(_group) = group_with("back", &node) else { return node.end() };
    for _ in 0..20 {
        node.ok(&format!("export e {}", 100 << 20));
        node.ok("destroy e");
    }
    node.end();
}

story!(memory_that_a_child_shares_needs_room_to_be_given_back);
/// Children share what is given back, so there is another copy of it for each side.
fn memory_that_a_child_shares_needs_room_to_be_given_back() {
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    let Some(_group) = group_with("child", &node) else { return node.end() };
    node.ok(&format!("adoptfilled e {}", 100 << 20));
    let child = node.ok("forkidle").parse().expect("a process id");
    let child = rustix::process::Pid::from_raw(child).expect("a process id");
    let told = node.fails("trydestroy e", Code::InsufficientMem);
    assert!(told.contains("in the control group"), "{told}");
    assert_eq!(node.ok("read e 4096"), "7");
    rustix::process::kill_process(child, rustix::process::Signal::KILL).expect("it idles");
    node.until("trydestroy e", "ok");
    node.end();
}

story!(memory_that_cannot_be_moved_away_yet_is_when_there_is_room);
/// An importer that does not let go is refused nothing by asking twice.
fn memory_that_cannot_be_moved_away_yet_is_when_there_is_room() {
    for first in ["unpublish", "trydestroy"] {
        let cluster = cluster(2);
        let (mut node, mut importer) = (NodeProcess::start(&cluster, 1), NodeProcess::start(&cluster, 2));
        let Some(_group) = group_with("later", &node) else { return node.end() };
        node.ok(&format!("adoptfilled e {}", 64 << 20));
        // Another export keeps the memory, so that destroying this one has to move it as well.
        node.ok("adoptagain again e");
        node.ok(&format!("export f {}", 64 << 20));
        node.ok("publish e 0x400000");
        importer.ok("connect i 1 0x400000 rw");
        importer.ok("map i");
        importer.ok("put i 0 1");
        importer.stop();
        let told = node.fails(&format!("{first} e"), Code::InsufficientMem);
        assert!(told.contains("in the control group"), "{told}");
        node.fails("unpublish e", Code::InsufficientMem);
        node.ok("destroy f");
        node.ok("unpublish e");
        node.ok("write e 8 77");
        importer.signal(Signal::CONT);
        assert_ne!(importer.ok("load i 8"), "77", "an old mapping shows nothing new");
        importer.fails("put i 0 9", Code::ConnAborted);
        assert_eq!((node.ok("read e 0"), node.ok("read e 4096")), ("1".to_owned(), "7".to_owned()));
        node.fails("unpublish e", Code::SegNotPublished);
        node.end();
        importer.end();
    }
}

story!(memory_that_is_there_already_needs_no_room);
fn memory_that_is_there_already_needs_no_room() {
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    let Some(_group) = group_with("there", &node) else { return node.end() };
    // More than half of what it may have: it moves from one place to the other, and is never at both.
    node.ok(&format!("adoptfilled e {}", 100 << 20));
    assert_eq!(node.ok("read e 4096"), "7");
    node.ok("destroy e");
    node.end();
}
