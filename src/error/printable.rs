//! File names in messages and listings.

use std::ffi::OsStr;
use std::fmt;

use crate::characters::is_printable;

/// A file name or path in a form that is safe to print. The text stays on one line and cannot control a
/// terminal. Two different names have different texts.
///
/// A name of [printable](crate::inspect::is_printable) characters is printed unchanged. Any other name
/// is printed in quotes. In quotes, unprintable characters become `\n`, `\u{1b}` and the like, bytes
/// that are not UTF-8 become `\xFF`, and quotes and backslashes get a backslash. A name that contains a
/// quote or a backslash, or that begins or ends with a space, is quoted too.
///
/// ```
/// use duramen::inspect::Printable;
///
/// assert_eq!(Printable::new("parts/00000001.part").to_string(), "parts/00000001.part");
/// assert_eq!(Printable::new("a\nb").to_string(), r#""a\nb""#);
/// assert_eq!(Printable::new("a\u{200b}b").to_string(), r#""a\u{200b}b""#);
/// ```
#[derive(Clone, Copy)]
pub struct Printable<'a>(&'a OsStr);

impl<'a> Printable<'a> {
    /// The printable form of this name or path.
    #[must_use]
    pub fn new(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(name.as_ref())
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.0.as_encoded_bytes();
        let inner = escaped(bytes);
        let spaces = bytes.starts_with(b" ") || bytes.ends_with(b" ");
        if inner.as_bytes() == bytes && !spaces {
            return f.write_str(&inner);
        }
        write!(f, "\"{inner}\"")
    }
}

/// The text of these bytes, with escape sequences for unprintable characters.
fn escaped(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            // A combining mark at the start would combine with the character printed before the name.
            let shows = if out.is_empty() {
                is_printable(character) && character.escape_debug().count() == 1
                    || character == '\''
            } else {
                is_printable(character)
            };
            match character {
                '"' | '\\' | '\t' | '\r' | '\n' => out.extend(character.escape_default()),
                _ if shows => out.push(character),
                _ => out.extend(character.escape_unicode()),
            }
        }
        for byte in chunk.invalid() {
            out.push_str(&format!("\\x{byte:02X}"));
        }
    }
    out
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", escaped(self.0.as_encoded_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn shown(bytes: &[u8]) -> String {
        Printable::new(OsStr::from_bytes(bytes)).to_string()
    }

    #[test]
    fn a_name_of_printable_characters_is_printed_as_it_is() {
        for name in ["", "LOCK", "a b", "it's", "/tmp/größe/日本", "-"] {
            assert_eq!(shown(name.as_bytes()), name);
        }
    }

    #[test]
    fn any_other_name_is_quoted() {
        for (name, text) in [
            (&b"x\nin force"[..], r#""x\nin force""#),
            (b"a\x1b[31mred\x1b]0;t\x07", r#""a\u{1b}[31mred\u{1b}]0;t\u{7}""#),
            (b"\xff", r#""\xFF""#),
            ("\u{fffd}".as_bytes(), "\u{fffd}"),
            ("a\u{202e}b\u{9b}".as_bytes(), r#""a\u{202e}b\u{9b}""#),
            ("a\u{200b}b".as_bytes(), r#""a\u{200b}b""#),
            ("\u{3164}\u{fe0f}".as_bytes(), r#""\u{3164}\u{fe0f}""#),
            ("\u{301}a\u{301}".as_bytes(), "\"\\u{301}a\u{301}\""),
            (b" a", r#"" a""#),
            (b"a ", r#""a ""#),
            (b"\xe2\x80", r#""\xE2\x80""#),
            (br#""quoted""#, r#""\"quoted\"""#),
            (br"a\nb", r#""a\\nb""#),
        ] {
            assert_eq!(shown(name), text);
        }
    }

    #[test]
    fn no_two_names_look_the_same() {
        let mut seen = std::collections::BTreeMap::new();
        let bytes = [b'a', b'"', b'\\', b'n', b'\n', 0xff, 0x1b, b' '];
        for a in bytes {
            for b in bytes {
                for c in bytes {
                    let name = vec![a, b, c];
                    if let Some(other) = seen.insert(shown(&name), name.clone()) {
                        panic!("{other:?} and {name:?} look the same");
                    }
                }
            }
        }
    }
}
