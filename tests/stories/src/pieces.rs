//! What nodes of the crash matrix and of the refusals can do beyond those of `tests/processes`.
#![allow(unsafe_code)] // reading segment memory as bytes

use super::node::Things;
use rsm::{Code, Controller, Export, Import, Permission, PollDescriptor, Result};
use rsm_core::message::Claim;
use rsm_shm::address::{ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_KEY, secret_from_text};
use rsm_shm::membership::Membership;
use std::collections::HashMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// Bytes at the start of a segment that stories play with; what is behind them has a pattern.
pub fn playground() -> u64 {
    rustix::param::page_size() as u64
}

/// What the common commands do not know of.
#[derive(Default)]
struct Extra {
    polls: Mutex<HashMap<String, PollDescriptor>>,
    members: Mutex<HashMap<String, Arc<Membership>>>,
}

fn extra() -> &'static Extra {
    static EXTRA: OnceLock<Extra> = OnceLock::new();
    EXTRA.get_or_init(Extra::default)
}

crate::commands! {
    enum Command {
        /// Opens a controller.
        Open "open" {}
        /// Starts a cluster with what it has for its life; says how to join each node.
        HostWarm "hostwarm" { name: String, nodes: u32 }
        /// The same with some of the nodes, those of the other host behind a bridge; says how to join each of them.
        HostHere "hosthere" { name: String, nodes: u32, here: String, bridge: String }
        /// Waits for the other host, so many milliseconds.
        AwaitBridge "awaitbridge" { name: String, within: u64 }
        /// Stores the pattern to an export, behind its playground.
        Fill "fill" { name: String }
        /// Whether it is there.
        Verify "verify" { name: String }
        /// Maps the playground of an import for reading.
        Narrow "narrow" { name: String }
        /// Puts to the playground of an import, again and again.
        PutSome "putsome" { name: String, times: u64 }
        /// What becomes of a put through each import, and whether each export holds its pattern.
        Check "check" {}
        /// Gives back everything.
        DropAll "dropall" {}
        /// Makes a poll descriptor of an export.
        PollFd "pollfd" { name: String }
        /// Drops it.
        PollEnd "pollend" { name: String }
        /// Whether it becomes readable.
        Polled "polled" { name: String }
        /// Whether a thread of that name sleeps.
        ThreadAsleep "threadasleep" { name: String }
        /// Joins once more.
        Member "member" { name: String }
        /// Ends that membership.
        Leave "leave" { name: String }
    }
}

/// Carries one of them out; `None` for what is none of them.
pub fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let export = |name: &str| Arc::clone(&things.exports.lock().unwrap()[name]);
    let import = |name: &str| Arc::clone(&things.imports.lock().unwrap()[name]);
    Some(match Command::read(words)? {
        Command::Open {} => Controller::open("shm0").map(|_| String::new()),
        Command::HostWarm { name, nodes } => {
            rsm::Cluster::new(nodes).and_then(|cluster| host(things, name, cluster, 1..=nodes))
        }
        Command::HostHere { name, nodes, here, bridge } => {
            let here: Vec<u32> = here.split(',').map(|node| node.parse().expect("a node")).collect();
            let cluster = rsm::Cluster::builder(nodes).here(here.clone()).bridge("shm0", &bridge).start();
            cluster.and_then(|cluster| host(things, name, cluster, here))
        }
        Command::AwaitBridge { name, within } => {
            let cluster = Arc::clone(&things.clusters.lock().unwrap()[&name]);
            cluster.await_bridge(Duration::from_millis(within)).map(|()| String::new())
        }
        Command::Fill { name } => fill(&export(&name)).map(|()| String::new()),
        Command::Verify { name } => verify(&export(&name)).map(|fine| fine.to_string()),
        Command::Narrow { name } => {
            let narrow = import(&name).map(0, playground() as usize, Permission::Read);
            narrow.map(|mapping| {
                things.mappings.lock().unwrap().insert(format!("{name}.narrow"), Arc::new(mapping));
                String::new()
            })
        }
        Command::PutSome { name, times } => put_some(&import(&name), times).map(|()| String::new()),
        Command::Check {} => Ok(check(things)),
        Command::DropAll {} => Ok(drop_all(things)),
        Command::PollFd { name } => export(&name).poll_descriptor().map(|poll| {
            extra().polls.lock().unwrap().insert(name, poll);
            String::new()
        }),
        Command::PollEnd { name } => {
            drop(extra().polls.lock().unwrap().remove(&name).expect("made"));
            Ok(String::new())
        }
        Command::Polled { name } => Ok(polled(&extra().polls.lock().unwrap()[&name]).to_string()),
        Command::ThreadAsleep { name } => Ok(is_asleep(&name).to_string()),
        Command::Member { name } => join_once_more().map(|membership| {
            extra().members.lock().unwrap().insert(name, membership);
            String::new()
        }),
        Command::Leave { name } => {
            drop(extra().members.lock().unwrap().remove(&name).expect("joined"));
            Ok(String::new())
        }
    })
}

/// Keeps a cluster in this process, makes what stays for its life (the bells of each node), and says how to join.
fn host(things: &Things, name: String, cluster: rsm::Cluster, nodes: impl IntoIterator<Item = u32>) -> Result<String> {
    let mut words = Vec::new();
    for node in nodes {
        let environment = cluster.environment(node)?;
        let value = |key: &str| &environment.iter().find(|(k, _)| *k == key).expect("set").1;
        let key = secret_from_text(value(ENV_NODE_KEY)).expect("a key");
        drop(Membership::join(&value(ENV_CLUSTER).parse()?, Some(Claim { node, key }))?);
        let pairs: Vec<String> = environment.iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.push(pairs.join(","));
    }
    things.clusters.lock().unwrap().insert(name, Arc::new(cluster));
    Ok(words.join(" "))
}

/// Another membership of the node that this process is of.
fn join_once_more() -> Result<Arc<Membership>> {
    let value = |key: &str| std::env::var(key).expect("a process of a cluster");
    let key = secret_from_text(&value(ENV_NODE_KEY)).expect("a key");
    Membership::join(
        &value(ENV_CLUSTER).parse()?,
        Some(Claim { node: value(ENV_NODE_ID).parse().expect("an id"), key }),
    )
}

/// What stands at an offset behind the playground.
pub fn pattern(offset: u64) -> u64 {
    offset.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1
}

fn patterned(export: &Export) -> impl Iterator<Item = u64> + use<> {
    (playground()..export.len() as u64).step_by(512)
}

fn fill(export: &Export) -> Result<()> {
    patterned(export).try_for_each(|at| export.memory().write_volatile_u64(at, pattern(at)))
}

fn verify(export: &Export) -> Result<bool> {
    for at in patterned(export) {
        if export.memory().read_volatile_u64(at)? != pattern(at) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What becomes of a put through each import, and whether each export holds its pattern.
fn check(things: &Things) -> String {
    let mut said = Vec::new();
    for (name, import) in things.imports.lock().unwrap().iter() {
        let told = import.put_u64(8, 1).map_or_else(|error| error.code().name(), |()| "put");
        said.push(format!("{name}={told}"));
    }
    for (name, export) in things.exports.lock().unwrap().iter() {
        said.push(format!("{name}={}", verify(export).expect("in the segment")));
    }
    said.sort();
    said.join(" ")
}

/// Puts to the playground of a segment, some of which may have to be done again.
fn put_some(import: &Import, times: u64) -> Result<()> {
    for value in 0..times {
        match import.put_u64(16, value) {
            Err(error) if error.code() == Code::BarrierFailure => {
                // Seldom: on a busy machine each may take the time of all others, and after a death all say so.
                if value % 256 == 0 {
                    std::thread::yield_now();
                }
            }
            told => told?,
        }
    }
    Ok(())
}

/// Gives back everything; says the names of the errors that came.
fn drop_all(things: &Things) -> String {
    extra().polls.lock().unwrap().clear();
    things.mappings.lock().unwrap().clear();
    let mut codes = Vec::new();
    let mut note = |done: Result<()>| codes.extend(done.err().map(|error| error.code().name()));
    for (_, import) in things.imports.lock().unwrap().drain() {
        note(Arc::into_inner(import).expect("nobody else uses it").disconnect());
    }
    for (_, export) in things.exports.lock().unwrap().drain() {
        note(Arc::into_inner(export).expect("nobody else uses it").destroy());
    }
    codes.join(" ")
}

/// Whether a thread of that name sleeps.
fn is_asleep(name: &str) -> bool {
    super::gate::entries("/proc/self/task").any(|task| {
        let stat = std::fs::read_to_string(format!("/proc/self/task/{task}/stat")).unwrap_or_default();
        stat.contains(&format!("({name}) S"))
    })
}

/// Whether the descriptor becomes readable within a second and a half.
fn polled(poll: &PollDescriptor) -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec};
    let fd = poll.as_fd();
    let mut fds = [PollFd::new(&fd, PollFlags::IN)];
    rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 500_000_000 })).expect("a poll") > 0
}
