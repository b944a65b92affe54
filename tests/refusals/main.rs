//! Every system call may fail: in each story of library, agent and `rsm-ctl run`, each call of its own fails, one after
//! the other, with each error that its manual page names and a machine can give, once and for good.
//!
//! A cell is one call of one process in one story, and one error. What was asked for is then done, or refused with a
//! right error; a success is true; nothing is left behind, bystanders go on, and it works when the cause is gone. Some
//! stories are told to processes that never did the like, too: what was refused then is not remembered. A seccomp listener
//! refuses the calls ([`listener`]), so no privilege is needed.
//!
//! `cargo test --test refusals` plays a sample of the cells, another with another `RSM_REFUSALS_SEED`;
//! `RSM_REFUSALS=all` plays all. Run as a node the program does what its standard input says (`rsm_stories::node`).

mod calls;
mod cells;
mod commands;
mod launcher;
mod listener;
mod scene;
mod stories;

use cells::Choice;
use libtest_mimic::{Arguments, Failed, Trial};

/// Which cells are to be played, as the environment says.
fn choice() -> Choice {
    let number = |name: &str, usual| std::env::var(name).map_or(usual, |text| text.parse().expect("a number"));
    match std::env::var("RSM_REFUSALS").as_deref() {
        Ok("all") => Choice::All,
        _ => Choice::Sample { seed: number("RSM_REFUSALS_SEED", 1), each: number("RSM_REFUSALS", 1) as usize },
    }
}

fn main() {
    if rsm_stories::is_node() {
        return rsm_stories::node::run(commands::more);
    }
    let mut arguments = Arguments::from_args();
    if let Some(lacking) = listener::lacking() {
        println!("skipped: {lacking}");
        return;
    }
    // Assertions that do not hold are told with their cells.
    std::panic::set_hook(Box::new(|_| {}));
    // Mostly they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let choice = choice();
    let mut trials = Vec::new();
    for story in stories::STORIES {
        for &role in story.roles {
            let play = move || cells::play_all(story, role, choice).map_err(Failed::from);
            trials.push(Trial::test(format!("{}: {role:?}", story.name), play));
        }
    }
    for (story, role) in stories::at_first() {
        let play = move || cells::play_first(story, role, choice).map_err(Failed::from);
        trials.push(Trial::test(format!("{}, at first: {role:?}", story.name), play));
    }
    for launch in launcher::LAUNCHES {
        for &role in launch.roles {
            let play = move || cells::launch_all(launch, role, choice).map_err(Failed::from);
            trials.push(Trial::test(format!("rsm-ctl {}: {role}", launch.name), play));
        }
    }
    trials.push(Trial::test("a call is refused, and a leak is seen", || {
        cells::guarded(cells::control).map_err(Failed::from)
    }));
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
