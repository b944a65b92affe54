//! Crash points: every step of a protocol between processes has a name, at which a test can kill the process.
//!
//! [`crash_point!`](crate::crash_point) marks a step. Without `--cfg rsm_crash_points` it is the mention of a constant
//! and no code. With it, a program that asked for it (`rsm_shm::crash`) is told of each step, and kills, stops or holds
//! itself up there. A point has one place in the code, so that its name says where a process was; what a death there
//! leaves behind, and who cleans it up, is what `tests/crash` shows for each of them.

/// Defines the points and the table of them.
macro_rules! points {
    ($($name:ident $meaning:literal)*) => {
        /// A step of a protocol; see the [module](self).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Point {
            $(#[doc = $meaning] $name,)*
        }

        /// All points, in the order of their numbers, each with its name and what has happened when it is reached.
        pub const POINTS: &[(Point, &str, &str)] = &[$((Point::$name, stringify!($name), $meaning),)*];
    };
}

points! {
    // The agent: starting and ending.
    AgentBound "the cluster's name is taken, nobody is served"
    AgentServing "the agent's loop begins"
    AgentEnding "the agent was told to end, the registry does not say so yet"
    AgentEnded "the registry says that the cluster has ended, the name is still taken"
    // The agent: who comes and goes.
    AgentAccepted "a connection is accepted, nothing is read from it"
    AgentAdmitted "a process may join, its events socket is made, it is no member yet"
    AgentJoined "a process is a member, its answer is not sent"
    AgentAttached "a member has another control socket, its answer is not sent"
    AgentLostControl "a control socket ended, the membership goes on"
    AgentForgot "a member that ended is out of the tables, what it had is not"
    AgentWithdrewDead "the segments of a dead member are gone, its connections are not"
    AgentNudged "the exporters that a dead member may have owed a wake are woken, its connections stand"
    AgentCleaned "nothing is left of a member that ended"
    // The agent: requests.
    AgentAsked "a request is read, nothing is done"
    AgentCarriedOut "a request is carried out, its answer is not sent"
    AgentAnswered "an answer is sent"
    AgentUndone "a request whose caller gave up is undone"
    AgentAllocated "memory of a segment exists, its row does not"
    AgentCreated "a segment stands in the registry, the agent's tables do not know it"
    AgentPublished "a segment can be found, the agent's tables do not know it"
    AgentCommonMade "a segment of the cluster can be found, those who wait for it are not woken"
    AgentReadvertised "a segment is published, those who wait for it are not woken"
    AgentRepublished "an access list is replaced, those who wait for it are not woken"
    AgentGranted "a description was opened for an importer, the connection has no row"
    AgentLinked "a connection stands in the registry, the agent's tables do not know it"
    AgentInherited "a forked process has its share in its parent's connections"
    AgentUnlinked "a connection is out of its segment's chain, its row is not free"
    AgentDisconnected "a connection's row is marked free, its bell is not"
    // The agent: taking back.
    AgentUnlisted "a segment cannot be found any more, its connections live"
    AgentAborted "a connection's generation is stepped, it stands in its segment's chain"
    AgentRang "a connection's bell is aborted and its waiters woken"
    AgentCut "all connections of a segment are cut, its importers are not told to look"
    AgentTold "importers are told to look, the withdrawal has no number"
    AgentWithdrawing "a withdrawal is under way, its caller does not know the number"
    AgentHeard "an importer says that it has looked"
    AgentProbed "the kernel said whether memory is free"
    AgentWithdrew "a withdrawal has ended, those who wait for it are not woken"
    AgentRelinked "a link's word is changed, its waiters are not told"
    AgentRevoked "a segment was taken from its exporter, the answer is not sent"
    AgentSuspended "no span of a segment's importers is vouched for, the exporter has not its memory to rebind it"
    AgentResumed "a segment's importers are vouched for again after a rebind, the answer is not sent"
    AgentReplaced "fresh memory exists for a move, the segment's is the old one"
    AgentSettled "the segment's memory is the new one"
    AgentRemoved "a segment's row is marked free, its bell is not"
    // The agent: the other host.
    AcrossOffered "this end of a bridge is offered, nobody is met"
    AcrossMet "another host is met, what it has is not known"
    AcrossOpened "each host knows what the other has, those who wait for that are not told"
    AcrossMirrored "a segment of the other host can be found, those who wait for it are not woken"
    AcrossReadvertised "a mirror's access list is replaced, those who wait for it are not woken"
    AcrossAsked "the other host is to be asked for a connection, it is not yet"
    AcrossAdmitted "a connection of the other host is taken in, its memory is not attached"
    AcrossAttached "memory is attached for the other host, the grant is not said"
    AcrossGranted "the other host's grant came, the connection has no row"
    AcrossGivenBack "a connection to the other host is over, it is not told"
    AcrossBroken "a seal of what the other host was given is broken, its memory is attached"
    AcrossDetached "memory is detached, it is not known to be free"
    AcrossUnmirrored "connections to a segment of the other host are cut, its row stands"
    AcrossSuspended "the other host is vouched for nothing of a segment that is rebound"
    AcrossStepped "no span of a segment that the other host rebound is vouched for, it is not told"
    AcrossTaken "signals for the other host are taken from their bells, they are not sent"
    AcrossPosted "signals for the other host are on their lane, no doorbell is rung"
    AcrossSignalled "signals of the other host came, they are not posted"
    AcrossRelinked "a link to the other host is changed, it is not told"
    AcrossEnding "the other host is told that the cluster ends, this one does not know"
    AcrossGone "the other host is gone, what it had stands"
    // A member: joining and leaving.
    PrivateStarted "a private cluster runs, the process has not joined it"
    JoinSent "the wish to join is sent"
    JoinAnswered "the agent agreed, nothing is mapped"
    JoinMapped "registry and bells are mapped, nobody looks yet"
    JoinListening "the events thread runs"
    LeaveSent "the agent is told that the membership ends"
    // A member: requests.
    AskSent "a request is sent"
    AskAnswered "an answer is read"
    AbandonSent "the agent is told to undo a request whose answer nobody read"
    AttachSent "another control socket is opened in place of a lost one"
    // A member: what the agent tells.
    LookTold "the events thread is told to look, nothing is cut"
    LookCovered "trash pages lie under an import"
    LookSwept "every withdrawn import is cut, the agent is not told"
    LookAnswered "the agent is told what was seen"
    EndNoticed "the events thread sees the end of the cluster, nobody is woken"
    EndTold "sleepers of this process were told of the end of the cluster"
    // A member: exports.
    ExportGiven "memory for an export came, it is not mapped"
    ExportBacked "an export's memory is mapped"
    RangeReserved "a range of the application's is reserved, nothing of it is moved"
    RangeAdopted "a range of the application's maps the segment's object"
    RangeReturning "a range of the application's is nobody's export any more, it maps the object"
    RangeReturned "a range of the application's is ordinary memory again"
    WindowHeld "stores to a part of a range are held back"
    WindowCopied "a part of a range is copied, its addresses map the old memory"
    WindowMapped "a part of a range maps the new memory, stores are held back"
    WithdrawalAwaited "a withdrawal has a number, this process waits for its end"
    MoveGiven "fresh memory for a move came"
    MoveDone "memory has moved, the agent does not know"
    MoveSettled "the agent knows that memory has moved"
    RebindGiven "the memory of a segment to be rebound came, nothing is moved"
    RebindReturned "the old range of a rebind is ordinary memory, the new one is not yet the segment's"
    RebindDone "the new range of a rebind is the segment's, the agent does not know"
    RebindEnded "the agent knows that a rebind is over"
    DestroyBegun "nobody else may change an export, the agent is not asked to forget it"
    // A member: imports.
    ConnectGranted "a grant came, nothing is mapped"
    ConnectMapped "an import's memory is mapped, no sweep knows it"
    ConnectEntered "an import is in the table that sweeps go through"
    PartMade "a second mapping of an import is made, its generation is not compared"
    PartKnown "a second mapping of an import is in the table"
    DisconnectUnmapped "an import is unmapped, the agent is not told"
    TransferDone "bytes of an implicit transfer have moved, there is no verdict"
    SpanClosing "a span is about to get its verdict"
    SealLoaded "a seal of the other host is loaded, there is no verdict"
    // A member: forks.
    ForkHeld "a fork is about to happen, locks are held"
    ForkChild "a forked child lives, its parent's locks are held"
    ReviveJoined "a forked child has joined, its inherited connections are not its own"
    ReviveInherited "a forked child has its share in the connections, it has not swept"
    // Signals.
    PostCounted "a signal is counted, nobody is woken"
    PostDone "a signal is counted, and a sleeper woken if there was one"
    TakeDone "a signal is taken"
    SleepCounted "a waiter is counted, it does not sleep"
    SleepOver "a waiter has slept, it is still counted"
    ParkListed "a sleeper is listed for the end of the cluster, it does not sleep"
    ParkOver "a sleeper has slept, it is still listed"
    PollCounted "a poll descriptor's bell counts a sleeper, no pump serves it"
    PollServed "a pump serves a poll descriptor"
    PumpWrote "a poll descriptor's pipe has its byte"
    PumpHandedOn "the pump has woken a waiting thread in its place"
}

/// Marks a step of a protocol: `crash_point!(AskSent)`, a name of [`crate::crash::Point`].
#[cfg(not(rsm_crash_points))]
#[macro_export]
macro_rules! crash_point {
    ($name:ident) => {
        const _: $crate::crash::Point = $crate::crash::Point::$name;
    };
}

/// Marks a step of a protocol: `crash_point!(AskSent)`, a name of [`crate::crash::Point`].
#[cfg(rsm_crash_points)]
#[macro_export]
macro_rules! crash_point {
    ($name:ident) => {
        $crate::crash::hook::reached($crate::crash::Point::$name)
    };
}

impl Point {
    /// The point of that name.
    pub fn named(name: &str) -> Option<Point> {
        POINTS.iter().find(|(_, n, _)| *n == name).map(|(point, ..)| *point)
    }

    /// Name of the point.
    pub fn name(self) -> &'static str {
        POINTS[self as usize].1
    }
}

#[cfg(rsm_crash_points)]
pub mod hook {
    //! Where reached points are told to.

    use super::Point;
    use std::sync::OnceLock;

    static HOOK: OnceLock<fn(Point)> = OnceLock::new();

    /// Has every point that is reached from now on told to `hook`, which must take no lock and allocate nothing. Only
    /// the first one is told.
    pub fn tell(hook: fn(Point)) {
        HOOK.get_or_init(|| hook);
    }

    /// A point is reached.
    pub fn reached(point: Point) {
        if let Some(hook) = HOOK.get() {
            hook(point);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_found_by_name() {
        for (at, &(point, name, meaning)) in POINTS.iter().enumerate() {
            assert_eq!((point as usize, Point::named(name), point.name()), (at, Some(point), name));
            assert!(!meaning.is_empty() && !meaning.ends_with('.'), "{name}");
        }
        assert_eq!(Point::named("Nowhere"), None);
    }
}
