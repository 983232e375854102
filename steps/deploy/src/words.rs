//! Texts of others, made fit for a person to read.

/// A text from the service or a file for the log: no control characters, which could forge lines or colours, and no
/// characters that reverse the direction of writing.
pub fn clean(text: &str) -> String {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().fold(String::new(), |mut clean, c| {
        if hostile(c) {
            clean.extend(c.escape_default());
        } else {
            clean.push(c);
        }
        clean
    })
}

/// The candidate that was probably meant, when one is near enough.
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = candidates.into_iter().map(|candidate| (distance(word, candidate), candidate));
    let (distance, candidate) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance <= (word.len() / 3).max(1)).then_some(candidate)
}

/// Letters to insert, delete, replace or exchange with their neighbour, small and capital ones alike.
fn distance(one: &str, other: &str) -> usize {
    let one: Vec<char> = one.to_lowercase().chars().collect();
    let other: Vec<char> = other.to_lowercase().chars().collect();
    let mut rows: Vec<Vec<usize>> = vec![(0..=other.len()).collect()];
    for (i, a) in one.iter().enumerate() {
        let above = &rows[i];
        let mut row = vec![i + 1];
        for (j, b) in other.iter().enumerate() {
            let mut least = (above[j] + usize::from(a != b)).min(row[j] + 1).min(above[j + 1] + 1);
            if i > 0 && j > 0 && *a == other[j - 1] && one[i - 1] == *b {
                least = least.min(rows[i - 1][j - 1] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(clean("a\u{1b}[31m\nb\u{202e}c ä"), "a\\u{1b}[31m\\nb\\u{202e}c ä");
    }

    #[test]
    fn near_words_are_found_and_far_ones_are_not() {
        let candidates = ["ImageDigest", "Environment", "DomainName", "Name"];
        for (word, meant) in [
            ("ImageDigset", Some("ImageDigest")),
            ("imagedigest", Some("ImageDigest")),
            ("Enviroment", Some("Environment")),
            ("Colour", None),
            ("Nmae", Some("Name")),
            ("", None),
        ] {
            assert_eq!(closest(word, candidates), meant, "{word}");
        }
    }
}
