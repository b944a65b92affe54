//! A request while it is answered: the answer, who is owed one, what is put off, how to undo it.

use rsm_core::Error;
use rsm_core::access::AccessList;
use rsm_core::message::{Answer, Reply, SegmentName, encode};
use std::os::fd::OwnedFd;

/// An answer and the descriptors that go with it.
pub(in crate::agent) type Given = (Answer, Vec<OwnedFd>);

/// A request that is answered when its work is done.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) struct Owed {
    pub(in crate::agent) party: u64,
    pub(in crate::agent) number: u64,
}

/// A request that is heard again: one that found no room while a member that is gone is being forgotten, when that is done; a
/// connect to what the other host has, when more is known of that.
#[derive(Debug)]
pub(in crate::agent) struct PutOff {
    pub(in crate::agent) packet: Vec<u8>,
    /// The latest departure that it waits for.
    pub(in crate::agent) behind: u64,
    /// How often it was heard again already.
    pub(in crate::agent) tries: u32,
}

/// How to undo a request whose caller is gone before it read the answer.
#[derive(Debug)]
pub(in crate::agent) enum Undo {
    Nothing,
    Create(u32),
    Publish(u32),
    Replace(SegmentName),
    BeginRebind(SegmentName),
    Republish(u32, AccessList),
    Connect(u32),
}

/// Encodes a reply; one that cannot be encoded becomes an error that can.
pub(in crate::agent) fn encode_reply(reply: &Reply) -> Vec<u8> {
    encode(reply).unwrap_or_else(|error| {
        let error = Error::new(error.code());
        encode(&Reply { number: reply.number, outcome: Err(error) }).unwrap_or_default()
    })
}
