//! The stories of library and agent: what is there, what is done while a call is refused, and what must be true then.

use super::scene::{ID, Role, Scene};
use Role::{Agent, Exporter, Importer, Newcomer};
use rsm::Code;
use rsm_stories::refused_as;
use rustix::io::Errno;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// A story. Every part but the act happens with nothing refused.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    /// Whose calls are refused.
    pub(crate) roles: &'static [Role],
    /// Calls of this thread only.
    pub(crate) who: Option<&'static str>,
    /// Numbers that the act may give although nothing was refused, and whatever was.
    pub(crate) usual: &'static [Code],
    /// Once.
    pub(crate) before: fn(&mut Scene),
    /// Before each act that is to be refused.
    pub(crate) each: fn(&mut Scene),
    /// What is under test; gives the number of its error, or 0.
    pub(crate) act: fn(&mut Scene) -> Option<Code>,
    /// What is true after it; the number is that of the act.
    pub(crate) check: fn(&mut Scene, Option<Code>),
    /// Whether the act can be done again after an error, and must then succeed.
    pub(crate) again: bool,
    /// After the check of an act: back to where it began. The number is that of the last act.
    pub(crate) undo: fn(&mut Scene, Option<Code>),
}

/// What most stories have in common.
const PLAIN: Story = Story {
    name: "",
    roles: &[Exporter, Agent],
    who: None,
    usual: &[],
    before: |_| {},
    each: |_| {},
    act: |_| None,
    check: |_, _| {},
    again: true,
    undo: |_, _| {},
};

/// Waits for a signal.
const SIGNAL: Story = Story { roles: &[Exporter], before: connected, again: false, ..PLAIN };

/// Takes back what an importer has mapped.
const TAKE_BACK: Story = Story {
    roles: &[Exporter, Importer, Agent],
    before: exported,
    each: published,
    act: |s| s.tries(Exporter, "unpublish e"),
    check: taken_back,
    undo: let_go,
    ..PLAIN
};

const ROOM: &str = "131072";

pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "join",
        roles: &[Newcomer, Agent],
        each: |s| {
            let environment = s.environment(Exporter);
            s.appears(Newcomer, environment);
        },
        act: |s| s.tries(Newcomer, "open"),
        check: |s, code| {
            if code.is_none() {
                s.ok(Newcomer, "cycles 1");
                is_cut_off_without_descriptors(s);
            }
        },
        undo: |s, _| s.goes(Newcomer),
        ..PLAIN
    },
    Story {
        name: "start a private cluster",
        roles: &[Newcomer],
        each: |s| s.appears(Newcomer, Vec::new()),
        act: |s| s.tries(Newcomer, "open"),
        check: |s, code| {
            if code.is_none() {
                s.ok(Newcomer, "cycles 1");
            }
        },
        undo: |s, _| s.goes(Newcomer),
        ..PLAIN
    },
    Story {
        name: "start a cluster",
        roles: &[Exporter],
        before: |s| s.enters(Exporter),
        act: |s| s.tries(Exporter, "cluster c 2"),
        undo: |s, code| {
            if code.is_none() {
                s.ok(Exporter, "endcluster c");
            }
        },
        ..PLAIN
    },
    Story {
        name: "end a cluster",
        roles: &[Exporter],
        before: |s| s.enters(Exporter),
        each: |s| drop(s.ok(Exporter, "cluster c 2")),
        act: |s| s.tries(Exporter, "endcluster c"),
        ..PLAIN
    },
    Story {
        name: "join once more",
        before: |s| s.enters(Exporter),
        act: |s| s.tries(Exporter, "member m"),
        undo: |s, code| {
            if code.is_none() {
                s.ok(Exporter, "leave m");
            }
        },
        ..PLAIN
    },
    Story {
        name: "leave",
        before: |s| s.enters(Exporter),
        each: |s| drop(s.ok(Exporter, "member m")),
        act: |s| s.tries(Exporter, "leave m"),
        ..PLAIN
    },
    Story {
        name: "create",
        before: both,
        act: |s| s.tries(Exporter, "export e 131072"),
        check: usable,
        undo: destroyed,
        ..PLAIN
    },
    Story {
        name: "create in huge pages",
        before: both,
        act: |s| s.tries(Exporter, "exporthuge e 2097152"),
        check: usable,
        undo: destroyed,
        ..PLAIN
    },
    Story {
        name: "adopt",
        before: with_room,
        act: |s| s.tries(Exporter, "adoptroom e r"),
        check: |s, code| {
            // Where memory runs out for the way back as well, the error says what is left.
            let stuck = code.is_some() && s.said.contains("nor to undo it");
            let (wanted, said) =
                (if code.is_none() { "fine shared" } else { "fine private" }, s.ok(Exporter, "roomcheck r"));
            assert!(said == wanted || stuck && said.starts_with("fine "), "room r is {said}: {}", s.said);
            if code.is_none() {
                s.is_usable();
            }
        },
        undo: |s, code| {
            destroyed(s, code);
            s.says(Exporter, "roomcheck r", "fine private");
        },
        ..PLAIN
    },
    Story {
        name: "adopt once more",
        before: |s| {
            with_room(s);
            s.ok(Exporter, "adoptroom f r");
        },
        act: |s| s.tries(Exporter, "adoptroom e r"),
        check: |s, code| {
            s.says(Exporter, "roomcheck r", "fine shared");
            if code.is_none() {
                s.is_usable();
            }
        },
        undo: |s, code| {
            destroyed(s, code);
            s.says(Exporter, "roomcheck r", "fine shared");
        },
        ..PLAIN
    },
    Story {
        name: "publish",
        before: exported,
        act: |s| s.tries(Exporter, &format!("publish e {ID}")),
        check: |s, code| {
            if code.is_none() {
                s.ok(Importer, &format!("connect i 1 {ID} rw"));
                s.is_linked();
                s.ok(Importer, "disconnect i");
            } else {
                s.fails(Importer, &format!("connect i 1 {ID} rw"), Code::SegNotPublished);
            }
        },
        undo: unpublished,
        ..PLAIN
    },
    Story {
        name: "publish sealed memory",
        before: both,
        each: |s| {
            s.ok(Exporter, "exportsealed e 131072");
            s.ok(Exporter, "fill e");
        },
        act: |s| s.tries(Exporter, &format!("publish e {ID} 2 292")),
        check: |s, code| {
            if code.is_none() {
                s.ok(Importer, &format!("connect i 1 {ID} r"));
                s.ok(Exporter, "write e 0 4");
                s.says(Importer, "get i 0", "4");
                s.ok(Importer, "disconnect i");
            } else {
                s.fails(Importer, &format!("connect i 1 {ID} r"), Code::SegNotPublished);
            }
        },
        undo: |s, _| drop(s.ok(Exporter, "destroy e")),
        ..PLAIN
    },
    Story {
        name: "republish",
        before: connected,
        act: |s| s.tries(Exporter, "republish e"),
        check: |s, _| s.is_linked(),
        ..PLAIN
    },
    Story {
        name: "connect",
        roles: &[Importer, Agent],
        before: offered,
        act: |s| s.tries(Importer, &format!("connect i 1 {ID} rw")),
        check: linked,
        undo: disconnected,
        ..PLAIN
    },
    Story {
        name: "wait to connect",
        roles: &[Importer, Agent],
        before: exported,
        act: |s| meanwhile(s, Importer, "connect i 1 0x400000 rw 30000", (Exporter, "publish e 0x400000")),
        check: linked,
        again: false,
        undo: |s, code| {
            disconnected(s, code);
            s.ok(Exporter, "unpublish e");
        },
        ..PLAIN
    },
    Story {
        name: "wait in vain to connect",
        roles: &[Importer, Agent],
        usual: &[Code::Timeout],
        before: exported,
        act: |s| s.tries(Importer, &format!("connect i 1 {ID} rw 20")),
        again: false,
        ..PLAIN
    },
    Story {
        name: "map",
        roles: &[Importer],
        before: connected,
        act: |s| s.tries(Importer, "map i"),
        check: |s, code| {
            if code.is_none() {
                s.ok(Importer, "store i 24 7");
                s.says(Exporter, "read e 24", "7");
            }
            s.is_linked();
        },
        undo: |s, code| {
            if code.is_none() {
                s.ok(Importer, "unmap i");
            }
        },
        ..PLAIN
    },
    Story {
        name: "map a part",
        roles: &[Importer],
        before: connected,
        act: |s| s.tries(Importer, "narrow i"),
        check: |s, _| s.is_linked(),
        undo: |s, code| {
            if code.is_none() {
                s.ok(Importer, "unmap i.narrow");
            }
        },
        ..PLAIN
    },
    Story {
        name: "unmap",
        roles: &[Importer],
        before: connected,
        each: |s| drop(s.ok(Importer, "narrow i")),
        act: |s| s.tries(Importer, "unmap i.narrow"),
        check: |s, _| s.is_linked(),
        ..PLAIN
    },
    Story {
        name: "disconnect",
        roles: &[Importer, Agent],
        before: offered,
        each: |s| drop(s.ok(Importer, &format!("connect i 1 {ID} rw"))),
        act: |s| s.tries(Importer, "disconnect i"),
        again: false,
        ..PLAIN
    },
    Story {
        name: "disconnect where the program has other memory",
        roles: &[Importer],
        before: offered,
        each: |s| {
            for command in ["connect i 1 0x400000 rw", "map i", "squat m i"] {
                s.ok(Importer, command);
            }
        },
        act: |s| s.tries(Importer, "disconnect i"),
        check: |s, _| {
            // Where it may not look the library takes all for its own.
            if s.may_look() {
                s.says(Importer, "roomcheck m", "fine private");
            }
        },
        again: false,
        undo: |s, _| drop(s.ok(Importer, "vacate m")),
        ..PLAIN
    },
    Story {
        name: "wait for an export's signal",
        act: |s| meanwhile(s, Exporter, "waitexport e 30000", (Importer, "post i")),
        check: |s, code| signal_is_there(s, code, Exporter, "waitexport e"),
        ..SIGNAL
    },
    Story {
        name: "wait for an import's signal",
        roles: &[Importer],
        act: |s| meanwhile(s, Importer, "waitimport i 30000", (Exporter, "postall e")),
        check: |s, code| signal_is_there(s, code, Importer, "waitimport i"),
        ..SIGNAL
    },
    Story {
        name: "wait in vain for a signal",
        usual: &[Code::Timeout],
        act: |s| s.tries(Exporter, "waitexport e 20"),
        check: |s, _| s.is_linked(),
        ..SIGNAL
    },
    Story {
        name: "make a poll descriptor",
        roles: &[Exporter],
        before: both,
        each: |s| {
            s.ok(Exporter, "export e 131072");
            s.ok(Exporter, &format!("publish e {ID}"));
            s.ok(Importer, &format!("connect i 1 {ID} rw"));
            s.ok(Exporter, "fill e");
        },
        act: |s| s.tries(Exporter, "pollfd e"),
        check: |s, code| {
            if code.is_none() {
                s.ok(Importer, "post i");
                s.says(Exporter, "polled e", "true");
                s.ok(Exporter, "waitexport e 0");
            }
        },
        undo: |s, code| {
            if code.is_none() {
                s.ok(Exporter, "pollend e");
            }
            s.is_linked();
            s.ok(Exporter, "destroy e");
            s.ok(Importer, "disconnect i");
        },
        ..PLAIN
    },
    Story {
        name: "poll",
        roles: &[Exporter],
        who: Some("rsm-pump"),
        before: |s| {
            connected(s);
            s.ok(Exporter, "pollfd e");
        },
        act: |s| {
            s.ok(Importer, "post i");
            s.says(Exporter, "polled e", "true");
            s.tries(Exporter, "waitexport e 0")
        },
        check: |s, _| {
            s.fails(Exporter, "waitexport e 0", Code::Timeout);
            s.is_linked();
        },
        ..PLAIN
    },
    Story {
        name: "rebind",
        before: |s| {
            with_room(s);
            s.ok(Exporter, &format!("room q {ROOM}"));
            s.ok(Exporter, "adoptroom e r");
            s.ok(Exporter, &format!("publish e {ID}"));
            s.ok(Importer, &format!("connect i 1 {ID} rw"));
        },
        act: |s| s.tries(Exporter, "rebindto e q"),
        check: |s, code| {
            let told = if code.is_some() { s.asks(Importer, "put i 40 1") } else { String::new() };
            if [Code::ConnAborted, Code::BarrierFailure].iter().any(|&code| refused_as(&told, code)) {
                // The importers were told, or are as soon as the agent can be; until then no put succeeds. Both ranges hold what they held.
                for room in ["r", "q"] {
                    let said = s.ok(Exporter, &format!("roomcheck {room}"));
                    assert!(said.starts_with("fine "), "{room} is {said}");
                }
                s.ok(Importer, "disconnect i");
                s.ok(Exporter, "tryend e");
                s.ok(Exporter, "adoptroom e r");
                s.ok(Exporter, &format!("publish e {ID}"));
                s.ok(Importer, &format!("connect i 1 {ID} rw"));
            }
            s.is_linked();
            s.says(Exporter, "roomcheck r", if code.is_none() { "fine private" } else { "fine shared" });
            let other = s.ok(Exporter, "roomcheck q");
            // What moved already stays where it is if the kernel refuses to give it back as well; it holds what it held.
            let right = if code.is_none() { &["fine shared"][..] } else { &["fine private", "fine shared+private"] };
            assert!(right.contains(&&*other), "the other range is {other}");
        },
        undo: |s, code| {
            if code.is_none() {
                s.ok(Exporter, "rebindto e r");
                s.says(Exporter, "roomcheck r", "fine shared");
                s.says(Exporter, "roomcheck q", "fine private");
            }
            s.is_linked();
        },
        ..PLAIN
    },
    Story { name: "unpublish", ..TAKE_BACK },
    Story {
        name: "unpublish from a stopped importer",
        roles: &[Exporter, Agent],
        each: published_to_a_stopped,
        check: taken_back_from_the_stopped,
        ..TAKE_BACK
    },
    Story {
        name: "unpublish adopted memory from a stopped importer",
        roles: &[Exporter, Agent],
        before: |s| {
            with_room(s);
            s.ok(Exporter, "adoptroom e r");
        },
        each: published_to_a_stopped,
        check: |s, code| {
            taken_back_from_the_stopped(s, code);
            s.says(Exporter, "roomcheck r", "fine shared");
        },
        ..TAKE_BACK
    },
    Story {
        name: "destroy",
        before: both,
        each: |s| {
            s.ok(Exporter, "export e 131072");
            published(s);
        },
        act: |s| s.tries(Exporter, "tryend e"),
        check: |s, code| {
            if code.is_none() {
                s.fails(Importer, "put i 0 3", Code::ConnAborted);
            }
        },
        ..TAKE_BACK
    },
    Story {
        name: "destroy adopted memory",
        before: with_room,
        each: |s| {
            s.ok(Exporter, "adoptroom e r");
            published(s);
        },
        act: |s| s.tries(Exporter, "tryend e"),
        check: |s, code| {
            if code.is_none() {
                s.fails(Importer, "put i 0 3", Code::ConnAborted);
                s.says(Exporter, "roomcheck r", "fine private");
            } else {
                let room = s.ok(Exporter, "roomcheck r");
                assert!(room.starts_with("fine "), "{room}");
            }
        },
        ..TAKE_BACK
    },
    Story {
        name: "destroy adopted memory in which a thread sleeps",
        roles: &[Exporter],
        before: |s| {
            with_room(s);
            s.ok(Exporter, "handler");
        },
        each: |s| {
            s.ok(Exporter, "adoptroom e r");
            s.ok(Exporter, "sleepin r");
        },
        act: |s| s.tries(Exporter, "tryend e"),
        undo: |s, _| {
            // For who may not look nobody can find out.
            let (patience, wanted) = if s.may_look() { (10_000, "true") } else { (0, "") };
            let wakes = s.ok(Exporter, &format!("wakes {patience}"));
            assert!(wakes.contains(wanted), "a wake is lost");
        },
        ..PLAIN
    },
    Story {
        name: "fork",
        roles: &[Importer, Agent],
        before: connected,
        act: |s| in_child(s, "put i 32 5"),
        check: |s, code| {
            if code.is_none() {
                s.says(Exporter, "read e 32", "5");
                s.ok(Exporter, "write e 32 0");
            }
            s.is_linked();
        },
        ..PLAIN
    },
    Story {
        name: "a forked child that creates",
        roles: &[Importer, Agent],
        before: connected,
        act: |s| in_child(s, "cycles 1"),
        check: |s, _| s.is_linked(),
        ..PLAIN
    },
    Story {
        name: "ask again after closing everything",
        before: exported,
        each: |s| drop(s.ok(Exporter, "closefrom 3")),
        act: |s| s.tries(Exporter, &format!("publish e {ID}")),
        undo: unpublished,
        ..PLAIN
    },
    Story {
        name: "an exporter ends",
        roles: &[Newcomer, Agent],
        before: |s| {
            s.enters(Importer);
            s.ok(Importer, "cycles 1");
        },
        each: a_passing_exporter,
        act: |s| {
            s.goes(Newcomer);
            None
        },
        check: |s, _| left_alone(s),
        ..PLAIN
    },
    Story {
        name: "an exporter is killed",
        roles: &[Agent],
        before: |s| {
            s.enters(Importer);
            s.ok(Importer, "cycles 1");
        },
        each: a_passing_exporter,
        act: |s| {
            s.killed(Newcomer);
            None
        },
        check: |s, _| left_alone(s),
        ..PLAIN
    },
    Story {
        name: "an importer is killed",
        roles: &[Agent],
        before: offered,
        each: |s| {
            let environment = s.environment(Importer);
            s.appears(Newcomer, environment);
            s.ok(Newcomer, &format!("connect i 1 {ID} rw"));
            s.ok(Newcomer, "map i");
        },
        act: |s| {
            s.killed(Newcomer);
            None
        },
        check: |s, _| {
            s.ok(Exporter, "unpublish e");
            s.ok(Exporter, &format!("publish e {ID}"));
        },
        ..PLAIN
    },
    Story {
        name: "observe",
        before: |s| s.enters(Exporter),
        act: |s| {
            let command = format!("observe {}", s.name);
            s.tries(Exporter, &command)
        },
        ..PLAIN
    },
    Story {
        name: "somebody watches",
        roles: &[Exporter, Importer, Agent],
        before: connected,
        act: |s| {
            let command = format!("lookon {}", s.name);
            let code = s.tries(Importer, &command);
            // A process that cannot begin does without. It has tried by then, as a rule.
            let _ = (0..500).any(|_| code.is_some() || s.ok(Exporter, "tallies") == "true");
            code
        },
        check: |s, code| {
            s.is_linked();
            // Who goes on watching sees everybody when the cause is gone.
            for role in [Exporter, Importer] {
                let tallies = |s: &mut Scene| {
                    s.ok(Importer, "lookedat");
                    s.ok(role, "tallies") == "true"
                };
                let deadline = Instant::now() + Duration::from_secs(20);
                while code.is_none() && !tallies(s) {
                    assert!(Instant::now() < deadline, "{role:?} does not tally");
                }
            }
        },
        undo: |s, _| {
            s.ok(Importer, "lookaway");
            s.player(Exporter).process.until("tallies", "ok false");
            // With the cause gone everybody tallies, and what is put is seen.
            let command = format!("lookon {}", s.name);
            s.ok(Importer, &command);
            sees_puts(s);
            s.ok(Importer, "lookaway");
            s.player(Exporter).process.until("tallies", "ok false");
        },
        ..PLAIN
    },
    Story {
        name: "somebody watches a newcomer",
        roles: &[Newcomer, Agent],
        before: |s| s.enters(Importer),
        // The memory of its tally comes once: whoever was watched before has it.
        each: |s| {
            let environment = s.environment(Exporter);
            s.appears(Newcomer, environment);
            s.ok(Newcomer, "open");
        },
        act: |s| {
            let command = format!("lookon {}", s.name);
            let code = s.tries(Importer, &command);
            let _ = (0..500).any(|_| code.is_some() || s.ok(Newcomer, "tallies") == "true");
            code
        },
        check: |s, _| drop(s.ok(Newcomer, "cycles 1")),
        undo: |s, _| {
            // The agent has heard of it when somebody who tallied does not any more.
            s.player(Importer).process.until("tallies", "ok true");
            s.ok(Importer, "lookaway");
            s.player(Importer).process.until("tallies", "ok false");
            // What could not be mapped, or was not sent, is at the next look.
            let command = format!("lookon {}", s.name);
            s.ok(Importer, &command);
            s.player(Newcomer).process.until("tallies", "ok true");
            s.ok(Importer, "lookaway");
            s.player(Newcomer).process.until("tallies", "ok false");
            s.goes(Newcomer);
        },
        ..PLAIN
    },
    Story {
        name: "watch",
        roles: &[Importer, Agent],
        before: watched,
        act: |s| s.tries(Importer, "lookedat"),
        check: |s, _| sees_puts(s),
        ..PLAIN
    },
    Story {
        name: "nobody watches any more",
        roles: &[Exporter, Importer, Agent],
        before: connected,
        each: |s| {
            let command = format!("lookon {}", s.name);
            s.ok(Importer, &command);
            s.player(Exporter).process.until("tallies", "ok true");
        },
        act: |s| {
            let code = s.tries(Importer, "lookaway");
            // Nobody is told when the agent has heard of it.
            let _ = (0..500).any(|_| s.ok(Exporter, "tallies") == "false");
            code
        },
        check: |s, _| {
            for role in [Exporter, Importer] {
                s.player(role).process.until("tallies", "ok false");
            }
            s.is_linked();
        },
        again: false,
        ..PLAIN
    },
    Story {
        name: "kill a node",
        roles: &[Agent],
        before: |s| {
            s.enters(Importer);
            s.ok(Importer, "cycles 1");
        },
        each: a_passing_exporter,
        act: |s| {
            let command = format!("killnode {}", s.name);
            s.tries(Importer, &command)
        },
        check: |s, code| {
            // Now it is killed in any case, but not by who steers.
            s.killed(Newcomer);
            let why = if code.is_none() { "NodeKilled" } else { "ExporterEnded" };
            s.player(Importer).process.until_fails("put i 0 3", Code::ConnAborted);
            s.says(Importer, "why i", why);
            s.ok(Importer, "disconnect i");
        },
        again: false,
        ..PLAIN
    },
    Story {
        name: "take a link down",
        roles: &[Importer, Agent],
        act: |s| {
            let command = format!("linkdown {}", s.name);
            s.tries(Importer, &command)
        },
        check: |s, code| {
            if code.is_none() {
                s.fails(Importer, "put i 0 3", Code::ConnAborted);
            }
        },
        undo: |s, _| {
            let command = format!("linkup {}", s.name);
            s.ok(Importer, &command);
            s.ok(Exporter, "unpublish e");
            let_go(s, None);
        },
        ..TAKE_BACK
    },
    Story {
        name: "revoke a segment",
        act: |s| {
            let command = format!("revoke {} {}", s.name, 0x40_0000);
            s.tries(Importer, &command)
        },
        check: |s, code| {
            if code.is_none() {
                s.fails(Importer, "put i 16 99", Code::ConnAborted);
            }
        },
        undo: |s, _| {
            s.ok(Exporter, "unpublish e");
            s.is_cut();
            let_go(s, None);
        },
        ..TAKE_BACK
    },
];

/// The stories that are also told to processes which never did the like, and to whom.
pub(crate) fn at_first() -> impl Iterator<Item = (&'static Story, Role)> {
    let first =
        [("create", Exporter), ("adopt", Exporter), ("connect", Importer), ("make a poll descriptor", Exporter)];
    first.into_iter().map(|(name, role)| (STORIES.iter().find(|story| story.name == name).expect("a story"), role))
}

/// Plain transfers, and signals with nobody asleep, make no call at all.
pub(crate) const SILENT: &[(&str, Role, &[&str])] = &[
    ("transfers", Importer, &["put i 0 5", "get i 0", "mode i explicit", "span i 8 1", "put i 0 6", "mode i implicit"]),
    ("a signal with nobody asleep", Importer, &["post i"]),
    ("a signal that is there", Exporter, &["waitexport e 0", "postall e", "read e 0", "write e 0 1"]),
];

/// For [`SILENT`]: an exporter and an importer, connected and warm.
pub(crate) fn warm(s: &mut Scene) {
    connected(s);
    s.is_linked();
}

/// A command in a forked child of the importer's.
fn in_child(s: &mut Scene, command: &str) -> Option<Code> {
    let said = s.ok(Importer, &format!("forkcall {command}"));
    assert!(!said.is_empty(), "the child ended instead of answering");
    s.hears(said)
}

/// A command that sleeps until another role has done something.
fn meanwhile(s: &mut Scene, sleeper: Role, command: &str, (other, does): (Role, &str)) -> Option<Code> {
    s.player(sleeper).process.tell(command);
    s.ok(other, does);
    let said = s.player(sleeper).process.heard();
    s.hears(said)
}

/// A wait that failed has left the signal where it was, and there is only one.
fn signal_is_there(s: &mut Scene, code: Option<Code>, role: Role, wait: &str) {
    if code.is_some() {
        s.ok(role, &format!("{wait} 30000"));
    }
    s.fails(role, &format!("{wait} 0"), Code::Timeout);
}

/// Exporter and importer have joined.
fn both(s: &mut Scene) {
    s.enters(Exporter);
    s.enters(Importer);
}

fn exported(s: &mut Scene) {
    both(s);
    s.ok(Exporter, "export e 131072");
    s.ok(Exporter, "fill e");
}

fn offered(s: &mut Scene) {
    exported(s);
    s.ok(Exporter, &format!("publish e {ID}"));
}

fn connected(s: &mut Scene) {
    offered(s);
    s.ok(Importer, &format!("connect i 1 {ID} rw"));
}

/// The exporter has memory to export.
fn with_room(s: &mut Scene) {
    both(s);
    s.ok(Exporter, &format!("room r {ROOM}"));
}

/// The export is published, and the importer connected and mapped.
fn published(s: &mut Scene) {
    s.ok(Exporter, &format!("publish e {ID}"));
    s.ok(Importer, &format!("connect i 1 {ID} rw"));
    s.ok(Importer, "map i");
    s.ok(Exporter, "fill e");
}

fn published_to_a_stopped(s: &mut Scene) {
    published(s);
    s.player(Importer).process.stop();
}

fn let_go(s: &mut Scene, _: Option<Code>) {
    s.ok(Importer, "unmap i");
    s.ok(Importer, "disconnect i");
}

fn usable(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.ok(Exporter, "fill e");
        s.is_usable();
    }
}

fn destroyed(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.ok(Exporter, "destroy e");
    }
}

fn unpublished(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.ok(Exporter, "unpublish e");
    }
}

fn linked(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.ok(Importer, "map i");
        s.ok(Importer, "unmap i");
        s.is_linked();
    }
}

fn disconnected(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.ok(Importer, "disconnect i");
    }
}

/// After an unpublish: who could reach the memory does not any more.
fn taken_back(s: &mut Scene, code: Option<Code>) {
    if code.is_none() {
        s.is_cut();
        s.ok(Importer, "store i 16 77");
        s.says(Exporter, "read e 16", "5");
        s.says(Exporter, "verify e", "true");
    }
}

fn taken_back_from_the_stopped(s: &mut Scene, code: Option<Code>) {
    s.player(Importer).process.signal(Signal::CONT);
    taken_back(s, code);
}

/// What imports are cut off with is kept from the join on: the newcomer, which imports from itself, has no descriptor when it
/// takes its memory back. One that was not permitted to look does without.
fn is_cut_off_without_descriptors(s: &mut Scene) {
    if !s.may_look() {
        return;
    }
    for command in ["export e 16384", "publish e 0x400000", "connect i 1 0x400000 rw", "map i"] {
        s.ok(Newcomer, command);
    }
    s.ok(Newcomer, "nofile 0");
    s.ok(Newcomer, "unpublish e");
    s.ok(Newcomer, "nofile 1024");
    s.fails(Newcomer, "put i 0 3", Code::ConnAborted);
}

/// An exporter of node 1 that is there for this cell, and the importer connected to it.
fn a_passing_exporter(s: &mut Scene) {
    let environment = s.environment(Exporter);
    s.appears(Newcomer, environment);
    for command in ["export e 16384", "publish e 0x400000"] {
        s.ok(Newcomer, command);
    }
    s.ok(Importer, &format!("connect i 1 {ID} rw"));
}

/// Somebody watches two processes that are connected.
fn watched(s: &mut Scene) {
    connected(s);
    let command = format!("lookon {}", s.name);
    s.ok(Importer, &command);
    sees_puts(s);
}

/// Who watches sees what the importer puts.
fn sees_puts(s: &mut Scene) {
    for role in [Exporter, Importer] {
        s.player(role).process.until("tallies", "ok true");
    }
    let before = s.ok(Importer, "lookedat");
    s.ok(Importer, "put i 24 1");
    let number = |text: &str| text.parse::<u64>().expect("a number");
    let after = s.ok(Importer, "lookedat");
    assert_eq!(number(&after), number(&before) + 1, "one more put");
}

/// The importer is told that its exporter is gone.
fn left_alone(s: &mut Scene) {
    s.player(Importer).process.until_fails("put i 0 3", Code::ConnAborted);
    s.ok(Importer, "disconnect i");
}

/// Codes that an act may give when a call failed so.
pub(crate) fn right(errno: Errno) -> &'static [Code] {
    use Code::*;
    match errno {
        Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::NOSPC | Errno::NOBUFS | Errno::DQUOT => {
            &[InsufficientResources, InsufficientMem, MapFailed]
        }
        // The last for an agent that takes no connections.
        Errno::AGAIN | Errno::TOOMANYREFS | Errno::CONNABORTED => {
            &[InsufficientResources, InsufficientMem, MapFailed, Timeout]
        }
        Errno::INTR => &[Interrupted],
        // The first where it is something that rsm cannot do without.
        Errno::PERM | Errno::ACCESS => &[CtlrNotPresent, PermDenied, InsufficientResources, MapFailed],
        Errno::FBIG => &[BadLength, InsufficientResources, InsufficientMem],
        // A kernel without what was asked for.
        Errno::INVAL | Errno::NOSYS => &[CtlrNotPresent],
        Errno::ADDRINUSE => &[BadConf],
        // The first is what cannot be expected.
        _ => &[InternalError, InsufficientResources, InsufficientMem],
    }
}
