//! One of the front's own outputs: what is composed for it, and the sink that writes it.

use rustix::io::Errno;

use super::composer::Composer;
use super::sink::Sink;

/// Takes the lines of all processes for one output.
pub(crate) struct Outlet {
    composer: Composer,
    sink: Sink,
}

impl Outlet {
    pub(crate) fn new(composer: Composer, sink: Sink) -> Outlet {
        Outlet { composer, sink }
    }

    /// Writes lines of the process with this index.
    pub(crate) fn write(&mut self, process: usize, lines: &[u8]) {
        self.sink.fill(|text| self.composer.lines(text, process, lines));
    }

    /// A stream of a process has ended.
    pub(crate) fn end(&mut self, process: usize) {
        self.sink.fill(|text| self.composer.end(text, process));
    }

    /// Writes a line of our own.
    pub(crate) fn say(&mut self, line: &str) {
        self.sink.fill(|text| self.composer.say(text, line));
    }

    /// Whether more may be written without piling up.
    pub(crate) fn has_room(&self) -> bool {
        self.sink.has_room()
    }

    /// Whether everything is out.
    pub(crate) fn is_idle(&self) -> bool {
        self.sink.is_idle()
    }

    /// Bytes that are out.
    pub(crate) fn written(&self) -> u64 {
        self.sink.written()
    }

    /// Why nothing goes out any more.
    pub(crate) fn failure(&self) -> Option<Errno> {
        self.sink.failure()
    }
}
