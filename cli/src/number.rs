//! Numbers as people write them: one spelling each.

/// Reads a number: decimal digits and nothing else, without a sign and without zeros in front.
pub(crate) fn number(text: &str) -> Result<u64, String> {
    plain(text)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("not a number".to_owned());
    }
    text.parse().map_err(|_| format!("a number is at most {}", u64::MAX))
}

/// As [`number`], and not 0.
pub(crate) fn positive(text: &str) -> Result<u64, String> {
    number(text).and_then(|number| match number {
        0 => Err("it has to be at least 1".to_owned()),
        number => Ok(number),
    })
}

/// Refuses what does not begin as a number does: a sign, a space, a zero before another digit.
fn plain(text: &str) -> Result<(), String> {
    match text.as_bytes() {
        [b'0', b'0'..=b'9', ..] => Err("a number has no leading zeros".to_owned()),
        [b'+' | b'-', b'0'..=b'9', ..] => Err("a number has no sign".to_owned()),
        [b'0'..=b'9', ..] => Ok(()),
        _ => Err("not a number".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_spelling() {
        for (text, value) in [("0", 0), ("7", 7), ("10", 10), ("18446744073709551615", u64::MAX)] {
            assert_eq!(number(text), Ok(value));
        }
        for bad in [
            "",
            "+5",
            "-5",
            "05",
            "00",
            "5 ",
            " 5",
            "5_0",
            "0x5",
            "5.",
            "1e3",
            "+",
            "٣",
            "18446744073709551616",
        ] {
            assert!(number(bad).is_err(), "{bad:?}");
        }
    }
}
