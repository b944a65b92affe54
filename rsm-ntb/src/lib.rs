//! The devices of PCIe non-transparent bridges: what an agent of rsm needs of one to reach the memory of another host.
//!
//! A bridge joins two hosts, with one PCI function in each. Each lets the other one store to and load from a *window*: an
//! address range of its function behind which this host has *attached* memory. *Doorbells* raise interrupts on the other
//! side. Law and order of all this are the device's:
//!
//! * Stores to the other host are posted: they complete at once, arrive in order, and vanish where they lead nowhere.
//! * A load comes after the stores before it, and yields all-ones where it fails.
//! * A doorbell may overtake stores: store, [`fence`](Words::fence), load back, then ring. Who is rung looks at memory, and
//!   takes doorbells that are early, late or doubled for normal.
//! * That the link is up says that both drivers said so, not that anybody lives.
//!
//! [`Epf`] drives a function with the registers of Linux's `ntb_hw_epf`, through a [`PciFunction`], which is how the function is
//! reached: [`Vfio`] reaches one of this machine, `Socket` (feature `emulator`) that of an emulated bridge
//! (`rsm-ntb-emu`) without any machine.
//! [`Offsets`] says what of the window is free.
//!
//! What attaches memory takes long and is done by a thread of the bridge's; that it is done arrives as an [`Event`].
//! [`Ntb`] is the whole as an agent uses it, with control pages. Nothing here knows what a segment or a node is.

mod attached;
mod device;
mod enable;
mod epf;
mod event;
#[cfg(test)]
mod fake;
mod function;
mod iova;
mod job;
mod open;
mod raised;
mod registers;
#[cfg(feature = "emulator")]
mod socket;
mod vector;
mod vfio;
mod window;
mod words;

pub use attached::Limits;
pub use device::Ntb;
pub use epf::{Control, Epf};
pub use event::Event;
pub use function::{Bar, PciFunction, Reach};
pub use job::Job;
pub use open::open;
#[cfg(feature = "emulator")]
pub use socket::Socket;
pub use vector::{VECTORS, Vector};
pub use vfio::Vfio;
pub use window::Offsets;
pub use words::Words;
