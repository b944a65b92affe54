//! What the kernel says of a process.

use std::fs;

use rsm::observe::Observer;
use serde::Serialize;

use crate::printable;

/// A process, as far as this user may know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct ProcessState {
    /// `running`, `sleeping`, `waiting` (in the kernel), `stopped`, `zombie`, or `gone`; `elsewhere` when its number is of
    /// another PID namespace, and nothing is known of it.
    pub(crate) state: &'static str,
    /// Bytes of memory it has in use, shared memory included.
    pub(crate) resident_bytes: Option<u64>,
    /// Its threads.
    pub(crate) threads: Option<u32>,
    /// Its command line; the name of its program where that is not to be had.
    pub(crate) command: String,
}

/// Looks at a process of a cluster.
pub(crate) fn look(observer: &Observer, pid: u32) -> ProcessState {
    // Another process may have that number here; 0 stands for those that the agent's namespace does not show.
    if pid != 0 && observer.shares_process_ids() { look_here(pid) } else { ProcessState::elsewhere() }
}

/// Memory that some processes have in use together; `None` where nobody here knows.
pub(crate) fn resident_together<'a>(states: impl IntoIterator<Item = &'a ProcessState>) -> Option<u64> {
    // One that is gone has none.
    let own = |state: &ProcessState| (state.state != ELSEWHERE).then(|| state.resident_bytes.unwrap_or(0));
    states.into_iter().map(own).sum()
}

const ELSEWHERE: &str = "elsewhere";

impl ProcessState {
    fn elsewhere() -> ProcessState {
        let command = "in another PID namespace".to_owned();
        ProcessState { state: ELSEWHERE, resident_bytes: None, threads: None, command }
    }
}

/// Looks at a process of this PID namespace.
fn look_here(pid: u32) -> ProcessState {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let status = String::from_utf8_lossy(&read("status")).into_owned();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let words = read("cmdline");
    // Each word ends with a zero; one of no letters is a word, too.
    let words = words.strip_suffix(b"\0").unwrap_or(&words);
    let command: Vec<String> = words.split(|&byte| byte == 0).map(shown).collect();
    ProcessState {
        state: match field("State:").and_then(|state| state.chars().next()) {
            Some('R') => "running",
            Some('S' | 'I') => "sleeping",
            Some('D') => "waiting",
            Some('T' | 't') => "stopped",
            Some('Z') => "zombie",
            _ => "gone",
        },
        resident_bytes: field("VmRSS:")
            .and_then(|text| text.split(' ').next()?.parse::<u64>().ok())
            .map(|kib| kib << 10),
        threads: field("Threads:").and_then(|text| text.parse().ok()),
        command: if words.is_empty() { field("Name:").unwrap_or_default().to_owned() } else { command.join(" ") },
    }
}

/// A word of a command line: it may hold anything, and what is shown is one line.
fn shown(word: &[u8]) -> String {
    if word.is_empty() { "''".to_owned() } else { printable::name(&String::from_utf8_lossy(word)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oneself() {
        let me = look_here(std::process::id());
        assert!(matches!(me.state, "running" | "sleeping"), "{me:?}");
        assert!(me.resident_bytes > Some(0) && me.threads > Some(0) && !me.command.is_empty(), "{me:?}");
    }

    #[test]
    fn what_some_have_together() {
        let (me, gone) = (look_here(std::process::id()), look_here(u32::MAX));
        assert_eq!(resident_together([&me, &gone]), me.resident_bytes);
        assert_eq!(resident_together([&me, &ProcessState::elsewhere()]), None);
    }

    #[test]
    fn nobody() {
        let nobody = look_here(u32::MAX);
        assert_eq!((nobody.state, nobody.resident_bytes, &*nobody.command), ("gone", None, ""));
        assert_eq!((shown(b"a\nb\x1b"), shown(b"")), (r"a\nb\u{1b}".to_owned(), "''".to_owned()));
    }
}
