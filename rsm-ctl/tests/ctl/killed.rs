//! All nodes of a traced run are killed in the middle of their calls: of each of their threads the trace lacks the last one at most.

use rsm::lens::event::Kind;
use rsm::{AccessList, Controller, Permission, SegmentId};
use rsm_lab::trace::{Call, Happening, Segment, Story, What, Writer};
use rustix::process::{Pid, Signal, kill_process};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::SystemTime;

use crate::rig::{DEADLINE, Scratch, ctl, eventually};

const NODES: u32 = 3;
const THREADS: u64 = 2;
const NUMBER: u32 = 0x40_0001;
const ID: SegmentId = SegmentId::new(NUMBER);

/// Where the nodes say what they have done.
const FOLDER: &str = "RSM_TEST_FOLDER";

/// Puts of a thread, so that the rings have room for all of them however late they are read; it waits then.
const MOST: u64 = 100_000;

/// Of each thread, before anybody is killed.
const SOME: u64 = 2000;

/// The word that a thread of a node puts to.
fn place(node: u32, thread: u64) -> u64 {
    (u64::from(node) * THREADS + thread) * 8
}

/// What the nodes run: each thread puts 1, 2, 3 .. to its word in the segment of node 1, and writes each number to the node's file
/// when the put has returned. Behind those stands the id of the process.
#[test]
#[ignore = "a node's program, not a test"]
fn put_and_count() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let controller = Controller::open("shm0").unwrap();
    let node = controller.node().id();
    let export = (node == 1).then(|| controller.export(65536).unwrap());
    if let Some(export) = &export {
        export.publish(ID, &AccessList::everyone()).unwrap();
    }
    let import = controller.connect_within(1, ID, Permission::ReadWrite, DEADLINE).unwrap();
    let done = File::create(Path::new(&folder).join(format!("{node}"))).unwrap();
    done.write_all_at(&u64::from(std::process::id()).to_le_bytes(), THREADS * 8).unwrap();
    let put = |thread: u64| {
        for number in 1..=MOST {
            // The others may have been killed already.
            if import.put_u64(place(node, thread), number).is_err() {
                break;
            }
            done.write_all_at(&number.to_le_bytes(), thread * 8).unwrap();
        }
        loop {
            std::thread::park();
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let put = &put;
            scope.spawn(move || put(thread));
        }
    });
}

/// A number in the file of a node: how many puts of a thread have returned; 0: none yet.
fn said(folder: &Path, node: u32, at: u64) -> u64 {
    let mut number = [0; 8];
    let file = File::open(folder.join(format!("{node}")));
    let read = file.and_then(|file| file.read_exact_at(&mut number, at * 8));
    read.map_or(0, |()| u64::from_le_bytes(number))
}

#[test]
fn of_nodes_that_are_all_killed_one_record_of_each_thread_may_be_missing() {
    let scratch = Scratch::new("killed");
    let (trace, folder) = (scratch.path("t.rsmtrace"), scratch.path(""));
    let program = std::env::current_exe().unwrap();
    let words = ["run", "-n", "3", "--keep-going", "--trace", trace.to_str().unwrap(), "--trace-bytes", "--"];
    let its = [program.to_str().unwrap(), "--ignored", "--exact", "killed::put_and_count"];
    let running = ctl(&words).words(&its).env(FOLDER, folder.to_str().unwrap()).start();
    let threads = || (1..=NODES).flat_map(|node| (0..THREADS).map(move |thread| (node, thread)));
    eventually("all threads in the middle of it", || {
        threads().all(|(node, thread)| said(&folder, node, thread) >= SOME).then_some(())
    });
    let pid = |node| said(&folder, node, THREADS) as u32;
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64;
    // The owner last: it is looked at once more when it is gone.
    for node in (1..=NODES).rev() {
        kill_process(Pid::from_raw(pid(node).cast_signed()).unwrap(), Signal::KILL).unwrap();
    }
    let finished = running.finish();
    assert_ne!(finished.code(), 0, "{}", finished.stderr);

    let story = Story::read(&std::fs::read(&trace).unwrap()).unwrap();
    assert_eq!(story.wrong, None, "it is whole");
    let killed_at = wall - story.beginning.wall;
    let segment = Segment { node: 1, id: NUMBER };
    let memory = story.bytes_at(segment, story.end()).unwrap();
    for node in 1..=NODES {
        let pid = pid(node);
        let process = story.processes.iter().find(|process| process.pid == pid).unwrap();
        assert_eq!((process.node, process.lost), (node, 0));
        let its: Vec<&Happening> =
            story.happenings.iter().filter(|of| story.processes[of.process].pid == pid).collect();
        assert!(its.iter().any(|of| matches!(of.what, What::Ended(9, _))), "node {node} was killed");
        // A thread that got no time in the middle of a record for long was given up before that, which is told.
        let given_up = its.iter().filter(|of| of.at < killed_at).map(|of| match of.what {
            What::Missing(_, torn) => torn,
            _ => 0,
        });
        let given_up: u64 = given_up.sum();
        assert!(process.torn <= 2 * THREADS + given_up, "a put and its bytes, of each thread: {process:?}");
        for thread in 0..THREADS {
            let place = place(node, thread);
            let is_it = |call: &Call| (call.kind, call.code, call.offset) == (Kind::Put, 0, place);
            let puts = story.calls().filter(|(_, of, call)| story.processes[of.process].pid == pid && is_it(call));
            let noted: Vec<(usize, &Call)> = puts.map(|(index, _, call)| (index, call)).collect();
            // What memory holds was put, and may not have returned.
            let start = place as usize;
            let put = u64::from_ne_bytes(std::array::from_fn(|at| memory[start + at]));
            let (done, count) = (said(&folder, node, thread), noted.len() as u64);
            let told = format!("node {node}, thread {thread}: {done} have returned, {put} were put, {count} are noted");
            assert!(done >= SOME && (done..=done + 1).contains(&put), "{told}");
            let least = (put - 1).saturating_sub(given_up);
            assert!((least..=put).contains(&count) && count + given_up >= done, "{told}");
            if given_up > 0 {
                continue;
            }
            // None but the last one is missing; of that one the bytes may be.
            let ((last, call), others) = noted.split_last().unwrap();
            for (number, (_, call)) in (1u64..).zip(others) {
                assert_eq!(story.put_bytes(call), Some(&number.to_ne_bytes()[..]), "{told}");
            }
            let writer = story.who(segment, place, story.end()).unwrap();
            match (count == put, story.put_bytes(call)) {
                (true, Some(bytes)) => {
                    assert_eq!((bytes, writer), (&put.to_ne_bytes()[..], Writer::Put(*last)), "{told}");
                }
                (true, None) => assert_eq!(writer, Writer::Put(*last), "{told}"),
                (false, _) => assert!(matches!(writer, Writer::Store(..)), "{told}: by {writer:?}"),
            }
        }
    }
    // And so say the commands.
    let (trace, place) = (trace.to_str().unwrap(), format!("1:{NUMBER:#x}+{}", place(2, 0)));
    let who = ctl(&["trace", "who", trace, &place]).finish();
    assert_eq!(who.code(), 0, "{}", who.stderr);
    assert!(who.text().contains("put ") || who.text().starts_with("a store "), "{}", who.text());
    let at = ctl(&["trace", "at", trace, &place, "--length", "8"]).finish();
    assert_eq!(at.code(), 0, "{}", at.stderr);
    let start = self::place(2, 0) as usize;
    let digits: Vec<String> = memory[start..start + 8].iter().map(|byte| format!("{byte:02x}")).collect();
    assert!(at.text().contains(&digits.join(" ")), "{}", at.text());
}
