//! Looks at a bridge from both ends: what one host stores, rings, attaches and takes back is what the other one sees.
//!
//! `two_hosts DEVICE a` on one host and `two_hosts DEVICE b` on the other, where DEVICE is `vfio:0000:01:00.0` or, with the feature
//! `emulator`, `epf:SOCKET`. Lines that begin with `@@` say what was found. The second host is to be killed where it says
//! `@@ at death`, as an agent may be at any time, and then started as `two_hosts DEVICE successor`.
#![allow(unsafe_code)]

use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
#[cfg(feature = "emulator")]
use rsm_ntb::Socket;
use rsm_ntb::{Control, Epf, Event, Job, PciFunction, Vector, Vfio};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Bytes of each piece of control pages: what this host says, and what it is told.
const PIECE: u64 = 128 << 10;
/// Where in the window the other host is told something; and where data goes.
const TOLD: u64 = PIECE;
const DATA: u64 = PIECE + 4096;
const BYTES: u64 = 64 << 10;
/// Where memory is attached, for loads and stores and for loads only.
const BOTH: u64 = 1 << 20;
const READ: u64 = 2 << 20;
const ALL_ONES: u64 = u64::MAX;
const PATIENCE: Duration = Duration::from_secs(60);

/// The word at a place of what `host` stores.
fn pattern(host: u64, at: u64) -> u64 {
    (host << 56 ^ at).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn memory(bytes: u64, word: u64) -> Result<File> {
    let file = rustix::fs::memfd_create("two-hosts", MemfdFlags::CLOEXEC).map(File::from);
    let made = file.map_err(std::io::Error::from).and_then(|file| {
        file.set_len(bytes)?;
        file.write_all_at(&word.to_le_bytes(), 0)?;
        Ok(file)
    });
    made.map_err(|e| Error::with(Code::InsufficientMem, format!("no memory: {e}")))
}

fn word(memory: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    // Memory of this process; what is not there is not what is waited for.
    memory.read_exact_at(&mut word, at).map_or(ALL_ONES, |()| u64::from_le_bytes(word))
}

struct Host<F: PciFunction + 'static> {
    bridge: Epf<F>,
    /// What the other host tells this one.
    theirs: File,
    /// What happened while the bridge was opened.
    early: Vec<Event>,
    failed: bool,
}

impl<F: PciFunction + 'static> Host<F> {
    fn open(function: F, hello: u64) -> Result<Host<F>> {
        let (ours, theirs) = (memory(PIECE, hello)?, memory(PIECE, 0)?);
        let control = [
            Control { at: 0, memory: ours.as_fd(), length: PIECE, permission: Permission::Read },
            Control { at: PIECE, memory: theirs.as_fd(), length: PIECE, permission: Permission::ReadWrite },
        ];
        let mut bridge = Epf::take_over(function)?;
        let job = bridge.renew(&control)?;
        let mut host = Host { bridge, theirs, early: Vec::new(), failed: false };
        host.opened(job)?;
        let job = host.bridge.offer()?;
        host.opened(job)?;
        Ok(host)
    }

    fn report(&mut self, what: &str, passed: bool) {
        println!("@@ {} {what}", if passed { "passed" } else { "failed" });
        self.failed |= !passed;
    }

    /// Takes events until something is so; the events that were told, whether it came to be so.
    fn until(&mut self, mut is_so: impl FnMut(&mut Self, &[Event]) -> Result<bool>) -> Result<(Vec<Event>, bool)> {
        let began = Instant::now();
        let mut told = std::mem::take(&mut self.early);
        loop {
            while let Some(event) = self.bridge.take() {
                if matches!(event, Event::Link) {
                    self.bridge.link_answered();
                }
                told.push(event);
            }
            let so = is_so(self, &told)?;
            if so || began.elapsed() > PATIENCE {
                return Ok((told, so));
            }
            // Memory changes without an event.
            let limit = Timespec { tv_sec: 0, tv_nsec: 2_000_000 };
            let _ = rustix::event::poll(&mut [PollFd::new(&self.bridge.events(), PollFlags::IN)], Some(&limit));
        }
    }

    /// Waits for a job that opens the bridge. What else happens is told later.
    fn opened(&mut self, job: Job) -> Result<()> {
        let is_end = |event: &Event| matches!(event, Event::Done(ended, _) if *ended == job);
        let (told, _) = self.until(|_, told| Ok(told.iter().any(is_end)))?;
        for event in told {
            match event {
                Event::Done(ended, outcome) if ended == job => outcome?,
                event => self.early.push(event),
            }
        }
        Ok(())
    }

    /// Tells the other host how far this one is: stores, loads back, rings.
    fn say(&mut self, step: u64) -> Result<()> {
        self.bridge.words().store(TOLD, step)?;
        self.bridge.words().fence();
        self.bridge.words().load(TOLD)?;
        self.bridge.ring(Vector::Messages)
    }

    /// Waits until the other host is as far.
    fn hear(&mut self, step: u64) -> Result<bool> {
        Ok(self.until(|host, _| Ok(word(&host.theirs, 0) == step))?.1)
    }

    /// Waits for the end of a job.
    fn end(&mut self, job: Job) -> Result<bool> {
        Ok(self.until(|_, told| Ok(told.iter().any(|event| done(event, job))))?.1)
    }
}

fn done(event: &Event, job: Job) -> bool {
    matches!(event, Event::Done(ended, Ok(())) if *ended == job)
}

/// What a program of this host sees that was given a way to the other one's memory: it maps standard input and loads a word. It has no
/// rights but that.
fn look(offset: u64) -> Option<u64> {
    use rustix::mm::{MapFlags, ProtFlags, mmap};
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: without MAP_FIXED the kernel takes addresses that are free.
    let page =
        unsafe { mmap(std::ptr::null_mut(), 4096, protection, MapFlags::SHARED, rustix::stdio::stdin(), offset) };
    let page = page.ok()?.cast::<u64>();
    // SAFETY: the page was mapped by the line above, and a load that fails yields all-ones.
    Some(unsafe { page.read_volatile() })
}

/// Has another program look, as a user that may do nothing.
fn looked<F: PciFunction>(host: &Host<F>, at: u64) -> Result<String> {
    let reach = host.bridge.reach(at, 4096)?;
    let program = std::env::current_exe().and_then(|own| {
        std::process::Command::new(own)
            .args(["look", &reach.offset.to_string()])
            .stdin(reach.memory)
            .uid(65534)
            .gid(65534)
            .output()
    });
    let output = program.map_err(|e| Error::with(Code::InternalError, format!("no program can look: {e}")))?;
    let way = if reach.wide { "by the function's descriptor" } else { "by the window's file" };
    Ok(format!("{} {way}", String::from_utf8_lossy(&output.stdout).trim()))
}

/// What both do first: the link, a greeting, data and doorbells.
fn meet<F: PciFunction>(host: &mut Host<F>, own: u64, other: u64) -> Result<()> {
    // The register may say so before the interrupt is here.
    let is_told = |told: &[Event]| told.iter().any(|event| matches!(event, Event::Link));
    let (told, up) = host.until(|host, told| Ok(is_told(told) && host.bridge.link_is_up()?))?;
    host.report("the link comes up", up);
    host.report("an interrupt says so", is_told(&told));
    let hello = host.bridge.words().load(0)?;
    host.report("the other host says hello", hello == other);
    let began = Instant::now();
    for at in (0..BYTES).step_by(8) {
        host.bridge.words().store(DATA + at, pattern(own, at))?;
    }
    host.bridge.words().fence();
    let last = host.bridge.words().load(DATA + BYTES - 8)?;
    println!("64 KiB in words, with a load of the last: {:?}", began.elapsed());
    host.report("what was stored is loaded back", last == pattern(own, BYTES - 8));
    host.say(1)?;
    let heard = host.hear(1)?;
    let right = (0..BYTES).step_by(8).all(|at| word(&host.theirs, 4096 + at) == pattern(other, at));
    host.report("what the other host stored is here", heard && right);
    match looked(host, 0) {
        Ok(seen) => {
            println!("another program loads {seen}");
            host.report("another program reaches the window", seen.starts_with(&format!("{other} ")));
        }
        // An emulated bridge without a machine.
        Err(error) if error.code() == Code::MapFailed => println!("{error}"),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn first<F: PciFunction>(host: &mut Host<F>) -> Result<()> {
    let heard = host.hear(2)?;
    host.report("memory is attached", heard);
    let there = (host.bridge.words().load(BOTH)?, host.bridge.words().load(READ)?);
    host.report("what is in it is loaded", there == (5, 6));
    host.bridge.words().store(BOTH + 8, 7)?;
    host.bridge.words().store(READ, 8)?;
    let there = (host.bridge.words().load(BOTH + 8)?, host.bridge.words().load(READ)?);
    host.report("what may be stored to is stored to", there == (7, 6));
    let began = Instant::now();
    for step in 0..500 {
        host.bridge.words().store(BOTH, step)?;
        host.bridge.words().load(BOTH)?;
    }
    println!("a store and a load of it: {:?}", began.elapsed() / 500);
    host.say(3)?;
    let heard = host.hear(4)?;
    let there = (host.bridge.words().load(BOTH)?, host.bridge.words().load(0)?);
    host.report("what was detached is not reached, and what is beside it is", heard && there == (ALL_ONES, 2));
    host.say(5)?;
    // From here on the other host's process dies, and another one begins: there need not be an event for either.
    let (_, gone) = host.until(|host, _| {
        host.bridge.words().store(READ, 9)?;
        Ok(host.bridge.words().load(0)? != 2)
    })?;
    host.report("the end of the other host's process is seen in what is loaded", gone);
    let (seen, up) = (host.bridge.words().load(0)?, host.bridge.link_is_up()?);
    println!("then {seen:#x} is loaded, and the link is {}", if up { "up" } else { "down" });
    let (_, again) = host.until(|host, _| {
        host.bridge.words().store(TOLD, 0xbad)?;
        Ok(host.bridge.link_is_up()? && host.bridge.words().load(0)? == 3)
    })?;
    host.report("its successor says hello", again);
    host.say(6)?;
    let heard = host.hear(7)?;
    host.report("and goes on", heard);
    Ok(())
}

fn second<F: PciFunction>(host: &mut Host<F>) -> Result<()> {
    let (both, read) = (memory(BYTES, 5)?, memory(BYTES, 6)?);
    for (at, memory, permission) in [(BOTH, &both, Permission::ReadWrite), (READ, &read, Permission::Read)] {
        let began = Instant::now();
        let job = host.bridge.attach(at, memory.as_fd(), BYTES, permission)?;
        let attached = host.end(job)?;
        println!("64 KiB attached in {:?}", began.elapsed());
        host.report("memory is attached", attached);
    }
    host.say(2)?;
    let heard = host.hear(3)?;
    host.report("the other host's stores are where they may be", heard && (word(&both, 8), word(&read, 0)) == (7, 6));
    let began = Instant::now();
    let job = host.bridge.detach(BOTH)?;
    let detached = host.end(job)?;
    println!("64 KiB detached in {:?}", began.elapsed());
    host.report("memory is detached", detached);
    host.say(4)?;
    let heard = host.hear(5)?;
    host.report("the other host goes on", heard);
    println!("@@ at death");
    // Killed here.
    std::thread::sleep(2 * PATIENCE);
    Ok(())
}

fn successor<F: PciFunction>(host: &mut Host<F>) -> Result<()> {
    let heard = host.hear(6)?;
    host.report("a successor is told something", heard);
    host.say(7)
}

fn play(function: impl PciFunction + 'static, role: &str) -> Result<bool> {
    let own = match role {
        "a" => 1,
        "b" => 2,
        _ => 3,
    };
    let mut host = Host::open(function, own)?;
    match role {
        "a" => meet(&mut host, 1, 2).and_then(|()| first(&mut host))?,
        "b" => meet(&mut host, 2, 1).and_then(|()| second(&mut host))?,
        _ => successor(&mut host)?,
    }
    println!("@@ done");
    // What was told last is to arrive before the link goes down.
    if role == "successor" {
        host.until(|host, _| Ok(!host.bridge.link_is_up()?))?;
    }
    Ok(!host.failed)
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if let [what, offset] = &words[..]
        && what == "look"
    {
        let seen = offset.parse().ok().and_then(look);
        println!("{}", seen.map_or("nothing".to_owned(), |word| word.to_string()));
        return ExitCode::SUCCESS;
    }
    let (device, role) = match &words[..] {
        [device, role] if ["a", "b", "successor"].contains(&role.as_str()) => (device.as_str(), role.as_str()),
        _ => {
            eprintln!("usage: two_hosts vfio:ADDRESS|epf:SOCKET a|b|successor");
            return ExitCode::from(2);
        }
    };
    let passed = match device.split_once(':') {
        Some(("vfio", address)) => Vfio::open(address).and_then(|function| play(function, role)),
        #[cfg(feature = "emulator")]
        Some(("epf", path)) => Socket::open(path.as_ref()).and_then(|function| play(function, role)),
        _ => Err(Error::with(Code::CtlrNotPresent, format!("\"{device}\" is no device: vfio:ADDRESS, or epf:SOCKET"))),
    };
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("@@ failed {error}");
            ExitCode::FAILURE
        }
    }
}
