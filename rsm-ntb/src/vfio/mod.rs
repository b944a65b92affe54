//! A PCI function of this machine, by way of VFIO: the kernel gives a process a function whole, and its IOMMU sees to it that
//! the function reaches what it was given and nothing else.

mod addresses;
mod ioctl;
mod mapping;

use crate::function::{Bar, PciFunction, Reach};
use mapping::Window;
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::ffi::CString;
use std::ops::RangeInclusive;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Kinds of interrupts.
const MSIX: u32 = 2;
const ERRORS: u32 = 3;

/// A function of this machine. Whoever holds it has it alone; when it is dropped, the kernel takes back all that it reached.
#[derive(Debug)]
pub struct Vfio {
    /// Size and place in the descriptor of each range.
    regions: [(u64, u64); 4],
    window: Window,
    /// The kernel's file for the window, if that can be mapped beside VFIO: it reaches the window alone. The window is mapped in one
    /// way, here and by others.
    file: Option<OwnedFd>,
    addresses: Vec<RangeInclusive<u64>>,
    // In this order they are closed: the function first.
    device: OwnedFd,
    _group: OwnedFd,
    container: OwnedFd,
}

const BARS: [(Bar, u32); 4] = [(Bar::Registers, 0), (Bar::Doorbells, 2), (Bar::Window, 4), (Bar::Config, 7)];

fn unavailable(text: String) -> Error {
    Error::with(Code::CtlrNotPresent, text)
}

fn open(path: &str) -> rustix::io::Result<OwnedFd> {
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
}

/// The last part of what a link of a function in /sys leads to.
fn link(address: &str, name: &str) -> Option<String> {
    let link = std::fs::read_link(format!("/sys/bus/pci/devices/{address}/{name}")).ok()?;
    Some(link.file_name()?.to_string_lossy().into_owned())
}

/// Whether functions are driven on this architecture. Fences, here and in programs that import, are those of ordinary memory: on
/// x86-64 they hold for a window and doorbells as well. On ARM such a fence is for the processors, and nothing promises that a doorbell
/// does not overtake what was put into the window; and copies reach its memory unaligned, which that of a device refuses.
fn check_architecture(architecture: &str) -> Result<()> {
    if architecture == "x86_64" {
        return Ok(());
    }
    Err(unavailable(format!(
        "PCI functions are driven on x86-64 only: on {architecture} nothing is promised of the order in which stores to a window and \
         to its doorbells arrive. Two agents of one machine can be joined by local:NAME"
    )))
}

impl Vfio {
    /// Opens the function with an address such as `0000:01:00.0`, which has been given to the driver `vfio-pci`.
    ///
    /// # Errors
    /// CTLR_NOT_PRESENT when there is none, when it has another driver or the machine no IOMMU, when somebody else has it, and on
    /// machines that are not x86-64; PERM_DENIED for whoever may not. Each says what to do.
    pub fn open(address: &str) -> Result<Vfio> {
        check_architecture(std::env::consts::ARCH)?;
        let name = CString::new(address).ok().filter(|_| !address.contains('/') && !address.starts_with('.'));
        let name = name.filter(|_| Path::new(&format!("/sys/bus/pci/devices/{address}/vendor")).exists());
        let Some(name) = name else {
            let text =
                format!("there is no PCI function {address}: addresses are like 0000:01:00.0 (lspci -D lists them)");
            return Err(unavailable(text));
        };
        let Some(group) = link(address, "iommu_group") else {
            let text = format!(
                "no IOMMU is in front of PCI function {address}: is it on, here and in the firmware (intel_iommu=on)?"
            );
            return Err(unavailable(text));
        };
        match link(address, "driver") {
            Some(driver) if driver == "vfio-pci" => {}
            driver => {
                let has = driver.map_or("no driver".to_owned(), |driver| format!("the driver {driver}"));
                let text = format!(
                    "PCI function {address} has {has}, and not vfio-pci (driverctl set-override {address} vfio-pci)"
                );
                return Err(unavailable(text));
            }
        }
        let failed = |what: &str, e: Errno| said(e, &format!("{what} of PCI function {address}"), Code::CtlrNotPresent);
        let container =
            open("/dev/vfio/vfio").map_err(|e| said(e, "cannot open /dev/vfio/vfio", Code::CtlrNotPresent))?;
        if !ioctl::is_known(&container).map_err(|e| failed("cannot ask for the VFIO", e))? {
            return Err(unavailable(
                "this kernel's VFIO drives no IOMMU of type 1 (modprobe vfio_iommu_type1)".to_owned(),
            ));
        }
        let path = format!("/dev/vfio/{group}");
        let group = open(&path).map_err(|e| match e {
            Errno::BUSY => unavailable(format!(
                "another process has PCI function {address}, such as another agent ({path} is busy)"
            )),
            e => said(e, &format!("cannot open {path}"), Code::CtlrNotPresent),
        })?;
        if !ioctl::is_viable(&group).map_err(|e| failed("cannot look at the group", e))? {
            let text = format!(
                "other functions beside {address} are behind the same IOMMU ({path}) and have drivers other than vfio-pci"
            );
            return Err(unavailable(text));
        }
        ioctl::enter(&group, &container).map_err(|e| failed("cannot use the IOMMU", e))?;
        let device = ioctl::device(&group, &name).map_err(|e| failed("cannot have the descriptor", e))?;
        let mut regions = [(0, 0); 4];
        for (bar, index) in BARS {
            regions[bar as usize] = ioctl::region(&device, index).map_err(|e| failed("cannot find the ranges", e))?;
        }
        let (bytes, at) = regions[Bar::Window as usize];
        if bytes == 0 {
            return Err(unavailable(format!("PCI function {address} has no window (BAR 4)")));
        }
        let (window, file) = match window_file(address, bytes) {
            Some((window, file)) => (window, Some(file)),
            None => (Window::new(device.as_fd(), at, bytes).map_err(|e| failed("cannot map the window", e))?, None),
        };
        let addresses = addresses::of(&ioctl::iommu(&container).map_err(|e| failed("cannot ask for the IOMMU", e))?);
        Ok(Vfio { regions, window, file, addresses, device, _group: group, container })
    }

    /// Where a range of bytes is in the descriptor.
    fn place(&self, bar: Bar, at: u64, bytes: usize) -> Result<u64> {
        let (size, place) = self.regions[bar as usize];
        let end = at.checked_add(bytes as u64);
        end.filter(|end| *end <= size).map(|_| place + at).ok_or_else(|| outside(bar, at))
    }
}

/// The kernel's file for the window of a function, and the window mapped from it; `None` where that cannot be: kernels of late keep
/// what VFIO drives to VFIO, and so do those that are locked down.
fn window_file(address: &str, bytes: u64) -> Option<(Window, OwnedFd)> {
    let file = open(&format!("/sys/bus/pci/devices/{address}/resource4_wc")).ok()?;
    let window = Window::new(file.as_fd(), 0, bytes).ok()?;
    Some((window, file))
}

fn outside(bar: Bar, at: u64) -> Error {
    Error::with(Code::BadOffset, format!("the bridge's function has no word at {at:#x} of its {bar:?}"))
}

/// The error for what the kernel said; `wrong` is the code for what it does not take.
fn said(errno: Errno, tried: &str, wrong: Code) -> Error {
    let code = match errno {
        Errno::INVAL | Errno::EXIST | Errno::FAULT => wrong,
        Errno::NOMEM => Code::InsufficientMem,
        Errno::NOSPC | Errno::MFILE | Errno::NFILE => Code::InsufficientResources,
        Errno::ACCESS | Errno::PERM => Code::PermDenied,
        _ => Code::CtlrNotPresent,
    };
    Error::with(code, format!("{tried}: {}", std::io::Error::from(errno)))
}

impl PciFunction for Vfio {
    fn bytes(&self, bar: Bar) -> Result<u64> {
        Ok(self.regions[bar as usize].0)
    }

    fn load(&self, bar: Bar, at: u64, into: &mut [u8]) -> Result<()> {
        if bar == Bar::Window {
            return self.window.load(at, into).ok_or_else(|| outside(bar, at));
        }
        let place = self.place(bar, at, into.len())?;
        // The kernel makes one access of it.
        match rustix::io::pread(&self.device, &mut *into, place) {
            Ok(bytes) if bytes == into.len() => Ok(()),
            Ok(_) => Err(outside(bar, at)),
            Err(e) => Err(said(e, "cannot load from the bridge's function", Code::BadOffset)),
        }
    }

    fn store(&self, bar: Bar, at: u64, bytes: &[u8]) -> Result<()> {
        if bar == Bar::Window {
            return self.window.store(at, bytes).ok_or_else(|| outside(bar, at));
        }
        let place = self.place(bar, at, bytes.len())?;
        match rustix::io::pwrite(&self.device, bytes, place) {
            Ok(written) if written == bytes.len() => Ok(()),
            Ok(_) => Err(outside(bar, at)),
            Err(e) => Err(said(e, "cannot store to the bridge's function", Code::BadOffset)),
        }
    }

    fn addresses(&self) -> Vec<RangeInclusive<u64>> {
        self.addresses.clone()
    }

    fn map_dma(&self, address: u64, memory: BorrowedFd<'_>, length: u64, permission: Permission) -> Result<()> {
        mapping::pin(&self.container, memory, address, length, permission).map_err(|e| match e {
            // Of an unprivileged process what is pinned counts as locked.
            Errno::NOMEM => {
                let text = format!(
                    "{length} bytes cannot be pinned for the bridge: the limit of locked memory counts (ulimit -l): {e}"
                );
                Error::with(Code::InsufficientMem, text)
            }
            e => said(e, &format!("cannot map {length} bytes for the bridge at {address:#x}"), Code::BadAddr),
        })
    }

    fn unmap_dma(&self, address: u64, length: u64) -> Result<()> {
        let unmapped = ioctl::unmap_dma(&self.container, address, length);
        match unmapped
            .map_err(|e| said(e, &format!("cannot unmap memory of the bridge at {address:#x}"), Code::BadAddr))?
        {
            bytes if bytes == length => Ok(()),
            bytes => {
                let text = format!("{bytes} bytes were mapped for the bridge at {address:#x}, and not {length}");
                Err(Error::with(Code::BadAddr, text))
            }
        }
    }

    fn reach(&self) -> Result<Reach> {
        let (memory, offset) = match &self.file {
            Some(file) => (file, 0),
            None => (&self.device, self.regions[Bar::Window as usize].1),
        };
        let memory = memory.try_clone().map_err(|e| {
            Error::with(Code::InsufficientResources, format!("no descriptor for the window of a bridge: {e}"))
        })?;
        Ok(Reach { memory, offset, wide: self.file.is_none() })
    }

    fn set_interrupts(&self, vectors: &[BorrowedFd<'_>], error: BorrowedFd<'_>) -> Result<()> {
        let failed = |e| said(e, "cannot set interrupts of the bridge's function", Code::InternalError);
        let there = ioctl::interrupts(&self.device, MSIX).map_err(failed)?;
        if vectors.len() > there as usize {
            let text = format!("the bridge's function has {there} interrupt vectors, and not {}", vectors.len());
            return Err(Error::with(Code::InsufficientResources, text));
        }
        ioctl::set_interrupts(&self.device, MSIX, vectors).map_err(failed)?;
        // Not every machine tells of errors.
        if ioctl::interrupts(&self.device, ERRORS).is_ok_and(|there| there > 0) {
            ioctl::set_interrupts(&self.device, ERRORS, &[error]).map_err(failed)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_its_order_is_known_is_a_window_driven() {
        assert_eq!(check_architecture("x86_64"), Ok(()));
        let error = check_architecture("aarch64").unwrap_err();
        assert_eq!(error.code(), Code::CtlrNotPresent);
        assert!(error.detail().contains("x86-64 only: on aarch64"), "{error}");
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn a_function_that_cannot_be_had_is_told_with_what_to_do() {
        for address in ["", "01:00.0", "0000:ff:1f.7", "../devices/0000:00:00.0", ".", "..", "a\0b"] {
            let error = Vfio::open(address).unwrap_err();
            assert_eq!(error.code(), Code::CtlrNotPresent);
            assert!(error.detail().contains("0000:01:00.0"), "{error}");
        }
    }
}
