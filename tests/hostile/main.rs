//! Against ill will: nodes that break every rule they can, agents that are none, and what each access level holds.
//!
//! Run as a test the program lists and runs the stories below. Run with `RSM_TEST_NODE` in its environment it is the
//! process that does what its standard input says ([`intruder`]); it speaks with the agent by hand ([`raw`]) wherever
//! the library would not do what it wants.

mod attacks;
mod fake;
mod intruder;
mod isolated;
mod peace;
mod raw;
mod sealed;
mod siege;
#[allow(dead_code)] // what the stories of the other binary need beyond these
#[path = "../processes/story.rs"]
mod story;

use libtest_mimic::{Arguments, Trial};

/// A named story.
type Story = (&'static str, fn());

fn main() {
    if std::env::var_os("RSM_TEST_NODE").is_some() {
        return intruder::run();
    }
    let stories: Vec<Story> = [siege::STORIES, fake::STORIES, sealed::STORIES, isolated::STORIES].concat();
    let mut trials: Vec<Trial> = stories
        .into_iter()
        .map(|(name, story)| {
            Trial::test(name, move || {
                story();
                Ok(())
            })
        })
        .collect();
    trials.extend(attacks::trials());
    let mut arguments = Arguments::from_args();
    // Stories count what agents hold and use: one at a time.
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}
