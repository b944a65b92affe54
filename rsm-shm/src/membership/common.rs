//! Segments of the cluster, which no node owns: asked for, and then imported like any other, from node 0.

use super::connection::Connection;
use super::control::unexpected;
use super::segment::default_mode;
use super::{Membership, room};
use rsm_core::access::{AccessList, Permission};
use rsm_core::lens::inject::{Call, Place};
use rsm_core::message::{Answer, Ask};
use rsm_core::registry::{CLUSTER, Found};
use rsm_core::{Code, Result};
use std::sync::Arc;

impl Membership {
    /// Makes a segment of the cluster of `length` zeroed bytes, unless it is there already, and connects to it. Its pages come
    /// with the first access to each, or with a map.
    ///
    /// # Errors
    /// Those of `rsm_memseg_export_create` for the length, of `rsm_memseg_export_publish` for id and list, and of
    /// [`connect`](Self::connect); RESERVED_SEGID also for id 0, BAD_LENGTH also when it is there with another length.
    pub fn common(
        self: &Arc<Membership>,
        controller: u32,
        id: u32,
        length: u64,
        permission: Permission,
        access: &AccessList,
    ) -> Result<Arc<Connection>> {
        self.node()?;
        self.check_length(controller, length)?;
        self.check_refused(Place::own(Call::Create), Code::InsufficientMem)?;
        if matches!(self.registry().find(CLUSTER, id), Found::Nothing) {
            self.check_room(|| room::check(length))?;
        }
        let ask = Ask::MakeCommon { controller, id, length, default_mode: default_mode()?, access: access.clone() };
        match self.ask(ask)?.0 {
            Answer::Common { .. } => self.connect(controller, CLUSTER, id, permission),
            other => Err(unexpected(&other)),
        }
    }
}
