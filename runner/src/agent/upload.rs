//! Steps that a running job adds to its run: parsed, planned and admitted like those of the pipeline's own file.

use super::JobLog;
use crate::component::{Components, Loaded, admit, diagnose};
use crate::event::EventKind;
use crate::host::StepEngine;
use crate::pipeline::{self, Diagnostic, Env, Pipeline, Precedence, Source};
use crate::plan::{self, BuildContext, JobId, Settings};
use crate::run::{JobState, RecordError, Recorder};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Takes steps into a run.
pub struct Uploader {
    engine: StepEngine,
    loaded: Loaded,
    settings: Settings,
    changed: ChangedFiles,
    components: Mutex<Components>,
}

/// Finds the files that a build changes, when a step of the pipeline asks for them; a warning when nobody knows.
pub type ChangedFiles =
    Box<dyn Fn(&BuildContext, &Pipeline, &Env) -> Result<Option<Vec<String>>, Diagnostic> + Send + Sync>;

/// What a job uploads.
#[derive(Debug)]
pub struct Upload {
    /// The steps.
    pub source: Source,
    /// Which of its documents, from 0.
    pub document: usize,
    /// The environment to interpolate with; `None` to leave everything as written.
    pub env: Option<Env>,
    /// Whether jobs that have not begun are taken out.
    pub replace: bool,
    /// Whether warnings about the text are as bad as errors.
    pub reject_warnings: bool,
    /// Knows the secrets that may not be in it; `None` when they may.
    pub secrets: Option<JobLog>,
}

impl Uploader {
    /// An uploader that finds components here, in a project with these settings.
    #[must_use]
    pub fn new(components: Components, settings: Settings, changed: ChangedFiles) -> Self {
        Self {
            engine: components.engine().clone(),
            loaded: components.loaded(),
            settings,
            changed,
            components: Mutex::new(components),
        }
    }

    /// The engine the components are compiled for.
    #[must_use]
    pub fn engine(&self) -> StepEngine {
        self.engine.clone()
    }

    /// What the project says of itself.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The components found, now and later.
    #[must_use]
    pub fn loaded(&self) -> Loaded {
        self.loaded.clone()
    }

    /// Adds the steps behind the job; the warnings about them.
    ///
    /// # Errors
    /// What is wrong with the steps, or why the run does not take them.
    pub async fn upload(
        &self,
        recorder: &Recorder,
        by: JobId,
        attempt: u32,
        upload: Upload,
    ) -> Result<Vec<Diagnostic>, Vec<Diagnostic>> {
        let one = |finding| vec![finding];
        let parsed = pipeline::parse_all(&upload.source).map_err(one)?.into_iter().nth(upload.document);
        let parsed = parsed.ok_or_else(|| one(Diagnostic::error("the file has no pipeline")))?;
        if upload.reject_warnings && !parsed.warnings.is_empty() {
            return Err(parsed.warnings);
        }
        let mut document = parsed.pipeline;
        let mut env = upload.env.clone().unwrap_or_default();
        if upload.env.is_some() {
            document.interpolate(&mut env, Precedence::Pipeline).map_err(one)?;
        }
        // One upload after the other: each is planned behind the jobs of those before it.
        let mut components = self.components.lock().await;
        let replace = upload.replace;
        let standing = recorder.read(move |run| {
            let is_gone = |state: JobState| state == JobState::Removed || replace && state.is_open();
            let gone: Vec<bool> = run.plan().jobs().map(|(job, _)| is_gone(run.state(job))).collect();
            (run.plan().clone(), gone)
        });
        let (mut standing, gone) = standing.await.map_err(|error| one(refused(&error)))?;
        let mut warnings = parsed.warnings;
        match tokio::task::block_in_place(|| (self.changed)(&standing.context, &document, &env)) {
            Ok(None) => {}
            Ok(files) => Arc::make_mut(&mut standing).context.changed_files = files,
            Err(warning) => warnings.push(warning),
        }
        let gone = |job: JobId| gone[job.index()];
        let (mut jobs, planning) = plan::extend(&standing, by, &gone, &document, &self.settings)?;
        warnings.extend(planning);
        if let Err(refusals) = admit(&mut jobs, &mut components).await {
            return Err(diagnose(refusals, &document, &jobs));
        }
        if let Some(log) = &upload.secrets {
            let stored = serde_json::to_string(&jobs).map_err(|error| one(Diagnostic::error(error.to_string())))?;
            if log.redacted(&stored) != stored {
                let message = "the steps hold the value of a secret, which would be shown and stored";
                let help =
                    "write the variable as `$$NAME`, so that the job's shell fills it in; or use --allow-secrets";
                return Err(one(Diagnostic::error(message).help(help)));
            }
        }
        let first = JobId(u32::try_from(standing.jobs.len()).unwrap_or(u32::MAX));
        let kind = EventKind::StepsUploaded { job: by, attempt, replace, first, jobs };
        recorder.record(kind).await.map_err(|error| one(refused(&error)))?;
        Ok(warnings)
    }
}

fn refused(error: &RecordError) -> Diagnostic {
    Diagnostic::error(format!("the steps cannot be added: {error}"))
}
