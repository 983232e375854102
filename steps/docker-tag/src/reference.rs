//! Names of images, after the grammar of the distribution project (`reference/regexp.go`), and paths of contexts.

/// The longest tag, in characters.
const MAX_TAG: usize = 128;
/// The longest repository, in bytes.
const MAX_REPOSITORY: usize = 255;

/// Accepts `[registry[:port]/]path`, with neither tag nor digest.
///
/// # Errors
/// What is wrong with it.
pub fn check_repository(repository: &str) -> Result<(), String> {
    let shown = repository.escape_debug();
    if repository.contains('@') {
        return Err(format!("`{shown}` has a digest"));
    }
    let last = repository.rsplit('/').next().unwrap_or(repository);
    if repository.contains('/') && last.contains(':') {
        return Err(format!("`{shown}` has a tag"));
    }
    if repository.len() > MAX_REPOSITORY {
        return Err(format!("it has {} characters, expected at most {MAX_REPOSITORY}", repository.len()));
    }
    let (registry, path) = match repository.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, repository),
    };
    if let Some(registry) = registry {
        let (host, port) = registry.split_once(':').unwrap_or((registry, "443"));
        let host_fits = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'));
        if !host_fits || port.parse::<u16>().is_err() {
            return Err(format!("`{}` is no registry", registry.escape_debug()));
        }
    }
    match path.split('/').find(|component| !is_path_component(component)) {
        None => Ok(()),
        Some("") => Err(format!("`{shown}` has an empty part")),
        Some(component) => Err(format!("`{}` is no part of a name", component.escape_debug())),
    }
}

/// A valid tag made of any text: every run of other characters becomes one `-`, and what may not stand at the start is
/// left out. `None` when nothing is left.
pub fn tag(text: &str) -> Option<String> {
    if is_tag(text) {
        return Some(text.to_owned());
    }
    let mut tag = String::new();
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-') {
            tag.push(c);
        } else if !tag.ends_with('-') {
            tag.push('-');
        }
    }
    let tag: String = tag.trim_start_matches(['.', '-']).chars().take(MAX_TAG).collect();
    let tag = tag.trim_end_matches('-');
    is_tag(tag).then(|| tag.to_owned())
}

/// A path below the workspace in normal form; `None` when it is absolute or leads upwards.
pub fn beneath(path: &str) -> Option<String> {
    if path.starts_with('/') || path.contains('\0') {
        return None;
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return None;
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn is_tag(tag: &str) -> bool {
    (1..=MAX_TAG).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'))
}

/// Lower-case letters and digits, separated by `.`, `_`, `__` or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let separators = component.split(alphanumeric).filter(|separator| !separator.is_empty());
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && separators
            .into_iter()
            .all(|separator| matches!(separator, "." | "_" | "__") || separator.chars().all(|c| c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories() {
        for good in
            ["orders", "team/orders", "localhost:5000/a", "registry.example.com/team/a-b__c.d", "127.0.0.1:5000/orders"]
        {
            assert_eq!(check_repository(good), Ok(()), "{good}");
        }
        for (bad, reason) in [
            ("", "`` has an empty part"),
            ("registry.example.com/orders:1", "`registry.example.com/orders:1` has a tag"),
            ("orders@sha256:00", "`orders@sha256:00` has a digest"),
            ("orders:1", "`orders:1` is no part of a name"),
            ("registry.example.com/Orders", "`Orders` is no part of a name"),
            ("registry.example.com:99999/o", "`registry.example.com:99999` is no registry"),
            ("a//b", "`a//b` has an empty part"),
            ("a/../b", "`..` is no part of a name"),
            ("a/b._c", "`b._c` is no part of a name"),
            ("a/b?x#", "`b?x#` is no part of a name"),
        ] {
            assert_eq!(check_repository(bad), Err(reason.to_owned()), "{bad}");
        }
        assert!(check_repository(&"a".repeat(256)).is_err());
    }

    #[test]
    fn any_text_becomes_a_tag() {
        let long = "x".repeat(200);
        for (text, expected) in [
            ("1.2.3", Some("1.2.3")),
            ("feature/x", Some("feature-x")),
            ("feature//x y", Some("feature-x-y")),
            ("-.release/", Some("release")),
            ("v1+build", Some("v1-build")),
            ("_a", Some("_a")),
            ("größe", Some("gr-e")),
            ("", None),
            ("///", None),
            (&long, Some(&long[..128])),
        ] {
            assert_eq!(tag(text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn contexts_stay_below_the_workspace() {
        assert_eq!(beneath("./service//a/").as_deref(), Some("service/a"));
        assert_eq!(beneath("").as_deref(), Some("."));
        assert_eq!((beneath("/a"), beneath("a/../..")), (None, None));
    }
}
