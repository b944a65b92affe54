//! What tells an open file from every other.

use rustix::fs::Stat;

/// Device and inode, which tell a memory object from every other.
pub type Identity = (u64, u64);

/// Which file this was told of.
pub(crate) fn of(stat: &Stat) -> Identity {
    #[allow(clippy::useless_conversion)] // Its width differs between architectures.
    (u64::from(stat.st_dev), u64::from(stat.st_ino))
}
