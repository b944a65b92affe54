//! Two agents over a bridge between them on one machine: who meets whom, what is told, and what is seen of a death.
//!
//! An agent that dies or stands still is a process of its own: this program, told so by its environment.

mod agents;
mod deaths;
mod hosts;
mod links;
mod raw;
mod side;
mod small;

use libtest_mimic::{Arguments, Trial};
use rsm_core::Code;
use rsm_core::access::Permission;
use rsm_core::peer::control::CONTROL_BYTES;
use rsm_core::peer::life::{End, Stage};
use rsm_core::peer::message::Message;
use rsm_shm::agent::far::local::Local;
use rsm_shm::agent::far::{Carrier, Peering};
use rsm_shm::memory::memfd::{self, Sealing};
use rsm_shm::memory::{lease, page_size};
use rsm_shm::socket::{packet_socket, send};
use rustix::net::{SendFlags, SocketAddrUnix, SocketFlags};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use side::{Side, until};
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, OwnedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

const ENV_BRIDGE: &str = "RSM_TEST_BRIDGE";
/// The other process is a whole host, with memory.
const ENV_HOST: &str = "RSM_TEST_HOST";
/// Value of it: and members of its node.
const MEMBERS: &str = "members";
const ENV_UID: &str = "RSM_TEST_UID";

fn main() {
    if let Ok(bridge) = std::env::var(ENV_BRIDGE) {
        return match std::env::var(ENV_HOST).as_deref() {
            Ok(MEMBERS) => deaths::play(&bridge),
            Ok(_) => hosts::play(&bridge),
            Err(_) => play(&bridge),
        };
    }
    let mut arguments = Arguments::from_args();
    // Mostly they wait for each other.
    arguments.test_threads = arguments.test_threads.or(Some(8));
    let tests: [(&str, fn()); 33] = [
        ("agents_meet_and_know_each_other", agents_meet_and_know_each_other),
        ("what_changes_is_told", what_changes_is_told),
        ("a_peer_that_closes_says_why", a_peer_that_closes_says_why),
        ("a_killed_agent_is_missed_and_the_next_one_met", a_killed_agent_is_missed_and_the_next_one_met),
        ("a_stopped_agent_is_only_slow", a_stopped_agent_is_only_slow),
        ("misfits_are_told_what_does_not_fit", misfits_are_told_what_does_not_fit),
        ("a_third_agent_is_turned_away", a_third_agent_is_turned_away),
        ("another_user_is_turned_away", another_user_is_turned_away),
        ("who_is_no_agent_is_let_go", who_is_no_agent_is_let_go),
        ("memory_reaches_across_as_it_is_offered", memory_reaches_across_as_it_is_offered),
        ("a_put_across_is_vouched_for_until_it_is_withdrawn", hosts::a_put_across_is_vouched_for_until_it_is_withdrawn),
        ("who_may_not_connect_is_told_why", hosts::who_may_not_connect_is_told_why),
        ("signals_cross_and_reach_the_connection_meant", hosts::signals_cross_and_reach_the_connection_meant),
        ("what_a_host_was_not_told_in_time_is_told_later", hosts::what_a_host_was_not_told_in_time_is_told_later),
        ("singles_are_not_lost_on_a_host_that_does_not_look", hosts::singles_are_not_lost_on_a_host_that_does_not_look),
        ("registries_of_two_agents_show_one_cluster", agents::registries_of_two_agents_show_one_cluster),
        ("members_of_two_agents_put_and_signal", agents::members_of_two_agents_put_and_signal),
        (
            "a_link_that_is_taken_down_on_one_host_is_down_on_both",
            agents::a_link_that_is_taken_down_on_one_host_is_down_on_both,
        ),
        ("a_rebind_is_one_for_every_agent_that_comes", agents::a_rebind_is_one_for_every_agent_that_comes),
        ("what_the_tables_have_no_room_for_is_told", agents::what_the_tables_have_no_room_for_is_told),
        (
            "what_is_larger_than_the_window_is_told_and_ends_nothing",
            small::what_is_larger_than_the_window_is_told_and_ends_nothing,
        ),
        ("what_goes_through_a_device_is_what_is_there", small::what_goes_through_a_device_is_what_is_there),
        ("a_killed_agent_takes_nothing_of_this_host_along", deaths::a_killed_agent_takes_nothing_of_this_host_along),
        ("a_stopped_agent_keeps_nobody_from_the_memory", deaths::a_stopped_agent_keeps_nobody_from_the_memory),
        (
            "a_host_that_does_not_answer_is_waited_for_no_longer",
            hosts::a_host_that_does_not_answer_is_waited_for_no_longer,
        ),
        (
            "what_is_taken_back_is_not_mapped_while_an_agent_is_stopped",
            deaths::what_is_taken_back_is_not_mapped_while_an_agent_is_stopped,
        ),
        ("a_stopped_agent_is_waited_for_only_so_long", deaths::a_stopped_agent_is_waited_for_only_so_long),
        ("a_link_is_on_both_hosts_what_was_said_last", deaths::a_link_is_on_both_hosts_what_was_said_last),
        (
            "two_who_change_a_link_at_one_moment_come_to_the_same",
            links::two_who_change_a_link_at_one_moment_come_to_the_same,
        ),
        (
            "a_link_that_is_down_when_hosts_meet_is_down_on_both",
            links::a_link_that_is_down_when_hosts_meet_is_down_on_both,
        ),
        ("hosts_that_do_not_fit_stay_by_themselves", deaths::hosts_that_do_not_fit_stay_by_themselves),
        ("a_dead_importer_leaves_nothing", hosts::a_dead_importer_leaves_nothing),
        ("a_dead_exporter_is_missed", hosts::a_dead_exporter_is_missed),
    ];
    let trials = tests.into_iter().map(|(name, run)| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

/// A name that no other test has.
fn bridge(test: &str) -> String {
    format!("test-{}-{test}", std::process::id())
}

/// Two agents that have told each other everything.
fn pair(test: &str) -> (Side, Side) {
    let bridge = bridge(test);
    let (mut one, mut other) = (Side::new(&bridge, "one", 4, "1-2"), Side::new(&bridge, "other", 4, "3-4"));
    until("they meet", &mut [&mut one, &mut other], |s| s[0].knows(s[1]) && s[1].knows(s[0]));
    (one, other)
}

/// What an agent in another process does, until it is killed: whatever it is asked it repeats, and says so.
fn play(bridge: &str) {
    if let Ok(uid) = std::env::var(ENV_UID) {
        let uid = rustix::process::Uid::from_raw(uid.parse().expect("a user"));
        rustix::thread::set_thread_uid(uid).expect("this is root");
    }
    let mut side = Side::new(bridge, "child", 4, "3-4");
    side.publish(0, 1);
    println!("up");
    loop {
        let (opened, heard, trouble) = (side.opened, side.requests.len(), side.peering.trouble());
        until("it is killed", &mut [&mut side], |s| {
            s[0].opened > opened || s[0].requests.len() > heard || s[0].peering.trouble() != trouble
        });
        if side.opened > opened {
            println!("open");
        }
        for request in side.requests.split_off(heard) {
            println!("heard {request:?}");
            side.outbox.say(request);
        }
        if side.peering.trouble() != trouble {
            println!("trouble {}", side.peering.trouble().unwrap_or_default());
        }
    }
}

/// An agent in a process of its own, killed and reaped in the end.
struct Other {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Other {
    fn start(bridge: &str, uid: Option<u32>) -> Other {
        let environment = uid.map(|uid| (ENV_UID, uid.to_string()));
        Other::start_with(bridge, environment)
    }

    /// A whole host.
    fn start_host(bridge: &str) -> Other {
        Other::start_with(bridge, Some((ENV_HOST, String::new())))
    }

    /// A whole host, with members.
    fn start_members(bridge: &str) -> Other {
        Other::start_with(bridge, Some((ENV_HOST, MEMBERS.to_owned())))
    }

    fn start_with(bridge: &str, environment: Option<(&str, String)>) -> Other {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env(ENV_BRIDGE, bridge).envs(environment).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let says = BufReader::new(child.stdout.take().unwrap());
        let mut other = Other { child, says };
        other.says("up");
        other
    }

    /// Reads on until a line begins so. It ends with its deadline if that never comes.
    fn says(&mut self, what: &str) -> String {
        loop {
            let mut line = String::new();
            assert!(self.says.read_line(&mut line).unwrap() > 0, "the other agent ended before it said {what:?}");
            if line.starts_with(what) {
                return line;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Stops it, and waits until all its threads stand still.
    fn stop(&self) {
        self.signal(Signal::STOP);
        let options = WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        let process = Pid::from_child(&self.child);
        agents::until("it stands still", || waitid(WaitId::Pid(process), options).unwrap().is_some());
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whichever of the two comes first.
fn agents_meet_and_know_each_other() {
    for (test, first) in [("meet-1", 0), ("meet-2", 1)] {
        let bridge = bridge(test);
        let mut sides = [Side::new(&bridge, "one", 4, "1-2"), Side::new(&bridge, "other", 4, "3-4")];
        sides[0].publish(0, 3);
        sides[1].publish(0, 1);
        sides[first].turn();
        assert_eq!(sides[first].peering.stage(), Some(Stage::Hello));
        let text = sides[first].peering.trouble().unwrap();
        assert!(text.contains("nobody is at the other end"), "{text}");
        let [one, other] = &mut sides;
        until("they meet", &mut [one, other], |s| s[0].knows(s[1]) && s[1].knows(s[0]));
        assert_eq!((one.met, other.met, one.peering.trouble()), (1, 1, None));
        assert!(one.ends.is_empty() && other.ends.is_empty());
    }
}

fn what_changes_is_told() {
    let (mut one, mut other) = pair("changes");
    // More than a ring takes at a time.
    for row in 0..80 {
        one.publish(row, 3);
        other.publish(row, 1);
    }
    other.own.nodes.insert(3, rsm_core::peer::message::Processes::default());
    other.outbox.node_changed(3);
    until("it is told", &mut [&mut one, &mut other], |s| s[0].knows(s[1]) && s[1].knows(s[0]));
    one.own.published.clear();
    for row in 0..80 {
        one.outbox.segment_changed(rsm_core::message::SegmentName { row, incarnation: 1 });
    }
    for number in 0..1000 {
        one.outbox.say(Message::Disconnect { number });
    }
    until("it is told", &mut [&mut one, &mut other], |s| s[1].knows(s[0]) && s[1].requests.len() == 1000);
    let numbers = (0..1000).map(|number| Message::Disconnect { number });
    assert_eq!(other.requests, numbers.collect::<Vec<_>>(), "in order");
    assert_eq!((one.ends, other.ends), (Vec::new(), Vec::new()));
}

fn a_peer_that_closes_says_why() {
    let (mut one, mut other) = pair("close");
    one.peering.close("this host goes down for repairs");
    until("it is told", &mut [&mut other], |s| !s[0].ends.is_empty());
    assert_eq!(other.ends, [End::Closed("this host goes down for repairs".to_owned())]);
    assert!(other.peering.trouble().unwrap().contains("closed the link: this host goes down for repairs"));
    // It begins again by itself.
    until("they meet", &mut [&mut one, &mut other], |s| s[0].met == 2 && s[0].knows(s[1]) && s[1].knows(s[0]));
}

fn a_killed_agent_is_missed_and_the_next_one_met() {
    let bridge = bridge("killed");
    let mut side = Side::new(&bridge, "one", 4, "1-2");
    for round in 1..=3 {
        let mut other = Other::start(&bridge, None);
        until("they meet", &mut [&mut side], |s| s[0].opened == round && s[0].mirror.segments().count() == 1);
        assert_eq!(side.mirror.processes(3).pid, other.child.id());
        other.signal(Signal::KILL);
        until("it is missed", &mut [&mut side], |s| s[0].ends.len() == round as usize);
        assert_eq!(side.mirror.segments().count(), 0, "nothing that it said holds");
        // The kernel closes its socket; whether the link or a load is looked at first is chance.
        assert!(matches!(side.ends[round as usize - 1], End::Lost | End::Damaged(_)), "{:?}", side.ends);
        drop(other.child.wait());
    }
}

fn a_stopped_agent_is_only_slow() {
    let bridge = bridge("stopped");
    let mut side = Side::new(&bridge, "one", 4, "1-2");
    let mut other = Other::start(&bridge, None);
    until("they meet", &mut [&mut side], |s| s[0].opened == 1);
    other.says("open");
    other.stop();
    for number in 1..=3 {
        side.outbox.say(Message::Disconnect { number });
    }
    // A few canaries' time.
    let began = std::time::Instant::now();
    until("time passes", &mut [&mut side], |_| began.elapsed().as_millis() > 350);
    assert!(side.is_open() && side.requests.is_empty(), "{:?}", side.ends);
    other.signal(Signal::CONT);
    until("it goes on", &mut [&mut side], |s| s[0].requests.len() == 3);
    assert_eq!(side.requests, (1..=3).map(|number| Message::Disconnect { number }).collect::<Vec<_>>());
    assert!(side.ends.is_empty());
}

fn misfits_are_told_what_does_not_fit() {
    for (test, count, nodes, text) in [
        ("misfit-1", 4, "2-4", "both hosts claim nodes 2: this one has 1-2, the other (other) 2-4"),
        ("misfit-2", 4, "4", "no host has nodes 3"),
        ("misfit-3", 5, "3-5", "has 4 nodes, the other's (other) 5: start both with the same number"),
    ] {
        let bridge = bridge(test);
        let (mut one, mut other) = (Side::new(&bridge, "one", 4, "1-2"), Side::new(&bridge, "other", count, nodes));
        until(text, &mut [&mut one, &mut other], |s| s[0].peering.trouble().is_some_and(|told| told.contains(text)));
        assert_eq!((one.met, other.met), (0, 0));
    }
    for bad in ["", "a b", "a/b", &"x".repeat(65)] {
        let error = Local::new(bad).unwrap_err();
        assert_eq!(error.code(), Code::BadConf);
        assert!(error.to_string().contains("after local: give 1 to 64 letters"), "{error}");
    }
}

fn a_third_agent_is_turned_away() {
    let (mut one, mut other) = pair("third");
    let mut third = Side::new(&bridge("third"), "third", 4, "3-4");
    until("it is told", &mut [&mut one, &mut other, &mut third], |s| {
        s[2].peering.trouble().is_some_and(|text| text.contains("two other agents are at its ends"))
    });
    assert!(one.is_open() && other.is_open() && one.ends.is_empty() && other.ends.is_empty());
    drop(other);
    until("it is free", &mut [&mut one, &mut third], |s| s[0].knows(s[1]) && s[1].knows(s[0]));
}

fn another_user_is_turned_away() {
    if !rustix::process::geteuid().is_root() {
        println!("-- skipped: another user: this is not root, who can become one");
        return;
    }
    let bridge = bridge("user");
    let mut side = Side::new(&bridge, "one", 4, "1-2");
    side.turn();
    let mut other = Other::start(&bridge, Some(65534));
    // It is the one that connects, and says why it does not.
    let text = other.says("trouble bridge");
    assert!(text.contains("of user 0 is at the other end: both agents must run as the same user"), "{text}");
    side.turn();
    assert_eq!((side.met, side.peering.stage()), (0, Some(Stage::Hello)));
}

/// Processes of the same user that are no agents: each is let go, and an agent met after them.
fn who_is_no_agent_is_let_go() {
    let bridge = bridge("garbage");
    let mut side = Side::new(&bridge, "one", 4, "1-2");
    side.turn();
    let address = SocketAddrUnix::new_abstract_name(format!("rsm-bridge/{bridge}").as_bytes()).unwrap();
    let knock = |side: &mut Side| {
        until("it waits", &mut [side], |s| s[0].peering.stage() == Some(Stage::Hello));
        let socket = packet_socket(SocketFlags::empty()).unwrap();
        rustix::net::connect(&socket, &address).unwrap();
        socket
    };
    let pages = |length: u64, sealed: bool| {
        let memory = memfd::create("pages", length).unwrap();
        if sealed {
            memfd::seal(&memory, Sealing::Size).unwrap();
        }
        memory
    };
    let piece = CONTROL_BYTES / 2;
    let (solid, short, loose) = (pages(piece, true), pages(4096, true), pages(piece, false));
    let packet = |kind: u8| [&[kind][..], &[0; 24]].concat();
    let cases: [(&[u8], &[&OwnedFd], &str); 7] = [
        (b"hello", &[], "a packet that is none"),
        (&packet(b'x'), &[], "a packet that is none"),
        (&packet(b'p'), &[&solid], "a packet that is none"),
        (&packet(b'p'), &[&short, &solid], "control pages of 4096 bytes"),
        (&packet(b'p'), &[&solid, &loose], "memory that can be shortened"),
        (&packet(b'a'), &[&solid], "do not fit into the window"),
        (&packet(b'd'), &[], "a packet that is none"),
    ];
    for (bytes, descriptors, text) in cases {
        let socket = knock(&mut side);
        let descriptors: Vec<_> = descriptors.iter().map(|fd| fd.as_fd()).collect();
        send(&socket, bytes, &descriptors, SendFlags::empty()).unwrap();
        until(text, &mut [&mut side], |s| s[0].peering.trouble().is_some_and(|told| told.contains(text)));
    }
    // One whose pages are what they should be, and who has nothing to say.
    let socket = knock(&mut side);
    let other = pages(piece, true);
    send(&socket, &packet(b'p'), &[solid.as_fd(), other.as_fd()], SendFlags::empty()).unwrap();
    side.turn();
    drop(socket);
    let mut other = Side::new(&bridge, "other", 4, "3-4");
    until("they meet", &mut [&mut side, &mut other], |s| s[0].knows(s[1]) && s[1].knows(s[0]));
    assert_eq!((side.met, side.ends.len()), (1, 0));
}

fn memory_reaches_across_as_it_is_offered() {
    let (mut one, mut other) = pair("memory");
    let page = page_size() as u64;
    let memory = memfd::create("rsm-segment", 2 * page).unwrap();
    memfd::seal(&memory, Sealing::Size).unwrap();
    // A process that another test begins has what this one had open when it was forked, until it runs its program.
    agents::until("nobody else has it", || lease::only_original(&memory).unwrap());
    let refused = |result: rsm_core::Result<_>, code: Code| assert_eq!(result.unwrap_err().code(), code);
    let carrier = &mut one.peering;
    for (at, length) in [(0, page), (CONTROL_BYTES + 1, page), (CONTROL_BYTES, 0), (1 << 40, page), (u64::MAX, 2)] {
        refused(carrier.attach(at, memory.as_fd(), length, Permission::Read).map(drop), Code::BadLength);
    }
    let (read, write) = (CONTROL_BYTES, CONTROL_BYTES + 2 * page);
    let jobs = [(read, Permission::Read), (write, Permission::ReadWrite)]
        .map(|(at, access)| carrier.attach(at, memory.as_fd(), 2 * page, access).unwrap());
    refused(
        carrier.attach(write + page, memory.as_fd(), page, Permission::Read).map(drop),
        Code::InsufficientResources,
    );
    assert_eq!(
        [carrier.done(), carrier.done(), carrier.done()],
        [Some((jobs[0], Ok(()))), Some((jobs[1], Ok(()))), None]
    );
    until("it arrives", &mut [&mut other], |s| s[0].peering.reach(write, 2 * page, Permission::None).is_ok());
    let importer = &mut other.peering;
    refused(importer.reach(read, 2 * page, Permission::ReadWrite).map(drop), Code::PermDenied);
    refused(importer.reach(read, 3 * page, Permission::Read).map(drop), Code::RemoteNodeUnreachable);
    refused(importer.reach(read + page, page, Permission::Read).map(drop), Code::RemoteNodeUnreachable);
    let writes = importer.reach(write, 2 * page, Permission::ReadWrite).unwrap();
    let reads = importer.reach(read, 2 * page, Permission::Read).unwrap();
    rustix::io::pwrite(&writes.memory, b"across", writes.offset + 100).unwrap();
    let mut seen = [0; 6];
    rustix::io::pread(&reads.memory, &mut seen, reads.offset + 100).unwrap();
    assert_eq!(&seen, b"across");
    assert!(rustix::io::pwrite(&reads.memory, b"no", 0).is_err(), "offered for reading");
    assert!(!lease::only_original(&memory).unwrap());
    let carrier = &mut one.peering;
    carrier.detach(read).unwrap();
    carrier.detach(write).unwrap();
    refused(carrier.detach(write).map(drop), Code::BadAddr);
    until("it is gone", &mut [&mut other], |s| s[0].peering.reach(write, 2 * page, Permission::None).is_err());
    assert!(!lease::only_original(&memory).unwrap(), "the importer has it still");
    drop((writes, reads));
    agents::until("the kernel knows of nobody, in either agent", || lease::only_original(&memory).unwrap());
    // Everything offered ends with the link.
    one.peering.attach(read, memory.as_fd(), page, Permission::Read).unwrap();
    until("it arrives", &mut [&mut other], |s| s[0].peering.reach(read, page, Permission::None).is_ok());
    drop(one);
    until("it is gone", &mut [&mut other], |s| !s[0].ends.is_empty());
    agents::until("nobody has it", || lease::only_original(&memory).unwrap());
}
