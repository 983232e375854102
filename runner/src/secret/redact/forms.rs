//! The ways in which a value is written: what programs make of it on its way into a log.

use super::MIN_VALUE;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use std::collections::BTreeSet;

/// Characters after which `base64` and `openssl` break a line, and `xxd -p`.
const BASE64_LINES: [usize; 2] = [76, 64];
const HEX_LINE: usize = 60;

/// Every form of a value that is looked for, each at least [`MIN_VALUE`] bytes long. White space around the value does
/// not belong to it.
pub(super) fn forms(value: &str) -> BTreeSet<Vec<u8>> {
    let value = value.trim();
    let mut forms = BTreeSet::new();
    texts(value, &mut forms);
    // A key of several lines is often shown line by line.
    if value.contains('\n') {
        for line in value.lines().map(str::trim).filter(|line| line.len() >= MIN_VALUE) {
            texts(line, &mut forms);
        }
    }
    base64(value.as_bytes(), &mut forms);
    hex(value.as_bytes(), &mut forms);
    percent(value, &mut forms);
    forms.retain(|form| form.len() >= MIN_VALUE);
    forms
}

/// The value itself, and as it stands in JSON, in shell scripts and in XML.
fn texts(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    let json = json(value, |character| !character.is_ascii());
    let escaped = |special: &[(char, &str)]| replaced(value, special);
    let texts = [
        value.to_owned(),
        json.replace('/', "\\/"),
        self::json(&json, |_| false),
        self::json(value, |_| false),
        self::json(value, |character| matches!(character, '<' | '>' | '&' | '\'')),
        json.to_uppercase_escapes(),
        json,
        escaped(&[('\'', "'\\''")]),
        escaped(&[('\'', "'\"'\"'")]),
        escaped(&[('\\', "\\\\"), ('"', "\\\""), ('$', "\\$"), ('`', "\\`")]),
        escaped(&[('\\', "\\\\"), ('\'', "\\'"), ('\n', "\\n"), ('\r', "\\r"), ('\t', "\\t")]),
        backslashes(value),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;")]),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;")]),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&apos;")]),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#39;")]),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&quot;"), ('\'', "&#x27;")]),
        escaped(&[('&', "&amp;"), ('<', "&lt;"), ('>', "&gt;"), ('"', "&#34;"), ('\'', "&#39;")]),
    ];
    forms.extend(texts.into_iter().map(String::into_bytes));
    forms.insert(octal(value));
}

/// Between `$'` and `'`, as bash writes what is not ASCII when it knows of no other characters.
fn octal(value: &str) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in value.bytes() {
        match byte {
            b'\\' | b'\'' => text.extend([b'\\', byte]),
            b'\n' => text.extend(b"\\n"),
            b'\r' => text.extend(b"\\r"),
            b'\t' => text.extend(b"\\t"),
            0x20..0x7f => text.push(byte),
            _ => text.extend(format!("\\{byte:03o}").bytes()),
        }
    }
    text
}

/// A JSON string without its quotes; the characters that are chosen are `\u` and four hex digits.
fn json(value: &str, is_escaped: impl Fn(char) -> bool) -> String {
    let mut text = String::new();
    for character in value.chars() {
        match character {
            chosen if is_escaped(chosen) => {
                for unit in chosen.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            control if u32::from(control) < 0x20 => text.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => text.push(other),
        }
    }
    text
}

trait Escapes {
    /// With the hex digits of every `\u` in capitals.
    fn to_uppercase_escapes(&self) -> String;
}

impl Escapes for String {
    fn to_uppercase_escapes(&self) -> String {
        let mut text = String::new();
        let mut rest = self.as_str();
        while let Some((before, digits)) = rest.split_once("\\u") {
            let (digits, after) = digits.split_at_checked(4).unwrap_or((digits, ""));
            text.push_str(before);
            text.push_str("\\u");
            text.push_str(&digits.to_ascii_uppercase());
            rest = after;
        }
        text + rest
    }
}

fn replaced(value: &str, special: &[(char, &str)]) -> String {
    let mut text = String::new();
    for character in value.chars() {
        match special.iter().find(|(of, _)| *of == character) {
            Some((_, by)) => text.push_str(by),
            None => text.push(character),
        }
    }
    text
}

/// As a shell's `printf %q` writes it.
fn backslashes(value: &str) -> String {
    let mut text = String::new();
    for character in value.chars() {
        if character.is_ascii() && !character.is_ascii_alphanumeric() && !"_@%+=:,./-".contains(character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// Base64 in both alphabets: alone, and within something longer, where it begins at one of three places of a group.
/// There the first and the last character also depend on what surrounds the value, and are not part of the form.
fn base64(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    for engine in [STANDARD, URL_SAFE] {
        for (offset, begin) in [(0, 0), (1, 2), (2, 3)] {
            let padded = engine.encode([&[0; 2][..offset], value].concat());
            let ended = padded.trim_end_matches('=');
            let whole = 8 * (offset + value.len()) / 6;
            for form in [&padded[..], ended, &padded[..whole]] {
                let form = form.get(begin..).unwrap_or_default();
                forms.insert(form.into());
                if offset == 0 {
                    for width in BASE64_LINES {
                        wrapped(form, width, forms);
                    }
                }
            }
        }
    }
}

fn hex(value: &[u8], forms: &mut BTreeSet<Vec<u8>>) {
    let mut hex = String::new();
    for byte in value {
        hex.push_str(&format!("{byte:02x}"));
    }
    wrapped(&hex, HEX_LINE, forms);
    forms.insert(hex.to_ascii_uppercase().into());
    forms.insert(hex.into());
}

/// The lines of a text that is broken after so many bytes.
fn wrapped(text: &str, width: usize, forms: &mut BTreeSet<Vec<u8>>) {
    if text.len() > width {
        forms.extend(text.as_bytes().chunks(width).map(<[u8]>::to_vec));
    }
}

/// Percent-encoding; what is left as it is differs from program to program.
fn percent(value: &str, forms: &mut BTreeSet<Vec<u8>>) {
    for kept in [Some("-._~"), Some("-._~/"), Some("-._~!*'()"), Some("*-._"), None] {
        let (mut upper, mut lower) = (String::new(), String::new());
        for byte in value.bytes() {
            let character = char::from(byte);
            match kept {
                Some(kept) if byte.is_ascii_alphanumeric() || kept.contains(character) => {
                    upper.push(character);
                    lower.push(character);
                }
                // Only forms of web pages write a space so, and only they leave these characters.
                Some("*-._") if byte == b' ' => {
                    upper.push('+');
                    lower.push('+');
                }
                _ => {
                    upper.push_str(&format!("%{byte:02X}"));
                    lower.push_str(&format!("%{byte:02x}"));
                }
            }
        }
        forms.extend([upper.into_bytes(), lower.into_bytes()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expect(value: &str, expected: &[&str]) {
        let forms = forms(value);
        for form in expected {
            assert!(forms.contains(form.as_bytes()), "no {form} among {:?}", shown(&forms));
        }
    }

    fn shown(forms: &BTreeSet<Vec<u8>>) -> Vec<String> {
        forms.iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect()
    }

    #[test]
    fn a_value_is_known_as_programs_write_it() {
        expect(
            "it's <\"ü\"> & $x/y\\z",
            &[
                // serde_json, Python's json, Go's encoding/json, PHP's json_encode
                r#"it's <\"ü\"> & $x/y\\z"#,
                r#"it's <\"\u00fc\"> & $x/y\\z"#,
                r#"it's <\"\u00FC\"> & $x/y\\z"#,
                r#"it\u0027s \u003c\"ü\"\u003e \u0026 $x/y\\z"#,
                r#"it's <\"\u00fc\"> & $x\/y\\z"#,
                // bash
                r#"it'\''s <"ü"> & $x/y\z"#,
                r#"it's <\"ü\"> & \$x/y\\z"#,
                r#"it\'s\ \<\"ü\"\>\ \&\ \$x/y\\z"#,
                r#"it\'s <"\303\274"> & $x/y\\z"#,
                // XML
                r"it&#39;s &lt;&quot;ü&quot;&gt; &amp; $x/y\z",
                // RFC 3986, encodeURIComponent, Python's quote, HTML forms
                "it%27s%20%3C%22%C3%BC%22%3E%20%26%20%24x%2Fy%5Cz",
                "it%27s%20%3c%22%c3%bc%22%3e%20%26%20%24x%2fy%5cz",
                "it's%20%3C%22%C3%BC%22%3E%20%26%20%24x%2Fy%5Cz",
                "it%27s%20%3C%22%C3%BC%22%3E%20%26%20%24x/y%5Cz",
                "it%27s+%3C%22%C3%BC%22%3E+%26+%24x%2Fy%5Cz",
            ],
        );
        expect("hunter22", &["68756e7465723232", "%68%75%6E%74%65%72%32%32", "68756E7465723232"]);
    }

    #[test]
    fn base64_is_known_wherever_the_value_stands_in_it() {
        let value = "hunter22?>";
        let forms = forms(value);
        for before in ["", "u", "us", "usr"] {
            for after in ["", ":", ":x", ":xy", "\n"] {
                for engine in [STANDARD, URL_SAFE] {
                    let text = engine.encode(format!("{before}{value}{after}"));
                    let longest = forms
                        .iter()
                        .filter(|form| text.as_bytes().windows(form.len()).any(|window| window == form.as_slice()));
                    let longest = longest.map(Vec::len).max().unwrap_or_default();
                    // 80 bits are 13 characters and a bit; one at each end may belong to the surroundings as well.
                    assert!(longest >= 12, "{longest} of {text}");
                }
            }
        }
    }

    #[test]
    fn long_values_are_known_by_their_lines() {
        let value = "0123456789".repeat(10);
        let text = STANDARD.encode(&value);
        expect(&value, &[&text[..76], &text[76..], &text[..64], &text[64..128]]);
        expect(
            "-----BEGIN KEY-----\nMIIEvQIBADANBg\nab\n-----END KEY-----\n",
            &["MIIEvQIBADANBg", "-----END KEY-----"],
        );
    }

    #[test]
    fn nothing_short_is_a_form() {
        assert!(forms("a\nbcdefg\nh").iter().all(|form| form.len() >= MIN_VALUE));
        assert_eq!(forms(" \n"), BTreeSet::new());
    }
}
