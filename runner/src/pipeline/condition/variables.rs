//! The variables of conditions, their types and where their values are.

use super::Scope;
use super::context::{Context, StepFacts};

/// The type of a part of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    Null,
    Bool,
    Integer,
    Text,
    /// Text that can only be one of a few words.
    Word(&'static Words),
    List,
    Pattern,
}

/// The words a variable can be.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Words {
    pub(super) what: &'static str,
    pub(super) words: &'static [&'static str],
}

/// The value of a variable; `None` is null.
pub(super) enum Fact<'c> {
    Bool(Option<bool>),
    Integer(Option<i64>),
    Text(Option<&'c str>),
    List(Option<&'c [String]>),
}

/// A variable by its full name.
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) kind: Type,
    pub(super) read: fn(&Context) -> Fact<'_>,
}

/// The variable of a name in a scope.
pub(super) fn variable(name: &str, scope: Scope) -> Option<&'static Variable> {
    variables(scope).find(|variable| variable.name == name)
}

/// All variables of a scope.
pub(super) fn variables(scope: Scope) -> impl Iterator<Item = &'static Variable> {
    let step: &[Variable] = if scope == Scope::Step { &STEP } else { &[] };
    BUILD.iter().chain(step)
}

static BUILD: [Variable; 43] = [
    new("build.id", Type::Text, |c| Fact::Text(c.build.id.as_deref())),
    new("build.state", Type::Word(&BUILD_STATE), |c| Fact::Text(c.build.state.as_deref())),
    new("build.fixed", Type::Bool, |c| Fact::Bool(c.build.fixed)),
    new("build.blocked_state", Type::Word(&BLOCKED_STATE), |c| Fact::Text(c.build.blocked_state.as_deref())),
    new("build.source", Type::Word(&SOURCE), |c| Fact::Text(c.build.source.as_deref())),
    new("build.source_event", Type::Text, |c| Fact::Text(source_event(c))),
    new("build.source_action", Type::Text, |c| {
        Fact::Text(webhook(c, c.build.source_action.as_deref(), "BUILDKITE_GITHUB_ACTION"))
    }),
    new("build.branch", Type::Text, |c| Fact::Text(c.build.branch.as_deref())),
    new("build.tag", Type::Text, |c| present(c.build.tag.as_deref())),
    new("build.message", Type::Text, |c| present(c.build.message.as_deref())),
    new("build.commit", Type::Text, |c| Fact::Text(c.build.commit.as_deref())),
    new("build.number", Type::Integer, |c| Fact::Integer(c.build.number)),
    new("build.creator.id", Type::Text, |c| Fact::Text(c.build.creator.id.as_deref())),
    new("build.creator.name", Type::Text, |c| Fact::Text(c.build.creator.name.as_deref())),
    new("build.creator.email", Type::Text, |c| Fact::Text(c.build.creator.email.as_deref())),
    new("build.creator.teams", Type::List, |c| Fact::List(c.build.creator.teams.as_deref())),
    new("build.creator.verified", Type::Bool, |c| Fact::Bool(c.build.creator.verified)),
    new("build.author.id", Type::Text, |c| Fact::Text(c.build.author.id.as_deref())),
    new("build.author.name", Type::Text, |c| present(c.build.author.name.as_deref())),
    new("build.author.email", Type::Text, |c| present(c.build.author.email.as_deref())),
    new("build.author.teams", Type::List, |c| Fact::List(c.build.author.teams.as_deref())),
    new("build.scm.author.name", Type::Text, |c| Fact::Text(c.build.scm.author_name.as_deref())),
    new("build.scm.author.email", Type::Text, |c| Fact::Text(c.build.scm.author_email.as_deref())),
    new("build.scm.committer.name", Type::Text, |c| Fact::Text(c.build.scm.committer_name.as_deref())),
    new("build.scm.committer.email", Type::Text, |c| Fact::Text(c.build.scm.committer_email.as_deref())),
    new("build.pull_request.id", Type::Text, |c| Fact::Text(c.build.pull_request.id.as_deref())),
    new("build.pull_request.base_branch", Type::Text, |c| Fact::Text(c.build.pull_request.base_branch.as_deref())),
    new("build.pull_request.draft", Type::Bool, |c| Fact::Bool(c.build.pull_request.draft)),
    new("build.pull_request.label", Type::Text, |c| {
        let label = c.build.pull_request.label.as_deref();
        Fact::Text(label.filter(|_| source_event(c) == Some("pull_request")))
    }),
    new("build.pull_request.labels", Type::List, |c| Fact::List(c.build.pull_request.labels.as_deref())),
    new("build.pull_request.repository", Type::Text, |c| Fact::Text(c.build.pull_request.repository.as_deref())),
    new("build.pull_request.repository.fork", Type::Bool, |c| Fact::Bool(c.build.pull_request.repository_fork)),
    new("build.merge_queue.base_branch", Type::Text, |c| Fact::Text(c.build.merge_queue.base_branch.as_deref())),
    new("build.merge_queue.base_commit", Type::Text, |c| Fact::Text(c.build.merge_queue.base_commit.as_deref())),
    new("pipeline.id", Type::Text, |c| Fact::Text(c.pipeline.id.as_deref())),
    new("pipeline.slug", Type::Text, |c| Fact::Text(c.pipeline.slug.as_deref())),
    new("pipeline.default_branch", Type::Text, |c| present(c.pipeline.default_branch.as_deref())),
    new("pipeline.repository", Type::Text, |c| present(c.pipeline.repository.as_deref())),
    new("pipeline.started_passing", Type::Bool, |c| Fact::Bool(c.pipeline.started_passing)),
    new("pipeline.started_failing", Type::Bool, |c| Fact::Bool(c.pipeline.started_failing)),
    new("pipeline.next_finished_build_exists", Type::Bool, |c| Fact::Bool(c.pipeline.next_finished_build_exists)),
    new("organization.id", Type::Text, |c| Fact::Text(c.organization.id.as_deref())),
    new("organization.slug", Type::Text, |c| Fact::Text(c.organization.slug.as_deref())),
];

static STEP: [Variable; 6] = [
    new("step.id", Type::Text, |c| step(c, |step| step.id.as_deref())),
    new("step.key", Type::Text, |c| step(c, |step| step.key.as_deref())),
    new("step.type", Type::Word(&STEP_TYPE), |c| step(c, |step| step.kind.as_deref())),
    new("step.label", Type::Text, |c| step(c, |step| step.label.as_deref())),
    new("step.state", Type::Word(&STEP_STATE), |c| step(c, |step| step.state.as_deref())),
    new("step.outcome", Type::Word(&STEP_OUTCOME), |c| step(c, |step| step.outcome.as_deref())),
];

static BUILD_STATE: Words = Words {
    what: "build state",
    words: &[
        "creating",
        "started",
        "running",
        "scheduled",
        "blocked",
        "passed",
        "failing",
        "failed",
        "canceling",
        "canceled",
        "skipped",
        "not_run",
    ],
};
static BLOCKED_STATE: Words = Words { what: "build blocked state", words: &["failed", "passed", "running"] };
static SOURCE: Words =
    Words { what: "build source", words: &["api", "ui", "webhook", "trigger_job", "schedule", "pipeline_trigger"] };
static STEP_TYPE: Words = Words { what: "step type", words: &["command", "wait", "input", "trigger", "group"] };
static STEP_STATE: Words = Words {
    what: "step state",
    words: &[
        "ignored",
        "waiting_for_dependencies",
        "ready",
        "waiting_for_input",
        "running",
        "failing",
        "canceled",
        "finished",
    ],
};
static STEP_OUTCOME: Words =
    Words { what: "step outcome", words: &["neutral", "passed", "soft_failed", "hard_failed", "errored"] };

const fn new(name: &'static str, kind: Type, read: fn(&Context) -> Fact<'_>) -> Variable {
    Variable { name, kind, read }
}

/// Text that is null when it is blank.
fn present(text: Option<&str>) -> Fact<'_> {
    Fact::Text(text.filter(|text| !text.trim().is_empty()))
}

fn step(context: &Context, read: fn(&StepFacts) -> Option<&str>) -> Fact<'_> {
    Fact::Text(context.step.as_ref().and_then(read))
}

fn source_event(context: &Context) -> Option<&str> {
    webhook(context, context.build.source_event.as_deref(), "BUILDKITE_GITHUB_EVENT")
}

/// What only builds started by a webhook have; from the environment when the build does not say it.
fn webhook<'c>(context: &'c Context, value: Option<&'c str>, variable: &str) -> Option<&'c str> {
    let value = value.or_else(|| context.env.get(variable).map(String::as_str));
    value.filter(|_| context.build.source.as_deref() == Some("webhook"))
}
