//! What conductor and parties say to each other.
//!
//! Two parties, *side* 0 (active: it holds the clock) and side 1 (passive), are told where to meet by one environment
//! variable; descriptors are named by path, so that a launcher between conductor and party need not hand them on.
//!
//! ```text
//! RSM_PERF=/proc/PID/fd MEMORY IN0 OUT0 IN1 OUT1 CPU0 CPU1 ROOM
//! RSM_PERF_SIDE=0|1                      unless the party's own library numbers its processes
//! ```
//!
//! Each reads its commands from IN, a line each, and answers on OUT, a line each. A CPU of -1 means "do not pin".
//!
//! ```text
//! party      hello NAME OP OP ..         what it can do; once, before anything else
//! conductor  run OP SIZE BATCH WARM SAMPLES FIRST
//! active     ok N N ..                   SAMPLES numbers: nanoseconds of BATCH operations each
//! passive    ok                          it saw what it had to see
//! conductor  count OP SIZE BATCH WARM SAMPLES FIRST
//! either     ok LOADS STORES             of the other host's memory; "ok" alone where they cannot be counted
//! conductor  check OP SIZE LAST          to the passive party, after an operation that needs no partner
//! passive    ok                          the bytes that were put are there
//! either     err TEXT                    the pair is of no use any more
//! ```
//!
//! WARM further batches come first and are not counted. Operation n of a run, from 0, carries the stamp FIRST + n + 1;
//! stamps never repeat in a pair, so what was not received cannot be taken for received.

use std::fmt;
use std::str::FromStr;

/// Where the parties meet.
pub const ENV_MEETING: &str = "RSM_PERF";
/// Which party a process is.
pub const ENV_SIDE: &str = "RSM_PERF_SIDE";

/// Where the parties meet, and what they are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Directory of the conductor's descriptors.
    pub directory: String,
    /// Descriptor of the shared memory.
    pub memory: i32,
    /// For each side: where its commands come from, where its answers go, its processor or -1.
    pub sides: [Place; 2],
    /// Bytes of data that an operation may move.
    pub room: u64,
}

/// One side's part of a [`Meeting`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Descriptor of its commands.
    pub commands: i32,
    /// Descriptor of its answers.
    pub answers: i32,
    /// Processor, or -1.
    pub cpu: i32,
}

impl fmt::Display for Meeting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b] = &self.sides;
        write!(f, "{} {} {} {} ", self.directory, self.memory, a.commands, a.answers)?;
        write!(f, "{} {} {} {} {}", b.commands, b.answers, a.cpu, b.cpu, self.room)
    }
}

impl FromStr for Meeting {
    type Err = String;

    fn from_str(text: &str) -> Result<Meeting, String> {
        let bad = || format!("{ENV_MEETING}={text:?} is not what a conductor writes");
        let mut words = text.split(' ');
        let directory = words.next().ok_or_else(bad)?.to_owned();
        let mut number = || words.next().and_then(|word| word.parse::<i64>().ok()).ok_or_else(bad);
        let mut small = || number().and_then(|n| i32::try_from(n).map_err(|_| bad()));
        let memory = small()?;
        let (in0, out0, in1, out1, cpu0, cpu1) = (small()?, small()?, small()?, small()?, small()?, small()?);
        let room = number().and_then(|n| u64::try_from(n).map_err(|_| bad()))?;
        let place = |commands, answers, cpu| Place { commands, answers, cpu };
        Ok(Meeting { directory, memory, sides: [place(in0, out0, cpu0), place(in1, out1, cpu1)], room })
    }
}

/// What a party is told to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Do this.
    Run(Job),
    /// Do this, and count what it loads and stores of another host's memory.
    Count(Job),
    /// See whether the last of an operation's stamps has arrived.
    Check {
        /// Operation.
        op: String,
        /// Bytes.
        size: usize,
        /// Stamp of the last operation.
        last: u64,
    },
}

/// One stint at an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job {
    /// Its name.
    pub op: String,
    /// Bytes.
    pub size: usize,
    /// Operations to a sample.
    pub batch: u64,
    /// Samples that are not counted, before the others.
    pub warm: u64,
    /// Samples.
    pub samples: u64,
    /// Stamps used before.
    pub first: u64,
}

impl Job {
    /// Operations in all.
    pub fn total(&self) -> u64 {
        (self.warm + self.samples) * self.batch
    }

    /// The stamp of the last operation.
    pub fn last(&self) -> u64 {
        self.first + self.total()
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut job = |what: &str, Job { op, size, batch, warm, samples, first }: &Job| {
            write!(f, "{what} {op} {size} {batch} {warm} {samples} {first}")
        };
        match self {
            Command::Run(run) => job("run", run),
            Command::Count(count) => job("count", count),
            Command::Check { op, size, last } => write!(f, "check {op} {size} {last}"),
        }
    }
}

impl FromStr for Command {
    type Err = String;

    fn from_str(line: &str) -> Result<Command, String> {
        let bad = || format!("not a command: {line:?}");
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let number = |i: usize| words.get(i).and_then(|word| word.parse::<u64>().ok()).ok_or_else(bad);
        let (op, size) = (words.get(1).copied().ok_or_else(bad)?.to_owned(), number(2)? as usize);
        match (words[0], words.len()) {
            (what @ ("run" | "count"), 7) => {
                let (batch, warm, samples, first) = (number(3)?, number(4)?, number(5)?, number(6)?);
                let job = Job { op, size, batch, warm, samples, first };
                Ok(if what == "run" { Command::Run(job) } else { Command::Count(job) })
            }
            ("check", 4) => Ok(Command::Check { op, size, last: number(3)? }),
            _ => Err(bad()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let place = |n| Place { commands: n, answers: n + 1, cpu: -1 };
        let meeting = Meeting { directory: "/proc/7/fd".into(), memory: 3, sides: [place(4), place(6)], room: 1 << 40 };
        assert_eq!(meeting.to_string().parse(), Ok(meeting));
        let job = Job { op: "put".into(), size: 8, batch: 100, warm: 2, samples: 30, first: 1 << 40 };
        assert_eq!((job.total(), job.last()), (3200, (1 << 40) + 3200));
        for command in
            [Command::Run(job.clone()), Command::Count(job), Command::Check { op: "put".into(), size: 8, last: 9 }]
        {
            assert_eq!(command.to_string().parse(), Ok(command));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for line in
            ["", "run", "run put 8 1 1 1", "run put 8 1 1 1 x", "check put 8", "dance put 8 1", "check put -1 2"]
        {
            assert!(line.parse::<Command>().is_err(), "{line}");
        }
        for text in ["", "/proc/1/fd 1 2", "/proc/1/fd 1 2 3 4 5 6 7 -1", "/proc/1/fd 1 2 3 4 5 6 7 x"] {
            assert!(text.parse::<Meeting>().is_err(), "{text}");
        }
    }
}
