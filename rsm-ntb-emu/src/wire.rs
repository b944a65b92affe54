//! The messages of vfio-user, version 0.1: a header, fields, perhaps data. A reply repeats number and command of what it
//! answers. All numbers are little-endian, as on every machine that QEMU offers such devices on.

use rustix::io::Errno;

/// Bytes of a header.
pub const HEADER: usize = 16;
/// Most bytes of a region that one message may carry.
pub const MOST_DATA: usize = 1 << 20;
/// Most bytes of a message.
pub const MOST_BYTES: usize = HEADER + 64 + MOST_DATA;
/// Most descriptors beside one message.
pub const MOST_DESCRIPTORS: usize = 16;

/// Bits of [`Header::flags`] that say what a message is: 0 a command, 1 a reply.
pub const KIND: u32 = 0xf;
/// It is a reply.
pub const REPLY: u32 = 1;
/// A command that wants no reply.
pub const NO_REPLY: u32 = 1 << 4;
/// A reply that says why not: see [`Header::error`].
pub const FAILED: u32 = 1 << 5;

/// Commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum Command {
    /// Which version both speak; comes first.
    Version = 1,
    /// Memory of the client's that the device may reach.
    DmaMap = 2,
    /// Memory that it may not reach any more.
    DmaUnmap = 3,
    /// How many regions and kinds of interrupts the device has.
    DeviceInfo = 4,
    /// A region.
    RegionInfo = 5,
    /// A kind of interrupts.
    IrqInfo = 7,
    /// What raises interrupts in the client.
    SetIrqs = 8,
    /// Load.
    RegionRead = 9,
    /// Store.
    RegionWrite = 10,
    /// Reset.
    Reset = 13,
}

impl Command {
    /// All that a device of this crate knows.
    pub const ALL: [Command; 10] = [
        Command::Version,
        Command::DmaMap,
        Command::DmaUnmap,
        Command::DeviceInfo,
        Command::RegionInfo,
        Command::IrqInfo,
        Command::SetIrqs,
        Command::RegionRead,
        Command::RegionWrite,
        Command::Reset,
    ];

    /// The command with this number.
    pub fn from_number(number: u16) -> Option<Command> {
        Command::ALL.into_iter().find(|command| *command as u16 == number)
    }
}

/// What each message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Number of the message, chosen by whoever asks.
    pub number: u16,
    /// [`Command`], as a number.
    pub command: u16,
    /// Bytes of the message, these included.
    pub size: u32,
    /// [`REPLY`], [`NO_REPLY`], [`FAILED`].
    pub flags: u32,
    /// Of a reply that [`FAILED`]: an errno.
    pub error: u32,
}

impl Header {
    /// Takes it from the first bytes of a message.
    pub fn from_bytes(bytes: &[u8; HEADER]) -> Header {
        let mut fields = Fields(bytes);
        // Sixteen bytes are what it takes.
        Header {
            number: fields.u16().unwrap_or_default(),
            command: fields.u16().unwrap_or_default(),
            size: fields.u32().unwrap_or_default(),
            flags: fields.u32().unwrap_or_default(),
            error: fields.u32().unwrap_or_default(),
        }
    }
}

/// A whole message: `body` is what follows the header.
pub fn message(number: u16, command: u16, flags: u32, error: u32, body: &[u8]) -> Vec<u8> {
    let size = (HEADER + body.len()) as u32;
    let mut bytes = Vec::with_capacity(HEADER + body.len());
    bytes.extend(number.to_le_bytes());
    bytes.extend(command.to_le_bytes());
    bytes.extend(size.to_le_bytes());
    bytes.extend(flags.to_le_bytes());
    bytes.extend(error.to_le_bytes());
    bytes.extend(body);
    bytes
}

/// Words one after another, as bytes.
#[derive(Debug, Default)]
pub struct Body(pub Vec<u8>);

impl Body {
    /// With 32-bit words.
    pub fn words(words: &[u32]) -> Body {
        Body(words.iter().flat_map(|word| word.to_le_bytes()).collect())
    }

    /// And then 64-bit ones.
    pub fn and(mut self, words: &[u64]) -> Body {
        self.0.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        self
    }
}

/// What of a message has not been looked at. Everything in it is what its sender says, and may end too early.
#[derive(Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Errno> {
        let (first, rest) = self.0.split_first_chunk::<N>().ok_or(Errno::INVAL)?;
        self.0 = rest;
        Ok(*first)
    }

    /// The next 16 bits.
    ///
    /// # Errors
    /// EINVAL: there is no more, here and below.
    pub fn u16(&mut self) -> Result<u16, Errno> {
        self.take().map(u16::from_le_bytes)
    }

    /// The next 32 bits.
    ///
    /// # Errors
    /// EINVAL.
    pub fn u32(&mut self) -> Result<u32, Errno> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next 64 bits.
    ///
    /// # Errors
    /// EINVAL.
    pub fn u64(&mut self) -> Result<u64, Errno> {
        self.take().map(u64::from_le_bytes)
    }

    /// All that is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// Nothing may be left.
    ///
    /// # Errors
    /// EINVAL: there is more.
    pub fn end(self) -> Result<(), Errno> {
        if self.0.is_empty() { Ok(()) } else { Err(Errno::INVAL) }
    }
}

/// Flag of [`Command::DmaMap`]: the device may load from it.
pub const DMA_READ: u32 = 1;
/// The device may store to it.
pub const DMA_WRITE: u32 = 2;
/// Flag of [`Command::DmaUnmap`]: everything, whatever the range.
pub const UNMAP_ALL: u32 = 2;

/// What [`Command::DeviceInfo`] says of a PCI device.
pub const DEVICE_RESETS: u32 = 1;
/// It is one.
pub const DEVICE_PCI: u32 = 2;
/// Regions of a PCI device.
pub const REGIONS: u32 = 9;
/// Kinds of interrupts of a PCI device.
pub const IRQS: u32 = 5;
/// What a region permits: loads and stores.
pub const REGION_READ_WRITE: u32 = 3;

/// Kind of interrupts: MSI-X vectors.
pub const MSIX: u32 = 2;
/// Kind of interrupts: an error of the device.
pub const ERROR: u32 = 3;
/// Interrupts are raised by event descriptors.
pub const IRQ_EVENTFD: u32 = 1;
/// Their number is given anew as a whole.
pub const IRQ_NORESIZE: u32 = 8;

/// Flag of [`Command::SetIrqs`]: nothing follows.
pub const SET_NONE: u32 = 1;
/// Event descriptors come along.
pub const SET_EVENTFD: u32 = 4;
/// It is about what raises them.
pub const SET_TRIGGER: u32 = 32;
