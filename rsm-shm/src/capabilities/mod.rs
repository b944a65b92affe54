//! Which features of the kernel there are, found by using them: versions lie, and filters refuse what a version has.
//!
//! Since when Linux has a feature and whether rsm needs it stands here; how it is tried, in `probes`. The agent asks for
//! some when it starts, `rsm-ctl doctor` shows all, and says what rsm does without. The code that does without a feature is
//! where the feature is used, and finds out by itself: nothing is switched by what stands here.

mod probes;

use rsm_core::{Error, Result};

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
    /// Being told which pages were stored to.
    DirtyPages,
    /// Making pages present on demand.
    Populate,
    /// Asking for one mapping instead of reading all.
    ProcmapQuery,
    /// Huge pages for memory objects.
    HugePages,
}

/// What is known of a feature before it is tried.
struct Facts {
    name: &'static str,
    since: &'static str,
    required: bool,
}

const fn required(name: &'static str, since: &'static str) -> Facts {
    Facts { name, since, required: true }
}

const fn optional(name: &'static str, since: &'static str) -> Facts {
    Facts { name, since, required: false }
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

impl Feature {
    /// All of them, in the order in which they are shown.
    pub const ALL: [Feature; 19] = [
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
        Feature::DirtyPages,
        Feature::Populate,
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

    const fn facts(self) -> Facts {
        match self {
            Feature::MemoryObjects => required("memory-objects", "3.17"),
            Feature::FutureWriteSeal => required("future-write-seal", "5.1"),
            Feature::Proc => required("proc", "any"),
            Feature::ProcessDescriptors => required("pidfd", "5.3"),
            Feature::PrivateTables => required("private-tables", "5.9"),
            Feature::Futex => required("futex", "2.6"),
            Feature::FutexWaitv => optional("futex-waitv", "5.16"),
            Feature::NoExecSeal => optional("noexec-seal", "6.3"),
            Feature::PeerProcessDescriptor => optional("peer-pidfd", "6.5"),
            Feature::RefuseDescriptors => optional("refuse-descriptors", "6.16"),
            Feature::Leases => optional("leases", "2.4"),
            Feature::WriteProtection => optional("wp", protecting("5.7")),
            Feature::WriteProtectionOfKernel => optional("wp-kernel", protecting("5.7")),
            Feature::WriteProtectionOfShared => optional("wp-shared", protecting("5.19")),
            Feature::WriteProtectionOfUnpopulated => optional("wp-unpopulated", protecting("6.4")),
            Feature::DirtyPages => optional("dirty-pages", protecting("6.7")),
            Feature::Populate => optional("populate", "5.14"),
            Feature::ProcmapQuery => optional("procmap-query", "6.11"),
            Feature::HugePages => optional("huge-pages", "6.1"),
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
}

/// Features that were found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    found: Vec<(Feature, Result<()>)>,
}

impl Capabilities {
    /// Tries every feature. Takes about a millisecond: huge pages of more than 4 MiB (where ordinary ones have 16 or 64 KiB) are not
    /// made for that, and the word of the kernel is taken.
    pub fn probe() -> Capabilities {
        Capabilities::of(&Feature::ALL)
    }

    /// Tries some.
    pub(crate) fn of(features: &[Feature]) -> Capabilities {
        Capabilities { found: features.iter().map(|&feature| (feature, probes::probe(feature))).collect() }
    }

    /// Features that were tried, with the reason why one is not there.
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

#[cfg(test)]
mod tests {
    use super::*;
    use rsm_core::Code;
    use rustix::io::Errno;

    #[test]
    fn this_kernel_has_what_the_tests_run_on() {
        let found = Capabilities::probe();
        assert_eq!(found.check(), Ok(()));
        assert_eq!(found.found().count(), Feature::ALL.len());
        assert!(Feature::ALL.iter().filter(|f| f.is_required()).all(|&f| found.has(f)));
    }

    #[test]
    fn names_are_unique() {
        let names: std::collections::BTreeSet<_> = Feature::ALL.iter().map(|f| f.name()).collect();
        assert_eq!(names.len(), Feature::ALL.len());
        assert!(Feature::ALL.iter().all(|f| !f.since().is_empty()));
    }

    #[test]
    fn a_missing_requirement_is_told_and_others_are_not() {
        let gone = || Err(probes::missing("it", Errno::NOSYS));
        let optional = Capabilities { found: vec![(Feature::Leases, gone()), (Feature::Futex, Ok(()))] };
        assert_eq!(optional.check(), Ok(()));
        assert!(!optional.has(Feature::Leases) && optional.has(Feature::Futex) && !optional.has(Feature::Proc));
        let required = Capabilities { found: vec![(Feature::Leases, gone()), (Feature::Futex, gone())] };
        assert_eq!(required.check().unwrap_err().code(), Code::CtlrNotPresent);
    }

    #[test]
    fn no_room_is_not_a_missing_feature() {
        assert_eq!(probes::missing("it", Errno::MFILE).code(), Code::InsufficientResources);
    }
}
