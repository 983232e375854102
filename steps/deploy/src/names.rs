//! Names by which a retried attempt finds its own work again.

use sha2::{Digest, Sha256};

/// The longest name, so that there is room for a suffix within the 128 characters of a token.
const MAX_NAME: usize = 100;

/// `r-RUN-JOB-ATTEMPT`, of letters, digits and `-` only; shortened by a digest of the whole where it is too long.
pub fn change_set(run: &str, job: &str, attempt: u32) -> String {
    let whole = format!("r-{run}-{job}-{attempt}");
    let permitted = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let name: String = whole.chars().map(permitted).collect();
    if name == whole && name.len() <= MAX_NAME {
        return name;
    }
    // Two names that differ only in what is cut off or replaced must not become the same one.
    let digest = format!("{:x}", Sha256::digest(whole.as_bytes()));
    let kept = name.len().min(MAX_NAME - 13);
    format!("{}-{}", &name[..kept], &digest[..12])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_distinct() {
        assert_eq!(change_set("0198-ab", "deploy-test", 2), "r-0198-ab-deploy-test-2");
        let long = |last: &str| change_set("run", &format!("{}{last}", "x".repeat(200)), 1);
        assert_ne!(long("a"), long("b"));
        assert_ne!(change_set("r", "a_b", 1), change_set("r", "a.b", 1));
        for name in [long("a"), change_set("Ä", "ü/é", 1)] {
            assert!(name.len() <= 100 && name.starts_with('r'), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{name}");
        }
    }
}
