//! Runs programs on the nodes of a cluster, and leaves nothing behind. `rsm-ctl run`, `up`, `exec` and `down` stand on it.
//!
//! A run begins as a [`Plan`](plan::Plan): the cluster, and the processes as [`task::lay_out`] makes them of programs and
//! nodes. [`front::run`] carries it out in the foreground, [`background::start`] behind the caller's back, and
//! [`keeper`] reaches clusters that run already: to enter one, to become a process of a node, to end it.
//!
//! Two processes do it. The *front* ([`front`]) is the one the user started: terminal, signals, exit code, output of the
//! nodes (`output`). The *warden* (`warden`), forked from it before anything else runs, hosts the agent (`hosting`) and
//! is the parent of all nodes (`node`). They talk through `wire` in the few messages of `message`. Each holds a pidfd of
//! the other and both are subreapers, so whichever is SIGKILLed, the other finds every process of every node among its
//! own descendants and ends them (`descendants`). When to end what is decided in `supervision`, which knows no
//! processes.
//!
//! What became of the processes is kept in `account` and told at the end: to people in `summary`, to build servers in
//! [`junit`]. Where it hangs when the time is up the cluster knows, and `stacks` asks.
//!
//! A warden that hosts a cluster also keeps its entrance ([`keeper`]): a run in a cluster that is there already is another front
//! and warden, without a cluster of its own, that was let in there and ends when the entrance closes.
//!
//! Who wants to judge a run rather than to read of it has it made as a [`trial`]. What is said to people goes through [`mod@print`], [`printable`] and [`colour`]; every end has a number in [`exit_code`]. All
//! unsafe code is in [`process`] and [`descriptor`].

mod account;
pub mod background;
pub mod colour;
mod deadline;
mod descendants;
pub mod descriptor;
mod ending;
pub mod exit_code;
pub mod failure;
pub mod front;
pub mod hint;
mod hosting;
pub mod input;
mod interpreter;
pub mod junit;
pub mod keeper;
mod message;
mod node;
pub mod node_set;
pub mod notice;
mod output;
pub mod placement;
pub mod plan;
pub mod print;
pub mod printable;
pub mod process;
pub mod program;
pub mod setting;
pub mod signals;
mod stacks;
mod status;
mod summary;
mod supervision;
pub mod task;
pub mod trial;
pub mod verbosity;
mod warden;
mod wire;
