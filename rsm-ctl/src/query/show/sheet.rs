//! What is known of an object, on its way to a person or a program.

use serde::Serialize;

use crate::printable;
use crate::query::rows::Rows;
use crate::query::{json, table};

/// An object: fields, and tables of what belongs to it. JSON has the same, under names of its own.
pub(super) struct Sheet {
    pub(super) kind: &'static str,
    fields: Vec<(&'static str, String)>,
    tables: Vec<(&'static str, String)>,
    pub(super) json: serde_json::Value,
}

impl Sheet {
    pub(super) fn new(kind: &'static str, object: &impl Serialize) -> Sheet {
        Sheet { kind, fields: Vec::new(), tables: Vec::new(), json: json::value(object) }
    }

    pub(super) fn field(&mut self, name: &'static str, value: impl ToString) {
        self.fields.push((name, printable::name(&value.to_string())));
    }

    /// Adds what belongs to the object: a table for people, an array for programs.
    pub(super) fn rows<T: Serialize>(
        &mut self,
        title: &'static str,
        key: &str,
        rows: Vec<T>,
        form: impl FnOnce(Vec<T>) -> Rows,
    ) {
        self.json[key] = json::value(&rows);
        let text = if rows.is_empty() { "none\n".to_owned() } else { table::render(&form(rows)) };
        self.tables.push((title, text));
    }

    pub(super) fn render(&self) -> String {
        let width = self.fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        let fields = self
            .fields
            .iter()
            .map(|(name, value)| format!("{:width$}  {value}\n", format!("{name}:"), width = width + 1));
        let tables = self.tables.iter().map(|(title, text)| {
            let lines: String = text.lines().map(|line| format!("  {line}\n")).collect();
            format!("\n{title}:\n{lines}")
        });
        fields.chain(tables).collect()
    }
}
