//! The `Host` traits, called as a guest would: against a scripted service for what a real one does not do on demand,
//! and against the local CloudFormation of `examples/environment` for the rest.

mod local;
mod scripted;

use super::{AwsClients, AwsCtx, AwsView};
use crate::agent::JobLog;
use crate::capability::{Error, JobName, JobScope, Workspace};
use crate::event::{Decision, EventKind};
use crate::host::bindings::runner::aws::cloudformation::{ChangeSetKind, ChangeSetOptions};
use crate::run::{Recorder, Request};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use wasmtime::component::ResourceTable;

/// A job with its context, its handles, and what was recorded of it.
struct Job {
    ctx: AwsCtx,
    table: ResourceTable,
    decisions: Arc<Mutex<Vec<Decision>>>,
    cancelled: CancellationToken,
    _workspace: tempfile::TempDir,
}

impl Job {
    fn new(clients: Arc<dyn AwsClients>, grant: Value) -> Self {
        let workspace = tempfile::tempdir().unwrap();
        let (recorder, mut requests) = Recorder::channel();
        let decisions: Arc<Mutex<Vec<Decision>>> = Arc::default();
        let kept = decisions.clone();
        tokio::spawn(async move {
            while let Some(request) = requests.recv().await {
                if let Request::Record(EventKind::GrantDecided { decision, .. }, answer) = request {
                    kept.lock().unwrap().push(decision);
                    answer.send(Ok(())).unwrap();
                }
            }
        });
        let name = JobName {
            run: "run".into(),
            job: "deploy".into(),
            attempt: 1,
            step_key: String::new(),
            label: String::new(),
        };
        let cancelled = CancellationToken::new();
        let scope = JobScope {
            name: Arc::new(name),
            workspace: Arc::new(Workspace::open(workspace.path(), None).unwrap()),
            log: JobLog::new(workspace.path().join("log"), None),
            recorder,
            cancelled: cancelled.clone(),
            decisions: Arc::default(),
        };
        let grant = serde_json::from_value(grant).unwrap();
        let ctx = AwsCtx::new(scope, Some(grant), clients);
        Self { ctx, table: ResourceTable::new(), decisions, cancelled, _workspace: workspace }
    }

    fn view(&mut self) -> AwsView<'_> {
        AwsView { ctx: &mut self.ctx, table: &mut self.table }
    }

    /// What was decided, as `+call` or `-call`.
    fn decided(&self) -> Vec<String> {
        let sign = |decision: &Decision| if decision.allowed { '+' } else { '-' };
        self.decisions.lock().unwrap().iter().map(|one| format!("{}{}", sign(one), one.operation)).collect()
    }
}

fn grant(stacks: &str, operations: &[&str]) -> Value {
    json!({"account": "000000000000", "region": "us-east-1", "stacks": stacks, "operations": operations})
}

fn options(kind: ChangeSetKind, name: &str, template: &Value) -> ChangeSetOptions {
    ChangeSetOptions {
        kind,
        name: name.into(),
        description: String::new(),
        template: template.to_string(),
        parameters: Vec::new(),
        capabilities: Vec::new(),
        tags: Vec::new(),
        extras: Vec::new(),
    }
}

fn denied<T>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Denied(text)) => text,
        Err(other) => panic!("not denied but: {other}"),
        Ok(_) => panic!("not denied"),
    }
}
