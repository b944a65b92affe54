//! Isolated nodes: agent and nodes of different users, joined by their keys.

use super::attacks::start;
use rsm::Code;
use rsm_stories::story;

story!(nodes_of_different_users_work_together);
fn nodes_of_different_users_work_together() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: needs root to start processes of four users");
        return;
    }
    let mut agent = start("", Some(65530));
    let nodes = agent.ok("host 3");
    let nodes: Vec<&str> = nodes.split(' ').collect();
    let mut exporter = start(nodes[0], Some(65531));
    exporter.ok("export open 4194304");
    // Another user, let in by mode 0666: data and signals go as between nodes of one user.
    let mut importer = start(nodes[1], Some(65532));
    assert_eq!(importer.ok("visit connect"), "65536");
    assert_eq!(exporter.ok("read 0"), "1");
    assert_eq!(exporter.ok("pending"), "true");
    exporter.ok("unpublish");
    // Mode 0444 lets the same user read and no more, whoever it is.
    exporter.ok("export guarded 4194304");
    importer.fails("visit connect", Code::PermDenied);
    let mut reader = start(nodes[2], Some(65533));
    reader.fails("visit connect", Code::PermDenied);
    // A reader and the exporter's own node at once: both get what they were given.
    let told = reader.ok("attack reopen 0 0 0");
    assert!(told.contains("Permission denied"), "{told}");
    assert_eq!(exporter.ok("connectown"), "0");
    for process in [reader, importer, exporter] {
        process.end();
    }
}
