//! The outside as this capability sees it: the calls of CloudFormation it uses, in plain types close to the API's.

use super::AwsError;
use crate::plan::grant::AwsGrant;
use async_trait::async_trait;

/// Makes clients. One per process, shared by all jobs.
#[async_trait]
pub trait AwsClients: Send + Sync {
    /// A client for the grant's account, region and role. `session` names the role session.
    ///
    /// # Errors
    /// Without credentials, or when they belong to another account than the grant's.
    async fn connect(&self, grant: &AwsGrant, session: &str) -> Result<std::sync::Arc<dyn CloudFormation>, AwsError>;
}

/// The calls of CloudFormation; one method is one API call. Stacks are named by name or ARN, change sets by ARN.
#[async_trait]
pub trait CloudFormation: Send + Sync {
    /// `DescribeStacks`; nothing when there is no such stack.
    async fn describe_stack(&self, stack: &str) -> Result<Option<StackState>, AwsError>;
    /// `GetTemplateSummary`: names of the parameters of the stack's template.
    async fn template_parameters(&self, stack: &str) -> Result<Vec<String>, AwsError>;
    /// `DescribeStackEvents`, newest first.
    async fn stack_events(&self, stack: &str, page: Option<String>) -> Result<Page<StackEvent>, AwsError>;
    /// `DescribeEvents`, failures only, newest first.
    async fn failures(&self, of: Operations<'_>, page: Option<String>) -> Result<Page<StackEvent>, AwsError>;
    /// `CreateChangeSet`.
    async fn create_change_set(&self, request: &ChangeSetRequest) -> Result<CreatedChangeSet, AwsError>;
    /// `DescribeChangeSet` without property values: with them the service may leave changes out.
    async fn describe_change_set(&self, change_set: &str, page: Option<String>) -> Result<ChangeSetPage, AwsError>;
    /// `ExecuteChangeSet`.
    async fn execute_change_set(&self, change_set: &str, token: &str) -> Result<(), AwsError>;
    /// `DeleteChangeSet`, by ARN, or by name within a stack.
    async fn delete_change_set(&self, change_set: &str, stack: Option<&str>) -> Result<(), AwsError>;
    /// `DeleteStack`.
    async fn delete_stack(&self, stack: &str, token: &str) -> Result<(), AwsError>;
    /// `CancelUpdateStack`.
    async fn cancel_update(&self, stack: &str, token: &str) -> Result<(), AwsError>;
    /// `ContinueUpdateRollback`.
    async fn continue_rollback(&self, stack: &str, token: &str) -> Result<(), AwsError>;
}

/// Whose failures are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Operations<'a> {
    /// The making of a change set, by ARN.
    ChangeSet(&'a str),
    /// Everything done to a stack, by ARN.
    Stack(&'a str),
}

/// Part of a list, and how to ask for the next part.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The elements.
    pub items: Vec<T>,
    /// Token of the next page; nothing on the last one.
    pub next: Option<String>,
}

/// A stack as `DescribeStacks` tells it.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the API")]
pub struct StackState {
    pub id: String,
    pub name: String,
    pub status: String,
    pub status_reason: String,
    pub parameters: Vec<(String, String)>,
    pub outputs: Vec<StackOutput>,
    pub tags: Vec<(String, String)>,
    pub capabilities: Vec<String>,
    pub termination_protection: bool,
}

/// An output of a stack.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the API")]
pub struct StackOutput {
    pub key: String,
    pub value: String,
    pub description: String,
    pub export_name: String,
}

/// An event of a stack or of the validation of a change set.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the API")]
pub struct StackEvent {
    pub id: String,
    /// Seconds since 1970-01-01T00:00:00Z.
    pub timestamp: u64,
    pub logical_id: String,
    pub physical_id: String,
    pub resource_type: String,
    pub status: String,
    pub status_reason: String,
    pub token: String,
    /// Identifier of the operation it belongs to.
    pub operation: String,
}

/// What a change set is made of. Holds secrets, hence no `Debug`.
#[expect(missing_docs, reason = "named as in the API")]
pub struct ChangeSetRequest {
    /// A name for a stack to be created, the ARN or name of one to be updated.
    pub stack: String,
    pub create: bool,
    pub name: String,
    pub description: String,
    pub template: String,
    pub parameters: Vec<(String, ParameterInput)>,
    pub capabilities: Vec<String>,
    pub tags: Vec<(String, String)>,
}

/// A parameter's value in a request.
pub enum ParameterInput {
    /// This value.
    Value(String),
    /// The one the stack has.
    Previous,
}

/// The ARNs of a new change set.
#[derive(Debug, Clone)]
pub struct CreatedChangeSet {
    /// Of the change set.
    pub id: String,
    /// Of the stack it is for.
    pub stack_id: String,
}

/// A change set, with one page of its changes.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the API")]
pub struct ChangeSetPage {
    pub id: String,
    pub status: String,
    pub status_reason: String,
    pub execution_status: String,
    pub changes: Vec<ResourceChange>,
    pub next: Option<String>,
}

/// What a change set does to one resource. Empty where the service says nothing.
#[derive(Debug, Clone, Default)]
#[expect(missing_docs, reason = "named as in the API")]
pub struct ResourceChange {
    pub action: String,
    pub logical_id: String,
    pub physical_id: String,
    pub resource_type: String,
    pub replacement: String,
    pub policy_action: String,
    pub details: Vec<ChangeDetail>,
}

/// One attribute of a resource that changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeDetail {
    /// `Properties`, `Tags`, `DeletionPolicy`, …
    pub attribute: String,
    /// The property's name; empty for other attributes.
    pub name: String,
    /// `Always`, `Conditionally` or `Never`.
    pub requires_recreation: String,
}

impl ChangeDetail {
    /// As `Properties.Name`.
    pub fn path(&self) -> String {
        if self.name.is_empty() { self.attribute.clone() } else { format!("{}.{}", self.attribute, self.name) }
    }
}
