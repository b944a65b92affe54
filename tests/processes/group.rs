//! Control groups that limit what a test starts.

use rsm_stories::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};

/// A limit: file and value in the unified hierarchy, and in a hierarchy of the controller's own (cgroup v1).
pub(crate) struct Limit {
    pub(crate) unified: (&'static str, &'static str),
    pub(crate) own: (&'static str, &'static str),
    /// Kernels without it are fine.
    pub(crate) optional: bool,
}

/// A controller, and what it is told.
pub(crate) struct Limits {
    pub(crate) controller: &'static str,
    pub(crate) limits: &'static [Limit],
}

/// A control group, gone when this is dropped: by then what was in it must have ended.
pub(crate) struct Group(PathBuf);

impl Group {
    /// Makes one where the machine has the controller.
    ///
    /// # Errors
    /// Why none can be made here.
    pub(crate) fn new(name: &str, limits: &Limits) -> Result<Group, String> {
        let name = format!("rsm-test-{}-{name}", std::process::id());
        let controller = limits.controller;
        let hands_down = |root: &Path| {
            let controllers = std::fs::read_to_string(root.join("cgroup.subtree_control")).unwrap_or_default();
            controllers.split_whitespace().any(|word| word == controller)
        };
        let unified =
            ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].into_iter().map(Path::new).find(|&root| hands_down(root));
        let own = Path::new("/sys/fs/cgroup").join(controller);
        let folder = match unified {
            Some(root) => root.join(name),
            None if own.is_dir() => own.join(name),
            None => return Err(format!("no control group for {controller} is mounted, or handed down")),
        };
        std::fs::create_dir(&folder).map_err(|error| format!("no control group {}: {error}", folder.display()))?;
        let group = Group(folder);
        for limit in limits.limits {
            let (file, value) = if unified.is_some() { limit.unified } else { limit.own };
            let written = std::fs::write(group.0.join(file), value);
            if !limit.optional {
                written.map_err(|error| format!("{file} of a control group cannot be {value}: {error}"))?;
            }
        }
        Ok(group)
    }

    /// The file that takes the number of a process that is to enter.
    pub(crate) fn entrance(&self) -> PathBuf {
        self.0.join("cgroup.procs")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // Who is in it ends after this, and may be stopped.
            let pids = std::fs::read_to_string(self.entrance()).unwrap_or_default();
            for pid in pids.lines().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        wait_for("the group to be left", || std::fs::remove_dir(&self.0).is_ok());
    }
}
