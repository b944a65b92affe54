//! Exporting more than a control group allows: an error, and not the end of the process.

use super::Story;
use super::story::{NodeProcess, cluster, wait_for};
use std::path::{Path, PathBuf};

pub(crate) const STORIES: &[Story] = &[
    ("an_export_for_which_a_control_group_has_no_room_is_refused", no_room),
    ("memory_that_is_there_already_needs_no_room", there_already),
];

const LIMIT: u64 = 160 << 20;

/// A control group that counts memory, gone when this is dropped.
struct Group(PathBuf);

impl Group {
    /// `None` where this process may make none.
    fn new(name: &str) -> Option<Group> {
        let name = format!("rsm-test-{}-{name}", std::process::id());
        let limit = LIMIT.to_string();
        let unified = Path::new("/sys/fs/cgroup").join(&name);
        let counts = |file: &str| std::fs::read_to_string(file).is_ok_and(|all| all.contains("memory"));
        let made = if counts("/sys/fs/cgroup/cgroup.subtree_control") && std::fs::create_dir(&unified).is_ok() {
            let group = Group(unified);
            group.write("memory.max", &limit)?;
            let _ = group.write("memory.swap.max", "0");
            group
        } else {
            let own = Path::new("/sys/fs/cgroup/memory").join(&name);
            std::fs::create_dir(&own).ok()?;
            let group = Group(own);
            group.write("memory.limit_in_bytes", &limit)?;
            let _ = group.write("memory.memsw.limit_in_bytes", &limit);
            group
        };
        Some(made)
    }

    fn write(&self, file: &str, text: &str) -> Option<()> {
        std::fs::write(self.0.join(file), text).ok()
    }

    fn take(&self, process: &NodeProcess) {
        self.write("cgroup.procs", &process.pid().to_string()).expect("the process enters");
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        wait_for("the group to be left", || std::fs::remove_dir(&self.0).is_ok());
    }
}

fn no_room() {
    let Some(group) = Group::new("room") else { return println!("no control group for memory can be made here") };
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    group.take(&node);
    let fits = 64 << 20;
    for what in ["export", "adopt"] {
        let told = node.fails(&format!("{what} e {}", 2 * LIMIT), 32);
        assert!(told.contains("in the control group"), "{told}");
        // Piece by piece: each fits, all of them do not.
        node.ok(&format!("{what} e {fits}"));
        node.fails(&format!("{what} f {}", LIMIT - fits), 32);
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
    assert!(told.starts_with("err 32 "), "{told}");
    assert!(made * step > LIMIT as usize / 4, "{made} of {step} bytes are few");
    for at in 0..made {
        node.ok(&format!("destroy s{at}"));
    }
    // Another range, for which the old one would need memory of its own.
    node.ok(&format!("adopt e {}", 2 * fits / 2));
    node.fails("rebind e", 32);
    node.ok("write e 0 1");
    node.ok("destroy e");
    node.end();
}

fn there_already() {
    let Some(group) = Group::new("there") else { return println!("no control group for memory can be made here") };
    let cluster = cluster(2);
    let mut node = NodeProcess::start(&cluster, 1);
    group.take(&node);
    // More than half of what it may have: it moves from one place to the other, and is never at both.
    node.ok(&format!("adoptfilled e {}", 100 << 20));
    assert_eq!(node.ok("read e 4096"), "7");
    node.ok("destroy e");
    node.end();
}
