//! From a pipeline file to a plan that may be run: every check that comes before the first job.

use super::context::ContextFlags;
use super::error::{Error, ExitStatus};
use super::project::{Project, cache_directory};
use crate::agent::own_environment;
use crate::capability::aws::SdkClients;
use crate::capability::docker::Bollard;
use crate::capability::step::{ArtifactStore, EnvironmentSecrets};
use crate::component::{CompiledCache, Components, Refusal, RefusalKind, admit};
use crate::host::{Services, StepEngine};
use crate::pipeline::{self, CommandStep, Diagnostic, Env, Pipeline, Precedence, Source, Span, Step, StepKind};
use crate::plan::{self, Plan};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Which pipeline, and for what.
#[derive(Debug, Args)]
pub(super) struct PipelineFlags {
    /// The pipeline file [default: buildkite.yml, .buildkite/pipeline.yml, buildkite/pipeline.yml or pipeline.yml]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// The project's directory: where commands run, what `workspace` grants refer to, and where .runner/ is
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(super) directory: PathBuf,
    /// Set an environment variable of the build
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    env: Vec<(String, String)>,
    #[command(flatten)]
    context: ContextFlags,
}

pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// A plan that may be run, and what is needed to run it.
pub(super) struct Prepared {
    pub(super) project: Project,
    pub(super) source: Source,
    pub(super) plan: Plan,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) components: Components,
}

impl PipelineFlags {
    /// Reads, checks and plans.
    pub(super) async fn prepare(&self) -> Result<Prepared, Error> {
        let project = Project::open(&self.directory)?;
        let file = self.file.as_deref();
        let source = project.pipeline(file)?;
        let invalid = |findings| Error::pipeline(ExitStatus::InvalidPipeline, source.clone(), findings);
        let parsed = pipeline::parse(&source).map_err(|finding| invalid(vec![finding]))?;
        let mut warnings = parsed.warnings;
        let mut document = parsed.pipeline;
        let context = self.context.detect(&project.directory, &document, &source);
        let mut env: Env = own_environment().collect();
        for (name, value) in context.variables() {
            env.set(name, value);
        }
        for (name, value) in &self.env {
            env.set(name, value.clone());
        }
        document.interpolate(&mut env, Precedence::Pipeline).map_err(|finding| invalid(vec![finding]))?;
        let planned = plan::build_with(&document, &source.name, &context, &project.settings()?);
        let (mut plan, more) = planned.map_err(invalid)?;
        warnings.extend(more);
        plan.env.extend(self.env.iter().cloned());
        let engine = StepEngine::new().map_err(|error| Error::environment(error.to_string()))?;
        let mut components = components(engine, &project, services(PathBuf::new()));
        let plan = admit(plan.clone(), &mut components)
            .await
            .map_err(|refusals| refused(&source, &document, &plan, refusals))?;
        Ok(Prepared { project, source, plan, warnings, components })
    }
}

/// The outside, with artifacts below a directory.
pub(super) fn services(artifacts: PathBuf) -> Services {
    Services {
        docker: Arc::new(Bollard::new()),
        aws: Arc::new(SdkClients::new()),
        secrets: Arc::new(EnvironmentSecrets),
        artifacts: ArtifactStore { root: artifacts },
    }
}

pub(super) fn components(engine: StepEngine, project: &Project, services: Services) -> Components {
    let cache = CompiledCache::below(&cache_directory(), &engine);
    Components::new(engine, cache, services, &project.directory)
}

fn refused(source: &Source, pipeline: &Pipeline, plan: &Plan, refusals: Vec<Refusal>) -> Error {
    let grants_only = refusals.iter().all(|refusal| refusal.kind == RefusalKind::Grant);
    let status = if grants_only { ExitStatus::RefusedGrant } else { ExitStatus::InvalidPipeline };
    let mut findings: Vec<Diagnostic> = Vec::new();
    for refusal in refusals {
        let job = &plan.jobs[refusal.job];
        let place = place(&pipeline.steps, Span::new(job.span.0, job.span.1), refusal.kind, &refusal.pointer);
        let finding = Diagnostic::error(refusal.message).at(place);
        let help = Some(refusal.help).filter(|help| !help.is_empty());
        let finding = Diagnostic { help, ..finding };
        // Jobs of one step repeat its mistakes.
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    Error::pipeline(status, source.clone(), findings)
}

/// Where in a step an attribute stands; the step itself when it does not have it.
fn place(steps: &[Step], span: Span, kind: RefusalKind, pointer: &str) -> Span {
    let Some(step) = find(steps, span) else { return span };
    let key = match kind {
        RefusalKind::Component => "uses",
        RefusalKind::Parameter => "with",
        RefusalKind::Grant => "grants",
    };
    let entry = step.rest.get(key).or_else(|| step.rest.get("uses"));
    // What a plugin or `image` stands for has its permissions from there.
    let stands_for = step.plugins.first().map(|plugin| plugin.source.span);
    let stands_for = stands_for.or_else(|| step.rest.get("image").map(|image| image.value.span));
    entry.map_or(stands_for.unwrap_or(span), |entry| match pointer {
        "" if kind != RefusalKind::Component => entry.key_span,
        pointer => entry.value.nearest(pointer).span,
    })
}

fn find(steps: &[Step], span: Span) -> Option<&CommandStep> {
    steps.iter().find_map(|step| match &step.kind {
        StepKind::Command(command) if step.span == span => Some(&**command),
        StepKind::Group(group) => find(&group.steps, span),
        _ => None,
    })
}
