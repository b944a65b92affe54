//! The bridge of a cluster, to people or programs.

use rsm::observe::BridgeInfo;

use super::args::QueryArgs;
use super::cluster::attach;
use super::json;
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::number::counted;
use crate::{print, printable, size};

/// Writes what the agent knows of its bridge. That there is none is an answer.
pub(crate) fn perform(args: &QueryArgs) -> Result<ExitCode, Failure> {
    let observer = attach(args.cluster.as_deref())?;
    let bridge = observer.bridge()?;
    print::answer(&match bridge {
        bridge if args.json => json::document("bridge", &bridge),
        Some(bridge) => render(&bridge),
        None => format!("the cluster {} has one host, and no bridge\n", printable::name(&observer.cluster().name)),
    })
}

fn render(bridge: &BridgeInfo) -> String {
    let here: Vec<String> = bridge.here.iter().map(u32::to_string).collect();
    let met = match bridge.lives {
        0 => "never".to_owned(),
        1 => "once".to_owned(),
        times => format!("{times} times"),
    };
    let rows = [
        ("bridge", format!("{} over {}", bridge.controller, bridge.device)),
        ("state", bridge.state.clone()),
        ("why", bridge.trouble.clone().unwrap_or_default()),
        ("this host", format!("host {}, nodes {}", bridge.host, here.join(", "))),
        ("peer", bridge.peer.as_ref().map_or_else(|| "not there".to_owned(), |name| format!("cluster {name:?}"))),
        ("met", met),
        ("window", format!("{}, in pieces of {}", size::bytes(bridge.window_bytes), size::bytes(bridge.granule_bytes))),
        ("too large", too_large(bridge)),
        (
            "offered",
            format!(
                "{} attached, {} of the other host",
                counted(bridge.slots, "segment", "segments"),
                counted(bridge.exports, "connection", "connections")
            ),
        ),
        (
            "reached",
            format!(
                "{} known, {} of this host",
                counted(bridge.mirrors, "segment", "segments"),
                counted(bridge.imports, "connection", "connections")
            ),
        ),
        ("by the agent", format!("{} loads, {} stores, {} doorbells", bridge.loads, bridge.stores, bridge.doorbells)),
    ];
    let told = rows.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(name, value)| format!("{:14}{}\n", format!("{name}:"), printable::name(&value))).collect()
}

/// What the window has no room for; nothing where there is nothing.
fn too_large(bridge: &BridgeInfo) -> String {
    let (theirs, ours) = (bridge.mirrors_too_large, bridge.exports_too_large);
    match (theirs, ours) {
        (0, 0) => String::new(),
        (theirs, 0) => format!("{} of the other host", counted(theirs, "segment", "segments")),
        (0, ours) => format!("{} of this host", counted(ours, "segment", "segments")),
        (theirs, ours) => format!("{} of the other host, {ours} of this one", counted(theirs, "segment", "segments")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_person_wants_to_know_comes_first() {
        let bridge = BridgeInfo {
            controller: "ntb0".into(),
            device: "local:lab".into(),
            host: 2,
            here: vec![3, 4],
            state: "hello".into(),
            trouble: Some("nobody is at the other end of the bridge yet".into()),
            peer: None,
            lives: 1,
            window_bytes: 64 << 20,
            granule_bytes: 4096,
            slots: 1,
            mirrors: 0,
            mirrors_too_large: 0,
            exports_too_large: 0,
            imports: 0,
            exports: 2,
            loads: 3,
            stores: 4,
            doorbells: 5,
        };
        let expected = "\
bridge:       ntb0 over local:lab
state:        hello
why:          nobody is at the other end of the bridge yet
this host:    host 2, nodes 3, 4
peer:         not there
met:          once
window:       64 MiB, in pieces of 4 KiB
offered:      1 segment attached, 2 connections of the other host
reached:      0 segments known, 0 connections of this host
by the agent: 3 loads, 4 stores, 5 doorbells
";
        assert_eq!(render(&bridge), expected);
        let open = BridgeInfo { state: "open".into(), trouble: None, peer: Some("lab".into()), ..bridge };
        let text = render(&open);
        assert!(!text.contains("why:") && text.contains("peer:         cluster \"lab\"\n"), "{text}");
        for (theirs, ours, says) in [(2, 0, "2 segments of the other host"), (0, 1, "1 segment of this host")] {
            let large = BridgeInfo { mirrors_too_large: theirs, exports_too_large: ours, ..open.clone() };
            let text = render(&large);
            assert!(text.contains(&format!("pieces of 4 KiB\ntoo large:    {says}\noffered:")), "{text}");
        }
        let both = BridgeInfo { mirrors_too_large: 1, exports_too_large: 3, ..open };
        assert_eq!(too_large(&both), "1 segment of the other host, 3 of this one");
    }
}
