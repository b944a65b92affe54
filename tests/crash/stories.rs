//! The stories of the matrix: what is set up, and what happens when anybody may die.

use super::host::{ALONE, Plan};
use super::scene::{ID, Role, Scene};
use Role::{Agent, Exporter, Importer};
use rsm::Code;
use rustix::process::Signal;

/// A story, on how many hosts, and who may die in it under which name.
pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) hosts: &'static [Plan],
    pub(crate) victims: &'static [(Role, &'static str)],
    pub(crate) before: fn(&mut Scene),
    pub(crate) act: fn(&mut Scene),
}

const BOTH: &[(Role, &str)] = &[(Agent, "agent"), (Exporter, "exporter"), (Importer, "importer")];
const EXPORTS: &[(Role, &str)] = &[(Agent, "agent"), (Exporter, "exporter")];
const IMPORTS: &[(Role, &str)] = &[(Agent, "agent"), (Importer, "importer")];

pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "join",
        hosts: ALONE,
        victims: EXPORTS,
        before: |_| {},
        act: |s| {
            s.appears(Exporter);
            s.does(Exporter, "open");
        },
    },
    Story {
        name: "leave",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| s.enters(Exporter),
        act: |s| {
            s.does(Exporter, "member m");
            s.does(Exporter, "leave m");
        },
    },
    Story {
        name: "create",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| s.enters(Exporter),
        act: |s| {
            s.does(Exporter, "export e 16384");
            s.does(Exporter, "fill e");
        },
    },
    Story {
        name: "adopt",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| s.enters(Exporter),
        act: |s| {
            s.does(Exporter, "adopt e 16384");
            s.does(Exporter, "fill e");
        },
    },
    Story {
        name: "publish",
        hosts: ALONE,
        victims: BOTH,
        before: |s| {
            exported(s, "export");
            s.enters(Importer);
            let wait = s.wait("c");
            s.does(Importer, &format!("go c connect i 1 {ID} rw {wait}"));
            s.sleeps(Importer, "c");
        },
        act: |s| {
            s.does(Exporter, &format!("publish e {ID}"));
            s.joins(Importer, "c", None);
        },
    },
    Story {
        name: "ask for memory of the cluster",
        hosts: ALONE,
        victims: BOTH,
        before: |s| {
            s.enters(Exporter);
            s.enters(Importer);
            let wait = s.wait("c");
            s.does(Importer, &format!("go c connect common 0 {ID} rw {wait}"));
            s.sleeps(Importer, "c");
        },
        act: |s| {
            s.does(Exporter, &format!("common common {ID} 4096 rw"));
            s.joins(Importer, "c", None);
        },
    },
    Story {
        name: "republish",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "republish e");
        },
    },
    Story {
        name: "import",
        hosts: ALONE,
        victims: BOTH,
        before: |s| {
            exported(s, "export");
            s.does(Exporter, &format!("publish e {ID}"));
            s.enters(Importer);
        },
        act: |s| {
            for command in
                ["connect i 1 0x400000 rw", "put i 0 5", "get i 0", "narrow i", "map i", "store i 0 6", "span i 8 1"]
            {
                s.does(Importer, command);
            }
            for command in ["unmap i", "unmap i.narrow", "disconnect i"] {
                s.does(Importer, command);
            }
            s.does(Exporter, "verify e");
        },
    },
    Story {
        name: "signal the export",
        hosts: ALONE,
        victims: &[(Agent, "agent"), (Exporter, "waiter"), (Importer, "poster")],
        before: |s| connected(s, "export"),
        act: |s| {
            let wait = s.wait("w");
            s.does(Exporter, &format!("go w waitexport e {wait}"));
            s.sleeps(Exporter, "w");
            s.does(Importer, "post i");
            s.joins(Exporter, "w", None);
        },
    },
    Story {
        name: "signal the import",
        hosts: ALONE,
        victims: &[(Agent, "agent"), (Exporter, "poster"), (Importer, "waiter")],
        before: |s| connected(s, "export"),
        act: |s| {
            let wait = s.wait("w");
            s.does(Importer, &format!("go w waitimport i {wait}"));
            s.sleeps(Importer, "w");
            s.does(Exporter, "postall e");
            s.joins(Importer, "w", None);
        },
    },
    Story {
        name: "poll",
        hosts: ALONE,
        victims: &[(Agent, "agent"), (Exporter, "waiter"), (Importer, "poster")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "pollfd e");
            s.does(Importer, "post i");
            let readable = s.does(Exporter, "polled e");
            if s.does(Exporter, "waitexport e 0").is_some() {
                assert_eq!(readable.as_deref(), Some("true"));
            }
        },
    },
    Story {
        name: "poll and wait",
        hosts: ALONE,
        victims: &[(Exporter, "waiter"), (Importer, "poster")],
        before: |s| {
            connected(s, "export");
            s.does(Exporter, "pollfd e");
            // The pump is the first to sleep, and gets the wake.
            s.pump_sleeps(Exporter);
            let wait = s.wait("w");
            s.does(Exporter, &format!("go w waitexport e {wait}"));
            s.sleeps(Exporter, "w");
        },
        act: |s| {
            s.does(Importer, "post i");
            s.joins(Exporter, "w", None);
        },
    },
    Story {
        name: "unpublish",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "unpublish e");
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "unpublish from a stopped importer",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            stop(s, Importer);
            s.does(Exporter, "unpublish e");
            go_on(s, Importer);
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "unpublish adopted memory from a stopped importer",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| connected(s, "adopt"),
        act: |s| {
            stop(s, Importer);
            s.does(Exporter, "unpublish e");
            go_on(s, Importer);
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "destroy",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "destroy e");
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "destroy adopted memory",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Exporter, "destroy e");
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "rebind",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Exporter, "rebind e");
            s.does(Exporter, "fill e");
            s.does(Importer, "putsome i 3");
        },
    },
    Story {
        name: "rebind under an importer that puts",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Importer, "go p putsome i 20000");
            s.does(Exporter, "rebind e");
            s.does(Exporter, "fill e");
            s.joins(Importer, "p", None);
            s.does(Exporter, "verify e");
        },
    },
    Story {
        name: "one range exported twice",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Exporter, "adoptagain f e");
            s.does(Exporter, "publish f 0x400001");
            s.does(Importer, "connect j 1 0x400001 rw");
            s.does_at_last(Exporter, "unpublish e");
            fails(s, "put i 0 3");
            s.does(Importer, "put j 0 3");
            s.does(Exporter, "destroy e");
            s.does(Importer, "put j 0 4");
            s.does(Exporter, "verify f");
        },
    },
    Story {
        name: "one of two exports of a range is destroyed under a stopped importer",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| {
            connected(s, "adopt");
            s.does(Exporter, "adoptagain f e");
        },
        act: |s| {
            stop(s, Importer);
            s.does(Exporter, "destroy e");
            go_on(s, Importer);
            fails(s, "put i 0 3");
            s.does(Exporter, "publish f 0x400001");
            s.does(Exporter, "verify f");
        },
    },
    Story {
        name: "one of two exports of a range is not destroyed while the other is published",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| {
            connected(s, "adopt");
            s.does(Exporter, "adoptagain f e");
            s.does(Exporter, "publish f 0x400001");
        },
        act: |s| {
            stop(s, Importer);
            s.refused(Exporter, "destroy e", Code::InsufficientResources);
            go_on(s, Importer);
            fails(s, "put i 0 3");
            s.does(Exporter, "unpublish f");
            s.does(Exporter, "verify f");
        },
    },
    Story {
        name: "fork",
        hosts: ALONE,
        victims: IMPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "forkcall put i 0 5");
            s.does(Importer, "put i 0 6");
        },
    },
    Story {
        name: "lose the control socket",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "closefrom 3");
            s.does(Exporter, "export f 16384");
            s.does(Exporter, "fill f");
        },
    },
    Story {
        name: "an interrupted request",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| {
            exported(s, "export");
            s.does(Exporter, "handler");
        },
        act: |s| {
            stop(s, Agent);
            s.does(Exporter, "go t export x 4096");
            s.sleeps(Exporter, "t");
            interrupted(s, "t");
            go_on(s, Agent);
            s.does(Exporter, "export f 16384");
            s.does(Exporter, "fill f");
        },
    },
    Story {
        name: "an interrupted publish that an importer saw",
        hosts: ALONE,
        victims: BOTH,
        before: |s| {
            exported(s, "export");
            s.does(Exporter, "handler");
            s.enters(Importer);
            let wait = s.wait("c");
            s.does(Importer, &format!("go c connect i 1 {ID} rw {wait}"));
            s.sleeps(Importer, "c");
        },
        act: |s| {
            stop(s, Agent);
            s.does(Exporter, &format!("go t publish e {ID}"));
            s.sleeps(Exporter, "t");
            interrupted(s, "t");
            go_on(s, Agent);
            s.joins(Importer, "c", None);
            s.does(Exporter, &format!("publish e {ID}"));
            s.does(Importer, &format!("connect j 1 {ID} rw"));
            s.does(Exporter, "unpublish e");
        },
    },
    Story {
        name: "the link goes down",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Importer, "w");
            s.steers(|steering| steering.link_down(&rsm::steer::Links::between(1, 2)));
            s.joins(Importer, "w", Some(Code::ConnAborted));
            s.steers(|steering| steering.link_up(&rsm::steer::Links::between(1, 2)).map(|()| 0));
        },
    },
    Story {
        name: "the segment is revoked",
        hosts: ALONE,
        victims: BOTH,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Importer, "w");
            s.steers(|steering| steering.revoke_segment(1, rsm::SegmentId::new(0x40_0000)));
            s.joins(Importer, "w", Some(Code::ConnAborted));
            s.does(Exporter, &format!("publish e {ID}"));
        },
    },
    Story {
        name: "the exporter is killed",
        hosts: ALONE,
        victims: IMPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Importer, "w");
            s.kills(Exporter);
            s.joins(Importer, "w", Some(Code::ConnAborted));
        },
    },
    Story {
        name: "the importer is killed",
        hosts: ALONE,
        victims: EXPORTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.kills(Importer);
            s.does(Exporter, "export f 16384");
            s.does(Exporter, "fill f");
        },
    },
    Story {
        name: "the agent is killed",
        hosts: ALONE,
        victims: &[(Exporter, "exporter"), (Importer, "importer")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "go w waitexport e forever");
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Exporter, "w");
            s.sleeps(Importer, "w");
            s.ends(Agent);
            s.kills(Agent);
            s.joins(Exporter, "w", Some(Code::CtlrNotPresent));
            s.joins(Importer, "w", Some(Code::CtlrNotPresent));
        },
    },
    Story {
        name: "the cluster ends",
        hosts: ALONE,
        victims: &[(Agent, "agent")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "go w waitexport e forever");
            s.sleeps(Exporter, "w");
            s.ends(Agent);
            s.does(Agent, "endcluster c");
            s.joins(Exporter, "w", Some(Code::CtlrNotPresent));
        },
    },
];

/// The exporter has a segment, of its own memory or of the program's, with a pattern.
pub(crate) fn exported(s: &mut Scene, how: &str) {
    s.enters(Exporter);
    s.does(Exporter, &format!("{how} e 16384"));
    s.does(Exporter, "fill e");
}

/// And the importer is connected to it, with a mapping.
pub(crate) fn connected(s: &mut Scene, how: &str) {
    exported(s, how);
    s.does(Exporter, &format!("publish e {ID}"));
    s.enters(Importer);
    s.does(Importer, &format!("connect i 1 {ID} rw"));
    s.does(Importer, "map i");
}

/// The importer is told that its connection was cut.
pub(crate) fn fails(s: &mut Scene, command: &str) {
    if let Some(importer) = s.player(Importer).filter(|player| !player.dead)
        && let Some(answer) = importer.process.try_ask(command)
    {
        // Unless nobody was left to cut it.
        let code = rsm_stories::code_of(&answer);
        assert!(code == Some(Code::ConnAborted) || code.is_none() && s.may_be_uncut(), "{command}: {answer}");
    }
}

pub(crate) fn stop(s: &mut Scene, role: Role) {
    if let Some(player) = s.player(role).filter(|player| !player.dead) {
        player.process.stop();
    }
}

pub(crate) fn go_on(s: &mut Scene, role: Role) {
    if let Some(player) = s.player(role).filter(|player| !player.dead) {
        player.process.signal(Signal::CONT);
    }
}

/// Handlers run in a thread of the exporter's until its request is interrupted.
fn interrupted(s: &mut Scene, name: &str) {
    let deadline = std::time::Instant::now() + rsm_stories::patience();
    while s.does(Exporter, &format!("running {name}")).is_some_and(|running| running == "true") {
        s.does(Exporter, &format!("poke {name}"));
        assert!(std::time::Instant::now() < deadline, "{name} is not interrupted");
        std::thread::park_timeout(std::time::Duration::from_millis(1));
    }
    s.joins(Exporter, name, Some(Code::Interrupted));
}
