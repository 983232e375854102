//! What is kept of a job that has passed. An entry may come from anywhere, so everything in it is checked before it is
//! used.

use super::files::MAX_BYTES;
use super::key::is_consistent;
use crate::capability::step::artifact_path;
use crate::event::{Annotation, CacheKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::HashSet;

/// Counts the ways in which entries are written.
const FORMAT: u32 = 1;

/// Bytes of an entry as JSON, without what it refers to.
pub const MAX_ENTRY: u64 = 32 << 20;

/// Facts of one entry.
const MAX_FACTS: usize = 20_000;

/// Artifacts of one entry: each is an open file while the entry is used.
pub const MAX_ARTIFACTS: usize = 500;

/// The result of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Always 1.
    format: u32,
    /// What the result depends on.
    pub key: CacheKey,
    /// The job that had it.
    pub from: Origin,
    /// Its outputs.
    #[serde(default)]
    pub outputs: Map<String, Value>,
    /// What it wrote down for others, in this order.
    #[serde(default)]
    pub facts: Vec<Fact>,
    /// Its artifacts, in this order.
    #[serde(default)]
    pub artifacts: Vec<KeptArtifact>,
    /// Archive of its output files; `None` when it has none.
    #[serde(default)]
    pub files: Option<Blob>,
    /// Its log; `None` when it said nothing.
    #[serde(default)]
    pub log: Option<Blob>,
}

/// Where a result comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// Identifier of the run.
    pub run: String,
    /// Number of the run in its project.
    pub number: u64,
    /// Name of the agent.
    pub agent: String,
    /// When the job ended: milliseconds since 1970-01-01T00:00:00Z.
    pub at: u64,
}

/// What a job wrote down for others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum Fact {
    /// Meta-data of the run.
    MetaData {
        /// Its name.
        key: String,
        /// Its value.
        value: String,
    },
    /// An annotation. One of a job is one of the job that takes over the result.
    Annotation {
        /// What was written.
        annotation: Annotation,
        /// Whether it is added to what is there.
        append: bool,
    },
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptArtifact {
    /// Its path.
    pub path: String,
    /// Its content.
    pub content: Blob,
}

/// Bytes by their digest.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blob {
    /// 64 hex digits of the SHA-256.
    pub sha256: String,
    /// How many bytes.
    pub size: u64,
}

impl Entry {
    /// An entry that holds nothing but where it comes from.
    #[must_use]
    pub fn new(key: CacheKey, from: Origin) -> Self {
        let (outputs, facts, artifacts) = (Map::new(), Vec::new(), Vec::new());
        Self { format: FORMAT, key, from, outputs, facts, artifacts, files: None, log: None }
    }

    /// Reads an entry that is to answer for a key.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(json: &[u8], key: &CacheKey) -> Result<Self, String> {
        if json.len() as u64 > MAX_ENTRY {
            return Err(format!("it has {} bytes, more than any entry", json.len()));
        }
        let entry: Self = serde_json::from_slice(json).map_err(|error| format!("it is no entry: {error}"))?;
        entry.check(key)?;
        Ok(entry)
    }

    /// What it refers to, each once.
    #[must_use]
    pub fn blobs(&self) -> Vec<&Blob> {
        let mut seen = HashSet::new();
        let all = self.artifacts.iter().map(|artifact| &artifact.content).chain(&self.files).chain(&self.log);
        all.filter(|blob| seen.insert(*blob)).collect()
    }

    fn check(&self, key: &CacheKey) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!("it is of format {}, and this version knows {FORMAT}", self.format));
        }
        if self.key != *key || !is_consistent(&self.key) {
            return Err("it belongs to another key".to_owned());
        }
        if self.from.run.len() > 256 || self.from.agent.len() > 256 {
            return Err("it comes from no run".to_owned());
        }
        if self.facts.len() > MAX_FACTS {
            return Err(format!("it holds more than {MAX_FACTS} facts"));
        }
        if self.artifacts.len() > MAX_ARTIFACTS {
            return Err(format!("it holds more than {MAX_ARTIFACTS} artifacts"));
        }
        for artifact in &self.artifacts {
            if artifact_path(&artifact.path).ok().as_deref() != Some(artifact.path.as_str()) {
                return Err(format!("`{}` is no path of an artifact", artifact.path.escape_debug()));
            }
        }
        for fact in &self.facts {
            let fits = match fact {
                Fact::MetaData { key, value } => {
                    (1..=255).contains(&key.len()) && (1..=100 << 10).contains(&value.len())
                }
                Fact::Annotation { annotation, .. } => {
                    annotation.body.len() <= 1 << 20 && annotation.context.len() <= 1024
                }
            };
            if !fits {
                return Err("it holds meta-data or an annotation that no job can write".to_owned());
            }
        }
        for blob in self.blobs() {
            let digest = blob.sha256.len() == 64
                && blob.sha256.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
            if !digest || blob.size > 2 * MAX_BYTES {
                return Err("it refers to what cannot be in a cache".to_owned());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key() -> CacheKey {
        let step = serde_json::from_value(json!({"uses": "x", "params": {}, "grants": {}})).unwrap();
        let (env, files) = (std::collections::BTreeMap::new(), std::collections::BTreeMap::new());
        super::super::key::KeySource { step: &step, params: &json!({}), env: &env, platform: "p", files: &files }.key()
    }

    #[test]
    fn entries_that_no_job_has_made_are_refused() {
        let origin = Origin { run: "r".to_owned(), number: 1, agent: "a".to_owned(), at: 1 };
        let good = serde_json::to_value(Entry::new(key(), origin)).unwrap();
        let read = |value: &Value| Entry::read(value.to_string().as_bytes(), &key());
        assert!(read(&good).is_ok());
        let blob = json!({"sha256": "a".repeat(64), "size": 1});
        for (pointer, value, expected) in [
            ("format", json!(2), "format 2"),
            ("more", json!(1), "no entry"),
            ("key", json!({"digest": "0".repeat(64), "parts": {}}), "another key"),
            ("artifacts", json!([{"path": "../x", "content": blob}]), "no path"),
            ("artifacts", json!([{"path": "/x", "content": blob}]), "no path"),
            (
                "artifacts",
                json!(vec![json!({"path": "x", "content": blob}); MAX_ARTIFACTS + 1]),
                "more than 500 artifacts",
            ),
            ("files", json!({"sha256": "../../x", "size": 1}), "cannot be in a cache"),
            ("log", json!({"sha256": "a".repeat(64), "size": u64::MAX}), "cannot be in a cache"),
            ("facts", json!([{"meta_data": {"key": "", "value": "x"}}]), "no job can write"),
        ] {
            let mut bad = good.clone();
            bad[pointer] = value;
            let error = read(&bad).unwrap_err();
            assert!(error.contains(expected), "{pointer}: {error}");
        }
        assert!(Entry::read(&good.to_string().as_bytes()[..50], &key()).is_err());
    }
}
