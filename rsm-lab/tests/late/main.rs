//! A cluster that began without a trace and is traced for a while.
#![allow(unsafe_code)]

mod bytes;

use rsm::lens::event::Kind;
use rsm::lens::{Lens, Noted, Trace};
use rsm::observe::{Observer, Tracer};
use rsm::{AccessList, BarrierMode, BarrierType, Cluster, Code, Export, Import, Permission, SegmentId};
use rsm_lab::trace::{Call, Recorder, Segment, Story, What, Writer, text};
use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const NUMBER: u32 = 0x40_0001;
const ID: SegmentId = SegmentId::new(NUMBER);
const SEGMENT: Segment = Segment { node: 2, id: NUMBER };
const LENGTH: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(60);

/// A file of this test alone, which goes with it.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        Scratch(std::env::temp_dir().join(format!("rsm-{}-{name}.rsmtrace", std::process::id())))
    }

    fn story(&self) -> Story {
        let story = Story::read(&std::fs::read(&self.0).expect("the trace is there")).expect("and is one");
        assert_eq!(story.wrong, None);
        story
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn observer(cluster: &Cluster) -> Observer {
    Observer::attach(Some(cluster.name())).unwrap()
}

/// A segment of node 2 and an import of node 1.
fn connected(cluster: &Cluster) -> (Export, Import) {
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let export = two.controller("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let import = one.controller("shm0").unwrap().connect(2, ID, Permission::ReadWrite).unwrap();
    (export, import)
}

/// Does this until all of these nodes note their calls; gives what they noted to `keep`.
fn until_noted(tracer: &mut Tracer, nodes: &[u32], mut act: impl FnMut(), mut keep: impl FnMut(Vec<Noted>)) {
    let (mut heard, deadline) = (BTreeSet::new(), Instant::now() + PATIENCE);
    while !nodes.iter().all(|node| heard.contains(node)) {
        assert!(Instant::now() < deadline, "only {heard:?} of {nodes:?} note their calls");
        act();
        let noted = tracer.noted().unwrap();
        heard.extend(noted.iter().filter(|noted| !noted.read.slots.is_empty()).map(|noted| noted.node));
        keep(noted);
    }
}

fn texts(story: &Story) -> Vec<String> {
    let words = |call: &Call| text::call(call).split_whitespace().collect::<Vec<_>>().join(" ");
    story.calls().map(|(.., call)| words(call)).collect()
}

/// A lens gives every process a record, in which there is nothing to note calls in.
#[test]
fn a_cluster_with_a_lens_is_traced_as_well() {
    for lens in [Lens::chaos(7), Lens::clear(0).race()] {
        let cluster = Cluster::builder(2).lens(lens).start().unwrap();
        let (export, import) = connected(&cluster);
        let mut tracer = Tracer::begin(observer(&cluster)).unwrap();
        let act = || {
            import.put_u64(16, 2).unwrap();
            export.signal().unwrap();
        };
        until_noted(&mut tracer, &[1, 2], act, drop);
        assert_eq!(tracer.unheard().unwrap(), []);
    }
}

#[test]
fn all_that_is_done_is_noted_from_the_middle_on() {
    let scratch = Scratch::new("middle");
    let cluster = Cluster::new(2).unwrap();
    let (export, import) = connected(&cluster);
    import.put_u64(8, 1).unwrap();
    let mut tracer = Tracer::begin(observer(&cluster)).unwrap();
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    let act = || {
        import.put_u64(16, 2).unwrap();
        export.signal().unwrap();
    };
    until_noted(&mut tracer, &[1, 2], act, |noted| recorder.go_on_with(noted).unwrap());
    // Nobody knows how many signals there were: until there are none.
    while import.wait(Some(Duration::ZERO)).is_ok() {}

    import.put_u64(24, 3).unwrap();
    import.set_mode(BarrierMode::Explicit);
    let span = import.open_barrier().unwrap();
    import.put(4096, b"what was put").unwrap();
    span.order().unwrap();
    let mut bytes = [0; 12];
    import.get(4096, &mut bytes).unwrap();
    span.close().unwrap();
    export.signal().unwrap();
    import.wait(Some(PATIENCE)).unwrap();
    let other = cluster.node(1).unwrap().controller("shm0").unwrap().connect(2, ID, Permission::Write).unwrap();
    other.put_u64(32, 4).unwrap();
    drop(other.map(0, 4096, Permission::Write).unwrap());
    other.disconnect().unwrap();
    export.republish(&AccessList::everyone()).unwrap();
    let cut = import.open_barrier().unwrap();
    export.unpublish().unwrap();
    assert_eq!(cut.close().unwrap_err().code(), Code::ConnAborted);
    recorder.go_on_with(tracer.noted().unwrap()).unwrap();
    assert_eq!(tracer.unheard().unwrap(), []);
    drop(tracer);
    recorder.end_late().unwrap();

    let story = scratch.story();
    let all = texts(&story);
    let from = all.iter().position(|text| text == "put 2:0x400001 [24,+8)").expect("it is noted");
    let expected = [
        "put 2:0x400001 [24,+8)",
        "put 2:0x400001 [4096,+12)",
        "order 2:0x400001",
        "get 2:0x400001 [4096,+12)",
        "close 2:0x400001",
        "post all 2:0x400001",
        "wait 2:0x400001",
        "connect 2:0x400001, 65536 bytes",
        "put 2:0x400001 [32,+8)",
        "map 2:0x400001 [0,+4096)",
        "unmap 2:0x400001 [0,+4096)",
        "disconnect 2:0x400001",
        "republish 2:0x400001",
        "unpublish 2:0x400001",
        "close 2:0x400001: RSMERR_CONN_ABORTED",
    ];
    assert_eq!(all[from..], expected);
    assert!(!all.iter().any(|text| text.contains("[8,+8)")), "that was before");
    // Signals that may have been there before are told of nobody; then it is known who woke whom.
    let waits: Vec<(usize, Option<usize>)> =
        story.calls().filter(|(.., call)| call.kind == Kind::Wait).map(|(index, _, call)| (index, call.from)).collect();
    let (last, earlier) = waits.split_last().unwrap();
    assert!(earlier.iter().all(|(_, from)| from.is_none()), "{waits:?}");
    assert_eq!(last.1.map(|from| story.process_of(from).node), Some(2), "{waits:?}");

    assert_eq!((story.beginning.late, story.beginning.nodes), (true, 2));
    let says = "the trace begins in the middle: cluster";
    assert!(
        text::beginning(&story).unwrap().starts_with(says) && text::beginning(&story).unwrap().contains("1 segment")
    );
    assert!(rsm_lab::trace::page(&story).contains(says));
    assert!(rsm_lab::trace::chrome(&story).contains(says));
    let whole = String::from_utf8_lossy(&rsm_lab::trace::perfetto(&story)).into_owned();
    assert!(whole.contains("node 1, traced from the middle on"));
    let who = |offset| story.who(SEGMENT, offset, story.end()).unwrap();
    assert_eq!((who(8), who(LENGTH as u64 - 1)), (Writer::Before, Writer::Before));
    assert!(matches!(who(4096), Writer::Put(_)));
}

#[test]
fn processes_that_come_later_are_noted_from_their_first_call_on() {
    let scratch = Scratch::new("later");
    let cluster = Cluster::new(2).unwrap();
    let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let mut tracer = Tracer::begin(observer(&cluster)).unwrap();
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    let mut child = putting(&cluster, 2);
    let deadline = Instant::now() + PATIENCE;
    // It goes on when its first two calls are read: it would write over them otherwise.
    let mut first = 0;
    while first < 2 {
        assert!(Instant::now() < deadline, "the child does not begin");
        let noted = tracer.noted().unwrap();
        first +=
            noted.iter().filter(|noted| noted.pid == child.id()).map(|noted| noted.read.slots.len()).sum::<usize>();
        recorder.go_on_with(noted).unwrap();
    }
    export.signal().unwrap();
    while export.memory().read_volatile_u64(16).unwrap() < 100 {
        assert!(Instant::now() < deadline, "the child does not put");
        recorder.go_on_with(tracer.noted().unwrap()).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // Its end is the agent's to see.
    let mut over = false;
    while !over {
        assert!(Instant::now() < deadline, "its end is not seen");
        let noted = tracer.noted().unwrap();
        over = noted.iter().any(|noted| noted.ended && noted.pid == child.id());
        recorder.go_on_with(noted).unwrap();
    }
    recorder.end_late().unwrap();

    let story = scratch.story();
    let process = story.processes.iter().position(|process| process.node == 2).unwrap();
    let its: Vec<&What> = story.happenings.iter().filter(|h| h.process == process).map(|h| &h.what).collect();
    let kinds = its.iter().filter_map(|what| if let What::Call(call) = what { Some(call.kind) } else { None });
    let puts = kinds.clone().filter(|kind| *kind == Kind::Put).count() as u64;
    let lost = story.processes[process].lost + story.processes[process].torn;
    assert_eq!((kinds.clone().next(), kinds.clone().nth(1)), (Some(Kind::Connect), Some(Kind::Put)));
    let put = export.memory().read_volatile_u64(16).unwrap();
    // The last one may have been made and not noted.
    assert!((put - 1..=put + 1).contains(&(puts + lost)), "{puts} puts and {lost} lost of {put}");
    assert!(its.contains(&&What::Left));
}

#[test]
fn one_at_a_time_and_one_after_the_other() {
    let cluster = Cluster::new(2).unwrap();
    let (_export, import) = connected(&cluster);
    let mut tracer = Tracer::begin(observer(&cluster)).unwrap();
    let refused = Tracer::begin(observer(&cluster)).unwrap_err();
    assert_eq!(refused.code(), Code::InsufficientResources);
    let says = format!("process {} traces the cluster already, and one can at a time", std::process::id());
    assert_eq!(refused.detail(), says);
    let put = |offset| import.put_u64(offset, 1).unwrap();
    until_noted(&mut tracer, &[1], || put(0), drop);
    drop(tracer);
    // The agent hears of it in a moment.
    let deadline = Instant::now() + PATIENCE;
    let mut tracer = loop {
        match Tracer::begin(observer(&cluster)) {
            Ok(tracer) => break tracer,
            Err(error) => assert!(error.code() == Code::InsufficientResources && Instant::now() < deadline, "{error}"),
        }
        put(8);
    };
    let scratch = Scratch::new("second");
    let mut recorder = Recorder::begin_late(File::create(&scratch.0).unwrap(), &tracer).unwrap();
    until_noted(&mut tracer, &[1], || put(16), |noted| recorder.go_on_with(noted).unwrap());
    recorder.end_late().unwrap();
    let story = scratch.story();
    assert!(texts(&story).contains(&"put 2:0x400001 [16,+8)".to_owned()));
    assert!(!texts(&story).contains(&"put 2:0x400001 [0,+8)".to_owned()), "that was for the first one");
}

#[test]
fn imports_are_plain_again_when_nobody_traces() {
    let cluster = Cluster::new(2).unwrap();
    let (_export, _) = connected(&cluster);
    let node = cluster.node(1).unwrap();
    let import = node.membership().connect(1, 2, NUMBER, Permission::ReadWrite).unwrap();
    // Whatever it is just now, no span is told that it was cut.
    let put = || {
        let opened = import.snapshot();
        import.put_word(0, 1u64).unwrap();
        import.close_span(opened, BarrierType::Segment).unwrap();
    };
    for _ in 0..3 {
        let deadline = Instant::now() + PATIENCE;
        let mut tracer = loop {
            match Tracer::begin(observer(&cluster)) {
                Ok(tracer) => break tracer,
                Err(error) => assert!(Instant::now() < deadline, "{error}"),
            }
            put();
        };
        until_noted(&mut tracer, &[1], put, drop);
        assert!(import.is_diverted(), "it is noted");
        drop(tracer);
        while import.is_diverted() {
            assert!(Instant::now() < deadline, "it stays so");
            put();
        }
    }
}

/// Its import is diverted as its parent's was when it forked; the agent does not tell it that nobody traces any more.
#[test]
fn a_child_forked_while_somebody_traced_is_plain_when_nobody_does() {
    let cluster = Cluster::new(2).unwrap();
    let (_export, _) = connected(&cluster);
    let node = cluster.node(1).unwrap();
    let import = node.membership().connect(1, 2, NUMBER, Permission::ReadWrite).unwrap();
    let mut tracer = Tracer::begin(observer(&cluster)).unwrap();
    let put = || import.put_word(0, 1u64).unwrap();
    until_noted(&mut tracer, &[1], put, drop);
    assert!(import.is_diverted());

    let (mut told, tell) = std::io::pipe().unwrap();
    // SAFETY: the child uses what this test made and nobody else has, and locks that the library holds across the fork.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        drop(tell);
        // Its first call is made when nobody traces.
        let over = told.read(&mut [0]).is_ok_and(|read| read == 1);
        let deadline = Instant::now() + PATIENCE;
        let mut plain = false;
        while over && !plain && Instant::now() < deadline {
            let _ = import.put_word(0, 1u64);
            plain = !import.is_diverted();
        }
        // SAFETY: (this and the next) plain system calls.
        unsafe { libc::_exit(if plain { 0 } else { 1 }) };
    }
    drop((tracer, told));
    let deadline = Instant::now() + PATIENCE;
    while import.is_diverted() && Instant::now() < deadline {
        put();
    }
    let over = !import.is_diverted() && (&tell).write_all(&[1]).is_ok();
    drop(tell);
    let mut status = 0;
    // SAFETY: a child of this process, and a word.
    let reaped = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((reaped, over, libc::WIFEXITED(status)), (child, true, true));
    assert_eq!(libc::WEXITSTATUS(status), 0, "its import stays diverted");
}

#[test]
fn a_cluster_that_is_traced_from_its_beginning_is_not_traced_twice() {
    let cluster = Cluster::builder(2).lens(Lens::clear(0).trace(Trace::default())).start().unwrap();
    let refused = Tracer::begin(observer(&cluster)).unwrap_err();
    assert_eq!(refused.code(), Code::BadConf);
    assert_eq!(refused.detail(), "the cluster is traced from its beginning, and that trace has everything");
}

/// Set in the processes that a test starts of itself.
const CHILD: &str = "RSM_LATE_CHILD";

fn putting(cluster: &Cluster, node: u32) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child_that_puts", "--exact"]).env(CHILD, "1").stdout(Stdio::null());
    command.envs(cluster.environment(node).unwrap()).spawn().unwrap()
}

/// A process of a node: puts 1, waits for a signal, and puts 2, 3 .. until it is killed.
#[test]
fn child_that_puts() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let controller = rsm::Controller::open("shm0").unwrap();
    let import = controller.connect_within(1, ID, Permission::ReadWrite, PATIENCE).unwrap();
    let place = u64::from(controller.node().id()) * 8;
    for number in 1.. {
        if import.put_u64(place, number).is_err() || number == 1 && import.wait(Some(PATIENCE)).is_err() {
            return;
        }
    }
}
