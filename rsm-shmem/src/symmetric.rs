//! Where an address of the program's lies: on this PE, and on others.
#![allow(unsafe_code)] // an address that was looked up becomes a place

use crate::job::Job;
use crate::local::Sym;
use crate::place::Place;
use crate::region::{self, DATA, HEAP, Region};
use crate::{Call, end};

impl Job {
    /// The region, and where in it.
    pub(crate) fn find(&self, sym: Sym, bytes: usize) -> Option<(usize, usize)> {
        region::find(&self.regions, sym, bytes)
    }

    /// Symmetric memory of the own PE, or the end of the job.
    pub(crate) fn own(
        &self,
        call: &Call,
        argument: &str,
        sym: Sym,
        bytes: usize,
        align: usize,
    ) -> (Place, usize, usize) {
        self.on(call, argument, sym, bytes, align, self.me)
    }

    /// Symmetric memory of a PE, by its number in the world, or the end of the job.
    pub(crate) fn on(
        &self,
        call: &Call,
        argument: &str,
        sym: Sym,
        bytes: usize,
        align: usize,
        pe: usize,
    ) -> (Place, usize, usize) {
        if sym.is_null() {
            end::fail(call, format_args!("{argument} is NULL"));
        }
        if !sym.address().is_multiple_of(align) {
            end::fail(
                call,
                format_args!("{argument} {:#x} is no multiple of {align}, as its type must be", sym.address()),
            );
        }
        let Some((side, offset)) = self.find(sym, bytes) else { self.fail_range(call, argument, sym, bytes) };
        let base = self.peers[pe].sides[side].base;
        if base.is_null() {
            end::fail(
                call,
                format_args!("{argument} {:#x} is a global variable, and PE {pe} runs another program", sym.address()),
            );
        }
        // SAFETY: inside of the region, which is mapped as long on that PE.
        (unsafe { Place::new(base.wrapping_add(offset)) }, side, offset)
    }

    #[cold]
    #[inline(never)]
    fn fail_range(&self, call: &Call, argument: &str, sym: Sym, bytes: usize) -> ! {
        let (heap, data) = (&self.regions[HEAP], &self.regions[DATA]);
        let address = sym.address();
        let begins = [heap, data].into_iter().find(|region| region.has(region.offset(sym), 1));
        if let Some(region) = begins {
            let left = region.start + region.length - address;
            end::fail(
                call,
                format_args!("{argument} {address:#x} has {bytes} bytes, of which {left} are symmetric memory"),
            );
        }
        let range = |region: &Region| format!("{:#x} to {:#x}", region.start, region.start + region.length);
        end::fail(
            call,
            format_args!(
                "{argument} {address:#x} is not symmetric: neither in the heap ({}) nor a global variable of the program ({})",
                range(heap),
                range(data)
            ),
        )
    }
}
