//! The driver against an emulated bridge, in one process: two agents' halves, no machine and no privileges.

mod agents;
mod attach;
mod host;
mod link;
mod start;
mod whole;
mod world;
