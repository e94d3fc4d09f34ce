//! Binary search that starts at a guess. Pure.

/// Returns how many of `0..len` come first for which `first` is true. If that is near the guess, few are asked, and all
/// of them are near. It ends whatever the answers are, with a number of at most `len`.
pub(super) fn partition_near(len: usize, guess: usize, first: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high, mut width) = (guess.min(len), guess.min(len), WIDTH);
    // Everything below `low` is first, nothing from `high` on.
    while low > 0 && !first(low - 1) {
        high = low - 1;
        low = high.saturating_sub(width);
        width *= 2;
    }
    while high < len && first(high) {
        low = high + 1;
        high = (low + width).min(len);
        width *= 2;
    }
    while low < high {
        let middle = low.midpoint(high);
        if first(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// The first stretch that is asked for.
const WIDTH: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_guess_finds_the_place_that_a_slow_search_finds() {
        for len in 0..70 {
            for guess in 0..len + 3 {
                for place in 0..=len {
                    assert_eq!(partition_near(len, guess, |at| at < place), place);
                }
            }
        }
    }

    #[test]
    fn answers_that_contradict_each_other_end_the_search_too() {
        for seed in 0..2000_usize {
            let answer = |at: usize| (at * 7 + seed * 13) % 11 > seed % 11;
            assert!(partition_near(100, seed % 100, answer) <= 100);
        }
    }
}
