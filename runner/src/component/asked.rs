//! A component that has been asked what it is, and checks a step's parameters and grants.

use super::admit::RefusalKind;
use crate::host::{CallError, Description, LoadedComponent, Planner, Services, StepEngine};
use crate::plan::grant::{Grants, excess};
use serde_json::Value;

/// A component with nothing granted, ready to answer.
pub struct Asked {
    planner: Planner,
    /// What it says it is.
    pub description: Description,
    params: jsonschema::Validator,
    /// Interfaces it imports from outside WASI.
    imports: Vec<String>,
}

/// Why a step may not run as it stands.
#[derive(Debug)]
pub struct Problem {
    /// What kind of mistake it is.
    pub kind: RefusalKind,
    /// JSON Pointer below the attribute that `kind` names.
    pub pointer: String,
    /// What is wrong.
    pub message: String,
    /// What to do; may be empty.
    pub help: String,
}

impl Problem {
    pub(super) fn component(message: String) -> Self {
        Self { kind: RefusalKind::Component, pointer: String::new(), message, help: String::new() }
    }
}

impl Asked {
    /// Starts the component with nothing granted and asks what it is.
    ///
    /// # Errors
    /// Why it cannot be used.
    pub async fn start(engine: &StepEngine, services: &Services, component: &LoadedComponent) -> Result<Self, String> {
        let broke = |error: CallError| error.to_string();
        let mut planner = Planner::start(engine, services, component).await.map_err(broke)?;
        let description = planner.describe().await.map_err(broke)?;
        let params = jsonschema::validator_for(&description.params_schema)
            .map_err(|error| format!("its schema of the parameters is none: {error}"))?;
        Ok(Self { planner, description, params, imports: engine.imports(component) })
    }

    /// Everything that keeps a step with these parameters and grants from running. `unknown` are JSON Pointers to
    /// parameters that another job will give.
    pub async fn check(&mut self, params: &Value, unknown: &[String], granted: &Grants, command: bool) -> Vec<Problem> {
        let name = &self.description.name;
        let wrong: Vec<Problem> = self
            .params
            .iter_errors(params)
            // What another job gives is checked when it is known.
            .filter(|error| !unknown.iter().any(|pointer| *pointer == error.instance_path().as_str()))
            .map(|error| Problem {
                kind: RefusalKind::Parameter,
                pointer: error.instance_path().as_str().to_owned(),
                message: format!("wrong parameter for `{name}`: {error}"),
                help: expected(&self.description.params_schema),
            })
            .collect();
        if !wrong.is_empty() {
            return wrong;
        }
        let needed = match self.planner.needs(&params.to_string(), unknown).await {
            Ok(needed) => needed,
            Err(CallError::Refused { message, remedy }) => {
                let (kind, pointer) = (RefusalKind::Parameter, String::new());
                return vec![Problem { kind, pointer, message, help: remedy }];
            }
            Err(other) => return vec![Problem::component(other.to_string())],
        };
        let ungranted = ungranted_imports(&self.imports, granted, command);
        match (excess(&needed, granted), ungranted.first()) {
            (None, None) => Vec::new(),
            (None, Some(grant)) => vec![Problem {
                kind: RefusalKind::Grant,
                pointer: String::new(),
                message: format!("`{name}` uses {grant}, which the step does not grant"),
                help: format!("add `{grant}:` to the step's `grants`, or use another component"),
            }],
            (Some(excess), _) => vec![Problem {
                kind: RefusalKind::Grant,
                pointer: String::new(),
                message: format!("`{name}` needs more than the step grants"),
                help: format!("add to the step:\n{}", yaml(&excess.missing)),
            }],
        }
    }
}

/// The grants behind the interfaces a component imports that the step does not give at all.
fn ungranted_imports(imports: &[String], granted: &Grants, command: bool) -> Vec<&'static str> {
    let kinds = [
        ("runner:docker/", granted.docker.is_some(), "docker"),
        ("runner:aws/", granted.aws.is_some(), "aws"),
        ("runner:process/", command || !granted.process.is_empty(), "process"),
        ("runner:step/meta-data@", granted.meta_data.is_some(), "meta-data"),
        ("runner:step/artifacts@", granted.artifacts.is_some(), "artifacts"),
        ("runner:step/annotations@", granted.annotations, "annotations"),
    ];
    kinds
        .into_iter()
        .filter(|(prefix, given, _)| !given && imports.iter().any(|import| import.starts_with(prefix)))
        .map(|(.., grant)| grant)
        .collect()
}

/// The parameters a schema knows, in a line.
fn expected(schema: &Value) -> String {
    let Some(Value::Object(properties)) = schema.get("properties") else { return String::new() };
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| required.is_some_and(|names| names.iter().any(|required| required == name));
    let names: Vec<String> = properties
        .keys()
        .map(|name| if is_required(name) { format!("{name} (required)") } else { name.clone() })
        .collect();
    format!("its parameters are: {}", names.join(", "))
}

/// Grants as the YAML to write into the step.
fn yaml(grants: &Grants) -> String {
    match serde_saphyr::to_string(grants) {
        Ok(yaml) => {
            let lines: Vec<String> = yaml.trim_end().lines().map(|line| format!("  {line}")).collect();
            format!("grants:\n{}", lines.join("\n"))
        }
        // Grants are plain data; what cannot be YAML is still readable as JSON, which is YAML.
        Err(_) => format!("grants: {}", serde_json::to_string(grants).unwrap_or_default()),
    }
}
