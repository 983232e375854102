//! The attributes of wait, trigger and group steps and of the pipeline itself.

use std::borrow::Cow;

use indexmap::IndexMap;

use super::command::agents;
use super::reader::Reader;
use super::rules::SoftFail;
use super::shared::Shared;
use crate::pipeline::diagnostic::{Diagnostic, Span, Spanned};
use crate::pipeline::model::{GroupStep, Pipeline, PlainStep};
use crate::pipeline::node::{Mapping, Node, NodeKind};

/// The attributes of a wait step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WaitAttributes {
    /// Key, label, condition, branches, dependencies.
    pub shared: Shared,
    /// `continue_on_failure`: the steps after it run even when one before it failed.
    pub continue_on_failure: bool,
}

/// The attributes of a trigger step.
#[derive(Debug, Clone, PartialEq)]
pub struct TriggerAttributes {
    /// Key, label, condition, branches, dependencies, skip.
    pub shared: Shared,
    /// `trigger`: the pipeline to start.
    pub pipeline: Spanned<String>,
    /// `build`: what to start it with.
    pub build: TriggeredBuild,
    /// `async`: passes as soon as the build exists, without waiting for its end.
    pub detached: bool,
    /// `soft_fail`.
    pub soft_fail: SoftFail,
    /// `parallelism`: how many builds to start.
    pub parallelism: Option<Spanned<u64>>,
}

/// What a triggered build starts with. Nothing of the environment is inherited.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TriggeredBuild {
    /// The message; by default the label of the step.
    pub message: Option<String>,
    /// The commit; by default `HEAD`.
    pub commit: Option<String>,
    /// The branch; by default that of the other pipeline.
    pub branch: Option<String>,
    /// Meta-data to set.
    pub meta_data: IndexMap<String, Spanned<String>>,
    /// The environment.
    pub env: IndexMap<String, Spanned<String>>,
}

/// The attributes of a group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupAttributes<'a> {
    /// Key, label, condition, dependencies, skip. Condition and skip also hold for every step in the group.
    pub shared: Shared,
    /// `notify`, as written.
    pub notify: Option<&'a Node>,
}

/// The attributes of a pipeline that are defaults for its steps.
#[derive(Debug, Clone, PartialEq)]
pub struct PipelineAttributes<'a> {
    /// `agents`: the tags an agent must have.
    pub agents: Option<IndexMap<String, String>>,
    /// `image`: the container image for commands.
    pub image: Option<Spanned<String>>,
    /// `priority`: higher goes first.
    pub priority: Option<i64>,
    /// `notify`, as written.
    pub notify: Option<&'a Node>,
}

impl PlainStep {
    /// Reads the attributes of a wait step.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn wait_attributes(&self) -> Result<WaitAttributes, Vec<Diagnostic>> {
        let words = ["wait", "waiter"];
        let contents = contents(self, &words);
        let mut reader = Reader::new(&contents.mapping);
        let mut shared = Shared::read(&mut reader);
        shared.label = label_behind(&mut reader, &words).or(shared.label);
        let continue_on_failure = reader.boolean("continue_on_failure").unwrap_or(false);
        reader.finish(WaitAttributes { shared, continue_on_failure })
    }

    /// Reads the attributes of a trigger step; `span` is that of the step.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn trigger_attributes(&self, span: Span) -> Result<TriggerAttributes, Vec<Diagnostic>> {
        let contents = contents(self, &["trigger"]);
        let mut reader = Reader::new(&contents.mapping);
        let shared = Shared::read(&mut reader);
        let pipeline = reader.text(&["trigger"]).filter(|slug| !slug.is_empty());
        let build = reader.nested("build", |build, _| triggered_build(build)).unwrap_or_default();
        let detached = reader.boolean("async").unwrap_or(false);
        let soft_fail = SoftFail::read(&mut reader);
        let parallelism = reader.count(&["parallelism"], 0);
        let Some(pipeline) = pipeline else {
            reader
                .report(Diagnostic::error("the trigger step names no pipeline").at(span).help("write `trigger: NAME`"));
            return Err(reader.into_findings());
        };
        reader.finish(TriggerAttributes { shared, pipeline, build, detached, soft_fail, parallelism })
    }
}

impl GroupStep {
    /// Reads the attributes of the group.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn attributes(&self) -> Result<GroupAttributes<'_>, Vec<Diagnostic>> {
        let mut reader = Reader::new(&self.rest);
        let label = self.group.clone().or_else(|| reader.text(&["label", "name"]));
        let shared = Shared::read_named(&mut reader, self.key.clone(), label);
        let notify = reader.node(&["notify"]);
        reader.finish(GroupAttributes { shared, notify })
    }
}

impl Pipeline {
    /// Reads the attributes that are defaults for the steps.
    ///
    /// # Errors
    /// Everything that is wrong with them, each with its place.
    pub fn attributes(&self) -> Result<PipelineAttributes<'_>, Vec<Diagnostic>> {
        let mut reader = Reader::new(&self.rest);
        let attributes = PipelineAttributes {
            agents: agents(&mut reader),
            image: reader.text(&["image"]),
            priority: reader.integer(&["priority"]).map(|priority| priority.value),
            notify: reader.node(&["notify"]),
        };
        reader.finish(attributes)
    }
}

/// The keys of a plain step, wherever they are written.
pub(super) struct Contents<'a> {
    pub(super) mapping: Cow<'a, Mapping>,
    /// The word that makes it this kind of step.
    pub(super) word: &'a str,
}

/// The label written behind the word of a step, as in `block: "Deploy?"`.
pub(super) fn label_behind(reader: &mut Reader<'_>, words: &[&str]) -> Option<Spanned<String>> {
    reader.text(words).filter(|label| !label.is_empty())
}

/// Unfolds `- wait` and `- wait: {continue_on_failure: true}` to the keys of the step side by side.
pub(super) fn contents<'a>(step: &'a PlainStep, words: &[&'a str]) -> Contents<'a> {
    let mapping = match step {
        PlainStep::Word(word) => return Contents { mapping: Cow::Owned(Mapping::new()), word: word.as_str() },
        PlainStep::Mapping(mapping) => mapping,
    };
    let word = words.iter().copied().find(|word| mapping.contains_key(*word)).unwrap_or(words[0]);
    let Some(NodeKind::Mapping(nested)) = mapping.get(word).map(|entry| &entry.value.kind) else {
        return Contents { mapping: Cow::Borrowed(mapping), word };
    };
    let mut keys = mapping.clone();
    keys.shift_remove(word);
    keys.extend(nested.iter().map(|(key, entry)| (key.clone(), entry.clone())));
    Contents { mapping: Cow::Owned(keys), word }
}

fn triggered_build(build: &mut Reader<'_>) -> TriggeredBuild {
    TriggeredBuild {
        message: build.text(&["message"]).map(|message| message.value),
        commit: build.text(&["commit"]).map(|commit| commit.value),
        branch: build.text(&["branch"]).map(|branch| branch.value),
        meta_data: build.variables("meta_data"),
        env: build.variables("env"),
    }
}
