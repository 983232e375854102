//! AWS CloudFormation: stacks and change sets of the one account and region a step was granted.
//!
//! Three things stand between a component and an account: the grant, checked on every call with its actual arguments;
//! the template check ([`template`]), because a template can read secrets, run code and nest what nobody sees; and the
//! gate ([`gate`]), which reads a change set again before it is executed. Credentials, region and role are the host's.

mod client;
mod error;
mod gate;
mod host;
mod leftovers;
mod lock;
mod missing;
mod model;
mod request;
mod template;
#[cfg(test)]
mod tests;

pub use client::SdkClients;
pub(crate) use client::machine_config;
pub use error::AwsError;
pub use leftovers::remove_change_set;
pub use model::{
    AwsClients, ChangeDetail, ChangeSetPage, ChangeSetRequest, CloudFormation, CreatedChangeSet, Operations, Page,
    ParameterInput, ResourceChange, StackEvent, StackOutput, StackState,
};

use super::{Error, JobScope};
use crate::host::bindings::runner::aws::cloudformation;
use crate::plan::grant::{AwsGrant, AwsOperation};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use wasmtime::component::{HasData, Linker, ResourceTable};

/// AWS as one attempt of one job may use it.
pub struct AwsCtx {
    scope: JobScope,
    grant: Option<AwsGrant>,
    clients: Arc<dyn AwsClients>,
    client: Option<Arc<dyn CloudFormation>>,
    /// Stacks this job changes, by name; nobody else in this process changes them until the job has ended.
    leases: HashMap<String, lock::Lease>,
    /// Reading calls whose permission is in the event log already: a job polls, and the answer stays the same.
    recorded: HashSet<(&'static str, String)>,
}

impl AwsCtx {
    /// The context of one attempt. Nothing is connected before the first call that needs it.
    pub fn new(scope: JobScope, grant: Option<AwsGrant>, clients: Arc<dyn AwsClients>) -> Self {
        Self { scope, grant, clients, client: None, leases: HashMap::new(), recorded: HashSet::new() }
    }

    /// Lets a call on a stack pass when any of the operations is granted, and records the decision.
    async fn authorise(&mut self, call: &'static str, any_of: &[AwsOperation], stack: &str) -> Result<(), Error> {
        self.authorise_making(call, any_of, stack, "").await
    }

    /// The same for a call that makes something of this name.
    async fn authorise_making(
        &mut self,
        call: &'static str,
        any_of: &[AwsOperation],
        stack: &str,
        name: &str,
    ) -> Result<(), Error> {
        let grant = self.granted()?;
        let missing = if !grant.permits_stack(stack) {
            let granted = if grant.stacks.is_empty() { "none".to_owned() } else { grant.stacks.join(", ") };
            Some((format!("stack `{stack}` is not granted (granted: {granted})"), format!("stacks: [\"{stack}\"]")))
        } else if !grant.permits_any(any_of) {
            let words: Vec<_> = any_of.iter().map(|operation| operation_word(*operation)).collect();
            let least = words.first().copied().unwrap_or_default();
            let what = format!("`{call}` on stack `{stack}` needs the operation {}", words.join(" or "));
            Some((what, format!("operations: [{least}]")))
        } else {
            None
        };
        if let Some((what, yaml)) = missing {
            let reason = format!("{what}; add to the step: grants: {{ aws: {{ {yaml} }} }}");
            return Err(self.scope.deny("aws", call, stack, reason).await);
        }
        let reading = matches!(call, "describe" | "events" | "describe-change-set" | "change-set-events");
        if reading && !self.recorded.insert((call, stack.to_owned())) {
            return Ok(());
        }
        self.scope.allow_making("aws", call, stack, name).await
    }

    /// The client, connected and its account verified when it is used for the first time.
    async fn client(&mut self) -> Result<Arc<dyn CloudFormation>, Error> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let grant = self.granted()?;
        let session = session_name(&self.scope.name.run, &self.scope.name.job);
        let client = self.clients.connect(grant, &session).await?;
        Ok(self.client.insert(client).clone())
    }

    fn granted(&self) -> Result<&AwsGrant, Error> {
        self.grant
            .as_ref()
            .ok_or_else(|| Error::Denied("AWS is not granted; add `aws` to the step's grants".to_owned()))
    }

    /// Takes the stack for this job until it ends. Waits for another job of this process that has it.
    async fn lease(&mut self, stack: &str) -> Result<(), Error> {
        if self.leases.contains_key(stack) {
            return Ok(());
        }
        let grant = self.granted()?;
        let key = format!("{}/{}/{stack}", grant.account, grant.region);
        let lease = match lock::try_take(&key) {
            Some(lease) => lease,
            // A job that holds one stack and waits for another could wait for a job that waits for it.
            None if !self.leases.is_empty() => {
                return Err(Error::Failed(format!(
                    "another job is changing stack `{stack}` and this job holds another stack, so it must not wait; \
                     let one of the two steps depend on the other (`depends_on`)"
                )));
            }
            None => {
                self.scope.log.line(&format!("waiting for another job that is changing stack `{stack}`"));
                self.scope.or_cancelled(async { Ok(lock::take(&key).await) }).await?
            }
        };
        self.leases.insert(stack.to_owned(), lease);
        Ok(())
    }
}

/// Name of the role session, by which the account's audit log leads back to the run: `runner-RUN-JOB`, at most 64
/// characters of those `AssumeRole` permits.
fn session_name(run: &str, job: &str) -> String {
    let permitted = |c: char| if c.is_ascii_alphanumeric() || "+=,.@-_".contains(c) { c } else { '-' };
    format!("runner-{run}-{job}").chars().map(permitted).take(64).collect()
}

/// As `grants.aws.operations` names it.
fn operation_word(operation: AwsOperation) -> &'static str {
    match operation {
        AwsOperation::Read => "read",
        AwsOperation::Plan => "plan",
        AwsOperation::Deploy => "deploy",
        AwsOperation::Delete => "delete",
        AwsOperation::Cancel => "cancel",
    }
}

/// A stack a guest has opened. It need not exist.
#[derive(Debug)]
pub struct Stack {
    name: String,
    /// Its ARN, once it was seen: the name stops working when the stack is deleted.
    id: Option<String>,
}

impl Stack {
    /// What to call it towards the service.
    fn target(&self) -> &str {
        self.id.as_deref().unwrap_or(&self.name)
    }
}

/// A change set created by this job.
#[derive(Debug)]
pub struct ChangeSet {
    stack: String,
    /// ARN of the stack.
    stack_id: String,
    /// ARN of the change set.
    id: String,
    /// The token it was executed with.
    executed: Option<String>,
}

/// [`AwsCtx`] with the guest's handles: what the generated `Host` traits are implemented for.
pub struct AwsView<'a> {
    /// The job's context.
    pub ctx: &'a mut AwsCtx,
    /// The guest's handles.
    pub table: &'a mut ResourceTable,
}

struct Aws;

impl HasData for Aws {
    type Data<'a> = AwsView<'a>;
}

/// Links the CloudFormation interface.
///
/// # Errors
/// When it was linked before.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> AwsView<'_>,
) -> wasmtime::Result<()> {
    cloudformation::add_to_linker::<T, Aws>(linker, view)
}
