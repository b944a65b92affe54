//! Every system call may fail: in each story of library, agent and `rsm-ctl run`, each call of its own fails, one after
//! the other, with each error that its manual page names and a machine can give, once and for good.
//!
//! A cell is one call of one process in one story, and one error. What was asked for is then done, or refused with a
//! right error; a success is true; nothing is left behind, bystanders go on, and it works when the cause is gone. A
//! seccomp listener refuses the calls ([`listener`]), so no privilege is needed.
//!
//! `cargo test --test refusals` plays a sample of the cells, another with another `RSM_REFUSALS_SEED`;
//! `RSM_REFUSALS=all` plays all. Run as a node (`RSM_TEST_NODE`), the program does what its standard input says, as in
//! `tests/processes`.

mod calls;
mod cells;
mod commands;
#[allow(dead_code)] // what only the crash matrix uses
#[path = "../crash/gate.rs"]
mod gate;
mod launcher;
mod listener;
#[path = "../processes/node.rs"]
mod node;
#[path = "../crash/pieces.rs"]
mod pieces;
mod scene;
mod stories;
#[allow(dead_code)] // what only the other stories use
#[path = "../processes/story.rs"]
mod story;

use cells::Choice;
use libtest_mimic::{Arguments, Failed, Trial};

/// Reads what the command `hostwarm` said of one node.
fn environment_of(word: &str) -> Vec<(&'static str, String)> {
    let names = ["RSM_CLUSTER", "RSM_NODE_ID", "RSM_NODE_COUNT", "RSM_NODE_KEY"];
    let values: Vec<&str> = word.split(',').map(|pair| pair.split_once('=').expect("a pair").1).collect();
    names.into_iter().zip(values).map(|(name, value)| (name, value.to_owned())).collect()
}

/// Which cells are to be played, as the environment says.
fn choice() -> Choice {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    match std::env::var("RSM_REFUSALS").as_deref() {
        Ok("all") => Choice::All,
        _ => Choice::Sample { seed: number("RSM_REFUSALS_SEED", 1), each: number("RSM_REFUSALS", 12) as usize },
    }
}

fn main() {
    if std::env::var_os("RSM_TEST_NODE").is_some() {
        return node::run(commands::more);
    }
    let mut arguments = Arguments::from_args();
    if let Some(lacking) = listener::lacking() {
        println!("skipped: {lacking}");
        return;
    }
    // Assertions that do not hold are told with their cells.
    std::panic::set_hook(Box::new(|_| {}));
    // Mostly they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(4));
    let choice = choice();
    let mut trials = Vec::new();
    for story in stories::STORIES {
        for &role in story.roles {
            let play = move || cells::play_all(story, role, choice).map_err(Failed::from);
            trials.push(Trial::test(format!("{}: {role:?}", story.name), play));
        }
    }
    for launch in launcher::LAUNCHES {
        for &role in launch.roles {
            let play = move || cells::launch_all(launch, role, choice).map_err(Failed::from);
            trials.push(Trial::test(format!("rsm-ctl {}: {role}", launch.name), play));
        }
    }
    for &(name, role, commands) in stories::SILENT {
        trials.push(Trial::test(format!("{name} make no call"), move || {
            cells::guarded(|| cells::no_call(role, commands)).map_err(Failed::from)
        }));
    }
    let began = std::time::Instant::now();
    let done = libtest_mimic::run(&arguments, trials);
    if !arguments.list {
        println!("{}", cells::table());
        println!("{choice:?}: {:.1} s", began.elapsed().as_secs_f64());
    }
    done.exit();
}
