//! From a pipeline file to a plan that may be run: every check that comes before the first job.

use super::context::{ContextFlags, Detected, changed_files_of};
use super::error::{Error, ExitStatus};
use super::project::{Project, cache_directory};
use crate::agent::{Uploader, own_environment};
use crate::capability::aws::SdkClients;
use crate::capability::docker::Bollard;
use crate::capability::step::ArtifactStore;
use crate::component::{CompiledCache, Components, RefusalKind, admit, diagnose};
use crate::host::{Services, StepEngine};
use crate::pipeline::interpolate::SetBy;
use crate::pipeline::lint::lint;
use crate::pipeline::{self, Diagnostic, Env, Pipeline, Precedence, Source, Span};
use crate::plan::variables::is_protected;
use crate::plan::{self, BuildContext, JobKind, Origin, Plan, Settings};
use crate::secret::Secrets;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

/// Which pipeline, and for what.
#[derive(Debug, Args)]
pub(super) struct PipelineFlags {
    /// The pipeline file [default: buildkite.yml, .buildkite/pipeline.yml, buildkite/pipeline.yml or pipeline.yml]
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// The project's directory: where commands run, what `workspace` grants refer to, and where .runner/ is
    #[arg(short = 'C', long, value_name = "DIR", default_value = ".")]
    pub(super) directory: PathBuf,
    /// Set an environment variable of the build
    #[arg(short, long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(super) env: Vec<(String, String)>,
    #[command(flatten)]
    pub(super) context: ContextFlags,
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
    /// The pipeline with its variables replaced.
    pub(super) document: Pipeline,
    /// Where the plan's jobs come from.
    pub(super) origins: Vec<Origin>,
    pub(super) settings: Settings,
    /// The variables that were there for it, without its own.
    pub(super) env: Env,
}

impl PipelineFlags {
    /// Reads, checks and plans.
    pub(super) async fn prepare(&self) -> Result<Prepared, Error> {
        let (project, source) = self.open()?;
        self.plan(project, source).await
    }

    /// Opens the project and reads the file.
    pub(super) fn open(&self) -> Result<(Project, Source), Error> {
        let project = Project::open(&self.directory)?;
        let source = project.pipeline(self.file.as_deref())?;
        Ok((project, source))
    }

    /// What is built, and the variables that interpolation sees besides those of the pipeline itself.
    fn surroundings(&self, project: &Project, document: &Pipeline, source: &Source) -> Result<(Detected, Env), Error> {
        let mut detected = self.context.detect(&project.directory, document, source)?;
        detected.context.env.extend(self.env.iter().cloned());
        let env = environment(&detected.context);
        Ok((detected, env))
    }

    /// Checks and plans, and finds what the format lets pass besides.
    pub(super) async fn plan_strictly(&self, project: Project, source: Source) -> Result<Prepared, Error> {
        // What cannot be read or interpolated is reported by the plan.
        let mut document = pipeline::parse(&source).map(|parsed| parsed.pipeline).unwrap_or_default();
        let (_, mut env) = self.surroundings(&project, &document, &source)?;
        drop(document.interpolate(&mut env, Precedence::Pipeline));
        let findings = lint(&source, &env);
        match self.plan(project, source.clone()).await {
            Ok(prepared) if findings.is_empty() => Ok(prepared),
            Ok(Prepared { warnings, .. }) => {
                Err(Error::pipeline(ExitStatus::InvalidPipeline, source, findings.join(warnings)))
            }
            Err(error) => Err(error.join(findings)),
        }
    }

    /// Checks and plans.
    pub(super) async fn plan(&self, project: Project, source: Source) -> Result<Prepared, Error> {
        let invalid = |findings| Error::pipeline(ExitStatus::InvalidPipeline, source.clone(), findings);
        let started = Instant::now();
        let parsed = pipeline::parse(&source).map_err(|finding| invalid(vec![finding]))?;
        let parse = started.elapsed();
        let mut warnings = parsed.warnings;
        let mut document = parsed.pipeline;
        let (mut detected, mut env) = self.surroundings(&project, &document, &source)?;
        let given = env.clone();
        let started = Instant::now();
        document.interpolate(&mut env, Precedence::Pipeline).map_err(|finding| invalid(vec![finding]))?;
        let mut planning = started.elapsed();
        detected.find_changed_files(&project.directory, &document, &env);
        warnings.append(&mut detected.warnings);
        let settings = project.settings()?;
        let started = Instant::now();
        let planned = plan::build_with_origins(&document, &source.name, &detected.context, &settings);
        planning += started.elapsed();
        tracing::debug!(parse_us = parse.as_micros(), plan_us = planning.as_micros(), "the pipeline is planned");
        let (mut plan, origins, more) = planned.map_err(invalid)?;
        warnings.extend(more);
        find_triggered(&project, &settings, &plan, &source)?;
        let engine = StepEngine::new().map_err(|error| Error::environment(error.to_string()))?;
        let mut components = components(engine, &project, services(PathBuf::new()));
        if let Err(refusals) = admit(&mut plan.jobs, &mut components).await {
            let grants_only = refusals.iter().all(|refusal| refusal.kind == RefusalKind::Grant);
            let status = if grants_only { ExitStatus::RefusedGrant } else { ExitStatus::InvalidPipeline };
            return Err(Error::pipeline(status, source, diagnose(refusals, &document, &plan.jobs)));
        }
        Ok(Prepared { project, source, plan, warnings, components, document, origins, settings, env: given })
    }
}

/// What a pipeline is interpolated with: our own environment, the build's, and what is built over both.
fn environment(context: &BuildContext) -> Env {
    let mut env: Env = own_environment().collect();
    for (name, value) in &context.env {
        env.set_from(SetBy::Given, name, value.clone());
    }
    for (name, value) in context.variables() {
        if is_protected(name) || !context.env.contains_key(name) {
            env.set_from(SetBy::Build, name, value);
        }
    }
    env
}

/// What takes in the steps that jobs of a run of the project add to it.
pub(super) fn uploader(project: &Project, components: Components, settings: Settings) -> Arc<Uploader> {
    Arc::new(Uploader::new(components, settings, changed_files_of(project)))
}

/// The outside without secrets, for asking components what they are and for looking after what others have left.
pub(super) fn services(artifacts: PathBuf) -> Services {
    Services {
        docker: Arc::new(Bollard::new()),
        aws: Arc::new(SdkClients::new()),
        secrets: Arc::new(Secrets::of(Vec::new())),
        artifacts: ArtifactStore { root: artifacts },
        temporary: std::env::temp_dir(),
    }
}

pub(super) fn components(engine: StepEngine, project: &Project, services: Services) -> Components {
    let cache = CompiledCache::below(&cache_directory(), &engine);
    Components::new(engine, cache, services, &project.directory)
}

/// Fails when a step that will run triggers a pipeline that is not there.
fn find_triggered(project: &Project, settings: &Settings, plan: &Plan, source: &Source) -> Result<(), Error> {
    let mut findings = Vec::new();
    for job in plan.jobs.iter().filter(|job| job.skip.is_none()) {
        let JobKind::Trigger(trigger) = &job.kind else { continue };
        if let Err(error) = project.triggered(settings, &trigger.pipeline) {
            let place = Span::new(job.span.0, job.span.1);
            findings.push(Diagnostic::error(error.message()).at(place).help(error.remedy()));
        }
    }
    if findings.is_empty() {
        return Ok(());
    }
    Err(Error::pipeline(ExitStatus::InvalidPipeline, source.clone(), findings))
}
