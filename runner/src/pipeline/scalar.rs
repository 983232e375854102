//! Which scalar is a number, a boolean, a date or text: the rules of `yaml.v3`, and the text forms of Go.
//!
//! They differ from YAML 1.2: `0777` is octal, `1_000` is a number, an unquoted date is not a string, and only
//! the spellings of `true` and `false` are booleans.

use super::node::NodeKind;
use super::timestamp;

/// A tag written before a scalar, as far as it changes how the scalar is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// `!!str`
    Str,
    /// `!!bool`
    Bool,
    /// `!!int`
    Int,
    /// `!!float`
    Float,
    /// `!!null`
    Null,
    /// `!!timestamp`
    Timestamp,
    /// `!!binary`
    Binary,
    /// Any other tag: the scalar stays text.
    Other,
}

impl Tag {
    /// The tag with this name in the `tag:yaml.org,2002:` namespace.
    pub fn core(name: &str) -> Self {
        match name {
            "str" => Self::Str,
            "bool" => Self::Bool,
            "int" => Self::Int,
            "float" => Self::Float,
            "null" => Self::Null,
            "timestamp" => Self::Timestamp,
            "binary" => Self::Binary,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Str => "!!str",
            Self::Bool => "!!bool",
            Self::Int => "!!int",
            Self::Float => "!!float",
            Self::Null => "!!null",
            Self::Timestamp => "!!timestamp",
            Self::Binary => "!!binary",
            Self::Other => "!",
        }
    }
}

/// Resolves a scalar; `None` when it is its own text. `plain` is whether it was written without quotes and not as a
/// block.
///
/// # Errors
/// A message when the text does not fit its tag.
pub fn resolve(text: &str, plain: bool, tag: Option<Tag>) -> Result<Option<NodeKind>, String> {
    let (tag, resolved) = match tag {
        None if plain => return Ok(untagged(text, true)),
        None | Some(Tag::Str | Tag::Other) => return Ok(None),
        Some(Tag::Binary) => return binary(text).map(|text| Some(NodeKind::String(text))),
        Some(tag) => (tag, untagged(text, tag == Tag::Timestamp)),
    };
    match (tag, resolved) {
        (Tag::Bool, Some(kind @ NodeKind::Bool(_)))
        | (Tag::Int, Some(kind @ (NodeKind::Int(_) | NodeKind::UInt(_))))
        | (Tag::Float, Some(kind @ NodeKind::Float(_)))
        | (Tag::Null, Some(kind @ NodeKind::Null))
        | (Tag::Timestamp, Some(kind @ NodeKind::Timestamp(_))) => Ok(Some(kind)),
        #[expect(clippy::cast_precision_loss, reason = "the conversion the tag asks for")]
        (Tag::Float, Some(NodeKind::Int(value))) => Ok(Some(NodeKind::Float(value as f64))),
        _ => Err(format!("`{text}` does not fit its tag `{}`", tag.name())),
    }
}

/// What an unquoted scalar is, unless it is text.
fn untagged(text: &str, dates: bool) -> Option<NodeKind> {
    let kind = match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeKind::Null,
        "true" | "True" | "TRUE" => NodeKind::Bool(true),
        "false" | "False" | "FALSE" => NodeKind::Bool(false),
        ".nan" | ".NaN" | ".NAN" => NodeKind::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => NodeKind::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => NodeKind::Float(f64::NEG_INFINITY),
        _ => return number(text, dates),
    };
    Some(kind)
}

fn number(text: &str, dates: bool) -> Option<NodeKind> {
    match text.as_bytes().first()? {
        b'.' => float(&without_separators(text)?),
        b'+' | b'-' | b'0'..=b'9' => {
            if dates && let Some(timestamp) = timestamp::parse(text) {
                return Some(NodeKind::Timestamp(timestamp));
            }
            let plain = text.replace('_', "");
            integer(&plain).or_else(|| float(&plain))
        }
        _ => None,
    }
}

/// Removes underscores, each of which must stand between two digits.
fn without_separators(text: &str) -> Option<String> {
    let bytes = text.as_bytes();
    let digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    let legal = bytes
        .iter()
        .enumerate()
        .all(|(index, byte)| *byte != b'_' || (digit(index.checked_sub(1)) && digit(index.checked_add(1))));
    legal.then(|| text.replace('_', ""))
}

/// A whole number: decimal, `0x`, `0o`, `0b`, or octal with a leading zero.
fn integer(text: &str) -> Option<NodeKind> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match unsigned.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&unsigned[2..], 16),
        [b'0', b'o' | b'O', ..] => (&unsigned[2..], 8),
        [b'0', b'b' | b'B', ..] => (&unsigned[2..], 2),
        [b'0', _, ..] => (&unsigned[1..], 8),
        _ => (unsigned, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    let magnitude = u64::from_str_radix(digits, radix).ok()?;
    if negative {
        return 0_i64.checked_sub_unsigned(magnitude).map(NodeKind::Int);
    }
    match i64::try_from(magnitude) {
        Ok(value) => Some(NodeKind::Int(value)),
        Err(_) if text.starts_with('+') => None,
        Err(_) => Some(NodeKind::UInt(magnitude)),
    }
}

/// A decimal fraction or a number with an exponent. A number too large for a float is text.
fn float(text: &str) -> Option<NodeKind> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let legal = unsigned.starts_with(|first: char| first == '.' || first.is_ascii_digit())
        && unsigned.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    if !legal {
        return None;
    }
    let value: f64 = text.parse().ok()?;
    value.is_finite().then_some(NodeKind::Float(value))
}

/// Base64, as `!!binary` demands; the bytes must be text.
fn binary(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count, mut padding) = (0_u32, 0_usize, 0_usize);
    for byte in text.bytes().filter(|byte| !matches!(byte, b'\n' | b'\r')) {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => {
                padding += 1;
                continue;
            }
            _ => 64,
        };
        if value > 63 || padding > 0 {
            return Err("a `!!binary` value is not base64".to_owned());
        }
        bits = bits << 6 | u32::from(value);
        count += 1;
        if count % 4 == 0 {
            bytes.extend_from_slice(&bits.to_be_bytes()[1..]);
            bits = 0;
        }
    }
    match (count % 4, padding) {
        (0, 0) => {}
        (2, 2) => bytes.extend_from_slice(&(bits << 12).to_be_bytes()[1..2]),
        (3, 1) => bytes.extend_from_slice(&(bits << 6).to_be_bytes()[1..3]),
        _ => return Err("a `!!binary` value is not base64".to_owned()),
    }
    String::from_utf8(bytes).map_err(|_| "a `!!binary` value is not text".to_owned())
}

/// The shortest text of a float, with an exponent below 0.0001 and from 1000000 on.
pub fn format_float(value: f64) -> String {
    if !value.is_finite() {
        return non_finite(value).to_owned();
    }
    let scientific = format!("{value:e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    if (-4..6).contains(&exponent) { format!("{value}") } else { join_exponent(mantissa, exponent) }
}

/// A float with six decimals and an exponent, the way a float becomes a key of a mapping.
pub fn format_float_key(value: f64) -> String {
    if !value.is_finite() {
        return non_finite(value).to_owned();
    }
    let scientific = format!("{value:.6e}");
    let (mantissa, exponent) = split_exponent(&scientific);
    join_exponent(mantissa, exponent)
}

fn non_finite(value: f64) -> &'static str {
    if value.is_nan() {
        "NaN"
    } else if value > 0.0 {
        "+Inf"
    } else {
        "-Inf"
    }
}

fn split_exponent(scientific: &str) -> (&str, i32) {
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn join_exponent(mantissa: &str, exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(scalar: &str) -> String {
        match resolve(scalar, true, None).unwrap().unwrap_or_else(|| NodeKind::String(scalar.to_owned())) {
            NodeKind::Null => "null".to_owned(),
            NodeKind::Bool(value) => format!("bool {value}"),
            NodeKind::Int(value) => format!("int {value}"),
            NodeKind::UInt(value) => format!("uint {value}"),
            NodeKind::Float(value) => format!("float {}", format_float(value)),
            NodeKind::Timestamp(value) => format!("time {value}"),
            NodeKind::String(value) => format!("str {value}"),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn plain_scalars() {
        let cases = [
            ("", "null"),
            ("~", "null"),
            ("NULL", "null"),
            ("nuLL", "str nuLL"),
            ("TRUE", "bool true"),
            ("tRUE", "str tRUE"),
            ("yes", "str yes"),
            ("0", "int 0"),
            ("-0", "int 0"),
            ("010", "int 8"),
            ("0o10", "int 8"),
            ("09", "float 9"),
            ("0x1f", "int 31"),
            ("0x", "str 0x"),
            ("0b11", "int 3"),
            ("-0b11", "int -3"),
            ("+5", "int 5"),
            ("+-5", "str +-5"),
            ("1_000", "int 1000"),
            ("9223372036854775807", "int 9223372036854775807"),
            ("-9223372036854775808", "int -9223372036854775808"),
            ("9223372036854775808", "uint 9223372036854775808"),
            ("100000000000000000000", "float 1e+20"),
            ("1.10", "float 1.1"),
            ("1.", "float 1"),
            (".5", "float 0.5"),
            (".", "str ."),
            ("._5", "str ._5"),
            ("1e3", "float 1000"),
            ("1e400", "str 1e400"),
            ("1e-7", "float 1e-07"),
            ("123456789.5", "float 1.234567895e+08"),
            ("12:30", "str 12:30"),
            ("1.2.3", "str 1.2.3"),
            ("5s", "str 5s"),
            (".inf", "float +Inf"),
            ("2020-01-01", "time 2020-01-01T00:00:00Z"),
            ("<<", "str <<"),
        ];
        for (scalar, expected) in cases {
            assert_eq!(text_of(scalar), expected, "{scalar}");
        }
    }

    #[test]
    fn tags() {
        assert_eq!(resolve("5", true, Some(Tag::Str)), Ok(None));
        assert_eq!(resolve("5", false, Some(Tag::Float)), Ok(Some(NodeKind::Float(5.0))));
        assert_eq!(resolve("aGk=", true, Some(Tag::Binary)), Ok(Some(NodeKind::String("hi".to_owned()))));
        assert_eq!(resolve("5", true, Some(Tag::Other)), Ok(None));
        assert!(resolve("x", true, Some(Tag::Int)).is_err());
        assert!(resolve("a=b", true, Some(Tag::Binary)).is_err());
    }

    #[test]
    fn float_keys() {
        assert_eq!(format_float_key(1.5), "1.500000e+00");
        assert_eq!(format_float_key(f64::INFINITY), "+Inf");
    }
}
