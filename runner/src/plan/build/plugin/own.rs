//! Plugins that the project maps in `runner.yml`.

use super::{Plugged, StepFacts};
use crate::pipeline::model::Plugin;
use crate::pipeline::{Diagnostic, NodeKind};
use crate::plan::job::Phase;
use crate::plan::settings::{PluginMapping, Runs};
use serde_json::Value;

/// The mapped component, with the plugin's configuration over the mapping's own parameters.
pub(super) fn map(plugin: &Plugin, mapping: &PluginMapping, facts: &StepFacts<'_>) -> Result<Plugged, Vec<Diagnostic>> {
    let mut params = mapping.with.clone();
    match &plugin.config.kind {
        NodeKind::Null => {}
        NodeKind::Mapping(entries) => {
            params.extend(entries.iter().map(|(name, entry)| (name.clone(), entry.value.to_json())));
        }
        _ => {
            let error = Diagnostic::error("the configuration of a mapped plugin is a mapping").at(plugin.config.span);
            return Err(vec![error.help("write `name: value`: its options become parameters of the component")]);
        }
    }
    if let (Runs::Instead, Some(command)) = (mapping.runs, facts.command) {
        params.entry("command").or_insert_with(|| command.into());
    }
    let phase = Phase {
        uses: mapping.uses.clone(),
        params: Value::Object(params),
        grants: mapping.grants.clone(),
        ..Phase::default()
    };
    Ok(match mapping.runs {
        Runs::Before => Plugged { before: vec![phase], ..Plugged::default() },
        Runs::After => Plugged { after: vec![phase], ..Plugged::default() },
        Runs::Instead => Plugged { instead: Some(phase), ..Plugged::default() },
    })
}
