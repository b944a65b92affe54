//! The loop: what happened on which descriptor.

use super::Agent;
use super::across::Across;
use super::books::member::Ending;
use super::books::token::Token;
use rsm_core::crash_point;
use rustix::event::{Timespec, epoll};
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// How long a stranger may stay without joining.
const JOIN_WITHIN: Duration = Duration::from_secs(10);
/// Strangers let in in one round, so that nobody waits behind a flood of them.
const ACCEPT_BATCH: usize = 16;
/// Events that one pass deals with; the others come next.
const EVENTS: usize = 32;
/// How long it sleeps at most while it accepts nobody.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// How long the agent listens to nobody new when the system has no room for one more socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

impl Agent {
    /// Serves until the handle is dropped, or `ending` is set and something makes it look.
    pub(super) fn serve(&mut self, ending: &AtomicBool) {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            let next = if self.books.chores.is_empty() { self.next_deadline() } else { Some(Instant::now()) };
            let timeout = next.map(|at| {
                // Rounded up: waking just before the deadline would only spin to it.
                let left = at.saturating_duration_since(Instant::now());
                let left = if left.is_zero() { left } else { left + Duration::from_nanos(1) };
                Timespec { tv_sec: left.as_secs().cast_signed(), tv_nsec: left.subsec_nanos().into() }
            });
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => {
                    tracing::error!(%error, "epoll failed; the agent ends");
                    break;
                }
            }
            let pass = self.longest_pass.begin();
            // Acquire: pairs with the Release of `AgentHandle::end_without_socket`.
            let end = ending
                .load(Ordering::Acquire)
                .then(|| epoll::Event { flags: epoll::EventFlags::IN, data: Token::Stop.data() });
            for event in events.iter().chain(&end) {
                let token = Token::from_data(event.data);
                // A request says itself, when it is read, whether it can change anything.
                self.changed |= !matches!(token, Some(Token::Control(_) | Token::Listener | Token::Bridge) | None);
                match token {
                    Some(Token::Stop) => {
                        crash_point!(AgentEnding);
                        self.close_across();
                        self.writer().end();
                        self.tell_watchers();
                        self.wakes.finish();
                        crash_point!(AgentEnded);
                        return;
                    }
                    Some(Token::Listener) => self.accept(),
                    Some(Token::Stranger(party)) => self.stranger_ready(party),
                    Some(Token::Control(party)) => self.control_ready(party, event.flags),
                    Some(Token::Events(party)) => self.events_ready(party, event.flags),
                    Some(Token::Process(party)) => self.end_membership(party, Ending::ProcessEnded),
                    // Looked at in each pass.
                    Some(Token::Bridge) | None => {}
                }
            }
            let now = Instant::now();
            self.do_chores();
            self.look_across();
            self.drop_late_strangers(now);
            self.adjust_accepting(now);
            self.tell_attendants();
            if std::mem::take(&mut self.changed) {
                self.tell_watchers();
            }
            self.put_off_wakes();
            #[cfg(any(debug_assertions, test))]
            self.books.check(self.map.registry());
            self.longest_pass.end(pass);
        }
    }

    /// Lets exporters look whose importers have come or gone: a system call for each segment, however many those were.
    fn tell_attendants(&mut self) {
        for row in std::mem::take(&mut self.attended) {
            self.wakes.all(self.map.registry().segments[row as usize].comings());
        }
    }

    /// Lets those look who watch the registry. A system call, after the replies of the pass are on their way, and
    /// only while somebody is there to look.
    fn tell_watchers(&self) {
        let word = self.writer().step_changes();
        if !self.books.observers.is_empty() {
            self.wakes.all(word);
        }
    }

    fn next_deadline(&self) -> Option<Instant> {
        // They are numbered as they come.
        let stranger = self.books.strangers.values().next().map(|s| s.since + JOIN_WITHIN);
        let withdrawal = self.books.withdrawals.first().map(|(at, _)| at);
        // A stranger is what wakes an agent whose end was not told by its socket.
        let look = (!self.accepting).then(|| Instant::now() + LOOK_AGAIN);
        let across = self.across.as_ref().and_then(Across::next);
        [stranger, withdrawal, self.accept_again, look, across].into_iter().flatten().min()
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPT_BATCH {
            if !self.books.limits.accepts(self.books.held()) {
                return;
            }
            let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
            match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => self.add_stranger(socket),
                Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return,
                Err(error) => {
                    // No descriptors or memory in the system: trying again at once would only spin.
                    tracing::warn!(%error, "cannot let anybody in");
                    self.accept_again = Some(Instant::now() + ACCEPT_PAUSE);
                    return;
                }
            }
        }
    }

    fn drop_late_strangers(&mut self, now: Instant) {
        let late: Vec<u64> =
            self.books.strangers.iter().take_while(|(_, s)| now >= s.since + JOIN_WITHIN).map(|(&p, _)| p).collect();
        for party in late {
            self.drop_stranger(party);
        }
    }

    /// Stops listening while descriptors are short: accepting would fail again and again without sleeping.
    fn adjust_accepting(&mut self, now: Instant) {
        if self.accept_again.is_some_and(|at| at <= now) {
            self.accept_again = None;
        }
        let wanted = self.books.limits.accepts(self.books.held()) && self.accept_again.is_none();
        if wanted == self.accepting {
            return;
        }
        let flags = if wanted { epoll::EventFlags::IN } else { epoll::EventFlags::empty() };
        if epoll::modify(&self.epoll, &self.listener, Token::Listener.data(), flags).is_ok() {
            self.accepting = wanted;
        }
    }
}
