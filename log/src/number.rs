//! Numbers in texts: one spelling each.

use duramen::LeafIndex;

/// Reads a number as it is printed, and in no other form: without a sign, a space, or a zero in front.
pub(crate) fn number(text: &str) -> Option<u64> {
    text.parse().ok().map(LeafIndex::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_as_it_is_printed_and_in_no_other_form() {
        for value in [0, 5, 10, u64::MAX] {
            assert_eq!(number(&value.to_string()), Some(value));
        }
        for bad in ["", "+5", "-5", "05", "00", " 5", "5 ", "0x5", "18446744073709551616"] {
            assert_eq!(number(bad), None, "{bad:?}");
        }
    }
}
