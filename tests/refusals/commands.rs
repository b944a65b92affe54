//! What nodes of this program can do beyond those of the crash matrix.
#![allow(unsafe_code)] // exports memory of the program, and does what was refused

use rsm::steer::{Links, Steering};
use rsm::{Controller, Result, SegmentId};
use rsm_stories::node::Things;
use rsm_stories::pieces::{self, pattern, playground};
use std::collections::HashMap;
use std::os::unix::thread::JoinHandleExt;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Memory of the program, by name: address and length.
static ROOMS: Mutex<Option<HashMap<String, (usize, usize)>>> = Mutex::new(None);

/// A thread that sleeps in a room, and the word that it sleeps on.
static SLEEPER: Mutex<Option<(usize, JoinHandle<()>)>> = Mutex::new(None);

/// Who watches what processes do, until it is dropped.
static WATCHING: Mutex<Option<rsm::observe::Observer>> = Mutex::new(None);

rsm_stories::commands! {
    enum Command {
        /// Memory of the program's, with a pattern.
        Room "room" { name: String, bytes: usize }
        /// Stores the pattern of the room that an export has.
        Fill "fill" { name: String }
        /// Whether it is there.
        Verify "verify" { name: String }
        /// Exports a room.
        AdoptRoom "adoptroom" { name: String, room: String }
        /// Rebinds an export to a room.
        RebindTo "rebindto" { name: String, room: String }
        /// Destroys an export, which stays when that fails.
        TryEnd "tryend" { name: String }
        /// Memory of the program's own in the place of the first half of an import's.
        Squat "squat" { room: String, import: String }
        /// Unmaps a room.
        Vacate "vacate" { room: String }
        /// Has a thread sleep in a room.
        SleepIn "sleepin" { room: String }
        /// Whether it wakes within so many milliseconds when it is told to. It ends in any case.
        Wakes "wakes" { patience: u64 }
        /// Whether a room holds its pattern, and what it is mapped to.
        RoomCheck "roomcheck" { room: String }
        /// Takes the link from node 1 to node 2 down.
        LinkDown "linkdown" { cluster: String }
        /// Takes it up.
        LinkUp "linkup" { cluster: String }
        /// Revokes a segment of node 1.
        Revoke "revoke" { cluster: String, id: u32 }
        /// Kills the processes of node 1.
        KillNode "killnode" { cluster: String }
        /// Watches what processes do.
        LookOn "lookon" { cluster: String }
        /// What all processes say that they put.
        LookedAt "lookedat" {}
        /// Watches no longer.
        LookAway "lookaway" {}
        /// Whether this process tallies.
        Tallies "tallies" {}
        /// Opens a file: for a control, a call that is refused.
        Readable "readable" { path: String }
        /// Keeps a descriptor: for a control.
        Leak "leak" {}
        /// Unmaps what the library was told that it could not unmap.
        Unmapped "unmapped" { start: usize, bytes: usize }
        /// Closes what a refusal kept open.
        Closed "closed" { fd: i32 }
    }
}

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let Some(command) = Command::read(words) else {
        return pieces::more(things, words);
    };
    let steered = |cluster: &str, act: &dyn Fn(&Steering) -> Result<()>| {
        Steering::attach(Some(cluster)).and_then(|steering| act(&steering)).map(|()| String::new())
    };
    Some(match command {
        Command::Room { name, bytes } => {
            let start = pages(bytes);
            ROOMS.lock().unwrap().get_or_insert_default().insert(name, (start, bytes));
            room_fill((start, bytes));
            Ok(String::new())
        }
        Command::Fill { name } => match room_of(things, &name) {
            Some(room) => {
                room_fill(room);
                Ok(String::new())
            }
            None => return pieces::more(things, words),
        },
        Command::Verify { name } => match room_of(things, &name) {
            Some(room) => Ok(is_whole(room).to_string()),
            None => return pieces::more(things, words),
        },
        Command::AdoptRoom { name, room } => {
            let (start, length) = place(&room);
            // SAFETY: memory that is never unmapped, used through exports and by single words only.
            let export = Controller::open("shm0").and_then(|c| unsafe { c.adopt(start as *mut u8, length) });
            export.map(|export| {
                things.exports.lock().unwrap().insert(name, Arc::new(export));
                String::new()
            })
        }
        Command::RebindTo { name, room } => {
            let (start, length) = place(&room);
            let mut export = things.exports.lock().unwrap().remove(&name).expect("exported");
            // SAFETY: as above.
            let bound =
                unsafe { Arc::get_mut(&mut export).expect("nobody else uses it").rebind(start as *mut u8, length) };
            things.exports.lock().unwrap().insert(name, export);
            bound.map(|()| String::new())
        }
        Command::TryEnd { name } => {
            let mut export = things.exports.lock().unwrap().remove(&name).expect("exported");
            let ended = Arc::get_mut(&mut export).expect("nobody else uses it").try_destroy();
            if ended.is_err() {
                things.exports.lock().unwrap().insert(name, export);
            }
            ended.map(|()| String::new())
        }
        Command::Squat { room, import } => {
            let mapping = things.mappings.lock().unwrap().remove(&import).expect("mapped");
            let (start, length) = (mapping.memory().as_ptr(), mapping.memory().len() / 2);
            map_at(start.cast(), length);
            let place = (start.expose_provenance(), length);
            ROOMS.lock().unwrap().get_or_insert_default().insert(room, place);
            room_fill(place);
            Ok(String::new())
        }
        Command::Vacate { room } => {
            let (start, length) = ROOMS.lock().unwrap().as_mut().and_then(|rooms| rooms.remove(&room)).expect("a room");
            // SAFETY: memory of this program's, which nobody uses any more.
            let done = unsafe { libc::munmap(start as *mut libc::c_void, length) };
            Ok(done.to_string())
        }
        Command::SleepIn { room } => {
            let word = place(&room).0 + SEMAPHORE;
            *SLEEPER.lock().unwrap() = Some((word, sleep_on(word)));
            Ok(String::new())
        }
        Command::Wakes { patience } => {
            let (word, thread) = SLEEPER.lock().unwrap().take().expect("a sleeper");
            // SAFETY: a semaphore in memory that is never unmapped.
            unsafe { libc::sem_post(std::ptr::with_exposed_provenance_mut(word)) };
            let wakes = within(Duration::from_millis(patience), || thread.is_finished());
            while !thread.is_finished() {
                // It then looks at the semaphore again.
                // SAFETY: a thread that nobody has joined.
                unsafe { libc::pthread_kill(thread.as_pthread_t(), libc::SIGUSR1) };
                std::thread::yield_now();
            }
            thread.join().expect("it does not panic");
            Ok(wakes.to_string())
        }
        Command::RoomCheck { room } => Ok(room_check(place(&room))),
        Command::LinkDown { cluster } => steered(&cluster, &|s| s.link_down(&Links::between(1, 2)).map(drop)),
        Command::LinkUp { cluster } => steered(&cluster, &|s| s.link_up(&Links::between(1, 2))),
        Command::Revoke { cluster, id } => steered(&cluster, &|s| s.revoke_segment(1, SegmentId::new(id)).map(drop)),
        Command::KillNode { cluster } => steered(&cluster, &|s| s.node_kill(1).map(drop)),
        Command::LookOn { cluster } => rsm::observe::Observer::attach(Some(&cluster)).and_then(|observer| {
            observer.activity()?;
            *WATCHING.lock().unwrap() = Some(observer);
            Ok(String::new())
        }),
        Command::LookedAt {} => {
            let watching = WATCHING.lock().unwrap();
            let all = watching.as_ref().expect("watching").activity();
            all.map(|all| all.iter().map(|process| process.activity.puts).sum::<u64>().to_string())
        }
        Command::LookAway {} => {
            drop(WATCHING.lock().unwrap().take());
            Ok(String::new())
        }
        Command::Tallies {} => Controller::open("shm0").map(|c| c.node().membership().tallied().is_some().to_string()),
        Command::Readable { path } => std::fs::File::open(path)
            .map(|_| String::new())
            .map_err(|error| rsm::Error::with(rsm::Code::InternalError, format!("{:?}", error.raw_os_error()))),
        Command::Leak {} => {
            std::mem::forget(std::fs::File::open("/dev/null").expect("it is there"));
            Ok(String::new())
        }
        Command::Unmapped { start, bytes } => {
            // SAFETY: the library gave this mapping back, and was told that it could not.
            let done = unsafe { libc::munmap(start as *mut libc::c_void, bytes) };
            Ok(done.to_string())
        }
        Command::Closed { fd } => {
            // SAFETY: the library closed this descriptor, which a refusal kept open.
            let done = unsafe { libc::close(fd) };
            Ok(done.to_string())
        }
    })
}

fn place(room: &str) -> (usize, usize) {
    ROOMS.lock().unwrap().as_ref().expect("a room")[room]
}

/// Where in a room a semaphore is: in its playground, where no story puts.
const SEMAPHORE: usize = 512;

/// A thread that sleeps on a process-shared semaphore.
fn sleep_on(word: usize) -> JoinHandle<()> {
    let semaphore = move || std::ptr::with_exposed_provenance_mut::<libc::sem_t>(word);
    // SAFETY: memory of this program's that is never unmapped, and used for nothing else.
    assert_eq!(unsafe { libc::sem_init(semaphore(), 1, 0) }, 0);
    let (tell, told) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero()).expect("somebody listens");
        // SAFETY: as above.
        while unsafe { libc::sem_wait(semaphore()) } != 0 {}
    });
    let line = format!("/proc/self/task/{}/syscall", told.recv().expect("a thread"));
    let asleep = || {
        let line = std::fs::read_to_string(&line).unwrap_or_default();
        line.split(' ').next() == Some(&libc::SYS_futex.to_string())
    };
    assert!(within(Duration::from_secs(10), asleep), "it goes to sleep");
    thread
}

fn within(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !done() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

/// Maps fresh memory over what is there.
fn map_at(place: *mut libc::c_void, length: usize) {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
    // SAFETY: addresses that the library gave to this program, which uses them for nothing else from here on.
    unsafe { mmap_anonymous(place, length, access, flags) }.expect("memory");
}

/// Fresh memory, for ever.
fn pages(length: usize) -> usize {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
    // SAFETY: fresh memory at addresses the kernel chooses.
    unsafe { mmap_anonymous(std::ptr::null_mut(), length, access, flags) }.expect("memory").expose_provenance()
}

/// Stores a word of a room.
fn store(start: usize, at: usize, value: u64) {
    // SAFETY: in the room, which is mapped for ever, and aligned.
    unsafe { std::ptr::with_exposed_provenance_mut::<u64>(start + at).write_volatile(value) };
}

fn load(start: usize, at: usize) -> u64 {
    // SAFETY: in the room, which is mapped for ever, and aligned.
    unsafe { std::ptr::with_exposed_provenance::<u64>(start + at).read_volatile() }
}

fn patterned(length: usize) -> impl Iterator<Item = usize> {
    (playground() as usize..length).step_by(512)
}

/// Stores the pattern of a room behind its playground. Each room has its own: one's contents in another are seen.
fn room_fill((start, length): (usize, usize)) {
    patterned(length).for_each(|at| store(start, at, pattern((start + at) as u64)));
}

fn is_whole((start, length): (usize, usize)) -> bool {
    patterned(length).all(|at| load(start, at) == pattern((start + at) as u64))
}

/// The room that an export has now, if it is one.
fn room_of(things: &Things, export: &str) -> Option<(usize, usize)> {
    let start = things.exports.lock().unwrap()[export].memory().as_ptr().addr();
    ROOMS.lock().unwrap().as_ref()?.values().copied().find(|room| room.0 == start)
}

/// Whether a room holds its pattern, what it is mapped to, and whether it can be stored to.
fn room_check((start, length): (usize, usize)) -> String {
    let fine = is_whole((start, length));
    // A store to every page that changes nothing, for the pages to be there for writing.
    patterned(length).for_each(|at| store(start, at, load(start, at)));
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let mut kinds: Vec<&str> = Vec::new();
    for line in maps.lines() {
        let bounds = line.split(' ').next().and_then(|range| range.split_once('-'));
        let Some((from, to)) = bounds else { continue };
        let parse = |text| usize::from_str_radix(text, 16).unwrap_or(0);
        if parse(from) < start + length && parse(to) > start {
            let kind = if line.contains("memfd:rsm") { "shared" } else { "private" };
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    format!("{} {}", if fine { "fine" } else { "changed" }, kinds.join("+"))
}
