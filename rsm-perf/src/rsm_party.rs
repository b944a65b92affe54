//! The operations of rsm, through its Rust API.
#![allow(unsafe_code)] // looks at arrived data in place, as the raw operations do

use crate::party::{self, Pairing, Party, Result, Side, Trouble};
use crate::protocol::Job;
use crate::raw::copies::{arrived, expected_sum, intact, read_all, sum, wrong};
use crate::raw::{happened, sleep_until, stream_of, wake};
use crate::region::{Buffer, HEAD, word};
use crate::window::{self, Accesses};
use rsm::{AccessList, BarrierMode, Code, Controller, Export, Import, Mapping, Permission, SegmentId};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::{Duration, Instant};

/// Where the word of the partner is, in either's export.
const FLAG: u64 = 0;
/// Where a word is that nobody waits for.
const WORD: u64 = word::COUNT as u64;

/// A process of a node: it exports a segment and imports the partner's.
#[derive(Debug)]
pub struct RsmParty {
    controller: Controller,
    export: Export,
    mapping: Mapping,
    import: Import,
    buffer: Buffer,
    node: u32,
    /// What the import has mapped.
    window: Vec<window::Mapping>,
    /// Calls take as long as a profile says.
    is_modelled: bool,
}

impl RsmParty {
    /// Joins the cluster that the environment names, exports, and connects to the partner, through this controller.
    ///
    /// # Errors
    /// What rsm says.
    pub fn join(pairing: &Pairing, controller: &str) -> Result<RsmParty> {
        let controller = Controller::open(controller)?;
        let node = controller.node().clone();
        let is_modelled = node.lens().is_some_and(|lens| lens.profile.is_some());
        if node.modelled().is_some() {
            party::clock_by(Box::new(move || node.modelled().unwrap_or_default().as_nanos() as u64));
        }
        let export = controller.export(HEAD + pairing.room.next_multiple_of(HEAD))?;
        let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
        let mine = [u64::from(controller.node().id()), u64::from(id.get()), 0, 0, 0, 0, 0];
        let [node, id, ..] = pairing.introduce(mine)?;
        let node = node as u32;
        let before = window::mappings()?;
        let import = controller.connect(node, SegmentId::new(id as u32), Permission::ReadWrite)?;
        let mapping = import.map(0, HEAD, Permission::ReadWrite)?;
        let window = window::since(&before)?;
        Ok(RsmParty { controller, export, mapping, import, buffer: Buffer::new(0), node, window, is_modelled })
    }

    /// The word that the partner puts.
    fn flag(&self) -> Result<&AtomicU64> {
        Ok(self.export.memory().atomic_u64(FLAG)?)
    }

    /// Data that the partner puts.
    fn data(&self, size: usize) -> *const u8 {
        assert!(HEAD + size <= self.export.len(), "{size} bytes of data");
        // SAFETY: inside the export.
        unsafe { self.export.memory().as_ptr().add(HEAD) }
    }

    fn wait(&self) -> Result<()> {
        Ok(self.export.wait(None)?)
    }

    /// Takes every signal that is pending.
    fn drain(&self) -> Result<u64> {
        for taken in 0.. {
            match self.export.wait(Some(Duration::ZERO)) {
                Ok(()) => {}
                Err(error) if error.code() == Code::Timeout => return Ok(taken),
                Err(error) => return Err(error.into()),
            }
        }
        unreachable!("that many signals")
    }

    /// Connecting, over and over, to a segment that the passive party publishes for it.
    fn connecting(&self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let region = &pairing.region;
        match pairing.side {
            Side::Active => {
                sleep_until(pairing, word::READY, job.last())?;
                let id = SegmentId::new(region.word(word::COUNT).load(Acquire) as u32);
                job.collect(|stamp| {
                    let before = counted()?;
                    let began = party::now();
                    let import = self.controller.connect(self.node, id, Permission::ReadWrite)?;
                    let connected = party::now() - began;
                    let mapping = import.map(0, job.size, Permission::ReadWrite)?;
                    let watched =
                        before.map(|before| window::since(&before)).transpose()?.map(|new| window::watch(&new));
                    mapping.memory().write_volatile_u64(FLAG, stamp)?;
                    // A profile says nothing of the other two.
                    let taken = if self.is_modelled { connected } else { party::now() - began };
                    drop((watched, mapping));
                    import.disconnect()?;
                    wake(region, word::PING, stamp)?;
                    sleep_until(pairing, word::PONG, stamp)?;
                    Ok(taken)
                })
            }
            Side::Passive => {
                let export = self.controller.export(job.size)?;
                let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
                region.word(word::COUNT).store(u64::from(id.get()), Relaxed);
                wake(region, word::READY, job.last())?;
                let done = job.repeat(|stamp| {
                    sleep_until(pairing, word::PING, stamp)?;
                    let found = export.memory().read_volatile_u64(FLAG)?;
                    if found != stamp {
                        return Err(wrong(8, stamp, &[found]));
                    }
                    wake(region, word::PONG, stamp)
                })?;
                export.destroy()?;
                Ok(done)
            }
        }
    }

    /// Exporting and publishing, over and over; the passive party reads each segment once.
    fn publishing(&self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let region = &pairing.region;
        match pairing.side {
            Side::Active => job.collect(|stamp| {
                let began = Instant::now();
                let export = self.controller.export(job.size)?;
                let id = export.publish(SegmentId::any(), &AccessList::everyone())?;
                let taken = began.elapsed().as_nanos() as u64;
                export.memory().write_volatile_u64(FLAG, stamp)?;
                region.word(word::COUNT).store(u64::from(id.get()), Relaxed);
                wake(region, word::PING, stamp)?;
                sleep_until(pairing, word::PONG, stamp)?;
                export.destroy()?;
                Ok(taken)
            }),
            Side::Passive => job.repeat(|stamp| {
                sleep_until(pairing, word::PING, stamp)?;
                let id = SegmentId::new(region.word(word::COUNT).load(Relaxed) as u32);
                let before = counted()?;
                let import = self.controller.connect(self.node, id, Permission::Read)?;
                let found = {
                    // Not for longer than the memory is mapped.
                    let new = before.map(|before| window::since(&before)).transpose()?;
                    let _watched = new.map(|new| window::watch(&new));
                    import.get_u64(FLAG)?
                };
                import.disconnect()?;
                if found != stamp {
                    return Err(wrong(8, stamp, &[found]));
                }
                wake(region, word::PONG, stamp)
            }),
        }
    }
}

/// What is mapped before a connection, where it is counted what goes by that.
fn counted() -> Result<Option<Vec<window::Mapping>>> {
    Ok(window::is_counting().then(window::mappings).transpose()?)
}

impl Party for RsmParty {
    fn name(&self) -> String {
        "rsm".into()
    }

    fn ops(&self) -> Vec<&'static str> {
        crate::ops::OPS.iter().map(|op| op.name).collect()
    }

    fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let sized = matches!(job.op.as_str(), "put" | "get" | "latency" | "notify" | "ack");
        if sized {
            if job.size > pairing.room {
                return Err(Trouble(format!("{} bytes do not fit into {}", job.size, pairing.room)));
            }
            self.buffer = Buffer::new(job.size);
            self.buffer.stamp(job.last());
        }
        let mode = if job.op.ends_with("-implicit") { BarrierMode::Implicit } else { BarrierMode::Explicit };
        self.import.set_mode(mode);
        let mut buffer = std::mem::replace(&mut self.buffer, Buffer::new(0));
        let (this, import, size, side) = (&*self, &self.import, job.size, pairing.side);
        match job.op.as_str() {
            "store" => {
                let memory = this.mapping.memory();
                match memory.atomic_u64(WORD) {
                    Ok(word) => job.clock(|stamp| {
                        word.store(stamp, Relaxed);
                        happened();
                        Ok(())
                    }),
                    // Memory of another host has none.
                    Err(_) => job.clock(|stamp| {
                        memory.store_u64(WORD, stamp, Relaxed)?;
                        happened();
                        Ok(())
                    }),
                }
            }
            "put64" | "put64-implicit" => job.clock(|stamp| Ok(import.put_u64(WORD, stamp)?)),
            "get64" | "get64-implicit" => job.clock(|_| {
                black_box(import.get_u64(WORD)?);
                Ok(())
            }),
            "barrier" => job.clock(|stamp| {
                let span = import.open_barrier()?;
                import.put_u64(WORD, stamp)?;
                Ok(span.close()?)
            }),
            "fetch-add" => {
                let word = this.mapping.memory().atomic_u64(WORD)?;
                word.store(job.last() - job.total(), Relaxed);
                job.clock(|_| {
                    black_box(word.fetch_add(1, AcqRel));
                    Ok(())
                })
            }
            "post" => {
                pairing.region.word(word::COUNT).store(job.total(), Relaxed);
                job.clock(|_| Ok(import.signal()?))
            }
            "put" => job.clock(|_| Ok(import.put(HEAD as u64, black_box(buffer.bytes()))?)),
            "get" => {
                import.put(HEAD as u64, buffer.bytes())?;
                let samples = job.clock(|_| {
                    import.get(HEAD as u64, buffer.bytes_mut())?;
                    black_box(buffer.bytes());
                    Ok(())
                })?;
                // SAFETY: memory of this process alone.
                unsafe { intact(buffer.bytes().as_ptr(), size, job.last())? };
                Ok(samples)
            }
            "latency" => {
                let (flag, data) = (this.flag()?, this.data(size));
                let span = import.open_barrier()?;
                let samples = job.ping_pong(
                    side,
                    |stamp| {
                        if size > 8 {
                            buffer.stamp(stamp);
                            import.put(HEAD as u64, buffer.bytes())?;
                            span.order()?;
                        }
                        Ok(import.put_u64(FLAG, stamp)?)
                    },
                    |stamp| {
                        // Acquire: pairs with the partner's order, or with nothing where the word is all there is.
                        pairing.until(|| flag.load(Acquire) == stamp)?;
                        // SAFETY: the partner has put it and waits for us.
                        if size > 8 { unsafe { arrived(data, size, stamp) } } else { Ok(()) }
                    },
                )?;
                span.close()?;
                Ok(samples)
            }
            "ack" => {
                let (flag, expected) = (this.flag()?, expected_sum(size));
                let span = import.open_barrier()?;
                let samples = match side {
                    Side::Active => job.clock(|stamp| {
                        buffer.stamp(stamp);
                        import.put(HEAD as u64, buffer.bytes())?;
                        span.order()?;
                        import.put_u64(FLAG, stamp)?;
                        pairing.until(|| flag.load(Acquire) == stamp)
                    }),
                    Side::Passive => job.repeat(|stamp| {
                        pairing.until(|| flag.load(Acquire) == stamp)?;
                        // SAFETY: the partner has put it and waits.
                        read_all(unsafe { sum(this.data(size), size) }, expected, stamp)?;
                        Ok(import.put_u64(FLAG, stamp)?)
                    }),
                }?;
                span.close()?;
                Ok(samples)
            }
            "rate" => {
                let flag = this.flag()?;
                let memory = this.export.memory();
                let place = |stamp: u64| word::SLOTS as u64 + stamp % crate::raw::SLOTS * 64;
                let slots: Vec<&AtomicU64> =
                    (0..crate::raw::SLOTS).map(|i| memory.atomic_u64(place(i))).collect::<rsm::Result<_>>()?;
                stream_of(
                    job,
                    pairing,
                    |stamp| Ok(import.put_u64(place(stamp), stamp)?),
                    |stamp| slots[(stamp % crate::raw::SLOTS) as usize].load(Acquire) == stamp,
                    |stamp| Ok(import.put_u64(FLAG, stamp)?),
                    || flag.load(Acquire),
                )
            }
            "meet" => {
                let flag = this.flag()?;
                let meet = |stamp| {
                    import.put_u64(FLAG, stamp)?;
                    pairing.until(|| flag.load(Acquire) >= stamp)
                };
                if side == Side::Active { job.clock(meet) } else { job.repeat(meet) }
            }
            "signal" => job.ping_pong(side, |_| Ok(import.signal()?), |_| this.wait()),
            "signal-asleep" => job.asleep(pairing, |_| Ok(import.signal()?), |_| this.wait()),
            "notify" => {
                let data = this.data(size);
                match side {
                    Side::Active => job.clock(|stamp| {
                        buffer.stamp(stamp);
                        import.put(HEAD as u64, buffer.bytes())?;
                        import.signal()?;
                        this.wait()
                    }),
                    Side::Passive => job.repeat(|stamp| {
                        this.wait()?;
                        // SAFETY: the partner has put it and waits.
                        unsafe { arrived(data, size, stamp)? };
                        Ok(import.signal()?)
                    }),
                }
            }
            "connect" => this.connecting(job, pairing),
            "publish" => this.publishing(job, pairing),
            other => Err(Trouble(format!("no operation {other:?}"))),
        }
    }

    fn count(&mut self, job: &Job, pairing: &Pairing) -> Result<Option<Accesses>> {
        let _watched = window::watch(&self.window);
        let (done, accesses) = window::count(|| self.run(job, pairing));
        done.map(|_| accesses)
    }

    fn check(&mut self, op: &str, size: usize, last: u64, pairing: &Pairing) -> Result<()> {
        let word = || self.export.memory().read_volatile_u64(WORD);
        match op {
            // SAFETY: the partner has answered that it is done.
            "put" | "get" => unsafe { intact(self.data(size), size, last) },
            "store" | "put64" | "put64-implicit" | "barrier" | "fetch-add" => match word()? {
                found if found == last => Ok(()),
                found => Err(wrong(8, last, &[found])),
            },
            "post" => {
                let posted = pairing.region.word(word::COUNT).load(Relaxed);
                let mut taken = self.drain()?;
                let began = Instant::now();
                // From another host they come when they come.
                while taken < posted {
                    pairing.worth_it(began)?;
                    std::thread::sleep(Duration::from_millis(1));
                    taken += self.drain()?;
                }
                if taken == posted {
                    Ok(())
                } else {
                    Err(Trouble(format!("{posted} signals were posted, {taken} arrived")))
                }
            }
            _ => Ok(()),
        }
    }
}
