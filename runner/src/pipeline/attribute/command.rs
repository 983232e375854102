//! The attributes of a command step.

use serde::{Deserialize, Serialize};

use indexmap::IndexMap;

use super::reader::{Reader, wrong};
use super::rules::{Retry, SoftFail};
use super::shared::Shared;
use crate::pipeline::diagnostic::{Diagnostic, Span, Spanned};
use crate::pipeline::model::{Cache, CommandStep};
use crate::pipeline::node::{Node, NodeKind};

/// The attributes of a command step, apart from those that [`CommandStep`] itself has.
#[derive(Debug, Clone, PartialEq)]
pub struct CommandAttributes<'a> {
    /// Key, label, condition, branches, dependencies, skip.
    pub shared: Shared,
    /// `uses`: the reference of the component to run.
    pub uses: Option<Spanned<String>>,
    /// `with`: the parameters of the component.
    pub with: Option<&'a Node>,
    /// `grants`: what the component may do.
    pub grants: Option<&'a Node>,
    /// `cache` with `inputs` and `outputs`: when a job may be answered from an earlier one.
    pub cache: Option<CacheFiles>,
    /// `agents`: the tags an agent must have. `None` means those of the pipeline.
    pub agents: Option<IndexMap<String, String>>,
    /// `artifact_paths`: globs of files to keep, one each.
    pub artifact_paths: Vec<Spanned<String>>,
    /// `soft_fail`.
    pub soft_fail: SoftFail,
    /// `retry`.
    pub retry: Retry,
    /// `timeout_in_minutes`, at least 1.
    pub timeout_in_minutes: Option<Spanned<u64>>,
    /// `parallelism`: how many jobs to make of the step. `Some(0)` makes none.
    pub parallelism: Option<Spanned<u64>>,
    /// `concurrency` with its group.
    pub concurrency: Option<Concurrency>,
    /// `priority`: higher goes first. `None` means that of the pipeline.
    pub priority: Option<i64>,
    /// `cancel_on_build_failing`.
    pub cancel_on_build_failing: bool,
    /// `image`: the container image for the command. `None` means that of the pipeline.
    pub image: Option<Spanned<String>>,
    /// `notify`, as written.
    pub notify: Option<&'a Node>,
}

/// The files that decide whether a job may be answered from an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CacheFiles {
    /// Globs of files whose contents are part of the identity of the job.
    pub inputs: Vec<Spanned<String>>,
    /// Globs of files the job makes.
    pub outputs: Vec<Spanned<String>>,
    /// Names of further variables that are part of the identity of the job.
    pub env: Vec<Spanned<String>>,
    /// What of the job's effects may be left out.
    pub allow: Vec<Spanned<String>>,
    /// Where it is written.
    pub span: Span,
}

/// How many jobs of a group run at the same time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// At most this many, at least 1.
    pub limit: u64,
    /// The name of the group, at most 200 bytes.
    pub group: Spanned<String>,
    /// Who goes next.
    pub method: ConcurrencyMethod,
}

/// Which job of a concurrency group goes next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConcurrencyMethod {
    /// The one created first.
    #[default]
    Ordered,
    /// Any that is ready.
    Eager,
}

/// The longest name of a concurrency group, in bytes.
const MAX_CONCURRENCY_GROUP: usize = 200;

impl CommandStep {
    /// Reads the attributes of the step.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn attributes(&self) -> Result<CommandAttributes<'_>, Vec<Diagnostic>> {
        let mut reader = Reader::new(&self.rest);
        let shared = Shared::read_named(&mut reader, self.key.clone(), self.label.clone());
        let attributes = CommandAttributes {
            shared,
            uses: uses(&mut reader),
            with: with(&mut reader),
            grants: reader.node(&["grants"]),
            cache: self.cache.as_ref().and_then(|cache| cache_files(&mut reader, cache)),
            agents: agents(&mut reader),
            artifact_paths: artifact_paths(&mut reader),
            soft_fail: SoftFail::read(&mut reader),
            retry: Retry::read(&mut reader),
            timeout_in_minutes: reader.count(&["timeout_in_minutes", "timeout"], 1),
            parallelism: reader.count(&["parallelism"], 0),
            concurrency: concurrency(&mut reader),
            priority: reader.integer(&["priority"]).map(|priority| priority.value),
            cancel_on_build_failing: reader.boolean("cancel_on_build_failing").unwrap_or(false),
            image: reader.text(&["image"]),
            notify: reader.node(&["notify"]),
        };
        if let (Some(parallelism), Some(matrix)) = (&attributes.parallelism, &self.matrix) {
            reader.report(
                Diagnostic::error("`parallelism` and `matrix` cannot be combined").at(parallelism.span).help(format!(
                    "the matrix of this step has {} dimensions",
                    matrix.setup.as_ref().map_or(0, IndexMap::len)
                )),
            );
        }
        reader.finish(attributes)
    }
}

fn uses(reader: &mut Reader<'_>) -> Option<Spanned<String>> {
    let node = reader.node(&["uses"])?;
    if node.as_str().is_none_or(str::is_empty) {
        reader.report(
            wrong("uses", node, "a component")
                .help("name a built-in component such as `docker-tag@1`, a file such as `./steps/mine.wasm`, or a registry reference"),
        );
        return None;
    }
    reader.text(&["uses"])
}

fn with<'a>(reader: &mut Reader<'a>) -> Option<&'a Node> {
    let node = reader.node(&["with"])?;
    if node.as_mapping().is_none() {
        reader.report(wrong("with", node, "a mapping of parameters"));
        return None;
    }
    Some(node)
}

fn cache_files<'a>(reader: &mut Reader<'a>, cache: &'a Cache) -> Option<CacheFiles> {
    if !["inputs", "outputs", "env", "allow"].iter().any(|key| cache.rest.contains_key(*key)) {
        return None;
    }
    Some(reader.within(&cache.rest, cache.span, |cache, span| CacheFiles {
        inputs: cache.texts(&["inputs"]).unwrap_or_default().value,
        outputs: cache.texts(&["outputs"]).unwrap_or_default().value,
        env: cache.texts(&["env"]).unwrap_or_default().value,
        allow: cache.texts(&["allow"]).unwrap_or_default().value,
        span,
    }))
}

/// The tags an agent must have: a mapping, a list of `k=v`, or one `k=v`. A tag without a value must be `true`.
pub(super) fn agents(reader: &mut Reader<'_>) -> Option<IndexMap<String, String>> {
    let keys = ["agents", "agent_query_rules"];
    let node = reader.node(&keys)?;
    if let NodeKind::Mapping(mapping) = &node.kind {
        let mut tags = IndexMap::with_capacity(mapping.len());
        for (name, entry) in mapping.iter() {
            if let Some(value) = reader.keep(entry.value.to_text()) {
                tags.insert(name.clone(), value);
            }
        }
        return Some(tags);
    }
    let rules = reader.texts(&keys)?;
    Some(
        rules
            .value
            .iter()
            .map(|rule| rule.split_once('=').unwrap_or((rule.as_str(), "true")))
            .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
            .collect(),
    )
}

fn artifact_paths(reader: &mut Reader<'_>) -> Vec<Spanned<String>> {
    let paths = reader.texts(&["artifact_paths", "artifacts"]).unwrap_or_default();
    paths
        .value
        .iter()
        .flat_map(|path| path.split(';').map(|glob| Spanned::new(glob.trim().to_owned(), path.span)))
        .filter(|glob| !glob.is_empty())
        .collect()
}

fn concurrency(reader: &mut Reader<'_>) -> Option<Concurrency> {
    let limit = reader.count(&["concurrency"], 1);
    let group = reader.text(&["concurrency_group"]);
    let method = match reader.text(&["concurrency_method"]) {
        None => ConcurrencyMethod::Ordered,
        Some(method) => match method.as_str() {
            "ordered" => ConcurrencyMethod::Ordered,
            "eager" => ConcurrencyMethod::Eager,
            other => {
                let message = format!("unknown `concurrency_method` `{other}`");
                reader.report(Diagnostic::error(message).at(method.span).label("expected `ordered` or `eager`"));
                ConcurrencyMethod::Ordered
            }
        },
    };
    match (limit, group) {
        (Some(limit), Some(group)) => {
            if group.len() > MAX_CONCURRENCY_GROUP {
                let message = format!("`concurrency_group` has {} bytes, expected at most 200", group.len());
                reader.report(Diagnostic::error(message).at(group.span));
            }
            Some(Concurrency { limit: limit.value, group, method })
        }
        (Some(limit), None) if reader.node(&["concurrency_group"]).is_none() => {
            reader.report(
                Diagnostic::error("`concurrency` needs a group")
                    .at(limit.span)
                    .help("add `concurrency_group: NAME`; jobs of one group share the limit"),
            );
            None
        }
        (None, Some(group)) if reader.node(&["concurrency"]).is_none() => {
            reader.report(
                Diagnostic::error("`concurrency_group` needs a limit")
                    .at(group.span)
                    .help("add `concurrency: 1` or another limit"),
            );
            None
        }
        _ => None,
    }
}
