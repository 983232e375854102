//! Shell-like expansions in conditions: `$name`, `${name…}` and templates in double quotes.
//!
//! They look like those of the pipeline's own interpolation but are not the same: names may begin with `_`, there
//! are `+`, `:+` and `:?`, and substrings count characters.

/// How deep expansions may contain expansions.
const MAX_DEPTH: usize = 32;

/// A value that was looked up: `None` when the variable is not set.
type Found = Option<String>;

/// Evaluates one expansion, such as `$name` or `${name:-default}`.
///
/// # Errors
/// A message when the expansion is malformed or demands a variable that is not set.
pub(super) fn expand(written: &str, env: &dyn Fn(&str) -> Found) -> Result<Found, String> {
    let Some(inner) = written.strip_prefix("${").and_then(|inner| inner.strip_suffix('}')) else {
        let plain = written.strip_prefix('$').unwrap_or_default();
        let (name, rest) = split_name(plain).ok_or_else(|| malformed(written))?;
        return Ok(match env(name) {
            value if rest.is_empty() => value,
            value => Some(value.unwrap_or_default() + rest),
        });
    };
    let (name, rest) = split_name(inner).ok_or_else(|| malformed(written))?;
    if rest.is_empty() {
        return Ok(env(name));
    }
    let (operator, unset_when_empty) = match rest.strip_prefix(':') {
        Some(operator) if operator.starts_with(['-', '+', '?']) => (operator, true),
        Some(range) => return substring(name, range, env),
        None => (rest, false),
    };
    let value = env(name).filter(|value| !unset_when_empty || !value.is_empty());
    let mut operator = operator.chars();
    match (operator.next(), value) {
        (Some('-' | '?'), Some(value)) => Ok(Some(value)),
        (Some('?'), None) => Err(format!("the variable `{name}` is not set")),
        (Some('+'), None) => Ok(Some(String::new())),
        (Some('-' | '+'), _) => template(operator.as_str(), env).map(Some),
        _ => Err(malformed(written)),
    }
}

/// Evaluates text with expansions, quotes and escapes.
///
/// # Errors
/// As [`expand`].
pub(super) fn template(text: &str, env: &dyn Fn(&str) -> Found) -> Result<String, String> {
    let mut out = Vec::new();
    let mut at = 0;
    let mut quoted = false;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => {
                quoted = !quoted;
                at += 1;
            }
            b'\'' if !quoted => {
                let (value, next) = single_quoted(text, at).ok_or("a string in the expansion has no end")?;
                out.extend(value.into_bytes());
                at = next;
            }
            b'\\' => {
                let (bytes, next) = escape(text, at)?;
                out.extend(bytes);
                at = next;
            }
            b'$' if text[at..].starts_with("$$") => {
                out.push(b'$');
                at += 2;
            }
            b'$' => {
                let end = expansion_end(text, at);
                match end {
                    Some(end) => out.extend(expand(&text[at..end], env)?.unwrap_or_default().into_bytes()),
                    None => out.push(b'$'),
                }
                at = end.unwrap_or(at + 1);
            }
            _ => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    if quoted { Err("a string in the expansion has no end".to_owned()) } else { Ok(lossy(out)) }
}

/// Whether text between double quotes has anything to expand.
pub(super) fn is_template(text: &str) -> bool {
    text.contains("$$") || has_expansion(text)
}

/// Whether text has an expansion whose value depends on variables.
pub(super) fn has_expansion(text: &str) -> bool {
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'$' if text[at..].starts_with("$$") => at += 2,
            b'$' if expansion_end(text, at).is_some() => return true,
            b'\\' => at = escape(text, at).map_or(at + 1, |(_, next)| next),
            _ => at += 1,
        }
    }
    false
}

/// Where the expansion ends that starts with the `$` at `start`; `None` when none starts there.
pub(super) fn expansion_end(text: &str, start: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let first = *bytes.get(start + 1)?;
    if is_name_start(first) {
        let length = bytes[start + 1..].iter().position(|byte| !is_name_part(*byte) && *byte != b'.');
        return Some(length.map_or(bytes.len(), |length| start + 1 + length));
    }
    if first != b'{' {
        return None;
    }
    let (mut at, mut depth) = (start + 2, 1);
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' | b'\'' => at = quoted_end(bytes, at)? - 1,
            b'$' if bytes.get(at + 1) == Some(&b'{') => {
                depth += 1;
                at += 1;
                if depth > MAX_DEPTH {
                    return None;
                }
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// A string in single quotes that starts at `start`, and where it ends. Only `\\` and `\'` are escapes in it.
pub(super) fn single_quoted(text: &str, start: usize) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text[start + 1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Some((value, start + 1 + at + 1)),
            '\\' => match characters.next()?.1 {
                escaped @ ('\\' | '\'') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

/// The bytes of the escape that starts with the backslash at `start`, and where it ends.
pub(super) fn escape(text: &str, start: usize) -> Result<(Vec<u8>, usize), String> {
    let character = text[start + 1..].chars().next().ok_or("a backslash stands at the end")?;
    let next = start + 1 + character.len_utf8();
    let byte = match character {
        'n' => b'\n',
        's' => b' ',
        'r' => b'\r',
        't' => b'\t',
        'v' => 0x0b,
        'f' => 0x0c,
        'b' => 0x08,
        'a' => 0x07,
        'e' => 0x1b,
        'x' => match text.get(next..next + 2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit())) {
            Some(digits) => return Ok((vec![u8::from_str_radix(digits, 16).unwrap_or_default()], next + 2)),
            None => b'x',
        },
        '0'..='7' => {
            let length = text[start + 1..].bytes().take(3).take_while(|digit| matches!(digit, b'0'..=b'7')).count();
            let digits = &text[start + 1..start + 1 + length];
            let value = u8::from_str_radix(digits, 8).map_err(|_| format!("the escape `\\{digits}` is too large"))?;
            return Ok((vec![value], start + 1 + length));
        }
        other => return Ok((other.to_string().into_bytes(), next)),
    };
    Ok((vec![byte], next))
}

/// Bytes as text; what is not text becomes replacement characters.
pub(super) fn lossy(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn substring(name: &str, range: &str, env: &dyn Fn(&str) -> Found) -> Result<Found, String> {
    let (offset, length) = match split_colon(range) {
        Some((offset, length)) => (offset, Some(length)),
        None => (range, None),
    };
    let offset = integer(offset, env)?;
    let Some(value) = env(name) else { return Ok(None) };
    let length = length.map(|length| integer(length, env)).transpose()?;
    let count = i64::try_from(value.chars().count()).unwrap_or(i64::MAX);
    let from = if offset < 0 { offset.saturating_add(count).max(0) } else { offset.min(count) };
    let to = match length {
        None => count,
        Some(length) if length < 0 => length.saturating_add(count),
        Some(length) => length.saturating_add(from).min(count),
    };
    let skip = usize::try_from(from).unwrap_or(0);
    let take = usize::try_from(to - from).unwrap_or(0);
    Ok(Some(value.chars().skip(skip).take(take).collect()))
}

/// Splits at the first colon that is not in quotes or in an expansion.
fn split_colon(range: &str) -> Option<(&str, &str)> {
    let bytes = range.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b':' => return Some((&range[..at], &range[at + 1..])),
            b'\\' => at += 1,
            b'"' | b'\'' => at = quoted_end(bytes, at).map_or(at, |end| end - 1),
            b'$' => at = expansion_end(range, at).map_or(at, |end| end - 1),
            _ => {}
        }
        at += 1;
    }
    None
}

fn integer(text: &str, env: &dyn Fn(&str) -> Found) -> Result<i64, String> {
    let value = template(text, env)?;
    let digits = value.trim();
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let legal = !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if legal { digits.parse().ok() } else { None };
    parsed.ok_or_else(|| format!("a substring needs an integer, found `{digits}`"))
}

fn quoted_end(bytes: &[u8], start: usize) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in bytes.iter().enumerate().skip(start + 1) {
        if *byte == bytes[start] && !escaped {
            return Some(at + 1);
        }
        escaped = *byte == b'\\' && !escaped;
    }
    None
}

fn split_name(text: &str) -> Option<(&str, &str)> {
    let length = text.bytes().position(|byte| !is_name_part(byte)).unwrap_or(text.len());
    text.bytes().next().is_some_and(is_name_start).then(|| text.split_at(length))
}

fn malformed(written: &str) -> String {
    format!("`{written}` is not an expansion")
}

fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn is_name_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
