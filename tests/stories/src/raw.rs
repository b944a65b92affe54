//! The protocol by hand: what a process can say to an agent that does not use the library.

use rsm_core::message::{Answer, Ask, Claim, PROTOCOL, Reply, Request, decode, encode};
use rsm_core::{Code, Error};
use rsm_shm::address::{Address, ENV_CLUSTER, ENV_NODE_ID, ENV_NODE_KEY, secret_from_text};
use rsm_shm::socket::{packet_socket, peer_pidfd, receive, send};
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A connection to an agent.
pub struct Raw {
    /// The socket.
    pub socket: OwnedFd,
    number: u64,
}

/// A membership, with everything the agent sent.
pub struct Member {
    /// What it asks on.
    pub control: Raw,
    /// The registry.
    pub registry: OwnedFd,
    /// What it is told on.
    pub events: OwnedFd,
    /// The node's bells; none of an observer.
    pub bells: Option<OwnedFd>,
}

/// Where this process's agent is.
pub fn address() -> Address {
    std::env::var(ENV_CLUSTER).expect("a cluster").parse().expect("its address")
}

/// What this process may claim to be.
pub fn claim() -> Claim {
    let node = std::env::var(ENV_NODE_ID).expect("a node").parse().expect("a number");
    let key = std::env::var(ENV_NODE_KEY).expect("a key");
    Claim { node, key: secret_from_text(&key).expect("a key") }
}

/// The name to connect to.
pub fn place(address: &Address) -> SocketAddrUnix {
    SocketAddrUnix::new_abstract_name(address.abstract_name().as_bytes()).expect("a name")
}

/// What an agent must be sent by whoever joins where the kernel does not tell it who that is (before Linux 6.5): a
/// descriptor of this process.
pub fn introduction(socket: &OwnedFd) -> Option<OwnedFd> {
    let is_unnamed = matches!(peer_pidfd(socket), Ok(None));
    let me = || rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty());
    is_unnamed.then(|| me().expect("a process descriptor"))
}

impl Raw {
    /// Connects, or says why not.
    pub fn connect() -> rsm::Result<Raw> {
        Raw::connect_to(&address())
    }

    /// As [`connect`](Self::connect), to this agent.
    pub fn connect_to(address: &Address) -> rsm::Result<Raw> {
        let socket = packet_socket(SocketFlags::empty())?;
        rustix::net::connect(&socket, &place(address)).expect("the agent listens");
        Ok(Raw { socket, number: 0 })
    }

    /// Sends a request; gives its number.
    pub fn tell(&mut self, ask: Ask) -> rustix::io::Result<u64> {
        self.tell_with(ask, &[])
    }

    /// Sends a request with descriptors.
    pub fn tell_with(&mut self, ask: Ask, descriptors: &[BorrowedFd<'_>]) -> rustix::io::Result<u64> {
        self.number += 1;
        let packet = encode(&Request { number: self.number, ask }).expect("a message");
        send(&self.socket, &packet, descriptors, SendFlags::empty()).map(|()| self.number)
    }

    /// The next reply; `None` at the end of the connection.
    pub fn hear(&self) -> Option<(Reply, Vec<OwnedFd>)> {
        let packet = receive(&self.socket, RecvFlags::empty()).ok()??;
        Some((decode(&packet.bytes).expect("a reply"), packet.descriptors))
    }

    /// Asks and waits for the answer.
    pub fn ask(&mut self, ask: Ask) -> rsm::Result<(Answer, Vec<OwnedFd>)> {
        let ended = || rsm::Error::with(rsm::Code::CtlrNotPresent, "the agent hung up");
        let number = self.tell(ask).map_err(|_| ended())?;
        loop {
            let (reply, descriptors) = self.hear().ok_or_else(ended)?;
            if reply.number == number || reply.number == 0 {
                return reply.outcome.map(|answer| (answer, descriptors));
            }
        }
    }
}

impl Member {
    /// Joins.
    pub fn join(claim: Option<Claim>) -> rsm::Result<Member> {
        Member::join_at(&address(), claim)
    }

    /// Joins the cluster of this agent.
    pub fn join_at(address: &Address, claim: Option<Claim>) -> rsm::Result<Member> {
        let mut control = Raw::connect_to(address)?;
        let me = introduction(&control.socket);
        let me: Vec<_> = me.iter().map(AsFd::as_fd).collect();
        let hung_up = || rsm::Error::with(rsm::Code::CtlrNotPresent, "the agent hung up");
        let number = control.tell_with(Ask::Join { protocol: PROTOCOL, claim }, &me).map_err(|_| hung_up())?;
        let (reply, descriptors) = control.hear().ok_or_else(hung_up)?;
        assert!(reply.number == number || reply.number == 0, "{reply:?}");
        reply.outcome?;
        let mut descriptors = descriptors.into_iter();
        let mut next = || descriptors.next();
        Ok(Member {
            control,
            registry: next().expect("the registry"),
            events: next().expect("the events socket"),
            bells: next(),
        })
    }

    /// Joins as what the environment says.
    pub fn of_environment() -> rsm::Result<Member> {
        Member::join(Some(claim()))
    }
}

/// An agent of a cluster of this name, of another version, which refuses `visits` of those who come: until then they are answered. Gives
/// what it says to them.
pub fn agent_of_another_version(name: &str, visits: usize) -> (String, std::thread::JoinHandle<()>) {
    let said = format!("the library speaks protocol {PROTOCOL}, this agent speaks {}", PROTOCOL - 1);
    let address = Address::new(name, rsm_shm::address::current_uid()).expect("a name");
    let listener = packet_socket(SocketFlags::empty()).expect("a socket");
    rustix::net::bind(&listener, &place(&address)).expect("bound");
    rustix::net::listen(&listener, 16).expect("listening");
    let why = said.clone();
    let answer = move || {
        for _ in 0..visits {
            let visitor = rustix::net::accept(&listener).expect("a visitor");
            let Ok(Some(packet)) = receive(&visitor, RecvFlags::empty()) else { continue };
            let Request { number, .. } = decode(&packet.bytes).expect("a request");
            let outcome = Err(Error::with(Code::BadLibraryVersion, why.clone()));
            let reply = encode(&Reply { number, outcome }).expect("a reply");
            // It may have gone.
            let _ = send(&visitor, &reply, &[], SendFlags::empty());
        }
    };
    (said, std::thread::spawn(answer))
}
