//! The bytes of an anchor: lines of text, which an operator can read. Pure.
//!
//! ```text
//! duramen anchor v1
//! origin example.com/log
//! store 5e3d0c52-53a3-4a07-bb86-0a3a6c5e9f11
//! size 1000
//! root d9a0…  (64 hexadecimal digits)
//! sum 3c1f…  (SHA-256 of the lines above)
//! ```

use duramen::{TreeHead, TreeSize};
use ring::digest::{SHA256, digest};

use super::Anchored;
use crate::number::number;

const FIRST: &str = "duramen anchor v1";

/// The text of an anchor.
pub(super) fn write(anchored: &Anchored) -> String {
    let Anchored { origin, store, head } = anchored;
    let root = const_hex::encode(head.root);
    let body =
        format!("{FIRST}\norigin {origin}\nstore {store}\nsize {}\nroot {root}\n", head.size);
    format!("{body}sum {}\n", sum(&body))
}

/// Reads the text of an anchor. Returns what is wrong if it is not as [`write`] makes it.
pub(super) fn read(text: &str) -> Result<Anchored, String> {
    let body = text.rfind("sum ").map_or("", |at| &text[..at]);
    if format!("{body}sum {}\n", sum(body)) != text {
        return Err("its checksum is wrong".to_owned());
    }
    let mut lines = body.lines();
    let first = lines.next().unwrap_or_default();
    if first != FIRST {
        return Err(format!("its first line is {first:?}, expected {FIRST:?}"));
    }
    let mut field = |name: &str| {
        let line = lines.next().unwrap_or_default();
        let value = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or_else(|| format!("a line is {line:?}, expected {name:?} and a value"))
    };
    let origin = field("origin")?.to_owned();
    let store = field("store")?.to_owned();
    let size = field("size")?;
    let size = number(size).ok_or_else(|| format!("its size {size:?} is not a number"))?;
    let digits = field("root")?;
    let root = const_hex::decode_to_array(digits);
    let root = root.map_err(|_| format!("its root {digits:?} is not 64 hexadecimal digits"))?;
    let anchored = Anchored { origin, store, head: TreeHead { size: TreeSize(size), root } };
    match write(&anchored) == text {
        true => Ok(anchored),
        false => Err("it has more than the lines of an anchor".to_owned()),
    }
}

fn sum(body: &str) -> String {
    const_hex::encode(digest(&SHA256, body.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn anchored() -> Anchored {
        let head = TreeHead { size: TreeSize(1000), root: [0xab; 32] };
        Anchored { origin: "example.com/log".to_owned(), store: "0-1-2".to_owned(), head }
    }

    #[test]
    fn an_anchor_is_read_as_it_was_written() {
        assert_eq!(read(&write(&anchored())), Ok(anchored()));
    }

    #[test]
    fn any_changed_byte_is_refused() {
        let text = write(&anchored());
        for at in 0..text.len() {
            for change in [1, 2, 4] {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= change;
                if let Ok(changed) = String::from_utf8(bytes) {
                    assert!(read(&changed).is_err(), "byte {at}");
                }
            }
            assert!(read(&text[..at]).is_err(), "{at} bytes");
        }
        assert!(read(&format!("{text}x")).is_err());
    }
}
