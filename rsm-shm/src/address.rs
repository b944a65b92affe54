//! Where a cluster's agent is found, and the environment that tells a program.

use crate::error::from_errno;
use rsm_core::message::Secret;
use rsm_core::{Code, Error, Result};
use rustix::net::SocketAddrUnix;
use std::fmt;
use std::str::FromStr;

/// Environment variable with the [`Address`].
pub const ENV_CLUSTER: &str = "RSM_CLUSTER";
/// Environment variable with the node id.
pub const ENV_NODE_ID: &str = "RSM_NODE_ID";
/// Environment variable with the number of nodes.
pub const ENV_NODE_COUNT: &str = "RSM_NODE_COUNT";
/// Environment variable with the node's key.
pub const ENV_NODE_KEY: &str = "RSM_NODE_KEY";

/// Longest name of a cluster.
pub const MAX_NAME: usize = 64;

/// The address of an agent: a cluster's name and the user it runs as. Written `rsm:UID:NAME`.
///
/// It is a name in the abstract socket namespace, which leaves nothing on disk and ends with the agent. Anybody may
/// take a name there, so the library compares the user of the socket with the one told here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    name: String,
    uid: User,
}

/// The user of an agent, and whether this process has started it, or was forked from the one that has.
#[derive(Clone, Copy, Debug)]
struct User {
    number: u32,
    ours: bool,
}

impl PartialEq for User {
    fn eq(&self, other: &User) -> bool {
        self.number == other.number
    }
}

impl Eq for User {}

impl Address {
    /// The address of the cluster `name` of user `uid`.
    ///
    /// # Errors
    /// BAD_CONF when the name is empty, longer than 64 bytes, or has other characters than letters, digits, `.`, `_`
    /// and `-`.
    pub fn new(name: &str, uid: u32) -> Result<Address> {
        let fine = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fine) {
            return Err(Error::with(
                Code::BadConf,
                format!("{name:?} is no cluster name: 1 to {MAX_NAME} letters, digits, '.', '_' or '-'"),
            ));
        }
        Ok(Address { name: name.to_owned(), uid: User { number: uid, ours: false } })
    }

    /// The address of an agent that this process starts.
    pub(crate) fn ours(mut self) -> Address {
        self.uid.ours = true;
        self
    }

    /// Whether it is.
    pub(crate) fn is_ours(&self) -> bool {
        self.uid.ours
    }

    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The agent's user.
    pub fn uid(&self) -> u32 {
        self.uid.number
    }

    /// The socket's name in the abstract namespace, without the leading NUL.
    pub fn abstract_name(&self) -> String {
        format!("rsm/{}/{}", self.uid(), self.name)
    }

    /// Reads back what [`abstract_name`](Self::abstract_name) gave.
    pub fn from_abstract_name(name: &str) -> Option<Address> {
        let (uid, name) = name.strip_prefix("rsm/")?.split_once('/')?;
        Address::new(name, uid.parse().ok()?).ok()
    }

    pub(crate) fn socket_address(&self) -> Result<SocketAddrUnix> {
        SocketAddrUnix::new_abstract_name(self.abstract_name().as_bytes())
            .map_err(|e| from_errno(e, "cannot name a socket"))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rsm:{}:{}", self.uid(), self.name)
    }
}

impl FromStr for Address {
    type Err = Error;
    fn from_str(text: &str) -> Result<Address> {
        let parts = text.strip_prefix("rsm:").and_then(|rest| rest.split_once(':'));
        let Some((uid, name)) = parts.and_then(|(uid, name)| Some((uid.parse().ok()?, name))) else {
            return Err(Error::with(
                Code::CtlrNotPresent,
                format!("{ENV_CLUSTER}={text:?} is no address of a cluster"),
            ));
        };
        Address::new(name, uid)
    }
}

/// The environment that makes a program a process of `node`, one of `nodes`.
pub fn environment(address: &Address, node: u32, nodes: u32, key: &Secret) -> Vec<(&'static str, String)> {
    vec![
        (ENV_CLUSTER, address.to_string()),
        (ENV_NODE_ID, node.to_string()),
        (ENV_NODE_COUNT, nodes.to_string()),
        (ENV_NODE_KEY, secret_to_text(key)),
    ]
}

/// Effective user id of this process.
pub fn current_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Writes a key or token as hexadecimal digits.
pub fn secret_to_text(secret: &Secret) -> String {
    secret.iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads what [`secret_to_text`] wrote.
pub fn secret_from_text(text: &str) -> Option<Secret> {
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    let mut secret = Secret::default();
    for (byte, digits) in secret.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(secret)
}

/// Random bytes from the kernel.
///
/// # Errors
/// INTERNAL_ERROR, which no kernel since 3.17 gives.
pub fn random_secret() -> Result<Secret> {
    let mut secret = Secret::default();
    let got = rustix::rand::getrandom(&mut secret[..], rustix::rand::GetRandomFlags::empty())
        .map_err(|e| from_errno(e, "no random numbers"))?;
    if got < secret.len() {
        return Err(Error::with(Code::InternalError, "too few random bytes"));
    }
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_secrets_round_trip() {
        let a = Address::new("demo-1.x_y", 1000).unwrap();
        assert_eq!(a.to_string().parse::<Address>().unwrap(), a);
        assert_eq!(Address::from_abstract_name(&a.abstract_name()), Some(a));
        for bad in ["", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert_eq!(Address::new(bad, 0).unwrap_err().code(), Code::BadConf, "{bad}");
        }
        for bad in ["", "demo", "rsm:x:y", "rsm:1:", "rsm:-1:a"] {
            bad.parse::<Address>().unwrap_err();
        }
        let s = random_secret().unwrap();
        assert_eq!(secret_from_text(&secret_to_text(&s)), Some(s));
        for bad in ["", "00", &"g".repeat(32), &"é".repeat(16)] {
            assert_eq!(secret_from_text(bad), None);
        }
    }
}
