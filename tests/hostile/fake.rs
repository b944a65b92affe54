//! Agents that are none: old ones, broken ones, and ones that mean ill. The library answers with an error that says what
//! is wrong; it never crashes, and never waits without a bound that it states.

use rsm::{Cluster, Code, Geometry};
use rsm_core::driver::WindowKind;
use rsm_core::generation::{EndCause, Generation};
use rsm_core::message::{Answer, Ask, Claim, Connected, ConnectionName, Reply, Request, SegmentName, decode, encode};
use rsm_core::registry::{Layout, LinkState, LinkWord};
use rsm_shm::address::{Address, ENV_CLUSTER, ENV_NODE_COUNT, ENV_NODE_ID, ENV_NODE_KEY, current_uid};
use rsm_shm::memory::memfd::{self, Sealing};
use rsm_shm::memory::page_size;
use rsm_shm::socket::{packet_pair, packet_socket, receive, send};
use rsm_stories::raw::{introduction, place};
use rsm_stories::{NodeProcess, refused_as, small_cluster, story, wait_for};
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Instant;

const GEOMETRY: Geometry = Geometry { nodes: 4, controllers: 2, segments: 8, connections: 8, buckets: 4, bells: 64 };
/// Where things stand in the header.
const MAGIC_AT: usize = 0;
const LAYOUT_AT: usize = 8;
const LENS_AT: usize = 88;
const SEGMENTS_AT: usize = 20;
const NODE_COUNT_AT: usize = 36;
const TALLIED_AT: usize = 84;

/// What an honest agent hands out.
struct Honest {
    _cluster: Cluster,
    registry: OwnedFd,
    bells: OwnedFd,
    image: Vec<u8>,
}

impl Honest {
    fn new() -> Arc<Honest> {
        let cluster = small_cluster(2, GEOMETRY);
        let environment = cluster.environment(1).expect("a node");
        let address: Address = environment[0].1.parse().expect("its address");
        let key = rsm_shm::address::secret_from_text(&environment[3].1).expect("its key");
        let (registry, bells) = taken(&address, Claim { node: 1, key });
        let length = usize::try_from(memfd::length(&registry).expect("its length")).expect("it is mapped");
        let mut image = vec![0; length];
        assert_eq!(rustix::io::pread(&registry, &mut image[..], 0).expect("read"), length);
        Arc::new(Honest { _cluster: cluster, registry, bells, image })
    }

    /// The registry with some bytes changed.
    fn changed(&self, at: usize, bytes: &[u8]) -> OwnedFd {
        let mut image = self.image.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        sealed(&image)
    }

    /// The registry of a cluster that is watched, where the path of the first connection is there.
    fn tallied(&self) -> OwnedFd {
        let mut image = self.image.clone();
        let path = LinkWord::new(LinkState::Active).word().to_le_bytes();
        for (at, bytes) in [(TALLIED_AT, &1u32.to_le_bytes()[..]), (Layout::of(GEOMETRY).paths, &path[..])] {
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
        sealed(&image)
    }
}

/// Joins by hand and keeps what came.
fn taken(address: &Address, claim: Claim) -> (OwnedFd, OwnedFd) {
    let socket = packet_socket(SocketFlags::empty()).expect("a socket");
    rustix::net::connect(&socket, &place(address)).expect("the agent listens");
    let ask = Ask::Join { protocol: rsm_core::message::PROTOCOL, claim: Some(claim) };
    let packet = encode(&Request { number: 1, ask }).expect("a message");
    let me = introduction(&socket);
    let me: Vec<_> = me.iter().map(AsFd::as_fd).collect();
    send(&socket, &packet, &me, SendFlags::empty()).expect("sent");
    let packet = receive(&socket, RecvFlags::empty()).expect("an answer").expect("an answer");
    let mut descriptors = packet.descriptors.into_iter();
    (descriptors.next().expect("the registry"), descriptors.nth(1).expect("bells"))
}

fn sealed(bytes: &[u8]) -> OwnedFd {
    let object = memory(bytes.len() as u64);
    rustix::io::pwrite(&object, bytes, 0).expect("written");
    memfd::seal(&object, Sealing::Size).expect("sealed");
    object
}

fn memory(length: u64) -> OwnedFd {
    memfd::create("rsm-false", length).expect("a memory object")
}

/// The far end of a connection to a false agent.
struct Visitor(OwnedFd);

impl Visitor {
    fn hear(&self) -> Option<Request> {
        let packet = receive(&self.0, RecvFlags::empty()).ok()??;
        Some(decode(&packet.bytes).expect("the library speaks the protocol"))
    }

    fn say(&self, number: u64, answer: Answer, descriptors: &[BorrowedFd<'_>]) {
        self.say_bytes(&encode(&Reply { number, outcome: Ok(answer) }).expect("a reply"), descriptors);
    }

    fn say_bytes(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
        // The visitor may be gone.
        let _ = send(&self.0, bytes, descriptors, SendFlags::empty());
    }

    /// Takes the visitor in like an honest agent; gives the events socket.
    fn take_in(&self, honest: &Honest) -> OwnedFd {
        let number = self.hear().expect("a join").number;
        let (events, theirs) = packet_pair().expect("a pair");
        let descriptors = [honest.registry.as_fd(), theirs.as_fd(), honest.bells.as_fd()];
        self.say(number, joined(), &descriptors);
        events
    }

    /// Waits until the visitor goes.
    fn see_off(&self) {
        while self.hear().is_some() {}
    }
}

fn joined() -> Answer {
    Answer::Joined { membership: 1, token: [1; 16], ring: false }
}

/// A false agent, which does something with its one visitor.
struct Fake {
    address: Address,
    thread: JoinHandle<()>,
}

impl Fake {
    fn start(act: impl FnOnce(Visitor) + Send + 'static) -> Fake {
        static NAMES: AtomicU32 = AtomicU32::new(0);
        let name = format!("false-{}-{}", std::process::id(), NAMES.fetch_add(1, SeqCst));
        let address = Address::new(&name, current_uid()).expect("a name");
        let listener = packet_socket(SocketFlags::empty()).expect("a socket");
        rustix::net::bind(&listener, &place(&address)).expect("bound");
        rustix::net::listen(&listener, 16).expect("listening");
        let thread = std::thread::spawn(move || act(Visitor(rustix::net::accept(&listener).expect("a visitor"))));
        Fake { address, thread }
    }

    fn visitor(&self) -> NodeProcess {
        NodeProcess::with(vec![
            (ENV_CLUSTER, self.address.to_string()),
            (ENV_NODE_ID, "1".to_owned()),
            (ENV_NODE_COUNT, "2".to_owned()),
            (ENV_NODE_KEY, "0".repeat(32)),
        ])
    }
}

/// Visits a false agent; the visit must fail with this code and these words, and the process live on.
#[track_caller]
fn visit(what: &str, step: &str, code: Code, words: &str, act: impl FnOnce(Visitor) + Send + 'static) {
    let fake = Fake::start(act);
    let mut visitor = fake.visitor();
    let told = visitor.ask(&format!("visit {step}"));
    assert!(refused_as(&told, code), "{what}: {told}, expected {code:?}");
    assert!(told.contains(words), "{what}: {told} lacks {words:?}");
    visitor.ok("pid");
    visitor.end();
    fake.thread.join().expect("the false agent did its part");
}

story!(registries_that_are_none_are_refused);
fn registries_that_are_none_are_refused() {
    let honest = Honest::new();
    let version = Code::BadLibraryVersion;
    let short = sealed(&honest.image[..100]);
    let cut = sealed(&honest.image[..honest.image.len() - page_size()]);
    let shrinks = memory(honest.image.len() as u64);
    rustix::io::pwrite(&shrinks, &honest.image, 0).expect("written");
    let null = std::fs::File::open("/dev/null").expect("/dev/null").into();
    let folder = std::fs::File::open("/").expect("a folder").into();
    let (pipe, _end) = rustix::pipe::pipe().expect("a pipe");
    let cases: Vec<(&str, OwnedFd, &'static str)> = vec![
        ("another layout", honest.changed(LAYOUT_AT, &99u32.to_le_bytes()), "layout 99"),
        ("another magic", honest.changed(MAGIC_AT, b"whatever"), "not an rsm registry"),
        ("absurd tables", honest.changed(SEGMENTS_AT, &u32::MAX.to_le_bytes()), "corrupt"),
        ("more tables than memory", honest.changed(SEGMENTS_AT, &(1u32 << 20).to_le_bytes()), "corrupt"),
        ("more nodes than rows", honest.changed(NODE_COUNT_AT, &u32::MAX.to_le_bytes()), "corrupt"),
        (
            "a lens of another time",
            honest.changed(LENS_AT, &9u64.to_le_bytes()),
            "a lens that this library does not know",
        ),
        ("no nodes", honest.changed(NODE_COUNT_AT, &0u32.to_le_bytes()), "corrupt"),
        ("less than a header", short, "no rsm registry"),
        ("an end cut off", cut, "corrupt"),
        ("nothing", sealed(&[]), "no rsm registry"),
        ("an endless hole", memory(1 << 50), "no rsm registry"),
        ("memory that can shrink", shrinks, "can be shortened"),
        ("a device", null, "no rsm registry"),
        ("a folder", folder, "no rsm registry"),
        ("a pipe", pipe, "no rsm registry"),
    ];
    for (what, registry, words) in cases {
        for step in ["join", "look"] {
            let (registry, honest) = (registry.try_clone().expect("a descriptor"), Arc::clone(&honest));
            visit(what, step, version, words, move |visitor| {
                let number = visitor.hear().expect("a join").number;
                let (_events, theirs) = packet_pair().expect("a pair");
                visitor.say(number, joined(), &[registry.as_fd(), theirs.as_fd(), honest.bells.as_fd()]);
                visitor.see_off();
            });
        }
    }
}

story!(answers_to_a_join_that_make_no_sense_are_refused);
fn answers_to_a_join_that_make_no_sense_are_refused() {
    let honest = Honest::new();
    type Act = fn(&Visitor, u64, &Honest);
    let cases: [(&str, Code, &str, Act); 11] = [
        ("noise", Code::InternalError, "does not follow the protocol", |v, _, _| v.say_bytes(&[0xff; 100], &[])),
        ("a packet too long", Code::InternalError, "does not follow", |v, _, _| v.say_bytes(&[0; 5000], &[])),
        ("half a reply", Code::InternalError, "does not follow", |v, n, _| {
            let reply = encode(&Reply { number: n, outcome: Ok(joined()) }).expect("a reply");
            v.say_bytes(&reply[..reply.len() - 1], &[]);
        }),
        ("another's number", Code::InternalError, "a reply to 77", |v, _, _| v.say(77, joined(), &[])),
        ("another answer", Code::InternalError, "answered something else", |v, n, _| v.say(n, Answer::Done, &[])),
        ("no descriptors", Code::InternalError, "incomplete", |v, n, _| v.say(n, joined(), &[])),
        ("the registry alone", Code::InternalError, "incomplete", |v, n, h| v.say(n, joined(), &[h.registry.as_fd()])),
        ("a registry for bells", Code::InternalError, "", |v, n, h| {
            let (_events, theirs) = packet_pair().expect("a pair");
            let short = sealed(&[0; 8]);
            v.say(n, joined(), &[h.registry.as_fd(), theirs.as_fd(), short.as_fd()]);
        }),
        ("bells that can shrink", Code::InternalError, "can be shortened", |v, n, h| {
            let (_events, theirs) = packet_pair().expect("a pair");
            v.say(n, joined(), &[h.registry.as_fd(), theirs.as_fd(), memory(page_size() as u64).as_fd()]);
        }),
        ("the end", Code::CtlrNotPresent, "has ended", |_, _, _| {}),
        ("a refusal", Code::SegidInUse, "because", |v, n, _| {
            let outcome = Err(rsm::Error::with(Code::SegidInUse, "because"));
            v.say_bytes(&encode(&Reply { number: n, outcome }).expect("a reply"), &[]);
        }),
    ];
    for (what, code, words, act) in cases {
        let honest = Arc::clone(&honest);
        visit(what, "join", code, words, move |visitor| {
            let number = visitor.hear().expect("a join").number;
            act(&visitor, number, &honest);
            if what != "the end" {
                visitor.see_off();
            }
        });
    }
    // More descriptors than anybody asked for: those that there is no room for the kernel drops.
    let many = Arc::clone(&honest);
    visit("many descriptors", "join", Code::InsufficientResources, "descriptor", move |visitor| {
        let number = visitor.hear().expect("a join").number;
        let packet = encode(&Reply { number, outcome: Ok(joined()) }).expect("a reply");
        send_many(&visitor.0, &packet, many.registry.as_fd(), 40);
        visitor.see_off();
    });
}

/// Sends more descriptors than the library's own code would.
fn send_many(socket: &OwnedFd, bytes: &[u8], descriptor: BorrowedFd<'_>, count: usize) {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = rustix::net::SendAncillaryBuffer::new(&mut space);
    let rights = vec![descriptor; count];
    assert!(control.push(rustix::net::SendAncillaryMessage::ScmRights(&rights)));
    let bytes = [std::io::IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::NOSIGNAL).expect("sent");
}

/// Visits an agent that is honest until it is asked for something.
#[track_caller]
fn ask_once(
    what: &str,
    step: &str,
    honest: &Arc<Honest>,
    words: &str,
    answer: impl FnOnce(&Visitor, u64) + Send + 'static,
) {
    let honest = Arc::clone(honest);
    visit(what, step, Code::InternalError, words, move |visitor| {
        let _events = visitor.take_in(&honest);
        let request = visitor.hear().expect("a request");
        answer(&visitor, request.number);
        // What could not be built is given back.
        while let Some(request) = visitor.hear() {
            visitor.say(request.number, Answer::Done, &[]);
        }
    });
}

story!("segments_that_cannot_be_are_refused", segments);
fn segments() {
    let honest = Honest::new();
    let created = |row, bell| Answer::Created { segment: SegmentName { row, incarnation: 1 }, bell };
    let cases: Vec<(&str, &str, Answer, Option<OwnedFd>)> = vec![
        ("no memory", "something else", created(0, 0), None),
        ("less memory", "memory of 4096 bytes for 65536", created(0, 0), Some(sealed(&[0; 4096]))),
        ("memory that can shrink", "can be shortened", created(0, 0), Some(memory(65536))),
        ("no memory object", "", created(0, 0), Some(std::fs::File::open("/dev/zero").expect("/dev/zero").into())),
        ("a bell that is none", "bell 64 of 64", created(0, 64), Some(sealed(&[0; 65536]))),
        ("another answer", "something else", Answer::Published { id: 1 }, Some(sealed(&[0; 65536]))),
    ];
    let huge = huge_memory().map(|memory| ("of another kind", "ordinary pages", created(0, 0), Some(memory)));
    for (what, words, answer, memory) in cases.into_iter().chain(huge) {
        for step in ["export", "adopt"] {
            let (answer, memory) = (answer.clone(), memory.as_ref().map(|m| m.try_clone().expect("a descriptor")));
            ask_once(what, step, &honest, words, move |visitor, number| {
                let descriptors: Vec<_> = memory.iter().map(AsFd::as_fd).collect();
                visitor.say(number, answer, &descriptors);
            });
        }
    }
}

/// A memory object of pages that the machine keeps apart, and may have none of; sealed as it should be.
fn huge_memory() -> Option<OwnedFd> {
    use rustix::fs::{MemfdFlags, memfd_create};
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let memory = memfd_create("rsm-false", flags).ok()?;
    rustix::fs::ftruncate(&memory, 32 << 20).ok()?;
    memfd::seal(&memory, Sealing::Size).ok().map(|()| memory)
}

story!(an_id_that_was_not_asked_for_is_refused);
fn an_id_that_was_not_asked_for_is_refused() {
    let honest = Honest::new();
    let honest = &honest;
    let published = Answer::Published { id: 0x40_0001 };
    visit("another id", "published", Code::InternalError, "answered something else", {
        let honest = Arc::clone(honest);
        move |visitor| {
            let _events = visitor.take_in(&honest);
            let number = visitor.hear().expect("a request").number;
            let segment = SegmentName { row: 0, incarnation: 1 };
            visitor.say(number, Answer::Created { segment, bell: 0 }, &[sealed(&[0; 65536]).as_fd()]);
            let number = visitor.hear().expect("a request").number;
            visitor.say(number, published, &[]);
            while let Some(request) = visitor.hear() {
                visitor.say(request.number, Answer::Done, &[]);
            }
        }
    });
}

/// A visit that goes well with an agent that says that transfers are tallied and sends these tallies, which may be
/// spoiled before the visitor transfers anything. `look` is what else there is to see of the visitor then.
fn visit_watched(what: &str, tallies: Vec<OwnedFd>, spoil: bool, look: impl FnOnce(&NodeProcess)) {
    let honest = Honest::new();
    let (sent, hear) = std::sync::mpsc::channel();
    let fake = Fake::start(move |visitor| {
        let number = visitor.hear().expect("a join").number;
        let (events, theirs) = packet_pair().expect("a pair");
        let registry = honest.tallied();
        visitor.say(number, joined(), &[registry.as_fd(), theirs.as_fd(), honest.bells.as_fd()]);
        for tally in &tallies {
            send(&events, &[1], &[tally.as_fd()], SendFlags::empty()).expect("told to look");
            receive(&events, RecvFlags::empty()).expect("an answer").expect("it has looked");
        }
        if spoil {
            // Whoever maps one of these faults from here on.
            tallies.iter().for_each(|tally| rustix::fs::ftruncate(tally, 0).expect("shortened"));
        }
        sent.send(()).expect("heard");
        while let Some(request) = visitor.hear() {
            match request.ask {
                Ask::Connect { .. } => {
                    visitor.say(request.number, Answer::Connected(granted()), &[sealed(&[0; 65536]).as_fd()]);
                }
                _ => visitor.say(request.number, Answer::Done, &[]),
            }
        }
    });
    let mut visitor = fake.visitor();
    visitor.tell("visit connect");
    hear.recv().expect("all tallies are sent");
    assert_eq!(visitor.heard(), "ok 65536", "{what}");
    look(&visitor);
    visitor.end();
    fake.thread.join().expect("the false agent did its part");
}

fn granted() -> Connected {
    Connected {
        connection: ConnectionName { row: 0, generation: 0 },
        window: WindowKind::Coherent,
        length: 65536,
        data_offset: 0,
        export_bell: 0,
        export_epoch: 0,
        import_bell: 1,
    }
}

story!("tallies_that_are_none_are_refused", tallies);
fn tallies() {
    let bytes = size_of::<rsm_core::tally::TallyRow>() as u64;
    visit_watched("a tally that shrinks", vec![memory(bytes)], true, |_| {});
    visit_watched("more than a tally", vec![sealed(&[0; 4096])], false, |_| {});
    visit_watched("no memory object", vec![std::fs::File::open("/dev/zero").expect("/dev/zero").into()], false, |_| {});
}

story!(a_process_takes_one_tally);
fn a_process_takes_one_tally() {
    let bytes = size_of::<rsm_core::tally::TallyRow>();
    let many = (0..20).map(|_| sealed(&vec![0; bytes])).collect();
    visit_watched("twenty tallies", many, false, |visitor| {
        let maps = std::fs::read_to_string(format!("/proc/{}/maps", visitor.pid())).expect("its mappings");
        // Of a page each; the import's memory, which may be about to go, is larger.
        let page = |line: &&str| {
            let (start, rest) = line.split_once('-').expect("a range");
            let end = rest.split(' ').next().expect("an end");
            let address = |text| usize::from_str_radix(text, 16).expect("an address");
            address(end) - address(start) == rsm_shm::memory::page_size()
        };
        let false_ones = maps.lines().filter(|line| line.contains("rsm-false") && line.contains(" rw-s "));
        assert_eq!(false_ones.filter(page).count(), 1, "{maps}");
    });
}

story!("lists_that_do_not_end_are_given_up", endless);
fn endless() {
    use rsm_core::message::{Process, ProcessTally};
    let tally = rsm_core::tally::Tally::default();
    for step in ["processes", "activity"] {
        for more in [true, false] {
            let honest = Honest::new();
            visit("a list without an end", step, Code::InternalError, "does not end", move |visitor| {
                let _events = visitor.take_in(&honest);
                while let Some(request) = visitor.hear() {
                    // The same again and again, or out of order within one answer.
                    let memberships = if more { (1..=128).collect::<Vec<u64>>() } else { vec![2, 1] };
                    let answer = match request.ask {
                        Ask::Tallies { .. } => {
                            let all = memberships.iter().take(40);
                            let of = |&membership| ProcessTally { membership, node: 1, pid: 1, tally };
                            Answer::Tallies { processes: all.map(of).collect(), more }
                        }
                        _ => {
                            let of = |&membership| Process { membership, node: 1, pid: 1, uid: 0 };
                            Answer::Processes(memberships.iter().map(of).collect())
                        }
                    };
                    visitor.say(request.number, answer, &[]);
                }
            });
        }
    }
}

/// A connection that lives, as an agent names it.
fn live(row: u32) -> ConnectionName {
    ConnectionName { row, generation: Generation::live(2).word() }
}

story!("connections_that_cannot_be_are_refused", connections);
fn connections() {
    let honest = Honest::new();
    let good = Connected {
        connection: live(0),
        window: WindowKind::Coherent,
        length: 65536,
        data_offset: 0,
        export_bell: 0,
        export_epoch: 0,
        import_bell: 1,
    };
    let ended = |generation: Generation| ConnectionName { row: 0, generation: generation.word() };
    let cases: Vec<(&str, &str, Connected)> = vec![
        ("more than there is", "memory of 65536 bytes for 131072", Connected { length: 131_072, ..good }),
        ("more than there can be", "memory of 65536 bytes for", Connected { length: u64::MAX, ..good }),
        ("beyond its end", "memory of 65536 bytes for", Connected { data_offset: page_size() as u64, ..good }),
        (
            "far beyond its end",
            "memory of 65536 bytes for",
            Connected { data_offset: u64::MAX - page_size() as u64 + 1, ..good },
        ),
        ("a row that is none", "incomplete", Connected { connection: live(8), ..good }),
        (
            "one that is over",
            "had ended",
            Connected { connection: ended(Generation::live(2).aborted(EndCause::Withdrawn)), ..good },
        ),
        ("one that never was", "had ended", Connected { connection: ended(Generation::NEVER), ..good }),
        ("a bell that is none", "bell 64 of 64", Connected { export_bell: 64, ..good }),
        ("a far bell", "bell 4294967295 of 64", Connected { import_bell: u32::MAX, ..good }),
        ("a lens that is none", "through a lens", Connected { window: WindowKind::Lensed, ..good }),
        ("nothing at all", "", Connected { length: 0, ..good }),
        ("half a page", "", Connected { length: page_size() as u64, data_offset: 100, ..good }),
    ];
    for (what, words, connected) in cases {
        ask_once(what, "connect", &honest, words, move |visitor, number| {
            visitor.say(number, Answer::Connected(connected), &[sealed(&[0; 65536]).as_fd()]);
        });
    }
    ask_once("no memory", "connect", &honest, "incomplete", move |visitor, number| {
        visitor.say(number, Answer::Connected(good), &[]);
    });
    ask_once("memory that can shrink", "connect", &honest, "can be shortened", move |visitor, number| {
        visitor.say(number, Answer::Connected(good), &[memory(65536).as_fd()]);
    });
}

story!(a_connection_that_is_granted_twice_is_refused);
fn a_connection_that_is_granted_twice_is_refused() {
    let honest = Honest::new();
    let connection = live(0);
    let granted = Connected {
        connection,
        window: WindowKind::Coherent,
        length: 65536,
        data_offset: 0,
        export_bell: 0,
        export_epoch: 0,
        import_bell: 1,
    };
    visit("the same twice", "twice", Code::InternalError, "the same connection twice", move |visitor| {
        let _events = visitor.take_in(&honest);
        for _ in 0..2 {
            let number = visitor.hear().expect("a request").number;
            visitor.say(number, Answer::Connected(granted), &[sealed(&[0; 65536]).as_fd()]);
        }
        while let Some(request) = visitor.hear() {
            visitor.say(request.number, Answer::Done, &[]);
        }
    });
}

story!(an_agent_that_takes_nobody_in_is_given_up);
fn an_agent_that_takes_nobody_in_is_given_up() {
    let fake = Fake::start(|visitor| visitor.see_off());
    let began = Instant::now();
    let mut visitor = fake.visitor();
    let told = visitor.fails("visit look", Code::Timeout);
    assert!(told.contains("does not answer (waited 2s)"), "{told}");
    println!("given up after {:?}", began.elapsed());
    visitor.end();
    fake.thread.join().expect("the false agent did its part");
}

story!(a_request_that_is_never_answered_can_be_interrupted);
fn a_request_that_is_never_answered_can_be_interrupted() {
    let honest = Honest::new();
    let heard = Arc::new(AtomicU32::new(0));
    let shared = Arc::clone(&heard);
    let fake = Fake::start(move |visitor| {
        let _events = visitor.take_in(&honest);
        while visitor.hear().is_some() {
            shared.fetch_add(1, SeqCst);
        }
    });
    let mut visitor = fake.visitor();
    visitor.tell("visit export");
    wait_for("the request", || heard.load(SeqCst) > 0);
    // A handler that runs just before the thread falls asleep interrupts nothing: again, until it does.
    let mut answer = None;
    wait_for("the request to be interrupted", || {
        visitor.signal(rustix::process::Signal::USR1);
        answer = visitor.heard_already();
        answer.is_some()
    });
    let told = answer.expect("an answer");
    assert!(refused_as(&told, Code::Interrupted), "{told}");
    assert!(told.contains("the agent did not answer"), "{told}");
    visitor.end();
    fake.thread.join().expect("the false agent did its part");
}
