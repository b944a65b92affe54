//! A front whose run belongs to a program, which says what is to be done instead of a terminal.

use std::os::fd::OwnedFd;

use rustix::process::Signal;

use crate::course::Trial;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::message::{ToOwned, ToWarden};
use crate::output::LogFiles;
use crate::plan::Plan;
use crate::wire::{Received, Wire};

use super::{Audience, Front, is_readable, trial, watched};

/// The program that a run belongs to, and ends with.
pub(crate) struct Owner {
    /// Where it says what is to be done, and is told what happens.
    pub(crate) wire: Wire,
    /// Refers to it, since before this process was there.
    pub(crate) process: OwnedFd,
}

/// Runs a plan for an owner, with whom it ends: what nodes write is kept in these files besides.
///
/// # Errors
/// Why it did not start.
///
/// # Crash
/// Of the owner: everything is killed at once. Of this process: as of that of [`super::run`].
pub(crate) fn owned(plan: Plan, owner: Owner, logs: LogFiles) -> Result<Trial, Failure> {
    let audience = Audience { owner: Some(owner), logs: Some(logs), ..Audience::default() };
    watched(plan, audience).and_then(|front| trial(&front))
}

impl Front<'_> {
    /// Does what the owner wants, which is an end of everything when it has gone.
    pub(super) fn hear_owner(&mut self) {
        let Some(owner) = &self.owner else { return };
        let mut gone = is_readable(&owner.process);
        let mut wishes = Vec::new();
        loop {
            match owner.wire.receive() {
                Received::Message(wish) => wishes.push(wish),
                Received::Nothing => break,
                Received::Gone => {
                    gone = true;
                    break;
                }
            }
        }
        for wish in wishes {
            match wish {
                ToOwned::End => self.asked_to_end(Signal::TERM),
                ToOwned::Kill => self.kill_all(),
            }
        }
        if gone {
            self.owner = None;
            self.kill_all();
        }
    }

    /// Ends everything at once.
    fn kill_all(&mut self) {
        let code = ExitCode::Signal(9);
        self.account.interrupted.get_or_insert(Signal::KILL);
        self.ending.asked(code);
        self.tell(&ToWarden::Kill { code });
        if self.pidfd.is_none() {
            self.ending.give_up(code);
        }
    }
}
