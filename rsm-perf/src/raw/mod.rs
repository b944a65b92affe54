//! The limits: what the machine does without any library between.
#![allow(unsafe_code)]

use crate::party::{Pairing, Result, Side, Trouble};
use crate::protocol::Job;
use crate::region::{Buffer, Region, word};
use copies::{arrived, can_pass_caches, copy, copy_past_caches, expected_sum, intact, read_all, sum, wrong};
use rustix::thread::futex;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Instant;

pub mod control;
pub mod copies;

/// Slots of a stream of small messages.
pub const SLOTS: u64 = 512;
/// Messages after which the receiver gives slots back.
pub const CREDIT: u64 = 64;

/// Keeps the compiler from doing several stores at once or none.
#[inline(always)]
pub fn happened() {
    std::sync::atomic::compiler_fence(std::sync::atomic::Ordering::SeqCst);
}

/// A store that comes before everything after it, in the way that costs this processor least: what a verdict needs.
/// On x86-64 that is an exchange, which is a full fence as well; elsewhere an exchange is not.
#[inline(always)]
fn store_ordered(word: &AtomicU64, value: u64) {
    if cfg!(target_arch = "x86_64") {
        word.swap(value, AcqRel);
    } else {
        word.store(value, Relaxed);
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
    }
}

/// The raw operations of a party.
#[derive(Debug)]
pub struct Raw {
    buffer: Buffer,
    socket: Option<OwnedFd>,
}

impl Raw {
    /// Nothing is done yet.
    pub(crate) fn new() -> Raw {
        Raw { buffer: Buffer::new(0), socket: None }
    }

    /// Names of the operations.
    pub fn ops(&self) -> Vec<&'static str> {
        let mut ops = vec![
            "raw-store",
            "raw-load",
            "raw-ordered",
            "raw-xadd",
            "raw-copy",
            "raw-read",
            "raw-wake",
            "raw-latency",
            "raw-exchange",
            "raw-meet",
            "raw-notify",
            "raw-rate",
            "raw-ack",
            "raw-futex",
            "raw-descriptor",
            "raw-memfd",
        ];
        if can_pass_caches() {
            ops.extend(["raw-copy-nt", "raw-ack-nt"]);
        }
        ops
    }

    /// Does a job; see [`crate::party::Party::run`].
    ///
    /// # Errors
    /// What went wrong.
    pub fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let region = &pairing.region;
        let (ping, pong) = (region.word(word::PING), region.word(word::PONG));
        let (mine, theirs) = if pairing.side == Side::Active { (ping, pong) } else { (pong, ping) };
        if matches!(
            job.op.as_str(),
            "raw-copy" | "raw-copy-nt" | "raw-latency" | "raw-notify" | "raw-ack" | "raw-ack-nt" | "raw-read"
        ) {
            if job.size > pairing.room {
                return Err(Trouble(format!("{} bytes do not fit into {}", job.size, pairing.room)));
            }
            self.buffer = Buffer::new(job.size);
            self.buffer.stamp(job.last());
        }
        let data = region.data(0, job.size.min(pairing.room));
        let buffer = &mut self.buffer;
        match job.op.as_str() {
            "raw-store" => job.clock(|stamp| {
                ping.store(stamp, Relaxed);
                happened();
                Ok(())
            }),
            "raw-load" => job.clock(|_| {
                std::hint::black_box(ping.load(Relaxed));
                Ok(())
            }),
            "raw-ordered" => job.clock(|stamp| {
                store_ordered(ping, stamp);
                Ok(())
            }),
            "raw-xadd" => job.clock(|_| {
                std::hint::black_box(region.word(word::COUNT).fetch_add(1, AcqRel));
                Ok(())
            }),
            // SAFETY: the data of the region is as long as the buffer.
            "raw-copy" => job.clock(|_| unsafe {
                copy(data, std::hint::black_box(buffer.bytes()));
                Ok(())
            }),
            // SAFETY: as above, and the data is aligned to pages.
            "raw-copy-nt" => job.clock(|_| unsafe {
                copy_past_caches(data, std::hint::black_box(buffer.bytes()));
                Ok(())
            }),
            "raw-read" => job.clock(|_| {
                let into = buffer.bytes_mut();
                // SAFETY: the data is as long, and the partner does nothing meanwhile.
                unsafe { std::ptr::copy_nonoverlapping(data, into.as_mut_ptr(), into.len()) };
                std::hint::black_box(into);
                Ok(())
            }),
            "raw-wake" => job.clock(|_| {
                futex::wake(half(region, word::COUNT), futex::Flags::empty(), 1)?;
                Ok(())
            }),
            "raw-latency" => {
                let size = job.size;
                let place =
                    |side| region.data(if side == Side::Active { 0 } else { size }, if size > 8 { size } else { 0 });
                let to = place(pairing.side);
                let from = place(if pairing.side == Side::Active { Side::Passive } else { Side::Active });
                job.ping_pong(
                    pairing.side,
                    |stamp| {
                        if size > 8 {
                            buffer.stamp(stamp);
                            // SAFETY: the region's data has room for both directions.
                            unsafe { copy(to, buffer.bytes()) };
                        }
                        // Release: pairs with the Acquire below; the data comes before.
                        mine.store(stamp, Release);
                        Ok(())
                    },
                    |stamp| {
                        // Acquire: pairs with the Release above.
                        pairing.until(|| theirs.load(Acquire) == stamp)?;
                        // SAFETY: the partner has written it and waits for us.
                        if size > 8 { unsafe { arrived(from, size, stamp) } } else { Ok(()) }
                    },
                )
            }
            "raw-exchange" => job.ping_pong(
                pairing.side,
                |stamp| {
                    mine.swap(stamp, AcqRel);
                    Ok(())
                },
                |stamp| pairing.until(|| theirs.load(Acquire) == stamp),
            ),
            "raw-meet" => {
                let meet = |stamp| {
                    // Release and Acquire: pair with each other in the two parties. The partner may be one ahead.
                    mine.store(stamp, Release);
                    pairing.until(|| theirs.load(Acquire) >= stamp)
                };
                if pairing.side == Side::Active { job.clock(meet) } else { job.repeat(meet) }
            }
            "raw-rate" => {
                let slot = |stamp: u64| region.word(word::SLOTS + (stamp % SLOTS) as usize * 64);
                stream_of(
                    job,
                    pairing,
                    |stamp| {
                        slot(stamp).store(stamp, Release);
                        Ok(())
                    },
                    |stamp| slot(stamp).load(Acquire) == stamp,
                    |stamp| {
                        pong.store(stamp, Release);
                        Ok(())
                    },
                    || pong.load(Acquire),
                )
            }
            "raw-notify" => match pairing.side {
                Side::Active => job.clock(|stamp| {
                    buffer.stamp(stamp);
                    // SAFETY: the region's data is as long.
                    unsafe { copy(data, buffer.bytes()) };
                    ping.store(stamp, Release);
                    pairing.until(|| pong.load(Acquire) == stamp)
                }),
                Side::Passive => job.repeat(|stamp| {
                    pairing.until(|| ping.load(Acquire) == stamp)?;
                    // SAFETY: the partner has written it and waits.
                    unsafe { arrived(data, job.size, stamp)? };
                    pong.store(stamp, Release);
                    Ok(())
                }),
            },
            "raw-ack" | "raw-ack-nt" => {
                let expected = expected_sum(job.size);
                let past = job.op == "raw-ack-nt";
                match pairing.side {
                    Side::Active => job.clock(|stamp| {
                        buffer.stamp(stamp);
                        // SAFETY: the region's data is as long, and aligned to pages.
                        unsafe {
                            if past {
                                let _ = copy_past_caches(data, buffer.bytes());
                            } else {
                                copy(data, buffer.bytes());
                            }
                        }
                        ping.store(stamp, Release);
                        pairing.until(|| pong.load(Acquire) == stamp)
                    }),
                    Side::Passive => job.repeat(|stamp| {
                        pairing.until(|| ping.load(Acquire) == stamp)?;
                        // SAFETY: the partner has written it and waits.
                        read_all(unsafe { sum(data, job.size) }, expected, stamp)?;
                        pong.store(stamp, Release);
                        Ok(())
                    }),
                }
            }
            "raw-futex" => {
                let (own, other) =
                    if pairing.side == Side::Active { (word::PING, word::PONG) } else { (word::PONG, word::PING) };
                job.asleep(pairing, |stamp| wake(region, own, stamp), |stamp| sleep_until(pairing, other, stamp))
            }
            "raw-descriptor" => control::descriptors(control::meet(&mut self.socket, pairing)?, job, pairing),
            "raw-memfd" => control::memfds(control::meet(&mut self.socket, pairing)?, job, pairing),
            other => Err(Trouble(format!("no operation {other:?}"))),
        }
    }

    /// See [`crate::party::Party::check`].
    ///
    /// # Errors
    /// What is wrong.
    pub fn check(&mut self, op: &str, size: usize, last: u64, pairing: &Pairing) -> Result<()> {
        match op {
            // SAFETY: the partner has answered that it is done.
            "raw-copy" | "raw-copy-nt" => unsafe { intact(pairing.region.data(0, size), size, last) },
            "raw-store" | "raw-ordered" => match pairing.region.word(word::PING).load(Acquire) {
                found if found == last => Ok(()),
                found => Err(wrong(8, last, &[found])),
            },
            _ => Ok(()),
        }
    }
}

/// A stream of messages through slots, with room given back now and then.
///
/// # Errors
/// The first of its parts; as [`Pairing::until`].
#[inline]
pub fn stream_of(
    job: &Job,
    pairing: &Pairing,
    mut put: impl FnMut(u64) -> Result<()>,
    mut is_there: impl FnMut(u64) -> bool,
    mut give_back: impl FnMut(u64) -> Result<()>,
    mut given_back: impl FnMut() -> u64,
) -> Result<Vec<u64>> {
    match pairing.side {
        Side::Active => {
            let mut room = job.first;
            let last = job.last();
            job.clock(|stamp| {
                if stamp > room + SLOTS {
                    pairing.until(|| {
                        room = given_back().max(room);
                        stamp <= room + SLOTS
                    })?;
                }
                put(stamp)?;
                // The last message counts as sent when all have been received.
                if stamp == last { pairing.until(|| given_back() == last) } else { Ok(()) }
            })
        }
        Side::Passive => {
            let last = job.last();
            job.repeat(|stamp| {
                pairing.until(|| is_there(stamp))?;
                if (stamp - job.first).is_multiple_of(CREDIT) || stamp == last { give_back(stamp) } else { Ok(()) }
            })
        }
    }
}

/// The half of a word that a futex compares.
pub fn half(region: &Region, offset: usize) -> &AtomicU32 {
    let low = if cfg!(target_endian = "little") { 0 } else { 4 };
    let place = std::ptr::from_ref(region.word(offset)).cast::<u8>();
    // SAFETY: half of an atomic word of shared memory, aligned for it, which lasts as long.
    unsafe { &*place.add(low).cast::<AtomicU32>() }
}

/// Stores a stamp where a partner sleeps in [`sleep_until`], and wakes it.
///
/// # Errors
/// The system's word for why not.
pub fn wake(region: &Region, offset: usize, stamp: u64) -> Result<()> {
    // Release: pairs with the Acquire in `sleep_until`.
    half(region, offset).store(stamp as u32, Release);
    futex::wake(half(region, offset), futex::Flags::empty(), 1)?;
    Ok(())
}

/// Sleeps until the low half of the word is that of `stamp`; never spins.
///
/// # Errors
/// As [`Pairing::until`].
pub fn sleep_until(pairing: &Pairing, offset: usize, stamp: u64) -> Result<()> {
    let (at, wanted) = (half(&pairing.region, offset), stamp as u32);
    let step = rustix::thread::Timespec { tv_sec: 1, tv_nsec: 0 };
    let mut began = None;
    loop {
        let found = at.load(Acquire);
        if found == wanted {
            return Ok(());
        }
        match futex::wait(at, futex::Flags::empty(), found, Some(&step)) {
            Ok(()) | Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::TIMEDOUT) => pairing.worth_it(*began.get_or_insert_with(Instant::now))?,
            Err(error) => return Err(error.into()),
        }
    }
}
