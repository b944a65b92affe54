//! Answers for programs: one object with the version of this form and what was asked, named after the command. The
//! forms are in `docs/json.md` and `docs/schema`.

use serde::Serialize;
use serde_json::{Value, json};

use super::Rows;

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
    };
    document(name, array)
}

/// One object: the version, and what was asked under its name.
pub(crate) fn document(name: &str, content: impl Serialize) -> String {
    format!("{:#}\n", json!({ "version": VERSION, name: value(&content) }))
}

/// One line: the version, and the fields of what is told.
pub(crate) fn line(mut content: Value) -> String {
    content["version"] = VERSION.into();
    format!("{content}\n")
}

pub(crate) fn value(content: &impl Serialize) -> Value {
    serde_json::to_value(content).expect("answers are plain numbers, words and truth values")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_answer_still_has_its_array() {
        let value: Value = serde_json::from_str(&render(&Rows::Links(Vec::new()))).unwrap();
        assert_eq!(value, json!({ "version": 1, "links": [] }));
    }
}
