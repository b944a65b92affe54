//! How tests tell stories with real processes: death, exec, fork, handlers and hostile peers cannot be played by threads.
//!
//! A test program is two things. Run as a test it tells stories; run with [`ENV_NODE`] in its environment it is a node
//! that does what its standard input says, which is how a story gets its processes:
//!
//! ```ignore
//! fn main() {
//!     if rsm_stories::is_node() {
//!         return node::run(node::no_more);
//!     }
//!     rsm_stories::tell(rsm_stories::trials());
//! }
//!
//! story!(what_is_put_is_there);
//! fn what_is_put_is_there() {
//!     let cluster = cluster(2);
//!     let [mut exporter, mut importer] = [1, 2].map(|node| NodeProcess::start(&cluster, node));
//!     exporter.ok("export e 4096");
//!     exporter.ok("publish e 0x400000");
//!     importer.fails("connect i 1 0x400001 rw", Code::SegNotPublished);
//!     importer.ok("connect i 1 0x400000 rw");
//!     importer.ok("put i 0 5");
//!     assert_eq!(exporter.ok("read e 0"), "5");
//! }
//! ```
//!
//! | file | what |
//! |---|---|
//! | [`process`] | a cluster, its node processes, what they answer |
//! | [`node`] | the program that they run |
//! | [`command`] | what it understands, and how programs define more |
//! | [`pieces`] | what nodes of the crash matrix and of the refusals can do besides |
//! | [`gate`] | what processes and the system hold, before and after |
//! | [`raw`] | the protocol by hand, for peers that do not use the library |
//! | [`quota`] | a file system that says at close that it was too much |

pub mod command;
pub mod gate;
pub mod node;
pub mod pieces;
pub mod process;
pub mod quota;
pub mod raw;

#[doc(hidden)]
pub use inventory;
pub use process::{
    NodeProcess, cluster, code_of, environment_of, install, kill_grandchild, no_raised_rights, patience, refused_as,
    small_cluster, state_of, wait_for,
};

use libtest_mimic::{Arguments, Trial};
use rustix::process::{Signal, set_parent_process_death_signal};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// Environment variable that makes a test program a node.
pub const ENV_NODE: &str = "RSM_TEST_NODE";

/// Whether this process is to be a node.
pub fn is_node() -> bool {
    std::env::var_os(ENV_NODE).is_some()
}

/// Says it when it goes, so that a thread which waits for it stops where a test fails, too.
pub struct Told<'a>(pub &'a AtomicBool);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        // Release: with the loads of whoever waits.
        self.0.store(true, Ordering::Release);
    }
}

/// A story, and where it stands.
pub struct Story {
    /// Its name.
    pub name: &'static str,
    /// File and line: stories are told in this order.
    pub place: (&'static str, u32),
    /// The story itself.
    pub tell: fn(),
}

inventory::collect!(Story);

/// Has a function told as a story of this program: `story!(name);` above it, or `story!("name", || ...);`.
#[macro_export]
macro_rules! story {
    ($name:ident) => {
        $crate::story!(stringify!($name), $name);
    };
    ($name:expr, $tell:expr) => {
        $crate::inventory::submit! {
            $crate::Story { name: $name, place: (file!(), line!()), tell: $tell }
        }
    };
}

/// The stories of this program as trials.
pub fn trials() -> Vec<Trial> {
    let mut stories: Vec<&Story> = inventory::iter::<Story>.into_iter().collect();
    stories.sort_by_key(|story| story.place);
    let trial = |story: &'static Story| {
        Trial::test(story.name, || {
            (story.tell)();
            Ok(())
        })
    };
    stories.into_iter().map(trial).collect()
}

/// Environment variable that says which part of its stories a process tells.
const ENV_PART: &str = "RSM_TEST_PART";
/// Processes that share the stories.
const PARTS: usize = 3;

/// Tells stories as the arguments ask, and ends the process. One at a time: they count processes and descriptors, and
/// each brings several processes. Where there are no arguments a few processes tell a part each, for mostly they wait.
pub fn tell(trials: Vec<Trial>) -> ! {
    let part = std::env::var(ENV_PART).ok().map(|part| part.parse::<usize>().expect("a number"));
    match part {
        Some(part) => {
            set_parent_process_death_signal(Some(Signal::KILL)).expect("a signal that there is");
            tell_by(Some(1), trials.into_iter().skip(part).step_by(PARTS).collect())
        }
        None if std::env::args_os().len() > 1 => tell_by(Some(1), trials),
        None => std::process::exit(tell_in_parts()),
    }
}

/// Has others tell all of it, shows what they print, and gives the exit code.
fn tell_in_parts() -> i32 {
    let program = std::env::current_exe().expect("a program");
    let part = |part: usize| {
        Command::new(&program).env(ENV_PART, part.to_string()).stdout(Stdio::piped()).spawn().expect("a process")
    };
    let shown = |mut part: Child| {
        let lines = BufReader::new(part.stdout.take().expect("a pipe")).lines();
        // At once, so that a story that hangs is seen by what is missing.
        lines.for_each(|line| println!("{}", line.expect("text")));
        part.wait().expect("our child")
    };
    let parts: Vec<_> = (0..PARTS).map(part).map(|part| std::thread::spawn(move || shown(part))).collect();
    let ended: Vec<_> = parts.into_iter().map(|part| part.join().expect("it does not panic")).collect();
    ended.iter().find(|status| !status.success()).map_or(0, |status| status.code().unwrap_or(101))
}

/// Tells stories that count nothing of their own process and mostly wait: eight at a time, where the arguments do not say.
pub fn tell_together(trials: Vec<Trial>) -> ! {
    tell_by(Arguments::from_args().test_threads.or(Some(8)), trials)
}

fn tell_by(threads: Option<usize>, trials: Vec<Trial>) -> ! {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = threads;
    libtest_mimic::run(&arguments, trials).exit();
}
