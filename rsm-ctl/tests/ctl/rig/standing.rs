//! Clusters that stay until the test ends them.

use std::thread;

use rustix::process::{Pid, Signal, kill_process};

use super::processes::{marked, names, pid};
use super::{Ctl, Finished, ctl, eventually, unique};

/// A cluster started with `up`. A test that fails takes it along.
pub(crate) struct Standing {
    pub(crate) name: String,
    mark: String,
}

impl Standing {
    /// Starts one in the background.
    pub(crate) fn up(words: &[&str]) -> Standing {
        let name = unique("standing");
        let start = ctl(&["up", "--name", &name]).words(words);
        let standing = Standing { name, mark: start.mark.clone() };
        let finished = start.leave();
        assert_eq!((finished.code(), &*finished.stderr), (0, ""));
        assert!(finished.text().contains(&standing.name), "{}", finished.text());
        standing
    }

    /// `rsm-ctl exec` in it, with these words.
    pub(crate) fn exec(&self, words: &[&str]) -> Ctl {
        ctl(&["exec", "--cluster", &self.name]).words(words)
    }

    /// The process that hosts the agent.
    pub(crate) fn warden(&self) -> Pid {
        let finished = ctl(&["ls", "--cluster", &self.name, "--json"]).finish();
        let value: serde_json::Value = serde_json::from_str(finished.text()).unwrap();
        pid(&value["clusters"][0]["agent_pid"].to_string()).unwrap()
    }

    /// Every process of it, `rsm-ctl`'s own included, but not what `exec` started.
    pub(crate) fn processes(&self) -> Vec<Pid> {
        marked(&self.mark)
    }

    /// Ends it, and sees that nothing is left at that moment.
    pub(crate) fn down(self) -> Finished {
        let finished = ctl(&["down", &self.name]).finish();
        let left = self.processes();
        assert_eq!(left, [], "processes are left: {:?}", names(&left));
        finished
    }

    /// Waits until nothing is left of it.
    pub(crate) fn expect_gone(&self) {
        eventually("the end of the cluster", || self.processes().is_empty().then_some(()));
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        if thread::panicking() {
            for process in self.processes() {
                let _ = kill_process(process, Signal::KILL);
            }
        }
    }
}

impl Ctl {
    /// Runs it to its end, and lets live what it leaves.
    fn leave(mut self) -> Finished {
        let output = self.command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        Finished { status: output.status, stdout: output.stdout, stderr }
    }
}
