//! The bridge, for people.

use super::Across;
use crate::agent::Agent;
use crate::agent::far::{Carrier, Limits, Peering};
use rsm_core::message::SegmentName;
use rsm_core::peer::life::Stage;
use rsm_core::peer::outbox::Facts;
use rsm_core::peer::report::{MOST_TROUBLE, Report};
use rsm_core::registry::ControllerRow;

impl Across {
    /// What the registry does not say; `None` while it is looked at.
    fn report(&self) -> Option<Report> {
        let host = self.host.as_ref()?;
        let (bridge, number) = (host.bridge(), |count: usize| u32::try_from(count).unwrap_or(u32::MAX));
        let (slots, imports, exports) = host.between();
        let Limits { window, granule } = bridge.limits();
        let state = match bridge.stage() {
            None => "closed",
            Some(Stage::Hello) => "hello",
            Some(Stage::Syncing) => "syncing",
            Some(Stage::Open) => "open",
        };
        Some(Report {
            device: self.device.clone(),
            state: state.to_owned(),
            trouble: bridge.trouble().map(|text| text.chars().take(MOST_TROUBLE).collect()),
            peer: self.peer.clone(),
            lives: host.lives(),
            window,
            granule,
            slots: number(slots),
            mirrors: number(host.mirror().map_or(0, |mirror| mirror.segments().count())),
            mirrors_too_large: number(host.mirror().map_or(0, |mirror| {
                let theirs = mirror.segments().filter(|publication| !publication.modes.is_empty());
                theirs.filter(|publication| host.room().is_some_and(|(room, _)| publication.length > room)).count()
            })),
            imports: number(imports),
            exports: number(exports),
            traffic: bridge.traffic(),
            ..Report::default()
        })
    }
}

impl Agent {
    /// Segments of this host that nodes of the other may connect to, and that its window has no room for.
    fn exports_too_large(&self) -> usize {
        let room = self.across.as_ref().and_then(|across| across.host.as_ref()?.room());
        let Some((_, room)) = room else { return 0 };
        let large = self.books.segments.iter().filter(|(_, segment)| segment.length > room && segment.far.is_none());
        let names = large.map(|(&row, segment)| SegmentName { row, incarnation: segment.incarnation });
        names.filter_map(|name| self.publication(name)).filter(|publication| !publication.modes.is_empty()).count()
    }

    /// The bridge of a cluster of two hosts.
    pub(in crate::agent) fn bridge_report(&self) -> Option<Box<Report>> {
        let report = self.across.as_ref()?.report()?;
        let registry = self.map.registry();
        let row = self.bridge.and_then(|controller| registry.controllers.get(controller as usize));
        let host = self.here.first().map_or(0, |node| registry.nodes[node as usize].fields().host);
        let (controller, here) = (row.map_or_else(String::new, ControllerRow::name), self.here.bits());
        let exports_too_large = u32::try_from(self.exports_too_large()).unwrap_or(u32::MAX);
        Some(Box::new(Report { controller, here, host, exports_too_large, ..report }))
    }
}
