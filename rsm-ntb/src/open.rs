//! Bridges by what they are called.

use crate::device::Ntb;
use crate::function::PciFunction;
use crate::vfio::Vfio;
use rsm_core::Result;
use rsm_shm::agent::far::Crossing;
use rsm_shm::agent::far::paged::{Host, Paged};

/// Opens `vfio:ADDRESS`, a PCI function of this machine, which is an x86-64, such as `vfio:0000:01:00.0`; with the feature `emulator` also
/// `epf:SOCKET`, one of an emulated bridge, by which agents meet and no program imports anything: only a machine can map its
/// window. `None` for what is neither.
///
/// # Errors
/// As [`Vfio::open`] and [`Ntb::take_over`].
pub fn open(device: &str, host: Host) -> Option<Result<Box<dyn Crossing>>> {
    match device.split_once(':')? {
        ("vfio", address) => Some(Vfio::open(address).and_then(|function| crossing(function, host))),
        #[cfg(feature = "emulator")]
        ("epf", socket) => Some(crate::Socket::open(socket.as_ref()).and_then(|function| crossing(function, host))),
        _ => None,
    }
}

fn crossing(function: impl PciFunction + 'static, host: Host) -> Result<Box<dyn Crossing>> {
    Ok(Box::new(Paged::new(Ntb::take_over(function)?, host)?))
}
