//! Against ill will: nodes that break every rule they can, agents that are none, and what each access level holds.
//!
//! Run as a test the program tells the stories below; run as a node it is the process that does what its standard input
//! says ([`intruder`]), and speaks with the agent by hand (`rsm_stories::raw`) wherever the library would not do what it
//! wants.

mod attacks;
mod command;
mod fake;
mod intruder;
mod isolated;
mod peace;
mod sealed;
mod siege;

fn main() {
    if rsm_stories::is_node() {
        return intruder::run();
    }
    let mut trials = rsm_stories::trials();
    trials.extend(attacks::trials());
    rsm_stories::tell(trials);
}
