//! What a layer above tells of an import where races are looked for ([`crate::membership::race::layer`]).

use super::Connection;

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

    /// It is about to change so many bytes there atomically, a word, with nothing on its way that comes before.
    pub fn race_updates(&self, offset: u64, length: u64) {
        self.race_changes(offset, length);
    }
}
