//! A member by hand, which stays in the middle of a request for as long as a test likes.

use rsm_core::Result;
use rsm_core::access::{AccessList, Level};
use rsm_core::message::{Answer, Ask, Claim, PROTOCOL, Reply, Request, SegmentName, decode, encode};
use rsm_shm::agent::AgentHandle;
use rsm_shm::socket::{packet_socket, peer_pidfd, receive, send};
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags};
use std::os::fd::{AsFd, OwnedFd};

pub(crate) struct Raw {
    socket: OwnedFd,
    number: u64,
    /// What came with the join: it ends with the events socket.
    _kept: Vec<OwnedFd>,
}

impl Raw {
    pub(crate) fn join(agent: &AgentHandle, node: u32) -> Raw {
        let socket = packet_socket(SocketFlags::empty()).unwrap();
        let name = agent.address().abstract_name();
        rustix::net::connect(&socket, &SocketAddrUnix::new_abstract_name(name.as_bytes()).unwrap()).unwrap();
        // Where the kernel does not tell the agent who this is (before Linux 6.5).
        let is_unnamed = matches!(peer_pidfd(&socket), Ok(None));
        let me = || rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
        let me = is_unnamed.then(|| me().unwrap());
        let mut raw = Raw { socket, number: 0, _kept: Vec::new() };
        let claim = Some(Claim { node, key: *agent.key(node).unwrap() });
        let (_, kept) = raw.ask_with(Ask::Join { protocol: PROTOCOL, claim }, me.as_ref()).unwrap();
        raw._kept = kept;
        raw
    }

    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Answer> {
        self.ask_with(ask, None).map(|(answer, _)| answer)
    }

    fn ask_with(&mut self, ask: Ask, descriptor: Option<&OwnedFd>) -> Result<(Answer, Vec<OwnedFd>)> {
        self.number += 1;
        let packet = encode(&Request { number: self.number, ask }).unwrap();
        let descriptors: Vec<_> = descriptor.iter().map(|fd| fd.as_fd()).collect();
        send(&self.socket, &packet, &descriptors, SendFlags::empty()).unwrap();
        let packet = receive(&self.socket, RecvFlags::empty()).unwrap().expect("the agent hung up");
        let reply: Reply = decode(&packet.bytes).unwrap();
        assert!(reply.number == self.number, "{reply:?}");
        reply.outcome.map(|answer| (answer, packet.descriptors))
    }

    /// A segment of two pages that everybody may connect to.
    pub(crate) fn publish(&mut self, id: u32) -> SegmentName {
        let (controller, length, default_mode, level) = (1, 8192, 0o666, Level::Guarded);
        let created = self.ask(Ask::Create { controller, length, default_mode, level, share: None }).unwrap();
        let Answer::Created { segment, .. } = created else { panic!("{created:?}") };
        self.ask(Ask::Publish { segment, id, access: AccessList::everyone() }).unwrap();
        segment
    }
}
