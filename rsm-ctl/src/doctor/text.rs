//! The report for people: a line for what is there, a paragraph for what is not.

use super::Report;
use crate::colour::{Palette, Tone};

/// Columns of a line; longer texts go on in the next, indented.
const WIDTH: usize = 100;

pub(super) fn render(report: &Report, palette: Palette) -> String {
    let mut text = format!("Linux {}\n\n", report.kernel);
    for feature in &report.features {
        let (mark, tone) = match (feature.present, feature.required) {
            (true, _) => ("ok", Tone::Good),
            (false, true) => ("MISSING", Tone::Bad),
            (false, false) => ("missing", Tone::Warning),
        };
        text += &line(palette, tone, mark, feature.feature, &what(feature));
        if let Some(error) = &feature.error {
            text += &indented("why", error);
            text += &indented("without it", &feature.without);
        }
        text += &feature.remedy.as_deref().map_or_else(String::new, |remedy| indented("to get it", remedy));
    }
    text.push('\n');
    for condition in &report.conditions {
        let (mark, tone) = match condition.status {
            "good" => ("ok", Tone::Good),
            "note" => ("note", Tone::Faint),
            "warning" => ("warning", Tone::Warning),
            _ => ("BAD", Tone::Bad),
        };
        let told = match condition.status {
            "good" => condition.value.clone(),
            _ => format!("{}: {}", condition.value, condition.meaning),
        };
        text += &line(palette, tone, mark, condition.condition, &told);
        if condition.status != "good" {
            text += &condition.remedy.as_deref().map_or_else(String::new, |remedy| indented("to change it", remedy));
        }
    }
    let missing = report.features.iter().filter(|feature| !feature.present).count();
    let summary = match report.verdict {
        "ok" => palette.paint(Tone::Good, "everything that rsm uses is here"),
        "broken" => palette.paint(Tone::Bad, "rsm does not work here: see what is MISSING or BAD above"),
        _ if missing == 0 => palette.paint(Tone::Good, "everything that rsm uses is here; see the warnings above"),
        _ => palette.paint(Tone::Warning, &format!("rsm works here, and does without {missing} of what it can use")),
    };
    text + "\n" + &summary + "\n"
}

/// What a feature is, and since when.
fn what(feature: &super::Finding) -> String {
    match feature.since {
        "any" => feature.what.to_owned(),
        since => format!("{} (Linux {since})", feature.what),
    }
}

const MARKS: usize = 9;
const NAMES: usize = 20;

fn line(palette: Palette, tone: Tone, mark: &str, name: &str, rest: &str) -> String {
    let blanks = " ".repeat(MARKS - mark.len());
    let rest = wrapped(rest, WIDTH - MARKS - NAMES, MARKS + NAMES);
    format!("{}{blanks}{name:NAMES$}{rest}\n", palette.paint(tone, mark))
}

fn indented(what: &str, text: &str) -> String {
    let indent = MARKS + 2;
    let what = format!("{what}: ");
    let text = wrapped(text, WIDTH - indent - what.len(), indent + what.len());
    format!("{:indent$}{what}{text}\n", "")
}

/// Breaks a text between words into lines of at most `width` characters; the later ones begin with `indent` blanks.
fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let last = lines.last_mut().expect("there is a first line");
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= width {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_below() {
        assert_eq!(wrapped("one two three", 7, 2), "one two\n  three");
        assert_eq!(wrapped("incompressible", 3, 2), "incompressible");
        assert_eq!(wrapped("", 3, 2), "");
    }
}
