//! Calls into a component: `describe` and `needs` while planning, `run` for a job.

use super::bindings::Component as Bindings;
use super::bindings::exports::runner::step::entry::Description as GuestDescription;
use super::bindings::runner::step::types::Failure;
use super::engine::{EngineError, LoadedComponent, StepEngine};
use super::store::{JobStore, Services, StoreError};
use crate::agent::JobLog;
use crate::capability::process::Programs;
use crate::capability::{JobName, JobScope, SharedEnvironment, Workspace};
use crate::plan::grant::Grants;
use crate::run::Recorder;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wasmtime::Store;

/// One run of a component for one attempt of a job.
pub struct Invocation<'a> {
    /// The component.
    pub component: &'a LoadedComponent,
    /// What the step is granted.
    pub grants: Arc<Grants>,
    /// The programs it may start; `None` when it may start none.
    pub programs: Option<Programs>,
    /// Who it is.
    pub scope: JobScope,
    /// The environment its processes get and, where granted, it may see.
    pub env: SharedEnvironment,
    /// The parameters: a JSON object.
    pub params: String,
    /// Time after which the job is ended, which may change while it runs; none when the step has no timeout.
    pub timeout: watch::Receiver<Option<Duration>>,
    /// Time for cleaning up once it is asked to end.
    pub grace: Duration,
    /// Set when it has to end at once, without that time.
    pub killed: CancellationToken,
}

/// How a run of a component ended.
#[derive(Debug)]
pub enum Ended {
    /// With these outputs.
    Passed(Map<String, Value>),
    /// It said that it failed.
    Failed {
        /// What went wrong.
        message: String,
        /// What to do; may be empty.
        remedy: String,
        /// 1 to 255.
        exit_status: u8,
        /// The signal that ended its process, such as `SIGTERM`; empty when none did.
        signal: String,
    },
    /// It broke: a trap, a limit, outputs that are not JSON.
    Broken(String),
    /// It was asked to end, did not, and was stopped; the text says when.
    Stopped(String),
    /// It was ended because its time was up.
    TimedOut,
}

/// Why a component could not be called.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It cannot be linked.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// Its files cannot be given to it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It broke.
    #[error("the component broke: {0}")]
    Broken(String),
    /// It says that the parameters make no sense.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do; may be empty.
        remedy: String,
    },
}

/// Memory of one component in bytes.
const MEMORY: usize = 512 << 20;
/// Memory of a component while it is asked what it is and needs.
const PLANNING_MEMORY: usize = 128 << 20;
/// Time for one answer while planning: no more than reading a few parameters takes.
const PLANNING_TIME: Duration = Duration::from_secs(10);
/// Bytes copied between guest and host in one call.
const COPY_FUEL: usize = 128 << 20;
/// Bytes of a signal's name.
const MAX_SIGNAL: usize = 32;
/// Bytes of the outputs; the contract says so.
const MAX_OUTPUTS: usize = 1 << 20;

/// Runs a component to its end, and removes what it left behind.
///
/// # Errors
/// When it cannot be started.
pub async fn run(engine: &StepEngine, services: &Services, invocation: Invocation<'_>) -> Result<Ended, CallError> {
    let Invocation { component, grants, programs, scope, env, params, timeout, grace, killed } = invocation;
    let pre = engine.link(component, &grants, programs.is_some())?;
    let programs = programs.unwrap_or(Programs::Listed(Vec::new()));
    let data = JobStore::new(&scope, &grants, programs, &env, services, MEMORY)?;
    let mut store = new_store(engine, data);
    let cancelled = scope.cancelled.clone();
    let ended = {
        let call = async {
            let instance = pre.instantiate_async(&mut store).await?;
            instance.runner_step_entry().call_run(&mut store, &params).await
        };
        tokio::pin!(call);
        tokio::select! {
            biased;
            result = &mut call => ended(result),
            () = cancelled.cancelled() => tokio::select! {
                biased;
                result = &mut call => ended(result),
                () = killed.cancelled() => Ended::Stopped("it was ended at once".to_owned()),
                () = tokio::time::sleep(grace) => {
                    Ended::Stopped(format!("it did not end within {} seconds of being asked to, and was killed", grace.as_secs()))
                }
            },
            () = time_is_up(timeout) => {
                scope.log.line("error: the step's time is up; asking it to end");
                cancelled.cancel();
                match tokio::time::timeout(grace, &mut call).await {
                    // Ending well in spite of the request is passing, as Buildkite's agent has it.
                    Ok(Ok(Ok(outputs))) => ended(Ok(Ok(outputs))),
                    _ => Ended::TimedOut,
                }
            }
        }
    };
    store.data_mut().release().await;
    Ok(ended)
}

/// Waits until the time is up, counted from now on.
async fn time_is_up(mut limit: watch::Receiver<Option<Duration>>) {
    let began = Instant::now();
    loop {
        let limit_now = *limit.borrow_and_update();
        let up = async {
            match limit_now {
                // A time beyond what the clock counts never comes.
                Some(time) => tokio::time::sleep(time.saturating_sub(began.elapsed())).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            // Nobody is left who could change it.
            if limit.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = up => return,
            () = changed => {}
        }
    }
}

fn ended(result: wasmtime::Result<Result<String, Failure>>) -> Ended {
    match result {
        Ok(Ok(outputs)) if outputs.len() > MAX_OUTPUTS => {
            Ended::Broken(format!("its outputs have {} bytes; at most 1 MiB is allowed", outputs.len()))
        }
        Ok(Ok(outputs)) => match serde_json::from_str(&outputs) {
            Ok(Value::Object(outputs)) => Ended::Passed(outputs),
            Ok(_) => Ended::Broken("its outputs are not a JSON object".to_owned()),
            Err(error) => Ended::Broken(format!("its outputs are not JSON: {error}")),
        },
        Ok(Err(Failure { message, remedy, exit_status, extras })) => {
            let signal = extras.into_iter().find(|(name, _)| name == "signal").map(|(_, signal)| signal);
            let signal = signal.filter(|signal| signal.len() <= MAX_SIGNAL).unwrap_or_default();
            Ended::Failed { message, remedy, exit_status: exit_status.max(1), signal }
        }
        Err(error) => Ended::Broken(trap_text(&error)),
    }
}

/// A trap in a line or two: what a person can act on, without wasm frames.
fn trap_text(error: &wasmtime::Error) -> String {
    match error.downcast_ref::<wasmtime::Trap>() {
        Some(wasmtime::Trap::UnreachableCodeReached) => {
            "it panicked or aborted; its last output says why, unless it ran out of memory (512 MiB)".to_owned()
        }
        Some(wasmtime::Trap::StackOverflow) => "it used up its stack (1 MiB)".to_owned(),
        Some(trap) => trap.to_string(),
        None => format!("{}", error.root_cause()),
    }
}

fn new_store(engine: &StepEngine, data: JobStore) -> Store<JobStore> {
    let mut store = Store::new(engine.wasmtime(), data);
    store.limiter(|data| &mut data.limits);
    store.set_hostcall_fuel(COPY_FUEL);
    // Every tick the guest yields, so that timeouts and cancellation reach one that never waits.
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

/// What a component says of itself.
#[derive(Debug, Clone)]
pub struct Description {
    /// Lower-case letters, digits and `-`.
    pub name: String,
    /// Semantic version.
    pub version: String,
    /// One sentence.
    pub summary: String,
    /// JSON Schema of the parameters.
    pub params_schema: Value,
    /// JSON Schema of the outputs.
    pub outputs_schema: Value,
}

/// A component asked while planning: one instance with nothing granted answers for all steps that use it.
pub struct Planner {
    store: Store<JobStore>,
    instance: Bindings,
}

impl Planner {
    /// Starts the component with nothing granted.
    ///
    /// # Errors
    /// When it cannot be linked or started.
    pub async fn start(
        engine: &StepEngine,
        services: &Services,
        component: &LoadedComponent,
    ) -> Result<Self, CallError> {
        let pre = engine.link_bare(component)?;
        let workspace = Workspace::open(std::path::Path::new("/"), None)
            .map_err(|error| CallError::Broken(format!("the root directory cannot be opened: {error}")))?;
        let scope = JobScope {
            name: Arc::new(JobName {
                run: String::new(),
                job: String::new(),
                attempt: 0,
                step_key: String::new(),
                label: String::new(),
            }),
            workspace: Arc::new(workspace),
            log: JobLog::discard(),
            recorder: Recorder::closed(),
            cancelled: CancellationToken::new(),
            decisions: Arc::default(),
        };
        let grants = Arc::new(Grants::default());
        let env = SharedEnvironment::default();
        let nothing = Programs::Listed(Vec::new());
        let data = JobStore::new(&scope, &grants, nothing, &env, services, PLANNING_MEMORY)?;
        let mut store = new_store(engine, data);
        let instance = answer(pre.instantiate_async(&mut store)).await?;
        Ok(Self { store, instance })
    }

    /// What the component is.
    ///
    /// # Errors
    /// When it breaks, or its schemas are not JSON.
    pub async fn describe(&mut self) -> Result<Description, CallError> {
        let GuestDescription { name, version, summary, params_schema, outputs_schema, extras: _ } =
            answer(self.instance.runner_step_entry().call_describe(&mut self.store)).await?;
        let schema = |kind: &str, text: &str| {
            serde_json::from_str(text)
                .map_err(|error| CallError::Broken(format!("its schema of the {kind} is not JSON: {error}")))
        };
        Ok(Description {
            params_schema: schema("parameters", &params_schema)?,
            outputs_schema: schema("outputs", &outputs_schema)?,
            name,
            version,
            summary,
        })
    }

    /// The grants a run with these parameters will ask for; `unknown` are JSON Pointers to parameters not known yet.
    ///
    /// # Errors
    /// When it breaks, or says that the parameters make no sense.
    pub async fn needs(&mut self, params: &String, unknown: &[String]) -> Result<Grants, CallError> {
        let call = self.instance.runner_step_entry().call_needs(&mut self.store, params, unknown);
        match answer(call).await? {
            Ok(needs) => serde_json::from_str::<Value>(&needs)
                .map_err(|error| error.to_string())
                .and_then(|needs| Grants::from_needs(&needs).map_err(|error| error.message))
                .map_err(|error| CallError::Broken(format!("what it needs cannot be read: {error}"))),
            Err(Failure { message, remedy, .. }) => Err(CallError::Refused { message, remedy }),
        }
    }
}

/// The answer, within the time for planning.
async fn answer<T>(call: impl Future<Output = wasmtime::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(PLANNING_TIME, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(CallError::Broken(trap_text(&error))),
        Err(_) => Err(CallError::Broken("it did not answer within 10 seconds".to_owned())),
    }
}
