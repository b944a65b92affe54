//! Which CPU each process is bound to.

use rustix::thread::{CpuSet, sched_getaffinity};

use crate::failure::Failure;

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pin {
    /// The allowed CPUs in turn.
    Auto,
    /// These in turn.
    List(Vec<usize>),
}

impl Pin {
    /// Reads `auto` or a list such as `0,2-3`, as taskset(1) does.
    pub fn parse(text: &str) -> Result<Pin, String> {
        if text == "auto" {
            return Ok(Pin::Auto);
        }
        let cpu = |text: &str| match text.parse() {
            Ok(cpu) if cpu < CpuSet::MAX_CPU => Ok(cpu),
            _ => Err(format!("{text:?} is no CPU; write \"auto\" or a list such as 0,2-3")),
        };
        let mut list: Vec<usize> = Vec::new();
        for part in text.split(',') {
            match part.split_once('-') {
                None => list.push(cpu(part)?),
                Some((from, to)) if cpu(from)? <= cpu(to)? => list.extend(cpu(from)?..=cpu(to)?),
                Some(_) => return Err(format!("{part} goes backwards")),
            }
        }
        Ok(Pin::List(list))
    }

    /// The CPUs to hand out in turn.
    pub(crate) fn cpus(&self) -> Result<Vec<usize>, Failure> {
        let allowed = allowed()?;
        let Pin::List(list) = self else { return Ok(allowed) };
        match list.iter().find(|cpu| !allowed.contains(cpu)) {
            None => Ok(list.clone()),
            Some(cpu) => {
                let text = format!("cannot bind to CPU {cpu}: this process may use {}", written(&allowed));
                Err(Failure::new(text))
            }
        }
    }
}

/// The set with just this one.
pub(crate) fn only(cpu: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(cpu);
    set
}

fn allowed() -> Result<Vec<usize>, Failure> {
    let set = sched_getaffinity(None).map_err(|error| Failure::system("cannot tell the allowed CPUs", error))?;
    Ok((0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
}

/// A list as [`Pin::parse`] reads it.
fn written(cpus: &[usize]) -> String {
    let runs = cpus.chunk_by(|one, next| one + 1 == *next).map(|run| match run {
        [one] => one.to_string(),
        run => format!("{}-{}", run[0], run[run.len() - 1]),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(Pin::parse("auto"), Ok(Pin::Auto));
        assert_eq!(Pin::parse("3,0-2"), Ok(Pin::List(vec![3, 0, 1, 2])));
        for text in ["", "a", "1-", "2-1", "-1", "1024", "0,,1"] {
            assert!(Pin::parse(text).is_err(), "{text}");
        }
        assert_eq!(written(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    }

    #[test]
    fn only_allowed_ones() {
        let allowed = allowed().unwrap();
        assert_eq!(Pin::Auto.cpus().unwrap(), allowed);
        assert_eq!(Pin::List(allowed.clone()).cpus().unwrap(), allowed);
        let refused = Pin::List(vec![1023]).cpus().unwrap_err();
        assert!(refused.message.ends_with(&written(&allowed)), "{}", refused.message);
    }
}
