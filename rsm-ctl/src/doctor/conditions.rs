//! What else matters: limits, memory, settings, containers.

use std::borrow::Cow;
use std::fs;
use std::path::Path;

use rsm::run::{groups, rlimit};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use serde::Serialize;

use super::around::Around;
use super::version::is_at_least;
use crate::failure::reason;
use crate::size;

/// A condition under which rsm runs here.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Condition {
    pub(crate) condition: &'static str,
    pub(crate) value: String,
    /// `good`, `note`, `warning`, or `bad` (rsm does not work).
    pub(crate) status: &'static str,
    pub(crate) meaning: String,
    pub(crate) remedy: Option<Cow<'static, str>>,
}

pub(super) fn condition(
    condition: &'static str,
    value: impl ToString,
    status: &'static str,
    meaning: impl Into<String>,
    remedy: Option<&'static str>,
) -> Condition {
    Condition { condition, value: value.to_string(), status, meaning: meaning.into(), remedy: remedy.map(Cow::from) }
}

/// Everything that can be seen. `named` says whether the kernel names processes of other PID namespaces.
pub(super) fn look(kernel: &str, named: bool, around: &Around) -> Vec<Condition> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut all = vec![user(), processors(), descriptors(rlimit::limit(Resource::Nofile)), locked(), memory(&meminfo)];
    all.extend(memory_limit());
    all.extend(setting("vm.overcommit_memory").map(|value| overcommit(&value)));
    all.extend(setting("kernel.yama.ptrace_scope").map(|value| yama(&value)));
    all.push(huge_pages());
    let huge = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size");
    all.extend(huge.ok().and_then(|bytes| huge_page_size(&bytes)));
    all.extend(seccomp(&status, around));
    all.extend(time_namespaces(kernel));
    all.extend(container(around, named));
    all
}

/// Linux 5.6 has these namespaces.
fn time_namespaces(kernel: &str) -> Option<Condition> {
    let meaning = "before Linux 6.2 a process starts no thread after unshare(CLONE_NEWTIME), and the library has threads: such a \
                   program uses it before, or in a child";
    let is_concerned = is_at_least(kernel, "5.6") && !is_at_least(kernel, "6.2");
    is_concerned.then(|| condition("time namespaces", "without threads", "note", meaning, None))
}

fn user() -> Condition {
    let uid = rustix::process::geteuid().as_raw();
    condition("user", uid, "note", "what needs privileges is tried as this user", None)
}

fn processors() -> Condition {
    let count = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let meaning = if count == 1 {
        "waits go to sleep at once: spinning for a signal would keep its sender from running"
    } else {
        "waits spin for a moment before they sleep, while nodes are no more than processors"
    };
    condition("processors", count, "good", meaning, None)
}

/// What the agent needs for a cluster of the largest size, with one process on each node and a few segments.
const ENOUGH_DESCRIPTORS: u64 = 1024;
/// Below this no cluster of two nodes starts.
const FEWEST_DESCRIPTORS: u64 = 40;

/// What is said of a limit that is not told.
pub(super) fn unknown(errno: Errno) -> String {
    format!("not known (getrlimit: {})", reason(&errno.into()))
}

fn descriptors(limit: Result<Rlimit, Errno>) -> Condition {
    let show = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string());
    let limit = match limit {
        Ok(limit) => limit,
        Err(errno) => {
            let meaning = format!("nobody can raise it either; rsm takes it to be {}", rlimit::USUAL_DESCRIPTORS);
            return condition("descriptors", unknown(errno), "note", meaning, None);
        }
    };
    let value = format!("{} (at most {})", show(limit.current), show(limit.maximum));
    let most = limit.maximum.unwrap_or(u64::MAX);
    let meaning =
        "the agent holds one for each segment and four for each process; rsm-ctl run raises its limit to the highest";
    let remedy = Some("ulimit -n 65536, or LimitNOFILE= in the service");
    match most {
        few if few < FEWEST_DESCRIPTORS => condition("descriptors", value, "bad", "no cluster starts", remedy),
        few if few < ENOUGH_DESCRIPTORS => condition("descriptors", value, "warning", meaning, remedy),
        _ => condition("descriptors", value, "good", meaning, None),
    }
}

fn locked() -> Condition {
    let show = |limit: Rlimit| limit.current.map_or_else(|| "unlimited".to_owned(), size::bytes);
    let value = rlimit::limit(Resource::Memlock).map_or_else(unknown, show);
    condition(
        "locked memory",
        value,
        "good",
        "rsm locks no memory: a program that locks its segments needs room here",
        None,
    )
}

fn memory(meminfo: &str) -> Condition {
    let kib = |name: &str| -> u64 {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.trim().split(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
    };
    let (total, available) = (kib("MemTotal:") << 10, kib("MemAvailable:") << 10);
    let value = format!("{} of {} available", size::bytes(available), size::bytes(total));
    let meaning =
        "segments are memory: one that is larger than what is available can be created, and kills when filled";
    let status = if available < total / 20 { "warning" } else { "good" };
    condition("memory", value, status, meaning, None)
}

fn memory_limit() -> Option<Condition> {
    let limit = groups::memory_limit(Path::new("/"))?;
    let meaning = "memory of a segment counts for who touches it first, as a rule its exporter; one without room is INSUFFICIENT_MEM; a program that takes \
                   more otherwise is killed";
    Some(condition("memory of cgroup", size::bytes(limit), "note", meaning, None))
}

fn overcommit(value: &str) -> Condition {
    match value {
        "2" => condition(
            "overcommit",
            "2 (strict)",
            "warning",
            "every mapping of shared memory counts when it is made: large tables and segments may be refused",
            Some("sysctl -w vm.overcommit_memory=0"),
        ),
        value => condition("overcommit", value, "good", "memory counts when it is touched", None),
    }
}

fn yama(value: &str) -> Condition {
    match value {
        "0" => condition("ptrace", "0", "good", "debuggers can attach to nodes", None),
        value => condition(
            "ptrace",
            value,
            "note",
            "rsm needs no ptrace; a debugger cannot attach to a node that it did not start",
            Some("sysctl -w kernel.yama.ptrace_scope=0"),
        ),
    }
}

/// What the kernel does about huge pages for shared memory by itself; nothing where it has none.
pub(super) fn shared_huge_pages() -> Option<String> {
    let text = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/shmem_enabled").ok()?;
    Some(text.split(['[', ']']).nth(1)?.to_owned())
}

fn huge_pages() -> Condition {
    let chosen = shared_huge_pages();
    let chosen = chosen.as_deref().unwrap_or("none");
    let status = if matches!(chosen, "deny" | "none") { "warning" } else { "note" };
    let meaning = match chosen {
        "always" | "force" | "within_size" => "the kernel uses huge pages for segments where they fit",
        "advise" => "the kernel uses huge pages for segments whose mappings ask for them",
        "never" => "the kernel uses huge pages for segments only when told to collapse small ones",
        _ => "the kernel uses no huge pages for shared memory",
    };
    let remedy = Some("echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled");
    // A kernel that was built without has nothing to be told.
    condition("shared huge pages", chosen, status, meaning, remedy.filter(|_| chosen == "deny"))
}

/// How large they are.
fn huge_page_size(text: &str) -> Option<Condition> {
    let bytes: u64 = text.trim().parse().ok()?;
    let meaning = "segments that are to have huge pages are at least as large";
    Some(condition("huge page size", size::bytes(bytes), "good", meaning, None))
}

/// Whether system calls go through a filter, as the status of a process says.
pub(super) fn is_filtered(status: &str) -> bool {
    status.lines().find_map(|line| line.strip_prefix("Seccomp:")).is_some_and(|mode| mode.trim() != "0")
}

fn seccomp(status: &str, around: &Around) -> Option<Condition> {
    status.lines().find(|line| line.starts_with("Seccomp:"))?;
    if !is_filtered(status) {
        return Some(condition("system call filter", "none", "good", "the kernel refuses nothing that it has", None));
    }
    let meaning = "features that are missing above may be refused by the filter";
    let told = condition("system call filter", "on (seccomp)", "note", meaning, None);
    Some(Condition { remedy: Some(around.without_filter()), ..told })
}

fn container(around: &Around, named: bool) -> Option<Condition> {
    let meaning = if named {
        "clusters are seen within one network namespace"
    } else {
        "clusters are seen within one network namespace, and nodes must share the namespace of processes"
    };
    let kind = around.container()?;
    Some(condition("container", kind, "note", meaning, Some(around.one_namespace(named))))
}

/// A value of sysctl; `None` where there is no such thing.
pub(super) fn setting(name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/sys/{}", name.replace('.', "/"))).ok()?;
    Some(text.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_descriptors_are_told() {
        let status = |maximum| descriptors(Ok(Rlimit { current: Some(20), maximum })).status;
        assert_eq!(
            [status(Some(20)), status(Some(256)), status(Some(4096)), status(None)],
            ["bad", "warning", "good", "good"]
        );
    }

    #[test]
    fn memory_is_read() {
        let low = memory("MemTotal:       1000000 kB\nMemFree: 1 kB\nMemAvailable:     40000 kB\n");
        assert_eq!((&*low.value, low.status), ("39.1 MiB of 977 MiB available", "warning"));
        assert_eq!(memory("MemTotal: 1000 kB\nMemAvailable: 900 kB\n").status, "good");
    }

    #[test]
    fn namespaces_of_processes_matter_where_the_kernel_does_not_name_peers() {
        let told = |named| container(&Around::Docker, named).unwrap();
        assert!(
            told(false).meaning.contains("namespace of processes") && told(false).remedy.unwrap().contains("--pid=")
        );
        assert!(!told(true).meaning.contains("processes") && !told(true).remedy.unwrap().contains("--pid="));
        assert_eq!(container(&Around::Nothing, true), None);
    }

    #[test]
    fn kernels_without_threads_after_a_change_of_time_are_told() {
        let is_told = |kernel| time_namespaces(kernel).is_some();
        assert_eq!(
            ["5.4.0", "5.10.0-30-amd64", "6.1.9", "6.2.0", "6.12.3"].map(is_told),
            [false, true, true, false, false]
        );
    }

    #[test]
    fn huge_pages_are_as_large_as_the_kernel_says() {
        // With pages of 4, 16 and 64 KiB.
        for (bytes, told) in [("2097152\n", "2 MiB"), ("33554432\n", "32 MiB"), ("536870912\n", "512 MiB")] {
            assert_eq!(huge_page_size(bytes).map(|told| told.value).as_deref(), Some(told));
        }
        assert_eq!(huge_page_size("none"), None);
    }

    #[test]
    fn settings_that_are_in_the_way_have_a_remedy() {
        assert!(overcommit("2").remedy.is_some() && overcommit("0").remedy.is_none());
        assert!(yama("1").remedy.is_some() && yama("0").remedy.is_none());
        let filtered = seccomp("Name: x\nSeccomp:\t2\n", &Around::Pod).unwrap();
        assert_eq!((filtered.status, filtered.remedy), ("note", Some(Around::Pod.without_filter())));
        assert_eq!(seccomp("Seccomp:\t0\n", &Around::Docker).unwrap().status, "good");
        assert_eq!(setting("no.such.thing"), None);
    }
}
