//! What must hold for every value, in every form, in whatever pieces it comes.

use super::*;
use proptest::prelude::*;

fn redactions(values: &[&str]) -> Redactions {
    let redactions = Redactions::default();
    redactions.add(values.iter().copied()).unwrap();
    redactions
}

fn streamed(redactions: &Redactions, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = Stream::new(redactions.clone());
    let mut clear = Vec::new();
    for piece in pieces {
        clear.extend_from_slice(stream.push(piece));
    }
    clear.extend_from_slice(stream.finish());
    clear
}

/// What a stream must give, by looking at every place: the occurrences of forms, those that overlap as one.
fn expected(values: &[&str], text: &[u8]) -> Vec<u8> {
    let forms: BTreeSet<Vec<u8>> = values.iter().flat_map(|value| forms::forms(value)).collect();
    let mut clear = Vec::new();
    let (mut covered, mut open) = (0, false);
    for at in 0..text.len() {
        let longest = forms.iter().filter(|form| text[at..].starts_with(form)).map(Vec::len).max();
        if open && at >= covered {
            open = false;
        }
        if let Some(longest) = longest {
            if !open {
                clear.extend_from_slice(stream::REDACTED);
            }
            (covered, open) = (covered.max(at + longest), true);
        }
        if !open {
            clear.push(text[at]);
        }
    }
    clear
}

#[test]
fn only_what_may_become_a_secret_is_held_back() {
    let mut stream = Stream::new(redactions(&["hunter22"]));
    assert_eq!(stream.push(b"Password (for hun): "), b"Password (for hun): ");
    assert_eq!(stream.push(b"x hunt"), b"x ");
    assert_eq!(stream.push(b"ing, hunter2"), b"hunting, ");
    assert_eq!(stream.push(b"2!"), b"[REDACTED]!");
    assert_eq!(stream.push(b"hunter2"), b"");
    assert_eq!(stream.finish(), b"hunter2");
    assert_eq!(stream.finish(), b"");
}

#[test]
fn overlapping_secrets_are_replaced_whole() {
    let both = redactions(&["abcdefgh", "efghijkl"]);
    assert_eq!(streamed(&both, &[b"-abcdefghijkl-"]), b"-[REDACTED]-");
    assert_eq!(streamed(&both, &[b"-abcdefgh", b"ijkl-abcdefghabcdefgh"]), b"-[REDACTED]-[REDACTED][REDACTED]");
    let inner = redactions(&["hunter22", "my-hunter22-is-longer"]);
    assert_eq!(streamed(&inner, &[b"my-hunter22", b"-is-longer my-hunter22."]), b"[REDACTED] my-[REDACTED].");
}

#[test]
fn a_value_that_becomes_known_late_is_still_found_in_what_is_held() {
    let redactions = redactions(&["abcdef-first"]);
    let mut stream = Stream::new(redactions.clone());
    assert_eq!(stream.push(b"x abcdef-"), b"x ");
    redactions.add(["def-second"]).unwrap();
    assert_eq!(stream.push(b"second y"), b"abc[REDACTED] y");
}

#[test]
fn binary_output_stays_as_it_is() {
    let redactions = redactions(&["hunter22", "gr\u{fc}n-gr\u{fc}n"]);
    let bytes: Vec<u8> = (0..=255).cycle().take(5000).collect();
    assert_eq!(streamed(&redactions, &[&bytes[..777], &bytes[777..]]), bytes);
    assert_eq!(streamed(&redactions, &[b"\xffhunter22\xc3", b"\xfe"]), b"\xff[REDACTED]\xc3\xfe");
}

#[test]
fn short_values_are_not_looked_for_and_said_to_be() {
    let redactions = Redactions::default();
    assert_eq!(redactions.add(["12345"]), Ok(Redaction::TooShort));
    assert_eq!(redactions.add([" 12345\n"]), Ok(Redaction::TooShort));
    assert_eq!(redactions.add(["123456"]), Ok(Redaction::Replaced));
    assert_eq!(redactions.redacted("12345 123456"), "12345 [REDACTED]");
}

#[test]
fn values_have_a_limit_together() {
    let redactions = Redactions::default();
    let line: String =
        (0..64_usize << 10).map(|index| char::from(b"!$%+,-./:;=?@^_~"[index * 7919 % 93 % 16])).collect();
    assert_eq!(redactions.add([line.as_str()]), Ok(Redaction::Replaced));
    assert_eq!(redactions.redacted(&format!("<{line}>")), "<[REDACTED]>");
    let others = (0..4).map(|index| format!("{index}{line}"));
    let others: Vec<String> = others.collect();
    assert!(redactions.add(others.iter().map(String::as_str)).is_err());
    assert_eq!(redactions.redacted("other text"), "other text");
}

/// Of characters that some encoding writes in another way, and some that none does.
const VALUE: &str = "[ab0-2 /+&'\"<$%=\\\\\u{e9}\n]{6,24}";
const BETWEEN: &str = "[ab0-2 /+&'\"<$%=\\\\\u{e9}\n]{0,9}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_form_passes_and_nothing_else_is_touched(
        values in prop::collection::vec(VALUE, 1..4),
        parts in prop::collection::vec((0usize..4, 0usize..1000, 0usize..40, BETWEEN), 0..8),
        cuts in prop::collection::vec(0usize..2000, 0..12),
    ) {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        let known: Vec<&str> = values.iter().map(|value| value.trim()).filter(|value| value.len() >= MIN_VALUE).collect();
        let mut text = Vec::new();
        for (value, form, cut, between) in &parts {
            let forms: Vec<Vec<u8>> = values.get(*value).into_iter().flat_map(|value| forms::forms(value)).collect();
            if let Some(form) = forms.get(form % forms.len().max(1)) {
                // Mostly whole, sometimes only its beginning.
                text.extend_from_slice(&form[..if *cut < form.len() { *cut } else { form.len() }]);
            }
            text.extend_from_slice(between.as_bytes());
        }
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut % (text.len() + 1)).chain([0, text.len()]).collect();
        cuts.sort_unstable();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
        let redactions = Redactions::default();
        redactions.add(values.iter().copied()).unwrap();
        let clear = streamed(&redactions, &pieces);
        prop_assert_eq!(&clear, &expected(&known, &text));
        for form in known.iter().flat_map(|value| forms::forms(value)) {
            prop_assert!(!clear.windows(form.len()).any(|window| window == form.as_slice()));
        }
        let bytes: Vec<&[u8]> = text.chunks(1).collect();
        prop_assert_eq!(&streamed(&redactions, &bytes), &clear);
    }
}
