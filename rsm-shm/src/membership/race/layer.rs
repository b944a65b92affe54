//! What a layer above tells, where races are looked for, that reaches the memory of imports by itself: OpenSHMEM, whose PEs tell
//! each other what they have done by words of its own. What it does not tell is not known, and what that orders is reported.

use crate::membership::connection::Connection;

impl Connection {
    /// It reaches the other node's memory beside its calls: what changes there need not be put, nor the other node's own doing.
    pub fn race_reaches(&self) {
        if let Some(racing) = self.membership().racing().filter(|racing| racing.is_by_pages())
            && let Some(process) = racing.process()
        {
            process.reaches(self.node());
        }
    }

    /// It is about to tell the other node something that stands for all that this process has done; what was put and has not
    /// arrived is not part of that.
    pub fn race_tells(&self) {
        if let Some(process) = self.membership().racer() {
            process.post(self.node());
        }
    }

    /// Another node has told this one so.
    pub fn race_is_told(&self) {
        if let (Some(process), Ok(own)) = (self.membership().racer(), self.membership().node()) {
            process.waited(own);
        }
    }

    /// It changes a word of the other node's memory, from which either may learn anything: to be told before and after.
    pub fn race_exchanges(&self) {
        if let Some(process) = self.membership().racer() {
            process.exchanges(self.node());
        }
    }
}
