//! Removing what a lost attempt made.

use super::{AwsClients, session_name};
use crate::capability::Error;
use crate::event::Decision;
use crate::plan::grant::AwsGrant;

/// As the event log names the call.
pub(super) const CREATE_CHANGE_SET: &str = "create-change-set";

/// Deletes the change set of a lost attempt that a recorded decision tells of, unless it is gone or is being executed:
/// then the stack has what it holds, or will have. Whether one was deleted.
///
/// # Errors
/// When the service refuses, or cannot be asked.
pub async fn remove_change_set(
    clients: &dyn AwsClients,
    grant: &AwsGrant,
    run: &str,
    job: &str,
    decision: &Decision,
) -> Result<bool, Error> {
    let Decision { capability, operation, subject: stack, makes: name, allowed } = decision;
    let is_one = *allowed && capability == "aws" && operation == CREATE_CHANGE_SET && !name.is_empty();
    if !is_one || !grant.permits_stack(stack) {
        return Ok(false);
    }
    let client = clients.connect(grant, &session_name(run, job)).await?;
    match client.describe_stack(stack).await? {
        // Without its stack a change set does not exist.
        None => return Ok(false),
        Some(state) if state.status.ends_with("_IN_PROGRESS") && state.status != "REVIEW_IN_PROGRESS" => {
            return Ok(false);
        }
        Some(_) => {}
    }
    match client.delete_change_set(name, Some(stack)).await {
        Ok(()) => Ok(true),
        Err(error) if error.is_missing() => Ok(false),
        Err(error) => Err(error.into()),
    }
}
