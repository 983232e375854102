//! The engine: compiles components, links what is granted, and keeps time so that every guest can be stopped.

use super::bindings::ComponentPre;
use super::store::{JobStore, link};
use crate::capability::step::Secret;
use crate::plan::grant::Grants;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};
use wasmtime::{Config, Engine};

/// Compiles and links components. One per process; cheap to clone.
#[derive(Clone)]
pub struct StepEngine {
    engine: Engine,
    linked: Arc<Mutex<HashMap<LinkKey, ComponentPre<JobStore>>>>,
}

/// A component ready to be linked, and the digest it is known by.
#[derive(Clone)]
pub struct LoadedComponent {
    /// `sha256:` and 64 hex digits of the wasm bytes.
    pub digest: Arc<str>,
    pub(super) component: Component,
}

/// What decides how a component is linked: the component, and which capabilities.
#[derive(PartialEq, Eq, Hash)]
struct LinkKey {
    digest: Arc<str>,
    capabilities: [bool; 6],
}

/// Why a component cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// Not a component.
    #[error("not a WebAssembly component: {0}")]
    Malformed(String),
    /// It imports what its grants do not give, or what this runner does not have.
    #[error("{0}")]
    Unlinkable(String),
    /// The engine itself cannot start.
    #[error("the WebAssembly engine cannot start: {0}")]
    Engine(String),
}

/// How often a running guest can be interrupted.
const TICK: Duration = Duration::from_millis(10);

impl StepEngine {
    /// Starts the engine and its clock.
    ///
    /// # Errors
    /// When the machine cannot run it.
    pub fn new() -> Result<Self, EngineError> {
        let mut config = Config::new();
        config.epoch_interruption(true);
        // 1 MiB of wasm stack, on a fiber stack with room for the host's own frames.
        config.max_wasm_stack(1 << 20);
        config.async_stack_size(2 << 20);
        let engine = Engine::new(&config).map_err(|error| EngineError::Engine(format!("{error:#}")))?;
        let clock = engine.weak();
        std::thread::Builder::new()
            .name("epoch".to_owned())
            .spawn(move || {
                while let Some(engine) = clock.upgrade() {
                    engine.increment_epoch();
                    drop(engine);
                    std::thread::sleep(TICK);
                }
            })
            .map_err(|error| EngineError::Engine(error.to_string()))?;
        Ok(Self { engine, linked: Arc::default() })
    }

    /// wasmtime's engine, for compiling and for the compiled-code cache.
    pub fn wasmtime(&self) -> &Engine {
        &self.engine
    }

    /// Takes a compiled component under its digest.
    #[must_use]
    pub fn load(&self, digest: &str, component: Component) -> LoadedComponent {
        LoadedComponent { digest: digest.into(), component }
    }

    /// The names of the interfaces a component imports from outside WASI, in order.
    #[must_use]
    pub fn imports(&self, component: &LoadedComponent) -> Vec<String> {
        let imports = component.component.component_type();
        imports
            .imports(&self.engine)
            .map(|(name, _)| name.to_owned())
            .filter(|name| !name.starts_with("wasi:"))
            .collect()
    }

    /// The component linked with what the grants give and nothing else; type-checked, nothing run.
    ///
    /// # Errors
    /// When it imports more.
    pub(super) fn link(
        &self,
        component: &LoadedComponent,
        grants: &Grants,
        process: bool,
    ) -> Result<ComponentPre<JobStore>, EngineError> {
        let key = LinkKey {
            digest: component.digest.clone(),
            capabilities: [
                process,
                grants.docker.is_some(),
                grants.aws.is_some(),
                grants.artifacts.is_some(),
                grants.meta_data.is_some(),
                grants.annotations,
            ],
        };
        let mut known = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pre) = known.get(&key) {
            return Ok(pre.clone());
        }
        let mut linker: Linker<JobStore> = Linker::new(&self.engine);
        let fault = |error: wasmtime::Error| EngineError::Unlinkable(format!("{error:#}"));
        link(&mut linker, grants, process).map_err(fault)?;
        let instance = linker.instantiate_pre(&component.component).map_err(fault)?;
        let pre = ComponentPre::new(instance).map_err(fault)?;
        known.insert(key, pre.clone());
        Ok(pre)
    }

    /// The component linked for `describe` and `needs`: whatever of ours it imports is there and traps when called,
    /// because both run with nothing granted.
    pub(super) fn link_bare(&self, component: &LoadedComponent) -> Result<ComponentPre<JobStore>, EngineError> {
        let mut linker: Linker<JobStore> = Linker::new(&self.engine);
        let fault = |error: wasmtime::Error| EngineError::Unlinkable(format!("{error:#}"));
        link(&mut linker, &Grants::default(), false).map_err(fault)?;
        for (name, item) in component.component.component_type().imports(&self.engine) {
            if let ComponentItem::ComponentInstance(interface) = item.ty
                && UNGRANTED.iter().any(|ours| name.starts_with(ours))
            {
                self.refuse_calls(&mut linker, name, &interface).map_err(fault)?;
            }
        }
        let instance = linker.instantiate_pre(&component.component).map_err(fault)?;
        ComponentPre::new(instance).map_err(fault)
    }

    /// An interface whose every function traps.
    fn refuse_calls(
        &self,
        linker: &mut Linker<JobStore>,
        name: &str,
        interface: &types::ComponentInstance,
    ) -> wasmtime::Result<()> {
        let mut instance = linker.instance(name)?;
        for (export, item) in interface.exports(&self.engine) {
            match item.ty {
                ComponentItem::ComponentFunc(_) => {
                    let call = format!("{name}#{export}");
                    instance.func_new(export, move |_, _, _, _| {
                        wasmtime::bail!("`{call}` was called while planning, when nothing is granted")
                    })?;
                }
                ComponentItem::Resource(_) => {
                    // Secrets are linked always, and an interface that names their type must mean the same one.
                    let kind = match export {
                        "secret" => ResourceType::host::<Secret>(),
                        _ => ResourceType::host::<Nothing>(),
                    };
                    instance.resource(export, kind, |_, _| Ok(()))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Stands for every resource while planning, when none can come to be.
struct Nothing;

/// Interfaces that are linked only when granted.
const UNGRANTED: [&str; 6] = [
    "runner:docker/",
    "runner:aws/",
    "runner:process/",
    "runner:step/annotations@",
    "runner:step/artifacts@",
    "runner:step/meta-data@",
];
