//! Paths and patterns of artifacts.

/// A path without what means nothing at its beginning.
pub fn relative(path: &str) -> &str {
    let mut path = path.trim();
    while let Some(rest) = path.strip_prefix("./") {
        path = rest.trim_start_matches('/');
    }
    path
}

/// Whether it stands for other paths than itself.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// The directory in which everything that a glob matches is.
pub fn root_of(glob: &str) -> &str {
    let literal = glob.find(['*', '?', '[', '{', '\\']).map_or(glob, |at| &glob[..at]);
    literal.rfind('/').map_or("", |at| &literal[..at])
}

/// Whether a query for artifacts finds this path: `*` stands for any run of characters, across directories too.
pub fn finds(query: &str, path: &str) -> bool {
    query == path || fast_glob::glob_match(query, path) || stars(query.as_bytes(), path.as_bytes())
}

/// Wildcards over bytes, in time proportional to the product of both lengths.
fn stars(query: &[u8], path: &[u8]) -> bool {
    let (mut q, mut p) = (0, 0);
    let mut resume: Option<(usize, usize)> = None;
    while p < path.len() {
        match query.get(q) {
            Some(b'*') => {
                resume = Some((q + 1, p));
                q += 1;
            }
            Some(byte) if *byte == b'?' || *byte == path[p] => {
                q += 1;
                p += 1;
            }
            _ => {
                let Some((after, from)) = resume else { return false };
                (q, p) = (after, from + 1);
                resume = Some((after, p));
            }
        }
    }
    query[q..].iter().all(|byte| *byte == b'*')
}

/// Whether a job is of the step with this key: the key itself, with a number where the step became several jobs.
pub fn is_job_of(key: &str, job: &str) -> bool {
    let number =
        |rest: &str| rest.strip_prefix('-').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()));
    job.strip_prefix(&*key.to_ascii_lowercase()).is_some_and(|rest| rest.is_empty() || number(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_crosses_directories() {
        for (query, path, expected) in [
            ("a/b.txt", "a/b.txt", true),
            ("*.xml", "reports/deep/a.xml", true),
            ("reports/*", "reports/deep/a.xml", true),
            ("**/*.xml", "a.xml", true),
            ("junit-{a,b}.xml", "junit-b.xml", true),
            ("junit-?.xml", "junit-1.xml", true),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "aXbY", false),
            ("*.xml", "a.xml.gz", false),
            ("a.xml", "b/a.xml", false),
        ] {
            assert_eq!(finds(query, path), expected, "{query} {path}");
        }
    }

    #[test]
    fn a_hostile_query_takes_no_time() {
        let query = format!("{}b", "a*".repeat(500));
        assert!(!stars(query.as_bytes(), "a".repeat(20_000).as_bytes()));
    }

    #[test]
    fn the_root_of_a_glob_has_no_wildcard() {
        for (glob, expected) in [("a/b/*.x", "a/b"), ("a/b*/c", "a"), ("*.x", ""), ("a/b.x", "a"), ("{a,b}/c", "")] {
            assert_eq!(root_of(glob), expected, "{glob}");
        }
        assert_eq!(relative("././a/./b"), "a/./b");
    }

    #[test]
    fn jobs_of_a_step() {
        assert!(is_job_of("tests", "tests") && is_job_of("Tests", "tests-12"));
        assert!(!is_job_of("tests", "tests-more") && !is_job_of("tests", "testsuite") && !is_job_of("tests", "tests-"));
    }
}
