//! `uses`: `name@range` for a built-in component, `./file.wasm` for a file, `host/path/name@range` in a registry.

use semver::VersionReq;
use std::fmt;

/// What a step's `uses` refers to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// A built-in component of a fitting version.
    BuiltIn {
        /// Its name.
        name: String,
        /// Versions that fit.
        range: VersionReq,
    },
    /// A file, relative to the workspace.
    File(String),
    /// A component in an OCI registry.
    Registry(String),
}

/// Why a text is no reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a component reference: {problem}")]
pub struct ReferenceError {
    /// As written.
    pub text: String,
    /// What is wrong with it.
    pub problem: String,
}

impl std::str::FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let wrong = |problem: &str| ReferenceError { text: text.to_owned(), problem: problem.to_owned() };
        if text.starts_with("./") || text.starts_with("../") || text.starts_with('/') {
            if std::path::Path::new(text).extension().is_none_or(|extension| extension != "wasm") {
                return Err(wrong("a file's name ends with .wasm"));
            }
            return Ok(Self::File(text.to_owned()));
        }
        if text.contains('/') {
            return Ok(Self::Registry(text.to_owned()));
        }
        let (name, range) = match text.split_once('@') {
            Some((name, range)) => {
                let range = VersionReq::parse(range);
                (
                    name,
                    range.map_err(|error| {
                        wrong(&format!("`@` is followed by a version range such as 1 or ^1.2: {error}"))
                    })?,
                )
            }
            None => return Err(wrong(&format!("it names no version; write {text}@1"))),
        };
        let well_formed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if name.is_empty() || !name.chars().all(well_formed) {
            return Err(wrong("a name has lower-case letters, digits and `-`; a file begins with ./"));
        }
        Ok(Self::BuiltIn { name: name.to_owned(), range })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BuiltIn { name, range } => write!(f, "{name}@{range}"),
            Self::File(path) => f.write_str(path),
            Self::Registry(reference) => f.write_str(reference),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_told_apart_by_their_form() {
        assert!(matches!("deploy@1".parse(), Ok(Reference::BuiltIn { name, .. }) if name == "deploy"));
        assert!(matches!("./steps/mine.wasm".parse(), Ok(Reference::File(_))));
        assert!(matches!("registry.example.com/steps/docker-tag@^1.2".parse(), Ok(Reference::Registry(_))));
        for (text, problem) in [
            ("deploy", "it names no version; write deploy@1"),
            ("deploy@one", "version range"),
            ("./deploy", "ends with .wasm"),
            ("De ploy@1", "lower-case"),
        ] {
            let error = text.parse::<Reference>().unwrap_err().to_string();
            assert!(error.contains(problem), "{error}");
        }
    }
}
