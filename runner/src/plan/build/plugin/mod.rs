//! Plugins: from a plugin and its configuration to components, their parameters and grants. Nothing is ever fetched.
//!
//! A file per plugin; `own.rs` for those that the project itself maps in `runner.yml`.

mod artifacts;
mod container;
mod docker;
mod docker_compose;
mod junit_annotate;
mod login;
mod options;
mod own;
#[cfg(test)]
mod tests;

pub(super) use container::in_image;

use super::Builder;
use crate::pipeline::model::Plugin;
use crate::pipeline::{CommandStep, Diagnostic};
use crate::plan::grant::RegistryLogin;
use crate::plan::job::Phase;
use options::Options;

/// What the plugins of a step make of it.
#[derive(Debug, Default)]
pub(super) struct Plugged {
    /// What runs in place of the command on this machine.
    pub(super) instead: Option<Phase>,
    /// What runs before it.
    pub(super) before: Vec<Phase>,
    /// What runs after it.
    pub(super) after: Vec<Phase>,
    /// Registries to log in to.
    pub(super) logins: Vec<Login>,
}

/// Registries to log in to: by the host for containers, by a command for commands on this machine.
#[derive(Debug)]
pub(super) struct Login {
    pub(super) grants: Vec<RegistryLogin>,
    pub(super) script: String,
}

/// What a mapping may know of the step.
pub(super) struct StepFacts<'a> {
    /// The command's lines as one script.
    pub(super) command: Option<&'a str>,
    /// Names of the variables that the pipeline and the step set.
    pub(super) variables: Vec<&'a str>,
}

impl<'a> StepFacts<'a> {
    pub(super) fn new(builder: &'a Builder<'_>, step: &'a CommandStep) -> Self {
        let command = step.command.as_ref().map(|command| command.value.as_str());
        let secrets = builder.secrets.iter().chain(&step.secrets).map(super::defaults::variable);
        let env = builder.pipeline_env.keys().chain(builder.context.env.keys()).chain(step.env.keys());
        let variables = env.map(String::as_str).chain(secrets);
        Self {
            command: command.filter(|text| !text.trim().is_empty()),
            variables: variables.filter(|name| !name.is_empty()).collect(),
        }
    }
}

impl Builder<'_> {
    /// Maps the plugins of a step; `None`, with errors, when one cannot be.
    pub(super) fn plugins(&mut self, step: &CommandStep) -> Option<Plugged> {
        let facts = StepFacts::new(self, step);
        let mut plugged = Plugged::default();
        let (mut errors, mut warnings) = (Vec::new(), Vec::new());
        for plugin in &step.plugins {
            let mapped = match self.settings.mapping_of(plugin) {
                Some(mapping) => own::map(plugin, mapping, &facts),
                None => map(plugin, &facts, &mut warnings),
            };
            match mapped {
                Ok(more) => plugged.add(more, plugin, &mut errors),
                Err(mut more) => errors.append(&mut more),
            }
        }
        for warning in warnings {
            if !self.warnings.contains(&warning) {
                self.warnings.push(warning);
            }
        }
        let mapped = errors.is_empty();
        for error in errors {
            // Jobs of one step repeat its mistakes.
            if !self.errors.contains(&error) {
                self.errors.push(error);
            }
        }
        mapped.then_some(plugged)
    }
}

impl Plugged {
    fn add(&mut self, more: Self, plugin: &Plugin, errors: &mut Vec<Diagnostic>) {
        if self.instead.is_some() && more.instead.is_some() {
            let message = format!("`{}` runs the command, and so does a plugin before it", plugin.name());
            errors.push(Diagnostic::error(message).at(plugin.source.span).help("keep one of the two"));
        }
        self.instead = self.instead.take().or(more.instead);
        self.before.extend(more.before);
        self.after.extend(more.after);
        self.logins.extend(more.logins);
    }
}

/// Where the plugins come from that are mapped here; others of the same name may mean something else.
const OFFICIAL: &str = "github.com/buildkite-plugins/";

fn is_official(source: &str) -> bool {
    let source = source.split_once("://").map_or(source, |(_, rest)| rest);
    source.strip_prefix("git@").unwrap_or(source).replacen("github.com:", "github.com/", 1).starts_with(OFFICIAL)
}

/// The table.
fn map(plugin: &Plugin, facts: &StepFacts<'_>, warnings: &mut Vec<Diagnostic>) -> Result<Plugged, Vec<Diagnostic>> {
    let source = plugin.full_source();
    let map = match plugin.name().as_str() {
        _ if !is_official(&source) => None,
        "artifacts" => Some(artifacts::map as fn(&mut Options<'_>, &StepFacts<'_>) -> Plugged),
        "docker" => Some(docker::map as _),
        "docker-compose" => Some(docker_compose::map as _),
        "docker-login" => Some(login::docker_login as _),
        "ecr" => Some(login::ecr as _),
        "junit-annotate" => Some(junit_annotate::map as _),
        _ => None,
    };
    let Some(map) = map else { return Err(vec![unmapped(plugin)]) };
    let mut options = Options::new(plugin);
    let plugged = map(&mut options, facts);
    options.finish(plugged, warnings)
}

/// The finding that says what to write, word by word.
fn unmapped(plugin: &Plugin) -> Diagnostic {
    let written = plugin.source.split('#').next().unwrap_or_default();
    let name = plugin.name();
    let yaml = format!(
        "plugins:\n  {}:\n    uses: ./steps/{name}.wasm\n    runs: before\n    with: {{}}\n    grants: {{}}",
        serde_json::Value::from(written)
    );
    Diagnostic::error(format!("the plugin `{written}` is not mapped to a component"))
        .at(plugin.source.span)
        .help(format!("plugins are never fetched from the network; map it to a component in runner.yml:\n{yaml}"))
}
