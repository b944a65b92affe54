//! Nothing is left of what a program owns, however it ends.
//!
//! Whoever descends from a program under test inherits one end of a pipe, so the end of that pipe is the end of them all:
//! fronts, wardens, nodes and what nodes have started.

use rsm_run::{Launch, on_nodes};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{PipeReader, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Longer than anything takes on the busiest machine.
const LONG: Duration = Duration::from_secs(100);
/// After how many seconds the time of a test is up.
const SECONDS: &str = "RSM_LEAKS_SECONDS";
/// Where nodes say that they are there.
const ADDRESS: &str = "RSM_LEAKS_ADDRESS";

/// What all descendants hold, and who calls from among them.
struct Family {
    end: PipeReader,
    callers: UnixListener,
    /// One family at a time: a descriptor that is inherited is inherited by whoever is started.
    _alone: std::sync::MutexGuard<'static, ()>,
}

impl Family {
    /// Runs one of the ignored tests below in a process of its own; returns when `callers` of its nodes are there.
    fn start(test: &str, callers: usize) -> (Family, Child, Vec<UnixStream>) {
        Family::start_with(test, callers, &[])
    }

    /// The same, with more in its environment.
    fn start_with(test: &str, callers: usize, more: &[(&str, String)]) -> (Family, Child, Vec<UnixStream>) {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (end, held) = std::io::pipe().unwrap();
        let address = format!("rsm-leaks-{}-{test}", std::process::id());
        let listener = UnixListener::bind_addr(&SocketAddr::from_abstract_name(&address).unwrap()).unwrap();
        fcntl_setfd(&held, FdFlags::empty()).unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", test, "--ignored", "--nocapture"]).env(ADDRESS, address);
        command.envs(more.iter().map(|(name, value)| (name, value)));
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        drop(held);
        let family = Family { end, callers: listener, _alone: alone };
        let callers = (0..callers).map(|_| family.caller()).collect();
        (family, child, callers)
    }

    /// Waits for a node, for not too long.
    fn caller(&self) -> UnixStream {
        let listener = self.callers.try_clone().unwrap();
        let (mut caller, _) = in_time(move || listener.accept().unwrap());
        caller.read_exact(&mut [0]).unwrap();
        caller
    }

    /// How many nodes have called, if they have gone since or not, and no other of them comes.
    fn callers_so_far(&self) -> usize {
        self.callers.set_nonblocking(true).unwrap();
        let called = |(mut caller, _): (UnixStream, SocketAddr)| caller.read_exact(&mut [0]).is_ok();
        std::iter::from_fn(|| self.callers.accept().ok()).filter_map(|caller| called(caller).then_some(())).count()
    }

    /// Waits until none of them is left.
    fn expect_gone(mut self) {
        assert_eq!(in_time(move || self.end.read(&mut [0]).unwrap()), 0);
    }
}

/// Does something that waits for another process on a thread of its own, so that the wait has an end.
fn in_time<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = channel();
    std::thread::spawn(move || sender.send(act()));
    receiver.recv_timeout(LONG).expect("it does not take that long")
}

fn ended(mut child: Child) -> (Option<i32>, String) {
    in_time(move || {
        let mut said = String::new();
        child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (child.wait().unwrap().code(), said)
    })
}

/// Says that a node is there, and stays, with a process that it has started and that outlives its parent.
fn call_and_stay() {
    let address = std::env::var(ADDRESS).unwrap();
    let mut caller = UnixStream::connect_addr(&SocketAddr::from_abstract_name(address).unwrap()).unwrap();
    let mut child = Command::new("sleep").arg("600").spawn().unwrap();
    caller.write_all(b"x").unwrap();
    child.wait().unwrap();
}

#[test]
#[ignore = "run by the tests below"]
fn stays_for_ever() {
    on_nodes!(2, timeout = 600, |_| call_and_stay());
}

#[test]
fn a_test_that_is_killed_takes_its_nodes_along() {
    let (family, mut child, _callers) = Family::start("stays_for_ever", 2);
    child.kill().unwrap();
    child.wait().unwrap();
    family.expect_gone();
}

/// Kills one of the processes between a test and its nodes: the ancestor of a node, so many generations up.
fn kill_between(generation: usize) {
    let (family, child, callers) = Family::start("stays_for_ever", 2);
    let node = rustix::net::sockopt::socket_peercred(&callers[0]).unwrap().pid;
    let process = (0..generation).fold(node, |process, _| parent(process));
    assert_ne!(process, Pid::from_child(&child));
    kill_process(process, Signal::KILL).unwrap();
    let (code, said) = ended(child);
    assert_eq!(code, Some(101), "{said}");
    family.expect_gone();
}

fn parent(process: Pid) -> Pid {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.as_raw_pid())).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    Pid::from_raw(parent.trim().parse().unwrap()).unwrap()
}

#[test]
fn a_warden_that_is_killed_leaves_nobody() {
    kill_between(1);
}

#[test]
fn a_front_that_is_killed_leaves_nobody() {
    kill_between(2);
}

#[test]
#[ignore = "run by the tests below"]
fn is_late() {
    let seconds: f64 = std::env::var(SECONDS).unwrap().parse().unwrap();
    on_nodes!(2, timeout = seconds, grace = 0.1, |_| call_and_stay());
}

#[test]
fn a_time_out_leaves_nobody() {
    // As little as it takes both nodes to be there.
    let whole = (0..7).map(|doubled| f64::from(1 << doubled)).find(|seconds| {
        let (family, child, _) = Family::start_with("is_late", 0, &[(SECONDS, seconds.to_string())]);
        let (code, said) = ended(child);
        let whole = family.callers_so_far() == 2;
        let still = if whole { "; still running: node 1, 2" } else { "" };
        let told = format!("timed out after {seconds:.1} s{still}");
        assert!(code == Some(101) && said.contains(&told), "{code:?}: {said}");
        family.expect_gone();
        whole
    });
    assert!(whole.is_some(), "both nodes are there within a minute");
}

#[test]
#[ignore = "run by the tests below"]
fn panics_beside_its_nodes() {
    let node = || {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "is_started_as_a_program", "--ignored", "--nocapture"]);
        command
    };
    let _run = Launch::new(2).program("all", &node()).start().unwrap();
    let cluster = Launch::new(1).cluster().unwrap();
    let _process = cluster.spawn(1, &node()).unwrap();
    // Only then, whoever waits for the callers is told.
    let mut told =
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(std::env::var(ADDRESS).unwrap()).unwrap()).unwrap();
    told.write_all(b"x").unwrap();
    told.read_exact(&mut [0]).unwrap();
    panic!("enough of it");
}

#[test]
#[ignore = "run by the tests below"]
fn is_started_as_a_program() {
    call_and_stay();
}

#[test]
fn a_panic_leaves_nobody() {
    let (family, child, mut callers) = Family::start("panics_beside_its_nodes", 4);
    // Whoever waits for an answer takes it; the others do not read, and are gone as soon as it has.
    for caller in &mut callers {
        let _ = caller.write_all(b"x");
    }
    let (code, said) = ended(child);
    assert!(code == Some(101) && said.contains("enough of it"), "{code:?}: {said}");
    family.expect_gone();
}
