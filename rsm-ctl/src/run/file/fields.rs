//! Takes a table of a cluster file apart, key by key.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source::Source;
use crate::failure::Failure;

/// A value and where it stands.
pub(crate) type Value<'a> = Spanned<DeValue<'a>>;

/// A table whose keys are all known.
pub(crate) struct Fields<'a> {
    source: &'a Source,
    table: &'a DeTable<'a>,
    place: Range<usize>,
}

impl<'a> Fields<'a> {
    /// Refuses a key that is not among `known`.
    pub(crate) fn new(
        source: &'a Source,
        table: &'a DeTable<'a>,
        place: Range<usize>,
        known: &[&str],
    ) -> Result<Fields<'a>, Failure> {
        // The first in the file, not the first by name.
        let mut keys: Vec<_> = table.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let name = key.get_ref().as_ref();
            if !known.contains(&name) {
                let then = match nearest(name, known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("there are: {}", known.join(", ")),
                };
                return Err(source.complain(key.span(), &format!("there is no key {name:?} here; {then}")));
            }
        }
        Ok(Fields { source, table, place })
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value<'a>> {
        self.table.iter().find(|(name, _)| name.get_ref().as_ref() == key).map(|(_, value)| value)
    }

    /// The value of a key, taken by `take`.
    pub(crate) fn take<T>(
        &self,
        key: &str,
        take: impl FnOnce(&Source, &'a Value<'a>) -> Result<T, Failure>,
    ) -> Result<Option<T>, Failure> {
        self.get(key).map(|value| take(self.source, value)).transpose()
    }

    /// A key that must be there.
    pub(crate) fn require(&self, key: &str, example: &str) -> Result<&'a Value<'a>, Failure> {
        let missing = || self.source.complain(self.place.clone(), &format!("{key:?} is missing here: {example}"));
        self.get(key).ok_or_else(missing)
    }
}

/// Text, read further by `parse`.
pub(crate) fn parsed<T>(
    parse: impl Fn(&str) -> Result<T, String>,
) -> impl FnOnce(&Source, &Value<'_>) -> Result<T, Failure> {
    move |source, value| parse(text(source, value)?).map_err(|why| source.complain(value.span(), &why))
}

pub(crate) fn text<'v>(source: &Source, value: &'v Value<'_>) -> Result<&'v str, Failure> {
    value.get_ref().as_str().ok_or_else(|| wrong(source, value, "text in quotes"))
}

pub(crate) fn truth(source: &Source, value: &Value<'_>) -> Result<bool, Failure> {
    value.get_ref().as_bool().ok_or_else(|| wrong(source, value, "true or false"))
}

/// A whole number within bounds.
pub(crate) fn number(source: &Source, value: &Value<'_>, least: u32, most: u32) -> Result<u32, Failure> {
    let DeValue::Integer(integer) = value.get_ref() else {
        return Err(wrong(source, value, &format!("a number, {least} to {most}")));
    };
    let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| source.complain(value.span(), &format!("{integer} is not possible here: {least} to {most}")))
}

pub(crate) fn list<'v, 'a>(source: &Source, value: &'v Value<'a>, what: &str) -> Result<&'v [Value<'a>], Failure> {
    value.get_ref().as_array().map(|array| &array[..]).ok_or_else(|| wrong(source, value, what))
}

pub(crate) fn table<'v, 'a>(source: &Source, value: &'v Value<'a>, what: &str) -> Result<&'v DeTable<'a>, Failure> {
    value.get_ref().as_table().ok_or_else(|| wrong(source, value, what))
}

/// The complaint about a value of the wrong kind.
pub(crate) fn wrong(source: &Source, value: &Value<'_>, wanted: &str) -> Failure {
    let is = match value.get_ref() {
        DeValue::String(_) => "text",
        DeValue::Integer(_) => "a whole number",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date or time",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    source.complain(value.span(), &format!("this is {is}; write {wanted}"))
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let distance = |key: &str| strsim::damerau_levenshtein(&name.to_lowercase().replace('_', "-"), key);
    let near = known.iter().map(|&key| (distance(key), key)).min()?;
    (near.0 <= 2 && near.0 < near.1.len()).then_some(near.1)
}
