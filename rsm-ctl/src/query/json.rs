//! Answers for programs: one object with the version of this form and one array, named after the command.

use serde::Serialize;
use serde_json::{Value, json};

use super::Rows;

/// Raised when a field goes or changes its meaning; new fields do not raise it.
const VERSION: u32 = 1;

pub(crate) fn render(rows: &Rows) -> String {
    let (name, array) = match rows {
        Rows::Clusters(rows) => ("clusters", array(rows)),
        Rows::Nodes(rows) => ("nodes", array(rows)),
        Rows::Segments(rows) => ("segments", array(rows)),
        Rows::Connections(rows) => ("connections", array(rows)),
        Rows::Links(rows) => ("links", array(rows)),
    };
    format!("{:#}\n", json!({ "version": VERSION, name: array }))
}

fn array<T: Serialize>(rows: &[T]) -> Value {
    serde_json::to_value(rows).expect("rows are plain numbers, words and truth values")
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
