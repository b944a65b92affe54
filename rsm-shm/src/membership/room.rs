//! How much memory there is: on the machine, and in the control groups that this process is in.
//!
//! The pages of an export are made present when it is made, and count as those of the process that exports. Where there is
//! no room for them the kernel kills somebody, and nobody is told why; so it is looked before. That is an estimate, as
//! the kernel's own is: others take memory at the same time.

use super::Membership;
use super::control::unexpected;
use crate::groups::{Group, number};
use crate::guest;
use rsm_core::message::{Answer, Ask};
use rsm_core::{Code, Error, Result};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A part of what there was when it was last looked is good for this long without another look: small exports would pay
/// more for looking than for their pages. But never much: the process may have entered another control group meanwhile.
const GOOD_FOR: Duration = Duration::from_millis(100);
const GOOD_PART: u64 = 4;
const GOOD_MOST: u64 = 16 << 20;

/// What is left of that part, and until when, in milliseconds since the first look. Who loses an update looks a little
/// earlier or later.
static SPARE: AtomicU64 = AtomicU64::new(0);
static GOOD_UNTIL: AtomicU64 = AtomicU64::new(0);

/// The longest wait for memory that is being given back: about 400 GiB of it.
const GIVING_BACK: Duration = Duration::from_secs(10);

impl Membership {
    /// Checks with `check` that there is room. Memory of exports that were destroyed a moment ago may not be back yet;
    /// it is waited for before there is none.
    ///
    /// # Errors
    /// Those of `check`.
    pub(super) fn check_room(&self, check: impl Fn() -> Result<()>) -> Result<()> {
        let until = Instant::now() + GIVING_BACK;
        loop {
            let Err(error) = check() else { return Ok(()) };
            match self.ask(Ask::Closing)?.0 {
                Answer::Closing { objects: 0 } => return check(),
                Answer::Closing { .. } if Instant::now() >= until => return Err(error),
                Answer::Closing { .. } => std::thread::sleep(Duration::from_millis(1)),
                other => return Err(unexpected(&other)),
            }
        }
    }
}

/// Checks that so many bytes more can be made present.
///
/// # Errors
/// INSUFFICIENT_MEM, saying what there is and what limits it.
pub(super) fn check(bytes: u64) -> Result<()> {
    if bytes == 0 {
        return Ok(());
    }
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let now = FIRST.get_or_init(Instant::now).elapsed().as_millis() as u64;
    let spare = SPARE.load(Relaxed);
    if bytes <= spare && now < GOOD_UNTIL.load(Relaxed) {
        SPARE.store(spare - bytes, Relaxed);
        return Ok(());
    }
    let Some(room) = Room::now() else { return Ok(()) };
    if bytes > room.bytes {
        let Room { bytes: available, by } = room;
        let text = format!("{bytes} bytes more, with {available} bytes of memory available{by}");
        return Err(Error::with(Code::InsufficientMem, text));
    }
    SPARE.store(((room.bytes - bytes) / GOOD_PART).min(GOOD_MOST), Relaxed);
    GOOD_UNTIL.store(now + GOOD_FOR.as_millis() as u64, Relaxed);
    Ok(())
}

/// What there is, and what limits it.
#[derive(Debug, PartialEq, Eq)]
struct Room {
    bytes: u64,
    by: String,
}

impl Room {
    /// `None` where the kernel does not say.
    fn now() -> Option<Room> {
        if crate::procfs::obstacle().is_some() {
            return None; // what looks like it says nothing of this machine
        }
        Room::under(Path::new("/"))
    }

    /// As the files below `root` say.
    fn under(root: &Path) -> Option<Room> {
        let read = |path: &str| guest::read_text(&root.join(path)).ok();
        let machine = read("proc/meminfo").and_then(|text| Machine::of(&text));
        let cgroup = read("proc/self/cgroup").unwrap_or_default();
        let mounts = read("proc/self/mountinfo").unwrap_or_default();
        let swap = machine.as_ref().map_or(0, |machine| machine.swap);
        let groups = Group::all(&cgroup, &mounts);
        let group = groups.iter().filter_map(|group| room_of(group, root, swap)).min_by_key(|room| room.bytes);
        let machine = machine.map(|m| Room { bytes: m.available.saturating_add(m.swap), by: String::new() });
        [machine, group].into_iter().flatten().min_by_key(|room| room.bytes)
    }
}

/// What the machine has, as the kernel estimates it.
struct Machine {
    /// Without pushing others out.
    available: u64,
    swap: u64,
}

impl Machine {
    fn of(meminfo: &str) -> Option<Machine> {
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
        };
        Some(Machine { available: field("MemAvailable:")?, swap: field("SwapFree:").unwrap_or(0) })
    }
}

/// Counts of a group lag behind by a few pages for each processor.
const SLACK: u64 = 1 << 20;

/// What a group and those above it leave.
fn room_of(group: &Group, root: &Path, swap: u64) -> Option<Room> {
    let left = group.folders(root).filter_map(|(folder, part)| {
        let read = |name: &str| guest::read_text(&folder.join(name)).ok();
        let bytes = if group.unified { left_of_unified(&read, swap) } else { left_of_own_hierarchy(&read, swap) }?;
        let name = if part.as_os_str().is_empty() { "/".into() } else { part.display().to_string() };
        Some(Room { bytes, by: format!(" in the control group {name}") })
    });
    left.min_by_key(|room| room.bytes)
}

/// Pages of files, which the kernel can take from a group at any time.
fn files(stat: Option<String>, prefix: &str) -> u64 {
    let stat = stat.unwrap_or_default();
    let field = |name: &str| {
        let name = format!("{prefix}{name} ");
        stat.lines().find_map(|line| line.strip_prefix(&name)?.trim().parse::<u64>().ok()).unwrap_or(0)
    };
    field("active_file").saturating_add(field("inactive_file"))
}

/// What a group of the unified hierarchy has left; `None` without a limit.
fn left_of_unified(read: &impl Fn(&str) -> Option<String>, swap: u64) -> Option<u64> {
    // Beyond `high` nobody is killed, but everybody in the group stands still until pages were taken from it; memory of
    // exports can only go to swap space.
    let limit = [number(read("memory.max")), number(read("memory.high"))].into_iter().flatten().min()?;
    let used = number(read("memory.current"))?;
    let swap = match number(read("memory.swap.max")) {
        Some(most) => swap.min(most.saturating_sub(number(read("memory.swap.current")).unwrap_or(0))),
        None => swap,
    };
    Some(
        (limit.saturating_add(files(read("memory.stat"), "")))
            .saturating_sub(used.saturating_add(SLACK))
            .saturating_add(swap),
    )
}

/// What a group of the memory controller's own hierarchy (cgroup v1) has left; `None` without a limit.
fn left_of_own_hierarchy(read: &impl Fn(&str) -> Option<String>, swap: u64) -> Option<u64> {
    let files = files(read("memory.stat"), "total_");
    let left = |limit: &str, used: &str| {
        let (limit, used) = (number(read(limit))?, number(read(used))?);
        Some(limit.saturating_add(files).saturating_sub(used.saturating_add(SLACK)))
    };
    let memory = left("memory.limit_in_bytes", "memory.usage_in_bytes").map(|left| left.saturating_add(swap));
    let with_swap = left("memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes");
    [memory, with_swap].into_iter().flatten().min()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::path::PathBuf;

    const MIB: u64 = 1 << 20;

    /// A root folder with these files.
    struct Files(PathBuf);

    impl Files {
        fn new(name: &str, files: &[(&str, &str)]) -> Files {
            let root = std::env::temp_dir().join(format!("rsm-room-{}-{name}", std::process::id()));
            for (path, text) in files {
                let path = root.join(path);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            Files(root)
        }

        fn room(&self) -> Option<(u64, String)> {
            Room::under(&self.0).map(|room| (room.bytes / MIB, room.by))
        }
    }

    impl Drop for Files {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    const MEMINFO: &str = "MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 4194304 kB\nSwapFree: 102400 kB\n";
    const UNIFIED: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const STAT: &str = "anon 5\nfile 99\ninactive_file 1048576\nactive_file 2097152\n";

    #[test]
    fn the_machine_limits_where_no_group_does() {
        let files = Files::new("machine", &[("proc/meminfo", MEMINFO)]);
        assert_eq!(files.room(), Some((4096 + 100, String::new())));
        let files = Files::new("nothing", &[("proc/other", "")]);
        assert_eq!(files.room(), None);
    }

    #[test]
    fn the_tightest_group_up_the_tree_limits() {
        let group = |path: &str, file: &str| format!("sys/fs/cgroup/{path}{file}");
        let (max, current) = ((200 * MIB).to_string(), (50 * MIB).to_string());
        let mut files = vec![
            ("proc/meminfo".to_owned(), MEMINFO),
            ("proc/self/cgroup".to_owned(), "1:name=systemd:/x\n0::/a/b\n"),
            ("proc/self/mountinfo".to_owned(), UNIFIED),
            (group("a/", "memory.max"), &max),
            (group("a/", "memory.current"), &current),
            (group("a/", "memory.stat"), STAT),
            (group("a/", "memory.swap.max"), "0\n"),
            (group("a/b/", "memory.max"), "max\n"),
            (group("a/b/", "memory.high"), "max\n"),
            (group("a/b/", "memory.current"), "4096\n"),
        ];
        let room = |name: &str, files: &[(String, &str)]| {
            Files::new(name, &files.iter().map(|(path, text)| (&**path, *text)).collect::<Vec<_>>()).room()
        };
        let in_a = |mib| Some((mib, " in the control group a".to_owned()));
        // 200 less 50, 3 of files that can go, one of slack; no swap space for the group.
        assert_eq!(room("above", &files), in_a(200 - 50 + 3 - 1));
        files[6].1 = "max\n";
        assert_eq!(room("swap", &files), in_a(200 - 50 + 3 - 1 + 100), "as much as the machine has");
        let high = (100 * MIB).to_string();
        files[8].1 = &high;
        assert_eq!(room("high", &files), Some((100 - 2 + 100, " in the control group a/b".to_owned())));
    }

    #[test]
    fn the_older_hierarchy_limits_likewise() {
        let mounts = "34 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      35 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let limit = (300 * MIB).to_string();
        let used = (100 * MIB).to_string();
        let unlimited = "9223372036854771712\n";
        let files = |memsw: &str, above: &str, name: &str| {
            let base = "sys/fs/cgroup/memory";
            let files = Files::new(
                name,
                &[
                    ("proc/meminfo", MEMINFO),
                    ("proc/self/cgroup", "4:cpu:/\n3:cpuset,memory:/x/y\n0::/\n"),
                    ("proc/self/mountinfo", mounts),
                    (&format!("{base}/x/y/memory.limit_in_bytes"), &limit),
                    (&format!("{base}/x/y/memory.usage_in_bytes"), &used),
                    (&format!("{base}/x/y/memory.memsw.limit_in_bytes"), memsw),
                    (&format!("{base}/x/y/memory.memsw.usage_in_bytes"), &used),
                    (&format!("{base}/x/y/memory.stat"), "active_file 1\ntotal_active_file 1048576\n"),
                    (&format!("{base}/x/memory.limit_in_bytes"), &used),
                    (&format!("{base}/x/memory.usage_in_bytes"), &used),
                    (&format!("{base}/x/memory.use_hierarchy"), above),
                ],
            );
            files.room()
        };
        let in_y = |mib| Some((mib, " in the control group x/y".to_owned()));
        assert_eq!(files(unlimited, "0\n", "v1"), in_y(200 + 100));
        assert_eq!(files(&limit, "0\n", "v1-swap"), in_y(200));
        assert_eq!(files(&limit, "1\n", "v1-above"), Some((100, " in the control group x".to_owned())), "swap alone");
    }
}
