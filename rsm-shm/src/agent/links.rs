//! Links that are taken down, brought up, or said to have had an error.

use super::Agent;
use rsm_core::crash_point;
use rsm_core::generation::EndCause;
use rsm_core::registry::{LinkChange, LinkWord};
use rsm_core::sync::Ordering::Relaxed;
use rsm_core::{Code, Error, Result};

impl Agent {
    /// Changes the link of imports of `from` from `to`, and the other direction if `both`. Returns how many imports
    /// were cut.
    pub(super) fn set_link(
        &mut self,
        controller: u32,
        from: u32,
        to: u32,
        both: bool,
        change: LinkChange,
    ) -> Result<u32> {
        self.controller_kind(controller)?;
        let mut ways = vec![(from, to)];
        if both && from != to {
            ways.push((to, from));
        }
        // All or nothing.
        for &(from, to) in &ways {
            self.check_link(controller, from, to)?;
        }
        Ok(ways.into_iter().map(|(from, to)| self.change_link(controller, from, to, change)).sum())
    }

    fn check_link(&self, controller: u32, from: u32, to: u32) -> Result<()> {
        self.check_node(from)?;
        self.check_node(to)?;
        let link = self.map.registry().link(controller, from, to);
        if link.is_some_and(|word| LinkWord::from_word(word.load(Relaxed)).exists()) {
            return Ok(());
        }
        let name = self.controller_name(controller);
        let text = format!("there is no link from node {from} to node {to} through {name}");
        Err(Error::with(Code::RemoteNodeUnreachable, text))
    }

    fn change_link(&mut self, controller: u32, from: u32, to: u32, change: LinkChange) -> u32 {
        let through = |c: &super::connections::Connection| {
            c.segment.is_some() && (c.controller, c.importer, c.exporter) == (controller, from, to)
        };
        let cut: Vec<u32> = match change {
            LinkChange::Down => self.connections.iter().filter(|(_, c)| through(c)).map(|(&row, _)| row).collect(),
            LinkChange::Up | LinkChange::Error => Vec::new(),
        };
        let told: Vec<_> =
            cut.iter().filter_map(|row| self.connections.get(row)).map(|c| (c.segment, c.holders.clone())).collect();
        // The generations first: a path that is gone for good is told as CONN_ABORTED and never as BARRIER_FAILURE,
        // after which a program would only try again. Who is woken by the cut finds the link down.
        for &row in &cut {
            self.writer().abort_connection(row, EndCause::LinkDown);
        }
        let changed = self.writer().change_link(controller, from, to, change);
        crash_point!(AgentRelinked);
        let holders = self.cut_connections(&cut, EndCause::LinkDown);
        self.tell_to_look(&holders);
        for (segment, holders) in told {
            segment.into_iter().for_each(|row| self.note_told(row, &holders));
        }
        if changed {
            tracing::debug!(controller, from, to, ?change, imports = cut.len(), "link changed");
            if change == LinkChange::Up {
                self.something_reachable(to);
            }
        }
        u32::try_from(cut.len()).unwrap_or(u32::MAX)
    }
}
