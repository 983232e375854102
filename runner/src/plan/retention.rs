//! How long runs are kept: limits by age, by number and by size, and which runs are beyond them.

use super::grant::ByteSize;
use serde::{Deserialize, Deserializer};

/// The limits. A run is let go as soon as it is beyond one of them.
///
/// Only runs that are over count for number and size. A run that was interrupted is let go by its age alone, because it
/// can be gone on with; one that waits for a person, and one that a process drives, never.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Retention {
    /// Time since the last event: 90 days unless set.
    pub age: Limit<Age>,
    /// Runs: 1,000 unless set.
    pub runs: Limit<u64>,
    /// Bytes of logs and artifacts together: 10 GiB unless set.
    pub size: Limit<ByteSize>,
}

impl Default for Retention {
    fn default() -> Self {
        Self { age: Limit::At(Age(90 * DAY)), runs: Limit::At(1000), size: Limit::At(ByteSize(10 << 30)) }
    }
}

/// A limit, or `none`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit<T> {
    /// There is none.
    None,
    /// So much and no more.
    At(T),
}

impl<T: std::str::FromStr<Err = String>> std::str::FromStr for Limit<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" { Ok(Self::None) } else { text.parse().map(Self::At) }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Limit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        if value == "none" {
            return Ok(Self::None);
        }
        T::deserialize(value).map(Self::At).map_err(serde::de::Error::custom)
    }
}

/// Milliseconds, written as people write a time: `30d`, `12h`, `2weeks`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Age(pub u64);

const DAY: u64 = 24 * 3_600_000;

impl std::str::FromStr for Age {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = |_| format!("`{text}` is not a time; write for instance 12h, 30d or 2weeks");
        let age = humantime::parse_duration(text).map_err(expected)?;
        Ok(Self(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A run, as far as it matters for how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// What keeps it.
    pub hold: Hold,
    /// Milliseconds since 1970 of its last event.
    pub last: u64,
    /// Bytes of its logs and artifacts.
    pub size: u64,
}

/// What keeps a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// Nothing: it is over.
    None,
    /// It can be gone on with, until it is too old.
    UntilOld,
    /// It waits for a person, or a process drives it.
    Always,
}

/// Which limit a run is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beyond {
    /// That of age.
    Age,
    /// That of number.
    Runs,
    /// That of size.
    Size,
}

impl Retention {
    /// The runs to let go, by position. `runs` are the newest first; the newest one that is over always stays.
    #[must_use]
    pub fn beyond(&self, runs: &[Kept], now: u64) -> Vec<(usize, Beyond)> {
        let mut beyond = Vec::new();
        let (mut count, mut size) = (0, 0_u64);
        for (position, run) in runs.iter().enumerate() {
            let old = matches!(self.age, Limit::At(limit) if now.saturating_sub(run.last) > limit.0);
            match run.hold {
                Hold::Always => continue,
                Hold::UntilOld => {
                    beyond.extend(old.then_some((position, Beyond::Age)));
                    continue;
                }
                Hold::None => {}
            }
            let many = matches!(self.runs, Limit::At(limit) if count >= limit);
            let large = matches!(self.size, Limit::At(limit) if size.saturating_add(run.size) > limit.0);
            let reason = match (old, many, large) {
                (true, ..) => Some(Beyond::Age),
                (_, true, _) => Some(Beyond::Runs),
                (.., true) => Some(Beyond::Size),
                _ => None,
            };
            if let Some(reason) = reason.filter(|_| count > 0) {
                beyond.push((position, reason));
            } else {
                count += 1;
                size += run.size;
            }
        }
        beyond
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over(days: u64, size: u64) -> Kept {
        Kept { hold: Hold::None, last: (1000 - days) * DAY, size }
    }

    fn limits(text: &str) -> Retention {
        serde_json::from_str(text).unwrap()
    }

    fn let_go(limits: &str, runs: &[Kept]) -> Vec<(usize, Beyond)> {
        self::limits(limits).beyond(runs, 1000 * DAY)
    }

    #[test]
    fn each_limit_lets_go_what_is_beyond_it() {
        let runs = [over(0, 10), over(1, 10), over(5, 10), over(200, 10)];
        assert_eq!(let_go("{}", &runs), [(3, Beyond::Age)]);
        assert_eq!(let_go(r#"{"age": "3d"}"#, &runs), [(2, Beyond::Age), (3, Beyond::Age)]);
        assert_eq!(let_go(r#"{"age": "none", "runs": 3}"#, &runs), [(3, Beyond::Runs)]);
        assert_eq!(let_go(r#"{"age": "none", "size": 25}"#, &runs), [(2, Beyond::Size), (3, Beyond::Size)]);
        assert_eq!(let_go(r#"{"age": "none", "runs": "none", "size": "none"}"#, &runs), []);
    }

    #[test]
    fn a_large_run_does_not_push_out_the_smaller_ones_behind_it() {
        let runs = [over(0, 10), over(1, 100), over(2, 10)];
        assert_eq!(let_go(r#"{"size": 50}"#, &runs), [(1, Beyond::Size)]);
    }

    #[test]
    fn what_may_still_go_on_stays() {
        let unfinished = |hold| Kept { hold, ..over(300, 1 << 50) };
        let runs = [
            over(200, 1 << 50),
            unfinished(Hold::Always),
            unfinished(Hold::UntilOld),
            Kept { hold: Hold::UntilOld, ..over(1, 1 << 50) },
        ];
        assert_eq!(let_go(r#"{"runs": 0}"#, &runs), [(2, Beyond::Age)], "and so does the newest one that is over");
    }

    #[test]
    fn limits_are_written_the_way_people_write_them() {
        assert_eq!(limits("{}"), Retention::default());
        let read = limits(r#"{"age": "2weeks", "runs": "none", "size": "1GiB"}"#);
        assert_eq!(read.age, Limit::At(Age(14 * DAY)));
        assert_eq!((read.runs, read.size), (Limit::None, Limit::At(ByteSize(1 << 30))));
        for wrong in [r#"{"age": "soon"}"#, r#"{"age": 3}"#, r#"{"runs": -1}"#, r#"{"size": "1GB"}"#, r#"{"days": 1}"#]
        {
            assert!(serde_json::from_str::<Retention>(wrong).is_err(), "{wrong}");
        }
    }
}
