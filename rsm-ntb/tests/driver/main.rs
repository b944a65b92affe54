//! The driver against an emulated bridge, in one process: two agents' halves, no machine and no privileges.

mod attach;
mod link;
mod start;
mod world;
