//! `rsm-ctl`: start clusters of rsm nodes and look at the running ones.
//!
//! The way of a command through the files: [`cli`] says what may be asked, [`command`] hands it to the part that does
//! it ([`run`] starts a cluster, [`query`], [`watch`] and [`top`] look at one, [`steer`] disturbs one, [`perf`] measures, [`doctor`] looks at the
//! machine), and every end has a number in [`exit_code`]. What
//! is said goes through [`print`]. All unsafe code is in [`process`] and [`descriptor`].

mod cli;
mod clock;
mod colour;
mod command;
mod descriptor;
mod doctor;
mod duration;
mod exit_code;
mod failure;
mod habits;
mod manual;
mod number;
mod perf;
mod print;
mod printable;
mod process;
mod query;
mod run;
mod size;
mod steer;
mod top;
mod watch;

fn main() -> std::process::ExitCode {
    // A limit of file sizes (`ulimit -f`) that is reached is an error of the write, as a full disk is, and no end.
    process::ignore(rustix::process::Signal::XFSZ);
    descriptor::refuse_missing_output();
    let code = match cli::parse() {
        Ok(cli) => command::perform(cli),
        Err(code) => code,
    };
    print::finish(code).into()
}
