//! The text of a policy.

use alloc::vec::Vec;

use super::Policy;
use super::build::Builder;
use super::error::{PolicyError, PolicyErrorKind as Kind};
use crate::tlog::error::TlogError;
use crate::tlog::key::AnyVerifier;

impl Policy {
    /// Reads the text of a policy.
    ///
    /// # Errors
    ///
    /// [`PolicyError`] with the first line that is wrong.
    pub fn read(text: &[u8]) -> Result<Self, PolicyError> {
        let at = |line| move |kind| PolicyError { line, kind };
        if text.len() > Self::MAX_BYTES {
            let kind = Kind::TooLong { most: Self::MAX_BYTES, found: text.len() };
            return Err(PolicyError { line: 1, kind });
        }
        let mut builder = Builder::default();
        let mut lines = 0;
        // Every line has its newline, unless the last one lacks it.
        for line in text.split_inclusive(|byte| *byte == b'\n') {
            lines += 1;
            read_line(&mut builder, line).map_err(at(lines))?;
        }
        builder.finish().map_err(at(lines + 1))
    }
}

fn read_line(builder: &mut Builder, line: &[u8]) -> Result<(), Kind> {
    let line = line.strip_suffix(b"\n").ok_or(Kind::NoFinalNewline)?;
    let is_control = |byte: &u8| *byte < b' ' && *byte != b'\t' || *byte == 0x7f;
    if let Some(found) = line.iter().copied().find(is_control) {
        return Err(Kind::ControlCharacter { found });
    }
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let words: Vec<&[u8]> = line.split(is_space).filter(|word| !word.is_empty()).collect();
    let url = |url: &[&[u8]]| url.first().map(|url| url.to_vec());
    match words.as_slice() {
        [] => Ok(()),
        [first, ..] if first.starts_with(b"#") => Ok(()),
        [b"log", key, rest @ ..] if rest.len() <= 1 => builder.log(read_key(key)?, url(rest)),
        [b"log", ..] => Err(Kind::Form { form: "log VKEY [URL]" }),
        [b"witness", name, key, rest @ ..] if rest.len() <= 1 => {
            builder.witness(name, read_key(key)?, url(rest))
        }
        [b"witness", ..] => Err(Kind::Form { form: "witness NAME VKEY [URL]" }),
        [b"group", name, threshold, members @ ..] if !members.is_empty() => {
            builder.group(name, threshold, members)
        }
        [b"group", ..] => Err(Kind::Form { form: "group NAME all|any|NUMBER NAME.." }),
        [b"quorum", name] => builder.quorum(name),
        [b"quorum", ..] => Err(Kind::Form { form: "quorum NAME|none" }),
        [word, ..] => Err(Kind::UnknownWord { word: super::shown(word) }),
    }
}

fn read_key(text: &[u8]) -> Result<AnyVerifier, Kind> {
    // Names of keys are UTF-8, whatever the rest of the file is.
    let text =
        core::str::from_utf8(text).map_err(|_| TlogError::KeyText { form: "NAME+ID+BASE64" });
    text.and_then(str::parse).map_err(Kind::Key)
}
