//! Steps that the job adds to the run.

use super::caller::{Answer, Caller, plain};
use super::protocol::{Finding, PipelineUpload, Reply};
use crate::agent::upload::Upload;
use crate::pipeline::{Diagnostic, Severity, Source};

impl Caller {
    pub(super) async fn upload(&self, upload: PipelineUpload) -> Answer {
        let PipelineUpload { name, text, document, environment, replace, reject_warnings, allow_secrets } = upload;
        let source = Source::new(name, text);
        let env = environment.map(|variables| variables.into_iter().collect());
        let secrets = (!allow_secrets).then(|| self.scope.log.clone());
        let upload = Upload { source, document, env, replace, reject_warnings, secrets };
        let (recorder, attempt) = (&self.scope.recorder, self.scope.name.attempt);
        let uploaded = self.uploader.upload(recorder, self.job, attempt, upload).await;
        let added = uploaded.is_ok();
        let findings = uploaded.unwrap_or_else(|errors| errors).into_iter().map(Finding::from).collect();
        Ok(plain(Reply::Uploaded { added, findings }))
    }
}

impl From<Diagnostic> for Finding {
    fn from(diagnostic: Diagnostic) -> Self {
        Self {
            error: diagnostic.severity == Severity::Error,
            message: diagnostic.message,
            label: diagnostic.label,
            help: diagnostic.help,
            span: diagnostic.span.map(|span| (span.start, span.end)),
        }
    }
}
