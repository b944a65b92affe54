//! Forked children as processes of the same node, and applications that rearrange their process.

use super::Story;
use super::story::{NodeProcess, cluster};

pub(crate) const STORIES: &[Story] = &[
    ("a_forked_child_transfers_and_is_told", a_forked_child_transfers_and_is_told),
    ("a_forked_child_is_not_the_creator", a_forked_child_is_not_the_creator),
    ("a_forked_child_keeps_sealed_memory_whatever_user_it_becomes", a_forked_child_keeps_sealed_memory),
    ("closefrom_does_not_break_the_library", closefrom_does_not_break_the_library),
    ("changed_ids_count_from_the_next_connect", changed_ids_count_from_the_next_connect),
    ("descriptors_run_out", descriptors_run_out),
];

fn a_forked_child_transfers_and_is_told() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("map i");
    assert_eq!(importer.ok("forkcall put i 0 5"), "ok");
    assert_eq!(exporter.ok("read e 0"), "5");
    assert_eq!(importer.ok("forkcall post i"), "ok");
    exporter.ok("waitexport e 0");
    assert_eq!(importer.ok("forkcall connect j 1 0x400000 rw"), "ok");
    // The child's shares are given back with it; the parent's connection stays.
    importer.ok("put i 0 6");
    exporter.ok("unpublish e");
    assert!(importer.ok("forkcall put i 0 7").starts_with("err 40 "));
    importer.fails("put i 0 7", 40);
    assert_eq!([importer.ok("why i"), importer.ok("forkcall why i")], ["Withdrawn", "ok Withdrawn"]);
    assert_eq!(exporter.ok("read e 0"), "6");
}

fn a_forked_child_is_not_the_creator() {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("export e 4096");
    // The checks that come before that for the creator come first (3.10).
    assert!(node.ok("forkcall unpublish e").starts_with("err 7 "));
    assert!(node.ok("forkcall publish e 1").starts_with("err 23 "));
    assert!(node.ok("forkcall publish e 0x400000").starts_with("err 12 "));
    node.ok("publish e 0x400000");
    assert!(node.ok("forkcall publish e 0x400000").starts_with("err 6 "));
    assert!(node.ok("forkcall unpublish e").starts_with("err 12 "));
    assert_eq!(node.ok("forkcall destroy e"), "ok", "only the child's share goes (D-76)");
    node.ok("connect i 1 0x400000 rw");
    node.ok("put i 0 1");
    assert_eq!(node.ok("forkcall write e 0 2"), "ok");
    assert_eq!(node.ok("read e 0"), "2", "the child sees the same memory (D-67)");
}

fn a_forked_child_keeps_sealed_memory() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to become another user");
        return;
    }
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("exportsealed e 4096");
    exporter.ok("publish e 0x400000 2 0x124"); // mode 0444
    importer.ok("connect i 1 0x400000 r");
    importer.fails("connect j 1 0x400000 rw", 27);
    // It inherits the exporter's mapping, and the kernel asks for rights when memory is mapped (docs/attacks.md).
    assert_eq!(exporter.ok("forkcall writeas e 0 7 65534"), "ok");
    assert_eq!((exporter.ok("read e 0"), importer.ok("get i 0")), ("7".to_owned(), "7".to_owned()));
}

fn closefrom_does_not_break_the_library() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("closefrom 3");
    importer.ok("put i 0 1");
    importer.ok("connect j 1 0x400000 rw");
    importer.ok("closefrom 3");
    exporter.ok("unpublish e");
    importer.fails("put i 0 1", 40);
    importer.ok("export x 4096");
}

fn changed_ids_count_from_the_next_connect() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to change ids");
        return;
    }
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000 2 0x180"); // mode 0600
    importer.ok("connect i 1 0x400000 rw");
    assert_eq!(importer.ok("seteuid 65534"), "0");
    importer.fails("connect j 1 0x400000 rw", 27);
    importer.ok("put i 0 1");
    importer.ok("export x 4096");
    assert_eq!(importer.ok("seteuid 0"), "0");
    importer.ok("connect k 1 0x400000 rw");
}

fn descriptors_run_out() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("nofile 4");
    importer.fails("connect j 1 0x400000 rw", 31);
    importer.fails("export x 4096", 31);
    importer.ok("put i 0 1");
    importer.ok("nofile 64");
    // What the agent had given before the descriptor was refused is undone: nothing is left but `i`.
    importer.ok("connect j 1 0x400000 rw");
    let observer = rsm::observe::Observer::attach(Some(cluster.name())).expect("our cluster");
    assert_eq!(observer.connections().len(), 2);
    assert_eq!(observer.segments().len(), 1);
}
