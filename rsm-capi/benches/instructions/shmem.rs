//! The probes of OpenSHMEM: what a caller's loop pays for a word of another PE, calls and arguments included.

use super::{Scratch, differ, succeed};
use std::path::Path;
use std::process::{Child, Command, ExitCode};

/// PE 1, which PE 0 works on; it ends with PE 0, or with this.
struct Partner(Child);

impl Drop for Partner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Prints the table.
pub(super) fn print() -> ExitCode {
    match count() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

fn count() -> Result<(), String> {
    let scratch = Scratch::new()?;
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new("sh");
    succeed(build.arg(here.join("../rsm-shmem/tests/library.sh")).arg(&scratch.0).arg("--release"))?;
    let program = scratch.0.join("shmem");
    let mut cc = Command::new("cc");
    cc.args(["-std=gnu11", "-O2", "-g", "-o"]).arg(&program).arg("-I").arg(&scratch.0);
    succeed(cc.arg(here.join("benches/instructions/shmem.c")).arg("-L").arg(&scratch.0).arg("-lrsm_shmem"))?;
    // The agent of both runs; a PE of each stays outside of valgrind.
    let cluster = rsm::Cluster::new(2).map_err(|e| e.to_string())?;
    let mut partner = None;
    let counts = differ(&scratch, |rounds| {
        let pe = |node| {
            let mut command = Command::new(&program);
            let place = cluster.environment(node).expect("one of two");
            command.arg(rounds.to_string()).envs(place).env("LD_LIBRARY_PATH", &scratch.0);
            command.env("SHMEM_SYMMETRIC_SIZE", "4M");
            command
        };
        partner = pe(2).spawn().ok().map(Partner);
        pe(1)
    })?;
    println!("| operation | instructions |\n|---|---|");
    counts.iter().for_each(|(name, count)| println!("| {name} | {count:.0} |"));
    Ok(())
}
