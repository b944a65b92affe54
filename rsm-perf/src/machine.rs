//! What the numbers were taken on: processors, load, pinning.

use rustix::thread::sched_getaffinity;
use serde::Serialize;
use std::time::Duration;

/// The machine, and what else it was doing.
#[derive(Clone, Debug, Serialize)]
pub struct Machine {
    /// The processors' name, as the kernel has it.
    pub processor: String,
    /// Processors this process may use.
    pub processors: usize,
    /// Linux version.
    pub kernel: String,
    /// Load average of the last minute before the start.
    pub load_before: f64,
    /// Processor time that others used just before the start, 0 to 1 of all.
    pub busy_before: f64,
    /// Where the parties are pinned: active, passive.
    pub cpus: Option<[usize; 2]>,
    /// What makes the numbers doubtful.
    pub warnings: Vec<String>,
}

/// Above these somebody else wants the processors.
const MOST_BUSY: f64 = 0.10;

impl Machine {
    /// Looks at the machine for a tenth of a second. `cpus` as chosen by [`choose`].
    pub fn look(cpus: Option<[usize; 2]>) -> Machine {
        let before = times();
        std::thread::sleep(Duration::from_millis(100));
        let after = times();
        let busy_before = match (before, after) {
            (Some(a), Some(b)) if b.1 > a.1 => (b.0 - a.0) as f64 / (b.1 - a.1) as f64,
            _ => 0.0,
        };
        let unseen = before.is_none() || after.is_none();
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let name = processor(&read("/proc/cpuinfo"));
        let load_before = load();
        let processors = allowed().len();
        let mut warnings = Vec::new();
        if unseen {
            warnings.push("the kernel does not tell what else the machine does (/proc/stat)".to_owned());
        }
        if busy_before > MOST_BUSY {
            let text = format!("the machine is loaded: others use {:.0} % of its processors", busy_before * 100.0);
            warnings.push(text);
        } else if load_before > processors as f64 / 2.0 {
            warnings.push(format!("the machine was loaded: load average {load_before:.2}"));
        }
        match cpus {
            None if processors < 2 => warnings.push("one processor only: parties that spin wait for their turn".into()),
            None => warnings.push("the parties are not pinned: the scheduler may move them".into()),
            Some([a, b]) if a == b => warnings.push("both parties are pinned to one processor".into()),
            Some(_) => {}
        }
        if cfg!(debug_assertions) {
            warnings.push("built without optimisation: times are not those of a release build".into());
        }
        let kernel = read("/proc/sys/kernel/osrelease").trim().to_owned();
        // Nobody who compares numbers should take two machines without a name for one.
        let processor = name.unwrap_or_else(|| format!("an unnamed {} processor", std::env::consts::ARCH));
        Machine { processor, processors, kernel, load_before, busy_before, cpus, warnings }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let cpus = self.cpus.map_or_else(|| "not pinned".to_owned(), |[a, b]| format!("pinned to CPU {a} and CPU {b}"));
        let Machine { processor, processors, kernel, load_before, busy_before, .. } = self;
        let busy = busy_before * 100.0;
        format!("{processor}, {processors} CPUs, Linux {kernel}; {cpus}; load {load_before:.2}, others {busy:.0} %")
    }
}

/// The name of a processor in the text of `/proc/cpuinfo`. On ARM the kernel has numbers instead; those of servers and
/// boards that one meets are put into words.
fn processor(text: &str) -> Option<String> {
    let field = |name: &str| {
        let value = |line: &str| Some(line.strip_prefix(name)?.trim_start().strip_prefix(':')?.trim().to_owned());
        text.lines().find_map(value).filter(|value| !value.is_empty())
    };
    // The last two: what RISC-V and POWER call it.
    if let Some(name) = ["model name", "uarch", "cpu"].into_iter().find_map(field) {
        return Some(name);
    }
    let (maker, part) = (field("CPU implementer")?, field("CPU part")?);
    let name = match (&*maker, &*part) {
        ("0x41", "0xd03") => "Cortex-A53",
        ("0x41", "0xd08") => "Cortex-A72",
        ("0x41", "0xd0b") => "Cortex-A76",
        ("0x41", "0xd0c") => "Neoverse N1",
        ("0x41", "0xd40") => "Neoverse V1",
        ("0x41", "0xd49") => "Neoverse N2",
        ("0x41", "0xd4f") => "Neoverse V2",
        ("0xc0", "0xac3") => "Ampere-1",
        _ => return Some(format!("ARM processor, implementer {maker}, part {part}")),
    };
    Some(name.to_owned())
}

/// The load average of the last minute.
pub fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or(0.0)
}

/// Processors this process may use.
pub fn allowed() -> Vec<usize> {
    let set = sched_getaffinity(None).unwrap_or_default();
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect()
}

/// The processors for two parties: the first two that may be used; none where there is one only.
pub fn choose() -> Option<[usize; 2]> {
    match allowed()[..] {
        [a, b, ..] => Some([a, b]),
        _ => None,
    }
}

/// Processor time used and in all, of all processors, in ticks.
fn times() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    let numbers: Vec<u64> = text.lines().next()?.split_whitespace().skip(1).filter_map(|n| n.parse().ok()).collect();
    let (all, idle) = (numbers.iter().take(8).sum::<u64>(), numbers.get(3)? + numbers.get(4)?);
    Some((all - idle, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_have_names() {
        for (text, name) in [
            ("processor\t: 0\nmodel name\t: Some CPU @ 2.00GHz\n", "Some CPU @ 2.00GHz"),
            ("processor\t: 0\nCPU implementer\t: 0x41\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\n", "Neoverse N1"),
            ("CPU implementer\t: 0x99\nCPU part\t: 0x001\n", "ARM processor, implementer 0x99, part 0x001"),
            ("processor\t: 0\nhart\t\t: 0\nuarch\t\t: sifive,u74-mc\n", "sifive,u74-mc"),
            ("processor\t: 0\ncpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
        ] {
            assert_eq!(processor(text).as_deref(), Some(name));
        }
        assert_eq!(processor("model name\t:\n"), None);
        assert!(!Machine::look(None).processor.is_empty());
    }

    #[test]
    fn a_machine_can_be_described() {
        let machine = Machine::look(None);
        assert!(machine.processors >= 1 && machine.line().contains("not pinned"));
        assert!((0.0..=1.0).contains(&machine.busy_before));
        assert!(machine.warnings.iter().any(|w| w.contains("pinned") || w.contains("one processor")));
    }
}
