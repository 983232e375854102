//! Which types of resources a template makes: some run code, nest what nobody sees, or reach beyond the account.

use super::super::missing::Missing;
use super::super::request::shown;
use crate::plan::grant::{AwsGrant, matches_pattern};
use serde_json::{Map, Value};

/// Types that are part of how CloudFormation works and reach nothing.
const HARMLESS: [&str; 2] = ["AWS::CloudFormation::WaitCondition", "AWS::CloudFormation::WaitConditionHandle"];

/// Types refused unless `grants.aws.resources` lists them: whole namespaces end with `::`.
const RESTRICTED: [&str; 8] = [
    // Nested stacks and stack sets, macros, custom resources, hooks, registered types.
    "AWS::CloudFormation::",
    "AWS::ControlTower::",
    "AWS::IdentityStore::",
    "AWS::Organizations::",
    "AWS::RAM::",
    "AWS::SSO::",
    "AWS::Serverless::Application",
    "AWS::ServiceCatalog::CloudFormationProvisionedProduct",
];

/// The property by which a type of IAM resource gets a name of its own; that takes `CAPABILITY_NAMED_IAM`.
const IAM_NAMES: [(&str, &str); 5] = [
    ("AWS::IAM::Group", "GroupName"),
    ("AWS::IAM::InstanceProfile", "InstanceProfileName"),
    ("AWS::IAM::ManagedPolicy", "ManagedPolicyName"),
    ("AWS::IAM::Role", "RoleName"),
    ("AWS::IAM::User", "UserName"),
];

/// Checks every resource. Returns the capability their IAM resources need; `Err` says what is malformed.
pub(super) fn check(
    grant: &AwsGrant,
    resources: &Map<String, Value>,
    missing: &mut Missing,
) -> Result<Option<&'static str>, String> {
    let mut needs = None;
    for (logical_id, resource) in resources {
        if let Some(inner) = for_each(logical_id, resource)? {
            needs = most(needs, check(grant, inner, missing)?);
            continue;
        }
        let kind = resource.get("Type").and_then(Value::as_str).ok_or_else(|| {
            format!("has a resource `{}` without a `Type`; expected a text such as AWS::S3::Bucket", shown(logical_id))
        })?;
        let plain = kind.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":_@-".contains(&byte));
        if !plain || !kind.contains("::") {
            return Err(format!("has a resource `{}` of the malformed type `{}`", shown(logical_id), shown(kind)));
        }
        check_type(grant, logical_id, kind, missing);
        if is_iam(kind) {
            let name = IAM_NAMES.iter().find(|(iam, _)| *iam == kind).map(|(_, property)| property);
            let properties = resource.get("Properties");
            let named = name.is_some_and(|name| properties.is_some_and(|properties| properties.get(name).is_some()));
            needs = most(needs, Some(if named { "CAPABILITY_NAMED_IAM" } else { "CAPABILITY_IAM" }));
        }
    }
    Ok(needs)
}

/// Adds what is missing when a type is refused by default and not granted.
pub(in super::super) fn check_type(grant: &AwsGrant, logical_id: &str, kind: &str, missing: &mut Missing) {
    if is_restricted(kind) && !grant.resources.iter().any(|pattern| matches_pattern(pattern, kind)) {
        let what = format!("`{}` is of type {kind}, which is refused unless it is granted", shown(logical_id));
        missing.add(what, "resources", kind);
    }
}

/// Whether a type belongs to IAM and has to be acknowledged.
pub(in super::super) fn is_iam(kind: &str) -> bool {
    kind.starts_with("AWS::IAM::")
}

fn is_restricted(kind: &str) -> bool {
    // Whatever AWS did not write runs somebody's code; a module stands for resources that are not seen here.
    if !kind.starts_with("AWS::") || kind.ends_with("::MODULE") {
        return true;
    }
    let listed = |entry: &&str| if entry.ends_with("::") { kind.starts_with(*entry) } else { kind == *entry };
    !HARMLESS.contains(&kind) && RESTRICTED.iter().any(listed)
}

/// The resources within a `Fn::ForEach::NAME` of the language extensions: `[variable, values, {key: resource}]`.
fn for_each<'a>(key: &str, value: &'a Value) -> Result<Option<&'a Map<String, Value>>, String> {
    if !key.starts_with("Fn::ForEach::") {
        return Ok(None);
    }
    match value.as_array().map(Vec::as_slice) {
        Some([_, _, Value::Object(inner)]) => Ok(Some(inner)),
        _ => Err(format!("has a malformed `{}`; expected a list of variable, values and resources", shown(key))),
    }
}

fn most(one: Option<&'static str>, other: Option<&'static str>) -> Option<&'static str> {
    // NAMED_IAM includes IAM, and sorts after it.
    one.max(other)
}
