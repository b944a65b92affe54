//! What nodes of this program can do beyond those of `tests/processes`.

use rsm::Result;
use rsm_shm::crash;
use rsm_stories::node::Things;
use std::sync::Mutex;

/// What the negative controls leak.
static LEAKS: Mutex<Vec<Box<dyn Send>>> = Mutex::new(Vec::new());

pub(crate) fn more(things: &Things, words: &[String]) -> Option<Result<String>> {
    let word = |i: usize| words.get(i).map_or("", String::as_str);
    let name = word(1).to_owned();
    Some(match word(0) {
        "arm" => {
            crash::from_environment();
            assert!(crash::arm_named(&name, word(2), word(3)), "{words:?}");
            Ok(String::new())
        }
        "disarm" => {
            crash::disarm();
            Ok(String::new())
        }
        "forget" => {
            crash::from_environment();
            crash::forget();
            Ok(String::new())
        }
        "fired" => Ok(crash::fired().to_string()),
        "hits" => {
            Ok(crash::hits().map(|(point, hits)| format!("{}:{hits}", point.name())).collect::<Vec<_>>().join(" "))
        }
        "leak" => {
            LEAKS.lock().unwrap().push(super::controls::leak(&name));
            Ok(String::new())
        }
        _ => return rsm_stories::pieces::more(things, words),
    })
}
