//! Pipeline to plan: expansion into jobs, conditions, and what waits for what.

mod cache;
mod changed;
mod connect;
mod defaults;
mod notify;
mod plugin;
mod point;
mod work;

use super::BuildContext;
use super::job::{ConcurrencyGroup, Dependency, Job, JobId, JobKind, Parallel, Plan};
use super::origin::{Order, Origin};
use super::settings::Settings;
use crate::pipeline::attribute::{CommandAttributes, IfChanged, Shared, SoftFail};
use crate::pipeline::condition::{self, Condition, Scope};
use crate::pipeline::model::Secret;
use crate::pipeline::{CommandStep, Diagnostic, Pipeline, Span, Spanned, Step, StepKind, branches};
use indexmap::IndexMap;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// Decides everything that can be decided before a run: which jobs there are, in which order, and which are skipped.
/// Components are not looked at yet.
///
/// # Errors
/// Everything that keeps the pipeline from being run, each with its place. Warnings come with the plan.
pub fn build(
    pipeline: &Pipeline,
    name: &str,
    context: &BuildContext,
) -> Result<(Plan, Vec<Diagnostic>), Vec<Diagnostic>> {
    build_with_origins(pipeline, name, context, &Settings::default()).map(|(plan, _, warnings)| (plan, warnings))
}

/// As [`build`] in a project with settings of its own, and says of every job where it comes from.
///
/// # Errors
/// As [`build`].
pub fn build_with_origins(
    pipeline: &Pipeline,
    name: &str,
    context: &BuildContext,
    settings: &Settings,
) -> Result<(Plan, Vec<Origin>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut builder = Builder::new(pipeline, context, settings);
    builder.read_defaults(pipeline);
    let mut level = Level::default();
    builder.steps(&pipeline.steps, &mut level, &Inherited::default());
    builder.notify(0);
    builder.connect(&pipeline.steps);
    if builder.errors.is_empty() {
        let env = builder.pipeline_env;
        let plan = Plan { pipeline: name.to_owned(), context: context.clone(), env, jobs: builder.jobs };
        Ok((plan, builder.origins, builder.warnings))
    } else {
        Err(builder.errors)
    }
}

/// Plans steps that a running job adds to its plan: the new jobs, whose positions follow those of the plan. All of
/// them wait for the job that added them, whatever else they wait for. `gone` are jobs whose keys and
/// names are free again.
///
/// # Errors
/// As [`build`].
pub fn extend(
    plan: &Plan,
    by: JobId,
    gone: &impl Fn(JobId) -> bool,
    pipeline: &Pipeline,
    settings: &Settings,
) -> Result<(Vec<Job>, Vec<Diagnostic>), Vec<Diagnostic>> {
    let mut builder = Builder::new(pipeline, &plan.context, settings);
    let own = std::mem::take(&mut builder.pipeline_env);
    let env = plan.env.iter().chain(&own).map(|(name, value)| (name.clone(), value.clone())).collect();
    builder.facts = plan.context.facts(&env);
    builder.step_env = own;
    builder.read_defaults(pipeline);
    builder.jobs.clone_from(&plan.jobs);
    builder.by_key.resize_with(plan.jobs.len(), Vec::new);
    for (job, planned) in plan.jobs().filter(|(job, _)| !gone(*job)) {
        builder.names.insert(planned.name.clone(), 1);
        for key in planned.step_key.iter().chain(&planned.group) {
            builder.keys.entry(key.clone()).or_default().push(job);
        }
    }
    builder.steps(&pipeline.steps, &mut Level { barrier: Some(by), ..Level::default() }, &Inherited::default());
    builder.notify(plan.jobs.len());
    builder.connect(&pipeline.steps);
    let mut added = builder.jobs.split_off(plan.jobs.len());
    for job in &mut added {
        if !job.depends_on.iter().any(|dependency| dependency.job == by) {
            job.depends_on.push(Dependency { job: by, allow_failure: job.notification.is_some() });
        }
    }
    if builder.errors.is_empty() { Ok((added, builder.warnings)) } else { Err(builder.errors) }
}

struct Builder<'a> {
    context: &'a BuildContext,
    settings: &'a Settings,
    /// The build context as conditions see it.
    facts: condition::Context,
    pipeline_env: IndexMap<String, String>,
    /// What every step's environment begins with.
    step_env: IndexMap<String, String>,
    priority: i64,
    image: Option<Spanned<String>>,
    agents: IndexMap<String, String>,
    secrets: Vec<Secret>,
    checkout: Map<String, Value>,
    /// What was found out about each `if_changed`: many steps have the same.
    changed: HashMap<IfChanged, bool>,
    jobs: Vec<Job>,
    /// Per job, what it depends on by key; resolved when all keys are known.
    by_key: Vec<Vec<KeyDependency>>,
    /// Per job, where it comes from.
    origins: Vec<Origin>,
    /// How many steps have been read, groups included.
    read: usize,
    /// Keys of steps and groups to their jobs.
    keys: HashMap<String, Vec<JobId>>,
    /// Names in use, each with the number last put behind it.
    names: HashMap<String, u32>,
    /// What conditions came to, by their text: large pipelines repeat few of them.
    decided: HashMap<String, bool>,
    /// What `notify` asks for.
    asked: Vec<notify::Asked>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
}

struct KeyDependency {
    step: Spanned<String>,
    allow_failure: bool,
    /// It comes from a use of the step's outputs.
    output: bool,
}

/// What the steps of one list (the pipeline's, or a group's) know of those before them.
#[derive(Default, Clone)]
struct Level {
    /// The barrier everything after it depends on.
    barrier: Option<JobId>,
    /// Jobs since that barrier.
    since: Vec<JobId>,
    /// Jobs before barriers that let failures pass: a plain barrier stops at those failures all the same.
    tolerated: Vec<JobId>,
}

/// What a group hands to its steps.
#[derive(Default, Clone)]
struct Inherited {
    group: Option<String>,
    group_label: Option<String>,
    /// Position of the group among all steps.
    position: Option<usize>,
    skip: Option<String>,
    depends_on: Option<Vec<(Spanned<String>, bool)>>,
    allow_dependency_failure: bool,
}

impl<'a> Builder<'a> {
    fn new(pipeline: &Pipeline, context: &'a BuildContext, settings: &'a Settings) -> Self {
        let env = pipeline.env.iter().flatten().map(|(name, value)| (name.clone(), value.value.to_string()));
        let pipeline_env: IndexMap<String, String> = env.collect();
        Self {
            context,
            settings,
            facts: context.facts(&pipeline_env),
            pipeline_env,
            step_env: IndexMap::new(),
            priority: 0,
            image: None,
            agents: IndexMap::new(),
            secrets: Vec::new(),
            checkout: Map::new(),
            changed: HashMap::new(),
            jobs: Vec::new(),
            by_key: Vec::new(),
            origins: Vec::new(),
            read: 0,
            keys: HashMap::new(),
            names: HashMap::new(),
            decided: HashMap::new(),
            asked: Vec::new(),
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    fn keep<T>(&mut self, result: Result<T, Vec<Diagnostic>>) -> Option<T> {
        result.map_err(|mut errors| self.errors.append(&mut errors)).ok()
    }

    fn steps(&mut self, steps: &[Step], level: &mut Level, inherited: &Inherited) {
        for step in steps {
            self.read += 1;
            if self.jobs.len() >= MAX_JOBS {
                let message = format!("the pipeline has more than {MAX_JOBS} jobs");
                self.errors
                    .push(Diagnostic::error(message).at(step.span).help("lower `parallelism`, or split the file"));
                return;
            }
            match &step.kind {
                StepKind::Command(command) => {
                    if self.command(command, step.span, level, inherited).is_none()
                        && let Some(key) = &command.key
                    {
                        self.register(key, Vec::new());
                    }
                }
                StepKind::Wait(wait) => {
                    if let Some(mut attributes) = self.keep(wait.wait_attributes()) {
                        // The format has it for what does something.
                        attributes.shared.if_changed = None;
                        self.wait(&attributes.shared, attributes.continue_on_failure, step.span, level, inherited);
                    }
                }
                StepKind::Input(input) => {
                    if let Some(mut attributes) = self.keep(input.input_attributes()) {
                        attributes.shared.if_changed = None;
                        self.gate(&attributes, step.span, level, inherited);
                    }
                }
                StepKind::Group(group) => {
                    let Some(attributes) = self.keep(group.attributes()) else { continue };
                    let first = self.jobs.len();
                    let shared = &attributes.shared;
                    let depends_on = shared.depends_on.as_ref().map(|all| {
                        all.value.iter().map(|one| (one.step.clone(), one.allow_failure)).collect::<Vec<_>>()
                    });
                    let handed_on = Inherited {
                        group: group.key.as_ref().map(|key| key.value.clone()),
                        group_label: Some(shared.label.as_ref().map(|label| label.value.clone()).unwrap_or_default()),
                        position: Some(self.read - 1),
                        skip: self.skip_reason(shared).or_else(|| inherited.skip.clone()),
                        depends_on: depends_on.or_else(|| inherited.depends_on.clone()),
                        allow_dependency_failure: shared.allow_dependency_failure,
                    };
                    let mut inner = Level { barrier: level.barrier, ..Level::default() };
                    self.steps(&group.steps, &mut inner, &handed_on);
                    let members: Vec<JobId> = (first..self.jobs.len()).map(id).collect();
                    if let Some(key) = &group.key {
                        self.register(key, members.clone());
                    }
                    self.ask_to_notify(attributes.notify, Some(&members));
                    level.since.extend(members);
                }
                StepKind::Trigger(trigger) => {
                    if let Some(attributes) = self.keep(trigger.trigger_attributes(step.span)) {
                        self.trigger(&attributes, step.span, level, inherited);
                    }
                }
                StepKind::Unknown(unknown) => {
                    let mut reason = unknown.reason.clone();
                    reason.severity = crate::pipeline::Severity::Error;
                    self.errors.push(reason);
                }
            }
        }
    }

    /// Makes the jobs of a command step; nothing when it has errors.
    fn command(&mut self, step: &CommandStep, span: Span, level: &mut Level, inherited: &Inherited) -> Option<()> {
        let attributes = self.keep(step.attributes())?;
        let first = self.jobs.len();
        if let Some(matrix) = &step.matrix {
            let permutations = self.keep(matrix.permutations())?;
            for (index, permutation) in permutations.iter().enumerate() {
                let expanded = step.for_permutation(permutation).map_err(|error| vec![error]);
                let expanded = self.keep(expanded)?;
                let attributes = self.keep(expanded.attributes())?;
                let soft_fail = permutation.soft_fail.as_ref().unwrap_or(&attributes.soft_fail).clone();
                let part = Part { index, count: permutations.len(), parallel: false };
                self.job(&expanded, &attributes, &soft_fail, span, level, inherited, Some(part));
            }
        } else if attributes.parallelism.is_some() {
            let count = self.parallelism(attributes.parallelism.as_ref())?;
            for index in 0..count {
                let part = Part { index, count, parallel: true };
                self.job(step, &attributes, &attributes.soft_fail, span, level, inherited, Some(part));
            }
        } else {
            self.job(step, &attributes, &attributes.soft_fail, span, level, inherited, None);
        }
        let made: Vec<JobId> = (first..self.jobs.len()).map(id).collect();
        if let Some(key) = &attributes.shared.key {
            self.register(key, made.clone());
        }
        self.ask_to_notify(attributes.notify, Some(&made));
        level.since.extend(made);
        Some(())
    }

    #[expect(clippy::too_many_arguments, reason = "one call site per way of expansion")]
    fn job(
        &mut self,
        step: &CommandStep,
        attributes: &CommandAttributes<'_>,
        soft_fail: &SoftFail,
        span: Span,
        level: &Level,
        inherited: &Inherited,
        part: Option<Part>,
    ) {
        let Some(mut work) = self.work(step, attributes, span) else { return };
        work.soft_fail.clone_from(soft_fail);
        if let Some(Part { index, count, parallel: true }) = part {
            work.parallel = Some(Parallel { index, count });
        }
        self.defaults(&mut work, step, attributes);
        self.cache(&mut work, attributes);
        let shared = &attributes.shared;
        let written = shared.label.as_ref().map(|label| label.value.clone());
        let label = part.map_or(written.clone(), |part| written.map(|label| part.label(&label)));
        let label = label.unwrap_or_else(|| work::default_label(step, &work));
        let references = work.references.clone();
        let concurrency = attributes.concurrency.as_ref();
        let job = Job {
            name: self.name(shared, &label, part),
            step_key: shared.key.as_ref().map(|key| key.value.clone()),
            label,
            group: inherited.group.clone(),
            group_label: inherited.group_label.clone(),
            kind: JobKind::Step(Box::new(work)),
            depends_on: Vec::new(),
            skip: self.skip_reason(shared).or_else(|| inherited.skip.clone()),
            notification: None,
            priority: attributes.priority.unwrap_or(self.priority),
            concurrency: concurrency.map(|group| ConcurrencyGroup {
                name: group.group.value.clone(),
                limit: group.limit,
                method: group.method,
            }),
            span: (span.start, span.end),
        };
        let implicit = level.barrier.map(after).into_iter().collect();
        self.push(job, shared, inherited, implicit);
        let position = self.by_key.len() - 1;
        for reference in references {
            let with = attributes.with.map_or(span, |with| with.nearest(&reference.pointer).span);
            let step = Spanned::new(reference.step, with);
            self.by_key[position].push(KeyDependency { step, allow_failure: false, output: true });
        }
    }

    /// How many jobs a step becomes; nothing, with an error, when they are too many.
    fn parallelism(&mut self, written: Option<&Spanned<u64>>) -> Option<usize> {
        let Some(written) = written else { return Some(1) };
        let count = usize::try_from(written.value).unwrap_or(usize::MAX);
        if count <= MAX_PARALLEL {
            return Some(count);
        }
        let message = format!("`parallelism` is {count}, expected at most {MAX_PARALLEL}");
        self.errors.push(Diagnostic::error(message).at(written.span));
        None
    }

    /// Adds a job. Explicit dependencies take the place of the implicit ones.
    fn push(&mut self, mut job: Job, shared: &Shared, inherited: &Inherited, implicit: Vec<Dependency>) {
        let mut tolerant = shared.allow_dependency_failure;
        let explicit = if let Some(written) = &shared.depends_on {
            Some(written.value.iter().map(|one| (one.step.clone(), one.allow_failure)).collect())
        } else {
            tolerant |= inherited.allow_dependency_failure;
            inherited.depends_on.clone()
        };
        let order = match (&shared.depends_on, &explicit) {
            (Some(_), _) => Order::Step,
            (None, Some(_)) => Order::Group,
            (None, None) => Order::Place,
        };
        self.origins.push(Origin { step: self.read - 1, group: inherited.position, order });
        let mut by_key = Vec::new();
        match explicit {
            None => {
                job.depends_on = implicit;
                // A failure behind a barrier is the barrier's to judge, unless this step says that it does not mind.
                for dependency in &mut job.depends_on {
                    dependency.allow_failure |= tolerant;
                }
            }
            Some(keys) => by_key.extend(keys.into_iter().map(|(step, allow)| KeyDependency {
                step,
                allow_failure: allow || tolerant,
                output: false,
            })),
        }
        self.jobs.push(job);
        self.by_key.push(by_key);
    }

    fn register(&mut self, key: &Spanned<String>, jobs: Vec<JobId>) {
        if key.value.is_empty() {
            return;
        }
        if self.keys.contains_key(&key.value) {
            self.errors.push(
                Diagnostic::error(format!("the key `{}` has already been used by another step", key.value))
                    .at(key.span),
            );
            return;
        }
        self.keys.insert(key.value.clone(), jobs);
    }

    /// Why a step is left out, in words that complete "skipped: …".
    fn skip_reason(&mut self, shared: &Shared) -> Option<String> {
        if let Some(reason) = &shared.skip {
            return Some(if reason.value.is_empty() { "`skip` is set".to_owned() } else { reason.value.clone() });
        }
        if let Some(branches) = &shared.branches
            && !self.context.branch.is_empty()
            && !branches::matches(&branches.value, &self.context.branch)
        {
            let patterns = branches.value.join(" ");
            return Some(format!("the branch `{}` does not match `branches: {patterns}`", self.context.branch));
        }
        self.condition(shared).or_else(|| self.unchanged(shared))
    }

    fn condition(&mut self, shared: &Shared) -> Option<String> {
        let condition = shared.condition.as_ref().filter(|condition| !condition.value.trim().is_empty())?;
        let evaluated = match self.decided.get(&condition.value) {
            Some(known) => Ok(*known),
            None => Condition::parse(condition, Scope::Build).and_then(|parsed| parsed.evaluate(&self.facts)),
        };
        if let Ok(decided) = evaluated
            && !self.decided.contains_key(&condition.value)
        {
            self.decided.insert(condition.value.clone(), decided);
        }
        match evaluated {
            Ok(true) => None,
            Ok(false) => Some(format!("`if: {}` does not hold", condition.trim())),
            Err(error) => {
                let place = condition.locate(error.start, error.end);
                let finding = Diagnostic::error(format!("in the condition: {}", error.message)).at(place);
                self.errors.push(Diagnostic { help: error.help, ..finding });
                None
            }
        }
    }

    /// A name nobody else in the plan has, made of what the user wrote.
    fn name(&mut self, shared: &Shared, label: &str, part: Option<Part>) -> String {
        let text = shared.key.as_ref().filter(|key| !key.value.is_empty()).map_or(label, |key| &key.value);
        let mut name = slug(text);
        if let Some(part) = part {
            name = format!("{name}-{}", part.index + 1);
        }
        let mut free = name.clone();
        while self.names.contains_key(&free) {
            let used = self.names.entry(name.clone()).or_insert(1);
            *used += 1;
            free = format!("{name}-{used}");
        }
        self.names.insert(free.clone(), 1);
        free
    }
}

/// Jobs one step may become; Buildkite's limit for an upload.
const MAX_PARALLEL: usize = 500;
/// Jobs after which no further step is planned: some kilobytes each.
const MAX_JOBS: usize = 250_000;

/// One of several jobs of a step.
#[derive(Clone, Copy)]
struct Part {
    index: usize,
    count: usize,
    parallel: bool,
}

impl Part {
    /// The label with `%n` (from 0), `%N` (from 1) and `%t`, `%T` (how many) filled in.
    fn label(self, label: &str) -> String {
        let label = label.replace("%n", &self.index.to_string()).replace("%N", &(self.index + 1).to_string());
        label.replace("%t", &self.count.to_string()).replace("%T", &self.count.to_string())
    }
}

fn id(index: usize) -> JobId {
    JobId(u32::try_from(index).unwrap_or(u32::MAX))
}

fn after(job: JobId) -> Dependency {
    Dependency { job, allow_failure: false }
}

/// Lower-case letters, digits, `-`, `_` and `.`, at most 32 of them; emoji names such as `:docker:` are left out.
fn slug(text: &str) -> String {
    let words =
        text.split_whitespace().filter(|word| !(word.len() > 2 && word.starts_with(':') && word.ends_with(':')));
    let mut slug = String::new();
    for character in words.collect::<Vec<_>>().join("-").chars() {
        match character.to_ascii_lowercase() {
            kept @ ('a'..='z' | '0'..='9' | '_' | '.') => slug.push(kept),
            _ if !slug.is_empty() && !slug.ends_with('-') => slug.push('-'),
            _ => {}
        }
        if slug.len() >= 32 {
            break;
        }
    }
    let slug = slug.trim_matches(['-', '.']);
    if slug.is_empty() { "step".to_owned() } else { slug.to_owned() }
}

#[cfg(test)]
mod tests;
