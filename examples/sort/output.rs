//! The way of the sorted lines to node 1, and out.
//!
//! Every node writes its lines, in order, back into the segment they came in by; it is as long as is needed and
//! nobody uses it any more. Node 1 gets them from there, one node after the other, through a small piece of memory
//! that stays in its caches, while the nodes behind may still be sorting. Its own lines it writes directly.

use crate::Result;
use crate::closing::close;
use crate::exchange::Partition;
use crate::lines::Line;
use crate::report::{Progress, shown};
use rsm::Import;
use rsm_team::Team;
use std::error::Error;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;

/// Bytes to write at a time.
const CHUNK: usize = 1 << 20;

/// On any node but the first: hands over the partition, and says how much there is to get. Returns that.
pub(crate) fn deliver(team: &Team, partition: &Partition<'_>, order: &[Line]) -> Result<u64> {
    let memory = partition.shared.memory();
    let mut written = 0;
    for line in order {
        let line = line.bytes(&partition.text);
        memory.write(written, line)?;
        written += line.len() as u64;
    }
    team.send(0, &written.to_ne_bytes(), None)?;
    Ok(written)
}

/// Where node 1 writes.
pub(crate) struct Output {
    /// Until all is written.
    file: Option<File>,
    name: String,
    /// Whether what is in the file has to go first.
    replaces: bool,
}

impl Output {
    /// Opens OUT, or standard output, without changing it yet: that OUT cannot be written should be known before
    /// the work, but it may be the file that is to be sorted.
    pub(crate) fn open(path: Option<&Path>) -> Result<Output> {
        let Some(path) = path else {
            // The bare descriptor: large chunks need no buffer, and no error is to be missed in one.
            let file =
                io::stdout().as_fd().try_clone_to_owned().map_err(|error| format!("no standard output: {error}"))?;
            return Ok(Output { file: Some(file.into()), name: "standard output".to_owned(), replaces: false });
        };
        let name = shown(path);
        let open = || {
            let file = File::options().write(true).create(true).truncate(false).open(path)?;
            let replaces = file.metadata()?.is_file();
            Ok((file, replaces))
        };
        match open() {
            Ok((file, replaces)) => Ok(Output { file: Some(file), name, replaces }),
            Err(error) => Err(cannot_write(&name, &error)),
        }
    }

    /// Writes the lines of all nodes, `total` bytes in all. Returns how many of them were this node's, and others'.
    pub(crate) fn collect(
        &mut self,
        team: &Team,
        partition: &Partition<'_>,
        order: &[Line],
        total: u64,
        progress: &mut Progress,
    ) -> Result<(u64, u64)> {
        if let Some(file) = self.file.as_ref().filter(|_| self.replaces) {
            file.set_len(0).map_err(|error| cannot_write(&self.name, &error))?;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut written = 0;
        for line in order {
            let line = line.bytes(&partition.text);
            if chunk.len() + line.len() > CHUNK {
                self.write(&chunk)?;
                written += chunk.len() as u64;
                chunk.clear();
                progress.bytes("writing", written, total);
            }
            if line.len() > CHUNK {
                self.write(line)?;
                written += line.len() as u64;
            } else {
                chunk.extend_from_slice(line);
            }
        }
        self.write(&chunk)?;
        written += chunk.len() as u64;

        let mut fetched = 0;
        chunk.resize(CHUNK, 0);
        for rank in 1..team.size() {
            let (length, import) = (team.receive(rank, None)?, partition.shared.at(rank)?);
            let length = length.try_into().map_err(|_| format!("node {} told other numbers", team.node(rank)))?;
            let length = u64::from_ne_bytes(length);
            let mut offset = 0;
            while offset < length {
                progress.bytes("writing", written + fetched, total);
                let bytes = &mut chunk[..CHUNK.min((length - offset) as usize)];
                get(import, offset, bytes).map_err(|error| team.explain(rank, error))?;
                self.write(bytes)?;
                offset += bytes.len() as u64;
                fetched += bytes.len() as u64;
            }
        }
        self.close()?;
        Ok((written, fetched))
    }

    /// All is written. Some file systems took it so far, and say only now that they did not keep it.
    fn close(&mut self) -> Result<()> {
        let file = self.file.take().expect("closed once");
        close(file).map_err(|error| cannot_write(&self.name, &error))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file
            .as_mut()
            .map_or(Ok(()), |file| file.write_all(bytes))
            .map_err(|error| cannot_write(&self.name, &error))
    }
}

fn cannot_write(name: &str, error: &io::Error) -> Box<dyn Error> {
    format!("cannot write {name}: {error}").into()
}

/// Gets bytes of which it is certain that they are the exporter's: one that dies leaves zeros behind, and a barrier
/// that fails.
fn get(import: &Import, offset: u64, bytes: &mut [u8]) -> rsm::Result<()> {
    let span = import.open_barrier()?;
    import.get(offset, bytes)?;
    span.close()
}
