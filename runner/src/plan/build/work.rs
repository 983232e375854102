//! What a job runs: a component with its parameters and grants, or a command.

use super::Builder;
use super::plugin::{StepFacts, in_image};
use crate::pipeline::attribute::CommandAttributes;
use crate::pipeline::{CommandStep, Diagnostic, Entry, Node, Span, Spanned};
use crate::plan::grant::Grants;
use crate::plan::job::{Phase, StepJob};
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
        let mut plugged = self.plugins(step)?;
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
            (Some(uses), None) if plugged.instead.is_some() => {
                self.errors.push(
                    Diagnostic::error("a step has either `uses` or a plugin that runs the command, not both")
                        .at(uses.span)
                        .help("remove one of the two"),
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
                if let Some(with) = attributes.with {
                    self.errors.push(
                        Diagnostic::error("`with` needs a component")
                            .at(with.span)
                            .help("name the component in `uses`"),
                    );
                }
                let image = attributes.image.as_ref().or(self.image.as_ref());
                if let Some(empty) = image.filter(|image| image.trim().is_empty()) {
                    let finding = Diagnostic::error("`image` is empty").at(empty.span);
                    self.errors.push(
                        finding.help("name an image, or leave `image` out: the command runs on this machine then"),
                    );
                }
                let instead = plugged.instead.take().or_else(|| {
                    let (image, command) = (image?, command.as_ref()?);
                    Some(in_image(image, &command.value, &StepFacts::new(self, step)))
                });
                match (instead, command) {
                    (Some(phase), command) => {
                        self.run_instead(&mut work, phase, attributes.grants);
                        self.command_references(&mut work, step, command.as_ref());
                    }
                    (None, Some(command)) => {
                        work.command = true;
                        work.params = json!({"command": command.value});
                        if !work.artifact_paths.is_empty() {
                            work.params["artifact_paths"] = json!(work.artifact_paths);
                        }
                        self.command_references(&mut work, step, Some(command));
                    }
                    (None, None) => {
                        self.errors.push(Diagnostic::error("the step has no `command` to execute").at(span));
                        return None;
                    }
                }
            }
        }
        for login in plugged.logins {
            match &mut work.grants.docker {
                Some(docker) => docker.login.extend(login.grants),
                None if work.command => work.before.push(login.phase()),
                None => {}
            }
        }
        work.before.append(&mut plugged.before);
        work.after.append(&mut plugged.after);
        Some(work)
    }

    /// Has a component run in place of the command. Its permissions are those that `image` or the plugin stand for; the
    /// step's own `grants` may set other bounds for its containers, and show it more variables.
    fn run_instead(&mut self, work: &mut StepJob, phase: Phase, written: Option<&Node>) {
        let Grants { env, docker, .. } = std::mem::replace(&mut work.grants, phase.grants);
        work.uses = phase.uses;
        work.params = phase.params;
        work.grants.env.extend(env);
        if let (Some(granted), Some(containers)) =
            (&mut work.grants.docker, docker.and_then(|docker| docker.containers))
        {
            if work.params.get("network").is_some() {
                work.params["network"] = json!(if containers.egress { "egress" } else { "none" });
            }
            granted.containers = Some(containers);
        }
        let fits = |(kind, entry): (&String, &Entry)| match (kind.as_str(), entry.value.as_mapping()) {
            ("env", _) => true,
            ("docker", Some(docker)) => docker.keys().all(|key| key == "containers"),
            _ => false,
        };
        let other = written.and_then(Node::as_mapping).and_then(|grants| grants.iter().find(|entry| !fits(*entry)));
        if let Some((kind, entry)) = other {
            self.errors.push(
                Diagnostic::error(format!("`{kind}` cannot be granted here: what runs the command has its own grants"))
                    .at(entry.key_span)
                    .help("`env` and `docker: { containers: … }` can; for more, write the step with `uses`"),
            );
        }
    }

    /// Outputs of other jobs reach a command through its environment: within the script they would be code.
    fn command_references(&mut self, work: &mut StepJob, step: &CommandStep, command: Option<&Spanned<String>>) {
        let command = command.filter(|_| references(&work.params).is_ok_and(|found| !found.is_empty()));
        if let Some(command) = command {
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
                    work.references.extend(found.into_iter().map(|one| OutputReference {
                        pointer: pointer.clone(),
                        text: true,
                        ..one
                    }));
                    work.env.shift_remove(name);
                    env.insert(name.clone(), text);
                }
                Err((_, problem)) => self.errors.push(Diagnostic::error(problem).at(value.value.span)),
            }
        }
        if !env.is_empty() {
            match work.params.get_mut("env") {
                Some(Value::Object(written)) => written.extend(env),
                _ => work.params["env"] = Value::Object(env),
            }
        }
    }
}

/// The first line of the command, or the component.
pub(super) fn default_label(step: &CommandStep, work: &StepJob) -> String {
    let command = step.command.as_ref().map(|command| command.trim());
    command.and_then(|command| command.lines().next()).unwrap_or(&work.uses).to_owned()
}
