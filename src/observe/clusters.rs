//! Which clusters run, and which one is meant.

use crate::{Error, Result};
use rsm_core::Code;
use rsm_shm::address::Address;
use rsm_shm::user::is_own;
use serde::Serialize;

/// A running cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ClusterRef {
    /// Its name.
    pub name: String,
    /// The user it runs as.
    pub uid: u32,
}

impl ClusterRef {
    /// What [`Observer::attach`](super::Observer::attach) takes to find exactly this one: `rsm:UID:NAME`.
    pub fn address(&self) -> String {
        format!("rsm:{}:{}", self.uid, self.name)
    }
}

/// The running clusters, by name. Those of other users are listed; whether one may look at them, their agent says.
///
/// # Errors
/// CTLR_NOT_PRESENT without /proc, or with one that is not this process's;
/// INSUFFICIENT_MEM and INSUFFICIENT_RESOURCES where it cannot be read now.
pub fn clusters() -> Result<Vec<ClusterRef>> {
    // Of this thread's network namespace, which is where it would connect to one.
    let table = rsm_shm::procfs::read("thread-self/net/unix")
        .map_err(|e| Error::with(e.code(), format!("cannot list clusters: {}", e.detail())))?;
    let mut found: Vec<ClusterRef> = String::from_utf8_lossy(&table)
        .lines()
        .filter_map(|line| line.split_ascii_whitespace().nth(7)?.strip_prefix('@'))
        .filter_map(Address::from_abstract_name)
        .map(|address| ClusterRef { name: address.name().to_owned(), uid: address.uid() })
        .collect();
    // A name shows once for each connection as well.
    found.sort();
    found.dedup();
    Ok(found)
}

/// Names of clusters are seen within their own network namespace.
const NONE: &str = "none is running in this network namespace";

/// What is wanted of a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To look: a name may be that of another user's, where one has none of that name.
    Look,
    /// To change or end it: that of another user has to be meant, and so is named by its address.
    Change,
}

/// Picks a cluster out of those that run: by name or address, or the only one. One's own come before those of other users.
pub(super) fn choose(running: Vec<ClusterRef>, name: Option<&str>, purpose: Purpose) -> Result<Address> {
    let none = |text: String| Err(Error::with(Code::CtlrNotPresent, text));
    let list = |some: &[&ClusterRef]| {
        let show = |c: &&ClusterRef| if is_own(c.uid) { c.name.clone() } else { c.address() };
        some.iter().map(show).collect::<Vec<_>>().join(", ")
    };
    let all: Vec<&ClusterRef> = running.iter().collect();
    if let Some(Ok(address)) = name.filter(|name| name.starts_with("rsm:")).map(str::parse::<Address>) {
        // An address says which one, whoever's it is.
        let there = running.iter().any(|c| c.uid == address.uid() && c.name == address.name());
        return match (there, all.is_empty()) {
            (true, _) => Ok(address),
            (false, true) => none(format!("no cluster {address}; {NONE}")),
            (false, false) => none(format!("no cluster {address}; running: {}", list(&all))),
        };
    }
    let fitting: Vec<&ClusterRef> = running.iter().filter(|c| name.is_none_or(|n| n == c.name)).collect();
    let own: Vec<&ClusterRef> = fitting.iter().copied().filter(|c| is_own(c.uid)).collect();
    let another = |what: String, theirs: &[&ClusterRef]| {
        let addresses = theirs.iter().map(|c| c.address()).collect::<Vec<_>>().join(", ");
        none(format!("you have no cluster {what}; one of another user is named by its address: {addresses}"))
    };
    match (&own[..], &fitting[..], name, purpose) {
        ([only], ..) => Address::new(&only.name, only.uid),
        ([], theirs @ [_, ..], Some(name), Purpose::Change) => another(format!("named {name:?}"), theirs),
        ([], theirs @ [_, ..], None, Purpose::Change) => another("running".to_owned(), theirs),
        ([], [only], ..) => Address::new(&only.name, only.uid),
        (_, [], None, _) => none("no cluster is running in this network namespace".to_owned()),
        (_, [], Some(name), _) if all.is_empty() => none(format!("no cluster named {name:?}; {NONE}")),
        (_, [], Some(name), _) => none(format!("no cluster named {name:?}; running: {}", list(&all))),
        (_, several, ..) => none(format!("several clusters are running, name one: {}", list(several))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_found_or_told() {
        let me = rsm_shm::address::current_uid();
        let cluster = |name: &str, uid| ClusterRef { name: name.to_owned(), uid };
        let two = || vec![cluster("a", me), cluster("b", me), cluster("c", me + 1)];
        let look = Purpose::Look;
        let chosen = |name| choose(two(), name, look).map(|a| a.to_string()).map_err(|e| e.detail().to_owned());
        assert_eq!(chosen(Some("a")), Ok(format!("rsm:{me}:a")));
        let other = format!("rsm:{}:c", me + 1);
        assert_eq!(chosen(Some("c")), Ok(other.clone()));
        assert_eq!(chosen(Some(&other)), Ok(other.clone()));
        assert_eq!(chosen(Some("x")), Err(format!("no cluster named \"x\"; running: a, b, {other}")));
        assert_eq!(chosen(Some("rsm:0:x")), Err(format!("no cluster rsm:0:x; running: a, b, {other}")));
        assert_eq!(
            chosen(None),
            Err("several clusters are running, name one: a, b".to_owned() + &format!(", {other}"))
        );
        let none = choose(Vec::new(), Some("x"), look).unwrap_err();
        assert_eq!(none.detail(), "no cluster named \"x\"; none is running in this network namespace");
    }

    #[test]
    fn nobody_changes_what_another_user_has_by_mistake() {
        let me = rsm_shm::address::current_uid();
        let cluster = |name: &str, uid| ClusterRef { name: name.to_owned(), uid };
        let theirs = || vec![cluster("a", me + 1)];
        let chosen = |running, name| choose(running, name, Purpose::Change).map_err(|e| e.detail().to_owned());
        let address = Address::new("a", me + 1).unwrap();
        assert_eq!(choose(theirs(), Some("a"), Purpose::Look), Ok(address.clone()));
        let written = address.to_string();
        assert_eq!(chosen(theirs(), Some(&written)), Ok(address.clone()));
        let named = format!("one of another user is named by its address: {address}");
        assert_eq!(chosen(theirs(), Some("a")), Err(format!("you have no cluster named \"a\"; {named}")));
        assert_eq!(chosen(theirs(), None), Err(format!("you have no cluster running; {named}")));
        let both = || vec![cluster("a", me), cluster("a", me + 1)];
        for name in [Some("a"), None] {
            assert_eq!(chosen(both(), name), Ok(Address::new("a", me).unwrap()));
        }
    }
}
