//! Who may connect, and what with: permissions, access lists, and the one [`permits`].
//!
//! Two filters stand before a connection (reference 3.3). The *node filter* is the access list the exporter published
//! with: the first entry for the importer's node decides, and a list without one answers SEG_NOT_PUBLISHED_TO_NODE. The
//! *user filter* reads the permission of that entry like a file mode against the ids of the exporter and the importer.

use crate::error::{Code, Error, Result};
use serde::{Deserialize, Serialize};

/// Longest access list (`RSM_MAX_NODE`).
pub const MAX_ENTRIES: usize = 64;

/// Highest permission an entry may carry: read and write for owner, group and others.
pub const MAX_MODE: u32 = 0o666;
/// The write bits of a file mode.
const WRITE_BITS: u32 = 0o222;

/// Protection that the kernel enforces against the importers of a segment, whatever they try; chosen when it is exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Level {
    /// An importer gets a description with what it asked for and was allowed. One that runs as the user of the agent can
    /// open the memory again with more.
    #[default]
    Guarded,
    /// Once published, nobody but the exporting process, and children that it forks, maps the memory for writing, and
    /// nobody writes it through a descriptor, whatever the user.
    Sealed,
}

impl Level {
    /// Whether connections with this permission are possible at all.
    pub const fn admits(self, wanted: Permission) -> bool {
        match self {
            Level::Guarded => true,
            Level::Sealed => !wanted.writes(),
        }
    }
}

/// Rights of a connection or a mapping: `RSM_PERM_READ`, `RSM_PERM_WRITE`, both, or neither.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[doc(alias = "rsm_permission_t")]
#[serde(try_from = "u32", into = "u32")]
pub struct Permission(u32);

#[allow(non_upper_case_globals)] // they read like the variants they stand for
impl Permission {
    /// Neither reading nor writing; a connection made with it refuses every transfer (D-27).
    pub const None: Permission = Permission(0);
    /// `RSM_PERM_READ`, 0400.
    pub const Read: Permission = Permission(0o400);
    /// `RSM_PERM_WRITE`, 0200.
    pub const Write: Permission = Permission(0o200);
    /// `RSM_PERM_RDWR`, 0600.
    pub const ReadWrite: Permission = Permission(0o600);

    /// The permission with these bits; `None` when any bit outside 0600 is set.
    pub const fn from_bits(bits: u32) -> Option<Permission> {
        if bits & !0o600 == 0 { Some(Permission(bits)) } else { Option::None }
    }

    /// The bits as in `rsm_permission_t`.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether reading is included.
    pub const fn reads(self) -> bool {
        self.0 & 0o400 != 0
    }

    /// Whether writing is included.
    pub const fn writes(self) -> bool {
        self.0 & 0o200 != 0
    }

    /// Whether everything in `other` is included here.
    pub const fn covers(self, other: Permission) -> bool {
        other.0 & !self.0 == 0
    }
}

impl TryFrom<u32> for Permission {
    type Error = &'static str;
    fn try_from(bits: u32) -> Result<Permission, &'static str> {
        Permission::from_bits(bits).ok_or("permission bits outside 0600")
    }
}

impl From<Permission> for u32 {
    fn from(permission: Permission) -> u32 {
        permission.0
    }
}

/// As Display.
impl std::fmt::Debug for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Permission {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match (self.reads(), self.writes()) {
            (true, true) => "rw",
            (true, false) => "r",
            (false, true) => "w",
            (false, false) => "-",
        })
    }
}

/// One entry of an access list.
#[doc(alias = "rsmapi_access_entry_t")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessEntry {
    /// The node that may import.
    pub node: u32,
    /// File-mode-like permission, 0 to 0666; bits 0111 are ignored (D-17).
    pub mode: u32,
}

/// The access list a segment is published with. Empty means: every node, with the default permissions, which are
/// 0666 without the bits of the exporter's umask at create time (D-16).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessList {
    entries: Vec<AccessEntry>,
    /// Replaces the default permissions when the list is empty.
    everybody: Option<u32>,
}

impl AccessList {
    /// Every node with the default permissions: what a C program gets with a null list.
    pub fn default_permissions() -> AccessList {
        AccessList::default()
    }

    /// Every node and every user, reading and writing, whatever the umask.
    pub fn everyone() -> AccessList {
        AccessList { entries: Vec::new(), everybody: Some(MAX_MODE) }
    }

    /// Every node and every user, reading only, whatever the umask.
    pub fn readers() -> AccessList {
        AccessList { entries: Vec::new(), everybody: Some(MAX_MODE & !WRITE_BITS) }
    }

    /// An empty list to add [`node`](Self::node)s to.
    pub fn new() -> AccessList {
        AccessList::default()
    }

    /// Adds an entry: `mode` is read like a file mode, 0o600 lets in the exporter's user only, 0o666 everybody.
    /// The first entry for a node decides. What is wrong with an entry is said at publish.
    #[must_use]
    pub fn node(mut self, node: u32, mode: u32) -> AccessList {
        self.entries.push(AccessEntry { node, mode });
        self
    }

    /// The list, without what lies more than one entry beyond the longest that is allowed: enough to be refused for.
    #[must_use]
    pub fn cut(&self) -> AccessList {
        let entries = self.entries.iter().take(MAX_ENTRIES + 1).copied().collect();
        AccessList { entries, everybody: self.everybody }
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[AccessEntry] {
        &self.entries
    }

    /// Checks the list as publish and republish do (reference 1.9 step 7; D-17 to D-19).
    ///
    /// # Errors
    /// BAD_ACL, with the entry that is wrong.
    pub fn check(&self, local_only: bool, local_node: u32, nodes: u32) -> Result<()> {
        let bad = |text: String| Err(Error::with(Code::BadAcl, text));
        let limit = if local_only { 1 } else { MAX_ENTRIES };
        if self.entries.len() > limit {
            return bad(format!("access list has {} entries, at most {limit} are allowed here", self.entries.len()));
        }
        for entry in &self.entries {
            if entry.node >= nodes {
                return bad(format!("access list names node {}, ids end at {}", entry.node, nodes - 1));
            }
            if local_only && entry.node != local_node {
                return bad(format!("access list names node {}, loopback reaches only node {local_node}", entry.node));
            }
            if entry.mode > MAX_MODE {
                return bad(format!("access list gives node {} permission {:#o}, above 0666", entry.node, entry.mode));
            }
        }
        Ok(())
    }

    /// Checks that the list gives nobody what a segment of this level cannot give. Default permissions do not count:
    /// nobody wrote their write bits down.
    ///
    /// # Errors
    /// BAD_ACL, with the entry that is wrong.
    pub fn check_level(&self, level: Level) -> Result<()> {
        if level == Level::Guarded {
            return Ok(());
        }
        let bad = |who: String, mode: u32| {
            let text = format!("access list gives {who} permission {mode:03o}: a sealed segment can only be read");
            Err(Error::with(Code::BadAcl, text))
        };
        if let Some(entry) = self.entries.iter().find(|e| e.mode & WRITE_BITS != 0) {
            return bad(format!("node {}", entry.node), entry.mode);
        }
        match self.everybody {
            Some(mode) if self.entries.is_empty() && mode & WRITE_BITS != 0 => bad("everybody".to_owned(), mode),
            _ => Ok(()),
        }
    }

    /// The node filter: the file mode that applies to `node`, or SEG_NOT_PUBLISHED_TO_NODE.
    ///
    /// # Errors
    /// SEG_NOT_PUBLISHED_TO_NODE when a list was given and names no such node.
    pub fn mode_for(&self, node: u32, default_mode: u32) -> Result<u32> {
        if self.entries.is_empty() {
            return Ok(self.everybody.map_or(default_mode, |mode| mode & MAX_MODE));
        }
        self.entries.iter().find(|e| e.node == node).map(|e| e.mode).ok_or(Error::new(Code::SegNotPublishedToNode))
    }
}

/// The ids of a segment's owner, captured at create (D-16, D-87).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
}

/// The ids of a process that asks, as the kernel vouches for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// Effective user id.
    pub uid: u32,
    /// Effective group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
}

/// The user filter: whether `asker` gets `wanted` on a segment of `owner` published with `mode`.
///
/// The class is chosen first, owner before group before others, and only its bits count; uid 0 passes always.
pub fn permits(mode: u32, owner: Owner, asker: &Credentials, wanted: Permission) -> bool {
    if asker.uid == 0 {
        return true;
    }
    let class = if asker.uid == owner.uid {
        mode
    } else if asker.gid == owner.gid || asker.groups.contains(&owner.gid) {
        mode << 3
    } else {
        mode << 6
    };
    Permission(class & 0o600).covers(wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWNER: Owner = Owner { uid: 1000, gid: 100 };

    fn asker(uid: u32, gid: u32, groups: &[u32]) -> Credentials {
        Credentials { uid, gid, groups: groups.to_vec() }
    }

    #[test]
    fn the_class_is_chosen_before_the_bits() {
        let owner = asker(1000, 1, &[]);
        let group = asker(1001, 1, &[7, 100]);
        let other = asker(1001, 1, &[7]);
        assert!(permits(0o600, OWNER, &owner, Permission::ReadWrite));
        assert!(!permits(0o066, OWNER, &owner, Permission::Read), "owner bits only, even if others have more");
        assert!(permits(0o040, OWNER, &group, Permission::Read));
        assert!(!permits(0o040, OWNER, &group, Permission::ReadWrite));
        assert!(!permits(0o606, OWNER, &group, Permission::Read), "group bits only");
        assert!(permits(0o004, OWNER, &other, Permission::Read));
        assert!(!permits(0o660, OWNER, &other, Permission::Read));
        assert!(permits(0, OWNER, &asker(0, 0, &[]), Permission::ReadWrite), "root passes");
        assert!(permits(0, OWNER, &other, Permission::None), "perm 0 is always granted (D-27)");
    }

    #[test]
    fn first_entry_of_a_node_decides() {
        let list = AccessList::new().node(2, 0o400).node(2, 0o666);
        assert_eq!(list.mode_for(2, 0o644).unwrap(), 0o400);
        assert_eq!(list.mode_for(3, 0o644).unwrap_err().code(), Code::SegNotPublishedToNode);
        assert_eq!(AccessList::default_permissions().mode_for(9, 0o644).unwrap(), 0o644);
        assert_eq!(AccessList::everyone().mode_for(9, 0o600).unwrap(), 0o666);
    }

    #[test]
    fn sealed_segments_can_only_be_read() {
        let code = |list: AccessList| list.check_level(Level::Sealed).map_err(|e| e.code());
        assert_eq!(code(AccessList::readers()), Ok(()));
        assert_eq!(code(AccessList::default_permissions()), Ok(()));
        assert_eq!(code(AccessList::new().node(2, 0o444).node(3, 0)), Ok(()));
        assert_eq!(code(AccessList::everyone()), Err(Code::BadAcl));
        for write in [0o200, 0o020, 0o002, 0o644] {
            assert_eq!(code(AccessList::new().node(2, 0o444).node(3, write)), Err(Code::BadAcl), "{write:o}");
        }
        assert_eq!(AccessList::everyone().node(2, 0o444).check_level(Level::Sealed), Ok(()), "entries decide");
        assert_eq!(AccessList::everyone().check_level(Level::Guarded), Ok(()));
        assert!(Level::Sealed.admits(Permission::Read) && Level::Sealed.admits(Permission::None));
        assert!(!Level::Sealed.admits(Permission::Write) && !Level::Sealed.admits(Permission::ReadWrite));
        assert!(Level::Guarded.admits(Permission::ReadWrite));
    }

    #[test]
    fn lists_are_checked_like_the_original() {
        let code = |l: AccessList, local| l.check(local, 1, 64).map_err(|e| e.code());
        assert_eq!(code(AccessList::new().node(2, 0o666), false), Ok(()));
        assert_eq!(code(AccessList::new().node(2, 0o777), false), Err(Code::BadAcl));
        assert_eq!(code(AccessList::new().node(64, 0o600), false), Err(Code::BadAcl));
        assert_eq!(code(AccessList::new().node(2, 0o111), false), Ok(()), "D-17");
        assert_eq!(code(AccessList::new().node(1, 0o600), true), Ok(()));
        assert_eq!(code(AccessList::new().node(2, 0o600), true), Err(Code::BadAcl));
        assert_eq!(code(AccessList::new().node(1, 0o600).node(1, 0o600), true), Err(Code::BadAcl));
        let long = (0..65).fold(AccessList::new(), |l, _| l.node(1, 0o600));
        assert_eq!(code(long, false), Err(Code::BadAcl));
    }
}
