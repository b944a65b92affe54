//! An emulated PCIe non-transparent bridge: two PCI functions, one for each of two hosts, offered to vfio-user clients
//! such as QEMU.
//!
//! What a host stores to its function's window becomes a store to the other host's memory, where that host has said that
//! it may; a doorbell becomes an interrupt there. The functions have the registers that Linux's `ntb_hw_epf` drives
//! ([`map`]), so Linux brings its whole NTB stack. Beyond being one, the bridge can be a bad one: stores that are late or
//! lost, doorbells that overtake them, a cable that is pulled ([`Options`], [`Emulator`]).
//!
//! ```
//! use rsm_ntb_emu::{Client, Emulator, Options, map};
//!
//! let folder = std::env::temp_dir().join(format!("rsm-ntb-emu-doc-{}", std::process::id()));
//! std::fs::create_dir_all(&folder)?;
//! let paths = [folder.join("a.sock"), folder.join("b.sock")];
//! let emulator = Emulator::start([&paths[0], &paths[1]], Options::default())?;
//!
//! let mut host = Client::connect(&paths[0])?;
//! let mut id = [0; 4];
//! host.read(map::CONFIG, 0, &mut id)?;
//! assert_eq!(u32::from_le_bytes(id), 0x0809_1957);
//! assert!(!emulator.link_is_up(), "the other host has not come");
//! # drop((host, emulator));
//! # std::fs::remove_dir(&folder)?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # The rules of the bridge
//!
//! * Stores through the window are *posted*: they complete at once, wait in a queue of their direction, arrive in order. The queue
//!   holds 16 MiB or 65536 stores; what is stored beyond that pushes the oldest.
//! * A load through the window first delivers all stores of its direction, then reads. A doorbell delivers them too, unless
//!   [`Options::doorbells_overtake`].
//! * Registers, scratchpads among them, are not ordered with the window: what they say may come before what was stored.
//! * A store to memory that is not mapped for the other function, that is mapped for reading only, or that comes while the
//!   link is down, vanishes. A load that fails yields all-ones.
//! * The link is up while the cable is, and both functions are there and have said `LINK_UP`. Each change raises vector 0 on
//!   both sides. What is on its way when the link goes down is lost.
//! * A function without bus mastering reaches no memory and raises no interrupt; without memory enable it does not answer.
//! * A function whose client goes, or that is reset, has no translation and no link any more; one whose client goes
//!   has no mapped memory and no interrupts either. A dead driver under a living client changes nothing: the link stays up.
//!
//! # Trust
//!
//! A client is believed nothing: lengths, ranges and descriptors are looked at before they are used, and a misbehaving
//! client is told so or loses its connection, while the other host goes on. Whoever may open a socket is, of course, that
//! host: keep them in a folder of your own.

mod bridge;
mod client;
mod config;
mod control;
mod count;
mod dma;
mod emulator;
mod function;
mod interrupts;
pub mod map;
mod memory;
mod options;
mod posted;
mod raise;
mod registers;
mod requests;
mod serve;
mod shared;
mod socket;
mod trace;
pub mod wire;

pub use client::{Client, DmaAccess};
pub use control::{Order, tell};
pub use count::{Counts, Stats};
pub use emulator::Emulator;
pub use options::Options;
