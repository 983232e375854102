//! Names in messages: the one that was probably meant, and lists of them.

/// The candidate that is most like a name, if one is like it at all.
pub(crate) fn closest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    within(name.len().div_ceil(4), name, candidates)
}

/// The candidate that is most like a name and differs from it by at most so many slips of the finger.
pub(super) fn within<'c>(slips: usize, name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    /// Longer names are no slip of the finger; comparing them would take long.
    const MAX_LENGTH: usize = 100;
    if name.len() > MAX_LENGTH {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, _)| *distance <= slips)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Names as a person would list them: `a, b and c`.
pub(super) fn enumerate<T: AsRef<str>>(names: &[T]) -> String {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let known = ["branches", "branch_x", "if", "timeout_in_minutes"];
        for (name, expected) in [
            ("branch", Some("branches")),
            ("brnaches", Some("branches")),
            ("timeout_minutes", Some("timeout_in_minutes")),
            ("fi", Some("if")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(closest(name, known), expected, "{name}");
        }
        assert_eq!(enumerate(&["a", "b", "c"]), "a, b and c");
        assert_eq!(closest(&"x".repeat(1 << 20), known), None);
    }
}
