//! The topology, as one block of the original's layout (reference 2.5).

use crate::entry::entry;
use crate::entry::fail;
use rsm::{LocalController, Node};
use rsm_core::Code;
use std::ffi::{c_int, c_void};

const NAME: usize = 256;
const HEADER: usize = 8;
const ADAPTER: usize = 272;
const REMOTE: usize = 280;

/// Makes the block; the caller frees it with `rsm_free_interconnect_topology`. Reference 1.4.
///
/// # Safety
/// `topology` is NULL or writable.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_get_interconnect_topology(topology: *mut *mut c_void) -> c_int {
    entry(|| {
        if topology.is_null() {
            return fail(Code::BadTopologyPtr);
        }
        // SAFETY: writable by the caller's promise.
        unsafe { topology.write(std::ptr::null_mut()) };
        let Ok(found) = Node::current().and_then(|node| node.topology()) else { return fail(Code::CtlrNotPresent) };
        let count = found.controllers.len();
        let adapter = |c: &LocalController| ADAPTER + REMOTE * c.remotes.len();
        let bytes = HEADER + 8 * count + found.controllers.iter().map(adapter).sum::<usize>();
        // SAFETY: a plain allocation, freed with free(3).
        let block = unsafe { libc::calloc(1, bytes) }.cast::<u8>();
        if block.is_null() {
            return fail(Code::InsufficientMem);
        }
        let mut writer = Block { block, at: 0, bytes };
        writer.put(&found.local_node.to_ne_bytes());
        writer.put(&u32::try_from(count).unwrap_or(u32::MAX).to_ne_bytes());
        let mut place = HEADER + 8 * count;
        for controller in &found.controllers {
            writer.put(&(block.addr() + place).to_ne_bytes());
            place += adapter(controller);
        }
        for controller in &found.controllers {
            writer.put(&name(&controller.name));
            writer.put(&controller.address.to_ne_bytes());
            writer.put(&u32::try_from(controller.remotes.len()).unwrap_or(u32::MAX).to_ne_bytes());
            writer.put(&[0; 4]);
            for remote in &controller.remotes {
                writer.put(&remote.node.to_ne_bytes());
                writer.put(&name(&remote.name));
                writer.put(&[0; 4]);
                writer.put(&remote.address.to_ne_bytes());
                writer.put(&(remote.state as u32).to_ne_bytes());
                writer.put(&[0; 4]);
            }
        }
        // SAFETY: as above.
        unsafe { topology.write(block.cast()) };
        Ok(())
    })
}

/// Frees a block; NULL is ignored. Reference 1.5.
///
/// # Safety
/// `topology` is NULL or a block that was not freed yet.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rsm_free_interconnect_topology(topology: *mut c_void) {
    // SAFETY: allocated with calloc, by the caller's promise.
    unsafe { libc::free(topology) };
}

/// A name padded with zeroes; at most 255 bytes, so that it ends.
fn name(text: &str) -> [u8; NAME] {
    let mut padded = [0; NAME];
    let bytes = text.as_bytes();
    let length = bytes.len().min(NAME - 1);
    padded[..length].copy_from_slice(&bytes[..length]);
    padded
}

struct Block {
    block: *mut u8,
    at: usize,
    bytes: usize,
}

impl Block {
    fn put(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.bytes - self.at, "the block was measured");
        // SAFETY: inside the block by the assertion.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.block.add(self.at), bytes.len()) };
        self.at += bytes.len();
    }
}
