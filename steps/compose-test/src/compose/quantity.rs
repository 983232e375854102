//! Durations, sizes and numbers as Compose writes them.

/// Milliseconds of a duration such as `1m30s`, `1.5s` or `500ms`, rounded up.
pub fn milliseconds(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut sum = 0.0;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let unit = after.len() - after.trim_start_matches(|c: char| c.is_alphabetic()).len();
        let factor = match &after[..unit] {
            "us" | "µs" => 0.001,
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        sum += number * factor;
        rest = &after[unit..];
    }
    whole(sum)
}

/// Bytes of a size such as `512m`, `1g`, `64kb` or `1048576`; units are powers of 1024, as in Docker.
pub fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let power = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        _ => return None,
    };
    whole(number * 1024f64.powi(power))
}

/// Thousandths of a number of CPUs such as `0.5` or `2`.
pub fn milli_cpus(text: &str) -> Option<u32> {
    match leading_number(text.trim())? {
        (number, "") => whole(number * 1000.0).and_then(|milli| u32::try_from(milli).ok()),
        _ => None,
    }
}

fn leading_number(text: &str) -> Option<(f64, &str)> {
    let length = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    Some((text[..length].parse().ok()?, &text[length..]))
}

/// The next whole number; `None` beyond what a `f64` counts exactly.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range is checked")]
fn whole(number: f64) -> Option<u64> {
    let number = number.ceil();
    (0.0..9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
            ("10us", 1),
            ("0s", 0),
            ("2h5m", 7_500_000),
        ] {
            assert_eq!(milliseconds(text), Some(expected), "{text}");
        }
        for text in ["", "5", "s", "1x", "1m 30s", "-1s", "1..5s", "99999999999999h"] {
            assert_eq!(milliseconds(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_and_cpus() {
        for (text, expected) in [
            ("512m", 512 << 20),
            ("1g", 1 << 30),
            ("64KB", 64 << 10),
            ("1048576", 1 << 20),
            ("1.5k", 1536),
            ("2 GiB", 2 << 30),
        ] {
            assert_eq!(bytes(text), Some(expected), "{text}");
        }
        for text in ["", "m", "1x", "-1", "1mm"] {
            assert_eq!(bytes(text), None, "{text}");
        }
        assert_eq!((milli_cpus("0.5"), milli_cpus("2"), milli_cpus("2m")), (Some(500), Some(2000), None));
    }
}
