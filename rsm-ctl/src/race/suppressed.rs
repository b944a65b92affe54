//! Races that nobody wants to hear of.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::places::Caller;

/// One of two places in a program.
#[derive(Debug, PartialEq, Eq)]
enum Rule {
    /// A function, or the end of its path.
    Function(String),
    /// The end of a file's path, or of it and a line.
    File(String),
}

/// What a file of suppressions says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Suppressed(Vec<Rule>);

impl Suppressed {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Suppressed, Failure> {
        let text = fs::read_to_string(path)
            .map_err(|error| Failure::system(&format!("cannot read {}", path.display()), error))?;
        Suppressed::parse(&text).map_err(|(line, why)| Failure::usage(format!("{}:{line}: {why}", path.display())))
    }

    fn parse(text: &str) -> Result<Suppressed, (usize, String)> {
        let mut rules = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default().trim();
            match line.split_once(char::is_whitespace).map(|(word, rest)| (word, rest.trim())) {
                Some(("function", name)) => rules.push(Rule::Function(name.to_owned())),
                Some(("file", path)) => rules.push(Rule::File(path.to_owned())),
                None if line.is_empty() => {}
                _ => return Err((number, format!("expected \"function NAME\" or \"file PATH\", found {line:?}"))),
            }
        }
        Ok(Suppressed(rules))
    }

    /// Whether a place is one of them.
    pub(crate) fn has(&self, caller: &Caller) -> bool {
        self.0.iter().any(|rule| match rule {
            Rule::Function(end) => caller.function.as_deref().is_some_and(|name| {
                name.strip_suffix(&**end).is_some_and(|path| path.is_empty() || path.ends_with("::"))
            }),
            Rule::File(end) => caller.place.as_deref().is_some_and(|place| {
                let file = place.rsplit_once(':').map_or(place, |(file, _)| file);
                [place, file].iter().any(|path| Path::new(path).ends_with(end))
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(function: &str, place: &str) -> Caller {
        Caller { api: None, function: Some(function.to_owned()), place: Some(place.to_owned()), key: Vec::new() }
    }

    #[test]
    fn places_are_left_out_by_function_and_by_file() {
        let rules =
            Suppressed::parse("# known\nfunction spin # a seqlock\n\n file src/lock.c\nfile app.c:7\n").unwrap();
        for (function, place) in [
            ("spin", "a.c:1"),
            ("lock::spin", "a.rs:1"),
            ("f", "src/lock.c:3"),
            ("f", "x/src/lock.c:9"),
            ("f", "app.c:7"),
        ] {
            assert!(rules.has(&caller(function, place)), "{function} {place}");
        }
        for (function, place) in [("spinner", "a.c:1"), ("f", "mysrc/lock.c:3"), ("f", "lock.c:3"), ("f", "app.c:70")] {
            assert!(!rules.has(&caller(function, place)), "{function} {place}");
        }
        assert!(!Suppressed::default().has(&caller("spin", "app.c:7")));
    }

    #[test]
    fn what_is_not_understood_is_told() {
        let (line, why) = Suppressed::parse("function f\nline 7").unwrap_err();
        assert_eq!((line, why.contains("function NAME") && why.contains("line 7")), (2, true));
        assert!(Suppressed::parse("function").is_err());
    }
}
