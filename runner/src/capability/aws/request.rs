//! A change set as a guest asks for it, checked against the grant and the limits of the API.
//!
//! Limits: "CloudFormation API Reference", `CreateChangeSet`, and "CloudFormation quotas".

use super::missing::Missing;
use super::model::{ChangeSetRequest, ParameterInput};
use super::template::{self, Given, Refusal, Subject};
use crate::capability::Error;
use crate::host::bindings::runner::aws::cloudformation::{ChangeSetKind, ChangeSetOptions, Parameter, ParameterValue};
use crate::plan::grant::AwsGrant;
use std::collections::BTreeMap;
use wasmtime::component::ResourceTable;

const MAX_NAME: usize = 128;
const MAX_DESCRIPTION: usize = 1024;
const MAX_PARAMETERS: usize = 200;
const MAX_PARAMETER_VALUE: usize = 4096;
const MAX_TAGS: usize = 50;
const MAX_TAG_KEY: usize = 128;
const MAX_TAG_VALUE: usize = 256;

/// Every capability of the API.
const CAPABILITIES: [&str; 3] = ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"];

/// Refuses what is no name of a stack: ARNs, paths, patterns.
pub(super) fn check_stack_name(name: &str) -> Result<(), Refusal> {
    check_name("stack name", name)
}

/// A client request token: 1 to 128 letters, digits and `-`, beginning with a letter or digit.
pub(super) fn token_of(token: String) -> Result<String, Error> {
    let first = token.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let rest = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if first && rest && token.len() <= MAX_NAME {
        return Ok(token);
    }
    Err(Error::Invalid(format!(
        "the token `{}` cannot be used; expected 1 to {MAX_NAME} letters, digits and `-`",
        shown(&token)
    )))
}

/// The request that will be sent.
pub(super) fn checked(
    grant: &AwsGrant,
    stack: &str,
    options: ChangeSetOptions,
    parameters: BTreeMap<String, Input>,
) -> Result<ChangeSetRequest, Refusal> {
    check_name("change-set name", &options.name)?;
    if options.description.len() > MAX_DESCRIPTION {
        return Err(Refusal::Invalid(format!("the description is longer than {MAX_DESCRIPTION} bytes")));
    }
    check_tags(&options.tags)?;
    let given = parameters.iter().map(|(key, parameter)| (key.as_str(), parameter.given())).collect();
    let template = template::check(&options.template, &Subject { grant, stack, parameters: &given })?;
    for (key, parameter) in &parameters {
        if matches!(parameter, Input::Secret(_)) && !template.no_echo.contains(key) {
            return Err(Refusal::Invalid(format!(
                "parameter `{key}` gets a secret, and the template would show its value to everybody who can see the \
                 stack; write `NoEcho: true` in the template's parameter"
            )));
        }
    }
    capabilities(grant, &options.capabilities, template.needs_capability)?;
    Ok(ChangeSetRequest {
        stack: stack.to_owned(),
        create: matches!(options.kind, ChangeSetKind::Create),
        name: options.name,
        description: options.description,
        template: template.json,
        parameters: parameters.into_iter().map(|(key, parameter)| (key, parameter.into_input())).collect(),
        capabilities: options.capabilities,
        tags: options.tags,
    })
}

/// A parameter's value, told apart by what may be said about it.
pub(super) enum Input {
    /// This text.
    Plain(String),
    /// A secret's value.
    Secret(String),
    /// The one the stack has.
    Previous,
}

impl Input {
    fn given(&self) -> Given<'_> {
        match self {
            Self::Plain(value) => Given::Plain(value),
            Self::Secret(_) => Given::Secret,
            Self::Previous => Given::Previous,
        }
    }

    fn into_input(self) -> ParameterInput {
        match self {
            Self::Plain(value) | Self::Secret(value) => ParameterInput::Value(value),
            Self::Previous => ParameterInput::Previous,
        }
    }
}

/// The parameters with their secrets looked up.
///
/// # Errors
/// `Invalid` with the parameter's name, or a broken handle.
pub(super) fn parameters(
    table: &ResourceTable,
    kind: ChangeSetKind,
    parameters: Vec<Parameter>,
) -> Result<BTreeMap<String, Input>, Error> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(Error::Invalid(format!("more than {MAX_PARAMETERS} parameters")));
    }
    let mut inputs = BTreeMap::new();
    for Parameter { key, value } in parameters {
        let name = shown(&key);
        let input = match value {
            ParameterValue::Plain(value) => Input::Plain(value),
            ParameterValue::Secret(secret) => Input::Secret(table.get(&secret)?.value().expose().to_owned()),
            ParameterValue::Previous if matches!(kind, ChangeSetKind::Create) => {
                return Err(Error::Invalid(format!(
                    "parameter `{name}` has no previous value: the stack is being created"
                )));
            }
            ParameterValue::Previous => Input::Previous,
        };
        if let Input::Plain(value) | Input::Secret(value) = &input {
            if value.len() > MAX_PARAMETER_VALUE {
                return Err(Error::Invalid(format!(
                    "the value of parameter `{name}` is longer than {MAX_PARAMETER_VALUE} bytes"
                )));
            }
            if value.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
                return Err(Error::Invalid(format!("the value of parameter `{name}` contains control characters")));
            }
        }
        if inputs.insert(key, input).is_some() {
            return Err(Error::Invalid(format!("parameter `{name}` is given twice")));
        }
    }
    Ok(inputs)
}

fn check_tags(tags: &[(String, String)]) -> Result<(), Refusal> {
    if tags.len() > MAX_TAGS {
        return Err(Refusal::Invalid(format!("more than {MAX_TAGS} tags")));
    }
    for (at, (key, value)) in tags.iter().enumerate() {
        let name = shown(key);
        let lower = key.to_ascii_lowercase();
        if lower.starts_with("aws:") || lower.starts_with("runner:") {
            return Err(Refusal::Invalid(format!(
                "tag `{name}`: names that begin with `aws:` or `runner:` are reserved"
            )));
        }
        if key.is_empty() || key.chars().count() > MAX_TAG_KEY || value.chars().count() > MAX_TAG_VALUE {
            return Err(Refusal::Invalid(format!(
                "tag `{name}`: expected a name of 1 to {MAX_TAG_KEY} characters and a value of at most {MAX_TAG_VALUE}"
            )));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return Err(Refusal::Invalid(format!("tag `{name}` contains control characters")));
        }
        if tags[..at].iter().any(|(other, _)| other == key) {
            return Err(Refusal::Invalid(format!("tag `{name}` is given twice")));
        }
    }
    Ok(())
}

fn capabilities(grant: &AwsGrant, asked: &[String], needed: Option<&'static str>) -> Result<(), Refusal> {
    let mut missing = Missing::default();
    for name in asked.iter().map(String::as_str).chain(needed) {
        if !CAPABILITIES.contains(&name) {
            return Err(Refusal::Invalid(format!(
                "`{}` is no capability; expected {}",
                shown(name),
                CAPABILITIES.join(", ")
            )));
        }
        if !acknowledged(&grant.capabilities, name) {
            missing.add(format!("the capability {name} is not granted"), "capabilities", name);
        }
    }
    missing.into_result().map_err(Refusal::Missing)?;
    match needed {
        Some(name) if !acknowledged(asked, name) => Err(Refusal::Invalid(format!(
            "the template makes IAM resources, which needs {name} in the capabilities of the change set"
        ))),
        _ => Ok(()),
    }
}

/// Whether a list of capabilities holds this one, or the one that includes it.
pub(super) fn acknowledged(list: &[String], capability: &str) -> bool {
    list.iter().any(|one| one == capability || capability == "CAPABILITY_IAM" && one == "CAPABILITY_NAMED_IAM")
}

/// "1 to 128 letters, digits and hyphens, beginning with a letter": stacks and change sets alike.
fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic());
    if first && name.len() <= MAX_NAME && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(());
    }
    Err(Refusal::Invalid(format!(
        "`{}` is not a {what}; expected 1 to {MAX_NAME} letters, digits and `-`, beginning with a letter",
        shown(name)
    )))
}

/// A guest's text for a message: no control characters, not endless.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(MAX_NAME).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn options(template: &serde_json::Value) -> ChangeSetOptions {
        ChangeSetOptions {
            kind: ChangeSetKind::Create,
            name: "r-1".into(),
            description: String::new(),
            template: template.to_string(),
            parameters: Vec::new(),
            capabilities: Vec::new(),
            tags: Vec::new(),
            extras: Vec::new(),
        }
    }

    fn grant(capabilities: &[&str]) -> AwsGrant {
        let json = json!({"stacks": "x", "operations": "deploy", "capabilities": capabilities});
        serde_json::from_value(json).unwrap()
    }

    fn text(result: Result<ChangeSetRequest, Refusal>) -> String {
        match result {
            Ok(_) => "passes".to_owned(),
            Err(Refusal::Invalid(text)) => text,
            Err(Refusal::Missing(missing)) => missing.reason(),
        }
    }

    #[test]
    fn names_are_names() {
        for name in ["orders-test", "A", "a1-"] {
            assert_eq!(check_stack_name(name), Ok(()));
        }
        let long = "a".repeat(129);
        for name in [
            "",
            "1a",
            "-a",
            "orders-test/../billing",
            "orders-test*",
            "a b",
            "a\u{1b}[2J",
            "Ä",
            &long,
            "arn:aws:cloudformation:us-east-1:222222222222:stack/orders-test/1",
        ] {
            assert!(check_stack_name(name).is_err(), "{name}");
            assert!(token_of(name.to_owned()).is_err() || name == "1a", "{name}");
        }
    }

    #[test]
    fn a_secret_needs_a_parameter_that_hides_it() {
        let template = |hidden: bool| {
            json!({
                "Parameters": {"Password": {"Type": "String", "NoEcho": hidden}},
                "Resources": {"T": {"Type": "AWS::SNS::Topic"}},
            })
        };
        let secret = || BTreeMap::from([("Password".to_owned(), Input::Secret("hunter2-hunter2".to_owned()))]);
        assert_eq!(text(checked(&grant(&[]), "x", options(&template(true)), secret())), "passes");
        let refused = text(checked(&grant(&[]), "x", options(&template(false)), secret()));
        assert!(refused.contains("`Password`") && refused.contains("NoEcho: true"), "{refused}");
        assert!(!refused.contains("hunter2"));
    }

    #[test]
    fn iam_resources_need_a_granted_and_acknowledged_capability() {
        let role = json!({"Resources": {"R": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": "r"}}}});
        let asked = |granted: &[&str], asked: &[&str]| {
            let mut options = options(&role);
            options.capabilities = asked.iter().map(ToString::to_string).collect();
            text(checked(&grant(granted), "x", options, BTreeMap::new()))
        };
        let yaml = "grants: { aws: { capabilities: [\"CAPABILITY_NAMED_IAM\"] } }";
        assert!(asked(&[], &[]).contains(yaml));
        assert!(asked(&["CAPABILITY_IAM"], &["CAPABILITY_IAM"]).contains(yaml));
        assert!(asked(&["CAPABILITY_NAMED_IAM"], &["CAPABILITY_IAM"]).contains("capabilities of the change set"));
        assert_eq!(asked(&["CAPABILITY_NAMED_IAM"], &["CAPABILITY_NAMED_IAM"]), "passes");
        assert!(asked(&["CAPABILITY_NAMED_IAM"], &["CAPABILITY_EVERYTHING"]).contains("is no capability"));
        assert!(
            asked(&["CAPABILITY_NAMED_IAM"], &["CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"])
                .contains("capabilities: [\"CAPABILITY_AUTO_EXPAND\"]")
        );
    }

    #[test]
    fn tags_are_not_forged() {
        let topic = json!({"Resources": {"T": {"Type": "AWS::SNS::Topic"}}});
        for (key, value, passes) in [
            ("environment", "test", true),
            ("aws:cloudformation:stack-name", "x", false),
            ("RUNNER:run", "x", false),
            ("", "x", false),
            ("a\nb", "x", false),
        ] {
            let mut options = options(&topic);
            options.tags = vec![(key.to_owned(), value.to_owned())];
            let result = text(checked(&grant(&[]), "x", options, BTreeMap::new()));
            assert_eq!(result == "passes", passes, "{key}: {result}");
        }
    }

    #[test]
    fn parameters_have_limits() {
        let parse = |kind, list: &[(&str, ParameterValue)]| {
            let list = list.iter().map(|(key, value)| Parameter {
                key: (*key).to_owned(),
                value: match value {
                    ParameterValue::Plain(text) => ParameterValue::Plain(text.clone()),
                    _ => ParameterValue::Previous,
                },
            });
            parameters(&ResourceTable::new(), kind, list.collect()).map(drop).map_err(|error| error.to_string())
        };
        let plain = |text: &str| ParameterValue::Plain(text.to_owned());
        assert_eq!(
            parse(ChangeSetKind::Update, &[("A", plain("line\nline")), ("B", ParameterValue::Previous)]),
            Ok(())
        );
        for (kind, list) in [
            (ChangeSetKind::Update, vec![("A", plain(&"x".repeat(4097)))]),
            (ChangeSetKind::Update, vec![("A", plain("\u{1b}[31m"))]),
            (ChangeSetKind::Update, vec![("A", plain("x")), ("A", plain("y"))]),
            (ChangeSetKind::Create, vec![("A", ParameterValue::Previous)]),
        ] {
            assert!(parse(kind, &list).unwrap_err().contains("`A`"));
        }
    }
}
