//! Files of variables, as `env_file` names them: `NAME=value` lines, comments, quotes, and variables in values.

use crate::compose::{Variables, interpolate, is_variable};

/// The variables of a file in its order. A name alone takes its value from `variables`, and is left out without one.
///
/// # Errors
/// The line (from 1), what is wrong with it and what to do.
pub fn parse(text: &str, variables: &Variables<'_>) -> Result<Vec<(String, String)>, (usize, String)> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let number = index + 1;
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").map_or(line, str::trim_start);
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        let name = name.trim_end();
        if !is_variable(name) {
            return Err((number, format!("`{}` is no name of a variable", name.escape_debug())));
        }
        let value = match value.map(str::trim_start) {
            None => variables(name),
            Some(value) if value.starts_with(['\'', '"']) => {
                let quote = if value.starts_with('"') { '"' } else { '\'' };
                let mut quoted = value[1..].to_owned();
                let content = loop {
                    if let Some(content) = closed(&quoted, quote) {
                        break content;
                    }
                    let Some((_, next)) = lines.next() else {
                        return Err((number, format!("a `{quote}` is not closed")));
                    };
                    quoted.push('\n');
                    quoted.push_str(next);
                };
                let (content, rest) = content;
                if !rest.trim_start().is_empty() && !rest.trim_start().starts_with('#') {
                    return Err((number, "there is text after the closing quote".to_owned()));
                }
                Some(if quote == '"' { completed(&content, &pairs, variables, number)? } else { content })
            }
            Some(value) => {
                let value = [" #", "\t#"]
                    .iter()
                    .filter_map(|comment| value.find(comment))
                    .min()
                    .map_or(value, |end| &value[..end]);
                Some(completed(value.trim_end(), &pairs, variables, number)?)
            }
        };
        pairs.retain(|(earlier, _)| earlier != name);
        pairs.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(pairs)
}

/// The content up to the closing quote, with escapes taken for what they mean, and the rest of the line.
fn closed(text: &str, quote: char) -> Option<(String, String)> {
    let mut content = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((content, text[at + 1..].to_owned())),
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => content.push('\n'),
                'r' => content.push('\r'),
                't' => content.push('\t'),
                c @ ('"' | '\\') => content.push(c),
                // Interpolation reads `$$` as a dollar sign.
                '$' => content.push_str("$$"),
                c => content.extend(['\\', c]),
            },
            c => content.push(c),
        }
    }
    None
}

fn completed(
    value: &str,
    pairs: &[(String, String)],
    variables: &Variables<'_>,
    number: usize,
) -> Result<String, (usize, String)> {
    let lookup = |name: &str| {
        variables(name).or_else(|| pairs.iter().find(|(earlier, _)| earlier == name).map(|(_, value)| value.clone()))
    };
    interpolate(value, &lookup).map_err(|fault| {
        let (_, message, remedy) = fault.explain();
        (number, format!("{message}; {remedy}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, (usize, String)> {
        let variables = |name: &str| (name == "GIVEN").then(|| "g".to_owned());
        let pairs = parse(text, &variables)?;
        Ok(pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("|"))
    }

    #[test]
    fn lines_comments_and_quotes() {
        let text = "# c\n\nA=1\nexport B = two words # c\nC='$A \\n'\nD=\"x\\n$A \\$A\" # c\n\
            E=${A}-${GIVEN}\nGIVEN\nUNSET\nF=a#b\nG=\nA=2";
        assert_eq!(read(text).as_deref(), Ok("B=two words|C=$A \\n|D=x\n1 $A|E=1-g|GIVEN=g|F=a#b|G=|A=2"));
        assert_eq!(read("A=\"1\n2\"\nB=3").as_deref(), Ok("A=1\n2|B=3"));
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(read("A=1\nB='x").unwrap_err().0, 2);
        assert_eq!(read("{\"auths\": {}}").unwrap_err().0, 1);
        assert_eq!(read("A='x' y").unwrap_err().0, 1);
        assert!(read("A=$NONE").unwrap_err().1.contains("`NONE` has no value"));
    }
}
