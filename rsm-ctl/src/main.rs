//! `rsm-ctl`: start clusters of rsm nodes and look at the running ones.
//!
//! The way of a command through the files: [`cli`] says what may be asked, [`command`] hands it to the part that does
//! it ([`run`] starts a cluster, [`query`], [`watch`] and [`top`] look at one, [`steer`] disturbs one, [`perf`] measures, [`explore`] kills a node
//! at each of its calls, [`trace`] reads what was called, [`cc`] builds programs whose accesses are seen, [`doctor`]
//! looks at the machine), and every end has a number in [`exit_code`]. What
//! is said goes through [`mod@print`]. What starts a cluster and its programs is [`rsm_run`]; the only unsafe code here is in
//! [`outset`].

#[cfg(not(all(feature = "manual", feature = "perf", feature = "races")))]
mod absent;
mod cc;
mod cli;
mod clock;
mod command;
mod doctor;
mod duration;
#[cfg(feature = "races")]
mod explore;
mod habits;
#[cfg(feature = "manual")]
mod manual;
mod number;
mod outset;
#[cfg(feature = "perf")]
mod perf;
#[cfg(feature = "races")]
mod places;
mod query;
#[cfg(feature = "races")]
mod race;
mod run;
mod size;
mod steer;
mod top;
mod trace;
mod verbosity;
mod watch;

#[cfg(not(feature = "manual"))]
use absent::manual;
#[cfg(not(feature = "perf"))]
use absent::perf;
#[cfg(not(feature = "races"))]
use absent::{explore, race};
use rsm_run::{colour, exit_code, failure, print, printable, process};

fn main() -> std::process::ExitCode {
    // A limit of file sizes (`ulimit -f`) that is reached is an error of the write, as a full disk is, and no end.
    process::ignore(rustix::process::Signal::XFSZ);
    outset::refuse_missing_output();
    let code = match cc::stand_in() {
        Some(failure) => {
            print::complaint(&failure);
            failure.code
        }
        None => match cli::parse() {
            Ok(cli) => command::perform(cli),
            Err(code) => code,
        },
    };
    print::finish(code).into()
}
