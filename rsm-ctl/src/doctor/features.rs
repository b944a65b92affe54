//! What each feature of the kernel is for, what rsm does without it, and what gives it.

use rsm::Feature;

/// What `doctor` says of a feature.
pub(super) struct Text {
    feature: Feature,
    /// What it is, and what rsm uses it for.
    pub(super) what: &'static str,
    /// What rsm does without it.
    without: &'static str,
    /// What it still does without it where it has another one.
    kept_by: Option<(Feature, &'static str)>,
    /// The command that gives it where a setting of the machine takes it away.
    pub(super) remedy: Option<&'static str>,
}

/// What there is to say of a feature.
pub(super) fn of(feature: Feature) -> &'static Text {
    TEXTS.iter().find(|text| text.feature == feature).expect("a text for each feature, as the test below shows")
}

impl Text {
    /// What rsm does without it on a machine that has what `has` says.
    pub(super) fn without(&self, has: impl Fn(Feature) -> bool) -> String {
        let kept = self.kept_by.filter(|(other, _)| has(*other)).map_or("", |(_, kept)| kept);
        format!("{}{kept}", self.without)
    }
}

static TEXTS: [Text; Feature::ALL.len()] = [
    Text {
        feature: Feature::MemoryObjects,
        what: "memfd_create with seals: all memory of a cluster",
        without: "no cluster starts",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::FutureWriteSeal,
        what: "F_SEAL_FUTURE_WRITE: members map the registry and cannot write it",
        without: "no cluster starts",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::Proc,
        what: "/proc/thread-self/fd: importers are given memory with no more rights than they were allowed",
        without: "connect and rsm-ctl ls fail",
        kept_by: None,
        remedy: Some("mount -t proc proc /proc"),
    },
    Text {
        feature: Feature::ProcessDescriptors,
        what: "pidfd_open: rsm-ctl and, before Linux 6.5, the agent see at once that a process ended",
        without: "no cluster starts, but the private one of a program that none was started for",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::PrivateTables,
        what: "close_range with CLOSE_RANGE_UNSHARE: what the library holds open, the program cannot close",
        without: "no cluster starts and no process joins",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::Futex,
        what: "FUTEX_WAIT in memory of several processes: waiting for a signal sleeps",
        without: "no cluster starts: a C library such as glibc ends a process whose threads cannot sleep",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::FutexWaitv,
        what: "futex_waitv: one thread serves all poll descriptors of a process",
        without: "poll descriptors follow what they tell of by up to 5 ms late, and wake a processor as often",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::NoExecSeal,
        what: "MFD_NOEXEC_SEAL: segment memory can never become a program",
        without: "memory objects of the same user can be made executable; nothing of rsm behaves otherwise",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::PeerProcessDescriptor,
        what: "SO_PEERPIDFD: the kernel tells the agent who joins",
        without: "a joining process sends a descriptor of itself, which the agent compares with the kernel's word on its id: \
             where a filter refuses it pidfd_open it joins no cluster of another process (RSMERR_PERM_DENIED), and neither does a \
             process of another PID namespace",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::RefuseDescriptors,
        what: "SO_PASSRIGHTS: the agent's socket refuses descriptors",
        without: "a hostile process can send the agent a descriptor whose closing takes its time, and make everybody wait",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::Leases,
        what: "fcntl(F_SETLEASE): the kernel tells whether an importer still reaches memory",
        without: "unpublish of a segment that had importers waits 100 ms and moves its memory, a copy of all its bytes",
        kept_by: None,
        remedy: Some("sysctl -w fs.leases-enable=1"),
    },
    Text {
        feature: Feature::WriteProtection,
        what: "userfaultfd write protection: memory moves under running threads",
        without: "stores that other threads make at the very moment in which their memory is adopted, rebound or moved can be \
             lost",
        kept_by: None,
        remedy: Some("sysctl -w vm.unprivileged_userfaultfd=1"),
    },
    Text {
        feature: Feature::WriteProtectionOfKernel,
        what: "userfaultfd for faults in the kernel: read(2) into memory that moves waits",
        without: "read(2) and the like into memory that is being adopted or moved fail with EFAULT, or are short",
        kept_by: None,
        remedy: Some("sysctl -w vm.unprivileged_userfaultfd=1"),
    },
    Text {
        feature: Feature::WriteProtectionOfShared,
        what: "UFFD_FEATURE_WP_HUGETLBFS_SHMEM: write protection of shared memory",
        without: "stores that other threads of the exporter make at the very moment of a destroy, a rebind, or an unpublish \
             that moves memory can be lost, whether there are importers or not",
        kept_by: Some((Feature::WriteProtection, "; create loses none")),
        remedy: None,
    },
    Text {
        feature: Feature::WriteProtectionOfUnpopulated,
        what: "UFFD_FEATURE_WP_UNPOPULATED: write protection of untouched pages",
        without: "every page of adopted memory is touched first, which takes time and, for memory never used, space",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::DirtyPages,
        what: "UFFD_FEATURE_WP_ASYNC, PAGEMAP_SCAN: which pages a program stores to",
        without: "in a cluster with a lens (run --chaos) each barrier compares all of a mapping: about 10 ms for 64 MiB; \
             run --race=pages compares segments of more than 128 KiB whole, and not at every call",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::Populate,
        what: "MADV_POPULATE_READ, MADV_POPULATE_WRITE: the pages of memory are made present by one call",
        without: "the kernel is made to look at each page, which takes longer; a lack of memory may show only at a later store, \
             and memory that may be written and not read is not made present: its first stores take page faults",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::ProcmapQuery,
        what: "PROCMAP_QUERY: what an address is mapped to",
        without: "create from the caller's memory, rebind and destroy read all of /proc/self/maps: 0.1 ms and more in a \
             program with many mappings",
        kept_by: None,
        remedy: None,
    },
    Text {
        feature: Feature::HugePages,
        what: "MADV_COLLAPSE of shared memory: huge pages for segments",
        without: "large segments are mapped in small pages: more misses of the translation buffer in transfers that jump",
        kept_by: None,
        remedy: Some("echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_something_to_say_of_each() {
        assert_eq!(TEXTS.each_ref().map(|text| text.feature), Feature::ALL);
        assert!(TEXTS.iter().all(|text| !text.what.is_empty() && !text.without.is_empty()));
    }

    /// The guide lists what Linux 5.10 lacks.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_guide_to_kernels_lists_what_the_oldest_one_lacks() {
        let guide = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/kernels.md")).unwrap();
        for feature in Feature::ALL {
            let is_listed = guide.contains(&format!("| `{}` | {} |", feature.name(), feature.since()));
            assert_eq!(is_listed, !super::super::version::is_at_least("5.10", feature.since()), "{feature:?}");
        }
    }
}
