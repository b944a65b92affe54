//! Users, by numbers that differ between user namespaces.

use crate::address::Address;
use crate::procfs;
use rsm_core::{Code, Error, Result};

/// What the kernel calls users that have no number in a namespace.
const OVERFLOW: u32 = 65534;

/// A part of `/proc/self/uid_map`: so many users from `inside` here are those from `outside` in the namespace around.
#[derive(Clone, Copy, Debug)]
struct Extent {
    inside: u32,
    outside: u32,
    count: u32,
}

/// The users of this process's namespace.
#[derive(Debug)]
struct Map(Vec<Extent>);

impl Map {
    /// `None` when /proc does not say.
    fn own() -> Option<Map> {
        Some(Map::parse(&String::from_utf8_lossy(&procfs::read("self/uid_map").ok()?)))
    }

    fn parse(text: &str) -> Map {
        let extent = |line: &str| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some(Extent { inside: next()?, outside: next()?, count: next()? })
        };
        Map(text.lines().filter_map(extent).collect())
    }

    /// The first namespace, or one that is like it.
    fn is_plain(&self) -> bool {
        self.0.iter().any(|e| (e.inside, e.outside, e.count) == (0, 0, u32::MAX))
    }

    fn has(&self, user: u32) -> bool {
        self.0.iter().any(|e| user.checked_sub(e.inside).is_some_and(|n| n < e.count))
    }

    /// The number here of a user of the namespace around.
    fn translated(&self, outside: u32) -> Option<u32> {
        self.0.iter().find_map(|e| {
            let n = outside.checked_sub(e.outside).filter(|n| *n < e.count)?;
            e.inside.checked_add(n)
        })
    }

    /// Whether the user that the kernel calls `seen` here is the one that somebody, here or in the namespace around,
    /// calls `told`. Further away nobody can tell: then it is believed of this process's own user, `own`, which has
    /// everything that this process has.
    fn is_same(&self, told: u32, seen: u32, own: u32) -> bool {
        if self.is_plain() {
            return seen == told;
        }
        self.has(seen) && (seen == told || self.translated(told) == Some(seen) || seen == own)
    }
}

/// Whether what somebody, here or in the user namespace around, calls user `told` is this process's own effective user.
pub fn is_own(told: u32) -> bool {
    let own = rustix::process::geteuid().as_raw();
    told == own || Map::own().is_some_and(|map| !map.is_plain() && map.translated(told) == Some(own))
}

/// Checks that the agent of a cluster, which the kernel calls user `seen` here, is the user that its address names.
///
/// # Errors
/// PERM_DENIED when it is not, or nobody can tell.
pub fn check_agent(address: &Address, seen: u32) -> Result<()> {
    let (cluster, told) = (address.name(), address.uid());
    // Nearly always. The number that stands for everybody without one says nothing, but of one's own agent.
    if told == seen && (seen != OVERFLOW || address.is_ours()) {
        return Ok(());
    }
    let map = Map::own();
    let own = rustix::process::geteuid().as_raw();
    if map.as_ref().map_or(told == seen, |map| map.is_same(told, seen, own)) {
        return Ok(());
    }
    let mut text = format!("the agent of {cluster:?} should be user {told}, but is user {seen}");
    if let Some(map) = map.filter(|map| !map.is_plain()) {
        text += " here: this process is in a user namespace (/proc/self/uid_map) where user ";
        text += &match map.translated(told) {
            Some(number) => format!("{told} is {number}"),
            None => format!("{told} has no number"),
        };
    }
    Err(Error::with(Code::PermDenied, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_told_apart_across_namespaces() {
        let plain = Map::parse("         0          0 4294967295\n");
        let root_only = Map::parse("         0      61234          1\n");
        let nested = Map::parse("         0          0          1\n");
        let many = Map::parse("0 1000 1\n1 100000 65536\n");
        let none = Map::parse("");
        for (map, told, seen, own, same) in [
            (&plain, 1000, 1000, 1000, true),
            (&plain, 1000, 0, 0, false),
            (&plain, 65534, 65534, 0, true),
            // unshare -Ur: the agent's user is root here.
            (&root_only, 61234, 0, 0, true),
            (&root_only, 61234, 65534, 0, false),
            // Once more inside: nobody here knows 61234.
            (&nested, 61234, 0, 0, true),
            (&nested, 61234, 65534, 65534, false),
            // Everybody without a number looks alike.
            (&root_only, 65534, 65534, 0, false),
            (&many, 1000, 0, 0, true),
            (&many, 1000, 0, 5, true),
            (&many, 100_004, 5, 0, true),
            (&many, 1001, 0, 5, false),
            // unshare -U: nobody has a number.
            (&none, 0, 65534, 65534, false),
            (&none, 65534, 65534, 65534, false),
        ] {
            assert_eq!(map.is_same(told, seen, own), same, "{map:?}: {told} as {seen}, who is {own}");
        }
    }
}
