//! Bells of this host whose waiters are on the other one.

/// Whose bell it is, whose waiter is on the other host.
#[derive(Clone, Copy, Debug)]
pub(in crate::agent) enum Relay {
    /// A mirror's, in this row: that of all who import it.
    Mirror(u32),
    /// Of the connection in this row, of an importer there.
    Importer(u32),
}
