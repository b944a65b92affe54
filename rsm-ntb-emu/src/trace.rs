//! A line for each event, for whoever wants to see what a driver does.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::Instant;

/// A file that lines are written to, until that fails.
#[derive(Debug)]
pub(crate) struct Trace {
    file: Option<File>,
    began: Instant,
    /// Why it is not written to any more.
    pub(crate) failure: Option<String>,
}

impl Trace {
    /// Begins a file anew.
    pub(crate) fn begin(path: &Path) -> io::Result<Trace> {
        Ok(Trace { file: Some(File::create(path)?), began: Instant::now(), failure: None })
    }

    /// Writes a line: seconds since the beginning, and what happened.
    pub(crate) fn line(&mut self, what: fmt::Arguments<'_>) {
        let Some(file) = &mut self.file else { return };
        // In one piece, so that whoever reads along sees whole lines.
        let line = format!("{:.6} {what}\n", self.began.elapsed().as_secs_f64());
        if let Err(error) = file.write_all(line.as_bytes()) {
            self.failure = Some(format!("the trace ends early: {error}"));
            self.file = None;
        }
    }
}
