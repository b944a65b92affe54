//! What gives a feature that is missing: only what changes something on this machine.

use std::borrow::Cow;
use std::fs;

use rsm::{Code, Feature};

use super::around::Around;
use super::conditions::{self, setting};
use super::features;
use super::version::is_at_least;

/// Features that are found by way of /proc.
const BY_PROC: [Feature; 2] = [Feature::Leases, Feature::ProcmapQuery];

/// What decides on it here.
pub(super) struct Here {
    kernel: String,
    /// How the filter is changed that system calls go through, if they do.
    filter: Option<Cow<'static, str>>,
    /// Features that a setting of this machine keeps away.
    switched_off: Vec<Feature>,
}

impl Here {
    pub(super) fn look(kernel: &str, around: &Around) -> Here {
        let is = |name: &str, value: &str| setting(name).is_some_and(|set| set == value);
        let switches = [
            (Feature::Proc, fs::metadata("/proc/self").is_err()),
            (Feature::Leases, is("fs.leases-enable", "0")),
            // From 5.11 on everybody may hold back stores of their own code.
            (Feature::WriteProtection, !is_at_least(kernel, "5.11") && is("vm.unprivileged_userfaultfd", "0")),
            (Feature::WriteProtectionOfKernel, is("vm.unprivileged_userfaultfd", "0")),
            (Feature::HugePages, conditions::shared_huge_pages().is_some_and(|chosen| chosen == "deny")),
        ];
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Here {
            kernel: kernel.to_owned(),
            filter: conditions::is_filtered(&status).then(|| around.without_filter()),
            switched_off: switches.into_iter().filter(|(_, off)| *off).map(|(feature, _)| feature).collect(),
        }
    }

    /// What to do about a feature that was missing with this error.
    pub(super) fn remedy(&self, feature: Feature, code: Code) -> String {
        let since = feature.since();
        match (code, features::of(feature).remedy, &self.filter) {
            (Code::InsufficientResources, ..) => "ulimit -n 4096 (there was no descriptor to try it with)".to_owned(),
            (Code::InsufficientMem, ..) => {
                "free memory: the feature is there (for huge pages: echo 1 > /proc/sys/vm/compact_memory)".to_owned()
            }
            _ if !is_at_least(&self.kernel, since) => format!("boot Linux {since} or later"),
            (_, Some(command), _) if self.switched_off.contains(&feature) => command.to_owned(),
            // It could not be tried.
            _ if BY_PROC.contains(&feature) && self.switched_off.contains(&Feature::Proc) => {
                features::of(Feature::Proc).remedy.unwrap_or_default().to_owned()
            }
            // The version has it, and yet it was refused.
            (_, _, Some(change)) => refused(change),
            _ if since == "any" => "a kernel, or an architecture, that has it: this one was built without".to_owned(),
            _ => "a kernel that was built with it: this one's version has it, and no filter is in the way".to_owned(),
        }
    }
}

/// What to do where a filter may be what is in the way; `change` is how it is changed.
fn refused(change: &str) -> String {
    format!("this kernel's version has it: the filter of system calls refuses it, or it was built without; {change}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_change_something() {
        let here = |kernel: &str, filtered: bool, switched_off: &[Feature]| Here {
            kernel: kernel.to_owned(),
            filter: filtered.then(|| Around::Docker.without_filter()),
            switched_off: switched_off.to_vec(),
        };
        let missing = Code::CtlrNotPresent;
        let off = [Feature::Leases, Feature::WriteProtectionOfKernel, Feature::HugePages];
        for (feature, command) in [
            (Feature::Leases, "sysctl -w fs.leases-enable=1"),
            (Feature::WriteProtectionOfKernel, "sysctl -w vm.unprivileged_userfaultfd=1"),
            (Feature::HugePages, "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled"),
        ] {
            assert_eq!(here("6.18.0", false, &off).remedy(feature, missing), command);
            // Where the setting is not what is in the way, setting it changes nothing.
            assert!(!here("6.18.0", false, &[]).remedy(feature, missing).contains(command));
            assert!(here("2.2", false, &off).remedy(feature, missing).starts_with("boot Linux "));
        }
        // What is found by way of /proc cannot be tried without.
        for feature in BY_PROC {
            assert_eq!(here("6.18.0", false, &[Feature::Proc]).remedy(feature, missing), "mount -t proc proc /proc");
        }
        let rights = |kernel, filtered| here(kernel, filtered, &[]).remedy(Feature::RefuseDescriptors, missing);
        assert_eq!(rights("6.1.0", true), "boot Linux 6.16 or later");
        assert!(rights("6.18.0", true).contains("seccomp") && !rights("6.18.0", false).contains("seccomp"));
        assert!(here("6.18.0", false, &[]).remedy(Feature::Futex, Code::InsufficientResources).contains("ulimit"));
    }

    #[test]
    fn versions_are_those_of_this_architecture() {
        let since = |feature: Feature| feature.since();
        let protection = [
            Feature::WriteProtection,
            Feature::WriteProtectionOfKernel,
            Feature::WriteProtectionOfShared,
            Feature::WriteProtectionOfUnpopulated,
            Feature::DirtyPages,
        ];
        let expected = match std::env::consts::ARCH {
            "x86_64" => ["5.7", "5.7", "5.19", "6.4", "6.7"],
            "aarch64" => ["6.10"; 5],
            _ => ["any"; 5],
        };
        assert_eq!(protection.map(since), expected);
    }
}
