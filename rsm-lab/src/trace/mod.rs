//! Traces: every call of a cluster's processes, in a file. What a cluster notes when its lens traces
//! ([`rsm::lens::Lens::trace`]) is written by [`Recorder`] and read by [`Story`].

mod bytes;
mod chrome;
mod file;
mod page;
mod perfetto;
mod recorder;
mod story;
pub mod text;
mod tracks;

pub use bytes::{Seen, Segment, Writer};
pub use chrome::chrome;
pub use file::Beginning;
pub use page::page;
pub use perfetto::perfetto;
pub use recorder::{EVERY, Recorder};
pub use story::{Call, Happening, Look, Process, Story, What};
