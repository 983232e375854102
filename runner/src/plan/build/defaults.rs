//! What a step takes over from the pipeline where it does not say otherwise.

use super::Builder;
use crate::pipeline::attribute::CommandAttributes;
use crate::pipeline::model::{Checkout, Secret};
use crate::pipeline::{CommandStep, Diagnostic, Pipeline};
use crate::plan::grant::matches_pattern;
use crate::plan::job::{SecretVariable, StepJob};
use crate::plan::variables;
use serde_json::{Map, Value};
use std::collections::HashSet;

impl Builder<'_> {
    /// Reads what the pipeline says for all its steps.
    pub(super) fn read_defaults(&mut self, pipeline: &Pipeline) {
        let Some(defaults) = self.keep(pipeline.attributes()) else { return };
        self.priority = defaults.priority.unwrap_or_default();
        self.ask_to_notify(defaults.notify, None);
        self.image = defaults.image;
        self.agents = defaults.agents.unwrap_or_default();
        self.secrets.clone_from(&pipeline.secrets);
        self.checkout = pipeline.checkout.as_ref().map(settings).unwrap_or_default();
    }

    /// `agents` of the step take the place of the pipeline's; `secrets` and `checkout` are merged, the step wins.
    pub(super) fn defaults(&mut self, work: &mut StepJob, step: &CommandStep, attributes: &CommandAttributes<'_>) {
        work.agents.clone_from(attributes.agents.as_ref().unwrap_or(&self.agents));
        work.checkout.clone_from(&self.checkout);
        work.checkout.extend(step.checkout.as_deref().map(settings).unwrap_or_default());
        let own: HashSet<&str> = step.secrets.iter().map(variable).collect();
        let inherited: Vec<Secret> =
            self.secrets.iter().filter(|secret| !own.contains(variable(secret))).cloned().collect();
        for secret in &inherited {
            self.secret(work, secret, false);
        }
        for secret in &step.secrets {
            self.secret(work, secret, true);
        }
    }

    /// Gives the job a secret, if what it runs sees the variable; a step of its `own` is told when not.
    fn secret(&mut self, work: &mut StepJob, secret: &Secret, own: bool) {
        let (variable, name) = (variable(secret), &secret.key.value);
        if variables::is_protected(variable) {
            let message = format!("`{variable}` is set by the runner and cannot hold a secret");
            let finding = Diagnostic::error(message).at(secret.key.span).help("choose another variable");
            push_once(&mut self.errors, finding);
        } else if work.command || work.grants.env.iter().any(|pattern| matches_pattern(pattern, variable)) {
            work.secrets.push(SecretVariable { variable: variable.to_owned(), name: name.clone() });
        } else if own {
            let message = format!("the component does not see the secret in `{variable}`");
            let help = format!(
                "add `grants: {{ env: [{variable}] }}`, or for components that ask for secrets `grants: {{ secrets: [{name}] }}`"
            );
            push_once(&mut self.warnings, Diagnostic::warning(message).at(secret.key.span).help(help));
        }
    }
}

/// Jobs of one step repeat its mistakes.
fn push_once(findings: &mut Vec<Diagnostic>, finding: Diagnostic) {
    if !findings.contains(&finding) {
        findings.push(finding);
    }
}

/// The variable a secret goes to; of its own name when the file names none.
pub(super) fn variable(secret: &Secret) -> &str {
    if secret.environment_variable.is_empty() { &secret.key.value } else { &secret.environment_variable.value }
}

/// Checkout settings that say something.
fn settings(checkout: &Checkout) -> Map<String, Value> {
    let written = checkout.settings.iter().filter(|(_, entry)| !entry.value.is_null());
    written.map(|(name, entry)| (name.clone(), entry.value.to_json())).collect()
}
