//! A command written as one text, taken apart into words the way Compose does: no shell, only quotes and backslashes.

/// The words of a command, and what only a shell would understand in it.
#[derive(Debug, PartialEq, Eq)]
pub struct Words {
    pub words: Vec<String>,
    /// The first `&`, `|`, `;`, `<` or `>` outside quotes. The program gets it as it is.
    pub operator: Option<char>,
}

/// Takes a command apart; an error says what stands in the way.
pub fn split(text: &str) -> Result<Words, String> {
    let mut words = Vec::new();
    let mut operator = None;
    let mut word: Option<String> = None;
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            ' ' | '\t' | '\n' | '\r' => words.extend(word.take()),
            '\'' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('\'') => break,
                        Some(c) => word.push(c),
                        None => return Err("a `'` is not closed".to_owned()),
                    }
                }
            }
            '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match chars.next() {
                        Some('"') => break,
                        Some('\\') => match chars.next() {
                            Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                            Some('\n') => {}
                            Some(c) => word.extend(['\\', c]),
                            None => return Err("a `\"` is not closed".to_owned()),
                        },
                        Some(c) => word.push(c),
                        None => return Err("a `\"` is not closed".to_owned()),
                    }
                }
            }
            '\\' => match chars.next() {
                Some('\n') => {}
                Some(c) => word.get_or_insert_default().push(c),
                None => return Err("a `\\` at the end".to_owned()),
            },
            c => {
                if matches!(c, '&' | '|' | ';' | '<' | '>') {
                    operator = operator.or(Some(c));
                }
                word.get_or_insert_default().push(c);
            }
        }
    }
    words.extend(word);
    Ok(Words { words, operator })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_quotes() {
        for (text, expected) in [
            ("redis-server --save 20 1", vec!["redis-server", "--save", "20", "1"]),
            ("sh -c \"a && b\" 'c d'e", vec!["sh", "-c", "a && b", "c de"]),
            ("a\\ b \"\\\"\\n\" ''", vec!["a b", "\"\\n", ""]),
            ("  ", vec![]),
        ] {
            let words = expected.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(split(text), Ok(Words { words, operator: None }));
        }
        assert_eq!(split("cd /a && b").map(|split| (split.words.len(), split.operator)), Ok((4, Some('&'))));
        for text in ["'a", "\"a", "a\\"] {
            assert!(split(text).is_err(), "{text}");
        }
    }
}
