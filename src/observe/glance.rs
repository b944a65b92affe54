//! A look at several clusters at once.

use super::{ClusterInfo, ClusterRef};
use crate::{Error, Result};
use rsm_core::Code;
use rsm_core::registry::{CLUSTER, Registry};
use rsm_shm::address::Address;

/// What a registry says of the cluster as a whole, with who has joined, exports and imports of each node.
pub(super) fn info(registry: &Registry<'_>, nodes: Vec<(bool, u32, u32)>) -> ClusterInfo {
    let (agent_pid, uid) = registry.header.agent();
    let hosts = registry.nodes.iter().map(|row| row.fields().host).max().unwrap_or(0).max(1);
    let common = registry.nodes.get(CLUSTER as usize).map_or(0, |row| row.fields().exports);
    ClusterInfo {
        name: registry.header.name(),
        uid,
        agent_pid,
        nodes: registry.header.node_count(),
        joined: nodes.iter().map(|&(joined, _, _)| u32::from(joined)).sum(),
        processes: registry.header.processes(),
        segments: nodes.iter().map(|&(_, exports, _)| exports).fold(common, u32::saturating_add),
        connections: nodes.iter().map(|&(_, _, imports)| imports).fold(0, u32::saturating_add),
        lens: registry.header.lens().map_or_else(|error| Some(error.detail().to_owned()), |l| l.map(|l| l.to_string())),
        hosts,
    }
}

/// A look at several clusters, one for each of them. All agents are asked at once, and have 2 s together: one that
/// does not answer delays nobody else.
///
/// # Errors
/// Of each cluster those of [`Observer::attach`](super::Observer::attach).
pub fn look_at(clusters: &[ClusterRef]) -> Vec<Result<ClusterInfo>> {
    let addresses: Vec<Result<Address>> = clusters.iter().map(|c| Address::new(&c.name, c.uid)).collect();
    let good: Vec<Address> = addresses.iter().flatten().cloned().collect();
    let mut looks = rsm_shm::membership::glance(&good).into_iter();
    let look = |address: Result<Address>| {
        let look = address.and_then(|_| looks.next().unwrap_or(Err(Error::new(Code::InternalError))))?;
        let registry = look.registry();
        let fields = registry.nodes.iter().skip(1).take(registry.header.node_count() as usize).map(|row| row.fields());
        Ok(info(&registry, fields.map(|f| (f.processes > 0, f.exports, f.imports)).collect()))
    };
    addresses.into_iter().map(look).collect()
}
