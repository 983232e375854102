//! Regular expressions of conditions: what the format allows of them.

use fancy_regex::{Regex, RegexBuilder};

/// How many steps of backtracking a match may take.
const MAX_BACKTRACKING: usize = 1_000_000;
/// The largest compiled expression, in bytes.
const MAX_SIZE: usize = 1 << 20;

/// Compiles the text between the slashes. The only flag is `i`.
///
/// # Errors
/// A message: an unknown flag, a feature that conditions do not have, or a malformed expression.
pub(super) fn compile(pattern: &str, flags: &str) -> Result<Regex, String> {
    if let Some(flag) = flags.chars().find(|flag| *flag != 'i') {
        return Err(format!("unknown flag `{flag}` of the regular expression, expected `i` or none"));
    }
    if let Some(feature) = unsupported(pattern) {
        return Err(format!("conditions do not support {feature} in regular expressions"));
    }
    RegexBuilder::new(pattern)
        .case_insensitive(!flags.is_empty())
        .backtrack_limit(MAX_BACKTRACKING)
        .delegate_size_limit(MAX_SIZE)
        .build()
        .map_err(|error| format!("the regular expression is malformed: {error}"))
}

/// The first feature in a pattern that conditions do not have.
fn unsupported(pattern: &str) -> Option<&'static str> {
    const GROUPS: [(&str, &str); 8] = [
        ("(?#", ""),
        ("(?<=", "lookbehind"),
        ("(?<!", "lookbehind"),
        ("(?>", "atomic groups"),
        ("(?<", "named groups"),
        ("(?P<", "named groups"),
        ("(?'", "named groups"),
        ("(?(", "conditional groups"),
    ];
    let bytes = pattern.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' => at = class_end(bytes, at),
            b'(' => {
                let group = GROUPS.iter().find(|(prefix, _)| bytes[at..].starts_with(prefix.as_bytes()));
                match group {
                    Some((_, "")) => at += bytes[at..].iter().position(|byte| *byte == b')')?,
                    Some((_, feature)) => return Some(feature),
                    None => {}
                }
            }
            b'?' | b'*' | b'+' | b'}'
                if bytes.get(at + 1) == Some(&b'+') && (*byte != b'}' || closes_quantifier(bytes, at)) =>
            {
                return Some("possessive quantifiers");
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The place of the bracket that closes a class; the end when there is none.
fn class_end(pattern: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    // A bracket right at the start is a character.
    let mut first = true;
    while let Some(byte) = pattern.get(at) {
        match byte {
            b'\\' => at += 1,
            b'[' if matches!(pattern.get(at + 1), Some(b':' | b'.' | b'=')) => {
                let marker = pattern[at + 1];
                let end = pattern[at + 2..].windows(2).position(|pair| pair == [marker, b']']);
                at += end.map_or(0, |end| end + 3);
            }
            b']' if !first => return at,
            _ => {}
        }
        first = false;
        at += 1;
    }
    pattern.len()
}

/// Whether the brace at `close` ends a quantifier such as `{2,3}`.
fn closes_quantifier(pattern: &[u8], close: usize) -> bool {
    let bounds = pattern[..close].iter().rposition(|byte| *byte == b'{').map(|open| &pattern[open + 1..close]);
    let digits = |part: &[u8]| part.iter().all(u8::is_ascii_digit);
    bounds.is_some_and(|bounds| {
        let (least, most) = bounds.split_at(bounds.iter().position(|byte| *byte == b',').unwrap_or(bounds.len()));
        !least.is_empty() && digits(least) && digits(most.get(1..).unwrap_or_default())
    })
}
