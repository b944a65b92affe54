//! What the nodes say, held against each other.

use std::collections::BTreeMap;

/// What was said so far. A process that is killed leaves its part unsaid; then nothing is concluded from it.
#[derive(Default)]
pub(crate) struct Ledger {
    operations: u64,
    deaths: u64,
    /// By publication and node: the last sequence number that a good verdict vouched for.
    vouched: BTreeMap<(u64, u32), u32>,
    /// The same: what the exporter found when it had taken the segment back.
    found: BTreeMap<(u64, u32), u32>,
    /// By export: signals that importers posted with success, and that the exporter took.
    posted: BTreeMap<u64, u64>,
    taken: BTreeMap<u64, u64>,
    compared: (u64, u64),
    /// A signal that is on its way to another host when its connection ends arrives nowhere.
    lossy: bool,
}

impl Ledger {
    pub(crate) fn new(lossy: bool) -> Ledger {
        Ledger { lossy, ..Ledger::default() }
    }

    /// Takes down a line of a node.
    pub(crate) fn hear(&mut self, node: u32, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let kind = words.next().unwrap_or_default();
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        match (kind, numbers.as_slice()) {
            ("ops", [count]) => self.operations += count,
            ("ended", []) => {}
            ("vouched", [publication, node, sequence]) => {
                let last = self.vouched.entry((*publication, *node as u32)).or_default();
                *last = (*last).max(*sequence as u32);
            }
            ("found", [publication, node, sequence]) => {
                self.found.insert((*publication, *node as u32), *sequence as u32);
            }
            ("posted", [export, count]) => *self.posted.entry(*export).or_default() += count,
            ("taken", [export, count]) => *self.taken.entry(*export).or_default() += count,
            // A line that was cut off by a death.
            _ if kind != "bad" && !line.contains("panicked") => {}
            _ => return Err(format!("node {node}: {line}")),
        }
        Ok(())
    }

    /// Whether both sides have said something of the same.
    pub(crate) fn compares(&self) -> bool {
        self.found.keys().any(|key| self.vouched.contains_key(key))
    }

    /// A process was killed.
    pub(crate) fn died(&mut self) {
        self.deaths += 1;
    }

    /// Compares what both sides said.
    pub(crate) fn close(&mut self) -> Result<(), String> {
        for (key, found) in &self.found {
            if let Some(vouched) = self.vouched.get(key) {
                self.compared.0 += 1;
                // The record is written again and again with higher numbers; a torn one shows the one before its last.
                if found < vouched {
                    let (publication, node) = key;
                    return Err(format!(
                        "node {node} was told that {vouched} had arrived in publication {publication:#x}; {found} had"
                    ));
                }
            }
        }
        for (export, taken) in &self.taken {
            if let Some(posted) = self.posted.get(export) {
                self.compared.1 += 1;
                if taken < posted && !self.lossy {
                    return Err(format!("{posted} signals were posted to export {export:#x}, {taken} came"));
                }
            }
        }
        if self.compared.0 == 0 || self.operations == 0 {
            return Err("nothing was compared: the soak was too short to mean anything".to_owned());
        }
        Ok(())
    }

    pub(crate) fn totals(&self) -> String {
        let Ledger { operations, deaths, compared: (records, signals), .. } = self;
        format!("{operations} operations, {deaths} deaths, {records} records and {signals} signal counts compared")
    }
}
