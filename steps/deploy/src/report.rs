//! What is said of a deployment: its changes before, its events during, and the cause of a failure after.

use crate::template::Template;
use crate::words::clean;
use runner_sdk::cloudformation::{Change, Event};

/// The type by which a stack appears in its own events.
const STACK: &str = "AWS::CloudFormation::Stack";

/// The changes in words: what is lost first, then what changes, then what is new.
pub fn changes(changes: &[Change]) -> Vec<String> {
    let mut lines: Vec<(u8, String)> = changes.iter().map(change).collect();
    lines.sort();
    lines.into_iter().map(|(_, line)| line).collect()
}

fn change(change: &Change) -> (u8, String) {
    let name = format!("{} ({})", clean(&change.logical_id), clean(&change.resource_type));
    let properties = match change.properties.as_slice() {
        [] => String::new(),
        properties => format!(": {}", clean(&properties.join(", "))),
    };
    match (change.action.as_str(), change.replacement.as_str(), change.policy_action.as_str()) {
        ("Remove", _, "Retain") => (1, format!("- {name} leaves the stack and is kept")),
        ("Remove", _, "Snapshot") => (0, format!("- {name} is DELETED, leaving a snapshot")),
        ("Remove", _, _) => (0, format!("- {name} is DELETED")),
        (_, "True", _) => (0, format!("! {name} is REPLACED{properties}")),
        (_, "Conditional", _) => (0, format!("! {name} may be REPLACED{properties}")),
        ("Add", _, _) => (4, format!("+ {name} is added")),
        ("Import", _, _) => (4, format!("+ {name} is taken over")),
        ("Modify", _, _) => (3, format!("~ {name} is changed{properties}")),
        (other, _, _) => (2, format!("? {name}: {}{properties}", clean(other))),
    }
}

/// An event as a line.
pub fn event(event: &Event) -> String {
    let mut line = format!("{:<20} {}", clean(&event.status), clean(&event.logical_id));
    if event.resource_type != STACK {
        line.push_str(&format!(" ({})", clean(&event.resource_type)));
    }
    if !event.status_reason.is_empty() {
        line.push_str(&format!(": {}", clean(&event.status_reason)));
    }
    line
}

/// Whether an event says that something failed.
pub fn is_failure(event: &Event) -> bool {
    event.status.ends_with("_FAILED") || event.status.ends_with("_ERROR")
}

/// Whether an event is about the stack itself.
pub fn is_of_stack(event: &Event, stack_id: &str) -> bool {
    event.resource_type == STACK && event.physical_id == stack_id
}

/// Why an operation failed: the oldest failure of a resource that is not the consequence of another. Events are
/// oldest first.
pub fn root_cause<'a>(events: &'a [Event], stack_id: &str) -> Option<&'a Event> {
    let consequence = |event: &Event| event.status_reason.to_ascii_lowercase().contains("cancelled");
    let mut failures = events.iter().filter(|event| is_failure(event) && !is_of_stack(event, stack_id));
    let oldest = failures.clone().next();
    failures.find(|event| !consequence(event)).or(oldest)
}

/// Whether the cause is to be looked up among the events of the change set.
pub fn is_elsewhere(event: &Event) -> bool {
    event.status_reason.contains("DescribeEvents")
}

/// A failed event as the end of a sentence.
pub fn cause(event: &Event, path: &str, template: &Template) -> String {
    let line = template.line_of(&event.logical_id).map(|line| format!(", {path}:{line}")).unwrap_or_default();
    let reason =
        if event.status_reason.is_empty() { "no reason was given" } else { event.status_reason.trim_end_matches('.') };
    format!("{} ({}{line}): {}", clean(&event.logical_id), clean(&event.resource_type), clean(reason))
}

/// Whether a change set failed because there was nothing to change. The service has no other sign for it.
pub fn is_empty_change_set(status: &str, reason: &str) -> bool {
    status == "FAILED"
        && (reason.starts_with("The submitted information didn't contain changes")
            || reason.starts_with("No updates are to be performed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(action: &str, replacement: &str, policy_action: &str, logical_id: &str) -> Change {
        Change {
            action: action.into(),
            logical_id: logical_id.into(),
            physical_id: String::new(),
            resource_type: "AWS::DynamoDB::Table".into(),
            replacement: replacement.into(),
            policy_action: policy_action.into(),
            properties: vec!["Properties.TableName".into()],
            extras: Vec::new(),
        }
    }

    fn happened(kind: &str, status: &str, logical_id: &str, reason: &str) -> Event {
        Event {
            id: String::new(),
            timestamp: 0,
            logical_id: logical_id.into(),
            physical_id: if kind == STACK { "arn:stack".into() } else { String::new() },
            resource_type: kind.into(),
            status: status.into(),
            status_reason: reason.into(),
            token: String::new(),
            extras: Vec::new(),
        }
    }

    #[test]
    fn losses_are_told_first() {
        let list = [
            changed("Add", "", "", "New"),
            changed("Modify", "False", "", "Same"),
            changed("Modify", "Conditional", "", "Perhaps"),
            changed("Remove", "", "Retain", "Kept"),
            changed("Remove", "", "Delete", "Gone"),
            changed("Modify", "True", "ReplaceAndDelete", "Other"),
            changed("Dynamic", "", "", "\u{1b}[31mRed"),
        ];
        assert_eq!(
            changes(&list),
            [
                "! Other (AWS::DynamoDB::Table) is REPLACED: Properties.TableName",
                "! Perhaps (AWS::DynamoDB::Table) may be REPLACED: Properties.TableName",
                "- Gone (AWS::DynamoDB::Table) is DELETED",
                "- Kept (AWS::DynamoDB::Table) leaves the stack and is kept",
                "? \\u{1b}[31mRed (AWS::DynamoDB::Table): Dynamic: Properties.TableName",
                "~ Same (AWS::DynamoDB::Table) is changed: Properties.TableName",
                "+ New (AWS::DynamoDB::Table) is added",
            ]
        );
    }

    #[test]
    fn the_cause_is_the_oldest_failure_that_is_no_consequence() {
        let events = [
            happened("AWS::SQS::Queue", "CREATE_COMPLETE", "Queue", ""),
            happened("AWS::SNS::Topic", "CREATE_FAILED", "Topic", "Resource creation cancelled"),
            happened("AWS::S3::Bucket", "CREATE_FAILED", "Bucket", "it exists\nalready."),
            happened("AWS::S3::Bucket", "DELETE_FAILED", "Other", "later"),
            happened(STACK, "ROLLBACK_FAILED", "orders", "The following resource(s) failed to create: [Bucket]."),
        ];
        let found = root_cause(&events, "arn:stack").unwrap();
        assert_eq!(found.logical_id, "Bucket");
        let template = Template::read("t.yml", b"Resources:\n  Bucket: {Type: 'AWS::S3::Bucket'}\n").unwrap();
        assert_eq!(cause(found, "t.yml", &template), "Bucket (AWS::S3::Bucket, t.yml:2): it exists\\nalready");
        assert_eq!(root_cause(&events[..2], "arn:stack").unwrap().logical_id, "Topic");
        assert!(root_cause(&events[..1], "arn:stack").is_none());
        assert_eq!(event(&events[0]), "CREATE_COMPLETE      Queue (AWS::SQS::Queue)");
    }

    #[test]
    fn an_empty_change_set_is_told_by_its_reason() {
        let reason = "The submitted information didn't contain changes. Submit different information.";
        assert!(is_empty_change_set("FAILED", reason));
        assert!(is_empty_change_set("FAILED", "No updates are to be performed."));
        assert!(!is_empty_change_set("FAILED", "Transform failed: The submitted information didn't contain changes"));
        assert!(!is_empty_change_set("CREATE_COMPLETE", reason));
    }
}
