//! Bridges by what they are called.

use crate::device::Ntb;
use crate::function::PciFunction;
use crate::vfio::Vfio;
use rsm_core::{Code, Error, Result};
use rsm_shm::agent::far::Crossing;
use rsm_shm::agent::far::paged::{Host, Paged};

/// Opens `vfio:ADDRESS`, a PCI function of this machine, which is an x86-64, such as `vfio:0000:01:00.0`; with the feature `emulator` also
/// `epf:SOCKET`, one of an emulated bridge, by which agents meet and no program imports anything: only a machine can map its
/// window. `None` for what is neither.
///
/// # Errors
/// CTLR_NOT_PRESENT for a PCI function where processors are not x86-64; as [`Vfio::open`] and [`Ntb::take_over`].
pub fn open(device: &str, host: Host) -> Option<Result<Box<dyn Crossing>>> {
    match device.split_once(':')? {
        ("vfio", address) => {
            let is_driven = |function| is_driven_on(std::env::consts::ARCH).map(|()| function);
            Some(Vfio::open(address).and_then(is_driven).and_then(|function| crossing(function, host)))
        }
        #[cfg(feature = "emulator")]
        ("epf", socket) => Some(crate::Socket::open(socket.as_ref()).and_then(|function| crossing(function, host))),
        _ => None,
    }
}

/// Members store to the window that they map as they do to memory, in pieces of any size at any place. An x86-64 processor does
/// that to a device, too; others may fault where an access to one is not aligned, and the program that put would be killed.
fn is_driven_on(processor: &str) -> Result<()> {
    if processor == "x86_64" {
        return Ok(());
    }
    let text = format!(
        "vfio:ADDRESS, a PCI function as a bridge, is for x86-64 and not for {processor}, where stores to a device have to be \
         aligned; local:NAME joins two agents of one machine"
    );
    Err(Error::with(Code::CtlrNotPresent, text))
}

fn crossing(function: impl PciFunction + 'static, host: Host) -> Result<Box<dyn Crossing>> {
    Ok(Box::new(Paged::new(Ntb::take_over(function)?, host)?))
}

#[cfg(test)]
mod tests {
    use super::is_driven_on;
    use rsm_core::Code;

    #[test]
    fn functions_are_refused_where_stores_to_them_may_fault() {
        assert!(is_driven_on("x86_64").is_ok());
        let error = is_driven_on("aarch64").unwrap_err();
        assert_eq!(error.code(), Code::CtlrNotPresent);
        assert!(error.detail().contains("for x86-64 and not for aarch64"), "{error}");
    }
}
