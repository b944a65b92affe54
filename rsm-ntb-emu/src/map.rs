//! The register map: where what stands in the regions of a function. It is that of Linux's `ntb_hw_epf`, as it finds it
//! behind the PCI id 1957:0809.
//!
//! All registers are little-endian, 32 bits wide and aligned where nothing else is said.

/// Version of what is described here; it changes with what a driver could notice.
pub const VERSION: u32 = 1;

/// PCI vendor.
pub const VENDOR: u16 = 0x1957;
/// PCI device.
pub const DEVICE: u16 = 0x0809;

/// Region of the registers and scratchpads, BAR 0.
pub const REGISTERS: u32 = 0;
/// Region of the doorbells, BAR 2.
pub const DOORBELLS: u32 = 2;
/// Region of the window, BAR 4.
pub const WINDOW: u32 = 4;
/// Region of the PCI configuration space.
pub const CONFIG: u32 = 7;

/// Bytes of [`REGISTERS`].
pub const REGISTERS_BYTES: u64 = 64 << 10;
/// Bytes of [`DOORBELLS`]. The doorbells themselves take 32; Linux 6.1 takes the size of this region for the most that
/// may be translated.
pub const DOORBELLS_BYTES: u64 = 1 << 20;
/// Bytes of [`CONFIG`].
pub const CONFIG_BYTES: u64 = 4096;

/// Interrupt vectors: 0 for the link, the others for doorbells.
pub const VECTORS: u32 = 8;
/// Scratchpads on each side.
pub const SCRATCHPADS: u32 = 16;

/// Storing a command here executes it, with what is in [`ARGUMENT`].
pub const COMMAND: u64 = 0x0;
/// Argument of the next command.
pub const ARGUMENT: u64 = 0x4;
/// 16 bits, how the last command ended: [`STATUS_OK`] or [`STATUS_ERROR`]. The driver stores 0 when it has seen it.
pub const STATUS: u64 = 0x8;
/// 16 bits, read-only: bit 0 is set while the link is up.
pub const LINK: u64 = 0xa;
/// 0.
pub const TOPOLOGY: u64 = 0xc;
/// Lower half of the address that [`CONFIGURE_WINDOW`] takes: of this host's memory, as its function sees it.
pub const LOWER_ADDRESS: u64 = 0x10;
/// Upper half of it.
pub const UPPER_ADDRESS: u64 = 0x14;
/// Lower half of the size in bytes that [`CONFIGURE_WINDOW`] takes.
pub const LOWER_SIZE: u64 = 0x18;
/// Upper half of it.
pub const UPPER_SIZE: u64 = 0x1c;
/// Windows: 1.
pub const WINDOW_COUNT: u64 = 0x20;
/// Offset of the window in its region: 0.
pub const WINDOW_OFFSET: u64 = 0x24;
/// Offset of this side's scratchpads in [`REGISTERS`]; the other side's follow them.
pub const SCRATCHPAD_OFFSET: u64 = 0x28;
/// [`SCRATCHPADS`].
pub const SCRATCHPAD_COUNT: u64 = 0x2c;
/// Bytes from one doorbell to the next: 4.
pub const DOORBELL_STRIDE: u64 = 0x30;
/// 32 words: what to store to ring doorbell n.
pub const DOORBELL_DATA: u64 = 0x34;
/// 32 words: what to add to n times the stride for the offset of doorbell n in [`DOORBELLS`].
pub const DOORBELL_OFFSET: u64 = 0xb4;
/// Where this side's scratchpads are; a driver reads it from [`SCRATCHPAD_OFFSET`].
pub const OWN_SCRATCHPADS: u64 = 0x400;
/// Where the other side's scratchpads are.
pub const PEER_SCRATCHPADS: u64 = OWN_SCRATCHPADS + 4 * SCRATCHPADS as u64;
/// Where the MSI-X table is; a vfio-user client keeps it itself, and the bridge yields zeros.
pub const MSIX_TABLE: u64 = 0x8000;
/// Where the MSI-X pending bits are, likewise.
pub const MSIX_PENDING: u64 = 0x9000;

/// Says how many vectors the driver uses, in the lower 16 bits; bit 16 says that they are MSI-X.
pub const CONFIGURE_DOORBELLS: u32 = 1;
/// Takes that back.
pub const TEARDOWN_DOORBELLS: u32 = 2;
/// Lets the other host's window lead to address and size; the argument is the window's number, 0. The address is a
/// multiple of 4096, the size at most that of the window.
pub const CONFIGURE_WINDOW: u32 = 3;
/// Lets it lead nowhere.
pub const TEARDOWN_WINDOW: u32 = 4;
/// This side is ready.
pub const LINK_UP: u32 = 5;
/// This side is not ready any more.
pub const LINK_DOWN: u32 = 6;

/// The command was carried out.
pub const STATUS_OK: u16 = 1;
/// The command is unknown, or its argument, address or size is none that it takes.
pub const STATUS_ERROR: u16 = 2;

/// What rings doorbell `vector`, and where in [`DOORBELLS`].
pub const fn doorbell(vector: u32) -> (u64, u32) {
    (vector as u64 * 4, vector)
}
