//! Programs on nodes: started, heard, killed, and waited for. Whatever a story leaves is killed and reaped.

use rsm::Cluster;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A program on a node, and what it says.
pub(crate) struct Running {
    child: Child,
    lines: Receiver<String>,
}

/// How it ended, and what it had still to say.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    pub(crate) said: Vec<String>,
}

impl Running {
    /// Starts this program as `words`, on a node.
    pub(crate) fn start(cluster: &Cluster, node: u32, words: &[&str]) -> Running {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(words)
            .env(rsm_stories::ENV_NODE, "1")
            .envs(cluster.environment(node).expect("a node"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines) = channel();
        // Ends with the pipe.
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
        Running { child, lines }
    }

    /// The next line, which must be this one.
    #[track_caller]
    pub(crate) fn hears(&self, wanted: &str) {
        assert_eq!(self.lines.recv_timeout(rsm_stories::patience()).as_deref(), Ok(wanted));
    }

    /// SIGKILLs and reaps it.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Waits for its end.
    pub(crate) fn end(mut self) -> Ended {
        let mut status = None;
        let child = &mut self.child;
        rsm_stories::wait_for("a program to end", || {
            status = child.try_wait().expect("our child");
            status.is_some()
        });
        // The pipe ends with the process, which has no children.
        Ended { status: status.expect("it has ended"), said: self.lines.iter().collect() }
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    pub(crate) fn ends_well(self) -> Vec<String> {
        let ended = self.end();
        assert!(ended.status.success(), "{ended:?}");
        ended.said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
