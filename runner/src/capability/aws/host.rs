//! The contract's CloudFormation interface. Whatever a guest passes is hostile until it has been checked here.

use super::leftovers::CREATE_CHANGE_SET;
use super::model::{Operations, Page, ResourceChange, StackEvent, StackState};
use super::request::{self, token_of};
use super::template::Refusal;
use super::{AwsError, AwsView, ChangeSet, Stack, gate};
use crate::capability::Error;
use crate::host::bindings::runner::aws::cloudformation::{
    self, Change, ChangeSetDescription, ChangeSetOptions, Event, Output, StackDescription,
};
use crate::host::bindings::runner::step::types;
use crate::plan::grant::AwsOperation::{Cancel, Delete, Deploy, Plan, Read};
use wasmtime::component::Resource;

/// Events returned when a guest does not say after which: the newest ones. A stack keeps 90 days of them.
const RECENT_EVENTS: usize = 1_000;

/// Events and changes returned by one call; more than any stack of 500 resources makes in one operation.
const MAX_ITEMS: usize = 20_000;

/// States of a stack that never came to be.
const NEVER_CAME_TO_BE: [&str; 3] = ["ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "REVIEW_IN_PROGRESS"];

impl types::Host for AwsView<'_> {
    fn convert_error(&mut self, error: Error) -> wasmtime::Result<types::Error> {
        error.into_guest()
    }
}

impl cloudformation::Host for AwsView<'_> {
    async fn open(&mut self, name: String) -> Result<Resource<Stack>, Error> {
        request::check_stack_name(&name)?;
        let grant = self.ctx.granted()?;
        if !grant.permits_stack(&name) {
            // Any operation will do: the refusal is about the name.
            self.ctx.authorise("open", &[Read], &name).await?;
        }
        Ok(self.table.push(Stack { name, id: None })?)
    }
}

impl cloudformation::HostStack for AwsView<'_> {
    async fn describe(&mut self, stack: Resource<Stack>) -> Result<Option<StackDescription>, Error> {
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("describe", &[Read, Plan, Deploy], &name).await?;
        let client = self.ctx.client().await?;
        let Some(state) = client.describe_stack(self.table.get(&stack)?.target()).await? else { return Ok(None) };
        self.table.get_mut(&stack)?.id = Some(state.id.clone());
        // Asked for when it can be of use only: while something goes on a guest polls.
        let settled = !state.status.ends_with("_IN_PROGRESS") && state.status != "DELETE_COMPLETE";
        let template_parameters = if settled { client.template_parameters(&state.id).await? } else { Vec::new() };
        Ok(Some(description(state, template_parameters)))
    }

    async fn events(&mut self, stack: Resource<Stack>, after: Option<String>) -> Result<Vec<Event>, Error> {
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("events", &[Read, Plan, Deploy], &name).await?;
        let client = self.ctx.client().await?;
        let target = self.table.get(&stack)?.target();
        let limit = if after.is_some() { MAX_ITEMS } else { RECENT_EVENTS };
        let mut newest_first = Vec::new();
        let mut page = None;
        loop {
            let Page { items, next } = client.stack_events(target, page).await?;
            for event in items {
                if after.as_ref() == Some(&event.id) {
                    return Ok(oldest_first(newest_first));
                }
                newest_first.push(event);
            }
            page = next;
            if page.is_none() || newest_first.len() >= limit {
                newest_first.truncate(limit);
                return Ok(oldest_first(newest_first));
            }
        }
    }

    async fn create_change_set(
        &mut self,
        stack: Resource<Stack>,
        mut options: ChangeSetOptions,
    ) -> Result<Resource<ChangeSet>, Error> {
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise_making(CREATE_CHANGE_SET, &[Plan, Deploy], &name, &options.name).await?;
        for parameter in &options.parameters {
            if let cloudformation::ParameterValue::Secret(secret) = &parameter.value {
                self.ctx.scope.allow("secrets", "set", self.table.get(secret)?.name()).await?;
            }
        }
        let parameters = request::parameters(self.table, options.kind, std::mem::take(&mut options.parameters))?;
        let mut request = match request::checked(self.ctx.granted()?, &name, options, parameters) {
            Ok(request) => request,
            Err(Refusal::Missing(missing)) => {
                return Err(self.ctx.scope.deny("aws", CREATE_CHANGE_SET, &name, missing.reason()).await);
            }
            Err(refusal) => return Err(refusal.into()),
        };
        if !request.create {
            // By ARN, so that another stack that took the name meanwhile is not touched.
            request.stack = self.table.get(&stack)?.target().to_owned();
        }
        self.ctx.lease(&name).await?;
        let client = self.ctx.client().await?;
        let created = match client.create_change_set(&request).await {
            // Left by an attempt that was cut off. What it holds is not known, so it is made anew.
            Err(error) if error.already_exists() && !stack_exists(&error) => {
                client.delete_change_set(&request.name, Some(&request.stack)).await?;
                client.create_change_set(&request).await
            }
            other => other,
        };
        // The service's text may quote a parameter's value.
        let created = created.map_err(|error| redacted(&self.ctx.scope, error.into()))?;
        self.table.get_mut(&stack)?.id = Some(created.stack_id.clone());
        let change_set = ChangeSet { stack: name, stack_id: created.stack_id, id: created.id, executed: None };
        Ok(self.table.push(change_set)?)
    }

    async fn delete(&mut self, stack: Resource<Stack>, token: String) -> Result<(), Error> {
        let token = token_of(token)?;
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("delete", &[Delete], &name).await?;
        self.ctx.lease(&name).await?;
        // The service lets the deletion of a stack that is not there pass.
        let state = self.existing(&stack).await?;
        Ok(self.ctx.client().await?.delete_stack(&state.id, &token).await?)
    }

    async fn delete_failed(&mut self, stack: Resource<Stack>, token: String) -> Result<(), Error> {
        let token = token_of(token)?;
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("delete-failed", &[Deploy], &name).await?;
        self.ctx.lease(&name).await?;
        let state = self.existing(&stack).await?;
        if !NEVER_CAME_TO_BE.contains(&state.status.as_str()) {
            let reason = format!(
                "stack `{name}` is in {}: only a stack that never came to be ({}) is deleted without the operation \
                 delete; add to the step: grants: {{ aws: {{ operations: [delete] }} }}",
                state.status,
                NEVER_CAME_TO_BE.join(", ")
            );
            return Err(self.ctx.scope.deny("aws", "delete-failed", &name, reason).await);
        }
        Ok(self.ctx.client().await?.delete_stack(&state.id, &token).await?)
    }

    async fn cancel_update(&mut self, stack: Resource<Stack>, token: String) -> Result<(), Error> {
        let token = token_of(token)?;
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("cancel-update", &[Cancel, Deploy], &name).await?;
        let client = self.ctx.client().await?;
        Ok(client.cancel_update(self.table.get(&stack)?.target(), &token).await?)
    }

    async fn continue_rollback(&mut self, stack: Resource<Stack>, token: String) -> Result<(), Error> {
        let token = token_of(token)?;
        let name = self.table.get(&stack)?.name.clone();
        self.ctx.authorise("continue-rollback", &[Deploy], &name).await?;
        self.ctx.lease(&name).await?;
        let client = self.ctx.client().await?;
        Ok(client.continue_rollback(self.table.get(&stack)?.target(), &token).await?)
    }

    async fn drop(&mut self, stack: Resource<Stack>) -> wasmtime::Result<()> {
        self.table.delete(stack)?;
        Ok(())
    }
}

impl cloudformation::HostChangeSet for AwsView<'_> {
    async fn describe(&mut self, change_set: Resource<ChangeSet>) -> Result<ChangeSetDescription, Error> {
        let stack = self.table.get(&change_set)?.stack.clone();
        self.ctx.authorise("describe-change-set", &[Plan, Deploy], &stack).await?;
        self.whole_change_set(&change_set).await.map(|whole| whole.description)
    }

    async fn execute(&mut self, change_set: Resource<ChangeSet>, token: String) -> Result<(), Error> {
        const CALL: &str = "execute";
        let token = token_of(token)?;
        let stack = self.table.get(&change_set)?.stack.clone();
        if !self.ctx.granted()?.permits_any(&[Deploy]) {
            self.ctx.authorise(CALL, &[Deploy], &stack).await?;
        }
        self.ctx.lease(&stack).await?;
        let whole = self.whole_change_set(&change_set).await?;
        let ready = whole.description.status == "CREATE_COMPLETE" && whole.description.execution_status == "AVAILABLE";
        if !ready {
            return Err(Error::Failed(format!(
                "the change set for stack `{stack}` cannot be executed: it is {} and {} {}",
                whole.description.status, whole.description.execution_status, whole.description.status_reason
            )));
        }
        if let Err(missing) = gate::check(self.ctx.granted()?, &whole.changes) {
            return Err(self.ctx.scope.deny("aws", CALL, &stack, missing.reason()).await);
        }
        self.ctx.authorise(CALL, &[Deploy], &stack).await?;
        // Before the call: its answer may be lost while the request is not.
        self.table.get_mut(&change_set)?.executed = Some(token.clone());
        Ok(self.ctx.client().await?.execute_change_set(&whole.description.id, &token).await?)
    }

    async fn delete(&mut self, change_set: Resource<ChangeSet>) -> Result<(), Error> {
        let ChangeSet { stack, id, .. } = self.table.get(&change_set)?;
        let (stack, id) = (stack.clone(), id.clone());
        self.ctx.authorise("delete-change-set", &[Plan, Deploy], &stack).await?;
        Ok(self.ctx.client().await?.delete_change_set(&id, None).await?)
    }

    async fn events(&mut self, change_set: Resource<ChangeSet>) -> Result<Vec<Event>, Error> {
        let ChangeSet { stack, stack_id, id, executed } = self.table.get(&change_set)?;
        let (stack, stack_id, id, executed) = (stack.clone(), stack_id.clone(), id.clone(), executed.clone());
        self.ctx.authorise("change-set-events", &[Plan, Deploy], &stack).await?;
        let client = self.ctx.client().await?;
        let of = if executed.is_some() { Operations::Stack(&stack_id) } else { Operations::ChangeSet(&id) };
        let mut newest_first: Vec<StackEvent> = Vec::new();
        let mut page = None;
        loop {
            let Page { items, next } = client.failures(of, page).await?;
            newest_first.extend(items);
            page = next;
            if page.is_none() || newest_first.len() >= RECENT_EVENTS {
                break;
            }
        }
        if let Some(token) = executed {
            // Of all that was ever done to the stack: what bears the token, and if nothing does, the newest operation.
            let marked = newest_first.iter().any(|event| event.token == token);
            let newest = newest_first.first().map(|event| event.operation.clone()).unwrap_or_default();
            newest_first.retain(|event| if marked { event.token == token } else { event.operation == newest });
        }
        Ok(oldest_first(newest_first))
    }

    async fn drop(&mut self, change_set: Resource<ChangeSet>) -> wasmtime::Result<()> {
        self.table.delete(change_set)?;
        Ok(())
    }
}

/// A change set with every page of its changes, for the guest and as the gate needs them.
struct WholeChangeSet {
    description: ChangeSetDescription,
    changes: Vec<ResourceChange>,
}

impl AwsView<'_> {
    async fn existing(&mut self, stack: &Resource<Stack>) -> Result<StackState, Error> {
        let client = self.ctx.client().await?;
        let stack = self.table.get(stack)?;
        let state = client.describe_stack(stack.target()).await?;
        state
            .filter(|state| state.status != "DELETE_COMPLETE")
            .ok_or_else(|| Error::NotFound(format!("there is no stack `{}`", stack.name)))
    }

    async fn whole_change_set(&mut self, change_set: &Resource<ChangeSet>) -> Result<WholeChangeSet, Error> {
        let client = self.ctx.client().await?;
        let id = &self.table.get(change_set)?.id;
        let mut page = client.describe_change_set(id, None).await?;
        let mut changes = std::mem::take(&mut page.changes);
        while let Some(token) = page.next.take() {
            let mut more = client.describe_change_set(id, Some(token)).await?;
            changes.append(&mut more.changes);
            if changes.len() > MAX_ITEMS {
                return Err(Error::Limit(format!("the change set has more than {MAX_ITEMS} changes")));
            }
            page = more;
        }
        let description = ChangeSetDescription {
            id: page.id,
            status: page.status,
            status_reason: page.status_reason,
            execution_status: page.execution_status,
            changes: changes.iter().map(change).collect(),
            extras: Vec::new(),
        };
        Ok(WholeChangeSet { description, changes })
    }
}

/// Whether "already exists" is about the stack and not about the change set.
fn stack_exists(error: &AwsError) -> bool {
    matches!(error, AwsError::Service { message, .. } if message.starts_with("Stack "))
}

fn redacted(scope: &crate::capability::JobScope, error: Error) -> Error {
    match error {
        Error::Failed(text) => Error::Failed(scope.log.redacted(&text)),
        Error::NotFound(text) => Error::NotFound(scope.log.redacted(&text)),
        other => other,
    }
}

fn oldest_first(newest_first: Vec<StackEvent>) -> Vec<Event> {
    let event = |event: StackEvent| Event {
        id: event.id,
        timestamp: event.timestamp,
        logical_id: event.logical_id,
        physical_id: event.physical_id,
        resource_type: event.resource_type,
        status: event.status,
        status_reason: event.status_reason,
        token: event.token,
        extras: Vec::new(),
    };
    newest_first.into_iter().rev().map(event).collect()
}

fn change(change: &ResourceChange) -> Change {
    let mut properties: Vec<String> = change.details.iter().map(super::ChangeDetail::path).collect();
    properties.sort_unstable();
    properties.dedup();
    Change {
        action: change.action.clone(),
        logical_id: change.logical_id.clone(),
        physical_id: change.physical_id.clone(),
        resource_type: change.resource_type.clone(),
        replacement: change.replacement.clone(),
        policy_action: change.policy_action.clone(),
        properties,
        extras: Vec::new(),
    }
}

fn description(state: StackState, template_parameters: Vec<String>) -> StackDescription {
    let output = |output: super::StackOutput| Output {
        key: output.key,
        value: output.value,
        description: output.description,
        export_name: output.export_name,
    };
    StackDescription {
        id: state.id,
        name: state.name,
        status: state.status,
        status_reason: state.status_reason,
        parameters: state.parameters,
        outputs: state.outputs.into_iter().map(output).collect(),
        tags: state.tags,
        capabilities: state.capabilities,
        termination_protection: state.termination_protection,
        template_parameters,
        extras: Vec::new(),
    }
}
