//! What only real processes show: death, exec, fork, signal handlers, unwilling importers, hostile messages.
//!
//! The program is two things. Run as a test it lists and runs the stories below. Run with `RSM_TEST_NODE` in its
//! environment it is a node that does what its standard input says ([`node`]), which is how stories get their
//! processes ([`story`]).

mod bad_input;
mod cost;
mod death;
mod fork;
mod group;
mod huge;
mod interrupts;
mod leaks;
mod meeting;
mod node;
mod revocation;
mod room;
mod steering;
mod story;
mod surroundings;
mod watch;

use libtest_mimic::{Arguments, Trial};

/// A named story.
type Story = (&'static str, fn());

fn main() {
    if std::env::var_os(surroundings::ENV).is_some() {
        surroundings::run();
    }
    if std::env::var_os("RSM_TEST_NODE").is_some() {
        return node::run(|things, words| {
            cost::more(things, words).or_else(|| huge::more(things, words)).or_else(|| meeting::more(things, words))
        });
    }
    let stories: Vec<Story> = [
        revocation::STORIES,
        room::STORIES,
        steering::STORIES,
        death::STORIES,
        fork::STORIES,
        interrupts::STORIES,
        bad_input::STORIES,
        cost::STORIES,
        huge::STORIES,
        leaks::STORIES,
        meeting::STORIES,
        watch::STORIES,
        surroundings::STORIES,
    ]
    .concat();
    let trials = stories.into_iter().map(|(name, story)| {
        Trial::test(name, move || {
            story();
            Ok(())
        })
    });
    let mut arguments = Arguments::from_args();
    // Stories count processes and descriptors, and each brings several processes: one at a time.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials.collect()).exit();
}
