//! A bridge between two agents of one machine: `local:NAME`.
//!
//! Two agents that give the same name find each other at a socket in the abstract namespace: the first to come listens there, the
//! second connects. Each makes its control pages and sends descriptors of them. A doorbell is a packet, the link is
//! the socket, and memory is offered by its descriptor, opened for what is offered and no more. All else is as between two
//! machines: each agent has its own registry and nodes, and believes the other nothing.
//!
//! What it cannot show is a window that loses stores or does not answer: here, what is stored arrives.
//!
//! # Crash
//!
//! The end of an agent, however it comes, ends its socket, which the other is told by the kernel at once.

use super::{Carrier, Device, Job, Limits, Reach, Stir};
use crate::address::current_uid;
use crate::error::from_errno;
use crate::memory::pages::{FarPages, NearPages};
use crate::memory::{memfd, page_size};
use crate::seldom::Seldom;
use crate::socket::{self, Packet};
use rsm_core::access::Permission;
use rsm_core::peer::Near;
use rsm_core::peer::control::{CONTROL_BYTES, SLOTS};
use rsm_core::{Code, Error, Result};
use rustix::event::epoll;
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketAddrUnix, SocketFlags};
use std::collections::{BTreeMap, VecDeque};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Longest name of a bridge, in bytes.
pub const MAX_NAME: usize = 64;
/// Bytes of the window: more than anybody has memory.
const WINDOW: u64 = 1 << 40;
/// Packets that are looked at before something else is.
const MOST_PACKETS: usize = 64;

/// First byte of a packet.
mod kind {
    /// The sender's control pages come along.
    pub(super) const PAGES: u8 = b'p';
    /// The doorbell.
    pub(super) const RING: u8 = b'r';
    /// Memory comes along, for an offset.
    pub(super) const ATTACH: u8 = b'a';
    /// There is none any more.
    pub(super) const DETACH: u8 = b'd';
    /// Somebody else is at the other end already.
    pub(super) const TAKEN: u8 = b't';
}

/// Memory that one of the two offers.
#[derive(Debug)]
struct Offered {
    /// Only of what the other offers.
    memory: Option<OwnedFd>,
    length: u64,
    access: Permission,
}

/// One end of such a bridge.
#[derive(Debug)]
pub struct Local {
    name: String,
    address: SocketAddrUnix,
    epoll: OwnedFd,
    listener: Option<OwnedFd>,
    /// Whether somebody may have the control pages.
    offered: bool,
    near: NearPages,
    /// To the peer, which was sent our pages.
    socket: Option<OwnedFd>,
    far: Option<FarPages>,
    /// What the peer lets this host read.
    seals: Option<OwnedFd>,
    ours: BTreeMap<u64, Offered>,
    theirs: BTreeMap<u64, Offered>,
    /// What is offered there no more; the peer did not read enough yet to be told.
    untold: VecDeque<u64>,
    done: VecDeque<(Job, Result<()>)>,
    jobs: u64,
    turned_away: Seldom,
    stir: Stir,
}

impl Local {
    /// One end of the bridge with this name; nobody is looked for yet.
    ///
    /// # Errors
    /// BAD_CONF for a name that is none, saying what is one; INSUFFICIENT_RESOURCES, INSUFFICIENT_MEM.
    pub fn new(name: &str) -> Result<Local> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fine) {
            let text = format!(
                "local:{name} is no bridge: after local: give 1 to {MAX_NAME} letters, digits, '.', '_' or '-', \
                 the same to both agents"
            );
            return Err(Error::with(Code::BadConf, text));
        }
        let address = SocketAddrUnix::new_abstract_name(format!("rsm-bridge/{name}").as_bytes())
            .map_err(|e| from_errno(e, "cannot name a socket"))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(|e| from_errno(e, "cannot create an epoll"))?;
        Ok(Local {
            name: name.to_owned(),
            address,
            epoll,
            listener: None,
            offered: false,
            near: NearPages::create()?,
            socket: None,
            far: None,
            seals: None,
            ours: BTreeMap::new(),
            theirs: BTreeMap::new(),
            untold: VecDeque::new(),
            done: VecDeque::new(),
            jobs: 0,
            turned_away: Seldom::default(),
            stir: Stir::default(),
        })
    }

    fn bad(&self, text: String) -> Error {
        Error::with(Code::BadConf, format!("bridge local:{}: {text}", self.name))
    }

    fn watch(&self, fd: impl AsFd) -> Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(0), epoll::EventFlags::IN)
            .map_err(|e| from_errno(e, "cannot watch a descriptor"))
    }

    /// Somebody is at the other end: sends it our pages, if it is who it should be.
    fn greet(&mut self, socket: OwnedFd) -> Result<()> {
        let (who, process) = socket::peer(&socket)?;
        if who.uid != current_uid() {
            return Err(self.bad(format!(
                "process {process} of user {} is at the other end: both agents must run as the same user",
                who.uid
            )));
        }
        let [ours, theirs] = self.near.hand_out()?;
        packet(&socket, kind::PAGES, [0; 2], Permission::None, &[ours.as_fd(), theirs.as_fd()])
            .map_err(|e| from_errno(e, "cannot send control pages"))?;
        self.watch(&socket)?;
        self.socket = Some(socket);
        Ok(())
    }

    fn connect(&mut self) -> Result<()> {
        let socket = socket::packet_socket(SocketFlags::NONBLOCK)?;
        match rustix::net::connect(&socket, &self.address) {
            Ok(()) => self.greet(socket),
            Err(Errno::CONNREFUSED | Errno::NOENT) => self.listen(),
            // It is busy with others: later.
            Err(Errno::AGAIN) => Ok(()),
            Err(e) => Err(from_errno(e, "cannot connect to the other agent")),
        }
    }

    fn listen(&mut self) -> Result<()> {
        let listener = socket::packet_socket(SocketFlags::NONBLOCK)?;
        match rustix::net::bind(&listener, &self.address) {
            Ok(()) => {}
            // The other one was faster: it is connected to the next time.
            Err(Errno::ADDRINUSE) => return Ok(()),
            Err(e) => return Err(from_errno(e, "cannot bind the bridge's socket")),
        }
        rustix::net::listen(&listener, 4).map_err(|e| from_errno(e, "cannot listen on the bridge's socket"))?;
        self.watch(&listener)?;
        self.listener = Some(listener);
        Ok(())
    }

    fn accept(&mut self) {
        for _ in 0..MOST_PACKETS {
            let Some(listener) = &self.listener else { return };
            let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
            let Ok(socket) = rustix::net::accept_with(listener, flags) else { return };
            if !self.offered {
                // Between two lives; it asks again.
            } else if self.socket.is_some() {
                // A third one, or one that has begun anew before its end was seen here: it asks again. What it has sent is read
                // first, or the end of the socket would come before the answer.
                let _ = socket::receive(&socket, RecvFlags::DONTWAIT);
                let _ = packet(&socket, kind::TAKEN, [0; 2], Permission::None, &[]);
            } else if let Err(error) = self.greet(socket)
                && let Some(unsaid) = self.turned_away.now(Instant::now())
            {
                tracing::warn!(%error, unsaid, "somebody is turned away");
            }
        }
    }

    /// Whether memory can be at an offset; names what is wrong.
    fn check_place(offered: &BTreeMap<u64, Offered>, at: u64, length: u64) -> Result<()> {
        let granule = page_size() as u64;
        let end = at.checked_add(length).filter(|&end| end <= WINDOW && at >= CONTROL_BYTES && length > 0);
        let Some(end) = end.filter(|_| at.is_multiple_of(granule)) else {
            let text =
                format!("{length} bytes at {at} do not fit into the window: multiples of {granule}, up to {WINDOW}");
            return Err(Error::with(Code::BadLength, text));
        };
        let before = offered.range(..end).next_back();
        if before.is_some_and(|(&start, there)| start + there.length > at) || offered.len() >= SLOTS as usize {
            let text = format!("something is offered at {at} of the window already, or too much altogether");
            return Err(Error::with(Code::InsufficientResources, text));
        }
        Ok(())
    }

    /// What the peer has sent.
    fn hear(&mut self, packet: Packet) -> Result<()> {
        let none = || Error::with(Code::BadArgsErrors, "the other agent sent a packet that is none");
        let (&kind, rest) = packet.bytes.split_first().ok_or_else(none)?;
        let &[at, length, access] = rest.as_chunks::<8>().0 else { return Err(none()) };
        let [at, length, access] = [at, length, access].map(u64::from_le_bytes);
        match (kind, &packet.descriptors[..]) {
            (kind::RING, []) => self.stir.rung = true,
            (kind::PAGES, [ours, theirs]) if self.far.is_none() => {
                self.far = Some(FarPages::open(ours, theirs)?);
                self.seals = packet.descriptors.into_iter().next();
                self.stir.rung = true;
            }
            (kind::ATTACH, [_]) => {
                Local::check_place(&self.theirs, at, length)?;
                let access = u32::try_from(access).ok().and_then(Permission::from_bits).ok_or_else(none)?;
                let memory = packet.descriptors.into_iter().next();
                memfd::check_solid(memory.as_ref().ok_or_else(none)?, length)?;
                self.theirs.insert(at, Offered { memory, length, access });
            }
            (kind::DETACH, []) => {
                self.theirs.remove(&at).ok_or_else(none)?;
            }
            (kind::TAKEN, []) => return Err(self.bad("two other agents are at its ends already".to_owned())),
            _ => return Err(none()),
        }
        Ok(())
    }

    /// Whether there may be more.
    fn receive(&mut self) -> bool {
        for _ in 0..MOST_PACKETS {
            let Some(socket) = &self.socket else { return false };
            let heard = match socket::receive(socket, RecvFlags::DONTWAIT) {
                Ok(Some(packet)) => self.hear(packet),
                Err(Errno::AGAIN) => return false,
                // What was rung for is heard first: the last words of one that ends. The end can be read again.
                Ok(None) if self.stir.rung => return false,
                Ok(None) | Err(_) => Err(Error::with(Code::ConnAborted, "the other agent is gone")),
            };
            if let Err(error) = heard {
                tracing::info!(bridge = self.name, %error, "the link went down");
                self.forget();
                self.stir.lost = Some(error);
            }
        }
        true
    }

    fn forget(&mut self) {
        self.offered = false;
        (self.far, self.seals) = (None, None);
        // Closing takes it out of the epoll set: nobody else has it.
        self.socket = None;
        self.ours.clear();
        self.theirs.clear();
        self.untold.clear();
    }

    fn job(&mut self) -> Job {
        self.jobs += 1;
        let job = Job(self.jobs);
        self.done.push_back((job, Ok(())));
        job
    }

    /// Tells the peer what is offered no more, as far as it listens. What is offered next is told after that.
    fn tell(&mut self) -> rustix::io::Result<()> {
        while let (Some(&at), Some(socket)) = (self.untold.front(), &self.socket) {
            packet(socket, kind::DETACH, [at, 0], Permission::None, &[])?;
            self.untold.pop_front();
        }
        Ok(())
    }

    fn peer(&self) -> Result<&OwnedFd> {
        let none =
            || Error::with(Code::ConnAborted, format!("nobody is at the other end of bridge local:{}", self.name));
        self.far.as_ref().and(self.socket.as_ref()).ok_or_else(none)
    }
}

/// Sends a packet, at once or not at all.
fn packet(
    socket: impl AsFd,
    kind: u8,
    [at, length]: [u64; 2],
    access: Permission,
    descriptors: &[BorrowedFd<'_>],
) -> rustix::io::Result<()> {
    let mut bytes = vec![kind];
    for word in [at, length, access.bits().into()] {
        bytes.extend_from_slice(&word.to_le_bytes());
    }
    socket::send(socket, &bytes, descriptors, SendFlags::DONTWAIT)
}

impl Carrier for Local {
    fn limits(&self) -> Limits {
        Limits { window: WINDOW, granule: page_size() as u64 }
    }

    fn attach(&mut self, at: u64, memory: BorrowedFd<'_>, length: u64, access: Permission) -> Result<Job> {
        Local::check_place(&self.ours, at, length)?;
        let opened = memfd::reopen(memory, access)?;
        let told = self.tell();
        let peer = self.peer()?;
        told.and_then(|()| packet(peer, kind::ATTACH, [at, length], access, &[opened.as_fd()]))
            .map_err(|e| from_errno(e, "the other agent takes nothing more"))?;
        self.ours.insert(at, Offered { memory: None, length, access });
        Ok(self.job())
    }

    /// Done at once, whether the peer reads or not: that nobody reaches the memory is known by asking the kernel for its
    /// descriptors, and of this one it is told as soon as it reads.
    fn detach(&mut self, at: u64) -> Result<Job> {
        self.peer()?;
        if self.ours.remove(&at).is_none() {
            return Err(Error::with(Code::BadAddr, format!("nothing is offered at {at} of the window")));
        }
        self.untold.push_back(at);
        // Without room now there is some when it has read; a socket that has ended is told by its end.
        let _ = self.tell();
        Ok(self.job())
    }

    fn done(&mut self) -> Option<(Job, Result<()>)> {
        self.done.pop_front()
    }

    fn reach(&self, at: u64, length: u64, permission: Permission) -> Result<Reach> {
        let nothing = || {
            let text = format!("the other host offers no {length} bytes at {at} of its window");
            Error::with(Code::RemoteNodeUnreachable, text)
        };
        let offered = self.theirs.get(&at).filter(|offered| offered.length >= length).ok_or_else(nothing)?;
        if !offered.access.covers(permission) {
            let text =
                format!("the other host offers {} of what is at {at} of its window, not {permission}", offered.access);
            return Err(Error::with(Code::PermDenied, text));
        }
        let memory = memfd::reopen(offered.memory.as_ref().ok_or_else(nothing)?, permission)?;
        Ok(Reach { memory, offset: 0, device: false })
    }
}

impl Device for Local {
    type Far = FarPages;

    fn let_go(&mut self) {
        self.forget();
    }

    fn renew(&mut self) -> Result<()> {
        self.forget();
        self.near = NearPages::create()?;
        self.stir = Stir::default();
        Ok(())
    }

    fn offer(&mut self) -> Result<()> {
        self.offered = true;
        if self.listener.is_none() && self.socket.is_none() { self.connect() } else { Ok(()) }
    }

    fn near(&self) -> Near<'_> {
        self.near.near()
    }

    fn far(&self) -> Option<&FarPages> {
        self.far.as_ref()
    }

    fn seals(&self) -> Result<Reach> {
        self.peer()?;
        let none = || Error::with(Code::ConnAborted, "there is no peer, whose seals could be loaded");
        let memory = memfd::reopen(self.seals.as_ref().ok_or_else(none)?, Permission::Read)?;
        Ok(Reach { memory, offset: 0, device: false })
    }

    fn ring(&self) {
        // Where there is no room, there are doorbells that were not heard yet.
        if let Some(socket) = &self.socket {
            let _ = packet(socket, kind::RING, [0; 2], Permission::None, &[]);
        }
    }

    fn events(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }

    fn catch_up(&mut self) {
        // More than a socket holds.
        let _ = (0..16).all(|_| self.receive());
    }

    fn stir(&mut self) -> Stir {
        self.receive();
        self.accept();
        let _ = self.tell();
        std::mem::take(&mut self.stir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    /// Counts warnings.
    struct Counting(Arc<AtomicU32>);

    impl tracing::Subscriber for Counting {
        fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
            *metadata.level() == tracing::Level::WARN
        }
        fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
            tracing::span::Id::from_u64(1)
        }
        fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
        fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
        fn event(&self, _: &tracing::Event<'_>) {
            self.0.fetch_add(1, Relaxed);
        }
        fn enter(&self, _: &tracing::span::Id) {}
        fn exit(&self, _: &tracing::span::Id) {}
    }

    /// A grant may be read in the rings before the packet that its memory came with.
    #[test]
    fn what_was_attached_is_there_when_it_is_told_of() {
        let name = format!("test-{}-attached", std::process::id());
        let [mut one, mut other] = [(); 2].map(|()| Local::new(&name).unwrap());
        one.offer().unwrap();
        other.offer().unwrap();
        one.stir();
        other.stir();
        one.stir();
        let length = page_size() as u64;
        let memory = memfd::create("rsm-segment", length).unwrap();
        memfd::seal(&memory, memfd::Sealing::Size).unwrap();
        for _ in 0..2 * MOST_PACKETS {
            one.ring();
        }
        one.attach(CONTROL_BYTES, memory.as_fd(), length, Permission::Read).unwrap();
        assert!(other.reach(CONTROL_BYTES, length, Permission::Read).is_err());
        other.catch_up();
        other.reach(CONTROL_BYTES, length, Permission::Read).unwrap();
        assert!(other.stir().rung, "nothing else is forgotten");
    }

    #[test]
    fn strangers_do_not_fill_the_log() {
        let mut local = Local::new(&format!("test-{}-strangers", std::process::id())).unwrap();
        local.offer().unwrap();
        let warned = Arc::new(AtomicU32::new(0));
        tracing::subscriber::with_default(Counting(Arc::clone(&warned)), || {
            // Gone before they are greeted.
            for _ in 0..100 {
                let socket = socket::packet_socket(SocketFlags::empty()).unwrap();
                rustix::net::connect(&socket, &local.address).unwrap();
                drop(socket);
                local.stir();
            }
        });
        assert!((1..20).contains(&warned.load(Relaxed)), "{warned:?} warnings");
        assert!(local.socket.is_none() && local.listener.is_some());
    }
}
