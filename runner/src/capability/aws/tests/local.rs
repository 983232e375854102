//! Against the local CloudFormation of `examples/environment`.

use super::super::SdkClients;
use super::{Job, denied, grant, options};
use crate::capability::Error;
use crate::host::bindings::runner::aws::cloudformation::{
    ChangeSetDescription, ChangeSetKind, Host, HostChangeSet, HostStack, Parameter, ParameterValue, StackDescription,
};
use aws_config::{BehaviorVersion, Region};
use aws_sdk_cloudformation::config::Credentials;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wasmtime::component::Resource;

/// Clients of the local endpoint; fails when nothing answers there.
async fn local() -> Arc<SdkClients> {
    let url = std::env::var("AWS_ENDPOINT_URL").unwrap_or_else(|_| "http://127.0.0.1:4666".to_owned());
    let address = url.trim_start_matches("http://").trim_end_matches('/');
    assert!(
        tokio::net::TcpStream::connect(address).await.is_ok(),
        "no CloudFormation at {url}; start it with examples/environment/cloudformation.sh, or set AWS_ENDPOINT_URL"
    );
    clients_of(&url).await
}

async fn clients_of(url: &str) -> Arc<SdkClients> {
    let config = aws_config::defaults(BehaviorVersion::latest())
        .endpoint_url(url)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .load()
        .await;
    Arc::new(SdkClients::with_config(&config))
}

fn unique(name: &str) -> String {
    format!("{name}-{}", uuid::Uuid::new_v4().simple())
}

/// One job with one stack.
struct Stack {
    job: Job,
    rep: u32,
}

impl Stack {
    async fn open(name: &str, operations: &[&str], more: Value) -> Self {
        let mut granted = grant(name, operations);
        if let (Value::Object(granted), Value::Object(more)) = (&mut granted, more) {
            granted.extend(more);
        }
        let mut job = Job::new(local().await, granted);
        let rep = job.view().open(name.to_owned()).await.unwrap().rep();
        Self { job, rep }
    }

    async fn describe(&mut self) -> Option<StackDescription> {
        HostStack::describe(&mut self.job.view(), Resource::new_own(self.rep)).await.unwrap()
    }

    /// Waits until nothing goes on.
    async fn settled(&mut self) -> StackDescription {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let state = self.describe().await.unwrap();
            if !state.status.ends_with("_IN_PROGRESS") {
                return state;
            }
            assert!(Instant::now() < deadline, "still {}", state.status);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn plan(
        &mut self,
        kind: ChangeSetKind,
        template: &Value,
        parameters: &[(&str, ParameterValue)],
    ) -> (u32, ChangeSetDescription) {
        let mut options = options(kind, &unique("r"), template);
        options.parameters = parameters
            .iter()
            .map(|(key, value)| Parameter {
                key: (*key).to_owned(),
                value: match value {
                    ParameterValue::Plain(text) => ParameterValue::Plain(text.clone()),
                    ParameterValue::Previous | ParameterValue::Secret(_) => ParameterValue::Previous,
                },
            })
            .collect();
        let set = self.job.view().create_change_set(Resource::new_own(self.rep), options).await.unwrap().rep();
        loop {
            let state = HostChangeSet::describe(&mut self.job.view(), Resource::new_own(set)).await.unwrap();
            if !matches!(state.status.as_str(), "CREATE_PENDING" | "CREATE_IN_PROGRESS") {
                return (set, state);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn execute(&mut self, set: u32) -> Result<(), Error> {
        self.job.view().execute(Resource::new_own(set), "token-1".into()).await
    }

    async fn delete(&mut self) {
        HostStack::delete(&mut self.job.view(), Resource::new_own(self.rep), "token-9".into()).await.unwrap();
        assert_eq!(self.settled().await.status, "DELETE_COMPLETE");
    }
}

fn service(name: &str) -> Value {
    json!({
        "Parameters": {"Name": {"Type": "String"}, "Hidden": {"Type": "String", "NoEcho": true, "Default": "h"}},
        "Resources": {
            "Topic": {"Type": "AWS::SNS::Topic", "Properties": {"DisplayName": {"Ref": "Name"}}},
            "Table": {"Type": "AWS::DynamoDB::Table", "Properties": {
                "TableName": name,
                "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            }},
        },
        "Outputs": {"Topic": {"Value": {"Ref": "Topic"}, "Description": "the topic"}},
    })
}

fn plain(text: &str) -> ParameterValue {
    ParameterValue::Plain(text.to_owned())
}

#[tokio::test]
async fn a_stack_is_created_left_alone_updated_guarded_and_deleted() {
    let name = unique("lifecycle");
    let mut stack = Stack::open(&name, &["deploy", "delete"], json!({})).await;
    assert!(stack.describe().await.is_none());
    let template = service(&name);
    let (set, planned) = stack.plan(ChangeSetKind::Create, &template, &[("Name", plain("one"))]).await;
    assert_eq!((planned.status.as_str(), planned.execution_status.as_str()), ("CREATE_COMPLETE", "AVAILABLE"));
    assert_eq!(planned.changes.iter().filter(|change| change.action == "Add").count(), 2);
    assert_eq!(stack.describe().await.unwrap().status, "REVIEW_IN_PROGRESS");
    stack.execute(set).await.unwrap();
    let state = stack.settled().await;
    assert_eq!(state.status, "CREATE_COMPLETE");
    assert_eq!(state.outputs.len(), 1);
    assert_eq!(state.outputs[0].description, "the topic");
    assert!(state.parameters.contains(&("Hidden".into(), "****".into())));
    let mut parameters = state.template_parameters;
    parameters.sort();
    assert_eq!(parameters, ["Hidden", "Name"]);
    let events = HostStack::events(&mut stack.job.view(), Resource::new_own(stack.rep), None).await.unwrap();
    assert!(events.iter().any(|event| event.logical_id == "Topic" && event.status == "CREATE_COMPLETE"));
    assert!(events.iter().any(|event| event.token == "token-1"), "no event carries the token");
    let last = events.last().unwrap().id.clone();

    let previous = [("Name", ParameterValue::Previous)];
    let (set, planned) = stack.plan(ChangeSetKind::Update, &template, &previous).await;
    assert_eq!(planned.status, "FAILED");
    assert!(planned.status_reason.contains("didn't contain changes"), "{}", planned.status_reason);
    HostChangeSet::delete(&mut stack.job.view(), Resource::new_own(set)).await.unwrap();

    let (set, planned) = stack.plan(ChangeSetKind::Update, &template, &[("Name", plain("two"))]).await;
    assert_eq!(planned.changes[0].action, "Modify");
    stack.execute(set).await.unwrap();
    assert_eq!(stack.settled().await.status, "UPDATE_COMPLETE");
    let new = HostStack::events(&mut stack.job.view(), Resource::new_own(stack.rep), Some(last)).await.unwrap();
    assert!(new.iter().all(|event| event.status.starts_with("UPDATE_")) && !new.is_empty());

    let renamed = service(&format!("{name}-2"));
    let (set, planned) = stack.plan(ChangeSetKind::Update, &renamed, &previous).await;
    let table = planned.changes.iter().find(|change| change.logical_id == "Table").unwrap();
    assert_eq!(table.replacement, "True");
    let text = denied(stack.execute(set).await);
    assert!(text.contains("it would replace `Table`") && text.contains("Properties.TableName"), "{text}");
    assert!(text.contains("grants: { aws: { replace: [\"AWS::DynamoDB::Table\"] } }"), "{text}");
    assert_eq!(stack.settled().await.status, "UPDATE_COMPLETE");
    HostChangeSet::delete(&mut stack.job.view(), Resource::new_own(set)).await.unwrap();

    stack.delete().await;
    assert_eq!(
        stack.job.decided().iter().filter(|decision| decision.starts_with('-')).collect::<Vec<_>>(),
        ["-execute"]
    );
}

#[tokio::test]
async fn a_granted_replacement_is_done() {
    let name = unique("replaced");
    let mut stack = Stack::open(&name, &["deploy", "delete"], json!({"replace": "AWS::DynamoDB::*"})).await;
    let (set, _) = stack.plan(ChangeSetKind::Create, &service(&name), &[("Name", plain("one"))]).await;
    stack.execute(set).await.unwrap();
    assert_eq!(stack.settled().await.status, "CREATE_COMPLETE");
    let renamed = service(&format!("{name}-2"));
    let (set, _) = stack.plan(ChangeSetKind::Update, &renamed, &[("Name", ParameterValue::Previous)]).await;
    stack.execute(set).await.unwrap();
    assert_eq!(stack.settled().await.status, "UPDATE_COMPLETE");
    stack.delete().await;
}

#[tokio::test]
async fn a_creation_that_failed_leaves_a_reason_and_can_be_cleared_away() {
    let name = unique("failing");
    let mut stack = Stack::open(&name, &["deploy"], json!({})).await;
    let template = json!({"Resources": {
        "Handle": {"Type": "AWS::CloudFormation::WaitConditionHandle"},
        "Wait": {"Type": "AWS::CloudFormation::WaitCondition", "Properties": {"Handle": {"Ref": "Handle"}, "Timeout": "1"}},
    }});
    let (set, _) = stack.plan(ChangeSetKind::Create, &template, &[]).await;
    stack.execute(set).await.unwrap();
    assert_eq!(stack.settled().await.status, "ROLLBACK_COMPLETE");
    let events = HostStack::events(&mut stack.job.view(), Resource::new_own(stack.rep), None).await.unwrap();
    let failed = events.iter().find(|event| event.status == "CREATE_FAILED").unwrap();
    assert_eq!(failed.logical_id, "Wait");
    assert!(failed.status_reason.contains("timed out"), "{}", failed.status_reason);
    stack.job.view().delete_failed(Resource::new_own(stack.rep), "token-2".into()).await.unwrap();
    assert_eq!(stack.settled().await.status, "DELETE_COMPLETE");
}

#[tokio::test]
async fn a_validation_that_failed_during_the_execution_tells_its_cause() {
    let name = unique("conflict");
    let template = json!({"Resources": {"Data": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}}}});
    let mut owner = Stack::open(&format!("{name}-a"), &["deploy", "delete"], json!({})).await;
    let (set, _) = owner.plan(ChangeSetKind::Create, &template, &[]).await;
    owner.execute(set).await.unwrap();
    assert_eq!(owner.settled().await.status, "CREATE_COMPLETE");
    let mut other = Stack::open(&format!("{name}-b"), &["deploy", "delete"], json!({})).await;
    let (set, _) = other.plan(ChangeSetKind::Create, &template, &[]).await;
    other.execute(set).await.unwrap();
    assert_eq!(other.settled().await.status, "ROLLBACK_COMPLETE");
    let events = HostChangeSet::events(&mut other.job.view(), Resource::new_own(set)).await.unwrap();
    let cause = events.iter().find(|event| event.logical_id == "Data").unwrap();
    assert_eq!(cause.status, "VALIDATION_ERROR");
    assert!(
        cause.status_reason.starts_with("NAME_CONFLICT_VALIDATION at /Resources/Data: "),
        "{}",
        cause.status_reason
    );
    owner.delete().await;
    other.delete().await;
}

#[tokio::test]
async fn credentials_of_another_account_are_refused_before_anything_else() {
    let mut granted = grant("orders-test", &["deploy"]);
    granted["account"] = json!("111111111111");
    let mut job = Job::new(local().await, granted);
    let stack = job.view().open("orders-test".into()).await.unwrap();
    let error = HostStack::describe(&mut job.view(), stack).await.unwrap_err().to_string();
    assert!(error.contains("belong to account 000000000000") && error.contains("is 111111111111"), "{error}");
}

#[tokio::test]
async fn the_services_refusal_is_passed_on_with_its_code() {
    let name = unique("missing");
    let mut stack = Stack::open(&name, &["deploy"], json!({})).await;
    let rep = stack.rep;
    let error = HostStack::events(&mut stack.job.view(), Resource::new_own(rep), None).await.unwrap_err();
    assert!(
        matches!(&error, Error::NotFound(text) if text.contains("DescribeStackEvents: ValidationError")),
        "{error}"
    );
    let update = options(ChangeSetKind::Update, "r-1", &service(&name));
    let error = stack.job.view().create_change_set(Resource::new_own(rep), update).await.map(drop).unwrap_err();
    assert!(error.to_string().contains("CreateChangeSet: ValidationError"), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_not_from_aws_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let answer = "HTTP/1.1 404 Not Found\r\ncontent-length: 15\r\nconnection: close\r\n\r\n<h1>nginx</h1>\n";
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let mut job = Job::new(clients_of(&url).await, grant("orders-test", &["deploy"]));
    let stack = job.view().open("orders-test".into()).await.unwrap();
    let error = HostStack::describe(&mut job.view(), stack).await.unwrap_err().to_string();
    assert!(error.contains("HTTP status 404") && error.contains(&url) && error.contains("AWS_ENDPOINT_URL"), "{error}");
}
