//! `runner.yml` in the project's root: what a project tells the runner about itself.

mod secrets;

pub use secrets::{SourceKind, SourceSetting};

use super::cache::CacheSettings;
use super::grant::{GrantError, Grants, pointer_of};
use super::retention::Retention;
use super::teams::Teams;
use crate::pipeline::model::Plugin;
use crate::pipeline::{Diagnostic, Node, NodeKind, Source, Span, Spanned, document};
use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Map, Value};

/// Everything `runner.yml` says. The default is that of a project without the file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Settings {
    /// Components for plugins, by the plugin's name as pipelines write it, without a version.
    pub plugins: IndexMap<String, PluginMapping>,
    /// Components for the services of `notify`, by the service's name.
    pub notify: IndexMap<String, ComponentMapping>,
    /// Files of pipelines that trigger steps name, by slug; paths from the project's root.
    pub pipelines: IndexMap<String, String>,
    /// How long runs are kept.
    pub retention: Retention,
    /// Who may let runs go on past steps with `allowed_teams`.
    pub teams: Teams,
    /// Where secrets come from, in the order in which they are asked; `None` for the runner's own environment alone.
    pub secrets: Option<Vec<SourceSetting>>,
    /// Where the results of steps are kept.
    pub cache: CacheSettings,
}

/// A component, what it is told and what it may touch.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ComponentMapping {
    /// The component, as in a step's `uses`.
    pub uses: String,
    /// Parameters.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// What the component may touch.
    #[serde(default)]
    pub grants: Grants,
}

/// What runs for a plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PluginMapping {
    /// The component, as in a step's `uses`.
    pub uses: String,
    /// Parameters; the plugin's configuration goes over them.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// What the component may touch.
    #[serde(default)]
    pub grants: Grants,
    /// When it runs.
    #[serde(default)]
    pub runs: Runs,
}

/// When a mapped component runs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Runs {
    /// Before the command.
    #[default]
    Before,
    /// After the command, whether it passed or failed.
    After,
    /// In place of the command, which it gets as the parameter `command`.
    Instead,
}

impl Settings {
    /// Reads the file.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place.
    pub fn read(source: &Source) -> Result<Self, Diagnostic> {
        let Some(node) = document::first(source)?.filter(|node| !node.is_null()) else { return Ok(Self::default()) };
        if node.as_mapping().is_none() {
            let message = format!("the settings are {}, expected a mapping", node.describe());
            return Err(Diagnostic::error(message).at(node.span));
        }
        let settings: Self = serde_path_to_error::deserialize(node.to_json()).map_err(|error| {
            let place = node.nearest(&pointer_of(error.path())).span;
            Diagnostic::error(format!("not a setting: {}", error.into_inner())).at(place)
        })?;
        if settings.cache.key.is_some() && settings.cache.remote.is_none() {
            let place = node.get("cache").and_then(|cache| cache.get("key")).unwrap_or(&node).span;
            return Err(Diagnostic::error("`key` seals what is shared, and nothing is").at(place).help("add `remote`"));
        }
        let plugins = settings.plugins.iter().map(|(name, mapping)| ("plugins", name, &mapping.grants));
        let notify = settings.notify.iter().map(|(name, mapping)| ("notify", name, &mapping.grants));
        for (key, name, grants) in plugins.chain(notify) {
            grants.validate().map_err(|GrantError { pointer, message }| {
                let mapping = node.get(key).and_then(|mappings| mappings.get(name)).unwrap_or(&node);
                let place = mapping.get("grants").unwrap_or(mapping).nearest(&pointer).span;
                Diagnostic::error(format!("not a grant: {message}")).at(place)
            })?;
        }
        Ok(settings)
    }

    /// The mapping of a plugin, whichever way both write its name.
    #[must_use]
    pub fn mapping_of(&self, plugin: &Plugin) -> Option<&PluginMapping> {
        let place = |source: &str| {
            let named = Plugin {
                source: Spanned::new(source.split('#').next().unwrap_or_default().to_owned(), Span::default()),
                config: Node::new(NodeKind::Null, Span::default()),
            };
            named.full_source()
        };
        if self.plugins.is_empty() {
            return None;
        }
        let wanted = place(&plugin.source.value);
        self.plugins.iter().find(|(name, _)| place(name) == wanted).map(|(_, mapping)| mapping)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Settings, String> {
        let source = Source::new("runner.yml", text);
        Settings::read(&source).map_err(|error| {
            let place = source.position(error.span.unwrap_or_default().start);
            format!("{place} {error}")
        })
    }

    fn plugin(source: &str) -> Plugin {
        let span = Span::default();
        Plugin { source: Spanned::new(source.to_owned(), span), config: Node::new(NodeKind::Null, span) }
    }

    #[test]
    fn a_plugin_is_found_whichever_way_it_is_written() {
        let settings =
            read("plugins:\n  my-org/foo: { uses: ./steps/foo.wasm, runs: after, with: { a: 1 } }\n").unwrap();
        for source in ["my-org/foo", "my-org/foo#v1.2.3", "github.com/my-org/foo-buildkite-plugin#main"] {
            let mapping = settings.mapping_of(&plugin(source)).unwrap();
            assert_eq!((mapping.uses.as_str(), mapping.runs), ("./steps/foo.wasm", Runs::After), "{source}");
        }
        for source in ["foo", "other/foo", "my-org/foo2"] {
            assert!(settings.mapping_of(&plugin(source)).is_none(), "{source}");
        }
        assert_eq!(read("# nothing yet\n"), Ok(Settings::default()));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        for (text, expected) in [
            ("plugin: {}", "1:"),
            ("plugins:\n  a: { with: {} }", "2:6 not a setting: missing field `uses`"),
            ("plugins:\n  a: { uses: x@1, runs: never }", "2:25 not a setting: unknown variant `never`"),
            (
                "plugins:\n  a: { uses: x@1, grants: { docker: { privileged: true } } }",
                "2:51 not a setting: unknown field",
            ),
            (
                "plugins:\n  a: { uses: x@1, grants: { aws: { account: '1', region: us-east-1 } } }",
                "2:45 not a grant: `1` is not an AWS account",
            ),
            ("teams: { release: ana }", "1:19 not a setting: invalid type"),
            ("secrets: environment", "1:10 not a setting: invalid type"),
            ("secrets: [keyring]", "1:11 not a setting: `keyring` needs more"),
            ("secrets:\n  - file: a\n    keyring: b\n", "2:5 not a setting: a source of secrets is one of"),
            ("secrets:\n  - fiel: a\n", "2:11 not a setting: unknown field `fiel`"),
            ("secrets:\n  - { file: a, region: eu-west-1 }\n", "2:5 not a setting: `region` is only for"),
            ("cache: { size: 5GB }", "1:16 not a setting: `5GB` is not an amount of bytes"),
            ("cache: { remote: team/cache }", "1:18 not a setting: `team/cache` is no repository"),
            ("cache: { key: SECRET }", "1:15 `key` seals what is shared"),
            ("[]", "1:1 the settings are a list, expected a mapping"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
