//! A bridge, memory, and a function that is looked at while it is driven.

use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rsm_ntb::{Bar, Control, Epf, Event, Job, PciFunction, Reach, Socket};
use rsm_ntb_emu::{Emulator, Options};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::{MemfdFlags, SealFlags};
use std::collections::VecDeque;
use std::fs::File;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Bytes of each piece of control pages.
pub(crate) const PIECE: u64 = 128 << 10;
/// Where other memory can be attached.
pub(crate) const FREE: u64 = 1 << 20;
/// Bytes of a window.
pub(crate) const WINDOW: u64 = 1 << 26;
/// What a load yields that fails.
pub(crate) const ALL_ONES: u64 = u64::MAX;
/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A bridge with a folder of its own.
pub(crate) struct World {
    pub(crate) emulator: Option<Emulator>,
    folder: PathBuf,
}

impl World {
    pub(crate) fn new(options: Options) -> World {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        // Relaxed: only a number that nobody else has.
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("rsm-ntb-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let emulator = Emulator::start([&folder.join("a"), &folder.join("b")], options).unwrap();
        World { emulator: Some(emulator), folder }
    }

    pub(crate) fn path(&self, host: &str) -> PathBuf {
        self.folder.join(host)
    }

    pub(crate) fn socket(&self, host: &str) -> Socket {
        Socket::open(&self.path(host)).unwrap()
    }

    pub(crate) fn emulator(&self) -> &Emulator {
        self.emulator.as_ref().unwrap()
    }

    /// Two agents whose link is up, and that know it.
    pub(crate) fn pair(&self) -> (Agent, Agent) {
        let (mut a, mut b) = (Agent::open(self.socket("a")), Agent::open(self.socket("b")));
        for agent in [&mut a, &mut b] {
            assert!(matches!(agent.next(), Event::Link));
            agent.bridge.link_answered();
            assert!(agent.bridge.link_is_up().unwrap());
        }
        (a, b)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.emulator.take());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Sealed memory of so many bytes, with a word in the beginning.
pub(crate) fn memory(bytes: u64, word: u64) -> File {
    let file = rustix::fs::memfd_create("far", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    rustix::fs::ftruncate(&file, bytes).unwrap();
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW).unwrap();
    let file = File::from(file);
    set_word(&file, 0, word);
    file
}

pub(crate) fn word(memory: &File, at: u64) -> u64 {
    let mut word = [0; 8];
    memory.read_exact_at(&mut word, at).unwrap();
    u64::from_le_bytes(word)
}

pub(crate) fn set_word(memory: &File, at: u64, word: u64) {
    memory.write_all_at(&word.to_le_bytes(), at).unwrap();
}

/// The pieces of control pages that the other host only loads from, and that it stores to.
pub(crate) fn control<'a>(ours: &'a File, theirs: &'a File) -> [Control<'a>; 2] {
    [
        Control { at: 0, memory: ours.as_fd(), length: PIECE, permission: Permission::Read },
        Control { at: PIECE, memory: theirs.as_fd(), length: PIECE, permission: Permission::ReadWrite },
    ]
}

/// Takes a function over and offers it; what happened to it meanwhile.
pub(crate) fn open<F: PciFunction>(function: F, control: &[Control<'_>]) -> Result<(Epf<F>, VecDeque<Event>)> {
    let (mut bridge, mut early) = (Epf::take_over(function)?, VecDeque::new());
    let job = bridge.renew(control)?;
    end(&mut bridge, &mut early, job)?;
    let job = bridge.offer()?;
    end(&mut bridge, &mut early, job)?;
    Ok((bridge, early))
}

/// Waits for the end of a job, and keeps what comes before it.
pub(crate) fn end<F: PciFunction>(bridge: &mut Epf<F>, early: &mut VecDeque<Event>, job: Job) -> Result<()> {
    let began = Instant::now();
    loop {
        match bridge.take() {
            Some(Event::Done(ended, outcome)) if ended == job => return outcome,
            Some(event) => early.push_back(event),
            None => {
                assert!(began.elapsed() < PATIENCE, "{job:?} does not end");
                assert!(readable(bridge.events(), true));
            }
        }
    }
}

/// One agent's half of a bridge.
pub(crate) struct Agent<F: PciFunction + 'static = Socket> {
    pub(crate) bridge: Epf<F>,
    /// What happened while something else was waited for.
    early: VecDeque<Event>,
    pub(crate) ours: File,
    pub(crate) theirs: File,
}

impl<F: PciFunction + 'static> Agent<F> {
    pub(crate) fn open(function: F) -> Agent<F> {
        let (ours, theirs) = (memory(PIECE, 7), memory(PIECE, 0));
        let (bridge, early) = open(function, &control(&ours, &theirs)).unwrap();
        Agent { bridge, early, ours, theirs }
    }

    /// Begins anew.
    pub(crate) fn renew(&mut self, ours: &File, theirs: &File) {
        let job = self.bridge.renew(&control(ours, theirs)).unwrap();
        end(&mut self.bridge, &mut self.early, job).unwrap();
    }

    pub(crate) fn offer(&mut self) {
        let job = self.bridge.offer().unwrap();
        end(&mut self.bridge, &mut self.early, job).unwrap();
    }

    pub(crate) fn close(&mut self) {
        let job = self.bridge.close().unwrap();
        end(&mut self.bridge, &mut self.early, job).unwrap();
    }

    /// The next event.
    pub(crate) fn next(&mut self) -> Event {
        let began = Instant::now();
        loop {
            if let Some(event) = self.early.pop_front().or_else(|| self.bridge.take()) {
                return event;
            }
            assert!(began.elapsed() < PATIENCE, "no event came");
            assert!(readable(self.bridge.events(), true));
        }
    }

    /// Waits for the end of a job.
    pub(crate) fn end(&mut self, job: Job) -> Result<()> {
        match self.next() {
            Event::Done(ended, outcome) if ended == job => outcome,
            other => panic!("{other:?} before the end of {job:?}"),
        }
    }

    /// Attaches memory, and waits until it is.
    pub(crate) fn attach(&mut self, at: u64, memory: &File, permission: Permission) {
        let length = memory.metadata().unwrap().len();
        let job = self.bridge.attach(at, memory.as_fd(), length, permission).unwrap();
        self.end(job).unwrap();
    }
}

/// Whether a descriptor is readable; waits until it is when `wait` says so.
pub(crate) fn readable(descriptor: BorrowedFd<'_>, wait: bool) -> bool {
    let limit = Timespec { tv_sec: if wait { PATIENCE.as_secs() as i64 } else { 0 }, tv_nsec: 0 };
    rustix::event::poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&limit)).unwrap() == 1
}

/// What is done to a function: a command, or memory that is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    Command(u32),
    Map { address: u64, length: u64 },
}

/// A function that is looked at: `look` is called after each act.
pub(crate) struct Watched<L> {
    pub(crate) inner: Arc<Socket>,
    /// Commands that it does not hear, and says that it did.
    pub(crate) deaf: &'static [u32],
    pub(crate) acts: Mutex<Vec<Act>>,
    /// Addresses and lengths of what it has mapped; held while that changes, so that both are one.
    mapped: Mutex<Vec<(u64, u64)>>,
    /// How often it does not unmap.
    refuses: AtomicU32,
    look: L,
}

impl<L> std::fmt::Debug for Watched<L> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.acts)
    }
}

impl<L: Fn(&[Act])> Watched<L> {
    pub(crate) fn new(inner: &Arc<Socket>, deaf: &'static [u32], look: L) -> Watched<L> {
        let (acts, mapped, refuses) = (Mutex::default(), Mutex::default(), AtomicU32::new(0));
        Watched { inner: Arc::clone(inner), deaf, acts, mapped, refuses, look }
    }

    /// Unmaps what is mapped, as the kernel does when an agent is killed: nobody tells the function.
    pub(crate) fn forget_mapped(&self) {
        for (address, length) in self.mapped.lock().unwrap().drain(..) {
            self.inner.unmap_dma(address, length).unwrap();
        }
    }

    /// From here on it does not unmap what it is told to, so often.
    pub(crate) fn refuse_unmaps(&self, times: u32) {
        self.refuses.store(times, Ordering::SeqCst);
    }

    fn acted(&self, act: Act) {
        let mut acts = self.acts.lock().unwrap();
        acts.push(act);
        (self.look)(&acts);
    }
}

impl<L: Fn(&[Act]) + Send + Sync> PciFunction for Watched<L> {
    fn bytes(&self, bar: Bar) -> Result<u64> {
        self.inner.bytes(bar)
    }

    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()> {
        self.inner.load(bar, at, into)
    }

    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()> {
        if (bar, at) != (Bar::Registers, 0) {
            return self.inner.store(bar, at, bytes);
        }
        let command = u32::from_le_bytes(bytes.try_into().unwrap());
        // What is done instead changes nothing.
        let heard = if self.deaf.contains(&command) { 2u32 } else { command };
        self.inner.store(bar, at, &heard.to_le_bytes())?;
        self.acted(Act::Command(command));
        Ok(())
    }

    fn addresses(&self) -> Vec<RangeInclusive<u64>> {
        self.inner.addresses()
    }

    fn map_dma(&self, address: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<()> {
        let mut mapped = self.mapped.lock().unwrap();
        self.inner.map_dma(address, memory, length, permission)?;
        mapped.push((address, length));
        drop(mapped);
        self.acted(Act::Map { address, length });
        Ok(())
    }

    fn unmap_dma(&self, address: u64, length: u64) -> Result<()> {
        if self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(Error::with(Code::BadAddr, "it is busy"));
        }
        let mut mapped = self.mapped.lock().unwrap();
        self.inner.unmap_dma(address, length)?;
        mapped.retain(|range| *range != (address, length));
        Ok(())
    }

    fn reach(&self) -> Result<Reach> {
        self.inner.reach()
    }

    fn set_interrupts(&self, vectors: &[BorrowedFd<'_>], error: BorrowedFd<'_>) -> Result<()> {
        self.inner.set_interrupts(vectors, error)
    }
}
