//! What `explore` can be told.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{ArgGroup, Args};
use rsm::Code;

use crate::run::args::{ClusterArgs, ProgramArgs};
use crate::{duration, exit_code, number};

/// What `explore` can be told.
#[derive(Debug, Args)]
#[command(
    after_help = exit_code::help(),
    override_usage = "rsm-ctl explore -n N --kill NODE [OPTIONS] [--] PROG ARGS...\n       \
        rsm-ctl explore -n N --kill NODE [OPTIONS] --node NODES -- PROG ARGS... --node NODES -- PROG ARGS...\n       \
        rsm-ctl explore --file FILE --kill NODE [OPTIONS]",
    group = ArgGroup::new("whom").required(true).multiple(true).args(["words", "file"])
)]
pub(crate) struct ExploreArgs {
    /// The node that is killed. Of several processes of it, the first that joins the cluster; the others survive
    #[arg(long, value_name = "NODE", value_parser = number::node)]
    pub(crate) kill: u32,
    /// Kill it before this call only, and show what the programs write: repeats what was found
    #[arg(long, value_name = "CALL", value_parser = call)]
    pub(crate) at: Option<u64>,
    /// How long a run may take before it is said to hang: 500ms, 60s, 5m, 1h, or seconds [default: 2s and ten times as long
    /// as the run that counts, which may take 60s; where somebody waits with a time-out then, once more with up to 30s more]
    #[arg(long, value_name = "TIME", value_parser = duration::parse_positive)]
    pub(crate) timeout: Option<Duration>,
    /// Exit codes with which survivors may end beside 0: 1, or 1,3
    #[arg(long, value_name = "CODES", value_parser = codes)]
    pub(crate) allow: Option<Codes>,
    /// Errors that survivors may be told although they say that a call was wrong, by number or name: 24, or
    /// SEGID_IN_USE,BAD_SEG_HNDL. Those that a node is told with nobody killed always may
    #[arg(long, value_name = "ERRORS", value_parser = errors)]
    pub(crate) allow_errors: Option<Errors>,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) programs: ProgramArgs,
}

/// Exit codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Codes(BTreeSet<u8>);

impl Codes {
    pub(crate) fn has(&self, code: u8) -> bool {
        self.0.contains(&code)
    }
}

impl FromIterator<u8> for Codes {
    fn from_iter<T: IntoIterator<Item = u8>>(codes: T) -> Codes {
        Codes(codes.into_iter().collect())
    }
}

/// Errors of calls, by number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Errors(pub(crate) BTreeSet<i32>);

/// Reads errors with commas between.
fn errors(text: &str) -> Result<Errors, String> {
    let one = |text: &str| {
        let name = text.strip_prefix("RSMERR_").unwrap_or(text);
        let is_it = |code: &Code| code.name().strip_prefix("RSMERR_") == Some(name);
        let named = || (1..1000).filter_map(Code::from_number).find(is_it);
        let code = text.parse().ok().and_then(Code::from_number).or_else(named);
        code.map(Code::number).ok_or_else(|| {
            format!(
                "{text:?} is no error of rsm: write numbers or names, such as 24 or SEGID_IN_USE, with commas between"
            )
        })
    };
    text.split(',').map(one).collect::<Result<_, _>>().map(Errors)
}

/// Reads which call.
fn call(text: &str) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| (1..1 << 48).contains(number));
    number.ok_or_else(|| "write the number of a call, from 1".to_owned())
}

/// Reads exit codes with commas between.
fn codes(text: &str) -> Result<Codes, String> {
    let one = |text: &str| match text.parse() {
        Ok(code @ 1..) => Ok(code),
        _ => Err(format!("{text:?} is no exit code of a failure: write some of 1 to 255, with commas between")),
    };
    text.split(',').map(one).collect::<Result<_, _>>().map(Codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_calls_are_read() {
        let codes = |text| super::codes(text).map(|codes| codes.0.into_iter().collect::<Vec<_>>());
        assert_eq!((codes("1"), codes("3,1,255")), (Ok(vec![1]), Ok(vec![1, 3, 255])));
        for text in ["", "0", "256", "-1", "1,", "1, 2", "x"] {
            assert!(codes(text).is_err_and(|why| why.contains("1 to 255")), "{text}");
        }
        let errors = |text| super::errors(text).map(|errors| errors.0.into_iter().collect::<Vec<_>>());
        assert_eq!((errors("24"), errors("BAD_SEG_HNDL,RSMERR_SEGID_IN_USE,5")), (Ok(vec![24]), Ok(vec![5, 24])));
        for text in ["", "0", "46", "-1", "5,", "bad_length", "RSMERR_"] {
            assert!(errors(text).is_err_and(|why| why.contains("such as 24")), "{text}");
        }
        assert_eq!((call("1"), call("4096")), (Ok(1), Ok(4096)));
        for text in ["0", "", "-3", "x", "281474976710656"] {
            assert!(call(text).is_err_and(|why| why.contains("from 1")), "{text}");
        }
    }
}
