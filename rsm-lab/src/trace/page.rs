//! A trace as one page that needs nothing else: lanes of nodes over time. What is drawn is `page.html`; here are the columns of
//! numbers that it reads, one for each field, which compress well.

use super::story::{Story, What};
use rsm_core::Code;
use rsm_core::lens::event::Kind;
use rsm_core::lens::fault::FAULTS;
use rsm_core::lens::inject;
use std::collections::HashMap;
use std::fmt::Write;

const TEMPLATE: &str = include_str!("page.html");

/// What is no call has these numbers, after those of the calls.
const LEFT: u64 = Kind::ALL.len() as u64;
const ENDED: u64 = LEFT + 1;
const MISSING: u64 = LEFT + 2;

/// Seven bits to a byte, the lowest first.
fn put(to: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for at in 0..4 {
            let digit = DIGITS[(word >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= three.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

/// A word of JSON in a page.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' | '\\' | '<' | '>' | '&' | '\0'..'\u{20}' | '\u{7f}'.. => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    _ = write!(quoted, "\\u{unit:04x}");
                }
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

fn list(words: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", words.into_iter().collect::<Vec<_>>().join(","))
}

/// The page.
pub fn page(story: &Story) -> String {
    let mut segments: Vec<(u32, u32)> = Vec::new();
    let mut numbers: HashMap<(u32, u32), u64> = HashMap::new();
    let mut columns: [Vec<u8>; 10] = Default::default();
    let mut last = 0;
    for (index, happening) in story.happenings.iter().enumerate() {
        let (at, took) = (happening.at - last, happening.took);
        last = happening.at;
        let rest = match &happening.what {
            What::Call(call) => {
                let segment = call.id.map_or(0, |id| {
                    *numbers.entry((call.node, id)).or_insert_with(|| {
                        segments.push((call.node, id));
                        segments.len() as u64
                    })
                });
                // From a wait to its signal, which may have come before it began or later; from a put to the end of its span.
                let other = call.from.or(call.close).filter(|other| *other != index);
                let from = other.map_or(0, |other| (other.abs_diff(index) as u64) << 1 | u64::from(other > index));
                [
                    call.kind as u64,
                    segment,
                    call.offset,
                    call.length,
                    u64::from(call.code),
                    from,
                    u64::from(call.in_span) | u64::from(call.thread) << 1,
                ]
            }
            What::Left => [LEFT, 0, 0, 0, 0, 0, 0],
            What::Ended(signal, code) => [ENDED, 0, u64::from(*signal), u64::from(*code), 0, 0, 0],
            What::Missing(lost, torn) => [MISSING, 0, *lost, *torn, 0, 0, 0],
        };
        let row = [at, took, happening.process as u64].into_iter().chain(rest);
        columns.iter_mut().zip(row).for_each(|(column, value)| put(column, value));
    }
    let data = base64(&miniz_oxide::deflate::compress_to_vec_zlib(&columns.concat(), 6));
    let missing: u64 = story.processes.iter().map(|process| process.lost + process.torn).sum();
    let errors: Vec<String> =
        (0..64).map(|number| quoted(Code::from_number(number).filter(|_| number > 0).map_or("", Code::name))).collect();
    let head = format!(
        "{{\"name\":{},\"nodes\":{},\"count\":{},\"missing\":{missing},\"late\":{},\"wrong\":{},\"kinds\":{},\"faults\":{},\"calls\":{},\"errors\":{},\"processes\":{},\"segments\":{}}}",
        quoted(&story.beginning.name),
        story.beginning.nodes,
        story.happenings.len(),
        quoted(&super::text::beginning(story).unwrap_or_default()),
        quoted(story.wrong.as_deref().unwrap_or_default()),
        list(Kind::ALL.into_iter().map(|(name, _)| quoted(name))),
        list(FAULTS.iter().map(|row| quoted(row.name))),
        list(inject::Call::ALL.into_iter().map(|(_, told)| quoted(told))),
        list(errors),
        list(
            story
                .processes
                .iter()
                .map(|process| { format!("[{},{},{}]", process.node, process.pid, u8::from(process.has_threads())) })
        ),
        list(segments.into_iter().map(|(node, id)| quoted(&super::text::segment(node, id)))),
    );
    TEMPLATE.replacen("@HEAD@", &head, 1).replacen("@DATA@", &data, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_digits() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn words_cannot_end_the_script_that_they_are_in() {
        assert_eq!(quoted("a\"</script>\n\u{1f600}"), "\"a\\u0022\\u003c/script\\u003e\\u000a\\ud83d\\ude00\"");
    }

    #[test]
    fn numbers_are_short() {
        let mut bytes = Vec::new();
        [0, 127, 128, 1 << 20].into_iter().for_each(|value| put(&mut bytes, value));
        assert_eq!(bytes, [0, 127, 128, 1, 128, 128, 64]);
    }
}
