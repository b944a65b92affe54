//! The litmus programs in Rust: each is a bug that memory of one machine hides, and its repair.
//!
//! ```text
//! rsm-ctl run -n 2 -- litmus message bad              order, signals, reuse, sharing, failure: see the modules
//! rsm-ctl run -n 2 -- litmus message good 10000       so many rounds
//! ```
//!
//! They are what `tests/lens/c` has in C, but for two whose bugs Rust does not let one write. A program ends with 1 and a
//! sentence when its bug shows, or when it has waited for 10 s; with 2 when it is started in a wrong way; with 3 when a call
//! fails that has no reason to.

mod barrier_type;
mod both_enter;
mod dead_token;
mod early_ack;
mod early_post;
mod half_struct;
mod handover;
mod last_word;
mod lost_count;
mod mapped;
mod merged;
mod message;
mod read_back;
mod release;
mod scene;
mod slept;
mod slot_reuse;
mod stale_map;
mod stale_wake;
mod two_imports;
mod two_writers;
mod unread_close;

use scene::{Failure, Result, Scene};
use std::time::Duration;

/// A program: its name, how many nodes it is for, how many rounds it usually goes, and what each node does.
type Program = (&'static str, u32, u64, fn(&Scene) -> Result<()>);

const PROGRAMS: &[Program] = &[
    ("barrier_type", 2, 300, barrier_type::run),
    ("both_enter", 2, 300, both_enter::run),
    ("dead_token", 3, 50, dead_token::run),
    ("early_ack", 2, 300, early_ack::run),
    ("early_post", 2, 300, early_post::run),
    ("half_struct", 2, 500, half_struct::run),
    ("handover", 3, 300, handover::run),
    ("last_word", 2, 300, last_word::run),
    ("lost_count", 3, 60, lost_count::run),
    ("mapped", 2, 300, mapped::run),
    ("merged", 2, 100, merged::run),
    ("message", 2, 300, message::run),
    ("read_back", 2, 300, read_back::run),
    ("release", 2, 300, release::run),
    ("slept", 2, 80, slept::run),
    ("slot_reuse", 2, 200, slot_reuse::run),
    ("stale_map", 2, 1000, stale_map::run),
    ("stale_wake", 2, 300, stale_wake::run),
    ("two_imports", 2, 300, two_imports::run),
    ("two_writers", 3, 60, two_writers::run),
    ("unread_close", 2, 500, unread_close::run),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((program, good, rounds)) = understood(&arguments) else {
        let names: Vec<_> = PROGRAMS.iter().map(|program| program.0).collect();
        eprintln!("usage: rsm-ctl run -n NODES -- litmus NAME bad|good [ROUNDS]\nNAME is one of {}", names.join(", "));
        std::process::exit(2);
    };
    let (name, nodes, _, run) = program;
    let played = Scene::begin(*nodes, good, rounds).and_then(|scene| run(&scene));
    // Ends as it is: what a node that has failed still holds is given back by its end.
    std::process::exit(match played {
        Ok(()) => 0,
        Err(Failure::Bug(text)) => {
            eprintln!("{name}: {text}");
            1
        }
        Err(Failure::Start(text)) => {
            eprintln!("{name}: {text}");
            2
        }
        Err(Failure::Call(error)) => {
            // The other node has ended, and has the word.
            if error.code() == rsm::Code::ConnAborted {
                std::thread::sleep(Duration::from_millis(500));
            }
            eprintln!("{name}: {error}");
            3
        }
    });
}

/// The program, whether it is the good one, and its rounds.
fn understood(arguments: &[String]) -> Option<(&'static Program, bool, u64)> {
    let (name, variant, rounds) = match arguments {
        [name, variant] => (name, variant, None),
        [name, variant, rounds] => (name, variant, Some(rounds.parse().ok().filter(|&rounds| rounds > 0)?)),
        _ => return None,
    };
    let program = PROGRAMS.iter().find(|program| program.0 == name)?;
    let good = match variant.as_str() {
        "good" => true,
        "bad" => false,
        _ => return None,
    };
    Some((program, good, rounds.unwrap_or(program.2)))
}
