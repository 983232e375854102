//! Against a scripted service: refusals before anything is asked, pages, lost answers, two jobs at once.

use super::super::{
    AwsClients, AwsError, ChangeSetPage, ChangeSetRequest, CloudFormation, CreatedChangeSet, Operations, Page,
    ResourceChange, StackEvent, StackState,
};
use super::{Job, denied, grant, options};
use crate::capability::Error;
use crate::host::bindings::runner::aws::cloudformation::{ChangeSetKind, Host, HostChangeSet, HostStack};
use crate::plan::grant::AwsGrant;
use async_trait::async_trait;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A service that answers what it is told and remembers what it was asked.
#[derive(Default)]
struct Scripted {
    asked: Mutex<Vec<String>>,
    status: String,
    /// Errors of `CreateChangeSet`, one per call, before it works.
    create_errors: Mutex<Vec<AwsError>>,
    change_set_status: Option<(&'static str, &'static str)>,
    /// Pages of changes.
    changes: Vec<Vec<ResourceChange>>,
    /// Pages of events, newest first.
    events: Vec<Vec<&'static str>>,
    /// Failures, newest first: identifier, token, operation.
    failures: Vec<(&'static str, &'static str, &'static str)>,
}

#[derive(Clone)]
struct Clients(Arc<Scripted>);

#[async_trait]
impl AwsClients for Clients {
    async fn connect(&self, _: &AwsGrant, session: &str) -> Result<Arc<dyn CloudFormation>, AwsError> {
        self.0.note(format!("connect {session}"));
        Ok(Arc::new(self.clone()))
    }
}

impl Scripted {
    fn note(&self, call: String) {
        self.asked.lock().unwrap().push(call);
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn page_number(page: Option<String>) -> usize {
    page.map_or(0, |page| page.parse().unwrap())
}

#[async_trait]
impl CloudFormation for Clients {
    async fn describe_stack(&self, stack: &str) -> Result<Option<StackState>, AwsError> {
        self.0.note(format!("describe {stack}"));
        let state = StackState { id: "arn:stack".into(), status: self.0.status.clone(), ..StackState::default() };
        Ok(Some(state).filter(|state| !state.status.is_empty()))
    }
    async fn template_parameters(&self, _: &str) -> Result<Vec<String>, AwsError> {
        Ok(vec!["Old".into()])
    }
    async fn stack_events(&self, _: &str, page: Option<String>) -> Result<Page<StackEvent>, AwsError> {
        let number = page_number(page);
        self.0.note(format!("events {number}"));
        let event = |id: &&str| StackEvent { id: (*id).into(), ..StackEvent::default() };
        let next = (number + 1 < self.0.events.len()).then(|| (number + 1).to_string());
        Ok(Page { items: self.0.events[number].iter().map(event).collect(), next })
    }
    async fn failures(&self, of: Operations<'_>, _: Option<String>) -> Result<Page<StackEvent>, AwsError> {
        self.0.note(format!("failures of {of:?}"));
        let event = |(id, token, operation): &(&str, &str, &str)| StackEvent {
            id: (*id).into(),
            token: (*token).into(),
            operation: (*operation).into(),
            ..StackEvent::default()
        };
        Ok(Page { items: self.0.failures.iter().map(event).collect(), next: None })
    }
    async fn create_change_set(&self, request: &ChangeSetRequest) -> Result<CreatedChangeSet, AwsError> {
        self.0.note(format!("create {} {}", request.stack, request.name));
        match self.0.create_errors.lock().unwrap().pop() {
            Some(error) => Err(error),
            None => Ok(CreatedChangeSet { id: "arn:set".into(), stack_id: "arn:stack".into() }),
        }
    }
    async fn describe_change_set(&self, id: &str, page: Option<String>) -> Result<ChangeSetPage, AwsError> {
        let number = page_number(page);
        let (status, execution) = self.0.change_set_status.unwrap_or(("CREATE_COMPLETE", "AVAILABLE"));
        Ok(ChangeSetPage {
            id: id.into(),
            status: status.into(),
            status_reason: "because".into(),
            execution_status: execution.into(),
            changes: self.0.changes.get(number).cloned().unwrap_or_default(),
            next: (number + 1 < self.0.changes.len()).then(|| (number + 1).to_string()),
        })
    }
    async fn execute_change_set(&self, id: &str, token: &str) -> Result<(), AwsError> {
        self.0.note(format!("execute {id} {token}"));
        Ok(())
    }
    async fn delete_change_set(&self, id: &str, stack: Option<&str>) -> Result<(), AwsError> {
        self.0.note(format!("delete-change-set {id} {}", stack.unwrap_or("-")));
        Ok(())
    }
    async fn delete_stack(&self, stack: &str, token: &str) -> Result<(), AwsError> {
        self.0.note(format!("delete {stack} {token}"));
        Ok(())
    }
    async fn cancel_update(&self, stack: &str, _: &str) -> Result<(), AwsError> {
        self.0.note(format!("cancel {stack}"));
        Ok(())
    }
    async fn continue_rollback(&self, stack: &str, _: &str) -> Result<(), AwsError> {
        self.0.note(format!("continue {stack}"));
        Ok(())
    }
}

fn topic() -> Value {
    json!({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}})
}

fn job(service: Scripted, stacks: &str, operations: &[&str]) -> (Job, Arc<Scripted>) {
    let service = Arc::new(service);
    (Job::new(Arc::new(Clients(service.clone())), grant(stacks, operations)), service)
}

fn already_exists(message: &str) -> AwsError {
    AwsError::Service { call: "CreateChangeSet", code: "AlreadyExistsException".into(), message: message.into() }
}

#[tokio::test]
async fn a_stack_outside_the_grant_is_not_opened() {
    let (mut job, service) = job(Scripted::default(), "orders-*", &["deploy"]);
    let text = denied(job.view().open("billing-prod".into()).await);
    assert_eq!(
        text,
        "stack `billing-prod` is not granted (granted: orders-*); add to the step: grants: { aws: { stacks: \
         [\"billing-prod\"] } }"
    );
    for name in ["orders-test/../billing", "orders-*", "arn:aws:cloudformation:eu-west-1:2:stack/orders-test/1"] {
        assert!(matches!(job.view().open(name.into()).await, Err(Error::Invalid(_))), "{name}");
    }
    assert_eq!(job.decided(), ["-open"]);
    assert!(service.asked().is_empty());
}

#[tokio::test]
async fn each_call_needs_its_operation_before_anything_is_asked() {
    let (mut job, service) = job(Scripted::default(), "orders-*", &[]);
    let mut view = job.view();
    let name = || "orders-test".to_owned();
    let stack = view.open(name()).await.unwrap();
    let again = || wasmtime::component::Resource::new_own(stack.rep());
    let token = || "t".to_owned();
    for (text, yaml) in [
        (denied(HostStack::describe(&mut view, again()).await), "read"),
        (denied(HostStack::events(&mut view, again(), None).await), "read"),
        (denied(view.create_change_set(again(), options(ChangeSetKind::Create, "r", &topic())).await), "plan"),
        (denied(HostStack::delete(&mut view, again(), token()).await), "delete"),
        (denied(view.delete_failed(again(), token()).await), "deploy"),
        (denied(view.cancel_update(again(), token()).await), "cancel"),
        (denied(view.continue_rollback(again(), token()).await), "deploy"),
    ] {
        assert!(text.contains(&format!("grants: {{ aws: {{ operations: [{yaml}] }} }}")), "{text}");
    }
    assert!(service.asked().is_empty());
    assert!(job.decided().iter().all(|decision| decision.starts_with('-')));
}

#[tokio::test]
async fn a_plan_is_not_executed() {
    let (mut job, service) = job(Scripted::default(), "orders-*", &["plan"]);
    let mut view = job.view();
    let stack = view.open("orders-test".into()).await.unwrap();
    let set = view.create_change_set(stack, options(ChangeSetKind::Create, "r-1", &topic())).await.unwrap();
    let text = denied(view.execute(set, "t".into()).await);
    assert!(text.contains("operations: [deploy]"), "{text}");
    assert_eq!(service.asked(), ["connect runner-run-deploy", "create orders-test r-1"]);
    assert_eq!(job.decided(), ["+create-change-set", "-execute"]);
}

#[tokio::test]
async fn the_gate_reads_every_page_before_it_lets_pass() {
    let table = ResourceChange {
        action: "Remove".into(),
        logical_id: "Orders".into(),
        resource_type: "AWS::DynamoDB::Table".into(),
        policy_action: "Delete".into(),
        ..ResourceChange::default()
    };
    let changes = vec![vec![ResourceChange::default()], vec![], vec![table]];
    let (mut job, service) = job(Scripted { changes, ..Scripted::default() }, "orders-*", &["deploy"]);
    let mut view = job.view();
    let stack = view.open("orders-test".into()).await.unwrap();
    let set = view.create_change_set(stack, options(ChangeSetKind::Create, "r-1", &topic())).await.unwrap();
    let text = denied(view.execute(set, "t".into()).await);
    assert!(
        text.contains("it would delete `Orders`") && text.contains("replace: [\"AWS::DynamoDB::Table\"]"),
        "{text}"
    );
    assert!(!service.asked().iter().any(|call| call.starts_with("execute")));
    assert_eq!(job.decided(), ["+create-change-set", "-execute"]);
}

#[tokio::test]
async fn a_change_set_that_is_not_ready_is_not_executed() {
    let service = Scripted { change_set_status: Some(("FAILED", "UNAVAILABLE")), ..Scripted::default() };
    let (mut job, service) = job(service, "orders-*", &["deploy"]);
    let mut view = job.view();
    let stack = view.open("orders-test".into()).await.unwrap();
    let set = view.create_change_set(stack, options(ChangeSetKind::Create, "r-1", &topic())).await.unwrap();
    let error = view.execute(set, "t".into()).await.unwrap_err().to_string();
    assert!(error.contains("FAILED and UNAVAILABLE because"), "{error}");
    assert!(!service.asked().iter().any(|call| call.starts_with("execute")));
}

#[tokio::test]
async fn a_change_set_left_behind_is_made_anew() {
    let service = Scripted { status: "UPDATE_COMPLETE".into(), ..Scripted::default() };
    service.create_errors.lock().unwrap().push(already_exists("ChangeSet r-1 cannot be created, it already exists"));
    let (mut job, service) = job(service, "orders-*", &["deploy"]);
    let mut view = job.view();
    let stack = view.open("orders-test".into()).await.unwrap();
    let again = wasmtime::component::Resource::new_own(stack.rep());
    HostStack::describe(&mut view, stack).await.unwrap();
    view.create_change_set(again, options(ChangeSetKind::Update, "r-1", &topic())).await.unwrap();
    assert_eq!(
        service.asked()[2..],
        ["create arn:stack r-1", "delete-change-set r-1 arn:stack", "create arn:stack r-1"]
    );
}

#[tokio::test]
async fn only_a_stack_that_never_came_to_be_is_cleared_away() {
    for (status, passes) in [
        ("ROLLBACK_COMPLETE", true),
        ("REVIEW_IN_PROGRESS", true),
        ("CREATE_FAILED", false),
        ("UPDATE_COMPLETE", false),
        ("UPDATE_ROLLBACK_COMPLETE", false),
    ] {
        let service = Scripted { status: status.into(), ..Scripted::default() };
        let (mut job, service) = job(service, "*", &["deploy"]);
        let mut view = job.view();
        let stack = view.open(format!("cleared-{}", status.replace('_', "-"))).await.unwrap();
        let result = view.delete_failed(stack, "t".into()).await;
        assert_eq!(service.asked().contains(&"delete arn:stack t".to_owned()), passes, "{status}");
        if !passes {
            assert!(denied(result).contains("operations: [delete]"), "{status}");
        }
    }
    let (mut job, _) = job(Scripted::default(), "*", &["delete"]);
    let mut view = job.view();
    let stack = view.open("nothing".into()).await.unwrap();
    assert!(matches!(HostStack::delete(&mut view, stack, "t".into()).await, Err(Error::NotFound(_))));
}

#[tokio::test]
async fn events_end_at_the_one_that_is_known() {
    let service = Scripted { events: vec![vec!["e5", "e4"], vec!["e3", "e2"], vec!["e1"]], ..Scripted::default() };
    let (mut job, service) = job(service, "*", &["read"]);
    let mut view = job.view();
    let stack = view.open("a".into()).await.unwrap();
    let again = || wasmtime::component::Resource::new_own(stack.rep());
    let ids = |events: Vec<crate::host::bindings::runner::aws::cloudformation::Event>| {
        events.into_iter().map(|event| event.id).collect::<Vec<_>>()
    };
    let all = HostStack::events(&mut view, again(), None).await.unwrap();
    assert_eq!(ids(all), ["e1", "e2", "e3", "e4", "e5"]);
    let new = HostStack::events(&mut view, again(), Some("e3".into())).await.unwrap();
    assert_eq!(ids(new), ["e4", "e5"]);
    assert_eq!(service.asked()[1..], ["events 0", "events 1", "events 2", "events 0", "events 1"]);
    // A guest polls; the permission is recorded once.
    assert_eq!(job.decided(), ["+events"]);
}

#[tokio::test]
async fn failures_are_those_of_the_change_set_and_then_of_its_execution() {
    for (failures, found) in [
        (vec![("e3", "", "op-2"), ("e2", "", "op-2"), ("e1", "", "op-1")], vec!["e2", "e3"]),
        (vec![("e3", "other", "op-3"), ("e2", "t", "op-2"), ("e1", "", "op-1")], vec!["e2"]),
    ] {
        let (mut job, service) = job(Scripted { failures, ..Scripted::default() }, "*", &["deploy"]);
        let mut view = job.view();
        let stack = view.open("failures".into()).await.unwrap();
        let set = view.create_change_set(stack, options(ChangeSetKind::Create, "r-1", &topic())).await.unwrap();
        let again = || wasmtime::component::Resource::new_own(set.rep());
        assert_eq!(HostChangeSet::events(&mut view, again()).await.unwrap().len(), 3);
        view.execute(again(), "t".into()).await.unwrap();
        let events = HostChangeSet::events(&mut view, again()).await.unwrap();
        assert_eq!(events.into_iter().map(|event| event.id).collect::<Vec<_>>(), found);
        let asked = service.asked();
        assert!(asked.contains(&"failures of ChangeSet(\"arn:set\")".to_owned()));
        assert!(asked.contains(&"failures of Stack(\"arn:stack\")".to_owned()));
    }
}

#[tokio::test]
async fn one_job_at_a_time_changes_a_stack() {
    let (mut first, _) = job(Scripted::default(), "*", &["deploy"]);
    let (mut second, service) = job(Scripted::default(), "*", &["deploy"]);
    let mut view = first.view();
    let stack = view.open("contended".into()).await.unwrap();
    view.create_change_set(stack, options(ChangeSetKind::Create, "r-1", &topic())).await.unwrap();
    let cancelled = second.cancelled.clone();
    let waiting = async {
        let mut view = second.view();
        let stack = view.open("contended".into()).await.unwrap();
        let again = wasmtime::component::Resource::new_own(stack.rep());
        let set = options(ChangeSetKind::Create, "r-2", &topic());
        let waited = tokio::time::timeout(Duration::from_millis(50), view.create_change_set(stack, set)).await;
        assert!(waited.is_err(), "it did not wait");
        cancelled.cancel();
        let set = options(ChangeSetKind::Create, "r-2", &topic());
        assert!(matches!(view.create_change_set(again, set).await, Err(Error::Cancelled)));
    };
    waiting.await;
    assert!(!service.asked().iter().any(|call| call.starts_with("create")));
    // With the end of the first job the stack is free.
    drop(first);
    let (mut third, service) = job(Scripted::default(), "*", &["deploy"]);
    let mut view = third.view();
    let stack = view.open("contended".into()).await.unwrap();
    view.create_change_set(stack, options(ChangeSetKind::Create, "r-3", &topic())).await.unwrap();
    assert!(service.asked().contains(&"create contended r-3".to_owned()));
}
