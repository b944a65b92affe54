//! How a forked child comes to share the connections that it inherited.

use super::Connection;
use crate::membership::flags::Flags;
use rsm_core::{Code, Result};

impl Connection {
    /// In a forked child: makes the agent know this process, so that it is told when the connection is cut.
    ///
    /// # Errors
    /// INSUFFICIENT_RESOURCES without descriptors or threads for it.
    pub fn adopt_process(&self) -> Result<()> {
        if !self.flags.now().has(Flags::INHERITED) {
            return Ok(());
        }
        // Transfers come here unshielded, and this joins.
        let _shield = crate::cancel::Shield::raise();
        match self.membership().tie_in_a_moment() {
            Ok(Some(_)) => {}
            // The agent does not answer now: what the registry says of the connection holds meanwhile.
            Ok(None) => return Ok(()),
            // Without an agent nothing is ever cut: what is mapped goes on working.
            Err(error) if error.code() == Code::CtlrNotPresent => {}
            Err(error) => return Err(error),
        }
        self.flags.clear(Flags::INHERITED);
        Ok(())
    }
}
