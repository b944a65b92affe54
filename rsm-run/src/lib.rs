//! Runs programs on the nodes of a cluster, and leaves nothing behind: from tests, and for `rsm-ctl run`, `up`, `exec` and
//! `down`, which stand on it.
//!
//! # For tests
//!
//! [`on_nodes!`] runs the body of a test on real nodes, processes of the test binary itself; [`seeds()`] tries it under many seeds.
//! A [`Launch`] starts any programs, as a [`Run`] or one by one in a [`Cluster`]; a [`Report`] tells how they ended and what they
//! wrote. All of it ends with the test, however that ends, and needs nothing that is installed.
//!
//! ```
//! use rsm::{AccessList, Permission, SegmentId};
//! use rsm_run::on_nodes;
//! use std::time::Duration;
//!
//! # fn main() {
//! // In a project of its own: #[test] fn greets() { .. }
//! on_nodes!(2, timeout = 60, |node| -> rsm::Result<()> {
//!     let (shm, id, long) = (node.controller("shm0")?, SegmentId::new(0x40_0000), Duration::from_secs(30));
//!     let inbox = shm.export(65536)?;
//!     inbox.publish(id, &AccessList::everyone())?;
//!     let other = shm.connect_within(3 - node.id(), id, Permission::ReadWrite, long)?;
//!     other.put(0, b"hello")?;
//!     other.signal()?;
//!     inbox.wait(Some(long))?;
//!     let mut greeting = [0; 5];
//!     inbox.memory().read(0, &mut greeting)?;
//!     assert_eq!(&greeting, b"hello");
//!     // Nobody goes before the other one has read.
//!     other.signal()?;
//!     inbox.wait(Some(long))
//! });
//! # }
//! ```
//!
//! # Inside
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
//! Who wants to judge a run rather than to read of it has it made as a [`trial`], or owns it ([`owned`]), which needs no fork of a
//! process with threads. A fault script is carried out by a thread of the warden (`scripted`). What is said to people goes through [`mod@print`], [`printable`] and [`colour`]; every end has a number in [`exit_code`]. All
//! unsafe code is in [`process`], [`descriptor`] and the entry of [`owned`].

mod account;
pub mod background;
mod calls;
pub mod colour;
mod course;
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
pub mod on_nodes;
mod output;
pub mod owned;
pub mod placement;
pub mod plan;
pub mod print;
pub mod printable;
pub mod process;
pub mod program;
pub mod races;
pub mod recording;
mod scripted;
mod seeds;
pub mod setting;
pub mod signals;
mod sleep;
mod stacks;
mod status;
mod summary;
mod supervision;
pub mod task;
pub mod trial;
pub mod verbosity;
mod warden;
mod wire;

pub use owned::{Cluster, Launch, Report, Run};
pub use seeds::seeds;
