//! Traces as files of Perfetto and of Chrome's tracing.

use rsm::lens::event::Kind;
use rsm::lens::{Lens, Trace};
use rsm::{AccessList, Cluster, Permission, SegmentId};
use rsm_lab::trace::{Recorder, Story, What, chrome, perfetto};
use serde_json::Value;
use std::collections::HashMap;
use std::fs::File;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A field of a protobuf message: a number, or bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, in order.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let (&byte, rest) = bytes.split_first().expect("a varint ends");
            *bytes = rest;
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte < 0x80 {
                return value;
            }
        }
    }
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => {
                let (eight, rest) = bytes.split_first_chunk().expect("eight bytes");
                bytes = rest;
                Field::Number(u64::from_le_bytes(*eight))
            }
            2 => {
                let length = varint(&mut bytes) as usize;
                let (contents, rest) = bytes.split_at(length);
                bytes = rest;
                Field::Bytes(contents)
            }
            other => panic!("there is no wire type {other} here"),
        };
        fields.push((key >> 3, field));
    }
    fields
}

/// All of one field.
fn of(message: &[u8], number: u64) -> Vec<Field<'_>> {
    fields(message).into_iter().filter(|(known, _)| *known == number).map(|(_, field)| field).collect()
}

fn messages(message: &[u8], number: u64) -> Vec<&[u8]> {
    let bytes = |field| if let Field::Bytes(bytes) = field { bytes } else { panic!("{number} is a message") };
    of(message, number).into_iter().map(bytes).collect()
}

fn numbers(message: &[u8], number: u64) -> Vec<u64> {
    let value = |field| if let Field::Number(value) = field { value } else { panic!("{number} is a number") };
    of(message, number).into_iter().map(value).collect()
}

/// Node 1 puts to a segment of node 2, and signals it.
fn story(name: &str) -> Story {
    let path = std::env::temp_dir().join(format!("rsm-{}-{name}.rsmtrace", std::process::id()));
    let cluster = Cluster::builder(2).lens(Lens::clear(0).trace(Trace { bytes: false })).start().unwrap();
    let recorder = Recorder::begin(File::create(&path).unwrap(), &cluster, false).unwrap();
    let (one, two) = (cluster.node(1).unwrap(), cluster.node(2).unwrap());
    let export = two.controller("shm0").unwrap().export(1 << 16).unwrap();
    let id = SegmentId::new(0x40_0001);
    export.publish(id, &AccessList::everyone()).unwrap();
    let import = one.controller("shm0").unwrap().connect(2, id, Permission::ReadWrite).unwrap();
    import.put(300, b"four").unwrap();
    import.signal().unwrap();
    export.wait(Some(PATIENCE)).unwrap();
    drop((import, export));
    recorder.end(&cluster).unwrap();
    let file = std::fs::read(&path).unwrap();
    let _ = std::fs::remove_file(&path);
    let story = Story::read(&file).unwrap();
    assert_eq!(story.wrong, None);
    story
}

#[test]
fn perfetto_and_chrome_have_slices_and_flows() {
    let story = story("perfetto");
    let file = perfetto(&story);
    let packets = messages(&file, 1);
    assert_eq!(fields(&file).len(), packets.len());
    let tracks: Vec<&[u8]> = packets.iter().flat_map(|packet| messages(packet, 60)).collect();
    let processes: Vec<&[u8]> = tracks.iter().flat_map(|track| messages(track, 3)).collect();
    let mut names: Vec<&[u8]> = processes.iter().flat_map(|process| messages(process, 6)).collect();
    names.sort_unstable();
    assert_eq!(names, [b"node 1", b"node 2"]);
    let interned: Vec<&[u8]> = packets.iter().flat_map(|packet| messages(packet, 12)).collect();
    let name_of = |field: u64, number: u64| {
        let named = messages(interned[0], field).into_iter().find(|name| numbers(name, 1) == [number]).unwrap();
        String::from_utf8(messages(named, 2)[0].to_vec()).unwrap()
    };
    let events: Vec<(u64, &[u8])> = packets
        .iter()
        .flat_map(|packet| messages(packet, 11).into_iter().map(|event| (numbers(packet, 8)[0], event)))
        .collect();
    assert!(events.windows(2).all(|two| two[0].0 <= two[1].0), "in the order of time");
    let kind = |event: &[u8]| numbers(event, 9)[0];
    let begins: Vec<&(u64, &[u8])> = events.iter().filter(|(_, event)| kind(event) == 1).collect();
    let ends = events.iter().filter(|(_, event)| kind(event) == 2).count();
    assert_eq!((begins.len(), ends), (story.calls().count(), story.calls().count()));
    let named: Vec<String> = begins.iter().map(|(_, event)| name_of(2, numbers(event, 10)[0])).collect();
    assert_eq!(named, story.calls().map(|(.., call)| call.kind.name()).collect::<Vec<_>>());
    let (at, put) = begins[named.iter().position(|name| name == "put").unwrap()];
    assert_eq!(*at, story.calls().find(|(.., call)| call.kind == Kind::Put).unwrap().1.at);
    let told: Vec<(String, Field<'_>)> = messages(put, 4)
        .into_iter()
        .map(|one| (name_of(3, numbers(one, 1)[0]), fields(one).pop().unwrap().1))
        .collect();
    assert_eq!(told[1], ("segment".to_owned(), Field::Bytes(b"2:0x400001")));
    assert_eq!(told[2..], [("offset".to_owned(), Field::Number(300)), ("length".to_owned(), Field::Number(4))]);
    let flows = |field: u64| events.iter().flat_map(|(_, event)| numbers(event, field)).collect::<Vec<_>>();
    assert_eq!((flows(47).len(), flows(47)), (1, flows(48)), "a signal leads from its post to its wait");

    let json = chrome(&story);
    for (text, count) in [
        ("{\"ph\":\"X\",", story.calls().count()),
        ("{\"ph\":\"s\",", 1),
        ("{\"ph\":\"f\",\"bp\":\"e\",", 1),
        ("\"name\":\"process_name\"", 2),
        ("\"segment\":\"2:0x400001\",\"offset\":300,\"length\":4}", 1),
    ] {
        assert_eq!(json.matches(text).count(), count, "{text}");
    }
    let balance = |open: char, close: char| json.matches(open).count() == json.matches(close).count();
    assert!(balance('{', '}') && balance('[', ']') && !json.contains(",\n]"));
}

/// Slices of a track, and when each began and ended as one reads it for whom an end is that of what was begun last.
type Slices = HashMap<u64, (u64, u64)>;

/// Of a file of Perfetto, by the number of the event.
fn slices_of_perfetto(file: &[u8]) -> Slices {
    let (mut slices, mut open) = (Slices::new(), HashMap::<u64, Vec<(u64, u64)>>::new());
    for packet in messages(file, 1) {
        for event in messages(packet, 11) {
            let (time, track) = (numbers(packet, 8)[0], numbers(event, 11)[0]);
            let open = open.entry(track).or_default();
            match numbers(event, 9)[0] {
                1 => open.push((numbers(messages(event, 4)[0], 3)[0], time)),
                2 => {
                    let (number, began) = open.pop().expect("it was begun");
                    slices.insert(number, (began, time));
                }
                _ => {}
            }
        }
    }
    assert!(open.values().all(Vec::is_empty));
    slices
}

/// Whether the slices of each track nest, in a file for Chrome; and the names of its tracks.
fn tracks_of_chrome(json: &str) -> (bool, Vec<String>) {
    let whole: Value = serde_json::from_str(json).unwrap();
    let (mut tracks, mut names) = (HashMap::<String, Vec<(i64, i64)>>::new(), Vec::new());
    for event in whole["traceEvents"].as_array().unwrap() {
        let track = format!("{} {}", event["pid"], event["tid"]);
        let ns = |name: &str| (event[name].as_f64().unwrap() * 1000.0).round() as i64;
        if event["ph"] == "X" {
            tracks.entry(track).or_default().push((ns("ts"), ns("ts") + ns("dur")));
        } else if event["name"] == "thread_name" {
            names.push(event["args"]["name"].as_str().unwrap().to_owned());
        }
    }
    let nests = |slices: &Vec<(i64, i64)>| {
        let overlap = |one: &(i64, i64), other: &(i64, i64)| one.0 < other.0 && other.0 < one.1 && one.1 < other.1;
        !slices.iter().any(|one| slices.iter().any(|other| overlap(one, other)))
    };
    names.sort_unstable();
    (tracks.values().all(nests), names)
}

#[test]
fn slices_of_a_track_nest() {
    let mut story = story("tracks");
    // Calls of threads 1 and 17, which have one number, and a fault in the middle of one of them.
    let times = [(100, 100), (150, 100), (160, 0), (160, 90), (200, 50), (300, 10), (305, 90)];
    let is_call = |of: &rsm_lab::trace::Happening| matches!(of.what, What::Call(_));
    let call = story.happenings.iter().find(|of| is_call(of)).unwrap().clone();
    story.happenings = times
        .map(|(at, took)| {
            let mut happening = rsm_lab::trace::Happening { at, took, ..call.clone() };
            if let What::Call(call) = &mut happening.what {
                (call.thread, call.from, call.close) = (1, None, None);
            }
            happening
        })
        .to_vec();
    let expected: Slices = (1..).zip(times).map(|(number, (at, took))| (number, (at, at + took.max(1)))).collect();
    assert_eq!(slices_of_perfetto(&perfetto(&story)), expected);
    let names = ["thread 1", "thread 1 (2)"].map(str::to_owned).to_vec();
    assert_eq!(tracks_of_chrome(&chrome(&story)), (true, names));
    // Of threads of other numbers each has its own.
    for (thread, happening) in story.happenings.iter_mut().enumerate() {
        if let What::Call(call) = &mut happening.what {
            call.thread = thread as u32;
        }
    }
    assert_eq!(slices_of_perfetto(&perfetto(&story)), expected);
    let (nests, names) = tracks_of_chrome(&chrome(&story));
    assert!(nests && names.len() == times.len(), "{names:?}");
}

#[test]
fn the_thread_is_told_where_a_process_has_several() {
    let path = std::env::temp_dir().join(format!("rsm-{}-threads.rsmtrace", std::process::id()));
    let cluster = Cluster::builder(1).lens(Lens::clear(0).trace(Trace { bytes: false })).start().unwrap();
    let recorder = Recorder::begin(File::create(&path).unwrap(), &cluster, false).unwrap();
    let one = cluster.node(1).unwrap().controller("shm0").unwrap();
    let export = one.export(65536).unwrap();
    let id = SegmentId::new(0x40_0001);
    export.publish(id, &AccessList::everyone()).unwrap();
    let import = one.connect(1, id, Permission::ReadWrite).unwrap();
    import.put(0, b"here").unwrap();
    std::thread::scope(|scope| drop(scope.spawn(|| import.put(8, b"there").unwrap())));
    drop((import, export));
    recorder.end(&cluster).unwrap();
    let mut story = Story::read(&std::fs::read(&path).unwrap()).unwrap();
    let _ = std::fs::remove_file(&path);
    let puts = |story: &Story| {
        let puts = story.calls().filter(|(.., call)| call.kind == Kind::Put);
        puts.map(|(index, _, call)| (rsm_lab::trace::text::line(story, index), call.thread)).collect::<Vec<_>>()
    };
    let told = puts(&story);
    assert!(told.len() == 2 && told[0].1 != told[1].1, "{told:?}");
    for (line, thread) in told {
        assert!(
            line.ends_with(&format!(" ns  thread {thread}"))
                || line.ends_with(&format!(" us  thread {thread}"))
                || line.ends_with(&format!(" ms  thread {thread}")),
            "{line}"
        );
    }
    // Of one with one thread it would say nothing.
    story.processes[0].threads = 2;
    assert!(puts(&story).iter().all(|(line, _)| !line.contains("thread")), "{:?}", puts(&story));
}
