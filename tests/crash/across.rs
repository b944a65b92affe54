//! The stories whose exporter is on one host and whose importer on another, with an agent each.

use super::host::TWO;
use super::scene::{ID, Role};
use super::stories::{Story, connected, exported, fails, go_on, stop};
use Role::{Agent, Exporter, FarAgent, Importer};
use rsm::Code;

const ALL: &[(Role, &str)] =
    &[(Agent, "agent"), (FarAgent, "far agent"), (Exporter, "exporter"), (Importer, "importer")];
const AGENTS: &[(Role, &str)] = &[(Agent, "agent"), (FarAgent, "far agent")];

pub(crate) const STORIES: &[Story] = &[
    Story {
        name: "two hosts meet",
        hosts: TWO,
        victims: AGENTS,
        before: |s| {
            s.enters(Exporter);
            s.does(Exporter, "export e 16384");
            s.does(Exporter, "fill e");
            s.does(Exporter, &format!("publish e {ID}"));
            s.kills(FarAgent);
            s.loses(FarAgent);
        },
        act: |s| s.succeeds(FarAgent),
    },
    Story {
        name: "publish to another host",
        hosts: TWO,
        victims: ALL,
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
        name: "republish to another host",
        hosts: TWO,
        victims: ALL,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "republish e");
            s.does(Importer, &format!("connect j 1 {ID} rw"));
        },
    },
    Story {
        name: "import from another host",
        hosts: TWO,
        victims: ALL,
        before: |s| {
            exported(s, "export");
            s.does(Exporter, &format!("publish e {ID}"));
            s.enters(Importer);
        },
        act: |s| {
            for command in ["connect i 1 0x400000 rw", "put i 0 5", "get i 0", "map i", "store i 0 6", "span i 8 1"] {
                s.does(Importer, command);
            }
            for command in ["unmap i", "disconnect i"] {
                s.does(Importer, command);
            }
            s.does(Exporter, "verify e");
        },
    },
    Story {
        name: "signal an export of another host",
        hosts: TWO,
        victims: &[(Agent, "agent"), (FarAgent, "far agent"), (Exporter, "waiter"), (Importer, "poster")],
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
        name: "signal an import of another host",
        hosts: TWO,
        victims: &[(Agent, "agent"), (FarAgent, "far agent"), (Exporter, "poster"), (Importer, "waiter")],
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
        name: "unpublish what another host imports",
        hosts: TWO,
        victims: ALL,
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Exporter, "unpublish e");
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "unpublish from a stopped importer of another host",
        hosts: TWO,
        victims: &[(Agent, "agent"), (FarAgent, "far agent"), (Exporter, "exporter")],
        before: |s| connected(s, "adopt"),
        act: |s| {
            stop(s, Importer);
            s.does(Exporter, "unpublish e");
            go_on(s, Importer);
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "destroy what another host imports",
        hosts: TWO,
        victims: ALL,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Exporter, "destroy e");
            fails(s, "put i 0 3");
        },
    },
    Story {
        name: "rebind what another host imports",
        hosts: TWO,
        victims: ALL,
        before: |s| connected(s, "adopt"),
        act: |s| {
            s.does(Exporter, "rebind e");
            s.does(Exporter, "fill e");
            s.does(Importer, "putsome i 3");
        },
    },
    Story {
        name: "the link to another host goes down",
        hosts: TWO,
        victims: ALL,
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
        name: "the exporter on another host is killed",
        hosts: TWO,
        victims: &[(Agent, "agent"), (FarAgent, "far agent"), (Importer, "importer")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Importer, "w");
            s.kills(Exporter);
            s.joins(Importer, "w", Some(Code::ConnAborted));
        },
    },
    Story {
        name: "the importer on another host is killed",
        hosts: TWO,
        victims: &[(Agent, "agent"), (FarAgent, "far agent"), (Exporter, "exporter")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.kills(Importer);
            s.does(Exporter, "export f 16384");
            s.does(Exporter, "fill f");
        },
    },
    Story {
        name: "the agent of the exporter's host is killed",
        hosts: TWO,
        victims: &[(FarAgent, "far agent"), (Importer, "importer")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.does(Importer, "go w waitimport i forever");
            s.sleeps(Importer, "w");
            s.ends(Agent);
            s.kills(Agent);
            s.joins(Importer, "w", Some(Code::ConnAborted));
        },
    },
    Story {
        name: "the agent of the importer's host is killed",
        hosts: TWO,
        victims: &[(Agent, "agent"), (Exporter, "exporter")],
        before: |s| connected(s, "export"),
        act: |s| {
            s.ends(FarAgent);
            s.kills(FarAgent);
            s.does(Exporter, "unpublish e");
            s.does(Exporter, &format!("publish e {ID}"));
        },
    },
    Story {
        name: "the cluster of one host ends",
        hosts: TWO,
        victims: AGENTS,
        before: |s| connected(s, "export"),
        act: |s| {
            s.ends(FarAgent);
            s.does(FarAgent, "endcluster c");
        },
    },
];
