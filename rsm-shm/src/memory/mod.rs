//! Memory: the rooms with unsafe code, each small, each arguing its case.
//!
//! | file | what |
//! |---|---|
//! | [`memfd`] | creating memory objects, sealing them, opening them again with fewer rights |
//! | [`region`] | a mapping that is unmapped when dropped |
//! | `resident` | which pages are there |
//! | [`huge`] | huge pages in shared memory |
//! | [`pages`] | control pages of agents that are each other's peers |
//! | [`tables`] | a mapped registry and mapped bells as records of atomics |
//! | [`view`] | segment memory as users see it: never a `&[u8]` |
//! | `told` | what is done through it, told to the race detector |
//! | [`carry`] | what a transfer moves, whole or in parts |
//! | [`copy`] | moving bytes and words between ordinary and segment memory |
//! | `vector`, `strings`, `neon` | long copies on x86-64, and on aarch64 |
//! | `trust` | how often they look where their target's lines are |
//! | [`trash`] | cutting a mapping off without a fault |
//! | `ours` | what the library mapped and may cover or unmap |
//! | `maps` | reading this process's mappings |
//! | [`inspect`] | what they are of, and what may become a segment |
//! | [`adopt`] | moving what a range holds to another memory, under the feet of threads that use it |
//! | `relocate`, `span`, `geometry` | how it moves: piece by piece, through addresses of our own |
//! | `populate` | making pages present |
//! | `sleepers` | threads that sleep on a word that moves |
//! | `kin` | whether forked children live that share this process's memory |
//! | [`uffd`] | holding stores back |
//! | `dirty` | which pages of a mapping were stored to |
//! | `compared` | a segment beside a copy: what has changed |
//! | `shadow` | what a program is given in place of a mapping |
//! | `twice` | whether memory can be mapped again from its mapping |
//! | [`lease`] | asking the kernel whether anybody still reaches a memory object |
//! | [`fence`] | the full fence |

pub mod adopt;
pub mod carry;
pub(crate) mod compared;
pub mod copy;
pub(crate) mod dirty;
pub mod fence;
mod geometry;
pub mod huge;
pub mod inspect;
pub(crate) mod kin;
pub mod lease;
pub(crate) mod maps;
pub mod memfd;
#[cfg(all(target_arch = "aarch64", not(miri)))]
mod neon;
mod ours;
pub mod pages;
pub(crate) mod populate;
pub mod races;
pub mod region;
mod relocate;
pub(crate) mod resident;
pub(crate) mod shadow;
mod sleepers;
mod span;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod strings;
pub mod tables;
mod told;
pub mod trash;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod trust;
mod twice;
pub mod uffd;
#[cfg(all(target_arch = "x86_64", not(miri)))]
mod vector;
pub mod view;
pub mod words;

/// The system's page size in bytes.
pub fn page_size() -> usize {
    rustix::param::page_size()
}
