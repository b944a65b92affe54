//! Interrupt vectors of a bridge, and what each is rung for.

/// Interrupt vectors that are used: the link's and those of [`Vector`].
pub const VECTORS: usize = 4;

/// A doorbell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Vector {
    /// There are messages.
    Messages = 1,
    /// There are signals.
    Signals = 2,
    /// Nobody uses it.
    Spare = 3,
}

impl Vector {
    /// All of them.
    pub const ALL: [Vector; 3] = [Vector::Messages, Vector::Signals, Vector::Spare];
}
