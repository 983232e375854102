//! References to components: found, read, compiled, and asked what they are.

use super::asked::Asked;
use super::built_in::built_in;
use super::compiled::CompiledCache;
use super::reference::{Reference, ReferenceError};
use crate::host::{LoadedComponent, Services, StepEngine};
use crate::plan::ComponentPin;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

/// The components of one run, each found once.
pub struct Components {
    engine: StepEngine,
    cache: CompiledCache,
    services: Services,
    workspace: PathBuf,
    by_reference: HashMap<String, ComponentPin>,
    loaded: Loaded,
    planners: HashMap<String, Asked>,
}

/// Components that have been found, by digest; it grows while a run goes on. Cheap to clone.
#[derive(Clone, Default)]
pub struct Loaded(Arc<RwLock<HashMap<String, LoadedComponent>>>);

impl Loaded {
    /// The component of this digest.
    #[must_use]
    pub fn get(&self, digest: &str) -> Option<LoadedComponent> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(digest).cloned()
    }

    fn put(&self, digest: &str, component: LoadedComponent) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(digest.to_owned(), component);
    }
}

/// Why a reference leads to no component.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// It is not a reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// There is no built-in component of that name.
    #[error("there is no built-in component `{name}`; there are: {known}")]
    Unknown {
        /// As written.
        name: String,
        /// What there is.
        known: String,
    },
    /// There is one, of another version.
    #[error("the built-in component `{name}` has version {version}, which `{range}` does not fit")]
    Version {
        /// As written.
        name: String,
        /// The range as written.
        range: String,
        /// The version there is.
        version: String,
    },
    /// The file cannot be read.
    #[error("the component file `{path}` cannot be read: {reason}")]
    File {
        /// As written.
        path: String,
        /// Why.
        reason: String,
    },
    /// Components in registries cannot be fetched.
    #[error("`{0}` is in a registry, which this version cannot fetch from; use a built-in component or a file")]
    Registry(String),
    /// It is no component, or broke while it was asked what it is.
    #[error("`{reference}` cannot be used: {reason}")]
    Unusable {
        /// As written.
        reference: String,
        /// Why.
        reason: String,
    },
    /// It is not the component that was planned.
    #[error(
        "`{reference}` has changed since the run was planned: its digest is {found}, not {planned}; start a new run"
    )]
    Changed {
        /// As written.
        reference: String,
        /// The digest now.
        found: String,
        /// The digest in the plan.
        planned: String,
    },
}

impl Components {
    /// Nothing found yet.
    #[must_use]
    pub fn new(engine: StepEngine, cache: CompiledCache, services: Services, workspace: &Path) -> Self {
        Self {
            engine,
            cache,
            services,
            workspace: workspace.to_owned(),
            by_reference: HashMap::new(),
            loaded: Loaded::default(),
            planners: HashMap::new(),
        }
    }

    /// The engine the components are compiled for.
    #[must_use]
    pub fn engine(&self) -> &StepEngine {
        &self.engine
    }

    /// The components found, now and later.
    #[must_use]
    pub fn loaded(&self) -> Loaded {
        self.loaded.clone()
    }

    /// Finds, compiles and asks what a reference leads to.
    ///
    /// # Errors
    /// When it leads to nothing that can be used.
    pub async fn resolve(&mut self, text: &str) -> Result<ComponentPin, ResolveError> {
        if let Some(pin) = self.by_reference.get(text) {
            return Ok(pin.clone());
        }
        let digest = self.load(text)?;
        let description = &self.ask(text, &digest).await?.description;
        let pin = ComponentPin {
            name: description.name.clone(),
            version: description.version.clone(),
            digest: digest.clone(),
        };
        self.by_reference.insert(text.to_owned(), pin.clone());
        Ok(pin)
    }

    /// Finds and compiles the very component a plan decided on.
    ///
    /// # Errors
    /// When it is no longer there, or is another one.
    pub fn restore(&mut self, text: &str, pin: &ComponentPin) -> Result<(), ResolveError> {
        if self.loaded.get(&pin.digest).is_some() {
            return Ok(());
        }
        let found = self.load(text)?;
        if found == pin.digest {
            return Ok(());
        }
        Err(ResolveError::Changed { reference: text.to_owned(), found, planned: pin.digest.clone() })
    }

    /// Reads and compiles; the digest.
    fn load(&mut self, text: &str) -> Result<String, ResolveError> {
        let (digest, wasm) = match text.parse() {
            Ok(Reference::BuiltIn { name, range }) => {
                let found = built_in().iter().find(|built_in| built_in.name == name).ok_or_else(|| {
                    let known: Vec<&str> = built_in().iter().map(|built_in| built_in.name).collect();
                    ResolveError::Unknown { name: name.clone(), known: known.join(", ") }
                })?;
                let fits = semver::Version::parse(found.version).is_ok_and(|version| range.matches(&version));
                if !fits {
                    let (range, version) = (range.to_string(), found.version.to_owned());
                    return Err(ResolveError::Version { name, range, version });
                }
                (found.digest.to_owned(), std::borrow::Cow::Borrowed(found.wasm))
            }
            Ok(Reference::File(path)) => {
                let read = std::fs::read(self.workspace.join(&path));
                let wasm = read.map_err(|error| ResolveError::File { path, reason: error.to_string() })?;
                (format!("sha256:{:x}", Sha256::digest(&wasm)), wasm.into())
            }
            Ok(Reference::Registry(reference)) => return Err(ResolveError::Registry(reference)),
            // A command step names its component without a version: it is the one that comes with the runner.
            Err(_) if text == COMMAND => return self.load(&format!("{COMMAND}@*")),
            Err(error) => return Err(error.into()),
        };
        if self.loaded.get(&digest).is_none() {
            let component = self
                .cache
                .load(&self.engine, &digest, &wasm)
                .map_err(|error| ResolveError::Unusable { reference: text.to_owned(), reason: format!("{error:#}") })?;
            self.loaded.put(&digest, self.engine.load(&digest, component));
        }
        Ok(digest)
    }

    /// The component as it answers while planning.
    pub(super) async fn ask(&mut self, text: &str, digest: &str) -> Result<&mut Asked, ResolveError> {
        let unusable = |reason: String| ResolveError::Unusable { reference: text.to_owned(), reason };
        if !self.planners.contains_key(digest) {
            let component = self.loaded.get(digest).ok_or_else(|| unusable("it was not found before".to_owned()))?;
            let asked = Asked::start(&self.engine, &self.services, &component).await;
            self.planners.insert(digest.to_owned(), asked.map_err(unusable)?);
        }
        self.planners.get_mut(digest).ok_or_else(|| unusable("it cannot be asked".to_owned()))
    }
}

/// The component of a command step.
const COMMAND: &str = "command";
