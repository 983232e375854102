//! Notifications: jobs that tell somebody how the run, or one of its steps, has ended.

use super::{JobState, RunState};
use crate::pipeline::condition::{Condition, Scope, StepFacts};
use crate::plan::{Job, JobId, JobKind, Notification};
use serde_json::{Value, json};

impl RunState {
    /// What a notification tells, as it is now: how the run stands apart from its notifications, and how the step it is
    /// about has ended.
    #[must_use]
    pub fn notice(&self, job: JobId) -> Option<Value> {
        let notification = self.plan.job(job).notification.as_ref()?;
        let context = &self.plan.context;
        let step = notification.of_step.then(|| {
            let facts = self.step_facts(job);
            json!({ "key": facts.key, "label": facts.label, "outcome": facts.outcome })
        });
        Some(json!({
            "state": self.build_state(),
            "pipeline": context.pipeline_slug,
            "branch": context.branch,
            "commit": context.commit,
            "message": context.message,
            "author": context.author.name,
            "step": step,
        }))
    }

    /// Whether the condition of a notification holds. One that cannot be decided does not.
    pub(super) fn is_wanted(&self, job: JobId, notification: &Notification) -> bool {
        let condition = notification.condition.trim();
        if condition.is_empty() {
            return true;
        }
        let mut facts = self.plan.context.facts(&self.plan.env);
        facts.build.state = Some(self.build_state().to_owned());
        let mut scope = Scope::Build;
        if notification.of_step {
            facts.step = Some(self.step_facts(job));
            scope = Scope::Step;
        }
        Condition::parse(condition, scope).is_ok_and(|parsed| parsed.evaluate(&facts).unwrap_or(false))
    }

    /// The run's state in the words of conditions.
    fn build_state(&self) -> &'static str {
        let open = self.plan.jobs().any(|(id, job)| job.notification.is_none() && !self.state(id).is_over());
        match (self.cancelled, self.failed, open) {
            (true, _, true) => "canceling",
            (true, _, false) => "canceled",
            (false, true, true) => "failing",
            (false, true, false) => "failed",
            (false, false, true) => "running",
            (false, false, false) => "passed",
        }
    }

    /// The step that a job's notification is about: the one whose jobs it waits for.
    fn step_facts(&self, job: JobId) -> StepFacts {
        let jobs: Vec<(JobId, &Job)> =
            self.plan.job(job).depends_on.iter().map(|edge| (edge.job, self.plan.job(edge.job))).collect();
        let any = |wanted: &[JobState]| jobs.iter().any(|(id, _)| wanted.contains(&self.state(*id)));
        let outcome = if any(&[JobState::Failed, JobState::Cancelled]) {
            "hard_failed"
        } else if any(&[JobState::SoftFailed]) {
            "soft_failed"
        } else if any(&[JobState::NotRun]) {
            "errored"
        } else if any(&[JobState::Passed]) {
            "passed"
        } else {
            "neutral"
        };
        let first = jobs.first().map(|(_, job)| *job);
        StepFacts {
            id: None,
            key: first.and_then(|job| job.step_key.clone()),
            kind: first
                .map(|job| if matches!(job.kind, JobKind::Trigger(_)) { "trigger" } else { "command" }.to_owned()),
            label: first.map(|job| job.label.clone()),
            state: Some("finished".to_owned()),
            outcome: Some(outcome.to_owned()),
        }
    }
}
