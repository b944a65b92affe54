//! The answer for programs.

use rsm::lens::Profile;
use rsm_perf::machine::Machine;
use rsm_perf::measure::Outcome;
use serde_json::json;

/// Raised when a field goes or changes its meaning; new fields do not raise it.
const VERSION: u32 = 1;

pub(super) fn render(machine: &Machine, load_after: f64, profile: Option<Profile>, outcomes: &[Outcome]) -> String {
    let mut answer = json!({ "version": VERSION, "machine": machine, "load_after": load_after, "perf": outcomes });
    if let Some(profile) = profile {
        answer["modelled"] = profile.to_string().into();
    }
    format!("{answer:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_still_has_its_array() {
        let text = render(&Machine::look(None), 0.5, Some(Profile::Sci), &[]);
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["version"], &value["perf"], &value["load_after"]), (&1.into(), &json!([]), &0.5.into()));
        assert_eq!(value["modelled"], "sci");
        assert!(value["machine"]["warnings"].is_array());
    }
}
