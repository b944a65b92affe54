//! Test bodies that run on real nodes: [`on_nodes!`](crate::on_nodes).
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

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::{self, Debug};
use std::io::Write;
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::process::Command;
use std::thread;
use std::time::Duration;

use rsm::lens::{Faults, Lens, Model};
use rsm::{Controller, Result};
use rustix::process::getpid;
use rustix::thread::gettid;

use crate::owned::{Launch, Report};

/// Where a node is to run the body: place, how many times that is come to, and how many nodes.
const PLACE: &str = "RSM_RUN_ON_NODES";
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
/// `on_nodes!(NODES, KEY = VALUE, .., |node| BODY)`. NODES is a number, or several, as in `[1, 2, 4]` or `2..=5`: the body runs
/// once for each. What it returns is `()` or a `Result`. With `async |node| { .. }` it runs in an executor of its own: that of
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
/// # Panics
/// When a node fails, with its panic and what each node wrote; when the time is up, with what each node waits for.
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
    ($nodes:expr, $($rest:tt)+) => {{
        fn here() {}
        let test = $crate::on_nodes::OnNodes::new($nodes, ::std::any::type_name_of_val(&here));
        $crate::on_nodes!(@of test; $($rest)+)
    }};
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

/// What a body may return.
#[diagnostic::on_unimplemented(
    message = "a body of `on_nodes!` returns `()` or a `Result`, not `{Self}`",
    note = "an async body is written `async |node| {{ .. }}`"
)]
pub trait Verdict {
    /// Why the node failed, if it did.
    fn failure(self) -> Option<String>;
}

impl Verdict for () {
    fn failure(self) -> Option<String> {
        None
    }
}

/// What a function returns: a way to name the type of one that does not, for which stable Rust has no name.
#[doc(hidden)]
pub trait Returns {
    /// The type.
    type Value;
}

impl<T> Returns for fn() -> T {
    type Value = T;
}

/// A body that never comes to its end, such as one that waits to be killed.
impl Verdict for <fn() -> ! as Returns>::Value {
    fn failure(self) -> Option<String> {
        self
    }
}

impl<T: Verdict, E: Debug> Verdict for std::result::Result<T, E> {
    fn failure(self) -> Option<String> {
        match self {
            Ok(verdict) => verdict.failure(),
            Err(error) => Some(format!("Error: {error:?}")),
        }
    }
}

/// A number of nodes, or several of them.
pub trait Counts {
    /// All of them, in the order in which they are tried.
    fn counts(self) -> Vec<u32>;
}

/// Negative ones are no number of nodes, and refused where those are.
fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or(0)
}

impl Counts for i32 {
    fn counts(self) -> Vec<u32> {
        vec![count(self)]
    }
}

impl Counts for u32 {
    fn counts(self) -> Vec<u32> {
        vec![self]
    }
}

impl<T: Counts, const N: usize> Counts for [T; N] {
    fn counts(self) -> Vec<u32> {
        self.into_iter().flat_map(Counts::counts).collect()
    }
}

impl<T: Counts> Counts for Vec<T> {
    fn counts(self) -> Vec<u32> {
        self.into_iter().flat_map(Counts::counts).collect()
    }
}

impl Counts for Range<i32> {
    fn counts(self) -> Vec<u32> {
        self.map(count).collect()
    }
}

impl Counts for RangeInclusive<i32> {
    fn counts(self) -> Vec<u32> {
        self.map(count).collect()
    }
}

/// A time in seconds, or as it is.
pub trait Limit {
    /// The time.
    fn time(self) -> Duration;
}

impl Limit for Duration {
    fn time(self) -> Duration {
        self
    }
}

impl Limit for i32 {
    fn time(self) -> Duration {
        Duration::from_secs(count(self).into())
    }
}

impl Limit for u64 {
    fn time(self) -> Duration {
        Duration::from_secs(self)
    }
}

impl Limit for f64 {
    fn time(self) -> Duration {
        Duration::try_from_secs_f64(self).unwrap_or_default()
    }
}

/// A test on nodes, as [`on_nodes!`](crate::on_nodes) puts it together.
#[derive(Debug)]
pub struct OnNodes {
    counts: Vec<u32>,
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
        let wanted = std::env::var(PLACE).ok();
        for &count in &self.counts {
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
            (None, Some(name)) => {
                command.args(["--exact", &name, "--include-ignored", "--nocapture", "--test-threads=1"])
            }
            // No test of a harness: a program, or a test in documentation, which comes here by itself.
            (None, None) => command.args(std::env::args_os().skip(1)),
        };
        command.env(PLACE, place);
        command
    }
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
    let (Some(id), Some(count)) = (number("RSM_NODE_ID"), number("RSM_NODE_COUNT")) else {
        panic!("{PLACE} is set and RSM_NODE_ID or RSM_NODE_COUNT is not: this process was not started by on_nodes!");
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
        // More than one, where a script has started the node again.
        let lives: Vec<&str> = process.stdout.split(ARRIVED).collect();
        arrived.push(lives.len() > 1);
        if let [_, lives @ .., last] = &lives[..] {
            let whole = |life: &&str| life.strip_suffix(HARNESS).unwrap_or(life).to_owned();
            process.stdout = lives.iter().map(whole).collect::<String>() + last;
        }
    }
    (report, arrived)
}

/// The path of a function, from what the compiler calls a function in it: `tests::ring` of `my_crate::tests::ring::here`.
fn function(here: &str) -> String {
    let parts = here.split("::").skip(1).filter(|part| *part != "{{closure}}" && *part != "here");
    parts.collect::<Vec<_>>().join("::")
}

/// What the harness calls the test, if this is a thread of a harness.
fn test_name(function: &str) -> Option<String> {
    if getpid() == gettid() {
        return None;
    }
    let thread = thread::current();
    // Some generate several tests that call one function.
    let of_thread = thread.name().filter(|name| {
        let rest = name.strip_prefix(function);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
    });
    Some(of_thread.unwrap_or(function).to_owned())
}

/// This program: by its name where that is still its, since that is what debuggers and people know.
fn this_program() -> std::path::PathBuf {
    use std::os::unix::fs::MetadataExt;
    let itself = std::path::PathBuf::from("/proc/self/exe");
    let is_it = |path: &std::path::PathBuf| {
        let id = |path: &std::path::PathBuf| std::fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        id(path).is_some() && id(path) == id(&itself)
    };
    // The process that executes it is another one, and this program as well.
    std::env::current_exe().ok().filter(is_it).unwrap_or(itself)
}

/// Waits for a future: in a runtime of tokio with the feature `tokio`, else by itself.
#[doc(hidden)]
#[cfg(feature = "tokio")]
pub fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// Waits for a future: in a runtime of tokio with the feature `tokio`, else by itself.
#[doc(hidden)]
#[cfg(not(feature = "tokio"))]
pub fn block_on<F: Future>(future: F) -> F::Output {
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let mut future = std::pin::pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            // One that comes before is not lost: this returns at once then.
            Poll::Pending => thread::park(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_is_called_as_its_function_or_its_thread() {
        assert_eq!(function("ring::here"), "");
        assert_eq!(function("my_crate::tests::ring::here"), "tests::ring");
        assert_eq!(function("my_crate::ring::{{closure}}::{{closure}}::here"), "ring");
        let own = "on_nodes::tests::a_test_is_called_as_its_function_or_its_thread";
        assert_eq!(test_name(own).as_deref(), Some(own));
        let named = |name: &str| {
            let thread = thread::Builder::new().name(name.to_owned());
            thread.spawn(|| test_name("tests::ring")).unwrap().join().unwrap().unwrap()
        };
        assert_eq!(named("tests::ring::case_1"), "tests::ring::case_1");
        assert_eq!(named("tests::ring_of_two"), "tests::ring");
        assert_eq!(named("worker"), "tests::ring");
    }

    #[test]
    fn numbers_of_nodes() {
        assert_eq!(3.counts(), [3]);
        assert_eq!([1, 2, 4].counts(), [1, 2, 4]);
        assert_eq!((2..=4).counts(), [2, 3, 4]);
        assert_eq!((2..4).counts(), [2, 3]);
        assert_eq!(vec![3_u32].counts(), [3]);
        assert_eq!((-1).counts(), [0], "refused as no number of nodes");
    }

    #[test]
    fn a_future_that_is_woken_from_elsewhere() {
        let (tell, told) = std::sync::mpsc::channel::<std::task::Waker>();
        let waker = thread::spawn(move || told.recv().unwrap().wake());
        let mut asked = false;
        let answer = block_on(std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return std::task::Poll::Ready(7);
            }
            tell.send(context.waker().clone()).unwrap();
            std::task::Poll::Pending
        }));
        waker.join().unwrap();
        assert_eq!(answer, 7);
    }
}
