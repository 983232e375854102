//! Unquoted dates and times, in the four spellings `yaml.v3` knows.

/// Reads a date or time and writes it as RFC 3339 with the shortest fraction; `None` when it is neither.
///
/// The spellings are `2006-1-2`, `2006-1-2 15:4:5.9` (taken as UTC) and `2006-1-2T15:4:5.9Z` with `T` or `t` and
/// `Z` or an offset such as `+01:00`.
pub(super) fn parse(text: &str) -> Option<String> {
    let mut scanner = Scanner { rest: text };
    let year = scanner.digits(4, 4)?;
    scanner.literal('-')?;
    let month = scanner.digits(1, 2).filter(|month| (1..=12).contains(month))?;
    scanner.literal('-')?;
    let day = scanner.digits(1, 2).filter(|day| (1..=days_in(year, month)).contains(day))?;
    let date = format!("{year:04}-{month:02}-{day:02}");
    if scanner.rest.is_empty() {
        return Some(format!("{date}T00:00:00Z"));
    }
    let separator = scanner.any_of(&['T', 't', ' '])?;
    let hour = scanner.digits(1, 2).filter(|hour| *hour < 24)?;
    scanner.literal(':')?;
    let minute = scanner.digits(1, 2).filter(|minute| *minute < 60)?;
    scanner.literal(':')?;
    let second = scanner.digits(1, 2).filter(|second| *second < 60)?;
    let fraction = scanner.fraction();
    let zone = if separator == ' ' { "Z".to_owned() } else { scanner.zone()? };
    let time = format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}{zone}");
    scanner.rest.is_empty().then_some(time)
}

struct Scanner<'a> {
    rest: &'a str,
}

impl Scanner<'_> {
    /// A number of `least` to `most` digits, as many as there are.
    fn digits(&mut self, least: usize, most: usize) -> Option<u32> {
        let count = self.rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
        if count < least {
            return None;
        }
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        digits.parse().ok()
    }

    fn literal(&mut self, expected: char) -> Option<()> {
        self.any_of(&[expected]).map(|_| ())
    }

    fn any_of(&mut self, expected: &[char]) -> Option<char> {
        let found = self.rest.chars().next().filter(|first| expected.contains(first))?;
        self.rest = &self.rest[found.len_utf8()..];
        Some(found)
    }

    /// A fraction of a second to the nanosecond, with its point and without trailing zeros; empty when there is none.
    fn fraction(&mut self) -> String {
        let Some(after_point) = self.rest.strip_prefix(['.', ',']) else { return String::new() };
        let count = after_point.bytes().take_while(u8::is_ascii_digit).count();
        if count == 0 {
            return String::new();
        }
        let (digits, rest) = after_point.split_at(count);
        self.rest = rest;
        match digits[..count.min(9)].trim_end_matches('0') {
            "" => String::new(),
            digits => format!(".{digits}"),
        }
    }

    fn zone(&mut self) -> Option<String> {
        let sign = self.any_of(&['Z', '+', '-'])?;
        if sign == 'Z' {
            return Some("Z".to_owned());
        }
        let hours = self.digits(2, 2).filter(|hours| *hours <= 24)?;
        self.literal(':')?;
        let minutes = self.digits(2, 2).filter(|minutes| *minutes < 60)?;
        Some(if hours == 0 && minutes == 0 { "Z".to_owned() } else { format!("{sign}{hours:02}:{minutes:02}") })
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn spellings() {
        let cases = [
            ("2020-01-01", Some("2020-01-01T00:00:00Z")),
            ("2020-1-2", Some("2020-01-02T00:00:00Z")),
            ("2020-02-29", Some("2020-02-29T00:00:00Z")),
            ("2021-02-29", None),
            ("2020-13-01", None),
            ("20-01-01", None),
            ("2020-01-01T10:20:30Z", Some("2020-01-01T10:20:30Z")),
            ("2020-01-01t1:2:3.1200+00:00", Some("2020-01-01T01:02:03.12Z")),
            ("2020-01-01T10:20:30-05:30", Some("2020-01-01T10:20:30-05:30")),
            ("2020-01-01 10:20:30.5", Some("2020-01-01T10:20:30.5Z")),
            ("2020-01-01 10:20:30 -5", None),
            ("2020-01-01T10:20:30", None),
            ("2020-01-01T24:00:00Z", None),
            ("2020-01-01x", None),
            ("2020-01", None),
        ];
        for (text, expected) in cases {
            assert_eq!(parse(text).as_deref(), expected, "{text}");
        }
    }
}
