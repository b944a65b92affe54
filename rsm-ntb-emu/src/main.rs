//! The command: starts a bridge and waits for the signal to end it, or gives an order to one that runs.

mod args;
mod signals;

use args::{Plan, plan};
use rsm_ntb_emu::{Emulator, map, tell};
use std::io::Write;
use std::process::ExitCode;

/// What could not be done.
const FAILED: u8 = 1;
/// What was asked for cannot be.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let plan = match plan(std::env::args_os().skip(1)) {
        Ok(plan) => plan,
        Err(why) => {
            eprintln!("rsm-ntb-emu: {why}\nTry rsm-ntb-emu --help");
            return ExitCode::from(USAGE);
        }
    };
    match carry_out(plan) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("rsm-ntb-emu: {why}");
            ExitCode::from(FAILED)
        }
    }
}

fn carry_out(plan: Plan) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    match plan {
        Plan::Help => out.write_all(args::HELP.as_bytes()),
        Plan::Version => {
            let (version, map, vendor, device) = (env!("CARGO_PKG_VERSION"), map::VERSION, map::VENDOR, map::DEVICE);
            writeln!(out, "rsm-ntb-emu {version}, register map {map} of {vendor:04x}:{device:04x} (ntb_hw_epf)")
        }
        Plan::Tell { socket, order } => {
            let answer = tell(&socket, &order)
                .map_err(|e| std::io::Error::new(e.kind(), format!("{}: {e}", socket.display())))?;
            out.write_all(answer.as_bytes())
        }
        Plan::Run { sockets: [a, b], options } => {
            // Before there are threads, which have the same mask.
            let signals = signals::block()?;
            let emulator = Emulator::start([&a, &b], options)?;
            // For whoever waits until both can be connected to.
            let _ = writeln!(out, "ready").and_then(|()| out.flush());
            signals.wait();
            match emulator.trace_failure() {
                Some(why) => Err(std::io::Error::other(why)),
                None => Ok(()),
            }
        }
    }
}
