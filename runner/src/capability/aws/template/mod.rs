//! The check of a template before it is sent: a template is a program that runs with the account's permissions.
//!
//! What is checked is parsed once, with duplicate keys refused, and what was parsed is what is sent: the service
//! would take the last of two equal keys, whatever the check had looked at.

mod json;
mod resources;
mod text;

pub(super) use resources::{check_type, is_iam};

use super::missing::Missing;
use super::request::shown;
use crate::plan::grant::AwsGrant;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes a guest may pass: room for white space around the 51,200 bytes that are sent.
const MAX_INPUT: usize = 1 << 20;

/// Bytes of a template in the body of a request ("CloudFormation quotas").
const MAX_BODY: usize = 51_200;

/// Resources in a template ("CloudFormation quotas").
const MAX_RESOURCES: usize = 500;

/// What a template is checked against.
pub(super) struct Subject<'a> {
    /// What is granted.
    pub(super) grant: &'a AwsGrant,
    /// The stack's name.
    pub(super) stack: &'a str,
    /// The parameters of the change set.
    pub(super) parameters: &'a BTreeMap<&'a str, Given<'a>>,
}

/// A parameter's value, as far as it is known.
pub(super) enum Given<'a> {
    /// It is this.
    Plain(&'a str),
    /// It must not appear in a message, and comes from the operator.
    Secret,
    /// The one the stack has.
    Previous,
}

/// A template that may be sent.
#[derive(Debug)]
pub(super) struct Checked {
    /// As it is sent.
    pub(super) json: String,
    /// Parameters whose values the service does not show.
    pub(super) no_echo: BTreeSet<String>,
    /// The capability that has to be acknowledged for its IAM resources.
    pub(super) needs_capability: Option<&'static str>,
}

/// Why a template is not sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// It is wrong.
    Invalid(String),
    /// It does what is not granted.
    Missing(Missing),
}

impl From<Refusal> for crate::capability::Error {
    /// Without recording it; a refusal for want of a grant is recorded where the call is known.
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid(text) => Self::Invalid(text),
            Refusal::Missing(missing) => Self::Denied(missing.reason()),
        }
    }
}

/// Checks a template.
pub(super) fn check(text: &str, subject: &Subject<'_>) -> Result<Checked, Refusal> {
    let invalid = |message: String| Refusal::Invalid(format!("the template {message}"));
    if text.len() > MAX_INPUT {
        return Err(invalid(format!("has {} bytes; at most {MAX_INPUT} are read", text.len())));
    }
    let value = json::parse(text).map_err(|error| invalid(format!("is not usable JSON: {error}")))?;
    let json = value.to_string();
    if json.len() > MAX_BODY {
        return Err(invalid(format!(
            "has {} bytes without white space; the service takes {MAX_BODY}. Split it into stacks of their own",
            json.len()
        )));
    }
    let Value::Object(template) = &value else { return Err(invalid("is not a JSON object".to_owned())) };
    let parameters = section(template, "Parameters")?;
    for key in subject.parameters.keys() {
        if !parameters.is_some_and(|parameters| parameters.contains_key(*key)) {
            return Err(invalid(format!("has no parameter `{}`", shown(key))));
        }
    }
    let resources = section(template, "Resources")?
        .filter(|resources| !resources.is_empty())
        .ok_or_else(|| invalid("has no `Resources`".to_owned()))?;
    if resources.len() > MAX_RESOURCES {
        return Err(invalid(format!("has {} resources; the service takes {MAX_RESOURCES}", resources.len())));
    }
    let no_echo = parameters.map(no_echo).unwrap_or_default();
    if let Some(outputs) = section(template, "Outputs")? {
        check_outputs(outputs, &no_echo)?;
    }
    let mut missing = Missing::default();
    let needs_capability = resources::check(subject.grant, resources, &mut missing).map_err(invalid)?;
    text::check(template, subject, &mut missing).map_err(invalid)?;
    missing.into_result().map_err(Refusal::Missing)?;
    Ok(Checked { json, no_echo, needs_capability })
}

fn section<'a>(template: &'a Map<String, Value>, name: &str) -> Result<Option<&'a Map<String, Value>>, Refusal> {
    match template.get(name) {
        None => Ok(None),
        Some(Value::Object(section)) => Ok(Some(section)),
        Some(_) => Err(Refusal::Invalid(format!("the template's `{name}` is not an object"))),
    }
}

fn no_echo(parameters: &Map<String, Value>) -> BTreeSet<String> {
    let hidden = |parameter: &&Value| match parameter.get("NoEcho") {
        Some(Value::Bool(hidden)) => *hidden,
        Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
        _ => false,
    };
    parameters.iter().filter(|(_, parameter)| hidden(parameter)).map(|(name, _)| name.clone()).collect()
}

/// `NoEcho` hides a parameter, not the output that repeats it.
fn check_outputs(outputs: &Map<String, Value>, no_echo: &BTreeSet<String>) -> Result<(), Refusal> {
    for (name, output) in outputs {
        if let Some(parameter) = text::references(output).into_iter().find(|reference| no_echo.contains(reference)) {
            return Err(Refusal::Invalid(format!(
                "output `{}` of the template shows parameter `{parameter}`, which is `NoEcho`; remove the output",
                shown(name)
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
