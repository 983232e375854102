//! `grants.aws`: which account, region, stacks and operations a step may use.

use super::{GrantError, matches_pattern, one_or_many};
use serde::{Deserialize, Serialize};

/// What a step may do with AWS CloudFormation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AwsGrant {
    /// The account's twelve digits; checked against the credentials before the first call.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub account: String,
    /// For instance `eu-west-1`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub region: String,
    /// Role to assume; the credentials found on the machine are used as they are when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<AwsRole>,
    /// Stack names (patterns with `*`).
    #[serde(default, deserialize_with = "one_or_many")]
    pub stacks: Vec<String>,
    /// What may be done with them.
    #[serde(default, deserialize_with = "one_or_many")]
    pub operations: Vec<AwsOperation>,
    /// CloudFormation capabilities that may be acknowledged, for instance `CAPABILITY_IAM`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub capabilities: Vec<String>,
    /// Types (patterns with `*`) of stateful resources that may be replaced or deleted by an update.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub replace: Vec<String>,
    /// Types (patterns with `*`) that are refused unless listed: custom resources, nested stacks, macros.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub resources: Vec<String>,
    /// Transforms that a template may use.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub transforms: Vec<String>,
    /// Dynamic references (patterns with `*`) a template may hold, for instance `ssm:/orders/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub references: Vec<String>,
    /// Exports of other stacks (patterns with `*`) a template may import.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "one_or_many")]
    pub imports: Vec<String>,
}

/// A role to assume (AWS STS `AssumeRole`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AwsRole {
    /// ARN of the role.
    pub arn: String,
    /// The external id its trust policy asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

/// One kind of thing to do with a stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AwsOperation {
    /// Describe stacks and read their events.
    Read,
    /// Work out change sets without executing them.
    Plan,
    /// Create and update: work out change sets and execute them.
    Deploy,
    /// Delete stacks.
    Delete,
    /// Cancel an update that runs.
    Cancel,
}

impl AwsGrant {
    /// Whether a stack's name is granted.
    #[must_use]
    pub fn permits_stack(&self, name: &str) -> bool {
        self.stacks.iter().any(|pattern| matches_pattern(pattern, name))
    }

    /// Whether any of the operations is granted.
    #[must_use]
    pub fn permits_any(&self, operations: &[AwsOperation]) -> bool {
        operations.iter().any(|operation| self.operations.contains(operation))
    }

    pub(super) fn validate(&self) -> Result<(), GrantError> {
        let wrong = |field: &str, message: String| Err(GrantError { pointer: format!("/aws/{field}"), message });
        for (field, value) in [("account", &self.account), ("region", &self.region)] {
            if value.is_empty() {
                return Err(GrantError { pointer: "/aws".to_owned(), message: format!("`{field}` is missing") });
            }
        }
        if self.account.len() != 12 || !self.account.bytes().all(|b| b.is_ascii_digit()) {
            return wrong(
                "account",
                format!("`{}` is not an AWS account; expected twelve digits in quotes", self.account),
            );
        }
        let region_like = self.region.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if !region_like || !self.region.contains('-') {
            return wrong("region", format!("`{}` is not an AWS region, such as us-east-1", self.region));
        }
        Ok(())
    }
}
