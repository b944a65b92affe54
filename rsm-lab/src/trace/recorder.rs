//! Writing down what a cluster notes while it runs.

use super::file::{Beginning, Piece, Writer};
use rsm::lens::{HeldSegment, Noted};
use rsm::observe::{ProcessInfo, Tracer};
use rsm::{Cluster, Code};
use rsm_shm::ticks;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{self, BufWriter};
use std::time::{Duration, Instant, SystemTime};

/// How often what was noted is to be written down.
pub const EVERY: Duration = Duration::from_millis(50);

/// How long the end of a trace may wait.
const MOMENT: Duration = Duration::from_millis(500);

/// Longer segments are not looked at again and again, in bytes.
const MOST_LOOKED_AT: usize = 16 << 20;

/// Runs that are nearer to each other than this are one.
const NEAR: usize = 32;

/// What differs: where, and what stands there now.
fn runs(before: &[u8], now: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    const STEP: usize = 4096;
    while at < now.len() {
        let end = (at + STEP).min(now.len());
        if before[at..end] != now[at..end] {
            for place in (at..end).filter(|&place| before[place] != now[place]) {
                match runs.last_mut() {
                    Some((_, last)) if place - *last < NEAR => *last = place + 1,
                    _ => runs.push((place, place + 1)),
                }
            }
        }
        at = end;
    }
    runs.into_iter().map(|(start, end)| (start as u64, now[start..end].to_vec())).collect()
}

/// Of a cluster with so many nodes; times are missing.
fn beginning(name: &str, nodes: u32) -> Beginning {
    Beginning { name: name.to_owned(), nodes, bytes: false, ticks: 0, wall: 0, late: false }
}

/// Somebody who writes a trace down.
#[derive(Debug)]
pub struct Recorder {
    writer: Writer<BufWriter<File>>,
    began: Instant,
    known: HashSet<u64>,
    /// Those that have not ended.
    living: HashSet<u64>,
    /// What segments held when they were last looked at, by incarnation.
    segments: HashMap<u64, Vec<u8>>,
}

impl Recorder {
    /// Begins a trace of this cluster.
    ///
    /// # Errors
    /// Those of writing.
    pub fn begin(file: File, cluster: &Cluster, bytes: bool) -> io::Result<Recorder> {
        let beginning = Beginning { bytes, ..beginning(cluster.name(), cluster.node_count()) };
        Recorder::new(file, (ticks::now(), Instant::now()), beginning)
    }

    /// Begins one of a cluster that has been there for a while.
    ///
    /// # Errors
    /// Those of writing; and that the agent does not say for 2 s which processes there are.
    pub fn begin_late(file: File, tracer: &Tracer) -> io::Result<Recorder> {
        let cluster = tracer.observer().snapshot().cluster;
        let bytes = tracer.trace().bytes;
        let beginning = Beginning { late: true, bytes, ..beginning(&cluster.name, cluster.nodes) };
        let mut recorder = Recorder::new(file, tracer.began(), beginning)?;
        for standing in tracer.standing() {
            recorder.writer.add(&Piece::Standing(standing))?;
        }
        // Before any clock: those that are there, and perhaps do not note their calls yet.
        let there = match tracer.observer().processes() {
            Err(error) if error.code() == Code::CtlrNotPresent => Vec::new(),
            told => told.map_err(io::Error::other)?,
        };
        for ProcessInfo { membership, node, pid, .. } in there {
            recorder.introduce(membership, node, pid)?;
        }
        Ok(recorder)
    }

    fn new(file: File, (ticks, began): (u64, Instant), beginning: Beginning) -> io::Result<Recorder> {
        let mut writer = Writer::new(BufWriter::new(file), beginning.late)?;
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall = u64::try_from(wall.saturating_sub(began.elapsed()).as_nanos()).unwrap_or(u64::MAX);
        writer.add(&Piece::Begins(Beginning { ticks, wall, ..beginning }))?;
        writer.flush()?;
        Ok(Recorder { writer, began, known: HashSet::new(), living: HashSet::new(), segments: HashMap::new() })
    }

    /// Writes down what was noted since.
    ///
    /// # Errors
    /// Those of writing.
    pub fn go_on(&mut self, cluster: &Cluster) -> io::Result<()> {
        self.take(cluster.noted())?;
        self.look(cluster, false)?;
        self.writer.flush()
    }

    /// The same for a trace that [began late](Self::begin_late).
    ///
    /// # Errors
    /// Those of writing.
    pub fn go_on_with(&mut self, noted: Vec<Noted>) -> io::Result<()> {
        self.take(noted)?;
        self.writer.flush()
    }

    fn take(&mut self, noted: Vec<Noted>) -> io::Result<()> {
        // First, so that there is one wherever the file is cut.
        let ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.writer.add(&Piece::Clock { ticks: ticks::now(), ns })?;
        for noted in noted {
            let (membership, node, pid) = (noted.membership, noted.node, noted.pid);
            self.introduce(membership, node, pid)?;
            self.writer.add_read(membership, ticks::now(), &noted.read)?;
            if noted.ended {
                self.living.remove(&membership);
                self.writer.add(&Piece::Left { membership, ticks: ticks::now() })?;
            }
        }
        Ok(())
    }

    /// Writes down who that is, once.
    fn introduce(&mut self, membership: u64, node: u32, pid: u32) -> io::Result<()> {
        if self.known.insert(membership) {
            self.living.insert(membership);
            self.writer.add(&Piece::Process { membership, node, pid })?;
        }
        Ok(())
    }

    /// Ends a trace that [began late](Self::begin_late).
    ///
    /// # Errors
    /// Those of writing.
    pub fn end_late(mut self) -> io::Result<()> {
        self.writer.add(&Piece::Ends)?;
        self.writer.flush()
    }

    /// A process of a node has ended: by this signal, or 0, and with this code.
    ///
    /// # Errors
    /// Those of writing.
    pub fn ended(&mut self, node: u32, pid: u32, signal: u32, code: u32) -> io::Result<()> {
        self.writer.add(&Piece::Ended { node, pid, signal, code, ticks: ticks::now() })
    }

    /// Writes down what has changed in segments since. Those that are long only at their end, or at that of the trace.
    fn look(&mut self, cluster: &Cluster, last: bool) -> io::Result<()> {
        for held in cluster.held() {
            if held.view.length() > MOST_LOOKED_AT && !held.gone && !last {
                continue;
            }
            let ticks = ticks::now();
            let bytes = held.view.read();
            let end = Some(ticks::now());
            let before = self.segments.entry(held.incarnation).or_insert_with(|| vec![0; bytes.len()]);
            let runs = runs(before, &bytes);
            let HeldSegment { node, row, incarnation, gone, .. } = held;
            if gone {
                self.segments.remove(&incarnation);
            } else {
                *before = bytes;
            }
            let length = held.view.length() as u64;
            self.writer.add(&Piece::Look { node, row, incarnation, ticks, end, length, runs })?;
        }
        Ok(())
    }

    /// Ends the trace, after a last look; waits a moment for the agent to have seen the end of all processes.
    ///
    /// # Errors
    /// Those of writing.
    pub fn end(mut self, cluster: &Cluster) -> io::Result<()> {
        let deadline = Instant::now() + MOMENT;
        self.go_on(cluster)?;
        while !self.living.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(2));
            self.go_on(cluster)?;
        }
        self.look(cluster, true)?;
        self.writer.add(&Piece::Ends)?;
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rsm::lens::{Lens, Trace};
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

    /// Says that it is over when it goes, also where the test fails: a scope waits for its threads.
    struct IsOver<'a>(&'a AtomicBool);

    impl Drop for IsOver<'_> {
        fn drop(&mut self) {
            // Relaxed: only an end of the thread is asked for.
            self.0.store(true, Relaxed);
        }
    }

    /// The owner stores the time again and again, in the last word of a segment that it takes a while to read: a look has no
    /// later time than its end, and one comes that has a later one than its beginning.
    #[test]
    fn a_look_says_when_it_was_over() {
        let path = std::env::temp_dir().join(format!("rsm-{}-looks.rsmtrace", std::process::id()));
        let cluster = Cluster::builder(1).lens(Lens::clear(0).trace(Trace { bytes: true })).start().unwrap();
        let export = cluster.node(1).unwrap().controller("shm0").unwrap().export(MOST_LOOKED_AT).unwrap();
        let mut recorder = Recorder::begin(File::create(&path).unwrap(), &cluster, true).unwrap();
        let (is_over, last) = (AtomicBool::new(false), MOST_LOOKED_AT as u64 - 8);
        let (deadline, mut looks) = (Instant::now() + Duration::from_secs(60), Vec::new());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                // Relaxed: see `IsOver`.
                while !is_over.load(Relaxed) {
                    export.memory().write_volatile_u64(last, ticks::now()).unwrap();
                }
            });
            let _is_over = IsOver(&is_over);
            while !looks.iter().any(|(began, _, stored)| stored > began) && Instant::now() < deadline {
                recorder.go_on(&cluster).unwrap();
                looks = stored(&std::fs::read(&path).unwrap(), last);
            }
        });
        let _ = std::fs::remove_file(&path);
        assert!(looks.iter().any(|(began, _, stored)| stored > began), "nothing was stored in a look: {looks:?}");
        assert!(looks.iter().all(|(began, end, stored)| began <= end && stored <= end), "{looks:?}");
    }

    /// Of each look its beginning, its end, and the word that it saw there.
    fn stored(file: &[u8], place: u64) -> Vec<(u64, u64, u64)> {
        let (pieces, _) = crate::trace::file::read(file).unwrap();
        let mut word = [0; 8];
        let looks = pieces.into_iter().filter_map(|piece| match piece {
            Piece::Look { ticks, end, runs, .. } => Some((ticks, end.unwrap(), runs)),
            _ => None,
        });
        let seen = looks.map(|(began, end, runs)| {
            for (start, run) in runs {
                for (at, byte) in (start..).zip(run) {
                    if let Some(byte_of_word) = at.checked_sub(place).and_then(|at| word.get_mut(at as usize)) {
                        *byte_of_word = byte;
                    }
                }
            }
            (began, end, u64::from_ne_bytes(word))
        });
        seen.collect()
    }
}
