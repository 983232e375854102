//! Annotations: Markdown that a job shows to people.

use super::caller::{Answer, Caller, plain};
use super::protocol::Reply;
use crate::capability::Error;
use crate::event::{Annotation, AnnotationStyle, EventKind};
use crate::run::RunData;

/// Characters of a context; Buildkite's limit.
const MAX_CONTEXT: usize = 100;

impl Caller {
    pub(super) async fn annotate(
        &self,
        context: String,
        style: Option<AnnotationStyle>,
        body: String,
        append: bool,
        priority: u8,
        own_job: bool,
    ) -> Answer {
        let length = context.chars().count();
        if length == 0 || length > MAX_CONTEXT {
            return Err(Error::Invalid(format!("a context of {length} characters; expected 1 to {MAX_CONTEXT}")));
        }
        if !(1..=10).contains(&priority) {
            return Err(Error::Invalid(format!("a priority of {priority}; expected 1 to 10")));
        }
        let job = own_job.then(|| self.scope.name.job.clone());
        // A job that looks at what is there depends on it.
        let depends = body.is_empty() || append && style.is_none();
        let before = if depends { self.annotation(job.clone(), &context).await? } else { None };
        // Nothing said about the style leaves what is added to as it is, and so does nothing said about the body.
        let style = style.or_else(|| before.as_ref().filter(|_| append).map(|before| before.style)).unwrap_or_default();
        let (body, append) = match (body.is_empty(), before) {
            (false, _) => (body, append),
            (true, Some(before)) => (before.body, false),
            (true, None) => {
                let reason = format!("there is no annotation `{context}` whose style could change; give it a body");
                return Err(Error::Invalid(reason));
            }
        };
        let mut warnings = Vec::new();
        let body = self.without_secrets(&body, "the annotation", &mut warnings);
        let context = self.scope.log.redacted(&context);
        let annotation = Annotation { job, context, style, body, priority };
        self.record(EventKind::Annotated { annotation, append }).await?;
        Ok((Reply::Done, warnings))
    }

    pub(super) async fn remove_annotation(&self, context: String, own_job: bool) -> Answer {
        let job = own_job.then(|| self.scope.name.job.clone());
        if self.annotation(job.clone(), &context).await?.is_none() {
            let shown: String = context.chars().take(MAX_CONTEXT).collect();
            return Err(Error::NotFound(format!("there is no annotation with the context `{shown}`")));
        }
        self.record(EventKind::AnnotationRemoved { job, context }).await?;
        Ok(plain(Reply::Done))
    }

    async fn annotation(&self, job: Option<String>, context: &str) -> Result<Option<Annotation>, Error> {
        let context = context.to_owned();
        let find = move |data: &RunData| {
            let mut all = data.annotations().into_iter();
            all.find(|annotation| annotation.job == job && annotation.context == context).cloned()
        };
        Ok(self.scope.recorder.read(move |run| find(run.data())).await?)
    }
}
