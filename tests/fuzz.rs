//! The bodies of the fuzz targets as ordinary tests: over their seeds, and over mutations of them that are the same in
//! every run. Coverage-guided fuzzing of the same bodies is in `fuzz/` (see `ci/fuzz.sh`); the C functions have their
//! test in `rsm-capi`.

#[path = "../fuzz/bodies/agent.rs"]
mod agent;
#[path = "../fuzz/bodies/messages.rs"]
mod messages;
#[path = "../fuzz/bodies/registry.rs"]
mod registry;
#[path = "../fuzz/bodies/replay.rs"]
mod replay;
#[path = "../fuzz/bodies/script.rs"]
mod script;

#[test]
fn messages_are_read_or_refused() {
    replay::seeds("messages", 20_000, messages::run);
}

#[test]
fn any_registry_is_refused_or_read_to_an_end() {
    replay::seeds("registry", 300, registry::run);
}

#[test]
fn an_agent_serves_on_whatever_is_asked() {
    replay::seeds("agent", 150, agent::run);
}
