//! Taking signals of a bell of this process: of an import or an export, at once or after a sleep.

use super::{Membership, deadline};
use crate::parking::BellPark;
use rsm_core::bell::Bell;
use rsm_core::sync::AtomicU32;
use rsm_core::{Code, Result};
use std::time::{Duration, Instant};

impl Membership {
    /// Takes a signal from a bell of this process.
    pub(super) fn wait_on(&self, bell: &Bell, timeout: Option<Duration>) -> Result<()> {
        if self.take(bell) { Ok(()) } else { self.wait_longer(bell, timeout) }
    }

    /// Takes a signal that is pending, unless somebody watches: that is for the longer way, which counts and tells, and
    /// finds out what is wrong with a bell. So nothing has to be kept for it while a signal is taken.
    #[inline]
    pub fn take(&self, bell: &Bell) -> bool {
        !self.shared.taps.is_any() && bell.take_pending()
    }

    /// Takes a signal that is pending, in a wait that has been counted.
    pub(super) fn take_counted(&self, bell: &Bell) -> bool {
        let taken = bell.take_pending();
        if taken {
            self.tell_taken(bell);
        }
        taken
    }

    /// Takes a signal that is pending; says when the bell is not to be waited for.
    ///
    /// # Errors
    /// CONN_ABORTED.
    pub fn take_or_tell(&self, bell: &Bell) -> Result<bool> {
        let taken = bell.try_take()?;
        if taken {
            self.tell_taken(bell);
        }
        Ok(taken)
    }

    #[inline(never)]
    fn wait_longer(&self, bell: &Bell, timeout: Option<Duration>) -> Result<()> {
        self.called_to_wait(bell, timeout);
        let deadline = deadline(timeout);
        match self.take_until(bell, timeout, deadline) {
            Err(error) if error.code() == Code::ConnAborted && crate::strict::is_on() => {
                // In silence, for as long as was asked for.
                let nobody_wakes = AtomicU32::new(0);
                loop {
                    self.sleep(&nobody_wakes, 0, deadline)?;
                }
            }
            taken => {
                match &taken {
                    Ok(()) => self.tell_taken(bell),
                    Err(error) => self.note_wait_failed(bell, error.code()),
                }
                taken
            }
        }
    }

    fn take_until(&self, bell: &Bell, timeout: Option<Duration>, deadline: Option<Instant>) -> Result<()> {
        let processes = self.registry().header.processes();
        if bell.try_take()?
            || timeout != Some(Duration::ZERO) && self.shared.spinning.spin(processes, || bell.try_take())?
        {
            return Ok(());
        }
        let parking = self.parking(deadline)?;
        let park = BellPark { parking: &parking, deadline };
        bell.wait(0, &park).map_err(|error| match error.code() {
            Code::CtlrNotPresent => super::gone(&self.shared.address),
            _ => error,
        })
    }

    /// A signal was taken from this bell.
    #[inline(always)]
    pub(super) fn tell_taken(&self, bell: &Bell) {
        if self.shared.taps.is_any() {
            self.tell_taken_from(bell);
        }
    }
}
