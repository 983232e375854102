//! The sources of secrets: what asks the environment, files, the keyring and AWS.

mod aws;
mod environment;
mod file;
mod keyring;

use super::SecretSource;
use crate::plan::settings::{SourceKind, SourceSetting};
use aws::{ParameterStore, SecretsManager};
use environment::Environment;
use file::SecretsFile;
use indexmap::IndexMap;
use keyring::Keyring;
use std::path::Path;

/// The sources that the settings of the project in this directory list; without settings the environment alone.
#[must_use]
pub fn sources(settings: Option<&[SourceSetting]>, directory: &Path) -> Vec<Box<dyn SecretSource>> {
    let Some(settings) = settings else { return vec![Box::new(Environment::default())] };
    settings.iter().cloned().map(|setting| source(setting, directory)).collect()
}

fn source(setting: SourceSetting, directory: &Path) -> Box<dyn SecretSource> {
    let SourceSetting { kind, names, region } = setting;
    match kind {
        SourceKind::Environment(prefix) => Box::new(Environment { prefix, names }),
        SourceKind::File(path) => Box::new(SecretsFile::new(&path, directory, names)),
        SourceKind::Keyring(service) => Box::new(Keyring { service, names }),
        SourceKind::AwsSsm(prefix) => Box::new(ParameterStore::new(prefix, names, region)),
        SourceKind::AwsSecretsManager(prefix) => Box::new(SecretsManager::new(prefix, names, region)),
    }
}

/// What a secret is called in a source.
fn key<'a>(names: &'a IndexMap<String, String>, name: &'a str) -> &'a str {
    names.get(name).map_or(name, String::as_str)
}
