//! A cluster that is traced: what stands in the file afterwards.

use rsm::lens::event::Kind;
use rsm::lens::{Lens, Trace};
use rsm::{AccessList, BarrierMode, Cluster, Code, Permission, SegmentId};
use rsm_lab::trace::{Call, Recorder, Segment, Story, What, Writer, text};
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
    let words = [1u32, 2, 3].map(u32::to_ne_bytes).concat();
    assert_eq!(puts, [&7u64.to_ne_bytes()[..], b"what was put", &words]);
    assert_eq!(waits, [Some((2, 1)), Some((1, 2)), None], "who woke whom");
    // Begun in this order, and none before the trace.
    assert!(story.happenings.windows(2).all(|two| two[0].at <= two[1].at));
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
