//! What failed, in words: errors of the data path say no more than their code, so that building one costs nothing; here
//! they are told with node, segment and cause, for who shows them to people.

use super::Membership;
use super::connection::Connection;
use super::segment::Segment;
use rsm_core::generation::EndCause;
use rsm_core::registry::{CLUSTER, ControllerRow};
use rsm_core::{Code, Error};
use std::time::Duration;

impl Connection {
    /// The same error, saying what happened to which segment of which node. One that says something already stays.
    #[cold]
    #[inline(never)]
    pub fn told(&self, error: Error) -> Error {
        if !error.is_bare() {
            return error;
        }
        let (node, id) = (self.node(), self.id());
        let text = match error.code() {
            Code::ConnAborted => self.abortion(),
            Code::BarrierFailure => {
                let link = self.link_in_words();
                format!(
                    "transfers to segment {id:#x} of node {node} may be lost: {link} had an error, or changed, or the \
                     segment was rebound, meanwhile"
                )
            }
            _ => return error,
        };
        Error::with(error.code(), text)
    }

    fn link_in_words(&self) -> String {
        let membership = self.membership();
        let name = membership.controller_name(self.controller());
        format!("the link from node {} to node {} through {name}", membership.node().unwrap_or(0), self.node())
    }

    fn abortion(&self) -> String {
        let (node, id) = (self.node(), self.id());
        let segment = format!("the import of segment {id:#x} of node {node} was aborted");
        if node == CLUSTER && !self.is_aborted() {
            // Nothing else of it ever fails so.
            return format!("segment {id:#x} is the cluster's: nobody exports it, so it has no signals");
        }
        match self.end_cause() {
            Some(EndCause::Withdrawn) => format!("{segment}: node {node} took the segment back"),
            Some(EndCause::Revoked) => format!("{segment}: the segment was revoked from outside"),
            Some(EndCause::ExporterEnded) => format!("{segment}: the process that exported it has ended"),
            Some(EndCause::NodeKilled) => format!("{segment}: node {node} was killed from outside"),
            Some(EndCause::LinkDown) => format!("{segment}: {} was taken down", self.link_in_words()),
            Some(EndCause::Disconnected | EndCause::ImporterEnded) => {
                format!("{segment}: the process that this one inherited it from gave it back")
            }
            // A bell that says so although the connection stands: somebody of the exporting node has written to it.
            Some(_) | None => segment,
        }
    }

    /// The error of a wait for the exporter's signal that nothing came of.
    #[cold]
    #[inline(never)]
    pub fn told_of_wait(&self, error: Error, timeout: Option<Duration>) -> Error {
        match timeout {
            Some(waited) if error.code() == Code::Timeout && !waited.is_zero() => {
                let (node, id) = (self.node(), self.id());
                let text = format!("no signal from node {node} on its segment {id:#x} (waited {waited:?})");
                Error::with(Code::Timeout, text)
            }
            _ => self.told(error),
        }
    }
}

impl Segment {
    /// The same segment, in words.
    pub(super) fn in_words(&self) -> String {
        let node = self.membership().node().unwrap_or(0);
        match self.id() {
            Some(id) => format!("segment {id:#x} of node {node}"),
            None => format!("a segment of node {node} that is not published"),
        }
    }

    /// The error of a wait for a signal that nothing came of.
    #[cold]
    #[inline(never)]
    pub fn told_of_wait(&self, error: Error, timeout: Option<Duration>) -> Error {
        match timeout {
            Some(waited) if error.code() == Code::Timeout && !waited.is_zero() => {
                let (what, who) = (self.in_words(), self.importers_in_words());
                Error::with(Code::Timeout, format!("no signal on {what}, {who} (waited {waited:?})"))
            }
            _ => error,
        }
    }

    /// The error for a wait that nobody is left to end.
    #[cold]
    pub(super) fn told_of_desertion(&self) -> Error {
        let text = format!("nobody is left who could signal {}", self.in_words());
        Error::with(Code::SegNotConnected, text)
    }

    fn importers_in_words(&self) -> String {
        match self.importer_count() {
            0 => "which nobody imports".to_owned(),
            1 => "which has 1 importer".to_owned(),
            n => format!("which has {n} importers"),
        }
    }
}

impl Membership {
    /// The name of a controller; empty when there is none.
    pub(super) fn controller_name(&self, controller: u32) -> String {
        let row = self.registry().controllers.get(controller as usize);
        row.map_or_else(String::new, ControllerRow::name)
    }
}
