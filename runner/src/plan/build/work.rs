//! What a job runs: a component with its parameters and grants, or a command.

use super::Builder;
use crate::pipeline::attribute::CommandAttributes;
use crate::pipeline::{CommandStep, Diagnostic, Node, Span, Spanned};
use crate::plan::grant::Grants;
use crate::plan::job::StepJob;
use crate::plan::{OutputReference, references};
use serde_json::{Map, Value, json};

impl Builder<'_> {
    /// What the job runs: a component with its parameters and grants, or the command.
    pub(super) fn work(
        &mut self,
        step: &CommandStep,
        attributes: &CommandAttributes<'_>,
        span: Span,
    ) -> Option<StepJob> {
        let mut env = self.step_env.clone();
        env.extend(step.env.iter().map(|(name, value)| (name.clone(), value.value.value.clone())));
        let mut work = StepJob {
            uses: "command".to_owned(),
            params: json!({}),
            env,
            soft_fail: attributes.soft_fail.clone(),
            retry: attributes.retry.clone(),
            cancel_on_build_failing: attributes.cancel_on_build_failing,
            timeout_minutes: attributes.timeout_in_minutes.as_ref().map(|minutes| minutes.value),
            artifact_paths: attributes.artifact_paths.iter().map(|path| path.value.clone()).collect(),
            ..StepJob::default()
        };
        if let Some(plugin) = step.plugins.first() {
            self.errors.push(
                Diagnostic::error(format!("the plugin `{}` is not mapped to a component", plugin.source.value))
                    .at(plugin.source.span)
                    .help("plugins are never fetched from the network; write the step with `uses:` and a component"),
            );
            return None;
        }
        if let Some(grants) = attributes.grants {
            match Grants::from_json(&grants.to_json()) {
                Ok(grants) => work.grants = grants,
                Err(error) => {
                    let place = grants.nearest(&error.pointer);
                    self.errors.push(Diagnostic::error(format!("not a grant: {}", error.message)).at(place.span));
                }
            }
        }
        match (&attributes.uses, &step.command) {
            (Some(uses), Some(command)) => {
                self.errors.push(
                    Diagnostic::error("a step has either `uses` or `command`, not both")
                        .at(command.span)
                        .help(format!("remove `command`, or `uses: {}`", uses.value)),
                );
                return None;
            }
            (Some(uses), None) => {
                work.uses.clone_from(&uses.value);
                work.params = attributes.with.map_or_else(|| json!({}), Node::to_json);
                match references(&work.params) {
                    Ok(found) => work.references = found,
                    Err((pointer, problem)) => {
                        let place = attributes.with.map_or(span, |with| with.nearest(&pointer).span);
                        self.errors.push(Diagnostic::error(problem).at(place));
                    }
                }
            }
            (None, command) => {
                if let Some(image) = attributes.image.as_ref().or(self.image.as_ref()) {
                    self.errors.push(
                        Diagnostic::error("`image` for commands is not supported by this version")
                            .at(image.span)
                            .help("without it the command would run on the host; remove `image` if that is meant"),
                    );
                }
                if let Some(with) = attributes.with {
                    self.errors.push(
                        Diagnostic::error("`with` needs a component")
                            .at(with.span)
                            .help("name the component in `uses`"),
                    );
                }
                let Some(command) = command else {
                    self.errors.push(Diagnostic::error("the step has no `command` to execute").at(span));
                    return None;
                };
                work.command = true;
                work.params = json!({"command": command.value});
                if !work.artifact_paths.is_empty() {
                    work.params["artifact_paths"] = json!(work.artifact_paths);
                }
                self.command_references(&mut work, step, command);
            }
        }
        Some(work)
    }

    /// Outputs of other jobs reach a command through its environment: within the script they would be code.
    fn command_references(&mut self, work: &mut StepJob, step: &CommandStep, command: &Spanned<String>) {
        if references(&work.params).is_ok_and(|found| !found.is_empty()) {
            self.errors.push(
                Diagnostic::error("outputs of other steps cannot stand in a command, where they would be run as code")
                    .at(command.span)
                    .help("set a variable in the step's `env` to it, and use that in the command as \"$$NAME\""),
            );
        }
        let mut env = Map::new();
        for (name, value) in &step.env {
            let text = Value::String(value.value.to_string());
            match references(&text) {
                Ok(found) if found.is_empty() => {}
                Ok(found) => {
                    let pointer = format!("/env/{}", name.replace('~', "~0").replace('/', "~1"));
                    work.references
                        .extend(found.into_iter().map(|one| OutputReference { pointer: pointer.clone(), ..one }));
                    work.env.shift_remove(name);
                    env.insert(name.clone(), text);
                }
                Err((_, problem)) => self.errors.push(Diagnostic::error(problem).at(value.value.span)),
            }
        }
        if !env.is_empty() {
            work.params["env"] = Value::Object(env);
        }
    }

    /// Says which attributes are read and do nothing here, so that nobody relies on them.
    pub(super) fn without_effect(&mut self, attributes: &CommandAttributes<'_>) {
        let cache = attributes.cache.as_ref().and_then(|cache| cache.inputs.first()).map(|input| input.span);
        for (name, place, instead) in [
            ("cache", cache, "the step runs every time"),
        ] {
            let Some(place) = place else { continue };
            let message = format!("`{name}` has no effect in this version: {instead}");
            let warning = Diagnostic::warning(message).at(place);
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
    }
}

/// The first line of the command, or the component.
pub(super) fn default_label(work: &StepJob) -> String {
    let command = work.params.get("command").and_then(Value::as_str).filter(|_| work.command);
    command.and_then(|command| command.trim().lines().next()).unwrap_or(&work.uses).to_owned()
}
