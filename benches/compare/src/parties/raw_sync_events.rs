//! `shared_memory` with `raw_sync`: what one reaches for first. Its memory is ordinary shared memory, whose stores are
//! the raw ones; what is its own are the events, and making and opening the memory.

use super::{said, stamped};
use raw_sync::Timeout;
use raw_sync::events::{BusyEvent, Event, EventImpl, EventInit, EventState};
use rsm_perf::party::{Pairing, Party, Result, Side, Trouble};
use rsm_perf::protocol::Job;
use rsm_perf::region::{Buffer, HEAD};
use shared_memory::{Shmem, ShmemConf};

/// Places of events in the head: busy ones and sleeping ones, towards each side.
const BUSY: [usize; 2] = [0, 1024];
const ASLEEP: [usize; 2] = [4096, 8192];

pub struct RawSync {
    memory: Shmem,
    busy: [Box<dyn EventImpl>; 2],
    asleep: [Box<dyn EventImpl>; 2],
    side: usize,
}

fn bad(error: Box<dyn std::error::Error>) -> Trouble {
    said(error)
}

impl RawSync {
    pub fn new(pairing: &Pairing) -> Result<RawSync> {
        let name = format!("rsm-compare-{}", pairing.name);
        let side = usize::from(pairing.side == Side::Passive);
        if side == 1 {
            let memory = ShmemConf::new().size(HEAD + pairing.room).os_id(&name).create().map_err(said)?;
            let at = |place: usize| memory.as_ptr().wrapping_add(place);
            // SAFETY: inside the memory, at places of their own, which nobody uses yet.
            let (busy, asleep) = unsafe {
                (
                    [
                        BusyEvent::new(at(BUSY[0]), true).map_err(bad)?.0,
                        BusyEvent::new(at(BUSY[1]), true).map_err(bad)?.0,
                    ],
                    [Event::new(at(ASLEEP[0]), true).map_err(bad)?.0, Event::new(at(ASLEEP[1]), true).map_err(bad)?.0],
                )
            };
            pairing.introduce([1, 0, 0, 0, 0, 0, 0])?;
            return Ok(RawSync { memory, busy, asleep, side });
        }
        pairing.introduce([0; 7])?;
        let memory = ShmemConf::new().os_id(&name).open().map_err(said)?;
        let at = |place: usize| memory.as_ptr().wrapping_add(place);
        // SAFETY: the partner has made them there before it introduced itself.
        let (busy, asleep) = unsafe {
            (
                [
                    BusyEvent::from_existing(at(BUSY[0])).map_err(bad)?.0,
                    BusyEvent::from_existing(at(BUSY[1])).map_err(bad)?.0,
                ],
                [
                    Event::from_existing(at(ASLEEP[0])).map_err(bad)?.0,
                    Event::from_existing(at(ASLEEP[1])).map_err(bad)?.0,
                ],
            )
        };
        Ok(RawSync { memory, busy, asleep, side })
    }

    fn set(&self, events: &[Box<dyn EventImpl>; 2]) -> Result<()> {
        events[1 - self.side].set(EventState::Signaled).map_err(bad)
    }

    fn wait(&self, events: &[Box<dyn EventImpl>; 2]) -> Result<()> {
        events[self.side].wait(Timeout::Infinite).map_err(bad)
    }
}

impl Party for RawSync {
    fn name(&self) -> String {
        "raw_sync".into()
    }

    fn ops(&self) -> Vec<&'static str> {
        vec!["signal", "notify", "signal-asleep"]
    }

    fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        let data = self.memory.as_ptr().wrapping_add(HEAD);
        let mut buffer = Buffer::new(job.size);
        match (job.op.as_str(), pairing.side) {
            ("signal", side) => job.ping_pong(side, |_| self.set(&self.busy), |_| self.wait(&self.busy)),
            ("signal-asleep", _) => job.asleep(pairing, |_| self.set(&self.asleep), |_| self.wait(&self.asleep)),
            ("notify", Side::Active) => job.clock(|stamp| {
                buffer.stamp(stamp);
                // SAFETY: the memory has room for the data; the partner waits for the event.
                unsafe { rsm_perf::raw::copies::copy(data, buffer.bytes()) };
                self.set(&self.busy)?;
                self.wait(&self.busy)
            }),
            ("notify", Side::Passive) => job.repeat(|stamp| {
                self.wait(&self.busy)?;
                // SAFETY: the partner has written it and waits.
                stamped(unsafe { std::slice::from_raw_parts(data, job.size) }, stamp)?;
                self.set(&self.busy)
            }),
            (other, _) => Err(Trouble(format!("no operation {other:?}"))),
        }
    }

    fn check(&mut self, _: &str, _: usize, _: u64, _: &Pairing) -> Result<()> {
        Ok(())
    }
}
