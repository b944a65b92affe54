//! Faults of the cluster's lens that are no matter of one import: requests that take their time or are refused. And what
//! an import asks the agent to do to it.

use super::Membership;
use super::control::unexpected;
use super::way::{Began, Pace, pause_until};
use crate::cancel::Shield;
use rsm_core::lens::fault::Fault;
use rsm_core::lens::inject::{Call, Place};
use rsm_core::lens::profile::Cost;
use rsm_core::message::{Answer, Ask, ConnectionName, Disturbance};
use rsm_core::{Code, Error, Result};
use std::time::Duration;

/// The least and the most that an answer is late, in nanoseconds.
const SLOW: (u64, u64) = (10_000_000, 50_000_000);

impl Membership {
    fn meets(&self, fault: Fault, place: Place) -> Option<u64> {
        self.shared.posting.as_ref().and_then(|posting| posting.meets(fault, place))
    }

    /// Whether a call is refused although nothing is wrong with it.
    ///
    /// # Errors
    /// With this code.
    pub(super) fn check_refused(&self, place: Place, code: Code) -> Result<()> {
        match self.meets(Fault::Refuse, place) {
            Some(_) => Err(refusal(code)),
            None => Ok(()),
        }
    }

    /// Lets an answer be late, where an agent is slow now and then. It is this process that waits, when the answer is there
    /// and while it holds nothing: others are served meanwhile, also the other threads of this process.
    pub(super) fn linger(&self) {
        if let Some(number) = self.meets(Fault::SlowAgent, Place::own(Call::Request)) {
            let _shield = Shield::raise();
            let (least, most) = SLOW;
            pause_until(super::way::now() + least + number % (most - least));
        }
    }

    /// A call begins that may be to take its time.
    pub(super) fn begin_call(&self) -> Option<Began> {
        self.shared.posting.as_ref().and_then(|posting| posting.pace()).map(Pace::begin)
    }

    /// It ends.
    pub(super) fn end_call(&self, begun: Option<Began>, node: u32, cost: Cost) {
        if let Some(posting) = &self.shared.posting
            && let Some((pace, began)) = posting.pace().zip(begun)
        {
            let _shield = Shield::raise();
            pace.end(began, node, cost, 0);
            posting.note_modelled();
        }
    }

    /// When a signal arrives that is posted to importers now, which takes as long as a store; 0 where that is not modelled.
    pub(super) fn arrival(&self) -> u64 {
        let begun = self.begin_call();
        let pace = self.shared.posting.as_ref().and_then(|posting| posting.pace());
        self.end_call(begun, 0, Cost::Store);
        pace.zip(begun).map_or(0, |(pace, began)| pace.arrival(began))
    }

    /// How long this process's calls would have taken so far, where that is only added up.
    pub fn modelled(&self) -> Option<Duration> {
        self.shared.posting.as_ref()?.pace()?.modelled()
    }

    /// Asks the agent to let this happen to an import. Its answer is not late.
    ///
    /// # Errors
    /// Those of [`Ask::Disturb`]; then nothing has happened.
    pub(super) fn disturb(&self, connection: ConnectionName, how: Disturbance) -> Result<()> {
        let _shield = Shield::raise();
        match self.tie()?.ask(&self.shared.address, Ask::Disturb { connection, how })? {
            (Answer::Affected { .. }, _) => Ok(()),
            (other, _) => Err(unexpected(&other)),
        }
    }
}

/// The error of a call that is refused although nothing is wrong with it.
pub(super) fn refusal(code: Code) -> Error {
    Error::with(code, "refused by the fault \"refuse\" of the cluster's lens")
}
