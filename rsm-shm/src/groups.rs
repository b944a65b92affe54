//! Control groups: which count the memory of this process, where they are to be seen, and what they allow.

use crate::guest;
use std::path::{Path, PathBuf};

/// The least limit of memory of this process's own groups and those around them, of either kind, as the files below `root`
/// say; nothing without one. Beyond what this says nothing of a segment is made present.
pub fn memory_limit(root: &Path) -> Option<u64> {
    let read = |path: &str| guest::read_text(&root.join(path)).unwrap_or_default();
    let groups = Group::all(&read("proc/self/cgroup"), &read("proc/self/mountinfo"));
    groups.iter().filter_map(|group| group.limit(root)).min()
}

/// The control group that counts this process's memory, in one hierarchy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) unified: bool,
    /// Where the hierarchy is mounted, and where below it the group is.
    pub(crate) mount: PathBuf,
    pub(crate) below: PathBuf,
}

impl Group {
    /// The groups that `/proc/self/cgroup` names and `/proc/self/mountinfo` shows.
    pub(crate) fn all(cgroup: &str, mounts: &str) -> Vec<Group> {
        let mut found = Vec::new();
        for line in cgroup.lines() {
            let mut fields = line.splitn(3, ':');
            let (Some(_), Some(controllers), Some(path)) = (fields.next(), fields.next(), fields.next()) else {
                continue;
            };
            let unified = controllers.is_empty();
            if !path.starts_with('/') || !unified && !controllers.split(',').any(|c| c == "memory") {
                continue;
            }
            found.extend(mounts.lines().filter_map(Mount::of).find_map(|mount| mount.group(unified, path)));
        }
        found
    }

    /// The folders of the group and of those above it that have a say, and their names in the hierarchy.
    pub(crate) fn folders(&self, root: &Path) -> impl Iterator<Item = (PathBuf, &Path)> {
        let mount = root.join(self.mount.strip_prefix("/").unwrap_or(&self.mount));
        let mut has_say = true;
        self.below.ancestors().map_while(move |part| {
            let folder = has_say.then(|| mount.join(part))?;
            // A group that does not count what is below it has no say, nor have those above.
            let above = || guest::read_text(&folder.join("../memory.use_hierarchy"));
            has_say = self.unified || above().map_or(true, |text| text.trim() != "0");
            Some((folder, part))
        })
    }

    /// The least limit of those.
    fn limit(&self, root: &Path) -> Option<u64> {
        let names = if self.unified { &["memory.max", "memory.high"][..] } else { &["memory.limit_in_bytes"] };
        let limits = self.folders(root).flat_map(|(folder, _)| names.iter().map(move |name| folder.join(name)));
        limits.filter_map(|file| number(guest::read_text(&file).ok())).min()
    }
}

/// A line of `/proc/self/mountinfo`.
struct Mount<'a> {
    /// What of the hierarchy is mounted.
    root: &'a str,
    point: &'a str,
    kind: &'a str,
    options: &'a str,
}

impl Mount<'_> {
    fn of(line: &str) -> Option<Mount<'_>> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ');
        let (root, point) = (left.nth(3)?, left.next()?);
        let mut right = right.split(' ');
        Some(Mount { root, point, kind: right.next()?, options: right.nth(1)? })
    }

    /// The group at `path` of the hierarchy, if this is where that is mounted.
    fn group(&self, unified: bool, path: &str) -> Option<Group> {
        let right_one = match self.kind {
            "cgroup2" => unified,
            "cgroup" => !unified && self.options.split(',').any(|option| option == "memory"),
            _ => false,
        };
        if !right_one {
            return None;
        }
        // Where part of the hierarchy is mounted the path begins with that part; a path that leads out of it ("/..")
        // is of a group that is not to be seen, and the nearest to it is the root of what is mounted.
        let below = Path::new(path).strip_prefix(self.root).unwrap_or(Path::new(""));
        let visible = !below.components().any(|part| part == std::path::Component::ParentDir);
        let below = if visible { below.to_owned() } else { PathBuf::new() };
        Some(Group { unified, mount: PathBuf::from(unescape(self.point)), below })
    }
}

/// Spaces and the like are written in octal digits.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
}

/// What a kernel without a limit says there is, or more: the largest number of bytes in whole pages.
const NO_LIMIT: u64 = 1 << 62;

/// What a file of a group says, if that is a limit, or a count.
pub(crate) fn number(text: Option<String>) -> Option<u64> {
    text?.trim().parse().ok().filter(|&number| number < NO_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_of_a_hierarchy_may_be_mounted() {
        let container = "29 23 0:26 /docker/c1 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let groups = |cgroup| Group::all(cgroup, container);
        let at = |below: &str| vec![Group { unified: true, mount: "/sys/fs/cgroup".into(), below: below.into() }];
        assert_eq!(groups("0::/docker/c1/inner\n"), at("inner"));
        assert_eq!(groups("0::/docker/c1\n"), at(""));
        assert_eq!(groups("0::/../elsewhere\n"), at(""), "not to be seen: the nearest is");
        assert_eq!(groups("0::/\n"), at(""), "in a namespace of its own");
        assert_eq!(groups("rubbish\n::\n5:cpu:/x\n"), []);
        assert_eq!(Group::all("0::/a\n", ""), [], "not mounted");
        let spaced = "29 23 0:26 / /mnt/my\\040groups rw - cgroup2 cgroup2 rw\n";
        assert_eq!(Group::all("0::/a\n", spaced)[0].mount, Path::new("/mnt/my groups"));
    }

    #[test]
    fn limits_are_found_wherever_groups_are_mounted() {
        type Files = &'static [(&'static str, &'static str)];
        const UNIFIED: &str = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        const OWN: &str = "35 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let cases: [(&str, &str, Files, Option<u64>); 9] = [
            ("0::/\n", UNIFIED, &[("sys/fs/cgroup/memory.max", "max\n")], None),
            ("0::/\n", UNIFIED, &[("sys/fs/cgroup/memory.max", "4096\n")], Some(4096)),
            (
                "0::/a/b\n",
                UNIFIED,
                &[("sys/fs/cgroup/a/b/memory.max", "8192\n"), ("sys/fs/cgroup/a/memory.max", "4096\n")],
                Some(4096),
            ),
            ("0::/a\n", UNIFIED, &[("sys/fs/cgroup/a/memory.high", "4096\n")], Some(4096)),
            // The name outside, and nothing of it to be seen but its own files.
            (
                "4:memory:/docker/0af1\n0::/docker/0af1\n",
                "35 31 0:31 /docker/0af1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
                &[("sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n")],
                Some(64 << 20),
            ),
            ("4:memory:/x\n", OWN, &[("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "9223372036854771712\n")], None),
            // Elsewhere, or together with other controllers.
            (
                "0::/a\n",
                "29 23 0:26 / /run/groups\\040here rw - cgroup2 cgroup2 rw\n",
                &[("run/groups here/a/memory.max", "4096\n"), ("sys/fs/cgroup/a/memory.max", "512\n")],
                Some(4096),
            ),
            (
                "3:cpuset,memory:/x\n",
                "35 31 0:31 / /dev/cgroup rw - cgroup cgroup rw,cpuset,memory\n",
                &[("dev/cgroup/x/memory.limit_in_bytes", "8192\n"), ("dev/cgroup/memory.use_hierarchy", "1\n")],
                Some(8192),
            ),
            // Who does not count what is below has no say.
            (
                "3:memory:/x\n",
                OWN,
                &[
                    ("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "8192\n"),
                    ("sys/fs/cgroup/memory/memory.limit_in_bytes", "4096\n"),
                    ("sys/fs/cgroup/memory/memory.use_hierarchy", "0\n"),
                ],
                Some(8192),
            ),
        ];
        for (number, (own, mounts, files, limit)) in cases.into_iter().enumerate() {
            let root = std::env::temp_dir().join(format!("rsm-groups-{}-{number}", std::process::id()));
            for (path, text) in [&[("proc/self/cgroup", own), ("proc/self/mountinfo", mounts)], files].concat() {
                std::fs::create_dir_all(root.join(path).parent().unwrap()).unwrap();
                std::fs::write(root.join(path), text).unwrap();
            }
            let found = memory_limit(&root);
            std::fs::remove_dir_all(&root).unwrap();
            assert_eq!(found, limit, "{own}{mounts}");
        }
    }
}
