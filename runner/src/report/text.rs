//! Text of others made fit for a terminal.

/// The text without anything that could move the cursor, change the window, or hide or turn around other text; colours
/// stay.
pub(crate) fn printable(text: &str) -> String {
    clean(text, true)
}

/// The text in one line without anything but characters: what stands beside other text.
pub(crate) fn plain(text: &str) -> String {
    clean(text, false).replace('\t', " ")
}

/// Characters that change the direction in which what follows is read.
const DIRECTIONS: [char; 9] =
    ['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}', '\u{2066}', '\u{2067}', '\u{2068}', '\u{2069}'];

fn clean(text: &str, colours: bool) -> String {
    // Most lines of most logs.
    if text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return text.to_owned();
    }
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
                    // Others than these ask the terminal for something, or change what its keys mean; 8 hides text.
                    let parameters = &sequence[2..];
                    let is_colour = parameters.chars().all(|one| one.is_ascii_digit() || matches!(one, ';' | ':'));
                    let hides = parameters.split([';', ':']).any(|one| one.trim_start_matches('0') == "8");
                    if colours && is_colour && !hides {
                        clean.push_str(&sequence);
                        clean.push('m');
                    }
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
            // A line break between words is a space.
            '\n' if !colours => clean.push(' '),
            control if control.is_control() || DIRECTIONS.contains(&control) => {}
            other => clean.push(other),
        }
    }
    clean
}

/// A label without emoji names such as `:docker:`.
pub(crate) fn label(text: &str) -> String {
    let is_emoji = |word: &&str| word.len() > 2 && word.starts_with(':') && word.ends_with(':');
    let words: Vec<&str> = text.split_whitespace().filter(|word| !is_emoji(word)).collect();
    if words.is_empty() { printable(text) } else { printable(&words.join(" ")) }
}

/// A span of time as people say it.
pub(crate) fn duration(milliseconds: u64) -> String {
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", milliseconds / 1000, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds % 60_000 / 1000),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds % 3_600_000 / 60_000),
    }
}

/// An amount of bytes as people say it.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match UNITS.iter().find(|(_, size)| bytes >= *size) {
        Some((unit, size)) => format!("{}.{} {unit}", bytes / size, bytes % size * 10 / size),
        None => format!("{bytes} B"),
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
        assert_eq!(printable("a\u{202e}b\u{2066}c"), "abc");
        assert_eq!(plain("a\u{1b}[31mred\u{1b}[0m\nb\tc\u{1b}[2J"), "ared b c");
        assert_eq!(printable("\u{1b}[>4;2ma\u{1b}[?4mb\u{1b}[8mc\u{1b}[38;5;8md\u{1b}[1;08me"), "abcde");
        assert_eq!(printable("\u{1b}[38;5;9m\u{1b}[48:2::1:2:3mx"), "\u{1b}[38;5;9m\u{1b}[48:2::1:2:3mx");
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

    #[test]
    fn amounts_of_bytes_are_short() {
        assert_eq!([bytes(0), bytes(1023), bytes(1024)], ["0 B", "1023 B", "1.0 KiB"]);
        assert_eq!(bytes((5 << 30) + (3 << 29)), "6.5 GiB");
        assert_eq!(bytes(u64::MAX), "16777215.9 TiB");
    }
}
