//! The data path has not grown: `ci/instructions.sh`, which counts in release mode whatever this is built in.

use std::path::Path;
use std::process::Command;

#[test]
fn the_data_path_takes_no_more_instructions_than_recorded() {
    if !Command::new("valgrind").arg("--version").output().is_ok_and(|o| o.status.success()) {
        println!("skipped: valgrind is not installed, so instructions cannot be counted");
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ci/instructions.sh");
    let output = Command::new("bash").arg(script).output().expect("bash runs");
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{text}");
    // Neither a run that compared nothing nor one that was skipped is a pass.
    assert!(text.contains("are within a tenth") || cfg!(not(target_arch = "x86_64")), "{text}");
}
