//! Reading what callgrind writes.

use std::collections::{BTreeMap, HashMap};

/// Instructions spent in probes, by their names: in calls of functions whose name, without its path, begins with
/// `probe_`; and under the name with `*` at its end, in the functions of the C interface that the probe calls itself.
pub(crate) fn inclusive(text: &str) -> BTreeMap<String, u64> {
    let mut names: HashMap<&str, &str> = HashMap::new();
    let (mut caller, mut callee) = ("", "");
    let mut after_calls = false;
    let mut sums = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            // `(12) name` names number 12, and `(12)` is that name from then on.
            let (number, name) = rest.split_once(' ').unwrap_or((rest, ""));
            if !name.is_empty() {
                names.insert(number, name);
            }
            let named = names.get(number).copied().unwrap_or(number);
            if line.starts_with("cfn=") { callee = named } else { caller = named }
        } else if line.starts_with("calls=") {
            after_calls = true;
        } else if std::mem::take(&mut after_calls) {
            // The line after holds a position and what the calls took, callees included.
            let probe = |function: &'_ str| function.rsplit("::").next()?.strip_prefix("probe_").map(str::to_owned);
            let within =
                probe(caller).filter(|_| callee.starts_with("rsm_") && !callee.contains("::")).map(|name| name + "*");
            let cost = line.split_whitespace().next_back().and_then(|n| n.parse::<u64>().ok());
            if let (Some(name), Some(cost)) = (probe(callee).or(within), cost) {
                *sums.entry(name).or_default() += cost;
            }
        }
    }
    sums
}
