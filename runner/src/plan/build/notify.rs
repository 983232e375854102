//! Notifications: what `notify` says becomes jobs of components that `runner.yml` maps.

use super::{Builder, Dependency, Inherited, id};
use crate::pipeline::attribute::Shared;
use crate::pipeline::condition::{Condition, Scope};
use crate::pipeline::{Diagnostic, Node, NodeKind, Span};
use crate::plan::job::{Job, JobId, JobKind, Notification, StepJob};
use crate::plan::settings::ComponentMapping;
use serde_json::{Value, json};

/// What `notify` of the pipeline, a group or a step asks for.
pub(super) struct Asked {
    service: String,
    /// What it says about the service.
    content: Value,
    notification: Notification,
    /// The jobs it tells about; `None` for all.
    about: Option<Vec<JobId>>,
    span: Span,
}

impl Builder<'_> {
    /// Takes in what a `notify` asks for. Its jobs come after all others, so that they can wait for them.
    pub(super) fn ask_to_notify(&mut self, notify: Option<&Node>, about: Option<&[JobId]>) {
        let Some(notify) = notify else { return };
        for item in notify.as_sequence().unwrap_or(std::slice::from_ref(notify)) {
            if about.is_some_and(<[JobId]>::is_empty) {
                continue;
            }
            let (service, content) = match &item.kind {
                NodeKind::String(word) => (word.clone(), Value::Null),
                NodeKind::Mapping(entries) => match entries.iter().find(|(name, _)| *name != "if") {
                    Some((name, entry)) => (name.clone(), entry.value.to_json()),
                    None => continue,
                },
                _ => continue,
            };
            if !self.settings.notify.contains_key(&service) {
                let quoted = Value::from(service.as_str());
                let yaml = format!("notify:\n  {quoted}: {{ uses: ./steps/notify.wasm, grants: {{}} }}");
                let message = format!("nothing is sent: `{service}` of `notify` is not mapped to a component");
                let warning = Diagnostic::warning(message).at(item.span);
                let warning = warning.help(format!("map it in runner.yml:\n{yaml}"));
                if !self.warnings.iter().any(|known| known.message == warning.message) {
                    self.warnings.push(warning);
                }
                continue;
            }
            let condition = item.get("if").map(Node::to_text).transpose().unwrap_or_default().unwrap_or_default();
            let scope = if about.is_some() { Scope::Step } else { Scope::Build };
            if !condition.trim().is_empty()
                && let Err(error) = Condition::parse(&condition, scope)
            {
                let place = item.get("if").map_or(item.span, |condition| condition.span);
                let finding = Diagnostic::error(format!("in the condition: {}", error.message)).at(place);
                self.errors.push(Diagnostic { help: error.help, ..finding });
                continue;
            }
            let notification = Notification { condition, of_step: about.is_some() };
            let about = about.map(<[JobId]>::to_vec);
            self.asked.push(Asked { service, content, notification, about, span: item.span });
        }
    }

    /// Makes the jobs of everything that was asked for; those from `first` on are told about.
    pub(super) fn notify(&mut self, first: usize) {
        let all: Vec<JobId> = (first..self.jobs.len()).map(id).collect();
        for Asked { service, content, notification, about, span } in std::mem::take(&mut self.asked) {
            let Some(ComponentMapping { uses, with, grants }) = self.settings.notify.get(&service) else { continue };
            let mut params = with.clone();
            params.insert("notification".to_owned(), content);
            // What is known when the run, or the step, has ended stands here in the meantime.
            params.insert("build".to_owned(), json!({ "state": "passed", "pipeline": "", "branch": "", "commit": "", "message": "", "author": "", "step": null }));
            let work = StepJob {
                uses: uses.clone(),
                params: Value::Object(params),
                grants: grants.clone(),
                ..StepJob::default()
            };
            let label = format!("notify {service}");
            let job = Job {
                name: self.name(&Shared::default(), &label, None),
                step_key: None,
                label,
                group: None,
                group_label: None,
                kind: JobKind::Step(Box::new(work)),
                depends_on: Vec::new(),
                skip: None,
                notification: Some(notification),
                priority: self.priority,
                concurrency: None,
                span: (span.start, span.end),
            };
            let about = about.as_ref().unwrap_or(&all);
            let after = about.iter().map(|job| Dependency { job: *job, allow_failure: true }).collect();
            self.read += 1;
            self.push(job, &Shared::default(), &Inherited::default(), after);
        }
    }
}
