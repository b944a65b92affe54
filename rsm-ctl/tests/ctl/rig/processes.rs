//! Processes as /proc shows them.

use std::fs;
use std::process::{Command, Stdio};

use rustix::process::Pid;

use super::eventually;

/// The variable that carries the mark of a run.
pub(crate) const MARK: &str = "RSM_CTL_TEST_MARK";

/// For scripts: `gone FILE` waits until the process whose number is in a file has been reaped, so that its parent knows of its end.
pub(crate) const GONE: &str = "gone() { until [ -s $1 ] && ! kill -0 $(cat $1) 2>/dev/null; do sleep 0.01; done; };";

/// State letter of a process as in `ps`, or `None` when it has gone. A zombie has gone: it is a number in a table.
pub(crate) fn state(process: Pid) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.as_raw_pid())).ok()?;
    let state = stat[stat.rfind(')')? + 2..].chars().next()?;
    (state != 'Z' && state != 'X').then_some(state)
}

/// Waits until a process is in this state.
pub(crate) fn expect_state(process: Pid, wanted: char) {
    eventually(&format!("state {wanted} of {process}"), || (state(process)? == wanted).then_some(()));
}

/// The descriptors a freshly started shell has here, whatever runs these tests.
pub(crate) fn inherited_descriptors() -> String {
    let output = Command::new("/bin/sh").args(["-c", "ls /proc/self/fd"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

pub(crate) fn pid(text: &str) -> Option<Pid> {
    text.parse().ok().and_then(Pid::from_raw)
}

/// The living processes whose environment carries the mark.
pub(crate) fn marked(mark: &str) -> Vec<Pid> {
    let wanted = format!("{MARK}={mark}");
    let carries = |process: &Pid| {
        let environment = fs::read(format!("/proc/{}/environ", process.as_raw_pid())).unwrap_or_default();
        environment.split(|&byte| byte == 0).any(|variable| variable == wanted.as_bytes())
    };
    let processes = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| pid(entry.file_name().to_str()?));
    processes.filter(carries).filter(|&process| state(process).is_some()).collect()
}

pub(crate) fn names(processes: &[Pid]) -> Vec<String> {
    let name = |process: &Pid| fs::read_to_string(format!("/proc/{}/cmdline", process.as_raw_pid()));
    processes.iter().map(|process| format!("{process} {:?}", name(process))).collect()
}
