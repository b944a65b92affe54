//! Forked children as processes of the same node, and applications that rearrange their process.

use rsm::Code;
use rsm_stories::{NodeProcess, cluster, refused_as, story};

story!(a_forked_child_transfers_and_is_told);
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
    assert!(refused_as(&importer.ok("forkcall put i 0 7"), Code::ConnAborted));
    importer.fails("put i 0 7", Code::ConnAborted);
    assert_eq!([importer.ok("why i"), importer.ok("forkcall why i")], ["Withdrawn", "ok Withdrawn"]);
    assert_eq!(exporter.ok("read e 0"), "6");
}

story!(a_forked_child_is_not_the_creator);
fn a_forked_child_is_not_the_creator() {
    let cluster = cluster(1);
    let mut node = NodeProcess::start(&cluster, 1);
    node.ok("export e 4096");
    // The checks that come before that for the creator come first (3.10).
    assert!(refused_as(&node.ok("forkcall unpublish e"), Code::SegNotPublished));
    assert!(refused_as(&node.ok("forkcall publish e 1"), Code::ReservedSegid));
    assert!(refused_as(&node.ok("forkcall publish e 0x400000"), Code::NotCreator));
    node.ok("publish e 0x400000");
    assert!(refused_as(&node.ok("forkcall publish e 0x400000"), Code::SegAlreadyPublished));
    assert!(refused_as(&node.ok("forkcall unpublish e"), Code::NotCreator));
    assert_eq!(node.ok("forkcall destroy e"), "ok", "only the child's share goes (D-76)");
    node.ok("connect i 1 0x400000 rw");
    node.ok("put i 0 1");
    assert_eq!(node.ok("forkcall write e 0 2"), "ok");
    assert_eq!(node.ok("read e 0"), "2", "the child sees the same memory (D-67)");
}

story!(a_forked_child_keeps_sealed_memory_whatever_user_it_becomes);
fn a_forked_child_keeps_sealed_memory_whatever_user_it_becomes() {
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
    importer.fails("connect j 1 0x400000 rw", Code::PermDenied);
    // It inherits the exporter's mapping, and the kernel asks for rights when memory is mapped (docs/attacks.md).
    assert_eq!(exporter.ok("forkcall writeas e 0 7 65534"), "ok");
    assert_eq!((exporter.ok("read e 0"), importer.ok("get i 0")), ("7".to_owned(), "7".to_owned()));
}

story!(what_is_given_back_without_a_descriptor_is_told_later);
/// The program has closed the socket, and there is no room for another.
fn what_is_given_back_without_a_descriptor_is_told_later() {
    let cluster = cluster(2);
    let (mut exporter, mut importer) = (NodeProcess::start(&cluster, 1), NodeProcess::start(&cluster, 2));
    exporter.ok("export e 4096");
    exporter.ok("watch e");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    assert_eq!(exporter.ok("event e 20000"), format!("connected 2 {}", importer.pid()));
    importer.ok("export own 4096");
    importer.ok("publish own 0x400000");
    exporter.ok("connect o 2 0x400000 rw");
    importer.ok("closefrom 3");
    importer.ok("nofile 3");
    importer.fails("disconnect i", Code::InsufficientResources);
    importer.fails("destroy own", Code::InsufficientResources);
    importer.ok("nofile 1024");
    importer.ok("export other 4096");
    assert_eq!(exporter.ok("event e 20000"), format!("left 2 {} Some(Disconnected)", importer.pid()));
    exporter.until_fails("put o 0 1", Code::ConnAborted);
}

story!(closefrom_does_not_break_the_library);
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
    importer.fails("put i 0 1", Code::ConnAborted);
    importer.ok("export x 4096");
}

story!(changed_ids_count_from_the_next_connect);
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
    importer.fails("connect j 1 0x400000 rw", Code::PermDenied);
    importer.ok("put i 0 1");
    importer.ok("export x 4096");
    assert_eq!(importer.ok("seteuid 0"), "0");
    importer.ok("connect k 1 0x400000 rw");
}

story!(descriptors_run_out);
fn descriptors_run_out() {
    let cluster = cluster(2);
    let mut exporter = NodeProcess::start(&cluster, 1);
    let mut importer = NodeProcess::start(&cluster, 2);
    exporter.ok("export e 4096");
    exporter.ok("publish e 0x400000");
    importer.ok("connect i 1 0x400000 rw");
    importer.ok("nofile 4");
    importer.fails("connect j 1 0x400000 rw", Code::InsufficientResources);
    importer.fails("export x 4096", Code::InsufficientResources);
    importer.ok("put i 0 1");
    importer.ok("nofile 64");
    // What the agent had given before the descriptor was refused is undone: nothing is left but `i`.
    importer.ok("connect j 1 0x400000 rw");
    let observer = rsm::observe::Observer::attach(Some(cluster.name())).expect("our cluster");
    assert_eq!(observer.connections().len(), 2);
    assert_eq!(observer.segments().len(), 1);
}
