//! What a job's result depends on, as names and digests. Nothing in here reads a file, a clock or the environment.

use super::files::Content;
use crate::event::CacheKey;
use crate::plan::StepJob;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// Counts the ways in which keys were made: those of another way never meet.
const FORMAT: &str = "1";

/// Everything that decides a job's result.
#[derive(Debug, Clone, Copy)]
pub struct KeySource<'a> {
    /// What it runs.
    pub step: &'a StepJob,
    /// Its parameters, with the outputs of earlier jobs in them.
    pub params: &'a Value,
    /// The variables that count; `None` for the value of one whose value does not.
    pub env: &'a BTreeMap<String, Option<String>>,
    /// Operating system and processor.
    pub platform: &'a str,
    /// Its input files, by path.
    pub files: &'a BTreeMap<String, Content>,
}

impl KeySource<'_> {
    /// The key.
    #[must_use]
    pub fn key(&self) -> CacheKey {
        let Self { step, params, env, platform, files } = self;
        let mut parts = BTreeMap::new();
        let mut put = |kind: &str, name: &str, value: String| drop(parts.insert(format!("{kind}:{name}"), value));
        put("format", "", FORMAT.to_owned());
        put("platform", "", (*platform).to_owned());
        let component = |pin: &Option<crate::plan::ComponentPin>| {
            pin.as_ref().map(|pin| format!("{} {} {}", pin.name, pin.version, pin.digest)).unwrap_or_default()
        };
        put("component", "", component(&step.component));
        put("grants", "", digest_of(&step.grants));
        if step.command {
            put("command", "", String::new());
        }
        match params {
            Value::Object(members) => {
                members.iter().for_each(|(name, value)| put("parameter", name, digest_of(value)));
            }
            other => put("parameter", "", digest_of(other)),
        }
        for (when, phases) in [("before", &step.before), ("after", &step.after)] {
            for (number, phase) in (1..).zip(phases) {
                let what = (component(&phase.component), phase.command, &phase.params, &phase.grants);
                put("phase", &format!("{when} {number} {}", phase.uses), digest_of(&what));
            }
        }
        if let Some(parallel) = step.parallel {
            put("parallel", "", format!("{} of {}", parallel.index + 1, parallel.count));
        }
        for secret in &step.secrets {
            put("secret", &secret.variable, secret.name.clone());
        }
        step.artifact_paths.iter().for_each(|glob| put("artifacts", glob, String::new()));
        if let Some(rule) = &step.cache {
            rule.outputs.iter().for_each(|glob| put("output", glob, String::new()));
        }
        for (name, value) in *env {
            put("variable", name, value.as_ref().map_or_else(String::new, digest_of));
        }
        for (path, content) in *files {
            put("file", path, content.to_string());
        }
        CacheKey { digest: digest_of(&parts), parts }
    }
}

/// Whether the digest of a key is that of its parts.
#[must_use]
pub fn is_consistent(key: &CacheKey) -> bool {
    digest_of(&key.parts) == key.digest
}

/// One way in which two keys differ.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `file`, `variable`, `parameter`, `component`, `grants`, `phase`, `secret`, `platform`, …
    pub kind: String,
    /// Which one of its kind; empty where there is only one.
    pub name: String,
    /// What happened to it.
    pub change: Change,
}

/// What happened to a part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Only the later key has it.
    Added,
    /// Only the earlier key has it.
    Removed,
    /// It is another one.
    Changed,
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, name, change } = self;
        let what = match kind.as_str() {
            "artifacts" => "glob of artifacts",
            "output" => "glob of outputs",
            "parallel" => "place among parallel jobs",
            "command" => "permission to start programs",
            "format" => "format of keys",
            other => other,
        };
        let verb = match (change, kind.as_str()) {
            (Change::Added, _) => "is new",
            (Change::Removed, _) => "is gone",
            (Change::Changed, "grants") => "have changed",
            (Change::Changed, _) => "has changed",
        };
        let name = if name.is_empty() { String::new() } else { format!(" `{name}`") };
        write!(f, "{what}{name} {verb}")
    }
}

/// Every difference between the key of an earlier job and that of a later one.
#[must_use]
pub fn differences(earlier: &CacheKey, later: &CacheKey) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut differs = |part: &str, change| {
        let (kind, name) = part.split_once(':').unwrap_or((part, ""));
        found.push(Difference { kind: kind.to_owned(), name: name.to_owned(), change });
    };
    for (part, value) in &later.parts {
        match earlier.parts.get(part) {
            None => differs(part, Change::Added),
            Some(before) if before != value => differs(part, Change::Changed),
            Some(_) => {}
        }
    }
    earlier
        .parts
        .keys()
        .filter(|part| !later.parts.contains_key(*part))
        .for_each(|part| differs(part, Change::Removed));
    found
}

/// 64 hex digits: SHA-256 of a value as JSON.
fn digest_of(value: &impl Serialize) -> String {
    // Text, numbers, lists and maps with text for keys always become JSON.
    let json = serde_json::to_vec(value).unwrap_or_default();
    format!("{:x}", Sha256::digest(json))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn key(step: &Value, params: &Value, env: &[(&str, &str)], files: &[(&str, &str)]) -> CacheKey {
        let step: StepJob = serde_json::from_value(step.clone()).unwrap();
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned()))).collect();
        let link = |(path, target): &(&str, &str)| ((*path).to_owned(), Content::Link((*target).to_owned()));
        let files = files.iter().map(link).collect();
        KeySource { step: &step, params, env: &env, platform: "linux-x86_64", files: &files }.key()
    }

    #[test]
    fn each_part_makes_another_key_and_is_named() {
        let step = json!({"uses": "command", "params": {}, "grants": {},
            "component": {"name": "command", "version": "1.0.0", "digest": "sha256:aa"},
            "cache": {"inputs": ["src"]}});
        let params = json!({"command": "make"});
        let base = key(&step, &params, &[("CC", "gcc")], &[("a", "b")]);
        assert!(is_consistent(&base));
        let with = |name: &str, value: Value| {
            let mut changed = step.clone();
            changed[name] = value;
            changed
        };
        let pin = json!({"name": "command", "version": "1.0.0", "digest": "sha256:bb"});
        let phase = json!([{"uses": "x", "params": {"a": 1}, "grants": {}}]);
        let other = |step: &Value| key(step, &params, &[("CC", "gcc")], &[("a", "b")]);
        for (later, expected) in [
            (other(&with("component", pin)), "component has changed"),
            (other(&with("grants", json!({"workspace": "read"}))), "grants have changed"),
            (other(&with("before", phase.clone())), "phase `before 1 x` is new"),
            (other(&with("after", phase)), "phase `after 1 x` is new"),
            (other(&with("command", json!(true))), "permission to start programs is new"),
            (other(&with("parallel", json!({"index": 0, "count": 2}))), "place among parallel jobs is new"),
            (other(&with("secrets", json!([{"variable": "T", "name": "T"}]))), "secret `T` is new"),
            (other(&with("artifact_paths", json!(["*.log"]))), "glob of artifacts `*.log` is new"),
            (other(&with("cache", json!({"inputs": [], "outputs": ["dist"]}))), "glob of outputs `dist` is new"),
            (
                key(&step, &json!({"command": "true"}), &[("CC", "gcc")], &[("a", "b")]),
                "parameter `command` has changed",
            ),
            (key(&step, &params, &[("CC", "clang")], &[("a", "b")]), "variable `CC` has changed"),
            (key(&step, &params, &[], &[("a", "b")]), "variable `CC` is gone"),
            (key(&step, &params, &[("CC", "gcc")], &[("a", "c")]), "file `a` has changed"),
            (key(&step, &params, &[("CC", "gcc")], &[("a", "b"), ("x:y", "b")]), "file `x:y` is new"),
        ] {
            assert_ne!(later.digest, base.digest, "{expected}");
            let named: Vec<String> = differences(&base, &later).iter().map(ToString::to_string).collect();
            assert_eq!(named, [expected]);
        }
    }

    #[test]
    fn a_phase_that_may_start_programs_is_another() {
        let with = |command: bool| {
            let phase = json!([{"uses": "x", "command": command, "params": {}, "grants": {}}]);
            key(&json!({"uses": "x", "params": {}, "grants": {}, "before": phase}), &json!({}), &[], &[])
        };
        let named: Vec<String> = differences(&with(false), &with(true)).iter().map(ToString::to_string).collect();
        assert_eq!(named, ["phase `before 1 x` has changed"]);
    }

    #[test]
    fn what_names_a_job_or_bounds_it_is_no_part() {
        let step = json!({"uses": "command", "params": {}, "grants": {}, "cache": {"inputs": ["src"]}});
        let mut other = step.clone();
        other["timeout_minutes"] = json!(5);
        other["agents"] = json!({"queue": "big"});
        other["cache"] = json!({"inputs": ["src/**"], "env": ["A"]});
        assert_eq!(key(&step, &json!({}), &[], &[]).digest, key(&other, &json!({}), &[], &[]).digest);
    }
}
