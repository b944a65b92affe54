//! How long the agent can be held by one process, with its tables full.
//!
//! `cargo bench --bench agent_pass` fills the tables (65,536 segments, 262,144 connections), all but what is kept for
//! others held by one process, and lets that process do what takes the agent longest. Meanwhile another member asks
//! something that costs nothing, again and again. Two numbers for each: the longest pass of the agent's loop, in its own
//! processor time, and the longest that the other member waited for an answer, which on a busy machine is also the time
//! that the agent or the member waited for a processor. As root the table of segments is filled, for
//! which the limit of descriptors is raised; otherwise what it allows.

use rsm_core::access::{AccessList, Level, Permission};
use rsm_core::message::{Answer, Ask, Claim, ConnectionName, NodeSignal, SegmentName};
use rsm_core::registry::{Geometry, LinkChange};
use rsm_shm::address::{ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_KEY, secret_to_text};
use rsm_shm::agent::{AgentHandle, Config};
use rsm_stories::raw::Member;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Importers of one segment.
const HOT: usize = 100_000;
/// Memberships that post to all of them.
const POSTERS: usize = 60;
/// Threads that sleep on one word.
const SLEEPERS: usize = 4000;
/// Exports of one memory object: so many descriptors fewer are needed.
const SHARERS: usize = 200;

fn main() -> Result<()> {
    if std::env::var_os(ENV_CLUSTER).is_some() {
        return Holder::default().run();
    }
    let wanted = Rlimit { current: Some(100_000), maximum: Some(100_000) };
    if setrlimit(Resource::Nofile, wanted).is_err() {
        println!("descriptors: {:?}", getrlimit(Resource::Nofile).current);
    }
    let mut config = Config::new(&format!("pass-{}", std::process::id()), 2);
    config.geometry = Geometry { bells: 1 << 19, ..Geometry::default() };
    config.dedicated = true;
    let agent = AgentHandle::start(&config)?;
    let mut holder = Process::start(&agent)?;
    let ping = Ping::start(&agent)?;
    println!(
        "| what one process does | longest pass, us | longest wait of another, us | took, ms |\n|---|---|---|---|"
    );
    for (step, what) in [
        ("fill", "fill the tables"),
        ("post", "60 memberships post to 100,000 importers each"),
        ("storm", "60 memberships ask for 20 lists and connections each"),
        ("oldest", "20,000 connections given back, the oldest first"),
        ("bucket", "2,000 segments taken back"),
        ("unpublish", "a segment with 80,000 importers taken back"),
        ("again", "80,000 importers connect again"),
        ("destroy", "4,000 segments of shared memory destroyed"),
    ] {
        ping.measure(&agent, what, || holder.tell(step));
    }
    let link = || {
        let mut observer = Member::join_at(agent.address(), None).expect("an observer");
        let down = Ask::SetLink { controller: 1, from: 1, to: 1, both: false, change: LinkChange::Down };
        let cut = observer.control.ask(down).expect("a link");
        let up = Ask::SetLink { controller: 1, from: 1, to: 1, both: false, change: LinkChange::Up };
        observer.control.ask(up).expect("a link");
        format!("{:?}", cut.0)
    };
    ping.measure(&agent, "the link of all its connections goes down", link);
    let signal = || {
        let mut observer = Member::join_at(agent.address(), None).expect("an observer");
        let signal = Ask::SignalNode { node: 1, signal: NodeSignal::Cont };
        format!("{:?}", observer.control.ask(signal).expect("a node").0)
    };
    ping.measure(&agent, "its node is signalled", signal);
    holder.tell("sleep");
    let wake = || {
        let mut observer = Member::join_at(agent.address(), None).expect("an observer");
        for change in [LinkChange::Error; 20] {
            let ask = Ask::SetLink { controller: 1, from: 1, to: 1, both: false, change };
            observer.control.ask(ask).expect("a link");
        }
        String::new()
    };
    ping.measure(&agent, "4,000 of its threads sleep until something changes, 20 times", wake);
    holder.tell("awake");
    ping.measure(&agent, "100,000 importers connect again", || holder.tell("hot"));
    ping.measure(&agent, "it is killed", || holder.kill(&agent));
    Ok(())
}

/// The process that holds nearly everything.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<std::process::ChildStdout>,
}

impl Process {
    fn start(agent: &AgentHandle) -> Result<Process> {
        let mut child = Command::new(std::env::current_exe()?)
            .envs(environment(agent, 1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Ok(Process { child, input, output })
    }

    fn tell(&mut self, step: &str) -> String {
        writeln!(self.input, "{step}").expect("it lives");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("it answers");
        assert!(!line.is_empty(), "the process that holds everything is gone");
        line.trim().to_owned()
    }

    /// Kills it and waits until nothing of it is left.
    fn kill(&mut self, agent: &AgentHandle) -> String {
        self.child.kill().expect("killed");
        self.child.wait().expect("reaped");
        let observer = Member::join_at(agent.address(), None).expect("an observer");
        let map = rsm_shm::memory::tables::RegistryMap::open(&observer.registry).expect("the registry");
        let deadline = Instant::now() + Duration::from_secs(120);
        while map.registry().nodes[1].fields().processes > 0 {
            assert!(Instant::now() < deadline, "it is not forgotten");
            std::thread::sleep(Duration::from_millis(1));
        }
        String::new()
    }
}

fn environment(agent: &AgentHandle, node: u32) -> Vec<(&'static str, String)> {
    let key = agent.key(node).expect("a node");
    vec![
        (ENV_CLUSTER, agent.address().to_string()),
        (ENV_NODE_ID, node.to_string()),
        (ENV_NODE_KEY, secret_to_text(key)),
    ]
}

/// Another member, which waits for its answers.
struct Ping {
    worst: Arc<AtomicU64>,
    on: Arc<AtomicBool>,
}

impl Ping {
    fn start(agent: &AgentHandle) -> Result<Ping> {
        let key = *agent.key(2).expect("a node");
        let member = Member::join_at(agent.address(), Some(Claim { node: 2, key }))?;
        let (worst, on) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(true)));
        let (shared, stop) = (Arc::clone(&worst), Arc::clone(&on));
        std::thread::spawn(move || {
            // All of it: without its events socket it would be no member any more.
            let mut member = member;
            while stop.load(Relaxed) {
                let began = Instant::now();
                if let Err(error) = member.control.ask(Ask::Processes { after: u64::MAX - 1 }) {
                    return println!("the other member is told: {error}");
                }
                shared.fetch_max(began.elapsed().as_micros() as u64, Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        Ok(Ping { worst, on })
    }

    fn measure(&self, agent: &AgentHandle, what: &str, work: impl FnOnce() -> String) {
        agent.longest_pass();
        self.worst.store(0, Relaxed);
        let began = Instant::now();
        let told = work();
        let took = began.elapsed().as_millis();
        // An answer that is still waited for counts.
        std::thread::sleep(Duration::from_millis(20));
        let (pass, wait) = (agent.longest_pass().as_micros(), self.worst.load(Relaxed));
        println!("| {what} | {pass} | {wait} | {took} |{}", if told.is_empty() { told } else { format!(" {told}") });
    }
}

impl Drop for Ping {
    fn drop(&mut self) {
        self.on.store(false, Relaxed);
    }
}

/// What the process that holds everything does.
#[derive(Default)]
struct Holder {
    members: Vec<Member>,
    segments: Vec<SegmentName>,
    hot: Vec<ConnectionName>,
    sleepers: Vec<std::thread::JoinHandle<()>>,
    awake: Arc<AtomicBool>,
}

impl Holder {
    fn run(mut self) -> Result<()> {
        for line in std::io::stdin().lock().lines() {
            let told = self.carry_out(&line?)?;
            println!("{told}");
        }
        Ok(())
    }

    fn carry_out(&mut self, step: &str) -> Result<String> {
        match step {
            "fill" => self.fill(),
            "hot" => {
                for connection in std::mem::take(&mut self.hot) {
                    self.members[0].control.ask(Ask::Disconnect { connection })?;
                }
                self.connect_hot(HOT)
            }
            "again" => self.connect_hot(HOT - 20_000),
            "post" => {
                let segment = self.segments[0];
                self.all(|_| Ask::PostImporters { segment, below: u64::MAX, accumulate: true })
            }
            "storm" => {
                for _ in 0..20 {
                    self.all(|_| Ask::Tallies { after: 0 })?;
                    self.all(|_| Ask::Connect {
                        controller: 1,
                        node: 1,
                        id: 1,
                        permission: Permission::None,
                        has_bells: true,
                    })?;
                }
                Ok(String::new())
            }
            "oldest" => {
                let oldest: Vec<_> = self.hot.drain(..20_000.min(self.hot.len())).collect();
                for connection in oldest {
                    self.members[0].control.ask(Ask::Disconnect { connection })?;
                }
                Ok(String::new())
            }
            "bucket" => {
                for &segment in self.segments.iter().rev().take(2000) {
                    self.members[0].control.ask(Ask::Unpublish { segment })?;
                }
                Ok(String::new())
            }
            "unpublish" => {
                let segment = self.segments[0];
                self.members[0].control.ask(Ask::Unpublish { segment })?;
                let map = rsm_shm::memory::tables::RegistryMap::open(&self.members[0].registry)?;
                // What was granted nothing is done with cutting; every connection must be cut.
                while map.registry().segments[segment.row as usize].importers() > 0 {
                    std::thread::sleep(Duration::from_micros(100));
                }
                for connection in std::mem::take(&mut self.hot) {
                    self.members[0].control.ask(Ask::Disconnect { connection })?;
                }
                self.publish(0)?;
                Ok(String::new())
            }
            "sleep" => self.sleep(),
            "awake" => {
                self.awake.store(true, Relaxed);
                self.sleepers.drain(..).try_for_each(|thread| thread.join()).map_err(|_| "a thread panicked")?;
                Ok(String::new())
            }
            "destroy" => {
                let many = self.segments.len().saturating_sub(4000).max(1);
                for segment in self.segments.drain(many..) {
                    self.members[0].control.ask(Ask::Destroy { segment, insist: true })?;
                }
                Ok(String::new())
            }
            other => Err(format!("no step {other}").into()),
        }
    }

    /// All memberships ask at once, and hear the answers.
    fn all(&mut self, ask: impl Fn(usize) -> Ask) -> Result<String> {
        for (at, member) in self.members.iter_mut().enumerate() {
            member.control.tell(ask(at))?;
        }
        for member in &self.members {
            member.control.hear().ok_or("the agent hung up")?;
        }
        Ok(String::new())
    }

    /// Threads that sleep until something changes, again and again.
    fn sleep(&mut self) -> Result<String> {
        let map = Arc::new(rsm_shm::memory::tables::RegistryMap::open(&self.members[0].registry)?);
        for _ in 0..SLEEPERS {
            let (map, awake) = (Arc::clone(&map), Arc::clone(&self.awake));
            let sleep = move || {
                let word = map.registry().header.changes();
                while !awake.load(Relaxed) {
                    let soon = Instant::now() + Duration::from_secs(1);
                    rsm_shm::futex::sleep(word, word.load(Relaxed), Some(soon));
                }
            };
            self.sleepers.push(std::thread::Builder::new().stack_size(64 << 10).spawn(sleep)?);
        }
        // Most are asleep by then.
        std::thread::sleep(Duration::from_millis(500));
        Ok(String::new())
    }

    fn publish(&mut self, at: usize) -> Result<()> {
        let (segment, id) = (self.segments[at], 0x40_0000 + at as u32);
        for _ in 0..1000 {
            let ask = Ask::Publish { segment, id, access: AccessList::everyone() };
            match self.members[0].control.ask(ask) {
                Err(error) if error.code() == rsm_core::Code::SegAlreadyPublished => {
                    std::thread::sleep(Duration::from_millis(1));
                }
                done => return done.map(drop).map_err(Into::into),
            }
        }
        Err("still being taken back".into())
    }

    fn fill(&mut self) -> Result<String> {
        for _ in 0..POSTERS {
            self.members.push(Member::of_environment()?);
        }
        let mut share = None;
        loop {
            let at = self.segments.len();
            share = share.filter(|_| !at.is_multiple_of(SHARERS));
            let ask = Ask::Create {
                controller: 1,
                length: rsm_shm::memory::page_size() as u64,
                default_mode: 0o666,
                level: Level::Guarded,
                share,
            };
            match self.members[0].control.ask(ask) {
                Ok((Answer::Created { segment, .. }, _)) => {
                    share = Some(segment);
                    self.segments.push(segment);
                    self.publish(at)?;
                }
                Ok((other, _)) => return Err(format!("{other:?}").into()),
                Err(_) => break,
            }
        }
        self.connect_hot(HOT)?;
        let mut others = 0;
        for at in (1..self.segments.len()).cycle() {
            if self.connect(at).is_err() {
                break;
            }
            others += 1;
        }
        Ok(format!("{} segments, {} connections", self.segments.len(), self.hot.len() + others))
    }

    fn connect(&mut self, at: usize) -> Result<ConnectionName> {
        let id = 0x40_0000 + at as u32;
        let ask = Ask::Connect { controller: 1, node: 1, id, permission: Permission::None, has_bells: true };
        match self.members[0].control.ask(ask)? {
            (Answer::Connected(connected), _) => Ok(connected.connection),
            (other, _) => Err(format!("{other:?}").into()),
        }
    }

    fn connect_hot(&mut self, count: usize) -> Result<String> {
        for _ in 0..count {
            let connection = self.connect(0)?;
            self.hot.push(connection);
        }
        Ok(String::new())
    }
}
