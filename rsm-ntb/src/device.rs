//! A bridge as an agent uses it: the [`Device`] behind its peering and its carrier.
//!
//! Nothing here waits. What takes long is a job of the bridge's thread, and goes on when that is done:
//!
//! ```text
//!   renew: fresh pages of zeroes ──► the bridge is closed, and has them ──► offer ──► the window leads to them ──► link up: met
//!             ▲                                                                                                    │
//!             └──────────────── the peer was let go of ◄── a link event, an error, memory that stays reachable ◄───┘
//! ```
//!
//! A link event, or an error, is answered by [`renew`](Device::renew): by then all that the link carried was ended, as the agent
//! begins another life no sooner. Until then the [sentinel](Device::sentinel) says that it was not.

use crate::epf::{Control, Epf};
use crate::event::Event;
use crate::function::PciFunction;
use crate::job;
use crate::vector::Vector;
use crate::words::Words;
use rsm_core::access::Permission;
use rsm_core::peer::Near;
use rsm_core::peer::control::{CONTROL_BYTES, OURS_WORDS};
use rsm_core::{Code, Error, Result};
use rsm_shm::agent::far::{Carrier, Device, Job, Limits, Reach, Stir};
use rsm_shm::memory::pages::NearPages;
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Events that are looked at before something else is.
const MOST_EVENTS: usize = 64;
/// How often the link is found up before nobody waits for its interrupt any more, which can be lost.
const MOST_UNTOLD: u32 = 3;
/// Bytes of what the other host may read.
const OURS_BYTES: u64 = OURS_WORDS as u64 * 8;

/// How far the bridge is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has begun.
    Closed,
    /// The pages are being attached.
    Renewing(job::Job),
    /// The other host may be let in.
    Ready,
    /// It is.
    Offering(job::Job),
    /// It can come.
    Offered,
    /// It is there.
    Met,
}

/// The half of a bridge that is this host's, for its agent.
#[derive(Debug)]
pub struct Ntb<F: PciFunction + 'static> {
    bridge: Epf<F>,
    near: NearPages,
    stage: Stage,
    /// Whether somebody may be let in as soon as that is possible.
    wanted: bool,
    /// A link event came since somebody was.
    told: bool,
    /// How often the link was found up, in a row, without one.
    untold: u32,
    /// Why the bridge could not be opened, until it was told.
    failed: Option<Error>,
    /// Jobs that detach, and where.
    detaching: BTreeMap<job::Job, u64>,
    /// Jobs that close the bridge, and detachments that failed: these are done when it is closed.
    closing: BTreeMap<job::Job, Vec<job::Job>>,
    /// Where memory stayed attached that nobody is to reach, and why.
    stuck: Vec<(u64, Error)>,
    done: VecDeque<(Job, Result<()>)>,
    stir: Stir,
}

impl<F: PciFunction + 'static> Ntb<F> {
    /// Takes over a function, and closes it to the other host. Waits up to a second for each of three commands.
    ///
    /// # Errors
    /// As [`Epf::take_over`]; CTLR_NOT_PRESENT for a window that has no room beside control pages; INSUFFICIENT_MEM.
    pub fn take_over(function: F) -> Result<Ntb<F>> {
        let bridge = Epf::take_over(function)?;
        let window = bridge.limits().window;
        if window <= CONTROL_BYTES {
            let text = format!(
                "the bridge's window has {window} bytes, and agents need {CONTROL_BYTES} of them for themselves: \
                 segments have no room"
            );
            return Err(Error::with(Code::CtlrNotPresent, text));
        }
        Ok(Ntb {
            bridge,
            near: NearPages::create()?,
            stage: Stage::Closed,
            wanted: false,
            told: false,
            untold: 0,
            failed: None,
            detaching: BTreeMap::new(),
            closing: BTreeMap::new(),
            stuck: Vec::new(),
            done: VecDeque::new(),
            stir: Stir::default(),
        })
    }

    /// Begins to attach the pages.
    fn attach_pages(&mut self) -> Result<()> {
        let mut stuck = None;
        for (at, error) in std::mem::take(&mut self.stuck) {
            // That it fails again is told the next time.
            if let Ok(job) = self.bridge.detach(at) {
                self.detaching.insert(job, at);
            }
            stuck = Some(error);
        }
        if let Some(error) = stuck {
            return Err(error);
        }
        let [ours, theirs] = self.near.hand_out()?;
        let control = [
            Control { at: 0, memory: ours.as_fd(), length: OURS_BYTES, permission: Permission::Read },
            Control {
                at: OURS_BYTES,
                memory: theirs.as_fd(),
                length: CONTROL_BYTES - OURS_BYTES,
                permission: Permission::ReadWrite,
            },
        ];
        self.stage = Stage::Renewing(self.bridge.renew(&control)?);
        Ok(())
    }

    /// Lets the other host in, if it may come and can.
    fn let_in(&mut self) -> Result<()> {
        if self.wanted && self.stage == Stage::Ready {
            (self.told, self.untold) = (false, 0);
            self.stage = Stage::Offering(self.bridge.offer()?);
        }
        Ok(())
    }

    /// Whether the peer is there. An event says so: who went ahead of it would take it for the next one, which says that the link
    /// was lost.
    fn look_at_link(&mut self) {
        if self.stage == Stage::Offered && self.told && self.bridge.link_is_up().unwrap_or(false) {
            self.stage = Stage::Met;
            // What it has to say may be there.
            self.stir.rung = true;
        }
    }

    /// There is no peer any more.
    fn lose(&mut self, why: Error) {
        if self.stage == Stage::Met {
            self.stir.lost = Some(why);
            self.close(Vec::new());
        }
    }

    /// Begins to close the bridge; then these detachments are done.
    fn close(&mut self, detached: Vec<job::Job>) {
        self.stage = Stage::Closed;
        match self.bridge.close() {
            Ok(job) => drop(self.closing.insert(job, detached)),
            // Its thread has ended, and this process does.
            Err(error) => self.done.extend(detached.into_iter().map(|job| (self::job(job), Err(error.clone())))),
        }
    }

    /// What happened to the bridge.
    fn hear(&mut self, event: Event) {
        match event {
            Event::Doorbell(_) => self.stir.rung = true,
            // It may be up again: what it carried was lost in between. The next life answers it.
            Event::Link if self.stage == Stage::Met => {
                self.lose(Error::with(Code::ConnAborted, "the link of the bridge went down"));
            }
            // What it carried, and what was lost by the error, may not have been ended yet.
            Event::Link | Event::Error if self.stage == Stage::Closed => {}
            Event::Link => {
                self.bridge.link_answered();
                self.told = true;
                self.look_at_link();
            }
            Event::Error if self.stage == Stage::Met => {
                let text = "the machine has found an error of the bridge: stores may have been lost";
                self.lose(Error::with(Code::ConnAborted, text));
            }
            // Nobody was there whose stores could have been.
            Event::Error => self.bridge.error_answered(),
            Event::Done(job, outcome) => self.ended(job, outcome),
        }
    }

    fn ended(&mut self, job: job::Job, outcome: Result<()>) {
        let opened = match self.stage {
            Stage::Renewing(renewing) if renewing == job => outcome.map(|()| self.stage = Stage::Ready),
            Stage::Offering(offering) if offering == job => outcome.map(|()| {
                self.stage = Stage::Offered;
                self.look_at_link();
            }),
            _ => return self.carried(job, outcome),
        };
        if let Err(error) = opened.and_then(|()| self.let_in()) {
            (self.stage, self.failed) = (Stage::Closed, Some(error));
        }
    }

    /// A job of the carrier's has ended.
    fn carried(&mut self, job: job::Job, outcome: Result<()>) {
        if let Some(detached) = self.closing.remove(&job) {
            // A function that does not even obey that is gone, and reaches nothing.
            self.done.extend(detached.into_iter().map(|job| (self::job(job), Ok(()))));
            return;
        }
        let Some(at) = self.detaching.remove(&job) else {
            self.done.push_back((self::job(job), outcome));
            return;
        };
        let Err(error) = outcome else {
            self.done.push_back((self::job(job), Ok(())));
            return;
        };
        // Nobody is to reach it: then nobody reaches anything.
        self.lose(Error::with(error.code(), format!("memory could not be detached: {}", error.detail())));
        self.stuck.push((at, error));
        self.close(vec![job]);
    }

    /// All that the link carried was ended: what was told of it is answered.
    fn answer(&mut self) {
        self.bridge.link_answered();
        self.bridge.error_answered();
    }

    fn pump(&mut self) {
        for _ in 0..MOST_EVENTS {
            let Some(event) = self.bridge.take() else { return };
            self.hear(event);
        }
    }

    fn met(&self) -> Result<()> {
        if self.stage == Stage::Met {
            return Ok(());
        }
        Err(Error::with(Code::ConnAborted, "nobody is at the other end of the bridge"))
    }
}

fn job(job: job::Job) -> Job {
    Job(job.number())
}

impl<F: PciFunction + 'static> Carrier for Ntb<F> {
    fn limits(&self) -> Limits {
        let crate::attached::Limits { window, granule } = self.bridge.limits();
        Limits { window, granule }
    }

    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        self.met()?;
        // Who may only store can load: memory is attached for one of two things.
        let access = if access.writes() { Permission::ReadWrite } else { Permission::Read };
        self.bridge.attach(at, memory, length, access).map(job)
    }

    fn detach(&mut self, at: u64) -> Result<Job> {
        let detaching = self.bridge.detach(at)?;
        self.detaching.insert(detaching, at);
        Ok(job(detaching))
    }

    fn done(&mut self) -> Option<(Job, Result<()>)> {
        self.pump();
        self.done.pop_front()
    }

    fn reach(&self, at: u64, length: u64, _permission: Permission) -> Result<Reach> {
        // What may be stored to is decided where the memory is.
        let gone = |error: Error| Error::with(Code::RemoteNodeUnreachable, error.detail().to_owned());
        self.met().map_err(gone)?;
        let reach = self.bridge.reach(at, length)?;
        Ok(Reach { memory: reach.memory, offset: reach.offset, device: true })
    }
}

impl<F: PciFunction + 'static> Device for Ntb<F> {
    type Far = Words<F>;

    fn let_go(&mut self) {
        if self.stage != Stage::Closed {
            self.close(Vec::new());
        }
    }

    fn renew(&mut self) -> Result<()> {
        (self.stage, self.wanted, self.failed, self.stir) = (Stage::Closed, false, None, Stir::default());
        self.answer();
        self.near = NearPages::create()?;
        self.attach_pages()
    }

    fn offer(&mut self) -> Result<()> {
        self.wanted = true;
        if self.stage == Stage::Closed {
            let failed = self.failed.take();
            // This life has met nobody yet, and those before it are over.
            self.answer();
            // It may be for a moment: the next time it is asked, it may be there.
            self.attach_pages()?;
            return failed.map_or(Ok(()), Err);
        }
        self.let_in()?;
        if self.stage == Stage::Offered {
            let up = self.bridge.link_is_up()?;
            self.untold = if up { self.untold + 1 } else { 0 };
            self.told |= self.untold > MOST_UNTOLD;
            self.look_at_link();
        }
        Ok(())
    }

    fn near(&self) -> Near<'_> {
        self.near.near()
    }

    fn far(&self) -> Option<&Words<F>> {
        (self.stage == Stage::Met).then(|| self.bridge.words())
    }

    fn seals(&self) -> Result<Reach> {
        self.met()?;
        let reach = self.bridge.reach(0, OURS_BYTES)?;
        Ok(Reach { memory: reach.memory, offset: reach.offset, device: true })
    }

    fn sentinel(&self) -> Result<Option<OwnedFd>> {
        self.bridge.sentinel().map(Some)
    }

    fn ring(&self) {
        // A function that is gone has nobody to ring.
        let _ = self.bridge.ring(Vector::Messages);
    }

    fn events(&self) -> BorrowedFd<'_> {
        self.bridge.events()
    }

    fn stir(&mut self) -> Stir {
        self.pump();
        std::mem::take(&mut self.stir)
    }
}
