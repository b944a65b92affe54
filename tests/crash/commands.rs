//! What nodes of this program can do beyond those of `tests/processes`.

use rsm::Result;
use rsm_shm::crash;
use rsm_stories::node::Things;
use std::sync::Mutex;

/// What the negative controls leak.
static LEAKS: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

rsm_stories::commands! {
    enum Command {
        /// Dies, stops or waits at a step.
        Arm "arm" { point: String, hit: String, how: String }
        /// Does not.
        Disarm "disarm" {}
        /// Counts from here on.
        Forget "forget" {}
        /// Whether the step was taken.
        Fired "fired" {}
        /// The steps that were taken, and how often.
        Hits "hits" {}
        /// Leaks something, for a control.
        Leak "leak" { what: String }
    }
}

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let Some(command) = Command::read(words) else {
        return rsm_stories::pieces::more(things, words);
    };
    Some(match command {
        Command::Arm { point, hit, how } => {
            crash::from_environment();
            assert!(crash::arm_named(&point, &hit, &how), "{words:?}");
            Ok(String::new())
        }
        Command::Disarm {} => {
            crash::disarm();
            Ok(String::new())
        }
        Command::Forget {} => {
            crash::from_environment();
            crash::forget();
            Ok(String::new())
        }
        Command::Fired {} => Ok(crash::fired().to_string()),
        Command::Hits {} => {
            Ok(crash::hits().map(|(point, hits)| format!("{}:{hits}", point.name())).collect::<Vec<_>>().join(" "))
        }
        Command::Leak { what } => {
            LEAKS.lock().unwrap().push(super::controls::leak(&what));
            Ok(String::new())
        }
    })
}
