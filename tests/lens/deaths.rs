//! The pair that is about the death of a node: node 2 is killed while it has the token.

use crate::pairs::{Language, Pair};
use crate::programs::{Built, Programs};
use rsm::{Cluster, Permission, SegmentId};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// For a node to come as far, and for the survivors to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where the program counts turns: see `dead_token`.
const COUNT: u64 = 4096 + 520;

/// How often somebody dies at most.
const DEATHS: u64 = 10;

/// Node 2 takes every other turn. It is killed when node 3 has counted, and so will most often have the token by then.
/// The survivors of the repaired program end well, whenever that is; those of the other one do not, at least once.
pub(crate) fn are_survived(programs: &Programs, pair: &Pair, language: Language) -> Result<(), String> {
    for death in 1..=DEATHS / 2 {
        let ended = Lives::begin(programs, pair, language, true)?.go_on_without_node_2(20 * death)?;
        if let Some((node, status)) = ended.into_iter().find(|(_, status)| !status.success()) {
            return Err(format!("node {node} ended with {status} after death {death}"));
        }
    }
    for death in 1..=DEATHS {
        let ended = Lives::begin(programs, pair, language, false)?.go_on_without_node_2(20 * death)?;
        if ended.iter().any(|(node, status)| *node == 1 && status.code() == Some(1)) {
            return Ok(());
        }
    }
    Err(format!("node 1 got its token back {DEATHS} times"))
}

/// The processes of a cluster, which end with it.
struct Lives {
    cluster: Cluster,
    children: Vec<Child>,
}

impl Lives {
    fn begin(programs: &Programs, pair: &Pair, language: Language, good: bool) -> Result<Lives, String> {
        let words = programs.words(pair, language, good, Built::Plainly)?;
        let cluster = Cluster::new(pair.nodes).map_err(|e| e.to_string())?;
        let mut lives = Lives { cluster, children: Vec::new() };
        for node in 1..=pair.nodes {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]).arg("400").stdin(Stdio::null()).stderr(Stdio::null());
            command.envs(lives.cluster.environment(node).map_err(|e| e.to_string())?);
            lives.children.push(command.spawn().map_err(|e| format!("{command:?}: {e}"))?);
        }
        Ok(lives)
    }

    /// Kills node 2 after so many turns. How nodes 1 and 3 end.
    fn go_on_without_node_2(mut self, turns: u64) -> Result<Vec<(u32, ExitStatus)>, String> {
        let deadline = Instant::now() + PATIENCE;
        let looking = || -> rsm::Result<()> {
            let shm = self.cluster.node(1)?.controller("shm0")?;
            let board = shm.connect_within(1, SegmentId::new(0x40_0000), Permission::Read, PATIENCE)?;
            while board.get_u64(COUNT)? < turns && Instant::now() < deadline {
                std::thread::yield_now();
            }
            Ok(())
        };
        looking().map_err(|e| e.to_string())?;
        self.children[1].kill().map_err(|e| e.to_string())?;
        // Of a node that waits for the keeper when that has ended nothing is asked.
        let mut ended = vec![(1, self.end_of(1, deadline)?)];
        if ended[0].1.success() {
            ended.push((3, self.end_of(3, deadline)?));
        }
        Ok(ended)
    }

    fn end_of(&mut self, node: u32, deadline: Instant) -> Result<ExitStatus, String> {
        let child = &mut self.children[node as usize - 1];
        let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|e| e.to_string())?;
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: 0 };
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&left)) {
            Ok(1) => child.wait().map_err(|e| e.to_string()),
            Ok(_) => Err(format!("node {node} still runs")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Lives {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
