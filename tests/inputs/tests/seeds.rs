//! The bodies of the fuzz targets over their seeds, and over mutations of them that are the same in every run.

use rsm_inputs::{agent, capi, messages, peer, registry, replay};

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

#[test]
fn any_arguments_of_c_functions_have_an_answer() {
    replay::seeds("capi", 1000, capi::run);
}

#[test]
fn whatever_another_host_stores_is_looked_at() {
    replay::seeds("peer", 1000, peer::run);
}
