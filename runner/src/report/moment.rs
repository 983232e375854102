//! Points in time as text.

use serde::{Serialize, Serializer, ser::Error};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A point in time: milliseconds since 1970-01-01T00:00:00Z. For programs it is RFC 3339 in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(pub u64);

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match rfc3339(self.0) {
            Some(text) => serializer.serialize_str(&text),
            None => Err(S::Error::custom(format!("{} ms after 1970 is no time", self.0))),
        }
    }
}

fn rfc3339(milliseconds: u64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000).ok()?.format(&Rfc3339).ok()
}

/// Date and time to the second, in UTC, for people: `2026-11-23 16:02:52 UTC`.
pub(crate) fn for_people(milliseconds: u64) -> String {
    let text = rfc3339(milliseconds / 1000 * 1000).unwrap_or_default();
    text.replace('T', " ").replace('Z', " UTC")
}

/// How long ago something was, in one unit.
pub(crate) fn ago(milliseconds: u64) -> String {
    match milliseconds / 1000 {
        0..60 => "now".to_owned(),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds @ 3600..86_400 => format!("{} h", seconds / 3600),
        seconds => format!("{} d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc() {
        assert_eq!(rfc3339(1_795_449_772_123).unwrap(), "2026-11-23T16:02:52.123Z");
        assert_eq!(for_people(1_795_449_772_123), "2026-11-23 16:02:52 UTC");
        assert_eq!((ago(59_999), ago(61_000)), ("now".to_owned(), "1 min".to_owned()));
        assert_eq!((ago(7_200_000), ago(200_000_000)), ("2 h".to_owned(), "2 d".to_owned()));
    }
}
