//! How each feature is tried.
#![allow(unsafe_code)]

use super::Feature;
use crate::error::from_errno;
use crate::memory::memfd::{self, Sealing};
use crate::memory::region::Region;
use crate::memory::uffd::{self, Mode};
use crate::memory::{dirty, huge, lease, maps, populate};
use crate::{guest, private_table, socket};
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;
use std::path::Path;

/// Uses it, once and without traces.
pub(super) fn probe(feature: Feature) -> Result<()> {
    match feature {
        Feature::MemoryObjects => memfd::create("rsm-probe", 4096).map(drop),
        Feature::FutureWriteSeal => {
            memfd::create("rsm-probe", 4096).and_then(|object| memfd::seal(object, Sealing::SizeAndFutureWrites))
        }
        Feature::NoExecSeal => {
            let wanted = rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::NOEXEC_SEAL;
            named(rustix::fs::memfd_create("rsm-probe", wanted).map(drop), "MFD_NOEXEC_SEAL")
        }
        Feature::Proc => {
            memfd::create("rsm-probe", 4096).and_then(|object| memfd::reopen(object, Permission::Read)).map(drop)
        }
        Feature::ProcessDescriptors => {
            let flags = rustix::process::PidfdFlags::empty();
            named(rustix::process::pidfd_open(rustix::process::getpid(), flags).map(drop), "pidfd_open")
        }
        Feature::PeerProcessDescriptor => {
            let (here, _there) = socket::packet_pair()?;
            // A socket pair has a peer, ourselves; the process lives.
            socket::peer_pidfd(&here)?.map(drop).ok_or_else(|| missing("SO_PEERPIDFD", Errno::NOPROTOOPT))
        }
        Feature::RefuseDescriptors => {
            let (here, _there) = socket::packet_pair()?;
            let refuses = socket::refuse_descriptors(&here);
            refuses.then_some(()).ok_or_else(|| missing("SO_PASSRIGHTS", Errno::NOPROTOOPT))
        }
        // It takes a thread, and a C library whose threads cannot sleep ends the process.
        Feature::PrivateTables => probe(Feature::Futex).and_then(|()| private_table::aside(|| Ok(()))),
        Feature::Futex => named(futex(libc::SYS_futex), "FUTEX_WAIT"),
        Feature::FutexWaitv => named(futex(libc::SYS_futex_waitv), "futex_waitv"),
        Feature::Leases => memfd::create("rsm-probe", 4096).and_then(lease::only_original).map(drop),
        Feature::WriteProtection => named(uffd::probe().map(drop), "userfaultfd"),
        Feature::WriteProtectionOfKernel => match uffd::probe() {
            Ok((Mode::UserOnly, _)) => Err(missing("userfaultfd for faults in the kernel", Errno::PERM)),
            other => named(other.map(drop), "userfaultfd"),
        },
        Feature::WriteProtectionOfShared => within(|reach| reach.shared, "UFFD_FEATURE_WP_HUGETLBFS_SHMEM"),
        Feature::WriteProtectionOfUnpopulated => within(|reach| reach.unpopulated, "UFFD_FEATURE_WP_UNPOPULATED"),
        Feature::DirtyPages => named(dirty::probe(), "UFFD_FEATURE_WP_ASYNC, PAGEMAP_SCAN"),
        Feature::Populate => named(populate::probe(), "MADV_POPULATE_READ"),
        Feature::ProcmapQuery => named(maps::probe(), "PROCMAP_QUERY"),
        Feature::HugePages => huge_pages(huge::huge_page_size(), Path::new("/")),
    }
}

pub(super) fn missing(what: &str, errno: Errno) -> Error {
    match errno {
        Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::AGAIN => from_errno(errno, what),
        errno => Error::with(Code::CtlrNotPresent, format!("{what}: {errno}")),
    }
}

fn named(outcome: rustix::io::Result<()>, what: &str) -> Result<()> {
    outcome.map_err(|errno| missing(what, errno))
}

fn within(part: impl Fn(uffd::Reach) -> bool, what: &str) -> Result<()> {
    match uffd::probe() {
        Ok((_, reach)) if part(reach) => Ok(()),
        Ok(_) => Err(missing(what, Errno::INVAL)),
        Err(errno) => Err(missing(what, errno)),
    }
}

/// Asks to sleep while a word holds what it does not hold: a kernel that can sleep so refuses.
fn futex(call: libc::c_long) -> rustix::io::Result<()> {
    let word = 0_u32;
    // `struct futex_waitv`: value, address, flags (FUTEX_32), reserved.
    let waited: [u64; 3] = [1, std::ptr::from_ref(&word).addr() as u64, 2];
    let rc = if call == libc::SYS_futex {
        // SAFETY: the kernel reads `word`, which holds 0 and not 1, and returns at once.
        unsafe { libc::syscall(call, &raw const word, libc::FUTEX_WAIT, 1, std::ptr::null::<libc::timespec>()) }
    } else {
        // SAFETY: the kernel reads one `struct futex_waitv` and the word it names, as above.
        unsafe { libc::syscall(call, waited.as_ptr(), 1, 0, std::ptr::null::<libc::timespec>(), 0) }
    };
    match Errno::from_io_error(&std::io::Error::last_os_error()) {
        _ if rc >= 0 => Ok(()),
        Some(Errno::AGAIN) => Ok(()),
        errno => Err(errno.unwrap_or(Errno::IO)),
    }
}

/// The largest huge page that is made to see whether one can be. With ordinary pages of 16 KiB it would have 32 MiB, with those of
/// 64 KiB 512 MiB, which takes long, and on a small machine somebody's memory.
const MOST_TRIED: usize = 4 << 20;

/// Makes a huge page of small ones, in shared memory; one that is too large for that is taken at the word of the kernel, whose files
/// are below `root`.
fn huge_pages(size: usize, root: &Path) -> Result<()> {
    if size > MOST_TRIED {
        return told_of_huge_pages(root);
    }
    let object = memfd::create("rsm-probe", size as u64)?;
    let region = Region::map(&object, 0, size, Permission::ReadWrite)?;
    huge::collapse(region.as_ptr(), size)
}

fn told_of_huge_pages(root: &Path) -> Result<()> {
    named(huge::is_known(), "MADV_COLLAPSE")?;
    // What a process and its children have been forbidden (PR_SET_THP_DISABLE).
    let status = guest::read_text(&root.join("proc/self/status")).unwrap_or_default();
    if status.lines().any(|line| line.split_whitespace().eq(["THP_enabled:", "0"])) {
        return Err(missing("huge pages, which are disabled for this process", Errno::INVAL));
    }
    let folder = root.join("sys/kernel/mm/transparent_hugepage");
    match guest::read_text(&folder.join("shmem_enabled")) {
        Ok(chosen) if chosen.contains("[deny]") => {
            Err(missing("huge pages for shared memory (shmem_enabled is deny)", Errno::INVAL))
        }
        // One that has huge pages, and none for shared memory.
        Err(_) if folder.exists() => Err(missing("huge pages for shared memory", Errno::NODEV)),
        // Where nothing is mounted at /sys, what is left is the call.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A page that no machine has memory for is not made: its answer is what the kernel says.
    #[test]
    fn pages_that_are_too_large_are_not_tried() {
        if huge::is_known().is_err() {
            return; // nothing is asked then
        }
        let root = std::env::temp_dir().join(format!("rsm-huge-{}", std::process::id()));
        let folder = root.join("sys/kernel/mm/transparent_hugepage");
        let answer = || huge_pages(1 << 46, &root).map_err(|error| error.code());
        assert_eq!(answer(), Ok(()));
        std::fs::create_dir_all(&folder).unwrap();
        assert_eq!(answer(), Err(Code::CtlrNotPresent));
        for (chosen, expected) in [
            ("always within_size advise [never] deny force\n", Ok(())),
            ("always within_size advise never [deny] force\n", Err(Code::CtlrNotPresent)),
        ] {
            std::fs::write(folder.join("shmem_enabled"), chosen).unwrap();
            assert_eq!(answer(), expected, "{chosen}");
        }
        std::fs::remove_dir_all(&root).unwrap();
    }

    /// What is asked of no bytes is what is found by trying, where that is cheap and there is memory for it.
    #[test]
    fn both_ways_answer_alike() {
        let size = huge::huge_page_size();
        if size > MOST_TRIED {
            return; // there is one way only
        }
        let tried = huge_pages(size, Path::new("/"));
        if tried.as_ref().is_err_and(|error| error.code() != Code::CtlrNotPresent) {
            return; // no room for one just now
        }
        assert_eq!(
            told_of_huge_pages(Path::new("/")).map_err(|error| error.code()),
            tried.map_err(|error| error.code())
        );
    }
}
