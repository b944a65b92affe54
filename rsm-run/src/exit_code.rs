//! Every way `rsm-ctl` can end, and its number. Failure is never 0.

use serde::{Deserialize, Serialize};

/// How a command ended, for whoever started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExitCode {
    /// Done as asked.
    Success,
    /// `rsm-ctl` itself could not do it; a line on standard error says why.
    Failure,
    /// The command line cannot be understood, or makes no sense.
    Usage,
    /// The cluster ended while it was watched.
    ClusterEnded,
    /// Something is missing that rsm does not work without.
    Missing,
    /// What was looked for was found: a fault of the program's.
    Found,
    /// `--timeout` expired.
    TimedOut,
    /// The program is there and cannot be executed.
    NotExecutable,
    /// There is no such program.
    NotFound,
    /// Nobody reads the output any more: what a process killed by SIGPIPE would give.
    OutputClosed,
    /// The first node that failed ended with this code.
    Node(u8),
    /// A node, or `rsm-ctl run` itself, was ended by this signal.
    Signal(u8),
}

impl ExitCode {
    /// The number the shell sees.
    pub fn number(self) -> u8 {
        match self {
            ExitCode::Success => 0,
            ExitCode::Failure => 1,
            ExitCode::Usage => 2,
            ExitCode::ClusterEnded => 3,
            ExitCode::Missing => 4,
            ExitCode::Found => 5,
            ExitCode::TimedOut => 124,
            ExitCode::NotExecutable => 126,
            ExitCode::NotFound => 127,
            ExitCode::OutputClosed => 141,
            ExitCode::Node(code) => code,
            ExitCode::Signal(signal) => signal.saturating_add(128),
        }
    }
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        code.number().into()
    }
}

/// The table of `--help`, of the manual page and of docs/exit-codes.md. A code, once here, keeps its meaning.
const TABLE: [(&str, &str); 12] = [
    ("0", "done; of `run` and `exec`: every program ended with 0"),
    ("1", "rsm-ctl failed or could not go on; a line on standard error says why"),
    ("2", "the command line or a cluster file cannot be understood"),
    ("3", "of `watch`, `top` and `exec`: the cluster has ended"),
    ("4", "of `doctor`: something is missing that rsm needs"),
    (
        "5",
        "of `explore`: a run was found in which a survivor hangs or fails, or something is left; of `run --race`: a race was found",
    ),
    ("124", "--timeout expired"),
    ("126", "the program cannot be executed"),
    ("127", "the program was not found"),
    ("130", "ended by Ctrl-C (128+n for signal n; 143 also for a `run` that `down` ended)"),
    ("141", "the reader of the output went away"),
    (
        "other",
        "of `run` and `exec`: the code of the first program that failed, 128+n when signal n killed it; the code that a program ended the run with",
    ),
];

/// The table for `--help`.
pub fn help() -> String {
    let rows = TABLE.iter().map(|(code, meaning)| format!("\n  {code:<6} {meaning}"));
    format!("Exit codes:{}", rows.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_as_documented() {
        let table = [
            (ExitCode::Success, 0),
            (ExitCode::Failure, 1),
            (ExitCode::Usage, 2),
            (ExitCode::ClusterEnded, 3),
            (ExitCode::Missing, 4),
            (ExitCode::Found, 5),
            (ExitCode::TimedOut, 124),
            (ExitCode::NotExecutable, 126),
            (ExitCode::NotFound, 127),
            (ExitCode::Signal(2), 130),
            (ExitCode::OutputClosed, 141),
        ];
        for (code, number) in table {
            assert_eq!(code.number(), number, "{code:?}");
            assert!(TABLE.iter().any(|(code, _)| *code == number.to_string()), "{number} is not in the table");
        }
    }

    #[test]
    fn the_documentation_has_this_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/exit-codes.md");
        let documented = std::fs::read_to_string(path).unwrap();
        let rows: String = TABLE.iter().map(|(code, meaning)| format!("| {code} | {meaning} |\n")).collect();
        assert!(documented.contains(&format!("|---|---|\n{rows}\n")), "docs/exit-codes.md should have:\n{rows}");
    }

    #[test]
    fn nodes_pass_their_own_code_on() {
        assert_eq!(ExitCode::Node(7).number(), 7);
        assert_eq!(ExitCode::Signal(11).number(), 139);
        assert_eq!(ExitCode::Signal(64).number(), 192);
    }
}
