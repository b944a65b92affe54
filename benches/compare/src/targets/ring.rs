//! T22: a token that goes round sixteen nodes, as `examples/ring.rs` passes it and as bare futexes do.

use super::{Target, said};
use crate::peers;
use rsm_perf::measure::middle;
use rsm_perf::raw::{half, wake};
use rsm_perf::region::{self, Region};
use rustix::thread::futex;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering::Acquire;
use std::time::Instant;

const SEATS: u64 = 16;
const HOPS: u64 = 16 * 1000;
/// Bytes from one seat's word to the next.
const APART: usize = 128;

pub fn target() -> Target {
    let what = format!("ring of {SEATS} nodes beside one on sleeping futexes");
    let measured = match measured() {
        Ok(ratio) => Some(ratio),
        Err(reason) => {
            println!("# T22 was not measured: {reason}");
            None
        }
    };
    Target { name: "T22", what, measured, most: 1.3, unit: "x raw" }
}

fn measured() -> Result<f64, String> {
    let root = peers::root();
    for of in [["-p", "rsm-ctl", "--bins"], ["-p", "rsm-examples", "--example=ring"]] {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--release", "--quiet", "--locked"]).args(of).current_dir(&root);
        if !build.status().map_err(said)?.success() {
            return Err("cargo could not build rsm-ctl and the example ring".into());
        }
    }
    let folder = root.join("target/release");
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let mut run = Command::new(folder.join("rsm-ctl"));
        run.args(["run", "--timeout", "60s", "-n", &SEATS.to_string(), "--"]).arg(folder.join("examples/ring"));
        let output = run.arg(HOPS.to_string()).output().map_err(said)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let rate = text.split_whitespace().rev().nth(1).and_then(|word| word.parse::<f64>().ok());
        let rate = rate.ok_or_else(|| format!("the ring said {text:?}"))?;
        ratios.push(1e9 / rate / raw()?);
    }
    Ok(middle(ratios))
}

/// Nanoseconds for a hop of the ring of futexes.
fn raw() -> Result<f64, String> {
    let memory = region::create(0).map_err(said)?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), memory.as_raw_fd());
    let this = std::env::current_exe().map_err(said)?;
    let mut seats = Vec::new();
    for seat in (0..SEATS).rev() {
        let mut command = Command::new(&this);
        command.args(["--node", "futex-ring", &path]).args([seat, SEATS, HOPS].map(|n| n.to_string()));
        seats.push(command.stdout(Stdio::piped()).spawn().map_err(said)?);
    }
    let mut taken = None;
    for seat in seats {
        let output = seat.wait_with_output().map_err(said)?;
        if let Ok(nanoseconds) = String::from_utf8_lossy(&output.stdout).trim().parse::<f64>() {
            taken = Some(nanoseconds / HOPS as f64);
        }
    }
    taken.ok_or_else(|| "no seat of the ring of futexes said how long it took".into())
}

/// A seat of the ring of futexes: sleeps on its word, checks the token, passes it on.
pub fn seat(memory: &str, seat: &str, seats: &str, hops: &str) -> Result<(), String> {
    let number = |text: &str| text.parse::<u64>().map_err(said);
    let (seat, seats, hops) = (number(seat)?, number(seats)?, number(hops)?);
    let file = std::fs::OpenOptions::new().read(true).write(true).open(memory).map_err(said)?;
    let region = Region::map(&file, region::HEAD, true).map_err(said)?;
    let word = |seat: u64| (seat % seats) as usize * APART;
    let step = rustix::thread::Timespec { tv_sec: 20, tv_nsec: 0 };
    let take = |token: u64| loop {
        let at = half(&region, word(seat));
        // Acquire: pairs with the Release of `wake`.
        let found = at.load(Acquire);
        if found == token as u32 {
            return Ok(());
        }
        match futex::wait(at, futex::Flags::empty(), found, Some(&step)) {
            Err(rustix::io::Errno::TIMEDOUT) => return Err("the token did not come for 20 s".to_owned()),
            _ => {}
        }
    };
    let pass = |token: u64| wake(&region, word(seat + 1), token).map_err(|trouble| trouble.0);
    // The first round finds out that everybody is there.
    let mut began = Instant::now();
    for round in 0..=hops / seats {
        if round == 1 {
            began = Instant::now();
        }
        let first = round * seats + 1;
        if seat == 0 {
            pass(first)?;
            take(first + seats - 1)?;
        } else {
            take(first + seat - 1)?;
            pass(first + seat)?;
        }
    }
    if seat == 0 {
        println!("{}", began.elapsed().as_nanos());
    }
    Ok(())
}
