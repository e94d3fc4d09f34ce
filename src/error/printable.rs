//! File names in messages and listings.

use std::ffi::OsStr;
use std::fmt;

/// A file name or path as it may be printed: whatever the name is, it stays in its line and steers no
/// terminal, and two different names look different.
///
/// A name of printable characters is printed as it is. Any other is printed in quotes, with `\n`,
/// `\u{1b}` and the like for what is not printable, `\xff` for bytes that are not UTF-8, and a backslash
/// before quotes and backslashes. A name that contains a quote or a backslash is quoted too.
///
/// ```
/// use duramen::inspect::Printable;
///
/// assert_eq!(Printable::new("parts/00000001.part").to_string(), "parts/00000001.part");
/// assert_eq!(Printable::new("a\nb").to_string(), r#""a\nb""#);
/// ```
#[derive(Clone, Copy)]
pub struct Printable<'a>(&'a OsStr);

impl<'a> Printable<'a> {
    /// Shows this name, or path.
    #[must_use]
    pub fn new(name: &'a (impl AsRef<OsStr> + ?Sized)) -> Self {
        Self(name.as_ref())
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted = format!("{:?}", self.0);
        let inner = quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        match self.0.to_str() {
            Some(name) if inner == Some(name) => f.write_str(name),
            _ => f.write_str(&quoted),
        }
    }
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
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
