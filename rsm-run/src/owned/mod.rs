//! Runs that a program owns: for tests, and for whatever else starts clusters of real processes and is to leave none of them
//! behind.
//!
//! A [`Launch`] says what is to run, and begins it as a [`Run`], whose processes are known before, or as a [`Cluster`], in which
//! processes are started one by one. Both end with their owner: when they are dropped, also by a panic, and when the program
//! that holds them is killed. How a run went is a [`Report`].
//!
//! ```
//! use rsm_run::Launch;
//! use std::process::Command;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // Each on a node of its own; RSM_NODE_ID says which.
//! let report = Launch::new(3)
//!     .program("all", Command::new("sh").args(["-c", "echo I am node $RSM_NODE_ID; exit $((RSM_NODE_ID / 3))"]))
//!     .timeout(Duration::from_secs(30))
//!     .run()?;
//! assert_eq!(report.processes()[0].stdout, "I am node 1\n");
//! assert_eq!(report.processes()[2].code, Some(1));
//! assert!(!report.is_success());
//!
//! // One after the other, as a test wants it; what still runs at the end is killed.
//! let cluster = Launch::new(2).cluster()?;
//! let mut server = cluster.spawn(1, Command::new("sleep").arg("600"))?;
//! let client = cluster.spawn(2, Command::new("true").env("NAME", "value"))?.wait()?;
//! assert!(client.is_success());
//! server.kill();
//! assert_eq!(server.wait()?.processes()[0].signal, Some(9));
//! # Ok(())
//! # }
//! ```
//!
//! A process between the owner and its run is the run's front ([`front`](crate::front)): this very program, executed once more,
//! and caught before its `main` (`entry`). Programs that have this crate in a shared library name [another](Launch::helper)
//! that calls [`serve`]. What nodes write goes into memory that both have; nothing has to be read for the run to go on.
//!
//! # Crash
//! The front holds a descriptor of the owner's process, and ends everything when that is gone. What holds between a front and
//! its warden holds here as well: whichever of the two is killed, the other ends all that is left.

mod cluster;
mod entry;
mod helper;
mod job;
mod launch;
mod report;
mod run;
mod standard;
mod words;

pub use cluster::Cluster;
pub use helper::serve;
pub use launch::Launch;
pub use report::{ProcessReport, Report};
pub use run::Run;

/// Set for a process that is to become the front of a run.
const HELPER: &str = "RSM_RUN_HELPER";
