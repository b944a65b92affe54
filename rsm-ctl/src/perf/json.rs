//! The answer for programs.

use rsm_perf::machine::Machine;
use rsm_perf::measure::Outcome;
use serde_json::json;

/// Raised when a field goes or changes its meaning; new fields do not raise it.
const VERSION: u32 = 1;

pub(super) fn render(machine: &Machine, load_after: f64, outcomes: &[Outcome]) -> String {
    format!("{:#}\n", json!({ "version": VERSION, "machine": machine, "load_after": load_after, "perf": outcomes }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_still_has_its_array() {
        let text = render(&Machine::look(None), 0.5, &[]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["version"], &value["perf"], &value["load_after"]), (&1.into(), &json!([]), &0.5.into()));
        assert!(value["machine"]["warnings"].is_array());
    }
}
