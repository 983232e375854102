//! What a stack's status means: what has to be done before it can be changed, whether an operation has ended and how,
//! and what a person can do about it.

use runner_sdk::Failure;

/// What comes next for a stack that is to be deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is no stack, or one of which only change sets exist.
    Create,
    /// It can be changed.
    Update,
    /// Its creation failed: what is left is deleted, then it is created.
    ClearAway,
    /// Its rollback failed: it goes on with that.
    ContinueRollback,
    /// Something goes on.
    Wait,
}

/// Decides by the status; there is none when there is no stack.
pub fn next(stack: &str, status: Option<&str>) -> Result<Next, Failure> {
    let (message, remedy) = match status {
        None | Some("DELETE_COMPLETE" | "REVIEW_IN_PROGRESS") => return Ok(Next::Create),
        Some("ROLLBACK_COMPLETE" | "ROLLBACK_FAILED") => return Ok(Next::ClearAway),
        Some("UPDATE_ROLLBACK_FAILED") => return Ok(Next::ContinueRollback),
        Some(status) if status.ends_with("_IN_PROGRESS") => return Ok(Next::Wait),
        Some(status) if status.ends_with("_COMPLETE") => return Ok(Next::Update),
        Some(status @ ("CREATE_FAILED" | "UPDATE_FAILED")) => (
            format!("stack `{stack}` is in {status}: somebody deployed it with rollback turned off"),
            format!("Roll it back first: aws cloudformation rollback-stack --stack-name {stack}"),
        ),
        Some("DELETE_FAILED") => (
            format!("stack `{stack}` is in DELETE_FAILED: its deletion did not come to an end"),
            format!("Finish it first: aws cloudformation delete-stack --stack-name {stack}"),
        ),
        Some(status) => (
            format!("stack `{stack}` is in {status}, from which it cannot be deployed"),
            "Bring it into a COMPLETE state in the CloudFormation console, then run the job again.".to_owned(),
        ),
    };
    Err(Failure::new(message).remedy(remedy))
}

/// Whether nothing goes on any more. States to come are told by their ending.
pub fn is_settled(status: &str) -> bool {
    !status.ends_with("_IN_PROGRESS")
}

/// Whether an operation that ended here did what it was asked to.
pub fn is_success(status: &str) -> bool {
    matches!(status, "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "IMPORT_COMPLETE")
}

/// What to do after an operation that ended here without success.
pub fn remedy(stack: &str, status: &str) -> String {
    match status {
        "ROLLBACK_COMPLETE" => "Nothing it made is left. Correct the cause and run the job again; it clears away what \
                                remains of the stack first."
            .to_owned(),
        "ROLLBACK_FAILED" => format!(
            "Something it made could not be removed. Look for it with: aws cloudformation describe-stack-resources \
             --stack-name {stack}"
        ),
        "UPDATE_ROLLBACK_COMPLETE" => {
            "The stack is as it was before. Correct the cause and run the job again.".to_owned()
        }
        "UPDATE_ROLLBACK_FAILED" => format!(
            "Run the job again to go on with the rollback; if a resource is beyond repair, skip it: aws cloudformation \
             continue-update-rollback --stack-name {stack} --resources-to-skip NAME"
        ),
        "DELETE_COMPLETE" => "Somebody deleted the stack during the deployment. Run the job again.".to_owned(),
        _ => format!("Look at the stack with: aws cloudformation describe-stack-events --stack-name {stack}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_leads_somewhere() {
        for (status, expected) in [
            (None, Some(Next::Create)),
            (Some("DELETE_COMPLETE"), Some(Next::Create)),
            (Some("REVIEW_IN_PROGRESS"), Some(Next::Create)),
            (Some("ROLLBACK_COMPLETE"), Some(Next::ClearAway)),
            (Some("ROLLBACK_FAILED"), Some(Next::ClearAway)),
            (Some("UPDATE_ROLLBACK_FAILED"), Some(Next::ContinueRollback)),
            (Some("CREATE_IN_PROGRESS"), Some(Next::Wait)),
            (Some("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"), Some(Next::Wait)),
            (Some("DELETE_IN_PROGRESS"), Some(Next::Wait)),
            (Some("SOMETHING_NEW_IN_PROGRESS"), Some(Next::Wait)),
            (Some("CREATE_COMPLETE"), Some(Next::Update)),
            (Some("UPDATE_COMPLETE"), Some(Next::Update)),
            (Some("UPDATE_ROLLBACK_COMPLETE"), Some(Next::Update)),
            (Some("IMPORT_COMPLETE"), Some(Next::Update)),
            (Some("IMPORT_ROLLBACK_COMPLETE"), Some(Next::Update)),
            (Some("CREATE_FAILED"), None),
            (Some("UPDATE_FAILED"), None),
            (Some("DELETE_FAILED"), None),
            (Some("IMPORT_ROLLBACK_FAILED"), None),
            (Some("SOMETHING_ELSE"), None),
        ] {
            assert_eq!(next("orders", status).ok(), expected, "{status:?}");
        }
    }

    #[test]
    fn only_a_complete_creation_or_update_is_a_success() {
        for (status, settled, success) in [
            ("CREATE_COMPLETE", true, true),
            ("UPDATE_COMPLETE", true, true),
            ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", false, false),
            ("UPDATE_ROLLBACK_COMPLETE_CLEANUP_IN_PROGRESS", false, false),
            ("UPDATE_ROLLBACK_COMPLETE", true, false),
            ("ROLLBACK_COMPLETE", true, false),
            ("UPDATE_ROLLBACK_FAILED", true, false),
            ("DELETE_COMPLETE", true, false),
            ("SOMETHING_NEW_FAILED", true, false),
        ] {
            assert_eq!((is_settled(status), is_success(status)), (settled, success), "{status}");
        }
    }
}
