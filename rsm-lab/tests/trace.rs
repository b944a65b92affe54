//! A cluster that is traced: what stands in the file afterwards.

use rsm::lens::event::Kind;
use rsm::lens::{Fault, Faults, Lens, Trace};
use rsm::{AccessList, BarrierMode, Cluster, Code, Permission, SegmentId};
use rsm_lab::trace::{Call, Recorder, Seen, Segment, Story, What, Writer, text};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

const NUMBER: u32 = 0x40_0001;
const ID: SegmentId = SegmentId::new(NUMBER);
const LENGTH: usize = 1 << 16;
const PATIENCE: Duration = Duration::from_secs(20);

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

fn traced(bytes: bool) -> Cluster {
    Cluster::builder(2).lens(Lens::clear(0).trace(Trace { bytes })).start().unwrap()
}

fn calls(story: &Story) -> Vec<&Call> {
    story.calls().map(|(.., call)| call).collect()
}

fn texts(story: &Story) -> Vec<String> {
    calls(story).into_iter().map(|call| text::call(call).split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn every_kind_of_call_is_noted_with_what_it_was_about() {
    let scratch = Scratch::new("kinds");
    let cluster = traced(true);
    let recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, true).unwrap();
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let (one, two) = (one.controller("shm0").unwrap(), two.controller("shm0").unwrap());
    let export = two.export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    export.republish(&AccessList::everyone()).unwrap();
    let import = one.connect(2, ID, Permission::ReadWrite).unwrap();
    import.put_u64(8, 7).unwrap();
    import.set_mode(BarrierMode::Explicit);
    let span = import.open_barrier().unwrap();
    import.put(4096, b"what was put").unwrap();
    span.order().unwrap();
    import.put_u32s(64, &[1, 2, 3]).unwrap();
    let mut bytes = [0; 12];
    import.get(4096, &mut bytes).unwrap();
    span.close().unwrap();
    import.signal().unwrap();
    export.wait(Some(PATIENCE)).unwrap();
    export.signal().unwrap();
    import.wait(Some(PATIENCE)).unwrap();
    assert_eq!(import.wait(Some(Duration::ZERO)).unwrap_err().code(), Code::Timeout);
    drop(import.map(0, 4096, Permission::Read).unwrap());
    assert_eq!(one.connect(2, SegmentId::new(0x40_0002), Permission::Read).unwrap_err().code(), Code::SegNotPublished);
    import.disconnect().unwrap();
    export.unpublish().unwrap();
    export.destroy().unwrap();
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let expected = [
        "create row 0 of node 2, 65536 bytes",
        "publish 2:0x400001",
        "republish 2:0x400001",
        "connect 2:0x400001, 65536 bytes",
        "put 2:0x400001 [8,+8)",
        "put 2:0x400001 [4096,+12)",
        "order 2:0x400001",
        "put 2:0x400001 [64,+12)",
        "get 2:0x400001 [4096,+12)",
        "close 2:0x400001",
        "post 2:0x400001",
        "wait 2:0x400001",
        "post all 2:0x400001",
        "wait 2:0x400001",
        "wait 2:0x400001: RSMERR_TIMEOUT",
        "map 2:0x400001 [0,+4096)",
        "unmap 2:0x400001 [0,+4096)",
        "connect 2:0x400002: RSMERR_SEG_NOT_PUBLISHED",
        "disconnect 2:0x400001",
        "unpublish 2:0x400001",
        "destroy 2:0x400001",
    ];
    assert_eq!(texts(&story), expected);
    assert_eq!((story.beginning.nodes, story.beginning.bytes), (2, true));
    let pid = std::process::id();
    assert!(story.processes.iter().all(|process| (process.pid, process.lost, process.torn) == (pid, 0, 0)));
    let of_node = |index: usize| story.process_of(index).node;
    let (mut puts, mut waits) = (Vec::new(), Vec::new());
    for (index, _, call) in story.calls() {
        let exports =
            matches!(call.kind, Kind::Create | Kind::Publish | Kind::Republish | Kind::PostAll | Kind::Destroy);
        if exports {
            assert_eq!(of_node(index), 2);
        }
        match call.kind {
            Kind::Put => puts.push(story.put_bytes(call).unwrap()),
            Kind::Wait => waits.push(call.from.map(|from| (of_node(index), of_node(from)))),
            _ => {}
        }
    }
    let put_to = |offset: u64| {
        let is_it = |(.., call): &(usize, &_, &Call)| (call.kind, call.offset) == (Kind::Put, offset);
        story.calls().find(is_it).unwrap()
    };
    let close = story.calls().find(|(.., call)| call.kind == Kind::Close).unwrap().0;
    assert_eq!([8, 4096, 64].map(|offset| put_to(offset).2.close), [None, Some(close), Some(close)], "what closed it");
    let closed = text::closed(&story, put_to(64).0).unwrap();
    assert!(closed.starts_with("closed ") && closed.ends_with(&format!(" ms by {}", close + 1)), "{closed}");
    assert_eq!(text::closed(&story, put_to(8).0), None, "it was sure when it returned");
    let words = [1u32, 2, 3].map(u32::to_ne_bytes).concat();
    assert_eq!(puts, [&7u64.to_ne_bytes()[..], b"what was put", &words]);
    assert_eq!(waits, [Some((2, 1)), Some((1, 2)), None], "who woke whom");
    // Begun in this order, and none before the trace.
    assert!(story.happenings.windows(2).all(|two| two[0].at <= two[1].at));
}

#[test]
fn faults_of_the_lens_stand_where_they_happened() {
    let scratch = Scratch::new("faults");
    let faults = Faults::parse("error,late-signal").unwrap();
    let lens = Lens::clear(7).faults(faults).trace(Trace { bytes: false });
    let cluster = Cluster::builder(2).lens(lens).start().unwrap();
    let recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, false).unwrap();
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let (one, two) = (one.controller("shm0").unwrap(), two.controller("shm0").unwrap());
    let export = two.export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let import = one.connect(2, ID, Permission::ReadWrite).unwrap();
    import.set_mode(BarrierMode::Explicit);
    let (mut failed, mut posted) = (0, 0);
    while failed < 3 || posted < 40 {
        let span = import.open_barrier().unwrap();
        import.put_u64(0, 1).unwrap();
        if let Err(error) = span.close() {
            assert_eq!(error.code(), Code::BarrierFailure);
            failed += 1;
        }
        import.signal().unwrap();
        posted += 1;
        assert!(posted < 5000, "one in fifty is to fail");
    }
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let all = calls(&story);
    let of = |fault: Fault| all.iter().filter(|call| call.fault().is_some_and(|last| last.fault == fault)).count();
    assert_eq!(of(Fault::Error), failed, "each span that failed is told why");
    assert!(of(Fault::LateSignal) > 0);
    let lines: Vec<String> = (0..story.happenings.len()).map(|index| text::line(&story, index)).collect();
    let told = |text: &str| lines.iter().any(|line| line.ends_with(text));
    assert!(told("  fault      error at the close of a span to 0x400001 of node 2"), "{lines:#?}");
    assert!(told("  fault      late-signal at a signal to 0x400001 of node 2"));
    // Before the call that met it returned, after it began.
    for (index, ..) in story.calls().filter(|(.., call)| call.fault().is_some_and(|last| last.fault == Fault::Error)) {
        let at = story.happenings[index].at;
        let met = story.calls().any(|(_, happening, call)| {
            call.kind == Kind::Close && call.code != 0 && happening.at <= at && at <= happening.end()
        });
        assert!(met, "{}", lines[index]);
    }
    assert!(
        rsm_lab::trace::chrome(&story).contains("\"fault\":\"error at the close of a span to 0x400001 of node 2\"")
    );
}

#[test]
fn who_wrote_a_byte_and_what_there_was_at_any_event() {
    let scratch = Scratch::new("who");
    let cluster = traced(true);
    let mut recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, true).unwrap();
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let export = two.controller("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let import = one.controller("shm0").unwrap().connect(2, ID, Permission::ReadWrite).unwrap();
    import.put(100, b"aaaa").unwrap();
    import.put(102, b"bb").unwrap();
    recorder.go_on(&cluster).unwrap();
    export.memory().write(200, b"owner").unwrap();
    export.memory().write(101, b"o").unwrap();
    recorder.go_on(&cluster).unwrap();
    import.put(202, b"x").unwrap();
    let mut last = vec![0; LENGTH];
    export.memory().read(0, &mut last).unwrap();
    drop((import, export));
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let segment = Segment { node: 2, id: NUMBER };
    let puts: Vec<usize> = story.calls().filter(|(.., call)| call.kind == Kind::Put).map(|(index, ..)| index).collect();
    let who = |offset| story.who(segment, offset, story.end()).unwrap();
    assert_eq!([who(100), who(102), who(103), who(202)], [0, 1, 1, 2].map(|put| Writer::Put(puts[put])));
    assert_eq!([who(0), who(104), who(99)], [Writer::Nobody, Writer::Nobody, Writer::Nobody]);
    for offset in [101, 200, 204] {
        let Writer::Store(after, before) = who(offset) else { panic!("byte {offset}: {:?}", who(offset)) };
        assert!(after >= story.end_of(puts[1]) && before <= story.happenings[puts[2]].at);
    }
    // At earlier times.
    assert_eq!(story.who(segment, 102, story.end_of(puts[0])), Ok(Writer::Put(puts[0])));
    assert_eq!(story.who(segment, 200, story.end_of(puts[1])), Ok(Writer::Nobody));
    let at = |index: usize, range: std::ops::Range<usize>| {
        String::from_utf8(story.bytes_at(segment, story.end_of(index)).unwrap()[range].to_vec()).unwrap()
    };
    assert_eq!([at(puts[0], 100..104), at(puts[1], 100..104), at(puts[2], 100..104)], ["aaaa", "aabb", "aobb"]);
    assert_eq!(at(puts[2], 200..205), "owxer");
    assert_eq!(story.bytes_at(segment, story.end()).unwrap(), last, "as it was at the end");
    let says = story.who(segment, LENGTH as u64, story.end()).unwrap_err();
    assert!(says.contains("65536 bytes"), "{says}");
    let says = story.bytes_at(Segment { node: 1, id: 5 }, story.end()).unwrap_err();
    assert!(says.contains("no segment 1:0x5 then; published at some time: 2:0x400001"), "{says}");
}

/// Nobody reads the ring until the end: what is known of the owner's stores it has noted itself.
#[test]
fn what_the_owner_stores_is_known_at_each_of_its_signals() {
    let scratch = Scratch::new("stores");
    let cluster = traced(true);
    let recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, true).unwrap();
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let export = one.controller("shm0").unwrap().export(LENGTH).unwrap();
    export.memory().write(8, b"before").unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let import = two.controller("shm0").unwrap().connect(1, ID, Permission::ReadWrite).unwrap();
    let values = [0x11u8, 0x22, 0x33, 0x44, 0x55];
    for value in values {
        export.memory().write(256, &[value; 256]).unwrap();
        export.signal().unwrap();
        import.wait(Some(PATIENCE)).unwrap();
        import.put(512, &[value; 3]).unwrap();
        import.signal().unwrap();
        export.wait(Some(PATIENCE)).unwrap();
    }
    export.unpublish().unwrap();
    export.memory().write(256, b"later").unwrap();
    export.destroy().unwrap();
    drop(import);
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let segment = Segment { node: 1, id: NUMBER };
    let of = |kind: Kind, node: u32| -> Vec<usize> {
        let is_it = |(index, _, call): &(usize, _, &Call)| call.kind == kind && story.process_of(*index).node == node;
        story.calls().filter(is_it).map(|(index, ..)| index).collect()
    };
    let at = |index: usize| story.bytes_at(segment, story.end_of(index)).unwrap();
    let seen = |index: usize| story.seen(segment, Some(index)).unwrap();
    let (posts, waits, others) = (of(Kind::PostAll, 1), of(Kind::Wait, 1), of(Kind::Wait, 2));
    let (publish, puts) = (of(Kind::Publish, 1)[0], of(Kind::Put, 2));
    assert_eq!((&at(publish)[8..14], seen(publish)), (&b"before"[..], Seen::Then));
    for (round, value) in values.into_iter().enumerate() {
        let before = if round > 0 { values[round - 1] } else { 0 };
        let (post, wait, put) = (posts[round], waits[round], puts[round]);
        assert_eq!((&at(post)[255..513], seen(post)), (&[&[0], &[value; 256][..], &[before]].concat()[..], Seen::Then));
        assert_eq!((at(wait)[512..515] == [value; 3], seen(wait)), (true, Seen::Then));
        // Somebody else's events: what was seen last, and the puts since.
        let Seen::Before(time) = seen(others[round]) else { panic!("{:?}", seen(others[round])) };
        assert!(story.happenings[post].at <= time && time <= story.end_of(post), "it was at the signal");
        assert_eq!((at(put)[256], &at(put)[512..515]), (value, &[value; 3][..]));
        let who = |offset, index: usize| story.who(segment, offset, story.end_of(index)).unwrap();
        assert_eq!(who(512, wait), Writer::Put(put));
        // Between the owner's event before and this one.
        let from = if round > 0 { story.happenings[waits[round - 1]].at } else { story.happenings[publish].at };
        let Writer::Store(after, before) = who(300, post) else { panic!("{:?}", who(300, post)) };
        assert!(after >= from && before <= story.end_of(post), "{from}: {after} {before}");
        assert_eq!(who(300, wait), who(300, post), "nobody has since");
        assert_eq!(who(600, wait), Writer::Nobody);
    }
    assert_eq!(
        (&story.bytes_at(segment, story.end()).unwrap()[256..261], story.seen(segment, None)),
        (&b"later"[..], Ok(Seen::Then))
    );
    let create = of(Kind::Create, 1)[0];
    assert!(story.seen(segment, Some(create)).is_err(), "it was not published then");
    // What was there when it was published had been stored since it was created.
    let Writer::Store(after, before) = story.who(segment, 8, story.end_of(publish)).unwrap() else { panic!() };
    assert_eq!(after, story.happenings[create].at);
    assert!(story.happenings[publish].at <= before && before <= story.end_of(publish));
}

#[test]
fn what_comes_faster_than_it_is_read_is_lost_and_counted() {
    let scratch = Scratch::new("lost");
    let cluster = traced(false);
    let recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, false).unwrap();
    let node = cluster.node(1).unwrap().controller("shm0").unwrap();
    let export = node.export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let import = node.connect(1, ID, Permission::ReadWrite).unwrap();
    let count = rsm::lens::event::SLOTS as u64 + 1000;
    (0..count).for_each(|number| import.put_u64(0, number).unwrap());
    drop((import, export));
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let puts = story.calls().filter(|(.., call)| call.kind == Kind::Put).count() as u64;
    let lost = story.processes.iter().map(|process| process.lost).sum::<u64>();
    assert!(puts < count && lost >= 1000, "{puts} puts, {lost} lost");
    let told: Vec<&What> = story.happenings.iter().map(|happening| &happening.what).collect();
    assert!(told.iter().any(|what| **what == What::Missing(lost, 0)), "and says so");
    // Without bytes there is nothing to be shown of them.
    let says = story.bytes_at(Segment { node: 1, id: NUMBER }, story.end()).unwrap_err();
    assert!(says.contains("--trace-bytes"), "{says}");
}

/// Set in the processes that a test starts of itself.
const CHILD: &str = "RSM_TRACE_CHILD";

/// A process of a node: puts 1, 2, 3 .. until it is killed.
#[test]
fn child_that_puts() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let controller = rsm::Controller::open("shm0").unwrap();
    let import = controller.connect_within(1, ID, Permission::ReadWrite, PATIENCE).unwrap();
    let place = u64::from(controller.node().id()) * 8;
    for number in 1.. {
        if import.put_u64(place, number).is_err() {
            return;
        }
    }
}

#[test]
fn a_node_that_is_killed_loses_one_record_at_most() {
    let scratch = Scratch::new("killed");
    let cluster = Cluster::builder(3).lens(Lens::clear(0).trace(Trace::default())).start().unwrap();
    let mut recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, false).unwrap();
    let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    let start = |node: u32| {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        command.args(["child_that_puts", "--exact"]).env(CHILD, "1").stdout(std::process::Stdio::null());
        command.envs(cluster.environment(node).unwrap()).spawn().unwrap()
    };
    let mut children = [2, 3].map(start);
    let value = |node: u64| export.memory().read_volatile_u64(node * 8).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    while [2, 3].into_iter().any(|node| value(node) < 1000) && std::time::Instant::now() < deadline {
        recorder.go_on(&cluster).unwrap();
        std::thread::yield_now();
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    for node in [2, 3] {
        let process = story.processes.iter().find(|process| process.node == node).unwrap();
        let puts = |(index, _, call): &(usize, _, &Call)| {
            call.kind == Kind::Put && story.process_of(*index).node == node && call.offset == u64::from(node) * 8
        };
        let noted = story.calls().filter(puts).count() as u64 + process.lost;
        let made = value(node.into());
        assert!(made >= 1000, "node {node} came as far as {made}");
        assert!((made - 1..=made).contains(&noted) && process.torn <= 1, "{noted} of {made} noted, {process:?}");
        let left = |index: &usize| story.process_of(*index).node == node && story.happenings[*index].what == What::Left;
        assert_eq!((0..story.happenings.len()).filter(left).count(), 1);
    }
}

/// A process of a node: stores 1, 2, 3 .. into its segment and signals each, until it is killed.
#[test]
fn child_that_stores() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let export = rsm::Controller::open("shm0").unwrap().export(LENGTH).unwrap();
    export.publish(ID, &AccessList::everyone()).unwrap();
    export.wait(Some(PATIENCE)).unwrap();
    for number in 1.. {
        export.memory().write_volatile_u64(4096, number).unwrap();
        if export.signal().is_err() {
            return;
        }
    }
}

#[test]
fn stores_of_an_owner_that_is_killed_are_known_up_to_its_last_signal() {
    let scratch = Scratch::new("storing");
    let cluster = traced(true);
    let recorder = Recorder::begin(File::create(&scratch.0).unwrap(), &cluster, true).unwrap();
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["child_that_stores", "--exact"]).env(CHILD, "1").stdout(std::process::Stdio::null());
    let mut child = command.envs(cluster.environment(2).unwrap()).spawn().unwrap();
    let one = cluster.node(1).unwrap().controller("shm0").unwrap();
    let import = one.connect_within(2, ID, Permission::Read, PATIENCE).unwrap();
    import.signal().unwrap();
    // Nobody reads meanwhile: who comes four times while it is in the middle of a record takes that for torn.
    for _ in 0..300 {
        import.wait(Some(PATIENCE)).unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    drop(import);
    recorder.end(&cluster).unwrap();

    let story = scratch.story();
    let process = story.processes.iter().find(|process| process.node == 2).unwrap();
    // A look at one word takes two places in the ring.
    assert!(process.torn <= 2, "{process:?}");
    let posts: Vec<usize> =
        story.calls().filter(|(.., call)| call.kind == Kind::PostAll).map(|(index, ..)| index).collect();
    assert!(posts.len() >= 300);
    // Of those that were lost nobody knows how many were signals.
    if process.lost == 0 {
        let segment = Segment { node: 2, id: NUMBER };
        for (at, post) in posts.iter().enumerate().rev().take(20) {
            assert_eq!(story.seen(segment, Some(*post)), Ok(Seen::Then));
            let bytes = story.bytes_at(segment, story.end_of(*post)).unwrap();
            assert_eq!(bytes[4096..4104], (at as u64 + 1).to_ne_bytes());
        }
    }
}
