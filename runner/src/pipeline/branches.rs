//! The `branches` attribute: which branches a step is for.

use std::collections::HashSet;

/// Whether a branch matches patterns, each of which may be several separated by spaces.
///
/// `*` stands for any characters, slashes too; a pattern that begins with `!` excludes. The branch matches when no
/// excluding pattern matches and, if there are other patterns at all, one of those does. A build without a branch
/// matches everything.
pub fn matches<P: AsRef<str>>(patterns: &[P], branch: &str) -> bool {
    let branch = branch.trim();
    if branch.is_empty() {
        return true;
    }
    let (mut wanted, mut matched) = (false, false);
    for pattern in patterns.iter().flat_map(|pattern| pattern.as_ref().split_whitespace()) {
        if let Some(excluded) = pattern.strip_prefix('!') {
            if matches_one(excluded, branch) {
                return false;
            }
        } else {
            wanted = true;
            matched = matched || matches_one(pattern, branch);
        }
    }
    matched || !wanted
}

/// Whether patterns certainly match no branch at all: each of those that include is also one that excludes.
pub fn is_empty<P: AsRef<str>>(patterns: &[P]) -> bool {
    let all = || patterns.iter().flat_map(|pattern| pattern.as_ref().split_whitespace());
    let excluded: HashSet<&str> = all().filter_map(|pattern| pattern.strip_prefix('!')).collect();
    let mut wanted = all().filter(|pattern| !pattern.starts_with('!')).peekable();
    let nothing_left = wanted.peek().is_some() && wanted.all(|pattern| excluded.contains(pattern));
    nothing_left || excluded.contains("*")
}

/// Matches without backtracking over more than the last `*`, so that hostile patterns stay cheap.
fn matches_one(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut next) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while next < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, next));
                at += 1;
            }
            Some(byte) if *byte == text[next] => {
                at += 1;
                next += 1;
            }
            _ => {
                let Some((after_star, tried)) = star else { return false };
                star = Some((after_star, tried + 1));
                at = after_star;
                next = tried + 1;
            }
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        let cases = [
            ("", "main", true),
            ("main", "main", true),
            ("main", "maintenance", false),
            ("main release/*", "release/1/2", true),
            ("!main", "feature", true),
            ("!main", "main", false),
            ("f* !feature", "feature", false),
            ("*a*b*c", "xaxbxbxc", true),
            ("*a*b*c", "xaxcxb", false),
            ("main", "", true),
        ];
        for (pattern, branch, expected) in cases {
            assert_eq!(matches(&[pattern], branch), expected, "{pattern} {branch}");
        }
        assert!(matches(&["main", "dev"], "dev"));
        assert!(matches::<&str>(&[], "dev"));
    }
}
