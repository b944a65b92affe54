//! A Unix stream socket, and two pipes. Where both spin they read without blocking.

use super::{read_all, stamped};
use rsm_perf::party::{Pairing, Party, Result, Side, Trouble};
use rsm_perf::protocol::Job;
use rsm_perf::raw::control::meet;
use rsm_perf::raw::copies::expected_sum;
use rsm_perf::region::Buffer;
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, OwnedFd};

pub struct Streams {
    name: &'static str,
    input: OwnedFd,
    output: OwnedFd,
    arrived: Vec<u8>,
}

impl Streams {
    pub fn socket(pairing: &Pairing) -> Result<Streams> {
        let mut socket = None;
        meet(&mut socket, pairing)?;
        let input = socket.expect("made by meet");
        let output = input.try_clone()?;
        Ok(Streams { name: "unix-socket", input, output, arrived: Vec::new() })
    }

    pub fn pipe(pairing: &Pairing) -> Result<Streams> {
        let (input, other_output) = rustix::pipe::pipe()?;
        let mine = [u64::from(std::process::id()), other_output.as_raw_fd() as u64, 0, 0, 0, 0, 0];
        let [process, output, ..] = pairing.introduce(mine)?;
        let output = OpenOptions::new().write(true).open(format!("/proc/{process}/fd/{output}"))?;
        // Not closed: the partner may not have opened it yet, and it goes with the process.
        std::mem::forget(other_output);
        Ok(Streams { name: "pipe", input, output: output.into(), arrived: Vec::new() })
    }

    fn spin(&self, spin: bool) -> Result<()> {
        for end in [&self.input, &self.output] {
            let flags = rustix::fs::fcntl_getfl(end)? - OFlags::NONBLOCK;
            rustix::fs::fcntl_setfl(end, if spin { flags | OFlags::NONBLOCK } else { flags })?;
        }
        Ok(())
    }
}

/// Does `step` until all is done; each moves some.
fn all(pairing: &Pairing, length: usize, mut step: impl FnMut(usize) -> rustix::io::Result<usize>) -> Result<()> {
    let mut done = 0;
    while done < length {
        let mut moved = Err(Errno::AGAIN);
        pairing.until(|| {
            moved = step(done);
            !matches!(moved, Err(Errno::AGAIN | Errno::INTR))
        })?;
        match moved? {
            0 => return Err(Trouble("the partner has gone".into())),
            count => done += count,
        }
    }
    Ok(())
}

impl Party for Streams {
    fn name(&self) -> String {
        self.name.into()
    }

    fn ops(&self) -> Vec<&'static str> {
        vec!["latency", "ack", "signal", "notify", "signal-asleep"]
    }

    fn run(&mut self, job: &Job, pairing: &Pairing) -> Result<Vec<u64>> {
        self.spin(job.op != "signal-asleep")?;
        let mut arrived = std::mem::take(&mut self.arrived);
        arrived.resize(job.size, 0);
        let mut buffer = Buffer::new(job.size);
        let send = |bytes: &[u8]| all(pairing, bytes.len(), |done| rustix::io::write(&self.output, &bytes[done..]));
        let receive =
            |bytes: &mut [u8]| all(pairing, bytes.len(), |done| rustix::io::read(&self.input, &mut bytes[done..]));
        let mut word = [0; 8];
        let mut receive_word = |stamp: u64| {
            receive(&mut word)?;
            stamped(&word, stamp)
        };
        let send_word = |stamp: u64| send(&stamp.to_ne_bytes());
        let expected = expected_sum(job.size);
        let samples = match (job.op.as_str(), pairing.side) {
            ("signal", side) => job.ping_pong(side, send_word, receive_word),
            ("signal-asleep", _) => job.asleep(pairing, send_word, receive_word),
            ("latency", side) => job.ping_pong(
                side,
                |stamp| {
                    buffer.stamp(stamp);
                    send(buffer.bytes())
                },
                |stamp| {
                    receive(&mut arrived)?;
                    stamped(&arrived, stamp)
                },
            ),
            ("ack" | "notify", Side::Active) => job.clock(|stamp| {
                buffer.stamp(stamp);
                send(buffer.bytes())?;
                receive_word(stamp)
            }),
            (op, Side::Passive) if matches!(op, "ack" | "notify") => job.repeat(|stamp| {
                receive(&mut arrived)?;
                if op == "ack" {
                    read_all(&arrived, expected, stamp)?
                } else {
                    stamped(&arrived, stamp)?
                }
                send_word(stamp)
            }),
            (other, _) => Err(Trouble(format!("no operation {other:?}"))),
        };
        self.arrived = arrived;
        samples
    }

    fn check(&mut self, _: &str, _: usize, _: u64, _: &Pairing) -> Result<()> {
        Ok(())
    }
}
