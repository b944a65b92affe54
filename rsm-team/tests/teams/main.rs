//! Teams of real processes: programs one after the other on the same nodes, deaths, every model of a lens.

mod follow;
mod kills;
mod models;
mod program;
mod running;

fn main() {
    if rsm_stories::is_node() {
        std::process::exit(program::run());
    }
    rsm_stories::tell_together(rsm_stories::trials());
}
