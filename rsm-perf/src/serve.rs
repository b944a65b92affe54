//! The loop of a party that obeys a conductor.

use crate::party::{Pairing, Party, Result, Side, Trouble};
use crate::protocol::{Command, ENV_MEETING, ENV_SIDE, Meeting};
use crate::raw;
use crate::region::{HEAD, Region};
use crate::window::Accesses;
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::process::ExitCode;

/// Serves a conductor until it closes the commands: the whole life of a party.
pub fn serve(make: impl FnOnce(&Pairing) -> Result<Box<dyn Party>>) -> ExitCode {
    let mut answers = None;
    match obey(&mut answers, make) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Trouble(text)) => {
            let line = format!("err {}\n", text.replace('\n', " "));
            match &mut answers {
                // Nobody is left to tell when this fails.
                Some(answers) => drop(File::write_all(answers, line.as_bytes())),
                None => eprint!("{line}"),
            }
            ExitCode::FAILURE
        }
    }
}

fn obey(answers: &mut Option<File>, make: impl FnOnce(&Pairing) -> Result<Box<dyn Party>>) -> Result<()> {
    // A pair is no orphan: it goes with its conductor, if that started it itself.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    let variable =
        |name: &str| std::env::var(name).map_err(|_| Trouble(format!("${name} is not set: not a conductor's child")));
    let meeting: Meeting = variable(ENV_MEETING)?.parse()?;
    let (side, place) = match variable(ENV_SIDE)?.as_str() {
        "0" => (Side::Active, meeting.sides[0]),
        "1" => (Side::Passive, meeting.sides[1]),
        other => return Err(Trouble(format!("${ENV_SIDE} is {other:?}; it is 0 or 1"))),
    };
    let path = |descriptor: i32| format!("{}/{descriptor}", meeting.directory);
    let mut out = OpenOptions::new().write(true).open(path(place.answers))?;
    *answers = Some(out.try_clone()?);
    let commands = File::open(path(place.commands))?;
    let memory = OpenOptions::new().read(true).write(true).open(path(meeting.memory))?;
    let room = usize::try_from(meeting.room).map_err(|_| Trouble("more room than addresses".into()))?;
    let region = Region::map(&memory, HEAD + 2 * room, false)?;
    let name = format!("{}-{}", meeting.directory.trim_matches(|c: char| !c.is_ascii_digit()), meeting.memory);
    let pairing = Pairing { side, region, room, name, commands: commands.try_clone()? };

    let mut party = make(&pairing)?;
    let mut raw = raw::Raw::new();
    // After the library has started what threads it has: they are not held to this processor.
    pin(place.cpu)?;
    writeln!(out, "hello {} {} {}", party.name(), party.ops().join(" "), raw.ops().join(" "))?;
    for line in BufReader::new(commands).lines() {
        match line?.parse()? {
            Command::Run(job) => {
                let samples =
                    if job.op.starts_with("raw-") { raw.run(&job, &pairing)? } else { party.run(&job, &pairing)? };
                let mut answer = String::from("ok");
                for sample in samples {
                    answer.push(' ');
                    answer.push_str(&sample.to_string());
                }
                answer.push('\n');
                out.write_all(answer.as_bytes())?;
            }
            Command::Count(job) => match party.count(&job, &pairing)? {
                Some(Accesses { loads, stores }) => writeln!(out, "ok {loads} {stores}")?,
                None => writeln!(out, "ok")?,
            },
            Command::Check { op, size, last } => {
                if op.starts_with("raw-") {
                    raw.check(&op, size, last, &pairing)?;
                } else {
                    party.check(&op, size, last, &pairing)?;
                }
                writeln!(out, "ok")?;
            }
        }
    }
    Ok(())
}

fn pin(cpu: i32) -> Result<()> {
    if let Ok(cpu) = usize::try_from(cpu) {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set)?;
    }
    Ok(())
}
