//! A party's side: what operations are written with.

use crate::protocol::Job;
use crate::region::{Region, word};
use crate::window::Accesses;
use rustix::event::{PollFd, PollFlags, poll};
use std::fs::File;
use std::sync::OnceLock;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::time::{Duration, Instant};

/// Why a party cannot go on; one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble(pub String);

impl From<String> for Trouble {
    fn from(text: String) -> Trouble {
        Trouble(text)
    }
}

impl From<rsm::Error> for Trouble {
    fn from(error: rsm::Error) -> Trouble {
        Trouble(error.to_string())
    }
}

impl From<rustix::io::Errno> for Trouble {
    fn from(error: rustix::io::Errno) -> Trouble {
        Trouble(error.to_string())
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Trouble {
        Trouble(error.to_string())
    }
}

/// What a party's steps answer.
pub type Result<T> = std::result::Result<T, Trouble>;

/// Which of the two a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Starts every operation, and holds the clock.
    Active,
    /// Answers, and looks at what arrives.
    Passive,
}

/// The part of a party that is not raw: what a library can do.
pub trait Party {
    /// What the conductor's tables call it; one word.
    fn name(&self) -> String;
    /// Names of its operations, from [`crate::ops`].
    fn ops(&self) -> Vec<&'static str>;
    /// Does a job. The active party returns its samples, the passive one nothing.
    ///
    /// # Errors
    /// What went wrong, also when something arrived that should not have.
    fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>>;
    /// Does a job, and counts what it loads and stores of another host's memory; `None` where that cannot be counted.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    fn count(&mut self, job: &Job, pairing: &Pairing) -> Result<Option<Accesses>> {
        self.run(job, pairing).map(|_| None)
    }
    /// Sees whether the last of an operation that needed no partner has arrived. Passive party.
    ///
    /// # Errors
    /// What is wrong with what is there.
    fn check(&mut self, op: &str, size: usize, last: u64, pairing: &Pairing) -> Result<()>;
}

/// A party's tie to conductor and partner.
#[derive(Debug)]
pub struct Pairing {
    /// Which of the two this is.
    pub side: Side,
    /// Shared memory without any library.
    pub region: Region,
    /// Bytes of data that operations may move.
    pub room: usize,
    /// What names this pair and no other on this machine.
    pub name: String,
    pub(crate) commands: File,
}

/// How long the partner may take for anything.
const PATIENCE: Duration = Duration::from_secs(60);
/// Rounds of a spin before it looks whether there is still somebody to wait for: some milliseconds.
const LOOK: u32 = 1 << 16;

impl Pairing {
    /// Spins until `ready`. Looks now and then whether it is still worth it.
    ///
    /// # Errors
    /// When the conductor has gone, or the partner takes too long.
    #[inline]
    pub fn until(&self, mut ready: impl FnMut() -> bool) -> Result<()> {
        let mut rounds = 0u32;
        let mut began = None;
        while !ready() {
            std::hint::spin_loop();
            rounds = rounds.wrapping_add(1);
            if rounds.is_multiple_of(LOOK) {
                self.worth_it(*began.get_or_insert_with(Instant::now))?;
            }
        }
        Ok(())
    }

    /// Whether waiting, begun at `began`, is still worth it. For waits that sleep, in steps.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub fn worth_it(&self, began: Instant) -> Result<()> {
        let mut event = [PollFd::new(&self.commands, PollFlags::IN)];
        if poll(&mut event, Some(&Default::default()))? > 0 {
            return Err(Trouble("the conductor has gone, or gave up".into()));
        }
        if began.elapsed() > PATIENCE {
            return Err(Trouble(format!("nothing came from the partner for {} s", PATIENCE.as_secs())));
        }
        Ok(())
    }

    /// Tells the partner eight numbers and hears its own. Both must call it; once.
    ///
    /// # Errors
    /// As [`until`](Self::until).
    pub fn introduce(&self, mine: [u64; 7]) -> Result<[u64; 7]> {
        let (own, other) = match self.side {
            Side::Active => (word::SETUP[0], word::SETUP[1]),
            Side::Passive => (word::SETUP[1], word::SETUP[0]),
        };
        for (i, value) in mine.iter().enumerate() {
            self.region.word(own + 8 + 8 * i).store(*value, Relaxed);
        }
        // Release: pairs with the Acquire below; the numbers come before.
        self.region.word(own).store(1, Release);
        let began = Instant::now();
        // Acquire: pairs with the Release above.
        while self.region.word(other).load(Acquire) == 0 {
            self.worth_it(began)?;
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(std::array::from_fn(|i| self.region.word(other + 8 + 8 * i).load(Relaxed)))
    }
}

impl Job {
    /// Clocks `once`, which is given its stamp: samples of whole batches.
    ///
    /// # Errors
    /// The first of `once`.
    #[inline]
    pub fn clock(&self, mut once: impl FnMut(u64) -> Result<()>) -> Result<Vec<u64>> {
        let mut taken = Vec::with_capacity(self.samples as usize);
        let mut stamp = self.first;
        for sample in 0..self.warm + self.samples {
            let began = now();
            for _ in 0..self.batch {
                stamp += 1;
                once(stamp)?;
            }
            let nanoseconds = now() - began;
            if sample >= self.warm {
                taken.push(nanoseconds);
            }
        }
        Ok(taken)
    }

    /// As [`clock`](Self::clock), for operations that know themselves how many nanoseconds of them count.
    ///
    /// # Errors
    /// The first of `once`.
    pub fn collect(&self, mut once: impl FnMut(u64) -> Result<u64>) -> Result<Vec<u64>> {
        let mut taken = Vec::with_capacity(self.samples as usize);
        let mut stamp = self.first;
        for sample in 0..self.warm + self.samples {
            let mut nanoseconds = 0;
            for _ in 0..self.batch {
                stamp += 1;
                nanoseconds += once(stamp)?;
            }
            if sample >= self.warm {
                taken.push(nanoseconds);
            }
        }
        Ok(taken)
    }

    /// Does `once` as often, without a clock: the passive party.
    ///
    /// # Errors
    /// The first of `once`.
    #[inline]
    pub fn repeat(&self, mut once: impl FnMut(u64) -> Result<()>) -> Result<Vec<u64>> {
        for stamp in self.first + 1..=self.last() {
            once(stamp)?;
        }
        Ok(Vec::new())
    }

    /// One party sends and receives, the other receives and sends.
    ///
    /// # Errors
    /// The first of either.
    #[inline]
    pub fn ping_pong(
        &self,
        side: Side,
        mut send: impl FnMut(u64) -> Result<()>,
        mut receive: impl FnMut(u64) -> Result<()>,
    ) -> Result<Vec<u64>> {
        match side {
            Side::Active => self.clock(|stamp| {
                send(stamp)?;
                receive(stamp)
            }),
            Side::Passive => self.repeat(|stamp| {
                receive(stamp)?;
                send(stamp)
            }),
        }
    }

    /// A ping-pong of sleepers: each sends only when the other has certainly gone to sleep, and only the way from the
    /// start of a send to the end of the receive it wakes counts. A sample is the sum of there and back.
    ///
    /// # Errors
    /// The first of either.
    pub fn asleep(
        &self,
        pairing: &Pairing,
        mut send: impl FnMut(u64) -> Result<()>,
        mut receive: impl FnMut(u64) -> Result<()>,
    ) -> Result<Vec<u64>> {
        let (woke, answered) = (pairing.region.word(word::WOKE), pairing.region.word(word::ANSWERED));
        match pairing.side {
            Side::Active => self.collect(|stamp| {
                linger();
                let sent = monotonic();
                send(stamp)?;
                receive(stamp)?;
                let back = monotonic();
                // Relaxed: what was received came after these were stored, by whatever order the operation gives.
                Ok((woke.load(Relaxed).saturating_sub(sent)) + (back.saturating_sub(answered.load(Relaxed))))
            }),
            Side::Passive => self.repeat(|stamp| {
                receive(stamp)?;
                woke.store(monotonic(), Relaxed);
                linger();
                answered.store(monotonic(), Relaxed);
                send(stamp)
            }),
        }
    }
}

/// A clock, in nanoseconds.
type Clock = Box<dyn Fn() -> u64 + Send + Sync>;

static CLOCK: OnceLock<Clock> = OnceLock::new();

/// Lets operations be clocked by this from now on, for the rest of the process.
pub fn clock_by(clock: Clock) {
    // A second one is of the same cluster.
    let _ = CLOCK.set(clock);
}

/// Nanoseconds of the clock that operations are clocked by.
#[inline]
pub fn now() -> u64 {
    CLOCK.get().map_or_else(monotonic, |clock| clock())
}

/// Nanoseconds of a clock that all processes share.
pub fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}

/// Passes more time than any waiter spins before it sleeps.
fn linger() {
    let began = Instant::now();
    while began.elapsed() < Duration::from_micros(200) {
        std::hint::spin_loop();
    }
}
