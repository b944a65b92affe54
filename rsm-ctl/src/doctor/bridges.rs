//! What a bridge to another host needs of this machine. Nothing else does: whoever has none misses nothing.

use std::fs;
use std::path::{Path, PathBuf};

use rsm::run::rlimit;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

use super::conditions::{Condition, condition, unknown};
use crate::size;

/// Vendors and devices of functions with the registers that rsm drives: those of Linux's `ntb_hw_epf`.
const KNOWN: [(&str, &str); 2] = [("0x1957", "0x0809"), ("0x104c", "0xb00d")];
/// Class and subclass of other PCI functions that join two hosts.
const OTHER_BRIDGE: &str = "0x0680";
/// The bit of the capability with which pinned memory is not counted.
const IPC_LOCK: u32 = 14;

/// Where a machine tells of itself.
struct Machine {
    root: PathBuf,
    architecture: &'static str,
    kernel: String,
    limit: Result<Rlimit, Errno>,
}

/// Everything that can be seen.
pub(super) fn look(kernel: &str) -> Vec<Condition> {
    let (root, architecture) = ("/".into(), std::env::consts::ARCH);
    Machine { root, architecture, kernel: kernel.to_owned(), limit: rlimit::limit(Resource::Memlock) }.look()
}

/// A PCI function that joins two hosts.
struct Function {
    address: String,
    driver: Option<String>,
    has_group: bool,
    is_known: bool,
}

impl Machine {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn look(&self) -> Vec<Condition> {
        let functions = self.functions();
        let mut all: Vec<Condition> = functions.iter().map(function).collect();
        if !functions.iter().any(|function| function.is_known) {
            all.push(self.nothing());
            return all;
        }
        if self.architecture != "x86_64" {
            let meaning = "bridges are driven on x86-64 only: nothing is promised here of the order in which stores to a window and \
                           to its doorbells arrive";
            all.push(condition("bridge: processor", self.architecture, "note", meaning, None));
            return all;
        }
        all.extend([self.vfio(), self.iommu(), self.memory(), self.window()]);
        all
    }

    fn functions(&self) -> Vec<Function> {
        let folder = self.path("sys/bus/pci/devices");
        let Ok(entries) = fs::read_dir(&folder) else { return Vec::new() };
        let mut functions: Vec<Function> = entries
            .filter_map(|entry| {
                let at = entry.ok()?.path();
                let read = |name: &str| fs::read_to_string(at.join(name)).unwrap_or_default();
                let (vendor, device) = (read("vendor"), read("device"));
                let is_known = KNOWN.contains(&(vendor.trim(), device.trim()));
                let driver = fs::read_link(at.join("driver")).ok();
                (is_known || read("class").starts_with(OTHER_BRIDGE)).then(|| Function {
                    address: name(&at),
                    driver: driver.map(|driver| name(&driver)),
                    has_group: at.join("iommu_group").exists(),
                    is_known,
                })
            })
            .collect();
        functions.sort_by(|one, other| one.address.cmp(&other.address));
        functions
    }

    fn groups(&self) -> usize {
        fs::read_dir(self.path("sys/kernel/iommu_groups")).map_or(0, |groups| groups.flatten().count())
    }

    fn has_vfio(&self) -> bool {
        self.path("dev/vfio/vfio").exists()
    }

    /// Most machines.
    fn nothing(&self) -> Condition {
        let mut lacks = vec!["no PCI function of this machine joins it to another host in a way that rsm drives"];
        lacks.extend((!self.has_vfio()).then_some("there is no VFIO (modprobe vfio-pci)"));
        lacks.extend((self.groups() == 0).then_some("no IOMMU is on (intel_iommu=on)"));
        let meaning = format!("{}. Two agents of one machine need none of it: local:NAME", lacks.join("; "));
        condition("bridge to a host", "none", "note", meaning, None)
    }

    fn vfio(&self) -> Condition {
        if self.has_vfio() {
            return condition("bridge: VFIO", "there", "good", "agents are given PCI functions", None);
        }
        let meaning = "agents are given PCI functions by VFIO, which is not loaded, or not to be had here";
        condition("bridge: VFIO", "not there", "note", meaning, Some("modprobe vfio-pci"))
    }

    fn iommu(&self) -> Condition {
        match self.groups() {
            0 => {
                let meaning =
                    "it keeps a bridge to the memory that it was given: without one no function is given away";
                let remedy = Some("intel_iommu=on on the kernel's command line, and the firmware's setting");
                condition("bridge: IOMMU", "off", "note", meaning, remedy)
            }
            groups => {
                condition("bridge: IOMMU", format!("{groups} groups"), "good", "bridges reach what they may", None)
            }
        }
    }

    /// What the other host reaches is pinned, and counts as locked.
    fn memory(&self) -> Condition {
        let status = fs::read_to_string(self.path("proc/self/status")).unwrap_or_default();
        let capabilities = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
        let capabilities = capabilities.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        let meaning = "segments that the other host imports are pinned, which counts as locked memory of the agent; more is \
                       refused with INSUFFICIENT_MEM";
        match self.limit.map(|limit| limit.current) {
            _ if capabilities.is_some_and(|bits| bits >> IPC_LOCK & 1 == 1) => {
                condition("bridge: memory", "not limited (CAP_IPC_LOCK)", "good", meaning, None)
            }
            Err(errno) => condition("bridge: memory", unknown(errno), "note", meaning, None),
            Ok(None) => condition("bridge: memory", "not limited", "good", meaning, None),
            Ok(Some(limit)) => {
                let remedy = Some("ulimit -l unlimited, or LimitMEMLOCK= in the service");
                condition("bridge: memory", size::bytes(limit), "note", meaning, remedy)
            }
        }
    }

    /// What importers map. It is found by trying, when a bridge is opened; what kernels are known to do is told here.
    fn window(&self) -> Condition {
        let lockdown = fs::read_to_string(self.path("sys/kernel/security/lockdown")).unwrap_or_default();
        let locked = !lockdown.is_empty() && !lockdown.contains("[none]");
        let version: Vec<u32> = self.kernel.split('.').map_while(|part| part.parse().ok()).take(2).collect();
        let descriptor = "programs that import are given the function itself: its registers too, and it stays busy until the \
                          last of them lets go";
        if locked {
            return condition("bridge: window", "the descriptor (lockdown)", "note", descriptor, None);
        }
        match version[..] {
            [major, minor] if (major, minor) <= (6, 12) => {
                let meaning = "programs that import are given the window, and nothing else of the function";
                condition("bridge: window", "its file in /sys", "good", meaning, None)
            }
            [major, minor] if (major, minor) >= (7, 3) => {
                let remedy = Some("iomem=relaxed on the kernel's command line");
                condition("bridge: window", "the descriptor", "note", descriptor, remedy)
            }
            _ => {
                let meaning = format!("found when a bridge is opened: its file in /sys, or {descriptor}");
                condition("bridge: window", "not known", "note", meaning, None)
            }
        }
    }
}

fn function(function: &Function) -> Condition {
    let Function { address, driver, has_group, is_known } = function;
    if !is_known {
        let meaning =
            "it may join two hosts, by registers that rsm does not drive; it drives those of Linux's ntb_hw_epf";
        return condition("bridge", format!("{address}, not known"), "note", meaning, None);
    }
    let (value, status, meaning, remedy) = match driver.as_deref() {
        Some("vfio-pci") if *has_group => ("vfio-pci", "good", "--bridge ntb0=vfio: and this address", None),
        Some("vfio-pci") => ("vfio-pci", "note", "no IOMMU is in front of it: it cannot be given away", None),
        other => {
            let remedy = Some("driverctl set-override ADDRESS vfio-pci");
            (other.unwrap_or("none"), "note", "its driver is to be vfio-pci before an agent can have it", remedy)
        }
    };
    condition("bridge", format!("{address}, driver {value}"), status, meaning, remedy)
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    const ENDPOINT: [&str; 3] = ["0x050000", "0x1957", "0x0809"];

    /// A machine that is made up, of files.
    struct MadeUp(PathBuf);

    impl MadeUp {
        fn new(what: &str) -> MadeUp {
            let root = std::env::temp_dir().join(format!("rsm-doctor-{what}-{}", std::process::id()));
            fs::create_dir_all(&root).unwrap();
            MadeUp(root)
        }

        fn file(&self, path: &str, text: &str) {
            let path = self.0.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }

        fn function(&self, address: &str, [class, vendor, device]: [&str; 3], driver: Option<&str>) {
            for (name, text) in [("class", class), ("vendor", vendor), ("device", device)] {
                self.file(&format!("sys/bus/pci/devices/{address}/{name}"), &format!("{text}\n"));
            }
            if let Some(driver) = driver {
                let at = format!("sys/bus/pci/devices/{address}");
                symlink(format!("../../drivers/{driver}"), self.0.join(&at).join("driver")).unwrap();
                self.file(&format!("{at}/iommu_group/type"), "DMA");
                self.file("sys/kernel/iommu_groups/7/type", "DMA");
            }
        }

        fn look(&self, kernel: &str, limit: Option<u64>) -> Vec<(String, &'static str)> {
            self.look_on("x86_64", kernel, Ok(Rlimit { current: limit, maximum: limit }))
        }

        fn look_on(
            &self,
            architecture: &'static str,
            kernel: &str,
            limit: Result<Rlimit, Errno>,
        ) -> Vec<(String, &'static str)> {
            let machine = Machine { root: self.0.clone(), architecture, kernel: kernel.to_owned(), limit };
            machine
                .look()
                .into_iter()
                .map(|c| (format!("{}: {}; {}", c.condition, c.value, c.meaning), c.status))
                .collect()
        }
    }

    impl Drop for MadeUp {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_machine_without_a_bridge_has_one_line_for_it() {
        let machine = MadeUp::new("none");
        machine.function("0000:00:01.0", ["0x060100", "0x8086", "0x7000"], None);
        let told = machine.look("6.1.0", None);
        assert_eq!((told.len(), told[0].1), (1, "note"));
        assert!(told[0].0.contains("no VFIO") && told[0].0.contains("no IOMMU") && told[0].0.contains("local:NAME"));
        machine.file("dev/vfio/vfio", "");
        machine.file("sys/kernel/iommu_groups/1/type", "DMA");
        let told = machine.look("6.1.0", None);
        assert!(!told[0].0.contains("no VFIO") && !told[0].0.contains("no IOMMU"), "{told:?}");
        // A bridge of another kind is no help.
        machine.function("0000:02:00.0", ["0x068000", "0x8086", "0x201c"], Some("ntb_hw_intel"));
        let told = machine.look("6.1.0", None);
        assert!(told.len() == 2 && told[0].0.contains("0000:02:00.0, not known"), "{told:?}");
    }

    #[test]
    fn what_a_bridge_lacks_is_told_and_never_bad() {
        let machine = MadeUp::new("lacks");
        machine.function("0000:01:00.0", ENDPOINT, None);
        let limit = Rlimit { current: None, maximum: None };
        let told = machine.look_on("aarch64", "6.12.0", Ok(limit));
        assert!(told.len() == 2 && told[1].0.contains("aarch64; bridges are driven on x86-64 only"), "{told:?}");
        let told = machine.look("7.3.4-cloud-amd64", Some(8 << 20));
        assert!(told.iter().all(|(_, status)| *status == "note"), "{told:?}");
        let expected =
            ["0000:01:00.0, driver none", "VFIO: not there", "IOMMU: off", "memory: 8 MiB", "window: the descriptor;"];
        for (text, (told, _)) in expected.iter().zip(&told) {
            assert!(told.contains(text), "{text}: {told}");
        }
    }

    #[test]
    fn what_is_there_is_good() {
        let machine = MadeUp::new("good");
        machine.function("0000:01:00.0", ENDPOINT, Some("vfio-pci"));
        machine.file("dev/vfio/vfio", "");
        machine.file("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n");
        let told = machine.look("6.12.117", Some(8 << 20));
        assert_eq!(told.len(), 5);
        assert!(told.iter().all(|(_, status)| *status == "good"), "{told:?}");
        // A kernel that is locked down keeps the window's file.
        machine.file("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
        let told = machine.look("6.12.117", None);
        assert!(told[4].0.contains("lockdown") && told[4].1 == "note", "{told:?}");
        assert!(machine.look("6.15", None).len() == 5);
    }
}
