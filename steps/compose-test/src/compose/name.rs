//! Which texts can be names.

/// A service, a network or a volume: what Compose allows, as far as it can be a host name too.
pub fn is_name(name: &str) -> bool {
    name.len() <= 63
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
}

/// A variable of the environment.
pub fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// Whether a text can be an image reference: `[registry[:port]/]path[:tag][@sha256:…]` (distribution reference
/// grammar).
pub fn is_image_reference(reference: &str) -> bool {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    let digest_fits = digest.is_none_or(|digest| {
        digest
            .strip_prefix("sha256:")
            .is_some_and(|hex| hex.len() == 64 && hex.chars().all(|c| c.is_ascii_digit() || ('a'..='f').contains(&c)))
    });
    let (repository, tag) = split_tag(name);
    let tag_fits = tag.is_none_or(|tag| {
        (1..=128).contains(&tag.len())
            && !tag.starts_with(['.', '-'])
            && tag.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'))
    });
    let (registry, path) = match repository.split_once('/') {
        Some((first, rest)) if first.contains(['.', ':']) || first == "localhost" => (Some(first), rest),
        _ => (None, repository),
    };
    let registry_fits = registry.is_none_or(|registry| {
        let (host, port) = registry.split_once(':').map_or((registry, None), |(host, port)| (host, Some(port)));
        port.is_none_or(|port| port.parse::<u16>().is_ok())
            && !host.is_empty()
            && host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-'))
    });
    digest_fits && tag_fits && registry_fits && repository.len() <= 255 && path.split('/').all(is_path_component)
}

/// The reference with a tag: an engine asked for none would take all of them.
pub fn with_tag(reference: &str) -> String {
    let tagged = reference.contains('@') || split_tag(reference).1.is_some();
    if tagged { reference.to_owned() } else { format!("{reference}:latest") }
}

fn split_tag(name: &str) -> (&str, Option<&str>) {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository, Some(tag)),
        _ => (name, None),
    }
}

fn is_path_component(component: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    component.starts_with(alphanumeric)
        && component.ends_with(alphanumeric)
        && component.chars().all(|c| alphanumeric(c) || matches!(c, '.' | '_' | '-'))
        && !component.contains("..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn image_references() {
        let digest = format!("postgres@sha256:{}", "a1".repeat(32));
        for good in ["bb", "postgres:16", "localhost:5000/a/b:1.0", "mirror.gcr.io/library/x", "a-b/c__d:T_1", &digest]
        {
            assert!(is_image_reference(good), "{good}");
        }
        for bad in
            ["", "Upper", "a b", "a:", "a//b", "x/../../containers/prune?f#", "a@sha256:12", "a:-x", "h:99999/x", "/a"]
        {
            assert!(!is_image_reference(bad), "{bad}");
        }
        assert_eq!(with_tag("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(with_tag("a:1"), "a:1");
        assert_eq!(with_tag(&digest), digest);
    }

    #[test]
    fn names() {
        assert!(is_name("provider.clspt") && is_name("1_a-1"));
        assert!(!is_name("../x?y=") && !is_name("") && !is_name("-a") && !is_name("_a") && !is_name(&"a".repeat(64)));
    }
}
