//! Steps that run no component: barriers, questions to a person, and runs of other pipelines.

use super::{Builder, Inherited, Level, Part, after, id};
use crate::pipeline::attribute::{Field, FieldKind, InputAttributes, Shared, TriggerAttributes};
use crate::pipeline::{Diagnostic, Span, Spanned};
use crate::plan::job::{Dependency, Gate, GateField, Job, JobId, JobKind, TriggerJob};
use indexmap::IndexMap;

impl Builder<'_> {
    pub(super) fn trigger(
        &mut self,
        attributes: &TriggerAttributes,
        span: Span,
        level: &mut Level,
        inherited: &Inherited,
    ) {
        let shared = &attributes.shared;
        let text = |values: &IndexMap<String, Spanned<String>>| {
            values.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect::<IndexMap<_, _>>()
        };
        let label = shared.label.as_ref().map_or(&attributes.pipeline, |label| label).value.clone();
        let build = &attributes.build;
        let trigger = TriggerJob {
            pipeline: attributes.pipeline.value.clone(),
            message: build.message.clone().unwrap_or_else(|| label.clone()),
            commit: build.commit.clone().unwrap_or_else(|| "HEAD".to_owned()),
            branch: build.branch.clone(),
            meta_data: text(&build.meta_data),
            env: text(&build.env),
            detached: attributes.detached,
            soft_fail: attributes.soft_fail.clone(),
        };
        let written = attributes.parallelism.as_ref();
        let Some(count) = self.parallelism(written) else { return };
        let first = self.jobs.len();
        for index in 0..count {
            let part = written.map(|_| Part { index, count, parallel: true });
            let label = part.map_or_else(|| label.clone(), |part| part.label(&label));
            let kind = JobKind::Trigger(Box::new(trigger.clone()));
            let name = self.name(shared, &label, part);
            let job = self.point(shared, name, label, kind, span, inherited);
            let implicit = level.barrier.map(after).into_iter().collect();
            self.push(job, shared, inherited, implicit);
        }
        let made: Vec<JobId> = (first..self.jobs.len()).map(id).collect();
        if let Some(key) = &shared.key {
            self.register(key, made.clone());
        }
        level.since.extend(made);
    }

    pub(super) fn wait(
        &mut self,
        shared: &Shared,
        tolerant: bool,
        span: Span,
        level: &mut Level,
        inherited: &Inherited,
    ) {
        let mut implicit: Vec<Dependency> = level.barrier.map(after).into_iter().collect();
        implicit.extend(level.since.iter().map(|job| Dependency { job: *job, allow_failure: tolerant }));
        if !tolerant {
            implicit.extend(level.tolerated.iter().copied().map(after));
        }
        let (name, label) = self.named(shared, "wait");
        let job = self.point(shared, name, label, JobKind::Wait, span, inherited);
        self.push(job, shared, &Inherited { position: inherited.position, ..Inherited::default() }, implicit);
        let since = std::mem::take(&mut level.since);
        if tolerant {
            level.tolerated.extend(since);
        } else {
            level.tolerated.clear();
        }
        let wait = id(self.jobs.len() - 1);
        if let Some(key) = &shared.key {
            self.register(key, vec![wait]);
        }
        level.barrier = Some(wait);
    }

    pub(super) fn gate(&mut self, attributes: &InputAttributes, span: Span, level: &mut Level, inherited: &Inherited) {
        let shared = &attributes.shared;
        for entry in attributes.allowed_teams.iter().filter(|entry| !self.settings.teams.has(entry)) {
            let message = format!(
                "`{entry}` in `allowed_teams` is no team in runner.yml: only the account of that name can unblock"
            );
            let warning = Diagnostic::warning(message).at(span);
            if !self.warnings.iter().any(|known| known.message == warning.message) {
                self.warnings.push(warning);
            }
        }
        let fields = attributes.fields.iter().map(gate_field).collect();
        let gate = Gate {
            prompt: attributes.prompt.clone().unwrap_or_default(),
            fields,
            blocked_state: attributes.blocked_state,
            allowed_teams: attributes.allowed_teams.clone(),
        };
        let word = if attributes.barrier { "block" } else { "input" };
        let (name, label) = self.named(shared, word);
        let job = self.point(shared, name, label, JobKind::Gate(gate), span, inherited);
        let mut implicit: Vec<Dependency> = level.barrier.map(after).into_iter().collect();
        if attributes.barrier {
            implicit.extend(level.since.iter().chain(&level.tolerated).map(|job| after(*job)));
        }
        self.push(job, shared, inherited, implicit);
        let gate = id(self.jobs.len() - 1);
        if let Some(key) = &shared.key {
            self.register(key, vec![gate]);
        }
        if attributes.barrier {
            *level = Level { barrier: Some(gate), ..Level::default() };
        } else {
            level.since.push(gate);
        }
    }

    /// Name and label of a step that is one job.
    fn named(&mut self, shared: &Shared, word: &str) -> (String, String) {
        let label = shared.label.as_ref().map_or(word, |label| &label.value).to_owned();
        (self.name(shared, &label, None), label)
    }

    /// A job that runs no component.
    fn point(
        &mut self,
        shared: &Shared,
        name: String,
        label: String,
        kind: JobKind,
        span: Span,
        inherited: &Inherited,
    ) -> Job {
        Job {
            name,
            step_key: shared.key.as_ref().map(|key| key.value.clone()),
            label,
            group: inherited.group.clone(),
            group_label: inherited.group_label.clone(),
            kind,
            depends_on: Vec::new(),
            skip: self.skip_reason(shared).or_else(|| inherited.skip.clone()),
            notification: None,
            priority: self.priority,
            concurrency: None,
            span: (span.start, span.end),
        }
    }
}

fn gate_field(field: &Field) -> GateField {
    let (default, format, choices, multiple) = match &field.kind {
        FieldKind::Text { default, format } => {
            (default.clone(), format.as_ref().map(|format| format.value.clone()), [].as_slice(), false)
        }
        FieldKind::Select { options, multiple, default } => {
            ((!default.is_empty()).then(|| default.join("\n")), None, options.as_slice(), *multiple)
        }
    };
    let named = choices.iter().filter(|choice| choice.label != choice.value);
    GateField {
        key: field.key.value.clone(),
        label: field.label.clone(),
        hint: field.hint.clone().unwrap_or_default(),
        required: field.required,
        default,
        format,
        options: choices.iter().map(|choice| choice.value.clone()).collect(),
        labels: named.map(|choice| (choice.value.clone(), choice.label.clone())).collect(),
        multiple,
    }
}
