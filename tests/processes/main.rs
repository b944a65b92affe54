//! What only real processes show: death, exec, fork, signal handlers, unwilling importers, hostile messages.
//!
//! Run as a test the program tells the stories below; run as a node it does what its standard input says
//! (`rsm_stories`).

mod bad_input;
mod common;
mod cost;
mod death;
mod fork;
mod group;
mod huge;
mod interrupts;
mod leaks;
mod lens;
mod meeting;
mod room;
mod steering;
mod surroundings;
mod watch;
mod withdrawal;

fn main() {
    if std::env::var_os(surroundings::ENV).is_some() {
        surroundings::run();
    }
    if rsm_stories::is_node() {
        return rsm_stories::node::run(|things, words| {
            cost::more(things, words).or_else(|| huge::more(things, words)).or_else(|| meeting::more(things, words))
        });
    }
    rsm_stories::tell(rsm_stories::trials());
}
