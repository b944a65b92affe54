//! A span that owns what it is of: Python has no lifetimes.
#![allow(unsafe_code)]

use rsm::{BarrierType, Import, Result, Span};
use std::sync::Arc;

/// An open span of an import.
pub(crate) struct OwnedSpan {
    /// Borrows from `import`; before it, so dropped first.
    span: Span<'static>,
    import: Arc<Import>,
}

impl OwnedSpan {
    /// Opens a span.
    ///
    /// # Errors
    /// As [`Import::open_barrier_of`].
    pub(crate) fn open(import: Arc<Import>, kind: BarrierType) -> Result<OwnedSpan> {
        let span = import.open_barrier_of(kind)?;
        // SAFETY: the span borrows what the `Arc` holds, which neither moves nor goes while there is an `Arc` of it, and this
        // one is dropped after the span. The lifetime leaves this file with neither.
        let span = unsafe { std::mem::transmute::<Span<'_>, Span<'static>>(span) };
        Ok(OwnedSpan { span, import })
    }

    /// As [`Span::order`].
    pub(crate) fn order(&self) -> Result<()> {
        self.span.order()
    }

    /// As [`Span::close`].
    pub(crate) fn close(self) -> Result<()> {
        let OwnedSpan { span, import } = self;
        let closed = span.close();
        drop(import);
        closed
    }
}
