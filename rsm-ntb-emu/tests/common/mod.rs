//! Hosts at a bridge: clients that bring a function up and look at what arrives. They speak by way of `vfio_user::Client`,
//! which somebody else wrote.
#![allow(dead_code, reason = "each test program uses a part")]

use rsm_ntb_emu::{Emulator, Options, map};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Where each host's memory is, for its function.
pub(crate) const ADDRESS: u64 = 0x1_0000_0000;
/// Bytes of it.
pub(crate) const BYTES: u64 = 1 << 20;
/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes with it.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only a number that nobody else has.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("rsm-ntb-emu-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A memory object of so many bytes that cannot shrink.
pub(crate) fn memory(bytes: u64) -> File {
    let file = rustix::fs::memfd_create("host", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
    File::from(file)
}

pub(crate) fn word_of(memory: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, at).unwrap();
    u64::from_le_bytes(word)
}

pub(crate) fn event() -> OwnedFd {
    rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).unwrap()
}

/// How often an event descriptor was raised since it was last asked; waits until it was when `wait` says so.
pub(crate) fn taken(event: &OwnedFd, wait: bool) -> u64 {
    if wait {
        let limit = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
        let mut polled = [PollFd::new(event, PollFlags::IN)];
        assert_eq!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1), "no interrupt came");
    }
    let mut count = [0; 8];
    match rustix::io::read(event, &mut count) {
        Ok(_) => u64::from_ne_bytes(count),
        Err(e) => {
            assert_eq!(e, rustix::io::Errno::AGAIN);
            0
        }
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        std::thread::yield_now();
    }
}

/// A host that is connected.
pub(crate) struct Host {
    pub(crate) client: vfio_user::Client,
    pub(crate) events: Vec<OwnedFd>,
    pub(crate) memory: File,
}

impl Host {
    /// Connects, enables the function and its interrupts, maps memory.
    pub(crate) fn connect(path: &std::path::Path) -> Host {
        let mut client = vfio_user::Client::new(path).unwrap();
        client.region_write(map::CONFIG, 4, &6u16.to_le_bytes()).unwrap();
        let events: Vec<OwnedFd> = (0..map::VECTORS).map(|_| event()).collect();
        let numbers: Vec<i32> = events.iter().map(|event| event.as_raw_fd()).collect();
        client.set_irqs(2, 4 | 32, 0, map::VECTORS, &numbers).unwrap();
        let memory = memory(BYTES);
        client.dma_map(0, ADDRESS, BYTES, memory.as_raw_fd()).unwrap();
        Host { client, events, memory }
    }

    /// And lets the other host reach the memory.
    pub(crate) fn up(path: &std::path::Path) -> Host {
        let mut host = Host::connect(path);
        host.translate(ADDRESS, BYTES);
        host.command(map::LINK_UP, 0);
        host
    }

    pub(crate) fn register(&mut self, at: u64) -> u32 {
        let mut word = [0; 4];
        self.client.region_read(map::REGISTERS, at, &mut word).unwrap();
        u32::from_le_bytes(word)
    }

    pub(crate) fn set_register(&mut self, at: u64, value: u32) {
        self.client.region_write(map::REGISTERS, at, &value.to_le_bytes()).unwrap();
    }

    /// Gives a command as Linux does; what the status says then.
    pub(crate) fn status(&mut self, command: u32, argument: u32) -> u16 {
        self.set_register(map::ARGUMENT, argument);
        self.set_register(map::COMMAND, command);
        let mut status = [0; 2];
        self.client.region_read(map::REGISTERS, map::STATUS, &mut status).unwrap();
        self.client.region_write(map::REGISTERS, map::STATUS, &[0, 0]).unwrap();
        u16::from_le_bytes(status)
    }

    pub(crate) fn command(&mut self, command: u32, argument: u32) {
        assert_eq!(self.status(command, argument), map::STATUS_OK, "command {command}");
    }

    pub(crate) fn translate(&mut self, address: u64, size: u64) {
        let halves = [address as u32, (address >> 32) as u32, size as u32, (size >> 32) as u32];
        for (at, half) in (map::LOWER_ADDRESS..).step_by(4).zip(halves) {
            self.set_register(at, half);
        }
        self.command(map::CONFIGURE_WINDOW, 0);
    }

    pub(crate) fn link(&mut self) -> bool {
        let mut link = [0; 2];
        self.client.region_read(map::REGISTERS, map::LINK, &mut link).unwrap();
        link == [1, 0]
    }

    /// Stores a word through the window.
    pub(crate) fn store(&mut self, at: u64, word: u64) {
        self.client.region_write(map::WINDOW, at, &word.to_le_bytes()).unwrap();
    }

    /// Loads a word through the window.
    pub(crate) fn load(&mut self, at: u64) -> u64 {
        let mut word = [0; 8];
        self.client.region_read(map::WINDOW, at, &mut word).unwrap();
        u64::from_le_bytes(word)
    }

    pub(crate) fn ring(&mut self, vector: u32) {
        let (at, data) = map::doorbell(vector);
        self.client.region_write(map::DOORBELLS, at, &data.to_le_bytes()).unwrap();
    }

    /// The word of this host's memory that the other host's window has at an offset.
    pub(crate) fn word(&self, at: u64) -> u64 {
        word_of(&self.memory, at)
    }

    /// How often a vector was raised since it was last asked.
    pub(crate) fn interrupts(&self, vector: usize) -> u64 {
        taken(&self.events[vector], false)
    }
}

/// Two hosts at a bridge whose link is up, and that have taken the interrupt that says so.
pub(crate) struct Pair {
    pub(crate) a: Host,
    pub(crate) b: Host,
    pub(crate) emulator: Emulator,
    pub(crate) paths: [PathBuf; 2],
    pub(crate) folder: Folder,
}

pub(crate) fn start(folder: &Folder, options: Options) -> (Emulator, [PathBuf; 2]) {
    let paths = [folder.join("a.sock"), folder.join("b.sock")];
    let emulator = Emulator::start([&paths[0], &paths[1]], options).unwrap();
    (emulator, paths)
}

impl Pair {
    pub(crate) fn new(options: Options) -> Pair {
        let folder = Folder::new();
        let (emulator, paths) = start(&folder, options);
        let (a, b) = (Host::up(&paths[0]), Host::up(&paths[1]));
        let pair = Pair { a, b, emulator, paths, folder };
        assert!(pair.emulator.link_is_up());
        assert_eq!((pair.a.interrupts(0), pair.b.interrupts(0)), (1, 1), "both are told that the link is up");
        pair
    }

    /// Traffic goes both ways.
    pub(crate) fn check(&mut self) {
        let check = |from: &mut Host, to: &Host| {
            let word = from.load(0x800).wrapping_add(1);
            from.store(0x800, word);
            assert_eq!((from.load(0x800), to.word(0x800)), (word, word));
        };
        check(&mut self.a, &self.b);
        check(&mut self.b, &self.a);
    }
}

/// A time that no test lives to see.
pub(crate) const NEVER: Duration = Duration::from_secs(3600);
