//! A soak: nodes that do random verbs, and are killed, stopped, restarted and cut off at random.
//!
//!   RSM_SOAK_SECONDS=120 RSM_SOAK_SEED=7 cargo test -p rsm --test soak -- --nocapture
//!
//! Without the first it takes four seconds, with RSM_TESTS=all six, and half as long once more with the nodes on two hosts, which are two
//! agents here, or as long as it takes until something can be compared; the second chooses what happens (the order in which processes run stays the
//! machine's), and is any number when it is `random` or not there. One line for each fault. What is checked all the time is in [`node`] and [`Ledger`]; in the end the
//! registry is empty and nothing is left of the cluster.

mod ledger;
mod node;
mod random;
mod record;

use ledger::Ledger;
use libtest_mimic::{Arguments, Trial};
use random::Random;
use record::NODES;
use rsm::Cluster;
use rsm::observe::Observer;
use rsm::steer::{Links, Steering};
use rsm_stories::gate::Holdings;
use rsm_stories::patience;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How long a process that runs may say nothing: waits without deadlines end when somebody posts.
const SILENCE: Duration = Duration::from_secs(60);

fn main() {
    if let Ok(seed) = std::env::var("RSM_SOAK_NODE") {
        return node::run(seed.parse().expect("a seed"));
    }
    let number =
        |name| std::env::var(name).ok().map(|n| n.parse::<u64>().unwrap_or_else(|_| panic!("{name}={n}: no number")));
    let usual = if std::env::var("RSM_TESTS").is_ok_and(|which| which == "all") { 6 } else { 4 };
    let seconds = number("RSM_SOAK_SECONDS").unwrap_or(usual);
    // Without a number any will do; it is printed.
    let given = std::env::var("RSM_SOAK_SEED").is_ok_and(|seed| seed != "random");
    let seed = if given { number("RSM_SOAK_SEED") } else { None }.unwrap_or_else(any_seed);
    let trial = |name: &str, hosts: usize| {
        Trial::test(name, move || {
            let time = Duration::from_secs(seconds) / u32::try_from(hosts).expect("few");
            soak(time, seed, hosts).map_err(|text| {
                let again = format!("RSM_SOAK_SECONDS={seconds} RSM_SOAK_SEED={seed} cargo test -p rsm --test soak");
                format!("{text}\nto repeat it: {again}").into()
            })
        })
    };
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1); // in this thread: the gate counts threads
    let control = Trial::test("what_must_not_be_is_noticed", || controls().map_err(Into::into));
    libtest_mimic::run(&arguments, vec![control, trial("soak", 1), trial("soak_of_two_hosts", 2)]).exit();
}

fn any_seed() -> u64 {
    let secret = rsm_shm::address::random_secret().expect("random numbers");
    u64::from_le_bytes(secret[..8].try_into().expect("eight bytes")) >> 32
}

/// The checks of a soak, given what they must refuse.
fn controls() -> Result<(), String> {
    let whole = record::record(7, 2, 5);
    let stray = record::record(8, 2, 5);
    let mut torn = whole;
    torn[3] ^= 1 << 20;
    let refused = |what: &str, result: Result<(), String>| match result {
        Ok(()) => Err(format!("{what} was not noticed")),
        Err(_) => Ok(()),
    };
    record::check(7, 2, &whole)?;
    refused("a store from another publication", record::check(7, 2, &stray).map(drop))?;
    refused("another node's record", record::check(7, 3, &whole).map(drop))?;
    refused("a changed word", record::check(7, 2, &torn).map(drop))?;
    let tell = |lines: &[&str]| {
        let mut ledger = Ledger::default();
        lines.iter().try_for_each(|line| ledger.hear(1, line)).and_then(|()| ledger.close())
    };
    let fine = ["ops 9", "vouched 7 2 5", "found 7 2 5", "posted 3 2", "taken 3 2"];
    tell(&fine)?;
    refused("a lost record", tell(&["ops 9", "vouched 7 2 5", "found 7 2 4"]))?;
    refused("a lost signal", tell(&[fine[0], fine[1], fine[2], "posted 3 2", "taken 3 1"]))?;
    refused("a complaint", tell(&["bad something"]))?;
    refused("a soak that compared nothing", tell(&["ops 9"]))
}

fn held() -> Holdings {
    let mut held = Holdings::of(std::process::id().cast_signed());
    held.add(Holdings::of_everything());
    held
}

/// The nodes, on so many hosts.
fn start(hosts: usize) -> rsm::Result<Vec<Cluster>> {
    if hosts == 1 {
        return Ok(vec![Cluster::new(NODES)?]);
    }
    let bridge = format!("local:soak-{}", std::process::id());
    let host = |here: [u32; 2]| Cluster::builder(NODES).here(here).bridge("shm0", &bridge).start();
    let clusters = vec![host([1, 2])?, host([3, 4])?];
    clusters.iter().try_for_each(|cluster| cluster.await_bridge(patience()))?;
    Ok(clusters)
}

fn soak(time: Duration, seed: u64, hosts: usize) -> Result<(), String> {
    println!("seed {seed}, {} s, {hosts} hosts", time.as_secs_f32());
    let before = held();
    let cluster = start(hosts).map_err(|e| e.to_string())?;
    let names: Vec<String> = cluster.iter().map(|cluster| cluster.name().to_owned()).collect();
    let mut soak = Soak::start(&cluster, seed)?;
    soak.run(time).and_then(|()| soak.end())?;
    let totals =
        format!("{}; {:?}; the agent's slowest answer took {:?}", soak.ledger.totals(), soak.faults, soak.slowest);
    drop(soak);
    drop(cluster);
    before.is_again("left behind", held)?;
    for name in names {
        Holdings::default().is_again("left of the cluster", || Holdings::of_cluster(&name))?;
    }
    println!("{totals}; nothing left");
    Ok(())
}

/// Faults so far.
#[derive(Debug, Default)]
struct Faults {
    kills: u64,
    stops: u64,
    link_downs: u64,
    link_errors: u64,
}

struct Process {
    node: u32,
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    reader: std::thread::JoinHandle<()>,
    heard: Instant,
    /// Until when it is stopped.
    stopped: Option<Instant>,
}

struct Soak<'a> {
    /// One for each host.
    clusters: &'a [Cluster],
    steerings: Vec<Steering>,
    random: Random,
    processes: Vec<Process>,
    /// Links that are down, and until when.
    down: Vec<(u32, u32, Instant)>,
    ledger: Ledger,
    faults: Faults,
    slowest: Duration,
    began: Instant,
}

impl<'a> Soak<'a> {
    fn start(clusters: &'a [Cluster], seed: u64) -> Result<Soak<'a>, String> {
        let steerings =
            clusters.iter().map(Cluster::steering).collect::<rsm::Result<_>>().map_err(|e| e.to_string())?;
        let (ledger, faults) = (Ledger::new(clusters.len() > 1), Faults::default());
        let (random, began, slowest) = (Random::new(seed), Instant::now(), Duration::ZERO);
        let (processes, down) = (Vec::new(), Vec::new());
        let mut soak = Soak { clusters, steerings, random, processes, down, ledger, faults, slowest, began };
        for node in 1..=NODES {
            let process = soak.launch(node)?;
            soak.processes.push(process);
        }
        Ok(soak)
    }

    /// Which host a node is on.
    fn host(&self, node: u32) -> usize {
        (node as usize - 1) * self.clusters.len() / NODES as usize
    }

    /// Where the links of a node can be steered.
    fn steering(&self, node: u32) -> &Steering {
        &self.steerings[self.host(node)]
    }

    fn launch(&mut self, node: u32) -> Result<Process, String> {
        let mut child = Command::new(std::env::current_exe().map_err(|e| e.to_string())?)
            .env("RSM_SOAK_NODE", self.random.next().to_string())
            .envs(self.clusters[self.host(node)].environment(node).map_err(|e| e.to_string())?)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| e.to_string())?;
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let (tell, lines): (Sender<String>, _) = channel();
        let reader = std::thread::spawn(move || {
            output.lines().map_while(Result::ok).try_for_each(|line| tell.send(line)).unwrap_or_default();
        });
        Ok(Process { node, input: child.stdin.take(), child, lines, reader, heard: Instant::now(), stopped: None })
    }

    fn note(&self, fault: std::fmt::Arguments<'_>) {
        println!("{:9.3} s  {fault}", self.began.elapsed().as_secs_f32());
    }

    fn run(&mut self, time: Duration) -> Result<(), String> {
        // What is compared is said by nodes, for which a busy machine may take its time.
        while self.began.elapsed() < time || !(self.ledger.compares() || self.began.elapsed() > patience()) {
            self.disturb()?;
            let pause = Instant::now() + self.random.millis(20, 200);
            while Instant::now() < pause {
                self.listen()?;
                self.recover()?;
                std::thread::park_timeout(Duration::from_millis(5));
            }
            self.ask_agent()?;
        }
        Ok(())
    }

    fn disturb(&mut self) -> Result<(), String> {
        let at = self.random.below(self.processes.len() as u64) as usize;
        let node = self.processes[at].node;
        let other = 1 + self.random.below(u64::from(NODES)) as u32;
        match self.random.below(4) {
            0 => {
                self.note(format_args!("kill node {node}"));
                self.faults.kills += 1;
                let dead = self.processes.swap_remove(at);
                self.bury(dead)?;
                let process = self.launch(node)?;
                self.processes.push(process);
            }
            1 if self.processes[at].stopped.is_none() => {
                let time = self.random.millis(1, 800);
                self.note(format_args!("stop node {node} for {time:?}"));
                self.faults.stops += 1;
                signal(&self.processes[at], Signal::STOP);
                self.processes[at].stopped = Some(Instant::now() + time);
            }
            2 if !self.down.iter().any(|(a, b, _)| (*a, *b) == (node, other) || (*b, *a) == (node, other)) => {
                let time = self.random.millis(1, 300);
                self.note(format_args!("link {node} - {other} down for {time:?}"));
                self.faults.link_downs += 1;
                self.steering(node).link_down(&Links::between(node, other)).map_err(|e| format!("link down: {e}"))?;
                self.down.push((node, other, Instant::now() + time));
            }
            3 => match self.steering(node).link_error(&Links::between(node, other)) {
                Ok(()) => {
                    self.note(format_args!("link {node} - {other} error"));
                    self.faults.link_errors += 1;
                }
                Err(error) => return Err(format!("link error: {error}")),
            },
            _ => {}
        }
        Ok(())
    }

    /// Kills and reaps a process, and hears what it had still to say.
    fn bury(&mut self, mut dead: Process) -> Result<(), String> {
        dead.child.kill().map_err(|e| e.to_string())?;
        dead.child.wait().map_err(|e| e.to_string())?;
        dead.reader.join().map_err(|_| "a reader panicked")?;
        while let Ok(line) = dead.lines.try_recv() {
            self.ledger.hear(dead.node, &line)?;
        }
        self.ledger.died();
        Ok(())
    }

    fn listen(&mut self) -> Result<(), String> {
        for process in &mut self.processes {
            while let Ok(line) = process.lines.try_recv() {
                process.heard = Instant::now();
                self.ledger.hear(process.node, &line)?;
            }
            if process.stopped.is_some() {
                process.heard = Instant::now();
            }
            if process.heard.elapsed() > SILENCE {
                return Err(format!("node {} (process {}) is stuck", process.node, process.child.id()));
            }
            if let Some(status) = process.child.try_wait().map_err(|e| e.to_string())? {
                while let Ok(line) = process.lines.recv_timeout(patience()) {
                    self.ledger.hear(process.node, &line)?;
                }
                return Err(format!("node {} ended by itself: {status}", process.node));
            }
        }
        Ok(())
    }

    /// Lets stopped nodes go on and links come up when their time is over.
    fn recover(&mut self) -> Result<(), String> {
        let now = Instant::now();
        for process in self.processes.iter_mut().filter(|p| p.stopped.is_some_and(|until| until <= now)) {
            signal(process, Signal::CONT);
            process.stopped = None;
        }
        let over: Vec<_> = self.down.extract_if(.., |(_, _, until)| *until <= now).collect();
        for (a, b, _) in over {
            self.steering(a).link_up(&Links::between(a, b)).map_err(|e| format!("link up: {e}"))?;
        }
        Ok(())
    }

    /// The agent answers who comes to look, whatever goes on.
    fn ask_agent(&mut self) -> Result<(), String> {
        let began = Instant::now();
        for cluster in self.clusters {
            Observer::attach(Some(cluster.name())).map_err(|e| format!("observe: {e}"))?;
        }
        self.slowest = self.slowest.max(began.elapsed());
        if self.slowest > patience() { Err("the agent took too long to answer".to_owned()) } else { Ok(()) }
    }

    /// Ends every node in order: each must get out of whatever it does.
    fn end(&mut self) -> Result<(), String> {
        let far = Instant::now();
        for process in self.processes.iter_mut() {
            if process.stopped.take().is_some() {
                signal(process, Signal::CONT);
            }
        }
        for (a, b, _) in std::mem::take(&mut self.down) {
            self.steering(a).link_up(&Links::between(a, b)).map_err(|e| format!("link up: {e}"))?;
        }
        for process in self.processes.iter_mut() {
            drop(process.input.take());
        }
        for mut process in std::mem::take(&mut self.processes) {
            loop {
                match process.lines.recv_timeout(patience()) {
                    Ok(line) => self.ledger.hear(process.node, &line)?,
                    Err(std::sync::mpsc::RecvTimeoutError::Disconnected) => break,
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {
                        return Err(format!("node {} does not end ({:?})", process.node, far.elapsed()));
                    }
                }
            }
            let status = process.child.wait().map_err(|e| e.to_string())?;
            process.reader.join().map_err(|_| "a reader panicked")?;
            if !status.success() {
                return Err(format!("node {} ended with {status}", process.node));
            }
        }
        let deadline = Instant::now() + patience();
        for observer in self.steerings.iter().map(Steering::observer) {
            while observer.nodes().iter().any(|node| node.joined)
                || !observer.segments().is_empty()
                || !observer.connections().is_empty()
            {
                if Instant::now() > deadline {
                    return Err(format!(
                        "left in the registry: {:?} {:?}",
                        observer.segments(),
                        observer.connections()
                    ));
                }
                std::thread::park_timeout(Duration::from_millis(2));
            }
        }
        self.ledger.close()
    }
}

/// What is left of a soak that failed goes with it.
impl Drop for Soak<'_> {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.child.kill();
            let _ = process.child.wait();
        }
    }
}

fn signal(process: &Process, signal: Signal) {
    let pid = Pid::from_raw(process.child.id().cast_signed()).expect("a process id");
    // It may have ended by itself, which is noticed elsewhere.
    let _ = kill_process(pid, signal);
}
