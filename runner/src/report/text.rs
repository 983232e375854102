//! Text of others made fit for a terminal.

/// The text without anything that could move the cursor, change the window or hide other lines; colours stay.
pub(crate) fn printable(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(character) = rest.next() {
        match character {
            '\u{1b}' if rest.peek() == Some(&'[') => {
                rest.next();
                let mut sequence = String::from("\u{1b}[");
                while let Some(next) = rest.next_if(|next| ('\u{20}'..='\u{3f}').contains(next)) {
                    sequence.push(next);
                }
                if rest.next_if_eq(&'m').is_some() {
                    sequence.push('m');
                    clean.push_str(&sequence);
                } else {
                    rest.next();
                }
            }
            // An operating system command lasts to BEL or ST.
            '\u{1b}' if rest.peek() == Some(&']') => {
                while let Some(next) = rest.next() {
                    if next == '\u{7}' || next == '\u{1b}' && rest.next_if_eq(&'\\').is_some() {
                        break;
                    }
                }
            }
            '\t' => clean.push('\t'),
            control if control.is_control() => {}
            other => clean.push(other),
        }
    }
    clean
}

/// A label without emoji names such as `:docker:`.
pub(super) fn label(text: &str) -> String {
    let is_emoji = |word: &&str| word.len() > 2 && word.starts_with(':') && word.ends_with(':');
    let words: Vec<&str> = text.split_whitespace().filter(|word| !is_emoji(word)).collect();
    if words.is_empty() { printable(text) } else { printable(&words.join(" ")) }
}

/// A span of time as people say it.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_colours_survive() {
        assert_eq!(
            printable("a\u{1b}[31mred\u{1b}[0m\u{1b}[2Jb\rc\u{1b}]0;title\u{7}d\u{8}"),
            "a\u{1b}[31mred\u{1b}[0mbcd"
        );
        assert_eq!(printable("\u{1b}]8;;http://x\u{1b}\\link\t."), "link\t.");
        assert_eq!(label(":docker: Build and push"), "Build and push");
        assert_eq!(label(":rocket:"), ":rocket:");
    }

    #[test]
    fn durations_are_short() {
        assert_eq!(duration(7), "7 ms");
        assert_eq!(duration(12_340), "12.3 s");
        assert_eq!(duration(61_000), "1 min 1 s");
        assert_eq!(duration(3_700_000), "1 h 1 min");
    }
}
