//! The part of JSON Schema that `docs/schema` uses; a word that it does not know is an error of the schema.

use std::path::Path;

use serde_json::Value;

/// A schema of `docs/schema`.
pub(crate) struct Schema(Value);

impl Schema {
    pub(crate) fn of(name: &str) -> Schema {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../docs/schema/{name}.json"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        Schema(serde_json::from_str(&text).unwrap())
    }

    /// Sees that a value is as the schema says.
    pub(crate) fn check(&self, value: &Value) {
        self.fits(&self.0, value, "$").unwrap_or_else(|wrong| panic!("{wrong}\nin {value:#}"));
    }

    fn fits(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        for (word, rule) in schema.as_object().unwrap() {
            match &**word {
                "$schema" | "title" | "$defs" | "properties" => Ok(()),
                "$ref" => {
                    let name = rule.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
                    self.fits(&self.0["$defs"][name], value, place)
                }
                "type" => is_of(rule, value, place),
                "const" => (rule == value).then_some(()).ok_or_else(|| format!("{place} is not {rule}")),
                "enum" => {
                    let among = rule.as_array().unwrap().contains(value);
                    among.then_some(()).ok_or_else(|| format!("{place}: {value} is not among {rule}"))
                }
                "minimum" => {
                    let least = rule.as_f64().unwrap();
                    let is = value.as_f64().is_none_or(|number| number >= least);
                    is.then_some(()).ok_or_else(|| format!("{place}: {value} is below {rule}"))
                }
                // Of patterns only the one of times: a date, a T, a time, a Z.
                "pattern" => {
                    let text = value.as_str().unwrap_or_default();
                    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
                    (shape == "0000-00-00T00:00:00.000Z")
                        .then_some(())
                        .ok_or_else(|| format!("{place}: {value} is no time"))
                }
                "required" => {
                    let missing =
                        rule.as_array().unwrap().iter().find(|name| value.get(name.as_str().unwrap()).is_none());
                    missing.map_or(Ok(()), |name| Err(format!("{place} has no {name}")))
                }
                "additionalProperties" => self.rest(rule, schema, value, place),
                "items" => {
                    let mut items = value.as_array().into_iter().flatten().enumerate();
                    items.try_for_each(|(at, item)| self.fits(rule, item, &format!("{place}[{at}]")))
                }
                "allOf" => rule.as_array().unwrap().iter().try_for_each(|part| self.fits(part, value, place)),
                "anyOf" | "oneOf" => self.one_of(rule, value, place, word == "oneOf"),
                other => panic!("the schema says {other:?}, which is not understood here"),
            }?;
        }
        let properties = schema["properties"].as_object().into_iter().flatten();
        let mut there = properties.filter_map(|(name, rule)| Some((name, rule, value.get(name)?)));
        there.try_for_each(|(name, rule, value)| self.fits(rule, value, &format!("{place}.{name}")))
    }

    fn rest(&self, allowed: &Value, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let known = schema["properties"].as_object().unwrap();
        let strange = value.as_object().into_iter().flatten().find(|(name, _)| !known.contains_key(*name));
        match strange {
            Some((name, _)) if allowed == &Value::Bool(false) => {
                Err(format!("{place} has {name}, which is not in the schema"))
            }
            _ => Ok(()),
        }
    }

    fn one_of(&self, rules: &Value, value: &Value, place: &str, only_one: bool) -> Result<(), String> {
        let tried: Vec<Result<(), String>> =
            rules.as_array().unwrap().iter().map(|rule| self.fits(rule, value, place)).collect();
        match tried.iter().filter(|outcome| outcome.is_ok()).count() {
            0 => Err(format!("{place} fits nothing: {tried:#?}")),
            several if only_one && several > 1 => Err(format!("{place} fits {several} forms, not one")),
            _ => Ok(()),
        }
    }
}

fn is_of(rule: &Value, value: &Value, place: &str) -> Result<(), String> {
    let is = |name: &str| match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("the schema has a type {other:?}"),
    };
    let fits = match rule {
        Value::String(name) => is(name),
        Value::Array(names) => names.iter().any(|name| is(name.as_str().unwrap())),
        other => panic!("the schema has a type {other}"),
    };
    fits.then_some(()).ok_or_else(|| format!("{place}: {value} is no {rule}"))
}

#[test]
fn what_does_not_fit_is_noticed() {
    let fits = |name: &str, text: &str| {
        let schema = Schema::of(name);
        schema.fits(&schema.0, &serde_json::from_str(text).unwrap(), "$").is_ok()
    };
    let link = r#"{"controller":"shm0","from":1,"to":2,"state":"up","errors":0,"across":false}"#;
    assert!(fits("links", &format!(r#"{{"version":1,"links":[{link}]}}"#)));
    for wrong in [
        r#"{"links":[]}"#.to_owned(),
        r#"{"version":2,"links":[]}"#.to_owned(),
        r#"{"version":1,"links":{}}"#.to_owned(),
        r#"{"version":1,"links":[],"more":0}"#.to_owned(),
        format!(r#"{{"version":1,"links":[{}]}}"#, link.replace("up", "sideways")),
        format!(r#"{{"version":1,"links":[{}]}}"#, link.replace(":0,", ":-1,")),
        format!(r#"{{"version":1,"links":[{}]}}"#, link.replace("\"from\":1,", "")),
    ] {
        assert!(!fits("links", &wrong), "{wrong}");
    }
    assert!(fits("watch", r#"{"version":1,"event":"node_left","time":"2026-01-31T12:34:56.789Z","node":3}"#));
    assert!(!fits("watch", r#"{"version":1,"event":"node_left","time":"today","node":3}"#));
    let perf = |load: &str, cpus: &str| {
        let machine = r#""processor":"","processors":2,"kernel":"6.1","load_before":0.5,"busy_before":0,"warnings":[]"#;
        let text = r#"{"version":1,"machine":{MACHINE,"cpus":CPUS},"load_after":LOAD,"perf":[]}"#;
        fits("perf", &text.replace("MACHINE", machine).replace("CPUS", cpus).replace("LOAD", load))
    };
    assert!(perf("0.25", "[0,1]") && perf("1", "null"));
    assert!(!perf("-0.25", "[0,1]") && !perf("null", "[0,1]") && !perf("1", "[0.5,1]"));
}
