//! CloudFormation through the AWS SDK: credentials, the account's verification, and each call.

use super::AwsError;
use super::model::{
    AwsClients, ChangeDetail, ChangeSetPage, ChangeSetRequest, CloudFormation, CreatedChangeSet, Operations, Page,
    ParameterInput, ResourceChange, StackEvent, StackOutput, StackState,
};
use crate::plan::grant::AwsGrant;
use async_trait::async_trait;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_cloudformation::config::{SharedCredentialsProvider, SharedHttpClient};
use aws_sdk_cloudformation::primitives::DateTime;
use aws_sdk_cloudformation::types;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OnceCell;

/// Clients with the credentials found on this machine: environment, profile, web identity, container, instance.
#[derive(Debug, Default)]
pub struct SdkClients {
    /// Read when AWS is used for the first time; shared so that credentials and connections are.
    base: OnceCell<SdkConfig>,
}

impl SdkClients {
    /// Clients that read the machine's configuration when they are used for the first time.
    pub fn new() -> Self {
        Self::default()
    }

    /// Clients with this configuration; HTTP client, time limits and retries are set as for [`Self::new`].
    pub fn with_config(config: &SdkConfig) -> Self {
        let config =
            config.to_builder().http_client(http_client()).timeout_config(timeouts()).retry_config(retries()).build();
        Self { base: OnceCell::new_with(Some(config)) }
    }

    /// `region` is for what fetches credentials; otherwise the machine's own region would be looked for.
    async fn base(&self, region: &str) -> &SdkConfig {
        self.base.get_or_init(|| machine_config(Some(region.to_owned()))).await
    }
}

/// What this machine says: environment, profile, web identity, container, instance. Without a region, that of the
/// environment or the profile.
pub(crate) async fn machine_config(region: Option<String>) -> SdkConfig {
    // Not the instance's region: asking for it makes every other machine wait.
    let region = RegionProviderChain::first_try(region.map(Region::new))
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new());
    aws_config::defaults(BehaviorVersion::latest())
        .region(region)
        .http_client(http_client())
        .timeout_config(timeouts())
        .retry_config(retries())
        .load()
        .await
}

fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new().tls_provider(tls::Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK waits for ever for an answer unless told otherwise.
fn timeouts() -> TimeoutConfig {
    TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(5))
        .operation_attempt_timeout(Duration::from_secs(20))
        .operation_timeout(Duration::from_mins(2))
        .build()
}

/// Enough attempts to outlast a burst of throttling. Not the adaptive mode: it holds every call back for a minute.
fn retries() -> RetryConfig {
    RetryConfig::standard().with_max_attempts(8).with_max_backoff(Duration::from_secs(20))
}

#[async_trait]
impl AwsClients for SdkClients {
    async fn connect(&self, grant: &AwsGrant, session: &str) -> Result<Arc<dyn CloudFormation>, AwsError> {
        let mut config = self.base(&grant.region).await.to_builder().region(Region::new(grant.region.clone())).build();
        if let Some(role) = &grant.role {
            // No session policy: without a service role CloudFormation makes the resources with this very session,
            // so one that is limited to CloudFormation would make every deployment fail.
            let mut provider = AssumeRoleProvider::builder(&role.arn)
                .session_name(session)
                .region(Region::new(grant.region.clone()))
                .configure(&config);
            if let Some(external_id) = &role.external_id {
                provider = provider.external_id(external_id);
            }
            let provider = SharedCredentialsProvider::new(provider.build().await);
            config = config.into_builder().credentials_provider(provider).build();
        }
        let endpoint = match config.endpoint_url() {
            Some(url) => url.to_owned(),
            None => format!("AWS in {}", grant.region),
        };
        let identity =
            aws_sdk_sts::Client::new(&config).get_caller_identity().send().await.map_err(|error| {
                match (AwsError::from_sdk("GetCallerIdentity", &endpoint, &error), &grant.role) {
                    (AwsError::Credentials(reason), Some(role)) => AwsError::Role { arn: role.arn.clone(), reason },
                    (error, _) => error,
                }
            })?;
        let found = identity.account().unwrap_or("unknown");
        if found != grant.account {
            return Err(AwsError::WrongAccount { granted: grant.account.clone(), found: found.to_owned() });
        }
        Ok(Arc::new(SdkCloudFormation { client: aws_sdk_cloudformation::Client::new(&config), endpoint }))
    }
}

struct SdkCloudFormation {
    client: aws_sdk_cloudformation::Client,
    /// Where calls go, for messages.
    endpoint: String,
}

/// Sends a request and names the call in its error.
macro_rules! send {
    ($self:ident, $call:literal, $request:expr) => {
        $request.send().await.map_err(|error| AwsError::from_sdk($call, &$self.endpoint, &error))
    };
}

#[async_trait]
impl CloudFormation for SdkCloudFormation {
    async fn describe_stack(&self, stack: &str) -> Result<Option<StackState>, AwsError> {
        match send!(self, "DescribeStacks", self.client.describe_stacks().stack_name(stack)) {
            Ok(answer) => Ok(answer.stacks.unwrap_or_default().into_iter().next().map(stack_state)),
            Err(error) if error.is_missing() => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn template_parameters(&self, stack: &str) -> Result<Vec<String>, AwsError> {
        let answer = send!(self, "GetTemplateSummary", self.client.get_template_summary().stack_name(stack))?;
        Ok(answer.parameters.unwrap_or_default().into_iter().filter_map(|parameter| parameter.parameter_key).collect())
    }

    async fn stack_events(&self, stack: &str, page: Option<String>) -> Result<Page<StackEvent>, AwsError> {
        let request = self.client.describe_stack_events().stack_name(stack).set_next_token(page);
        let answer = send!(self, "DescribeStackEvents", request)?;
        let items = answer.stack_events.unwrap_or_default().into_iter().map(stack_event).collect();
        Ok(Page { items, next: answer.next_token })
    }

    async fn failures(&self, of: Operations<'_>, page: Option<String>) -> Result<Page<StackEvent>, AwsError> {
        let request = match of {
            Operations::ChangeSet(id) => self.client.describe_events().change_set_name(id),
            Operations::Stack(id) => self.client.describe_events().stack_name(id),
        };
        let failures = types::EventFilter::builder().failed_events(true).build();
        let request = request.filters(failures).set_next_token(page);
        let answer = send!(self, "DescribeEvents", request)?;
        let items = answer.operation_events.unwrap_or_default().into_iter().map(operation_event).collect();
        Ok(Page { items, next: answer.next_token })
    }

    async fn create_change_set(&self, request: &ChangeSetRequest) -> Result<CreatedChangeSet, AwsError> {
        let kind = if request.create { types::ChangeSetType::Create } else { types::ChangeSetType::Update };
        let parameters = request.parameters.iter().map(|(key, input)| {
            let parameter = types::Parameter::builder().parameter_key(key);
            match input {
                ParameterInput::Value(value) => parameter.parameter_value(value).build(),
                ParameterInput::Previous => parameter.use_previous_value(true).build(),
            }
        });
        let tags = request.tags.iter().map(|(key, value)| types::Tag::builder().key(key).value(value).build());
        let capabilities = request.capabilities.iter().map(|name| types::Capability::from(name.as_str()));
        let call = self
            .client
            .create_change_set()
            .stack_name(&request.stack)
            .change_set_type(kind)
            .change_set_name(&request.name)
            // The same for every retry the SDK makes of this call, another one for the next call.
            .client_token(uuid::Uuid::new_v4().to_string())
            .set_description(Some(request.description.clone()).filter(|text| !text.is_empty()))
            .template_body(&request.template)
            .set_parameters(Some(parameters.collect()))
            .set_tags(Some(tags.collect()))
            .set_capabilities(Some(capabilities.collect()));
        let answer = send!(self, "CreateChangeSet", call)?;
        Ok(CreatedChangeSet { id: answer.id.unwrap_or_default(), stack_id: answer.stack_id.unwrap_or_default() })
    }

    async fn describe_change_set(&self, change_set: &str, page: Option<String>) -> Result<ChangeSetPage, AwsError> {
        let request = self.client.describe_change_set().change_set_name(change_set).set_next_token(page);
        let answer = send!(self, "DescribeChangeSet", request)?;
        let changes = answer.changes.unwrap_or_default().into_iter().filter_map(|change| change.resource_change);
        Ok(ChangeSetPage {
            id: answer.change_set_id.unwrap_or_default(),
            status: text(answer.status),
            status_reason: answer.status_reason.unwrap_or_default(),
            execution_status: text(answer.execution_status),
            changes: changes.map(resource_change).collect(),
            next: answer.next_token,
        })
    }

    async fn execute_change_set(&self, change_set: &str, token: &str) -> Result<(), AwsError> {
        let request = self.client.execute_change_set().change_set_name(change_set).client_request_token(token);
        send!(self, "ExecuteChangeSet", request).map(drop)
    }

    async fn delete_change_set(&self, change_set: &str, stack: Option<&str>) -> Result<(), AwsError> {
        let request =
            self.client.delete_change_set().change_set_name(change_set).set_stack_name(stack.map(str::to_owned));
        send!(self, "DeleteChangeSet", request).map(drop)
    }

    async fn delete_stack(&self, stack: &str, token: &str) -> Result<(), AwsError> {
        send!(self, "DeleteStack", self.client.delete_stack().stack_name(stack).client_request_token(token)).map(drop)
    }

    async fn cancel_update(&self, stack: &str, token: &str) -> Result<(), AwsError> {
        let request = self.client.cancel_update_stack().stack_name(stack).client_request_token(token);
        send!(self, "CancelUpdateStack", request).map(drop)
    }

    async fn continue_rollback(&self, stack: &str, token: &str) -> Result<(), AwsError> {
        let request = self.client.continue_update_rollback().stack_name(stack).client_request_token(token);
        send!(self, "ContinueUpdateRollback", request).map(drop)
    }
}

fn text<T: AsRef<str>>(value: Option<T>) -> String {
    value.map(|value| value.as_ref().to_owned()).unwrap_or_default()
}

fn seconds(time: Option<DateTime>) -> u64 {
    time.and_then(|time| u64::try_from(time.secs()).ok()).unwrap_or_default()
}

fn stack_state(stack: types::Stack) -> StackState {
    let outputs = stack.outputs.unwrap_or_default().into_iter().map(|output| StackOutput {
        key: output.output_key.unwrap_or_default(),
        value: output.output_value.unwrap_or_default(),
        description: output.description.unwrap_or_default(),
        export_name: output.export_name.unwrap_or_default(),
    });
    let parameters =
        stack.parameters.unwrap_or_default().into_iter().map(|parameter| {
            (parameter.parameter_key.unwrap_or_default(), parameter.parameter_value.unwrap_or_default())
        });
    let tags = stack.tags.unwrap_or_default().into_iter();
    StackState {
        id: stack.stack_id.unwrap_or_default(),
        name: stack.stack_name.unwrap_or_default(),
        status: text(stack.stack_status),
        status_reason: stack.stack_status_reason.unwrap_or_default(),
        parameters: parameters.collect(),
        outputs: outputs.collect(),
        tags: tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect(),
        capabilities: stack.capabilities.unwrap_or_default().into_iter().map(|one| one.as_str().to_owned()).collect(),
        termination_protection: stack.enable_termination_protection.unwrap_or_default(),
    }
}

fn stack_event(event: types::StackEvent) -> StackEvent {
    StackEvent {
        id: event.event_id.unwrap_or_default(),
        timestamp: seconds(event.timestamp),
        logical_id: event.logical_resource_id.unwrap_or_default(),
        physical_id: event.physical_resource_id.unwrap_or_default(),
        resource_type: event.resource_type.unwrap_or_default(),
        status: text(event.resource_status),
        status_reason: event.resource_status_reason.unwrap_or_default(),
        token: event.client_request_token.unwrap_or_default(),
        operation: event.operation_id.unwrap_or_default(),
    }
}

/// An event of a validation says in fields of its own which check failed where.
fn operation_event(event: types::OperationEvent) -> StackEvent {
    let reason = match event.validation_status_reason {
        Some(reason) => {
            let place = event.validation_path.map(|path| format!(" at {path}")).unwrap_or_default();
            format!("{}{place}: {reason}", event.validation_name.unwrap_or_default())
        }
        None => event.resource_status_reason.or(event.hook_status_reason).unwrap_or_default(),
    };
    let status = event.resource_status.map(|status| status.as_str().to_owned());
    StackEvent {
        id: event.event_id.unwrap_or_default(),
        timestamp: seconds(event.timestamp.or(event.start_time)),
        logical_id: event.logical_resource_id.unwrap_or_default(),
        physical_id: event.physical_resource_id.unwrap_or_default(),
        resource_type: event.resource_type.unwrap_or_default(),
        status: status.unwrap_or_else(|| text(event.event_type)),
        status_reason: reason,
        token: event.client_request_token.unwrap_or_default(),
        operation: event.operation_id.unwrap_or_default(),
    }
}

fn resource_change(change: types::ResourceChange) -> ResourceChange {
    let details = change.details.unwrap_or_default().into_iter().filter_map(|detail| detail.target);
    ResourceChange {
        action: text(change.action),
        logical_id: change.logical_resource_id.unwrap_or_default(),
        physical_id: change.physical_resource_id.unwrap_or_default(),
        resource_type: change.resource_type.unwrap_or_default(),
        replacement: text(change.replacement),
        policy_action: text(change.policy_action),
        details: details
            .map(|target| ChangeDetail {
                attribute: text(target.attribute),
                name: target.name.unwrap_or_default(),
                requires_recreation: text(target.requires_recreation),
            })
            .collect(),
    }
}
