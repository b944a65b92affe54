//! Answers for programs: one object with the version of this form and what was asked, named after the command. The
//! forms are in `docs/json.md` and `docs/schema`.

use serde::Serialize;
use serde_json::{Value, json};

use super::rows::Rows;
use crate::printable;

/// Raised when a field goes or changes its meaning; new fields do not raise it.
pub(crate) const VERSION: u32 = 1;

pub(crate) fn render(rows: &Rows) -> String {
    let (name, array) = match rows {
        Rows::Clusters(rows) => ("clusters", value(rows)),
        Rows::Nodes(rows) => ("nodes", value(rows)),
        Rows::Segments(rows) => ("segments", value(rows)),
        Rows::Connections(rows) => ("connections", value(rows)),
        Rows::Links(rows) => ("links", value(rows)),
        Rows::Controllers(rows) => ("controllers", value(rows)),
        Rows::Processes(rows) => ("processes", value(rows)),
        Rows::Waits(rows) => ("waits", value(rows)),
    };
    document(name, array)
}

/// One object: the version, and what was asked under its name.
pub(crate) fn document(name: &str, content: impl Serialize) -> String {
    escaped(&format!("{:#}\n", json!({ "version": VERSION, name: value(&content) })))
}

/// One line: the version, and the fields of what is told.
pub(crate) fn line(mut content: Value) -> String {
    content["version"] = VERSION.into();
    escaped(&format!("{content}\n"))
}

/// What a terminal would obey, as JSON escapes it: the forms above leave some of that as it is within words, and have
/// nothing but line ends outside of them.
fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character != '\n' && printable::is_obeyed(character) {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                shown += &format!("\\u{unit:04x}");
            }
        } else {
            shown.push(character);
        }
    }
    shown
}

pub(crate) fn value(content: &impl Serialize) -> Value {
    serde_json::to_value(content).expect("answers are plain numbers, words and truth values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_meaning_and_do_nothing_to_a_terminal() {
        let word = "a\x1b[2J\u{9b}2J\x7f\u{202e}\n\"";
        let text = document("word", word);
        assert!(!text.contains(|c| c != '\n' && printable::is_obeyed(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["word"], word);
    }

    #[test]
    fn an_empty_answer_still_has_its_array() {
        let value: Value = serde_json::from_str(&render(&Rows::Links(Vec::new()))).unwrap();
        assert_eq!(value, json!({ "version": 1, "links": [] }));
    }
}
