//! One object, with everything known of it: [`details`] finds it, here it is asked for and rendered.

mod details;
mod object;

use clap::Args;
use serde::Serialize;

use super::{Rows, attach, json, table};
use crate::exit_code::ExitCode;
use crate::failure::Failure;
use crate::{print, printable};
pub(super) use details::ProcessRow;
use object::Object;

/// What `show` can be told.
#[derive(Debug, Args)]
#[command(after_help = object::HELP)]
pub(crate) struct ShowArgs {
    /// What to show: cluster, node K, segment NODE ID, connection GENERATION, link A B, controller NAME
    #[arg(required = true, value_name = "OBJECT", num_args = 1..=4)]
    words: Vec<String>,
    /// Write JSON (see docs/json.md)
    #[arg(long)]
    json: bool,
    /// The cluster to look at; needed when several run and $RSM_CLUSTER names none
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
}

/// An object: fields, and tables of what belongs to it. JSON has the same, under names of its own.
struct Details {
    kind: &'static str,
    fields: Vec<(&'static str, String)>,
    tables: Vec<(&'static str, String)>,
    json: serde_json::Value,
}

impl Details {
    fn new(kind: &'static str, object: &impl Serialize) -> Details {
        Details { kind, fields: Vec::new(), tables: Vec::new(), json: json::value(object) }
    }

    fn field(&mut self, name: &'static str, value: impl ToString) {
        self.fields.push((name, printable::name(&value.to_string())));
    }

    /// Adds what belongs to the object: a table for people, an array for programs.
    fn rows<T: Serialize>(&mut self, title: &'static str, key: &str, rows: Vec<T>, form: impl FnOnce(Vec<T>) -> Rows) {
        self.json[key] = json::value(&rows);
        let text = if rows.is_empty() { "none\n".to_owned() } else { table::render(&form(rows)) };
        self.tables.push((title, text));
    }

    fn render(&self) -> String {
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

/// Shows the object.
pub(crate) fn perform(args: &ShowArgs) -> Result<ExitCode, Failure> {
    // What cannot be understood is said before a cluster is looked for.
    let object = Object::parse(&args.words).map_err(Failure::usage)?;
    let observer = attach(args.cluster.as_deref())?;
    let details = details::find(&observer, &observer.snapshot(), &object).map_err(Failure::new)?;
    print::answer(&if args.json { json::document(details.kind, &details.json) } else { details.render() })
}
