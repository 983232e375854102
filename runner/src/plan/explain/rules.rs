//! The rules that made a step's jobs what they are, as sentences with places.

use super::{Facts, Places, Rule};
use crate::pipeline::attribute::Shared;
use crate::pipeline::condition::{Condition, Scope};
use crate::pipeline::interpolate::HIDDEN;
use crate::pipeline::matrix::Permutation;
use crate::pipeline::model::PlainStep;
use crate::pipeline::{Diagnostic, Mapping, Pipeline, Span, Step, StepKind, branches};
use crate::plan::origin::{Order, Origin, in_order};
use crate::plan::{Job, JobKind, StepJob};
use indexmap::IndexMap;
use serde_json::Value;

/// Attributes of a pipeline that hold for every step that does not have its own.
const DEFAULTS: [&str; 3] = ["agents", "image", "priority"];

/// What of a job's work is explained elsewhere, or is in effect as it stands. All else speaks for itself.
const TOLD: [&str; 8] = ["uses", "component", "command", "params", "references", "grants", "env", "parallel"];

pub(super) fn rules(
    facts: Facts<'_>,
    shown: &Pipeline,
    position: usize,
    step: &Step,
    jobs: &[(&Job, &Origin)],
) -> Result<Vec<Rule>, Diagnostic> {
    let steps = in_order(&facts.pipeline.steps);
    let mut list = List { facts, shown, steps, places: Places(facts.source), rules: Vec::new() };
    list.defaults(step);
    for (group, inner) in (0..position).filter_map(|at| Some((at, list.members(at)?))).collect::<Vec<_>>() {
        if position <= group + inner {
            list.group(group)?;
        }
    }
    list.left_out(step, position, "")?;
    list.expansion(step, jobs.len());
    for (job, origin) in jobs {
        if !matches!(step.kind, StepKind::Group(_)) {
            list.after(job, origin);
            list.work(step, job);
        }
    }
    Ok(list.rules)
}

/// The values of a combination of a matrix.
pub(super) fn combination(permutation: &Permutation) -> String {
    let values = permutation.values.iter();
    let values = values.map(|(name, value)| if name.is_empty() { value.clone() } else { format!("{name}={value}") });
    values.collect::<Vec<_>>().join(", ")
}

struct List<'a> {
    facts: Facts<'a>,
    /// The pipeline interpolated with its secrets hidden.
    shown: &'a Pipeline,
    steps: Vec<&'a Step>,
    places: Places<'a>,
    rules: Vec<Rule>,
}

impl List<'_> {
    /// Adds a rule. What holds for several jobs of the step is said once.
    fn add(&mut self, subject: &str, place: Option<Span>, text: String) {
        let rule = Rule { subject: subject.to_owned(), text, place: place.map(|span| self.places.at(span)) };
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }

    fn defaults(&mut self, step: &Step) {
        let StepKind::Command(command) = &step.kind else { return };
        for key in DEFAULTS {
            let Some(default) = self.facts.pipeline.rest.get(key) else { continue };
            if let Some(own) = command.rest.get(key) {
                self.add(key, Some(own.key_span), format!("the step's own `{key}` takes the place of the pipeline's"));
            } else {
                self.add(key, Some(default.key_span), format!("{}, from the pipeline", default.value.to_json()));
            }
        }
        let names: Vec<&String> = self.shown.env.iter().flatten().map(|(name, _)| name).collect();
        let (own, merged): (Vec<&String>, Vec<_>) = names.into_iter().partition(|name| command.env.contains_key(*name));
        let list = |names: &[&String]| names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        if !merged.is_empty() {
            let place = self.shown.env.as_ref().and_then(|env| env.get(merged[0])).map(|value| value.key_span);
            self.add("env", place, format!("the pipeline's variables are added: {}", list(&merged)));
        }
        for name in own {
            let place = command.env.get(name).map(|value| value.key_span);
            self.add("env", place, format!("the step's own {name} takes the place of the pipeline's"));
        }
    }

    /// How many steps there are in the group at a position, those of inner groups included.
    fn members(&self, position: usize) -> Option<usize> {
        match &self.steps.get(position)?.kind {
            StepKind::Group(group) => Some(in_order(&group.steps).len()),
            _ => None,
        }
    }

    fn group(&mut self, position: usize) -> Result<(), Diagnostic> {
        let Some(step) = self.steps.get(position).copied() else { return Ok(()) };
        let StepKind::Group(group) = &step.kind else { return Ok(()) };
        let name = group.key.as_ref().or(group.group.as_ref()).map_or("no name", |name| &name.value);
        self.add("group", Some(step.span), format!("in the group `{name}`"));
        if let Some(shared) = shared(step)
            && shared.allow_dependency_failure
        {
            let place = place(step, &["allow_dependency_failure"]);
            self.add("group", place, "`allow_dependency_failure` of the group".to_owned());
        }
        self.left_out(step, position, "of the group: ")
    }

    /// What decides whether the step takes part.
    fn left_out(&mut self, step: &Step, position: usize, whose: &str) -> Result<(), Diagnostic> {
        let Some(shared) = shared(step) else { return Ok(()) };
        if let Some(reason) = &shared.skip {
            let reason = if reason.is_empty() { String::new() } else { format!(": {}", reason.value) };
            self.add("skip", place(step, &["skip"]), format!("{whose}skipped{reason}"));
            // Nothing else was looked at.
            return Ok(());
        }
        let branch = &self.facts.plan.context.branch;
        if let Some(patterns) = &shared.branches {
            let (patterns, span) = (&patterns.value, patterns.span);
            let verdict = match branch.as_str() {
                "" => "is not looked at, because the branch is not known".to_owned(),
                branch if branches::matches(patterns, branch) => format!("matches the branch `{branch}`"),
                branch => format!("does not match the branch `{branch}`"),
            };
            self.add("branches", Some(span), format!("{whose}`{}` {verdict}", patterns.join(" ")));
        }
        if let Some(condition) = shared.condition.as_ref().filter(|condition| !condition.trim().is_empty()) {
            let failed = |error: crate::pipeline::condition::ConditionError| Diagnostic::error(error.message);
            let facts = self.facts.plan.context.facts(&env(self.facts.pipeline, |_| false));
            let holds = Condition::parse(condition, Scope::Build).and_then(|parsed| parsed.evaluate(&facts));
            let holds = if holds.map_err(failed)? { "holds" } else { "does not hold" };
            // The text that is shown, and the answers in it, must not be those with secrets.
            let steps = in_order(&self.shown.steps);
            let written = steps.get(position).and_then(|step| super::rules::shared(step)?.condition);
            let written = written.unwrap_or_default();
            let facts = self.facts.plan.context.facts(&env(self.shown, self.facts.secret));
            // A condition that is itself the value of a secret is none any more.
            let parsed = Condition::parse(&written, Scope::Build);
            let answers = parsed.and_then(|parsed| parsed.answers(&written, &facts)).unwrap_or_default();
            let answers: Vec<String> = answers.iter().map(|one| format!("{} is {}", one.asked, one.value)).collect();
            let answers = if answers.is_empty() { String::new() } else { format!(": {}", answers.join(", ")) };
            self.add("if", Some(condition.span), format!("{whose}`{}` {holds}{answers}", written.trim()));
        }
        Ok(())
    }

    fn expansion(&mut self, step: &Step, jobs: usize) {
        let StepKind::Command(command) = &step.kind else { return };
        if let Some(matrix) = &command.matrix {
            let dimensions: Vec<String> = matrix
                .setup
                .iter()
                .flatten()
                .map(
                    |(name, values)| {
                        if name.is_empty() { values.len().to_string() } else { format!("{name} {}", values.len()) }
                    },
                )
                .collect();
            let text = format!("one job for each combination: {jobs} of {}", dimensions.join(" × "));
            self.add("matrix", Some(matrix.span), text);
        } else if let Some(place) = place(step, &["parallelism"]) {
            self.add(
                "parallelism",
                Some(place),
                format!("{jobs} jobs; each knows its number as BUILDKITE_PARALLEL_JOB"),
            );
        }
    }

    fn after(&mut self, job: &Job, origin: &Origin) {
        let plan = self.facts.plan;
        let references = match &job.kind {
            JobKind::Step(step) => step.references.as_slice(),
            JobKind::Trigger(_) | JobKind::Wait | JobKind::Gate(_) => &[],
        };
        let barrier = job_word(job);
        // Jobs of one step are waited for together: step, why, how many, the name of the first.
        let mut edges: IndexMap<(usize, String), (usize, &str)> = IndexMap::new();
        for edge in &job.depends_on {
            let other = plan.job(edge.job);
            let outputs: Vec<String> = references
                .iter()
                .filter(|one| Some(&one.step) == other.step_key.as_ref())
                .map(|one| format!("`{}`", one.output))
                .collect();
            let why = match origin.order {
                _ if !outputs.is_empty() => format!("its output {} is used", outputs.join(", ")),
                Order::Step => "named in `depends_on`".to_owned(),
                Order::Group => "named in `depends_on` of the group".to_owned(),
                Order::Place => match (&other.kind, barrier) {
                    (JobKind::Wait, _) => "the barrier before it".to_owned(),
                    (JobKind::Gate(_), None) => "the block before it".to_owned(),
                    (_, Some(word)) => format!("stands before this {word}"),
                    (JobKind::Step(_) | JobKind::Trigger(_), None) => "stands before it".to_owned(),
                },
            };
            let may_fail = if edge.allow_failure { "; its failure is no reason not to run" } else { "" };
            let target = self.facts.origins.get(edge.job.index()).map_or(usize::MAX, |origin| origin.step);
            edges.entry((target, why + may_fail)).or_insert((0, &other.name)).0 += 1;
        }
        if edges.is_empty() {
            let why = match origin.order {
                Order::Step => "`depends_on` is empty",
                Order::Group => "`depends_on` of the group is empty",
                Order::Place => "nothing stands before it that it has to wait for",
            };
            self.add("after", None, format!("nothing: {why}"));
        }
        for ((target, why), (count, name)) in edges {
            let place = self.steps.get(target).map(|step| step.span);
            let count = if count > 1 { format!(" and {} more of its step", count - 1) } else { String::new() };
            self.add("after", place, format!("`{name}`{count}: {why}"));
        }
    }

    fn work(&mut self, step: &Step, job: &Job) {
        match &job.kind {
            JobKind::Wait => self.add("wait", None, "a barrier: passes when all that has to is over".to_owned()),
            JobKind::Gate(gate) => {
                let fields: Vec<&str> = gate.fields.iter().map(|field| field.key.as_str()).collect();
                let fields =
                    if fields.is_empty() { String::new() } else { format!(" and asks for {}", fields.join(", ")) };
                self.add("block", None, format!("waits for a person{fields}"));
            }
            JobKind::Trigger(trigger) => {
                let waits = if trigger.detached { "and does not wait for it" } else { "and waits for its end" };
                self.add("trigger", place(step, &["trigger"]), format!("starts `{}` {waits}", trigger.pipeline));
            }
            JobKind::Step(work) => self.component(step, job, work),
        }
        if let Some(group) = &job.concurrency {
            let text = format!("at most {} of the jobs of `{}` at once", group.limit, group.name);
            self.add("concurrency", place(step, &["concurrency_group"]), text);
        }
        if let Some(own) = place(step, &["priority"]) {
            self.add("priority", Some(own), format!("{}: higher goes first", job.priority));
        }
    }

    fn component(&mut self, step: &Step, job: &Job, work: &StepJob) {
        let uses = place(step, &["uses"]);
        match &work.component {
            Some(pin) => {
                let text = format!("`{}` is {} {}, {}", work.uses, pin.name, pin.version, pin.digest);
                self.add("component", uses, text);
            }
            None if job.skip.is_some() => {
                let text = format!("`{}` is not looked for, because the step is skipped", work.uses);
                self.add("component", uses, text);
            }
            None => self.add("component", uses, format!("`{}` has not been looked for", work.uses)),
        }
        let grants = serde_json::to_value(&work.grants).unwrap_or_default();
        let grants = grants.as_object().filter(|grants| !grants.is_empty());
        for (kind, grant) in grants.into_iter().flatten() {
            self.add("grants", place(step, &["grants"]), format!("{kind}: {grant}"));
        }
        if work.command {
            self.add("grants", None, "the command is the permission to start programs on this machine".to_owned());
        } else if grants.is_none() {
            self.add("grants", None, "nothing: it can compute, log and read its parameters".to_owned());
        }
        if work.component.is_some() {
            let text = "the parameters fit the component's schema, and nothing it needs for them is missing above";
            self.add("admitted", None, text.to_owned());
        }
        let Ok(Value::Object(attributes)) = serde_json::to_value(work) else { return };
        for (name, value) in attributes.iter().filter(|(name, _)| !TOLD.contains(&name.as_str())) {
            let key = if name == "timeout_minutes" { "timeout_in_minutes" } else { name };
            self.add(key, place(step, &[key]), value.to_string());
        }
    }
}

/// The word for a job that others wait at.
fn job_word(job: &Job) -> Option<&'static str> {
    match job.kind {
        JobKind::Wait => Some("wait"),
        JobKind::Gate(_) => Some("block"),
        JobKind::Step(_) | JobKind::Trigger(_) => None,
    }
}

/// The environment of a pipeline, with values hidden that `secret` says are to be.
fn env(pipeline: &Pipeline, secret: fn(&str) -> bool) -> IndexMap<String, String> {
    let variables = pipeline.env.iter().flatten();
    let value = |name: &str, value: &str| if secret(name) && !value.is_empty() { HIDDEN } else { value }.to_owned();
    variables.map(|(name, variable)| (name.clone(), value(name, &variable.value.value))).collect()
}

fn shared(step: &Step) -> Option<Shared> {
    match &step.kind {
        StepKind::Command(command) => command.attributes().ok().map(|attributes| attributes.shared),
        StepKind::Wait(wait) => wait.wait_attributes().ok().map(|attributes| attributes.shared),
        StepKind::Input(input) => input.input_attributes().ok().map(|attributes| attributes.shared),
        StepKind::Trigger(trigger) => trigger.trigger_attributes(step.span).ok().map(|attributes| attributes.shared),
        StepKind::Group(group) => group.attributes().ok().map(|attributes| attributes.shared),
        StepKind::Unknown(_) => None,
    }
}

/// Where the first of the keys stands that the step has.
fn place(step: &Step, keys: &[&str]) -> Option<Span> {
    let mapping: &Mapping = match &step.kind {
        StepKind::Command(command) => &command.rest,
        StepKind::Group(group) => &group.rest,
        StepKind::Wait(PlainStep::Mapping(mapping))
        | StepKind::Input(PlainStep::Mapping(mapping))
        | StepKind::Trigger(PlainStep::Mapping(mapping)) => mapping,
        _ => return None,
    };
    keys.iter().find_map(|key| mapping.get(*key)).map(|entry| entry.key_span)
}
