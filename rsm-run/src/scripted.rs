//! The fault script of a run: a thread of the warden carries it out, and the warden does for it what only the parent of the
//! nodes can.
//!
//! To start a node again takes three steps, so that its programs find nothing of their former lives: the warden ends and
//! reaps what is left of it, the thread waits until the cluster has forgotten that, and the warden starts it.

use std::ops::ControlFlow::{Break, Continue};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use rsm::steer::Steering;
use rsm::{Code, Error};
use rsm_lab::{RunError, Script};
use rustix::event::{EventfdFlags, eventfd};

use crate::descriptor;
use crate::failure::Failure;
use crate::plan::FaultScript;

/// How long what a script has just done may take to be told.
pub(crate) const TELLING: Duration = Duration::from_millis(250);
/// How long the cluster may take to forget a node, and a script to notice that there is no cluster any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// What a script has to tell the warden.
pub(crate) enum Told {
    /// It did something.
    Did(String),
    /// A node is to be ended, to start again.
    End(Restarting),
    /// A node that was ended is to start; how many processes did, or why not, is to be sent.
    Start(u32, Sender<rsm::Result<u32>>),
    /// It is over.
    Over(Result<(), RunError>),
}

/// A node that is being ended to start again.
pub(crate) struct Restarting {
    pub(crate) node: u32,
    ended: Option<Sender<()>>,
}

impl Restarting {
    /// Nothing of it is left.
    pub(crate) fn tell_ended(&mut self) {
        if let Some(ended) = self.ended.take() {
            let _ = ended.send(());
        }
    }
}

/// A script that has not begun.
pub(crate) struct Prepared {
    /// What is left to be done.
    rest: Script,
    steering: Steering,
    bell: OwnedFd,
}

/// A script at work.
pub(crate) struct Scripted {
    told: Receiver<Told>,
    /// Readable when something was told.
    bell: Arc<OwnedFd>,
}

impl Prepared {
    /// Carries out what needs no node, before any is there, and tells of it.
    ///
    /// # Errors
    /// That this failed, that the script names what the cluster does not have, or that the system refuses something.
    pub(crate) fn new(script: FaultScript, steering: Steering, tell: impl Fn(String)) -> Result<Prepared, Failure> {
        let stopped = |stopped: RunError| Failure::new(format!("{}: {stopped}", script.name));
        script.script.check(&steering).map_err(stopped)?;
        let (first, rest) = script.script.clone().split();
        let did = |event: &rsm_lab::Event| {
            tell(event.to_string());
            Continue(())
        };
        first.run(&steering, None, did).map_err(stopped)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| Failure::system("cannot carry out a script", errno))?;
        Ok(Prepared { rest, steering, bell })
    }

    /// Begins to carry it out.
    pub(crate) fn begin(self) -> Scripted {
        let Prepared { rest, steering, bell } = self;
        let (tell, told) = channel();
        let bell = Arc::new(bell);
        let teller = Teller { tell, bell: bell.clone() };
        let failed = teller.clone();
        // Not joined: it ends with the cluster, or with this process.
        let started = thread::Builder::new().name("script".into()).spawn(move || {
            let restart = |node| restart(&steering, node, &teller);
            let did = |event: &rsm_lab::Event| match teller.tell(Told::Did(event.to_string())) {
                true => Continue(()),
                false => Break(()),
            };
            let ended = rest.run_with_restarts(&steering, None, restart, did);
            teller.tell(Told::Over(ended));
        });
        if let Err(error) = started {
            let error = Error::with(Code::InsufficientResources, format!("a thread (clone3): {error}"));
            let text = "it could not begin".to_owned();
            failed.tell(Told::Over(Err(RunError { line: 0, text, error, over_limit: false })));
        }
        Scripted { told, bell }
    }
}

#[derive(Clone)]
struct Teller {
    tell: Sender<Told>,
    bell: Arc<OwnedFd>,
}

impl Teller {
    /// Answers whether anybody hears.
    fn tell(&self, what: Told) -> bool {
        let heard = self.tell.send(what).is_ok();
        descriptor::ring(&self.bell);
        heard
    }
}

impl Scripted {
    /// The next thing that was told, if there is one.
    pub(crate) fn next(&self) -> Option<Told> {
        // Before looking: what is told after the look rings again.
        let _ = rustix::io::read(&*self.bell, &mut [0_u8; 8]);
        self.told.try_recv().ok()
    }

    /// With no process left: whether the script comes to its end now, and how. What it does until then is told; it can start
    /// nothing any more.
    pub(crate) fn over_within(&self, time: Duration, mut did: impl FnMut(String)) -> Option<Result<(), RunError>> {
        let end = Instant::now() + time;
        loop {
            match self.told.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(Told::Over(ended)) => return Some(ended),
                Ok(Told::Did(line)) => did(line),
                // Whoever waits for an answer is told by its absence.
                Ok(Told::End(_) | Told::Start(..)) => {}
                Err(_) => return None,
            }
        }
    }
}

impl AsFd for Scripted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }
}

/// Ends what is left of a node, and starts its programs again; answers how many.
fn restart(steering: &Steering, node: u32, teller: &Teller) -> rsm::Result<u32> {
    let ending = |_| Error::with(Code::CtlrNotPresent, "the run is ending");
    match steering.node_kill(node) {
        // Nothing of it is there, or nothing that the cluster knows of.
        Err(error) if error.code() != Code::RemoteNodeUnreachable => return Err(error),
        Ok(_) | Err(_) => {}
    }
    let (ended, is_ended) = channel();
    teller.tell(Told::End(Restarting { node, ended: Some(ended) }));
    is_ended.recv().map_err(ending)?;
    forgotten(steering, node);
    let (started, is_started) = channel();
    teller.tell(Told::Start(node, started));
    is_started.recv().map_err(ending)?
}

/// Waits until the cluster knows nothing any more of a node whose processes are gone: what they published is published no
/// more. Not for long: others of the node may be there, which are none of this run's.
fn forgotten(steering: &Steering, node: u32) {
    let observer = steering.observer();
    let end = Instant::now() + PATIENCE;
    loop {
        let seen = observer.snapshot();
        let known = seen.segments.iter().any(|segment| segment.node == node)
            || seen.connections.iter().any(|connection| connection.importer == node);
        let left = end.saturating_duration_since(Instant::now());
        if !known || left.is_zero() || observer.wait(&seen, Some(left)).is_err() {
            return;
        }
    }
}
