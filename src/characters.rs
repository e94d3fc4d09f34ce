//! Which characters show as themselves.

/// Whether a character shows as itself and does nothing to the text around it: it is no control
/// character, turns no direction of writing, is not invisible, and is no space but the ordinary one.
/// Marks that stand on the character before them show.
///
/// ```
/// use duramen::inspect::is_printable;
///
/// assert!(is_printable('ß') && is_printable(' '));
/// // Escape, right-to-left override, zero width space, Hangul filler.
/// assert!(!['\u{1b}', '\u{202e}', '\u{200b}', '\u{3164}'].into_iter().any(is_printable));
/// ```
#[must_use]
pub fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return !character.is_ascii_control();
    }
    if is_hidden(character) {
        return false;
    }
    // The character before makes no difference but to marks that stand on it.
    let mut text = [0; 8];
    text[0] = b'a';
    let len = character.encode_utf8(&mut text[1..]).len();
    str::from_utf8(&text[..=len]).is_ok_and(|text| text.escape_debug().count() == 2)
}

/// Whether a name of this project's own may have the character: whether it is no control character and not
/// hidden. The same characters for every version of Unicode, because such names stand in formats.
pub(crate) fn is_for_names(character: char) -> bool {
    !character.is_control() && !is_hidden(character)
}

/// Characters of no width, those that steer how others are shown, and those that look like a space or end a
/// line: the property `Default_Ignorable_Code_Point` of Unicode, in which the marks of direction are, other
/// format characters, and the blank Braille pattern.
const fn is_hidden(character: char) -> bool {
    matches!(
        character,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{2800}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_text_or_is_not_seen_does_not_show() {
        let hidden = "\u{0}\n\u{1b}\u{7f}\u{85}\u{9b}\u{a0}\u{ad}\u{34f}\u{61c}\u{115f}\u{180e}\u{200b}\
             \u{200d}\u{200e}\u{2028}\u{202a}\u{202e}\u{2060}\u{2066}\u{2069}\u{2800}\u{3000}\u{3164}\
             \u{fe0f}\u{feff}\u{ffa0}\u{fff9}\u{1d173}\u{e0001}\u{e000}";
        for character in hidden.chars() {
            assert!(!is_printable(character), "{character:?}");
        }
        for character in "a ~ß日ש٣é\u{301}🙂".chars() {
            assert!(is_printable(character) && is_for_names(character), "{character:?}");
        }
    }

    #[test]
    fn a_name_has_nothing_hidden_and_what_later_versions_of_unicode_add() {
        for character in "\n\u{9b}\u{ad}\u{200b}\u{2029}\u{202e}\u{3164}\u{fffb}\u{e0fff}".chars() {
            assert!(!is_for_names(character), "{character:?}");
        }
        // Not assigned yet.
        assert!(is_for_names('\u{1ffff}') && !is_printable('\u{1ffff}'));
    }
}
