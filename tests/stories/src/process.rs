//! How stories are told: a cluster, its node processes, what they answer, what the system holds.

use crate::ENV_NODE;
use rsm::{Cluster, Code, Geometry};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Nothing in a story takes this long unless it hangs; wide, for machines with other work. `RSM_TEST_PATIENCE` is a factor
/// for those that are slow, such as emulated ones.
pub fn patience() -> Duration {
    let factor = std::env::var("RSM_TEST_PATIENCE").map_or(1, |text| {
        text.parse()
            .ok()
            .filter(|factor| (1..=100).contains(factor))
            .expect("RSM_TEST_PATIENCE is a number from 1 to 100")
    });
    Duration::from_secs(120) * factor
}

/// A cluster with its agent in this process.
pub fn cluster(nodes: u32) -> Cluster {
    Cluster::new(nodes).expect("a cluster")
}

/// A cluster with small tables.
pub fn small_cluster(nodes: u32, geometry: Geometry) -> Cluster {
    Cluster::builder(nodes).geometry(geometry).start().expect("a cluster")
}

/// A command of a story, which is written for pages of 4096 bytes, for those of this machine: what counts such pages, up
/// to a MiB, becomes as many of these.
fn in_pages(command: &str) -> String {
    const WRITTEN: usize = 4096;
    let page = rsm_shm::memory::page_size();
    let word = |word: &str| match word.parse::<usize>() {
        Ok(bytes) if (1..1 << 20).contains(&bytes) && bytes.is_multiple_of(WRITTEN) => {
            (bytes / WRITTEN * page).to_string()
        }
        _ => word.to_owned(),
    };
    command.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// A node process. Killed and reaped when dropped.
pub struct NodeProcess {
    child: Child,
    input: Option<ChildStdin>,
    answers: Receiver<String>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl NodeProcess {
    /// Starts a process of `node`.
    pub fn start(cluster: &Cluster, node: u32) -> NodeProcess {
        NodeProcess::with(cluster.environment(node).expect("a node"))
    }

    /// Starts a node program with this environment.
    pub fn with(environment: Vec<(&'static str, String)>) -> NodeProcess {
        NodeProcess::launch(Command::new(std::env::current_exe().expect("this program")), environment)
    }

    /// Starts a node program under another one, such as strace; `None` when that is not installed.
    pub fn under(wrapper: &[&str], environment: Vec<(&'static str, String)>) -> Option<NodeProcess> {
        let installed = Command::new(wrapper[0]).arg("-V").stdout(Stdio::null()).status().is_ok();
        let mut command = Command::new(wrapper[0]);
        command.args(&wrapper[1..]).arg(std::env::current_exe().expect("this program"));
        installed.then(|| NodeProcess::launch(command, environment))
    }

    /// Starts a node program by this command, with this environment.
    pub fn launch(mut command: Command, environment: Vec<(&'static str, String)>) -> NodeProcess {
        let mut child = command
            .env(ENV_NODE, "1")
            .envs(environment)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a node process");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, answers) = channel();
        // Ends with the pipe, so with the process and whatever it left the pipe to.
        let reader = std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        NodeProcess { input: child.stdin.take(), child, answers, reader: Some(reader) }
    }

    /// Sends a command without waiting for its answer.
    pub fn tell(&mut self, command: &str) {
        let input = self.input.as_mut().expect("not ended");
        writeln!(input, "{}", in_pages(command)).expect("the node reads");
    }

    /// The next answer.
    pub fn heard(&mut self) -> String {
        self.answers.recv_timeout(patience()).expect("the node answers")
    }

    /// The next answer, if it has come.
    pub fn heard_already(&mut self) -> Option<String> {
        self.answers.try_recv().ok()
    }

    /// Sends a command; gives the answer, or nothing when the process ends instead.
    pub fn try_ask(&mut self, command: &str) -> Option<String> {
        let input = self.input.as_mut().expect("not ended");
        writeln!(input, "{}", in_pages(command)).ok()?;
        match self.answers.recv_timeout(patience()) {
            Ok(answer) => Some(answer),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("{command}: no answer within {:?}", patience()),
        }
    }

    /// How the process ended; nothing while it lives.
    pub fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().expect("our child")
    }

    /// Sends a command; gives the answer as it is.
    pub fn ask(&mut self, command: &str) -> String {
        self.tell(command);
        self.heard()
    }

    /// Sends a command that must succeed; gives what it said.
    #[track_caller]
    pub fn ok(&mut self, command: &str) -> String {
        let answer = self.ask(command);
        answer.strip_prefix("ok").unwrap_or_else(|| panic!("{command}: {answer}")).trim().to_owned()
    }

    /// Sends a command that must fail with this code; gives the text.
    #[track_caller]
    pub fn fails(&mut self, command: &str, code: Code) -> String {
        let answer = self.ask(command);
        assert!(refused_as(&answer, code), "{command}: {answer}, expected {}", code.name());
        answer
    }

    /// Asks again until the answer begins so, or the patience ends.
    #[track_caller]
    pub fn until(&mut self, command: &str, wanted: &str) {
        self.until_so(command, wanted, |answer| answer.starts_with(wanted));
    }

    /// Asks again until the command fails with this code, or the patience ends.
    #[track_caller]
    pub fn until_fails(&mut self, command: &str, code: Code) {
        self.until_so(command, code.name(), |answer| refused_as(answer, code));
    }

    #[track_caller]
    fn until_so(&mut self, command: &str, wanted: &str, so: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + patience();
        loop {
            let answer = self.ask(command);
            if so(&answer) {
                return;
            }
            assert!(Instant::now() < deadline, "{command}: still {answer}, not {wanted}");
            std::thread::yield_now();
        }
    }

    /// Its process id.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a process id")
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("our child");
    }

    /// Stops the process and waits until it has stopped.
    pub fn stop(&self) {
        self.signal(rustix::process::Signal::STOP);
        let pid = rustix::process::Pid::from_raw(self.pid()).expect("a process id");
        // Said when all its threads stand still, which the state of the first one does not say.
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        wait_for("the process to stop", || waitid(WaitId::Pid(pid), options).expect("our child").is_some());
    }

    /// SIGKILLs and reaps the process, which has no children that could hold its pipes.
    pub fn kill(mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
        self.reader.take().expect("once").join().expect("the reader ends with the pipe");
    }

    /// Closes its input, which ends it in order, and reaps it.
    pub fn end(mut self) {
        drop(self.input.take());
        let child = &mut self.child;
        wait_for("the node to end", || child.try_wait().expect("our child").is_some());
    }

    /// Reaps a process that ends by itself.
    pub fn reap(mut self) {
        let child = &mut self.child;
        wait_for("the node to end", || child.try_wait().expect("our child").is_some());
    }
}

impl Drop for NodeProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The code that an answer gives; `None` for success.
pub fn code_of(answer: &str) -> Option<Code> {
    let name = answer.strip_prefix("err ")?.split(' ').next()?;
    Some(*Code::ALL.iter().find(|code| code.name() == name).unwrap_or_else(|| panic!("no code is called {name}")))
}

/// Whether an answer says that something failed with this code.
pub fn refused_as(answer: &str, code: Code) -> bool {
    code_of(answer) == Some(code)
}

/// What the commands `host` and `hostwarm` say of one node: the environment of its processes.
pub fn environment_of(word: &str) -> Vec<(&'static str, String)> {
    let names = ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"];
    let values: Vec<&str> = word.split(',').map(|pair| pair.split_once('=').expect("a pair").1).collect();
    names.into_iter().zip(values).map(|(name, value)| (name, value.to_owned())).collect()
}

/// The state letter of a process.
pub fn state_of(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Waits until something is so. The pause only spares the processor; nothing depends on its length.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + patience();
    while !so() {
        assert!(Instant::now() < deadline, "waited too long for {what}");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// Makes a file that can be run. Another process writes it: what this one has open for writing, a process that another
/// thread starts at that moment has open as well, and the kernel runs nothing that somebody may write (ETXTBSY).
pub fn install(path: &Path, content: &[u8], mode: u32) {
    let mut writer = Command::new("sh")
        .args(["-c", "cat > \"$0\" && chmod \"$1\" \"$0\""])
        .arg(path)
        .arg(format!("{mode:o}"))
        .stdin(Stdio::piped())
        .spawn()
        .expect("a shell");
    // The end of what it reads is when this is dropped.
    writer.stdin.take().expect("a pipe").write_all(content).expect("written");
    assert!(writer.wait().expect("an end").success(), "cannot write {}", path.display());
}

/// Why a program in a directory would not run as its owner, with the set-user-id bit; `None` where it would.
pub fn no_raised_rights(directory: &Path) -> Option<&'static str> {
    // In a container, or behind a filter of system calls.
    if rustix::thread::no_new_privs().unwrap_or(false) {
        return Some("no program that is started here gets rights that its caller has not (no_new_privs)");
    }
    let flags = rustix::fs::statvfs(directory).map(|about| about.f_flag);
    flags.is_ok_and(|flags| flags.contains(rustix::fs::StatVfsMountFlags::NOSUID)).then_some("it is mounted nosuid")
}

/// Kills a process that is not our child but that a story of ours made, and waits until it is gone.
pub fn kill_grandchild(pid: i32) {
    if let Some(process) = rustix::process::Pid::from_raw(pid) {
        let _ = rustix::process::kill_process(process, rustix::process::Signal::KILL);
        wait_for("a grandchild to end", || matches!(state_of(pid), None | Some('Z')));
    }
}
