//! `workflow.yml` is what a build server can read, and runs what `docs/testing-with-faults.md` says that it does.

use std::collections::BTreeSet;
use yaml_rust2::{Yaml, YamlLoader};

const WORKFLOW: &str = include_str!("workflow.yml");
const GUIDE: &str = include_str!("../../docs/testing-with-faults.md");

/// The steps of the workflow's only job.
fn steps() -> Vec<Yaml> {
    let documents = YamlLoader::load_from_str(WORKFLOW).expect("workflow.yml is YAML");
    let [workflow] = &documents[..] else { panic!("{} documents", documents.len()) };
    assert_eq!(workflow["on"], Yaml::Array(["push", "pull_request"].map(|on| Yaml::String(on.into())).into()));
    let jobs = workflow["jobs"].as_hash().expect("jobs");
    let [(_, job)] = &jobs.iter().collect::<Vec<_>>()[..] else { panic!("{} jobs", jobs.len()) };
    assert!(job["runs-on"].as_str().is_some() && job["timeout-minutes"].as_i64().is_some(), "{job:?}");
    job["steps"].as_vec().expect("steps").clone()
}

/// The commands of a step, a line each.
fn commands(step: &Yaml) -> impl Iterator<Item = &str> {
    step["run"].as_str().unwrap_or_default().lines()
}

#[test]
fn steps_are_made_of_what_a_build_server_knows() {
    for step in steps() {
        let keys: BTreeSet<&str> = step.as_hash().expect("a step").keys().map(|key| key.as_str().unwrap()).collect();
        assert!(keys.is_subset(&["if", "run", "uses", "with"].into()), "{keys:?}");
        assert_ne!(keys.contains("run"), keys.contains("uses"), "{keys:?}: an action, or commands");
        if let Some(action) = step["uses"].as_str() {
            let (name, version) = action.split_once('@').expect("an action with its version");
            assert!(name.split('/').count() == 2 && !version.is_empty(), "{action}");
        } else {
            assert!(commands(&step).count() > 0 && step["with"].is_badvalue(), "{step:?}");
        }
    }
}

#[test]
fn its_commands_are_those_of_the_guide() {
    let shown = GUIDE.split("## On a build server").nth(1).and_then(|text| text.split("```sh\n").nth(1)).unwrap();
    let shown = shown.split("```").next().unwrap().lines().map(|line| line.split("  #").next().unwrap().trim_end());
    let steps = steps();
    // What later steps find in their environment is said in the workflow alone.
    let run = steps.iter().flat_map(commands).filter(|line| !line.contains(">> \"$GITHUB_"));
    assert_eq!(run.collect::<Vec<_>>(), shown.collect::<Vec<_>>());
}

#[test]
fn every_report_is_kept() {
    let steps = steps();
    let kept = steps.iter().filter_map(|step| step["with"]["path"].as_str()).collect::<Vec<_>>();
    assert_eq!(kept, ["build/*.xml"]);
    // CTest runs in the directory of the build.
    assert!(include_str!("CMakeLists.txt").contains("--junit ${name}.xml"));
    let told = steps.iter().flat_map(commands).filter_map(|line| line.split("--junit-xml=").nth(1)).collect::<Vec<_>>();
    assert_eq!(told, ["build/pytest.xml"]);
}
