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

/// Features of what one call opens.
const BY_USERFAULTFD: [Feature; 2] = [Feature::WriteProtection, Feature::WriteProtectionOfKernel];
/// The bit of the capability with which the setting for userfaultfd does not matter.
const SYS_PTRACE: u32 = 19;

/// What decides on it here.
pub(super) struct Here {
    kernel: String,
    /// How the filter is changed that system calls go through, if they do.
    filter: Option<Cow<'static, str>>,
    /// Whether stores of user code can be held back.
    protects: bool,
    /// Features that a setting of this machine keeps away.
    switched_off: Vec<Feature>,
}

impl Here {
    /// `protects` says whether stores of user code can be held back.
    pub(super) fn look(kernel: &str, around: &Around, protects: bool) -> Here {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let users = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let is_off =
            !may_trace(&status, &users) && setting("vm.unprivileged_userfaultfd").is_some_and(|set| set == "0");
        let is = |name: &str, value: &str| setting(name).is_some_and(|set| set == value);
        let switches = [
            (Feature::Proc, fs::metadata("/proc/self").is_err()),
            (Feature::Leases, is("fs.leases-enable", "0")),
            // From 5.11 on everybody may hold back stores of their own code.
            (Feature::WriteProtection, !is_at_least(kernel, "5.11") && is_off),
            (Feature::WriteProtectionOfKernel, is_off),
            (Feature::HugePages, conditions::shared_huge_pages().is_some_and(|chosen| chosen == "deny")),
        ];
        Here {
            kernel: kernel.to_owned(),
            filter: conditions::is_filtered(&status).then(|| around.without_filter()),
            protects,
            switched_off: switches.into_iter().filter(|(_, off)| *off).map(|(feature, _)| feature).collect(),
        }
    }

    /// What to do where a run did not end well; nothing where only what it said can tell.
    pub(super) fn remedy_of_run(&self) -> Option<String> {
        let change = self.filter.as_ref()?;
        Some(format!("where it is the filter of system calls that refuses what is said: {change}"))
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
            (_, Some(command), filter) if self.switched_off.contains(&feature) => match filter {
                // What there is of userfaultfd was let through.
                Some(_) if self.protects && BY_USERFAULTFD.contains(&feature) => command.to_owned(),
                Some(change) if BY_USERFAULTFD.contains(&feature) => format!("{}, and then {command}", refused(change)),
                Some(change) => format!("{command}; where that is not enough, {}", refused(change)),
                None => command.to_owned(),
            },
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

/// Whether a process with this status may trace any other one of the machine: in a namespace of users of its own it may not.
fn may_trace(status: &str, users: &str) -> bool {
    let bits = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let bits = bits.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
    let is_first = users.split_whitespace().eq(["0", "0", "4294967295"]);
    is_first && bits.is_some_and(|bits| bits >> SYS_PTRACE & 1 == 1)
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
            protects: false,
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
        // Two things are in the way of what is behind a filter and switched off: both are named, the filter first, since the
        // command alone would change nothing.
        let filtered = here("6.18.0", true, &off);
        let both = filtered.remedy(Feature::WriteProtectionOfKernel, missing);
        assert!(both.contains("seccomp=unconfined ..., and then sysctl -w vm.unprivileged_userfaultfd=1"), "{both}");
        let leases = filtered.remedy(Feature::Leases, missing);
        assert!(leases.starts_with("sysctl -w fs.leases-enable=1; ") && leases.contains("seccomp"), "{leases}");
        // A filter that lets userfaultfd through is not what is in the way.
        let through = Here { protects: true, ..filtered };
        let command = "sysctl -w vm.unprivileged_userfaultfd=1";
        assert_eq!(through.remedy(Feature::WriteProtectionOfKernel, missing), command);
        assert!(here("6.18.0", true, &[]).remedy(Feature::WriteProtectionOfKernel, missing).contains("seccomp"));
        // What is found by way of /proc cannot be tried without.
        for feature in BY_PROC {
            assert_eq!(here("6.18.0", false, &[Feature::Proc]).remedy(feature, missing), "mount -t proc proc /proc");
        }
        let rights = |kernel, filtered| here(kernel, filtered, &[]).remedy(Feature::RefuseDescriptors, missing);
        assert_eq!(rights("6.1.0", true), "boot Linux 6.16 or later");
        assert!(rights("6.18.0", true).contains("seccomp") && !rights("6.18.0", false).contains("seccomp"));
        assert!(here("6.18.0", false, &[]).remedy(Feature::Futex, Code::InsufficientResources).contains("ulimit"));
    }

    /// Whom the setting does not concern, nobody tells to change it.
    #[test]
    fn settings_for_others_are_not_in_the_way() {
        let all = "Name:\tx\nCapEff:\t000001ffffffffff\n";
        let machine = "         0          0 4294967295\n";
        assert!(may_trace(all, machine));
        assert!(!may_trace(all, "         0       1000          1\n"), "root of a namespace of its own");
        assert!(!may_trace("CapEff:\t00000000a80425fb\n", machine), "root of a container of Docker");
        assert!(!may_trace("CapEff:\t0000000000000000\n", machine) && !may_trace("", ""));
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
