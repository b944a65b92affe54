//! Which features of the kernel there are, found by using them: versions lie, and filters refuse what a version has.
//!
//! One place tells for every feature that rsm uses since when Linux has it, whether rsm needs it, what happens without
//! it, and how to get it; the agent asks for some when it starts, `rsm-ctl doctor` shows all. The code that does without
//! a feature is where the feature is used, and finds out by itself: nothing is switched by what stands here.
#![allow(unsafe_code)]

use crate::error::from_errno;
use crate::memory::memfd::{self, Sealing};
use crate::memory::region::Region;
use crate::memory::uffd::{self, Mode};
use crate::memory::{huge, inspect, lease};
use crate::{private_table, socket};
use rsm_core::access::Permission;
use rsm_core::{Code, Error, Result};
use rustix::io::Errno;

/// A feature of the kernel that rsm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Feature {
    /// Memory objects that can be sealed.
    MemoryObjects,
    /// Seals that let only mappings made before them write.
    FutureWriteSeal,
    /// Memory objects that can never be executed.
    NoExecSeal,
    /// `/proc`, through which memory objects are opened again with fewer rights.
    Proc,
    /// Descriptors of processes.
    ProcessDescriptors,
    /// Sockets that name the process at their other end.
    PeerProcessDescriptor,
    /// Sockets that refuse descriptors.
    RefuseDescriptors,
    /// Threads with a descriptor table of their own.
    PrivateTables,
    /// Sleeping on a word in shared memory.
    Futex,
    /// Sleeping on many words at once.
    FutexWaitv,
    /// Leases on memory objects.
    Leases,
    /// Holding back stores of user code.
    WriteProtection,
    /// Holding back stores that the kernel makes for threads.
    WriteProtectionOfKernel,
    /// Holding back stores to shared memory.
    WriteProtectionOfShared,
    /// Holding back stores to pages that were never touched.
    WriteProtectionOfUnpopulated,
    /// Asking for one mapping instead of reading all.
    ProcmapQuery,
    /// Huge pages for memory objects.
    HugePages,
}

/// What there is to say about a feature besides whether it is there.
struct Facts {
    name: &'static str,
    since: &'static str,
    required: bool,
    what: &'static str,
    without: &'static str,
    remedy: Option<&'static str>,
}

/// Since when there is a feature of write protection: its own version, but not before the architecture has any.
const fn protecting(since: &'static str) -> &'static str {
    if cfg!(target_arch = "x86_64") {
        since
    } else if cfg!(target_arch = "aarch64") {
        "6.10"
    } else {
        "any"
    }
}

const fn facts(
    name: &'static str,
    since: &'static str,
    required: bool,
    what: &'static str,
    without: &'static str,
    remedy: Option<&'static str>,
) -> Facts {
    Facts { name, since, required, what, without, remedy }
}

impl Feature {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Feature; 17] = [
        Feature::MemoryObjects,
        Feature::FutureWriteSeal,
        Feature::Proc,
        Feature::ProcessDescriptors,
        Feature::PrivateTables,
        Feature::Futex,
        Feature::FutexWaitv,
        Feature::NoExecSeal,
        Feature::PeerProcessDescriptor,
        Feature::RefuseDescriptors,
        Feature::Leases,
        Feature::WriteProtection,
        Feature::WriteProtectionOfKernel,
        Feature::WriteProtectionOfShared,
        Feature::WriteProtectionOfUnpopulated,
        Feature::ProcmapQuery,
        Feature::HugePages,
    ];

    /// What the agent must know when it starts.
    pub(crate) const OF_AGENT: [Feature; 5] = [
        Feature::MemoryObjects,
        Feature::FutureWriteSeal,
        Feature::PeerProcessDescriptor,
        Feature::RefuseDescriptors,
        Feature::Leases,
    ];

    fn facts(self) -> Facts {
        match self {
            Feature::MemoryObjects => facts(
                "memory-objects",
                "3.17",
                true,
                "memfd_create with seals: all memory of a cluster",
                "no cluster starts",
                None,
            ),
            Feature::FutureWriteSeal => facts(
                "future-write-seal",
                "5.1",
                true,
                "F_SEAL_FUTURE_WRITE: members map the registry and cannot write it",
                "no cluster starts",
                None,
            ),
            Feature::NoExecSeal => facts(
                "noexec-seal",
                "6.3",
                false,
                "MFD_NOEXEC_SEAL: segment memory can never become a program",
                "memory objects of the same user can be made executable; nothing of rsm behaves otherwise",
                None,
            ),
            Feature::Proc => facts(
                "proc",
                "any",
                true,
                "/proc/thread-self/fd: importers are given memory with no more rights than they were allowed",
                "connect and rsm-ctl ls fail",
                Some("mount -t proc proc /proc"),
            ),
            Feature::ProcessDescriptors => facts(
                "pidfd",
                "5.3",
                true,
                "pidfd_open: rsm-ctl and, before Linux 6.5, the agent see at once that a process ended",
                "no cluster starts, but the private one of a program that none was started for",
                None,
            ),
            Feature::PeerProcessDescriptor => facts(
                "peer-pidfd",
                "6.5",
                false,
                "SO_PEERPIDFD: the kernel tells the agent who joins",
                "a joining process sends a descriptor of itself, which the agent compares with the kernel's word on its id",
                None,
            ),
            Feature::RefuseDescriptors => facts(
                "refuse-descriptors",
                "6.16",
                false,
                "SO_PASSRIGHTS: the agent's socket refuses descriptors",
                "a hostile process can send the agent a descriptor whose closing takes its time, and make everybody wait",
                None,
            ),
            Feature::PrivateTables => facts(
                "private-tables",
                "5.9",
                true,
                "close_range with CLOSE_RANGE_UNSHARE: what the library holds open, the program cannot close",
                "no cluster starts and no process joins",
                None,
            ),
            Feature::Futex => facts(
                "futex",
                "2.6",
                true,
                "FUTEX_WAIT in memory of several processes: waiting for a signal sleeps",
                "waits for signals and for publications keep a processor busy",
                None,
            ),
            Feature::FutexWaitv => facts(
                "futex-waitv",
                "5.16",
                false,
                "futex_waitv: one thread serves all poll descriptors of a process",
                "poll descriptors follow what they tell of by up to 5 ms late, and wake a processor as often",
                None,
            ),
            Feature::Leases => facts(
                "leases",
                "2.4",
                false,
                "fcntl(F_SETLEASE): the kernel tells whether an importer still reaches memory",
                "unpublish of a segment that had importers waits 100 ms and moves its memory, a copy of all its bytes",
                Some("sysctl -w fs.leases-enable=1"),
            ),
            Feature::WriteProtection => facts(
                "wp",
                protecting("5.11"),
                false,
                "userfaultfd write protection: memory moves under running threads",
                "stores that other threads make at the very moment in which their memory is adopted, rebound or moved can be \
                 lost",
                None,
            ),
            Feature::WriteProtectionOfKernel => facts(
                "wp-kernel",
                protecting("5.7"),
                false,
                "userfaultfd for faults in the kernel: read(2) into memory that moves waits",
                "read(2) and the like into memory that is being adopted or moved fail with EFAULT, or are short",
                Some("sysctl -w vm.unprivileged_userfaultfd=1"),
            ),
            Feature::WriteProtectionOfShared => facts(
                "wp-shared",
                protecting("5.19"),
                false,
                "UFFD_FEATURE_WP_HUGETLBFS_SHMEM: write protection of shared memory",
                "stores of other threads at the moment in which a segment moves away from importers that do not let go can \
                 be lost",
                None,
            ),
            Feature::WriteProtectionOfUnpopulated => facts(
                "wp-unpopulated",
                protecting("6.4"),
                false,
                "UFFD_FEATURE_WP_UNPOPULATED: write protection of untouched pages",
                "every page of adopted memory is touched first, which takes time and, for memory never used, space",
                None,
            ),
            Feature::ProcmapQuery => facts(
                "procmap-query",
                "6.11",
                false,
                "PROCMAP_QUERY: what an address is mapped to",
                "create from the caller's memory, rebind and destroy read all of /proc/self/maps: 0.1 ms and more in a \
                 program with many mappings",
                None,
            ),
            Feature::HugePages => facts(
                "huge-pages",
                "6.1",
                false,
                "MADV_COLLAPSE of shared memory: huge pages for segments",
                "large segments are mapped in small pages: more misses of the translation buffer in transfers that jump",
                Some("echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
            ),
        }
    }

    /// A short name for tables and programs.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The first Linux that has it on this architecture; `any` where that is every one that could be meant.
    pub fn since(self) -> &'static str {
        self.facts().since
    }

    /// Whether rsm does not work without it.
    pub fn is_required(self) -> bool {
        self.facts().required
    }

    /// What it is, and what rsm uses it for.
    pub fn what(self) -> &'static str {
        self.facts().what
    }

    /// What rsm does without it.
    pub fn without(self) -> &'static str {
        self.facts().without
    }

    /// The command that gives it where a setting of the machine takes it away.
    pub fn remedy(self) -> Option<&'static str> {
        self.facts().remedy
    }

    /// Uses it, once and without traces.
    fn probe(self) -> Result<()> {
        match self {
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
            Feature::PrivateTables => private_table::aside(|| Ok(())),
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
            Feature::ProcmapQuery => named(inspect::probe(), "PROCMAP_QUERY"),
            Feature::HugePages => huge_pages(),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    found: Vec<(Feature, Result<()>)>,
}

impl Capabilities {
    /// Tries every feature. Takes about a millisecond.
    pub fn probe() -> Capabilities {
        Capabilities::of(&Feature::ALL)
    }

    /// Tries some.
    pub(crate) fn of(features: &[Feature]) -> Capabilities {
        Capabilities { found: features.iter().map(|&feature| (feature, feature.probe())).collect() }
    }

    /// What was tried, and why what is not there is not.
    pub fn found(&self) -> impl Iterator<Item = (Feature, Option<&Error>)> {
        self.found.iter().map(|(feature, outcome)| (*feature, outcome.as_ref().err()))
    }

    /// Whether a feature was tried and is there.
    pub fn has(&self, feature: Feature) -> bool {
        self.found.iter().any(|(tried, outcome)| *tried == feature && outcome.is_ok())
    }

    /// Whether everything is there that rsm does not work without.
    ///
    /// # Errors
    /// What the first that is missing says: CTLR_NOT_PRESENT where the kernel lacks it, INSUFFICIENT_RESOURCES where it
    /// could not be tried.
    pub fn check(&self) -> Result<()> {
        let required = self.found.iter().filter(|(feature, _)| feature.is_required());
        required.map(|(_, outcome)| outcome.clone()).find(Result::is_err).unwrap_or(Ok(()))
    }
}

fn missing(what: &str, errno: Errno) -> Error {
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

/// Makes a huge page of small ones, in shared memory.
fn huge_pages() -> Result<()> {
    let size = huge::huge_page_size();
    let object = memfd::create("rsm-probe", size as u64)?;
    let region = Region::map(&object, 0, size, Permission::ReadWrite)?;
    huge::collapse(region.as_ptr(), size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_what_the_tests_run_on() {
        let found = Capabilities::probe();
        assert_eq!(found.check(), Ok(()));
        assert_eq!(found.found().count(), Feature::ALL.len());
        assert!(Feature::ALL.iter().filter(|f| f.is_required()).all(|&f| found.has(f)));
    }

    #[test]
    fn names_are_unique_and_everything_is_said() {
        let names: std::collections::BTreeSet<_> = Feature::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), Feature::ALL.len());
        assert!(Feature::ALL.iter().all(|f| !f.what().is_empty() && !f.without().is_empty() && !f.since().is_empty()));
    }

    #[test]
    fn a_missing_requirement_is_told_and_others_are_not() {
        let gone = || Err(missing("it", Errno::NOSYS));
        let optional = Capabilities { found: vec![(Feature::Leases, gone()), (Feature::Futex, Ok(()))] };
        assert_eq!(optional.check(), Ok(()));
        assert!(!optional.has(Feature::Leases) && optional.has(Feature::Futex) && !optional.has(Feature::Proc));
        let required = Capabilities { found: vec![(Feature::Leases, gone()), (Feature::Futex, gone())] };
        assert_eq!(required.check().unwrap_err().code(), Code::CtlrNotPresent);
    }

    #[test]
    fn no_room_is_not_a_missing_feature() {
        assert_eq!(missing("it", Errno::MFILE).code(), Code::InsufficientResources);
    }
}
