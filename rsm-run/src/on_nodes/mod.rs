//! Test bodies that run on real nodes: [`on_nodes!`](crate::on_nodes!).
//!
//! Each node is this very program, executed once more and told to come to the same place of the same test, where it runs the
//! body instead of starting nodes. Whatever the test does before that place it does on each node as well, but for other places
//! with nodes, which are passed over there. The program that
//! waits for them fails when one of them does, so `#[should_panic]` means what the body does.
//!
//! ```
//! use rsm_run::on_nodes;
//! use rsm::{AccessList, Permission, SegmentId};
//! use std::time::Duration;
//!
//! on_nodes!(3, timeout = 60, |node| -> rsm::Result<()> {
//!     let shm = node.controller("shm0")?;
//!     let (inbox, id) = (shm.export(65536)?, SegmentId::new(0x40_0000));
//!     inbox.publish(id, &AccessList::everyone())?;
//!     let right = shm.connect_within(node.id() % node.count() + 1, id, Permission::ReadWrite, Duration::from_secs(30))?;
//!     right.put_u64(0, node.id().into())?;
//!     right.signal()?;
//!     inbox.wait(Some(Duration::from_secs(30)))?;
//!     let left = (node.id() + node.count() - 2) % node.count() + 1;
//!     assert_eq!(inbox.memory().read_volatile_u64(0)?, u64::from(left));
//!     # // Nobody goes while its memory may still be written to.
//!     # right.signal()?;
//!     # inbox.wait(Some(Duration::from_secs(30)))?;
//!     Ok(())
//! });
//! ```

mod executor;
mod program;
mod words;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::io::Write;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::process::Command;
use std::time::Duration;

use rsm::lens::{Faults, Lens, Model};
use rsm::run::{ENV_NODE_COUNT, ENV_NODE_ID};
use rsm::{Controller, Result};
use rustix::process::getppid;

use crate::node::{PARENT, PLACE};
use crate::node_set::MOST_NODES;
use crate::owned::{Launch, Report};

#[doc(hidden)]
pub use executor::block_on;
use program::{function, test_name, this_program};
#[doc(hidden)]
pub use words::Returns;
pub use words::{Counts, Limit, Verdict};

/// A node writes this when it has come there, after what the test harness has to say.
const ARRIVED: &str = "\u{1}rsm-run: here begins what the node writes\n";
/// What Rust's own harness says before it.
const HARNESS: &str = "\nrunning 1 test\n";
/// How long a run may take where nobody says.
const USUAL: Duration = Duration::from_secs(60);

thread_local! {
    /// How often this test has come to each place.
    static VISITS: RefCell<HashMap<Location<'static>, u32>> = RefCell::default();
    /// Whether this is inside of a body.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// Runs the rest of a test on real nodes: processes of this test binary, which end with it.
///
/// `on_nodes!(NODES, KEY = VALUE, .., |node| BODY)`. NODES is a number from 1 to 63, or several, as in `[1, 2, 4]` or `2..=5`: the
/// body runs once for each. A number that is no such one does not compile where it is written as it is. What it returns is `()` or a `Result`. With `async |node| { .. }` it runs in an executor of its own: that of
/// tokio with this crate's feature `tokio`, else a plain one.
///
/// | key | |
/// |---|---|
/// | `timeout` | seconds, or a `Duration`, for each number of nodes; 60 s without it |
/// | `chaos` | a seed: stores and signals are late and out of order ([`rsm::lens`]) |
/// | `model` | which orders are permitted, as [`Model::Sci`] |
/// | `faults` | what goes wrong now and then, by the seed of `chaos` or 0 |
/// | `lens` | all of that at once |
/// | `script` | a fault script ([`rsm_lab`]): what it kills is no failure |
/// | `controllers` | names, as `["shm0", "shm1"]` |
/// | `grace` | how long nodes may take to end after one failed; 2 s without it |
/// | `keep_going` | `true`: the others go on when a node fails |
/// | `stacks` | `true`: when the time is up, where each thread is |
/// | `shown` | `true`: what nodes write is shown at once as well. So it is with `RSM_RUN_SHOWN=1` in the environment |
/// | `name` | the name of the test, for a harness that is not Rust's own: it is given as `--exact NAME --nocapture` |
///
/// ```
/// # use rsm_run::on_nodes;
/// on_nodes!([1, 2], |node| assert!(node.id() <= node.count()));
/// on_nodes!(2, chaos = 7, script = "when node 2 has joined then node kill 2", |node| {
///     if node.id() == 2 {
///         let _here = node.controller("shm0").unwrap();
///         loop { std::thread::park() }
///     }
/// });
/// on_nodes!(1, async |node| { assert_eq!(node.count(), 1) });
/// ```
///
/// ```compile_fail,E0080
/// rsm_run::on_nodes!(-1, |node| assert!(node.id() > 0));
/// ```
///
/// # Panics
/// When a node fails, with its panic and what each node wrote; when the time is up, with what each node waits for; where the
/// number of nodes is none of 1 to 63.
#[macro_export]
macro_rules! on_nodes {
    (@of $test:expr; async |$node:pat_param| $body:expr $(,)?) => {
        $test.run(|$node| $crate::on_nodes::block_on(async { $body }))
    };
    (@of $test:expr; async move |$node:pat_param| $body:expr $(,)?) => {
        $test.run(move |$node| $crate::on_nodes::block_on(async move { $body }))
    };
    (@of $test:expr; async |$node:pat_param| -> $verdict:ty $body:block $(,)?) => {
        $test.run(|$node| -> $verdict { $crate::on_nodes::block_on(async { $body }) })
    };
    (@of $test:expr; |$node:pat_param| -> $verdict:ty $body:block $(,)?) => {
        $test.run(|$node| -> $verdict { $body })
    };
    (@of $test:expr; |$node:pat_param| $body:expr $(,)?) => {
        $test.run(|$node| $body)
    };
    (@of $test:expr; move |$node:pat_param| $body:expr $(,)?) => {
        $test.run(move |$node| $body)
    };
    (@of $test:expr; $key:ident = $value:expr, $($rest:tt)+) => {
        $crate::on_nodes!(@of $test.$key($value); $($rest)+)
    };
    (@of $test:expr; $($rest:tt)*) => {
        compile_error!("write on_nodes!(4, timeout = 30, |node| { .. }), or async |node| { .. }")
    };
    (@on $nodes:expr; $($rest:tt)+) => {{
        fn here() {}
        let test = $crate::on_nodes::OnNodes::new($nodes, ::std::any::type_name_of_val(&here));
        $crate::on_nodes!(@of test; $($rest)+)
    }};
    ($nodes:literal, $($rest:tt)+) => {{
        const { ::std::assert!(1 <= $nodes && $nodes <= 63, "a cluster has 1 to 63 nodes") };
        $crate::on_nodes!(@on $nodes; $($rest)+)
    }};
    ($nodes:expr, $($rest:tt)+) => {
        $crate::on_nodes!(@on $nodes; $($rest)+)
    };
}

/// The node that a body runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    id: u32,
    count: u32,
}

impl Node {
    /// Its id, 1 to the number of nodes.
    pub fn id(self) -> u32 {
        self.id
    }

    /// How many nodes there are.
    pub fn count(self) -> u32 {
        self.count
    }

    /// A controller of the node, such as `shm0`.
    ///
    /// # Errors
    /// As [`Controller::open`].
    pub fn controller(self, name: &str) -> Result<Controller> {
        Controller::open(name)
    }
}

/// A test on nodes, as [`on_nodes!`](crate::on_nodes!) puts it together.
#[derive(Debug)]
pub struct OnNodes {
    counts: Vec<i64>,
    place: Location<'static>,
    /// The function that the test is in, as the compiler calls it.
    function: String,
    name: Option<String>,
    timeout: Duration,
    lens: Option<Lens>,
    /// What else is asked for.
    launch: Launch,
}

/// What the macro calls: each key is a function.
#[doc(hidden)]
impl OnNodes {
    #[track_caller]
    pub fn new(nodes: impl Counts, here: &'static str) -> OnNodes {
        let shown = std::env::var_os("RSM_RUN_SHOWN").is_some_and(|value| !value.is_empty() && value != "0");
        OnNodes {
            counts: nodes.counts(),
            place: *Location::caller(),
            function: function(here),
            name: None,
            timeout: USUAL,
            lens: None,
            launch: Launch::new(1).shown(shown),
        }
    }

    pub fn timeout(self, time: impl Limit) -> OnNodes {
        OnNodes { timeout: time.time(), ..self }
    }

    pub fn chaos(self, seed: u64) -> OnNodes {
        let lens = self.lens.unwrap_or(Lens::chaos(seed));
        self.lens(Lens { seed, model: lens.model.or(Some(Model::default())), ..lens })
    }

    pub fn model(self, model: Model) -> OnNodes {
        let lens = self.lens.unwrap_or(Lens::clear(0));
        self.lens(lens.model(model))
    }

    pub fn faults(self, faults: Faults) -> OnNodes {
        let lens = self.lens.unwrap_or(Lens::clear(0));
        self.lens(lens.faults(faults))
    }

    pub fn lens(self, lens: Lens) -> OnNodes {
        OnNodes { lens: Some(lens), ..self }
    }

    pub fn script(self, text: &str) -> OnNodes {
        OnNodes { launch: self.launch.script(text), ..self }
    }

    pub fn controllers<T: Into<String>>(self, names: impl IntoIterator<Item = T>) -> OnNodes {
        OnNodes { launch: self.launch.controllers(names), ..self }
    }

    pub fn grace(self, time: impl Limit) -> OnNodes {
        OnNodes { launch: self.launch.grace(time.time()), ..self }
    }

    pub fn keep_going(self, whether: bool) -> OnNodes {
        OnNodes { launch: self.launch.keep_going(whether), ..self }
    }

    pub fn stacks(self, whether: bool) -> OnNodes {
        OnNodes { launch: self.launch.stacks(whether), ..self }
    }

    pub fn shown(self, whether: bool) -> OnNodes {
        OnNodes { launch: self.launch.shown(whether), ..self }
    }

    pub fn name(self, name: &str) -> OnNodes {
        OnNodes { name: Some(name.to_owned()), ..self }
    }

    #[track_caller]
    pub fn run<V: Verdict>(self, body: impl FnOnce(Node) -> V) {
        assert!(!INSIDE.get(), "on_nodes! inside of a body of on_nodes!");
        assert!(!self.counts.is_empty(), "on_nodes! without a number of nodes");
        let wanted = wanted_place();
        for &count in &self.counts {
            let number = u32::try_from(count).ok().filter(|number| (1..=MOST_NODES).contains(number));
            let count = number.unwrap_or_else(|| panic!("a cluster has 1 to {MOST_NODES} nodes, not {count}"));
            let visit = VISITS.with_borrow_mut(|visits| {
                let visits = visits.entry(self.place).or_default();
                *visits += 1;
                *visits
            });
            let place = Place { location: self.place, visit, count }.to_string();
            match &wanted {
                // What the nodes of another place did has been seen to.
                Some(wanted) if *wanted != place => {}
                Some(_) => be_a_node(body),
                None => self.try_on(count, &place),
            }
        }
    }

    /// Runs the test on this many nodes, as their owner.
    #[track_caller]
    fn try_on(&self, count: u32, place: &str) {
        let launch = self.launch.clone().on(count).timeout(self.timeout);
        let launch = self.lens.iter().fold(launch, |launch, lens| launch.lens(*lens));
        let report = match launch.program("all", &self.again(place)).run() {
            Ok(report) => report,
            Err(failure) => panic!("on {}: {failure}", nodes(count)),
        };
        let (report, arrived) = after_arrival(report);
        let lens = self.lens.map(|lens| format!(", seen through {lens}")).unwrap_or_default();
        assert!(report.is_success(), "on {}{lens}: {report}", nodes(count));
        let lost = report.processes().iter().zip(arrived).find(|(process, arrived)| !arrived && !process.on_purpose);
        if let Some((process, _)) = lost {
            let name = self.name.clone().or_else(|| test_name(&self.function)).unwrap_or_default();
            panic!(
                "node {} ended well without having come here again: is {name:?} what the test is called, and does it do the \
                 same each time before it comes here?\n{report}",
                process.label
            );
        }
    }

    /// This program once more, on its way to the same place.
    fn again(&self, place: &str) -> Command {
        let mut command = Command::new(this_program());
        match (&self.name, test_name(&self.function)) {
            (Some(name), _) => command.args(["--exact", name, "--nocapture"]),
            // One that is ignored as well, because then it was asked for.
            (None, Some(name)) => command.args(["--exact", &name, "--include-ignored", "--nocapture"]),
            // No test of a harness: a program, or a test in documentation, which comes here by itself.
            (None, None) => command.args(std::env::args_os().skip(1)),
        };
        command.env(PLACE, place);
        command
    }
}

/// The place that this process is to come to, if it is a node of a test.
fn wanted_place() -> Option<String> {
    let parent = std::env::var(PARENT).ok()?;
    if getppid()?.as_raw_pid().to_string() == parent { std::env::var(PLACE).ok() } else { None }
}

fn nodes(count: u32) -> String {
    if count == 1 { "1 node".to_owned() } else { format!("{count} nodes") }
}

/// A place that a test comes to.
struct Place {
    location: Location<'static>,
    visit: u32,
    count: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, visit {}, {} nodes", self.location, self.visit, self.count)
    }
}

/// Runs the body, and ends this process: what the harness makes of the test here is nobody's business.
fn be_a_node<V: Verdict>(body: impl FnOnce(Node) -> V) -> ! {
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let (Some(id), Some(count)) = (number(ENV_NODE_ID), number(ENV_NODE_COUNT)) else {
        panic!(
            "{PLACE} is set and {ENV_NODE_ID} or {ENV_NODE_COUNT} is not: this process was not started by on_nodes!"
        );
    };
    // Past what the harness captures.
    let said = std::io::stdout().write_all(ARRIVED.as_bytes()).and_then(|()| std::io::stdout().flush());
    said.expect("a node has a standard output");
    INSIDE.set(true);
    let code = match catch_unwind(AssertUnwindSafe(|| body(Node { id, count }).failure())) {
        Ok(None) => 0,
        Ok(Some(why)) => {
            let _ = writeln!(std::io::stderr(), "{why}");
            1
        }
        // Told by the panic itself.
        Err(_) => 101,
    };
    let _ = std::io::stdout().flush();
    std::process::exit(code)
}

/// The report without what the harness wrote, and which processes have come to the place.
fn after_arrival(mut report: Report) -> (Report, Vec<bool>) {
    let mut arrived = Vec::new();
    for process in &mut report.processes {
        let (has, own) = own_output(&process.stdout);
        arrived.push(has);
        process.stdout = own;
    }
    (report, arrived)
}

/// Whether a node has come to the place, and what it wrote there; all of it, if it has not.
fn own_output(stdout: &str) -> (bool, String) {
    // More than one life, where a script has started the node again.
    match &stdout.split(ARRIVED).collect::<Vec<_>>()[..] {
        [_, lives @ .., last] => {
            let own = |life: &&str| life.rfind(HARNESS).map_or(*life, |end| &life[..end]).to_owned();
            (true, lives.iter().map(own).collect::<String>() + last)
        }
        _ => (false, stdout.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_harness_says_is_not_the_nodes() {
        let life = |own: &str| format!("{HARNESS}test ring ... {ARRIVED}{own}");
        assert_eq!(own_output(&life("one\n")), (true, "one\n".to_owned()));
        assert_eq!(own_output(&(life("one, cut") + &life("two\n"))), (true, "one, cuttwo\n".to_owned()));
        assert_eq!(own_output("running 0 tests\n"), (false, "running 0 tests\n".to_owned()));
        assert_eq!(own_output(""), (false, String::new()));
    }
}
