//! The gate before a change set is executed: what it does is read again, and stateful resources are neither replaced
//! nor deleted unless the grant lists their type.

use super::missing::Missing;
use super::model::{ChangeDetail, ResourceChange};
use super::template::{self, is_iam};
use crate::plan::grant::{AwsGrant, matches_pattern};

/// Types of resources that hold what cannot be made again from the template: data, keys, addresses, users.
const STATEFUL: [&str; 48] = [
    "AWS::Athena::WorkGroup",
    "AWS::Backup::BackupVault",
    "AWS::Cassandra::Keyspace",
    "AWS::Cassandra::Table",
    "AWS::CertificateManager::Certificate",
    // What a nested stack changes inside is not in the change set.
    "AWS::CloudFormation::Stack",
    "AWS::CodeArtifact::Repository",
    "AWS::CodeCommit::Repository",
    "AWS::Cognito::IdentityPool",
    "AWS::Cognito::UserPool",
    "AWS::DMS::ReplicationInstance",
    "AWS::DocDB::DBCluster",
    "AWS::DocDB::DBInstance",
    "AWS::DynamoDB::GlobalTable",
    "AWS::DynamoDB::Table",
    "AWS::EC2::EIP",
    "AWS::EC2::Instance",
    "AWS::EC2::Volume",
    "AWS::ECR::Repository",
    "AWS::EFS::FileSystem",
    "AWS::ElastiCache::CacheCluster",
    "AWS::ElastiCache::ReplicationGroup",
    "AWS::ElastiCache::ServerlessCache",
    "AWS::Elasticsearch::Domain",
    "AWS::FSx::FileSystem",
    "AWS::FSx::Volume",
    "AWS::Glue::Database",
    "AWS::Glue::Table",
    "AWS::KMS::Key",
    "AWS::KMS::ReplicaKey",
    "AWS::Kinesis::Stream",
    "AWS::Logs::LogGroup",
    "AWS::MSK::Cluster",
    "AWS::MSK::ServerlessCluster",
    "AWS::MemoryDB::Cluster",
    "AWS::Neptune::DBCluster",
    "AWS::Neptune::DBInstance",
    "AWS::OpenSearchServerless::Collection",
    "AWS::OpenSearchService::Domain",
    "AWS::RDS::DBCluster",
    "AWS::RDS::DBInstance",
    "AWS::RDS::GlobalCluster",
    "AWS::Redshift::Cluster",
    "AWS::Route53::HostedZone",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SecretsManager::Secret",
    "AWS::Timestream::Table",
];

/// Lets a change set pass, or says which of its changes are not granted.
///
/// The types are checked again because a transform may have added resources that the template did not name.
pub(super) fn check(grant: &AwsGrant, changes: &[ResourceChange]) -> Result<(), Missing> {
    let mut missing = Missing::default();
    for change in changes {
        let kind = change.resource_type.as_str();
        if change.action != "Remove" {
            template::check_type(grant, &change.logical_id, kind, &mut missing);
            if is_iam(kind) && !super::request::acknowledged(&grant.capabilities, "CAPABILITY_IAM") {
                let what = format!("`{}` ({kind}) needs the capability CAPABILITY_IAM", change.logical_id);
                missing.add(what, "capabilities", "CAPABILITY_IAM");
            }
        }
        let listed = grant.replace.iter().any(|pattern| matches_pattern(pattern, kind));
        if STATEFUL.binary_search(&kind).is_ok()
            && !listed
            && let Some(loss) = loss(change)
        {
            missing.add(loss, "replace", kind);
        }
    }
    missing.into_result()
}

/// What is lost by a change of a stateful resource, in words; nothing when it is kept.
fn loss(change: &ResourceChange) -> Option<String> {
    let ResourceChange { logical_id, resource_type: kind, policy_action, .. } = change;
    let resource = format!("`{logical_id}` ({kind})");
    let snapshot = if policy_action.ends_with("Snapshot") { ", leaving a snapshot" } else { "" };
    match change.action.as_str() {
        "Add" | "Import" => None,
        // It leaves the stack and goes on to exist.
        "Remove" if policy_action == "Retain" => None,
        "Remove" => Some(format!("it would delete {resource} and what it holds{snapshot}")),
        "Modify" => match change.replacement.as_str() {
            // An empty answer is the service's for changes of the stack's own attributes, such as a deletion policy.
            "False" | "" if kind == "AWS::CloudFormation::Stack" => {
                Some(format!("it would change the nested stack {resource}, and what changes inside is not known"))
            }
            "False" | "" if !policy_action.starts_with("Replace") => None,
            "Conditional" => Some(format!("it may replace {resource}{}: {}", kept(policy_action), causes(change))),
            _ => Some(format!("it would replace {resource}{}: {}", kept(policy_action), causes(change))),
        },
        other => Some(format!("it would do `{other}` to {resource}, and what that means is not known beforehand")),
    }
}

fn kept(policy_action: &str) -> &'static str {
    match policy_action {
        "ReplaceAndRetain" => " by an empty one, leaving the old one aside",
        "ReplaceAndSnapshot" => " by an empty one, leaving a snapshot",
        _ => " and lose what it holds",
    }
}

/// The attributes for whose sake a resource is replaced.
fn causes(change: &ResourceChange) -> String {
    let mut paths: Vec<String> = change
        .details
        .iter()
        .filter(|detail| matches!(detail.requires_recreation.as_str(), "Always" | "Conditionally"))
        .map(ChangeDetail::path)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    match paths.len() {
        0 => "the service does not say which property is the cause".to_owned(),
        1 => format!("{} changes", paths.concat()),
        _ => format!("{} change", paths.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::grant::AwsGrant;

    fn grant(replace: &[&str]) -> AwsGrant {
        let json = serde_json::json!({"stacks": "x", "operations": "deploy", "replace": replace});
        serde_json::from_value(json).unwrap()
    }

    fn change(action: &str, kind: &str, replacement: &str, policy_action: &str) -> ResourceChange {
        ResourceChange {
            action: action.to_owned(),
            logical_id: "Orders".to_owned(),
            resource_type: kind.to_owned(),
            replacement: replacement.to_owned(),
            policy_action: policy_action.to_owned(),
            details: vec![
                ChangeDetail {
                    attribute: "Properties".into(),
                    name: "TableName".into(),
                    requires_recreation: "Always".into(),
                },
                ChangeDetail { attribute: "Tags".into(), name: String::new(), requires_recreation: "Never".into() },
            ],
            ..ResourceChange::default()
        }
    }

    #[test]
    fn the_list_can_be_searched() {
        assert!(STATEFUL.is_sorted());
    }

    #[test]
    fn stateful_resources_are_kept_unless_their_type_is_listed() {
        const TABLE: &str = "AWS::DynamoDB::Table";
        for (action, kind, replacement, policy_action, passes) in [
            ("Add", TABLE, "", "", true),
            ("Modify", TABLE, "False", "", true),
            ("Modify", TABLE, "", "", true),
            ("Modify", TABLE, "True", "ReplaceAndDelete", false),
            ("Modify", TABLE, "True", "ReplaceAndRetain", false),
            ("Modify", TABLE, "Conditional", "", false),
            ("Modify", TABLE, "Sometimes", "", false),
            ("Modify", TABLE, "False", "ReplaceAndDelete", false),
            ("Remove", TABLE, "", "Delete", false),
            ("Remove", TABLE, "", "Snapshot", false),
            ("Remove", TABLE, "", "", false),
            ("Remove", TABLE, "", "Retain", true),
            ("Dynamic", TABLE, "", "", false),
            ("Evaporate", TABLE, "", "", false),
            ("Remove", "AWS::SNS::Topic", "", "Delete", true),
            ("Modify", "AWS::SNS::Topic", "True", "ReplaceAndDelete", true),
        ] {
            let change = change(action, kind, replacement, policy_action);
            let result = check(&grant(&[]), std::slice::from_ref(&change));
            assert_eq!(result.is_ok(), passes, "{action} {kind} {replacement} {policy_action}: {result:?}");
            assert_eq!(check(&grant(&["AWS::DynamoDB::*"]), &[change]), Ok(()));
        }
    }

    #[test]
    fn the_refusal_names_resource_property_and_what_to_write() {
        let changes = [change("Modify", "AWS::DynamoDB::Table", "True", "ReplaceAndDelete")];
        assert_eq!(
            check(&grant(&[]), &changes).unwrap_err().reason(),
            "it would replace `Orders` (AWS::DynamoDB::Table) and lose what it holds: Properties.TableName changes; \
             add to the step: grants: { aws: { replace: [\"AWS::DynamoDB::Table\"] } }"
        );
    }

    #[test]
    fn what_a_transform_brought_in_is_checked_too() {
        for (kind, list) in [("Custom::Thing", "resources"), ("AWS::IAM::Role", "capabilities")] {
            let reason = check(&grant(&[]), &[change("Add", kind, "", "")]).unwrap_err().reason();
            assert!(reason.contains(&format!("{list}: [")), "{reason}");
        }
        let nested = change("Modify", "AWS::CloudFormation::Stack", "False", "");
        let mut granted = grant(&[]);
        granted.resources = vec!["AWS::CloudFormation::Stack".into()];
        assert!(check(&granted, &[nested]).unwrap_err().reason().contains("nested stack"));
    }
}
