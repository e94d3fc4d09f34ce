//! What one record of the input is: the data of a leaf, or a leaf.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use duramen::{Hash, Hasher};
use serde::Deserialize;

use crate::args::InputKind;
use crate::ended::{InputError, MAX_RECORD, Unit};
use crate::hex;
use crate::lines::Limit;

/// A record of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record<'a> {
    /// The data of a leaf.
    Data(Cow<'a, [u8]>),
    /// A leaf without its data.
    Leaf(Hash),
}

/// Reads records of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Decoder {
    pub(crate) kind: InputKind,
    /// Whether a carriage return before the newline is left out.
    pub(crate) strip_cr: bool,
    /// The longest entry of the tree, if it keeps entries.
    pub(crate) longest: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryJson<'a> {
    /// Where the entry stood in another tree.
    #[serde(rename = "index")]
    _index: Option<u64>,
    #[serde(borrow)]
    leaf: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entry: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entry_hex: Option<Cow<'a, str>>,
}

impl Decoder {
    /// What the input is cut into.
    pub(crate) fn unit(self) -> Unit {
        if self.kind == InputKind::Nul { Unit::Record } else { Unit::Line }
    }

    /// How long the text of a record may be.
    pub(crate) fn longest_text(self) -> Limit {
        let most = self.longest.map_or(MAX_RECORD, |longest| longest as usize);
        match (self.kind, self.longest) {
            // A carriage return that is left out is no part of the entry.
            (InputKind::Lines, Some(longest)) if self.strip_cr => {
                Limit::Entry(longest.saturating_add(1))
            }
            (InputKind::Lines | InputKind::Nul, Some(longest)) => Limit::Entry(longest),
            (InputKind::Base64, _) => Limit::Bytes(most.div_ceil(3) * 4 + 1),
            // Every byte may be an escape sequence of six.
            (InputKind::Jsonl, _) => Limit::Bytes(most * 6 + 1024),
            _ => Limit::Bytes(MAX_RECORD),
        }
    }

    /// Reads the record of this number.
    pub(crate) fn decode<'a>(
        self,
        hasher: &dyn Hasher,
        number: u64,
        text: &'a [u8],
    ) -> Result<Record<'a>, InputError> {
        let record = match self.kind {
            InputKind::Lines if self.strip_cr => Record::Data(Cow::Borrowed(without_cr(text))),
            InputKind::Lines | InputKind::Nul => Record::Data(Cow::Borrowed(text)),
            InputKind::Hex => Record::Leaf(hex_leaf(text, number)?),
            InputKind::Base64 => {
                let wrong = |why: base64::DecodeError| why.to_string();
                let data = STANDARD.decode(without_cr(text)).map_err(wrong);
                let data = data.map_err(|why| InputError::NotBase64 { line: number, why })?;
                Record::Data(Cow::Owned(data))
            }
            InputKind::Jsonl => {
                json(hasher, text).map_err(|why| InputError::NotJson { line: number, why })?
            }
            InputKind::Raw => return Err(InputError::NoEntry { line: number }),
        };
        match (&record, self.longest) {
            (Record::Leaf(_), Some(_)) => Err(InputError::NoEntry { line: number }),
            (Record::Leaf(_), None) => Ok(record),
            (Record::Data(data), longest) => {
                let limit = longest.map_or(Limit::Bytes(MAX_RECORD), Limit::Entry);
                limit.check(self.unit(), number, data.len(), true).map(|()| record)
            }
        }
    }
}

/// A line without the carriage return at its end.
fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// A line of hexadecimal digits; a carriage return before the newline is not part of it.
fn hex_leaf(text: &[u8], line: u64) -> Result<Hash, InputError> {
    let digits = without_cr(text);
    if let Some(at) = digits.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        let found = format!("'{}'", digits[at].escape_ascii());
        return Err(InputError::NotHexDigit { line, character: at + 1, found });
    }
    hex::decode(digits).ok_or(InputError::NotHexLength { line, length: digits.len() })
}

/// An entry, or a leaf, as `entries --format jsonl` prints it.
fn json<'a>(hasher: &dyn Hasher, text: &'a [u8]) -> Result<Record<'a>, String> {
    let read: EntryJson<'a> = serde_json::from_slice(text).map_err(|error| {
        let why = error.to_string();
        // The place in the text is that in one line.
        format!("{} at column {}", why.split(" at line ").next().unwrap_or(&why), error.column())
    })?;
    let leaf = read.leaf.map(|digits| {
        hex::decode(digits.as_bytes()).ok_or_else(|| "leaf is not 64 hexadecimal digits".to_owned())
    });
    let leaf = leaf.transpose()?;
    let data: Vec<u8> = match (read.entry, read.entry_hex, leaf) {
        (Some(_), Some(_), _) => return Err("both entry and entry_hex".to_owned()),
        (Some(entry), None, _) => entry.into_owned().into_bytes(),
        (None, Some(digits), _) => {
            const_hex::decode(digits.as_bytes()).map_err(|error| format!("entry_hex: {error}"))?
        }
        (None, None, Some(leaf)) => return Ok(Record::Leaf(leaf)),
        (None, None, None) => return Err("neither entry, entry_hex nor leaf".to_owned()),
    };
    match leaf {
        Some(leaf) if leaf != hasher.leaf(&data) => {
            Err(format!("the leaf is not that of the entry under {}", hasher.id()))
        }
        _ => Ok(Record::Data(Cow::Owned(data))),
    }
}

#[cfg(test)]
mod tests {
    use duramen::Blake3;

    use super::*;

    fn decode(kind: InputKind, longest: Option<u32>, text: &str) -> Result<Record<'_>, String> {
        let decoder = Decoder { kind, strip_cr: false, longest };
        decoder.decode(&Blake3, 3, text.as_bytes()).map_err(|error| error.to_string())
    }

    fn data(bytes: &[u8]) -> Record<'_> {
        Record::Data(Cow::Borrowed(bytes))
    }

    #[test]
    fn a_bad_hex_line_is_named() {
        let good = "0aF9".repeat(16);
        let leaf: Hash = hex::decode(good.as_bytes()).unwrap();
        for text in [good.clone(), format!("{good}\r")] {
            assert_eq!(decode(InputKind::Hex, None, &text), Ok(Record::Leaf(leaf)));
        }
        for (text, error) in [
            ("abc".to_owned(), "line 3 has 3 characters, a leaf has 64 hexadecimal digits"),
            (String::new(), "line 3 has 0 characters, a leaf has 64 hexadecimal digits"),
            (
                format!("{}g{good}", &good[..5]),
                "line 3 has 'g' at character 6, which is not a hexadecimal digit",
            ),
            (
                format!("0x{}", &good[2..]),
                "line 3 has 'x' at character 2, which is not a hexadecimal digit",
            ),
        ] {
            assert_eq!(decode(InputKind::Hex, None, &text), Err(error.to_owned()));
        }
    }

    #[test]
    fn base64_has_one_spelling() {
        for (text, want) in [("", &b""[..]), ("AAEC/w==", &[0, 1, 2, 255]), ("Zm9v\r", b"foo")] {
            assert_eq!(decode(InputKind::Base64, Some(4), text), Ok(data(want)));
        }
        for bad in ["Z", "Zm9", "Zm9v ", "Zm9v\r\r", "_-__", "Zh=="] {
            let error = decode(InputKind::Base64, None, bad).unwrap_err();
            assert!(error.starts_with("line 3 is not base64: "), "{error}");
        }
        let error = decode(InputKind::Base64, Some(3), "AAEC/w==").unwrap_err();
        assert_eq!(error, "line 3 has 4 bytes, an entry of the tree has at most 3");
    }

    #[test]
    fn a_line_of_json_is_an_entry_or_a_leaf() {
        let leaf = hex::encode(&Blake3.leaf(b"x"));
        for text in [
            r#"{"entry":"x"}"#.to_owned(),
            r#"{"entry_hex":"78"}"#.to_owned(),
            format!(r#" {{"index":7,"leaf":"{leaf}","entry":"\u0078"}} "#),
        ] {
            assert_eq!(decode(InputKind::Jsonl, Some(1), &text), Ok(data(b"x")), "{text}");
        }
        let alone = format!(r#"{{"leaf":"{leaf}"}}"#);
        let read = Record::Leaf(Blake3.leaf(b"x"));
        assert_eq!(decode(InputKind::Jsonl, None, &alone), Ok(read));
        let error = decode(InputKind::Jsonl, Some(1), &alone).unwrap_err();
        assert_eq!(error, "line 3 has a leaf without its entry, which the tree keeps");
        for (bad, why) in [
            ("{}", "neither entry, entry_hex nor leaf"),
            (r#"{"entry":"x","entry_hex":"78"}"#, "both entry and entry_hex"),
            (r#"{"entry_hex":"7"}"#, "entry_hex: "),
            (r#"{"entry":"x"} x"#, "trailing characters at column 15"),
            (r#"{"entry":"x","erased":"now"}"#, "unknown field `erased`"),
            (r#"{"leaf":"00"}"#, "leaf is not 64 hexadecimal digits"),
            (&format!(r#"{{"leaf":"{}","entry":"x"}}"#, "0".repeat(64)), "the leaf is not that of"),
            ("", "EOF while parsing"),
        ] {
            let error = decode(InputKind::Jsonl, None, bad).unwrap_err();
            assert!(
                error.starts_with(&format!("line 3 is not an entry in JSON: {why}")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_carriage_return_counts_only_where_it_is_part_of_the_entry() {
        let decoder = Decoder { kind: InputKind::Lines, strip_cr: true, longest: Some(2) };
        assert!(matches!(decoder.longest_text(), Limit::Entry(3)));
        let decode = |text: &'static str| decoder.decode(&Blake3, 1, text.as_bytes());
        assert_eq!(decode("ab\r"), Ok(data(b"ab")));
        assert_eq!(decode("a\r\r"), Ok(data(b"a\r")));
        assert!(matches!(decode("abc"), Err(InputError::LongEntry { length: 3, most: 2, .. })));
    }
}
